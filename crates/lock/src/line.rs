//! One lock's queue while it is being changed: who is in whose way, who comes in and who goes.
//!
//! A change is made in memory and saved at once at the end: whoever is killed before that has
//! changed nothing.

use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

use ward_model::lock::{Place, Rank, Shape, Standing, Turn, blockers};

use crate::error::LockError;
use crate::history;
use crate::image::{Entry, Image, MOST, NO_TEXT};
use crate::record::{Ended, Past, Record};
use crate::store::{Section, Store};
use crate::surroundings;
use crate::wait::Way;

/// With more than this in the queue, whoever has gone is looked for although he is in nobody's way.
const MANY: usize = 32;

/// So many tickets are given between two such looks, each of which takes as long as several turns.
const SELDOM: u64 = 256;

/// Of those who wait in somebody's way, so many are looked after.
const WATCHERS: usize = 1;

/// So many numbers in a row may be taken by whoever could not write that he has them.
const MOST_TAKEN: usize = 4096;

/// How many may be looked at who cannot have it, without those of whom that is plain.
const MOST_IN_VAIN: usize = 64;

/// A queue in its critical section.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    section: Section<'a>,
    image: Image,
    /// He was there a moment ago: he need not be looked for twice in one section.
    there: Cell<Option<u64>>,
    changed: bool,
    /// They have the lock by what was changed, and do not know it yet.
    granted: Vec<u64>,
    /// Somebody has it by what was changed who will wake nobody when he ends.
    is_watched: bool,
}

impl<'a> Line<'a> {
    /// Enters the section, within `limit`. A lock that nobody knows yet gets this shape.
    pub(crate) fn enter(
        store: &'a Store,
        limit: Duration,
        shape: Shape,
    ) -> Result<Self, LockError> {
        let section = store.section(limit)?;
        let image = section.load(shape)?;
        Ok(Self {
            section,
            image,
            there: Cell::new(None),
            changed: false,
            granted: Vec::new(),
            is_watched: false,
        })
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// To be changed.
    pub(crate) fn image_mut(&mut self) -> &mut Image {
        self.changed = true;
        &mut self.image
    }

    pub(crate) fn store(&self) -> &'a Store {
        self.section.store()
    }

