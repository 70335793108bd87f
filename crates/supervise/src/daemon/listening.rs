//! Event listeners: what happened is handed to pools, and what pools say is written to pipes.
//!
//! Which event goes to whom is decided in [`crate::events`]; here are the pipes.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;
use ward_config::group::{Group as GroupConfig, GroupKind};

use super::core::{Core, Due, Token};
use super::delivery::Delivery;
use super::info::unix_now;
use super::program::ProgramId;
use super::saved::Ear as SavedEar;
use crate::api::{Fault, FaultCode};
use crate::events::{
    Action, Event, LengthIn, Listener, Outbox, Period, Pool, PoolSpec, Subscription, ticks,
};

/// What waits for a program that does not read its input, in bytes; more is refused.
const LONGEST_WAIT: usize = 8 * 1024 * 1024;

/// A log that nobody has written to for so long is closed.
const IDLE: std::time::Duration = std::time::Duration::from_secs(60);

/// The input of a process, as far as somebody writes to it.
pub(crate) struct Ear {
    /// Its place in its pool, if it is a listener.
    pub(crate) member: usize,
    outbox: Outbox,
    input: Option<OwnedFd>,
    watched: bool,
    delivery: Delivery,
}

impl Ear {
    /// Of a process that nobody has written to yet.
    pub(crate) fn new(member: usize) -> Self {
        Self {
            member,
            outbox: Outbox::new(LONGEST_WAIT),
            input: None,
            watched: false,
            delivery: Delivery::Done,
        }
    }
}

/// The pool of a group of listeners; none for other groups.
pub(crate) fn pool_of(group: &GroupConfig, identifier: &str) -> Option<Pool> {
    match &group.kind {
        GroupKind::Listeners {
            buffer_size,
            events,
            result_handler,
        } => Some(Pool::new(PoolSpec {
            name: group.name.clone(),
            identifier: identifier.to_owned(),
            subscription: Subscription::to(events.iter().copied()),
            buffer_size: *buffer_size,
            result_handler: *result_handler,
            length_in: LengthIn::Characters,
            members: group
                .processes
                .iter()
                .map(|process| process.name.clone())
                .collect(),
        })),
        GroupKind::Named | GroupKind::Program | GroupKind::Fcgi { .. } => None,
    }
}

impl Core {
    /// Tells listeners that something happened; they hear of it at the end of the turn.
    pub(crate) fn emit(&mut self, event: Event) {
        let mut notes = Vec::new();
        self.publisher
            .publish(event, self.pools.values_mut(), &mut notes);
        for note in notes {
            self.say(note.level(), &note.text());
        }
    }

    /// Hands out what waits.
    pub(crate) fn dispatch(&mut self) {
        let waiting: Vec<String> = self
            .pools
            .iter()
            .filter(|(_, pool)| pool.waiting() > 0)
            .map(|(name, _)| name.clone())
            .collect();
        for name in waiting {
            self.with_pool(&name, Pool::dispatch);
        }
    }

