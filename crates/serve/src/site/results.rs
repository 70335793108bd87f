//! The test results of a build: what got worse first.

use hyper::StatusCode;
use ward_build::api::BuildView;
use ward_build::outcome::{TestCase, TestStatus, TestSuite};

use super::build::title;
use super::sheet::{Sheet, job_parts};
use super::{jobs::heading, trend};
use crate::builds::{Around, Asked};
use crate::http::Reply;

/// Failed tests that are shown with what they said.
const FAILED: usize = 500;

/// Other tests of a suite that are named.
const NAMED: usize = 1000;

/// Other tests that are named on the whole page.
const ALL_NAMED: usize = 5000;

/// Builds that are drawn.
const TREND: usize = 60;

/// The page of test results.
pub(super) fn show(asked: &Asked, around: &Around<'_>, build: &BuildView) -> Option<Reply> {
    let line = &build.line;
    let suites = around.builds.tests(&line.job, line.number).ok()?;
    let mut sheet = Sheet::begin(asked, around, &format!("{}: tests", title(line)));
    heading(&mut sheet, &line.job);
    sheet.raw("<p>Tests of ");
    sheet.build(line);
    sheet.raw("</p>\n");
    if let Some(tests) = &line.tests {
        sheet.raw("<p>");
        sheet.show(tests.failed);
        sheet.raw(" failed, ");
        sheet.show(tests.passed);
        sheet.raw(" passed, ");
        sheet.show(tests.skipped);
        sheet.raw(" skipped.</p>\n");
    }
    if let Ok(counts) = around.builds.test_trend(&line.job, TREND) {
        trend::tests(&mut sheet, &counts);
    }
    let mut left = FAILED;
    for (label, status) in [
        ("Failed, and did not before", TestStatus::Regression),
        ("Failed again", TestStatus::Failed),
    ] {
        failures(
            &mut sheet,
            line.job.as_str(),
            &suites,
            (label, status),
            &mut left,
        );
    }
    if left == 0 {
        sheet.raw("<p class=\"message warn\">Only the first failures are shown.</p>\n");
    }
    names(&mut sheet, &suites, "Fixed", |case| {
        case.status == TestStatus::Fixed
    });
    names(&mut sheet, &suites, "Skipped", |case| {
        case.status == TestStatus::Skipped
    });
    sheet.raw("<h2>Suites</h2>\n");
    let mut left = ALL_NAMED;
    for suite in &suites {
        whole(&mut sheet, suite, &mut left);
    }
    Some(sheet.end(StatusCode::OK))
}

fn of<'a>(
    suites: &'a [TestSuite],
    wanted: impl Fn(&TestCase) -> bool + 'a,
) -> impl Iterator<Item = &'a TestCase> {
    suites
        .iter()
        .flat_map(|suite| &suite.cases)
        .filter(move |case| wanted(case))
}

fn failures(
    sheet: &mut Sheet,
    job: &str,
    suites: &[TestSuite],
    (label, status): (&'static str, TestStatus),
    left: &mut usize,
) {
    let mut cases = of(suites, |case| case.status == status).peekable();
    if cases.peek().is_none() {
        return;
    }
    sheet.raw("<h2>");
    sheet.raw(label);
    sheet.raw("</h2>\n");
    for case in cases {
        if *left == 0 {
            return;
        }
        *left -= 1;
        sheet.raw("<details><summary><span class=\"result failure\"></span>");
        name(sheet, case);
        if let Some(message) = &case.message {
            sheet.raw(": ");
            let short: String = message.chars().take(300).collect();
            sheet.text(&short);
        }
        if case.age > 1 {
            sheet.raw(" <small>since ");
            let number = case.failed_since.to_string();
            let mut to = job_parts(job);
            to.extend([number.as_str(), ""]);
            sheet.link(&to, &format!("#{number}"));
            sheet.raw(", ");
            sheet.show(case.age);
            sheet.raw(" builds</small>");
        }
        sheet.raw("</summary>\n");
        for (label, text) in [
            ("", &case.message),
            ("", &case.details),
            ("Standard output", &case.stdout),
            ("Standard error", &case.stderr),
        ] {
            let Some(text) = text.as_ref().filter(|text| !text.is_empty()) else {
                continue;
            };
            if !label.is_empty() {
                sheet.raw("<small>");
                sheet.raw(label);
                sheet.raw("</small>");
            }
            sheet.raw("<pre>\n");
            sheet.text(text);
            sheet.raw("</pre>\n");
        }
        sheet.raw("</details>\n");
    }
}

fn name(sheet: &mut Sheet, case: &TestCase) {
    if !case.class.is_empty() {
        sheet.text(&case.class);
        sheet.raw(".");
    }
    sheet.text(&case.name);
}

fn names(
    sheet: &mut Sheet,
    suites: &[TestSuite],
    label: &'static str,
    wanted: impl Fn(&TestCase) -> bool + Copy,
) {
    let count = of(suites, wanted).count();
    if count == 0 {
        return;
    }
    sheet.raw("<details><summary>");
    sheet.raw(label);
    sheet.raw(": ");
    sheet.show(count);
    sheet.raw("</summary>\n<ul class=\"rows\">\n");
    for case in of(suites, wanted).take(NAMED) {
        sheet.raw("<li>");
        name(sheet, case);
        if let Some(message) = &case.message {
            sheet.raw(" <small>");
            let short: String = message.chars().take(300).collect();
            sheet.text(&short);
            sheet.raw("</small>");
        }
        sheet.raw("</li>\n");
    }
    and_more(sheet, count.saturating_sub(NAMED));
    sheet.raw("</ul></details>\n");
}

fn and_more(sheet: &mut Sheet, more: usize) {
    if more > 0 {
        sheet.raw("<li class=\"soft\">and ");
        sheet.show(more);
        sheet.raw(" more</li>\n");
    }
}

fn whole(sheet: &mut Sheet, suite: &TestSuite, left: &mut usize) {
    let failed = suite
        .cases
        .iter()
        .filter(|case| case.status.is_failure())
        .count();
    sheet.raw("<details><summary>");
    sheet.text(&suite.name);
    sheet.raw(" <small>");
    if failed > 0 {
        sheet.show(failed);
        sheet.raw(" failed of ");
    }
    sheet.show(suite.cases.len());
    sheet.raw(", ");
    sheet.text(&format!("{:.1} s", suite.duration));
    sheet.raw("</small></summary>\n<ul class=\"rows\">\n");
    let shown = NAMED.min(*left);
    for case in suite.cases.iter().take(shown) {
        *left = left.saturating_sub(1);
        sheet.raw("<li>");
        sheet.raw(match case.status {
            TestStatus::Passed | TestStatus::Fixed => "<span class=\"result success\"></span>",
            TestStatus::Skipped => "<span class=\"result notbuilt\"></span>",
            TestStatus::Failed | TestStatus::Regression => "<span class=\"result failure\"></span>",
        });
        name(sheet, case);
        sheet.raw(" <small>");
        sheet.text(&format!("{:.3} s", case.duration));
        sheet.raw("</small></li>\n");
    }
    and_more(sheet, suite.cases.len().saturating_sub(shown));
    sheet.raw("</ul></details>\n");
}
