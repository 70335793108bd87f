//! The process that keeps a cluster's locks for a run: a child of the front, made before the run
//! begins, and apart from it.
//!
//! It waits for the locks, renews their lease as long as the work lasts, and gives them back. What
//! it knows of the cluster is handed in. Front and guardian do not rely on it: they stop the work in
//! time if the lease in shared memory is not moved forward, whatever has become of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::WaitOptions;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ward_model::signal::Signal;
use ward_model::wire::MAX_MESSAGE;
use ward_sys::Pid;
use ward_sys::contain::process::Process;
use ward_sys::contain::subreaper;
use ward_sys::fork::{self, Side, fork_single_threaded};
use ward_sys::signals;

use crate::control::{Heard, Line};

/// The name that ps(1) shows.
const NAME: &std::ffi::CStr = c"ward-renewer";

/// How long the front waits at most until the locks have been given back: the cluster may not be
/// reachable, and then they are free when the lease has run out.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the run says to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Free {
    succeeded: bool,
}

/// The run's end of the line.
#[derive(Debug)]
pub struct Renewer {
    line: Line,
    pid: Pid,
    /// It, for those whose child it is not.
    process: Option<Process>,
}

/// The renewing process's end of the line.
#[derive(Debug)]
pub struct Work {
    line: Line,
}

/// What is known of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It goes on.
    GoesOn,
    /// It needs the locks no longer.
    Free {
        /// Whether the command has succeeded.
        succeeded: bool,
    },
    /// Nobody is left who could say.
    Unknown,
}

impl Work {
    /// Says something to whoever waits for the locks. False if he is gone, or has not heard yet what
    /// was said before, and there is no room for more.
    pub fn say<T: Serialize>(&self, message: &T) -> bool {
        self.line.say(message)
    }

    /// Whether it is not too long to be said.
    #[must_use]
    pub fn can_say<T: Serialize>(message: &T) -> bool {
        serde_json::to_vec(message).is_ok_and(|packet| packet.len() <= MAX_MESSAGE)
    }

    /// A descriptor that is readable when the run has said something, or is gone.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn watch(&self) -> io::Result<OwnedFd> {
        self.line.as_fd().try_clone_to_owned()
    }

    /// Waits for news, so long at most.
    #[must_use]
    pub fn news(&self, limit: Duration) -> News {
        let deadline = Instant::now() + limit;
        loop {
            match self.line.hear::<Free>() {
                Heard::Message(Free { succeeded }) => return News::Free { succeeded },
                Heard::Gone => return News::Unknown,
                Heard::Nothing => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return News::GoesOn;
            }
            wait(&self.line, left);
        }
    }
}

fn wait(line: &Line, limit: Duration) {
    let mut fds = [PollFd::new(line, PollFlags::IN)];
    let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
}

impl Renewer {
    /// Makes the process, which does `work` and ends. Nothing that the run will do reaches it: not
    /// its terminal, nor its signals. It lets go of what `theirs` refer to.
    ///
    /// To be called while this process has one thread.
    ///
    /// # Errors
    /// When no process, or no socket, can be had.
    pub fn start(theirs: &[BorrowedFd<'_>], work: impl FnOnce(&Work)) -> io::Result<Self> {
        let (line, far_end) = Line::pair()?;
        match fork_single_threaded()? {
            Side::Parent(pid) => Ok(Self::of(line, pid)),
            Side::Child => {
                drop(line);
                // It leads no group, being a child.
                let _ = rustix::process::setsid();
                subreaper::set_name(NAME);
                // Whoever reads what we print must not wait for us.
                if fork::let_go_of_inheritance(&[]).is_err() || fork::let_go_of(theirs).is_err() {
                    crate::guardian::quit();
                }
                for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
                    signals::ignore(signal.number());
                }
                work(&Work { line: far_end });
                crate::guardian::quit()
            }
        }
    }

    /// To be called as long as it is our child, and not reaped.
    fn of(line: Line, pid: Pid) -> Self {
        let process = Process::hold(pid.as_raw_nonzero().get());
        Self { line, pid, process }
    }

    /// Waits for what it says next; none once it is gone.
    #[must_use]
    pub fn hear<T: DeserializeOwned>(&self) -> Option<T> {
        loop {
            match self.line.hear() {
                Heard::Message(message) => return Some(message),
                Heard::Gone => return None,
                Heard::Nothing => wait(&self.line, Duration::from_secs(3600)),
            }
        }
    }

    /// Says that the work needs the locks no longer.
    pub(crate) fn tell_free(&self, succeeded: bool) {
        let _ = self.line.say(&Free { succeeded });
        // One that somebody has stopped would never hear of it, nor end.
        if let Some(process) = &self.process {
            let _ = process.signal(Signal::CONT.number());
        }
    }

    /// An end for [`Renewer::await_end`], as the run takes this one.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub fn another(&self) -> io::Result<Self> {
        let line = Line::from_fd(self.line.as_fd().try_clone_to_owned()?);
        Ok(Self::of(line, self.pid))
    }

    /// Waits until the locks have been given back, and 5 s at most: whoever asks next should find them
    /// free.
    pub fn await_end(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if matches!(self.line.hear::<serde_json::Value>(), Heard::Gone) {
                // It is ending, and our child: whoever inherits it might not look after it.
                let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
                return;
            }
            wait(&self.line, left);
        }
    }
}
