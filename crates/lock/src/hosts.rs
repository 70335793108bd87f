//! Locks of several hosts, in an etcd cluster: the same requests, rules and answers as on one.
//!
//! A request is a key in the queue of each of its locks, made with a lease: a host that is gone
//! takes its keys with it. Its ticket is the revision at which the keys were made, one for all its
//! locks. It is granted by a transaction that fails if anybody changed one of the queues since it
//! was read; the revision of that is the token. Whoever holds must keep the lease alive, and must
//! have ended its work before the lease can have run out; how is not decided here.

mod listing;
mod people;
mod post;
mod rules;
mod shared;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ward_model::cluster::USUAL_PREFIX;
use ward_model::lock::{Shape, Standing, blockers};
use ward_sys::clock::since_boot;

use crate::acquire::Tell;
use crate::audit::AuditLog;
use crate::error::LockError;
use crate::etcd::{Cluster, Compare, EtcdError, KeyValue, Keys, Lease, Op, Seen, Settings, Txn};
use crate::image::Who;
use crate::request::{Crowd, Gives, Patience, Request, Wanted};
use crate::surroundings;
use crate::timestamp::Format;

use post::{Line, Post, json, post_of, record};
use rules::{
    Gift, agree, family, given, granted, lines_of, one, tickets_above, waiting, with_kept,
};
use shared::One;
pub use shared::Shared;

/// A lease is kept alive so often in its time.
const BEATS: u32 = 6;

/// The cluster tells what changes; should it ever not, we look.
const LOOK: Duration = Duration::from_secs(30);

/// Who waits and cannot reach the cluster tries again after this, as long as his lease lasts.
const AGAIN: Duration = Duration::from_millis(200);

/// The locks of a cluster.
#[derive(Debug)]
pub struct Hosts {
    cluster: Cluster,
    prefix: String,
    ttl: Duration,
    /// Who asks; whoever keeps the lease may be a fork of him.
    who: Who,
    audit: Option<AuditLog>,
}

/// A lock of the request.
#[derive(Debug)]
struct Seat<'a> {
    wanted: &'a Wanted,
    /// Under which its queue is, and our key in it.
    queue: String,
    key: String,
    /// Where what must not be forgotten is.
    kept: String,
    /// Where we are asked to stop.
    stop: String,
    format: Option<Format>,
}

/// What came of an attempt.
enum Step {
    Granted(Vec<One>),
    /// These keys are in our way, in that queue; nothing changes for us before one of them does.
    Blocked {
        at: usize,
        keys: Vec<Vec<u8>>,
        revision: u64,
    },
    /// The next time to be given with this one comes only then; and if our key changes, we have been
    /// sent away.
    Later {
        at: usize,
        key: Vec<u8>,
        revision: u64,
        time: Duration,
    },
    /// Somebody was quicker: look again.
    Again,
    /// Nobody uses it, and we are not to be the first.
    Absent {
        at: usize,
        revision: u64,
    },
}

impl Hosts {
    /// Locks of the cluster that the settings name, below `prefix` (`/ward/locks`). A lease lasts
    /// for `ttl`.
    ///
    /// # Errors
    /// [`LockError::Cluster`] when the settings do not go together.
    pub fn new(settings: Settings, prefix: Option<&str>, ttl: Duration) -> Result<Self, LockError> {
        let cluster = Cluster::new(settings).map_err(LockError::cluster)?;
        Ok(Self {
            cluster,
            prefix: prefix
                .unwrap_or(USUAL_PREFIX)
                .trim_end_matches('/')
                .to_owned(),
            ttl,
            who: surroundings::ourselves(),
            audit: None,
        })
    }

    /// From now on what people do is written down there; nowhere, if nobody says where.
    #[must_use]
    pub fn audited(self, log: AuditLog) -> Self {
        Self {
            audit: Some(log.of_cluster(&self.prefix)),
            ..self
        }
    }

