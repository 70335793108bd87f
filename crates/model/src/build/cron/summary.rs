//! What lines mean, in words.

use super::field::Field;
use super::{Line, full, has};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// All lines in one sentence; `never` where there is none.
pub(super) fn of(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "never".to_owned();
    }
    let lines: Vec<String> = lines.iter().map(line).collect();
    lines.join(", and ")
}

fn line(line: &Line) -> String {
    let mut text = time(line);
    let all_weekdays = line.weekdays == full(Field::Weekday);
    if !all_weekdays {
        text.push_str(" on ");
        text.push_str(&list(line.weekdays, |day| named(&WEEKDAYS, day)));
    }
    if line.days != full(Field::Day) {
        text.push_str(if all_weekdays {
            " on day "
        } else {
            " if it is day "
        });
        text.push_str(&list(line.days, |day| day.to_string()));
    }
    if line.months != full(Field::Month) {
        text.push_str(" in ");
        text.push_str(&list(line.months, |month| {
            named(&MONTHS, month.saturating_sub(1))
        }));
    }
    text
}

fn time(line: &Line) -> String {
    let all_minutes = line.minutes == full(Field::Minute);
    let all_hours = line.hours == full(Field::Hour);
    let every_day = line.days == full(Field::Day) && line.weekdays == full(Field::Weekday);
    let minutes = || {
        let word = if line.minutes.is_power_of_two() {
            "minute"
        } else {
            "minutes"
        };
        format!("at {word} {}", list(line.minutes, |it| it.to_string()))
    };
    let hours = || {
        let word = if line.hours.is_power_of_two() {
            "hour"
        } else {
            "hours"
        };
        format!("{word} {}", list(line.hours, |it| it.to_string()))
    };
    match (all_minutes, all_hours) {
        (true, true) => "every minute".to_owned(),
        (true, false) => format!("every minute of {}", hours()),
        (false, true) => format!("{} of every hour", minutes()),
        (false, false) if line.minutes.is_power_of_two() && line.hours.is_power_of_two() => {
            format!(
                "at {:02}:{:02}{}",
                line.hours.trailing_zeros(),
                line.minutes.trailing_zeros(),
                if every_day { " every day" } else { "" }
            )
        }
        (false, false) => format!("{} of {}", minutes(), hours()),
    }
}

fn named(names: &[&str], number: u8) -> String {
    names
        .get(usize::from(number))
        .copied()
        .unwrap_or_default()
        .to_owned()
}

/// `1-5, 7 and 9`: three or more in a row are a range.
fn list(bits: u64, name: impl Fn(u8) -> String) -> String {
    let mut parts = Vec::new();
    let mut number = 0_u8;
    while number < 64 {
        if !has(bits, number) {
            number += 1;
            continue;
        }
        let mut last = number;
        while has(bits, last + 1) {
            last += 1;
        }
        if last - number >= 2 {
            parts.push(format!("{}-{}", name(number), name(last)));
        } else {
            parts.extend((number..=last).map(&name));
        }
        number = last + 1;
    }
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
