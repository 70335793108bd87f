//! What is the same of locks wherever they are kept: on one host, or in a cluster of several.
//!
//! [`Directory`](crate::Directory) and [`Hosts`](crate::hosts::Hosts) take the same requests, follow
//! the same rules (`ward_model::lock`), and answer the same. What only one of them can do is its own:
//! descriptors that work inherits on a host, a lease that must be kept alive in a cluster.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ward_model::lock::Mode;

use crate::acquire::Tell;
use crate::error::LockError;
use crate::held::Held;
use crate::listing::{Listed, Listing};
use crate::name::Badge;
use crate::place::Directory;
use crate::record::Record;
use crate::request::{Patience, Request};

/// A place where locks are.
pub trait Locks {
    /// All that was asked for at once, held.
    type Held: Holding;

    /// Gets all that is asked for, and tells how it stands while it waits.
    ///
    /// # Errors
    /// [`LockError`]; then nothing is held, and nobody waits any more.
    fn acquire(
        &self,
        request: &Request,
        patience: Patience,
        tell: Tell<'_>,
    ) -> Result<Self::Held, LockError>;

    /// Every lock that somebody holds or waits for, by name; of those that cannot be read, why.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn list(&self) -> Result<Listing, LockError>;

    /// One lock, which need not be held; of `a/b`, all of `a`.
    ///
    /// # Errors
    /// When it cannot be read, or is not the name of one.
    fn show(&self, name: &str) -> Result<Listed, LockError>;

    /// Holds locks for a person, without a process, until they are freed by hand ([`Locks::free`]) or
    /// `time` is over. It waits its turn. The reason is the request's.
    ///
    /// # Errors
    /// As [`Locks::acquire`], and when the audit log cannot be written; then they are not held.
    fn reserve(
        &self,
        request: &Request,
        patience: Patience,
        time: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<(), LockError>;

    /// Takes locks from whoever holds them, and holds them as [`Locks::reserve`]. Work that held one
    /// goes on without it. Of slots and things no more are taken than are wanted: from those who came to
    /// them last. Returns whom they were taken from.
    ///
    /// # Errors
    /// As [`Locks::reserve`].
    fn steal(&self, request: &Request, time: Option<Duration>) -> Result<Vec<Record>, LockError>;

    /// Frees what people hold of a lock, or of its parts; `anyway`, also what work holds that goes on. Of
    /// all who hold it, or of one token. Returns who held it.
    ///
    /// # Errors
    /// [`LockError::Free`] if nobody holds it, [`LockError::OtherToken`] if nobody does with this token,
    /// [`LockError::InUse`] if work does; when the place cannot be asked or the audit log not be written.
    fn free(
        &self,
        name: &str,
        token: Option<u64>,
        anyway: bool,
        note: Option<&str>,
    ) -> Result<Vec<Record>, LockError>;

    /// Writes down that work was told to stop which holds a lock. To be called before it is.
    ///
    /// # Errors
    /// When that cannot be written: then nobody should be told.
    fn note_stop(&self, name: &str, note: Option<&str>, from: &[Record]) -> Result<(), LockError>;
}

/// Locks that are held together.
pub trait Holding {
    /// Which, in the order in which they were named.
    fn grants(&self) -> Vec<Grant>;

    /// The work has succeeded: numbers that were on trial are used up. To be called before
    /// [`Holding::release`].
    ///
    /// # Errors
    /// When that cannot be written down: then somebody else gets the numbers again.
    fn commit(&mut self) -> Result<(), LockError>;

    /// Frees them. Numbers that were on trial and were not committed are somebody else's again.
    ///
    /// # Errors
    /// [`LockError::Cluster`] when a cluster cannot be told: then they are free when the lease has run
    /// out, and this may be tried again.
    fn release(&mut self) -> Result<(), LockError>;
}

/// A lock that was got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub name: String,
    /// In which mode.
    pub mode: Mode,
    /// What was given with it: things of a pool, a number, or a time.
    pub elements: Vec<String>,
    /// Higher than that of everybody who held it before: what is guarded can refuse whoever comes with a
    /// lower one.
    pub token: u64,
    /// By what is a part of the work says that it is ([`Request::held_above`]).
    pub badge: Badge,
}

impl Grant {
    /// The variables that tell a command of its locks; of several, separated by commas.
    #[must_use]
    pub fn variables(grants: &[Self]) -> [(&'static str, String); 4] {
        let joined = |text: &dyn Fn(&Self) -> String| {
            let texts: Vec<String> = grants.iter().map(text).collect();
            texts.join(",")
        };
        [
            ("WARD_LOCK_NAME", joined(&|it| it.name.clone())),
            ("WARD_LOCK_MODE", joined(&|it| it.mode.to_string())),
            ("WARD_LOCK_ELEMENT", joined(&|it| it.elements.join(","))),
            ("WARD_LOCK_TOKEN", joined(&|it| it.token.to_string())),
        ]
    }
}

impl Locks for Directory {
    type Held = Vec<Held>;

    fn acquire(
        &self,
        request: &Request,
        patience: Patience,
        tell: Tell<'_>,
    ) -> Result<Vec<Held>, LockError> {
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
        self.reserve(request, patience, time, tell)
    }

    fn steal(&self, request: &Request, time: Option<Duration>) -> Result<Vec<Record>, LockError> {
        self.steal(request, time)
    }

    fn free(
        &self,
        name: &str,
        token: Option<u64>,
        anyway: bool,
        note: Option<&str>,
    ) -> Result<Vec<Record>, LockError> {
        self.free(name, token, anyway, note)
    }

    fn note_stop(&self, name: &str, note: Option<&str>, from: &[Record]) -> Result<(), LockError> {
        self.note_stop(name, note, from)
    }
}

impl Holding for Vec<Held> {
    fn grants(&self) -> Vec<Grant> {
        self.iter().map(Held::grant).collect()
    }

    fn commit(&mut self) -> Result<(), LockError> {
        self.iter().try_for_each(Held::commit)
    }

    fn release(&mut self) -> Result<(), LockError> {
        self.drain(..).for_each(|held| held.release());
        Ok(())
    }
}
