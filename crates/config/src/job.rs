//! What a job is: the typed form of `[job:NAME]`, of a job kept in the repository, and of Jenkins'
//! `config.xml` alike.
//!
//! Plain data, which goes into a build's plan as it is. Nothing here is looked up: a user is a name, a
//! lock is the text that `ward lock` takes.

mod notation;
mod parameters;
mod read;
mod repository;
mod script;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ward_model::build::BuildResult;

pub use notation::{check_name, is_address, is_secret_name, is_variable};
pub(crate) use read::read;
pub use repository::{
    LARGEST_REPOSITORY_FILE, REPOSITORY_FILE, REPOSITORY_KEYS, load_repository_job,
};

/// [`Job::concurrent`] where any number of builds may run at a time.
pub const UNLIMITED: u32 = u32::MAX;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// Its full name; folders are separated by `/`.
    pub name: String,
    /// What people read instead of the name.
    pub display_name: Option<String>,
    /// What it is for; HTML is not interpreted.
    pub description: String,
    /// Nothing starts it.
    pub disabled: bool,
    /// Where what it builds comes from.
    pub source: Option<Source>,
    /// A file of the checked-out commit that says the rest (`.ward.conf`).
    pub from_repository: Option<String>,
    /// What starts it.
    pub triggers: Triggers,
    /// What is asked of who starts it.
    pub parameters: Vec<Parameter>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Variables of every step.
    pub environment: Vec<(String, String)>,
    /// Secrets of every step.
    pub secrets: Vec<SecretBinding>,
    /// As whom the steps run, by name or number, where the server may choose.
    pub user: Option<String>,
    /// Where it is built, instead of a workspace of its own; used by one build at a time or by many,
    /// without a lock, as in Jenkins.
    pub workspace: Option<String>,
    /// What becomes of an older build's files.
    pub clean: Clean,
    /// How long all of a build's steps and its checkout may take.
    pub timeout: Option<Duration>,
    /// How long a build may write nothing.
    pub idle_timeout: Option<Duration>,
    /// What a build becomes whose time is over: [`BuildResult::Aborted`] or [`BuildResult::Failure`].
    pub timeout_result: BuildResult,
    /// How long clean-up may take after a stop.
    pub grace: Duration,
    /// How long what a step leaves behind may take to end by itself.
    pub leftover_grace: Duration,
    /// Processes that changed a cookie (`BUILD_ID=dontKillMe`) stay.
    pub spare: bool,
    /// Locks held from before the checkout to the last process' end, in the notation of `ward lock`.
    pub locks: Vec<String>,
    /// How many builds may run at a time; 1: one after the other; [`UNLIMITED`]: as many as there are executors.
    pub concurrent: u32,
    /// Waits while a job that it depends on is building or queued.
    pub blocked_by_upstream: bool,
    /// Waits while a job that depends on it is building or queued.
    pub blocked_by_downstream: bool,
    /// How long a request waits for more of its kind; else the server's.
    pub quiet_period: Option<Duration>,
    /// Which builds are kept.
    pub keep: Keep,
    /// Which files are kept.
    pub artifacts: Vec<Artifacts>,
    /// Where test results are.
    pub junit: Vec<Junit>,
    /// Who is told.
    pub notify: Notify,
    /// What is built next.
    pub downstream: Vec<Downstream>,
    /// The secret of `/job/X/build?token=`.
    pub token: Option<String>,
    /// Where it may run, as Jenkins' label expression; kept and shown, there is one node.
    pub label: Option<String>,
    /// What a build is called, with `${VARIABLES}`, instead of `#N`.
    pub build_name: Option<String>,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            name: String::new(),
            display_name: None,
            description: String::new(),
            disabled: false,
            source: None,
            from_repository: None,
            triggers: Triggers::default(),
            parameters: Vec::new(),
            steps: Vec::new(),
            environment: Vec::new(),
            secrets: Vec::new(),
            user: None,
            workspace: None,
            clean: Clean::No,
            timeout: None,
            idle_timeout: None,
            timeout_result: BuildResult::Aborted,
            grace: Duration::from_secs(10),
            leftover_grace: Duration::from_secs(2),
            spare: true,
            locks: Vec::new(),
            concurrent: 1,
            blocked_by_upstream: false,
            blocked_by_downstream: false,
            quiet_period: None,
            keep: Keep::default(),
            artifacts: Vec::new(),
            junit: Vec::new(),
            notify: Notify::default(),
            downstream: Vec::new(),
            token: None,
            label: None,
            build_name: None,
        }
    }
}

