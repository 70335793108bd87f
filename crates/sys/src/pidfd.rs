//! Processes by descriptor (pidfd_open(2)): who one is, how it ended, and signals that reach nobody
//! else.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags};

use crate::reap::Status;

/// linux/pidfd.h.
const PIDFD_INFO_EXIT: u64 = 8;
/// `_IOWR(0xff, 11, struct pidfd_info)` with the size of its first version.
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;
/// linux/pidfd.h, since Linux 6.9.
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 4;

/// linux/pidfd.h, first version.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<Info>() == 64);

/// A descriptor of the process of this number.
///
/// # Errors
/// ESRCH: there is none, or it has been reaped. ENOSYS before Linux 5.3.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// What is the same in every descriptor of one process and in none of another's, until the next boot;
/// none where the kernel has no such number (before Linux 6.9).
#[must_use]
pub fn identity(pidfd: impl AsFd) -> Option<u64> {
    let inode = rustix::fs::fstat(pidfd).ok()?.st_ino;
    has_identities().then_some(inode)
}

/// Whether [`identity`] has an answer. Before pidfs all descriptors of this kind were one file.
#[must_use]
pub fn has_identities() -> bool {
    use std::sync::OnceLock;
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let inode = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_ino).ok();
        let me = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
        let other = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC);
        match (me, other) {
            (Ok(me), Ok(other)) => inode(me.as_fd()) != inode(other.as_fd()),
            _ => false,
        }
    })
}

/// Sends a signal to the process, or to its whole process group even after it has ended itself.
///
/// # Errors
/// ESRCH: nobody is there any more. EPERM. EINVAL: no such signal, or a kernel before Linux 6.9 and a
/// group.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32, group: bool) -> io::Result<()> {
    let flags = if group { PIDFD_SIGNAL_PROCESS_GROUP } else { 0 };
    // SAFETY: an open descriptor; a null siginfo_t is what kill(2) would send.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            flags,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// kill(2) for a process group whose leader the caller knows to be unreaped.
///
/// # Errors
/// As kill(2).
pub fn signal_group_of_unreaped(leader: i32, signal: i32) -> io::Result<()> {
    if leader <= 1 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill has no preconditions.
    if unsafe { libc::kill(-leader, signal) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Whether all threads of the process have ended.
#[must_use]
pub fn has_ended(pidfd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let fd = pidfd.as_fd();
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
}

/// How a process ended that somebody has reaped, be it ours or not, as long as this descriptor is older
/// than that (Linux 6.15).
#[must_use]
pub fn status_of_reaped(pidfd: BorrowedFd<'_>) -> Option<Status> {
    let mut info = Info {
        mask: PIDFD_INFO_EXIT,
        ..Info::default()
    };
    // SAFETY: an open descriptor, and a buffer of the size that the request's number states; another
    // kind of file answers with an error.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    if result != 0 || info.mask & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    Some(Status::from_wait_status(info.exit_code))
}

/// How a process ended that nobody has reaped yet, if we may know (`/proc/PID/stat`, the last field,
/// ptrace(2) access). Allocates nothing.
///
/// The caller must know that `pidfd` is of the process of this number; that it was still there when the
/// status was read is seen here.
#[must_use]
pub fn status_of_unreaped(pidfd: BorrowedFd<'_>, pid: i32) -> Option<Status> {
    // Who may not know is shown a 0 there. This link asks for the same permission, and says no.
    let mut path = [0u8; 32];
    let mut target = [std::mem::MaybeUninit::uninit(); 64];
    let link = in_proc(&mut path, pid, "ns/user")?;
    rustix::fs::readlinkat_raw(rustix::fs::CWD, link, &mut target).ok()?;
    let mut path = [0u8; 32];
    let path = in_proc(&mut path, pid, "stat")?;
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?;
    let mut bytes = [0u8; 2048];
    let read = rustix::io::read(&file, &mut bytes).ok()?;
    let status = exit_code_in(bytes.get(..read)?)?;
    // While the process was unreaped nobody else had its number.
    signal(pidfd, 0, false).ok()?;
    Some(Status::from_wait_status(status))
}

/// The path of a process's file in /proc.
fn in_proc<'b>(buffer: &'b mut [u8; 32], pid: i32, name: &str) -> Option<&'b std::ffi::CStr> {
    write!(&mut buffer[..], "/proc/{pid}/{name}\0").ok()?;
    std::ffi::CStr::from_bytes_until_nul(buffer).ok()
}

/// The exit code in a line of `/proc/PID/stat` of a process that is over.
fn exit_code_in(line: &[u8]) -> Option<i32> {
    let end_of_name = line.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(line.get(end_of_name + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if !matches!(state, "Z" | "X") {
        return None;
    }
    // Field 52 of the whole line; three were taken.
    fields.nth(48)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name() {
        let mut line = b"7 (a) Z) (b) Z".to_vec();
        for field in 4..52 {
            line.extend_from_slice(format!(" {field}").as_bytes());
        }
        line.extend_from_slice(b" 256\n");
        assert_eq!(exit_code_in(&line), Some(256));
        assert_eq!(exit_code_in(b"7 (a) S 1 2"), None);
        assert_eq!(exit_code_in(b"7 (a) Z 1 2"), None);
        assert_eq!(exit_code_in(b""), None);
    }
}
