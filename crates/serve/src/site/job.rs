//! A job: what it is, how it is started, and its builds.

use hyper::StatusCode;
use ward_build::api::{BuildLine, JobView, Role};
use ward_build::job::{Parameter, ParameterKind};

use super::jobs::heading;
use super::sheet::{Sheet, job_parts};
use super::words::duration;
use super::{queue, trend};
use crate::builds::{Around, Asked};
use crate::http::Reply;

/// Builds on a page.
const BUILDS: usize = 30;

/// Builds whose tests are drawn.
const TESTS: usize = 60;

/// What a parameter's field begins with, so that none can be taken for a field of ours.
pub(super) const FIELD: &str = "p.";

/// The page of a job; `before` is the number of a build, below which the list begins.
pub(super) fn show(
    asked: &Asked,
    around: &Around<'_>,
    job: &JobView,
    before: Option<u32>,
) -> Reply {
    let name = &job.line.name;
    let mut sheet = Sheet::begin(asked, around, name);
    heading(&mut sheet, name);
    if !job.line.display_name.is_empty() && &job.line.display_name != name {
        sheet.raw("<p>");
        sheet.text(&job.line.display_name);
        sheet.raw("</p>\n");
    }
    if !job.line.description.is_empty() {
        sheet.raw("<dl class=\"facts\"><dt>About</dt><dd>");
        sheet.text(&job.line.description);
        sheet.raw("</dd></dl>\n");
    }
    warnings(&mut sheet, job);
    if before.is_none() {
        start(&mut sheet, around, job);
        if !job.queue.is_empty() {
            sheet.raw("<h2>Waiting</h2>\n");
            queue::table(&mut sheet, &job.queue, around.may(Role::Build));
        }
    }
    sheet.raw("<h2>Builds</h2>\n");
    match around.builds.builds(name, before, BUILDS + 1) {
        Ok(mut builds) => {
            let more = builds.len() > BUILDS;
            builds.truncate(BUILDS);
            table(&mut sheet, &builds);
            pages(&mut sheet, name, before, builds.last().filter(|_| more));
        }
        Err(refusal) => {
            sheet.raw("<p class=\"message bad\">");
            sheet.show(refusal);
            sheet.raw("</p>\n");
        }
    }
    if before.is_none() {
        if let Ok(counts) = around.builds.test_trend(name, TESTS) {
            trend::tests(&mut sheet, &counts);
        }
        about(&mut sheet, around, job);
    }
    sheet.end(StatusCode::OK)
}

fn warnings(sheet: &mut Sheet, job: &JobView) {
    if let Some(why) = &job.not_buildable {
        sheet.raw("<p class=\"message bad\">It is not built: ");
        sheet.text(why);
        sheet.raw("</p>\n");
    }
    if job.line.disabled {
        sheet.raw("<p class=\"message warn\">It is disabled: nothing starts it.</p>\n");
    }
    if job.unknown.is_empty() {
        return;
    }
    sheet.raw("<details class=\"message warn\"><summary>");
    sheet.show(job.unknown.len());
    sheet.raw(" parts of its configuration are not known here</summary>\n<ul class=\"rows\">\n");
    for (element, loses) in &job.unknown {
        sheet.raw("<li><code>");
        sheet.text(element);
        sheet.raw("</code>");
        sheet.raw(if *loses {
            " — a build would silently do less than the job says"
        } else {
            " — makes no difference to a build"
        });
        sheet.raw("</li>\n");
    }
    sheet.raw("</ul></details>\n");
}

fn start(sheet: &mut Sheet, around: &Around<'_>, job: &JobView) {
    if job.line.disabled || job.not_buildable.is_some() || !around.may(Role::Build) {
        return;
    }
    let mut to = job_parts(&job.line.name);
    to.extend(["ward", "start"]);
    if job.parameters.is_empty() {
        sheet.button(&to, "Build now", "");
    } else {
        sheet.raw("<details open><summary>Build with parameters</summary>\n");
        sheet.form(&to, "block");
        sheet.raw("<input type=\"hidden\" name=\"given\" value=\"1\">\n");
        for (at, parameter) in job.parameters.iter().enumerate() {
            field(sheet, at, parameter);
        }
        sheet.raw("<p><button>Build</button></p></form></details>\n");
    }
    if let Some(estimate) = job.estimate {
        sheet.raw(" <span class=\"soft\">takes about ");
        sheet.text(&duration(estimate));
        sheet.raw("</span>\n");
    }
}

