//! What is done with the queue.

use hyper::StatusCode;
use ward_build::api::Role;

use super::super::refusal::refused;
use super::job::finish;
use crate::builds::{Around, Asked, only_by_post, says, to};
use crate::http::Reply;

/// Takes a request out of the queue.
pub(in crate::jenkins) fn cancel(asked: &Asked, around: &Around<'_>) -> Reply {
    if !asked.is_post() {
        return only_by_post();
    }
    if !around.may(Role::Build) {
        return around.missing("Job/Cancel");
    }
    let Some(id) = asked.field("id").and_then(|id| id.trim().parse().ok()) else {
        return says(StatusCode::BAD_REQUEST, "id is no number");
    };
    match around.builds.cancel(id, &around.account.user) {
        // Some clients want 200 after it, others anything but an error: both follow this.
        Ok(()) => {
            let place = format!("{}queue/", around.asked_root);
            finish(asked, to(StatusCode::FOUND, &place))
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Starts nothing more, or starts again.
pub(in crate::jenkins) fn quiet_down(asked: &Asked, around: &Around<'_>, on: bool) -> Reply {
    if !asked.is_post() {
        return only_by_post();
    }
    if !around.may(Role::Admin) {
        return around.missing("Overall/Administer");
    }
    let reason = asked.field("reason").or_else(|| asked.field("message"));
    around.builds.quiet_down(reason, on);
    finish(asked, to(StatusCode::FOUND, &around.asked_root))
}
