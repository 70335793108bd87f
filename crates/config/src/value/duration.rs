//! Times and words.

use std::time::Duration;

use super::Complaint;
use crate::ini::document::strip;
use crate::nearest::nearest;

/// No time is longer: a hundred years of 365 days.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Each unit, in milliseconds; those that begin with others are before them.
const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
];

/// A time: numbers with units (`1h30m`, `2d`, `500ms`), or seconds.
///
/// # Errors
/// For anything else, and for what is longer than [`LONGEST`].
pub fn duration(text: &str) -> Result<Duration, Complaint> {
    let bad = || {
        Complaint::new(
            format!("`{text}` is not a time"),
            "write 90s, 10m, 1h30m, 2d, 500ms, or seconds",
        )
    };
    let stripped = strip(text);
    let mut rest = stripped;
    let mut sum: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let number: u64 = digits.parse().map_err(|_| bad())?;
        let after = after.trim_start();
        let (unit, after) = if after.is_empty() && digits.len() == stripped.len() {
            (1000, after)
        } else {
            let found = UNITS
                .iter()
                .find_map(|(name, unit)| Some((*unit, after.strip_prefix(name)?)));
            found.ok_or_else(bad)?
        };
        let part = number.checked_mul(unit).ok_or_else(bad)?;
        sum = sum.checked_add(part).ok_or_else(bad)?;
        rest = after.trim_start();
    }
    Some(Duration::from_millis(sum))
        .filter(|time| *time <= LONGEST)
        .ok_or_else(|| Complaint::bare(format!("`{text}` is longer than a hundred years")))
}

/// One of `words`, in any case; booleans may be written as everywhere where `true` or `false` is among them.
///
/// # Errors
/// For anything else.
pub fn word(text: &str, words: &[&'static str]) -> Result<String, Complaint> {
    let lower = strip(text).to_lowercase();
    if let Some(word) = words.iter().find(|word| **word == lower) {
        return Ok((*word).to_owned());
    }
    if let Ok(yes) = super::boolean(&lower) {
        let plain = if yes { "true" } else { "false" };
        if let Some(word) = words.iter().find(|word| **word == plain) {
            return Ok((*word).to_owned());
        }
    }
    let hint = match nearest(&lower, words.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("write one of {}", words.join(", ")),
    };
    Err(Complaint::new(format!("`{text}` is not known here"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds) in [
            ("90s", 90_000),
            (" 90 ", 90_000),
            ("0", 0),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30 m", 5_400_000),
            ("2d", 172_800_000),
            ("500ms", 500),
            ("1m500ms", 60_500),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "1x",
            "-1s",
            "1.5h",
            "1h30",
            "ten",
            "99999999999999999999s",
            "18446744073709551615d",
            "40000d",
            "1 2",
            "m1",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words() {
        let known = ["false", "true", "recursive"];
        assert_eq!(word("Recursive ", &known), Ok("recursive".to_owned()));
        assert_eq!(word("YES", &known), Ok("true".to_owned()));
        assert!(word("yes", &["no", "before"]).is_err());
        let hint = word("recursiv", &known).unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean recursive?"));
    }
}
