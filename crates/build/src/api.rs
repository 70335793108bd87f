//! What can be asked of a build server: the one door for REST, pages and commands.
//!
//! Every call is quick (a lock, a look into memory, a query of some rows) and may be made from any thread.
//! Who asks has been let in already; what they may do is asked of [`Access`] by whoever faces the network.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ward_config::job::{Job, Parameter};
use ward_model::build::{BuildResult, Cause};

use crate::outcome::{Checkout, Outcome, TestCounts, TestSuite};
use crate::plan::ParameterValue;
use crate::state::State;

/// What can be asked of a build server.
pub trait Builds: Send + Sync {
    /// What there is to know of the server itself.
    fn server(&self) -> ServerView;

    /// Every job, by name.
    fn jobs(&self) -> Vec<JobLine>;

    /// All about one job.
    ///
    /// # Errors
    /// [`Refusal::NoSuchJob`].
    fn job(&self, name: &str) -> Result<JobView, Refusal>;

    /// A folder: names of jobs may begin with it.
    ///
    /// # Errors
    /// The name is bad or taken.
    fn create_folder(&self, name: &str) -> Result<(), Refusal>;

    /// Whether there is such a folder.
    fn has_folder(&self, name: &str) -> bool;

    /// Every folder by its full name: those that were made, and those that jobs are in.
    fn folders(&self) -> Vec<String>;

    /// Renames a folder, with everything in it.
    ///
    /// # Errors
    /// There is none, the name is bad or taken, or one of its jobs is building or is the configuration file's.
    fn rename_folder(&self, name: &str, new: &str) -> Result<(), Refusal>;

    /// A new job from Jenkins' `config.xml`.
    ///
    /// # Errors
    /// The name is bad or taken, or the document is none.
    fn create_job(&self, name: &str, config: &[u8]) -> Result<(), Refusal>;

    /// A new job like another.
    ///
    /// # Errors
    /// As [`Builds::create_job`], or there is no such job.
    fn copy_job(&self, from: &str, name: &str) -> Result<(), Refusal>;

    /// The job's `config.xml`: as it was sent, or as a job of the configuration file would be sent.
    ///
    /// # Errors
    /// [`Refusal::NoSuchJob`].
    fn job_config(&self, name: &str) -> Result<Vec<u8>, Refusal>;

    /// Another `config.xml` for a job.
    ///
    /// # Errors
    /// There is no such job, the document is none, or the job is the configuration file's.
    fn update_job(&self, name: &str, config: &[u8]) -> Result<(), Refusal>;

    /// Renames a job.
    ///
    /// # Errors
    /// It is building, the name is bad or taken, or the job is the configuration file's.
    fn rename_job(&self, name: &str, new: &str) -> Result<(), Refusal>;

    /// Removes a job, or a folder with its jobs, with all builds. What runs of it is stopped first.
    ///
    /// # Errors
    /// There is none, or it is the configuration file's.
    fn delete_job(&self, name: &str) -> Result<(), Refusal>;

