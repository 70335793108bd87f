//! Leases: what is put under one goes when nobody keeps it alive any more.

use std::time::Duration;

use super::cluster::Cluster;
use super::error::EtcdError;
use super::member::Shape;
use super::refusal::Meaning;
use super::rotation::Outcome;
use super::wire::{Done, GrantRequest, LeaseRequest, LeaseResponse, Number};

const DOING: &str = "keep a lease alive";

/// A member that has just become the leader may not know all leases yet: one that does not know
/// ours is asked again after this.
const DOUBT: Duration = Duration::from_millis(100);

/// A lease's number, never 0. etcdctl shows it as sixteen hexadecimal digits.
pub type LeaseId = i64;

/// A lease, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its number, which the cluster has chosen.
    pub id: LeaseId,
    /// For how long it is kept alive each time, whole seconds. The cluster has a least one (one
    /// and a half times its election timeout), and gives that if less is asked for.
    pub ttl: Duration,
    /// Until when it cannot have run out, on the clock of [`ward_sys::clock::since_boot`].
    ///
    /// That is counted from before the request was sent, so it is never too late, if clocks run at
    /// the same speed. A leader that is being replaced, and does not know, may still keep a lease
    /// alive: whoever guards something should stop well before this, by more than the cluster's
    /// election timeout.
    pub deadline: Duration,
}

impl Lease {
    /// What is left of it at least.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.deadline.saturating_sub(ward_sys::clock::since_boot())
    }
}

impl Cluster {
    /// Gets a lease that lasts for `ttl`, rounded up to seconds, at least one.
    ///
    /// If a member grants one and does not say so, that one runs out by itself.
    ///
    /// # Errors
    /// See [`EtcdError`].
    pub fn grant(&mut self, ttl: Duration) -> Result<Lease, EtcdError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let question = GrantRequest {
            ttl: Number::of(seconds.max(1)),
        };
        let path = "/v3/lease/grant";
        let outcome: Outcome<LeaseResponse> =
            self.call("grant a lease", path, &question, Shape::Whole)?;
        let ttl = Duration::from_secs(outcome.value.ttl.unsigned());
        Ok(Lease {
            id: outcome.value.id.0,
            ttl,
            deadline: outcome.began + ttl,
        })
    }

    /// Keeps a lease alive for another [`Lease::ttl`] from now on, and tells how long that is;
    /// sets its deadline.
    ///
    /// # Errors
    /// [`EtcdError::LeaseGone`] when it has run out or was revoked; that is final. Anything else
    /// of [`EtcdError`] leaves the lease as it was, and this may be tried again.
    pub fn keep_alive(&mut self, lease: &mut Lease) -> Result<Duration, EtcdError> {
        let question = LeaseRequest {
            id: Number(lease.id),
        };
        for is_second in [false, true] {
            if is_second {
                self.pause(DOING, DOUBT)?;
            }
            let path = "/v3/lease/keepalive";
            let outcome: Outcome<LeaseResponse> =
                self.call(DOING, path, &question, Shape::FirstLine)?;
            let seconds = outcome.value.ttl.unsigned();
            if seconds > 0 {
                lease.ttl = Duration::from_secs(seconds);
                lease.deadline = lease.deadline.max(outcome.began + lease.ttl);
                return Ok(lease.ttl);
            }
        }
        Err(EtcdError::LeaseGone { lease: lease.id })
    }

    /// Ends a lease, and deletes what was put under it. One that has ended already is no error.
    ///
    /// # Errors
    /// See [`EtcdError`].
    pub fn revoke(&mut self, lease: LeaseId) -> Result<(), EtcdError> {
        let question = LeaseRequest { id: Number(lease) };
        let path = "/v3/lease/revoke";
        match self.call::<Done>("revoke a lease", path, &question, Shape::Whole) {
            Err(error) if error.meaning() == Some(Meaning::NoLease) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
