//! What the main log says about one program, word for word as Supervisor's does: people and
//! scripts search for it.

use crate::life::End;
use crate::signal::Signal;

use super::policy::exit_status;

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For who looks for a mistake.
    Debug,
    /// As usual.
    Info,
    /// Not as usual.
    Warn,
    /// Something was lost.
    Error,
    /// Somebody has to look.
    Critical,
}

/// Something worth a line in the main log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// There is a process.
    Spawned {
        /// Its number.
        pid: i32,
    },
    /// There is none.
    SpawnFailed {
        /// Why: `spawnerr` of getProcessInfo.
        why: String,
    },
    /// STARTING is over.
    Success {
        /// Of the policy.
        startsecs: i64,
    },
    /// It ended by itself.
    Exited {
        /// How.
        end: End,
        /// Whether its status was expected, and it did not end too early.
        expected: bool,
    },
    /// It ended after it was told to.
    Stopped {
        /// How.
        end: End,
        /// Whether its status was among the expected ones.
        expected: bool,
    },
    /// No more starts are tried.
    GaveUp,
    /// Who asked for the stop still waits.
    WaitingToStop,
    /// A signal is being sent to end it.
    Killing {
        /// To whom.
        pid: i32,
        /// To its whole process group.
        group: bool,
        /// Which; `None` for signal 0.
        signal: Option<Signal>,
    },
    /// It did not stop in time.
    KillingHard {
        /// It.
        pid: i32,
    },
    /// A start was asked for while it is being stopped.
    AlreadyRunning,
    /// A stop was asked for between two tries of a start.
    StoppedInBackoff,
    /// Somebody's signal is being sent.
    Signalling {
        /// To whom.
        pid: i32,
        /// Which.
        signal: Signal,
    },
    /// A signal found nobody; its end will be noticed in a moment.
    JustExited {
        /// Who it was.
        pid: i32,
        /// What the system said.
        why: String,
    },
    /// A signal to end it could not be sent.
    KillFailed {
        /// To whom.
        pid: i32,
        /// What the system said.
        why: String,
    },
    /// Somebody's signal could not be sent.
    SignalFailed {
        /// To whom.
        pid: i32,
        /// What the system said.
        why: String,
    },
}

impl Note {
    /// How important it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Killing { .. }
            | Self::StoppedInBackoff
            | Self::Signalling { .. }
            | Self::JustExited { .. } => Level::Debug,
            Self::Spawned { .. }
            | Self::SpawnFailed { .. }
            | Self::Success { .. }
            | Self::GaveUp
            | Self::WaitingToStop
            | Self::Exited { expected: true, .. }
            | Self::Stopped { expected: true, .. } => Level::Info,
            Self::Exited {
                expected: false, ..
            }
            | Self::Stopped {
                expected: false, ..
            }
            | Self::KillingHard { .. }
            | Self::AlreadyRunning => Level::Warn,
            Self::KillFailed { .. } | Self::SignalFailed { .. } => Level::Critical,
        }
    }

    /// Its text, about the program of this name (without its group).
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        match self {
            Self::Spawned { pid } => format!("spawned: '{name}' with pid {pid}"),
            Self::SpawnFailed { why } => format!("spawnerr: {why}"),
            Self::Success { startsecs } => format!(
                "success: {name} entered RUNNING state, process has stayed up for > than {startsecs} seconds (startsecs)"
            ),
            Self::Exited { end, expected } => {
                let not = if *expected { "" } else { "not " };
                format!("exited: {name} ({}; {not}expected)", end_text(*end))
            }
            Self::Stopped { end, .. } => format!("stopped: {name} ({})", end_text(*end)),
            Self::GaveUp => {
                format!("gave up: {name} entered FATAL state, too many start retries too quickly")
            }
            Self::WaitingToStop => format!("waiting for {name} to stop"),
            Self::Killing { pid, group, signal } => {
                let whom = if *group { "process group " } else { "" };
                let signal = signal.map_or("signal 0".to_owned(), signal_name);
                format!("killing {name} (pid {pid}) {whom}with signal {signal}")
            }
            Self::KillingHard { pid } => format!("killing '{name}' ({pid}) with SIGKILL"),
            Self::AlreadyRunning => format!("process '{name}' already running"),
            Self::StoppedInBackoff => {
                format!("Attempted to kill {name}, which is in BACKOFF state.")
            }
            Self::Signalling { pid, signal } => {
                format!("sending {name} (pid {pid}) sig {}", signal_name(*signal))
            }
            Self::JustExited { pid, why } => format!(
                "unable to signal {name} (pid {pid}), it probably just exited on its own: {why}"
            ),
            Self::KillFailed { pid, why } => {
                format!("unknown problem killing {name} ({pid}):{why}")
            }
            Self::SignalFailed { pid, why } => {
                format!("unknown problem sending sig {name} ({pid}):{why}")
            }
        }
    }
}