fn field(sheet: &mut Sheet, at: usize, parameter: &Parameter) {
    sheet.raw("<p><label for=\"field");
    sheet.show(at);
    sheet.raw("\">");
    sheet.text(&parameter.name);
    sheet.raw("</label>");
    let begin = |sheet: &mut Sheet, markup: &'static str| {
        sheet.raw(markup);
        sheet.raw(" id=\"field");
        sheet.show(at);
        sheet.raw("\" name=\"");
        sheet.raw(FIELD);
        sheet.text(&parameter.name);
        sheet.raw("\"");
    };
    match &parameter.kind {
        ParameterKind::Text { default, .. } => {
            begin(sheet, "<input type=\"text\"");
            sheet.raw(" value=\"");
            sheet.text(default);
            sheet.raw("\">");
        }
        ParameterKind::Lines { default } => {
            begin(sheet, "<textarea rows=\"4\"");
            // The first line end after the tag is not part of the text.
            sheet.raw(">\n");
            sheet.text(default);
            sheet.raw("</textarea>");
        }
        ParameterKind::Boolean { default } => {
            begin(sheet, "<input type=\"checkbox\" value=\"true\"");
            sheet.raw(if *default { " checked>" } else { ">" });
        }
        ParameterKind::Choice { choices } => {
            begin(sheet, "<select");
            sheet.raw(">");
            for choice in choices {
                sheet.raw("<option>");
                sheet.text(choice);
                sheet.raw("</option>");
            }
            sheet.raw("</select>");
        }
        ParameterKind::Password { .. } => {
            begin(sheet, "<input type=\"password\" autocomplete=\"off\"");
            sheet.raw(" placeholder=\"unchanged\">");
        }
    }
    if !parameter.description.is_empty() {
        sheet.raw("<br><small>");
        sheet.text(&parameter.description);
        sheet.raw("</small>");
    }
    sheet.raw("</p>\n");
}

fn table(sheet: &mut Sheet, builds: &[BuildLine]) {
    if builds.is_empty() {
        sheet.raw("<p>There are none.</p>\n");
        return;
    }
    sheet.raw("<table>\n<thead><tr><th scope=\"col\">Build</th><th scope=\"col\">When</th><th scope=\"col\" class=\"number\">Took</th><th scope=\"col\" class=\"wide\">Commit</th><th scope=\"col\" class=\"wide\">Tests</th><th scope=\"col\" class=\"wide\">Description</th></tr></thead>\n<tbody>\n");
    for build in builds {
        sheet.raw("<tr><th scope=\"row\">");
        sheet.build(build);
        if build.keep {
            sheet.raw(" <small>kept</small>");
        }
        sheet.raw("</th><td>");
        sheet.moment(build.started_at);
        sheet.raw("</td><td class=\"number\">");
        if build.result.is_some() {
            sheet.text(&duration(build.duration));
        }
        sheet.raw("</td><td class=\"wide\">");
        if let Some(revision) = &build.revision {
            sheet.raw("<code>");
            let short: String = revision.chars().take(10).collect();
            sheet.text(&short);
            sheet.raw("</code> ");
        }
        if let Some(branch) = &build.branch {
            sheet.text(branch);
        }
        sheet.raw("</td><td class=\"wide\">");
        if let Some(tests) = &build.tests {
            if tests.failed > 0 {
                sheet.show(tests.failed);
                sheet.raw(" failed of ");
            }
            sheet
                .show(u64::from(tests.failed) + u64::from(tests.passed) + u64::from(tests.skipped));
        }
        sheet.raw("</td><td class=\"wide\">");
        sheet.text(&build.description);
        sheet.raw("</td></tr>\n");
    }
    sheet.raw("</tbody>\n</table>\n");
}

fn pages(sheet: &mut Sheet, name: &str, before: Option<u32>, last: Option<&BuildLine>) {
    let to = |sheet: &mut Sheet| {
        let mut to = job_parts(name);
        to.push("");
        sheet.to(&to);
    };
    sheet.raw("<p>");
    if before.is_some() {
        sheet.raw("<a rel=\"prev\" href=\"");
        to(sheet);
        sheet.raw("\">Newest</a> ");
    }
    if let Some(last) = last {
        sheet.raw("<a rel=\"next\" href=\"");
        to(sheet);
        sheet.raw("?before=");
        sheet.show(last.number);
        sheet.raw("\">Older</a>");
    }
    sheet.raw("</p>\n");
}

