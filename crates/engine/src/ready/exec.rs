//! Readiness by a command that succeeds.
//!
//! Each attempt runs in a process group of its own, with nothing to read and nowhere to
//! write, and whatever is left of that group is killed before it is let go. What leaves the
//! group on purpose (setsid(2)) is not followed: the probe is the user's own program, and no
//! tree in custody.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use ward_model::signal;
use ward_sys::pipe::{self, Moved};

use super::Look;
use super::patience::{Patience, Stop, Waited};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How often a child is asked for its end where the kernel cannot tell us (before Linux 5.3).
const ASKING: Duration = Duration::from_millis(5);
/// How long a killed child may take to end. One that takes longer is stuck in the kernel, and
/// must not take us along; init lets it go when we have ended.
const KILLED: Duration = Duration::from_secs(1);
/// As much of what a command writes is read, bytes.
const LONGEST_OUTPUT: usize = 64 << 10;

/// A command to be tried again and again: a program and its arguments.
#[derive(Debug)]
pub(super) struct Probe {
    words: Vec<String>,
}

impl Probe {
    pub(super) fn new(words: &[String]) -> Self {
        Self {
            words: words.to_vec(),
        }
    }

    /// Whether it exits with status 0 now. `last` is told what it does should it not end.
    pub(super) fn look(&self, patience: &Patience<'_>, last: &mut String) -> Result<Look, Stop> {
        let name = self.name();
        let mut running = match self.start(Stdio::null()) {
            Ok(running) => running,
            Err(error) => return Ok(Look::NotYet(format!("cannot start {name}: {error}"))),
        };
        if last.is_empty() {
            *last = format!("{name} has not ended yet");
        }
        let status = running.wait(patience, Instant::now() + ATTEMPT)?;
        Ok(match status {
            Some(End::Status(status)) if status.success() => Look::Ready,
            Some(end) => Look::NotYet(format!("{name} {}", end.describe())),
            None => Look::NotYet(format!(
                "{name} took longer than {}s and was killed",
                ATTEMPT.as_secs()
            )),
        })
    }

    /// What it writes to its standard output (the first 64 KiB) until `until`, if it succeeds;
    /// else why not, in words for people.
    pub(super) fn output(
        &self,
        patience: &Patience<'_>,
        until: Instant,
    ) -> Result<Result<String, String>, Stop> {
        let name = self.name();
        let mut running = match self.start(Stdio::piped()) {
            Ok(running) => running,
            Err(error) => return Ok(Err(format!("cannot start {name}: {error}"))),
        };
        let mut text = Vec::new();
        if let Some(stdout) = running.child.stdout.take() {
            let mut buffer = [0; 4096];
            while text.len() < LONGEST_OUTPUT {
                let more = Some((stdout.as_fd(), PollFlags::IN));
                match patience.wait(more, Some(until))? {
                    Waited::Able => {}
                    Waited::Elapsed => break,
                }
                // There is something to read, so that a blocking pipe does not block.
                let Ok(Moved::Bytes(count)) = pipe::read(stdout.as_fd(), &mut buffer) else {
                    break;
                };
                text.extend_from_slice(&buffer[..count]);
            }
        }
        Ok(match running.wait(patience, until)? {
            Some(End::Status(status)) if status.success() => {
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            Some(end) => Err(format!("{name} {}", end.describe())),
            None => Err(format!("{name} took too long")),
        })
    }

    fn name(&self) -> String {
        format!("`{}`", self.words.join(" "))
    }

    fn start(&self, stdout: Stdio) -> io::Result<Running> {
        let (program, arguments) = self
            .words
            .split_first()
            .ok_or(io::ErrorKind::InvalidInput)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        Ok(Running {
            ended: pidfd_open(pid, PidfdFlags::empty()).ok(),
            child,
            pid,
            settled: false,
        })
    }
}

/// How a child came to its end.
#[derive(Debug)]
enum End {
    Status(ExitStatus),
    /// Somebody else took its status.
    Lost,
}

impl End {
    fn describe(&self) -> String {
        match self {
            Self::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exits with status {code}"),
                (None, Some(number)) => signal::Signal::from_number(number).map_or_else(
                    || format!("is ended by signal {number}"),
                    |signal| format!("is ended by {signal}"),
                ),
                (None, None) => "ended somehow".to_owned(),
            },
            Self::Lost => "ended, and its status is lost".to_owned(),
        }
    }
}

/// One attempt. Dropping it kills its group and lets it go.
#[derive(Debug)]
struct Running {
    child: Child,
    pid: Pid,
    /// Readable once it has ended.
    ended: Option<OwnedFd>,
    /// Its group is killed and its status taken.
    settled: bool,
}

impl Running {
    /// Waits until it ends by itself; `None` if it has not by `until`.
    fn wait(&mut self, patience: &Patience<'_>, until: Instant) -> Result<Option<End>, Stop> {
        loop {
            if let Some(end) = self.settle_if_ended() {
                return Ok(Some(end));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            match &self.ended {
                Some(ended) => {
                    patience.wait(Some((ended.as_fd(), PollFlags::IN)), Some(until))?;
                }
                None => patience.pause(ASKING)?,
            }
        }
    }

    fn settle_if_ended(&mut self) -> Option<End> {
        // It is looked at and left, so that its number, and so its group's, stays its own.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(None) | Err(Errno::INTR) => return None,
            Ok(Some(_)) => self.kill_group(),
            Err(_) => {}
        }
        self.settled = true;
        Some(match self.child.try_wait() {
            Ok(Some(status)) => End::Status(status),
            Ok(None) | Err(_) => End::Lost,
        })
    }

    fn kill_group(&self) {
        // It fails if nobody is left, which is what is wanted.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        self.kill_group();
        let until = Instant::now() + KILLED;
        while self.settle_if_ended().is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