    pub(crate) fn section(&self) -> &Section<'a> {
        &self.section
    }

    /// A number that nobody has, and its byte.
    pub(crate) fn next_ticket(&mut self) -> Result<u64, LockError> {
        for _ in 0..MOST_TAKEN {
            let ticket = self.image.next_ticket;
            self.image_mut().next_ticket += 1;
            if self.store().appear(ticket)? {
                return Ok(ticket);
            }
        }
        Err(LockError::Full(self.store().name().text().to_owned()))
    }

    /// The next of the numbers that were set aside; none if they are used up.
    pub(crate) fn next_number(&mut self) -> Option<u64> {
        if !self.has_numbers() {
            return None;
        }
        let number = self.image.sequence;
        self.image_mut().sequence += 1;
        Some(number)
    }

    /// Whether there are any.
    pub(crate) fn has_numbers(&self) -> bool {
        self.image.sequence < self.image.set_aside
    }

    /// Puts them behind those that there are. Whoever sets some aside does so while nobody else does:
    /// they follow, or those before were of another run of the host.
    pub(crate) fn add_numbers(&mut self, numbers: Range<u64>) {
        let follow = self.image.set_aside == numbers.start;
        let image = self.image_mut();
        if !follow {
            image.sequence = numbers.start;
        }
        image.set_aside = numbers.end;
    }

    pub(crate) fn entry(&self, ticket: u64) -> Option<&Entry> {
        self.image.entries.iter().find(|it| it.ticket == ticket)
    }

    pub(crate) fn entry_mut(&mut self, ticket: u64) -> Option<&mut Entry> {
        let mut entries = self.image_mut().entries.iter_mut();
        entries.find(|it| it.ticket == ticket)
    }

    /// Those with these tickets, which are in the order of the queue.
    fn those<'t>(&'t self, tickets: &'t [u64]) -> impl Iterator<Item = &'t Entry> {
        self.image.those(tickets)
    }

    pub(crate) fn record(&self, entry: &Entry) -> Record {
        Record::new(entry, &self.store().text(entry))
    }

    /// Everybody who is there.
    pub(crate) fn present(&self) -> Result<Vec<Entry>, LockError> {
        let mut all = Vec::new();
        for entry in &self.image.entries {
            if self.store().is_there(entry)? {
                all.push(*entry);
            }
        }
        Ok(all)
    }

    /// Whether somebody uses the lock, or did a moment ago.
    pub(crate) fn is_used(&self) -> Result<bool, LockError> {
        for entry in &self.image.entries {
            if self.store().is_there(entry)? {
                self.there.set(Some(entry.ticket));
                return Ok(true);
            }
        }
        Ok(self.image.used_until > 0 && surroundings::since_boot() < self.image.used_until)
    }

    /// Everybody who is there must mean the same by the name.
    pub(crate) fn agree_on(&mut self, shape: Shape) -> Result<(), LockError> {
        if self.image.shape == shape {
            return Ok(());
        }
        if !self.present()?.is_empty() {
            let name = self.store().name().text();
            return Err(LockError::shapes(name, self.image.shape, shape));
        }
        self.strike_off(None)?;
        self.image_mut().shape = shape;
        Ok(())
    }

    /// Takes somebody out. If he held, that is counted and remembered.
    pub(crate) fn remove(&mut self, ticket: u64, ended: Ended) {
        let Some(at) = self.image.entries.iter().position(|it| it.ticket == ticket) else {
            return;
        };
        let entry = self.image_mut().entries.remove(at);
        if entry.standing == Standing::Holding {
            let held = surroundings::now().saturating_sub(entry.held_since);
            let counts = &mut self.image.counts;
            counts.held = counts.held.saturating_add(held);
            counts.longest_hold = counts.longest_hold.max(held);
            if entry.slot != NO_TEXT {
                let past = Past::new(self.record(&entry), ended);
                if let Some(line) = history::line(past) {
                    history::remember(self.store(), self.image.counts.ended, &line);
                    self.image.counts.ended += 1;
                }
            }
        }
        if self.image.idle > 0 {
            self.image.used_until = surroundings::since_boot().saturating_add(self.image.idle);
        }
    }

    /// Strikes everybody off who is not there any more, whether in the way or not.
    pub(crate) fn strike_off(&mut self, own: Option<u64>) -> Result<(), LockError> {
        let mut gone = Vec::new();
        for entry in &self.image.entries {
            if Some(entry.ticket) != own && !self.store().is_there(entry)? {
                gone.push(entry.ticket);
            }
        }
        for ticket in gone {
            self.remove(ticket, Ended::Gone);
        }
        Ok(())
    }

    /// As [`Line::strike_off`], where a queue has become long.
    pub(crate) fn tidy(&mut self, own: u64) -> Result<(), LockError> {
        let entries = &self.image.entries;
        if entries.len() <= MANY {
            return Ok(());
        }
        // Everybody in a long queue would be looked at each time: once in a while is enough.
        let tickets = entries.iter().map(|it| it.ticket);
        let before = tickets.filter(|ticket| *ticket < own).max();
        let is_time = before.is_some_and(|before| before / SELDOM < own / SELDOM);
        if is_time || entries.len() >= MOST {
            self.strike_off(Some(own))?;
        }
        Ok(())
    }

    /// Who is in the way of `ticket` and there. Who is not there any more is struck off, but only as
    /// far as he is in the way: to look after everybody would make a long queue slow.
    pub(crate) fn in_the_way(&mut self, ticket: u64, family: &[u64]) -> Result<Way, LockError> {
        loop {
            let by = self.store().blockers(&self.image, ticket, family);
            let mut gone = Vec::new();
            let mut there = Vec::with_capacity(by.len());
            let mut waiting = 0;
            for entry in self.those(&by) {
                let other = entry.ticket;
                // Of those who wait, the first few are enough to be in the way.
                let waits = entry.standing == Standing::Waiting;
                let looked_at = !waits || waiting < WATCHERS;
                let is_known = self.there.get() == Some(other);
                if looked_at && !is_known && !self.store().is_there(entry)? {
                    gone.push(other);
                } else {
                    waiting += usize::from(waits);
                    there.push(entry);
                }
            }
            if gone.is_empty() {
                return Ok(Way::of(there));
            }
            for other in gone {
                self.remove(other, Ended::Gone);
            }
        }
    }

    /// Grants it to somebody.
    pub(crate) fn grant(&mut self, ticket: u64) {
        let now = surroundings::now();
        // Not the ticket: who came later may be served first.
        let token = self.image.next_ticket;
        self.image_mut().next_ticket += 1;
        let Some(entry) = self.entry_mut(ticket) else {
            return;
        };
        entry.token = token;
        entry.standing = Standing::Holding;
        entry.held_since = now;
        entry.sleeps = false;
        let waited = now.saturating_sub(entry.asked_at);
        let is_own_work = entry.is_own_work;
        self.is_watched |= is_own_work;
        let counts = &mut self.image_mut().counts;
        counts.granted += 1;
        counts.waited = counts.waited.saturating_add(waited);
        counts.longest_wait = counts.longest_wait.max(waited);
    }

    /// Grants it to those who are next, where a grant is all that they want: then they need not enter
    /// the section for it. Whoever was killed meanwhile holds it as if he had been killed after.
    fn hand_over(&mut self) {
        let waiting = self.in_order(|it| !it.dismissed);
        if !waiting.iter().any(|it| it.is_plain) {
            return;
        }
        let (mut granted, mut in_vain) = (Vec::new(), Vec::new());
        // Who comes after somebody is not in his way: in a long queue most need not be looked at.
        let mut places: Vec<Place> = Vec::new();
        let holds = |it: &&Entry| it.standing == Standing::Holding;
        let holders = self.image.entries.iter().filter(holds);
        let mut ahead = holders.chain(waiting.iter().copied());
        for entry in waiting.iter().copied() {
            if !entry.is_plain || self.is_behind(entry, &in_vain) {
                continue;
            }
            let ticket = entry.ticket;
            let mut is_free = || {
                let is_his = |it: &Place| it.ticket == ticket;
                while !places.last().is_some_and(is_his)
                    && let Some(next) = ahead.next()
                {
                    places.push(self.store().place(self.image.shape, next));
                }
                blockers(self.image.shape, &places, ticket, &[]).is_empty()
            };
            if !self.is_kept_out(entry) && is_free() {
                granted.push(ticket);
                if let Some(place) = places.last_mut() {
                    place.standing = Standing::Holding;
                }
            } else {
                in_vain.push(entry);
                if in_vain.len() == MOST_IN_VAIN {
                    break;
                }
            }
        }
        for ticket in &granted {
            self.grant(*ticket);
        }
        self.granted = granted;
    }

    /// Those who wait and are such, first who is first.
    fn in_order(&self, such: impl Fn(&Entry) -> bool) -> Vec<&Entry> {
        let mut waiting = Vec::with_capacity(self.image.entries.len());
        let is_meant = |it: &&Entry| it.standing == Standing::Waiting && such(it);
        waiting.extend(self.image.entries.iter().filter(is_meant));
        let rank = |it: &&Entry| Rank::of(it.priority, it.turn, it.ticket);
        if !waiting.is_sorted_by_key(rank) {
            waiting.sort_by_key(rank);
        }
        waiting
    }

    /// Whether it is plain that somebody cannot have it, as those wait before him who cannot: without
    /// that, everybody in a long queue would have to be compared with everybody.
    fn is_behind(&self, entry: &Entry, in_vain: &[&Entry]) -> bool {
        // Who waits for a part, or a thing, or for nobody's turn may have it before others.
        if entry.has_text || entry.turn == Turn::FirstFit {
            return false;
        }
        match self.image.shape {
            Shape::Modes => in_vain.iter().any(|it| !it.mode.goes_with(entry.mode)),
            Shape::Slots(_) => !in_vain.is_empty(),
            Shape::Pool => false,
        }
    }

    /// Whether it is plain that somebody cannot have it, as somebody holds it with whom he does not go.
    fn is_kept_out(&self, entry: &Entry) -> bool {
        let holders = self.image.entries.iter();
        let mut holders = holders.filter(|it| it.standing == Standing::Holding);
        self.image.shape == Shape::Modes
            && holders.any(|it| {
                let of_all = !entry.has_text || !it.has_text;
                of_all && !it.mode.goes_with(entry.mode)
            })
    }

    /// Saves what has changed, and wakes whoever must look now.
    pub(crate) fn save(mut self) -> Result<(), LockError> {
        if !self.changed {
            return Ok(());
        }
        self.hand_over();
        let mut woken = self.to_wake();
        for ticket in &woken {
            if let Some(entry) = self.entry_mut(*ticket) {
                entry.sleeps = false;
            }
        }
        if self.is_watched {
            let next = self.in_order(|it| !it.dismissed);
            woken.extend(next.first().map(|it| it.ticket));
        }
        self.section.save(&self.image)?;
        woken.append(&mut self.granted);
        let store = self.store();
        // Whoever is woken wants to enter the section.
        drop(self);
        store.wake(&woken);
        Ok(())
    }

    /// Those who must look: who sleeps although he is next, who was sent away, and who is next and
    /// must see himself whether he can have all that he wants.
    fn to_wake(&self) -> Vec<u64> {
        let looking = self.in_order(|it| it.sleeps || it.dismissed || !it.is_plain);
        if looking.is_empty() {
            return Vec::new();
        }
        let places = self.store().places(&self.image);
        let mut woken = Vec::new();
        let mut asleep: Vec<&Entry> = Vec::new();
        for entry in looking {
            if entry.dismissed {
                woken.push(entry.ticket);
                continue;
            }
            // Of what he shares with those above him only he knows.
            let knows_more = entry.has_above && !entry.is_plain;
            if !knows_more && self.is_behind(entry, &asleep) {
                continue;
            }
            let by = blockers(self.image.shape, &places, entry.ticket, &[]);
            let is_next = self.those(&by).all(|it| it.standing == Standing::Holding);
            if by.is_empty() || knows_more || (entry.sleeps && is_next) {
                woken.push(entry.ticket);
            } else {
                asleep.push(entry);
                if asleep.len() == MOST_IN_VAIN {
                    break;
                }
            }
        }
        woken
    }

    /// Strikes off who is next and was killed, so that those behind him are woken.
    pub(crate) fn tidy_head(&mut self) -> Result<(), LockError> {
        while let Some(next) = self.in_order(|_| true).first().copied().copied() {
            if self.store().is_there(&next)? {
                break;
            }
            self.remove(next.ticket, Ended::Gone);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::{Directory, Patience, Request};

    /// A lock directory outlives the host's run: whoever was in a queue then is not there any more,
    /// though another process may be what he was by its number and its start.
    #[test]
    fn whoever_was_there_before_the_host_started_is_gone() {
        let path = std::env::temp_dir().join(format!("ward-boot-{}", std::process::id()));
        let locks = Directory::open(Some(&path)).expect("a directory");
        let request = Request::exclusive("it").expect("a name");
        let now = || locks.acquire(&request, Patience::None, None);
        let mut held = now().expect("free");
        let own = i32::try_from(std::process::id()).expect("a number");
        held[0].note_work(own).expect("noted");
        let token = held[0].token();
        // Its descriptor is gone; the work is there.
        held.clear();
        assert!(matches!(now(), Err(LockError::Busy { .. })));
        let store = Store::open(&path, &Name::parse("it").expect("a name")).expect("opened");
        let section = store.section(Duration::from_secs(20)).expect("entered");
        let mut image = section.load(Shape::Modes).expect("read");
        image.boot[0] ^= 0x55;
        image.used_until = u64::MAX;
        (image.sequence, image.set_aside) = (7, 9);
        section.save(&image).expect("written");
        drop(section);
        assert!(locks.list().expect("listed").locks.is_empty());
        let held = now().expect("free");
        assert!(held[0].token() > token);
        let after = store.read().expect("read").expect("a queue");
        assert_eq!((after.entries.len(), after.set_aside), (1, 0));
        std::fs::remove_dir_all(path).expect("clean up");
    }

    /// Those who wait and are gone, and in nobody's way, do not fill a long queue.
    #[test]
    fn a_long_queue_is_tidied_once_in_so_many_tickets_and_when_it_is_full() {
        let path = std::env::temp_dir().join(format!("ward-tidy-{}", std::process::id()));
        let locks = Directory::open(Some(&path)).expect("a directory");
        let request = Request::exclusive("it").expect("a name");
        let held = locks.acquire(&request, Patience::None, None).expect("free");
        let store = &held[0].store;
        let one = store.read().expect("read").expect("a queue").entries[0];
        let left = |tickets: Range<u64>, own: u64| {
            let mut line = Line::enter(store, Duration::from_secs(20), Shape::Modes);
            let line = line.as_mut().expect("entered");
            let gone = tickets.chain([own]).map(|ticket| Entry {
                ticket,
                standing: Standing::Waiting,
                ..one
            });
            line.image_mut().entries = gone.collect();
            line.tidy(own).expect("tidied");
            // It is not saved.
            line.image.entries.len()
        };
        let next = 7 * SELDOM;
        assert_eq!(left(next - 40..next - 1, next - 1), 40);
        assert_eq!(left(next - 40..next, next), 1);
        assert_eq!(left(next - 40..next, next + 3), 1);
        assert_eq!(left(next..next + 40, next + 40), 41);
        // A short one is not looked at.
        assert_eq!(left(next - 4..next, next), 5);
        let full = MOST as u64;
        assert_eq!(left(1..full, full + 1), 1);
        assert_eq!(
            left(full * 9..full * 9 + SELDOM - 2, full * 9 + SELDOM - 1),
            255
        );
        drop(held);
        std::fs::remove_dir_all(path).expect("clean up");
    }
}
