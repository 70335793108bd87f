//! Coming into a queue, and what one is given at the end of it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ward_model::lock::{Shape, Standing, choose};

use crate::durable::Durable;
use crate::error::LockError;
use crate::image::{Entry, NO_TEXT, Who};
use crate::kept::Stamp;
use crate::line::Line;
use crate::name::Badge;
use crate::request::{Crowd, Gives, Request, Wanted};
use crate::store::Store;
use crate::surroundings;
use crate::text::Text;
use crate::timestamp::Format;

/// A command line in the queue is cut to this, and a reason, bytes.
const LONGEST_COMMAND: usize = 200;
const LONGEST_REASON: usize = 300;

/// A place in one of the queues.
pub(crate) struct Seat<'a> {
    pub(crate) wanted: &'a Wanted,
    /// Which of the request's locks.
    pub(crate) number: usize,
    pub(crate) store: Store,
    /// Where is kept what it gives, if it gives any of what must outlive the host's run.
    pub(crate) durable: Option<Durable>,
    pub(crate) format: Option<Format>,
    pub(crate) ticket: Cell<Option<u64>>,
    /// What it was given already, while other locks of the request keep us.
    pub(crate) given: RefCell<Option<Vec<String>>>,
    pub(crate) has: Vec<String>,
}

impl Seat<'_> {
    /// Tickets of this lock that are held above us and shared with us.
    pub(crate) fn family(&self, request: &Request) -> Vec<u64> {
        if !request.reentrant {
            return Vec::new();
        }
        let above = request.held_above.iter();
        let ours = above.filter(|badge| badge.is_of(self.store.name()));
        ours.map(|badge| badge.ticket).collect()
    }
}

/// Whether we may come: not if nobody uses it and we are not to be the first.
pub(crate) fn come(
    seat: &Seat<'_>,
    line: &mut Line<'_>,
    request: &Request,
) -> Result<bool, LockError> {
    line.agree_on(seat.wanted.shape)?;
    if !line.is_used()? {
        if !seat.wanted.create {
            return Ok(false);
        }
        line.image_mut().idle = u64::try_from(request.idle.as_micros()).unwrap_or(u64::MAX);
    }
    if request.crowd == Crowd::Join {
        return Ok(true);
    }
    // Who waits for another part does not do what we would.
    let ask = seat.wanted.ask(request);
    let waits = |it: &Entry| {
        it.standing == Standing::Waiting
            && !it.dismissed
            && line.record(it).ask.is_in_line_with(&ask)
    };
    let waiting: Vec<Entry> = line.present()?.into_iter().filter(waits).collect();
    match request.crowd {
        Crowd::Join => {}
        Crowd::SkipIfQueued => {
            if let Some(entry) = waiting.first() {
                return Err(LockError::Queued {
                    name: seat.wanted.name().to_owned(),
                    waiting: Box::new(line.record(entry)),
                });
            }
        }
        Crowd::ReplacePending => {
            for entry in waiting {
                let who = surroundings::ourselves().pid;
                // The user's name is known by now, or looking for it would keep everybody.
                let why = format!("replaced by {who} ({})", surroundings::user());
                dismiss(line, entry.ticket, why)?;
            }
        }
    }
    Ok(true)
}

/// Sends somebody away who waits. He learns of it when the queue is saved.
fn dismiss(line: &mut Line<'_>, ticket: u64, why: String) -> Result<(), LockError> {
    let Some(entry) = line.entry(ticket).copied() else {
        return Ok(());
    };
    let mut text = Text::clone(&line.store().text(&entry));
    text.dismissed = Some(why);
    rewrite(line, ticket, text)?;
    if let Some(entry) = line.entry_mut(ticket) {
        entry.dismissed = true;
    }
    Ok(())
}

/// Puts another text to somebody's name, in a place that is free: the queue tells of the old one
/// until it is saved.
fn rewrite(line: &mut Line<'_>, ticket: u64, mut text: Text) -> Result<(), LockError> {
    let slot = line.section().free_slot(line.image())?;
    text.version = text.version.wrapping_add(1);
    let version = text.version;
    line.section().write_text(slot, text)?;
    if let Some(entry) = line.entry_mut(ticket) {
        (entry.slot, entry.version) = (slot, version);
    }
    Ok(())
}

