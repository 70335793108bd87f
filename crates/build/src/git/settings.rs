//! What a job says of its repository, looked at before git sees it.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use ward_config::job::Source;

use super::address::expand;
use super::error::GitError;
use super::request::CheckoutRequest;
use super::revision;

/// That git takes it for the name of a remote.
pub(super) fn check_remote(name: &str) -> Result<(), GitError> {
    if !name.starts_with('-') && !name.contains('/') && revision::is_ref_name(name) {
        return Ok(());
    }
    Err(GitError::Setting {
        what: "remote",
        value: name.to_owned(),
        why: "git has no such names",
    })
}

/// What is fetched.
pub(super) fn refspecs_of(
    source: &Source,
    variables: &[(String, String)],
) -> Result<Vec<String>, GitError> {
    let usual = || format!("+refs/heads/*:refs/remotes/{}/*", source.remote);
    let Some(given) = &source.refspec else {
        return Ok(vec![usual()]);
    };
    let given = expand(given, variables);
    let all: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
    if all.is_empty() {
        return Ok(vec![usual()]);
    }
    if let Some(bad) = all.iter().find(|each| each.starts_with('-')) {
        return Err(GitError::Setting {
            what: "refspec",
            value: bad.clone(),
            why: "git would take it for an option",
        });
    }
    Ok(all)
}

/// Where the files go: below the workspace, through no link.
pub(super) fn directory_of(request: &CheckoutRequest<'_>) -> Result<PathBuf, GitError> {
    let mut directory = request.workspace.to_owned();
    let Some(below) = &request.source.directory else {
        return Ok(directory);
    };
    let below: OsString = expand(below, request.variables).into();
    for part in Path::new(&below).components() {
        let refuse = |why| GitError::Setting {
            what: "directory",
            value: below.to_string_lossy().into_owned(),
            why,
        };
        match part {
            Component::CurDir => continue,
            Component::Normal(name) => directory.push(name),
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                return Err(refuse("it leads out of the workspace"));
            }
        }
        if std::fs::symlink_metadata(&directory).is_ok_and(|about| about.is_symlink()) {
            return Err(refuse("there is a symbolic link on the way"));
        }
    }
    Ok(directory)
}
