//! What a runner is told: `plan.json` in the build's directory, mode 0600, written before it is started.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ward_config::job::Job;
use ward_model::build::Cause;

/// The version that this ward writes and reads. A runner is started by the same executable that wrote the
/// plan, so older ones need not be understood.
pub const VERSION: u32 = 1;

/// Names of files in a build's directory.
pub mod file {
    /// The [`super::Plan`].
    pub const PLAN: &str = "plan.json";
    /// The console: raw bytes, secrets masked.
    pub const LOG: &str = "log";
    /// When the log's lines began; see `console`.
    pub const TIMES: &str = "log.times";
    /// The [`crate::state::State`], replaced by rename.
    pub const STATE: &str = "state.json";
    /// Requests to stop: a line of JSON ([`crate::state::StopRequest`]) each; read when a signal says so.
    pub const STOPS: &str = "stops";
    /// The [`crate::outcome::Outcome`], there by rename when the build is over.
    pub const OUTCOME: &str = "outcome.json";
    /// All test results ([`crate::outcome::TestSuite`] in a list).
    pub const TESTS: &str = "tests.json";
    /// The directory of artifacts.
    pub const ARTIFACTS: &str = "artifacts";
    /// Locked (flock) by the runner for as long as it lives.
    pub const ALIVE: &str = "alive";
    /// What git signs in with, while it runs; a directory.
    pub const SCRATCH: &str = "scratch";

    /// What becomes `name` by rename when it is whole.
    #[must_use]
    pub fn part(name: &str) -> String {
        format!("{name}.new")
    }
}

/// Everything that a build is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// The job, as it was when the build was started.
    pub job: Job,
    /// Which of its builds.
    pub number: u32,
    /// Which request in the queue it was.
    pub queue_id: u64,
    /// Why.
    pub causes: Vec<Cause>,
    /// What was asked of who started it, in the job's order.
    pub parameters: Vec<ParameterValue>,
    /// The build's own directory, absolute.
    pub directory: PathBuf,
    /// The server's directory (`JENKINS_HOME`), absolute.
    pub home: PathBuf,
    /// Where it is built, absolute.
    pub workspace: PathBuf,
    /// Where clones of repositories are shared, absolute.
    pub cache: PathBuf,
    /// Where secrets are, absolute.
    pub secrets: PathBuf,
    /// The server's address with a slash at its end, where it is known.
    pub url: Option<String>,
    /// Which executor, from 0.
    pub executor: u32,
    /// The shell of scripts without `#!`.
    pub shell: String,
    /// What steps find in their environment before anything of the build is added.
    pub environment: Vec<(String, String)>,
    /// The server's cookie: hexadecimal, secret.
    pub server_cookie: String,
    /// The commit to build, where it is settled.
    pub revision: Option<String>,
    /// What was built of each branch before, newest first, bounded.
    #[serde(default)]
    pub built: Vec<BuiltBranch>,
    /// All output goes to standard output too: there is no server.
    pub local: bool,
}

/// What was built of a branch before: for `GIT_PREVIOUS_COMMIT` and `GIT_PREVIOUS_SUCCESSFUL_COMMIT`, which
/// Jenkins' git plugin documents as the commits that were last built, and last successfully built, "on this
/// branch"; and for what is new since then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltBranch {
    /// `origin/main`, or `detached`.
    pub branch: String,
    /// The commit of its last build.
    pub revision: String,
    /// The commit of its last build that was no worse than unstable.
    pub successful: Option<String>,
}

/// What was given for a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParameterValue {
    /// The variable.
    pub name: String,
    /// Its value; a flag is `true` or `false`.
    pub value: String,
    /// Never shown.
    pub secret: bool,
}
