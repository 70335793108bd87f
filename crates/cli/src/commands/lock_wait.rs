//! Waiting for locks, on this host and in a cluster, and what is told of it: to people, to a script
//! that listens, and to the command.

use std::io::{IsTerminal, Write};
#[cfg(feature = "etcd")]
use std::time::Instant;

use ward_engine::holders;
use ward_engine::locks::{Locks, Renewer, Until};
use ward_engine::runs;
#[cfg(feature = "etcd")]
use ward_lock::Wanted;
use ward_lock::{
    Badge, Directory, Grant, Held, Holding, LockError, Patience, Record, Request, Waiting,
};
use ward_sys::code;

#[cfg(feature = "etcd")]
use super::cluster::{Chosen, Kept, keep};
use super::say;
use crate::failure::Failure;

/// The descriptors that hold a command's locks, separated by commas.
const DESCRIPTOR: &str = "WARD_LOCK_FD";
/// Every lock that is held above, `LOCK:TICKET` separated by commas: to wait for one of them would
/// be to wait for ever.
pub(super) const HELD: &str = "WARD_LOCKS_HELD";

/// The same, of locks that a cluster keeps.
#[cfg(feature = "etcd")]
pub(super) const CLUSTER_HELD: &str = "WARD_CLUSTER_LOCKS_HELD";

/// How locks are waited for.
pub(super) struct Wait {
    pub(super) directory: Directory,
    pub(super) patience: Patience,
    /// The exit status if they are not got.
    pub(super) conflict: u8,
    pub(super) cancel_running: bool,
    pub(super) quiet: bool,
    pub(super) status: Status,
    /// Where several hosts share the locks.
    #[cfg(feature = "etcd")]
    pub(super) cluster: Option<Chosen>,
}

impl Wait {
    pub(super) fn acquire(&mut self, request: &Request) -> Result<Got, Failure> {
        let mut progress = Progress::new(self.quiet);
        let mut told: Vec<u64> = Vec::new();
        let (status, cancel) = (&mut self.status, self.cancel_running);
        let (mut first, mut rested) = (true, false);
        let mut tell = |waiting: &Waiting| {
            // The holder may be one of a tree that stands still because nobody is left to thaw it; but
            // most are gone within a second.
            if !std::mem::take(&mut first) {
                runs::thaw_orphans();
                if !std::mem::replace(&mut rested, true) {
                    code::let_rest();
                }
            }
            if cancel {
                // Nobody works where a person holds it.
                for holder in waiting.holders.iter().filter(|it| !it.reserved) {
                    if !told.contains(&holder.ticket) && holders::tell_to_stop(holder, None) {
                        told.push(holder.ticket);
                    }
                }
            }
            status.waiting(waiting);
            progress.show(waiting);
        };
        let got = Self::get(
            &self.directory,
            request,
            self.patience,
            #[cfg(feature = "etcd")]
            self.cluster.take().map(|cluster| (cluster, cancel)),
            &mut tell,
        );
        progress.clear();
        match got {
            Ok(got) => {
                self.status.granted(&got.told());
                Ok(got)
            }
            Err(refused) => {
                let busy = refused.is_busy();
                let failure = refused.into_failure();
                self.status.refused(&failure, busy);
                Err(if busy {
                    failure.with_status(self.conflict)
                } else {
                    failure
                })
            }
        }
    }

    /// This host's locks first, so that each host has one request in the cluster at a time, and is
    /// asked by its own before it asks others. With the cluster goes whether who holds it there is to stop.
    #[cfg(feature = "etcd")]
    pub(super) fn get(
        directory: &Directory,
        request: &Request,
        patience: Patience,
        cluster: Option<(Chosen, bool)>,
        tell: &mut dyn FnMut(&Waiting),
    ) -> Result<Got, Refused> {
        let Some((cluster, cancel_running)) = cluster else {
            let held = directory.acquire(request, patience, Some(tell))?;
            return Ok(Got { held, kept: None });
        };
        let began = Instant::now();
        let here = Request {
            locks: request.locks.iter().map(Wanted::on_this_host).collect(),
            ..request.clone()
        };
        let held = directory.acquire(&here, patience, Some(tell))?;
        let patience = match patience {
            Patience::For(time) => Patience::For(time.saturating_sub(began.elapsed())),
            Patience::None | Patience::Never => patience,
        };
        let there = Request {
            held_above: held_above(CLUSTER_HELD),
            ..request.clone()
        };
        let kept = keep(
            cluster,
            &there,
            patience,
            directory,
            &held,
            cancel_running,
            tell,
        );
        match kept {
            Ok(kept) => Ok(Got {
                held,
                kept: Some(kept),
            }),
            Err(refused) => {
                held.iter().for_each(Held::release);
                Err(refused)
            }
        }
    }

    #[cfg(not(feature = "etcd"))]
    pub(super) fn get(
        directory: &Directory,
        request: &Request,
        patience: Patience,
        tell: &mut dyn FnMut(&Waiting),
    ) -> Result<Got, Refused> {
        let held = directory.acquire(request, patience, Some(tell))?;
        Ok(Got { held })
    }
}

/// Why locks were not got.
pub(super) enum Refused {
    /// On this host.
    Here(LockError),
    /// In the cluster, as told by the process that asked.
    #[cfg(feature = "etcd")]
    There {
        failure: Failure,
        /// Others have them, so that they may be had at another time.
        busy: bool,
    },
}

impl Refused {
    /// Whether others have them, so that they may be had at another time.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Here(error) => error.is_busy(),
            #[cfg(feature = "etcd")]
            Self::There { busy, .. } => *busy,
        }
    }

    /// As it is told.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Here(error) => error.into(),
            #[cfg(feature = "etcd")]
            Self::There { failure, .. } => failure,
        }
    }
}

