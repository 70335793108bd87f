//! How builds are told to people: words, colours, tables.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use ward_model::build::BuildResult;

use crate::commands::ps::{cut, span, terminal_width};
use crate::failure::Failure;

/// Now, milliseconds since the epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A span of milliseconds.
pub(super) fn took(milliseconds: u64) -> String {
    span(Duration::from_millis(milliseconds).as_secs_f64())
}

/// How long ago a moment (milliseconds since the epoch) is.
pub(super) fn ago(moment: i64) -> String {
    took(u64::try_from(now().saturating_sub(moment)).unwrap_or(0))
}

/// A moment (milliseconds since the epoch) as RFC 3339 has it.
pub(super) fn moment(milliseconds: i64) -> String {
    let since = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// A line for a terminal: nothing in it is obeyed.
pub(super) fn plain(text: &str) -> String {
    let shown = text.lines().next().unwrap_or_default().chars();
    shown
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// The colour of a state, as the words of a terminal (ECMA-48, SGR).
fn colour(word: &str) -> Option<&'static str> {
    Some(match BuildResult::of_word(word) {
        Some(BuildResult::Success) => "32",
        Some(BuildResult::Unstable) => "33",
        Some(BuildResult::Failure) => "31",
        Some(BuildResult::NotBuilt | BuildResult::Aborted) => "90",
        None if word == "running" => "36",
        None => return None,
    })
}

/// A state, in its colour where standard output is a terminal.
pub(super) fn painted(word: &str, text: &str) -> String {
    match colour(word).filter(|_| io::stdout().is_terminal()) {
        Some(colour) => format!("\x1b[{colour}m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

/// Rows of cells, each column as wide as its widest; the cells of column `states` have their colour. The
/// last column is cut where a terminal ends.
pub(super) fn table<const N: usize>(rows: &[[String; N]], states: usize) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = cell.chars().count().max(*width);
        }
    }
    let columns = terminal_width();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let mut paint = None;
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            if index == states {
                paint = Some((line.len(), cell));
            }
            if index + 1 == N {
                line.push_str(cell);
            } else {
                line.push_str(&format!("{cell:width$}  "));
            }
        }
        let mut line = cut(line.trim_end(), columns);
        // What is painted is wider than it looks: after the cut.
        if let Some((at, cell)) = paint
            && line
                .get(at..)
                .is_some_and(|rest| rest.starts_with(cell.as_str()))
        {
            line.replace_range(at..at + cell.len(), &painted(cell, cell));
        }
        text.push_str(&line);
    }
    text
}

/// Prints it. Who stops reading has read enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::ours("cannot write", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints JSON.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::ours("cannot write", &error))?;
    print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let text = table(
            &[
                row(["N", "R", "D"]),
                row(["12", "SUCCESS", "a\u{1b}[2Jb"]),
                row(["3", "", ""]),
            ],
            1,
        );
        assert_eq!(text, "N   R        D\n12  SUCCESS  a?[2Jb\n3\n");
    }

    #[test]
    fn text_of_others_stays_on_its_line() {
        assert_eq!(plain("a\u{7}b\nc"), "a?b");
        assert_eq!(plain(""), "");
    }
}
