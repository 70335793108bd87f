//! Locks of a cluster that are held, and giving them back.

use std::time::Duration;

use super::post::json;
use super::{Hosts, is_final};
use crate::error::LockError;
use crate::etcd::{Cluster, Compare, EtcdError, Keys, Lease, Op, Txn};
use crate::kept::Kept;
use crate::locks::{Grant, Holding};

/// One lock that is held.
#[derive(Debug, Clone)]
pub(super) struct One {
    pub(super) grant: Grant,
    /// Where its number is kept that is used up only if the work succeeds.
    pub(super) kept: Option<String>,
    /// Where it is asked to stop ([`Hosts::ask_to_stop`]).
    pub(super) stop: String,
}

/// Locks of a cluster that are held, as long as their lease is kept alive.
#[derive(Debug)]
pub struct Shared {
    pub(super) hosts: Hosts,
    pub(super) lease: Lease,
    pub(super) held: Vec<One>,
}

impl Shared {
    /// Which, in the order in which they were named.
    #[must_use]
    pub fn grants(&self) -> Vec<Grant> {
        self.held.iter().map(|one| one.grant.clone()).collect()
    }

    /// Until when nobody else can have them, on the clock of [`ward_sys::clock::since_boot`].
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.lease.deadline
    }

    /// For how long each [`Shared::keep_alive`] is good.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.lease.ttl
    }

    /// The connection, to be cancelled and the like.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.hosts.cluster
    }

    /// Keeps them for another [`Shared::ttl`]. Returns the new deadline.
    ///
    /// # Errors
    /// See [`Cluster::keep_alive`]: unless [`Shared::is_lost`] says so of it, it may be tried again.
    pub fn keep_alive(&mut self) -> Result<Duration, EtcdError> {
        self.hosts.cluster.keep_alive(&mut self.lease)?;
        Ok(self.lease.deadline)
    }

    /// Whether somebody has asked for its work to stop ([`Hosts::ask_to_stop`]). Takes no more than a
    /// quarter of the time that other requests may: the lease has to be renewed.
    ///
    /// # Errors
    /// See [`EtcdError`].
    pub fn is_asked_to_stop(&mut self) -> Result<bool, EtcdError> {
        let mut look = Txn::new();
        for one in &self.held {
            look = look.then(Op::range(Keys::one(&one.stop)));
        }
        let timeout = self.hosts.cluster.timeout();
        self.hosts.cluster.set_timeout(timeout / 4);
        let seen = self.hosts.cluster.txn(&look);
        self.hosts.cluster.set_timeout(timeout);
        let seen = seen?;
        let is_there = |at| seen.range(at).is_some_and(|it| !it.pairs.is_empty());
        Ok((0..self.held.len()).any(is_there))
    }

    /// Whether the cluster may only not be reached just now.
    #[must_use]
    pub fn may_pass(error: &LockError) -> bool {
        super::may_pass(error)
    }

    /// Whether they are lost for good.
    #[must_use]
    pub fn is_lost(error: &EtcdError) -> bool {
        is_final(error)
    }

    /// The work has succeeded: numbers that were on trial are used up. To be called before
    /// [`Shared::release`].
    ///
    /// # Errors
    /// [`LockError::Cluster`].
    pub fn commit(&mut self) -> Result<(), LockError> {
        for held in &self.held {
            let Some(key) = &held.kept else { continue };
            loop {
                let pair = self.hosts.cluster.get(key).map_err(LockError::cluster)?;
                let Some(pair) = pair else { break };
                let mut kept: Kept =
                    serde_json::from_slice(&pair.value).map_err(|error| LockError::Damaged {
                        path: key.clone().into(),
                        why: error.to_string(),
                    })?;
                if !kept.commit(held.grant.badge.ticket) {
                    break;
                }
                let txn = Txn::new()
                    .when(Compare::unchanged(key, pair.mod_revision))
                    .then(Op::put(key, json(&kept)?));
                let applied = self.hosts.cluster.txn(&txn).map_err(LockError::cluster)?;
                if applied.succeeded {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Gives them back; nothing is held after that.
    ///
    /// # Errors
    /// [`LockError::Cluster`] when the cluster cannot be told: then they are free when the lease
    /// has run out, and this may be tried again.
    pub fn release(&mut self) -> Result<(), LockError> {
        self.hosts
            .cluster
            .revoke(self.lease.id)
            .map_err(LockError::cluster)
    }
}

impl Holding for Shared {
    fn grants(&self) -> Vec<Grant> {
        self.grants()
    }

    fn commit(&mut self) -> Result<(), LockError> {
        self.commit()
    }

    fn release(&mut self) -> Result<(), LockError> {
        self.release()
    }
}
