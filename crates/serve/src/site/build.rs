//! A build: what it does or how it ended, its console, and what it left.

use hyper::StatusCode;
use ward_build::api::{BuildLine, BuildView, Role};
use ward_build::outcome::Checkout;
use ward_model::build::Cause;

use super::console::{Log, Part, Wanted};
use super::job::without_account;
use super::jobs::heading;
use super::search::{self, Search};
use super::sheet::{Sheet, job_parts};
use super::words::{duration, size};
use super::{progress, report};
use crate::builds::{Around, Asked};
use crate::http::Reply;

/// Commits that are shown.
const CHANGES: usize = 100;

/// Artifacts that are shown.
const ARTIFACTS: usize = 500;

/// What a build is called in titles.
pub(super) fn title(line: &BuildLine) -> String {
    format!("{} {}", line.job, line.display_name)
}

/// Where a build is.
pub(super) fn place(line: &BuildLine) -> (Vec<&str>, String) {
    (job_parts(&line.job), line.number.to_string())
}

/// The page of a build.
pub(super) fn show(asked: &Asked, around: &Around<'_>, build: &BuildView) -> Reply {
    let line = &build.line;
    let mut sheet = Sheet::begin(asked, around, &title(line));
    head(&mut sheet, build);
    if !line.description.is_empty() {
        sheet.raw("<p class=\"message\">");
        sheet.text(&line.description);
        sheet.raw("</p>\n");
    }
    sheet.raw("<section id=\"status\" aria-live=\"polite\">");
    progress::status(&mut sheet, build);
    sheet.raw("</section>\n");
    buttons(&mut sheet, around, build);
    facts(&mut sheet, build);
    tests(&mut sheet, build);
    artifacts(&mut sheet, build);
    if let Some(checkout) = &build.checkout {
        changes(&mut sheet, checkout);
    }
    if build.outcome.is_none() {
        sheet.raw("<section id=\"processes\">");
        if let Ok(processes) = around.builds.processes(&line.job, line.number) {
            progress::processes(&mut sheet, &processes);
        }
        sheet.raw("</section>\n");
    }
    if let Some(outcome) = &build.outcome {
        report::show(&mut sheet, outcome);
    }
    sheet.raw("<h2>Console</h2>\n");
    log(&mut sheet, build, Wanted::End, &Search::default());
    sheet.end(StatusCode::OK)
}

/// The page of a build's console alone.
pub(super) fn console(
    asked: &Asked,
    around: &Around<'_>,
    build: &BuildView,
    wanted: Wanted,
) -> Reply {
    let mut sheet = Sheet::begin(asked, around, &format!("{}: console", title(&build.line)));
    head(&mut sheet, build);
    sheet.raw("<section id=\"status\" aria-live=\"polite\">");
    progress::status(&mut sheet, build);
    sheet.raw("</section>\n");
    if build.outcome.is_none() {
        buttons(&mut sheet, around, build);
    }
    log(&mut sheet, build, wanted, &Search::of(asked));
    sheet.end(StatusCode::OK)
}

fn head(sheet: &mut Sheet, build: &BuildView) {
    let line = &build.line;
    let (job, _) = place(line);
    heading(sheet, &line.job);
    sheet.raw("<p>");
    sheet.build(line);
    sheet.raw(" <span class=\"soft\">");
    sheet.moment(line.started_at);
    sheet.raw("</span> ");
    for (label, rel, other) in [("← ", "prev", build.previous), ("→ ", "next", build.next)] {
        let Some(other) = other else { continue };
        let number = other.to_string();
        let mut to = job.clone();
        to.extend([number.as_str(), ""]);
        sheet.raw("<a rel=\"");
        sheet.raw(rel);
        sheet.raw("\" href=\"");
        sheet.to(&to);
        sheet.raw("\">");
        sheet.raw(label);
        sheet.raw("#");
        sheet.show(other);
        sheet.raw("</a> ");
    }
    sheet.raw("<a rel=\"up\" href=\"");
    let mut to = job;
    to.push("");
    sheet.to(&to);
    sheet.raw("\">all builds</a></p>\n");
}

