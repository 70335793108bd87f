//! `ward locks reserve`, `release` and `steal`: what people do about locks without a command, on this host
//! or in a cluster.

#[cfg(feature = "etcd")]
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use ward_engine::holders;
use ward_lock::{Badge, Directory, LockError, Locks, Record, Request};
use ward_model::exit_code;
#[cfg(feature = "etcd")]
use ward_model::signal::Signal;
#[cfg(feature = "etcd")]
use ward_sys::signals::{SignalSource, take_default_action};

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
const LOOK_AGAIN_THERE: Duration = Duration::from_secs(1);

/// What ends us, if it comes while we wait for a cluster.
#[cfg(feature = "etcd")]
const LAST: [Signal; 3] = [Signal::HUP, Signal::INT, Signal::TERM];

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
        let mut hosts = cluster.hosts.audited(here.audit_log());
        // Who gives up waiting is not to be in the queue until his lease has run out.
        let source = match deed {
            LocksDeed::Reserve(_) | LocksDeed::Release(_) => {
                let failed = |error| Failure::ours("cannot be told to stop", &error);
                let source = SignalSource::new(&LAST.map(Signal::number)).map_err(failed)?;
                let cancel = source.as_fd().try_clone_to_owned().map_err(failed)?;
                hosts.cancel_on(Some(cancel))?;
                Some(source)
            }
            LocksDeed::Steal(_) => None,
        };
        let place = Place {
            locks: &hosts,
            held_above: Some(held_above(CLUSTER_HELD)),
            ask: &|holder| {
                let mut hosts = hosts.another()?;
                hosts
                    .ask_to_stop(std::slice::from_ref(holder))
                    .map(|()| true)
            },
            look_again: LOOK_AGAIN_THERE,
        };
        let done = place.run(deed);
        let received = source.and_then(|source| source.next());
        if let (Err(_), Some(received)) = (&done, received) {
            take_default_action(received.signal);
        }
        return done;
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
        let is_one = if arguments.name.contains(',') {
            match self.locks.show(&arguments.name) {
                Ok(_) => true,
                Err(LockError::Name(_)) => false,
                Err(error) => return Err(error.into()),
            }
        } else {
            true
        };
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
        if !arguments.stop {
            self.free(arguments, name, arguments.token)?;
            return Ok(ExitCode::SUCCESS);
        }
        // Who comes next is not meant.
        let persons = self.holders(arguments, name, |it| it.reserved)?;
        let stopped = self.stop_work(arguments, name)?;
        if persons.is_empty() && !stopped {
            return match self.free(arguments, name, arguments.token) {
                // There is nothing to stop.
                Ok(()) | Err(LockError::Free(_)) => Ok(ExitCode::SUCCESS),
                Err(error) => Err(error.into()),
            };
        }
        for person in persons {
            match self.free(arguments, name, person.token) {
                // Somebody else was quicker.
                Ok(()) | Err(LockError::Free(_) | LockError::OtherToken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn free(
        &self,
        arguments: &ReleaseArgs,
        name: &str,
        token: Option<u64>,
    ) -> Result<(), LockError> {
        let why = arguments.why.as_deref();
        for record in self.locks.free(name, token, arguments.anyway, why)? {
            say(&format!("freed from {}", record.summary()));
        }
        Ok(())
    }

    /// Those of the holders who are meant, and of whom that holds.
    fn holders(
        &self,
        arguments: &ReleaseArgs,
        name: &str,
        holds: impl Fn(&Record) -> bool,
    ) -> Result<Vec<Record>, LockError> {
        // Of a part, the list shows the whole.
        let parts = format!("{name}/");
        let is_it = |it: &Record| it.name == name || it.name.starts_with(&parts);
        let mut holders = self.locks.show(name)?.holders;
        holders.retain(|it| {
            let meant = arguments.token.is_none_or(|token| Some(token) == it.token);
            is_it(it) && meant && holds(it)
        });
        Ok(holders)
    }

    /// Tells the work to stop that holds it, and waits until it has. Whether there was any.
    fn stop_work(&self, arguments: &ReleaseArgs, name: &str) -> Result<bool, Failure> {
        let working = || self.holders(arguments, name, |it| !it.reserved);
        let told = working()?;
        if !told.is_empty() {
            let why = arguments.why.as_deref();
            self.locks.note_stop(name, why, &told)?;
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
        loop {
            let left = match working() {
                // Another program's name, which nobody uses any more.
                Err(LockError::Name(_)) => Vec::new(),
                left => left?,
            };
            if !left
                .iter()
                .any(|it| told.iter().any(|old| old.ticket == it.ticket))
            {
                return Ok(!told.is_empty());
            }
            std::thread::sleep(self.look_again);
        }
    }
}
