//! The one loop: turns what happened into events for the life machine, and does what it
//! asks for.
//!
//! Used by the guardian, and by the front when it carries on for a guardian that was
//! killed. Order within a turn: signals and exits, requests, timers, output last and by a
//! budget. Nothing in here waits but the one `epoll_wait`.

mod echoes;
mod ending;
mod failed_start;
mod flow;
mod lease;
mod requests;

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use ward_model::life::{Action, CauseKind, End, Event, Life, Outcome, State, Timer};
use ward_model::signal::Signal;
use ward_model::wire::FromGuardian;
use ward_sys::Pid;
use ward_sys::code;
use ward_sys::contain::subreaper;
use ward_sys::reap::{Reaped, Status};
use ward_sys::signals::SignalSource;

use crate::control::Line;
use crate::custody::{Custody, Terminal};
use crate::error::EngineError;
use crate::front::{Asked, Desk};
use crate::lease::Lookout;
use crate::notice;

pub(crate) use ending::Ended;

use echoes::Way;

/// How often the tree is looked at while its end is awaited and no event tells of it.
const LOOK: Duration = Duration::from_millis(50);

/// The same, where nobody waits for that end.
const RARE_LOOK: Duration = Duration::from_secs(5);

/// What a run needs only if it lasts is done after this long without any event.
const RESTS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

const SIGNALS: u64 = 0;
const CONTROL: u64 = 1;
const CGROUP: u64 = 2;
const WATCHED: u64 = 3;
const LEASE: u64 = 4;
const SOURCES: u64 = 0x100;
const SINKS: u64 = 0x200;

/// Whom the loop works for.
pub(crate) enum Host<'a> {
    /// The guardian, who hears from its front.
    Guardian(Line),
    /// The front, alone after its guardian was killed; it hears signals itself.
    Front(&'a mut Desk),
}

/// The loop of one run.
pub(crate) struct Drive<'a> {
    custody: &'a mut Custody,
    host: Host<'a>,
    line_open: bool,
    signals: &'a SignalSource,
    epoll: rustix::fd::OwnedFd,
    life: Life,
    timers: crate::timers::Timers,
    events: VecDeque<Event>,
    no_children: bool,
    child_news: bool,
    draining: bool,
    output_ended: bool,
    last_output: Instant,
    looked_at: Instant,
    outcome: Option<Outcome>,
    /// Whether there was a moment without anything to do.
    /// How often nothing has happened for as long as [`RESTS`] says.
    rests: usize,
    /// The stop signal that the user at the terminal sent.
    keyboard_stop: Option<Signal>,
    /// Which sinks are watched for room.
    awaiting_room: Vec<bool>,
    cgroup_watched: bool,
    /// Per source: when it was read last, and until when it rests.
    paces: Vec<flow::Pace>,
    /// Per source: how much of it is still to be delivered once the tree is empty.
    last_words: Vec<u64>,
    /// Requests that may arrive twice.
    echoes: echoes::Echoes,
    /// The past moment that is being made up for.
    moment: Option<Instant>,
    /// Our eye on the lease of the lock, while there is one.
    lookout: Option<Lookout>,
    /// Everybody is being stopped on account of the lock.
    losing_lock: bool,
}

