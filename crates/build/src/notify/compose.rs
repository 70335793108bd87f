//! What is to be told of a build's end, as plain data.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use ward_config::job::Job;
use ward_model::build::{BuildResult, Cause};

use super::address::{Url, mailbox};
use super::decide::{Kind, decide};
use super::delivery::{Delivery, Ways};
use super::mail;
use super::tail::last_lines;
use crate::api::BuildLine;
use crate::outcome::{Checkout, TestCounts};

/// Lines of the log in a document.
const LINES: usize = 50;

/// A mail goes to so many at the most.
const PEOPLE: usize = 100;

/// Commits that are told of.
pub(super) const CHANGES: usize = 50;

/// What there is to know of a build that is over.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The job, as the build had it.
    pub job: Job,
    /// The build; it has a result.
    pub build: BuildLine,
    /// What failed first, for people.
    pub why: Option<String>,
    /// Results of the builds before it, the newest first; about ten are enough.
    pub previous: Vec<BuildResult>,
    /// The first build of the series without a success that this one belongs to, or that it ends.
    pub failing_since: Option<u32>,
    /// Why it was started.
    pub causes: Vec<Cause>,
    /// What was checked out.
    pub checkout: Option<Checkout>,
    /// Who made the commits since the last build that succeeded: `Name <address>`.
    pub culprits: Vec<String>,
    /// Its log.
    pub log: PathBuf,
    /// Bytes of the log that are the build's; else all.
    pub log_bytes: Option<u64>,
    /// The server's address with a slash at its end, where it is known.
    pub url: Option<String>,
}

impl Facts {
    /// The build's page.
    pub(super) fn page(&self) -> Option<String> {
        let root = self.url.as_deref()?;
        let mut page = root.to_owned();
        for part in self.build.job.split('/') {
            page.push_str("job/");
            for byte in part.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    page.push(char::from(byte));
                } else {
                    page.push_str(&format!("%{byte:02X}"));
                }
            }
            page.push('/');
        }
        Some(format!("{page}{}/", self.build.number))
    }
}

/// What webhooks and commands are told. Fields may be added; they are never renamed, removed or given
/// another meaning.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: &'static str,
    /// What it means after the builds before; absent where there is nothing to say.
    kind: Option<Kind>,
    job: &'a str,
    number: u32,
    display_name: &'a str,
    result: Option<BuildResult>,
    previous_result: Option<BuildResult>,
    failing_since: Option<u32>,
    why: Option<&'a str>,
    url: Option<String>,
    /// Milliseconds since the epoch.
    started_at: i64,
    /// Milliseconds.
    duration: u64,
    causes: Vec<String>,
    revision: Option<&'a str>,
    branch: Option<&'a str>,
    changes: Vec<Commit<'a>>,
    culprits: &'a [String],
    tests: Option<TestCounts>,
    log_tail: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Commit<'a> {
    revision: &'a str,
    author: &'a str,
    title: &'a str,
}

/// Everything that is to be sent because of a build's end; nothing if nobody wants to know.
#[must_use]
pub fn compose(facts: &Facts, ways: &Ways) -> Vec<Delivery> {
    let notify = &facts.job.notify;
    let kind = facts
        .build
        .result
        .and_then(|result| decide(&facts.previous, result));
    let mut all = Vec::new();
    if let Some(kind) = kind
        && (kind.is_news() || !notify.mail_first_unstable_only)
    {
        all.extend(by_mail(facts, ways, kind));
    }
    if notify.webhooks.is_empty() && notify.commands.is_empty() {
        return all;
    }
    let Ok(body) = serde_json::to_string(&document(facts, kind)) else {
        return all;
    };
    all.extend(notify.webhooks.iter().map(|url| Delivery::Webhook {
        url: url.clone(),
        body: body.clone(),
    }));
    all.extend(notify.commands.iter().map(|command| Delivery::Command {
        command: command.clone(),
        environment: environment(facts, kind),
        body: body.clone(),
    }));
    all
}

fn by_mail(facts: &Facts, ways: &Ways, kind: Kind) -> Option<Delivery> {
    let notify = &facts.job.notify;
    let own = notify.mail.iter().map(String::as_str);
    let culprits = facts.culprits.iter().map(String::as_str);
    // Those to blame are told of what is wrong, and that it no longer is.
    let culprits = culprits.filter(|_| notify.mail_culprits);
    let mut seen = BTreeSet::new();
    let to: Vec<String> = own
        .chain(culprits)
        .flat_map(|several| several.split(','))
        .filter_map(mailbox)
        .filter(|address| seen.insert(address.to_ascii_lowercase()))
        .take(PEOPLE)
        .map(str::to_owned)
        .collect();
    if to.is_empty() {
        return None;
    }
    Some(Delivery::Mail {
        from: ways.sender(),
        message: mail::message(facts, ways, kind, &to),
        to,
    })
}

fn document(facts: &Facts, kind: Option<Kind>) -> Document<'_> {
    let build = &facts.build;
    let changes = facts.checkout.iter().flat_map(|checkout| &checkout.changes);
    Document {
        format: "ward-notice/1",
        kind,
        job: &build.job,
        number: build.number,
        display_name: &build.display_name,
        result: build.result,
        previous_result: facts.previous.first().copied(),
        failing_since: facts.failing_since,
        why: facts.why.as_deref(),
        url: facts.page(),
        started_at: build.started_at,
        duration: build.duration,
        causes: facts.causes.iter().map(Cause::describe).collect(),
        revision: build.revision.as_deref(),
        branch: build.branch.as_deref(),
        changes: changes
            .take(CHANGES)
            .map(|change| Commit {
                revision: &change.revision,
                author: &change.author,
                title: &change.title,
            })
            .collect(),
        culprits: &facts.culprits,
        tests: build.tests,
        log_tail: last_lines(&facts.log, facts.log_bytes, LINES),
    }
}

/// What short commands need, so that they need not read JSON.
fn environment(facts: &Facts, kind: Option<Kind>) -> Vec<(String, String)> {
    let kind = kind
        .and_then(|kind| serde_json::to_value(kind).ok())
        .and_then(|value| value.as_str().map(str::to_owned));
    let result = facts.build.result.map_or("", BuildResult::word);
    let mut all = vec![
        ("WARD_JOB".to_owned(), facts.build.job.clone()),
        (
            "WARD_BUILD_NUMBER".to_owned(),
            facts.build.number.to_string(),
        ),
        ("WARD_RESULT".to_owned(), result.to_owned()),
        ("WARD_KIND".to_owned(), kind.unwrap_or_default()),
    ];
    all.extend(facts.page().map(|page| ("WARD_BUILD_URL".to_owned(), page)));
    all
}

/// What people may see of a webhook's address.
pub(super) fn shown(url: &str) -> String {
    Url::read(url).map_or_else(|_| "a bad address".to_owned(), |url| url.shown())
}
