//! The lines that ward says to people on standard error: only when there is something to
//! say, and each says what happened, to whom, and what follows.

use std::time::Duration;

use ward_model::life::CauseKind;
use ward_model::report::{Listed, Process, Sender};
use ward_model::signal::Signal;
use ward_model::wire::Origin;

/// So many processes are named in one line.
const NAMED: usize = 4;
/// So much of a command line is shown, in characters.
const COMMAND_WIDTH: usize = 60;

fn plural(count: u64) -> &'static str {
    if count == 1 { "process" } else { "processes" }
}

fn them(count: u64) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

/// A duration as people say it.
pub(crate) fn span(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        let text = format!("{seconds:.1}");
        return format!("{}s", text.strip_suffix(".0").unwrap_or(&text));
    }
    let whole = Duration::from_secs_f64(seconds.round());
    humantime::format_duration(whole).to_string()
}

fn shorten(command: &str) -> String {
    if command.chars().count() <= COMMAND_WIDTH {
        return command.to_owned();
    }
    let mut text: String = command.chars().take(COMMAND_WIDTH - 1).collect();
    text.push('…');
    text
}

fn person(process: &Process) -> String {
    let mut facts = vec![format!("{} old", seconds(process.age))];
    if !process.holds.is_empty() {
        facts.push(format!("holds {}", process.holds.join(" and ")));
    }
    format!(
        "{} `{}` ({})",
        process.pid,
        shorten(&process.command),
        facts.join(", ")
    )
}