/// A git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// What git clones from.
    pub url: String,
    /// The remote's name.
    pub remote: String,
    /// What is fetched, instead of all branches.
    pub refspec: Option<String>,
    /// Which branches are built, in Jenkins' notation: `main`, `*/main`, `refs/heads/x`, `release/*`, `**`,
    /// `:regex`, `${PARAM}`, a commit's name.
    pub branches: Vec<String>,
    /// The name of a secret to sign in with: a file with a private key, or `user:password`.
    pub credentials: Option<String>,
    /// So many commits are fetched.
    pub depth: Option<u32>,
    /// Tags are not fetched.
    pub no_tags: bool,
    /// A repository on this host to take objects from.
    pub reference: Option<String>,
    /// How long one git command may take.
    pub timeout: Duration,
    /// Submodules are checked out too.
    pub submodules: bool,
    /// And theirs.
    pub recursive_submodules: bool,
    /// The directory of the workspace to check out to.
    pub directory: Option<String>,
    /// The commit is checked out as this local branch; `**`: the name it has at the remote.
    pub local_branch: Option<String>,
    /// Nothing is shared with other jobs' clones of the repository.
    pub no_cache: bool,
    /// Branches that the remote no longer has are forgotten.
    pub prune: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            url: String::new(),
            remote: "origin".to_owned(),
            refspec: None,
            branches: Vec::new(),
            credentials: None,
            depth: None,
            no_tags: false,
            reference: None,
            timeout: Duration::from_secs(600),
            submodules: false,
            recursive_submodules: false,
            directory: None,
            local_branch: None,
            no_cache: false,
            prune: false,
        }
    }
}

/// What starts a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Triggers {
    /// Times, in Jenkins' notation, lines.
    pub timer: Option<String>,
    /// When to look for something new, in Jenkins' notation; empty: only when a webhook says so.
    pub poll: Option<String>,
    /// What a push tells is not heeded.
    pub ignores_notify: bool,
    /// Pushes told by forges start it.
    pub webhook: bool,
    /// The name of the secret that forges sign with.
    pub webhook_secret: Option<String>,
    /// Builds of other jobs start it.
    pub upstream: Vec<Downstream>,
}

/// Another job, and how good a build has to be to start what comes after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downstream {
    /// Full name of the other job.
    pub job: String,
    /// The worst result that starts the next.
    pub threshold: BuildResult,
}

/// What is asked of who starts a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The variable.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What may be given.
    pub kind: ParameterKind,
}

/// What may be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterKind {
    /// One line.
    Text {
        /// If nothing is said.
        default: String,
        /// Blanks around it do not count.
        trim: bool,
    },
    /// Several lines.
    Lines {
        /// If nothing is said.
        default: String,
    },
    /// Yes or no.
    Boolean {
        /// If nothing is said.
        default: bool,
    },
    /// One of these; the first if nothing is said.
    Choice {
        /// All that may be said.
        choices: Vec<String>,
    },
    /// Something that is never shown.
    Password {
        /// If nothing is said.
        default: String,
    },
}

/// Something that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// What people call it.
    pub name: Option<String>,
    /// The script, run as Jenkins' "Execute shell".
    pub script: String,
    /// The shell of a script without `#!`; else the server's.
    pub shell: Option<String>,
    /// EXIT traps are made to run on a stop.
    pub prelude: bool,
    /// This exit status makes the build unstable, and it goes on.
    pub unstable_status: Option<u8>,
    /// Runs after a failure or a stop too.
    pub always: bool,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            name: None,
            script: String::new(),
            shell: None,
            prelude: true,
            unstable_status: None,
            always: false,
        }
    }
}

/// A secret that steps get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretBinding {
    /// The variable.
    pub variable: String,
    /// Which of the server's secrets: the name of a file in its directory of secrets.
    pub secret: String,
    /// The variable holds the path of a file, not the secret.
    pub as_file: bool,
}

/// What becomes of an older build's files in the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clean {
    /// They stay.
    No,
    /// What git does not know goes before the checkout.
    Before,
    /// What git does not know goes after the checkout.
    After,
    /// Everything goes before the checkout.
    Wipe,
}

/// Which builds are kept: those that both limits allow, and always the last successful and the last
/// stable one, what runs, and what somebody marked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keep {
    /// So many.
    pub builds: Option<u32>,
    /// Those of so many days.
    pub days: Option<u32>,
    /// Artifacts of so many.
    pub artifact_builds: Option<u32>,
    /// Artifacts of so many days.
    pub artifact_days: Option<u32>,
}

/// Which files are kept, in Ant's notation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Artifacts {
    /// These.
    pub include: Vec<String>,
    /// But not these.
    pub exclude: Vec<String>,
    /// Nor what Ant leaves out by default (`.git`, `*~` …).
    pub default_excludes: bool,
    /// Upper and lower case are told apart.
    pub case_sensitive: bool,
    /// Nothing to keep is no failure.
    pub allow_empty: bool,
    /// Only if the build is no worse than unstable.
    pub only_if_successful: bool,
    /// Symbolic links within the workspace are followed.
    pub follow_symlinks: bool,
}

impl Default for Artifacts {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            default_excludes: true,
            case_sensitive: true,
            allow_empty: false,
            only_if_successful: false,
            follow_symlinks: true,
        }
    }
}

/// Where test results are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Junit {
    /// Files in Ant's notation.
    pub include: Vec<String>,
    /// No results are no failure.
    pub allow_empty: bool,
    /// Files that are older than the build do not count.
    pub skip_old: bool,
    /// The output of passing tests is kept too.
    pub keep_long_output: bool,
}

/// Who is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notify {
    /// By mail: addresses.
    pub mail: Vec<String>,
    /// Those whose commits are new since the last success are told too.
    pub mail_culprits: bool,
    /// Only the first unstable build of a series is told of.
    pub mail_first_unstable_only: bool,
    /// By HTTP: a document in JSON is sent to these addresses.
    pub webhooks: Vec<String>,
    /// By commands, which get the document on their standard input.
    pub commands: Vec<String>,
}
