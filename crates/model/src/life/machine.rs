//! The life machine: what to do next, for every event in every state.
//!
//! Total and pure: no clock (timers are actions), no I/O, no `_` arm in the transition.
//! The three facts (leader exited, tree empty, output at its end) are recorded one by one
//! and none is ever concluded from another.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::{CauseKind, End, Outcome};
use crate::signal::Signal;

/// The limits of one life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Ends the tree when the leader has run this long.
    pub timeout: Option<Duration>,
    /// Ends the tree when it has printed nothing for this long.
    pub idle_timeout: Option<Duration>,
    /// The stop signal; `None` passes on the one received, and TERM for limits.
    pub stop_signal: Option<Signal>,
    /// From the stop signal to the kill.
    pub grace: Duration,
    /// From the leader's exit to the stop signal for what outlived it.
    pub leftover_grace: Duration,
    /// A leader that exits with 0 has put its work into the background, as a daemon does that
    /// forks: what outlives it is the work, and no left-over.
    #[serde(default)]
    pub follow: bool,
    /// Says once, when the leader has run this long, that it does.
    #[serde(default)]
    pub warn_after: Option<Duration>,
    /// [`Policy::timeout`] and [`Policy::warn_after`] are about the tree: they go on when the leader
    /// has ended.
    #[serde(default)]
    pub limits_the_tree: bool,
}

impl Default for Policy {
    /// No limits, ten seconds of grace, two for left-overs.
    fn default() -> Self {
        Self {
            timeout: None,
            idle_timeout: None,
            stop_signal: None,
            grace: Duration::from_secs(10),
            leftover_grace: Duration::from_secs(2),
            follow: false,
            warn_after: None,
            limits_the_tree: false,
        }
    }
}

/// Where a life stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The leader is being started.
    Spawning,
    /// The leader runs.
    Running,
    /// The leader has ended; others have not, and may still end by themselves.
    Lingering,
    /// Everybody was told to stop; the grace runs.
    Stopping,
    /// The grace is over; everybody is being killed until nobody is left.
    Killing,
    /// Nobody is left; what they wrote is still on its way.
    Draining,
    /// Over. Nothing changes any more.
    Done,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Spawning,
        Self::Running,
        Self::Lingering,
        Self::Stopping,
        Self::Killing,
        Self::Draining,
        Self::Done,
    ];
}

/// What the engine wakes the machine for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// [`Policy::timeout`].
    TimeLimit,
    /// [`Policy::idle_timeout`]; the engine pushes it back at each byte of output.
    IdleLimit,
    /// [`Policy::leftover_grace`].
    LeftOverGrace,
    /// [`Policy::grace`].
    Grace,
    /// Time to kill again what is still there.
    KillAgain,
    /// How long undelivered output is kept for a reader that does not read, once a stop was asked.
    DrainLimit,
    /// [`Policy::warn_after`].
    Warning,
}

impl Timer {
    /// Every timer.
    pub const ALL: [Self; 7] = [
        Self::TimeLimit,
        Self::IdleLimit,
        Self::LeftOverGrace,
        Self::Grace,
        Self::KillAgain,
        Self::DrainLimit,
        Self::Warning,
    ];
}

/// A request to stop, from outside the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// This signal was sent to ward.
    Signal(Signal),
    /// The front was killed: its caller is gone, or wants everything gone.
    FrontLost,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The leader's exec succeeded.
    Spawned,
    /// The leader was not started.
    SpawnFailed(End),
    /// The leader was reaped.
    LeaderExited(End),
    /// No member is left but those that were detached on purpose.
    TreeEmptied,
    /// Everything that members wrote was delivered.
    OutputEnded,
    /// Somebody wants the end.
    StopRequested(StopRequest),
    /// The lock that the members work under is about to be lost. Whoever says so says it again,
    /// with nothing left, when that time is over, however long the grace may be.
    LockLost {
        /// For so long nobody else can have it; by then nobody may be left.
        left: Duration,
    },
    /// A timer that was armed ran out.
    TimerFired(Timer),
    /// Members are left that no signal ends (no permission, or uninterruptible).
    KillStalled,
}

