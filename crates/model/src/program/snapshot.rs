//! A machine in a few words, so that a new daemon can go on where a killed one was.
//!
//! The words of a fresh slot, all zero, are a program that was never started.

use std::time::Duration;

use thiserror::Error;

use super::machine::{Action, Machine, StopRequest, Trouble};
use super::policy::Policy;
use super::state::State;
use crate::life::End;
use crate::signal::Signal;

/// A machine as numbers. Texts are not in it: why a start failed is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// [`State::code`].
    pub state: u32,
    /// The process; 0 for none.
    pub pid: u32,
    /// Failed starts in a row.
    pub tries: u32,
    /// What is known besides, a bit each.
    pub flags: u32,
    /// How the last process ended; 0 for not yet.
    pub end: u32,
    /// Made from the others: a snapshot that was written by half is noticed.
    pub check: u32,
}

const STOP_ASKED: u32 = 1;
const STOP_AWAITED: u32 = 1 << 1;
const STOP_SHUTDOWN: u32 = 1 << 2;
const STOP_FAILED: u32 = 1 << 3;
const ENDING: u32 = 1 << 4;
const END_COUNTS: u32 = 1 << 5;
const TOO_QUICK: u32 = 1 << 6;
const BAD_STATUS: u32 = 1 << 7;
const NOT_SPAWNED: u32 = 1 << 8;
const KNOWN_FLAGS: u32 = (1 << 9) - 1;

const STOP: u32 = STOP_ASKED | STOP_AWAITED | STOP_SHUTDOWN;
const TROUBLE: u32 = TOO_QUICK | BAD_STATUS | NOT_SPAWNED;

const EXITED: u32 = 1 << 16;
const SIGNALED: u32 = 2 << 16;
const UNKNOWN: u32 = 3 << 16;
const NOT_STARTED: u32 = 4 << 16;
const KIND: u32 = 0xffff << 16;
const CORE: u32 = 1 << 8;
const EXEC: u32 = 1 << 15;

/// Why a snapshot cannot be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadSnapshot {
    /// Its parts do not belong together.
    #[error("it was not written to its end")]
    Torn,
    /// Such a state there is not.
    #[error("there is no state {0}")]
    State(u32),
    /// A state that needs a process has none, or the other way round.
    #[error("a program that is {state} cannot have process {pid}")]
    Pid {
        /// Which state.
        state: State,
        /// Which process; 0 for none.
        pid: u32,
    },
    /// Such flags there are not, or not together.
    #[error("the flags {0:#x} mean nothing")]
    Flags(u32),
    /// No process can end so.
    #[error("the end {0:#x} means nothing")]
    End(u32),
}

/// What a new daemon found out about the program, besides the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumption {
    /// The process that was spawned without the machine having been told.
    pub spawned: Option<i32>,
    /// Since the snapshot was taken.
    pub elapsed: Duration,
}

impl Snapshot {
    /// Of a process of which nothing is known but that it runs.
    #[must_use]
    pub fn running(pid: i32) -> Self {
        Self {
            state: word(State::Running.code()),
            pid: word(pid),
            ..Self::default()
        }
        .sealed()
    }

    /// As words, in the order of the fields.
    #[must_use]
    pub fn to_words(self) -> [u32; 6] {
        [
            self.state, self.pid, self.tries, self.flags, self.end, self.check,
        ]
    }

    /// From words in the order of the fields; whether they make sense is seen by
    /// [`Machine::resume`].
    #[must_use]
    pub fn from_words(words: [u32; 6]) -> Self {
        let [state, pid, tries, flags, end, check] = words;
        Self {
            state,
            pid,
            tries,
            flags,
            end,
            check,
        }
    }

    /// The same under a supervisor that is not ending: one that was started again.
    #[must_use]
    pub fn not_ending(mut self) -> Self {
        if self.check != self.sum() {
            return self;
        }
        self.flags &= !ENDING;
        self.sealed()
    }

    pub(super) fn sealed(mut self) -> Self {
        self.check = self.sum();
        self
    }

    fn sum(&self) -> u32 {
        [self.state, self.pid, self.tries, self.flags, self.end]
            .into_iter()
            .fold(0_u32, |sum, word| {
                (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b1)
            })
    }
}