/// Takes a place at the end of the queue.
pub(crate) fn enqueue(
    seat: &Seat<'_>,
    line: &mut Line<'_>,
    request: &Request,
    own: usize,
    tickets: &[u64],
    seats: &[Seat<'_>],
) -> Result<(), LockError> {
    let ticket = tickets.get(own).copied().unwrap_or(0);
    let wanted = seat.wanted;
    let ask = wanted.ask(request);
    let says_nothing = request.command.is_empty()
        && request.why.is_none()
        && request.origin.is_none()
        && request.held_above.is_empty()
        && seats.len() == 1
        && ask.path.is_empty()
        && ask.among.is_empty()
        && wanted.gives == Gives::Nothing;
    let slot = if says_nothing {
        NO_TEXT
    } else {
        let slot = line.section().free_slot(line.image())?;
        let text = text_of(request, wanted, own, tickets, seats);
        line.section().write_text(slot, text)?;
        slot
    };
    // Whose start is not known, as there is no /proc, would be taken for whoever has his number.
    let is_own_work = request.becomes_work && surroundings::ourselves().start != 0;
    line.image_mut().entries.push(Entry {
        ticket,
        token: 0,
        standing: Standing::Waiting,
        mode: ask.mode,
        turn: ask.turn,
        take: ask.take,
        priority: ask.priority,
        slot,
        version: 0,
        has_text: !ask.path.is_empty() || !ask.among.is_empty(),
        has_above: !request.held_above.is_empty(),
        sleeps: false,
        is_plain: seats.len() == 1
            && wanted.gives == Gives::Nothing
            && wanted.shape != Shape::Pool
            && !request.reentrant,
        dismissed: false,
        reserved: false,
        is_own_work,
        uid: surroundings::own_uid(),
        owner: surroundings::ourselves(),
        guardian: Who::default(),
        work: if is_own_work {
            surroundings::ourselves()
        } else {
            Who::default()
        },
        namespace: surroundings::namespace(),
        asked_at: surroundings::now(),
        held_since: 0,
        until: 0,
    });
    Ok(())
}

/// What is written of us.
fn text_of(
    request: &Request,
    wanted: &Wanted,
    own: usize,
    tickets: &[u64],
    seats: &[Seat<'_>],
) -> Text {
    let ask = wanted.ask(request);
    let together = seats.iter().zip(tickets).enumerate();
    Text {
        ticket: tickets.get(own).copied().unwrap_or(0),
        version: 0,
        name: wanted.name().to_owned(),
        path: ask.path,
        among: ask.among,
        has: Vec::new(),
        together: together
            .filter(|(at, _)| *at != own)
            .map(|(_, (seat, ticket))| Badge::new(&seat.wanted.name, *ticket))
            .collect(),
        above: request.held_above.clone(),
        reentrant: request.reentrant,
        // Told by his number; to look his name up takes as long as all the rest.
        user: String::new(),
        host: surroundings::host().to_owned(),
        command: cut(&request.command, LONGEST_COMMAND),
        why: request.why.as_deref().map(|why| cut(why, LONGEST_REASON)),
        origin: request.origin.as_deref().map(|it| cut(it, LONGEST_REASON)),
        dismissed: None,
    }
}

fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", &text[..end.unwrap_or(0)])
}

/// What a grant gives.
pub(crate) enum Gift {
    Of(Vec<String>),
    /// What must be written to the disk first, outside of the critical section ([`prepare`]).
    Unprepared,
}

/// What `ticket` gets that nobody keeps from it any more.
pub(crate) fn give(seat: &Seat<'_>, line: &mut Line<'_>, ticket: u64) -> Gift {
    // What was given stays given while another lock of the request keeps us.
    if let Some(things) = seat.given.borrow().clone() {
        return Gift::Of(things);
    }
    match &seat.wanted.gives {
        Gives::Nothing if line.image().shape == Shape::Pool => {
            let places = line.store().places(line.image());
            Gift::Of(choose(&places, ticket, line.image().counts.granted))
        }
        Gives::Nothing => Gift::Of(Vec::new()),
        Gives::Sequence {
            transactional: false,
        } => match line.next_number() {
            Some(number) => {
                let things = vec![number.to_string()];
                seat.given.replace(Some(things.clone()));
                Gift::Of(things)
            }
            None => Gift::Unprepared,
        },
        Gives::Sequence {
            transactional: true,
        }
        | Gives::Timestamp { .. } => Gift::Unprepared,
    }
}

/// What was given when others came first. A number is ours; a time is not to be an old one.
pub(crate) fn take_back(seat: &Seat<'_>) {
    match &seat.wanted.gives {
        Gives::Timestamp { .. } => drop(seat.given.take()),
        Gives::Nothing | Gives::Sequence { .. } => {}
    }
}

/// Writes to the disk what is to be given to `ticket`, which is in the queue, and next in it. Outside
/// of the critical section. Returns how long is to be waited, if it is not yet time; `waited` says
/// that we did already.
pub(crate) fn prepare(
    seat: &Seat<'_>,
    ticket: u64,
    waited: bool,
    limit: Duration,
) -> Result<Option<Duration>, LockError> {
    let Some(durable) = &seat.durable else {
        return Ok(None);
    };
    let shape = seat.wanted.shape;
    let alone = durable.alone(limit)?;
    let things = match (&seat.wanted.gives, &seat.format) {
        (Gives::Nothing, _) | (Gives::Timestamp { .. }, None) => Vec::new(),
        (
            Gives::Sequence {
                transactional: false,
            },
            _,
        ) => {
            // Somebody may have done so while we waited for him.
            if Line::enter(&seat.store, limit, shape)?.has_numbers() {
                return Ok(None);
            }
            let numbers = alone.set_aside()?;
            let mut line = Line::enter(&seat.store, limit, shape)?;
            line.add_numbers(numbers);
            line.save()?;
            return Ok(None);
        }
        (
            Gives::Sequence {
                transactional: true,
            },
            _,
        ) => {
            let image = Line::enter(&seat.store, limit, shape)?.image().clone();
            let is_there = |other: u64| {
                let mut entries = image.entries.iter();
                let entry = entries.find(|entry| entry.ticket == other);
                entry.is_some_and(|entry| seat.store.is_there(entry).unwrap_or(true))
            };
            vec![alone.number_on_trial(ticket, is_there)?.to_string()]
        }
        (Gives::Timestamp { .. }, Some(format)) => match alone.stamp(format, waited)? {
            Stamp::Given(text) => vec![text],
            Stamp::Later(time) => return Ok(Some(time)),
        },
    };
    seat.given.replace(Some(things));
    Ok(None)
}

pub(crate) fn grant(line: &mut Line<'_>, ticket: u64, things: &[String]) -> Result<(), LockError> {
    if !things.is_empty()
        && let Some(entry) = line.entry(ticket).copied()
    {
        let mut text = Text::clone(&line.store().text(&entry));
        text.has = things.to_vec();
        rewrite(line, ticket, text)?;
    }
    line.grant(ticket);
    Ok(())
}
