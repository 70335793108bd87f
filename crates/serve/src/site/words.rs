//! Times, durations and sizes, for people.

use std::time::{SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// Now, milliseconds since the epoch.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// How long something takes, milliseconds.
pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {:02} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {:02} s", seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else if milliseconds >= 1000 {
        format!("{seconds}.{} s", milliseconds % 1000 / 100)
    } else {
        format!("{milliseconds} ms")
    }
}

/// What lies between two moments; nothing if the clock went back.
pub(super) fn between(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// The time within a build at which a line began: `1:02:03.4`.
pub(super) fn within(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let tenths = milliseconds % 1000 / 100;
    let (minutes, hours) = (seconds / 60 % 60, seconds / 3600);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{:02}.{tenths}", seconds % 60)
    } else {
        format!("{minutes}:{:02}.{tenths}", seconds % 60)
    }
}

/// A moment, milliseconds since the epoch: for machines (RFC 3339), and for people; both in UTC.
pub(super) fn instant(at: i64) -> (String, String) {
    // 9999-12-31: what is later is no moment of a build.
    let seconds = u64::try_from(at / 1000).unwrap_or(0).min(253_402_300_799);
    let date = HttpDate::from(UNIX_EPOCH + std::time::Duration::from_secs(seconds)).to_string();
    // `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7) has its parts at fixed places.
    let part = |from: usize, to: usize| date.get(from..to).unwrap_or_default();
    let month = match part(8, 11) {
        "Jan" => "01",
        "Feb" => "02",
        "Mar" => "03",
        "Apr" => "04",
        "May" => "05",
        "Jun" => "06",
        "Jul" => "07",
        "Aug" => "08",
        "Sep" => "09",
        "Oct" => "10",
        "Nov" => "11",
        _ => "12",
    };
    let day = format!("{}-{month}-{}", part(12, 16), part(5, 7));
    let time = part(17, 25);
    (format!("{day}T{time}Z"), format!("{day} {time} UTC"))
}

/// A size, bytes.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = 1;
    for name in ["B", "KiB", "MiB", "GiB"] {
        if bytes < unit * 1024 {
            return if unit == 1 {
                format!("{bytes} {name}")
            } else {
                format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
            };
        }
        unit *= 1024;
    }
    format!("{} TiB", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::{between, duration, instant, size, within};

    #[test]
    fn for_people() {
        for (milliseconds, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_250, "1.2 s"),
            (59_999, "59 s"),
            (61_000, "1 min 01 s"),
            (3_600_000, "1 h 00 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(milliseconds), expected);
        }
        assert_eq!(within(62_345), "1:02.3");
        assert_eq!(within(3_662_345), "1:01:02.3");
        assert_eq!(between(5, 3), 0);
        assert_eq!(
            between(i64::MIN, i64::MAX),
            u64::try_from(i64::MAX).expect("positive")
        );
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 40, "3 TiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(
            instant(1_792_627_200_000),
            (
                "2026-10-22T00:00:00Z".to_owned(),
                "2026-10-22 00:00:00 UTC".to_owned()
            )
        );
        for at in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(instant(at).0.len(), 20, "{at}");
        }
    }
}
