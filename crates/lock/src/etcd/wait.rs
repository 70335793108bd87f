//! Waiting for a socket while the deadline, and the wish to stop, are never out of sight.
//!
//! Deadlines are times since boot, of the clock that goes on while the host sleeps: poll(2)
//! alone would wait for the rest of its time when the host wakes up, while leases have run out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Why waiting did not bring what was waited for.
#[derive(Debug)]
pub(super) enum Stop {
    /// The deadline has passed.
    Late,
    /// The caller wants to stop.
    Cancelled,
    /// The kernel cannot wait.
    System(io::Error),
}

/// A timer, which is one user's at a time, and what says that the caller wants to stop.
#[derive(Debug)]
pub(super) struct Waiter {
    timer: OwnedFd,
    cancel: Option<Arc<OwnedFd>>,
}

impl Waiter {
    /// One that stops as soon as `cancel` is readable.
    pub(super) fn new(cancel: Option<OwnedFd>) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Self {
            timer,
            cancel: cancel.map(Arc::new),
        })
    }

    /// The same with a timer of its own.
    pub(super) fn another(&self) -> io::Result<Self> {
        let cancel = self.cancel.clone();
        Ok(Self {
            cancel,
            ..Self::new(None)?
        })
    }

    /// To wait until then, time since boot.
    pub(super) fn until(&self, until: Duration) -> Limits<'_> {
        Limits {
            waiter: self,
            until,
        }
    }
}

/// How long something may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    waiter: &'a Waiter,
    until: Duration,
}

impl Limits<'_> {
    /// What is left.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_sub(ward_sys::clock::since_boot())
    }

    /// The same, but no longer than until then.
    pub(super) fn at_most(self, until: Duration) -> Self {
        Self {
            until: self.until.min(until),
            ..self
        }
    }

    /// Waits until `fd` is able to do `what`, or has failed. What is able by the deadline counts,
    /// even if it is only seen later.
    pub(super) fn wait(&self, fd: BorrowedFd<'_>, what: PollFlags) -> Result<(), Stop> {
        self.poll(Some((fd, what)))
    }

    /// Waits for nothing but that `pause` is over, or the deadline has passed.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Stop> {
        let until = ward_sys::clock::since_boot() + pause;
        match self.at_most(until).poll(None) {
            Err(Stop::Late) => Ok(()),
            other => other,
        }
    }

    /// Whether to go on, without waiting: for loops that always find something to do.
    pub(super) fn check(&self) -> Result<(), Stop> {
        if self.left().is_zero() {
            return Err(Stop::Late);
        }
        self.pause(Duration::ZERO)
    }

    fn poll(&self, fd: Option<(BorrowedFd<'_>, PollFlags)>) -> Result<(), Stop> {
        self.arm().map_err(Stop::System)?;
        let cancel = self.waiter.cancel.as_ref();
        loop {
            let mut fds = Vec::with_capacity(3);
            fds.push(PollFd::new(&self.waiter.timer, PollFlags::IN));
            fds.extend(fd.map(|(fd, what)| PollFd::from_borrowed_fd(fd, what)));
            fds.extend(cancel.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(Stop::System(error.into())),
            }
            let is_able = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
            let at = 1 + usize::from(fd.is_some());
            if cancel.is_some() && is_able(at) {
                return Err(Stop::Cancelled);
            }
            if fd.is_some() && is_able(1) {
                return Ok(());
            }
            if is_able(0) {
                return Err(Stop::Late);
            }
        }
    }

    fn arm(&self) -> io::Result<()> {
        // A time of zero would disarm it (timerfd_create(2)).
        let until = self.until.max(Duration::from_nanos(1));
        let value = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(until.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: until.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.waiter.timer, TimerfdTimerFlags::ABSTIME, &value)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;
    use ward_sys::clock::since_boot;

    #[test]
    fn a_deadline_ends_it_and_what_is_able_counts() {
        let waiter = Waiter::new(None).expect("a timer");
        let (reader, writer) = pipe().expect("a pipe");
        let start = since_boot();
        let soon = waiter.until(start + Duration::from_millis(30));
        let outcome = soon.wait(reader.as_fd(), PollFlags::IN);
        assert!(matches!(outcome, Err(Stop::Late)), "{outcome:?}");
        assert!(since_boot() >= start + Duration::from_millis(30));
        rustix::io::write(&writer, b"x").expect("written");
        soon.wait(reader.as_fd(), PollFlags::IN)
            .expect("able, though late");
        let outcome = waiter.until(Duration::ZERO).check();
        assert!(matches!(outcome, Err(Stop::Late)), "{outcome:?}");
    }

    #[test]
    fn a_wish_to_stop_goes_first() {
        let (reader, writer) = pipe().expect("a pipe");
        let waiter = Waiter::new(Some(reader)).expect("a timer");
        let limits = waiter.until(since_boot() + Duration::from_secs(60));
        limits.check().expect("nobody wants to stop");
        rustix::io::write(&writer, b"x").expect("written");
        let outcome = limits.wait(writer.as_fd(), PollFlags::OUT);
        assert!(matches!(outcome, Err(Stop::Cancelled)), "{outcome:?}");
        let outcome = limits.pause(Duration::from_secs(60));
        assert!(matches!(outcome, Err(Stop::Cancelled)), "{outcome:?}");
    }
}