fn names(listed: &Listed, describe: impl Fn(&Process) -> String) -> String {
    let shown: Vec<String> = listed.processes.iter().take(NAMED).map(describe).collect();
    let more = listed.count.saturating_sub(shown.len() as u64);
    let mut text = shown.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn grace(grace: Duration) -> String {
    if grace.is_zero() {
        "no grace".to_owned()
    } else {
        format!("{} of grace", span(grace))
    }
}

pub(crate) fn requested(
    name: &str,
    signal: Signal,
    sender: Option<&Sender>,
    origin: Origin,
    allowed: Duration,
) -> String {
    let by = match sender {
        Some(Sender { pid: 0, .. }) => " from outside this pid namespace".to_owned(),
        Some(Sender {
            pid,
            command: Some(command),
            ..
        }) => format!(" from {pid} `{}`", shorten(command)),
        Some(Sender { pid, uid, .. }) => format!(" from process {pid} of user {uid}"),
        None if origin != Origin::Process => " from the terminal".to_owned(),
        None => String::new(),
    };
    format!("{signal}{by}: stopping {name}, {}", grace(allowed))
}

pub(crate) fn again(signal: Signal) -> String {
    format!("{signal} again: the grace is over")
}

pub(crate) fn limit(name: &str, cause: CauseKind, limit: Duration, allowed: Duration) -> String {
    let what = match cause {
        CauseKind::IdleLimit => format!("has printed nothing for {}", span(limit)),
        CauseKind::TimeLimit
        | CauseKind::LeftOver
        | CauseKind::Requested
        | CauseKind::FrontLost
        | CauseKind::LockLost => format!("has run for {}", span(limit)),
    };
    format!("{name} {what}: stopping it, {}", grace(allowed))
}

/// How the lease of the lock stands.
pub(crate) fn lock_ends(ends_in: Duration) -> String {
    if ends_in.is_zero() {
        "the lock is lost".to_owned()
    } else {
        format!(
            "the lock is about to be lost (its lease ends in {})",
            span(ends_in)
        )
    }
}

pub(crate) fn lock_lost(name: &str, ends_in: Duration, allowed: Duration) -> String {
    let how = lock_ends(ends_in);
    format!("{how}: stopping {name}, {}", grace(allowed))
}

/// The same while it is being stopped already.
pub(crate) fn lock_lost_meanwhile(ends_in: Duration, left: Duration) -> String {
    let how = lock_ends(ends_in);
    if left.is_zero() {
        format!("{how}: the grace is over")
    } else {
        format!("{how}: the grace is over in {} at the latest", span(left))
    }
}

pub(crate) fn warning(
    name: &str,
    under_lock: bool,
    time: Duration,
    limit: Option<Duration>,
) -> String {
    let does = if under_lock { "held the lock" } else { "run" };
    let then = limit.map_or(String::new(), |limit| {
        format!("; it will be stopped after {}", span(limit))
    });
    format!("{name} has {does} for {}{then}", span(time))
}

pub(crate) fn left_over(name: &str, left: &Listed, allowed: Duration) -> String {
    format!(
        "{name} has ended and left {} {}: {}; stopping {}, {}",
        left.count,
        plural(left.count),
        names(left, person),
        them(left.count),
        grace(allowed)
    )
}

pub(crate) fn killing(listed: &Listed) -> String {
    format!(
        "killing {} {}: {}",
        listed.count,
        plural(listed.count),
        names(listed, person)
    )
}

pub(crate) fn stopped(whom: &str, told: u64, cleaned_up: u64, longest: f64, killed: u64) -> String {
    let mut text = format!("{whom} is stopped: {told} {} told", plural(told));
    if killed == 0 {
        text.push_str(&format!(", all ended within {}", seconds(longest)));
    } else {
        if cleaned_up > 0 {
            text.push_str(&format!(", {cleaned_up} ended within {}", seconds(longest)));
        }
        text.push_str(&format!(", {killed} killed"));
    }
    text
}

pub(crate) fn spared(listed: &Listed) -> String {
    let why = |process: &Process| {
        format!(
            "{} `{}` ({})",
            process.pid,
            shorten(&process.command),
            process.why.as_deref().unwrap_or_default()
        )
    };
    format!(
        "{} {} left running: {}",
        listed.count,
        plural(listed.count),
        names(listed, why)
    )
}

pub(crate) fn survivors(listed: &Listed) -> String {
    let why = |process: &Process| {
        format!(
            "{} `{}` ({})",
            process.pid,
            shorten(&process.command),
            process.why.as_deref().unwrap_or("unknown reason")
        )
    };
    format!(
        "could not end {} {}: {}",
        listed.count,
        plural(listed.count),
        names(listed, why)
    )
}

pub(crate) fn denied(listed: &[Process]) -> String {
    let listed = Listed {
        count: listed.len() as u64,
        processes: listed.to_vec(),
    };
    format!(
        "not permitted to tell {} {}: {}",
        listed.count,
        plural(listed.count),
        names(&listed, |process| match process.uid {
            Some(uid) => format!(
                "{} `{}` (user {uid})",
                process.pid,
                shorten(&process.command)
            ),
            None => format!("{} `{}`", process.pid, shorten(&process.command)),
        })
    )
}

pub(crate) fn out_of_memory(kills: u64) -> String {
    format!(
        "out of memory: the kernel killed {kills} {} meanwhile",
        plural(kills)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_few_and_counts_the_rest() {
        let mut left = Listed::default();
        for pid in 1..=6 {
            left.push(Process {
                pid,
                command: "sleep 600".to_owned(),
                age: 3.04,
                holds: vec!["stdout".to_owned()],
                ..Process::default()
            });
        }
        let line = left_over("`make`", &left, Duration::from_secs(10));
        assert!(line.starts_with(
            "`make` has ended and left 6 processes: 1 `sleep 600` (3s old, holds stdout), "
        ));
        assert!(
            line.ends_with(" and 2 more; stopping them, 10s of grace"),
            "{line}"
        );
    }

    #[test]
    fn a_lock_that_is_lost_says_how_long_is_left() {
        let seconds = Duration::from_secs;
        assert_eq!(
            lock_lost("`make`", seconds(4), seconds(3)),
            "the lock is about to be lost (its lease ends in 4s): stopping `make`, 3s of grace"
        );
        assert_eq!(
            lock_lost("`make`", seconds(0), seconds(0)),
            "the lock is lost: stopping `make`, no grace"
        );
        assert_eq!(
            lock_lost_meanwhile(seconds(4), seconds(3)),
            "the lock is about to be lost (its lease ends in 4s): the grace is over in 3s at the latest"
        );
    }

    #[test]
    fn a_warning_says_what_follows_if_anything_does() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        assert_eq!(
            warning("`make`", true, minutes(45), Some(minutes(60))),
            "`make` has held the lock for 45m; it will be stopped after 1h"
        );
        assert_eq!(
            warning("`make`", false, minutes(45), None),
            "`make` has run for 45m"
        );
    }

    #[test]
    fn long_commands_are_cut_by_characters() {
        let cut = shorten(&"ä".repeat(100));
        assert_eq!(cut.chars().count(), COMMAND_WIDTH);
        assert!(cut.ends_with('…'));
    }
}
