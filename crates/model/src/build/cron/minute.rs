//! A minute by the calendar on the wall, in no zone.
//!
//! Cron knows no instants: which instant a minute is, whether it exists and how often, is for the caller, who
//! knows the zone.

/// A minute of the Gregorian calendar, from the year 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute {
    year: i32,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
}

/// How many days a month has; February's 29 in leap years.
pub(super) fn days_of(year: i32, month: u8) -> u8 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Minute {
    /// Year 1 to 9999, month 1 to 12, day from 1, hour 0 to 23, minute 0 to 59; nothing if there is no such
    /// minute.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8, hour: u8, minute: u8) -> Option<Self> {
        let is_one = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60;
        is_one.then_some(Self {
            year,
            month,
            day,
            hour,
            minute,
        })
    }

    /// 1 to 9999.
    #[must_use]
    pub fn year(&self) -> i32 {
        self.year
    }

    /// 1 to 12.
    #[must_use]
    pub fn month(&self) -> u8 {
        self.month
    }

    /// 1 to 31.
    #[must_use]
    pub fn day(&self) -> u8 {
        self.day
    }

    /// 0 to 23.
    #[must_use]
    pub fn hour(&self) -> u8 {
        self.hour
    }

    /// 0 to 59.
    #[must_use]
    pub fn minute(&self) -> u8 {
        self.minute
    }

    /// 0 is Sunday, 6 is Saturday.
    #[must_use]
    pub fn weekday(&self) -> u8 {
        // Sakamoto's rule: a month's shift, years counted from March.
        const SHIFT: [i32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = self.year - i32::from(self.month < 3);
        let shift = SHIFT
            .get(usize::from(self.month) - 1)
            .copied()
            .unwrap_or_default();
        let days = year + year / 4 - year / 100 + year / 400 + shift + i32::from(self.day);
        u8::try_from(days.rem_euclid(7)).unwrap_or_default()
    }

    /// The same day at another time.
    pub(super) fn at(self, hour: u8, minute: u8) -> Self {
        Self {
            hour,
            minute,
            ..self
        }
    }

    /// The next day's first minute.
    pub(super) fn tomorrow(self) -> Option<Self> {
        if self.day < days_of(self.year, self.month) {
            Self::new(self.year, self.month, self.day + 1, 0, 0)
        } else if self.month < 12 {
            Self::new(self.year, self.month + 1, 1, 0, 0)
        } else {
            Self::new(self.year + 1, 1, 1, 0, 0)
        }
    }

    /// The last minute of the day before.
    pub(super) fn yesterday(self) -> Option<Self> {
        if self.day > 1 {
            Self::new(self.year, self.month, self.day - 1, 23, 59)
        } else if self.month > 1 {
            let month = self.month - 1;
            Self::new(self.year, month, days_of(self.year, month), 23, 59)
        } else {
            Self::new(self.year - 1, 12, 31, 23, 59)
        }
    }

    /// The minute after this one.
    pub(super) fn next(self) -> Option<Self> {
        match (self.hour, self.minute) {
            (23, 59) => self.tomorrow(),
            (hour, 59) => Some(self.at(hour + 1, 0)),
            (hour, minute) => Some(self.at(hour, minute + 1)),
        }
    }

    /// The minute before this one.
    pub(super) fn last(self) -> Option<Self> {
        match (self.hour, self.minute) {
            (0, 0) => self.yesterday(),
            (hour, 0) => Some(self.at(hour - 1, 59)),
            (hour, minute) => Some(self.at(hour, minute - 1)),
        }
    }
}

impl std::fmt::Display for Minute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Minute;

    fn on(year: i32, month: u8, day: u8) -> Minute {
        Minute::new(year, month, day, 0, 0).expect("a day")
    }

    #[test]
    fn days_have_their_names() {
        assert_eq!(on(1970, 1, 1).weekday(), 4);
        assert_eq!(on(2000, 2, 29).weekday(), 2);
        assert_eq!(on(2026, 11, 22).weekday(), 0);
        assert_eq!(on(1900, 3, 1).weekday(), 4);
    }

    #[test]
    fn every_day_of_four_centuries_follows_another() {
        let mut day = on(1800, 1, 1);
        for _ in 0..400 * 366 {
            let next = day.tomorrow().expect("a day");
            assert_eq!((day.weekday() + 1) % 7, next.weekday(), "{day} {next}");
            assert_eq!(next.last(), Some(day.at(23, 59)));
            assert_eq!(day.at(23, 59).next(), Some(next));
            day = next;
        }
    }

    #[test]
    fn what_there_is_not() {
        assert_eq!(Minute::new(2025, 2, 29, 0, 0), None);
        assert_eq!(Minute::new(2025, 13, 1, 0, 0), None);
        assert_eq!(Minute::new(2025, 1, 1, 24, 0), None);
        assert_eq!(Minute::new(2025, 1, 1, 0, 60), None);
        assert_eq!(Minute::new(0, 1, 1, 0, 0), None);
        assert_eq!(
            Minute::new(9999, 12, 31, 23, 59).and_then(Minute::next),
            None
        );
        assert_eq!(Minute::new(1, 1, 1, 0, 0).and_then(Minute::last), None);
    }
}
