//! The lease by which a lock is held: until when the work may go on, whatever has become of the
//! process that renews it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ward_sys::clock::{self, Alarm};
use ward_sys::lease::Lease;

/// A lease that a run is bound to. Somebody else's process renews it; front and guardian trust
/// nothing but the moment that stands in it, so that it may be killed or stopped at any time.
#[derive(Debug)]
pub struct LeaseWatch {
    /// Until when the lock is ours, as every process of the run sees it.
    pub lease: Lease,
    /// If it has not been renewed so long before its end, everybody is told to stop.
    pub stop_before: Duration,
    /// So long before its end whoever is left is killed: it is what a kill may take, and what
    /// our clock may go slower than the one of whoever gave the lease.
    pub kill_before: Duration,
}

/// A lease that comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// From now to the kill.
    pub(crate) left: Duration,
    /// From now to its end; zero if it is lost.
    pub(crate) ends_in: Duration,
}

impl LeaseWatch {
    fn kill_at(&self, good_until: Duration) -> Duration {
        good_until.saturating_sub(self.kill_before)
    }

    fn stop_at(&self, good_until: Duration) -> Duration {
        good_until.saturating_sub(self.stop_before.max(self.kill_before))
    }

    /// How it stands at this moment since boot; `None` while all is well.
    fn ending(&self, now: Duration) -> Option<Ending> {
        let Some(good_until) = self.lease.good_until() else {
            return Some(Ending {
                left: Duration::ZERO,
                ends_in: Duration::ZERO,
            });
        };
        let is_ending = now >= self.stop_at(good_until) || self.lease.is_given_up();
        is_ending.then(|| Ending {
            left: self.kill_at(good_until).saturating_sub(now),
            ends_in: good_until.saturating_sub(now),
        })
    }

    /// When it must be looked at again, if it still stands as it did at this moment.
    fn next_look(&self, now: Duration) -> Option<Duration> {
        let good_until = self.lease.good_until()?;
        match self.ending(now) {
            None => Some(self.stop_at(good_until)),
            Some(Ending { left, .. }) if left.is_zero() => None,
            Some(_) => Some(self.kill_at(good_until)),
        }
    }
}

/// The eye that one process keeps on a lease. Readable when it must be looked at; the lease's own
/// bell says beside that it is lost.
#[derive(Debug)]
pub(crate) struct Lookout(Alarm);

impl Lookout {
    /// Keeps an eye on a lease.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn new(watch: &LeaseWatch) -> io::Result<Self> {
        let lookout = Self(Alarm::new()?);
        lookout.0.set(watch.next_look(clock::since_boot()));
        Ok(lookout)
    }

    /// Looks at it, and is readable again when that must be done again.
    pub(crate) fn look(&self, watch: &LeaseWatch) -> Option<Ending> {
        let now = clock::since_boot();
        // In this order: what is renewed in between is only looked at too early.
        self.0.set(watch.next_look(now));
        watch.ending(now)
    }
}

impl AsFd for Lookout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn watch(good_until: u64) -> LeaseWatch {
        LeaseWatch {
            lease: Lease::new(seconds(good_until)).expect("a lease"),
            stop_before: seconds(20),
            kill_before: seconds(5),
        }
    }

    #[test]
    fn a_lease_is_looked_at_when_somebody_must_be_told_and_when_they_must_be_killed() {
        let watch = watch(100);
        assert_eq!(watch.ending(seconds(79)), None);
        assert_eq!(watch.next_look(seconds(79)), Some(seconds(80)));
        let ending = Ending {
            left: seconds(15),
            ends_in: seconds(20),
        };
        assert_eq!(watch.ending(seconds(80)), Some(ending));
        assert_eq!(watch.next_look(seconds(80)), Some(seconds(95)));
        let ending = Ending {
            left: Duration::ZERO,
            ends_in: seconds(5),
        };
        assert_eq!(watch.ending(seconds(95)), Some(ending));
        assert_eq!(watch.next_look(seconds(95)), None);
    }

    #[test]
    fn who_renews_in_time_is_left_alone_and_who_gave_up_gets_time_only() {
        let watch = watch(100);
        assert!(watch.lease.extend(seconds(200)));
        assert_eq!(watch.ending(seconds(90)), None);
        assert_eq!(watch.next_look(seconds(90)), Some(seconds(180)));
        watch.lease.give_up();
        let ending = Ending {
            left: seconds(105),
            ends_in: seconds(110),
        };
        assert_eq!(watch.ending(seconds(90)), Some(ending));
        assert_eq!(watch.next_look(seconds(90)), Some(seconds(195)));
    }

    #[test]
    fn what_is_lost_is_over() {
        let watch = watch(100);
        watch.lease.lose();
        let over = Ending {
            left: Duration::ZERO,
            ends_in: Duration::ZERO,
        };
        assert_eq!(watch.ending(seconds(1)), Some(over));
        assert_eq!(watch.next_look(seconds(1)), None);
    }

    #[test]
    fn who_is_to_be_killed_first_is_not_told() {
        let mut watch = watch(100);
        watch.stop_before = seconds(1);
        assert_eq!(watch.ending(seconds(94)), None);
        assert_eq!(
            watch.ending(seconds(95)).map(|ending| ending.left),
            Some(Duration::ZERO)
        );
    }
}
