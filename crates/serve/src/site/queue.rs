//! What waits, why, and for how long.

use hyper::StatusCode;
use ward_build::api::{QueueItem, QueuePlace, Role};
use ward_model::build::Cause;

use super::sheet::{Sheet, job_parts};
use super::words::{between, duration, now};
use crate::builds::{Around, Asked};
use crate::http::Reply;

/// The page of the queue.
pub(super) fn show(asked: &Asked, around: &Around<'_>) -> Reply {
    let mut sheet = Sheet::begin(asked, around, "Queue");
    sheet.raw("<h1>Queue</h1>\n");
    let items = around.builds.queue();
    if items.is_empty() {
        sheet.raw("<p>Nothing waits.</p>\n");
    } else {
        table(&mut sheet, &items, around.may(Role::Build));
    }
    sheet.raw("<h2>Running</h2>\n<ul class=\"rows\">\n");
    let mut runs = false;
    for job in around.builds.jobs() {
        if job.running == 0 {
            continue;
        }
        let Ok(builds) = around.builds.builds(&job.name, None, 50) else {
            continue;
        };
        for build in builds.iter().filter(|build| build.result.is_none()) {
            runs = true;
            sheet.raw("<li>");
            sheet.text(&job.name);
            sheet.raw(" ");
            sheet.build(build);
            sheet.raw(" for ");
            sheet.text(&duration(between(build.started_at, now())));
            sheet.raw("</li>\n");
        }
    }
    sheet.raw("</ul>\n");
    if !runs {
        sheet.raw("<p>Nothing runs.</p>\n");
    }
    sheet.end(StatusCode::OK)
}

/// Requests that wait.
pub(super) fn table(sheet: &mut Sheet, items: &[QueueItem], may_cancel: bool) {
    sheet.raw("<table>\n<thead><tr><th scope=\"col\" class=\"number\">Place</th><th scope=\"col\">Job</th><th scope=\"col\">Why it waits</th><th scope=\"col\" class=\"wide\">Why it was asked for</th><th scope=\"col\" class=\"number wide\">For</th><th scope=\"col\"></th></tr></thead>\n<tbody>\n");
    for item in items {
        sheet.raw("<tr><td class=\"number\">");
        sheet.show(item.position.saturating_add(1));
        sheet.raw("</td><th scope=\"row\">");
        let mut to = job_parts(&item.job);
        to.push("");
        sheet.link(&to, &item.job);
        sheet.raw("</th><td>");
        sheet.text(&item.why);
        if item.stuck {
            sheet.raw(" <strong>It has waited for much longer than its builds take.</strong>");
        }
        sheet.raw("</td><td class=\"wide\">");
        for cause in &item.causes {
            sheet.text(&Cause::describe(cause));
            sheet.raw("<br>");
        }
        for value in &item.parameters {
            sheet.raw("<code>");
            sheet.text(&value.name);
            sheet.raw("=");
            sheet.text(if value.secret {
                "••••"
            } else {
                &value.value
            });
            sheet.raw("</code> ");
        }
        sheet.raw("</td><td class=\"number wide\">");
        sheet.text(&duration(between(item.since, now())));
        sheet.raw("</td><td>");
        if may_cancel && waits(&item.place) {
            let id = item.id.to_string();
            sheet.button(&["queue", "ward", "cancel", &id], "Cancel", "stop");
        }
        sheet.raw("</td></tr>\n");
    }
    sheet.raw("</tbody>\n</table>\n");
}

fn waits(place: &QueuePlace) -> bool {
    match place {
        QueuePlace::Waiting(_) | QueuePlace::Blocked | QueuePlace::Buildable(_) => true,
        QueuePlace::Started(_) | QueuePlace::Cancelled => false,
    }
}
