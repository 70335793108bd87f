//! Locks that people hold, free and take, without a process: each with a note, and a line in the
//! audit log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ward_model::lock::{self, Shape, Standing, Turn, choose};

use crate::acquire::{Pending, Step, Tell};
use crate::audit::AuditLog;
use crate::error::LockError;
use crate::image::Entry;
use crate::line::Line;
use crate::place::Directory;
use crate::record::{Ended, Record};
use crate::request::{Patience, Request};
use crate::seat::grant;
use crate::store::{STUCK, Store};

impl Directory {
    /// Where it is written down what people did.
    #[must_use]
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::in_directory(&self.durable())
    }

    fn audit(
        &self,
        action: &str,
        lock: &str,
        note: Option<&str>,
        from: &[Record],
    ) -> Result<(), LockError> {
        self.audit_log().write(action, lock, note, from)
    }

    /// Holds one lock until it is freed by hand ([`Directory::free`]), `time` is over, or the host
    /// starts anew. It waits its turn. The reason is the request's.
    ///
    /// # Errors
    /// As [`Directory::acquire`], and when the audit log cannot be written: then it is not held.
    pub fn reserve(
        &self,
        request: &Request,
        patience: Patience,
        time: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<(), LockError> {
        let held = self.acquire(request, patience, tell)?;
        let reserved = held.iter().try_for_each(|held| {
            self.audit("reserve", held.name(), request.why.as_deref(), &[])?;
            let mut line = Line::enter(&held.store, STUCK, Shape::Modes)?;
            reserve(&mut line, held.ticket, time);
            line.save()
        });
        if reserved.is_err() {
            for held in &held {
                held.release();
            }
        }
        reserved
    }

    /// Takes locks from whoever holds them, and holds them as [`Directory::reserve`]. Work that held
    /// one goes on without it. Of slots and things no more are taken than are wanted: from those who
    /// came to them last. Returns whom they were taken from.
    ///
    /// # Errors
    /// As [`Directory::reserve`].
    pub fn steal(
        &self,
        request: &Request,
        time: Option<Duration>,
    ) -> Result<Vec<Record>, LockError> {
        let request = of_a_thief(request);
        let mut pending = Pending::new(self, &request, &mut Vec::new())?;
        while matches!(pending.advance(STUCK)?, Step::Removed) {
            pending = Pending::new(self, &request, &mut Vec::new())?;
        }
        let mut from = Vec::new();
        for (store, ticket) in pending.places() {
            from.extend(self.take(store, ticket, request.why.as_deref(), time)?);
        }
        // Its places in the queues are no process's any more.
        pending.stay();
        Ok(from)
    }

    /// Takes one lock for `ticket`, which is in its queue.
    fn take(
        &self,
        store: &Store,
        ticket: u64,
        note: Option<&str>,
        time: Option<Duration>,
    ) -> Result<Vec<Record>, LockError> {
        let mut told: Option<Vec<u64>> = None;
        loop {
            let mut line = Line::enter(store, STUCK, Shape::Modes)?;
            let victims = victims(&mut line, ticket)?;
            let records: Vec<Record> = victims.iter().map(|it| line.record(it)).collect();
            let is_told = |told: &Vec<u64>| victims.iter().all(|it| told.contains(&it.ticket));
            // Before it is done, and not while everybody waits for the disk.
            if !told.as_ref().is_some_and(is_told) {
                drop(line);
                let records: Vec<Record> = records.into_iter().map(Record::named).collect();
                self.audit("steal", store.name().text(), note, &records)?;
                told = Some(victims.iter().map(|it| it.ticket).collect());
                continue;
            }
            for victim in &victims {
                line.remove(victim.ticket, Ended::Taken);
            }
            let waits = |it: &Entry| it.standing == Standing::Waiting;
            if line.entry(ticket).is_some_and(waits) {
                let places = line.store().places(line.image());
                let things = match line.image().shape {
                    Shape::Pool => choose(&places, ticket, line.image().counts.granted),
                    Shape::Modes | Shape::Slots(_) => Vec::new(),
                };
                grant(&mut line, ticket, &things)?;
            }
            reserve(&mut line, ticket, time);
            line.save()?;
            return Ok(records.into_iter().map(Record::named).collect());
        }
    }

    /// Writes down that work was told to stop which holds a lock. To be called before it is.
    ///
    /// # Errors
    /// When that cannot be written: then nobody should be told.
    pub fn note_stop(
        &self,
        name: &str,
        note: Option<&str>,
        from: &[Record],
    ) -> Result<(), LockError> {
        self.audit("stop", name, note, from)
    }

    /// Frees what people hold of a lock, or of its parts; `anyway`, also what work holds that goes
    /// on. Of all who hold it, or of one token. Returns who held it.
    ///
    /// # Errors
    /// [`LockError::Free`] if nobody holds it, [`LockError::OtherToken`] if nobody does with this
    /// token, [`LockError::InUse`] if work does; as the system calls. Then nothing is freed.
    pub fn free(
        &self,
        name: &str,
        token: Option<u64>,
        anyway: bool,
        note: Option<&str>,
    ) -> Result<Vec<Record>, LockError> {
        let known = self.known(name)?;
        let Some(store) = Store::known(self.path(), &known)? else {
            return Err(LockError::Free(name.to_owned()));
        };
        let line = Line::enter(&store, STUCK, Shape::Modes)?;
        let mut holders = line.present()?;
        holders
            .retain(|it| it.standing == Standing::Holding && known.contains(&store.text(it).path));
        let all: Vec<Record> = holders.iter().map(|it| line.record(it)).collect();
        drop(line);
        let all = all.into_iter().map(Record::named).collect();
        let mut records = to_be_freed(name, all, token, anyway)?;
        // Before it is done, and not while everybody waits for the disk.
        self.audit("release", name, note, &records)?;
        let mut line = Line::enter(&store, STUCK, Shape::Modes)?;
        // Who has gone meanwhile is not there to be freed from; who came is not meant.
        records.retain(|it| line.entry(it.ticket).is_some());
        for record in &records {
            line.remove(record.ticket, Ended::Taken);
        }
        line.save()?;
        Ok(records)
    }
}

