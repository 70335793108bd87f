//! Times in Jenkins' notation: which minutes a trigger means.
//!
//! Five fields a line (minute, hour, day of the month, month, day of the week), all of which must match: a
//! day of the month *and* a day of the week, unlike in crontab(5). `H` is a number that is always the same
//! for a job and another one for another job, so that not everything starts at the full hour; the numbers
//! are those that Jenkins gives the same job. No clock and no zone here: a [`Minute`] is what the wall says.

mod field;
mod minute;
mod random;
mod sanity;
mod summary;
#[cfg(test)]
mod tests;

use field::Field;
pub use minute::Minute;
pub use random::JavaRandom;

/// No specification is longer, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;

/// A leap day that is a certain weekday may be 40 years away (from 1888 to 1928, say): as many days to look
/// at, and some more.
const HORIZON_DAYS: u32 = 41 * 366;

/// When a trigger fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    zone: Option<String>,
    lines: Vec<Line>,
    warnings: Vec<CronWarning>,
}

/// One line: bit n of a field is set where n matches.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0 only.
    weekdays: u64,
}

/// What is wrong with a specification, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct CronError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What, for people.
    pub what: String,
}

/// What is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronWarning {
    /// From 1.
    pub line: usize,
    /// What, and what may be meant, for people.
    pub what: String,
}

impl Cron {
    /// Reads lines in Jenkins' notation. `seed` is made from the job's full name, the same for all of its
    /// triggers; numbers are taken from it line by line and from left to right, so that an earlier `H`
    /// changes what a later one means.
    ///
    /// The first line may be `TZ=Area/City`; empty lines and lines that begin with `#` do not count. Without
    /// any other line nothing matches.
    ///
    /// # Errors
    /// The first thing that is not understood, or a day that no year has. At most [`MAX_BYTES`] are read.
    pub fn parse(spec: &str, seed: i64) -> Result<Self, CronError> {
        let mut cron = Self {
            zone: None,
            lines: Vec::new(),
            warnings: Vec::new(),
        };
        if spec.len() > MAX_BYTES {
            return Err(CronError {
                line: 1,
                column: 1,
                what: format!("this is longer than {MAX_BYTES} bytes"),
            });
        }
        let mut random = JavaRandom::new(seed);
        for (index, whole) in spec.split('\n').enumerate() {
            let line = index + 1;
            let text = whole.trim();
            let start = whole.len() - whole.trim_start().len();
            let fail = |wrong: field::Wrong| CronError {
                line,
                column: column(whole, start + wrong.at),
                what: wrong.what,
            };
            if let Some(zone) = text.strip_prefix("TZ=") {
                cron.zone = Some(read_zone(zone, index == 0).map_err(fail)?);
            } else if !text.is_empty() && !text.starts_with('#') {
                let read = read_line(text, &mut random).map_err(fail)?;
                cron.warnings.extend(
                    sanity::doubt(text, &read)
                        .into_iter()
                        .map(|what| CronWarning { line, what }),
                );
                cron.lines.push(read);
            }
        }
        Ok(cron)
    }

    /// The zone whose clock is meant, if the first line names one. Whether there is such a zone is not known
    /// here; the name is plain (letters, digits, `/`, `_`, `+`, `-`).
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Whether there is no line at all, so that nothing ever matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What is probably not meant, in order.
    #[must_use]
    pub fn warnings(&self) -> &[CronWarning] {
        &self.warnings
    }

    /// Whether any line means this minute.
    #[must_use]
    pub fn matches(&self, minute: &Minute) -> bool {
        self.lines.iter().any(|line| line.matches(minute))
    }

    /// Whether this minute is meant by a line that means every hour: such a line counts minutes as they
    /// pass, whatever the clock is set to; the others mean a time of day.
    #[must_use]
    pub fn matches_hourly(&self, minute: &Minute) -> bool {
        self.lines
            .iter()
            .any(|line| line.hours == full(Field::Hour) && line.matches(minute))
    }

    /// The first minute after this one that matches; nothing if there is none in 41 years or after the year
    /// 9999.
    #[must_use]
    pub fn next_after(&self, minute: &Minute) -> Option<Minute> {
        let mut from = minute.next()?;
        for _ in 0..HORIZON_DAYS {
            let found = self.lines.iter().filter_map(|line| line.first_from(from));
            if let Some(first) = found.min() {
                return Some(first);
            }
            from = from.tomorrow()?;
        }
        None
    }

    /// The last minute before this one that matches; nothing if there is none in 41 years or before the year
    /// 1.
    #[must_use]
    pub fn previous(&self, minute: &Minute) -> Option<Minute> {
        let mut until = minute.last()?;
        for _ in 0..HORIZON_DAYS {
            let found = self.lines.iter().filter_map(|line| line.last_until(until));
            if let Some(last) = found.max() {
                return Some(last);
            }
            until = until.yesterday()?;
        }
        None
    }

