//! A lock that is held, and letting go of it.

use std::cell::Cell;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ward_model::lock::{Mode, Shape};

use crate::durable::Durable;
use crate::error::LockError;
use crate::line::Line;
use crate::locks::Grant;
use crate::name::Badge;
use crate::record::Ended;
use crate::store::{STUCK, Store};
use crate::surroundings;

/// So long the lock stays held for the number's sake that is given back with it.
const SHORTLY: Duration = Duration::from_millis(500);

/// A lock that is held. It is freed by [`Held::release`], or when the last process is gone that
/// has its descriptor open: dropped, it stays with whoever inherited that. [`Guard`] frees it when
/// it is dropped.
#[derive(Debug)]
pub struct Held {
    pub(crate) store: Store,
    pub(crate) ticket: u64,
    pub(crate) token: u64,
    pub(crate) mode: Mode,
    pub(crate) has: Vec<String>,
    /// Where its number is kept that is used up only if the work succeeds.
    pub(crate) on_trial: Option<Durable>,
    pub(crate) committed: Cell<bool>,
}

impl Held {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.store.name().text()
    }

    /// In which mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What was given with it: things of a pool, a number, or a time.
    #[must_use]
    pub fn elements(&self) -> &[String] {
        &self.has
    }

    /// A number that is higher than that of everybody who held it before: what is guarded can
    /// refuse whoever comes with a lower one.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Its number in the queue.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    /// By what is a part of the work says that it is ([`crate::Request::held_above`]).
    #[must_use]
    pub fn badge(&self) -> Badge {
        Badge::new(self.store.name(), self.ticket)
    }

    /// All of that at once, as whoever holds it in a cluster is told of it.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant {
            name: self.name().to_owned(),
            mode: self.mode,
            elements: self.has.clone(),
            token: self.token,
            badge: self.badge(),
        }
    }

    /// The descriptor that the work must inherit, so that it holds the lock without us.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.store.descriptor()
    }

    /// Writes down which process is the work: it holds the lock even if it closes the
    /// descriptor.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn note_work(&self, pid: i32) -> Result<(), LockError> {
        let work = surroundings::who(pid);
        let mut line = Line::enter(&self.store, STUCK, Shape::Modes)?;
        if let Some(entry) = line.entry_mut(self.ticket) {
            entry.work = work;
            entry.is_own_work = false;
        }
        line.save()
    }

    /// The work has succeeded: a number that was on trial is used up. To be called before
    /// [`Held::release`].
    ///
    /// # Errors
    /// When that cannot be written down: then somebody else gets the number again.
    pub fn commit(&self) -> Result<(), LockError> {
        let Some(durable) = &self.on_trial else {
            return Ok(());
        };
        if durable.alone(STUCK)?.commit(self.ticket)? {
            self.committed.set(true);
            return Ok(());
        }
        Err(LockError::Dismissed {
            name: self.name().to_owned(),
            why: "it was taken from us, and its number given to somebody else".to_owned(),
        })
    }

    /// Frees it, whoever else has its descriptor. A number that was on trial and was not committed
    /// is somebody else's again.
    pub fn release(&self) {
        if let Some(durable) = self.on_trial.as_ref().filter(|_| !self.committed.get()) {
            // Whoever comes finds that out himself.
            let _ = durable
                .alone(SHORTLY)
                .and_then(|alone| alone.roll_back(self.ticket));
        }
        release(&self.store, self.ticket, STUCK);
    }

    /// As a guard.
    #[must_use]
    pub fn guard(self) -> Guard {
        Guard(self)
    }
}

/// Takes `ticket` out of the queue, and wakes who waits.
pub(crate) fn release(store: &Store, ticket: u64, limit: Duration) {
    // Struck off, so that the work, which may still be there for a moment, does not count.
    let released = Line::enter(store, limit, Shape::Modes).and_then(|mut line| {
        // For whoever looks: what cannot be written, too, is seen so.
        line.section().free_all();
        line.remove(ticket, Ended::Released);
        line.tidy_head()?;
        line.save()
    });
    if released.is_err() {
        store.disappear(ticket);
    }
}

/// A lock that is freed when this is dropped.
#[derive(Debug)]
pub struct Guard(Held);

impl Deref for Guard {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.release();
    }
}
