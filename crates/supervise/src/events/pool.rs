//! A pool of event listeners: which event is told to which of them, and what waits.

use std::collections::VecDeque;
use std::rc::Rc;

use ward_config::group::ResultHandler;

use super::event::{Envelope, Event, LengthIn};
use super::listener::{Heard, Listener, ListenerState, Violation};
use super::note::Note;
use super::result::{Verdict, judge};
use super::subscription::Subscription;

/// What a pool is.
#[derive(Debug, Clone)]
pub struct PoolSpec {
    /// Its name: that of its section.
    pub name: String,
    /// Of the supervisor.
    pub identifier: String,
    /// What it is told of.
    pub subscription: Subscription,
    /// How many events wait at most; less than one counts as one.
    pub buffer_size: i64,
    /// What becomes of results.
    pub result_handler: ResultHandler,
    /// What the length of an event is counted in.
    pub length_in: LengthIn,
    /// The processes, in their order: the first that is ready gets the next event.
    pub members: Vec<String>,
}

/// What the owner of a pool must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write this to the standard input of a listener.
    Send {
        /// Which, by its place in [`PoolSpec::members`].
        member: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// Write this to the supervisor's own standard output.
    Print(Vec<u8>),
    /// Write this into the main log.
    Note(Note),
}

/// An event that a pool has taken.
#[derive(Debug, Clone)]
struct Taken {
    event: Rc<Event>,
    serial: u64,
    pool_serial: u64,
}

#[derive(Debug, Clone)]
struct Member {
    name: String,
    is_running: bool,
    reads: bool,
    listener: Listener,
    event: Option<Taken>,
}

/// A pool of event listeners. Calls about a member that there is not do nothing.
#[derive(Debug, Clone)]
pub struct Pool {
    spec: PoolSpec,
    limit: usize,
    members: Vec<Member>,
    queue: VecDeque<Taken>,
    next_serial: u64,
}

/// Numbers events, and hands them to the pools that want them.
#[derive(Debug, Clone, Default)]
pub struct Publisher {
    next_serial: u64,
}

impl Publisher {
    /// Nothing has been published yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands an event to those of the pools that subscribe to it; [`Pool::dispatch`] is to be called
    /// for them after it. An event that no pool takes has no number.
    pub fn publish<'p>(
        &mut self,
        event: Event,
        pools: impl IntoIterator<Item = &'p mut Pool>,
        notes: &mut Vec<Note>,
    ) {
        let serial = self.next_serial;
        let event = Rc::new(event);
        for pool in pools {
            if pool.covers(&event) {
                self.next_serial = serial + 1;
                pool.take(&event, serial, notes);
            }
        }
    }
}

impl Pool {
    /// A pool of which no process runs.
    #[must_use]
    pub fn new(spec: PoolSpec) -> Self {
        let members = spec
            .members
            .iter()
            .map(|name| Member {
                name: name.clone(),
                is_running: false,
                reads: false,
                listener: Listener::default(),
                event: None,
            })
            .collect();
        Self {
            limit: usize::try_from(spec.buffer_size).unwrap_or(1).max(1),
            members,
            queue: VecDeque::new(),
            next_serial: 0,
            spec,
        }
    }

    /// What it is.
    #[must_use]
    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// Whether it wants events of this kind.
    #[must_use]
    pub fn covers(&self, event: &Event) -> bool {
        self.spec.subscription.covers(event.name())
    }

    /// How many events wait for a listener.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// A listener, if there is such a one.
    #[must_use]
    pub fn listener(&self, member: usize) -> Option<&Listener> {
        self.members.get(member).map(|m| &m.listener)
    }

    fn take(&mut self, event: &Rc<Event>, serial: u64, notes: &mut Vec<Note>) {
        notes.extend(self.make_room());
        self.queue.push_back(Taken {
            event: Rc::clone(event),
            serial,
            pool_serial: self.next_serial,
        });
        self.next_serial += 1;
    }

    fn make_room(&mut self) -> Option<Note> {
        if self.queue.len() < self.limit {
            return None;
        }
        self.queue.pop_front().map(|dropped| Note::Overflowed {
            pool: self.spec.name.clone(),
            serial: dropped.serial,
        })
    }

    /// A process of this member was spawned: nothing is known of it.
    pub fn spawned(&mut self, member: usize, actions: &mut Vec<Action>) {
        self.adopt(member, Listener::default(), actions);
    }

    /// The process of this member was found running, and stood there when that was last noted. Which event
    /// it is busy with is not known any more, so that is not told again.
    pub fn adopt(&mut self, member: usize, listener: Listener, actions: &mut Vec<Action>) {
        self.put_back(member, actions);
        if let Some(member) = self.members.get_mut(member) {
            member.reads = true;
            member.listener = listener;
        }
    }

    /// Whether this member is in the state RUNNING, without which it gets no event.
    pub fn set_running(&mut self, member: usize, is_running: bool, actions: &mut Vec<Action>) {
        if let Some(member) = self.members.get_mut(member) {
            member.is_running = is_running;
        }
        self.dispatch(actions);
    }

