//! The copy of the output in a file.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::SystemTime;

use ward_model::spec::{Log, RotatedLog};

use super::rotate::{Rotation, confession};

/// A line longer than this is written in pieces, bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// The log of one run.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
    rotation: Option<Rotation>,
    timestamps: bool,
    /// Per stream: the beginning of a line whose end has not come, so that the lines of two
    /// streams are not torn by one another.
    unfinished: [Vec<u8>; 2],
    lost: u64,
    failure: Option<io::Error>,
    /// Of a daemon's log: bytes that it could not take, until that is written into it.
    unconfessed: Option<(u64, io::Error)>,
}

impl LogFile {
    /// Opens it, as a shell would for `>` or `>>`.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn open(log: &Log) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .write(true)
            .append(log.append)
            .truncate(!log.append)
            .open(Path::new(&log.path))?;
        Ok(Self::new(file, None, log.timestamps))
    }

    /// Opens a log that is kept within bounds.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn rotated(log: &RotatedLog) -> io::Result<Self> {
        let (fd, rotation) = Rotation::open(log)?;
        Ok(Self::new(fd.into(), Some(rotation), log.timestamps))
    }

    fn new(file: File, rotation: Option<Rotation>, timestamps: bool) -> Self {
        Self {
            file,
            rotation,
            timestamps,
            unfinished: [Vec::new(), Vec::new()],
            lost: 0,
            failure: None,
            unconfessed: None,
        }
    }

    /// Goes on where a killed writer was, who may have rotated the log.
    pub(crate) fn take_over(&mut self) {
        let fd = self.file.as_fd();
        let rotation = self.rotation.as_mut();
        if let Some(fresh) = rotation.and_then(|rotation| rotation.reopen(fd)) {
            self.file = fresh.into();
        }
    }

    /// Writes what came from stream 0 or 1.
    pub(crate) fn write(&mut self, stream: usize, bytes: &[u8]) {
        if !self.timestamps {
            self.put(bytes);
            return;
        }
        let unfinished = &mut self.unfinished[stream.min(1)];
        let mut text = std::mem::take(unfinished);
        text.extend_from_slice(bytes);
        let end = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let rest = text.split_off(end);
        let mut stamped = Vec::with_capacity(text.len() + 64);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            stamp(&mut stamped, line);
        }
        if rest.len() > LONGEST_LINE {
            stamp(&mut stamped, &rest);
            stamped.push(b'\n');
        } else {
            *unfinished = rest;
        }
        self.put(&stamped);
    }

    /// Writes lines that never got their end.
    pub(crate) fn finish(&mut self) {
        for stream in 0..2 {
            let rest = std::mem::take(&mut self.unfinished[stream]);
            if !rest.is_empty() {
                let mut stamped = Vec::new();
                stamp(&mut stamped, &rest);
                stamped.push(b'\n');
                self.put(&stamped);
            }
        }
        self.confess();
    }

    /// Writes into a daemon's log that something is missing from it, once that is possible.
    fn confess(&mut self) {
        if let Some((bytes, why)) = self.unconfessed.take() {
            let line = confession(bytes, &why);
            if self.write_all(line.as_bytes()).is_err() {
                self.unconfessed = Some((bytes, why));
            }
        }
    }

    /// Bytes that could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Why the first of them could not be written; told once.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.confess();
        if let Err((missing, error)) = self.write_all(bytes) {
            let missing = missing as u64;
            match (&mut self.unconfessed, &self.rotation) {
                (Some((bytes, _)), _) => *bytes += missing,
                (None, Some(_)) => self.unconfessed = Some((missing, error)),
                (None, None) if self.lost == 0 => self.failure = Some(error),
                (None, None) => {}
            }
            self.lost += missing;
        }
    }

    /// Writes them; else says how many are missing, and why.
    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err((bytes.len(), io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    bytes = &bytes[written..];
                    let fd = self.file.as_fd();
                    let rotation = self.rotation.as_mut();
                    if let Some(fresh) = rotation.and_then(|it| it.wrote(fd, written)) {
                        self.file = fresh.into();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((bytes.len(), error)),
            }
        }
        Ok(())
    }
}

fn stamp(into: &mut Vec<u8>, line: &[u8]) {
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    // Writing to memory does not fail.
    let _ = write!(into, "{now} ");
    into.extend_from_slice(line);
}
