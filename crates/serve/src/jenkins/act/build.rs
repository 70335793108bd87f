//! What is done with a build.

use hyper::{Method, StatusCode};
use ward_build::api::{BuildView, Refusal, Role};

use super::super::refusal::refused;
use super::super::world::job_path;
use super::job::finish;
use crate::builds::{Around, Asked, only_by_post, to};
use crate::http::Reply;

/// Does what the last part of the address says; nothing if it says nothing that is done.
pub(in crate::jenkins) fn act(
    asked: &Asked,
    around: &Around<'_>,
    view: &BuildView,
    verb: &str,
) -> Option<Reply> {
    let (role, permission) = match verb {
        "stop" | "term" | "kill" => (Role::Build, "Job/Cancel"),
        "toggleLogKeep" | "submitDescription" => (Role::Build, "Run/Update"),
        "doDelete" => (Role::Admin, "Run/Delete"),
        _ => return None,
    };
    if matches!(asked.method, Method::GET | Method::HEAD) {
        return Some(only_by_post());
    }
    if !around.may(role) {
        return Some(around.missing(permission));
    }
    let (builds, job, number) = (around.builds, view.line.job.as_str(), view.line.number);
    let job_page = format!("{}{}", around.asked_root, job_path(job));
    let here = format!("{job_page}{number}/");
    let (done, place): (Result<(), Refusal>, String) = match verb {
        "stop" | "term" | "kill" => {
            let who = around.account.user.as_str();
            (builds.stop(job, number, who, verb == "kill"), here)
        }
        "toggleLogKeep" => (builds.set_keep(job, number, !view.line.keep), here),
        "submitDescription" => {
            let description = asked.field("description").unwrap_or_default();
            let name = asked.field("displayName");
            let done = builds.describe_build(job, number, description, name);
            (done, here)
        }
        "doDelete" => (builds.delete_build(job, number), job_page),
        _ => return None,
    };
    Some(match done {
        Ok(()) => finish(asked, to(StatusCode::FOUND, &place)),
        Err(refusal) => refused(&refusal),
    })
}
