//! New jobs and folders: from a document, like another, or empty.

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use ward_build::api::{Refusal, Role};

use super::super::refusal::refused;
use super::super::world::job_path;
use super::job::finish;
use crate::builds::{Around, Asked, empty, only_by_post, says, to};
use crate::http::Reply;

/// The class of a folder, which is also the element of its document and the mode of its form.
const FOLDER: &str = "com.cloudbees.hudson.plugins.folder.Folder";

/// The class of a job, likewise.
const JOB: &str = "hudson.model.FreeStyleProject";

/// A job without anything.
const EMPTY: &[u8] =
    b"<?xml version='1.1' encoding='UTF-8'?>\n<project>\n  <builders/>\n</project>\n";

/// How much of a document is looked at for what it is.
const LOOKED_AT: usize = 4096;

/// `createItem` at the root (an empty name) or in a folder.
pub(in crate::jenkins) fn create(asked: &Asked, around: &Around<'_>, folder: &str) -> Reply {
    if !asked.is_post() {
        return only_by_post();
    }
    if !around.may(Role::Admin) {
        return around.missing("Job/Create");
    }
    let name = asked.field("name").unwrap_or_default().trim();
    if name.is_empty() {
        return says(
            StatusCode::BAD_REQUEST,
            "Query parameter 'name' is required",
        );
    }
    if name.contains('/') {
        return says(
            StatusCode::BAD_REQUEST,
            "'/' is an unsafe character in a name",
        );
    }
    let full = within(folder, name);
    let path = job_path(&full);
    let builds = around.builds;
    let page = |what: &str| {
        let place = format!("{}{path}{what}", around.asked_root);
        to(StatusCode::FOUND, &place)
    };
    let done = match asked.field("mode") {
        Some("copy") => {
            let from = asked.field("from").unwrap_or_default();
            let from = match from.strip_prefix('/') {
                Some(absolute) => absolute.to_owned(),
                None => within(folder, from),
            };
            builds.copy_job(&from, &full).map(|()| page("configure"))
        }
        Some(FOLDER) => builds.create_folder(&full).map(|()| page("")),
        Some(JOB) => builds.create_job(&full, EMPTY).map(|()| page("configure")),
        Some(other) if document(asked).is_none() => Err(Refusal::BadInput(format!(
            "there are no items of the kind `{other}` here"
        ))),
        Some(_) | None => match document(asked) {
            None => Err(Refusal::BadInput(
                "there is no document in this request, or its Content-Type is not that of XML"
                    .to_owned(),
            )),
            Some(config) if is_folder(config) => {
                builds.create_folder(&full).map(|()| empty(StatusCode::OK))
            }
            Some(config) => builds
                .create_job(&full, config)
                .map(|()| empty(StatusCode::OK)),
        },
    };
    match done {
        Ok(reply) => finish(asked, reply),
        Err(Refusal::NoSuchJob(job)) => {
            says(StatusCode::BAD_REQUEST, &format!("No such job: {job}"))
        }
        Err(refusal) => refused(&refusal),
    }
}

fn within(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The document that was sent, unless a form was, or nothing.
pub(super) fn document(asked: &Asked) -> Option<&[u8]> {
    let kind = asked
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let is_form = kind.starts_with("application/x-www-form-urlencoded")
        || kind.starts_with("multipart/form-data");
    // Some clients call everything a form; a document of XML is none.
    let is_xml = asked.body.trim_ascii_start().starts_with(b"<");
    (is_xml || !is_form && !asked.body.is_empty()).then_some(asked.body.as_ref())
}

fn is_folder(config: &[u8]) -> bool {
    let begin = config.get(..LOOKED_AT).unwrap_or(config);
    let text = String::from_utf8_lossy(begin);
    let root = text
        .split('<')
        .find(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()));
    root.is_some_and(|root| root.starts_with(FOLDER))
}