fn word(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

impl Machine {
    /// As numbers. To be kept before the actions are done that came with the change: what was
    /// not done can be found out later, what was done cannot be undone.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let stop = match self.stop_after_spawn {
            None => 0,
            Some(StopRequest::Asked { awaited: false }) => STOP_ASKED,
            Some(StopRequest::Asked { awaited: true }) => STOP_ASKED | STOP_AWAITED,
            Some(StopRequest::Shutdown) => STOP_SHUTDOWN,
        };
        let trouble = match self.trouble {
            Trouble::None => 0,
            Trouble::TooQuick => TOO_QUICK,
            Trouble::BadStatus => BAD_STATUS,
            Trouble::Spawn(_) | Trouble::Forgotten => NOT_SPAWNED,
        };
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        Snapshot {
            state: word(self.state.code()),
            pid: self.pid.map_or(0, word),
            tries: self.tries,
            flags: stop
                | trouble
                | flag(self.stop_failed, STOP_FAILED)
                | flag(self.ending, ENDING)
                | flag(self.end_counts, END_COUNTS),
            end: self.end.map_or(0, end_word),
            check: 0,
        }
        .sealed()
    }

    /// The machine of `snapshot` under `policy`, which may be another one by now, with what is to
    /// be done to go on: timers are armed for what is left of them, and a process that was to be spawned
    /// and was not is spawned. A stop signal is not sent again.
    ///
    /// # Errors
    /// For a snapshot that no machine can have made.
    pub fn resume(
        policy: Policy,
        snapshot: Snapshot,
        found: Resumption,
        actions: &mut Vec<Action>,
    ) -> Result<Self, BadSnapshot> {
        let mut machine = Self::restore(policy, snapshot)?;
        let left = |all: Duration| all.saturating_sub(found.elapsed);
        match machine.state {
            State::Starting => match (machine.pid, found.spawned) {
                (Some(_), _) => machine.wait_for_start(found.elapsed, actions),
                (None, Some(pid)) => machine.spawned(pid, found.elapsed, actions),
                (None, None) => actions.push(Action::Spawn),
            },
            State::Backoff if !machine.ending => {
                let delay = left(machine.policy.backoff_time(machine.tries));
                actions.push(Action::Arm(super::Timer::Backoff, delay));
            }
            State::Stopping => {
                let wait = left(machine.policy.stop_time());
                actions.push(Action::Arm(super::Timer::StopWait, wait));
            }
            State::Stopped
            | State::Running
            | State::Backoff
            | State::Exited
            | State::Fatal
            | State::Unknown => {}
        }
        Ok(machine)
    }

    fn restore(policy: Policy, snapshot: Snapshot) -> Result<Self, BadSnapshot> {
        if snapshot.check != snapshot.sum() {
            return Err(BadSnapshot::Torn);
        }
        let state = i32::try_from(snapshot.state)
            .ok()
            .and_then(State::from_code)
            .ok_or(BadSnapshot::State(snapshot.state))?;
        let pid = pid_of(state, snapshot.pid)?;
        let flags = snapshot.flags;
        let bad_flags = BadSnapshot::Flags(flags);
        if flags & !KNOWN_FLAGS != 0 {
            return Err(bad_flags);
        }
        let stop_after_spawn = match flags & STOP {
            0 => None,
            STOP_ASKED => Some(StopRequest::Asked { awaited: false }),
            // Who waited for it was a client of a daemon that is no more.
            both if both == STOP_ASKED | STOP_AWAITED => {
                Some(StopRequest::Asked { awaited: false })
            }
            STOP_SHUTDOWN => Some(StopRequest::Shutdown),
            _ => return Err(bad_flags),
        };
        let trouble = match flags & TROUBLE {
            0 => Trouble::None,
            TOO_QUICK => Trouble::TooQuick,
            BAD_STATUS => Trouble::BadStatus,
            NOT_SPAWNED => Trouble::Forgotten,
            _ => return Err(bad_flags),
        };
        if stop_after_spawn.is_some() && (state != State::Starting || pid.is_some()) {
            return Err(bad_flags);
        }
        if flags & STOP_FAILED != 0 && state != State::Unknown {
            return Err(bad_flags);
        }
        Ok(Self {
            policy,
            state,
            pid,
            tries: snapshot.tries,
            end: end_of(snapshot.end)?,
            end_counts: flags & END_COUNTS != 0,
            trouble,
            stop_after_spawn,
            stop_failed: flags & STOP_FAILED != 0,
            ending: flags & ENDING != 0,
        })
    }
}

fn pid_of(state: State, word: u32) -> Result<Option<i32>, BadSnapshot> {
    let bad = BadSnapshot::Pid { state, pid: word };
    let number = i32::try_from(word).map_err(|_| bad)?;
    let pid = (number != 0).then_some(number);
    let may = match state {
        State::Starting => true,
        State::Running | State::Stopping | State::Unknown => pid.is_some(),
        State::Stopped | State::Backoff | State::Exited | State::Fatal => pid.is_none(),
    };
    if may { Ok(pid) } else { Err(bad) }
}

fn end_word(end: End) -> u32 {
    match end {
        End::Exited { code } => EXITED | u32::from(code),
        End::Signaled {
            signal,
            core_dumped,
        } => SIGNALED | word(signal.number()) | if core_dumped { CORE } else { 0 },
        End::NotStarted { errno, exec } => {
            NOT_STARTED | (word(errno) & (EXEC - 1)) | if exec { EXEC } else { 0 }
        }
        End::Unknown => UNKNOWN,
    }
}

fn end_of(word: u32) -> Result<Option<End>, BadSnapshot> {
    let bad = BadSnapshot::End(word);
    let low = word & !KIND;
    let end = match word & KIND {
        0 if low == 0 => return Ok(None),
        EXITED => End::Exited {
            code: u8::try_from(low).map_err(|_| bad)?,
        },
        SIGNALED => End::Signaled {
            signal: i32::try_from(low & !CORE)
                .ok()
                .and_then(Signal::from_number)
                .ok_or(bad)?,
            core_dumped: low & CORE != 0,
        },
        NOT_STARTED => End::NotStarted {
            errno: i32::try_from(low & !EXEC).map_err(|_| bad)?,
            exec: low & EXEC != 0,
        },
        UNKNOWN if low == 0 => End::Unknown,
        _ => return Err(bad),
    };
    Ok(Some(end))
}
