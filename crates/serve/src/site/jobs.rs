//! Lists of jobs: all of them, those of a folder, those of a view.

use hyper::StatusCode;
use ward_build::api::{JobLine, Role};

use super::sheet::{Sheet, job_parts};
use super::trend;
use super::words::duration;
use crate::builds::{Around, Asked};
use crate::http::Reply;

/// Folders that are named on a page.
const FOLDERS: usize = 500;

/// All jobs.
pub(super) fn all(asked: &Asked, around: &Around<'_>) -> Reply {
    let server = around.builds.server();
    let mut sheet = Sheet::begin(asked, around, &format!("Jobs · {}", server.node));
    sheet.raw("<h1>Jobs</h1>\n");
    if let Some(reason) = &server.quieting_down {
        sheet.raw("<p class=\"message warn\">No builds are started: ");
        sheet.text(reason);
        sheet.raw("</p>\n");
    }
    sheet.raw("<p class=\"soft\">");
    sheet.show(server.busy);
    sheet.raw(" of ");
    sheet.show(server.executors);
    sheet.raw(" executors are busy, ");
    sheet.show(server.waiting);
    sheet.raw(if server.waiting == 1 {
        " request waits"
    } else {
        " requests wait"
    });
    sheet.raw(" · ward ");
    sheet.text(&server.version);
    let views = around.builds.views();
    if views.len() > 1 {
        sheet.raw(" · views: ");
        for view in &views {
            sheet.link(&["view", &view.name, ""], &view.name);
            sheet.raw(" ");
        }
    }
    sheet.raw("</p>\n");
    folders(&mut sheet, around, "");
    table(
        &mut sheet,
        &around.builds.jobs(),
        "",
        around.may(Role::Build),
    );
    sheet.end(StatusCode::OK)
}

/// The jobs of a folder.
pub(super) fn folder(asked: &Asked, around: &Around<'_>, name: &str) -> Reply {
    let mut sheet = Sheet::begin(asked, around, name);
    heading(&mut sheet, name);
    let prefix = format!("{name}/");
    folders(&mut sheet, around, &prefix);
    let mut jobs = around.builds.jobs();
    jobs.retain(|job| job.name.starts_with(&prefix));
    table(&mut sheet, &jobs, &prefix, around.may(Role::Build));
    sheet.end(StatusCode::OK)
}

/// The folders that are directly in one, whether or not there is anything in them.
fn folders(sheet: &mut Sheet, around: &Around<'_>, prefix: &str) {
    let all = around.builds.folders();
    let within = all.iter().filter_map(|name| {
        let rest = name.strip_prefix(prefix)?;
        (!rest.is_empty() && !rest.contains('/')).then_some((name, rest))
    });
    let within: Vec<_> = within.take(FOLDERS).collect();
    if within.is_empty() {
        return;
    }
    sheet.raw("<p>Folders: ");
    for (name, label) in within {
        let mut to = job_parts(name);
        to.push("");
        sheet.link(&to, label);
        sheet.raw(" ");
    }
    sheet.raw("</p>\n");
}

/// The jobs of a view.
pub(super) fn view(asked: &Asked, around: &Around<'_>, name: &str) -> Option<Reply> {
    let view = around
        .builds
        .views()
        .into_iter()
        .find(|view| view.name == name)?;
    let mut sheet = Sheet::begin(asked, around, name);
    sheet.raw("<h1>");
    sheet.text(name);
    sheet.raw("</h1>\n");
    let mut jobs = around.builds.jobs();
    jobs.retain(|job| view.jobs.contains(&job.name));
    table(&mut sheet, &jobs, "", around.may(Role::Build));
    Some(sheet.end(StatusCode::OK))
}

/// The name of a job or a folder, with links to the folders that it is in.
pub(super) fn heading(sheet: &mut Sheet, name: &str) {
    sheet.raw("<h1>");
    let mut above = Vec::new();
    let parts: Vec<&str> = name.split('/').collect();
    for (at, part) in parts.iter().enumerate() {
        above.extend(["job", part]);
        if at > 0 {
            sheet.raw(" / ");
        }
        if at + 1 == parts.len() {
            sheet.text(part);
        } else {
            let mut to = above.clone();
            to.push("");
            sheet.link(&to, part);
        }
    }
    sheet.raw("</h1>\n");
}

fn table(sheet: &mut Sheet, jobs: &[JobLine], prefix: &str, may_build: bool) {
    if jobs.is_empty() {
        sheet.raw("<p>There are no jobs here.</p>\n");
        return;
    }
    sheet.raw("<p><input id=\"filter\" type=\"search\" hidden placeholder=\"Filter ( / )\" aria-label=\"Filter by name\"></p>\n");
    sheet.raw("<table>\n<thead><tr><th scope=\"col\">Job</th><th scope=\"col\">Last build</th><th scope=\"col\" class=\"wide\">When</th><th scope=\"col\" class=\"number wide\">Took</th><th scope=\"col\" class=\"wide\">Trend</th><th scope=\"col\"><span class=\"soft\"></span></th></tr></thead>\n<tbody>\n");
    for job in jobs {
        row(sheet, job, prefix, may_build);
    }
    sheet.raw("</tbody>\n</table>\n");
}

fn row(sheet: &mut Sheet, job: &JobLine, prefix: &str, may_build: bool) {
    sheet.raw("<tr data-name=\"");
    sheet.text(&job.name);
    sheet.raw("\"><th scope=\"row\">");
    let mut to = job_parts(&job.name);
    to.push("");
    let label = if job.display_name.is_empty() || job.display_name == job.name {
        job.name.strip_prefix(prefix).unwrap_or(&job.name)
    } else {
        &job.display_name
    };
    sheet.link(&to, label);
    if job.disabled {
        sheet.raw(" <small>disabled</small>");
    }
    if job.waiting > 0 {
        sheet.raw(" <small>");
        sheet.show(job.waiting);
        sheet.raw(" waiting</small>");
    }
    sheet.raw("</th><td>");
    if let Some(last) = &job.last {
        sheet.build(last);
    }
    sheet.raw("</td><td class=\"wide\">");
    if let Some(last) = &job.last {
        sheet.moment(last.started_at);
    }
    sheet.raw("</td><td class=\"number wide\">");
    if let Some(completed) = &job.last_completed {
        sheet.text(&duration(completed.duration));
    }
    sheet.raw("</td><td class=\"wide\">");
    trend::results(sheet, &job.trend);
    sheet.raw("</td><td>");
    if may_build && !job.disabled {
        to.pop();
        to.extend(["ward", "start"]);
        sheet.button(&to, "Build", "");
    }
    sheet.raw("</td></tr>\n");
}
