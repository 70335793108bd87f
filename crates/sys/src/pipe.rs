//! Pipes, and moving bytes through them without copying.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

/// What an unprivileged process may ask for (`/proc/sys/fs/pipe-max-size`, pipe(7)).
const LARGE: usize = 1 << 20;

/// A pipe whose ends are close-on-exec and whose reading end does not block.
///
/// # Errors
/// As pipe2(2).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    set_nonblocking(&reader)?;
    Ok((reader, writer))
}

/// Makes a pipe large, if the kernel lets us (pipe(7): limits per user apply).
pub fn enlarge(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, LARGE);
}

/// Makes this open file non-blocking. Never do this to an inherited one: the flag is
/// shared with everybody who holds it.
///
/// # Errors
/// As fcntl(2).
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
    Ok(())
}

/// Bytes that wait in a pipe.
#[must_use]
pub fn waiting(fd: impl AsFd) -> u64 {
    rustix::io::ioctl_fionread(fd).unwrap_or(0)
}

/// Whether somebody can still write to what is read here.
#[must_use]
pub fn has_writers(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(_) => !fds[0].revents().contains(PollFlags::HUP),
        Err(_) => true,
    }
}

/// What kind of thing a descriptor writes to: decides how bytes get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A pipe or FIFO.
    Pipe,
    /// A regular file.
    File,
    /// A socket.
    Socket,
    /// A terminal.
    Terminal,
    /// Any other device.
    Device,
}

/// What kind of thing `fd` writes to.
///
/// # Errors
/// As fstat(2).
pub fn destination(fd: BorrowedFd<'_>) -> io::Result<Destination> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Destination::Pipe,
        FileType::RegularFile => Destination::File,
        FileType::Socket => Destination::Socket,
        FileType::CharacterDevice if rustix::termios::isatty(fd) => Destination::Terminal,
        _ => Destination::Device,
    })
}

/// Device and inode of what is open here: the same for two descriptors of one pipe or file.
///
/// # Errors
/// As fstat(2).
pub fn identity(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A private, non-blocking descriptor of the same pipe or terminal, where the system lets
/// us open one. The caller's own stays as it is.
#[must_use]
pub fn reopen_nonblocking(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// The same pipe, open for writing and for reading: it then never lacks a reader.
///
/// # Errors
/// As open(2); where /proc is not mounted.
pub fn reopen_both_ways(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// How an attempt to move bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// This many, at least one.
    Bytes(usize),
    /// The source has ended.
    End,
    /// Nothing to read, or no room to write, just now.
    NotNow,
    /// Nobody reads the destination any more.
    Closed,
    /// This pair cannot be spliced; copy instead.
    Unsupported,
}

/// Moves up to `limit` bytes from a pipe to `to` without copying them (splice(2)). A pipe on
/// either side never blocks, whatever the flags of its open file.
///
/// # Errors
/// What the destination's write fails with (ENOSPC, EIO, ...).
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, limit: usize) -> io::Result<Moved> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        return match rustix::pipe::splice(from, None, to, None, limit, flags) {
            Ok(0) => Ok(Moved::End),
            Ok(moved) => Ok(Moved::Bytes(moved)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Moved::NotNow),
            Err(Errno::PIPE) => Ok(Moved::Closed),
            Err(Errno::INVAL) => Ok(Moved::Unsupported),
            Err(error) => Err(error.into()),
        };
    }
}

/// Reads what is there into `buffer`.
///
/// # Errors
/// As read(2), but a pseudo-terminal without writers (EIO) is an end.
pub fn read(from: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Moved> {
    loop {
        return match rustix::io::read(from, &mut *buffer) {
            Ok(0) | Err(Errno::IO) => Ok(Moved::End),
            Ok(read) => Ok(Moved::Bytes(read)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Moved::NotNow),
            Err(error) => Err(error.into()),
        };
    }
}

/// What one write to a blocking pipe may hold so that it cannot block when poll(2) says
/// that there is room (pipe(7), PIPE_BUF).
const SAFE_IN_PIPE: usize = 4096;

/// Writes some of `bytes` without ever waiting for the reader.
///
/// `private` says that `to` is our own non-blocking open file.
///
/// # Errors
/// What the write fails with (ENOSPC, EIO, ...).
pub fn write_some(
    to: BorrowedFd<'_>,
    kind: Destination,
    private: bool,
    bytes: &[u8],
) -> io::Result<Moved> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        let result = match kind {
            Destination::Socket => rustix::net::send(
                to,
                bytes,
                rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL,
            ),
            Destination::File => rustix::io::write(to, bytes),
            _ if private => rustix::io::write(to, bytes),
            Destination::Pipe | Destination::Terminal | Destination::Device => {
                let now = rustix::event::Timespec::default();
                let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                match poll(&mut fds, Some(&now)) {
                    Ok(0) => return Ok(Moved::NotNow),
                    Ok(_) => rustix::io::write(to, &bytes[..bytes.len().min(SAFE_IN_PIPE)]),
                    Err(error) => Err(error),
                }
            }
        };
        return match result {
            Ok(0) => Ok(Moved::NotNow),
            Ok(written) => Ok(Moved::Bytes(written)),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Ok(Moved::NotNow),
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(Moved::Closed),
            Err(error) => Err(error.into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_blocking_pipe_does_not_block_us() {
        let (_reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let kind = destination(writer.as_fd()).expect("kind");
        assert_eq!(kind, Destination::Pipe);
        let block = [7u8; 65536];
        let mut total = 0;
        while let Moved::Bytes(written) =
            write_some(writer.as_fd(), kind, false, &block).expect("write")
        {
            total += written;
        }
        assert!(total >= SAFE_IN_PIPE);
        let private = reopen_nonblocking(writer.as_fd()).expect("reopened");
        assert_eq!(
            write_some(private.as_fd(), kind, true, &block).expect("write"),
            Moved::NotNow
        );
    }

    #[test]
    fn splice_tells_its_ends_apart() {
        let (reader, writer) = pipe().expect("a pipe");
        let (out_reader, out_writer) = pipe().expect("a pipe");
        let step = || splice(reader.as_fd(), out_writer.as_fd(), 4096).expect("splice");
        assert_eq!(step(), Moved::NotNow);
        rustix::io::write(&writer, b"abc").expect("write");
        assert_eq!(step(), Moved::Bytes(3));
        drop(writer);
        assert_eq!(step(), Moved::End);
        let mut buffer = [0; 8];
        assert_eq!(
            read(out_reader.as_fd(), &mut buffer).expect("read"),
            Moved::Bytes(3)
        );
        assert_eq!(&buffer[..3], b"abc");
    }

    #[test]
    fn an_append_file_cannot_be_spliced_to() {
        let (reader, writer) = pipe().expect("a pipe");
        rustix::io::write(&writer, b"abc").expect("write");
        let path = std::env::temp_dir().join(format!("ward-sys-append-{}", std::process::id()));
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .expect("file");
        let moved = splice(reader.as_fd(), file.as_fd(), 4096).expect("splice");
        std::fs::remove_file(&path).expect("remove");
        assert_eq!(moved, Moved::Unsupported);
    }
}
