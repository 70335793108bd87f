//! Moments in words, as `status` shows them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `Jan 01 12:00 AM`, in the time zone of the host.
pub(crate) fn local(unix_seconds: i64) -> String {
    in_zone(unix_seconds, TimeZone::system())
}

fn in_zone(unix_seconds: i64, zone: TimeZone) -> String {
    Timestamp::from_second(unix_seconds).map_or_else(
        |_| String::new(),
        |moment| moment.to_zoned(zone).strftime("%b %d %I:%M %p").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_clients_expect() {
        let at = |seconds| in_zone(seconds, TimeZone::UTC);
        assert_eq!(at(0), "Jan 01 12:00 AM");
        assert_eq!(at(1_700_000_000), "Nov 14 10:13 PM");
        assert_eq!(at(1_700_053_200), "Nov 15 01:00 PM");
        assert_eq!(at(i64::MAX), "");
    }
}
