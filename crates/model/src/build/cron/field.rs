//! One field of a line: which minutes, hours, days, months or weekdays it means.

use super::random::JavaRandom;

/// The five fields of a line, from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

impl Field {
    pub(super) const ALL: [Self; 5] = [
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Month,
        Self::Weekday,
    ];

    /// The smallest and the greatest number that may be written.
    pub(super) fn bounds(self) -> (u32, u32) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            // Sunday is 0 and 7.
            Self::Weekday => (0, 7),
        }
    }

    /// What `H` without a range chooses from: days that every month has, and each weekday once.
    fn hashed(self) -> (u32, u32) {
        match self {
            Self::Minute | Self::Hour | Self::Month => self.bounds(),
            Self::Day => (1, 28),
            Self::Weekday => (0, 6),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of the month",
            Self::Month => "month",
            Self::Weekday => "day of the week",
        }
    }
}

/// Where in the field something is wrong, in bytes from its first, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) what: String,
}

/// The numbers that `text` means, as bits.
pub(super) fn read(field: Field, text: &str, random: &mut JavaRandom) -> Result<u64, Wrong> {
    let mut reader = Reader {
        field,
        text: text.as_bytes(),
        at: 0,
    };
    let mut bits = reader.term(random)?;
    while reader.take(b',') {
        bits |= reader.term(random)?;
    }
    if reader.at < reader.text.len() {
        return Err(reader.unexpected());
    }
    if field == Field::Weekday && bits & (1 << 7) != 0 {
        bits = (bits | 1) & !(1 << 7);
    }
    Ok(bits)
}

struct Reader<'a> {
    field: Field,
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn term(&mut self, random: &mut JavaRandom) -> Result<u64, Wrong> {
        let (low, high) = self.field.bounds();
        if self.take(b'*') {
            let step = self.step()?;
            return Ok(each(low, high, step.unwrap_or(1)));
        }
        if self.take(b'H') {
            let (low, high) = if self.take(b'(') {
                let range = self.range()?;
                if !self.take(b')') {
                    return Err(self.wrong("`)` is missing"));
                }
                range
            } else {
                self.field.hashed()
            };
            let at = self.at;
            let step = self.step()?.unwrap_or(1);
            let count = high - low + 1;
            if step > count {
                return Err(Wrong {
                    at,
                    what: format!(
                        "there are only {count} numbers from {low} to {high} to step over, fewer than {step}"
                    ),
                });
            }
            // A step of one is no step: one number is chosen, as by `H` alone.
            return Ok(if step > 1 {
                each(low + random.below(step), high, step)
            } else {
                1 << (low + random.below(count))
            });
        }
        let first = self.number()?;
        if !self.take(b'-') {
            return Ok(1 << first);
        }
        let last = self.range_end(first)?;
        let step = self.step()?;
        Ok(each(first, last, step.unwrap_or(1)))
    }

    fn range(&mut self) -> Result<(u32, u32), Wrong> {
        let first = self.number()?;
        if !self.take(b'-') {
            return Err(self.wrong("a range such as `0-29` is wanted here"));
        }
        Ok((first, self.range_end(first)?))
    }

    fn range_end(&mut self, first: u32) -> Result<u32, Wrong> {
        let at = self.at;
        let last = self.number()?;
        if last < first {
            return Err(Wrong {
                at,
                what: format!("{first}-{last} runs backwards; {last}-{first} may be meant"),
            });
        }
        Ok(last)
    }

    /// `/n`, if it is there.
    fn step(&mut self) -> Result<Option<u32>, Wrong> {
        if !self.take(b'/') {
            return Ok(None);
        }
        let at = self.at;
        match self.digits()? {
            0 => Err(Wrong {
                at,
                what: "a step is at least 1".to_owned(),
            }),
            step => Ok(Some(step)),
        }
    }

    /// A number within the field's bounds.
    fn number(&mut self) -> Result<u32, Wrong> {
        let at = self.at;
        let number = self.digits()?;
        let (low, high) = self.field.bounds();
        if (low..=high).contains(&number) {
            return Ok(number);
        }
        Err(Wrong {
            at,
            what: format!(
                "{number} is no {}: those are {low} to {high}",
                self.field.name()
            ),
        })
    }

    fn digits(&mut self) -> Result<u32, Wrong> {
        let at = self.at;
        let mut number = 0_u32;
        while let Some(digit) = self.text.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u32::from(digit - b'0')))
                .filter(|number| *number < 1_000_000)
                .ok_or_else(|| Wrong {
                    at,
                    what: "the number is much too great".to_owned(),
                })?;
            self.at += 1;
        }
        if self.at == at {
            return Err(self.unexpected());
        }
        Ok(number)
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn wrong(&self, what: &str) -> Wrong {
        Wrong {
            at: self.at,
            what: what.to_owned(),
        }
    }

    fn unexpected(&self) -> Wrong {
        let rest = String::from_utf8_lossy(self.text.get(self.at..).unwrap_or_default());
        self.wrong(&match rest.chars().next() {
            None => "a number, `*` or `H` is missing".to_owned(),
            Some(letter) if letter.is_ascii_alphabetic() => {
                format!("`{letter}` means nothing here: months and weekdays are numbers, and only `H` is a letter")
            }
            Some('?') => "`?` means nothing here; `*` is every one".to_owned(),
            Some('/') => "a step follows `*`, `H` or a range such as `0-29`".to_owned(),
            Some(letter) => format!("`{}` means nothing here", letter.escape_debug()),
        })
    }
}

/// Every `step`th number from `low` to `high`; all of them are below 64.
fn each(low: u32, high: u32, step: u32) -> u64 {
    let mut bits = 0;
    let mut number = low;
    while number <= high {
        bits |= 1 << number;
        number += step;
    }
    bits
}