    /// Lets nothing start it, or lets it be started again.
    ///
    /// # Errors
    /// [`Refusal::NoSuchJob`].
    fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), Refusal>;

    /// Empties its workspace.
    ///
    /// # Errors
    /// There is no such job, or it is building there.
    fn wipe_workspace(&self, name: &str) -> Result<(), Refusal>;

    /// The number of the next build.
    ///
    /// # Errors
    /// There is no such job, or there is a build of that number or a greater one.
    fn set_next_number(&self, name: &str, number: u32) -> Result<(), Refusal>;

    /// Asks for a build.
    ///
    /// # Errors
    /// There is no such job, it is disabled or may not be built, or a parameter is not as it should be.
    fn request(&self, request: Request) -> Result<Requested, Refusal>;

    /// Looks for something new in the job's repository, soon.
    ///
    /// # Errors
    /// There is no such job, or it has no repository.
    fn poll(&self, name: &str) -> Result<(), Refusal>;

    /// What the last look for something new wrote, and when (milliseconds since the epoch).
    ///
    /// # Errors
    /// [`Refusal::NoSuchJob`].
    fn poll_log(&self, name: &str) -> Result<Option<(i64, String)>, Refusal>;

    /// Something was pushed: looks for something new in every job that builds from such a repository.
    fn pushed(&self, push: &Push) -> Vec<String>;

    /// Everything that waits, in the order in which it will be built.
    fn queue(&self) -> Vec<QueueItem>;

    /// One that waits, or left at most five minutes ago.
    fn queue_item(&self, id: u64) -> Option<QueueItem>;

    /// Takes one out of the queue.
    ///
    /// # Errors
    /// It does not wait.
    fn cancel(&self, id: u64, who: &str) -> Result<(), Refusal>;

    /// Builds of a job, newest first, `limit` of them from below `before` on.
    ///
    /// # Errors
    /// [`Refusal::NoSuchJob`].
    fn builds(
        &self,
        job: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BuildLine>, Refusal>;

    /// Numbers of all builds of a job, newest first.
    ///
    /// # Errors
    /// [`Refusal::NoSuchJob`].
    fn build_numbers(&self, job: &str) -> Result<Vec<u32>, Refusal>;

    /// All about one build.
    ///
    /// # Errors
    /// There is no such job or build.
    fn build(&self, job: &str, build: &Which) -> Result<BuildView, Refusal>;

    /// Stops a build: the ladder, or at once.
    ///
    /// # Errors
    /// There is no such job or build. One that is over is left alone.
    fn stop(&self, job: &str, number: u32, who: &str, force: bool) -> Result<(), Refusal>;

    /// Removes a build that is over.
    ///
    /// # Errors
    /// There is none, or it runs.
    fn delete_build(&self, job: &str, number: u32) -> Result<(), Refusal>;

    /// Keeps a build for ever, or no longer.
    ///
    /// # Errors
    /// There is no such job or build.
    fn set_keep(&self, job: &str, number: u32, keep: bool) -> Result<(), Refusal>;

    /// What people say of a build.
    ///
    /// # Errors
    /// There is no such job or build.
    fn describe_build(
        &self,
        job: &str,
        number: u32,
        description: &str,
        display_name: Option<&str>,
    ) -> Result<(), Refusal>;

    /// The test results of a build, told apart from those of the build before.
    ///
    /// # Errors
    /// There is no such job or build, or it has none.
    fn tests(&self, job: &str, number: u32) -> Result<Vec<TestSuite>, Refusal>;

    /// Counts of tests of the last builds that had any, oldest first.
    ///
    /// # Errors
    /// [`Refusal::NoSuchJob`].
    fn test_trend(&self, job: &str, limit: usize) -> Result<Vec<(u32, TestCounts)>, Refusal>;

    /// The processes of a build that runs, for people.
    ///
    /// # Errors
    /// There is no such job or build.
    fn processes(&self, job: &str, number: u32) -> Result<Vec<ProcessLine>, Refusal>;

    /// Views: lists of jobs by name. `all` is always there.
    fn views(&self) -> Vec<ViewView>;

    /// Makes a view, or replaces its document.
    ///
    /// # Errors
    /// The name is bad, or it is to be new and is taken.
    fn put_view(&self, name: &str, config: &[u8], is_new: bool) -> Result<(), Refusal>;

    /// Removes a view.
    ///
    /// # Errors
    /// There is none, or it is `all`.
    fn delete_view(&self, name: &str) -> Result<(), Refusal>;

    /// Takes a job into a view, or out of it.
    ///
    /// # Errors
    /// There is no such view or job.
    fn set_in_view(&self, view: &str, job: &str, is_in: bool) -> Result<(), Refusal>;

    /// Starts nothing more, or starts again.
    fn quiet_down(&self, reason: Option<&str>, on: bool);

    /// A webhook that was delivered: true if it has not been seen before.
    fn is_new_delivery(&self, forge: &str, id: &str) -> bool;

    /// The secret that forges sign a job's webhooks with, if the job names one that is there.
    fn webhook_secret(&self, job: &str) -> Option<Vec<u8>>;
}

/// Why something is not done. The text says what and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such job.
    #[error("there is no job `{0}`")]
    NoSuchJob(String),
    /// There is no such build.
    #[error("job `{job}` has no build {build}")]
    NoSuchBuild {
        /// The job.
        job: String,
        /// What was asked for.
        build: String,
    },
    /// There is none of it.
    #[error("there is no {0}")]
    Nothing(String),
    /// The name cannot be used.
    #[error("{0}")]
    BadName(String),
    /// It is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// What was sent is not what it should be.
    #[error("{0}")]
    BadInput(String),
    /// Not now, or not this one: it is disabled, building, or the file's.
    #[error("{0}")]
    Conflict(String),
    /// The server could not.
    #[error("{0}")]
    Failed(String),
}

