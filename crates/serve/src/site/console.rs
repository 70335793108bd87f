//! A part of a console: which bytes, and those as markup with the times of their lines.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use ward_build::api::BuildView;
use ward_build::console::Times;

use super::painter::{Clock, Painter};
use super::words::{between, within};

/// Bytes of a log that a page shows at once.
pub(super) const PART: u64 = 256 << 10;

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The last one.
    End,
    /// The one that ends before this byte.
    Before(u64),
    /// The one that begins with this byte.
    From(u64),
}

/// A part of a log.
#[derive(Debug)]
pub(super) struct Part {
    /// Its first byte.
    pub(super) from: u64,
    /// The first byte after it.
    pub(super) to: u64,
    /// Bytes of the whole log.
    pub(super) length: u64,
    /// Lines.
    pub(super) lines: String,
}

/// The log of a build, of which only what belongs to the build is read.
pub(super) struct Log {
    file: File,
    times: Option<Times>,
    started_at: i64,
    most: Option<u64>,
}

impl Log {
    /// Opens it.
    ///
    /// # Errors
    /// As open(2): there may be none yet.
    pub(super) fn open(build: &BuildView) -> io::Result<Self> {
        let file = File::open(&build.log)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self {
            file,
            times: Times::open(&build.log_times).ok(),
            started_at: build.line.started_at,
            most: build.outcome.as_ref().map(|outcome| outcome.log_bytes),
        })
    }

    /// Bytes of it by now.
    pub(super) fn length(&self) -> io::Result<u64> {
        let length = self.file.metadata()?.len();
        // Of a build that was lost nobody counted the bytes.
        let most = self.most.filter(|most| *most > 0);
        Ok(most.map_or(length, |most| length.min(most)))
    }

    /// At most `most` bytes from `from` on.
    pub(super) fn bytes(&self, from: u64, most: u64) -> io::Result<Vec<u8>> {
        let most = most.min(self.length()?.saturating_sub(from));
        let mut bytes = vec![0; usize::try_from(most).unwrap_or(0)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, from + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Whether the byte at `offset` goes on a line.
    pub(super) fn is_within_line(&self, offset: u64) -> io::Result<bool> {
        let Some(before) = offset.checked_sub(1) else {
            return Ok(false);
        };
        Ok(self
            .bytes(before, 1)?
            .first()
            .is_some_and(|byte| *byte != b'\n'))
    }

    /// When lines of `from..to` began.
    pub(super) fn clock(&self, from: u64, to: u64) -> Lines {
        // There is at most one for each line.
        let limit = usize::try_from(to.saturating_sub(from)).unwrap_or(0) + 1;
        let times = self.times.as_ref();
        let found = times.and_then(|times| times.between(from, to, limit).ok());
        Lines {
            records: found.unwrap_or_default().into_iter().peekable(),
            last: None,
            started_at: self.started_at,
        }
    }

    /// Sees what was written beside it since.
    pub(super) fn refresh_times(&mut self, build: &BuildView) {
        self.times = Times::open(&build.log_times).ok();
    }

    /// A part of it, painted; it begins with a line unless a line is longer than a part.
    pub(super) fn part(&self, wanted: Wanted) -> io::Result<Part> {
        let length = self.length()?;
        let (from, to) = match wanted {
            Wanted::End => (length.saturating_sub(PART), length),
            Wanted::Before(end) => (end.min(length).saturating_sub(PART), end.min(length)),
            Wanted::From(from) => {
                let from = from.min(length);
                (from, from.saturating_add(PART).min(length))
            }
        };
        let mut bytes = self.bytes(from, to - from)?;
        let mut from = from;
        let is_exact = matches!(wanted, Wanted::From(_));
        if !is_exact && self.is_within_line(from)? {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.filter(|end| end + 1 < bytes.len()) {
                bytes.drain(..=end);
                from += end as u64 + 1;
            }
        }
        let is_last = from + bytes.len() as u64 >= length;
        // What comes before is on another page: the line is painted as if it began here.
        let mut painter = Painter::new(from, false);
        let is_over = self.most.is_some() || !is_last;
        let piece = painter.paint(&bytes, is_over, &mut self.clock(from, to));
        Ok(Part {
            from,
            to: painter.at(),
            length,
            lines: piece.lines,
        })
    }
}

/// When lines began, as the times within the build.
pub(super) struct Lines {
    records: std::iter::Peekable<std::vec::IntoIter<(u64, i64)>>,
    last: Option<i64>,
    started_at: i64,
}

impl Clock for Lines {
    fn at(&mut self, offset: u64) -> String {
        while let Some((_, time)) = self.records.next_if(|(begin, _)| *begin <= offset) {
            self.last = Some(time);
        }
        self.last
            .map(|time| within(between(self.started_at, time)))
            .unwrap_or_default()
    }
}
