//! The machine of one kept program: what to do next, for every event in every state.
//!
//! Total and pure: no clock (timers are actions, times come with events), no I/O, no `_` arm in the
//! transition. Whether an end came too quickly is told by how long the process lived, never by when
//! anybody looked.

use std::time::Duration;

use super::note::Note;
use super::policy::{Policy, exit_status};
use super::state::State;
use crate::life::End;
use crate::signal::Signal;

/// What the owner of the machine wakes it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// `startsecs` are over. Ends of processes that are known by then are to be told before it.
    Start,
    /// It is time for the next try.
    Backoff,
    /// `stopwaitsecs` are over.
    StopWait,
    /// It is time to say again that somebody waits for the stop.
    StopReport,
}

impl Timer {
    /// Every timer.
    pub const ALL: [Self; 4] = [Self::Start, Self::Backoff, Self::StopWait, Self::StopReport];
}

/// Who wants a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// Somebody, of this program.
    Asked {
        /// Whether he waits for it; the log says so, from time to time.
        awaited: bool,
    },
    /// The supervisor, which is ending: it is this program's turn.
    Shutdown,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants it to run, or it is started with the supervisor.
    Start,
    /// The process that was asked for is there.
    Spawned {
        /// Its number.
        pid: i32,
    },
    /// It is not.
    SpawnFailed {
        /// Why, for people: `spawnerr` of getProcessInfo.
        why: String,
    },
    /// The process was reaped, and what it had written is read.
    Exited {
        /// How it ended.
        end: End,
        /// From its spawn to its end.
        lived: Duration,
    },
    /// A timer that was armed ran out.
    TimerFired(Timer),
    /// It is to stop.
    StopRequested(StopRequest),
    /// A signal could not be sent, for another reason than that nobody was there.
    SignalFailed {
        /// What the system said.
        why: String,
        /// Whether it was somebody's signal and not one of the machine's own.
        foreign: bool,
    },
    /// The supervisor is ending: nothing is started any more. The stop comes when it is its turn.
    ShuttingDown,
}

/// A change of state, with what its event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// Failed starts in a row.
    pub tries: u32,
    /// Whether an end was expected; true where it is none.
    pub expected: bool,
    /// The process that is meant, also if it has just ended; 0 for none.
    pub pid: i32,
}

/// What the owner of the machine must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a process, and say [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn,
    /// Send the stop signal. That nobody is there is no failure.
    TellStop {
        /// To whom.
        pid: i32,
        /// What.
        signal: Signal,
        /// To its whole process group.
        group: bool,
    },
    /// Send KILL. That nobody is there is no failure.
    Kill {
        /// To whom.
        pid: i32,
        /// To its whole process group.
        group: bool,
    },
    /// Wake the machine after this long, forgetting what was armed of this timer before.
    Arm(Timer, Duration),
    /// Forget this timer.
    Disarm(Timer),
    /// Tell listeners, and who waits for it.
    Changed(Change),
    /// Write this into the main log.
    Note(Note),
}

/// The shortest time from one KILL to the next, whatever `stopwaitsecs` is: what KILL does not end
/// at once it does not end by being sent without a pause.
pub const SHORTEST_KILL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the log says that somebody waits for a stop.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// Why it does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No reason.
    None,
    /// It ended before its `startsecs` were over.
    TooQuick,
    /// It ended with a status that was not expected.
    BadStatus,
    /// It was not started.
    Spawn(String),
    /// It was not started, and why is forgotten.
    Forgotten,
}

/// One kept program.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) policy: Policy,
    pub(super) state: State,
    /// The process that there is, whatever the state says about it. STARTING without one: it is
    /// being spawned.
    pub(super) pid: Option<i32>,
    pub(super) tries: u32,
    pub(super) end: Option<End>,
    /// Whether that end counts for `exitstatus`: it does until the next start, and unless it came
    /// too early.
    pub(super) end_counts: bool,
    pub(super) trouble: Trouble,
    /// A stop that came while a process was being spawned.
    pub(super) stop_after_spawn: Option<StopRequest>,
    /// The stop that was under way when a signal could not be sent.
    pub(super) stop_failed: bool,
    pub(super) ending: bool,
}

