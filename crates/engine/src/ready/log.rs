//! Readiness by a line in the daemon's log.
//!
//! The log is read as it grows, across rotation: a file that took the log's name begins where
//! the one before it ended, with those in between that were named `LOG.1`, `LOG.2` and so on.
//! Only whole lines count. Nothing here writes, and no file is waited for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use super::Look;
use super::patience::{Patience, Stop};

/// A line longer than this, bytes, is taken for several.
const LONGEST_LINE: usize = 64 << 10;
/// Bytes read in one call.
const CHUNK: usize = 64 << 10;
/// A rotated log is looked for under numbers up to this.
const MOST_ROTATED: u32 = 1000;

/// Somebody who reads a log as it grows.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    /// Where to begin in the first file.
    from: u64,
    open: Option<Open>,
    /// The beginning of a line without its end.
    unfinished: Vec<u8>,
}

/// The file that is being read.
#[derive(Debug)]
struct Open {
    file: File,
    identity: (u64, u64),
    position: u64,
}

impl Follower {
    /// Reads `path` from byte `from` on, or from the start if it is shorter by then.
    pub(super) fn new(path: &Path, from: u64) -> Self {
        Self {
            path: path.to_owned(),
            from,
            open: None,
            unfinished: Vec::new(),
        }
    }

    /// Whether a line has come since the last look that `regex` matches.
    pub(super) fn look(&mut self, regex: &Regex, patience: &Patience<'_>) -> Result<Look, Stop> {
        match self.read_on(regex, patience) {
            Ok(Ok(true)) => Ok(Look::Ready),
            Ok(Ok(false)) => Ok(Look::NotYet(self.why_not(regex))),
            Ok(Err(error)) => {
                let path = self.path.display();
                Ok(Look::NotYet(format!(
                    "cannot read the log `{path}`: {error}"
                )))
            }
            Err(stop) => Err(stop),
        }
    }

    fn why_not(&self, regex: &Regex) -> String {
        let unfinished = if self.unfinished.is_empty() {
            ""
        } else {
            " (its last line has no end yet)"
        };
        format!("no line of the log matches `{regex}`{unfinished}")
    }

    fn read_on(
        &mut self,
        regex: &Regex,
        patience: &Patience<'_>,
    ) -> Result<io::Result<bool>, Stop> {
        if self.open.is_none() {
            match Open::new(&self.path, self.from) {
                Ok(open) => self.open = Some(open),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error)),
            }
        }
        loop {
            // Before it is read to its end: once another file has the log's name, nobody writes
            // to this one any more.
            let next = match self.next_file() {
                Ok(next) => next,
                Err(error) => return Ok(Err(error)),
            };
            match self.read_to_end(regex, patience)? {
                Ok(false) => {}
                done => return Ok(done),
            }
            match next {
                None => return Ok(Ok(false)),
                Some(next) => self.open = Some(next),
            }
            patience.check()?;
        }
    }

    /// The file that follows the open one, if there is one by now.
    fn next_file(&self) -> io::Result<Option<Open>> {
        let Some(current) = &self.open else {
            return Ok(None);
        };
        match identity_of(&self.path) {
            Some(identity) if identity != current.identity => {}
            // In the midst of a rotation there may be none.
            Some(_) | None => return Ok(None),
        }
        for number in 1..=MOST_ROTATED {
            let path = rotated(&self.path, number);
            match identity_of(&path) {
                None => break,
                Some(identity) if identity != current.identity => {}
                Some(_) => {
                    let newer = match number {
                        1 => self.path.to_owned(),
                        _ => rotated(&self.path, number - 1),
                    };
                    let next = Open::new(&newer, 0)?;
                    // Had they been renamed meanwhile, one would have been left out.
                    let still = identity_of(&path) == Some(current.identity);
                    return Ok(still.then_some(next));
                }
            }
        }
        Open::new(&self.path, 0).map(Some)
    }

    fn read_to_end(
        &mut self,
        regex: &Regex,
        patience: &Patience<'_>,
    ) -> Result<io::Result<bool>, Stop> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let Some(open) = &mut self.open else {
                return Ok(Ok(false));
            };
            match open.was_cut() {
                Ok(false) => {}
                Ok(true) => {
                    // What it had is over, and with it a line that never got its end.
                    let line = std::mem::take(&mut self.unfinished);
                    if matches(regex, &line) {
                        return Ok(Ok(true));
                    }
                    continue;
                }
                Err(error) => return Ok(Err(error)),
            }
            match open.file.read(&mut buffer) {
                Ok(0) => return Ok(Ok(false)),
                Ok(count) => {
                    open.position += count as u64;
                    if self.take(regex, &buffer[..count]) {
                        return Ok(Ok(true));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(error)),
            }
            patience.check()?;
        }
    }

    /// Takes more bytes of the log, and says whether a line that they end matches.
    fn take(&mut self, regex: &Regex, mut bytes: &[u8]) -> bool {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.unfinished);
            line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if matches(regex, &line) {
                return true;
            }
        }
        self.unfinished.extend_from_slice(bytes);
        while self.unfinished.len() > LONGEST_LINE {
            let rest = self.unfinished.split_off(LONGEST_LINE);
            let piece = std::mem::replace(&mut self.unfinished, rest);
            if matches(regex, &piece) {
                return true;
            }
        }
        false
    }
}

impl Open {
    /// Opens a log for reading at `from`.
    fn new(path: &Path, from: u64) -> io::Result<Self> {
        // Somebody's own log may be a FIFO or a terminal, for which an open would wait.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let position = if from > metadata.len() { 0 } else { from };
        file.seek(SeekFrom::Start(position))?;
        Ok(Self {
            file,
            identity: (metadata.dev(), metadata.ino()),
            position,
        })
    }

    /// Whether it has become shorter than what was read; then it is read from the start.
    fn was_cut(&mut self) -> io::Result<bool> {
        if self.file.metadata()?.len() >= self.position {
            return Ok(false);
        }
        self.file.rewind()?;
        self.position = 0;
        Ok(true)
    }
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn matches(regex: &Regex, line: &[u8]) -> bool {
    line.chunks(LONGEST_LINE).any(|piece| {
        let piece = String::from_utf8_lossy(piece);
        regex.is_match(piece.strip_suffix('\r').unwrap_or(&piece))
    })
}
