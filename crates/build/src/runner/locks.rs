//! The locks of a build: taken before anything is done, free when the last process is gone.

use std::os::fd::AsFd;

use rustix::io::FdFlags;
use ward_lock::words::{self, NOTATION, WordsError};
use ward_lock::{
    Badge, Directory, Grant, Held, Holding as _, LockError, Patience, Record, Request, Waiting,
};

use super::worker::Worker;
use crate::environment::Environment;

/// Every lock that is held above, `LOCK:TICKET` separated by commas.
const HELD: &str = "WARD_LOCKS_HELD";

/// Why a build has not got its locks.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It was stopped while it waited.
    #[error("stopped while it waited for its locks")]
    Stopped,
    /// The job names what is no lock.
    #[error("its locks cannot be understood")]
    Words(#[from] WordsError),
    /// They cannot be had.
    #[error("its locks cannot be had")]
    Lock(#[from] LockError),
}

impl Refused {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Words(WordsError::Notation { .. }) => Some(NOTATION.to_owned()),
            Self::Stopped | Self::Words(_) | Self::Lock(_) => None,
        }
    }
}

/// Locks that a build holds. The guardians of its commands hold them too, so that they are not free
/// before the last process is gone, however the runner ends.
#[derive(Debug, Default)]
pub(super) struct Holding(Vec<Held>);

impl Holding {
    /// Waits for all of them; the console says whom for.
    pub(super) fn acquire(
        worker: &mut Worker,
        texts: &[String],
        build: &str,
    ) -> Result<Self, Refused> {
        if texts.is_empty() {
            return Ok(Self::default());
        }
        let mut wanted = Vec::new();
        for text in texts {
            wanted.extend(words::parse(text)?);
        }
        let request = Request {
            command: format!("build {build}"),
            origin: Some(build.to_owned()),
            held_above: held_above(),
            ..Request::new(wanted)
        };
        let directory = Directory::usual()?;
        let mut said = None;
        loop {
            worker.heed(None);
            if worker.stopped_as.is_some() {
                return Err(Refused::Stopped);
            }
            let (console, stops) = (&mut worker.console, &worker.stops);
            let mut tell = |waiting: &Waiting| {
                let line = describe(waiting);
                if said.as_ref() != Some(&line) {
                    console.line(&line);
                    said = Some(line);
                }
            };
            let got = directory.acquire_unless(
                &request,
                Patience::Never,
                Some(&mut tell),
                Some(stops.as_fd()),
            );
            match got {
                Ok(held) => return Self::share(worker, held, said.is_some()),
                Err(LockError::Cancelled(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn share(worker: &mut Worker, held: Vec<Held>, waited: bool) -> Result<Self, Refused> {
        let holding = Self(held);
        for held in &holding.0 {
            // The guardians inherit it; what they guard does not.
            if let Err(error) = rustix::io::fcntl_setfd(held.descriptor(), FdFlags::empty()) {
                worker.console.line(&format!(
                    "The lock `{}` will not outlive this process: {error}",
                    held.name()
                ));
            }
        }
        if waited {
            let names: Vec<String> = holding
                .0
                .iter()
                .map(|it| format!("`{}`", it.name()))
                .collect();
            worker.console.line(&format!("Got {}", names.join(", ")));
        }
        Ok(holding)
    }

    /// Tells the steps what is held, as `ward lock` tells its command.
    pub(super) fn describe_to(&self, environment: &mut Environment) {
        if self.0.is_empty() {
            return;
        }
        for (name, value) in Grant::variables(&self.0.grants()) {
            environment.set(name, value);
        }
        let above = held_above().into_iter();
        let all: Vec<String> = above
            .chain(self.0.iter().map(Held::badge))
            .map(|badge| badge.to_string())
            .collect();
        environment.set(HELD, all.join(","));
    }

    /// Lets go of them.
    pub(super) fn release(&mut self) {
        for held in self.0.drain(..) {
            held.release();
        }
    }
}

fn held_above() -> Vec<Badge> {
    let text = std::env::var(HELD).unwrap_or_default();
    text.split(',')
        .filter_map(|item| item.parse().ok())
        .collect()
}

fn describe(waiting: &Waiting) -> String {
    let holders: Vec<String> = waiting.holders.iter().map(Record::summary).collect();
    let whose = if holders.is_empty() {
        "others are first".to_owned()
    } else {
        format!("held by {}", holders.join(", "))
    };
    format!(
        "Waiting for `{}`: {whose}; {} ahead",
        waiting.name, waiting.ahead
    )
}
