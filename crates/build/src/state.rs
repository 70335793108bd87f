//! What a runner is doing: `state.json` in the build's directory, replaced by rename at every change.

use serde::{Deserialize, Serialize};

/// What a runner is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its process id. It may have been reused if the runner is dead: [`crate::plan::file::ALIVE`] tells.
    pub pid: i32,
    /// When it began, clock ticks since boot (proc_pid_stat(5)).
    pub start_time: u64,
    /// When the build began, milliseconds since the epoch.
    pub started_at: i64,
    /// What it does now.
    pub phase: Phase,
    /// What is being done, for people: a step's title, `git fetch`.
    pub doing: String,
    /// The leader of the command that runs now, for people.
    pub leader: Option<i32>,
    /// The first stop that was heeded.
    pub stop: Option<StopHeeded>,
    /// The commit that is built, once it is known.
    pub revision: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// What the build calls itself, where it does.
    pub display_name: Option<String>,
    /// Files and directories outside the build's own that were made for it, noted before they are made. The
    /// runner removes them; if it is killed, whoever records its end does.
    #[serde(default)]
    pub made: Vec<String>,
}

/// The parts of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It waits for its locks.
    Locks,
    /// The commit is found and put into the workspace.
    Checkout,
    /// The steps run.
    Steps,
    /// Artifacts and test results are taken.
    Results,
}

/// A stop that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopHeeded {
    /// When, milliseconds since the epoch.
    pub at: i64,
    /// Who or what, for people: `alice`, `the time limit of 10m`.
    pub by: String,
    /// How long clean-up may take from then on, milliseconds.
    pub grace: u64,
    /// Somebody would not wait.
    pub forced: bool,
}

/// A line of [`crate::plan::file::STOPS`]. After writing it, SIGTERM is sent to the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// When, milliseconds since the epoch.
    pub at: i64,
    /// Who.
    pub by: String,
    /// No grace. A second request of anybody means the same.
    pub force: bool,
}
