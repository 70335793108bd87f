//! Getting locks: one, or several, all or none.
//!
//! Who asks for several enters all their critical sections, in the order of their names, and takes
//! his places in all queues at once; he is granted all at once too. So nobody holds one while he
//! waits for another, and no two can wait for one another in a ring: whoever came first is first in
//! every queue.

use std::cell::{Cell, RefCell};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use ward_model::lock::{Shape, Standing, keeping};

use crate::collect;
use crate::deadlock;
use crate::durable::Durable;
use crate::error::LockError;
use crate::held::{Held, release};
use crate::image::{Entry, Image};
use crate::line::Line;
use crate::name::Badge;
use crate::place::Directory;
use crate::record::Record;
use crate::request::{Crowd, Gives, Patience, Request, Waiting};
use crate::seat::{Gift, Seat, come, enqueue, give, grant, prepare, take_back};
use crate::store::{STUCK, Store};
use crate::surroundings;
use crate::timestamp::Format;
use crate::together;
use crate::wait::{FIRST_LOOK, LAST_LOOK, LOOK, Obstacle, Way, Woken, is_readable, nap};

/// Who does not want to wait is not kept longer than this by somebody who stands still in the middle
/// of a change.
const SHORTLY: Duration = Duration::from_secs(2);

/// Who waits less than this is told nothing: to look who holds costs more than most such waits.
const UNTOLD: Duration = Duration::from_millis(250);

/// How often we look whether somebody uses a lock by now.
const ABSENT: Duration = Duration::from_millis(20);

/// Who is far from the head reads the queue after so long, though nobody has woken him.
const SELDOM: Duration = Duration::from_secs(5);

/// What is only counted does not wait for anybody.
const AT_ONCE: Duration = Duration::from_millis(20);

/// So many of those ahead are looked after when they are counted.
pub(crate) const LOOKED_AFTER: usize = 64;

/// What is told while we wait.
pub type Tell<'a> = Option<&'a mut dyn FnMut(&Waiting)>;

impl Directory {
    /// Gets all that is asked for, and tells how it stands while it waits: after a quarter of a second, or
    /// half the patience where that is less, and then each second. In the order in which the locks
    /// were named.
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
        tell: Tell<'_>,
        cancelled: Option<BorrowedFd<'_>>,
    ) -> Result<Vec<Held>, LockError> {
        self.acquire_by(&mut Vec::new(), request, patience, tell, cancelled)
    }

    /// As [`Directory::acquire_unless`], by files that are open already: those that are good for it are
    /// taken from `opened`.
    pub(crate) fn acquire_by(
        &self,
        opened: &mut Vec<Store>,
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
        let mut pending = Pending::new(self, request, opened)?;
        let untold = match patience {
            Patience::For(time) => UNTOLD.min(time / 2),
            Patience::None | Patience::Never => UNTOLD,
        };
        let (mut told, mut blocked_since): (Option<Instant>, Option<Instant>) = (None, None);
        let mut checked: Option<Instant> = None;
        let mut woken_by = None;
        let mut pace = FIRST_LOOK;
        loop {
            let limit = deadline.map_or(STUCK, |_| left().max(SHORTLY).min(STUCK));
            // Whoever comes looks for that himself, in the section in which he is granted it.
            let waited = pending.is_in_line();
            let looked = match woken_by.take() {
                Some(Woken::Look) | None => None,
                Some(woken) => pending.look(woken)?,
            };
            let step = match looked {
                Some(step) => step,
                None => match pending.advance(limit) {
                    // What is wrong with a file that is not the one of its name is nobody's concern.
                    Err(_) if pending.is_unproven() && !pending.is_known() => Step::Removed,
                    step => step?,
                },
            };
            let blocked = match step {
                // In a file that somebody has removed nobody who comes now would see us.
                Step::Granted(_) if waited && !pending.is_known() => {
                    drop(pending);
                    pending = Pending::new(self, request, opened)?;
                    continue;
                }
                Step::Granted(tokens) => return Ok(pending.finish(&tokens)),
                Step::Removed => {
                    drop(pending);
                    pending = Pending::new(self, request, opened)?;
                    continue;
                }
                Step::Unprepared(seat) => match pending.prepare(seat, limit)? {
                    None => continue,
                    Some(blocked) => blocked,
                },
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
            let since = *blocked_since.get_or_insert_with(Instant::now);
            let to_tell = told.map_or_else(
                || untold.saturating_sub(since.elapsed()),
                |at| LOOK.saturating_sub(at.elapsed()),
            );
            if to_tell.is_zero()
                && let Some(tell) = &mut tell
                && let Some(waiting) = pending.waiting(&blocked)?
            {
                tell(&waiting);
                told = Some(Instant::now());
            }
            // Whoever is to be told is not slept past.
            let pause = if tell.is_some() && told.is_none() && !to_tell.is_zero() {
                to_tell
            } else {
                LOOK
            };
            let limit = left().min(pause);
            match &blocked {
                Blocked::By { .. } => {
                    let mut woken = Woken::Nothing;
                    let since = Instant::now();
                    // Whoever should have woken us may have been killed before he did.
                    while woken == Woken::Nothing && since.elapsed() < SELDOM {
                        let Some(obstacle) = pending.obstacle(&blocked) else {
                            break;
                        };
                        woken = obstacle.sleep(left().min(pause), pace, cancelled);
                        let over = left().is_zero() || cancelled.is_some_and(is_readable);
                        // Somebody may want to be told, or to look for rings.
                        if over || tell.is_some() || !request.held_above.is_empty() {
                            break;
                        }
                    }
                    if woken == Woken::Late {
                        pace = (pace * 2).min(LAST_LOOK);
                    }
                    woken_by = Some(woken);
                }
                Blocked::Until(time) => nap((*time).min(limit), cancelled),
                Blocked::Absent(_) => nap(ABSENT.min(limit), cancelled),
            }
        }
    }
}

