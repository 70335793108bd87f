//! A process that can be signalled without ever hitting another of the same number
//! (pidfd_open(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::procfs::Stat;

/// A held process: its number stays its own for as long as this lives, or the signal fails.
#[derive(Debug)]
pub struct Process {
    fd: OwnedFd,
    stat: Stat,
}

/// How a signal was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is on its way.
    Yes,
    /// The process had ended.
    Gone,
    /// We may not (EPERM): it runs as somebody else.
    Denied,
}

impl Process {
    /// Holds the process of this number and tells what it is. `None` if there is none.
    ///
    /// The caller must check from [`Process::stat`], read after the process was held, that
    /// it is the one that was meant.
    #[must_use]
    pub fn hold(pid: i32) -> Option<Self> {
        let raw = Pid::from_raw(pid)?;
        let fd = rustix::process::pidfd_open(raw, PidfdFlags::NONBLOCK).ok()?;
        let stat = Stat::of(pid)?;
        // Had it been replaced between the two calls, its descriptor would be ready by now.
        Some(Self { fd, stat })
    }

    /// What it was when it was held.
    #[must_use]
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Sends it a signal.
    #[must_use]
    pub fn signal(&self, signal: i32) -> Told {
        let Some(signal) = signal_of(signal) else {
            return Told::Gone;
        };
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Told::Yes,
            Err(Errno::PERM) => Told::Denied,
            Err(_) => Told::Gone,
        }
    }

    /// Whether a signal of ours would reach it.
    #[must_use]
    pub fn may_be_signalled(&self) -> bool {
        // SAFETY: 0 is no signal; the kernel only checks (pidfd_send_signal(2), kill(2)).
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                0,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        sent == 0
    }

    /// Sends it a signal with a number, as sigqueue(3) does.
    #[must_use]
    pub fn signal_with(&self, signal: i32, value: i32) -> Told {
        #[repr(C, align(8))]
        struct Info {
            signo: i32,
            errno: i32,
            code: i32,
            #[cfg(target_pointer_width = "64")]
            pad: i32,
            pid: i32,
            uid: u32,
            value: i32,
            rest: [u8; 100],
        }
        const { assert!(size_of::<Info>() >= size_of::<libc::siginfo_t>()) };
        let info = Info {
            signo: signal,
            errno: 0,
            code: libc::SI_QUEUE,
            #[cfg(target_pointer_width = "64")]
            pad: 0,
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            uid: rustix::process::getuid().as_raw(),
            value,
            rest: [0; 100],
        };
        // SAFETY: the descriptor is open; `info` is laid out as a siginfo_t of this kind
        // (sigaction(2), rt_sigqueueinfo(2)) and not smaller.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                signal,
                &raw const info,
                0,
            )
        };
        if result == 0 {
            return Told::Yes;
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EPERM) => Told::Denied,
            Some(_) | None => Told::Gone,
        }
    }

    /// Whether it has ended (perhaps not yet been reaped).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
    }
}

impl AsFd for Process {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn signal_of(number: i32) -> Option<Signal> {
    Signal::from_named_raw(number).or_else(|| {
        (libc::SIGRTMIN()..=libc::SIGRTMAX())
            .contains(&number)
            // SAFETY: a real-time signal that the C library does not keep for itself.
            .then(|| unsafe { Signal::from_raw_unchecked(number) })
    })
}

/// Sends a signal to a child of ours that we have not reaped: its number cannot have been
/// reused.
#[must_use]
pub fn signal_own_child(pid: Pid, signal: i32) -> Told {
    let Some(signal) = signal_of(signal) else {
        return Told::Gone;
    };
    match rustix::process::kill_process(pid, signal) {
        Ok(()) => Told::Yes,
        Err(Errno::PERM) => Told::Denied,
        Err(_) => Told::Gone,
    }
}

/// Whether the kernel has what [`Process`] needs (Linux 5.3).
///
/// # Errors
/// ENOSYS or EPERM where it does not.
pub fn pidfd_works() -> io::Result<()> {
    rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    Ok(())
}
