//! What supervised programs say of themselves: a file of records to which each of them appends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

/// As in `load.c`: nanoseconds, process, program, kind, nothing.
const LENGTH: usize = 24;

/// What a program says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It runs.
    Began,
    /// It writes its first line.
    Writes,
    /// It has written its last line.
    Wrote,
}

/// One thing that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// By the machine's monotonic clock, as [`now`].
    pub(super) nanoseconds: u64,
    pub(super) pid: u32,
    /// Which program: programs are numbered from 0.
    pub(super) program: u32,
    pub(super) kind: Kind,
}

impl Record {
    fn parse(bytes: &[u8; LENGTH]) -> Option<Self> {
        let (nanoseconds, rest) = bytes.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (program, rest) = rest.split_first_chunk()?;
        let (kind, _) = rest.split_first_chunk()?;
        Some(Self {
            nanoseconds: u64::from_ne_bytes(*nanoseconds),
            pid: u32::from_ne_bytes(*pid),
            program: u32::from_ne_bytes(*program),
            kind: match u32::from_ne_bytes(*kind) {
                1 => Kind::Began,
                2 => Kind::Writes,
                3 => Kind::Wrote,
                _ => return None,
            },
        })
    }
}

/// The monotonic clock, which programs stamp their records with.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The file, and all that was read from it.
pub(super) struct Beacon {
    path: PathBuf,
    file: File,
    read: u64,
    records: Vec<Record>,
}

impl Beacon {
    pub(super) fn make(path: PathBuf) -> io::Result<Self> {
        let mut options = File::options();
        let file = options
            .read(true)
            .append(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            read: 0,
            records: Vec::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what was said meanwhile.
    pub(super) fn look(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let whole = length.saturating_sub(self.read) / LENGTH as u64 * LENGTH as u64;
        let mut bytes = vec![0; usize::try_from(whole).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.read)?;
        self.read += whole;
        let (chunks, _) = bytes.as_chunks();
        self.records.extend(chunks.iter().filter_map(Record::parse));
        Ok(())
    }

    /// Everything of one kind, in the order in which it was said.
    pub(super) fn of(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |record| record.kind == kind)
    }

    /// The first time that each program said it.
    pub(super) fn firsts(&self, kind: Kind) -> BTreeMap<u32, u64> {
        let mut firsts = BTreeMap::new();
        for record in self.of(kind) {
            firsts.entry(record.program).or_insert(record.nanoseconds);
        }
        firsts
    }

    /// How many processes said that they run.
    pub(super) fn starts(&self) -> usize {
        self.of(Kind::Began).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn bytes(nanoseconds: u64, program: u32, kind: u32) -> Vec<u8> {
        let mut bytes = nanoseconds.to_ne_bytes().to_vec();
        for number in [77, program, kind, 0] {
            bytes.extend(u32::to_ne_bytes(number));
        }
        bytes
    }

    #[test]
    fn records_are_read_as_they_come_and_only_whole() {
        let path = std::env::temp_dir().join(format!("ward-beacon-{}", std::process::id()));
        let mut beacon = Beacon::make(path.clone()).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(&bytes(10, 0, 1)).unwrap();
        file.write_all(&bytes(20, 0, 1)[..5]).unwrap();
        beacon.look().unwrap();
        assert_eq!(beacon.starts(), 1);
        file.write_all(&bytes(20, 0, 1)[5..]).unwrap();
        file.write_all(&[bytes(30, 1, 1), bytes(40, 1, 3), bytes(50, 1, 9)].concat())
            .unwrap();
        beacon.look().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(beacon.starts(), 3);
        assert_eq!(
            beacon.firsts(Kind::Began),
            BTreeMap::from([(0, 10), (1, 30)])
        );
        let wrote: Vec<u64> = beacon.of(Kind::Wrote).map(|it| it.nanoseconds).collect();
        assert_eq!(wrote, [40]);
    }

    #[test]
    fn the_clock_goes_on() {
        let before = now();
        assert!(before > 0 && now() >= before);
    }
}
