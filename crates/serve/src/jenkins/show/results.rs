//! Test results.

use ward_build::outcome::{TestCase, TestStatus, TestSuite};

use super::super::export::{Node, Sheet};

/// All results of a build.
pub(in crate::jenkins) fn results(suites: &[TestSuite], sheet: &mut Sheet<'_>) {
    let count = |wanted: fn(TestStatus) -> bool| {
        let cases = suites.iter().flat_map(|suite| &suite.cases);
        i64::try_from(cases.filter(|case| wanted(case.status)).count()).unwrap_or(i64::MAX)
    };
    sheet.class("hudson.tasks.junit.TestResult");
    sheet.each("testActions", 1, |_| None::<()>, |(), _| {});
    sheet.put("duration", 1, || {
        Node::Real(suites.iter().map(|suite| suite.duration).sum())
    });
    sheet.put("empty", 1, || {
        suites.iter().all(|suite| suite.cases.is_empty())
    });
    sheet.put("failCount", 1, || count(TestStatus::is_failure));
    sheet.put("passCount", 1, || {
        count(|status| matches!(status, TestStatus::Passed | TestStatus::Fixed))
    });
    sheet.put("skipCount", 1, || {
        count(|status| matches!(status, TestStatus::Skipped))
    });
    sheet.each(
        "suites",
        1,
        |_| suites,
        |suite, sheet| {
            sheet.each("cases", 2, |_| &suite.cases, |case, sheet| one(case, sheet));
            sheet.put("duration", 2, || Node::Real(suite.duration));
            sheet.put("id", 2, || Node::Null);
            sheet.put("name", 2, || suite.name.as_str());
            sheet.put("stderr", 2, || Node::Null);
            sheet.put("stdout", 2, || Node::Null);
            sheet.put("timestamp", 2, || Node::Null);
        },
    );
}

fn one(case: &TestCase, sheet: &mut Sheet<'_>) {
    let is_skipped = case.status == TestStatus::Skipped;
    let message = || Node::text_or_null(case.message.as_deref());
    sheet.each("testActions", 3, |_| None::<()>, |(), _| {});
    sheet.put("age", 3, || case.age);
    sheet.put("className", 3, || case.class.as_str());
    sheet.put("duration", 3, || Node::Real(case.duration));
    sheet.put("errorDetails", 3, || {
        if is_skipped { Node::Null } else { message() }
    });
    sheet.put("errorStackTrace", 3, || {
        Node::text_or_null(case.details.as_deref())
    });
    sheet.put("failedSince", 3, || case.failed_since);
    sheet.put("name", 3, || case.name.as_str());
    sheet.put("skipped", 3, || is_skipped);
    sheet.put("skippedMessage", 3, || {
        if is_skipped { message() } else { Node::Null }
    });
    sheet.put("status", 3, || match case.status {
        TestStatus::Passed => "PASSED",
        TestStatus::Skipped => "SKIPPED",
        TestStatus::Failed => "FAILED",
        TestStatus::Fixed => "FIXED",
        TestStatus::Regression => "REGRESSION",
    });
    sheet.put("stderr", 3, || Node::text_or_null(case.stderr.as_deref()));
    sheet.put("stdout", 3, || Node::text_or_null(case.stdout.as_deref()));
}