/// The server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// Its version.
    pub version: String,
    /// Its address, where it is configured.
    pub url: Option<String>,
    /// How many builds run at a time.
    pub executors: u32,
    /// How many run now.
    pub busy: u32,
    /// How many wait.
    pub waiting: u32,
    /// It starts nothing more, and why.
    pub quieting_down: Option<String>,
    /// The name of this host.
    pub node: String,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLine {
    /// Its full name.
    pub name: String,
    /// What people read.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// Nothing starts it.
    pub disabled: bool,
    /// How many builds run.
    pub running: u32,
    /// How many wait.
    pub waiting: u32,
    /// The newest build.
    pub last: Option<BuildLine>,
    /// The newest build that is over.
    pub last_completed: Option<BuildLine>,
    /// The newest that was no worse than unstable.
    pub last_successful: Option<u32>,
    /// The newest that failed.
    pub last_failed: Option<u32>,
    /// Results of the last builds, newest first, at most 20, for a trend.
    pub trend: Vec<(u32, BuildResult)>,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// As in a list.
    pub line: JobLine,
    /// What it is.
    pub job: Job,
    /// It is the configuration file's, which one edits with an editor.
    pub of_file: bool,
    /// It was sent with what this server does not know: paths of elements, and whether a build would
    /// silently do less than the job says.
    pub unknown: Vec<(String, bool)>,
    /// Why it may not be built, if so.
    pub not_buildable: Option<String>,
    /// What is asked of who starts it.
    pub parameters: Vec<Parameter>,
    /// The number of the next build.
    pub next_number: u32,
    /// Numbers of the last builds of each kind.
    pub lasts: Lasts,
    /// Those of its requests that wait.
    pub queue: Vec<QueueItem>,
    /// Jobs that its builds start.
    pub downstream: Vec<String>,
    /// Jobs whose builds start it.
    pub upstream: Vec<String>,
    /// Milliseconds that a build will take, by those before it.
    pub estimate: Option<u64>,
    /// Its workspace, if there is one.
    pub workspace: Option<PathBuf>,
}

/// Numbers of the last builds of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lasts {
    /// The oldest that is kept.
    pub first: Option<u32>,
    /// The newest.
    pub last: Option<u32>,
    /// That is over.
    pub completed: Option<u32>,
    /// That failed.
    pub failed: Option<u32>,
    /// That succeeded.
    pub stable: Option<u32>,
    /// That was no worse than unstable.
    pub successful: Option<u32>,
    /// That was unstable.
    pub unstable: Option<u32>,
    /// That is over and did not succeed.
    pub unsuccessful: Option<u32>,
}

/// Which build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By number.
    Number(u32),
    /// The newest.
    Last,
    /// The newest that is over.
    LastCompleted,
    /// The newest that failed.
    LastFailed,
    /// The newest that succeeded.
    LastStable,
    /// The newest that was no worse than unstable.
    LastSuccessful,
    /// The newest that was unstable.
    LastUnstable,
    /// The newest that is over and did not succeed.
    LastUnsuccessful,
}

impl Which {
    /// What a segment of an address says: a number, or one of Jenkins' words (`lastBuild` …).
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "lastBuild" => Self::Last,
            "lastCompletedBuild" => Self::LastCompleted,
            "lastFailedBuild" => Self::LastFailed,
            "lastStableBuild" => Self::LastStable,
            "lastSuccessfulBuild" => Self::LastSuccessful,
            "lastUnstableBuild" => Self::LastUnstable,
            "lastUnsuccessfulBuild" => Self::LastUnsuccessful,
            number => Self::Number(number.parse().ok().filter(|number| *number > 0)?),
        })
    }
}

/// Who wants what built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The job.
    pub job: String,
    /// Why.
    pub cause: Cause,
    /// What was given for parameters, by name; what is left out gets its default. A name that the job does
    /// not know is left out.
    pub parameters: Vec<(String, String)>,
    /// Milliseconds to wait for more of its kind; else the job's quiet period, or the server's.
    pub delay: Option<u64>,
    /// The commit, where it is settled.
    pub revision: Option<String>,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// Its place in the queue.
    pub id: u64,
    /// It was folded into a request that waited already.
    pub folded: bool,
}

/// What a forge told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Which forge: `GitHub`, `notifyCommit` …
    pub by: String,
    /// Addresses of the repository.
    pub urls: Vec<String>,
    /// Branches, if it told any.
    pub branches: Vec<String>,
    /// For this job only, as the address named it.
    pub job: Option<String>,
}