    /// Does something with a pool, and all that it asks for then.
    fn with_pool(&mut self, name: &str, f: impl FnOnce(&mut Pool, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        if let Some(pool) = self.pools.get_mut(name) {
            f(pool, &mut actions);
        }
        for action in actions {
            match action {
                Action::Send { member, bytes } => self.tell_listener(name, member, &bytes),
                Action::Print(bytes) => self.log.print(&bytes),
                Action::Note(note) => self.say(note.level(), &note.text()),
            }
        }
    }

    /// Does something with the pool of a listener, for its place in it.
    pub(crate) fn with_listener(
        &mut self,
        id: ProgramId,
        f: impl FnOnce(&mut Pool, usize, &mut Vec<Action>),
    ) {
        let Some(program) = self.programs.get(&id) else {
            return;
        };
        let Some(ear) = &program.ear else { return };
        let (member, pool) = (ear.member, program.group.clone());
        if self.pools.contains_key(&pool) {
            self.with_pool(&pool, |pool, actions| f(pool, member, actions));
            self.save(id);
        }
    }

    /// Where a listener stands in the protocol, for who has to go on after us.
    pub(crate) fn saved_ear(&self, id: ProgramId) -> Option<SavedEar> {
        let listener = self.listener(id)?;
        let delivery = self.programs.get(&id)?.ear.as_ref()?.delivery;
        Some(SavedEar::of(listener, self.heard(id), delivery))
    }

    fn listener(&self, id: ProgramId) -> Option<&Listener> {
        let program = self.programs.get(&id)?;
        let member = program.ear.as_ref()?.member;
        self.pools.get(&program.group)?.listener(member)
    }

    /// Whether a listener has said something that is only understood with what it will say.
    pub(crate) fn is_half_said(&self, id: ProgramId) -> bool {
        self.listener(id).is_some_and(|it| it.half_said() > 0)
    }

    /// A listener said something.
    pub(crate) fn hear(&mut self, id: ProgramId, data: &[u8]) {
        self.with_listener(id, |pool, member, actions| {
            pool.heard(member, data, actions);
        });
    }

    /// The process whose input this was has ended.
    pub(crate) fn deafen(&mut self, id: ProgramId) {
        self.close_input(id);
        self.with_listener(id, Pool::ended);
    }

    fn tell_listener(&mut self, pool: &str, member: usize, bytes: &[u8]) {
        let Some(group) = self.group(pool) else {
            return;
        };
        let Some(id) = group.programs.get(member).copied() else {
            return;
        };
        if self.push_input(id, bytes, true).is_err() {
            self.input_lost(id);
        }
    }

    /// Nobody reads the input of a process any more.
    fn input_lost(&mut self, id: ProgramId) {
        let unsent = self
            .programs
            .get(&id)
            .and_then(|program| program.ear.as_ref())
            .map_or(0, |ear| ear.outbox.len());
        self.close_input(id);
        self.with_listener(id, |pool, member, actions| {
            pool.stdin_lost(member, unsent.max(1), actions);
        });
    }

    fn close_input(&mut self, id: ProgramId) {
        let Some(ear) = self.programs.get_mut(&id).and_then(|p| p.ear.as_mut()) else {
            return;
        };
        ear.outbox.clear();
        ear.delivery = Delivery::Done;
        if let Some(input) = ear.input.take()
            && std::mem::take(&mut ear.watched)
        {
            // It may have ended by itself.
            let _ = epoll::delete(&self.epoll, input.as_fd());
        }
    }

    /// Writes to the input of a process, or keeps what it does not take yet.
    fn push_input(&mut self, id: ProgramId, bytes: &[u8], is_event: bool) -> Result<(), Fault> {
        let no_file = |name: &str| Fault::about(FaultCode::NoFile, name);
        let Some(program) = self.programs.get_mut(&id) else {
            return Err(no_file(""));
        };
        let name = program.full_name();
        let slot = program.slot;
        let ear = program.ear.get_or_insert_with(|| Ear::new(usize::MAX));
        let input = match &mut ear.input {
            Some(input) => input,
            none @ None => none.insert(
                self.custody
                    .stdin_writer(slot)
                    .map_err(|_| no_file(&name))?,
            ),
        };
        ear.outbox
            .push(bytes)
            .map_err(|full| Fault::about(FaultCode::Failed, full.to_string()))?;
        let ahead = ear.outbox.len() - bytes.len();
        ear.delivery = match ear.delivery {
            Delivery::Done if !is_event => Delivery::Done,
            Delivery::Done if ahead == 0 => Delivery::begun(input.as_fd(), bytes.len()),
            // It may be cut anywhere.
            Delivery::Done | Delivery::WholeOrNot | Delivery::InPieces => Delivery::InPieces,
        };
        self.save(id);
        self.write_input(id).map_err(|_| no_file(&name))
    }

    /// Writes what waits, as far as there is room.
    fn write_input(&mut self, id: ProgramId) -> Result<(), Errno> {
        let Some(ear) = self.programs.get_mut(&id).and_then(|p| p.ear.as_mut()) else {
            return Ok(());
        };
        let Some(input) = &ear.input else {
            return Ok(());
        };
        let (mut full, mut any) = (false, false);
        while !ear.outbox.is_empty() {
            match rustix::io::write(input, ear.outbox.pending()) {
                Ok(count) => {
                    any = true;
                    ear.outbox.sent(count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    full = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if full && !ear.watched {
            let data = epoll::EventData::new_u64(Token::Input(id).to_number());
            epoll::add(&self.epoll, input, data, epoll::EventFlags::OUT)?;
            ear.watched = true;
        } else if !full && ear.watched {
            epoll::delete(&self.epoll, input)?;
            ear.watched = false;
        }
        ear.delivery = match ear.delivery {
            _ if !full => Delivery::Done,
            Delivery::WholeOrNot if any => Delivery::InPieces,
            other @ (Delivery::Done | Delivery::WholeOrNot | Delivery::InPieces) => other,
        };
        if !full && ear.member == usize::MAX {
            // Somebody's few words: no descriptor is kept for the next ones.
            ear.input = None;
        }
        self.save(id);
        Ok(())
    }

    /// The input of a process, which was full, takes more.
    pub(crate) fn input_has_room(&mut self, id: ProgramId) {
        if self.write_input(id).is_err() {
            self.input_lost(id);
        }
    }

    /// sendProcessStdin.
    pub(crate) fn send_stdin(&mut self, name: &str, data: &[u8]) -> Result<(), Fault> {
        let id = self.resolve_one(name)?;
        let program = self.programs.get(&id);
        let runs = program.is_some_and(|program| program.machine.pid().is_some());
        let is_socket = program.is_some_and(|program| program.config.socket.is_some());
        if !runs {
            return Err(Fault::about(FaultCode::NotRunning, name));
        }
        if is_socket {
            return Err(Fault::about(FaultCode::NoFile, name));
        }
        self.push_input(id, data, false)
            .map_err(|fault| match fault.code {
                FaultCode::NoFile => Fault::about(FaultCode::NoFile, name),
                _ => fault,
            })
    }

    /// Arms the next tick that somebody wants to hear of.
    pub(crate) fn arm_tick(&mut self) {
        let now = unix_now();
        let next = Period::ALL
            .into_iter()
            .filter(|period| {
                let tick = Event::Tick {
                    period: *period,
                    when: 0,
                };
                self.pools.values().any(|pool| pool.covers(&tick))
            })
            .map(|period| now - now.rem_euclid(period.seconds()) + period.seconds())
            .min();
        match next {
            None => self.timers.disarm(Due::Tick),
            Some(next) => {
                let wait = u64::try_from(next - now).unwrap_or(1);
                let at = ward_sys::clock::since_boot() + std::time::Duration::from_secs(wait);
                self.timers.arm(Due::Tick, at);
            }
        }
    }

    /// Somebody may want ticks who did not before. None has been missed.
    pub(crate) fn begin_to_tick(&mut self) {
        if !self.timers.is_armed(Due::Tick) {
            self.last_tick = unix_now();
        }
        self.arm_tick();
    }

    /// Time has gone by.
    pub(crate) fn tick(&mut self) {
        let now = unix_now();
        let last = std::mem::replace(&mut self.last_tick, now);
        for event in ticks(last, now) {
            self.emit(event);
        }
        self.arm_tick();
    }

    /// Closes logs that nobody writes to.
    pub(crate) fn idle(&mut self) {
        self.idle_armed = false;
        self.files.close_idle();
        if self.files.open_count() > 0 {
            self.arm_idle();
        }
    }

    /// Looks for them in a while; never, as long as nobody writes.
    pub(crate) fn arm_idle(&mut self) {
        if !std::mem::replace(&mut self.idle_armed, true) {
            let at = ward_sys::clock::since_boot() + IDLE;
            self.timers.arm(Due::Idle, at);
        }
    }
}
