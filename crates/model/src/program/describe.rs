//! What is told of a program: `spawnerr` and `description` of getProcessInfo.

use super::machine::{Machine, Trouble};
use super::policy::exit_status;
use super::state::State;

impl Machine {
    /// Why it does not run, or did not end well; empty where there is nothing to say.
    #[must_use]
    pub fn spawnerr(&self) -> String {
        match &self.trouble {
            Trouble::None | Trouble::Forgotten => String::new(),
            Trouble::TooQuick => "Exited too quickly (process log may have details)".to_owned(),
            Trouble::BadStatus => {
                format!("Bad exit code {}", self.end.map_or(-1, exit_status))
            }
            Trouble::Spawn(why) => why.clone(),
        }
    }

    /// The last column of `status`.
    ///
    /// `name` is the process (without its group); `started` is when it was last started and `now`
    /// what the time is, in whole seconds since 1970; `started` is 0 for never. `stopped_at` formats when
    /// it last ended, as `%b %d %I:%M %p` of local time, and is asked only where that is told.
    #[must_use]
    pub fn description(
        &self,
        name: &str,
        started: i64,
        now: i64,
        stopped_at: impl FnOnce() -> String,
    ) -> String {
        match self.state {
            State::Running => format!(
                "pid {}, uptime {}",
                self.pid.unwrap_or(0),
                uptime(now.saturating_sub(started))
            ),
            State::Fatal | State::Backoff => match self.spawnerr() {
                none if none.is_empty() => format!("unknown error (try \"tail {name}\")"),
                why => why,
            },
            State::Stopped | State::Exited if started == 0 => "Not started".to_owned(),
            State::Stopped | State::Exited => stopped_at(),
            State::Starting | State::Stopping | State::Unknown => String::new(),
        }
    }
}

/// `0:00:59`, `1 day, 1:01:01`, `2 days, 0:00:00`; a clock that was set back makes it nothing.
fn uptime(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        more => format!("{more} days, "),
    };
    let (hours, minutes, seconds) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{days}{hours}:{minutes:02}:{seconds:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_as_the_original_writes_them() {
        let table = [
            (-5, "0:00:00"),
            (59, "0:00:59"),
            (3661, "1:01:01"),
            (86_399, "23:59:59"),
            (86_400, "1 day, 0:00:00"),
            (90_061, "1 day, 1:01:01"),
            (172_800, "2 days, 0:00:00"),
        ];
        for (seconds, text) in table {
            assert_eq!(uptime(seconds), text);
        }
    }
}
