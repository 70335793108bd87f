//! Byte ranges of a file as locks that belong to an open file description (fcntl(2),
//! F_OFD_SETLK): whoever inherits the description holds them too, and the kernel frees them
//! when the last one who has it open is gone, however he went.
//!
//! Traditional record locks (F_SETLK, lockf(3)) are of no use: they are not inherited, and any
//! close of the file drops them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

/// What is done to a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Unlock,
}

/// As a length: to the end of any file (fcntl(2)).
const TO_THE_END: libc::off_t = 0;

fn flock(kind: Kind, byte: u64, length: libc::off_t) -> io::Result<libc::flock> {
    // SAFETY: all zeroes are a valid `flock`; `l_pid` must be 0 for these commands.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    let kind = match kind {
        Kind::Read => libc::F_RDLCK,
        Kind::Write => libc::F_WRLCK,
        Kind::Unlock => libc::F_UNLCK,
    };
    let out_of_range = || io::Error::from_raw_os_error(libc::EOVERFLOW);
    lock.l_type = libc::c_short::try_from(kind).map_err(|_| out_of_range())?;
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(|_| out_of_range())?;
    lock.l_start = libc::off_t::try_from(byte).map_err(|_| out_of_range())?;
    lock.l_len = length;
    Ok(lock)
}

fn set(file: impl AsFd, kind: Kind, byte: u64, length: libc::off_t) -> io::Result<()> {
    let lock = flock(kind, byte, length)?;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: an open descriptor and a valid `flock`, which the kernel only reads.
    if unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Locks one byte for this description alone, if nobody else has. Returns whether it did.
///
/// # Errors
/// As fcntl(2).
pub fn try_lock(file: impl AsFd, byte: u64) -> io::Result<bool> {
    match set(file, Kind::Write, byte, 1) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EAGAIN | libc::EACCES | libc::EINTR)
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Frees one byte, for everybody who has the description.
///
/// # Errors
/// As fcntl(2).
pub fn unlock(file: impl AsFd, byte: u64) -> io::Result<()> {
    set(file, Kind::Unlock, byte, 1)
}

/// Frees all that this description has locked, for everybody who has it.
///
/// # Errors
/// As fcntl(2).
pub fn unlock_all(file: impl AsFd) -> io::Result<()> {
    set(file, Kind::Unlock, 0, TO_THE_END)
}

/// Whether another description has this byte locked.
///
/// # Errors
/// As fcntl(2).
pub fn is_locked(file: impl AsFd, byte: u64) -> io::Result<bool> {
    let mut lock = flock(Kind::Read, byte, 1)?;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: an open descriptor and a valid `flock`, which the kernel fills.
    if unsafe { libc::fcntl(fd, libc::F_OFD_GETLK, &raw mut lock) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Whether another description has any byte locked from this one on.
///
/// # Errors
/// As fcntl(2).
pub fn is_any_locked(file: impl AsFd, from: u64) -> io::Result<bool> {
    let mut lock = flock(Kind::Read, from, TO_THE_END)?;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: an open descriptor and a valid `flock`, which the kernel fills.
    if unsafe { libc::fcntl(fd, libc::F_OFD_GETLK, &raw mut lock) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Which processes have a description open that has this byte locked (proc(5), `fdinfo`). The
/// kernel does not keep who locked it, so that all are looked at who may be: this is slow, and
/// misses what others' processes have open.
#[must_use]
pub fn holders(file: &File, byte: u64) -> Vec<i32> {
    let Ok(inode) = file.metadata().map(|meta| meta.ino()) else {
        return Vec::new();
    };
    let own = std::process::id();
    let has = |pid: i32| {
        let entries = fs::read_dir(format!("/proc/{pid}/fdinfo"))
            .into_iter()
            .flatten();
        entries.flatten().any(|entry| {
            fs::read_to_string(entry.path()).is_ok_and(|text| says(&text, inode, byte))
        })
    };
    crate::procfs::all_pids()
        .filter(|pid| pid.unsigned_abs() != own && has(*pid))
        .collect()
}

/// Whether one of the lines is of such a lock: `lock: 1: OFDLCK ADVISORY WRITE -1 00:1b:77 0 0`.
fn says(text: &str, inode: u64, byte: u64) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix("lock:"))
        .any(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let kind = words.next();
            let at = words
                .by_ref()
                .nth(3)
                .and_then(|place| place.rsplit(':').next());
            kind == Some("OFDLCK")
                && at.and_then(|it| it.parse().ok()) == Some(inode)
                && words.next().and_then(|it| it.parse().ok()) == Some(byte)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_belongs_to_a_description_and_its_copies() {
        let path = std::env::temp_dir().join(format!("ward-sys-lock-{}", std::process::id()));
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .expect("a file")
        };
        let (one, other) = (open(), open());
        let far = 1 << 40;
        assert!(try_lock(&one, far).expect("locked"));
        assert!(!is_locked(&one, far).expect("asked"));
        assert!(is_any_locked(&other, far - 9).expect("asked"));
        assert!(!is_any_locked(&other, far + 1).expect("asked"));
        assert!(is_locked(&other, far).expect("asked"));
        assert!(!try_lock(&other, far).expect("asked"));
        assert!(try_lock(&other, far + 1).expect("another byte"));
        let inode = one.metadata().expect("a file").ino();
        let says_who = fs::read_to_string(format!("/proc/self/fdinfo/{}", one.as_raw_fd()));
        let says_who = says_who.expect("read");
        assert!(says(&says_who, inode, far), "{says_who}");
        assert!(!says(&says_who, inode, far + 1) && !says(&says_who, inode + 1, far));
        assert!(holders(&one, far).is_empty(), "nobody but us");
        let copy = one.try_clone().expect("a copy");
        drop(one);
        assert!(is_locked(&other, far).expect("asked"));
        drop(copy);
        assert!(try_lock(&other, far).expect("locked"));
        unlock(&other, far).expect("freed");
        assert!(!is_locked(open(), far).expect("asked"));
        std::fs::remove_file(&path).expect("clean up");
    }
}
