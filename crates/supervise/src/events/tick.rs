//! Ticks: an event for every five seconds, minute and hour that the clock enters.

use super::event::Event;

/// How far apart ticks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// Five seconds.
    FiveSeconds,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Period {
    /// Every period, in the order of their events.
    pub const ALL: [Self; 3] = [Self::FiveSeconds, Self::Minute, Self::Hour];

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        match self {
            Self::FiveSeconds => 5,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// When the period began that `now` is in.
    fn begin(self, now: i64) -> i64 {
        now.saturating_sub(now.rem_euclid(self.seconds()))
    }
}

/// The ticks that are due, if they were last looked for at `last` and it is `now`: one for each
/// period that is another than it was, however many went by, and also if the clock was set back. In
/// seconds since 1970; a supervisor that has just started has nothing due.
pub fn ticks(last: i64, now: i64) -> impl Iterator<Item = Event> {
    Period::ALL
        .into_iter()
        .filter(move |period| period.begin(last) != period.begin(now))
        .map(move |period| Event::Tick {
            period,
            when: period.begin(now),
        })
}

/// When to look again, in seconds since 1970.
#[must_use]
pub fn next_tick(now: i64) -> i64 {
    let period = Period::FiveSeconds;
    period.begin(now).saturating_add(period.seconds())
}
