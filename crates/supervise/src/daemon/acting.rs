//! Doing what a machine says: the one place where a program's state meets the system.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::io::Errno;
use ward_model::program::{Action, Change, Event, Note, State, Timer};
use ward_model::signal::Signal;

use super::core::{Core, Due};
use super::program::ProgramId;
use crate::events::{self, Who};
use crate::keeper::Target;

impl Core {
    /// Tells the machine of a program what happened, and does all that follows.
    pub(crate) fn happen(&mut self, id: ProgramId, event: Event) {
        let mut queue = VecDeque::from([event]);
        let mut actions = Vec::new();
        while let Some(event) = queue.pop_front() {
            let Some(program) = self.programs.get_mut(&id) else {
                return;
            };
            program.machine.handle(event, &mut actions);
            program.to_be_told |= actions.iter().any(tells_stop);
            // What is not done after a kill can be found out, what was done cannot be undone.
            self.save(id);
            for action in actions.drain(..) {
                queue.extend(self.act(id, action));
            }
        }
        self.answer_waiters(id);
    }

    /// Does what a machine said that was taken over.
    pub(crate) fn carry_out(&mut self, id: ProgramId, actions: Vec<Action>) {
        self.save(id);
        for action in actions {
            for event in self.act(id, action) {
                self.happen(id, event);
            }
        }
    }

    /// Does one thing, and returns what came of it, if the machine has to know.
    fn act(&mut self, id: ProgramId, action: Action) -> Vec<Event> {
        let one = match action {
            Action::Spawn => return self.spawn(id),
            Action::TellStop { signal, group, .. } => self.tell_stop(id, signal, group),
            Action::Kill { group, .. } => self.kill(id, group),
            Action::Arm(timer, after) => {
                let at = ward_sys::clock::since_boot().saturating_add(after);
                self.timers.arm(Due::Program(id, timer), at);
                None
            }
            Action::Disarm(timer) => {
                self.timers.disarm(Due::Program(id, timer));
                None
            }
            Action::Changed(change) => {
                self.changed(id, change);
                None
            }
            Action::Note(note) => {
                self.note(id, &note);
                None
            }
        };
        one.into_iter().collect()
    }

    pub(crate) fn note(&mut self, id: ProgramId, note: &Note) {
        if let Some(program) = self.programs.get(&id) {
            let text = note.text(&program.config.name);
            self.say(note.level(), &text);
        }
    }

    /// What else follows from a change of state: events, listeners, and the socket that a group shares.
    fn changed(&mut self, id: ProgramId, change: Change) {
        let Some(program) = self.programs.get(&id) else {
            return;
        };
        let group = program.group.clone();
        let shares_socket = program.config.socket.is_some();
        let who = Who {
            process: program.config.name.clone(),
            group: group.clone(),
        };
        self.emit(events::Event::ProcessState { who, change });
        let is_running = change.to == State::Running;
        self.with_listener(id, |pool, member, actions| {
            pool.set_running(member, is_running, actions);
        });
        if shares_socket && (change.to.is_stopped() || change.to == State::Backoff) {
            self.close_unused_socket(&group);
        }
    }

    fn tell_stop(&mut self, id: ProgramId, signal: Signal, group: bool) -> Option<Event> {
        let program = self.programs.get_mut(&id)?;
        program.to_be_told = false;
        let event = match &mut program.tree {
            Some(tree) => {
                tree.tell(signal);
                None
            }
            None => self.send(id, signal, group, false),
        };
        // At once: who is told twice may break off his cleaning up.
        self.save(id);
        event
    }

    /// Stops a program that an earlier daemon was about to tell to stop when it was killed. Its time to
    /// do so begins now.
    pub(super) fn tell_stop_at_last(&mut self, id: ProgramId) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let policy = program.machine.policy();
        let (signal, group) = (policy.stopsignal, policy.stopasgroup);
        let wait = policy.stop_time();
        if program.machine.state() != State::Stopping {
            program.to_be_told = false;
            return;
        }
        let at = ward_sys::clock::since_boot().saturating_add(wait);
        self.timers.arm(Due::Program(id, Timer::StopWait), at);
        if let Some(signal) = signal
            && let Some(event) = self.tell_stop(id, signal, group)
        {
            self.happen(id, event);
        }
    }

    fn kill(&mut self, id: ProgramId, group: bool) -> Option<Event> {
        let program = self.programs.get(&id)?;
        if let Some(tree) = &program.tree {
            return tree.kill().err().map(|error| Event::SignalFailed {
                why: error.to_string(),
                foreign: false,
            });
        }
        self.send(id, Signal::KILL, group, false)
    }

    /// Sends a signal to a program's process or its group; that nobody is there is no failure.
    pub(crate) fn send(
        &mut self,
        id: ProgramId,
        signal: Signal,
        group: bool,
        foreign: bool,
    ) -> Option<Event> {
        let program = self.programs.get(&id)?;
        let target = if group { Target::Group } else { Target::Leader };
        match self.custody.signal(program.slot, signal.number(), target) {
            Ok(()) => None,
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                let pid = program.machine.pid().unwrap_or(0);
                let why = error.to_string();
                self.note(id, &Note::JustExited { pid, why });
                None
            }
            Err(error) => Some(Event::SignalFailed {
                why: error.to_string(),
                foreign,
            }),
        }
    }

    /// Answers who waited for what is so now.
    pub(crate) fn answer_waiters(&mut self, id: ProgramId) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        for waiter in std::mem::take(&mut program.waiters) {
            match program.verdict(waiter.until, &waiter.name) {
                // Who has gone away meanwhile needs no answer.
                Some(verdict) => drop(waiter.reply.send(verdict)),
                None => program.waiters.push(waiter),
            }
        }
    }

    /// Wakes the machines whose time has come.
    pub(crate) fn ring(&mut self, now: Duration) {
        while let Some(due) = self.timers.take_due(now) {
            match due {
                Due::Program(id, timer) => self.happen(id, Event::TimerFired(timer)),
                Due::Tree(id) => self.look_at_tree(id, true),
                Due::Stream(id) => self.stream_turn(id),
                Due::Idle => self.idle(),
                Due::Rest => self.rest(),
                Due::Strangers => self.kill_strangers(),
                Due::Tick => self.tick(),
                Due::Report => self.report_waiting(),
                // What still waits is seen at the end of the turn.
                Due::Log => {
                    let _ = self.log.retry();
                    self.flush_syslog();
                }
            }
        }
    }
}

fn tells_stop(action: &Action) -> bool {
    matches!(action, Action::TellStop { .. })
}
