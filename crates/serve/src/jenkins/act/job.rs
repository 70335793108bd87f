//! What is done with a job.

use hyper::{Method, StatusCode};
use ward_build::api::{Builds, Refusal, Role};

use super::super::refusal::refused;
use super::super::world::{base_name, job_path};
use super::create::document;
use super::request;
use crate::builds::{Around, Asked, empty, only_by_post, says, to};
use crate::http::{Body, Reply, of_type};

/// Does what the last part of the address says; nothing if it says nothing that is done.
pub(in crate::jenkins) fn act(
    asked: &Asked,
    around: &Around<'_>,
    job: &str,
    verb: &[&str],
) -> Option<Reply> {
    let builds = around.builds;
    let (role, permission) = match verb {
        ["build" | "buildWithParameters"] => (Role::Build, "Job/Build"),
        ["polling"] => (Role::Build, "Job/Build"),
        ["config.xml"] => (Role::Admin, "Job/Configure"),
        ["enable" | "disable" | "doRename" | "confirmRename"] | ["nextbuildnumber", "submit"] => {
            (Role::Admin, "Job/Configure")
        }
        ["doDelete"] => (Role::Admin, "Job/Delete"),
        ["doWipeOutWorkspace"] => (Role::Admin, "Job/Workspace"),
        _ => return None,
    };
    let is_read = matches!(asked.method, Method::GET | Method::HEAD);
    if is_read && *verb != ["config.xml"] {
        // The form of a rename is a page.
        return (*verb != ["confirmRename"]).then(only_by_post);
    }
    if !around.may(role) {
        return Some(around.missing(permission));
    }
    let here = || {
        to(
            StatusCode::FOUND,
            &format!("{}{}", around.asked_root, job_path(job)),
        )
    };
    let then_here = |done: Result<(), Refusal>| done.map(|()| here());
    let done = match verb {
        ["build"] => Ok(request::ask(asked, around, job, false)),
        ["buildWithParameters"] => Ok(request::ask(asked, around, job, true)),
        ["polling"] => then_here(builds.poll(job)),
        ["config.xml"] if is_read => builds
            .job_config(job)
            .map(|config| of_type("application/xml;charset=utf-8", Body::whole(config))),
        ["config.xml"] => match document(asked) {
            Some(config) => builds
                .update_job(job, config)
                .map(|()| empty(StatusCode::OK)),
            None => Ok(says(
                StatusCode::BAD_REQUEST,
                "There is no document in this request.",
            )),
        },
        ["enable"] => then_here(builds.set_disabled(job, false)),
        ["disable"] => then_here(builds.set_disabled(job, true)),
        ["doRename" | "confirmRename"] => rename(asked, around, job, |builds, from, to| {
            builds.rename_job(from, to)
        }),
        ["nextbuildnumber", "submit"] => {
            let number = asked.field("nextBuildNumber");
            match number.and_then(|number| number.trim().parse().ok()) {
                Some(number) => then_here(builds.set_next_number(job, number)),
                None => Err(Refusal::BadInput("nextBuildNumber is no number".to_owned())),
            }
        }
        ["doDelete"] => return Some(finish(asked, delete(asked, around, job))),
        ["doWipeOutWorkspace"] => then_here(builds.wipe_workspace(job)),
        _ => return None,
    };
    Some(match done {
        Ok(reply) => finish(asked, reply),
        Err(refusal) => refused(&refusal),
    })
}

/// Where a form of our own pages wants its sender to be afterwards.
pub(super) fn finish(asked: &Asked, reply: Reply) -> Reply {
    let went_well = reply.status().is_success() || reply.status().is_redirection();
    match asked.field("ward-redirect") {
        Some(place) if went_well && crate::builds::is_local(place) => {
            to(StatusCode::SEE_OTHER, place)
        }
        Some(_) | None => reply,
    }
}

/// Removes a job or a folder.
pub(in crate::jenkins) fn delete(asked: &Asked, around: &Around<'_>, job: &str) -> Reply {
    if !around.may(Role::Admin) {
        return around.missing("Job/Delete");
    }
    match around.builds.delete_job(job) {
        Ok(()) if asked.method == Method::DELETE => empty(StatusCode::NO_CONTENT),
        Ok(()) => {
            let folder = job.rsplit_once('/').map(|(folder, _)| job_path(folder));
            let folder = folder.unwrap_or_default();
            to(StatusCode::FOUND, &format!("{}{folder}", around.asked_root))
        }
        Err(refusal) => refused(&refusal),
    }
}

/// What is done with a folder.
pub(in crate::jenkins) fn on_folder(
    asked: &Asked,
    around: &Around<'_>,
    folder: &str,
    verb: &[&str],
) -> Option<Reply> {
    match verb {
        ["doDelete"] if asked.is_post() => Some(finish(asked, delete(asked, around, folder))),
        ["doRename" | "confirmRename"] if asked.is_post() => {
            if !around.may(Role::Admin) {
                return Some(around.missing("Job/Configure"));
            }
            let done = rename(asked, around, folder, |builds, from, to| {
                builds.rename_folder(from, to)
            });
            Some(match done {
                Ok(reply) => finish(asked, reply),
                Err(refusal) => refused(&refusal),
            })
        }
        ["doDelete" | "doRename"] => Some(only_by_post()),
        _ => None,
    }
}

/// Gives a job or a folder another name where it is; `move_it` is told the full names.
fn rename(
    asked: &Asked,
    around: &Around<'_>,
    job: &str,
    move_it: impl FnOnce(&dyn Builds, &str, &str) -> Result<(), Refusal>,
) -> Result<Reply, Refusal> {
    let new = asked.field("newName").unwrap_or_default();
    if new.is_empty() || new.contains('/') {
        return Err(Refusal::BadName(format!("`{new}` is no name")));
    }
    let folder = job.strip_suffix(base_name(job)).unwrap_or_default();
    let full = format!("{folder}{new}");
    move_it(around.builds.as_ref(), job, &full)?;
    let place = format!("{}{}", around.asked_root, job_path(&full));
    Ok(to(StatusCode::FOUND, &place))
}
