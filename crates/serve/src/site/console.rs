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

/// Bytes that are looked through at once.
const BLOCK: u64 = 1 << 20;

/// How far back the begin of a line is looked for; of a longer one a part begins within it.
const LINE: u64 = 64 << 10;

/// What came of looking for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It begins there.
    At(u64),
    /// Not before this byte.
    NotYet(u64),
    /// It is not there.
    Nowhere,
}

/// For each beginning of a text: how long the longest shorter one is that it ends with.
fn begins_again(text: &[u8]) -> Vec<usize> {
    let mut lengths = vec![0; text.len()];
    let mut length = 0;
    for at in 1..text.len() {
        while length > 0 && text.get(at) != text.get(length) {
            length = lengths.get(length - 1).copied().unwrap_or(0);
        }
        if text.get(at) == text.get(length) {
            length += 1;
        }
        if let Some(entry) = lengths.get_mut(at) {
            *entry = length;
        }
    }
    lengths
}

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

    /// Where a text is, in either case of its letters, from `from` on; looks at `most` bytes or a little more.
    /// It takes as long as there are bytes, whatever they are (Knuth, Morris and Pratt).
    pub(super) fn find(&self, text: &str, from: u64, most: u64) -> io::Result<Found> {
        let wanted = text.to_ascii_lowercase().into_bytes();
        let Some(first) = wanted.first().copied() else {
            return Ok(Found::Nowhere);
        };
        let starts = begins_again(&wanted);
        let mut at = from;
        // So many bytes before `at` are what the text begins with.
        let mut matched = 0;
        loop {
            if at - from >= most {
                return Ok(Found::NotYet(at - matched as u64));
            }
            let block = self.bytes(at, BLOCK)?;
            if block.is_empty() {
                return Ok(Found::Nowhere);
            }
            let mut rest = block.as_slice();
            while let Some((byte, after)) = rest.split_first() {
                if matched == 0 {
                    // Most bytes are none that it begins with.
                    let is_first = |byte: &u8| byte.to_ascii_lowercase() == first;
                    let Some(next) = rest.iter().position(is_first) else {
                        break;
                    };
                    rest = rest.get(next + 1..).unwrap_or_default();
                    matched = 1;
                } else if wanted.get(matched) == Some(&byte.to_ascii_lowercase()) {
                    rest = after;
                    matched += 1;
                } else {
                    matched = starts.get(matched - 1).copied().unwrap_or(0);
                }
                if matched == wanted.len() {
                    let end = at + (block.len() - rest.len()) as u64;
                    return Ok(Found::At(end - matched as u64));
                }
            }
            at += block.len() as u64;
        }
    }

    /// The first byte of the line that `offset` is in, and one that many bytes before it a part may begin
    /// with; the line's, where that is longer.
    pub(super) fn line_at(&self, offset: u64, before: u64) -> io::Result<(u64, u64)> {
        let from = offset.saturating_sub(LINE);
        let bytes = self.bytes(from, offset - from)?;
        let begin = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
        let line = begin(&bytes).map_or(from, |at| from + at as u64 + 1);
        let from = line.saturating_sub(before);
        let bytes = self.bytes(from, line - from)?;
        let above = match bytes.iter().position(|byte| *byte == b'\n') {
            _ if from == 0 => 0,
            Some(at) => from + at as u64 + 1,
            None => line,
        };
        Ok((line, above))
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

#[cfg(test)]
mod tests {
    use super::{BLOCK, Found, Log};
    use proptest::prelude::*;
    use std::fs::{self, File};

    fn log(content: &[u8]) -> (tempfile::NamedTempFile, Log) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), content).expect("written");
        let log = Log {
            file: File::open(file.path()).expect("open"),
            times: None,
            started_at: 0,
            most: None,
        };
        (file, log)
    }

    #[test]
    fn a_text_is_found_wherever_it_is_cut() {
        let block = usize::try_from(BLOCK).expect("small");
        for at in [
            0,
            1,
            block - 5,
            block - 4,
            block - 1,
            block,
            block + 1,
            2 * block - 2,
        ] {
            let mut content = vec![b'n'; 2 * block + 100];
            content[at..at + 5].copy_from_slice(b"NeedL");
            let (_file, log) = log(&content);
            let found = |text, from, most| log.find(text, from, most).expect("read");
            assert_eq!(found("needl", 0, u64::MAX), Found::At(at as u64), "{at}");
            assert_eq!(found("needl", at as u64, u64::MAX), Found::At(at as u64));
            assert_eq!(found("needl", at as u64 + 1, u64::MAX), Found::Nowhere);
            assert_eq!(found("needle", 0, u64::MAX), Found::Nowhere);
        }
        let (_file, log) = log(&vec![b'n'; 3 * block]);
        assert_eq!(log.find("x", 0, BLOCK).expect("read"), Found::NotYet(BLOCK));
        let begun = log.find("nnnx", 0, BLOCK).expect("read");
        assert_eq!(
            begun,
            Found::NotYet(BLOCK - 3),
            "its begin is looked at again"
        );
        for (text, from) in [("", 0), ("x", u64::MAX), ("nn", 3 * BLOCK - 1)] {
            let found = log.find(text, from, u64::MAX).expect("read");
            assert_eq!(found, Found::Nowhere, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_found_where_it_is_first(content in "[aAb]{0,40}", text in "[aAb]{1,6}") {
            let (_file, log) = log(content.as_bytes());
            let at = content.to_lowercase().find(&text.to_lowercase());
            let expected = at.map_or(Found::Nowhere, |at| Found::At(at as u64));
            prop_assert_eq!(log.find(&text, 0, u64::MAX).expect("read"), expected);
        }
    }

    #[test]
    fn the_line_of_a_byte() {
        let (_file, log) = log(b"one\ntwo\nthree\n");
        for (offset, before, expected) in [
            (0, 100, (0, 0)),
            (5, 100, (4, 0)),
            (9, 100, (8, 0)),
            (9, 5, (8, 4)),
            (9, 1, (8, 8)),
            (9, 0, (8, 8)),
        ] {
            let seen = log.line_at(offset, before).expect("read");
            assert_eq!(seen, expected, "{offset} {before}");
        }
    }
}
