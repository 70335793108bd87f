//! Locks of a cluster that people hold, free and take, without a process.
//!
//! What a person holds goes with no lease of a process: with none, or with one that lasts for the time
//! that was asked for, so that the cluster frees it.

use std::time::Duration;

use ward_model::lock::{Standing, Turn, blockers, victims};

use super::listing::named;
use super::post::{Line, Post, json, post, record};
use super::rules::{Gift, agree, given};
use super::{Came, Hosts, Seat, Shared};
use crate::acquire::Tell;
use crate::error::LockError;
use crate::etcd::{Compare, EtcdError, Keys, Lease, LeaseId, Op, Txn};
use crate::listing::{Listed, Listing};
use crate::locks::Locks;
use crate::people::{end_of, of_a_thief, to_be_freed};
use crate::record::Record;
use crate::request::{Patience, Request};

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

    /// A lease that nobody keeps alive and that ends when the time is over; none for ever.
    fn lease_for(&mut self, time: Option<Duration>) -> Result<Option<LeaseId>, LockError> {
        let lease = time.map(|time| self.cluster.grant(time)).transpose();
        Ok(lease.map_err(LockError::cluster)?.map(|lease| lease.id))
    }

    /// Makes what is held with a lease a person's.
    fn make_reserved(
        &mut self,
        request: &Request,
        lease: &Lease,
        time: Option<Duration>,
    ) -> Result<(), LockError> {
        let seats = self.seats(request, lease)?;
        for seat in &seats {
            let note = request.why.as_deref();
            self.audit("reserve", seat.wanted.name(), note, &[])?;
        }
        let until = self.lease_for(time)?;
        loop {
            let mut look = Txn::new();
            for seat in &seats {
                look = look.then(Op::range(Keys::one(&seat.key)));
            }
            let seen = self.cluster.txn(&look).map_err(LockError::cluster)?;
            let mut change = Txn::new();
            for (at, seat) in seats.iter().enumerate() {
                let pair = seen.range(at).and_then(|it| it.pairs.first());
                let Some(pair) = pair else {
                    return Err(LockError::cluster(EtcdError::LeaseGone { lease: lease.id }));
                };
                let post = post(pair)?;
                if !post.record.reserved {
                    change = change
                        .when(Compare::unchanged(&seat.key, pair.mod_revision))
                        .then(put(seat, &reserved(post, time), until)?);
                }
            }
            // Also by a member that did not say so.
            if change.then.is_empty() {
                return Ok(());
            }
            let applied = self.cluster.txn(&change).map_err(LockError::cluster)?;
            if applied.succeeded {
                return Ok(());
            }
        }
    }

    /// Takes locks from whoever holds them, for who has this lease until he has them.
    fn take(
        &mut self,
        request: &Request,
        lease: &mut Lease,
        time: Option<Duration>,
    ) -> Result<Vec<Record>, LockError> {
        let seats = self.seats(request, lease)?;
        let until = self.lease_for(time)?;
        let (mut came, mut waited) = (false, false);
        let mut told: Vec<u64> = Vec::new();
        let mut taken: Vec<Record> = Vec::new();
        loop {
            self.keep(lease)?;
            let (revision, lines) = match self.read(&seats, came, request, lease)? {
                (revision, Came::Here(lines)) => (revision, lines),
                (_, Came::Absent(at)) => {
                    let name = seats[at].wanted.name().to_owned();
                    return Err(LockError::Absent { name });
                }
            };
            came = true;
            let mut robbed = Vec::new();
            for (seat, line) in seats.iter().zip(&lines) {
                let victims = robbed_by(seat, line)?;
                // Before it is done.
                if victims.iter().any(|it| !told.contains(&it.ticket)) {
                    let note = request.why.as_deref();
                    self.audit("steal", seat.wanted.name(), note, &victims)?;
                    told.extend(victims.iter().map(|it| it.ticket));
                }
                robbed.push(victims);
            }
            let several: usize = robbed.iter().map(Vec::len).sum();
            if several > MOST_AT_ONCE {
                taken.extend(self.send_away(&seats, &lines, &robbed)?);
                continue;
            }
            let mut change = Txn::new();
            let mut later = None;
            for ((seat, line), victims) in seats.iter().zip(&lines).zip(&robbed) {
                let Some((pair, post)) = line.find(&seat.key) else {
                    return Err(LockError::cluster(EtcdError::LeaseGone { lease: lease.id }));
                };
                if post.record.reserved {
                    continue;
                }
                let left = line.without(victims);
                let (has, kept) = match given(seat, &left, pair.create_revision, revision, waited)?
                {
                    Gift::Of(has, kept) => (has, kept),
                    Gift::Later(time) => {
                        later = Some(time);
                        break;
                    }
                };
                let mut post = post.clone();
                post.record.standing = Standing::Holding;
                post.record.held_since = Some(crate::surroundings::now() as f64 / 1e6);
                post.record.has = has;
                change = change
                    .when(Compare::not_since(Keys::prefix(&seat.queue), revision))
                    .when(Compare::present(&seat.key))
                    .then(put(seat, &reserved(post, time), until)?);
                for key in line.keys_of(victims) {
                    change = change.then(Op::delete(Keys::one(key)));
                }
                if let Some(kept) = kept {
                    let unchanged = match &line.kept {
                        Some(pair) => Compare::unchanged(&seat.kept, pair.mod_revision),
                        None => Compare::absent(&seat.kept),
                    };
                    change = change
                        .when(unchanged)
                        .then(Op::put(&seat.kept, json(&kept)?));
                }
            }
            if let Some(time) = later {
                std::thread::sleep(time.min(lease.ttl / super::BEATS));
                waited = true;
                continue;
            }
            if change.then.is_empty() {
                return Ok(taken);
            }
            let applied = self.cluster.txn(&change).map_err(LockError::cluster)?;
            if applied.succeeded {
                taken.extend(robbed.into_iter().flatten());
                return Ok(taken);
            }
        }
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

    /// Asks the work of a holder to stop, wherever it is: who keeps its lease tells it when he renews that
    /// the next time.
    ///
    /// # Errors
    /// [`LockError::Cluster`]. Who holds it no more is not asked, and that is no error.
    pub fn ask_to_stop(&self, holder: &Record) -> Result<(), LockError> {
        let (_, wanted) = named(&holder.name)?;
        let mut hosts = self.another()?;
        let queue = hosts.queue_of(&wanted);
        let seen = hosts.cluster.range(&Keys::prefix(&queue));
        let seen = seen.map_err(LockError::cluster)?;
        let mut pairs = seen.pairs.iter();
        let Some(pair) = pairs.find(|it| it.create_revision == holder.ticket) else {
            return Ok(());
        };
        let (Some(lease), Some(own)) = (pair.lease, pair.key.strip_prefix(queue.as_bytes())) else {
            return Ok(());
        };
        let own = String::from_utf8_lossy(own);
        let stop = format!("{}/{}/stop/{own}", hosts.prefix, wanted.file());
        let txn = Txn::new()
            .when(Compare::present(&pair.key))
            .then(Op::put_with(stop, crate::surroundings::user(), lease));
        match hosts.cluster.txn(&txn) {
            Ok(_) | Err(EtcdError::LeaseGone { .. }) => Ok(()),
            Err(error) => Err(LockError::cluster(error)),
        }
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
        let reserved = shared.hosts.make_reserved(request, &shared.lease, time);
        // What was not reserved goes with it; what was, does not.
        let _ = shared.release();
        reserved
    }

    fn steal(&self, request: &Request, time: Option<Duration>) -> Result<Vec<Record>, LockError> {
        request.check()?;
        let mut hosts = self.another()?;
        let mut lease = hosts.cluster.grant(hosts.ttl).map_err(LockError::cluster)?;
        let stolen = hosts.take(&of_a_thief(request), &mut lease, time);
        let _ = hosts.cluster.revoke(lease.id);
        stolen
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
                holders.push((pair.key.clone(), record(pair, &post)));
            }
        }
        if holders.is_empty() {
            typed?;
        }
        let all = holders.iter().map(|(_, record)| record.clone()).collect();
        let meant = to_be_freed(name, all, token, anyway)?;
        hosts.audit("release", name, note, &meant)?;
        let mut freed = Vec::with_capacity(meant.len());
        for record in meant {
            let Some((key, _)) = holders.iter().find(|(_, it)| it.ticket == record.ticket) else {
                continue;
            };
            // Who has gone meanwhile is not there to be freed from.
            let txn = Txn::new()
                .when(Compare::unchanged(key, record.token.unwrap_or(0)))
                .then(Op::delete(Keys::one(key)));
            let applied = hosts.cluster.txn(&txn).map_err(LockError::cluster)?;
            if applied.succeeded {
                freed.push(record);
            }
        }
        Ok(freed)
    }

    fn note_stop(&self, name: &str, note: Option<&str>, from: &[Record]) -> Result<(), LockError> {
        self.audit("stop", name, note, from)
    }
}
