//! The text of a mail: headers that filters of Jenkins' mails look for, and a body for people.

use jiff::{Timestamp, fmt::rfc2822};
use ring::digest;
use ward_model::build::{BuildResult, Cause};

use super::compose::{CHANGES, Facts};
use super::decide::Kind;
use super::delivery::Ways;
use super::encode::{header, phrase, quoted_printable};
use super::tail::last_lines;

/// Lines of the log, as Jenkins' mailer sends them.
const LINES: usize = 250;

/// The whole message, with CRLF.
pub(super) fn message(facts: &Facts, ways: &Ways, kind: Kind, to: &[String]) -> String {
    let build = &facts.build;
    let result = build.result.map_or("", BuildResult::word);
    let name = facts.job.display_name.as_deref().unwrap_or(&build.job);
    let subject = format!("{} {name} {}", kind.subject(), build.display_name);
    let mut out = String::new();
    out.push_str(&format!(
        "From: {} <{}>\r\n",
        phrase(&ways.sender_name()),
        ways.sender()
    ));
    out.push_str(&format!("To: {}\r\n", to.join(",\r\n ")));
    out.push_str(&header("Subject", &subject));
    out.push_str(&header(
        "Date",
        &rfc2822::to_string(&Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC))
            .unwrap_or_default(),
    ));
    out.push_str(&format!(
        "Message-ID: {}\r\n",
        id(facts, ways, build.number)
    ));
    // All of a series hang together below its first.
    if let Some(first) = facts.failing_since.filter(|first| *first < build.number) {
        let first = id(facts, ways, first);
        out.push_str(&format!("In-Reply-To: {first}\r\nReferences: {first}\r\n"));
    }
    out.push_str(&header("X-Jenkins-Job", name));
    out.push_str(&header("X-Jenkins-Result", result));
    out.push_str("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
    out.push_str("Content-Type: text/plain; charset=utf-8\r\n");
    out.push_str("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    out.push_str(&quoted_printable(&body(facts, kind)));
    out
}

/// What a message is known by: the same for another attempt, and for whoever answers it.
fn id(facts: &Facts, ways: &Ways, number: u32) -> String {
    let job = digest::digest(&digest::SHA256, facts.build.job.as_bytes());
    let job: String = data_encoding::HEXLOWER
        .encode(job.as_ref())
        .chars()
        .take(16)
        .collect();
    format!("<build-{number}.{job}@{}>", ways.domain())
}

fn body(facts: &Facts, kind: Kind) -> String {
    let build = &facts.build;
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    if let Some(page) = facts.page() {
        line(format!("See <{page}display/redirect>"));
        line(String::new());
    }
    let result = build.result.map_or("", BuildResult::word);
    line(match &facts.why {
        Some(why) => format!("{} {}: {result}: {why}", build.job, build.display_name),
        None => format!("{} {}: {result}", build.job, build.display_name),
    });
    line(match (kind, facts.failing_since) {
        (Kind::FirstFailure, _) => "This is the first failure.".to_owned(),
        (Kind::BecameUnstable, _) => "This is the first unstable build.".to_owned(),
        (Kind::StillFailing | Kind::StillUnstable | Kind::NoLongerFailing, Some(first)) => {
            format!("No build has succeeded since #{first}.")
        }
        (Kind::StillFailing | Kind::StillUnstable | Kind::NoLongerFailing, None) => {
            "The build before did not succeed either.".to_owned()
        }
        (Kind::Fixed | Kind::BackToStable, Some(first)) => {
            format!("No build from #{first} on had succeeded.")
        }
        (Kind::Fixed | Kind::BackToStable, None) => {
            "The build before had not succeeded.".to_owned()
        }
    });
    for cause in facts.causes.iter().take(20) {
        line(Cause::describe(cause));
    }
    if let Some(tests) = build.tests {
        line(format!(
            "Tests: {} failed, {} passed, {} skipped.",
            tests.failed, tests.passed, tests.skipped
        ));
    }
    line(String::new());
    match &facts.checkout {
        Some(checkout) if !checkout.changes.is_empty() => {
            line("Changes:".to_owned());
            line(String::new());
            for change in checkout.changes.iter().take(CHANGES) {
                let short: String = change.revision.chars().take(10).collect();
                line(format!("[{}] {} ({short})", change.author, change.title));
            }
            let more = checkout.changes.len().saturating_sub(CHANGES);
            if more > 0 {
                line(format!("and {more} more"));
            }
        }
        Some(_) | None => line("No changes".to_owned()),
    }
    if kind.is_bad() {
        line(String::new());
        line("-".repeat(42));
        for text in last_lines(&facts.log, facts.log_bytes, LINES) {
            line(text);
        }
    }
    out
}