impl<'a> Drive<'a> {
    /// A loop for a run that is ready to begin, or, with a leader, for one that is under way.
    ///
    /// # Errors
    /// When the kernel gives no epoll instance.
    pub(crate) fn new(
        custody: &'a mut Custody,
        host: Host<'a>,
        signals: &'a SignalSource,
    ) -> Result<Self, EngineError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|error| EngineError::system("wait for events")(error.into()))?;
        let now = Instant::now();
        let life = Life::new(custody.spec.policy.clone());
        let mut drive = Self {
            line_open: matches!(host, Host::Guardian(_)),
            custody,
            host,
            signals,
            epoll,
            life,
            timers: crate::timers::Timers::default(),
            events: VecDeque::new(),
            no_children: false,
            child_news: false,
            draining: false,
            output_ended: false,
            last_output: now,
            looked_at: now,
            outcome: None,
            rests: 0,
            keyboard_stop: None,
            awaiting_room: Vec::new(),
            cgroup_watched: false,
            paces: Vec::new(),
            last_words: Vec::new(),
            echoes: echoes::Echoes::default(),
            moment: None,
            lookout: None,
            losing_lock: false,
        };
        drive.watch(drive.signals, SIGNALS, EventFlags::IN);
        if let Host::Guardian(line) = &drive.host {
            drive.watch(line, CONTROL, EventFlags::IN);
        }
        for (index, source) in drive.custody.relay.sources.iter().enumerate() {
            if let Some(fd) = source.fd() {
                drive.watch(fd, SOURCES + index as u64, EventFlags::IN);
            }
        }
        drive.look_out()?;
        Ok(drive)
    }

    fn watch(&self, fd: impl AsFd, token: u64, flags: EventFlags) {
        // Files cannot be watched (EPERM) and are always ready; nothing else fails here.
        let _ = epoll::add(&self.epoll, fd, EventData::new_u64(token), flags);
    }

    /// Starts the leader and drives the run to its end.
    pub(crate) fn run_from_start(mut self) -> Ended {
        if self.lease_ending().is_some() {
            self.refuse_to_start();
            return self.run();
        }
        match self.custody.launch() {
            Ok(pid) => {
                self.feed(Event::Spawned);
                self.custody.note_start(pid);
                if self.custody.tells_start {
                    self.tell_front(&FromGuardian::Started {
                        leader: pid.as_raw_nonzero().get(),
                    });
                }
            }
            Err(error) => self.launch_failed(&error),
        }
        self.run()
    }

    /// Carries on a run whose guardian was killed, with what was asked of it so far.
    pub(crate) fn run_from_middle(mut self, asked: &[Asked]) -> Ended {
        self.custody.account.guardian_lost = true;
        let started = self.custody.account.started();
        self.custody.tree.take_over(started);
        self.moment = Some(started);
        self.feed(Event::Spawned);
        let replay = |drive: &mut Self, after_the_end: bool| {
            for one in asked
                .iter()
                .filter(|one| one.after_the_end == after_the_end)
            {
                drive.moment = Some(one.at);
                drive.on_message(one.message.clone(), one.at);
                while let Some(event) = drive.events.pop_front() {
                    drive.feed(event);
                }
            }
        };
        replay(&mut self, false);
        self.take_over_lease();
        match (self.custody.leader(), self.custody.leader_status()) {
            (None, _) => self.leader_ended(End::Unknown),
            (Some(leader), Some(status)) => self.on_child(leader, status),
            // The guardian may have been killed before it could say so.
            (Some(leader), None) => self.custody.note_start(leader),
        }
        replay(&mut self, true);
        self.moment = None;
        self.child_news = true;
        self.run()
    }

    /// From when on members may end without being our children, or being reaped by us.
    fn watch_cgroup(&mut self) {
        if std::mem::replace(&mut self.cgroup_watched, true) {
            return;
        }
        if let Some(cgroup) = &self.custody.tree.cgroup {
            self.watch(cgroup.events(), CGROUP, EventFlags::PRI);
        }
    }

    fn run(mut self) -> Ended {
        let mut ready = Vec::with_capacity(32);
        loop {
            self.settle();
            self.end_rests();
            self.await_room();
            if let Some(outcome) = self.outcome {
                return self.finish(outcome);
            }
            ready.clear();
            let timeout = self.timeout().map(|wait| rustix::event::Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(wait.subsec_nanos()),
            });
            if epoll::wait(&self.epoll, spare_capacity(&mut ready), timeout.as_ref()).is_err() {
                // EINTR; anything else cannot be (epoll_wait(2)).
                continue;
            }
            if ready.is_empty() {
                self.rest();
            }
            // Ascending: signals and exits before requests before output.
            let mut tokens: Vec<u64> = ready.iter().map(|event| event.data.u64()).collect();
            tokens.sort_unstable();
            for token in tokens {
                self.on_ready(token);
            }
        }
    }

    /// What can be done once nothing happens: first what the report wants, and then to need little.
    fn rest(&mut self) {
        self.rests += 1;
        match self.rests {
            1 => {
                self.custody.account.note_memory();
                self.custody.tree.sweep();
            }
            2 => code::let_rest(),
            _ => {}
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let timer = self
            .timers
            .next_due()
            .map(|due| due.saturating_duration_since(now));
        let timer = match RESTS.get(self.rests) {
            None => timer,
            Some(rest) => Some(timer.map_or(*rest, |timer| timer.min(*rest))),
        };
        let look = self
            .awaits_emptiness()
            .then(|| (self.looked_at + self.look_after()).saturating_duration_since(now));
        let rest = self
            .next_rest_end()
            .map(|end| end.saturating_duration_since(now));
        let kill = (self.life.state() == State::Killing)
            .then(|| self.custody.tree.kill_owed_at())
            .flatten()
            .map(|at| at.saturating_duration_since(now));
        let again = (self.custody.tree.tell_again_at()).map(|at| at.saturating_duration_since(now));
        [timer, look, rest, kill, again].into_iter().flatten().min()
    }

    /// How long after the last look the tree is looked at without any news. What goes on after
    /// its leader may do so for months.
    fn look_after(&self) -> Duration {
        if self.life.state() == State::Lingering && self.life.is_followed() {
            RARE_LOOK
        } else {
            LOOK
        }
    }

    /// The leader has ended, and so the tree may.
    fn awaits_emptiness(&self) -> bool {
        match self.life.state() {
            State::Lingering => true,
            State::Stopping | State::Killing => true,
            State::Spawning | State::Running | State::Draining | State::Done => false,
        }
    }

    fn on_ready(&mut self, token: u64) {
        match token {
            SIGNALS => self.on_signals(),
            CONTROL => self.on_line(),
            CGROUP => {
                // Reading it is what makes it quiet again; removed by somebody, it never is.
                if let Some(cgroup) = &self.custody.tree.cgroup
                    && cgroup.populated().is_err()
                {
                    let _ = epoll::delete(&self.epoll, cgroup.events());
                }
                self.child_news = true;
            }
            WATCHED => self.child_news = true,
            LEASE => self.on_lease(),
            token if token >= SINKS => self.on_room(usize::try_from(token - SINKS).unwrap_or(0)),
            token => self.on_output(usize::try_from(token - SOURCES).unwrap_or(0)),
        }
    }

    fn on_signals(&mut self) {
        while let Some(received) = self.signals.next() {
            if received.signal == Signal::CHLD.number() {
                self.child_news = true;
                continue;
            }
            let messages = match &mut self.host {
                // A keeper's two halves hear the same signals, as each may be alone.
                Host::Guardian(_) if self.custody.spec.detached.is_some() => {
                    let mut messages = Vec::new();
                    crate::keep::on_signal(received, &mut |message| messages.push(message));
                    if self.line_open {
                        messages.retain(|message| !self.echoes.is_echo(message, Way::Direct));
                    }
                    messages
                }
                // What is meant for the run is sent to the front.
                Host::Guardian(_) => Vec::new(),
                Host::Front(desk) => {
                    let mut messages = Vec::new();
                    desk.on_signal(received, self.custody.leader().is_some(), &mut |message| {
                        messages.push(message);
                    });
                    messages
                }
            };
            for message in messages {
                self.on_message(message, Instant::now());
            }
        }
    }

    /// Reaps, looks whether the tree is empty, fires timers and feeds the machine, until
    /// nothing is left to be done without waiting.
    fn settle(&mut self) {
        loop {
            let now = Instant::now();
            let kill_due = self.life.state() == State::Killing
                && self.custody.tree.kill_owed_at().is_some_and(|at| at <= now);
            if kill_due || (self.awaits_emptiness() && now >= self.looked_at + self.look_after()) {
                self.child_news = true;
            }
            if self
                .custody
                .tree
                .tell_again_at()
                .is_some_and(|at| at <= now)
            {
                self.custody.tree.tell_again();
            }
            if self.child_news {
                self.child_news = false;
                self.reap();
                self.look(Instant::now());
            }
            while let Some(timer) = self.timers.take_due(now) {
                self.on_timer(timer, now);
            }
            let Some(event) = self.events.pop_front() else {
                return;
            };
            self.feed(event);
            if event == Event::TreeEmptied || self.outcome.is_some() {
                continue;
            }
            // What was done about it may have ended somebody.
            if self.life.state() == State::Killing {
                self.child_news = true;
            }
        }
    }

    fn reap(&mut self) {
        self.no_children = false;
        loop {
            match self.custody.reap() {
                Reaped::Child(pid, status) => self.on_child(pid, status),
                Reaped::NothingNew => break,
                Reaped::NoChildren => {
                    self.no_children = true;
                    break;
                }
            }
        }
        // The guardian was killed while it was starting the leader, which never began.
        if self.life.end().is_none()
            && self.custody.account.guardian_lost
            && (self.no_children || self.custody.tree.has_strangers_only())
        {
            self.leader_ended(End::Unknown);
        }
        if self.life.state() == State::Killing && !self.no_children {
            // Each death hands us the next generation.
            let _ = self.custody.tree.kill_children();
        }
    }

    fn on_child(&mut self, pid: Pid, status: Status) {
        if self.custody.leader() != Some(pid) {
            return;
        }
        match status {
            Status::Exited(code) => self.leader_ended(End::Exited { code }),
            Status::Signaled(number, core_dumped) => {
                let signal = Signal::from_number(number).unwrap_or(Signal::KILL);
                self.leader_ended(End::Signaled {
                    signal,
                    core_dumped,
                });
            }
            Status::Stopped(_) => {
                // Unless it was we who stopped it.
                let by_us = self.timers.paused() || self.losing_lock;
                if self.custody.terminal == Terminal::Pseudo && !by_us {
                    self.tell_front(&FromGuardian::LeaderStopped);
                }
            }
        }
    }

    fn leader_ended(&mut self, end: End) {
        self.custody.account.leader_ended(Instant::now());
        self.custody
            .locks
            .work_ended(end == End::Exited { code: 0 });
        self.let_go_of_lease();
        self.feed(Event::LeaderExited(end));
    }

    /// Looks who has ended and whether anybody is left.
    fn look(&mut self, now: Instant) {
        if !self.awaits_emptiness() {
            return;
        }
        self.looked_at = now;
        self.custody.account.look_at_watched(now);
        if self.life.end().is_some() && self.custody.tree.is_empty(self.no_children) {
            self.custody.account.tree_emptied(now);
            self.custody.locks.tree_emptied();
            self.lookout = None;
            self.events.push_back(Event::TreeEmptied);
        } else {
            self.watch_cgroup();
        }
    }

    fn on_timer(&mut self, timer: Timer, now: Instant) {
        let policy = &self.custody.spec.policy;
        let (cause, limit) = match timer {
            Timer::IdleLimit => {
                let limit = policy.idle_timeout.unwrap_or_default();
                let quiet = now.saturating_duration_since(self.last_output);
                if quiet < limit {
                    self.timers.arm(timer, limit - quiet, now);
                    return;
                }
                (CauseKind::IdleLimit, limit)
            }
            Timer::TimeLimit => (CauseKind::TimeLimit, policy.timeout.unwrap_or_default()),
            Timer::LeftOverGrace
            | Timer::Grace
            | Timer::KillAgain
            | Timer::DrainLimit
            | Timer::Warning => {
                self.events.push_back(Event::TimerFired(timer));
                return;
            }
        };
        if self.life.state() == State::Running {
            self.custody.account.stop_asked(cause, None, None, now);
            let name = self.custody.spec.name();
            let text = notice::limit(&name, cause, limit, self.custody.spec.policy.grace);
            self.custody.notice(&text);
        }
        self.events.push_back(Event::TimerFired(timer));
    }

    fn feed(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.life.handle(event, &mut actions);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        let now = self.moment.unwrap_or_else(Instant::now);
        match action {
            // The guardian has said it already.
            Action::Arm(Timer::Warning, after)
                if self.moment.is_some_and(|then| then.elapsed() >= after) => {}
            Action::Arm(timer, after) => self.timers.arm(timer, after, now),
            Action::Disarm(timer) => self.timers.disarm(timer),
            Action::Warn => self.warn(),
            Action::NameLeftOver => self.name_left_over(),
            Action::SignalTree(signal, cause) => self.tell(signal, cause, now),
            Action::KillTree => self.kill(now),
            Action::DrainOutput => {
                self.draining = true;
                self.last_words = self.custody.relay.waiting();
                for index in 0..self.custody.relay.sources.len() {
                    self.on_output(index);
                }
                self.check_output_end();
            }
            Action::Finish => self.outcome = self.life.outcome(),
        }
    }

    fn warn(&mut self) {
        let policy = &self.custody.spec.policy;
        let name = self.custody.spec.name();
        let under_lock = self.custody.locks.are_held();
        let time = policy.warn_after.unwrap_or_default();
        let text = notice::warning(&name, under_lock, time, policy.timeout);
        self.custody.notice(&text);
    }

    fn name_left_over(&mut self) {
        let left = self.custody.tree.name_all();
        if left.count > 0 {
            let name = self.custody.spec.name();
            let text = notice::left_over(&name, &left, self.custody.spec.policy.grace);
            self.custody.notice(&text);
        }
        self.custody.account.left_over = left;
    }

    /// Puts on record that it is being stopped.
    fn note_stop(&mut self) {
        if let Some(record) = &mut self.custody.record {
            record.stopping();
        }
    }

    fn tell(&mut self, signal: Signal, cause: CauseKind, now: Instant) {
        self.note_stop();
        if cause == CauseKind::LeftOver {
            self.custody.account.stop_asked(cause, None, None, now);
        }
        if self.custody.has_told() {
            return;
        }
        let telling = self
            .custody
            .tree
            .tell(signal, self.custody.names_are_read());
        self.custody.note_told();
        for watched in &telling.told {
            self.watch(
                &watched.process,
                WATCHED,
                EventFlags::IN | EventFlags::ONESHOT,
            );
        }
        if !telling.denied.is_empty() {
            self.custody.notice(&notice::denied(&telling.denied));
        }
        self.custody
            .account
            .told(telling.told, telling.more, telling.denied, now);
    }

    fn kill(&mut self, now: Instant) {
        self.note_stop();
        if self.custody.account.killed.count == 0 {
            self.custody.account.look_at_watched(now);
            let named = self.custody.names_are_read();
            let listed = self.custody.tree.doomed(named);
            if listed.count > 0 {
                self.custody.notice(&notice::killing(&listed));
            }
            self.custody.account.killed = listed;
            self.custody.account.kill_began(now);
            subreaper::raise_priority();
        }
        if self.custody.tree.kill() {
            self.custody.account.survivors = self.custody.tree.survivors();
            self.events.push_back(Event::KillStalled);
        }
        self.child_news = true;
    }
}
