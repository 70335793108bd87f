//! Bytes between a pipe and a log, where what is logged is not what came: a small file that holds
//! them until they are in the log, so that a kill in between neither loses nor doubles any.
//!
//! Bytes come into it by splice(2), which takes them out of the pipe in the same call. What is
//! about to be written to the log is noted in its head first; after a kill the log itself then tells
//! how much of that was done. A note beside the pipe alone could not: whether bytes had been
//! taken out of the pipe when the kill came cannot be seen on the pipe.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom};
use ward_sys::pipe::{self, Moved};

use super::ansi::Escape;
use super::sieve::{Sieve, State};

/// Begins every spool; the last byte is the version of the format.
const MAGIC: u64 = u64::from_be_bytes(*b"ward-sp1");
/// The bytes begin here; before it is the head. A page, so that holes can be punched behind it.
const START: u64 = 4096;
const WORDS: usize = 13;
/// Bytes that were used stay in the file until there are so many, or its owner lets go of it.
const USED: u64 = 1 << 20;

/// What is about to be written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intent {
    /// How it was sifted; a configuration may have changed since.
    pub(crate) sieve: Sieve,
    /// Nothing came after it.
    pub(crate) last: bool,
    /// Bytes that are used up by it.
    pub(crate) used: u64,
    /// The state after it.
    pub(crate) state: State,
    /// Device and inode of the log; zeros for what is no regular file.
    pub(crate) identity: (u64, u64),
    /// Size of the log before it.
    pub(crate) size_before: u64,
}

/// What the head of a spool says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Head {
    /// So many bytes have been dealt with.
    done: u64,
    /// The state after them.
    state: State,
    intent: Option<Intent>,
}

/// An open spool.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    head: Head,
    /// Bytes that ever came into it since it was empty.
    came: u64,
    /// What is dealt with stays in it until its owner tidies it up.
    pub(crate) keeps: bool,
}

impl Spool {
    /// Opens it, or makes it; nobody else may read it.
    ///
    /// # Errors
    /// As open(2), pread(2).
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        Self::of(file)
    }

    /// Opens it, if there is something in it.
    ///
    /// # Errors
    /// As open(2), pread(2).
    pub(crate) fn left(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::found(path)?.filter(|spool| !spool.is_idle()))
    }

    /// Opens it, if it is there.
    ///
    /// # Errors
    /// As open(2), pread(2).
    pub(crate) fn found(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::of(file).map(Some)
    }

    fn of(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut head = [0; WORDS * 8];
        let head = if size >= START {
            file.read_exact_at(&mut head, 0)?;
            decode(&head).unwrap_or_default()
        } else {
            Head::default()
        };
        let came = size.saturating_sub(START);
        let mut spool = Self {
            file,
            head,
            came,
            keeps: false,
        };
        if size < START || head.done > came {
            spool.empty()?;
        }
        rustix::fs::seek(&spool.file, SeekFrom::Start(START + spool.came))?;
        Ok(spool)
    }

    /// Forgets what was in it. First the bytes, then the head: a kill in between leaves a head with
    /// more done than there is.
    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(START)?;
        self.came = 0;
        self.head.done = 0;
        self.head.intent = None;
        self.save()?;
        rustix::fs::seek(&self.file, SeekFrom::Start(START))?;
        Ok(())
    }

    fn save(&self) -> io::Result<()> {
        self.file.write_all_at(&encode(&self.head), 0)
    }

    /// Bytes in it that have not been dealt with.
    pub(crate) fn waiting(&self) -> u64 {
        self.came.saturating_sub(self.head.done)
    }

    /// Bytes that came into it since it was empty.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// The bytes after the first `heard` that came into it since it was empty; it must have kept them.
    ///
    /// # Errors
    /// As pread(2).
    pub(crate) fn since(&self, heard: u64) -> io::Result<Vec<u8>> {
        let length = self.came.saturating_sub(heard);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let from = START + self.came - length;
        self.file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    }

    /// The state after the bytes that have been dealt with.
    pub(crate) fn state(&self) -> State {
        self.head.state
    }

    /// What was about to be written.
    pub(crate) fn intent(&self) -> Option<Intent> {
        self.head.intent
    }

    /// Takes up to `limit` bytes out of a pipe.
    ///
    /// # Errors
    /// As splice(2): no room where the spool is.
    pub(crate) fn fill(&mut self, fifo: BorrowedFd<'_>, limit: usize) -> io::Result<Moved> {
        let moved = pipe::splice(fifo, self.file.as_fd(), limit)?;
        if let Moved::Bytes(bytes) = moved {
            self.came += bytes as u64;
        }
        Ok(moved)
    }

    /// Appends the last `length` of its bytes to `into`.
    ///
    /// # Errors
    /// As pread(2).
    pub(crate) fn read(&self, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let before = into.len();
        let length = length.min(self.waiting());
        into.resize(before + usize::try_from(length).unwrap_or(usize::MAX), 0);
        let fresh = into.get_mut(before..).unwrap_or_default();
        let from = START + self.came.saturating_sub(length);
        self.file
            .read_exact_at(fresh, from)
            .inspect_err(|_| into.truncate(before))
    }

    /// Notes what is about to be written.
    ///
    /// # Errors
    /// As pwrite(2).
    pub(crate) fn begin(&mut self, intent: Intent) -> io::Result<()> {
        self.head.intent = Some(intent);
        self.save()
    }

    /// Notes that it is written. Its bytes are used up.
    ///
    /// # Errors
    /// As pwrite(2), ftruncate(2).
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        let Some(intent) = self.head.intent.take() else {
            return Ok(());
        };
        self.head.done += intent.used;
        self.head.state = intent.state;
        self.save()?;
        if self.head.done < USED || self.keeps {
            return Ok(());
        }
        if self.waiting() == 0 {
            self.empty()?;
        } else {
            // Where the file system cannot do that, it grows for as long as a capture lasts.
            let _ = rustix::fs::fallocate(
                &self.file,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                START,
                self.head.done,
            );
        }
        Ok(())
    }

    /// Whether nothing is in it that its owner has to come back to.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting() == 0 && self.head.state == State::default() && self.head.intent.is_none()
    }

    /// Frees its space, where nothing is in it.
    ///
    /// # Errors
    /// As ftruncate(2).
    pub(crate) fn tidy(&mut self) -> io::Result<()> {
        if self.is_idle() && self.came > 0 {
            self.empty()?;
        }
        Ok(())
    }
}