/// From whom it must be taken so that `ticket` can have it, and from nobody else: who came to it last
/// goes first.
fn victims(line: &mut Line<'_>, ticket: u64) -> Result<Vec<Entry>, LockError> {
    let mut holders = line.in_the_way(ticket, &[])?.holders;
    holders.sort_unstable_by_key(|it| std::cmp::Reverse(it.token));
    let tickets: Vec<u64> = holders.iter().map(|it| it.ticket).collect();
    let places = line.store().places(line.image());
    let victims = lock::victims(line.image().shape, &places, ticket, &tickets);
    holders.retain(|it| victims.contains(&it.ticket));
    Ok(holders)
}

/// He is before everybody who waits.
pub(crate) fn of_a_thief(request: &Request) -> Request {
    Request {
        priority: i32::MAX,
        turn: Turn::FirstFit,
        ..request.clone()
    }
}

/// Which of those who hold a lock are meant by who frees it.
pub(crate) fn to_be_freed(
    name: &str,
    holders: Vec<Record>,
    token: Option<u64>,
    anyway: bool,
) -> Result<Vec<Record>, LockError> {
    if holders.is_empty() {
        return Err(LockError::Free(name.to_owned()));
    }
    let is_meant = |it: &&Record| token.is_none() || it.token == token;
    let records: Vec<Record> = holders.iter().filter(is_meant).cloned().collect();
    if let Some(token) = token.filter(|_| records.is_empty()) {
        return Err(LockError::OtherToken {
            name: name.to_owned(),
            token,
            holders,
        });
    }
    let working: Vec<Record> = records.iter().filter(|it| !it.reserved).cloned().collect();
    if !anyway && !working.is_empty() {
        return Err(LockError::InUse {
            name: name.to_owned(),
            holders: working,
        });
    }
    Ok(records)
}

/// When a time is over that begins now, in microseconds since 1970; 0 for never.
pub(crate) fn end_of(time: Option<Duration>) -> u64 {
    let end = time.and_then(|time| SystemTime::now().checked_add(time));
    end.and_then(|end| end.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |end| u64::try_from(end.as_micros()).unwrap_or(0))
}

/// Makes what `ticket` holds a person's.
fn reserve(line: &mut Line<'_>, ticket: u64, time: Option<Duration>) {
    let until = end_of(time);
    if let Some(entry) = line.entry_mut(ticket) {
        entry.reserved = true;
        entry.until = until;
        // It is first no longer.
        (entry.priority, entry.turn) = (0, Turn::InOrder);
    }
}
