//! Clocks that are set, put forward and put back.

use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{MAX_BACK, MAX_LATE, Ticker, Timer, TimerError};
use crate::triggers::jenkins_seed;

/// Central Europe's rule, in the notation of POSIX, so that this host need not know the zone.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone")
}

fn timer(spec: &str, zone: &TimeZone) -> Timer {
    Timer::read(spec, "docs", zone).expect("a timer")
}

/// Minutes after the epoch of a time in UTC.
fn utc(year: i16, month: i8, day: i8, hour: i8, minute: i8) -> i64 {
    let civil = date(year, month, day).at(hour, minute, 0, 0);
    let instant = TimeZone::UTC.to_timestamp(civil).expect("an instant");
    instant.as_second() / 60
}

#[test]
fn seeds_are_those_of_jenkins() {
    // MD5 of the name, folded, by Java's MessageDigest and BigInteger.
    let table = [
        ("docs", -5_484_511_789_576_833_994),
        ("team/app", 5_673_806_517_283_007_858),
        ("größe", -95_634_198_461_459_614),
        ("", 4_439_851_323_553_804_410),
        ("a job with blanks", -43_726_932_262_849_932),
    ];
    for (name, seed) in table {
        assert_eq!(jenkins_seed(name), seed, "{name}");
    }
}

#[test]
fn a_time_of_day_is_one_of_the_zone() {
    let daily = timer("0 3 * * *", &berlin());
    assert!(daily.is_due(utc(2026, 1, 10, 2, 0)));
    assert!(daily.is_due(utc(2026, 7, 10, 1, 0)));
    assert!(!daily.is_due(utc(2026, 7, 10, 3, 0)));
    let hashed = timer("@daily", &TimeZone::UTC);
    assert!(hashed.is_due(utc(2026, 7, 10, 7, 10)));
}

#[test]
fn a_time_that_comes_twice_counts_once() {
    // On 2026-10-25 at 01:00 UTC clocks go from 03:00 back to 02:00.
    let night = timer("30 2 * * *", &berlin());
    assert!(night.is_due(utc(2026, 10, 25, 0, 30)));
    assert!(!night.is_due(utc(2026, 10, 25, 1, 30)));
    let day = utc(2026, 10, 24, 22, 0)..utc(2026, 10, 25, 23, 0);
    assert_eq!(night.due(day.clone()).count(), 1);
    // What runs every hour does not pause for one.
    assert_eq!(timer("30 * * * *", &berlin()).due(day.clone()).count(), 25);
    assert_eq!(
        timer("* * * * *", &berlin()).due(day.clone()).count(),
        25 * 60
    );
    assert_eq!(timer("30 1-3 * * *", &berlin()).due(day).count(), 3);
}

#[test]
fn a_time_that_does_not_come_is_left_out() {
    // On 2026-03-29 at 01:00 UTC clocks go from 02:00 to 03:00.
    let night = timer("30 2 * * *", &berlin());
    let day = utc(2026, 3, 28, 23, 0)..utc(2026, 3, 29, 22, 0);
    assert_eq!(night.due(day.clone()).count(), 0);
    assert_eq!(timer("30 * * * *", &berlin()).due(day).count(), 23);
    assert_eq!(
        night.next_after(utc(2026, 3, 28, 1, 30)),
        Some(utc(2026, 3, 30, 0, 30))
    );
}

#[test]
fn the_next_time_is_found_however_far() {
    let leap = timer("0 0 29 2 *", &berlin());
    assert_eq!(
        leap.next_after(utc(2026, 3, 1, 0, 0)),
        Some(utc(2028, 2, 28, 23, 0))
    );
    let never = timer("# nothing", &berlin());
    assert_eq!(never.next_after(utc(2026, 3, 1, 0, 0)), None);
    assert_eq!(leap.next_after(i64::MAX / 1000), None);
    assert!(!leap.is_due(i64::MAX) && !leap.is_due(i64::MIN));
}