impl Machine {
    /// A program that was never started.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Stopped,
            pid: None,
            tries: 0,
            end: None,
            end_counts: false,
            trouble: Trouble::None,
            stop_after_spawn: None,
            stop_failed: false,
            ending: false,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// How it is kept.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The process that there is.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Failed starts in a row.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// How its last process ended, also if that was too early.
    #[must_use]
    pub fn last_end(&self) -> Option<End> {
        self.end
    }

    /// `exitstatus` of getProcessInfo: the last exit code, -1 for a signal, 0 while it runs and after
    /// an end that came too early.
    #[must_use]
    pub fn exitstatus(&self) -> i32 {
        self.end.filter(|_| self.end_counts).map_or(0, exit_status)
    }

    /// Takes one event and appends what is to be done about it.
    pub fn handle(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Start => self.start_requested(actions),
            Event::Spawned { pid } => self.spawned(pid, Duration::ZERO, actions),
            Event::SpawnFailed { why } => self.spawn_failed(why, actions),
            Event::Exited { end, lived } => self.exited(end, lived, actions),
            Event::TimerFired(timer) => self.timer_fired(timer, actions),
            Event::StopRequested(request) => self.stop_requested(request, actions),
            Event::SignalFailed { why, foreign } => self.signal_failed(why, foreign, actions),
            Event::ShuttingDown => self.shutting_down(actions),
        }
    }

    fn start_requested(&mut self, actions: &mut Vec<Action>) {
        match self.state {
            State::Stopped | State::Exited | State::Fatal => {
                if !self.ending {
                    // Who asks for a start wants all the tries that the policy grants.
                    self.tries = 0;
                    self.start(actions);
                }
            }
            State::Stopping => actions.push(Action::Note(Note::AlreadyRunning)),
            State::Starting | State::Running | State::Backoff | State::Unknown => {}
        }
    }

    /// A process that was spawned so long ago is there.
    pub(super) fn spawned(&mut self, pid: i32, ago: Duration, actions: &mut Vec<Action>) {
        match self.state {
            State::Starting if self.pid.is_none() => {
                self.pid = Some(pid);
                actions.push(Action::Note(Note::Spawned { pid }));
                if let Some(request) = self.stop_after_spawn.take() {
                    self.stop(request, actions);
                } else {
                    self.wait_for_start(ago, actions);
                }
            }
            State::Stopped
            | State::Starting
            | State::Running
            | State::Backoff
            | State::Stopping
            | State::Exited
            | State::Fatal
            | State::Unknown => {}
        }
    }

    fn spawn_failed(&mut self, why: String, actions: &mut Vec<Action>) {
        match self.state {
            State::Starting if self.pid.is_none() => {
                actions.push(Action::Note(Note::SpawnFailed { why: why.clone() }));
                self.trouble = Trouble::Spawn(why);
                self.back_off(actions);
                if let Some(request) = self.stop_after_spawn.take() {
                    self.stop_requested(request, actions);
                }
            }
            State::Stopped
            | State::Starting
            | State::Running
            | State::Backoff
            | State::Stopping
            | State::Exited
            | State::Fatal
            | State::Unknown => {}
        }
    }

    fn exited(&mut self, end: End, lived: Duration, actions: &mut Vec<Action>) {
        // An end of nobody: told twice, or of an earlier process.
        if self.pid.is_none() {
            return;
        }
        self.end = Some(end);
        match self.state {
            State::Starting => {
                actions.push(Action::Disarm(Timer::Start));
                if lived < self.policy.start_time() {
                    self.exited_too_quickly(end, actions);
                } else {
                    // It was up for long enough, only nobody had noticed yet.
                    self.succeed(actions);
                    self.exited_by_itself(end, actions);
                }
            }
            State::Running => self.exited_by_itself(end, actions),
            State::Stopping => self.exited_after_stop(end, actions),
            // Nobody knew what it does; that it ended is known again.
            State::Unknown if self.stop_failed => self.exited_after_stop(end, actions),
            State::Unknown => self.exited_by_itself(end, actions),
            // There is no process in these states.
            State::Stopped | State::Backoff | State::Exited | State::Fatal => {}
        }
    }

    fn exited_too_quickly(&mut self, end: End, actions: &mut Vec<Action>) {
        self.end_counts = false;
        self.trouble = Trouble::TooQuick;
        actions.push(Action::Note(Note::Exited {
            end,
            expected: false,
        }));
        self.pid = None;
        self.back_off(actions);
    }

    fn exited_by_itself(&mut self, end: End, actions: &mut Vec<Action>) {
        let expected = self.policy.is_expected(end);
        self.end_counts = true;
        self.trouble = if expected {
            Trouble::None
        } else {
            Trouble::BadStatus
        };
        self.tries = 0;
        self.change(State::Exited, expected, actions);
        self.pid = None;
        actions.push(Action::Note(Note::Exited { end, expected }));
        if !self.ending && self.policy.restarts_after(end) {
            self.start(actions);
        }
    }

    fn exited_after_stop(&mut self, end: End, actions: &mut Vec<Action>) {
        actions.push(Action::Disarm(Timer::StopWait));
        actions.push(Action::Disarm(Timer::StopReport));
        self.end_counts = true;
        self.stop_failed = false;
        self.change(State::Stopped, true, actions);
        self.pid = None;
        actions.push(Action::Note(Note::Stopped {
            end,
            expected: self.policy.is_expected(end),
        }));
    }

    fn timer_fired(&mut self, timer: Timer, actions: &mut Vec<Action>) {
        match (timer, self.state) {
            (Timer::Start, State::Starting) if self.pid.is_some() => self.succeed(actions),
            (Timer::Backoff, State::Backoff) if !self.ending => self.start(actions),
            (Timer::StopWait, State::Stopping) => self.kill(actions),
            (Timer::StopReport, State::Stopping) => {
                actions.push(Action::Note(Note::WaitingToStop));
                actions.push(Action::Arm(Timer::StopReport, REPORT_INTERVAL));
            }
            // A timer that fired while its reason went away.
            (
                Timer::Start,
                State::Stopped
                | State::Starting
                | State::Running
                | State::Backoff
                | State::Stopping
                | State::Exited
                | State::Fatal
                | State::Unknown,
            )
            | (
                Timer::Backoff,
                State::Stopped
                | State::Starting
                | State::Running
                | State::Backoff
                | State::Stopping
                | State::Exited
                | State::Fatal
                | State::Unknown,
            )
            | (
                Timer::StopWait | Timer::StopReport,
                State::Stopped
                | State::Starting
                | State::Running
                | State::Backoff
                | State::Exited
                | State::Fatal
                | State::Unknown,
            ) => {}
        }
    }

    fn stop_requested(&mut self, request: StopRequest, actions: &mut Vec<Action>) {
        match self.state {
            State::Starting if self.pid.is_none() => {
                // Nothing but the process itself can be stopped; its start cannot be called back.
                self.stop_after_spawn = Some(match self.stop_after_spawn {
                    Some(StopRequest::Shutdown) => StopRequest::Shutdown,
                    Some(StopRequest::Asked { .. }) | None => request,
                });
            }
            State::Starting => {
                actions.push(Action::Disarm(Timer::Start));
                self.stop(request, actions);
            }
            State::Running => self.stop(request, actions),
            State::Backoff => {
                actions.push(Action::Disarm(Timer::Backoff));
                match request {
                    StopRequest::Asked { .. } => {
                        actions.push(Action::Note(Note::StoppedInBackoff));
                        self.change(State::Stopped, true, actions);
                    }
                    StopRequest::Shutdown => self.give_up(actions),
                }
            }
            // It is being stopped, there is nothing to stop, or nothing to do it with.
            State::Stopping | State::Stopped | State::Exited | State::Fatal | State::Unknown => {}
        }
    }

    fn signal_failed(&mut self, why: String, foreign: bool, actions: &mut Vec<Action>) {
        let Some(pid) = self.pid else { return };
        match self.state {
            State::Starting | State::Running | State::Stopping => {
                for timer in [Timer::Start, Timer::StopWait, Timer::StopReport] {
                    actions.push(Action::Disarm(timer));
                }
                actions.push(Action::Note(if foreign {
                    Note::SignalFailed { pid, why }
                } else {
                    Note::KillFailed { pid, why }
                }));
                self.stop_failed = self.state == State::Stopping;
                self.change(State::Unknown, true, actions);
            }
            State::Stopped | State::Backoff | State::Exited | State::Fatal | State::Unknown => {}
        }
    }

    fn shutting_down(&mut self, actions: &mut Vec<Action>) {
        self.ending = true;
        match self.state {
            State::Backoff => actions.push(Action::Disarm(Timer::Backoff)),
            State::Stopped
            | State::Starting
            | State::Running
            | State::Stopping
            | State::Exited
            | State::Fatal
            | State::Unknown => {}
        }
    }

    fn start(&mut self, actions: &mut Vec<Action>) {
        self.end_counts = false;
        self.trouble = Trouble::None;
        self.change(State::Starting, true, actions);
        actions.push(Action::Spawn);
    }

    /// The process has lived for so long; the rest of its `startsecs` is waited for.
    pub(super) fn wait_for_start(&mut self, lived: Duration, actions: &mut Vec<Action>) {
        let all = self.policy.start_time();
        if all.is_zero() {
            self.succeed(actions);
        } else {
            actions.push(Action::Arm(Timer::Start, all.saturating_sub(lived)));
        }
    }

    fn succeed(&mut self, actions: &mut Vec<Action>) {
        self.tries = 0;
        self.change(State::Running, true, actions);
        actions.push(Action::Note(Note::Success {
            startsecs: self.policy.startsecs,
        }));
    }

    /// A start that failed: another one later, or none.
    fn back_off(&mut self, actions: &mut Vec<Action>) {
        self.tries = self.tries.saturating_add(1);
        self.change(State::Backoff, true, actions);
        if self.policy.is_too_many(self.tries) {
            self.give_up(actions);
            actions.push(Action::Note(Note::GaveUp));
        } else if !self.ending {
            let delay = self.policy.backoff_time(self.tries);
            actions.push(Action::Arm(Timer::Backoff, delay));
        }
    }

    fn give_up(&mut self, actions: &mut Vec<Action>) {
        self.tries = 0;
        self.change(State::Fatal, true, actions);
    }

    fn stop(&mut self, request: StopRequest, actions: &mut Vec<Action>) {
        let Some(pid) = self.pid else { return };
        let group = self.policy.stopasgroup;
        let signal = self.policy.stopsignal;
        actions.push(Action::Note(Note::Killing { pid, group, signal }));
        self.change(State::Stopping, true, actions);
        if let Some(signal) = signal {
            actions.push(Action::TellStop { pid, signal, group });
        }
        actions.push(Action::Arm(Timer::StopWait, self.policy.stop_time()));
        match request {
            StopRequest::Asked { awaited: true } => {
                actions.push(Action::Note(Note::WaitingToStop));
                actions.push(Action::Arm(Timer::StopReport, REPORT_INTERVAL));
            }
            StopRequest::Asked { awaited: false } | StopRequest::Shutdown => {}
        }
    }

    fn kill(&mut self, actions: &mut Vec<Action>) {
        let Some(pid) = self.pid else { return };
        let group = self.policy.killasgroup;
        let signal = Some(Signal::KILL);
        actions.push(Action::Note(Note::KillingHard { pid }));
        actions.push(Action::Note(Note::Killing { pid, group, signal }));
        actions.push(Action::Kill { pid, group });
        let again = self.policy.stop_time().max(SHORTEST_KILL_INTERVAL);
        actions.push(Action::Arm(Timer::StopWait, again));
    }

    fn change(&mut self, to: State, expected: bool, actions: &mut Vec<Action>) {
        let from = self.state;
        self.state = to;
        actions.push(Action::Changed(Change {
            from,
            to,
            tries: self.tries,
            expected,
            pid: self.pid.unwrap_or(0),
        }));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
