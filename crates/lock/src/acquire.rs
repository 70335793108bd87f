//! Getting locks: one, or several, all or none.
//!
//! Who asks for several enters all their critical sections, in the order of their names, and takes
//! his places in all queues at once; he is granted all at once too. So nobody holds one while he
//! waits for another, and no two can wait for one another in a ring: whoever came first is first in
//! every queue.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use ward_model::lock::{Shape, Standing, blockers, choose};

use crate::deadlock;
use crate::durable::{Durable, Stamp};
use crate::error::LockError;
use crate::held::{Held, release};
use crate::image::{Entry, NO_TEXT, Who};
use crate::line::{Line, word_of};
use crate::place::Directory;
use crate::record::Record;
use crate::request::{Crowd, Gives, Patience, Request, Waiting, Wanted};
use crate::store::{STUCK, Store};
use crate::surroundings;
use crate::text::Text;
use crate::timestamp::Format;
use crate::wait::{Bell, LOOK, Obstacle};

/// A command line in the queue is cut to this, and a reason, bytes.
const LONGEST_COMMAND: usize = 200;
const LONGEST_REASON: usize = 300;

/// Who does not want to wait is not kept longer than this by somebody who stands still in the middle
/// of a change.
const SHORTLY: Duration = Duration::from_secs(2);

/// What is told while we wait.
pub type Tell<'a> = Option<&'a mut dyn FnMut(&Waiting)>;

impl Directory {
    /// Gets all that is asked for, and tells how it stands while it waits: each time that changes,
    /// but not too often, and each second. In the order in which the locks were named.
    ///
    /// # Errors
    /// [`LockError`]; then nothing is held, and nobody waits any more.
    pub fn acquire(
        &self,
        request: &Request,
        patience: Patience,
        tell: Tell<'_>,
    ) -> Result<Vec<Held>, LockError> {
        self.acquire_unless(request, patience, tell, None)
    }

    /// As [`Directory::acquire`], until `cancelled` is readable.
    ///
    /// # Errors
    /// As [`Directory::acquire`]; [`LockError::Cancelled`].
    pub fn acquire_unless(
        &self,
        request: &Request,
        patience: Patience,
        mut tell: Tell<'_>,
        cancelled: Option<BorrowedFd<'_>>,
    ) -> Result<Vec<Held>, LockError> {
        let deadline = match patience {
            Patience::None => Some(Instant::now()),
            Patience::For(time) => Instant::now().checked_add(time),
            Patience::Never => None,
        };
        let left = || deadline.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()));
        let mut pending = Pending::new(self, request)?;
        let mut bell: Option<Bell> = None;
        let mut told: Option<Instant> = None;
        let mut checked: Option<Instant> = None;
        let mut only_changed = false;
        loop {
            let limit = deadline.map_or(STUCK, |_| left().max(SHORTLY).min(STUCK));
            let looked = if std::mem::take(&mut only_changed) {
                pending.look()?
            } else {
                None
            };
            let step = match looked {
                Some(step) => step,
                None => pending.advance(limit, cancelled.is_none())?,
            };
            let blocked = match step {
                Step::Granted(tokens) => return Ok(pending.finish(&tokens)),
                Step::Blocked(blocked) => blocked,
            };
            if cancelled.is_some_and(is_readable) {
                return Err(LockError::Cancelled(request.names()));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(pending.refused(&blocked));
            }
            if !request.held_above.is_empty() && checked.is_none_or(|at| at.elapsed() >= LOOK) {
                deadlock::refuse(self, request, &pending.tickets())?;
                checked = Some(Instant::now());
            }
            if told.is_none_or(|at| at.elapsed() >= LOOK)
                && let Some(tell) = &mut tell
                && let Some(waiting) = pending.waiting(&blocked)?
            {
                tell(&waiting);
                told = Some(Instant::now());
            }
            let limit = left().min(LOOK);
            match (blocked, &bell) {
                (Blocked::Asleep(value), _) => {
                    let since = Instant::now();
                    pending.sleep(value, limit);
                    only_changed = since.elapsed() < limit;
                    // Most often we are next now: then it must hang before we look.
                    if bell.is_none() {
                        bell = Some(Bell::hang(self.bells(), pending.stores()));
                    }
                }
                (Blocked::Until(time), _) => nap(time.min(limit), cancelled),
                (Blocked::By(by), Some(bell)) => {
                    only_changed = bell.wait(&pending.obstacles(by), limit, cancelled);
                }
                // Whoever went before it was hung up made no sound: look once more.
                (Blocked::By(_) | Blocked::Absent(_), None) => {
                    bell = Some(Bell::hang(self.bells(), pending.stores()));
                }
                (Blocked::Absent(_), Some(bell)) => {
                    bell.wait(&pending.obstacles(Vec::new()), limit, cancelled);
                }
            }
        }
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