fn buttons(sheet: &mut Sheet, around: &Around<'_>, build: &BuildView) {
    if !around.may(Role::Build) {
        return;
    }
    let (job, number) = place(&build.line);
    let to = |what| {
        let mut to = job.clone();
        to.extend([number.as_str(), "ward", what]);
        to
    };
    sheet.raw("<p>");
    if build.line.result.is_none() {
        sheet.button(&to("stop"), "Stop", "stop");
        sheet.button(&to("force"), "Kill without waiting for clean-up", "stop");
    } else {
        let label = if build.line.keep {
            "Do not keep for ever"
        } else {
            "Keep for ever"
        };
        sheet.button(
            &to(if build.line.keep { "unkeep" } else { "keep" }),
            label,
            "",
        );
        if around.may(Role::Admin) && !build.line.keep {
            sheet.button(&to("delete"), "Delete this build", "stop");
        }
    }
    sheet.raw("</p>\n");
    sheet.raw("<details><summary class=\"soft\">Describe</summary>");
    sheet.form(&to("describe"), "block");
    sheet.raw("<p><input type=\"text\" name=\"description\" aria-label=\"Description\" value=\"");
    sheet.text(&build.line.description);
    sheet.raw("\"> <button>Save</button></p></form></details>\n");
}

fn facts(sheet: &mut Sheet, build: &BuildView) {
    sheet.raw("<dl class=\"facts\">\n");
    for cause in build.causes.iter().take(50) {
        sheet.raw("<dt>Why</dt><dd>");
        sheet.text(&Cause::describe(cause));
        if let Cause::Upstream { job, number, .. } = cause {
            sheet.raw(" ");
            linked(sheet, job, *number);
        }
        sheet.raw("</dd>\n");
    }
    for value in &build.parameters {
        sheet.raw("<dt>");
        sheet.text(&value.name);
        sheet.raw("</dt><dd>");
        sheet.text(if value.secret {
            "••••"
        } else {
            &value.value
        });
        sheet.raw("</dd>\n");
    }
    if let Some(checkout) = &build.checkout {
        sheet.raw("<dt>Commit</dt><dd><code>");
        sheet.text(&checkout.revision);
        sheet.raw("</code> ");
        sheet.text(&checkout.branch);
        sheet.raw(" <small>");
        sheet.text(&without_account(&checkout.url));
        sheet.raw("</small></dd>\n");
    }
    if let Some(outcome) = &build.outcome
        && outcome.job_of_repository
    {
        sheet.raw("<dt>Job</dt><dd>as the commit itself says</dd>\n");
    }
    for (job, number) in &build.started {
        sheet.raw("<dt>Started</dt><dd>");
        linked(sheet, job, *number);
        sheet.raw("</dd>\n");
    }
    for told in &build.notified {
        sheet.raw("<dt>Told</dt><dd>");
        sheet.text(told);
        sheet.raw("</dd>\n");
    }
    sheet.raw("</dl>\n");
}

fn linked(sheet: &mut Sheet, job: &str, number: u32) {
    let number = number.to_string();
    let mut to = job_parts(job);
    to.extend([number.as_str(), ""]);
    sheet.link(&to, &format!("{job} #{number}"));
}

fn tests(sheet: &mut Sheet, build: &BuildView) {
    let Some(tests) = &build.line.tests else {
        return;
    };
    let (mut to, number) = place(&build.line);
    to.extend([number.as_str(), "testReport", ""]);
    sheet.raw("<h2>Tests</h2>\n<p>");
    let all = u64::from(tests.passed) + u64::from(tests.failed) + u64::from(tests.skipped);
    sheet.link(
        &to,
        &format!(
            "{} failed of {all}, {} skipped",
            tests.failed, tests.skipped
        ),
    );
    sheet.raw("</p>\n");
}

fn artifacts(sheet: &mut Sheet, build: &BuildView) {
    let Some(outcome) = build.outcome.as_ref().filter(|it| !it.artifacts.is_empty()) else {
        return;
    };
    sheet.raw("<h2>Artifacts</h2>\n<ul class=\"rows\">\n");
    let (job, number) = place(&build.line);
    for artifact in outcome.artifacts.iter().take(ARTIFACTS) {
        let mut to = job.clone();
        to.extend([number.as_str(), "artifact"]);
        to.extend(artifact.path.split('/'));
        sheet.raw("<li>");
        sheet.link(&to, &artifact.path);
        sheet.raw(" <small title=\"SHA-256 ");
        sheet.text(&artifact.sha256);
        sheet.raw("\">");
        sheet.text(&size(artifact.size));
        sheet.raw("</small></li>\n");
    }
    let more = outcome.artifacts.len().saturating_sub(ARTIFACTS);
    if more > 0 {
        sheet.raw("<li class=\"soft\">and ");
        sheet.show(more);
        sheet.raw(" more</li>\n");
    }
    sheet.raw("</ul>\n<p>");
    let mut to = job;
    to.extend([number.as_str(), "artifact", ""]);
    sheet.link(&to, "As directories");
    sheet.raw("</p>\n");
}

