//! The controlling terminal, and pseudo-terminals (tty(4), pty(7)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios};

/// The controlling terminal of this process, if it has one.
#[must_use]
pub fn controlling() -> Option<OwnedFd> {
    rustix::fs::open(
        "/dev/tty",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()
}

/// Whether this is a terminal.
#[must_use]
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Whether our process group is the one that the terminal's keyboard speaks to.
#[must_use]
pub fn in_foreground(terminal: impl AsFd) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| Some(group) == own_group())
}

/// The settings of a terminal, to be put back.
#[derive(Debug)]
pub struct SavedSettings(Termios);

/// Turns every input processing off, and that of output unless it is to be kept, and returns
/// the settings as they were.
///
/// # Errors
/// As tcsetattr(3).
pub fn make_raw(terminal: impl AsFd, keep_output: bool) -> io::Result<SavedSettings> {
    let saved = rustix::termios::tcgetattr(&terminal)?;
    let mut raw = saved.clone();
    raw.make_raw();
    if keep_output {
        raw.output_modes = saved.output_modes;
    }
    rustix::termios::tcsetattr(&terminal, OptionalActions::Drain, &raw)?;
    Ok(SavedSettings(saved))
}

/// Puts settings back.
///
/// # Errors
/// As tcsetattr(3).
pub fn restore(terminal: impl AsFd, settings: &SavedSettings) -> io::Result<()> {
    rustix::termios::tcsetattr(terminal, OptionalActions::Drain, &settings.0)?;
    Ok(())
}

/// A pseudo-terminal: the side that a program like us holds, and the side that the command
/// takes for its terminal.
#[derive(Debug)]
pub struct PseudoTerminal {
    /// What is written here is typed; what is printed is read here. Does not block.
    pub ours: OwnedFd,
    /// The command's terminal.
    pub theirs: OwnedFd,
}

/// Makes a pseudo-terminal with the settings and the window size of `like`.
///
/// # Errors
/// When none can be had.
pub fn pseudo_terminal(like: BorrowedFd<'_>) -> io::Result<PseudoTerminal> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
    if let Ok(settings) = rustix::termios::tcgetattr(like) {
        rustix::termios::tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    }
    copy_window_size(like, &ours);
    crate::pipe::set_nonblocking(&ours)?;
    Ok(PseudoTerminal { ours, theirs })
}

/// Gives `to` the window size of `from`; its foreground group learns of it by SIGWINCH.
pub fn copy_window_size(from: impl AsFd, to: impl AsFd) {
    if let Ok(size) = rustix::termios::tcgetwinsize(from) {
        let _ = rustix::termios::tcsetwinsize(to, size);
    }
}

/// Becomes the leader of a new session whose controlling terminal is `terminal`, if given.
///
/// # Errors
/// As setsid(2); EPERM if we lead a process group.
pub fn new_session(terminal: Option<BorrowedFd<'_>>) -> io::Result<()> {
    rustix::process::setsid()?;
    if let Some(terminal) = terminal {
        rustix::process::ioctl_tiocsctty(terminal)?;
    }
    Ok(())
}

/// Moves this process into a process group of its own, in its session.
///
/// # Errors
/// As setpgid(2).
pub fn new_group() -> io::Result<()> {
    rustix::process::setpgid(None, None)?;
    Ok(())
}

/// Our own process group; none where it is of another PID namespace (pid_namespaces(7)): then the kernel
/// calls it 0, which rustix does not expect.
#[must_use]
pub fn own_group() -> Option<Pid> {
    // SAFETY: takes nothing, and cannot fail.
    Pid::from_raw(unsafe { libc::getpgrp() })
}

/// Opens a file for the child to read from.
///
/// # Errors
/// As open(2).
pub fn open_input(path: &std::ffi::OsStr) -> io::Result<OwnedFd> {
    Ok(File::open(path)?.into())
}