    /// From now on, gives up whatever is being waited for as [`Cluster::cancel_on`] says.
    ///
    /// # Errors
    /// [`LockError::Cluster`] when the kernel gives no timer.
    pub fn cancel_on(&mut self, cancel: Option<OwnedFd>) -> Result<(), LockError> {
        self.cluster.cancel_on(cancel).map_err(LockError::cluster)
    }

    /// The same, with a connection of its own.
    ///
    /// # Errors
    /// [`LockError::Cluster`] when the kernel gives no timer.
    pub fn another(&self) -> Result<Self, LockError> {
        Ok(Self {
            cluster: self.cluster.another().map_err(LockError::cluster)?,
            prefix: self.prefix.clone(),
            ttl: self.ttl,
            who: self.who,
            audit: self.audit.clone(),
        })
    }

    /// Gets all that is asked for, as [`crate::Directory::acquire`], by a connection that is made for
    /// it. Idle times and waits in a ring are not known here.
    ///
    /// # Errors
    /// [`LockError`]; then nothing is held, and nobody waits any more, at the latest when the
    /// lease has run out.
    pub fn acquire(
        &self,
        request: &Request,
        patience: Patience,
        tell: Tell<'_>,
    ) -> Result<Shared, LockError> {
        request.check()?;
        self.another()?.acquire_here(request, patience, tell)
    }

    fn acquire_here(
        mut self,
        request: &Request,
        patience: Patience,
        mut tell: Tell<'_>,
    ) -> Result<Shared, LockError> {
        let deadline = match patience {
            Patience::None => Some(Instant::now()),
            Patience::For(time) => Instant::now().checked_add(time),
            Patience::Never => None,
        };
        let mut lease = self.cluster.grant(self.ttl).map_err(LockError::cluster)?;
        let got = self.wait(request, &mut lease, deadline, &mut tell);
        match got {
            Ok(held) => Ok(Shared {
                hosts: self,
                lease,
                held,
            }),
            Err(error) => {
                self.cluster.cancel_on(None).map_err(LockError::cluster)?;
                // Else it runs out.
                let _ = self.cluster.revoke(lease.id);
                Err(error)
            }
        }
    }

    fn wait(
        &mut self,
        request: &Request,
        lease: &mut Lease,
        deadline: Option<Instant>,
        tell: &mut Tell<'_>,
    ) -> Result<Vec<One>, LockError> {
        let seats = self.seats(request, lease)?;
        if request.locks.iter().all(|wanted| wanted.create)
            && let Some(held) = self.at_once(request, &seats, lease)?
        {
            return Ok(held);
        }
        let mut stamp_due: Option<Duration> = None;
        let mut came = false;
        loop {
            self.keep(lease)?;
            let stamp_waited = stamp_due.is_some_and(|due| since_boot() >= due);
            let looked = self.look(request, &seats, &mut came, lease, stamp_waited);
            let (step, lines) = match looked {
                Ok(looked) => looked,
                // We are in the queue as long as the lease lasts.
                Err(error)
                    if came
                        && may_pass(&error)
                        && lease.left() > lease.ttl / BEATS
                        && !over(deadline) =>
                {
                    std::thread::sleep(AGAIN);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let name = |at: usize| seats[at].wanted.name().to_owned();
            match &step {
                Step::Granted(held) => return Ok(held.clone()),
                Step::Again => continue,
                Step::Absent { at, .. } if over(deadline) => {
                    return Err(LockError::Absent { name: name(*at) });
                }
                Step::Later { at, .. } if over(deadline) => {
                    return Err(LockError::Busy {
                        name: name(*at),
                        holders: Vec::new(),
                    });
                }
                Step::Later { time, .. } => {
                    stamp_due.get_or_insert(since_boot() + *time);
                }
                Step::Absent { .. } => {}
                Step::Blocked { at, .. } => {
                    let (seat, line) = (&seats[*at], &lines[*at]);
                    let waiting = waiting(request, seat, line);
                    if over(deadline) {
                        return Err(LockError::Busy {
                            name: waiting.name,
                            holders: waiting.holders,
                        });
                    }
                    if let Some(tell) = tell {
                        tell(&waiting);
                    }
                }
            }
            self.watch(&seats, &step, lease, deadline)?;
        }
    }

    /// Reads the queues, and takes the locks if they can be had.
    fn look(
        &mut self,
        request: &Request,
        seats: &[Seat<'_>],
        came: &mut bool,
        lease: &Lease,
        stamp_waited: bool,
    ) -> Result<(Step, Vec<Line>), LockError> {
        let (revision, read) = self.read(seats, *came, request, lease)?;
        let lines = match read {
            Came::Here(lines) => lines,
            Came::Absent(at) => return Ok((Step::Absent { at, revision }, Vec::new())),
        };
        *came = true;
        let step = self.attempt(request, seats, &lines, revision, lease, stamp_waited)?;
        Ok((step, lines))
    }

    fn seats<'a>(&self, request: &'a Request, lease: &Lease) -> Result<Vec<Seat<'a>>, LockError> {
        let seat = |wanted: &'a Wanted| {
            let root = format!("{}/{}", self.prefix, wanted.name.file());
            Ok(Seat {
                wanted,
                key: format!("{root}/queue/{:016x}", lease.id),
                queue: format!("{root}/queue/"),
                kept: format!("{root}/kept"),
                stop: format!("{root}/stop/{:016x}", lease.id),
                format: match &wanted.gives {
                    Gives::Timestamp { format } => Some(Format::new(format)?),
                    Gives::Nothing | Gives::Sequence { .. } => None,
                },
            })
        };
        request.locks.iter().map(seat).collect()
    }

