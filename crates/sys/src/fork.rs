//! Splitting this process in two, as front and guardian are.

use std::io;

use std::os::fd::RawFd;

use rustix::process::Pid;

/// Which side of the fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that forked, with the child's id.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Forks this process, which must be single-threaded, into two that both go on.
///
/// # Errors
/// EBUSY if there are other threads (their locks would stay locked for ever in the child);
/// else as fork(2).
pub fn fork_single_threaded() -> io::Result<Side> {
    // Each thread is a directory in /proc/self/task, and each directory a link.
    let threads = rustix::fs::stat("/proc/self/task")?
        .st_nlink
        .saturating_sub(2);
    if threads > 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: there is no other thread, so the child's copy of the memory is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Pid::from_raw(pid)
            .map(Side::Parent)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Wipes the environment that others see in `/proc/PID/environ` and that we pass on.
///
/// For a process of ours that goes on after the build: the killers of build servers look
/// for the build's variables there.
pub fn forget_environment() {
    // SAFETY: single-threaded callers only (see `fork_single_threaded`), so nobody else reads
    // or writes this pointer now.
    let mut entry = unsafe { ENVIRON };
    while !entry.is_null() {
        // SAFETY: an array that ends with a null pointer (environ(7)), and we are before its
        // end or at it.
        let string = unsafe { *entry };
        if string.is_null() {
            break;
        }
        // SAFETY: each entry is a string that ends with NUL.
        let length = unsafe { libc::strlen(string) };
        // SAFETY: a process may write to the strings of its own environment.
        unsafe { std::ptr::write_bytes(string, 0, length) };
        // SAFETY: this entry was not the last.
        entry = unsafe { entry.add(1) };
    }
    // SAFETY: as for reading it.
    unsafe { ENVIRON = std::ptr::null_mut() };
}

unsafe extern "C" {
    #[link_name = "environ"]
    static mut ENVIRON: *mut *mut libc::c_char;
}

/// Lets go of everything that the caller gave us: `/dev/null` takes the place of the
/// standard streams, the root directory that of the working directory, and every other
/// descriptor but `keep` is closed. Whoever owns one of those must not use it again: for a
/// process that does nothing else from here on.
pub fn let_go_of_everything_but(keep: &[RawFd]) {
    let _ = rustix::process::chdir("/");
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR,
        rustix::fs::Mode::empty(),
    );
    if let Ok(null) = &null {
        let _ = rustix::stdio::dup2_stdin(null);
        let _ = rustix::stdio::dup2_stdout(null);
        let _ = rustix::stdio::dup2_stderr(null);
    }
    let mut keep: Vec<RawFd> = keep.to_vec();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep.into_iter().chain([RawFd::MAX]) {
        if fd > from {
            // SAFETY: closes descriptors by number; the caller has promised not to use their
            // owners any more.
            unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) };
        }
        from = from.max(fd.saturating_add(1));
    }
    std::mem::forget(null);
}
