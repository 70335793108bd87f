//! `/job/X/ws/`: files of a workspace, for who may start builds. There is more in it than a job decided to
//! show: sources, what steps wrote beside what is kept.

use hyper::StatusCode;
use ward_build::api::{JobView, Role};

use super::{artifacts, zip};
use crate::builds::{Around, Asked, Root, says};
use crate::http::Reply;

/// A file, an archive, or why there is none; nothing where it is a directory, which is a page.
pub(super) async fn answer(
    asked: &Asked,
    around: &Around<'_>,
    job: &JobView,
    parts: &[&str],
) -> Option<Reply> {
    if !around.may(Role::Build) {
        return Some(around.missing("Job/Workspace"));
    }
    let Ok(root) = Root::of_workspace(job) else {
        // The page says why.
        return None;
    };
    if let Some((directory, name)) = zip::wanted(parts) {
        return Some(zip::archive(root, directory, name).await);
    }
    match root.at(parts) {
        Ok(file) => artifacts::apart(asked, file, parts, |_| None),
        Err(_) => Some(says(
            StatusCode::NOT_FOUND,
            "There is no such file in the workspace.",
        )),
    }
}
