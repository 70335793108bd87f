//! pidproxy of Supervisor: `ward pidproxy`, and ward by the name `pidproxy`.
//!
//! It runs a command that starts a daemon, and stands for that daemon: signals go to the process that
//! the daemon's pid file names. It lasts as long as the command, and as long as the daemon, and says at
//! once when they have ended; `docs/reference/differences.md` lists what differs from the original.
//!
//! The one room here that starts something: its command is its child and nothing else is.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use ward_sys::procfs::Stat;
use ward_sys::signals::SignalSource;

/// What is passed on.
const PASSED: [Signal; 6] = [
    Signal::TERM,
    Signal::HUP,
    Signal::INT,
    Signal::USR1,
    Signal::USR2,
    Signal::QUIT,
];

/// How long a command that ended well may be ahead of the pid file of what it started.
const PID_FILE_LATE: Duration = Duration::from_secs(1);
/// How often the file is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// What is read of a pid file, bytes.
const MAX_PID_FILE: u64 = 64;

/// The exit status for a command line that cannot be used.
const USAGE: u8 = 1;
/// As shells have it: not found, and not to be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs the command, and gives its exit status, or success where it was told to end.
pub(crate) fn run(called: &str, words: &[OsString]) -> ExitCode {
    let [pid_file, command @ ..] = words else {
        return usage(called);
    };
    let [program, arguments @ ..] = command else {
        return usage(called);
    };
    // The signals first: none is to be lost between the start and the wait.
    let signals = match SignalSource::new(&PASSED.map(Signal::as_raw)) {
        Ok(signals) => signals,
        Err(error) => return refuse(&format!("cannot take signals: {error}"), NOT_EXECUTABLE),
    };
    let started = std::path::absolute(program).and_then(|path| {
        let mut command = Command::new(path);
        command.arg0(program).args(arguments).spawn()
    });
    let child = match started {
        Ok(child) => child,
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => NOT_EXECUTABLE,
            };
            return refuse(
                &format!("cannot start {}: {error}", program.display()),
                code,
            );
        }
    };
    let proxy = Proxy {
        pid_file: PathBuf::from(pid_file),
        signals,
        command: open(pid_of(&child)),
        child,
        status: None,
        daemon: None,
        told_to_end: false,
        late_until: None,
    };
    match proxy.wait() {
        Ok(code) => ExitCode::from(code),
        Err(error) => refuse(&format!("cannot wait: {error}"), NOT_EXECUTABLE),
    }
}

fn usage(called: &str) -> ExitCode {
    // Where nobody can be told, the exit status still says it.
    let _ = writeln!(
        io::stdout(),
        "Usage: {called} PIDFILE COMMAND [ARGUMENT]...\n\
         Run a command that starts a daemon, and pass signals on to the process in PIDFILE.\n\n\
         COMMAND is a path; it is not looked for in PATH. TERM, INT and QUIT end the daemon, and\n\
         this one when the daemon has ended; HUP, USR1 and USR2 are passed on."
    );
    ExitCode::from(USAGE)
}

fn refuse(what: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "pidproxy: {what}");
    ExitCode::from(code)
}

/// What is said is for the log of who started us, as in the original.
fn say(what: &str) {
    let _ = writeln!(io::stdout(), "{what}");
}

struct Proxy {
    pid_file: PathBuf,
    signals: SignalSource,
    child: Child,
    /// The command, while it runs.
    command: Option<OwnedFd>,
    /// How it ended.
    status: Option<ExitStatus>,
    /// The process of the pid file, where it is another one.
    daemon: Option<OwnedFd>,
    told_to_end: bool,
    /// Until when a pid file may still be written.
    late_until: Option<Instant>,
}

impl Proxy {
    fn wait(mut self) -> io::Result<u8> {
        loop {
            if let Some(status) = self.status
                && self.daemon.is_none()
            {
                self.daemon = self.started_since();
                if self.daemon.is_none() && !self.may_be_late(status) {
                    return Ok(self.code(status));
                }
            }
            self.turn()?;
        }
    }