fn nap(time: Duration, cancelled: Option<BorrowedFd<'_>>) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds: Vec<PollFd<'_>> = cancelled
        .into_iter()
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    let _ = poll(&mut fds, Timespec::try_from(time).ok().as_ref());
}

/// What keeps us.
#[derive(Debug)]
pub(crate) enum Blocked {
    /// These, in each queue.
    By(Vec<(u64, Vec<Entry>)>),
    /// So many that the one before us will wake us; this is the number to sleep on.
    Asleep(u32),
    /// Nobody, but the next time to be given comes only then.
    Until(Duration),
    /// Nobody uses this one, and we are not to be the first.
    Absent(usize),
}

pub(crate) enum Step {
    /// With these tokens.
    Granted(Vec<u64>),
    Blocked(Blocked),
}

/// A request on its way. Dropped on the way, it leaves its queues.
pub(crate) struct Pending<'a> {
    request: &'a Request,
    /// In the order of the names, which is that in which sections are entered.
    seats: Vec<Seat<'a>>,
    /// We have waited for the next time to be given.
    stamp_waited: bool,
}

/// A place in one of the queues.
struct Seat<'a> {
    wanted: &'a Wanted,
    /// Which of the request's locks.
    number: usize,
    store: Store,
    durable: Durable,
    format: Option<Format>,
    ticket: Option<u64>,
    has: Vec<String>,
}

impl Seat<'_> {
    /// Tickets of this lock that are held above us and shared with us.
    fn family(&self, request: &Request) -> Vec<u64> {
        if !request.reentrant {
            return Vec::new();
        }
        let ours = |(name, _): &&(String, u64)| {
            crate::name::Name::parse(name).is_ok_and(|it| it.file() == self.store.name().file())
        };
        let tickets = request.held_above.iter().filter(ours);
        tickets.map(|(_, ticket)| *ticket).collect()
    }
}

impl<'a> Pending<'a> {
    pub(crate) fn new(directory: &Directory, request: &'a Request) -> Result<Self, LockError> {
        request.check()?;
        let mut seats = Vec::with_capacity(request.locks.len());
        for (number, wanted) in request.locks.iter().enumerate() {
            let format = match &wanted.gives {
                Gives::Timestamp { format } => Some(Format::new(format)?),
                Gives::Nothing | Gives::Sequence { .. } => None,
            };
            seats.push(Seat {
                wanted,
                number,
                store: Store::open(directory.path(), &wanted.name)?,
                durable: Durable::new(directory.durable(), &wanted.name),
                format,
                ticket: None,
                has: Vec::new(),
            });
        }
        seats.sort_unstable_by(|one, other| one.wanted.name.file().cmp(other.wanted.name.file()));
        Ok(Self {
            request,
            seats,
            stamp_waited: false,
        })
    }

    fn stores(&self) -> impl Iterator<Item = &Store> {
        self.seats.iter().map(|seat| &seat.store)
    }

