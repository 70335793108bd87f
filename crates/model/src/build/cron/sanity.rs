//! What is allowed and yet probably not meant.

use super::field::Field;
use super::{Line, full};

/// What is doubtful about a line, for people; at most one thing.
pub(super) fn doubt(text: &str, line: &Line) -> Option<String> {
    every_minute(text, line)
        .or_else(|| short_cycles(line))
        .or_else(|| crowded(text))
}

/// `* 3 * * *` is sixty builds in the night, where one is meant.
fn every_minute(text: &str, line: &Line) -> Option<String> {
    (line.minutes == full(Field::Minute)).then(|| {
        let instead = with_first("H", text);
        format!("`{text}` means every minute; `{instead}` is once in such an hour")
    })
}

/// `*/3` in the days begins anew on the first: 31, 1, 4.
fn short_cycles(line: &Line) -> Option<String> {
    let days = line.days.count_ones();
    (6..28).contains(&days).then(|| {
        "steps over days begin anew with every month, so that two may come in a row at its end"
            .to_owned()
    })
}

/// Everybody's job at minute 0.
fn crowded(text: &str) -> Option<String> {
    if text.contains('H') || text.starts_with('@') {
        return None;
    }
    let first = text.split([' ', '\t']).next().unwrap_or_default();
    let hashed = if let Some(step) = first.strip_prefix("*/") {
        format!("H/{step}")
    } else if first.bytes().all(|byte| byte.is_ascii_digit()) {
        "H".to_owned()
    } else {
        format!("H/{}", period(first)?)
    };
    let instead = with_first(&hashed, text);
    Some(format!(
        "`{instead}` instead of `{text}` spreads the load: `H` is a number of the job's own"
    ))
}

/// The step of a list such as `0,15,30,45` that goes round the hour.
fn period(list: &str) -> Option<u32> {
    let numbers: Vec<u32> = list
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let step = *numbers.get(1)?;
    let is_regular = numbers
        .iter()
        .copied()
        .eq((0..60).step_by(step.max(1) as usize));
    (is_regular && step > 1).then_some(step)
}

fn with_first(first: &str, text: &str) -> String {
    let rest = text.find([' ', '\t']).and_then(|at| text.get(at..));
    format!("{first}{}", rest.unwrap_or_default())
}
