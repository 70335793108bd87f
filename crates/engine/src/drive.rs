//! The one loop: turns what happened into events for the life machine, and does what it
//! asks for.
//!
//! Used by the guardian, and by the front when it carries on for a guardian that was
//! killed. Order within a turn: signals and exits, requests, timers, output last and by a
//! budget. Nothing in here waits but the one `epoll_wait`.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use ward_model::exit_code;
use ward_model::life::{Action, CauseKind, End, Event, Life, Outcome, State, StopRequest, Timer};
use ward_model::report::{Failure, Report, Sender};
use ward_model::signal::Signal;
use ward_model::wire::{FromGuardian, Origin, ToGuardian};
use ward_sys::Pid;
use ward_sys::contain::process::signal_own_child;
use ward_sys::contain::subreaper;
use ward_sys::reap::{self, Reaped, Status};
use ward_sys::signals::SignalSource;
use ward_sys::spawn::SpawnError;
use ward_sys::stage::Stage;

use crate::control::{Heard, Line};
use crate::custody::{Custody, Terminal};
use crate::error::EngineError;
use crate::front::Desk;
use crate::notice;
use crate::output::Flow;

/// How often the tree is looked at while its end is awaited and no event tells of it.
const LOOK: Duration = Duration::from_millis(50);

/// What a run needs only if it lasts is done after this long without any event.
const FIRST_REST: Duration = Duration::from_millis(10);

/// Two different signals within this time are one request: some callers send TERM and HUP
/// together.
const SAME_REQUEST: f64 = 0.1;