/// What the engine must do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Wake the machine after this long.
    Arm(Timer, Duration),
    /// Forget this timer.
    Disarm(Timer),
    /// Say that it has run for [`Policy::warn_after`].
    Warn,
    /// Take down who outlived the leader.
    NameLeftOver,
    /// Send this signal once to every member that has not been told yet.
    SignalTree(Signal, CauseKind),
    /// Name the survivors and kill every member.
    KillTree,
    /// Deliver what is in the pipes now, then say [`Event::OutputEnded`]; writers that are
    /// not members may keep the pipes open for ever.
    DrainOutput,
    /// Report the outcome. Said once, last.
    Finish,
}

/// How often the kill is repeated while members are left.
pub const KILL_INTERVAL: Duration = Duration::from_millis(20);

/// What is about a leader that runs.
const OF_THE_LEADER: [Timer; 3] = [Timer::TimeLimit, Timer::IdleLimit, Timer::Warning];

/// Undelivered output is kept at least this long.
const SHORTEST_DRAIN: Duration = Duration::from_secs(2);

/// One attempt of one process tree.
#[derive(Debug, Clone)]
pub struct Life {
    policy: Policy,
    state: State,
    end: Option<End>,
    output_ended: bool,
    cause: Option<CauseKind>,
    stopped_before_end: bool,
    forced: bool,
    hurried: bool,
    stalled: bool,
    output_cut: bool,
}

