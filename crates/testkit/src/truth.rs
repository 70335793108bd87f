//! What a report may not say, whatever happened: contradictions within it.

use std::collections::HashSet;

use ward_model::exit_code;
use ward_model::life::{End, Outcome};
use ward_model::report::{FORMAT, Listed, MAX_LISTED, Report};

/// Everything in a report that contradicts something else in it.
#[must_use]
pub fn contradictions(report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("the report contradicts itself: {what}"));
        }
    };

    must(report.format == FORMAT, "its format is not the known one");
    must(!report.ward.is_empty(), "no version");
    must(!report.run_id.is_empty(), "no identity");
    must(!report.command.is_empty(), "no command");
    must(
        is_rfc3339(&report.started_at),
        "the start is not a moment in UTC",
    );

    let outcome = Outcome {
        end: report.end,
        cause: report.cause,
        stopped_before_end: report.stopped_before_end,
        forced: report.forced,
        hurried: report.hurried,
        stalled: report.survivors.count > 0,
        output_cut: report.output.undelivered_bytes > 0,
    };
    must(
        report.exit_status == exit_code::of(&outcome),
        "the exit status does not follow from the rest",
    );

    for (name, listed) in lists(report) {
        let shown = usize::try_from(listed.count)
            .unwrap_or(usize::MAX)
            .min(MAX_LISTED);
        must(
            listed.processes.len() == shown,
            &format!("the count of {name} is not its length"),
        );
        must(
            listed
                .processes
                .iter()
                .all(|process| process.pid > 0 && !process.command.is_empty()),
            &format!("{name} has somebody without a number or a name"),
        );
        must(
            listed.processes.iter().all(|process| process.age >= 0.0),
            &format!("{name} has somebody from the future"),
        );
        must(
            pids(listed).len() == listed.processes.len(),
            &format!("{name} names somebody twice"),
        );
    }

    let (told, cleaned_up) = (pids(&report.told), pids(&report.cleaned_up));
    let (killed, spared) = (pids(&report.killed), pids(&report.spared));
    let whole = report.told.count as usize <= MAX_LISTED;
    must(
        !whole || cleaned_up.is_subset(&told),
        "somebody cleaned up without having been told",
    );
    must(
        cleaned_up.is_disjoint(&killed),
        "somebody cleaned up and was killed",
    );
    must(
        spared.is_disjoint(&told),
        "somebody was spared and told to stop",
    );
    must(
        spared.is_disjoint(&killed),
        "somebody was spared and killed",
    );

    must(
        report.killed.count == 0 || report.forced,
        "somebody was killed without force",
    );
    must(
        report.forced == report.times.kill_began.is_some(),
        "force without a time, or a time without force",
    );
    must(
        report.cause.is_some() || report.told.count == 0,
        "somebody was told for no reason",
    );
    must(
        report.cause.is_some() || report.stops.is_empty(),
        "requests without a reason",
    );
    must(
        report.cause.is_some() || !report.stopped_before_end,
        "stopped for no reason",
    );
    must(
        report.cause.is_some() == report.times.stop_asked.is_some(),
        "a stop without a time, or a time without a stop",
    );
    must(
        report
            .stops
            .iter()
            .map(|stop| stop.cause)
            .max()
            .is_none_or(|gravest| report.cause >= Some(gravest)),
        "the reason is less grave than a request",
    );
    must(
        !report.hurried || report.stops.len() > 1,
        "hurried by nobody",
    );

    let times = &report.times;
    let all = [
        times.leader_ended,
        times.stop_asked,
        times.kill_began,
        times.tree_empty,
        times.output_ended,
    ];
    must(
        all.iter()
            .flatten()
            .all(|moment| (0.0..=times.over).contains(moment)),
        "something happened before the start or after the end",
    );
    let in_order = |earlier: Option<f64>, later: Option<f64>| match (earlier, later) {
        (Some(earlier), Some(later)) => earlier <= later,
        _ => true,
    };
    must(
        in_order(times.stop_asked, times.kill_began),
        "killed before a stop was asked for",
    );
    must(
        in_order(times.leader_ended, times.tree_empty),
        "the tree was empty before the leader ended",
    );
    must(
        report.stops.iter().is_sorted_by(|a, b| a.at <= b.at),
        "the requests are out of order",
    );

    let started = !matches!(report.end, End::NotStarted { .. });
    must(
        started == report.failure.is_none(),
        "a failure without a failed start, or the reverse",
    );
    must(
        !started || report.end == End::Unknown || times.leader_ended.is_some(),
        "the leader ended at no time",
    );
    wrong
}

fn lists(report: &Report) -> [(&'static str, &Listed); 6] {
    [
        ("told", &report.told),
        ("cleaned_up", &report.cleaned_up),
        ("killed", &report.killed),
        ("left_over", &report.left_over),
        ("spared", &report.spared),
        ("survivors", &report.survivors),
    ]
}

/// The numbers of those who are listed.
#[must_use]
pub fn pids(listed: &Listed) -> HashSet<i32> {
    listed.processes.iter().map(|process| process.pid).collect()
}

/// `2026-11-21T10:42:00Z`, with or without a fraction.
#[must_use]
pub fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    bytes.len() > shape.len()
        && bytes.is_ascii()
        && shape.iter().zip(bytes).all(|(want, got)| match want {
            b'd' => got.is_ascii_digit(),
            other => other == got,
        })
        && text[shape.len()..]
            .strip_suffix('Z')
            .is_some_and(|fraction| {
                fraction.is_empty()
                    || fraction.strip_prefix('.').is_some_and(|digits| {
                        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
                    })
            })
}
