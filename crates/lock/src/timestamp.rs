//! Times as names: how they are written, and how often they change.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::error::LockError;

const SECOND: i64 = 1_000_000;

/// A way to write a time: that of strftime(3), and `#f` to `#ffffff`, a dot and so many digits of
/// the second's fraction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format {
    text: String,
    unit: i64,
}

/// Microseconds of the local clock on the wall since 1970 on it. What is repeated when summer time
/// ends is told apart so.
pub(crate) fn on_the_wall() -> i64 {
    let wall = Zoned::now().datetime();
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
        .duration_until(wall)
        .as_micros()
        .try_into()
        .unwrap_or(0)
}

impl Format {
    /// # Errors
    /// [`LockError::Format`] if it does not change at least once an hour, or cannot be understood.
    pub(crate) fn new(text: &str) -> Result<Self, LockError> {
        let refused = |why: &str| LockError::Format {
            format: text.to_owned(),
            why: why.to_owned(),
        };
        let mut finest: Option<i64> = None;
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.next() {
            let unit = match next {
                '%' => match rest.next() {
                    Some('c' | 'r' | 's' | 'S' | 'T' | 'X') => SECOND,
                    Some('M' | 'R') => 60 * SECOND,
                    Some('H' | 'I') => 3600 * SECOND,
                    _ => continue,
                },
                '#' => {
                    let mut digits = 0;
                    while rest.next_if_eq(&'f').is_some() {
                        digits += 1;
                    }
                    if !(1..=6).contains(&digits) {
                        return Err(refused("behind # there must be one to six f"));
                    }
                    SECOND / 10_i64.pow(digits)
                }
                _ => continue,
            };
            finest = Some(finest.map_or(unit, |known| known.min(unit)));
        }
        let Some(unit) = finest else {
            return Err(refused(
                "it says no hour, minute or second, and would never change",
            ));
        };
        let format = Self {
            text: text.to_owned(),
            unit,
        };
        format.write(0)?;
        Ok(format)
    }

    /// How often it changes, microseconds.
    pub(crate) fn unit(&self) -> i64 {
        self.unit
    }

    /// Writes a time of the local clock, microseconds since 1970 on it.
    pub(crate) fn write(&self, micros: i64) -> Result<String, LockError> {
        let refused = |error: jiff::Error| LockError::Format {
            format: self.text.clone(),
            why: error.to_string(),
        };
        let wall = DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
            .checked_add(SignedDuration::from_micros(micros))
            .map_err(refused)?;
        // The zone is for those who ask for it (%z, %s): a time that there is twice is the first.
        let zoned = wall
            .to_zoned(jiff::tz::TimeZone::system())
            .unwrap_or_else(|_| Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC));
        let fraction = format!("{:06}", micros.rem_euclid(SECOND));
        let mut format = String::with_capacity(self.text.len());
        let mut rest = self.text.chars().peekable();
        while let Some(next) = rest.next() {
            if next == '#' {
                let mut digits = 0;
                while rest.next_if_eq(&'f').is_some() {
                    digits += 1;
                }
                format.push('.');
                format.push_str(fraction.get(..digits).unwrap_or(&fraction));
            } else {
                format.push(next);
                if next == '%' {
                    format.extend(rest.next());
                }
            }
        }
        jiff::fmt::strtime::format(&format, &zoned).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (text, unit) in [
            ("%H", 3600 * SECOND),
            ("%Y%m%d-%H%M", 60 * SECOND),
            ("%H%M%S", SECOND),
            ("%T#f", SECOND / 10),
            ("%S#ffffff", 1),
            ("%c", SECOND),
        ] {
            assert_eq!(Format::new(text).expect(text).unit(), unit, "{text}");
        }
        for bad in ["", "%Y-%m-%d", "#", "#fffffff", "%S%!"] {
            assert!(Format::new(bad).is_err(), "{bad}");
        }
        let written = Format::new("%Y%m%d-%H%M%S#fff").expect("a format");
        let micros = 86_400 * SECOND + 3_723_456_789;
        assert_eq!(
            written.write(micros).expect("written"),
            "19700102-010203.456"
        );
    }
}
