//! How a build ended: `outcome.json` in its directory, there by one rename when everything else is.

use serde::{Deserialize, Serialize};
use ward_model::build::BuildResult;
use ward_model::report::Report;

use crate::state::StopHeeded;

/// The version that this ward writes. Fields may be added within a version.
pub const VERSION: u32 = 1;

/// How a build ended. Also what `GET …/ward/outcome` gives, without secrets as it has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`VERSION`].
    pub version: u32,
    /// The one word.
    pub result: BuildResult,
    /// What failed first, for people.
    pub why: Option<String>,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// Milliseconds since the epoch; the last process of the build is gone.
    pub ended_at: i64,
    /// What was checked out.
    pub checkout: Option<Checkout>,
    /// Every command that ran for a step, in order.
    pub steps: Vec<StepOutcome>,
    /// What was kept, by path.
    pub artifacts: Vec<Artifact>,
    /// How many tests did what.
    pub tests: Option<TestCounts>,
    /// Who stopped it, if anybody did.
    pub stop: Option<StopHeeded>,
    /// Bytes of the log: what comes later, from a daemon that stayed, is not part of it.
    pub log_bytes: u64,
    /// What the build calls itself, where it does.
    pub display_name: Option<String>,
    /// The job as the repository said it, where it did.
    pub job_of_repository: bool,
}

/// What the console of a build ends with.
#[must_use]
pub fn last_line(result: BuildResult) -> String {
    format!("Finished: {result}")
}

/// What was checked out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// From where, without credentials.
    pub url: String,
    /// The commit, 40 or 64 hexadecimal digits.
    pub revision: String,
    /// `origin/main`, or `detached`.
    pub branch: String,
    /// What is new since the build before, newest first, bounded.
    pub changes: Vec<Change>,
}

/// A commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub revision: String,
    /// Who made it.
    pub author: String,
    /// And their address.
    pub author_email: String,
    /// When, seconds since the epoch.
    pub at: i64,
    /// First line of what they say of it.
    pub title: String,
    /// All of it.
    pub message: String,
    /// What was `add`, `edit` or `delete`d, bounded.
    pub paths: Vec<(String, String)>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// What people call it.
    pub title: String,
    /// The result it alone would give.
    pub result: BuildResult,
    /// The whole truth of its processes.
    pub report: Report,
}

/// A file that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Below the directory of artifacts, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// How many tests did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// Did what they should.
    pub passed: u32,
    /// Did not.
    pub failed: u32,
    /// Were left out.
    pub skipped: u32,
}

/// Test cases that were told of together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TestSuite {
    /// Its name.
    pub name: String,
    /// Seconds.
    pub duration: f64,
    /// In the file's order.
    pub cases: Vec<TestCase>,
}

/// A test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestCase {
    /// Its class, as the file says.
    pub class: String,
    /// Its name.
    pub name: String,
    /// Seconds.
    pub duration: f64,
    /// What it did.
    pub status: TestStatus,
    /// The first line of why it failed, or why it was skipped.
    pub message: Option<String>,
    /// The rest of why.
    pub details: Option<String>,
    /// What it wrote, bounded.
    pub stdout: Option<String>,
    /// What it wrote, bounded.
    pub stderr: Option<String>,
    /// In how many builds it has failed, this one included; set by the server.
    #[serde(default)]
    pub age: u32,
    /// The first of them; set by the server.
    #[serde(default)]
    pub failed_since: u32,
}

/// What a test did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TestStatus {
    /// What it should.
    Passed,
    /// It was left out.
    Skipped,
    /// It failed, as before.
    Failed,
    /// It passed, and failed before; told apart by the server.
    Fixed,
    /// It failed, and did not before; told apart by the server.
    Regression,
}

impl TestStatus {
    /// Whether it failed.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::Regression => true,
            Self::Passed | Self::Skipped | Self::Fixed => false,
        }
    }
}
