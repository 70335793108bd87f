//! What is asked of a run from outside: stops, signals to pass on, pauses.

use std::time::Instant;

use rustix::event::epoll;
use ward_model::life::{CauseKind, Event, StopRequest};
use ward_model::report::Sender;
use ward_model::signal::Signal;
use ward_model::wire::{FromGuardian, Origin, ToGuardian};
use ward_sys::contain::process::signal_own_child;

use super::echoes::Way;
use super::{Drive, Host};
use crate::control::Heard;
use crate::custody::Terminal;
use crate::notice;

/// Signals within this time are one request: some callers send TERM and HUP together, and
/// timeout(1) signals its child and then its own group.
const SAME_REQUEST: f64 = 0.1;

impl Drive<'_> {
    pub(super) fn on_line(&mut self) {
        loop {
            let heard = match &self.host {
                Host::Guardian(line) if self.line_open => line.hear(),
                Host::Guardian(_) | Host::Front(_) => return,
            };
            match heard {
                Heard::Message(message) => {
                    if !self.echoes.is_echo(&message, Way::Passed) {
                        self.on_message(message, Instant::now());
                    }
                }
                Heard::Nothing => return,
                Heard::Gone => {
                    self.echoes.front_is_gone();
                    self.front_lost();
                    return;
                }
            }
        }
    }

    pub(super) fn front_lost(&mut self) {
        self.line_open = false;
        if let Host::Guardian(line) = &self.host {
            let _ = epoll::delete(&self.epoll, line);
        }
        if self.custody.spec.detached.is_some() {
            // The other keeper: we are two so that one may be killed.
            return;
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

    pub(super) fn on_message(&mut self, message: ToGuardian, now: Instant) {
        match message {
            ToGuardian::Stop {
                signal,
                sender,
                origin,
                order,
            } => {
                if let Some(order) = order {
                    let sender = sender.as_ref().map_or(0, |sender| sender.pid);
                    if !self.echoes.is_new(order.request, sender) {
                        return;
                    }
                    if let Some(grace) = order.grace {
                        self.custody.spec.policy.grace = grace;
                        self.life.set_grace(grace);
                    }
                }
                self.stop_asked(signal, sender.as_ref(), origin, order.is_some(), now);
            }
            ToGuardian::Forward { signal, sender: _ } => {
                if let (Some(leader), None) = (self.custody.leader(), self.life.end()) {
                    let _ = signal_own_child(leader, signal.number());
                } else if self.life.is_followed() {
                    self.custody.tree.signal_eldest(signal);
                }
            }
            ToGuardian::Pause { stop_members } => {
                if !self.losing_lock {
                    self.timers.pause(now);
                }
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

    pub(super) fn stop_asked(
        &mut self,
        signal: Signal,
        sender: Option<&Sender>,
        origin: Origin,
        ordered: bool,
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
        let again = last.is_some_and(|(_, signal)| signal.is_some());
        let account = &mut self.custody.account;
        account.stop_asked(CauseKind::Requested, Some(signal), sender.cloned(), now);
        // Who signals a process and then its group asks once; and a hang-up is no impatience,
        // however many of them a closing terminal sends. Orders are told apart by their numbers.
        if let Some((ago, Some(_))) = last
            && !ordered
            && (ago < SAME_REQUEST || signal == Signal::HUP)
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

    pub(super) fn tell_front(&self, message: &FromGuardian) {
        match &self.host {
            Host::Guardian(line) if self.line_open => {
                line.say(message);
            }
            Host::Guardian(_) | Host::Front(_) => {}
        }
    }
}
