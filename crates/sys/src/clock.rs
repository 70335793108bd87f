//! Time since boot, by which the kernel dates processes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Time since boot, including sleep: the clock of field 22 of `/proc/PID/stat`.
#[must_use]
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Clock ticks per second, the unit of times in `/proc/PID/stat`.
#[must_use]
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}

/// A descriptor that is readable from a moment on, which may lie in a sleep of the machine: then
/// it is at the end of that (timerfd_create(2), CLOCK_BOOTTIME). A timeout of poll(2) or
/// epoll_wait(2) does not count sleep.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// As timerfd_create(2).
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, flags)?))
    }

    /// Makes it readable from this moment since boot on, and not before; with `None`, never.
    pub fn set(&self, at: Option<Duration>) {
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let it_value = match at {
            None => zero,
            // All zero would be never.
            Some(at) => {
                let at = at.max(Duration::from_nanos(1));
                Timespec {
                    tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(at.subsec_nanos()),
                }
            }
        };
        let value = Itimerspec {
            it_interval: zero,
            it_value,
        };
        // Fails for values only that a Duration cannot have (timerfd_settime(2)).
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &value);
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    fn is_due(alarm: &Alarm, wait: Duration) -> bool {
        let wait = Timespec::try_from(wait).expect("in range");
        let mut fds = [PollFd::new(alarm, PollFlags::IN)];
        poll(&mut fds, Some(&wait)) == Ok(1)
    }

    #[test]
    fn an_alarm_rings_from_its_moment_until_it_is_set_again() {
        let alarm = Alarm::new().expect("an alarm");
        assert!(!is_due(&alarm, Duration::ZERO));
        alarm.set(Some(Duration::ZERO));
        assert!(is_due(&alarm, Duration::ZERO) && is_due(&alarm, Duration::ZERO));
        alarm.set(Some(since_boot() + Duration::from_secs(3600)));
        assert!(!is_due(&alarm, Duration::ZERO));
        let soon = since_boot() + Duration::from_millis(5);
        alarm.set(Some(soon));
        assert!(is_due(&alarm, Duration::from_secs(60)) && since_boot() >= soon);
        alarm.set(None);
        assert!(!is_due(&alarm, Duration::ZERO));
    }

    #[test]
    fn a_moment_beyond_all_clocks_is_never() {
        let alarm = Alarm::new().expect("an alarm");
        alarm.set(Some(Duration::MAX));
        assert!(!is_due(&alarm, Duration::ZERO));
    }
}
