//! The process that keeps a cluster's locks for a run.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use ward_engine::holders;
use ward_engine::locks::LeaseWatch;
use ward_engine::renewer::{News, Renewer, Work};
use ward_lock::hosts::{Hosts, Shared};
use ward_lock::{Badge, Directory, Grant, Held, LockError, Patience, Record, Request, Waiting};
use ward_model::exit_code;
use ward_sys::clock::since_boot;
use ward_sys::lease::Lease;

use super::which::Chosen;
use crate::commands::lock_wait::Refused;
use crate::failure::Failure;

/// A lease is renewed so often in its time.
pub(super) const BEATS: u32 = 6;

/// A leader that does not know yet that it is none may go on renewing for an election timeout, which
/// is usually a second: the work must be gone earlier than that.
const STALE_LEADER: Duration = Duration::from_millis(1500);

/// How long before a lease's end the work is killed.
fn kill_before(time: Duration) -> Duration {
    STALE_LEADER.max(time / 10)
}

/// How long before a lease's end the work is told to stop.
fn stop_before(time: Duration) -> Duration {
    (time * 2 / 5).max(kill_before(time) + time / 10)
}

/// How often it is looked whether the work is there, once nobody tells us.
const LOOK: Duration = Duration::from_millis(200);

/// So many holders are told of.
const MOST_HOLDERS: usize = 8;

/// What the process that keeps the locks says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Waiting(Waiting),
    Granted(Vec<Grant>),
    Refused {
        text: String,
        hint: Option<String>,
        busy: bool,
        code: u8,
    },
}

/// Locks of a cluster that are kept for a run.
pub(crate) struct Kept {
    pub(crate) locks: Vec<Grant>,
    pub(crate) renewer: Renewer,
    pub(crate) lease: LeaseWatch,
}

/// Gets the locks in the cluster, those of this host being held, and has them kept.
pub(crate) fn keep(
    cluster: Chosen,
    request: &Request,
    patience: Patience,
    here: &Directory,
    held: &[Held],
    cancel_running: bool,
    tell: &mut dyn FnMut(&Waiting),
) -> Result<Kept, Refused> {
    let Chosen {
        hosts, lease: time, ..
    } = cluster;
    let failed = |what: &str, error: &dyn std::error::Error| Refused::There {
        failure: Failure::ours(what, error),
        busy: false,
    };
    let lease = Lease::new(since_boot()).map_err(|error| failed("cannot share a lease", &error))?;
    let badges: Vec<Badge> = held.iter().map(Held::badge).collect();
    // The work of this host's locks is not that process: it must not have them open.
    let close: Vec<BorrowedFd<'_>> = held.iter().map(Held::descriptor).collect();
    let renewer = Renewer::start(&close, |work| {
        let keeper = Keeper {
            lease: &lease,
            here,
            badges,
            time,
            cancel_running,
            is_told: Cell::new(false),
        };
        keeper.keep(hosts, request, patience, work);
    });
    let renewer =
        renewer.map_err(|error| failed("cannot start the process that keeps the lock", &error))?;
    loop {
        match renewer.hear::<Said>() {
            Some(Said::Waiting(waiting)) => tell(&waiting),
            Some(Said::Granted(locks)) => {
                return Ok(Kept {
                    locks,
                    renewer,
                    lease: LeaseWatch {
                        lease,
                        stop_before: stop_before(time),
                        kill_before: kill_before(time),
                    },
                });
            }
            Some(Said::Refused {
                text,
                hint,
                busy,
                code,
            }) => {
                // It has nothing more to do.
                renewer.await_end();
                return Err(Refused::There {
                    failure: Failure::with_code(text, hint.as_deref(), code),
                    busy,
                });
            }
            None => {
                return Err(Refused::There {
                    failure: Failure::with_code(
                        "the process that keeps the lock has ended",
                        None,
                        exit_code::WARD_FAILED,
                    ),
                    busy: false,
                });
            }
        }
    }
}

/// What the process that keeps the locks knows.
struct Keeper<'a> {
    lease: &'a Lease,
    /// This host's locks, which say whether the work is there when nobody else does.
    here: &'a Directory,
    badges: Vec<Badge>,
    time: Duration,
    /// Whoever holds what we wait for is to stop.
    cancel_running: bool,
    /// The work was told to stop, as somebody has asked in the cluster.
    is_told: Cell<bool>,
}