    /// Waits for whatever comes next.
    fn turn(&mut self) -> io::Result<()> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let others = [self.command.as_ref(), self.daemon.as_ref()];
        fds.extend(
            others
                .iter()
                .flatten()
                .map(|fd| PollFd::new(*fd, PollFlags::IN)),
        );
        let looking = self.status.is_some() && self.daemon.is_none();
        let limit = looking.then_some(LOOK).map(Timespec::try_from);
        let limit = limit.transpose().map_err(io::Error::other)?;
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut woken = fds.iter().skip(1).map(|fd| !fd.revents().is_empty());
        let [command, daemon] = others.map(|fd| fd.is_some() && woken.next() == Some(true));
        if command || (self.command.is_none() && self.status.is_none()) {
            self.status = self.child.try_wait()?;
            self.command = self.command.take().filter(|_| self.status.is_none());
        }
        if daemon {
            self.daemon = None;
        }
        while let Some(received) = self.signals.next() {
            if let Some(signal) = PASSED
                .iter()
                .find(|signal| signal.as_raw() == received.signal)
            {
                self.pass(*signal);
            }
        }
        Ok(())
    }

    /// Passes a signal on to the process of the pid file; one that is to end it, to the command where
    /// there is no such process.
    fn pass(&mut self, signal: Signal) {
        let ends = matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT);
        self.told_to_end |= ends;
        let named = self.named();
        let passed = match named {
            Some(pid) => open(Some(pid))
                .filter(|process| pidfd_send_signal(process, signal).is_ok())
                .map(|process| (pid, process)),
            None => {
                say(&format!(
                    "Can't read child pidfile {}!",
                    self.pid_file.display()
                ));
                None
            }
        };
        match passed {
            Some((pid, process)) if Some(pid) != pid_of(&self.child) => {
                // Whoever stops us wants it gone, however old it is.
                if ends {
                    self.daemon = Some(process);
                }
            }
            Some(_) => {}
            None => {
                if let Some(pid) = named {
                    say(&format!(
                        "Process {pid} of {} takes no signal",
                        self.pid_file.display()
                    ));
                }
                if let Some(command) = self.command.as_ref().filter(|_| ends) {
                    // If it has just ended, there is nothing to be done.
                    let _ = pidfd_send_signal(command, signal);
                }
            }
        }
    }

    /// Whom the pid file names.
    fn named(&self) -> Option<Pid> {
        read_pid(&self.pid_file).filter(|pid| *pid != getpid())
    }

    /// The process of the pid file, if it is not older than we are: an old file may name anybody.
    fn started_since(&self) -> Option<OwnedFd> {
        let pid = self.named()?;
        let process = open(Some(pid))?;
        let itself = Stat::of(pid.as_raw_nonzero().get()).filter(|stat| !stat.has_ended())?;
        let us = Stat::of(getpid().as_raw_nonzero().get())?;
        (itself.start_ticks >= us.start_ticks).then_some(process)
    }

    /// Whether the pid file may still come. Daemons let their caller go first.
    fn may_be_late(&mut self, status: ExitStatus) -> bool {
        let until = *self
            .late_until
            .get_or_insert_with(|| Instant::now() + PID_FILE_LATE);
        status.success() && !self.told_to_end && Instant::now() < until
    }

    fn code(&self, status: ExitStatus) -> u8 {
        if self.told_to_end {
            return 0;
        }
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX)
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

fn open(pid: Option<Pid>) -> Option<OwnedFd> {
    pidfd_open(pid?, PidfdFlags::empty()).ok()
}

/// The number in a pid file; only a number of one process, which init's is not.
fn read_pid(path: &Path) -> Option<Pid> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    io::Read::read_to_end(&mut io::Read::take(file, MAX_PID_FILE), &mut bytes).ok()?;
    let number: i32 = std::str::from_utf8(&bytes).ok()?.trim().parse().ok()?;
    if number > 1 {
        Pid::from_raw(number)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_one_process() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("pid");
        assert_eq!(read_pid(&path), None);
        for (text, expected) in [
            ("12\n", Some(12)),
            (" 12 ", Some(12)),
            ("", None),
            ("x", None),
            ("0", None),
            ("1", None),
            ("-1", None),
            ("99999999999", None),
            ("12 13", None),
        ] {
            std::fs::write(&path, text)?;
            let pid = read_pid(&path).map(|pid| pid.as_raw_nonzero().get());
            assert_eq!(pid, expected, "{text:?}");
        }
        Ok(())
    }
}
