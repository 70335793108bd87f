//! The console of a build: its log, and beside it when each line began.
//!
//! `log` is what the build wrote, byte for byte, but for its secrets. `log.times` has records of
//! 16 bytes, little endian: the offset of a line's first byte in the log (`u64`), and when that byte
//! was written, milliseconds since the epoch (`i64`). One for each line, but a line whose time is that
//! of the record before needs none. Both only grow, so that they can be read at any time.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Instant, SystemTime};

use crate::masking::Masker;
use crate::plan::file;

/// Bytes of a record.
const RECORD: u64 = 16;

/// Milliseconds since the epoch, now.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// The writer of a console. There is one for each build.
pub struct Console {
    log: File,
    times: File,
    /// Bytes in the log.
    length: u64,
    /// Records in the file beside it.
    records: u64,
    /// The time of the last of them.
    timed: Option<i64>,
    /// The next byte begins a line.
    at_start: bool,
    masker: Masker,
    masked: Vec<u8>,
    /// Bytes that could not be written, and why the first of them could not.
    lost: u64,
    why_lost: Option<io::Error>,
    /// What is written goes there too.
    echo: Option<io::Stdout>,
    spoken: Instant,
}

impl Console {
    /// Makes the console in a build's directory. `secrets` never get into it. With `echo`, all of it is
    /// written to standard output too.
    ///
    /// # Errors
    /// As open(2): there is a console already, or there is no such directory.
    pub fn create(directory: &Path, secrets: &[Vec<u8>], echo: bool) -> io::Result<Self> {
        let open = |name: &str| {
            File::options()
                .write(true)
                .create_new(true)
                .mode(0o640)
                .open(directory.join(name))
        };
        Ok(Self {
            log: open(file::LOG)?,
            times: open(file::TIMES)?,
            length: 0,
            records: 0,
            timed: None,
            at_start: true,
            masker: Masker::new(secrets),
            masked: Vec::new(),
            lost: 0,
            why_lost: None,
            echo: echo.then(io::stdout),
            spoken: Instant::now(),
        })
    }

    /// Goes on with the console of a build whose runner has ended. Nothing is masked.
    ///
    /// # Errors
    /// As open(2): there is none.
    pub fn reopen(directory: &Path) -> io::Result<Self> {
        let open = |name: &str| {
            File::options()
                .read(true)
                .write(true)
                .open(directory.join(name))
        };
        let (log, times) = (open(file::LOG)?, open(file::TIMES)?);
        let length = log.metadata()?.len();
        let mut last = [b'\n'];
        if let Some(at) = length.checked_sub(1) {
            log.read_exact_at(&mut last, at)?;
        }
        Ok(Self {
            records: times.metadata()?.len() / RECORD,
            log,
            times,
            length,
            timed: None,
            at_start: last == [b'\n'],
            masker: Masker::new(&[]),
            masked: Vec::new(),
            lost: 0,
            why_lost: None,
            echo: None,
            spoken: Instant::now(),
        })
    }

    /// Writes bytes as they come; secrets are masked even if they come in pieces.
    pub fn write(&mut self, bytes: &[u8]) {
        self.spoken = Instant::now();
        let mut masked = std::mem::take(&mut self.masked);
        masked.clear();
        self.masker.feed(bytes, &mut masked);
        self.put(&masked);
        self.masked = masked;
    }

    /// Writes one line of ours: what stands there without an end of line is ended first.
    pub fn line(&mut self, text: &str) {
        self.settle();
        let mut line = Vec::with_capacity(text.len() + 2);
        if !self.at_start {
            line.push(b'\n');
        }
        line.extend_from_slice(text.as_bytes());
        line.push(b'\n');
        self.write(&line);
        self.settle();
    }

    /// How long the log is with this line of ours, where nothing of it is masked and there is room.
    pub fn length_with(&mut self, text: &str) -> u64 {
        self.settle();
        self.length + u64::from(!self.at_start) + text.len() as u64 + 1
    }

    /// Shows what was held back because a secret might have begun with it: whoever wrote it is over.
    pub fn settle(&mut self) {
        let mut masked = std::mem::take(&mut self.masked);
        masked.clear();
        self.masker.finish(&mut masked);
        self.put(&masked);
        self.masked = masked;
    }

    /// How many secrets are too short to be masked.
    #[must_use]
    pub fn unmasked(&self) -> usize {
        self.masker.too_short()
    }

    /// A text as it may be shown elsewhere; none if it has no secret in it.
    #[must_use]
    pub fn masked(&self, text: &str) -> Option<String> {
        if self.masker.is_idle() {
            return None;
        }
        let masked = self.masker.mask(text.as_bytes());
        (masked != text.as_bytes()).then(|| String::from_utf8_lossy(&masked).into_owned())
    }

    /// When something was last written to it.
    #[must_use]
    pub fn last_output(&self) -> Instant {
        self.spoken
    }

    /// Bytes in the log.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes are missing, and why the first of them is.
    #[must_use]
    pub fn lost(&self) -> Option<(u64, &io::Error)> {
        let why = self.why_lost.as_ref()?;
        (self.lost > 0).then_some((self.lost, why))
    }

    /// Sees to it that the log is on the disk.
    ///
    /// # Errors
    /// As fdatasync(2).
    pub fn sync(&self) -> io::Result<()> {
        self.log.sync_data()
    }

    fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.note_time(bytes);
        if let Some(echo) = &mut self.echo {
            // Whoever does not listen any more has no say in how the build ends.
            let _ = echo.write_all(bytes).and_then(|()| echo.flush());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.log.write_at(rest, self.length) {
                Ok(0) => self.lose(rest.len(), io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.length += written as u64;
                    self.at_start = rest.get(written - 1) == Some(&b'\n');
                    rest = rest.get(written..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.lose(rest.len(), error),
            }
            break;
        }
    }

    fn lose(&mut self, bytes: usize, why: io::Error) {
        self.lost += bytes as u64;
        self.why_lost.get_or_insert(why);
    }

    /// Writes down when the first line began that begins in `bytes`; the others began then too.
    fn note_time(&mut self, bytes: &[u8]) {
        let first = if self.at_start {
            Some(0)
        } else {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            end.map(|end| end + 1).filter(|next| *next < bytes.len())
        };
        let Some(first) = first else { return };
        let now = now();
        if self.timed == Some(now) {
            return;
        }
        let mut record = [0; 16];
        let (offset, time) = record.split_at_mut(8);
        offset.copy_from_slice(&(self.length + first as u64).to_le_bytes());
        time.copy_from_slice(&now.to_le_bytes());
        // At its own place: half a record is overwritten by the next one.
        if self
            .times
            .write_all_at(&record, self.records * RECORD)
            .is_ok()
        {
            self.records += 1;
            self.timed = Some(now);
        }
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// When lines of a log began, for readers.
#[derive(Debug)]
pub struct Times {
    file: File,
    records: u64,
}

impl Times {
    /// Opens the file beside a log. What is written to it later is not seen.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // Half a record at its end is being written.
        let records = file.metadata()?.len() / RECORD;
        Ok(Self { file, records })
    }

    /// When the line began that begins at `offset`, milliseconds since the epoch; none if that is not
    /// known. Reads a few bytes, whatever the log's length.
    ///
    /// # Errors
    /// As pread(2).
    pub fn at(&self, offset: u64) -> io::Result<Option<i64>> {
        let (mut low, mut high) = (0, self.records);
        // The last record that is not beyond it.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(middle)?.0 <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match low.checked_sub(1) {
            Some(index) => Ok(Some(self.record(index)?.1)),
            None => Ok(None),
        }
    }

    /// Records that are about `from..to`, bounded by `limit`: the time that counts at `from`, and then
    /// each change before `to`; as `(offset, milliseconds since the epoch)`.
    ///
    /// # Errors
    /// As pread(2).
    pub fn between(&self, from: u64, to: u64, limit: usize) -> io::Result<Vec<(u64, i64)>> {
        let (mut low, mut high) = (0, self.records);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.record(middle)?.0 <= from {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut found = Vec::new();
        for index in low.saturating_sub(1)..self.records {
            let (offset, time) = self.record(index)?;
            if offset >= to || found.len() == limit {
                break;
            }
            found.push((offset, time));
        }
        Ok(found)
    }

    fn record(&self, index: u64) -> io::Result<(u64, i64)> {
        let mut record = [0; 16];
        self.file.read_exact_at(&mut record, index * RECORD)?;
        let (offset, time) = record.split_at(8);
        let offset = offset.try_into().map_or(0, u64::from_le_bytes);
        let time = time.try_into().map_or(0, i64::from_le_bytes);
        Ok((offset, time))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Console, Times, now};
    use crate::plan::file;

    #[test]
    fn lines_are_bytes_and_have_times() {
        let directory = tempfile::tempdir().expect("a directory");
        let before = now();
        let mut console = Console::create(directory.path(), &[], false).expect("a console");
        console.line("Started by timer");
        console.write(b"half a ");
        console.write(b"line");
        console.line("ours");
        console.write(b"\xff\xfe\nlast");
        console.settle();
        let log = fs::read(directory.path().join(file::LOG)).expect("the log");
        assert_eq!(log, b"Started by timer\nhalf a line\nours\n\xff\xfe\nlast");
        assert_eq!(console.length(), log.len() as u64);
        let times = Times::open(&directory.path().join(file::TIMES)).expect("times");
        for (offset, _) in log.iter().enumerate() {
            let time = times.at(offset as u64).expect("read").expect("a time");
            assert!((before..=now()).contains(&time));
        }
        assert!(Console::create(directory.path(), &[], false).is_err());
    }

    #[test]
    fn times_are_those_of_the_lines_beginnings() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("times");
        let mut bytes = Vec::new();
        for (offset, time) in [(0u64, 100i64), (10, 200), (50, 150)] {
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        bytes.extend_from_slice(b"torn");
        fs::write(&path, bytes).expect("written");
        let times = Times::open(&path).expect("times");
        let at = |offset| times.at(offset).expect("read");
        assert_eq!((at(0), at(9), at(10)), (Some(100), Some(100), Some(200)));
        assert_eq!(
            (at(49), at(50), at(u64::MAX)),
            (Some(200), Some(150), Some(150))
        );
        assert_eq!(
            times.between(20, 60, 9).expect("read"),
            [(10, 200), (50, 150)]
        );
        assert_eq!(times.between(20, 60, 1).expect("read"), [(10, 200)]);
        fs::write(&path, b"").expect("written");
        assert_eq!(
            Times::open(&path).expect("times").at(3).expect("read"),
            None
        );
    }

    #[test]
    fn a_full_disk_costs_bytes_and_no_build() {
        let mut console = {
            let directory = tempfile::tempdir().expect("a directory");
            Console::create(directory.path(), &[], false).expect("a console")
        };
        console.log = fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("a full disk");
        console.times = console.log.try_clone().expect("a descriptor");
        console.line("four");
        let (lost, why) = console.lost().expect("a loss");
        assert_eq!((lost, console.length()), (5, 0));
        assert_eq!(why.kind(), std::io::ErrorKind::StorageFull);
    }
}