    /// This member wrote something to its standard output.
    pub fn heard(&mut self, member: usize, bytes: &[u8], actions: &mut Vec<Action>) {
        let mut heard = Vec::new();
        let Some(speaker) = self.members.get_mut(member) else {
            return;
        };
        let mut state = speaker.listener.state();
        speaker.listener.feed(bytes, &mut heard);
        for heard in heard {
            let to = match heard {
                Heard::Ready => ListenerState::Ready,
                Heard::Result(_) => ListenerState::Acknowledged,
                Heard::Broken(_) => ListenerState::Unknown,
            };
            self.understand(member, heard, (state, to), actions);
            state = to;
        }
        self.dispatch(actions);
    }

    fn understand(
        &mut self,
        member: usize,
        heard: Heard,
        (from, to): (ListenerState, ListenerState),
        actions: &mut Vec<Action>,
    ) {
        let Some(speaker) = self.members.get_mut(member) else {
            return;
        };
        let listener = || speaker.name.clone();
        let moved = |listener| Action::Note(Note::Moved { listener, from, to });
        match heard {
            Heard::Ready => actions.push(moved(listener())),
            Heard::Result(result) => match judge(self.spec.result_handler, &result) {
                Verdict::Accepted { print } => {
                    if !print.is_empty() {
                        actions.push(Action::Print(print));
                    }
                    let name = listener();
                    actions.push(Action::Note(Note::Processed { listener: name }));
                    actions.push(moved(listener()));
                    speaker.event = None;
                }
                Verdict::Rejected => {
                    let name = listener();
                    actions.push(Action::Note(Note::Rejected { listener: name }));
                    actions.push(moved(listener()));
                    self.put_back(member, actions);
                }
            },
            Heard::Broken(violation) => {
                let name = listener();
                match violation {
                    Violation::Unexpected => {}
                    Violation::BadResultLine(line) => {
                        let listener = name.clone();
                        actions.push(Action::Note(Note::BadResultLine { listener, line }));
                    }
                }
                actions.push(moved(listener()));
                actions.push(Action::Note(Note::EnteredUnknown { listener: name }));
                self.put_back(member, actions);
            }
        }
    }

    /// The standard input of this member was closed by its reader while so many bytes for it were
    /// still to be written: it gets no event any more, and one that it has not read goes to another.
    pub fn stdin_lost(&mut self, member: usize, unsent: usize, actions: &mut Vec<Action>) {
        let Some(lost) = self.members.get_mut(member) else {
            return;
        };
        lost.reads = false;
        if unsent > 0
            && let Some(taken) = &lost.event
        {
            actions.push(Action::Note(Note::StdinLost {
                listener: lost.name.clone(),
                serial: taken.serial,
            }));
            lost.listener.unsend();
            self.put_back(member, actions);
        }
        self.dispatch(actions);
    }

    /// The process of this member has ended, and what it had written was heard. An event that it has
    /// not answered goes to another, or to the next process.
    pub fn ended(&mut self, member: usize, actions: &mut Vec<Action>) {
        if let Some(member) = self.members.get_mut(member) {
            member.is_running = false;
            member.reads = false;
            member.listener = Listener::default();
        }
        self.put_back(member, actions);
        self.dispatch(actions);
    }

    /// Puts the event of a member before those that wait. In a full pool that costs the oldest of these.
    fn put_back(&mut self, member: usize, actions: &mut Vec<Action>) {
        let Some(taken) = self.members.get_mut(member).and_then(|m| m.event.take()) else {
            return;
        };
        actions.push(Action::Note(Note::Rebuffering {
            pool: self.spec.name.clone(),
            serial: taken.serial,
            waiting: self.queue.len(),
            limit: self.limit,
        }));
        actions.extend(self.make_room().map(Action::Note));
        self.queue.push_front(taken);
    }

    /// Tells what waits, as far as listeners are ready for it.
    pub fn dispatch(&mut self, actions: &mut Vec<Action>) {
        while !self.queue.is_empty() {
            let ready = |m: &Member| m.is_running && m.reads;
            let next = self
                .members
                .iter_mut()
                .enumerate()
                .find(|(_, m)| ready(m) && m.listener.state() == ListenerState::Ready);
            let Some((place, member)) = next else { return };
            let Some(taken) = self.queue.pop_front() else {
                return;
            };
            member.listener.send();
            let envelope = Envelope {
                identifier: &self.spec.identifier,
                pool: &self.spec.name,
                serial: taken.serial,
                pool_serial: taken.pool_serial,
                length_in: self.spec.length_in,
            };
            actions.push(Action::Send {
                member: place,
                bytes: envelope.around(&taken.event),
            });
            actions.push(Action::Note(Note::Sent {
                listener: member.name.clone(),
                serial: taken.serial,
            }));
            member.event = Some(taken);
        }
    }
}