/// How many bytes have come into the spool at this path, as who opens it will find.
pub(crate) fn spooled(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |it| it.len().saturating_sub(START))
}

fn encode(head: &Head) -> [u8; WORDS * 8] {
    let flag = u64::from;
    let mut words = [0_u64; WORDS];
    words[0] = MAGIC;
    words[1] = head.done;
    words[2] = flag(head.state.capturing);
    words[3] = head.state.escape.number();
    if let Some(intent) = &head.intent {
        words[4] = 1 | flag(intent.last) << 1 | flag(intent.sieve.strip) << 2;
        words[5] = intent.sieve.capture as u64;
        words[6] = intent.used;
        words[7] = flag(intent.state.capturing);
        words[8] = intent.state.escape.number();
        words[9] = intent.identity.0;
        words[10] = intent.identity.1;
        words[11] = intent.size_before;
    }
    words[12] = sum(&words);
    let mut bytes = [0; WORDS * 8];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// What the head says, if it is one.
fn decode(bytes: &[u8; WORDS * 8]) -> Option<Head> {
    let mut words = [0_u64; WORDS];
    for (word, place) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(place.try_into().ok()?);
    }
    let told = std::mem::take(&mut words[12]);
    if words[0] != MAGIC || told != sum(&words) {
        return None;
    }
    let state = |at: usize| State {
        capturing: words[at] != 0,
        escape: Escape::of(words[at + 1]),
    };
    let intent = (words[4] & 1 != 0).then(|| Intent {
        last: words[4] & 2 != 0,
        sieve: Sieve {
            strip: words[4] & 4 != 0,
            capture: usize::try_from(words[5]).unwrap_or(usize::MAX),
        },
        used: words[6],
        state: state(7),
        identity: (words[9], words[10]),
        size_before: words[11],
    });
    Some(Head {
        done: words[1],
        state: state(2),
        intent,
    })
}

/// Tells a head from other bytes; FNV-1a over words.
fn sum(words: &[u64; WORDS]) -> u64 {
    words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, word| {
        (sum ^ word).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        Intent {
            sieve: Sieve {
                strip: true,
                capture: 77,
            },
            last: true,
            used: 3,
            state: State {
                capturing: true,
                escape: Escape::Inside,
            },
            identity: (5, 6),
            size_before: 9,
        }
    }

    #[test]
    fn a_head_is_what_was_written_and_other_bytes_are_none() {
        for intent in [None, Some(intent())] {
            let head = Head {
                done: 4,
                state: State {
                    capturing: false,
                    escape: Escape::Begun,
                },
                intent,
            };
            let mut bytes = encode(&head);
            assert_eq!(decode(&bytes), Some(head));
            bytes[8] ^= 1;
            assert_eq!(decode(&bytes), None);
        }
    }

    #[test]
    fn what_is_in_it_is_there_after_its_owner_has_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("spool");
        assert!(Spool::left(&path).expect("none").is_none());
        let (reader, writer) = pipe::pipe().expect("a pipe");
        let mut spool = Spool::open(&path).expect("a spool");
        rustix::io::write(&writer, b"abcdef").expect("written");
        let moved = spool.fill(reader.as_fd(), 100).expect("filled");
        assert_eq!(moved, Moved::Bytes(6));
        spool.begin(intent()).expect("noted");
        drop(spool);
        let mut spool = Spool::left(&path).expect("read").expect("something");
        assert_eq!(spool.intent(), Some(intent()));
        let mut bytes = Vec::new();
        spool.read(spool.waiting(), &mut bytes).expect("read");
        assert_eq!(bytes, b"abcdef");
        spool.commit().expect("noted");
        drop(spool);
        let mut spool = Spool::left(&path).expect("read").expect("something");
        assert_eq!((spool.waiting(), spool.intent()), (3, None));
        assert_eq!(spool.state(), intent().state);
        let state = State::default();
        spool.begin(Intent { state, ..intent() }).expect("noted");
        spool.commit().expect("noted");
        assert!(Spool::left(&path).expect("read").is_none());
        // It goes on from its beginning.
        rustix::io::write(&writer, b"gh").expect("written");
        spool.fill(reader.as_fd(), 100).expect("filled");
        drop(spool);
        let spool = Spool::left(&path).expect("read").expect("something");
        let mut bytes = Vec::new();
        spool.read(2, &mut bytes).expect("read");
        assert_eq!(bytes, b"gh");
    }
}
