//! Locks of a cluster that people hold, free and take, without a process.
//!
//! What a person holds goes with no lease of a process: with none, or with one that lasts for the time
//! that was asked for, so that the cluster frees it.

use std::time::Duration;

use ward_model::lock::{Standing, Turn, blockers, victims};

use super::listing::named;
use super::post::{Line, Post, json, post, record};
use super::rules::{Gift, agree, given, granted, with_kept};
use super::{AGAIN, BEATS, Came, Hosts, Seat, Shared, may_pass};
use crate::acquire::Tell;
use crate::error::LockError;
use crate::etcd::{Compare, EtcdError, Keys, Lease, LeaseId, Op, Relation, Target, Txn};
use crate::listing::{Listed, Listing};
use crate::locks::Locks;
use crate::name::Name;
use crate::people::{end_of, of_a_thief, to_be_freed};
use crate::record::Record;
use crate::request::{Patience, Request};
use crate::surroundings;

/// So many are sent away in one step: a member of etcd does 128 things in one, unless it is told
/// otherwise.
const MOST_AT_ONCE: usize = 64;

impl Hosts {
    fn audit(
        &self,
        action: &str,
        lock: &str,
        note: Option<&str>,
        from: &[Record],
    ) -> Result<(), LockError> {
        match &self.audit {
            Some(log) => log.write(action, lock, note, from),
            None => Ok(()),
        }
    }

