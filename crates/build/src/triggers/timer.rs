//! When the time comes for a job: Jenkins' notation on a clock of some zone.
//!
//! Minutes are counted from the epoch; each is one minute of some wall's clock. Where that clock is put
//! back, a time of day that comes twice counts the first time only; where it is put forward, what is left
//! out does not happen. A line that means every hour (`H/5 * * * *`) goes on counting minutes through both.

use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, civil::DateTime};
use ward_model::build::cron::{Cron, CronError, CronWarning, Minute};

use super::seed::jenkins_seed;

/// Late minutes are made up for as long as this many: what slept for longer begins anew.
const MAX_LATE: i64 = 24 * 60;

/// A clock that is set back by fewer minutes makes us wait for it; by more, it was wrong and is right now
/// (as cron(8) has it).
const MAX_BACK: i64 = 3 * 60;

/// A trigger's times.
#[derive(Debug, Clone)]
pub struct Timer {
    cron: Cron,
    zone: TimeZone,
}

/// Why a specification is none.
#[derive(Debug, thiserror::Error)]
pub enum TimerError {
    /// It is not understood.
    #[error(transparent)]
    Spec(#[from] CronError),
    /// This host knows no such zone.
    #[error("this host knows no time zone `{name}`")]
    Zone {
        /// Its name.
        name: String,
        /// What was said when it was looked for.
        source: jiff::Error,
    },
}

impl Timer {
    /// Reads the specification of a job's trigger. `zone` holds where the specification names none.
    ///
    /// # Errors
    /// It is not understood, or names a zone that this host does not know.
    pub fn read(spec: &str, job: &str, zone: &TimeZone) -> Result<Self, TimerError> {
        let cron = Cron::parse(spec, jenkins_seed(job))?;
        let zone = match cron.zone() {
            None => zone.clone(),
            Some(name) => TimeZone::get(name).map_err(|source| TimerError::Zone {
                name: name.to_owned(),
                source,
            })?,
        };
        Ok(Self { cron, zone })
    }

    /// Whether it is due in the minute that begins `minute` minutes after the epoch.
    #[must_use]
    pub fn is_due(&self, minute: i64) -> bool {
        let Some((instant, civil)) = self.civil(minute) else {
            return false;
        };
        let Some(wall) = of_civil(civil) else {
            return false;
        };
        if !self.cron.matches(&wall) {
            return false;
        }
        !self.is_repeated(instant, civil) || self.cron.matches_hourly(&wall)
    }

    /// The minutes of `minutes` in which it is due.
    pub fn due(&self, minutes: std::ops::Range<i64>) -> impl Iterator<Item = i64> {
        minutes.filter(|minute| self.is_due(*minute))
    }

    /// When it is due next after the minute `minute`, in minutes after the epoch; nothing if that is never
    /// or too far away. For people: what counts is [`Timer::is_due`].
    #[must_use]
    pub fn next_after(&self, minute: i64) -> Option<i64> {
        // What a change of the clock does to it is within a day: look there first.
        if let Some(soon) = self.due(minute + 1..minute + 26 * 60).next() {
            return Some(soon);
        }
        let (_, civil) = self.civil(minute)?;
        let mut wall = of_civil(civil)?;
        // Some times of day fall into a gap, but not for years on end.
        for _ in 0..100 {
            wall = self.cron.next_after(&wall)?;
            let at = self.instant(&wall)?;
            if at > minute && self.is_due(at) {
                return Some(at);
            }
        }
        None
    }

    /// What the first line that is doubtful probably means, and so on.
    #[must_use]
    pub fn warnings(&self) -> &[CronWarning] {
        self.cron.warnings()
    }

    /// What it means, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        match self.cron.zone() {
            Some(zone) => format!("{} ({zone})", self.cron.summary()),
            None => self.cron.summary(),
        }
    }

    fn civil(&self, minute: i64) -> Option<(Timestamp, DateTime)> {
        let instant = Timestamp::from_second(minute.checked_mul(60)?).ok()?;
        Some((instant, self.zone.to_datetime(instant)))
    }

    /// Whether the wall's clock has shown this time before.
    fn is_repeated(&self, instant: Timestamp, civil: DateTime) -> bool {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Fold { before, .. } => before
                .to_timestamp(civil)
                .is_ok_and(|first| first < instant),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => false,
        }
    }

    fn instant(&self, wall: &Minute) -> Option<i64> {
        let civil = DateTime::new(
            i16::try_from(wall.year()).ok()?,
            wall.month().cast_signed(),
            wall.day().cast_signed(),
            wall.hour().cast_signed(),
            wall.minute().cast_signed(),
            0,
            0,
        )
        .ok()?;
        let instant = self.zone.to_ambiguous_timestamp(civil).compatible().ok()?;
        Some(instant.as_second().div_euclid(60))
    }
}

fn of_civil(civil: DateTime) -> Option<Minute> {
    Minute::new(
        i32::from(civil.year()),
        u8::try_from(civil.month()).ok()?,
        u8::try_from(civil.day()).ok()?,
        u8::try_from(civil.hour()).ok()?,
        u8::try_from(civil.minute()).ok()?,
    )
}

/// Which minutes have to be looked at: each once, late ones too, whatever is done to the clock. Lives as
/// long as the process does, so that what happened before it is not made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticker {
    /// The first minute that was not looked at.
    next: i64,
}

impl Ticker {
    /// Begins with the minute after this time, milliseconds since the epoch.
    #[must_use]
    pub fn new(now: i64) -> Self {
        Self {
            next: minute_of(now) + 1,
        }
    }

    /// The minutes that have come since, to be looked at now; mostly one or none.
    pub fn tick(&mut self, now: i64) -> std::ops::Range<i64> {
        let minute = minute_of(now);
        if minute < self.next - 1 - MAX_BACK {
            self.next = minute;
        }
        let first = self.next.max(minute - MAX_LATE);
        self.next = self.next.max(minute + 1);
        first..(minute + 1).max(first)
    }

    /// When to tick next, milliseconds since the epoch: at the beginning of a minute that is at most one
    /// away, so that a clock that is set is noticed.
    #[must_use]
    pub fn next_due(&self, now: i64) -> i64 {
        (minute_of(now) + 1).saturating_mul(60_000)
    }
}

fn minute_of(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(60_000)
}

#[cfg(test)]
mod tests;
