//! Splitting this process in two, as front and guardian are.

use std::io;

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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
    refuse_threads()?;
    // SAFETY: there is no other thread, so the child's copy of the memory is consistent.
    side(unsafe { libc::fork() })
}

/// As [`fork_single_threaded`], but the child is born into the cgroup of `directory`: to move
/// there later would cost it a grace period of the whole machine, 10 ms and more.
///
/// # Errors
/// As [`fork_single_threaded`], and as clone(2), CLONE_INTO_CGROUP: EACCES outside a delegated
/// cgroup, ENOSYS or EPERM in old kernels and containers.
pub fn fork_single_threaded_into(directory: BorrowedFd<'_>) -> io::Result<Side> {
    /// linux/sched.h; the C library's binding of it is too narrow.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    refuse_threads()?;
    // SAFETY: all zeroes are a valid `clone_args`.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = directory.as_raw_fd() as u64;
    // SAFETY: without CLONE_VM this is fork(2). There is no other thread, so the child's copy of
    // the memory is consistent; that the C library does not hear of it leaves only its note of
    // the thread's id stale, which it does not use for a thread's signals to itself.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const args,
            size_of::<libc::clone_args>(),
        )
    };
    side(libc::pid_t::try_from(result).unwrap_or(-1))
}

fn refuse_threads() -> io::Result<()> {
    // Each thread is a directory in /proc/self/task, and each directory a link.
    let threads = rustix::fs::stat("/proc/self/task")?
        .st_nlink
        .saturating_sub(2);
    if threads > 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    Ok(())
}

fn side(result: libc::pid_t) -> io::Result<Side> {
    match result {
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

/// Shows `title` in the place of the words that this program was called with
/// (`/proc/PID/cmdline`), as far as there is room for it. For a process of ours that goes on for
/// long: such words may be secrets, and whoever looks for the command by them must not find us.
pub fn show_as(title: &str) {
    let bounds = || {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let (_, rest) = text.rsplit_once(") ")?;
        // Fields 48 and 49 of the whole line (proc_pid_stat(5)); two were taken.
        let mut fields = rest.split_ascii_whitespace().skip(45);
        let start: usize = fields.next()?.parse().ok()?;
        let end: usize = fields.next()?.parse().ok()?;
        (start != 0 && end > start).then_some((start, end - start))
    };
    let Some((start, room)) = bounds() else {
        return;
    };
    // The last byte stays NUL: otherwise the kernel shows what lies behind.
    let shown = title.len().min(room - 1);
    // SAFETY: the kernel says that the words of our own command line lie here, in memory that a
    // process may write to; this process, which has no other thread, does not read them again.
    let words = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, room) };
    words.fill(0);
    words[..shown].copy_from_slice(&title.as_bytes()[..shown]);
}

unsafe extern "C" {
    #[link_name = "environ"]
    static mut ENVIRON: *mut *mut libc::c_char;
}

/// Lets go of what the caller gave us and a daemon must not hold: its standard streams, its
/// directory, and every descriptor that it left open, but those in `keep`. Our own descriptors
/// all have the close-on-exec flag, which no descriptor has that came through an exec.
///
/// # Errors
/// When `/dev/null` cannot be had: then the caller's streams would be kept.
pub fn let_go_of_inheritance(keep: &[RawFd]) -> io::Result<()> {
    let_go_of_standard_streams()?;
    close_inherited(keep);
    Ok(())
}

/// Lets go of what these descriptors refer to, as far as this process is concerned: `/dev/null` takes
/// its place, so that their owners may go on closing them. For a fork whose other half keeps them.
///
/// # Errors
/// When `/dev/null` cannot be had, or as dup3(2).
pub fn let_go_of(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    for fd in descriptors {
        // SAFETY: both are open, and the second stays so: only what it refers to is another file.
        if unsafe { libc::dup3(null.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Closes every descriptor above standard error that came from the caller, but those in `keep`.
pub fn close_inherited(keep: &[RawFd]) {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2 && !keep.contains(fd))
        .collect();
    for fd in open {
        // SAFETY: only asks for the flags of a number, which need not even be open.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if flags != -1 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: descriptors without the flag came from the caller, and nobody in this process
            // owns them.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

fn let_go_of_standard_streams() -> io::Result<()> {
    let _ = rustix::process::chdir("/");
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR,
        rustix::fs::Mode::empty(),
    )?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // Where a standard stream was closed, it may be that very number.
    if null.as_raw_fd() < 3 {
        std::mem::forget(null);
    }
    Ok(())
}

/// Lets go of everything that the caller gave us: `/dev/null` takes the place of the
/// standard streams, the root directory that of the working directory, and every other
/// descriptor but `keep` is closed. Whoever owns one of those must not use it again: for a
/// process that does nothing else from here on.
pub fn let_go_of_everything_but(keep: &[RawFd]) {
    let _ = let_go_of_standard_streams();
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
}
