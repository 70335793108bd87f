//! Durations, sizes and shares as people write them.

use std::time::Duration;

/// The longest duration that ward accepts: a hundred years, so that no sum of two overflows.
pub const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// Why a quantity cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuantity {
    /// Not a duration.
    #[error("`{0}` is not a duration (write 90s, 2m30s, 1.5h, 500ms, or plain seconds)")]
    Duration(String),
    /// A duration past [`LONGEST`].
    #[error("`{0}` is longer than a hundred years")]
    TooLong(String),
    /// Not a size in bytes.
    #[error("`{0}` is not a size (write 4096, 64K, 512M, 2G; K, M and G are powers of 1024)")]
    Size(String),
    /// Not a number of processors.
    #[error("`{0}` is not a share of processors (write 1.5 for one and a half, or 150%)")]
    Cpu(String),
}

/// Reads a duration: `90s`, `2m30s`, `1.5h`, `500ms`, or a plain number of seconds.
///
/// # Errors
/// When the text is none of these, is negative, or exceeds [`LONGEST`].
pub fn duration(text: &str) -> Result<Duration, BadQuantity> {
    let bad = || BadQuantity::Duration(text.to_owned());
    let trimmed = text.trim();
    let (digits, unit) = trimmed.split_at(
        trimmed
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(trimmed.len()),
    );
    let parsed = match (digits.parse::<f64>(), scale(unit)) {
        (Ok(number), Some(seconds)) if digits.contains('.') || unit.is_empty() => {
            Duration::try_from_secs_f64(number * seconds)
                .map_err(|_| BadQuantity::TooLong(text.to_owned()))?
        }
        _ => humantime::parse_duration(trimmed).map_err(|_| bad())?,
    };
    if parsed > LONGEST {
        return Err(BadQuantity::TooLong(text.to_owned()));
    }
    Ok(parsed)
}

fn scale(unit: &str) -> Option<f64> {
    match unit.trim() {
        "ms" => Some(0.001),
        "" | "s" | "sec" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3600.0),
        "d" => Some(86400.0),
        _ => None,
    }
}

/// Reads a size in bytes: `4096`, `64K`, `512M`, `2G`, `1T`, with an optional `B` or `iB`.
///
/// # Errors
/// When the text is not such a size or does not fit in 64 bits.
pub fn size(text: &str) -> Result<u64, BadQuantity> {
    let bad = || BadQuantity::Size(text.to_owned());
    let trimmed = text.trim();
    let (digits, unit) = trimmed.split_at(
        trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len()),
    );
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let unit = unit.trim().to_ascii_uppercase();
    let unit = unit
        .strip_suffix("IB")
        .or_else(|| unit.strip_suffix('B'))
        .unwrap_or(&unit);
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(bad()),
    };
    number.checked_mul(1 << shift).ok_or_else(bad)
}

/// Reads a share of processors, `1.5` or `150%`, as thousandths of one processor.
///
/// # Errors
/// When the text is not such a share, or is below a hundredth or above 100,000 processors.
pub fn cpus(text: &str) -> Result<u32, BadQuantity> {
    let bad = || BadQuantity::Cpu(text.to_owned());
    let trimmed = text.trim();
    let share: f64 = match trimmed.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map_err(|_| bad())? / 100.0,
        None => trimmed.parse().map_err(|_| bad())?,
    };
    if !(0.01..=100_000.0).contains(&share) {
        return Err(bad());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    Ok((share * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let ms = |n| Ok(Duration::from_millis(n));
        assert_eq!(duration("90s"), ms(90_000));
        assert_eq!(duration("2m30s"), ms(150_000));
        assert_eq!(duration("500ms"), ms(500));
        assert_eq!(duration("10"), ms(10_000));
        assert_eq!(duration("0.25"), ms(250));
        assert_eq!(duration("1.5h"), ms(5_400_000));
        assert_eq!(duration(" 1h 5m "), ms(3_900_000));
        assert_eq!(duration("0"), ms(0));
        for text in [
            "", "s", "-1", "1x", "1.5.2", "ten", "5 apples", "NaN", "inf",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(matches!(
            duration("200000000h"),
            Err(BadQuantity::TooLong(_))
        ));
        assert!(matches!(
            duration("99999999999999999999.0"),
            Err(BadQuantity::TooLong(_))
        ));
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64K"), Ok(65536));
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("1 tb"), Ok(1 << 40));
        for text in ["", "M", "1.5G", "-1", "12Q", "99999999999T"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(cpus("1.5"), Ok(1500));
        assert_eq!(cpus("50%"), Ok(500));
        for text in ["", "0", "-1", "many", "%", "1e9"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = (duration(&text), size(&text), cpus(&text));
        }
    }
}