/// A request in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueItem {
    /// Its number.
    pub id: u64,
    /// The job.
    pub job: String,
    /// Why it was asked for.
    pub causes: Vec<Cause>,
    /// What was given.
    pub parameters: Vec<ParameterValue>,
    /// When it was asked for, milliseconds since the epoch.
    pub since: i64,
    /// Where it is.
    pub place: QueuePlace,
    /// Why it waits, for people.
    pub why: String,
    /// How many are before it.
    pub position: u32,
    /// It has waited for much longer than builds of the job take.
    pub stuck: bool,
}

/// Where a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueuePlace {
    /// Its quiet period ends then, milliseconds since the epoch.
    Waiting(i64),
    /// Something else must end first.
    Blocked,
    /// It needs an executor, since then (milliseconds since the epoch).
    Buildable(i64),
    /// It left: as this build.
    Started(u32),
    /// It left: nobody wants it any more.
    Cancelled,
}

/// A build in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildLine {
    /// The job.
    pub job: String,
    /// Its number.
    pub number: u32,
    /// What it calls itself, else `#N`.
    pub display_name: String,
    /// How it ended, unless it runs.
    pub result: Option<BuildResult>,
    /// When it began, milliseconds since the epoch.
    pub started_at: i64,
    /// How long it took, milliseconds; 0 while it runs.
    pub duration: u64,
    /// What is said of it.
    pub description: String,
    /// It is kept for ever.
    pub keep: bool,
    /// The commit.
    pub revision: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// How many tests did what.
    pub tests: Option<TestCounts>,
}

/// A build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildView {
    /// As in a list.
    pub line: BuildLine,
    /// Which request it was.
    pub queue_id: u64,
    /// Why.
    pub causes: Vec<Cause>,
    /// What was given.
    pub parameters: Vec<ParameterValue>,
    /// What is happening, while it runs.
    pub state: Option<State>,
    /// How it ended, when it has.
    pub outcome: Option<Outcome>,
    /// What was checked out, as soon as that is known.
    pub checkout: Option<Checkout>,
    /// Its log.
    pub log: PathBuf,
    /// The log may still grow.
    pub log_grows: bool,
    /// When the log's lines began.
    pub log_times: PathBuf,
    /// The directory of its artifacts.
    pub artifacts: PathBuf,
    /// Milliseconds that it will take, by those before it.
    pub estimate: Option<u64>,
    /// Which executor.
    pub executor: Option<u32>,
    /// Whom its end was told, and how that went, for people.
    pub notified: Vec<String>,
    /// The builds before and after it.
    pub previous: Option<u32>,
    /// The build after it.
    pub next: Option<u32>,
    /// Builds that it started: job and number.
    pub started: Vec<(String, u32)>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLine {
    /// Its process id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// How far below the build's first process.
    pub depth: u32,
    /// Its command line, masked and bounded.
    pub command: String,
    /// Seconds that it has been there.
    pub age: u64,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewView {
    /// Its name.
    pub name: String,
    /// Jobs, by name.
    pub jobs: Vec<String>,
    /// Its document.
    pub config: Vec<u8>,
}

/// What an account may do; who may more may less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Read,
    /// Start and stop builds.
    Build,
    /// Everything.
    Admin,
}

/// Who may do what.
pub trait Access: Send + Sync {
    /// What who does not sign in may do.
    fn anonymous(&self) -> Option<Role>;

    /// Somebody by name and password, or by name and API token. Takes the same time for every wrong answer.
    fn sign_in(&self, user: &str, secret: &str) -> Option<Account>;

    /// A new session in a browser; what the cookie is to hold.
    fn begin_session(&self, account: &Account) -> String;

    /// Who has this session.
    fn session(&self, cookie: &str) -> Option<Account>;

    /// Ends a session.
    fn end_session(&self, cookie: &str);

    /// What forms of this session carry against forgery; without a session, of this user.
    fn crumb(&self, account: &Account) -> String;

    /// Whether a form carried the right one, compared in constant time.
    fn is_crumb(&self, account: &Account, crumb: &str) -> bool;

    /// Whether there is any account: without one nobody can sign in.
    fn has_accounts(&self) -> bool;
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Their name; `anonymous` for who did not sign in.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// They came with an API token, and need no crumb.
    pub by_token: bool,
    /// Their session, if they have one.
    pub session: Option<String>,
}
