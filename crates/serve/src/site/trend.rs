//! Little pictures: how the last builds ended, how many tests they had, and a badge for other pages.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use ward_build::api::JobLine;
use ward_build::outcome::TestCounts;
use ward_model::build::BuildResult;

use super::sheet::{Sheet, class_of};
use crate::http::{Body, Reply, of_type};
use crate::page::Markup;

/// Points between the begins of two bars.
const STEP: u64 = 7;

/// The results of builds, the newest first, as bars from the oldest to the newest.
pub(super) fn results(sheet: &mut Sheet, trend: &[(u32, BuildResult)]) {
    if trend.is_empty() {
        return;
    }
    sheet.raw("<svg class=\"trend\" role=\"img\" aria-label=\"Results of the last builds\" viewBox=\"0 0 ");
    sheet.show(trend.len() as u64 * STEP);
    sheet.raw(" 20\">");
    for (at, (number, result)) in trend.iter().rev().enumerate() {
        let height = match result {
            BuildResult::Success => 20,
            BuildResult::Unstable => 14,
            BuildResult::Failure => 9,
            BuildResult::NotBuilt | BuildResult::Aborted => 4,
        };
        bar(sheet, at, (20 - height, height), class_of(Some(*result)));
        sheet.raw("<title>#");
        sheet.show(number);
        sheet.raw(" ");
        sheet.text(result.word());
        sheet.raw("</title></rect>");
    }
    sheet.raw("</svg>\n");
}

/// Counts of tests, the oldest first, as bars.
pub(super) fn tests(sheet: &mut Sheet, trend: &[(u32, TestCounts)]) {
    let all = |counts: &TestCounts| {
        u64::from(counts.passed) + u64::from(counts.failed) + u64::from(counts.skipped)
    };
    let most = trend
        .iter()
        .map(|(_, counts)| all(counts))
        .max()
        .unwrap_or(0);
    if most == 0 || trend.len() < 2 {
        return;
    }
    sheet.raw("<svg class=\"trend tests\" role=\"img\" aria-label=\"Tests of the last builds\" viewBox=\"0 0 ");
    sheet.show(trend.len() as u64 * STEP);
    sheet.raw(" 60\">");
    for (at, (number, counts)) in trend.iter().enumerate() {
        let mut top = 60;
        for (count, class) in [
            (counts.passed, "success"),
            (counts.skipped, "notbuilt"),
            (counts.failed, "failure"),
        ] {
            // What there is can be seen, however little of all it is.
            let height = (u64::from(count) * 60 / most)
                .max(u64::from(count > 0) * 2)
                .min(top);
            if height == 0 {
                continue;
            }
            top -= height;
            bar(sheet, at, (top, height), class);
            sheet.raw("<title>#");
            sheet.show(number);
            sheet.raw(": ");
            sheet.show(counts.failed);
            sheet.raw(" failed of ");
            sheet.show(all(counts));
            sheet.raw("</title></rect>");
        }
    }
    sheet.raw("</svg>\n");
}

fn bar(sheet: &mut Sheet, at: usize, (top, height): (u64, u64), class: &'static str) {
    sheet.raw("<rect width=\"5\" x=\"");
    sheet.show(at as u64 * STEP);
    sheet.raw("\" y=\"");
    sheet.show(top);
    sheet.raw("\" height=\"");
    sheet.show(height);
    sheet.raw("\" class=\"");
    sheet.raw(class);
    sheet.raw("\">");
}

/// A badge of a job.
pub(super) fn badge(job: &JobLine) -> Reply {
    let (word, colour) = match job.last_completed.as_ref().and_then(|build| build.result) {
        _ if job.disabled => ("disabled", "#6b7280"),
        None => ("not run", "#6b7280"),
        Some(BuildResult::Success) => ("passing", "#1a7f4b"),
        Some(BuildResult::Unstable) => ("unstable", "#9a6700"),
        Some(BuildResult::Failure) => ("failing", "#c0262d"),
        Some(BuildResult::NotBuilt) => ("not built", "#6b7280"),
        Some(BuildResult::Aborted) => ("aborted", "#6b7280"),
    };
    let mut out = Markup::fragment();
    out.raw("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"110\" height=\"20\" role=\"img\" aria-label=\"build: ");
    out.raw(word);
    out.raw("\"><title>");
    out.text(&job.name);
    out.raw(": ");
    out.raw(word);
    out.raw("</title><rect width=\"110\" height=\"20\" rx=\"3\" fill=\"#4b5158\"/><path d=\"M44 0h63a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H44z\" fill=\"");
    out.raw(colour);
    out.raw("\"/><g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,sans-serif\" font-size=\"11\"><text x=\"22\" y=\"14\">build</text><text x=\"77\" y=\"14\">");
    out.raw(word);
    out.raw("</text></g></svg>\n");
    let mut reply = of_type("image/svg+xml;charset=utf-8", Body::whole(out.into_text()));
    *reply.status_mut() = StatusCode::OK;
    reply
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}