/// What keeps us.
#[derive(Debug)]
pub(crate) enum Blocked {
    /// These, in the queue of this seat.
    By {
        seat: usize,
        way: Way,
        /// Whether whoever makes us the next one wakes us.
        sleeps: bool,
        /// The number that we sleep on, as it was when we looked.
        value: Option<u32>,
    },
    /// Nobody, but the next time to be given comes only then.
    Until(Duration),
    /// Nobody uses this one, and we are not to be the first.
    Absent(usize),
}

pub(crate) enum Step {
    /// With these tokens.
    Granted(Vec<u64>),
    /// Nobody is in the way, but what this seat gives must be written down first.
    Unprepared(usize),
    /// One of the files was removed before we came, as nobody used it: there is another, or none.
    Removed,
    Blocked(Blocked),
}

/// A request on its way. Dropped on the way, it leaves its queues.
pub(crate) struct Pending<'a> {
    request: &'a Request,
    /// In the order of the names, which is that in which sections are entered.
    seats: Vec<Seat<'a>>,
    /// Until when we wait for the next time to be given.
    stamp_due: Option<Instant>,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(
        directory: &Directory,
        request: &'a Request,
        opened: &mut Vec<Store>,
    ) -> Result<Self, LockError> {
        request.check()?;
        if request.crowd == Crowd::ReplacePending {
            // Whom they were replaced by is written down where everybody waits for us.
            surroundings::user();
        }
        let mut seats = Vec::with_capacity(request.locks.len());
        for (number, wanted) in request.locks.iter().enumerate() {
            let format = match &wanted.gives {
                Gives::Timestamp { format } => Some(Format::new(format)?),
                Gives::Nothing | Gives::Sequence { .. } => None,
            };
            let is_it = |store: &Store| store.name().file() == wanted.name.file();
            let at = opened.iter().position(is_it);
            let store = match at.and_then(|at| opened.swap_remove(at).again()) {
                Some(store) => store,
                None => Store::open(directory.path(), &wanted.name)?,
            };
            seats.push(Seat {
                wanted,
                number,
                store,
                durable: (wanted.gives != Gives::Nothing)
                    .then(|| Durable::new(&directory.durable(), &wanted.name)),
                format,
                ticket: Cell::new(None),
                given: RefCell::new(None),
                has: Vec::new(),
            });
        }
        if seats.iter().any(|seat| seat.store.is_new()) {
            collect::collect(directory.path());
        }
        seats.sort_unstable_by(|one, other| one.wanted.name.file().cmp(other.wanted.name.file()));
        Ok(Self {
            request,
            seats,
            stamp_due: None,
        })
    }

    /// Whether all the files are still those of their names.
    fn is_known(&self) -> bool {
        self.seats.iter().all(|seat| seat.store.is_known())
    }

    /// Whether one of the files may be another's than the one of its name.
    fn is_unproven(&self) -> bool {
        self.seats.iter().any(|seat| seat.store.was_kept())
    }

    /// Whether it has a place in each queue.
    fn is_in_line(&self) -> bool {
        self.seats.iter().all(|seat| seat.ticket.get().is_some())
    }

    fn obstacle<'s>(&'s self, blocked: &'s Blocked) -> Option<Obstacle<'s>> {
        let Blocked::By {
            seat,
            way,
            sleeps,
            value,
        } = blocked
        else {
            return None;
        };
        let seat = self.seats.get(*seat)?;
        Some(Obstacle {
            store: &seat.store,
            ticket: seat.ticket.get()?,
            value: *value,
            sleeps: *sleeps,
            way,
        })
    }

    /// Takes a place in each queue, if it has none, and the locks, if they can be had.
    pub(crate) fn advance(&mut self, limit: Duration) -> Result<Step, LockError> {
        let request = self.request;
        let first_time = !self.is_in_line();
        // Everything below looks at all the queues at once.
        let mut lines = together::enter(&self.seats, limit)?;
        let mut tickets: Vec<u64> = Vec::with_capacity(lines.len());
        if first_time {
            // From here on nobody removes them: we are in their queues.
            if !self.is_known() {
                return Ok(Step::Removed);
            }
            for (at, (seat, line)) in self.seats.iter().zip(&mut lines).enumerate() {
                if !come(seat, line, request)? {
                    return Ok(Step::Blocked(Blocked::Absent(at)));
                }
            }
            for (seat, line) in self.seats.iter().zip(&mut lines) {
                let ticket = line.next_ticket()?;
                // From here on we leave again, whatever happens.
                seat.ticket.set(Some(ticket));
                tickets.push(ticket);
            }
            for (at, (seat, line)) in self.seats.iter().zip(&mut lines).enumerate() {
                enqueue(seat, line, request, at, &tickets, &self.seats)?;
            }
        } else {
            tickets.extend(self.seats.iter().filter_map(|seat| seat.ticket.get()));
        }
        let mut ways: Vec<Way> = Vec::with_capacity(lines.len());
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
        let mut unprepared = None;
        let (mut value, mut is_asleep) = (None, false);
        if ways.iter().all(Way::is_free) {
            let seats = self.seats.iter().zip(&mut lines).zip(&tickets);
            for (at, ((seat, line), ticket)) in seats.enumerate() {
                match give(seat, line, *ticket) {
                    Gift::Of(things) => gifts.push(things),
                    Gift::Unprepared => {
                        unprepared = Some(at);
                        break;
                    }
                }
            }
            if unprepared.is_none() {
                for ((line, ticket), things) in lines.iter_mut().zip(&tickets).zip(&gifts) {
                    grant(line, *ticket, things)?;
                }
            }
        } else {
            self.seats.iter().for_each(take_back);
            self.stamp_due = None;
        }
        // Whoever changes the first queue that keeps us wakes us; in the others we are asleep to
        // nobody.
        let first = ways.iter().position(|way| !way.is_free());
        for (at, (line, ticket)) in lines.iter_mut().zip(&tickets).enumerate() {
            let is_plain = line.entry(*ticket).is_some_and(|it| it.is_plain);
            let sleeps = first == Some(at) && ways[at].is_far(is_plain);
            is_asleep |= sleeps;
            if first == Some(at) {
                value = line.store().word(*ticket);
            }
            if line.entry(*ticket).is_some_and(|it| it.sleeps != sleeps)
                && let Some(entry) = line.entry_mut(*ticket)
            {
                entry.sleeps = sleeps;
            }
        }
        let granted = gifts.len() == lines.len();
        let tokens = lines.iter().zip(&tickets);
        let tokens = tokens.map(|(line, ticket)| line.entry(*ticket).map_or(0, |it| it.token));
        let tokens: Vec<u64> = tokens.collect();
        let mut saved = Ok(());
        for line in lines {
            // Where one cannot be saved, those that were are void: their bytes go with us.
            saved = saved.and_then(|()| line.save());
        }
        saved?;
        if granted {
            for (seat, things) in self.seats.iter_mut().zip(gifts) {
                seat.has = things;
            }
            return Ok(Step::Granted(tokens));
        }
        Ok(match (unprepared, first) {
            (Some(seat), _) => Step::Unprepared(seat),
            (None, Some(seat)) => Step::Blocked(Blocked::By {
                seat,
                way: ways.swap_remove(seat),
                sleeps: is_asleep,
                value,
            }),
            (None, None) => Step::Blocked(Blocked::Until(ABSENT)),
        })
    }

    /// Writes down what a seat gives, while nobody is kept by it. What keeps us, if it is not yet time.
    fn prepare(&mut self, seat: usize, limit: Duration) -> Result<Option<Blocked>, LockError> {
        let Some(seat) = self.seats.get(seat) else {
            return Ok(None);
        };
        let waited = self.stamp_due.is_some_and(|due| Instant::now() >= due);
        let ticket = seat.ticket.get().unwrap_or(0);
        let Some(time) = prepare(seat, ticket, waited, limit)? else {
            return Ok(None);
        };
        self.stamp_due = self.stamp_due.or(Instant::now().checked_add(time));
        Ok(Some(Blocked::Until(time)))
    }

    /// Looks without entering the section, once something has changed: somebody may have granted us
    /// what we wait for. None if that is not enough to know how it stands.
    fn look(&self, woken: Woken) -> Result<Option<Step>, LockError> {
        let [seat] = self.seats.as_slice() else {
            return Ok(None);
        };
        let Some(ticket) = seat.ticket.get() else {
            return Ok(None);
        };
        // Who is woken mostly is so because he has it.
        if woken == Woken::Changed
            && let Some(image) = seat.store.read_only(ticket)?
            && let Some(token) = granted(&image, ticket)
        {
            return Ok(Some(Step::Granted(vec![token])));
        }
        let value = seat.store.word(ticket);
        let Some(image) = seat.store.read()? else {
            return Ok(None);
        };
        if let Some(token) = granted(&image, ticket) {
            return Ok(Some(Step::Granted(vec![token])));
        }
        let ours = |it: &&Entry| it.ticket == ticket;
        let Some(entry) = image.entries.iter().find(ours) else {
            return Ok(None);
        };
        if entry.dismissed || !entry.is_plain {
            return Ok(None);
        }
        let by = seat.store.blockers(&image, entry.ticket, &[]);
        if by.is_empty() {
            return Ok(None);
        }
        let way = Way::of(image.those(&by));
        // Asleep to those who change the queue, or near its head.
        let is_asleep_for_nothing = entry.sleeps && way.is_next();
        if is_asleep_for_nothing || (!entry.sleeps && way.is_far(true)) {
            return Ok(None);
        }
        let blocked = Blocked::By {
            seat: 0,
            way,
            sleeps: entry.sleeps,
            value,
        };
        let is_over = |it: Obstacle<'_>| woken == Woken::Late && it.is_anybody_gone();
        if self.obstacle(&blocked).is_some_and(is_over) {
            return Ok(None);
        }
        Ok(Some(Step::Blocked(blocked)))
    }

    /// Our places, once they are taken.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Store, u64)> {
        self.seats
            .iter()
            .filter_map(|seat| Some((&seat.store, seat.ticket.get()?)))
    }

    /// Our tickets.
    fn tickets(&self) -> Vec<Badge> {
        self.seats
            .iter()
            .filter_map(|seat| Some(Badge::new(&seat.wanted.name, seat.ticket.get()?)))
            .collect()
    }

    /// How it stands, in the first of the queues that keeps us.
    fn waiting(&self, blocked: &Blocked) -> Result<Option<Waiting>, LockError> {
        let mut first = None;
        for seat in &self.seats {
            let Some(ticket) = seat.ticket.get() else {
                continue;
            };
            let Some(image) = seat.store.read()? else {
                continue;
            };
            let mut ahead = 0;
            let mut holders = Vec::new();
            let places = seat.store.places(&image);
            let family = seat.family(self.request);
            let keeping = keeping(image.shape, &places, ticket, &family, LOOKED_AFTER);
            for entry in image
                .entries
                .iter()
                .filter(|it| keeping.contains(&it.ticket))
            {
                // Whoever waits far ahead is taken for there: it is only told.
                if ahead > LOOKED_AFTER || seat.store.is_there(entry).unwrap_or(false) {
                    ahead += 1;
                    if entry.standing == Standing::Holding {
                        holders.push(Record::new(entry, &seat.store.text(entry)).named());
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
            if let Ok(mut line) = Line::enter(&seat.store, AT_ONCE, Shape::Modes) {
                line.image_mut().counts.refused += 1;
                // It is only counted.
                let _ = line.save();
            }
        }
        match waiting {
            None if matches!(blocked, Blocked::Until(_)) => LockError::NotDue(self.request.names()),
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
                    ticket: seat.ticket.get().unwrap_or(0),
                    token: *token,
                    mode: seat.wanted.mode,
                    has: seat.has,
                    on_trial: seat.durable.filter(|_| on_trial),
                    committed: Cell::new(false),
                },
            ));
        }
        held.sort_unstable_by_key(|(number, _)| *number);
        held.into_iter().map(|(_, held)| held).collect()
    }
}

/// The token of `ticket`, if somebody else has granted him all that he wants.
fn granted(image: &Image, ticket: u64) -> Option<u64> {
    let entry = image.entries.iter().find(|it| it.ticket == ticket)?;
    let is_granted = entry.is_plain && !entry.dismissed && entry.standing == Standing::Holding;
    is_granted.then_some(entry.token)
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
            if let Some(ticket) = seat.ticket.get() {
                release(&seat.store, ticket, SHORTLY / 4);
            }
        }
    }
}