impl Life {
    /// A life whose leader is about to be started.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Spawning,
            end: None,
            output_ended: false,
            cause: None,
            stopped_before_end: false,
            forced: false,
            hurried: false,
            stalled: false,
            output_cut: false,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// How the leader ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Why it was told to stop, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<CauseKind> {
        self.cause
    }

    /// The truth, once it is [`State::Done`].
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        (self.state == State::Done).then(|| Outcome {
            end: self.end.unwrap_or(End::Unknown),
            cause: self.cause,
            stopped_before_end: self.stopped_before_end,
            forced: self.forced,
            hurried: self.hurried,
            stalled: self.stalled,
            output_cut: self.output_cut,
        })
    }

    /// Takes one event and appends what is to be done about it.
    pub fn handle(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Spawned => self.spawned(actions),
            Event::SpawnFailed(end) => self.spawn_failed(end, actions),
            Event::LeaderExited(end) => self.leader_exited(end, actions),
            Event::TreeEmptied => self.tree_emptied(actions),
            Event::OutputEnded => self.output_ended(actions),
            Event::StopRequested(request) => self.stop_requested(request, actions),
            Event::LockLost { left } => self.lock_lost(left, actions),
            Event::TimerFired(timer) => self.timer_fired(timer, actions),
            Event::KillStalled => self.kill_stalled(actions),
        }
    }

    fn spawned(&mut self, actions: &mut Vec<Action>) {
        match self.state {
            State::Spawning => {
                self.state = State::Running;
                if let Some(limit) = self.policy.timeout {
                    actions.push(Action::Arm(Timer::TimeLimit, limit));
                }
                if let Some(limit) = self.policy.idle_timeout {
                    actions.push(Action::Arm(Timer::IdleLimit, limit));
                }
                if let Some(time) = self.policy.warn_after {
                    actions.push(Action::Arm(Timer::Warning, time));
                }
                // A request that came while the leader was being started.
                if let Some(cause) = self.cause {
                    let signal = self.policy.stop_signal.unwrap_or(Signal::TERM);
                    self.stop(cause, signal, actions);
                }
            }
            State::Running
            | State::Lingering
            | State::Stopping
            | State::Killing
            | State::Draining
            | State::Done => {}
        }
    }

    fn spawn_failed(&mut self, end: End, actions: &mut Vec<Action>) {
        match self.state {
            State::Spawning => {
                self.end = Some(end);
                self.finish(actions);
            }
            State::Running
            | State::Lingering
            | State::Stopping
            | State::Killing
            | State::Draining
            | State::Done => {}
        }
    }

    fn leader_exited(&mut self, end: End, actions: &mut Vec<Action>) {
        self.end.get_or_insert(end);
        match self.state {
            State::Running => {
                self.state = State::Lingering;
                for timer in OF_THE_LEADER {
                    if timer == Timer::IdleLimit || !self.policy.limits_the_tree {
                        actions.push(Action::Disarm(timer));
                    }
                }
                if !self.is_followed() {
                    actions.push(Action::Arm(
                        Timer::LeftOverGrace,
                        self.policy.leftover_grace,
                    ));
                }
            }
            State::Spawning
            | State::Lingering
            | State::Stopping
            | State::Killing
            | State::Draining
            | State::Done => {}
        }
    }

    fn tree_emptied(&mut self, actions: &mut Vec<Action>) {
        match self.state {
            // The leader is a member: as long as its end is not known, somebody is left.
            State::Spawning | State::Running => {}
            State::Stopping | State::Killing if self.end.is_none() => {}
            State::Lingering | State::Stopping | State::Killing => self.drain(actions),
            State::Draining | State::Done => {}
        }
    }

    fn output_ended(&mut self, actions: &mut Vec<Action>) {
        match self.state {
            State::Spawning
            | State::Running
            | State::Lingering
            | State::Stopping
            | State::Killing => self.output_ended = true,
            State::Draining => self.finish(actions),
            State::Done => {}
        }
    }

    fn stop_requested(&mut self, request: StopRequest, actions: &mut Vec<Action>) {
        let (cause, signal) = match request {
            StopRequest::Signal(signal) => (CauseKind::Requested, signal),
            StopRequest::FrontLost => (CauseKind::FrontLost, Signal::TERM),
        };
        let signal = self.policy.stop_signal.unwrap_or(signal);
        match self.state {
            State::Spawning => {
                self.raise(cause);
                self.stopped_before_end = true;
            }
            State::Running | State::Lingering => self.stop(cause, signal, actions),
            State::Stopping => {
                let told_by_a_person = self.cause != Some(CauseKind::LeftOver);
                self.raise(cause);
                match request {
                    // Who asks twice does not want to wait; but the first request of a
                    // person while left-overs are being stopped is a first request.
                    StopRequest::Signal(_) if told_by_a_person => {
                        self.hurried = true;
                        self.kill(actions);
                    }
                    // The front's death says nothing about the grace it had granted.
                    StopRequest::Signal(_) | StopRequest::FrontLost => {}
                }
            }
            State::Killing => self.raise(cause),
            State::Draining => match request {
                StopRequest::Signal(_) if self.hurried => {
                    self.output_cut = true;
                    self.finish(actions);
                }
                StopRequest::Signal(_) => {
                    self.hurried = true;
                    actions.push(Action::Arm(Timer::DrainLimit, self.drain_limit()));
                }
                StopRequest::FrontLost => {
                    actions.push(Action::Arm(Timer::DrainLimit, self.drain_limit()));
                }
            },
            State::Done => {}
        }
    }

    fn lock_lost(&mut self, left: Duration, actions: &mut Vec<Action>) {
        // Clean-up has as long as it would have had, but no longer than the lock has.
        self.policy.grace = self.policy.grace.min(left);
        match self.state {
            State::Spawning => {
                self.raise(CauseKind::LockLost);
                self.stopped_before_end = true;
            }
            State::Running | State::Lingering => {
                let signal = self.policy.stop_signal.unwrap_or(Signal::TERM);
                self.stop(CauseKind::LockLost, signal, actions);
            }
            State::Stopping => {
                self.raise(CauseKind::LockLost);
                if left.is_zero() {
                    self.kill(actions);
                }
            }
            State::Killing => self.raise(CauseKind::LockLost),
            // Nobody is left, or nobody who can be ended.
            State::Draining | State::Done => {}
        }
    }

    fn timer_fired(&mut self, timer: Timer, actions: &mut Vec<Action>) {
        let signal = self.policy.stop_signal.unwrap_or(Signal::TERM);
        match (timer, self.state) {
            (Timer::TimeLimit, State::Running) => {
                self.stop(CauseKind::TimeLimit, signal, actions);
            }
            (Timer::IdleLimit, State::Running) => {
                self.stop(CauseKind::IdleLimit, signal, actions);
            }
            (Timer::LeftOverGrace, State::Lingering) => {
                self.stop(CauseKind::LeftOver, signal, actions);
            }
            (Timer::Warning, State::Running) => actions.push(Action::Warn),
            (Timer::TimeLimit, State::Lingering) if self.policy.limits_the_tree => {
                self.stop(CauseKind::TimeLimit, signal, actions);
            }
            (Timer::Warning, State::Lingering) if self.policy.limits_the_tree => {
                actions.push(Action::Warn);
            }
            (Timer::Grace, State::Stopping) => self.kill(actions),
            (Timer::KillAgain, State::Killing) => {
                actions.push(Action::KillTree);
                actions.push(Action::Arm(Timer::KillAgain, KILL_INTERVAL));
            }
            (Timer::DrainLimit, State::Draining) => {
                self.output_cut = true;
                self.finish(actions);
            }
            // A timer that fired while its reason went away.
            (
                Timer::TimeLimit | Timer::IdleLimit | Timer::Warning,
                State::Spawning
                | State::Lingering
                | State::Stopping
                | State::Killing
                | State::Draining
                | State::Done,
            )
            | (
                Timer::LeftOverGrace,
                State::Spawning
                | State::Running
                | State::Stopping
                | State::Killing
                | State::Draining
                | State::Done,
            )
            | (
                Timer::Grace,
                State::Spawning
                | State::Running
                | State::Lingering
                | State::Killing
                | State::Draining
                | State::Done,
            )
            | (
                Timer::KillAgain,
                State::Spawning
                | State::Running
                | State::Lingering
                | State::Stopping
                | State::Draining
                | State::Done,
            )
            | (
                Timer::DrainLimit,
                State::Spawning
                | State::Running
                | State::Lingering
                | State::Stopping
                | State::Killing
                | State::Done,
            ) => {}
        }
    }

    fn kill_stalled(&mut self, actions: &mut Vec<Action>) {
        match self.state {
            State::Killing => {
                self.stalled = true;
                self.drain(actions);
            }
            State::Spawning
            | State::Running
            | State::Lingering
            | State::Stopping
            | State::Draining
            | State::Done => {}
        }
    }

    /// Whether the leader has ended and the work goes on ([`Policy::follow`]).
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.policy.follow && self.end == Some(End::Exited { code: 0 })
    }

    /// Replaces [`Policy::grace`] for a stop that has not begun.
    pub fn set_grace(&mut self, grace: Duration) {
        self.policy.grace = grace;
    }

    fn raise(&mut self, cause: CauseKind) {
        self.cause = self.cause.max(Some(cause));
    }

    fn stop(&mut self, cause: CauseKind, signal: Signal, actions: &mut Vec<Action>) {
        self.raise(cause);
        self.stopped_before_end |= self.end.is_none();
        if self.state == State::Lingering && !self.is_followed() {
            actions.push(Action::NameLeftOver);
        }
        self.state = State::Stopping;
        for timer in OF_THE_LEADER {
            actions.push(Action::Disarm(timer));
        }
        actions.push(Action::Disarm(Timer::LeftOverGrace));
        if self.policy.grace.is_zero() {
            // Who has no time to clean up need not be asked to.
            self.kill(actions);
            return;
        }
        actions.push(Action::SignalTree(signal, cause));
        actions.push(Action::Arm(Timer::Grace, self.policy.grace));
    }

    fn kill(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Killing;
        self.forced = true;
        actions.push(Action::Disarm(Timer::Grace));
        actions.push(Action::KillTree);
        actions.push(Action::Arm(Timer::KillAgain, KILL_INTERVAL));
    }

    fn drain(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Draining;
        for timer in [Timer::LeftOverGrace, Timer::Grace, Timer::KillAgain] {
            actions.push(Action::Disarm(timer));
        }
        if self.output_ended {
            self.finish(actions);
            return;
        }
        // Without a stop the reader may take its time, as it could without ward; but a
        // stopped run must end even if nobody reads.
        if self.cause.is_some_and(|cause| cause != CauseKind::LeftOver) {
            actions.push(Action::Arm(Timer::DrainLimit, self.drain_limit()));
        }
        actions.push(Action::DrainOutput);
    }

    /// How long undelivered output is kept: a reader deserves a moment even where the tree got
    /// none.
    fn drain_limit(&self) -> Duration {
        self.policy.grace.max(SHORTEST_DRAIN)
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Done;
        for timer in Timer::ALL {
            actions.push(Action::Disarm(timer));
        }
        actions.push(Action::Finish);
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
