//! Lines, and what they mean.

use proptest::prelude::*;

use super::{Cron, CronError, MAX_BYTES, Minute};

/// What Jenkins makes of the name `docs`.
const DOCS: i64 = -5_484_511_789_576_833_994;

fn read(spec: &str) -> Cron {
    Cron::parse(spec, DOCS).unwrap_or_else(|error| panic!("{spec}: {error}"))
}

fn at(text: &str) -> Minute {
    let numbers: Vec<i32> = text
        .split(['-', ' ', ':'])
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [year, month, day, hour, minute] = numbers[..] else {
        panic!("{text} is no minute");
    };
    let small = |number: i32| u8::try_from(number).expect("small");
    Minute::new(year, small(month), small(day), small(hour), small(minute)).expect("a minute")
}

fn wrong(spec: &str) -> CronError {
    Cron::parse(spec, DOCS)
        .err()
        .unwrap_or_else(|| panic!("`{spec}` was understood"))
}

/// The next few times, from the first minute of 2026.
fn next(spec: &str, count: usize) -> Vec<String> {
    let cron = read(spec);
    let mut minute = at("2025-12-31 23:59");
    (0..count)
        .map_while(|_| {
            minute = cron.next_after(&minute)?;
            Some(minute.to_string())
        })
        .collect()
}

