//! What the runner itself says on the console, where it is more than a word.

use std::time::Duration;

use ward_model::build::{BuildResult, Cause};
use ward_model::report::{Listed, Process, Report};

use super::worker::Over;

/// So many processes are named.
const NAMED: usize = 8;
/// So much of a command is shown, characters.
const COMMAND: usize = 80;
/// Builds that started builds that started builds: so many are told of.
const DEEP: usize = 8;

/// A duration as people say it, to the second where that is enough.
pub(super) fn span(duration: Duration) -> String {
    let rounded = if duration >= Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    } else {
        duration
    };
    humantime::format_duration(rounded).to_string()
}

/// Why the build was started.
pub(super) fn causes(causes: &[Cause]) -> Vec<String> {
    let mut lines = Vec::new();
    for cause in causes {
        tell_cause(cause, 0, &mut lines);
    }
    lines
}

fn tell_cause(cause: &Cause, depth: usize, lines: &mut Vec<String>) {
    lines.push(format!("{}{}", " ".repeat(depth), cause.describe()));
    if let Cause::Upstream { causes, .. } = cause
        && depth < DEEP
        && !causes.is_empty()
    {
        lines.push(format!("{}originally caused by:", " ".repeat(depth)));
        for cause in causes {
            tell_cause(cause, depth + 1, lines);
        }
    }
}

/// Which limit, for people.
pub(super) fn limit(over: Over) -> String {
    match over {
        Over::Time(all) => format!("the time limit of {}", span(all)),
        Over::Idle(all) => format!("the limit of {} without output", span(all)),
    }
}

/// A limit of the build is over.
pub(super) fn timed_out(over: Over, result: BuildResult) -> String {
    let why = match over {
        Over::Time(all) if all.as_secs() >= 60 && all.as_secs().is_multiple_of(60) => {
            format!("after {} minutes", all.as_secs() / 60)
        }
        Over::Time(all) => format!("after {}", span(all)),
        Over::Idle(all) => format!("nothing was written for {}", span(all)),
    };
    let becomes = match result {
        BuildResult::Failure => "failed",
        BuildResult::Success
        | BuildResult::Unstable
        | BuildResult::NotBuilt
        | BuildResult::Aborted => "aborted",
    };
    format!("Build timed out ({why}). Marking the build as {becomes}.")
}

/// A limit of what is done in spite of a stop is over.
pub(super) fn took_too_long(over: Over) -> String {
    match over {
        Over::Time(all) | Over::Idle(all) => {
            format!("After a stop it may take {}: stopping it", span(all))
        }
    }
}

/// Who was told to stop, and what became of them.
pub(super) fn told(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, listed) in [
        ("Told to stop", &report.told),
        ("Cleaned up and ended", &report.cleaned_up),
        ("Killed", &report.killed),
        ("Could not be ended", &report.survivors),
    ] {
        if listed.count > 0 {
            lines.push(format!("{what}: {}", names(listed)));
        }
    }
    lines
}

/// A guardian was killed.
pub(super) fn guardian_lost(name: &str, killed: &Listed, left: &Listed) -> Vec<String> {
    let mut lines = vec![if killed.count == 0 {
        format!("The process that guarded {name} was killed; nothing was left of it")
    } else {
        format!(
            "The process that guarded {name} was killed; killed what it guarded: {}",
            names(killed)
        )
    }];
    if left.count > 0 {
        lines.push(format!("Could not be ended: {}", names(left)));
    }
    lines
}

fn names(listed: &Listed) -> String {
    let shown: Vec<String> = listed.processes.iter().take(NAMED).map(name).collect();
    let more = listed.count.saturating_sub(shown.len() as u64);
    let mut text = shown.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn name(process: &Process) -> String {
    let command: String = process
        .command
        .chars()
        .take(COMMAND)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let cut = if process.command.chars().nth(COMMAND).is_some() {
        "…"
    } else {
        ""
    };
    let took = process
        .ended_after
        .map_or(String::new(), |seconds| format!(" ({seconds:.1}s)"));
    format!("{} `{command}{cut}`{took}", process.pid)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ward_model::build::{BuildResult, Cause};
    use ward_model::report::{Listed, Process};

    use super::{Over, causes, names, timed_out};

    #[test]
    fn limits_are_told_as_clients_know_them() {
        let minutes = Over::Time(Duration::from_secs(600));
        assert_eq!(
            timed_out(minutes, BuildResult::Aborted),
            "Build timed out (after 10 minutes). Marking the build as aborted."
        );
        let seconds = Over::Idle(Duration::from_secs(90));
        assert_eq!(
            timed_out(seconds, BuildResult::Failure),
            "Build timed out (nothing was written for 1m 30s). Marking the build as failed."
        );
    }

    #[test]
    fn causes_of_causes() {
        let first = Cause::Upstream {
            job: "a".to_owned(),
            number: 1,
            causes: vec![Cause::Timer],
        };
        let lines = causes(&[first]);
        assert_eq!(
            lines,
            [
                "Started by upstream project \"a\" build number 1",
                "originally caused by:",
                " Started by timer"
            ]
        );
        let mut deep = Cause::Timer;
        for _ in 0..100 {
            deep = Cause::Upstream {
                job: "a".to_owned(),
                number: 1,
                causes: vec![deep],
            };
        }
        assert!(causes(&[deep]).len() < 30);
    }

    #[test]
    fn many_processes_are_few_words() {
        let mut listed = Listed::default();
        for pid in 1..=20 {
            listed.push(Process {
                pid,
                command: "sleep\n600".to_owned(),
                ..Process::default()
            });
        }
        let text = names(&listed);
        assert!(text.starts_with("1 `sleep 600`, 2 ") && text.ends_with(" and 12 more"));
    }
}