    /// For each seat a lease that nobody keeps alive and that ends when the time is over; none for ever.
    fn leases_for(
        &mut self,
        seats: &[Seat<'_>],
        time: Option<Duration>,
    ) -> Result<Vec<Option<LeaseId>>, LockError> {
        let lease = |_: &Seat<'_>| time.map(|time| self.cluster.grant(time)).transpose();
        let leases: Result<Vec<Option<Lease>>, EtcdError> = seats.iter().map(lease).collect();
        let leases = leases.map_err(LockError::cluster)?;
        Ok(leases.into_iter().map(|it| it.map(|it| it.id)).collect())
    }

    /// Carries out a change that puts something with these leases; else they are not needed.
    fn change(&mut self, change: &Txn, leases: &[Option<LeaseId>]) -> Result<bool, Unsaid> {
        let (is_done, may_be) = match self.cluster.txn(change) {
            Ok(applied) if applied.succeeded => (Ok(true), true),
            Ok(applied) => (Ok(false), applied.repeated),
            Err(error) => {
                let may_be = error.may_have_happened();
                let error = LockError::cluster(error);
                (Err(Unsaid { error, may_be }), may_be)
            }
        };
        if !may_be {
            for lease in leases.iter().flatten() {
                // Else it runs out.
                let _ = self.cluster.revoke(*lease);
            }
        }
        is_done
    }

    /// Makes what is held with a lease a person's; whether that is done.
    fn make_reserved(
        &mut self,
        seats: &[Seat<'_>],
        time: Option<Duration>,
    ) -> Result<bool, Unsaid> {
        let mut look = Txn::new();
        for seat in seats {
            look = look.then(Op::range(Keys::one(&seat.key)));
        }
        let seen = self.cluster.txn(&look).map_err(LockError::cluster)?;
        let mut found = Vec::with_capacity(seats.len());
        for (at, seat) in seats.iter().enumerate() {
            let pair = seen.range(at).and_then(|it| it.pairs.first());
            let pair = pair.ok_or_else(|| gone(seat))?;
            found.push((pair.mod_revision, post(pair)?));
        }
        // Also by a member that did not say so.
        if found.iter().all(|(_, post)| post.record.reserved) {
            return Ok(true);
        }
        let leases = self.leases_for(seats, time)?;
        let mut change = Txn::new();
        for ((seat, (revision, post)), lease) in seats.iter().zip(found).zip(&leases) {
            change = change
                .when(Compare::unchanged(&seat.key, revision))
                .then(put(seat, &reserved(post, time), *lease)?);
        }
        self.change(&change, &leases)
    }

    /// Tries until it is done, as long as the lease lasts where it may have been done.
    fn until_done(
        &mut self,
        lease: &mut Lease,
        text: &str,
        mut attempt: impl FnMut(&mut Self, &mut Lease) -> Result<bool, Unsaid>,
    ) -> Result<(), LockError> {
        let mut may_be = false;
        loop {
            match attempt(self, lease) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(unsaid) => {
                    may_be |= unsaid.may_be;
                    if !may_be {
                        return Err(unsaid.error);
                    }
                    if !may_pass(&unsaid.error) || lease.left().is_zero() {
                        return Err(LockError::HalfDone {
                            text: text.to_owned(),
                            source: Box::new(unsaid.error),
                        });
                    }
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }

    /// Takes locks from whoever holds them, for who has this lease until he has them; whether that is
    /// done.
    fn take(
        &mut self,
        request: &Request,
        seats: &[Seat<'_>],
        lease: &mut Lease,
        time: Option<Duration>,
        theft: &mut Theft,
    ) -> Result<bool, Unsaid> {
        self.keep(lease)?;
        let (revision, lines) = match self.read(seats, theft.came, request, lease)? {
            (revision, Came::Here(lines)) => (revision, lines),
            (_, Came::Absent(at)) => {
                let name = seats[at].wanted.name().to_owned();
                return Err(LockError::Absent { name }.into());
            }
        };
        theft.came = true;
        let is_ours = |(seat, line): (&Seat<'_>, &Line)| {
            line.find(&seat.key)
                .is_some_and(|(_, post)| post.record.reserved)
        };
        // By a member that did not say so.
        if seats.iter().zip(&lines).all(is_ours) {
            theft.taken.append(&mut theft.about_to);
            return Ok(true);
        }
        let mut robbed = Vec::with_capacity(seats.len());
        for (at, (seat, line)) in seats.iter().zip(&lines).enumerate() {
            let victims = robbed_by(seat, line)?;
            // Before it is done.
            let told = &mut theft.told[at];
            let is_told = |it: &Record| told.as_ref().is_some_and(|told| told.contains(&it.ticket));
            if told.is_none() || !victims.iter().all(is_told) {
                let note = request.why.as_deref();
                self.audit("steal", seat.wanted.name(), note, &victims)?;
                let tickets = victims.iter().map(|it| it.ticket);
                told.get_or_insert_default().extend(tickets);
            }
            robbed.push(victims);
        }
        if robbed.iter().map(Vec::len).sum::<usize>() > MOST_AT_ONCE {
            theft.taken.extend(self.send_away(seats, &lines, &robbed)?);
            return Ok(false);
        }
        let mut gifts = Vec::with_capacity(seats.len());
        for ((seat, line), victims) in seats.iter().zip(&lines).zip(&robbed) {
            let (pair, post) = line.find(&seat.key).ok_or_else(|| gone(seat))?;
            let left = line.without(victims);
            match given(seat, &left, pair.create_revision, revision, theft.waited)? {
                Gift::Of(has, kept) => gifts.push((granted(post, has), kept)),
                Gift::Later(time) => {
                    std::thread::sleep(time.min(lease.ttl / BEATS));
                    theft.waited = true;
                    return Ok(false);
                }
            }
        }
        let leases = self.leases_for(seats, time)?;
        let mut change = Txn::new();
        let all = seats.iter().zip(&lines).zip(&robbed);
        for (((seat, line), victims), ((post, kept), until)) in
            all.zip(gifts.into_iter().zip(&leases))
        {
            change = change
                .when(Compare::not_since(Keys::prefix(&seat.queue), revision))
                .when(Compare::present(&seat.key))
                .then(put(seat, &reserved(post, time), *until)?);
            for key in line.keys_of(victims) {
                change = change.then(Op::delete(Keys::one(key)));
            }
            change = with_kept(change, seat, line, kept)?;
        }
        theft.about_to = robbed.into_iter().flatten().collect();
        let is_done = self.change(&change, &leases)?;
        if is_done {
            theft.taken.append(&mut theft.about_to);
        }
        Ok(is_done)
    }

    /// Takes it from the first few of many.
    fn send_away(
        &mut self,
        seats: &[Seat<'_>],
        lines: &[Line],
        robbed: &[Vec<Record>],
    ) -> Result<Vec<Record>, LockError> {
        let mut change = Txn::new();
        let mut away = Vec::new();
        for ((seat, line), victims) in seats.iter().zip(lines).zip(robbed) {
            let some = &victims[..victims.len().min(MOST_AT_ONCE - away.len())];
            change = change.when(Compare::present(&seat.key));
            for key in line.keys_of(some) {
                change = change.then(Op::delete(Keys::one(key)));
            }
            away.extend(some.iter().cloned());
        }
        let applied = self.cluster.txn(&change).map_err(LockError::cluster)?;
        Ok(if applied.succeeded { away } else { Vec::new() })
    }

    /// Asks the work of holders of a lock to stop, wherever it is: who keeps its lease tells it when he has
    /// renewed that the next time.
    ///
    /// # Errors
    /// [`LockError::Cluster`]. Who holds it no more is not asked, and that is no error.
    pub fn ask_to_stop(&mut self, holders: &[Record]) -> Result<(), LockError> {
        for holder in holders {
            let path = &holder.ask.path;
            let root = match holder.name.strip_suffix(path.as_str()) {
                Some(root) if !path.is_empty() => root.strip_suffix('/').unwrap_or(root),
                Some(_) | None => &holder.name,
            };
            let wanted = Name::exact(root, path)?;
            let queue = self.queue_of(&wanted);
            let seen = self.cluster.range(&Keys::prefix(&queue));
            let seen = seen.map_err(LockError::cluster)?;
            let mut pairs = seen.pairs.iter();
            let Some(pair) = pairs.find(|it| it.create_revision == holder.ticket) else {
                continue;
            };
            let own = pair.key.strip_prefix(queue.as_bytes());
            let (Some(lease), Some(own)) = (pair.lease, own) else {
                continue;
            };
            let own = String::from_utf8_lossy(own);
            let stop = format!("{}/{}/stop/{own}", self.prefix, wanted.file());
            let txn = Txn::new()
                .when(Compare::present(&pair.key))
                .then(Op::put_with(stop, surroundings::user(), lease));
            match self.cluster.txn(&txn) {
                Ok(_) | Err(EtcdError::LeaseGone { .. }) => {}
                Err(error) => return Err(LockError::cluster(error)),
            }
        }
        Ok(())
    }
}

/// A theft that is going on.
#[derive(Debug, Default)]
struct Theft {
    came: bool,
    waited: bool,
    /// Of each seat, from whom it was written down that it is taken; nobody yet.
    told: Vec<Option<Vec<u64>>>,
    /// From whom it is being taken, and from whom it was.
    about_to: Vec<Record>,
    taken: Vec<Record>,
}

/// A failure, and whether what was asked for may have been done.
struct Unsaid {
    error: LockError,
    may_be: bool,
}

impl From<LockError> for Unsaid {
    fn from(error: LockError) -> Self {
        Self {
            error,
            may_be: false,
        }
    }
}

/// Our place in the queue is no more: somebody else has freed or taken it, or the lease has run out.
fn gone(seat: &Seat<'_>) -> LockError {
    LockError::Dismissed {
        name: seat.wanted.name().to_owned(),
        why: "somebody else has taken or freed it, or the cluster has not heard of us for too long"
            .into(),
    }
}

/// From whom a seat is taken: who came to it last goes first.
fn robbed_by(seat: &Seat<'_>, line: &Line) -> Result<Vec<Record>, LockError> {
    let Some((pair, post)) = line.find(&seat.key) else {
        return Ok(Vec::new());
    };
    if let Some(why) = post.dismissed.clone() {
        let name = seat.wanted.name().to_owned();
        return Err(LockError::Dismissed { name, why });
    }
    if post.record.reserved {
        return Ok(Vec::new());
    }
    let ticket = pair.create_revision;
    agree(seat, line, ticket)?;
    let places = line.places();
    let mut holders = line.records(&blockers(seat.wanted.shape, &places, ticket, &[]));
    holders.retain(|it| it.standing == Standing::Holding);
    holders.sort_unstable_by_key(|it| std::cmp::Reverse(it.token));
    let tickets: Vec<u64> = holders.iter().map(|it| it.ticket).collect();
    let victims = victims(seat.wanted.shape, &places, ticket, &tickets);
    holders.retain(|it| victims.contains(&it.ticket));
    Ok(holders)
}

fn reserved(mut post: Post, time: Option<Duration>) -> Post {
    let until = end_of(time);
    post.record.reserved = true;
    post.record.until = (until != 0).then_some(until as f64 / 1e6);
    // It is first no longer.
    (post.record.ask.priority, post.record.ask.turn) = (0, Turn::InOrder);
    post
}

fn put(seat: &Seat<'_>, post: &Post, lease: Option<LeaseId>) -> Result<Op, LockError> {
    let value = json(post)?;
    Ok(match lease {
        Some(lease) => Op::put_with(&seat.key, value, lease),
        None => Op::put(&seat.key, value),
    })
}

impl Locks for Hosts {
    type Held = Shared;

    fn acquire(
        &self,
        request: &Request,
        patience: Patience,
        tell: Tell<'_>,
    ) -> Result<Shared, LockError> {
        self.acquire(request, patience, tell)
    }

    fn list(&self) -> Result<Listing, LockError> {
        self.list()
    }

    fn show(&self, name: &str) -> Result<Listed, LockError> {
        self.show(name)
    }

    fn reserve(
        &self,
        request: &Request,
        patience: Patience,
        time: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<(), LockError> {
        let mut shared = self.acquire(request, patience, tell)?;
        let Shared { hosts, lease, .. } = &mut shared;
        let done = hosts.cluster.cancel_on(None).map_err(LockError::cluster);
        let done = done.and_then(|()| {
            let seats = hosts.seats(request, lease)?;
            for seat in &seats {
                let note = request.why.as_deref();
                hosts.audit("reserve", seat.wanted.name(), note, &[])?;
            }
            let names = request.names();
            let text = format!("it is not known whether `{names}` is held for you now");
            hosts.until_done(lease, &text, |hosts, _| hosts.make_reserved(&seats, time))
        });
        // What was not reserved goes with it; what was, does not.
        let _ = shared.release();
        done
    }

    fn steal(&self, request: &Request, time: Option<Duration>) -> Result<Vec<Record>, LockError> {
        request.check()?;
        let request = of_a_thief(request);
        let mut hosts = self.another()?;
        let mut lease = hosts.cluster.grant(hosts.ttl).map_err(LockError::cluster)?;
        let seats = hosts.seats(&request, &lease)?;
        let mut theft = Theft {
            told: vec![None; seats.len()],
            ..Theft::default()
        };
        let names = request.names();
        let text = format!("it is not known whether `{names}` is held for you now");
        let done = hosts.until_done(&mut lease, &text, |hosts, lease| {
            hosts.take(&request, &seats, lease, time, &mut theft)
        });
        let _ = hosts.cluster.revoke(lease.id);
        match done {
            Ok(()) => Ok(theft.taken),
            Err(error) if theft.taken.is_empty() => Err(error),
            Err(error) => Err(LockError::HalfDone {
                text: format!(
                    "`{names}` was taken from {} who held it, and may not be held for you",
                    theft.taken.len()
                ),
                source: Box::new(error),
            }),
        }
    }

    fn free(
        &self,
        name: &str,
        token: Option<u64>,
        anyway: bool,
        note: Option<&str>,
    ) -> Result<Vec<Record>, LockError> {
        let (typed, wanted) = named(name)?;
        let mut hosts = self.another()?;
        let queue = Keys::prefix(hosts.queue_of(&wanted));
        let seen = hosts.cluster.range(&queue).map_err(LockError::cluster)?;
        let mut holders = Vec::new();
        for pair in &seen.pairs {
            let post = post(pair)?;
            let is_it = wanted.contains(&post.record.ask.path);
            if is_it && post.record.standing == Standing::Holding {
                holders.push((pair, record(pair, &post)));
            }
        }
        if holders.is_empty() {
            typed?;
        }
        let all = holders.iter().map(|(_, record)| record.clone()).collect();
        let meant = to_be_freed(name, all, token, anyway)?;
        hosts.audit("release", name, note, &meant)?;
        let several = meant.len();
        let mut freed = Vec::with_capacity(several);
        for record in meant {
            let Some((pair, _)) = holders.iter().find(|(_, it)| it.ticket == record.ticket) else {
                continue;
            };
            // Who has gone meanwhile is not there to be freed from.
            let is_he = Compare {
                keys: Keys::one(&pair.key),
                target: Target::CreateRevision(record.ticket),
                relation: Relation::Equal,
            };
            let txn = Txn::new()
                .when(is_he)
                .then(Op::delete(Keys::one(&pair.key)));
            match hosts.cluster.txn(&txn) {
                // If it was repeated it was there when it was read, and is not any more.
                Ok(applied) if !applied.succeeded && !applied.repeated => continue,
                Ok(_) => {}
                Err(error) if freed.is_empty() && !error.may_have_happened() => {
                    return Err(LockError::cluster(error));
                }
                Err(error) => {
                    return Err(LockError::HalfDone {
                        text: format!(
                            "`{name}` is freed from {} of {several} who held it; of the others it is not known",
                            freed.len()
                        ),
                        source: Box::new(LockError::cluster(error)),
                    });
                }
            }
            // That of its time, which nothing else goes with.
            if let (true, Some(lease)) = (record.reserved, pair.lease) {
                let _ = hosts.cluster.revoke(lease);
            }
            freed.push(record);
        }
        Ok(freed)
    }

    fn note_stop(&self, name: &str, note: Option<&str>, from: &[Record]) -> Result<(), LockError> {
        self.audit("stop", name, note, from)
    }
}
