//! Locks that people hold, free and take, without a process: each with a note, and a line in the
//! audit log.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use ward_model::lock::{Place, Shape, Standing, Turn, blockers, choose};

use crate::acquire::{Pending, Step, Tell};
use crate::durable;
use crate::error::LockError;
use crate::image::Entry;
use crate::line::Line;
use crate::place::Directory;
use crate::record::{Ended, Record};
use crate::request::{Patience, Request};
use crate::seat::grant;
use crate::store::{STUCK, Store};
use crate::surroundings;

/// The name of the audit log, beside what outlives the host's run.
const AUDIT: &str = "audit.jsonl";

/// A line of the audit log.
#[derive(Debug, Serialize)]
struct AuditLine<'a> {
    /// Seconds since 1970.
    at: f64,
    action: &'a str,
    lock: &'a str,
    user: &'a str,
    uid: u32,
    host: &'a str,
    note: Option<&'a str>,
    /// Whom it was done to.
    from: &'a [Record],
}

impl Directory {
    /// Where it is written down what people did.
    #[must_use]
    pub fn audit_log(&self) -> std::path::PathBuf {
        self.durable().join(AUDIT)
    }

    fn audit(
        &self,
        action: &str,
        lock: &str,
        note: Option<&str>,
        from: &[Record],
    ) -> Result<(), LockError> {
        let path = self.audit_log();
        let line = AuditLine {
            at: surroundings::now() as f64 / 1e6,
            action,
            lock,
            user: surroundings::user(),
            uid: surroundings::own_uid(),
            host: surroundings::host(),
            note,
            from,
        };
        let write = || {
            durable::make(&self.durable())?;
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            let mut file = File::options()
                .append(true)
                .create(true)
                .mode(0o660)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
                .open(&path)?;
            // Whatever our umask is; another's file stays as it is.
            let _ = rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o660));
            file.write_all(&text)?;
            file.sync_data()
        };
        write().map_err(LockError::io("write", &path))
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
        let request = Request {
            priority: i32::MAX,
            turn: Turn::FirstFit,
            ..request.clone()
        };
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
        let all: Vec<Record> = all.into_iter().map(Record::named).collect();
        if all.is_empty() {
            return Err(LockError::Free(name.to_owned()));
        }
        let mut records = all.clone();
        records.retain(|it| token.is_none() || it.token == token);
        if let Some(token) = token.filter(|_| records.is_empty()) {
            return Err(LockError::OtherToken {
                name: name.to_owned(),
                token,
                holders: all,
            });
        }
        let working: Vec<Record> = records.iter().filter(|it| !it.reserved).cloned().collect();
        if !anyway && !working.is_empty() {
            return Err(LockError::InUse {
                name: name.to_owned(),
                holders: working,
            });
        }
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
    let shape = line.image().shape;
    let places = line.store().places(line.image());
    let can_have_it = |without: &[Entry]| {
        let gone = |it: &Place| without.iter().any(|victim| victim.ticket == it.ticket);
        let left: Vec<Place> = places.iter().filter(|it| !gone(it)).cloned().collect();
        let waits = |other: &u64| {
            line.entry(*other)
                .is_some_and(|it| it.standing == Standing::Waiting)
        };
        // Another thief, who is first; he holds it soon.
        blockers(shape, &left, ticket, &[]).iter().all(waits)
    };
    let mut enough = 0;
    while enough < holders.len() && !can_have_it(&holders[..enough]) {
        enough += 1;
    }
    holders.truncate(enough);
    // What was taken first may not be needed, now that more was.
    let mut at = 0;
    while at < holders.len() {
        let spared = holders.remove(at);
        if !can_have_it(&holders) {
            holders.insert(at, spared);
            at += 1;
        }
    }
    Ok(holders)
}

/// Makes what `ticket` holds a person's.
fn reserve(line: &mut Line<'_>, ticket: u64, time: Option<Duration>) {
    let end = time.and_then(|time| SystemTime::now().checked_add(time));
    let until = end
        .and_then(|end| end.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |end| u64::try_from(end.as_micros()).unwrap_or(0));
    if let Some(entry) = line.entry_mut(ticket) {
        entry.reserved = true;
        entry.until = until;
        // It is first no longer.
        (entry.priority, entry.turn) = (0, Turn::InOrder);
    }
}