const SIGNALS: u64 = 0;
const CONTROL: u64 = 1;
const CGROUP: u64 = 2;
const WATCHED: u64 = 3;
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
    rested: bool,
    /// The stop signal that the user at the terminal sent.
    keyboard_stop: Option<Signal>,
    /// Which sinks are watched for room.
    awaiting_room: Vec<bool>,
    cgroup_watched: bool,
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
        let drive = Self {
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
            rested: false,
            keyboard_stop: None,
            awaiting_room: Vec::new(),
            cgroup_watched: false,
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
        Ok(drive)
    }

    fn watch(&self, fd: impl AsFd, token: u64, flags: EventFlags) {
        // Files cannot be watched (EPERM) and are always ready; nothing else fails here.
        let _ = epoll::add(&self.epoll, fd, EventData::new_u64(token), flags);
    }

    /// Starts the leader and drives the run to its end.
    pub(crate) fn run_from_start(mut self) -> Ended {
        match self.custody.launch() {
            Ok(pid) => {
                self.feed(Event::Spawned);
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

    /// Carries on a run whose guardian was killed.
    pub(crate) fn run_from_middle(mut self) -> Ended {
        self.custody.account.guardian_lost = true;
        self.feed(Event::Spawned);
        match (self.custody.leader(), self.custody.leader_status()) {
            (None, _) => self.leader_ended(End::Unknown),
            (Some(leader), Some(status)) => self.on_child(leader, status),
            (Some(_), None) => {}
        }
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

    fn launch_failed(&mut self, error: &SpawnError) {
        let (stage, errno) = error.stage_and_errno();
        let program = self.custody.spec.command[0].to_string_lossy().into_owned();
        let what = match stage {
            Stage::Directory => {
                let directory = self.custody.spec.directory.clone().unwrap_or_default();
                format!("changing directory to `{}`", directory.to_string_lossy())
            }
            stage => stage.describe().to_owned(),
        };
        let why = match error {
            SpawnError::Step { error, .. } | SpawnError::Clone(error) => plain(error),
            SpawnError::Nul(_) | SpawnError::KilledAtBirth { .. } => error.to_string(),
        };
        self.custody.account.failure = Some(Failure {
            step: what.clone(),
            errno,
            message: why.clone(),
        });
        self.custody
            .say(&format!("cannot start `{program}`: {what}: {why}"));
        if let Some(hint) = launch_hint(&program, stage, errno) {
            self.custody.say(&format!("hint: {hint}"));
        }
        self.feed(Event::SpawnFailed(End::NotStarted {
            errno,
            exec: stage == Stage::Exec,
        }));
    }

    fn run(mut self) -> Ended {
        let mut ready = Vec::with_capacity(32);
        loop {
            self.settle();
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
            if ready.is_empty() && !self.rested {
                self.rested = true;
                self.custody.account.note_memory();
                self.custody.tree.sweep();
            }
            // Ascending: signals and exits before requests before output.
            let mut tokens: Vec<u64> = ready.iter().map(|event| event.data.u64()).collect();
            tokens.sort_unstable();
            for token in tokens {
                self.on_ready(token);
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let timer = self
            .timers
            .next_due()
            .map(|due| due.saturating_duration_since(now));
        let timer = if self.rested {
            timer
        } else {
            Some(timer.map_or(FIRST_REST, |timer| timer.min(FIRST_REST)))
        };
        let look = self
            .awaits_emptiness()
            .then(|| (self.looked_at + LOOK).saturating_duration_since(now));
        match (timer, look) {
            (Some(timer), Some(look)) => Some(timer.min(look)),
            (one, other) => one.or(other),
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
                self.on_message(message);
            }
        }
    }

    fn on_line(&mut self) {
        loop {
            let heard = match &self.host {
                Host::Guardian(line) if self.line_open => line.hear(),
                Host::Guardian(_) | Host::Front(_) => return,
            };
            match heard {
                Heard::Message(message) => self.on_message(message),
                Heard::Nothing => return,
                Heard::Gone => {
                    self.front_lost();
                    return;
                }
            }
        }
    }

    fn front_lost(&mut self) {
        self.line_open = false;
        if let Host::Guardian(line) = &self.host {
            let _ = epoll::delete(&self.epoll, line);
        }
        let now = Instant::now();
        // The clock must not stand still for somebody who cannot continue it any more.
        self.timers.resume(now);
        self.custody
            .account
            .stop_asked(CauseKind::FrontLost, None, None, now);
        self.events
            .push_back(Event::StopRequested(StopRequest::FrontLost));
    }

    fn on_message(&mut self, message: ToGuardian) {
        let now = Instant::now();
        match message {
            ToGuardian::Stop {
                signal,
                sender,
                origin,
            } => self.stop_asked(signal, sender.as_ref(), origin, now),
            ToGuardian::Forward { signal } => {
                if let (Some(leader), None) = (self.custody.leader(), self.life.end()) {
                    let _ = signal_own_child(leader, signal.number());
                }
            }
            ToGuardian::Pause { stop_members } => {
                self.timers.pause(now);
                if stop_members {
                    self.custody.tree.signal_all(Signal::STOP);
                }
            }
            ToGuardian::Resume { continue_members } => {
                self.timers.resume(now);
                self.last_output = now;
                if continue_members {
                    self.custody.tree.signal_all(Signal::CONT);
                }
            }
        }
    }

    fn stop_asked(
        &mut self,
        signal: Signal,
        sender: Option<&Sender>,
        origin: Origin,
        now: Instant,
    ) {
        let keyboard =
            origin != Origin::Process && (signal == Signal::INT || signal == Signal::QUIT);
        // The keyboard speaks to the command, which may well do something else than end.
        if keyboard && origin == Origin::Terminal && self.life.end().is_none() {
            return;
        }
        if keyboard {
            self.keyboard_stop = Some(signal);
        }
        let last = self.custody.account.last_stop(now);
        let again = last.is_some();
        let account = &mut self.custody.account;
        account.stop_asked(CauseKind::Requested, Some(signal), sender.cloned(), now);
        if let Some((ago, Some(before))) = last
            && before != signal
            && ago < SAME_REQUEST
        {
            return;
        }
        let name = self.custody.spec.name();
        let text = if again {
            notice::again(signal)
        } else {
            let allowed = self.custody.spec.policy.grace;
            notice::requested(&name, signal, sender, origin, allowed)
        };
        self.custody.notice(&text);
        if let (Origin::Terminal, Terminal::Shared(group)) = (origin, self.custody.terminal) {
            let group = group.as_raw_nonzero().get();
            self.custody.tree.told_by_terminal(group);
        }
        self.events
            .push_back(Event::StopRequested(StopRequest::Signal(signal)));
    }

    /// Reaps, looks whether the tree is empty, fires timers and feeds the machine, until
    /// nothing is left to be done without waiting.
    fn settle(&mut self) {
        loop {
            let now = Instant::now();
            if self.awaits_emptiness() && now >= self.looked_at + LOOK {
                self.child_news = true;
            }
            if self.child_news {
                self.child_news = false;
                self.reap();
                self.look(now);
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
        if self.life.end().is_none() {
            self.custody.note_leader_status();
        }
        loop {
            match reap::next() {
                Reaped::Child(pid, status) => self.on_child(pid, status),
                Reaped::NothingNew => break,
                Reaped::NoChildren => {
                    self.no_children = true;
                    break;
                }
            }
        }
        // The guardian was killed while it was starting the leader, which never began.
        if self.no_children && self.life.end().is_none() && self.custody.account.guardian_lost {
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
                if self.custody.terminal == Terminal::Pseudo && !self.timers.paused() {
                    self.tell_front(&FromGuardian::LeaderStopped);
                }
            }
        }
    }

    fn leader_ended(&mut self, end: End) {
        self.custody.account.leader_ended(Instant::now());
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
            Timer::LeftOverGrace | Timer::Grace | Timer::KillAgain | Timer::DrainLimit => {
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
        let now = Instant::now();
        match action {
            Action::Arm(timer, after) => self.timers.arm(timer, after, now),
            Action::Disarm(timer) => self.timers.disarm(timer),
            Action::NameLeftOver => self.name_left_over(),
            Action::SignalTree(signal, cause) => self.tell(signal, cause, now),
            Action::KillTree => self.kill(now),
            Action::DrainOutput => {
                self.draining = true;
                for index in 0..self.custody.relay.sources.len() {
                    self.on_output(index);
                }
                self.check_output_end();
            }
            Action::Finish => self.outcome = self.life.outcome(),
        }
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

    fn tell(&mut self, signal: Signal, cause: CauseKind, now: Instant) {
        if cause == CauseKind::LeftOver {
            self.custody.account.stop_asked(cause, None, None, now);
        }
        let telling = self.custody.tree.tell(signal);
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
        if self.custody.account.killed.count == 0 {
            self.custody.account.look_at_watched(now);
            let listed = self.custody.tree.name_all();
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

    /// Watches sinks that have something to write and no room for it.
    fn await_room(&mut self) {
        self.awaiting_room
            .resize(self.custody.relay.sinks.len(), false);
        for index in 0..self.awaiting_room.len() {
            let sink = &self.custody.relay.sinks[index];
            if sink.pending() > 0 && !sink.closed() && !self.awaiting_room[index] {
                self.awaiting_room[index] = true;
                self.watch(sink, SINKS + index as u64, EventFlags::OUT);
            }
        }
    }

    fn on_room(&mut self, sink: usize) {
        if let Some(awaiting) = self.awaiting_room.get_mut(sink) {
            *awaiting = false;
        }
        let relay = &mut self.custody.relay;
        if let Some(sink) = relay.sinks.get_mut(sink) {
            let _ = epoll::delete(&self.epoll, &*sink);
            if sink.flush().is_err() {
                sink.close();
            }
        }
        for index in 0..self.custody.relay.sources.len() {
            if self.custody.relay.sink_of(index) == sink {
                self.resume_source(index);
                self.on_output(index);
            }
        }
        self.check_output_end();
    }

    fn resume_source(&self, index: usize) {
        if let Some(fd) = self.custody.relay.sources[index].fd() {
            self.watch(fd, SOURCES + index as u64, EventFlags::IN);
        }
    }

    fn on_output(&mut self, index: usize) {
        let source = &self.custody.relay.sources[index];
        if source.fd().is_none() {
            return;
        }
        let (flow, moved) = self.custody.relay.turn(index);
        if moved > 0 {
            self.last_output = Instant::now();
        }
        match flow {
            Flow::Open => {}
            Flow::Blocked => {
                if let Some(fd) = self.custody.relay.sources[index].fd() {
                    let _ = epoll::delete(&self.epoll, fd);
                }
                let sink = self.custody.relay.sink_of(index);
                self.await_room();
                if !self.awaiting_room[sink] {
                    self.awaiting_room[sink] = true;
                    let to = &self.custody.relay.sinks[sink];
                    self.watch(to, SINKS + sink as u64, EventFlags::OUT);
                }
            }
            Flow::Ended => self.close_source(index),
            Flow::Refused => {
                self.close_source(index);
                self.tell_front(&FromGuardian::StreamRefused {
                    stream: u32::try_from(index).unwrap_or(0),
                });
            }
        }
        for (name, error) in self.custody.relay.take_failures() {
            self.custody.say(&format!("cannot write {name}: {error}"));
        }
        if let Some(log) = &mut self.custody.relay.log
            && let Some(error) = log.take_failure()
        {
            self.custody.say(&format!("the log is incomplete: {error}"));
        }
        self.check_output_end();
    }

    fn close_source(&mut self, index: usize) {
        let source = &mut self.custody.relay.sources[index];
        if let Some(fd) = source.fd() {
            let _ = epoll::delete(&self.epoll, fd);
        }
        source.close();
    }

    fn check_output_end(&mut self) {
        if self.output_ended {
            return;
        }
        let relay = &self.custody.relay;
        let ended = relay.ended()
            || (self.draining
                && relay.flushed()
                && (0..relay.sources.len()).all(|index| relay.is_dry(index)));
        if ended {
            self.output_ended = true;
            self.custody.account.output_ended(Instant::now());
            self.events.push_back(Event::OutputEnded);
        }
    }

    fn tell_front(&self, message: &FromGuardian) {
        match &self.host {
            Host::Guardian(line) if self.line_open => {
                line.say(message);
            }
            Host::Guardian(_) | Host::Front(_) => {}
        }
    }

    fn finish(self, outcome: Outcome) -> Ended {
        let Self {
            custody,
            host,
            line_open,
            timers,
            keyboard_stop,
            ..
        } = self;
        let now = Instant::now();
        custody.account.over(timers.paused_for(now), now);
        if let Some(log) = &mut custody.relay.log {
            log.finish();
        }
        if outcome.output_cut {
            custody.relay.give_up();
        }
        custody.account.spared = custody.tree.take_spared();
        say_how_it_ended(custody, &outcome);
        let report = (custody.report.is_some() || custody.reports_over_line).then(|| {
            let output = custody.output();
            let Custody {
                account,
                spec,
                run_id,
                tree,
                ..
            } = &mut *custody;
            account.report(spec, run_id, &outcome, tree, output)
        });
        if let (Some(file), Some(report)) = (custody.report.take(), &report) {
            let path = file.path().to_owned();
            if let Err(error) = file.write(report) {
                custody.say(&format!(
                    "cannot write the report `{}`: {error}",
                    path.display()
                ));
            }
        }
        Ended {
            exit_status: exit_code::of(&outcome),
            die_of: die_of(custody.terminal, keyboard_stop, &outcome),
            drains_on: custody
                .relay
                .sources
                .iter()
                .any(|source| source.fd().is_some()),
            report,
            line: match host {
                Host::Guardian(line) if line_open => Some(line),
                Host::Guardian(_) | Host::Front(_) => None,
            },
        }
    }
}

/// An ended run.
pub(crate) struct Ended {
    /// The signal to die of, where the user at the terminal ended the command with it: so
    /// that a shell's loop around us ends as well.
    pub(crate) die_of: Option<Signal>,
    /// Somebody still writes to the run's pipes.
    pub(crate) drains_on: bool,
    /// What the front exits with.
    pub(crate) exit_status: u8,
    /// The truth, where somebody wants it.
    pub(crate) report: Option<Report>,
    /// The line to the front, if it still listens.
    pub(crate) line: Option<Line>,
}

fn die_of(terminal: Terminal, stop: Option<Signal>, outcome: &Outcome) -> Option<Signal> {
    if stop.is_some() && outcome.stopped_before_end {
        return stop;
    }
    let End::Signaled { signal, .. } = outcome.end else {
        return None;
    };
    let by_keyboard = signal == Signal::INT || signal == Signal::QUIT;
    (terminal != Terminal::None && by_keyboard && outcome.cause.is_none()).then_some(signal)
}

fn say_how_it_ended(custody: &mut Custody, outcome: &Outcome) {
    let killed_by_nobody_known = outcome.end
        == End::Signaled {
            signal: Signal::KILL,
            core_dumped: false,
        }
        && !outcome.forced;
    let limited = custody.spec.tree_limits.memory_max.is_some();
    if killed_by_nobody_known || limited {
        let kills = custody.account.look_for_oom(custody.tree.cgroup.as_deref());
        if kills > 0 {
            custody.notice(&notice::out_of_memory(kills));
        }
    }
    if outcome.cause.is_some() && outcome.end != End::Unknown {
        let name = custody.spec.name();
        let (cleaned_up, longest) = custody.account.cleaned_up();
        let killed = custody.account.killed.count;
        let told = custody.account.told_count;
        if told > 0 || killed > 0 {
            let whom = match outcome.cause {
                Some(CauseKind::LeftOver) => format!("what {name} left"),
                _ => name,
            };
            custody.notice(&notice::stopped(&whom, told, cleaned_up, longest, killed));
        }
    }
    if custody.account.spared.count > 0 {
        let text = notice::spared(&custody.account.spared);
        custody.notice(&text);
    }
    if outcome.stalled {
        let text = notice::survivors(&custody.account.survivors);
        custody.say(&text);
    }
    if outcome.output_cut {
        let bytes = custody.relay.undelivered();
        custody.say(&format!(
            "nobody read the output: {bytes} bytes were given up"
        ));
    }
}

/// What the system says of an error, without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn launch_hint(program: &str, stage: Stage, errno: i32) -> Option<String> {
    const ENOENT: i32 = 2;
    const EACCES: i32 = 13;
    const ENOEXEC: i32 = 8;
    let has_slash = program.contains('/');
    match (stage, errno) {
        (Stage::Exec, ENOENT) if has_slash && std::path::Path::new(program).exists() => Some(
            "the file exists: the interpreter in its first line, or its loader, does not"
                .to_owned(),
        ),
        (Stage::Exec, ENOENT) if !has_slash => {
            Some("there is no such program in PATH; check its name, or give its path".to_owned())
        }
        (Stage::Exec, EACCES) => Some(format!(
            "it is not executable for this user (`chmod +x {program}`?), or a directory on its path is closed"
        )),
        (Stage::Exec, ENOEXEC) => {
            Some("it is neither a binary of this machine nor a script".to_owned())
        }
        (Stage::User | Stage::Group | Stage::Groups, _) => {
            Some("only root may run a command as somebody else".to_owned())
        }
        (Stage::Limits, _) => Some("only root may raise a hard limit".to_owned()),
        _ => None,
    }
}
