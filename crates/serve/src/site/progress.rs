//! What a build that runs is doing, who stops it, and its processes: the panels of its page that change.

use ward_build::api::{BuildView, ProcessLine};
use ward_build::state::{Phase, StopHeeded};

use super::build::estimated;
use super::sheet::Sheet;
use super::words::{between, duration, now};

/// Processes that are shown.
const PROCESSES: usize = 200;

/// How far it is, or how it ended.
pub(super) fn status(sheet: &mut Sheet, build: &BuildView) {
    match &build.outcome {
        Some(outcome) => {
            sheet.raw("<p>It took ");
            sheet.text(&duration(between(outcome.started_at, outcome.ended_at)));
            sheet.raw(".");
            if let Some(why) = &outcome.why {
                sheet.raw(" <strong>");
                sheet.text(why);
                sheet.raw("</strong>");
            }
            sheet.raw("</p>\n");
            if let Some(stop) = &outcome.stop {
                sheet.raw("<p>");
                stopped(sheet, stop);
                sheet.raw(" and over ");
                sheet.text(&duration(between(stop.at, outcome.ended_at)));
                sheet.raw(" later.</p>\n");
            }
        }
        None => running(sheet, build),
    }
}

fn running(sheet: &mut Sheet, build: &BuildView) {
    let Some(result) = build.line.result else {
        let since = between(build.line.started_at, now());
        sheet.raw("<p>Running for ");
        // Whole seconds: the panel is sent again when it changes.
        sheet.text(&duration(since / 1000 * 1000));
        if let (Some(estimate), Some(words)) = (build.estimate, estimated(build)) {
            sheet.raw(" of about ");
            sheet.text(&words);
            sheet.raw(" <progress max=\"100\" value=\"");
            sheet.show((since * 100).checked_div(estimate).unwrap_or(100).min(100));
            sheet.raw("\"></progress>");
        }
        if let Some(state) = &build.state {
            sheet.raw(" · ");
            sheet.raw(match state.phase {
                Phase::Locks => "waiting for locks",
                Phase::Checkout => "checking out",
                Phase::Steps => "running steps",
                Phase::Results => "keeping results",
            });
            if !state.doing.is_empty() {
                sheet.raw(": ");
                sheet.text(&state.doing);
            }
        }
        sheet.raw("</p>\n");
        if let Some(stop) = build.state.as_ref().and_then(|state| state.stop.as_ref()) {
            stopping(sheet, stop);
        }
        return;
    };
    sheet.raw("<p>It took ");
    sheet.text(&duration(build.line.duration));
    sheet.raw(", with the result ");
    sheet.text(result.word());
    sheet.raw(".</p>\n");
}

fn stopped(sheet: &mut Sheet, stop: &StopHeeded) {
    sheet.raw(if stop.forced {
        "Killed by "
    } else {
        "Stopped by "
    });
    sheet.text(&stop.by);
}

fn stopping(sheet: &mut Sheet, stop: &StopHeeded) {
    sheet.raw("<p class=\"message warn\">");
    stopped(sheet, stop);
    let gone = between(stop.at, now());
    if stop.forced {
        sheet.raw(": everything is being killed.");
    } else if gone < stop.grace {
        sheet.raw(": cleaning up, ");
        let left = (stop.grace - gone).div_ceil(1000);
        sheet.show(left);
        sheet.raw(" s of ");
        sheet.show(stop.grace.div_ceil(1000));
        sheet.raw(" s left <progress max=\"");
        sheet.show(stop.grace.div_ceil(1000));
        sheet.raw("\" value=\"");
        sheet.show(left);
        sheet.raw("\"></progress>");
    } else {
        sheet.raw(": the time for clean-up is over, what is left is being killed.");
    }
    sheet.raw("</p>\n");
}

/// The processes of a build that runs, as a tree.
pub(super) fn processes(sheet: &mut Sheet, processes: &[ProcessLine]) {
    if processes.is_empty() {
        return;
    }
    sheet.raw("<h2>Processes</h2>\n<ul class=\"rows\">\n");
    for process in processes.iter().take(PROCESSES) {
        sheet.raw(match process.depth {
            0 => "<li>",
            1 => "<li class=\"d1\">",
            2 => "<li class=\"d2\">",
            3 => "<li class=\"d3\">",
            4 => "<li class=\"d4\">",
            5 => "<li class=\"d5\">",
            6 => "<li class=\"d6\">",
            _ => "<li class=\"d7\">",
        });
        sheet.raw("<code>");
        sheet.show(process.pid);
        sheet.raw(" ");
        sheet.text(&process.command);
        sheet.raw("</code> <small>");
        // Rounded, so that the panel is not sent again all the time.
        sheet.text(&duration(process.age / 5 * 5000));
        sheet.raw("</small></li>\n");
    }
    let more = processes.len().saturating_sub(PROCESSES);
    if more > 0 {
        sheet.raw("<li class=\"soft\">and ");
        sheet.show(more);
        sheet.raw(" more</li>\n");
    }
    sheet.raw("</ul>\n");
}