#[test]
fn fields_are_read() {
    let table = [
        ("0 0 * * *", ["2026-01-01 00:00", "2026-01-02 00:00"]),
        ("*/20 5 * * *", ["2026-01-01 05:00", "2026-01-01 05:20"]),
        ("10-12/2 5 * * *", ["2026-01-01 05:10", "2026-01-01 05:12"]),
        ("7,3 5 * * *", ["2026-01-01 05:03", "2026-01-01 05:07"]),
        ("0 0 31 * *", ["2026-01-31 00:00", "2026-03-31 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        // Sunday has two numbers.
        ("0 0 * * 7", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 0", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 6-7", ["2026-01-03 00:00", "2026-01-04 00:00"]),
        // A day of the month and a day of the week: both.
        ("0 0 13 * 5", ["2026-02-13 00:00", "2026-03-13 00:00"]),
        // Lines: any of them.
        (
            "5 5 * * *\n\n# five\r\n6 5 * * *\r\n",
            ["2026-01-01 05:05", "2026-01-01 05:06"],
        ),
        (
            " \t5   5\t* * *  ",
            ["2026-01-01 05:05", "2026-01-02 05:05"],
        ),
    ];
    for (spec, times) in table {
        assert_eq!(next(spec, 2), times, "{spec}");
    }
}

/// The numbers were taken from OpenJDK 17's `java.util.Random` with the same seed, in this order.
#[test]
fn hashes_are_those_of_jenkins() {
    let table = [
        ("H H * * *", "2026-01-01 07:10"),
        ("@daily", "2026-01-01 07:10"),
        ("@midnight", "2026-01-01 01:10"),
        ("@hourly", "2026-01-01 00:10"),
        ("@monthly", "2026-01-15 07:10"),
        ("@yearly", "2026-04-15 07:10"),
        ("@annually", "2026-04-15 07:10"),
        ("H H H H *", "2026-04-15 07:10"),
        ("H/5 * * * *", "2026-01-01 00:00"),
        // 2026-04-15 is a Wednesday; the fifth number is 2, Tuesday.
        ("H H H H H", "2031-04-15 07:10"),
    ];
    for (spec, time) in table {
        assert_eq!(next(spec, 1), [time], "{spec}");
    }
}

#[test]
fn one_generator_serves_all_lines_from_left_to_right() {
    let one = read("H H H H H");
    let two = read("H H H H H\n# more\nH(0-29)/10 H(9-16) H/7 * 1-5,H");
    // H(0-29)/10: 4, 14, 24; H(9-16): 13; H/7: from day 2 on; 1-5 and H: 1, which is Monday.
    let thursday = at("2026-01-01 13:14");
    assert!(!two.matches(&thursday));
    let friday = at("2026-01-02 13:14");
    assert!(two.matches(&friday) && !one.matches(&friday));
    for minute in [
        "2026-01-02 13:04",
        "2026-01-02 13:24",
        "2026-01-09 13:24",
        "2026-01-16 13:04",
        "2026-02-23 13:04",
    ] {
        assert!(two.matches(&at(minute)), "{minute}");
    }
    for minute in [
        "2026-01-02 13:34",
        "2026-01-02 14:14",
        "2026-01-03 13:14",
        "2026-01-24 13:04",
        // A Friday, and a week after the 23rd: but the steps end on the 28th.
        "2026-01-30 13:04",
    ] {
        assert!(!two.matches(&at(minute)), "{minute}");
    }
    // What a line takes is taken from the next one.
    assert_ne!(
        next("5 5 1 1 *\nH H * * *", 1),
        next("H 5 1 1 *\nH H * * *", 1)
    );
    // A step of one is no step: one number, and one number taken.
    assert_eq!(next("H/1 H * * *", 3), next("H H * * *", 3));
}

#[test]
fn a_plain_hash_of_days_is_one_that_every_month_has() {
    for seed in 0..500 {
        let cron = Cron::parse("0 0 H * H", seed).expect("a line");
        let next = cron.next_after(&at("2026-01-01 00:00")).expect("a day");
        assert!(next.day() <= 28, "{next}");
        assert!(
            cron.summary().ends_with(&next.day().to_string()),
            "{cron:?}"
        );
    }
}

#[test]
fn zones_are_kept_as_they_are_written() {
    let cron = read("TZ=Europe/Berlin\n0 5 * * *");
    assert_eq!(cron.zone(), Some("Europe/Berlin"));
    assert_eq!(read("0 5 * * *").zone(), None);
    assert_eq!(read("TZ=UTC").zone(), Some("UTC"));
    assert!(read("TZ=UTC").is_empty());
    assert_eq!(wrong("TZ=../../etc/passwd").column, 4);
    assert_eq!(wrong("TZ=/etc/passwd").column, 4);
    assert_eq!(wrong("TZ=").column, 4);
    assert_eq!(wrong("0 5 * * *\nTZ=UTC").line, 2);
}

#[test]
fn nothing_is_never_due() {
    for spec in ["", "\n\n", "# nothing\n"] {
        let cron = read(spec);
        assert!(cron.is_empty());
        assert_eq!(cron.next_after(&at("2026-01-01 00:00")), None);
        assert_eq!(cron.previous(&at("2026-01-01 00:00")), None);
        assert_eq!(cron.summary(), "never");
    }
}

#[test]
fn errors_say_where_and_what() {
    let table = [
        ("x * * * *", 1, 1, "only `H` is a letter"),
        ("0 0 * JAN *", 1, 7, "months and weekdays are numbers"),
        ("0 0 ? * *", 1, 5, "`*` is every one"),
        ("0 0 L * *", 1, 5, "`L` means nothing"),
        ("60 * * * *", 1, 1, "60 is no minute: those are 0 to 59"),
        ("0 24 * * *", 1, 3, "0 to 23"),
        ("0 0 0 * *", 1, 5, "1 to 31"),
        ("0 0 * 13 *", 1, 7, "1 to 12"),
        ("0 0 * * 8", 1, 9, "0 to 7"),
        ("*/0 * * * *", 1, 3, "at least 1"),
        ("5/10 * * * *", 1, 2, "a step follows"),
        ("30-10 * * * *", 1, 4, "10-30 may be meant"),
        ("H/61 * * * *", 1, 2, "60 numbers"),
        ("0 0 H/29 * *", 1, 6, "28 numbers"),
        ("H(0-5)/7 * * * *", 1, 7, "6 numbers"),
        ("H(5) * * * *", 1, 4, "a range such as"),
        ("H(0-5 * * * *", 1, 6, "`)` is missing"),
        ("H(50-70) * * * *", 1, 6, "70 is no minute"),
        ("1,,2 * * * *", 1, 3, "`,` means nothing"),
        ("1, * * * *", 1, 3, "missing"),
        ("-5 * * * *", 1, 1, "`-` means nothing"),
        ("99999999999999999999 * * * *", 1, 1, "too great"),
        ("* * * *", 1, 8, "day of the week is missing"),
        ("* * * * * *", 1, 11, "one more"),
        ("@fortnightly", 1, 1, "@weekly"),
        ("@DAILY", 1, 1, "@daily"),
        ("# ü\n  ü * * * *", 2, 3, "`ü` means nothing"),
        ("0 0 31 2 *", 1, 5, "no year has such a day"),
        ("0  0  30-31 2 *", 1, 7, "no year has such a day"),
        ("0 0 31 4,6,9,11 *", 1, 5, "no year has such a day"),
    ];
    for (spec, line, column, what) in table {
        let error = wrong(spec);
        assert_eq!(
            (error.line, error.column),
            (line, column),
            "{spec}: {error}"
        );
        assert!(error.what.contains(what), "{spec}: {error}");
    }
    assert!(wrong(&"#".repeat(MAX_BYTES + 1)).what.contains("longer"));
}

#[test]
fn the_farthest_day_is_found() {
    // After 2096 the next leap year is 2104, and a 29 February that is a Sunday is 40 years away.
    let cron = read("59 23 29 2 0");
    let before = at("2088-02-29 23:59");
    assert_eq!(before.weekday(), 0);
    let after = cron.next_after(&before).expect("a day");
    assert_eq!(after.to_string(), "2128-02-29 23:59");
    assert_eq!(cron.previous(&after), Some(before));
    let end = at("9999-12-31 23:58");
    assert_eq!(
        read("59 23 31 12 *\n58 23 31 12 *").next_after(&end),
        Some(at("9999-12-31 23:59"))
    );
    assert_eq!(read("0 0 * * *").next_after(&end), None);
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let table = [
        ("* 3 * * *", "`H 3 * * *` is once"),
        ("* * * * *", "`H * * * *` is once"),
        ("*/15 * * * *", "`H/15 * * * *`"),
        ("0 3 * * *", "`H 3 * * *` instead of"),
        ("0,15,30,45 * * * *", "`H/15 * * * *`"),
        ("H H */3 * *", "begin anew"),
    ];
    for (spec, what) in table {
        let cron = read(spec);
        let [warning] = cron.warnings() else {
            panic!("{spec}: {:?}", cron.warnings());
        };
        assert!(warning.what.contains(what), "{spec}: {}", warning.what);
        assert_eq!(warning.line, 1);
    }
    for spec in [
        "H 3 * * *",
        "@daily",
        "H/5 * * * *",
        "3,17 * * * *",
        "0,0 * * * *",
        "1-5 * * * *",
    ] {
        assert_eq!(read(spec).warnings(), [], "{spec}");
    }
}

#[test]
fn people_are_told_what_it_means() {
    let table = [
        ("* * * * *", "every minute"),
        ("0 3 * * *", "at 03:00 every day"),
        ("0 3 * * 0", "at 03:00 on Sunday"),
        ("0 3 1 * *", "at 03:00 on day 1"),
        ("0 3 13 * 5", "at 03:00 on Friday if it is day 13"),
        ("5,35 * * * *", "at minutes 5 and 35 of every hour"),
        (
            "0-4 9-17 * * 1-5",
            "at minutes 0-4 of hours 9-17 on Monday-Friday",
        ),
        ("0 0 1 1,7 *", "at 00:00 on day 1 in January and July"),
        ("* 3 * * *", "every minute of hour 3"),
        (
            "0 3 * * *\n0 5 * * *",
            "at 03:00 every day, and at 05:00 every day",
        ),
        (
            "1,2,5,9-11 * * * *",
            "at minutes 1, 2, 5 and 9-11 of every hour",
        ),
    ];
    for (spec, text) in table {
        assert_eq!(read(spec).summary(), text, "{spec}");
    }
}

/// A field that is one, and one that may be.
fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    let number = low..=high;
    let range =
        (number.clone(), number.clone()).prop_map(|(one, two)| (one.min(two), one.max(two)));
    let term = prop_oneof![
        Just("*".to_owned()),
        Just("H".to_owned()),
        number.prop_map(|number| number.to_string()),
        (1..5_u8).prop_map(|step| format!("*/{step}")),
        (1..5_u8).prop_map(|step| format!("H/{step}")),
        range
            .clone()
            .prop_map(|(low, high)| format!("{low}-{high}")),
        range.prop_map(|(low, high)| format!("H({low}-{high})")),
    ];
    proptest::collection::vec(term, 1..3).prop_map(|terms| terms.join(","))
}

fn line() -> impl Strategy<Value = String> {
    let fields = (
        field(0, 59),
        field(0, 23),
        field(1, 28),
        field(1, 12),
        field(0, 7),
    );
    fields.prop_map(|(minute, hour, day, month, weekday)| {
        format!("{minute} {hour} {day} {month} {weekday}")
    })
}

fn minute() -> impl Strategy<Value = Minute> {
    (1990..2060_i32, 1..=12_u8, 1..=28_u8, 0..24_u8, 0..60_u8).prop_map(
        |(year, month, day, hour, minute)| {
            Minute::new(year, month, day, hour, minute).expect("a minute")
        },
    )
}

proptest! {
    #[test]
    fn next_and_previous_are_neighbours(spec in line(), seed: i64, from in minute()) {
        let cron = Cron::parse(&spec, seed).expect("a line");
        let next = cron.next_after(&from).expect("a day");
        prop_assert!(next > from && cron.matches(&next));
        let back = cron.previous(&next);
        prop_assert!(back.is_none_or(|back| back <= from), "{from} {back:?} {next}");
        if let Some(back) = cron.previous(&from) {
            prop_assert!(back < from && cron.matches(&back));
            prop_assert!(cron.next_after(&back).is_some_and(|it| it >= from));
        }
    }

    /// Minute by minute for two days, against the search.
    #[test]
    fn nothing_between_is_left_out(spec in line(), seed: i64, from in minute()) {
        let cron = Cron::parse(&spec, seed).expect("a line");
        let next = cron.next_after(&from).expect("a day");
        let mut at = from;
        for _ in 0..2 * 24 * 60 {
            at = at.next().expect("a minute");
            prop_assert_eq!(cron.matches(&at), at == next);
            if at == next {
                break;
            }
        }
    }

    #[test]
    fn a_job_has_its_own_minutes_always(spec in line(), seed: i64) {
        prop_assert_eq!(Cron::parse(&spec, seed), Cron::parse(&spec, seed));
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(spec in ".{0,80}", seed: i64) {
        if let Err(error) = Cron::parse(&spec, seed) {
            prop_assert!(error.line >= 1 && error.column <= spec.chars().count() + 1);
        }
    }

    #[test]
    fn whatever_is_nearly_a_line_is_read_or_refused(spec in "[0-9H*/,()@TZ=# \t\n-]{0,60}", seed: i64) {
        if let Ok(cron) = Cron::parse(&spec, seed) {
            let from = Minute::new(2026, 1, 1, 0, 0).expect("a minute");
            prop_assert_eq!(cron.is_empty(), cron.next_after(&from).is_none());
        }
    }
}