    fn obstacles(&self, by: Vec<(u64, Vec<Entry>)>) -> Vec<Obstacle<'_>> {
        self.stores()
            .zip(by)
            .map(|(store, (generation, by))| Obstacle {
                store,
                generation,
                by,
            })
            .collect()
    }

    /// Takes a place in each queue, if it has none, and the locks, if they can be had.
    pub(crate) fn advance(&mut self, limit: Duration, may_sleep: bool) -> Result<Step, LockError> {
        let request = self.request;
        let first_time = self.seats.iter().any(|seat| seat.ticket.is_none());
        // Everything below looks at all the queues at once.
        let stores: Vec<&Store> = self.seats.iter().map(|seat| &seat.store).collect();
        let mut lines = Vec::with_capacity(stores.len());
        for (seat, store) in self.seats.iter().zip(stores) {
            lines.push(Line::enter(store, limit, seat.wanted.shape)?);
        }
        let mut tickets: Vec<u64> = Vec::with_capacity(lines.len());
        if first_time {
            for (at, (seat, line)) in self.seats.iter().zip(&mut lines).enumerate() {
                if !come(seat, line, request)? {
                    return Ok(Step::Blocked(Blocked::Absent(at)));
                }
            }
            for line in &mut lines {
                tickets.push(line.image().next_ticket);
                line.image_mut().next_ticket += 1;
            }
            for (at, (seat, line)) in self.seats.iter().zip(&mut lines).enumerate() {
                enqueue(seat, line, request, at, &tickets, &self.seats)?;
            }
        } else {
            tickets.extend(self.seats.iter().filter_map(|seat| seat.ticket));
        }
        let mut ways: Vec<Vec<Entry>> = Vec::with_capacity(lines.len());
        for ((seat, line), ticket) in self.seats.iter().zip(&mut lines).zip(&tickets) {
            let name = || seat.wanted.name().to_owned();
            match line.entry(*ticket) {
                Some(entry) if entry.is_plain && entry.standing == Standing::Holding => {
                    return Ok(Step::Granted(vec![entry.token]));
                }
                Some(entry) if !entry.dismissed => {}
                Some(entry) => {
                    let why = line.store().text(entry).dismissed.clone();
                    let why = why.unwrap_or_default();
                    return Err(LockError::Dismissed { name: name(), why });
                }
                None => {
                    let why = "somebody took us out of the queue".to_owned();
                    return Err(LockError::Dismissed { name: name(), why });
                }
            }
            line.tidy(*ticket)?;
            ways.push(line.in_the_way(*ticket, &seat.family(request))?);
        }
        let mut gifts: Vec<Vec<String>> = Vec::new();
        let mut later = None;
        let mut value = None;
        if ways.iter().all(Vec::is_empty) {
            for ((seat, line), ticket) in self.seats.iter().zip(&mut lines).zip(&tickets) {
                match give(seat, line, *ticket, self.stamp_waited)? {
                    Gift::Of(things) => gifts.push(things),
                    Gift::Later(time) => {
                        later = Some(time);
                        break;
                    }
                }
            }
            if later.is_none() {
                for ((line, ticket), things) in lines.iter_mut().zip(&tickets).zip(&gifts) {
                    grant(line, *ticket, things)?;
                }
            }
        } else if let ([line], [ticket]) = (lines.as_mut_slice(), tickets.as_slice()) {
            let sleeps = may_sleep && ways.iter().all(|by| Line::may_sleep(by));
            value = Some(line.store())
                .filter(|_| sleeps)
                .and_then(Store::words)
                .map(|words| words.get(word_of(*ticket)));
            if let Some(entry) = line.entry_mut(*ticket) {
                entry.sleeps = value.is_some();
            }
        }
        let granted = later.is_none() && gifts.len() == lines.len();
        let tokens = lines.iter().zip(&tickets);
        let tokens = tokens.map(|(line, ticket)| line.entry(*ticket).map_or(0, |it| it.token));
        let tokens: Vec<u64> = tokens.collect();
        let mut saved = Ok(0);
        let mut seen = Vec::with_capacity(lines.len());
        for (line, by) in lines.into_iter().zip(ways) {
            // Where one cannot be saved, those that were are void: their bytes go with us.
            saved = saved.and_then(|_| line.save());
            seen.push((*saved.as_ref().unwrap_or(&0), by));
        }
        for (seat, ticket) in self.seats.iter_mut().zip(&tickets) {
            seat.ticket = Some(*ticket);
        }
        saved?;
        self.stamp_waited |= later.is_some();
        if granted {
            for (seat, things) in self.seats.iter_mut().zip(gifts) {
                seat.has = things;
            }
            return Ok(Step::Granted(tokens));
        }
        Ok(Step::Blocked(match (later, value) {
            (Some(time), _) => Blocked::Until(time),
            (None, Some(value)) => Blocked::Asleep(value),
            (None, None) => Blocked::By(seen),
        }))
    }

    /// Looks without entering the section, once something has changed: somebody may have granted us
    /// what we wait for. None if that is not enough to know how it stands.
    fn look(&self) -> Result<Option<Step>, LockError> {
        let [seat] = self.seats.as_slice() else {
            return Ok(None);
        };
        let value = seat.store.words().zip(seat.ticket);
        let value = value.map(|(words, ticket)| words.get(word_of(ticket)));
        let Some((generation, image)) = seat.store.snapshot()? else {
            return Ok(None);
        };
        let ours = |it: &&Entry| Some(it.ticket) == seat.ticket;
        let Some(entry) = image.entries.iter().find(ours) else {
            return Ok(None);
        };
        if entry.dismissed || !entry.is_plain {
            return Ok(None);
        }
        if entry.standing == Standing::Holding {
            return Ok(Some(Step::Granted(vec![entry.token])));
        }
        let by = blockers(image.shape, &seat.store.places(&image), entry.ticket, &[]);
        if by.is_empty() {
            return Ok(None);
        }
        Ok(Some(Step::Blocked(match value {
            Some(value) if entry.sleeps => Blocked::Asleep(value),
            _ => {
                let entries = image.entries.iter().filter(|it| by.contains(&it.ticket));
                Blocked::By(vec![(generation, entries.copied().collect())])
            }
        })))
    }

    /// Our places, once they are taken.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Store, u64)> {
        self.seats
            .iter()
            .filter_map(|seat| Some((&seat.store, seat.ticket?)))
    }

    /// Our tickets, each with its lock's name.
    fn tickets(&self) -> Vec<(String, u64)> {
        self.seats
            .iter()
            .filter_map(|seat| Some((seat.wanted.name().to_owned(), seat.ticket?)))
            .collect()
    }

    fn sleep(&self, value: u32, limit: Duration) {
        if let Some(seat) = self.seats.first()
            && let (Some(words), Some(ticket)) = (seat.store.words(), seat.ticket)
        {
            words.sleep(word_of(ticket), value, limit);
        }
    }

    /// How it stands, in the first of the queues that keeps us.
    fn waiting(&self, blocked: &Blocked) -> Result<Option<Waiting>, LockError> {
        let mut first = None;
        for seat in &self.seats {
            let Some(ticket) = seat.ticket else {
                continue;
            };
            let Some(image) = seat.store.read()? else {
                continue;
            };
            let mut ahead = 0;
            let mut holders = Vec::new();
            for entry in image.entries.iter().filter(|it| it.ticket != ticket) {
                let holds = entry.standing == Standing::Holding;
                if (holds || entry.ticket < ticket) && seat.store.is_there(entry)? {
                    ahead += 1;
                    if holds {
                        holders.push(Record::new(entry, &seat.store.text(entry)));
                    }
                }
            }
            let waiting = Waiting {
                ahead,
                name: seat.wanted.name().to_owned(),
                holders,
            };
            if ahead > 0 {
                return Ok(Some(waiting));
            }
            first.get_or_insert(waiting);
        }
        Ok(first.filter(|_| !matches!(blocked, Blocked::Until(_))))
    }

    fn refused(&mut self, blocked: &Blocked) -> LockError {
        if let Blocked::Absent(at) = blocked {
            let name = self
                .seats
                .get(*at)
                .map(|seat| seat.wanted.name().to_owned());
            return LockError::Absent {
                name: name.unwrap_or_default(),
            };
        }
        let waiting = self.waiting(blocked).ok().flatten();
        for seat in &self.seats {
            if let Ok(mut line) = Line::enter(&seat.store, SHORTLY, Shape::Modes) {
                line.image_mut().counts.refused += 1;
                // It is only counted.
                let _ = line.save();
            }
        }
        match waiting {
            Some(waiting) => LockError::Busy {
                name: waiting.name,
                holders: waiting.holders,
            },
            None => LockError::Busy {
                name: self.request.names(),
                holders: Vec::new(),
            },
        }
    }

    pub(crate) fn finish(mut self, tokens: &[u64]) -> Vec<Held> {
        let mut held: Vec<(usize, Held)> = Vec::with_capacity(self.seats.len());
        for (seat, token) in std::mem::take(&mut self.seats).into_iter().zip(tokens) {
            let on_trial = matches!(
                seat.wanted.gives,
                Gives::Sequence {
                    transactional: true
                }
            );
            held.push((
                seat.number,
                Held {
                    store: seat.store,
                    ticket: seat.ticket.unwrap_or(0),
                    token: *token,
                    mode: seat.wanted.mode,
                    has: seat.has,
                    on_trial: on_trial.then_some(seat.durable),
                },
            ));
        }
        held.sort_unstable_by_key(|(number, _)| *number);
        held.into_iter().map(|(_, held)| held).collect()
    }
}

