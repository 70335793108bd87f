//! Named pipes (fifo(7)) in a directory of ours.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};

fn open(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?)
}

/// Makes a pipe of this name that only `owner` (user and group; none for ourselves) may open, and opens
/// it for reading and writing at once: whoever holds it so never lacks the other side, whoever dies.
///
/// # Errors
/// As mkfifo(3), open(2) and fchown(2). After an error nothing of this name is left that was not there.
pub fn make(
    directory: BorrowedFd<'_>,
    name: &CStr,
    owner: Option<(u32, u32)>,
) -> io::Result<OwnedFd> {
    rustix::fs::mkfifoat(directory, name, Mode::RUSR | Mode::WUSR)?;
    let opened = open(directory, name, OFlags::RDWR).and_then(|fd| {
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(fd)
    });
    if opened.is_err() {
        remove(directory, name);
    }
    opened
}

/// Opens one for reading, without ever waiting, now or at a read.
///
/// # Errors
/// As open(2); EINVAL for what is no pipe.
pub fn reader(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    only_pipes(open(directory, name, OFlags::RDONLY | OFlags::NONBLOCK)?)
}

/// As [`reader`], for one that the caller has just made in a directory that is its own.
///
/// # Errors
/// As open(2).
pub fn reader_of_made(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    open(directory, name, OFlags::RDONLY | OFlags::NONBLOCK)
}

/// As [`reader`], for a pipe that may have no writer any more. Whoever opens such a pipe is told of its end
/// by a read, but not by poll(2) (EPOLLHUP is for readers only that were there before the last writer
/// went): a writer comes and goes, so that this one was.
///
/// # Errors
/// As [`reader`].
pub fn late_reader(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let fd = reader(directory, name)?;
    drop(writer(directory, name)?);
    Ok(fd)
}

/// Opens one for writing, without ever waiting, now or at a write.
///
/// # Errors
/// ENXIO: nobody has it open for reading. EINVAL for what is no pipe. Else as open(2).
pub fn writer(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    only_pipes(open(directory, name, OFlags::WRONLY | OFlags::NONBLOCK)?)
}

fn only_pipes(fd: OwnedFd) -> io::Result<OwnedFd> {
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
        return Ok(fd);
    }
    Err(io::Error::from_raw_os_error(libc::EINVAL))
}

/// Removes the name; who has the pipe open keeps it.
pub fn remove(directory: BorrowedFd<'_>, name: &CStr) {
    let _ = rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty());
}

/// The names of all files of a directory but `.` and `..`, in no order.
///
/// # Errors
/// As getdents(2).
pub fn names_in(directory: impl AsFd) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn tells(fd: &OwnedFd) -> PollFlags {
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).expect("polled");
        fds[0].revents()
    }

    #[test]
    fn a_late_reader_is_told_of_the_end() {
        let path = std::env::temp_dir().join(format!("ward-sys-fifo-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        let directory = OwnedFd::from(std::fs::File::open(&path).expect("opened"));
        let (directory, name) = (directory.as_fd(), c"x");
        let both = make(directory, name, None).expect("made");
        assert!(make(directory, name, None).is_err(), "it is there already");
        let early = reader(directory, name).expect("opened");
        let late = late_reader(directory, name).expect("opened");
        assert!(tells(&early).is_empty() && tells(&late).is_empty());
        rustix::io::write(&both, b"abc").expect("written");
        drop(both);
        let later = late_reader(directory, name).expect("opened");
        for fd in [&early, &late, &later] {
            assert_eq!(tells(fd), PollFlags::IN | PollFlags::HUP);
        }
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(&later, &mut bytes), Ok(3));
        let last = late_reader(directory, name).expect("opened");
        assert_eq!(tells(&last), PollFlags::HUP);
        assert_eq!(rustix::io::read(&last, &mut bytes), Ok(0));
        drop((early, late, later, last));
        assert!(writer(directory, name).is_err(), "nobody reads");
        assert_eq!(names_in(directory).expect("listed"), [name.to_owned()]);
        remove(directory, name);
        std::fs::remove_dir(&path).expect("clean up");
    }
}
