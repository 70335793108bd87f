//! The roster's file: made, found again, or refused.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::{FlockOperation, Mode, OFlags};
use thiserror::Error;
use ward_sys::mapped::{self, SharedWords};
use ward_sys::procfs;

use super::layout::{ALL, HEAD, LAYOUT_VERSION, MAGIC, SLOTS};
use super::{Roster, Word};

/// Its name in the runtime directory.
const NAME: &str = "roster";

/// Why a roster cannot be used.
#[derive(Debug, Error)]
pub enum RosterError {
    /// The file cannot be opened, locked or made.
    #[error("cannot use the roster")]
    Io(#[from] io::Error),
    /// It is none, or not whole. Programs of it may still run, so that it is not made anew.
    #[error("the roster is damaged")]
    Damaged,
    /// Of another ward, since the last boot: its programs may still run.
    #[error("the roster has layout {found}, and this program knows {LAYOUT_VERSION}")]
    OtherVersion {
        /// The version of its layout.
        found: u64,
    },
}

/// What was in a runtime directory.
#[derive(Debug)]
pub(in crate::keeper) enum Opened {
    /// Nothing that counts any more: a new roster.
    Fresh(Roster),
    /// A roster whose keeper is gone: its programs may still run.
    Found(Roster),
    /// Somebody has it: the process ids of its keeper and its daemon (0 for none), and whether either
    /// still lives.
    Taken {
        /// Whether the keeper or the daemon lives; otherwise it will be free in a moment.
        alive: bool,
    },
}

fn boot() -> io::Result<[u64; 2]> {
    let text = procfs::boot_id()?;
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let half = |range: std::ops::Range<usize>| {
        digits
            .get(range)
            .and_then(|half| std::str::from_utf8(half).ok())
            .and_then(|half| u64::from_str_radix(half, 16).ok())
    };
    match (half(0..16), half(16..32)) {
        (Some(high), Some(low)) => Ok([high, low]),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn length() -> u64 {
    u64::try_from(ALL * 8).unwrap_or(u64::MAX)
}

/// Opens the roster of a runtime directory and takes its lock, which lives as long as anybody has this
/// open file: keeper and daemon.
///
/// # Errors
/// [`RosterError`]: it cannot be used, and must not be made anew.
pub(in crate::keeper) fn open(directory: BorrowedFd<'_>) -> Result<Opened, RosterError> {
    let boot = boot()?;
    loop {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(directory, NAME, flags, Mode::RUSR | Mode::WUSR)
            .map_err(io::Error::from)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let alive = map(file).is_ok_and(|roster| roster.somebody_lives(boot));
                return Ok(Opened::Taken { alive });
            }
            Err(error) => return Err(io::Error::from(error).into()),
        }
        // Its last keeper may have removed it between our opening and our locking it.
        let opened = rustix::fs::fstat(&file).map_err(io::Error::from)?;
        let named = rustix::fs::statat(directory, NAME, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)) {
            return with_lock(file, boot);
        }
    }
}

fn with_lock(file: OwnedFd, boot: [u64; 2]) -> Result<Opened, RosterError> {
    let size = rustix::fs::fstat(&file).map_err(io::Error::from)?.st_size;
    if size == 0 {
        return make(file, boot).map(Opened::Fresh);
    }
    if u64::try_from(size) != Ok(length()) {
        return Err(RosterError::Damaged);
    }
    let roster = map(file)?;
    match roster.get(Word::Magic) {
        MAGIC => {}
        // Whoever was making it was killed before anything was started.
        0 => return remake(roster, boot),
        _ => return Err(RosterError::Damaged),
    }
    if [roster.get(Word::BootHigh), roster.get(Word::BootLow)] != boot {
        return remake(roster, boot);
    }
    let found = roster.get(Word::Version);
    if found != LAYOUT_VERSION {
        return Err(RosterError::OtherVersion { found });
    }
    roster.check()?;
    Ok(Opened::Found(roster))
}

fn map(file: OwnedFd) -> io::Result<Roster> {
    let words = SharedWords::map(file.as_fd(), ALL)?;
    Ok(Roster { words, file })
}

fn remake(roster: Roster, boot: [u64; 2]) -> Result<Opened, RosterError> {
    let Roster { words, file } = roster;
    drop(words);
    rustix::fs::ftruncate(&file, 0).map_err(io::Error::from)?;
    make(file, boot).map(Opened::Fresh)
}

fn make(file: OwnedFd, boot: [u64; 2]) -> Result<Roster, RosterError> {
    rustix::fs::ftruncate(&file, length()).map_err(io::Error::from)?;
    mapped::reserve(&file, 0, u64::try_from(HEAD * 8).unwrap_or(u64::MAX))?;
    let roster = map(file)?;
    roster.set(Word::Version, LAYOUT_VERSION);
    roster.set(Word::BootHigh, boot[0]);
    roster.set(Word::BootLow, boot[1]);
    roster.set(Word::Magic, MAGIC);
    Ok(roster)
}

/// The roster that the program which became this one, or started it, had open.
///
/// # Errors
/// [`RosterError`]: it is none of this program's.
pub(in crate::keeper) fn inherited(file: OwnedFd) -> Result<Roster, RosterError> {
    let roster = map(file)?;
    if roster.get(Word::Magic) != MAGIC {
        return Err(RosterError::Damaged);
    }
    let found = roster.get(Word::Version);
    if found != LAYOUT_VERSION {
        return Err(RosterError::OtherVersion { found });
    }
    if [roster.get(Word::BootHigh), roster.get(Word::BootLow)] != boot()? {
        return Err(RosterError::Damaged);
    }
    roster.check()?;
    Ok(roster)
}

impl Roster {
    /// Refuses what no daemon has written.
    fn check(&self) -> Result<(), RosterError> {
        let high = self.word(Word::High).load(Ordering::Acquire);
        if high > SLOTS as u64 {
            return Err(RosterError::Damaged);
        }
        Ok(())
    }

    fn somebody_lives(&self, boot: [u64; 2]) -> bool {
        if [self.get(Word::BootHigh), self.get(Word::BootLow)] != boot {
            // It is just being made.
            return true;
        }
        [Word::KeeperPid, Word::DaemonPid].into_iter().any(|word| {
            i32::try_from(self.get(word)).is_ok_and(|pid| {
                pid > 0 && procfs::Stat::of(pid).is_some_and(|stat| !stat.has_ended())
            })
        })
    }
}