impl From<LockError> for Refused {
    fn from(error: LockError) -> Self {
        Self::Here(error)
    }
}

/// Locks that were got.
pub(super) struct Got {
    pub(super) held: Vec<Held>,
    #[cfg(feature = "etcd")]
    kept: Option<Kept>,
}

impl Got {
    /// What is told of each: where a cluster keeps them, what it gave.
    pub(super) fn told(&self) -> Vec<Grant> {
        #[cfg(feature = "etcd")]
        if let Some(kept) = &self.kept {
            return kept.locks.clone();
        }
        self.held.grants()
    }

    /// The variables that tell the command of its locks.
    pub(super) fn variables(&self, descriptors: &[i32]) -> Vec<(&'static str, String)> {
        let numbers: Vec<String> = descriptors.iter().map(i32::to_string).collect();
        let held = self.held.iter();
        let mut variables = Grant::variables(&self.told()).to_vec();
        variables.push((DESCRIPTOR, numbers.join(",")));
        variables.push((HELD, and_above(HELD, held.map(Held::badge))));
        #[cfg(feature = "etcd")]
        if let Some(kept) = &self.kept {
            let held = kept.locks.iter().map(|it| it.badge.clone());
            variables.push((CLUSTER_HELD, and_above(CLUSTER_HELD, held)));
        }
        variables
    }

    /// For a run, and what must be done when it is over.
    pub(super) fn into_locks(self, until: Until) -> Result<(Locks, impl FnOnce()), Failure> {
        let locks = Locks::new(self.held, until);
        #[cfg(feature = "etcd")]
        if let Some(kept) = self.kept {
            let failed = |error| Failure::ours("cannot keep the lock", &error);
            let ours = kept.renewer.another().map_err(failed)?;
            let locks = locks.with_lease(kept.lease).renewed_by(kept.renewer);
            return Ok((locks, over(Some(ours))));
        }
        Ok((locks, over(None)))
    }
}

/// Whoever asks next should find a cluster's locks free.
fn over(renewer: Option<Renewer>) -> impl FnOnce() {
    move || {
        if let Some(renewer) = renewer {
            renewer.await_end();
        }
    }
}

/// What is held above us, and these.
fn and_above(variable: &str, ours: impl Iterator<Item = Badge>) -> String {
    let above = std::env::var(variable).unwrap_or_default();
    let all = Some(above).filter(|it| !it.is_empty());
    let ours = ours.map(|badge| badge.to_string());
    all.into_iter().chain(ours).collect::<Vec<_>>().join(",")
}

/// The locks that a variable says are held above us.
pub(super) fn held_above(variable: &str) -> Vec<Badge> {
    let text = std::env::var(variable).unwrap_or_default();
    text.split(',')
        .filter_map(|item| item.parse().ok())
        .collect()
}

/// How it goes, for a script that listens: a line of JSON each.
pub(super) struct Status(Option<std::fs::File>);

impl Status {
    pub(super) fn open(number: Option<i32>) -> Result<Self, Failure> {
        let Some(number) = number else {
            return Ok(Self(None));
        };
        let fd = ward_sys::spawn::take_inherited(number).ok_or_else(|| {
            Failure::usage(
                format!("descriptor {number} is not open"),
                format!("open it, as in `ward lock … --status-fd {number} {number}>status`"),
            )
        })?;
        Ok(Self(Some(fd.into())))
    }

    fn say(&mut self, line: &serde_json::Value) {
        if let Some(file) = &mut self.0 {
            // Who no longer listens need not hear it.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }

    fn waiting(&mut self, waiting: &Waiting) {
        if self.0.is_some() {
            self.say(&serde_json::json!({
                "event": "waiting",
                "lock": waiting.name,
                "ahead": waiting.ahead,
                "holders": waiting.holders,
            }));
        }
    }

    fn refused(&mut self, failure: &Failure, busy: bool) {
        self.say(&serde_json::json!({
            "event": "refused",
            "busy": busy,
            "why": failure.text(),
        }));
    }

    fn granted(&mut self, told: &[Grant]) {
        let locks = told.iter().map(|it| {
            serde_json::json!({
                "lock": it.name,
                "mode": it.mode,
                "elements": it.elements,
                "token": it.token,
            })
        });
        let locks: Vec<serde_json::Value> = locks.collect();
        self.say(&serde_json::json!({ "event": "granted", "locks": locks }));
    }

    pub(super) fn ended(&mut self, exit_status: u8) {
        self.say(&serde_json::json!({ "event": "ended", "exit_status": exit_status }));
    }
}

/// How it stands, in place on a terminal, and otherwise once.
pub(super) struct Progress {
    quiet: bool,
    in_place: bool,
    said: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            in_place: std::io::stderr().is_terminal(),
            said: false,
        }
    }

    pub(super) fn show(&mut self, waiting: &Waiting) {
        if self.quiet || (self.said && !self.in_place) {
            return;
        }
        self.said = true;
        let holders: Vec<String> = waiting.holders.iter().map(Record::summary).collect();
        let whose = if holders.is_empty() {
            "others are first".to_owned()
        } else {
            format!("held by {}", holders.join(", "))
        };
        let line = format!(
            "waiting for `{}`: {whose}; {} ahead",
            waiting.name, waiting.ahead
        );
        if self.in_place {
            // Where nobody can be told, the exit status still says it.
            let _ = write!(std::io::stderr(), "\r\x1b[Kward: {line}");
        } else {
            say(&line);
        }
    }

    pub(super) fn clear(&self) {
        if self.said && self.in_place {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
