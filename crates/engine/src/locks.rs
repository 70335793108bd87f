//! The locks that a run holds: as long as its command, or its tree, and not a moment less.
//!
//! The command inherits each lock's descriptor, so that the kernel keeps the lock for it even if
//! front and guardian are both killed. Freed explicitly at the end, so that a forgotten
//! background process does not keep it unless that is wanted.

use std::io;
use std::os::fd::OwnedFd;

use ward_lock::Held;
use ward_sys::Pid;

pub use crate::lease::LeaseWatch;
pub use crate::renewer::Renewer;

/// The number of the first lock's descriptor in the command: shells use those from 10 on.
pub const FIRST_DESCRIPTOR: i32 = 100;

/// How long locks are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Until {
    /// Until the command itself has ended.
    #[default]
    Command,
    /// Until everybody has ended who belongs to it.
    Tree,
}

/// Locks that are held for a run.
#[derive(Debug, Default)]
pub struct Locks {
    held: Vec<Held>,
    until: Until,
    lease: Option<LeaseWatch>,
    renewer: Option<Renewer>,
    succeeded: bool,
    free: bool,
}

impl Locks {
    /// These, for so long.
    #[must_use]
    pub fn new(held: Vec<Held>, until: Until) -> Self {
        Self {
            held,
            until,
            ..Self::default()
        }
    }

    /// The same, as long as this lease lasts: if it is not renewed in time everybody is stopped,
    /// and gone before it ends, and if it was not good any more nobody is started. Front and
    /// guardian each see to it, whichever of them is there.
    ///
    /// Children that this process has by the time of the run, such as the one that renews it, are
    /// not the run's. Whoever renews must not be reached by what stops the work: its signals, its
    /// terminal, its cgroup.
    #[must_use]
    pub fn with_lease(mut self, lease: LeaseWatch) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The same, and who renews the lease is told when they are free.
    #[must_use]
    pub fn renewed_by(mut self, renewer: Renewer) -> Self {
        self.renewer = Some(renewer);
        self
    }

    /// The lease, if there is one.
    pub(crate) fn lease(&self) -> Option<&LeaseWatch> {
        self.lease.as_ref()
    }

    /// Whether anything is held.
    pub(crate) fn are_held(&self) -> bool {
        !self.free && (self.lease.is_some() || !self.held.is_empty())
    }

    /// Copies of the descriptors for the command, with their numbers there.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn descriptors(&self) -> io::Result<Vec<(OwnedFd, i32)>> {
        (FIRST_DESCRIPTOR..)
            .zip(&self.held)
            .map(|(number, held)| Ok((held.descriptor().try_clone_to_owned()?, number)))
            .collect()
    }

    /// The command runs.
    pub(crate) fn work_began(&self, leader: Pid) {
        for held in &self.held {
            // Then the descriptor alone says that it is there.
            let _ = held.note_work(leader.as_raw_nonzero().get());
        }
    }

    /// The command has ended. If it has not succeeded, what was given with the locks is as if it had
    /// not been.
    pub(crate) fn work_ended(&mut self, succeeded: bool) {
        self.succeeded = succeeded;
        if self.until == Until::Command {
            self.release();
        }
    }

    /// Nobody is left.
    pub(crate) fn tree_emptied(&mut self) {
        self.release();
    }

    fn release(&mut self) {
        self.free = true;
        if let Some(renewer) = self.renewer.take() {
            renewer.tell_free(self.succeeded);
        }
        for held in self.held.drain(..) {
            if self.succeeded {
                // Else somebody else gets the number again.
                let _ = held.commit();
            }
            held.release();
        }
    }
}