    /// What it means, for people: `at 03:17 on Sunday`.
    #[must_use]
    pub fn summary(&self) -> String {
        summary::of(&self.lines)
    }
}

impl Line {
    fn matches(&self, minute: &Minute) -> bool {
        self.has_day(minute) && has(self.hours, minute.hour()) && has(self.minutes, minute.minute())
    }

    fn has_day(&self, minute: &Minute) -> bool {
        has(self.days, minute.day())
            && has(self.months, minute.month())
            && has(self.weekdays, minute.weekday())
    }

    /// The first that matches on this day, at this time or later.
    fn first_from(&self, from: Minute) -> Option<Minute> {
        if !self.has_day(&from) {
            return None;
        }
        (from.hour()..24)
            .filter(|hour| has(self.hours, *hour))
            .find_map(|hour| {
                let begin = if hour == from.hour() {
                    from.minute()
                } else {
                    0
                };
                let minute = (begin..60).find(|minute| has(self.minutes, *minute))?;
                Some(from.at(hour, minute))
            })
    }

    /// The last that matches on this day, at this time or earlier.
    fn last_until(&self, until: Minute) -> Option<Minute> {
        if !self.has_day(&until) {
            return None;
        }
        (0..=until.hour())
            .rev()
            .filter(|hour| has(self.hours, *hour))
            .find_map(|hour| {
                let end = if hour == until.hour() {
                    until.minute()
                } else {
                    59
                };
                let minute = (0..=end).rev().find(|minute| has(self.minutes, *minute))?;
                Some(until.at(hour, minute))
            })
    }

    /// Whether some year has such a day.
    fn is_possible(&self) -> bool {
        (1..=12_u8)
            .filter(|month| has(self.months, *month))
            .any(|month| (1..=minute::days_of(2000, month)).any(|day| has(self.days, day)))
    }
}

fn has(bits: u64, number: u8) -> bool {
    number < 64 && bits >> number & 1 == 1
}

/// Everything that a field may be.
fn full(field: Field) -> u64 {
    let (low, high) = match field {
        Field::Weekday => (0, 6),
        Field::Minute | Field::Hour | Field::Day | Field::Month => field.bounds(),
    };
    (low..=high).fold(0, |bits, number| bits | 1 << number)
}

fn column(line: &str, byte: usize) -> usize {
    let before = line.char_indices().take_while(|(at, _)| *at < byte);
    before.count() + 1
}

fn read_zone(zone: &str, is_first: bool) -> Result<String, field::Wrong> {
    let wrong = |at, what: &str| field::Wrong {
        at,
        what: what.to_owned(),
    };
    if !is_first {
        return Err(wrong(0, "only the first line can name a time zone"));
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/_+-".contains(letter);
    let is_name = (1..=64).contains(&zone.len())
        && zone.chars().all(plain)
        && zone.split('/').all(|part| !part.is_empty());
    if is_name {
        Ok(zone.to_owned())
    } else {
        Err(wrong(
            3,
            "a time zone is wanted here, such as `Europe/Paris`",
        ))
    }
}

/// What the short names stand for.
fn alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "@yearly" | "@annually" => "H H H H *",
        "@monthly" => "H H H * *",
        "@weekly" => "H H * * H",
        "@daily" => "H H * * *",
        "@midnight" => "H H(0-2) * * *",
        "@hourly" => "H * * * *",
        _ => return None,
    })
}

fn read_line(text: &str, random: &mut JavaRandom) -> Result<Line, field::Wrong> {
    if text.starts_with('@') {
        let meant = alias(text).ok_or_else(|| field::Wrong {
            at: 0,
            what: "the short names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
                .to_owned(),
        })?;
        return read_fields(meant, random);
    }
    read_fields(text, random)
}

fn read_fields(text: &str, random: &mut JavaRandom) -> Result<Line, field::Wrong> {
    let mut bits = [0_u64; 5];
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let offset = |word: &str| word.as_ptr().addr() - text.as_ptr().addr();
    let mut days_at = 0;
    for (bits, field) in bits.iter_mut().zip(Field::ALL) {
        let word = words.next().ok_or_else(|| field::Wrong {
            at: text.len(),
            what: format!(
                "the {} is missing: minute, hour, day of the month, month, day of the week",
                field.name()
            ),
        })?;
        if field == Field::Day {
            days_at = offset(word);
        }
        *bits = field::read(field, word, random).map_err(|wrong| field::Wrong {
            at: wrong.at + offset(word),
            ..wrong
        })?;
    }
    if let Some(word) = words.next() {
        return Err(field::Wrong {
            at: offset(word),
            what: "there are five fields in a line, and this is one more".to_owned(),
        });
    }
    let [minutes, hours, days, months, weekdays] = bits;
    let line = Line {
        minutes,
        hours,
        days,
        months,
        weekdays,
    };
    if line.is_possible() {
        return Ok(line);
    }
    Err(field::Wrong {
        at: days_at,
        what: "no year has such a day, so it would never be due".to_owned(),
    })
}
