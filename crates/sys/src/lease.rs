//! Until when something may be held, as several processes see it.
//!
//! Made before a fork. One process renews it somewhere else, and moves the moment forward here as
//! often as it has; the others trust nothing but that moment, whatever becomes of that process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::shared::{SharedMoment, SharedNumber};

/// A lease. Its moments are times since boot, sleep included ([`crate::clock::since_boot`]): who
/// gave it goes on counting while this machine sleeps.
#[derive(Debug)]
pub struct Lease {
    good_until: SharedMoment,
    given_up: SharedNumber,
    /// Never read from, so that nobody takes the news from anybody.
    bell: OwnedFd,
}

impl Lease {
    /// A lease that is good until then.
    ///
    /// # Errors
    /// When no memory, or no descriptor, can be had.
    pub fn new(good_until: Duration) -> io::Result<Self> {
        Ok(Self {
            good_until: SharedMoment::new(good_until)?,
            given_up: SharedNumber::new()?,
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// It has been renewed, until then; an earlier moment than is known changes nothing. Returns
    /// false if it was lost before: then it stays lost.
    ///
    /// The moment must be counted from before the renewal was asked for: when the answer came,
    /// some of the time was over.
    pub fn extend(&self, good_until: Duration) -> bool {
        self.good_until.advance(good_until)
    }

    /// Until when it is good; `None` once it is lost.
    #[must_use]
    pub fn good_until(&self) -> Option<Duration> {
        self.good_until.get()
    }

    /// It is gone, now and for good: somebody else may hold already what it was for. Whoever
    /// watches [`Lease::bell`] learns of it at once.
    pub fn lose(&self) {
        self.good_until.take_away();
        // One more than what nobody reads; it fails only when it rings already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Readable, for everybody and for ever, once it is lost.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Says, for good, that who holds by it is ending on its account: that it was about to run
    /// out is not undone by a later renewal, which only gives them more time for it.
    pub fn give_up(&self) {
        self.given_up.set(1);
    }

    /// Whether that has been said.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.given_up.get() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn rings(lease: &Lease) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(lease.bell(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())) == Ok(1)
    }

    #[test]
    fn what_is_lost_stays_lost_and_is_heard_by_all() {
        let lease = Lease::new(Duration::from_secs(5)).expect("a lease");
        assert!(lease.extend(Duration::from_secs(9)));
        assert_eq!(lease.good_until(), Some(Duration::from_secs(9)));
        assert!(!rings(&lease));
        lease.lose();
        lease.lose();
        assert!(!lease.extend(Duration::from_secs(99)));
        assert_eq!(lease.good_until(), None);
        assert!(rings(&lease) && rings(&lease));
    }

    #[test]
    fn giving_up_is_for_good_but_loses_nothing() {
        let lease = Lease::new(Duration::from_secs(5)).expect("a lease");
        assert!(!lease.is_given_up());
        lease.give_up();
        assert!(lease.is_given_up() && lease.extend(Duration::from_secs(6)));
        assert_eq!(lease.good_until(), Some(Duration::from_secs(6)));
    }
}
