//! The timers of one life, on a clock that stands still while job control has stopped it.

use std::time::{Duration, Instant};

use ward_model::life::Timer;

const COUNT: usize = Timer::ALL.len();

/// When each timer fires.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: [Option<Instant>; COUNT],
    paused_at: Option<Instant>,
    paused_for: Duration,
}

fn index(timer: Timer) -> usize {
    match timer {
        Timer::TimeLimit => 0,
        Timer::IdleLimit => 1,
        Timer::LeftOverGrace => 2,
        Timer::Grace => 3,
        Timer::KillAgain => 4,
        Timer::DrainLimit => 5,
        Timer::Warning => 6,
    }
}

impl Timers {
    /// Lets `timer` fire `after` from `now`, replacing an earlier arming.
    pub(crate) fn arm(&mut self, timer: Timer, after: Duration, now: Instant) {
        let base = self.paused_at.unwrap_or(now);
        self.due[index(timer)] = base.checked_add(after);
    }

    /// Forgets `timer`.
    pub(crate) fn disarm(&mut self, timer: Timer) {
        self.due[index(timer)] = None;
    }

    /// Takes one timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        if self.paused_at.is_some() {
            return None;
        }
        let timer = Timer::ALL
            .into_iter()
            .find(|timer| self.due[index(*timer)].is_some_and(|due| due <= now))?;
        self.disarm(timer);
        Some(timer)
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.paused_at.is_some() {
            return None;
        }
        self.due.iter().flatten().min().copied()
    }

    /// Stops the clock.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused_at.get_or_insert(now);
    }

    /// Whether the clock stands still.
    pub(crate) fn paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Lets the clock go on.
    pub(crate) fn resume(&mut self, now: Instant) {
        let Some(paused_at) = self.paused_at.take() else {
            return;
        };
        let pause = now.saturating_duration_since(paused_at);
        self.paused_for += pause;
        for due in self.due.iter_mut().flatten() {
            *due += pause;
        }
    }

    /// For how long the clock stood still in all.
    pub(crate) fn paused_for(&self, now: Instant) -> Duration {
        let current = self
            .paused_at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.paused_for + current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_does_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.arm(Timer::TimeLimit, Duration::from_secs(10), start);
        timers.pause(at(4));
        assert_eq!(timers.take_due(at(100)), None);
        assert_eq!(timers.next_due(), None);
        timers.resume(at(104));
        assert_eq!(timers.take_due(at(109)), None);
        assert_eq!(timers.take_due(at(110)), Some(Timer::TimeLimit));
        assert_eq!(timers.take_due(at(200)), None);
        assert_eq!(timers.paused_for(at(200)), Duration::from_secs(100));
    }

    #[test]
    fn the_earliest_is_next() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(Timer::Grace, Duration::from_secs(2), start);
        timers.arm(Timer::TimeLimit, Duration::from_secs(1), start);
        assert_eq!(timers.next_due(), Some(start + Duration::from_secs(1)));
        timers.disarm(Timer::TimeLimit);
        assert_eq!(timers.next_due(), Some(start + Duration::from_secs(2)));
    }
}