    /// Takes the locks in one step, if nobody uses them and they give nothing.
    fn at_once(
        &mut self,
        request: &Request,
        seats: &[Seat<'_>],
        lease: &Lease,
    ) -> Result<Option<Vec<One>>, LockError> {
        let gives = |seat: &Seat<'_>| {
            seat.wanted.gives != Gives::Nothing || seat.wanted.shape == Shape::Pool
        };
        if seats.iter().any(gives) {
            return Ok(None);
        }
        let mut take = Txn::new();
        for seat in seats {
            let mut post = post_of(seat.wanted, request, self.who);
            post.record.standing = Standing::Holding;
            post.record.held_since = Some(post.record.asked_at);
            take = take
                .when(Compare::not_since(Keys::prefix(&seat.queue), 0))
                .then(Op::put_with(&seat.key, json(&post)?, lease.id));
        }
        let taken = self.cluster.txn(&take).map_err(LockError::cluster)?;
        if !taken.succeeded {
            // If it was carried out before and nobody said so, our keys are there: the rest sees it.
            return Ok(None);
        }
        let held = seats.iter().map(|seat| {
            let record = post_of(seat.wanted, request, self.who).record;
            one(seat, &record, taken.revision, taken.revision)
        });
        Ok(Some(held.collect()))
    }

    /// Keeps the lease alive, if it is time to.
    fn keep(&mut self, lease: &mut Lease) -> Result<(), LockError> {
        let beat = lease.ttl / BEATS;
        if lease.left() + beat > lease.ttl {
            return Ok(());
        }
        match self.cluster.keep_alive(lease) {
            Ok(_) => Ok(()),
            // It may be tried again as long as the lease lasts.
            Err(error) if !is_final(&error) && lease.left() > beat => Ok(()),
            Err(error) => Err(LockError::cluster(error)),
        }
    }