impl Keeper<'_> {
    fn keep(&self, mut hosts: Hosts, request: &Request, patience: Patience, work: &Work) {
        // Whoever waited for us and is gone needs them no longer.
        if let Ok(watch) = work.watch() {
            let _ = hosts.cancel_on(Some(watch));
        }
        let mut asks = Asks::default();
        let mut tell = |waiting: &Waiting| {
            if self.cancel_running {
                asks.ask(&hosts, &waiting.holders);
            }
            let mut waiting = waiting.clone();
            waiting.holders.truncate(MOST_HOLDERS);
            work.say(&Said::Waiting(waiting));
        };
        match hosts.acquire(request, patience, Some(&mut tell)) {
            Ok(mut shared) => {
                self.lease.extend(shared.deadline());
                let granted = Said::Granted(shared.grants());
                if Work::can_say(&granted) {
                    return self.renew(shared, work, granted);
                }
                let _ = shared.cluster().cancel_on(None);
                self.give_back(shared, false);
                let names = request.names();
                refuse(work, LockError::TooLong(names));
            }
            Err(error) => refuse(work, error),
        }
    }

    /// Renews the lease as long as the work needs it.
    fn renew(&self, mut shared: Shared, work: &Work, granted: Said) {
        let beat = self.time / BEATS;
        let mut pause = beat;
        let mut unsaid = Some(granted);
        loop {
            // Whoever stands still, and has not heard yet what was said before, hears it later.
            if unsaid.as_ref().is_some_and(|granted| work.say(granted)) {
                unsaid = None;
            }
            let pause_now = if unsaid.is_some() { LOOK } else { pause };
            match work.news(pause_now) {
                News::GoesOn => {}
                News::Free { succeeded } => {
                    let _ = shared.cluster().cancel_on(None);
                    return self.give_back(shared, succeeded);
                }
                News::Unknown => return self.keep_for_orphan(shared),
            }
            pause = self.beat(&mut shared).min(beat);
        }
    }

    /// Says to the cluster that the locks are free, and numbers used up if the work has succeeded. As
    /// long as the lease lasts it may yet hear that, and after that it knows the one without us.
    fn give_back(&self, mut shared: Shared, succeeded: bool) {
        let end = self.lease.good_until().unwrap_or_default();
        loop {
            let said = if succeeded {
                shared.commit().and_then(|()| shared.release())
            } else {
                shared.release()
            };
            match said {
                Err(error) if Shared::may_pass(&error) && since_boot() < end => {
                    std::thread::sleep(LOOK);
                }
                _ => return,
            }
        }
    }

    /// Renews it once, and says when to again.
    fn beat(&self, shared: &mut Shared) -> Duration {
        match shared.keep_alive() {
            Ok(deadline) => {
                self.lease.extend(deadline);
                self.heed(shared);
                self.time / BEATS
            }
            Err(error) if Shared::is_lost(&error) => {
                self.lease.lose();
                self.time
            }
            // The members were asked for a whole timeout already.
            Err(_) => LOOK,
        }
    }

    /// Tells the work to stop if somebody has asked for that on another host. What cannot be seen now is
    /// seen the next time.
    fn heed(&self, shared: &mut Shared) {
        if self.is_told.get() || !matches!(shared.is_asked_to_stop(), Ok(true)) {
            return;
        }
        for holder in self.holders().unwrap_or_default() {
            if holders::tell_to_stop(&holder, None) {
                self.is_told.set(true);
            }
        }
    }

    /// Front and guardian are gone, and the work may go on: it has the locks as long as it is there,
    /// and is killed before they are lost.
    fn keep_for_orphan(&self, mut shared: Shared) {
        let _ = shared.cluster().cancel_on(None);
        let mut next = Instant::now();
        loop {
            let holders = self.holders();
            if holders.as_ref().is_ok_and(Vec::is_empty) {
                return self.give_back(shared, false);
            }
            // What cannot be read now may be read later, and is nobody's end.
            let holders = holders.unwrap_or_default();
            let end = self.lease.good_until().unwrap_or_default();
            if since_boot() + kill_before(self.time) >= end {
                holders.iter().for_each(holders::kill_work);
            }
            if Instant::now() >= next {
                next = Instant::now() + self.beat(&mut shared);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Our locks on this host, if somebody still has them.
    fn holders(&self) -> Result<Vec<Record>, LockError> {
        let holders = self.badges.iter().map(|badge| self.here.holder(badge));
        let holders: Result<Vec<Option<Record>>, LockError> = holders.collect();
        Ok(holders?.into_iter().flatten().collect())
    }
}

/// Who was asked to stop, of those whom no signal of ours reaches.
#[derive(Default)]
struct Asks {
    asked: Vec<u64>,
    /// A connection for that, so that each does not need another.
    hosts: Option<Hosts>,
}

impl Asks {
    /// What cannot be asked now is asked the next time.
    fn ask(&mut self, hosts: &Hosts, holders: &[Record]) {
        // Who can be told is told by who waits for us.
        let is_meant = |it: &&Record| {
            !it.reserved && !self.asked.contains(&it.ticket) && !holders::can_be_told(it)
        };
        let meant: Vec<Record> = holders.iter().filter(is_meant).cloned().collect();
        if meant.is_empty() {
            return;
        }
        if self.hosts.is_none() {
            self.hosts = hosts.another().ok();
        }
        if let Some(hosts) = &mut self.hosts
            && hosts.ask_to_stop(&meant).is_ok()
        {
            self.asked.extend(meant.iter().map(|it| it.ticket));
        }
    }
}

/// Says that they were not got, as long as somebody is there to hear it.
fn refuse(work: &Work, error: LockError) {
    let busy = error.is_busy();
    let failure = Failure::from(error);
    let refused = Said::Refused {
        text: failure.text().to_owned(),
        hint: failure.hint().map(str::to_owned),
        busy,
        code: failure.code(),
    };
    while Work::can_say(&refused) && !work.say(&refused) && work.news(LOOK) != News::Unknown {}
}