fn about(sheet: &mut Sheet, around: &Around<'_>, job: &JobView) {
    let name = &job.line.name;
    sheet.raw("<h2>About this job</h2>\n<dl class=\"facts\">\n");
    if let Some(source) = &job.job.source {
        sheet.raw("<dt>Repository</dt><dd>");
        sheet.text(&without_account(&source.url));
        sheet.raw(" <small>");
        sheet.text(&source.branches.join(", "));
        sheet.raw("</small></dd>\n");
    }
    for (label, jobs) in [
        ("Started by builds of", &job.upstream),
        ("Starts builds of", &job.downstream),
    ] {
        if jobs.is_empty() {
            continue;
        }
        sheet.raw("<dt>");
        sheet.raw(label);
        sheet.raw("</dt><dd>");
        for other in jobs {
            let mut to = job_parts(other);
            to.push("");
            sheet.link(&to, other);
            sheet.raw(" ");
        }
        sheet.raw("</dd>\n");
    }
    if !job.job.locks.is_empty() {
        sheet.raw("<dt>Locks</dt><dd>");
        sheet.text(&job.job.locks.join(", "));
        sheet.raw("</dd>\n");
    }
    if let Some(workspace) = &job.workspace {
        sheet.raw("<dt>Workspace</dt><dd><code>");
        sheet.show(workspace.display());
        sheet.raw("</code>");
        if around.may(Role::Build) {
            let mut to = job_parts(name);
            to.extend(["ws", ""]);
            sheet.raw(" ");
            sheet.link(&to, "look into it");
        }
        sheet.raw("</dd>\n");
    }
    sheet.raw("<dt>Kept in</dt><dd>");
    sheet.raw(if job.of_file {
        "the configuration file of this server"
    } else {
        "this server, as it was sent"
    });
    sheet.raw("</dd>\n<dt>Badge</dt><dd>");
    let mut to = job_parts(name);
    to.push("badge.svg");
    sheet.raw("<a href=\"");
    sheet.to(&to);
    sheet.raw("\"><img alt=\"the job's badge\" src=\"");
    sheet.to(&to);
    sheet.raw("\"></a></dd>\n</dl>\n<p>");
    if job.job.source.is_some() {
        let mut to = job_parts(name);
        to.extend(["ward", "poll"]);
        sheet.link(&to, "What the last look at the repository said");
        sheet.raw(" ");
        if around.may(Role::Build) {
            sheet.button(&to, "Look for changes now", "");
        }
    }
    if around.may(Role::Admin) {
        let mut to = job_parts(name);
        to.extend([
            "ward",
            if job.line.disabled {
                "enable"
            } else {
                "disable"
            },
        ]);
        let label = if job.line.disabled {
            "Enable"
        } else {
            "Disable"
        };
        sheet.button(&to, label, "");
        let mut to = job_parts(name);
        to.extend(["ward", "wipe"]);
        sheet.button(&to, "Empty the workspace", "stop");
    }
    sheet.raw("</p>\n");
}

/// An address without the name and password that may be in it.
pub(super) fn without_account(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{}", rest.get(at + 1..).unwrap_or_default()),
        None => url.to_owned(),
    }
}

/// What the last look at a job's repository said.
pub(super) fn poll_log(asked: &Asked, around: &Around<'_>, job: &JobView) -> Reply {
    let name = &job.line.name;
    let mut sheet = Sheet::begin(asked, around, &format!("{name}: looking for changes"));
    heading(&mut sheet, name);
    match around.builds.poll_log(name) {
        Ok(Some((at, text))) => {
            sheet.raw("<p>");
            sheet.moment(at);
            sheet.raw("</p>\n<pre>");
            sheet.text(&text);
            sheet.raw("</pre>\n");
        }
        Ok(None) => sheet.raw("<p>Nobody has looked yet.</p>\n"),
        Err(refusal) => {
            sheet.raw("<p class=\"message bad\">");
            sheet.show(refusal);
            sheet.raw("</p>\n");
        }
    }
    sheet.end(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::without_account;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("https://u:p@h/x", "https://h/x"),
            ("https://u:p@h", "https://h"),
            ("https://h/x@y", "https://h/x@y"),
            ("git@h:x", "git@h:x"),
            ("/srv/x", "/srv/x"),
        ] {
            assert_eq!(without_account(url), shown);
        }
    }
}