    /// Reads all the queues, at one moment; takes a place in each the first time.
    fn read(
        &mut self,
        seats: &[Seat<'_>],
        came: bool,
        request: &Request,
        lease: &Lease,
    ) -> Result<(u64, Came), LockError> {
        let mut look = Txn::new();
        for seat in seats {
            look = look
                .then(Op::range(Keys::prefix(&seat.queue)))
                .then(Op::range(Keys::one(&seat.kept)));
        }
        let mut seen = self.cluster.txn(&look).map_err(LockError::cluster)?;
        let mut lines = lines_of(seats, &seen)?;
        if came {
            return Ok((seen.revision, Came::Here(lines)));
        }
        let unused =
            |(seat, line): (&Seat<'_>, &Line)| !seat.wanted.create && line.posts.is_empty();
        if let Some(at) = seats.iter().zip(&lines).position(unused) {
            return Ok((seen.revision, Came::Absent(at)));
        }
        self.meet(request, seats, &lines)?;
        let mut come = Txn::new();
        for seat in seats {
            let post = post_of(seat.wanted, request, self.who);
            come = come.when(Compare::absent(&seat.key)).then(Op::put_with(
                &seat.key,
                json(&post)?,
                lease.id,
            ));
        }
        // If it was not put now, it was before, by a member that did not say so.
        self.cluster.txn(&come).map_err(LockError::cluster)?;
        seen = self.cluster.txn(&look).map_err(LockError::cluster)?;
        lines = lines_of(seats, &seen)?;
        Ok((seen.revision, Came::Here(lines)))
    }

    /// What we do about others who are in the queues when we come.
    fn meet(
        &mut self,
        request: &Request,
        seats: &[Seat<'_>],
        lines: &[Line],
    ) -> Result<(), LockError> {
        for (seat, line) in seats.iter().zip(lines) {
            let waits = |(_, post): &&(KeyValue, Post)| {
                post.record.standing == Standing::Waiting && post.dismissed.is_none()
            };
            let mut waiting = line.posts.iter().filter(waits);
            match request.crowd {
                Crowd::Join => {}
                Crowd::SkipIfQueued => {
                    if let Some((pair, post)) = waiting.next() {
                        return Err(LockError::Queued {
                            name: seat.wanted.name().to_owned(),
                            waiting: Box::new(record(pair, post)),
                        });
                    }
                }
                Crowd::ReplacePending => {
                    for (pair, post) in waiting {
                        let (user, host) = (surroundings::user(), surroundings::host());
                        let post = Post {
                            dismissed: Some(format!("replaced by {user}@{host}")),
                            ..post.clone()
                        };
                        let Some(lease) = pair.lease else { continue };
                        let txn = Txn::new()
                            .when(Compare::unchanged(&pair.key, pair.mod_revision))
                            .then(Op::put_with(&pair.key, json(&post)?, lease));
                        match self.cluster.txn(&txn) {
                            // Who is gone, or was granted it meanwhile, need not be sent away.
                            Ok(_) | Err(EtcdError::LeaseGone { .. }) => {}
                            Err(error) => return Err(LockError::cluster(error)),
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the locks, if they can be had.
    fn attempt(
        &mut self,
        request: &Request,
        seats: &[Seat<'_>],
        lines: &[Line],
        revision: u64,
        lease: &Lease,
        stamp_waited: bool,
    ) -> Result<Step, LockError> {
        let mut grant = Txn::new();
        let mut held = Vec::with_capacity(seats.len());
        for (at, (seat, line)) in seats.iter().zip(lines).enumerate() {
            let name = seat.wanted.name().to_owned();
            let Some((pair, post)) = line.find(&seat.key) else {
                return Err(LockError::cluster(EtcdError::LeaseGone { lease: lease.id }));
            };
            if let Some(why) = post.dismissed.clone() {
                return Err(LockError::Dismissed { name, why });
            }
            if post.record.standing == Standing::Holding {
                // It was granted by a member that did not say so.
                held.push(one(
                    seat,
                    &post.record,
                    pair.mod_revision,
                    pair.create_revision,
                ));
                continue;
            }
            let ticket = pair.create_revision;
            agree(seat, line, ticket)?;
            let family = family(request, seat);
            let by = blockers(seat.wanted.shape, &line.places(), ticket, &family);
            if !by.is_empty() {
                let above = tickets_above(request, seat);
                if let Some(own) = by.iter().find(|it| above.contains(it)) {
                    let holder = line.records(&[*own]);
                    let ring = holder.iter().map(|holder| {
                        format!("{} holds it, and we are a part of that", holder.summary())
                    });
                    return Err(LockError::Deadlock {
                        name,
                        ring: ring.collect(),
                    });
                }
                let keys = line.posts.iter();
                let keys = keys.filter(|(pair, _)| {
                    by.contains(&pair.create_revision) || pair.key == seat.key.as_bytes()
                });
                return Ok(Step::Blocked {
                    at,
                    keys: keys.map(|(pair, _)| pair.key.clone()).collect(),
                    revision,
                });
            }
            let (has, kept) = match given(seat, line, ticket, revision, stamp_waited)? {
                Gift::Of(has, kept) => (has, kept),
                Gift::Later(time) => {
                    return Ok(Step::Later {
                        at,
                        key: seat.key.clone().into_bytes(),
                        revision,
                        time,
                    });
                }
            };
            let post = granted(post, has);
            grant = grant
                .when(Compare::not_since(Keys::prefix(&seat.queue), revision))
                .when(Compare::present(&seat.key))
                .then(Op::put_with(&seat.key, json(&post)?, lease.id));
            grant = with_kept(grant, seat, line, kept)?;
            held.push(one(seat, &post.record, 0, ticket));
        }
        if grant.then.is_empty() {
            return Ok(Step::Granted(held));
        }
        let applied = self.cluster.txn(&grant).map_err(LockError::cluster)?;
        if !applied.succeeded {
            return Ok(Step::Again);
        }
        for one in &mut held {
            one.grant.token = applied.revision;
        }
        Ok(Step::Granted(held))
    }

    /// Waits until something has changed that keeps us, or a time has come.
    fn watch(
        &mut self,
        seats: &[Seat<'_>],
        step: &Step,
        lease: &mut Lease,
        deadline: Option<Instant>,
    ) -> Result<(), LockError> {
        let (at, keys, revision, limit) = match step {
            Step::Blocked { at, keys, revision } => (*at, keys.as_slice(), *revision, LOOK),
            Step::Absent { at, revision } => (*at, [].as_slice(), *revision, LOOK),
            Step::Later {
                at,
                key,
                revision,
                time,
            } => (*at, std::slice::from_ref(key), *revision, LOOK.min(*time)),
            Step::Granted(_) | Step::Again => return Ok(()),
        };
        let mut watch = self
            .cluster
            .watch(Keys::prefix(&seats[at].queue), revision + 1);
        let look_again = since_boot() + limit;
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) || since_boot() >= look_again {
                return Ok(());
            }
            let beat = look_again.min(since_boot() + lease.ttl / BEATS);
            let until = left.map_or(beat, |left| beat.min(since_boot() + left));
            match watch.next(&mut self.cluster, Some(until)) {
                Ok(Seen::Events { events, .. }) => {
                    if keys.is_empty() || events.iter().any(|it| keys.contains(&it.pair.key)) {
                        return Ok(());
                    }
                }
                Ok(Seen::Missed { .. }) => return Ok(()),
                Ok(Seen::Deadline) => {}
                Ok(Seen::Cancelled) => {
                    return Err(LockError::Cancelled(seats[at].wanted.name().to_owned()));
                }
                // As long as the lease lasts, it may come back.
                Err(error) if !is_final(&error) && lease.left() > lease.ttl / BEATS => {}
                Err(error) => return Err(LockError::cluster(error)),
            }
            self.keep(lease)?;
        }
    }
}

/// How we stand after the queues were read.
enum Came {
    Here(Vec<Line>),
    /// Nobody uses this one, and we are not to be the first.
    Absent(usize),
}

fn over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

fn is_final(error: &EtcdError) -> bool {
    matches!(
        error,
        EtcdError::LeaseGone { .. } | EtcdError::Settings { .. }
    )
}

/// Whether the cluster may only not be reached just now.
fn may_pass(error: &LockError) -> bool {
    let LockError::Cluster { source, .. } = error else {
        return false;
    };
    matches!(source.downcast_ref(), Some(EtcdError::Unreachable { .. }))
}