impl Pending<'_> {
    /// Leaves its places in the queues as they are.
    pub(crate) fn stay(mut self) {
        self.seats.clear();
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        for seat in &self.seats {
            if let Some(ticket) = seat.ticket {
                release(&seat.store, ticket);
            }
        }
    }
}

/// Whether we may come: not if nobody uses it and we are not to be the first.
fn come(seat: &Seat<'_>, line: &mut Line<'_>, request: &Request) -> Result<bool, LockError> {
    line.agree_on(seat.wanted.shape)?;
    if !line.is_used()? {
        if !request.create {
            return Ok(false);
        }
        line.image_mut().idle = u64::try_from(request.idle.as_micros()).unwrap_or(u64::MAX);
    }
    if request.crowd == Crowd::Join {
        return Ok(true);
    }
    let waits = |it: &Entry| it.standing == Standing::Waiting && !it.dismissed;
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
fn enqueue(
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
    line.store().appear(ticket)?;
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
        uid: surroundings::own_uid(),
        owner: surroundings::ourselves(),
        guardian: Who::default(),
        work: Who::default(),
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
            .map(|(_, (seat, ticket))| (seat.wanted.name().to_owned(), *ticket))
            .collect(),
        above: request.held_above.clone(),
        reentrant: request.reentrant,
        user: surroundings::user().to_owned(),
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
enum Gift {
    Of(Vec<String>),
    /// A time, but not yet.
    Later(Duration),
}

fn give(
    seat: &Seat<'_>,
    line: &mut Line<'_>,
    ticket: u64,
    waited: bool,
) -> Result<Gift, LockError> {
    Ok(match (&seat.wanted.gives, &seat.format) {
        (Gives::Nothing, _) if line.image().shape == Shape::Pool => {
            let places = line.store().places(line.image());
            Gift::Of(choose(&places, ticket, line.image().counts.granted))
        }
        (Gives::Nothing, _) | (Gives::Timestamp { .. }, None) => Gift::Of(Vec::new()),
        (
            Gives::Sequence {
                transactional: false,
            },
            _,
        ) => Gift::Of(vec![seat.durable.number(line.image_mut())?.to_string()]),
        (
            Gives::Sequence {
                transactional: true,
            },
            _,
        ) => {
            let is_there = |other: u64| {
                line.entry(other)
                    .is_some_and(|entry| line.store().is_there(entry).unwrap_or(true))
            };
            let number = seat.durable.number_on_trial(ticket, is_there)?;
            Gift::Of(vec![number.to_string()])
        }
        (Gives::Timestamp { .. }, Some(format)) => match seat.durable.stamp(format, waited)? {
            Stamp::Given(text) => Gift::Of(vec![text]),
            Stamp::Later(time) => Gift::Later(time),
        },
    })
}

fn grant(line: &mut Line<'_>, ticket: u64, things: &[String]) -> Result<(), LockError> {
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
