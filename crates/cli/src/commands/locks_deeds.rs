//! `ward locks reserve`, `release` and `steal`: what people do about locks without a command, on this host
//! or in a cluster.

use std::process::ExitCode;
use std::time::Duration;

use ward_engine::holders;
use ward_lock::{Badge, Directory, LockError, Locks, Record, Request};
use ward_model::exit_code;

use super::lock::{complete, patience};
use super::lock_wait::Progress;
#[cfg(feature = "etcd")]
use super::lock_wait::{CLUSTER_HELD, held_above};
use super::{lock_words, say};
use crate::args::{LocksDeed, ReleaseArgs, ReserveArgs, StealArgs};
use crate::failure::Failure;

/// How often it is looked whether work has ended that was told to.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The same in a cluster, which may be far.
#[cfg(feature = "etcd")]
const LOOK_AGAIN_THERE: Duration = Duration::from_millis(250);

/// Locks, and what of them depends on where they are.
struct Place<'a, L> {
    locks: &'a L,
    /// The locks of ours that are held above us.
    held_above: Option<Vec<Badge>>,
    /// Asks work to stop that none of our signals reaches; whether anybody can be asked.
    ask: &'a dyn Fn(&Record) -> Result<bool, LockError>,
    look_again: Duration,
}

pub(super) fn run(deed: &LocksDeed) -> Result<ExitCode, Failure> {
    let place = match deed {
        LocksDeed::Reserve(arguments) => &arguments.place,
        LocksDeed::Release(arguments) => &arguments.place,
        LocksDeed::Steal(arguments) => &arguments.place,
    };
    let here = Directory::open(place.place.lock_dir.as_deref())?;
    #[cfg(feature = "etcd")]
    if let Some(cluster) = super::cluster::chosen(&place.cluster)? {
        let hosts = cluster.hosts.audited(here.audit_log());
        let place = Place {
            locks: &hosts,
            held_above: Some(held_above(CLUSTER_HELD)),
            ask: &|holder| hosts.ask_to_stop(holder).map(|()| true),
            look_again: LOOK_AGAIN_THERE,
        };
        return place.run(deed);
    }
    let place = Place {
        locks: &here,
        held_above: None,
        ask: &|_| Ok(false),
        look_again: LOOK_AGAIN,
    };
    place.run(deed)
}

impl<L: Locks> Place<'_, L> {
    fn run(&self, deed: &LocksDeed) -> Result<ExitCode, Failure> {
        match deed {
            LocksDeed::Reserve(arguments) => self.reserve(arguments),
            LocksDeed::Release(arguments) => self.release(arguments),
            LocksDeed::Steal(arguments) => self.steal(arguments),
        }
    }

    /// What a person asks for by `ward locks DEED`.
    fn request(&self, deed: &str, name: &str, why: Option<&String>) -> Result<Request, Failure> {
        let mut request = Request {
            why: why.cloned(),
            ..Request::new(lock_words::parse(name)?)
        };
        complete(&mut request, Some(format!("ward locks {deed} {name}")), &[]);
        if let Some(held) = &self.held_above {
            request.held_above.clone_from(held);
        }
        Ok(request)
    }

    fn reserve(&self, arguments: &ReserveArgs) -> Result<ExitCode, Failure> {
        let request = self.request("reserve", &arguments.name, arguments.why.as_ref())?;
        let mut progress = Progress::new(false);
        let reserved = self.locks.reserve(
            &request,
            patience(arguments.no_wait, arguments.wait),
            arguments.time,
            Some(&mut |waiting| progress.show(waiting)),
        );
        progress.clear();
        reserved?;
        Ok(ExitCode::SUCCESS)
    }

    fn steal(&self, arguments: &StealArgs) -> Result<ExitCode, Failure> {
        let request = self.request("steal", &arguments.name, arguments.why.as_ref())?;
        for victim in self.locks.steal(&request, arguments.time)? {
            say(&format!("taken from {}", victim.summary()));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn release(&self, arguments: &ReleaseArgs) -> Result<ExitCode, Failure> {
        // Other programs' names may have commas in them.
        let is_one = !arguments.name.contains(',') || self.locks.show(&arguments.name).is_ok();
        if is_one {
            return self.release_one(arguments, &arguments.name);
        }
        // A token is of one lock.
        if arguments.token.is_some() {
            return Err(Failure::usage(
                format!(
                    "`{}` are several locks, which have a token each",
                    arguments.name
                ),
                "release them one by one",
            ));
        }
        let names: Vec<&str> = arguments.name.split(',').collect();
        for name in &names {
            ward_lock::check_name(name)?;
        }
        // What is wrong with one is no reason to keep the others.
        let mut failed = None;
        for name in names {
            match self.release_one(arguments, name) {
                Ok(_) => {}
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    fn release_one(&self, arguments: &ReleaseArgs, name: &str) -> Result<ExitCode, Failure> {
        if arguments.stop {
            self.stop_work(arguments, name)?;
        }
        let freed = self.locks.free(
            name,
            arguments.token,
            arguments.anyway,
            arguments.why.as_deref(),
        );
        match freed {
            // The work that was stopped held it alone.
            Err(LockError::Free(_)) if arguments.stop => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
            Ok(freed) => {
                for record in freed {
                    say(&format!("freed from {}", record.summary()));
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    /// Tells the work to stop that holds it, and waits until it has.
    fn stop_work(&self, arguments: &ReleaseArgs, name: &str) -> Result<(), Failure> {
        // Of a part, the list shows the whole.
        let parts = format!("{name}/");
        let is_it = |it: &Record| it.name == name || it.name.starts_with(&parts);
        let holders = || -> Result<Vec<Record>, LockError> {
            let mut holders = self.locks.show(name)?.holders;
            holders.retain(|it| {
                let meant = arguments.token.is_none_or(|token| Some(token) == it.token);
                !it.reserved && is_it(it) && meant
            });
            Ok(holders)
        };
        let told = holders()?;
        if !told.is_empty() {
            self.locks
                .note_stop(name, arguments.why.as_deref(), &told)?;
        }
        for holder in &told {
            say(&format!("stopping {}", holder.summary()));
            if !holders::tell_to_stop(holder, None) && !(self.ask)(holder)? {
                return Err(Failure::with_code(
                    format!("{} cannot be told to stop", holder.summary()),
                    Some("it may be another user's, or on another host or in another container"),
                    exit_code::WARD_FAILED,
                ));
            }
        }
        // It has its own grace, and is killed after that.
        while holders()?
            .iter()
            .any(|it| told.iter().any(|old| old.ticket == it.ticket))
        {
            std::thread::sleep(self.look_again);
        }
        Ok(())
    }
}