/// How a process ended: `exit status 1`, `terminated by SIGKILL`, `terminated by SIGQUIT (core dumped)`.
#[must_use]
pub fn end_text(end: End) -> String {
    match end {
        End::Exited { .. } | End::NotStarted { .. } => format!("exit status {}", exit_status(end)),
        End::Signaled {
            signal,
            core_dumped,
        } => {
            let core = if core_dumped { " (core dumped)" } else { "" };
            format!("terminated by {}{core}", signal_name(signal))
        }
        End::Unknown => "unknown termination cause".to_owned(),
    }
}

/// A signal as Supervisor calls it: like everybody, but for three of them.
#[must_use]
pub fn signal_name(signal: Signal) -> String {
    match signal.number() {
        29 => "SIGPOLL".to_owned(),
        34 => "SIGRTMIN".to_owned(),
        64 => "SIGRTMAX".to_owned(),
        _ => signal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(number: i32, core_dumped: bool) -> End {
        End::Signaled {
            signal: Signal::from_number(number).expect("a signal"),
            core_dumped,
        }
    }

    /// Lines and levels as they were observed.
    #[test]
    fn as_the_original_writes_them() {
        let exited = |end, expected| Note::Exited { end, expected };
        let stopped = |end, expected| Note::Stopped { end, expected };
        let code = |code| End::Exited { code };
        let why = || "why".to_owned();
        let term = Some(Signal::TERM);
        #[rustfmt::skip]
        let table = [
            (Note::Spawned { pid: 7 }, Level::Info, "spawned: 'x' with pid 7"),
            (Note::SpawnFailed { why: "can't find command 'y'".into() }, Level::Info, "spawnerr: can't find command 'y'"),
            (Note::Success { startsecs: -3 }, Level::Info, "success: x entered RUNNING state, process has stayed up for > than -3 seconds (startsecs)"),
            (exited(code(0), true), Level::Info, "exited: x (exit status 0; expected)"),
            (exited(code(127), false), Level::Warn, "exited: x (exit status 127; not expected)"),
            (exited(by(3, true), false), Level::Warn, "exited: x (terminated by SIGQUIT (core dumped); not expected)"),
            (exited(by(34, false), false), Level::Warn, "exited: x (terminated by SIGRTMIN; not expected)"),
            (exited(by(40, false), false), Level::Warn, "exited: x (terminated by signal 40; not expected)"),
            (exited(by(29, false), false), Level::Warn, "exited: x (terminated by SIGPOLL; not expected)"),
            (exited(End::Unknown, false), Level::Warn, "exited: x (unknown termination cause; not expected)"),
            (stopped(code(0), true), Level::Info, "stopped: x (exit status 0)"),
            (stopped(by(15, false), false), Level::Warn, "stopped: x (terminated by SIGTERM)"),
            (Note::GaveUp, Level::Info, "gave up: x entered FATAL state, too many start retries too quickly"),
            (Note::WaitingToStop, Level::Info, "waiting for x to stop"),
            (Note::Killing { pid: 7, group: false, signal: term }, Level::Debug, "killing x (pid 7) with signal SIGTERM"),
            (Note::Killing { pid: 7, group: true, signal: None }, Level::Debug, "killing x (pid 7) process group with signal signal 0"),
            (Note::KillingHard { pid: 7 }, Level::Warn, "killing 'x' (7) with SIGKILL"),
            (Note::AlreadyRunning, Level::Warn, "process 'x' already running"),
            (Note::StoppedInBackoff, Level::Debug, "Attempted to kill x, which is in BACKOFF state."),
            (Note::Signalling { pid: 7, signal: Signal::HUP }, Level::Debug, "sending x (pid 7) sig SIGHUP"),
            (Note::JustExited { pid: 7, why: why() }, Level::Debug, "unable to signal x (pid 7), it probably just exited on its own: why"),
            (Note::KillFailed { pid: 7, why: why() }, Level::Critical, "unknown problem killing x (7):why"),
            (Note::SignalFailed { pid: 7, why: why() }, Level::Critical, "unknown problem sending sig x (7):why"),
        ];
        for (note, level, text) in table {
            assert_eq!((note.level(), note.text("x").as_str()), (level, text));
        }
    }
}