#[test]
fn zones_and_lines_that_are_none_are_refused() {
    let refused = Timer::read("TZ=Nowhere/AtAll\n* * * * *", "docs", &TimeZone::UTC);
    assert!(
        matches!(refused, Err(TimerError::Zone { .. })),
        "{refused:?}"
    );
    let refused = Timer::read("* * *", "docs", &TimeZone::UTC);
    assert!(matches!(refused, Err(TimerError::Spec(_))), "{refused:?}");
    let named = timer("TZ=UTC\n0 3 * * *", &berlin());
    assert!(named.is_due(utc(2026, 1, 10, 3, 0)));
    assert_eq!(named.summary(), "at 03:00 every day (UTC)");
    assert_eq!(named.warnings().len(), 1);
}

const MINUTE: i64 = 60_000;

#[test]
fn late_minutes_are_made_up_for() {
    let mut ticker = Ticker::new(1000 * MINUTE + 30_000);
    assert_eq!(ticker.next_due(1000 * MINUTE + 30_000), 1001 * MINUTE);
    assert!(ticker.tick(1000 * MINUTE + 59_999).is_empty());
    assert_eq!(ticker.tick(1001 * MINUTE), 1001..1002);
    assert!(ticker.tick(1001 * MINUTE).is_empty());
    assert_eq!(ticker.tick(1005 * MINUTE + 1), 1002..1006);
    // A host that slept for a month does not make up for it.
    let later = 1005 + 30 * MAX_LATE;
    let range = ticker.tick(later * MINUTE);
    assert_eq!((range.start, range.end), (later - MAX_LATE, later + 1));
}

#[test]
fn a_clock_that_is_set_back_a_little_is_waited_for() {
    let mut ticker = Ticker::new(1000 * MINUTE);
    assert!(ticker.tick(940 * MINUTE).is_empty());
    assert_eq!(ticker.next_due(940 * MINUTE), 941 * MINUTE);
    assert_eq!(ticker.tick(1001 * MINUTE), 1001..1002);
    // And one that was all wrong is believed now.
    let right = 1001 - MAX_BACK - 1;
    assert_eq!(ticker.tick(right * MINUTE), right..right + 1);
}

proptest! {
    /// No minute twice, whatever the clock does within hours; none left out while it goes on.
    #[test]
    fn every_minute_once(steps in proptest::collection::vec(-600_000..1_200_000_i64, 0..60)) {
        let mut now = 100_000 * MINUTE;
        let mut highest = now;
        let mut ticker = Ticker::new(now);
        let mut next = 100_001;
        for step in steps {
            // Never more than the limit behind.
            now = (now + step).max(highest - MAX_BACK * MINUTE);
            highest = highest.max(now);
            let range = ticker.tick(now);
            if !range.is_empty() {
                prop_assert_eq!(range.start, next);
                next = range.end;
            }
            prop_assert_eq!(next, highest.div_euclid(MINUTE) + 1);
            prop_assert!(ticker.next_due(now) > now);
        }
    }

    #[test]
    fn any_clock_at_all(times in proptest::collection::vec(any::<i64>(), 1..10)) {
        let mut ticker = Ticker::new(times[0]);
        for now in times {
            let range = ticker.tick(now);
            prop_assert!(range.end - range.start <= MAX_LATE + 1);
            prop_assert!(ticker.next_due(now) >= now - MINUTE);
        }
    }

    /// The quick search finds what counting minutes finds.
    #[test]
    fn the_next_time_is_the_next(
        hour in 0..5_u8,
        minute in 0..60_u8,
        every in any::<bool>(),
        start in 0..3 * 366 * 24 * 60_i64,
    ) {
        let hours = if every { "*".to_owned() } else { hour.to_string() };
        let timer = timer(&format!("{minute} {hours} * * *"), &berlin());
        let start = utc(2025, 1, 1, 0, 0) + start;
        let found = timer.next_after(start).expect("a time");
        prop_assert_eq!(timer.due(start + 1..found + 1).collect::<Vec<_>>(), vec![found]);
    }
}
