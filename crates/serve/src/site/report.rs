//! What became of the processes of a build, step by step.

use ward_build::outcome::Outcome;
use ward_model::life::End;
use ward_model::report::{Listed, Report};

use super::sheet::Sheet;
use super::words::size;

/// Processes of a kind that are shown.
const SHOWN: usize = 50;

/// How each step ended, and whom it left behind.
pub(super) fn show(sheet: &mut Sheet, outcome: &Outcome) {
    if outcome.steps.is_empty() {
        return;
    }
    sheet.raw("<h2>Steps</h2>\n");
    for step in &outcome.steps {
        let report = &step.report;
        sheet.raw(if is_remarkable(report) {
            "<details open><summary>"
        } else {
            "<details><summary>"
        });
        sheet.result(Some(step.result));
        sheet.raw(" ");
        sheet.text(&step.title);
        sheet.raw(" <small>");
        sheet.text(&ended(report));
        sheet.raw(", ");
        sheet.text(&format!("{:.1} s", report.times.over));
        sheet.raw("</small></summary>\n");
        processes(sheet, report);
        usage(sheet, report);
        sheet.raw("</details>\n");
    }
}

/// Whether there is more to it than that it ended.
fn is_remarkable(report: &Report) -> bool {
    [
        &report.killed,
        &report.left_over,
        &report.spared,
        &report.survivors,
    ]
    .iter()
    .any(|listed| listed.count > 0)
        || !report.stops.is_empty()
        || report.failure.is_some()
        || report.guardian_lost
}

fn ended(report: &Report) -> String {
    if let Some(failure) = &report.failure {
        return format!("was not started: {}: {}", failure.step, failure.message);
    }
    match report.end {
        End::Exited { code } => format!("exit status {code}"),
        End::Signaled { signal, .. } => format!("ended by {signal}"),
        End::NotStarted { errno, .. } => format!("was not started: error {errno}"),
        End::Unknown => "nobody learned how it ended".to_owned(),
    }
}

fn processes(sheet: &mut Sheet, report: &Report) {
    for (label, listed) in [
        ("could not be ended", &report.survivors),
        ("had to be killed", &report.killed),
        ("outlived the step", &report.left_over),
        ("stay on purpose", &report.spared),
        ("were told to stop", &report.told),
        ("cleaned up and ended", &report.cleaned_up),
    ] {
        list(sheet, label, listed);
    }
    if report.guardian_lost {
        sheet.raw(
            "<p class=\"message bad\">The process that had this step in custody was killed.</p>\n",
        );
    }
}

fn list(sheet: &mut Sheet, label: &'static str, listed: &Listed) {
    if listed.count == 0 {
        return;
    }
    sheet.raw("<p>");
    sheet.show(listed.count);
    sheet.raw(if listed.count == 1 {
        " process "
    } else {
        " processes "
    });
    sheet.raw("— ");
    sheet.raw(label);
    sheet.raw(":</p>\n<ul class=\"rows\">\n");
    for process in listed.processes.iter().take(SHOWN) {
        sheet.raw("<li><code>");
        sheet.show(process.pid);
        sheet.raw(" ");
        let command: String = process.command.chars().take(400).collect();
        sheet.text(&command);
        sheet.raw("</code> <small>");
        let mut said = vec![format!("child of {}", process.ppid)];
        if process.age > 0.0 {
            said.push(format!("{:.1} s old", process.age));
        }
        if !process.holds.is_empty() {
            said.push(format!("holds {}", process.holds.join(" and ")));
        }
        if let Some(after) = process.ended_after {
            said.push(format!("ended after {after:.1} s"));
        }
        said.extend(process.why.clone());
        sheet.text(&said.join(", "));
        sheet.raw("</small></li>\n");
    }
    let more = listed
        .count
        .saturating_sub(listed.processes.len().min(SHOWN) as u64);
    if more > 0 {
        sheet.raw("<li class=\"soft\">and ");
        sheet.show(more);
        sheet.raw(" more</li>\n");
    }
    sheet.raw("</ul>\n");
}

fn usage(sheet: &mut Sheet, report: &Report) {
    let usage = &report.usage;
    sheet.raw("<p class=\"soft\">CPU ");
    sheet.text(&format!("{:.1} s", usage.cpu_user + usage.cpu_system));
    sheet.raw(" · memory ");
    sheet.text(&size(
        usage
            .memory_peak_bytes
            .unwrap_or(usage.largest_process_bytes),
    ));
    sheet.raw(" · output ");
    sheet.text(&size(
        report.output.stdout_bytes + report.output.stderr_bytes,
    ));
    if let Some(kills @ 1..) = usage.oom_kills {
        sheet.raw(" · <strong>");
        sheet.show(kills);
        sheet.raw(" killed for want of memory</strong>");
    }
    sheet.raw("</p>\n");
}
