//! Waiting for a build, and telling people how far it is.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use ward_model::exit_code;

use super::answers::{self, Build, Item, OF_BUILD};
use super::connection::Server;
use super::words::{ago, now, plain, took};
use crate::commands::say;
use crate::failure::Failure;

/// How often a server is asked: soon at first, as most of what is waited for comes soon.
const FIRST: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);

/// What people are told while they wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Nothing.
    Nothing,
    /// Why it waits, and on a terminal how far it is.
    Progress,
}

/// Lengthening pauses between two questions.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    pub(super) fn pause(&mut self) {
        std::thread::sleep(self.0);
        self.0 = self.0.mul_f64(1.3).min(LATER);
    }
}

/// Waits until a request has become a build.
pub(super) fn started(server: &Server, id: u64, telling: Telling) -> Result<u32, Failure> {
    let mut pauses = Pauses::new();
    let mut told = String::new();
    loop {
        let item: Item = server.get_json(&format!("/queue/item/{id}/api/json"))?;
        if let Some(build) = item.executable {
            return Ok(build.number);
        }
        if item.cancelled {
            return Err(Failure::with_code(
                format!("request {id} was taken out of the queue"),
                None,
                exit_code::NOT_BUILT,
            ));
        }
        if let Some(why) = &item.why
            && telling == Telling::Progress
        {
            // What it counts down is no news.
            let gist: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
            if gist != told {
                say(&format!("waiting: {}", plain(why)));
                told = gist;
            }
        }
        pauses.pause();
    }
}

/// Waits until a build is over.
pub(super) fn watch(
    server: &Server,
    job: &str,
    number: u32,
    telling: Telling,
) -> Result<Build, Failure> {
    let mut pauses = Pauses::new();
    let mut line = Line::new(telling);
    loop {
        let build = answers::build(server, job, &number.to_string(), OF_BUILD)?;
        if !build.is_running() {
            return Ok(build);
        }
        line.show(&far(job, &build, now()));
        pauses.pause();
    }
}

/// How far a build is.
fn far(job: &str, build: &Build, now: i64) -> String {
    let past = u64::try_from(now.saturating_sub(build.timestamp)).unwrap_or(0);
    let whole = u64::try_from(build.estimated_duration).ok();
    let of = match whole.filter(|whole| *whole > 0) {
        Some(whole) if past < whole => {
            let percent = past.saturating_mul(100) / whole;
            format!(" of about {} ({percent}%)", took(whole))
        }
        Some(whole) => format!(", longer than the usual {}", took(whole)),
        None => String::new(),
    };
    format!(
        "{} #{}: running for {}{of}",
        plain(job),
        build.number,
        took(past)
    )
}

/// What is expected of a build that begins.
pub(super) fn expected(job: &str, build: &Build) -> String {
    let name = format!("{} #{}", plain(job), build.number);
    match u64::try_from(build.estimated_duration) {
        Ok(whole) if whole > 0 => format!(
            "{name}: started {} ago, takes about {}",
            ago(build.timestamp),
            took(whole)
        ),
        Ok(_) | Err(_) => format!("{name}: started {} ago", ago(build.timestamp)),
    }
}

/// A line of a terminal that is written over again.
#[derive(Debug)]
struct Line {
    is_shown: bool,
    width: usize,
}

impl Line {
    fn new(telling: Telling) -> Self {
        Self {
            is_shown: telling == Telling::Progress && io::stderr().is_terminal(),
            width: 0,
        }
    }

    fn show(&mut self, text: &str) {
        if self.is_shown {
            // Where nobody can be told, nothing is lost.
            let _ = write!(io::stderr(), "\r{text:width$}", width = self.width);
            self.width = text.chars().count();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.width > 0 {
            let _ = write!(io::stderr(), "\r{:width$}\r", "", width = self.width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_is_told_by_the_estimate() {
        let build = |estimated_duration| Build {
            number: 3,
            building: true,
            timestamp: 1_000,
            estimated_duration,
            ..Build::default()
        };
        for (estimate, now, text) in [
            (-1, 3_000, "j #3: running for 2.0s"),
            (4_000, 3_000, "j #3: running for 2.0s of about 4.0s (50%)"),
            (
                1_000,
                3_000,
                "j #3: running for 2.0s, longer than the usual 1.0s",
            ),
            (4_000, 0, "j #3: running for 0.0s of about 4.0s (0%)"),
        ] {
            assert_eq!(far("j", &build(estimate), now), text);
        }
    }
}