fn changes(sheet: &mut Sheet, checkout: &Checkout) {
    if checkout.changes.is_empty() {
        return;
    }
    sheet.raw("<details open><summary>Changes: ");
    sheet.show(checkout.changes.len());
    sheet.raw("</summary>\n<ul class=\"rows\">\n");
    for change in checkout.changes.iter().take(CHANGES) {
        sheet.raw("<li><code>");
        let short: String = change.revision.chars().take(10).collect();
        sheet.text(&short);
        sheet.raw("</code> ");
        sheet.text(&change.title);
        sheet.raw(" <small>");
        sheet.text(&change.author);
        sheet.raw(", ");
        sheet.moment(change.at.saturating_mul(1000));
        sheet.raw(", ");
        sheet.show(change.paths.len());
        sheet.raw(" files</small></li>\n");
    }
    sheet.raw("</ul></details>\n");
}

/// The end of a log, or the part that is wanted, and ways to the rest.
fn log(sheet: &mut Sheet, build: &BuildView, wanted: Wanted, found: &Search) {
    let part = match Log::open(build).and_then(|log| log.part(wanted)) {
        Ok(part) => part,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && build.log_grows => Part {
            from: 0,
            to: 0,
            length: 0,
            lines: String::new(),
        },
        Err(error) => {
            sheet.raw("<p class=\"message bad\">The log cannot be read: ");
            sheet.show(error);
            sheet.raw("</p>\n");
            return;
        }
    };
    let (job, number) = place(&build.line);
    let to = |more: &[&'static str]| {
        let mut to = job.clone();
        to.push(&number);
        to.extend(more);
        to
    };
    let is_end = part.to >= part.length || wanted == Wanted::End;
    let is_live = build.log_grows && is_end;
    sheet.raw("<div class=\"log-bar\">");
    search::bar(sheet, &to(&["console"]), found);
    if part.from > 0 {
        sheet.raw("<a href=\"");
        sheet.to(&to(&["console"]));
        sheet.raw("?from=0\">Beginning</a>");
    }
    if !is_end {
        sheet.link(&to(&["console"]), "End");
    }
    if part.from > 0 {
        sheet.raw("<a id=\"earlier\" href=\"");
        sheet.to(&to(&["console"]));
        sheet.raw("?before=");
        sheet.show(part.from);
        sheet.raw("\">Show what comes before</a>");
    } else {
        sheet.raw("<a id=\"earlier\" hidden href=\"");
        sheet.to(&to(&["console"]));
        sheet.raw("\">Show what comes before</a>");
    }
    sheet.link(
        &to(&["consoleText"]),
        &format!("Whole log ({})", size(part.length)),
    );
    if is_live {
        sheet.raw("<label hidden><input type=\"checkbox\" id=\"follow\"> Follow ( f )</label>");
    }
    sheet.raw("</div>\n<div class=\"log\" id=\"log\" data-base=\"");
    sheet.to(&to(&[""]));
    sheet.raw("\" data-from=\"");
    sheet.show(part.from);
    sheet.raw("\" data-to=\"");
    sheet.show(part.to);
    sheet.raw(if is_live {
        "\" data-live=\"1\">"
    } else {
        "\">"
    });
    sheet.raw("<div class=\"chunk\">");
    sheet.painted(&part.lines);
    sheet.raw("</div></div>\n");
    if is_live {
        sheet.raw("<p id=\"over\" class=\"message\" hidden>The build is over. <a href=\"\">Load its results</a></p>\n");
        sheet.raw("<noscript><p class=\"soft\">Load this page again to see more.</p></noscript>\n");
    } else if !is_end {
        sheet.raw("<p><a href=\"");
        sheet.to(&to(&["console"]));
        sheet.raw("?from=");
        sheet.show(part.to);
        sheet.raw("\">Show what comes after</a></p>\n");
    }
}

/// The estimate of a build that runs, in words; nothing without one.
pub(super) fn estimated(build: &BuildView) -> Option<String> {
    build.estimate.map(duration)
}
