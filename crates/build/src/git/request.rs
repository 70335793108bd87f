//! What is asked of git, and what it gives.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ward_config::job::{Clean, Source};
use ward_model::spec::Identity;

use crate::outcome::Checkout;
use crate::plan::BuiltBranch;

/// What is to be checked out, and where.
#[derive(Debug, Clone, Copy)]
pub struct CheckoutRequest<'a> {
    /// The repository.
    pub source: &'a Source,
    /// What becomes of an older build's files.
    pub clean: Clean,
    /// The build's workspace, which is there and belongs to who runs the steps.
    pub workspace: &'a Path,
    /// Others may use the workspace too: nothing that cannot be made again is removed unasked.
    pub shared_workspace: bool,
    /// Where clones are shared.
    pub cache: &'a Path,
    /// The server's directory: `gitconfig` and `known_hosts` are looked for there.
    pub home: &'a Path,
    /// Where secrets are.
    pub secrets: &'a Path,
    /// A private directory of this build, which is there. What git signs in with is laid there for as long
    /// as it runs; who runs the steps must be able to reach it.
    pub scratch: &'a Path,
    /// The environment of git; its own variables are left out of it.
    pub environment: &'a [(OsString, OsString)],
    /// As whom the steps run, where that is not who we are.
    pub identity: Option<&'a Identity>,
    /// Values for `${NAME}` in the address and in the branches.
    pub variables: &'a [(String, String)],
    /// The commit, where it is settled.
    pub revision: Option<&'a str>,
    /// What was built of each branch before.
    pub built: &'a [BuiltBranch],
}

/// What was checked out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// For the outcome.
    pub checkout: Checkout,
    /// What steps find in their environment: `GIT_COMMIT` and so on, as Jenkins names them.
    pub environment: Vec<(String, String)>,
    /// Where the files are: the workspace, or a directory in it.
    pub directory: PathBuf,
}

/// A repository that is only looked at.
#[derive(Debug, Clone, Copy)]
pub struct RemoteRequest<'a> {
    /// The repository.
    pub source: &'a Source,
    /// The server's directory.
    pub home: &'a Path,
    /// Where secrets are.
    pub secrets: &'a Path,
    /// A private directory, which is there.
    pub scratch: &'a Path,
    /// The environment of git; its own variables are left out of it.
    pub environment: &'a [(OsString, OsString)],
    /// Values for `${NAME}` in the address and in the branches: the defaults of the job's parameters.
    pub variables: &'a [(String, String)],
}
