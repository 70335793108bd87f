//! What to run and how: plain data that can cross from one process of ours to another.
//!
//! Nothing here is parsed or looked up: names of users and signals have become numbers,
//! and the environment is complete.

use std::ffi::OsString;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::life::Policy;
use crate::rung::RungChoice;
use crate::signal::Signal;

/// A command and everything around it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The program and its arguments; the program is searched for in the `PATH` of
    /// [`Spec::environment`] unless it contains a slash.
    pub command: Vec<OsString>,
    /// What people should read where the command is named, if not the command itself.
    pub title: Option<String>,
    /// The whole environment of the leader. Later entries of a name win.
    pub environment: Vec<(OsString, OsString)>,
    /// Where the leader starts; else where ward was started.
    pub directory: Option<OsString>,
    /// As whom the leader runs; else as ward does.
    pub identity: Option<Identity>,
    /// File mode creation mask, umask(2).
    pub umask: Option<u32>,
    /// Added to the niceness, nice(2).
    pub nice: Option<i32>,
    /// Resource limits, setrlimit(2).
    pub rlimits: Vec<Rlimit>,
    /// Limits of the whole tree.
    pub tree_limits: TreeLimits,
    /// Goes on without a limit that cannot be had here.
    pub best_effort: bool,
    /// Where the leader reads from.
    pub stdin: Stdin,
    /// Sends standard error where standard output goes.
    pub merge: bool,
    /// Descriptors to pass on besides 0, 1 and 2.
    pub keep_fds: Vec<i32>,
    /// By which means the tree is held.
    pub rung: RungChoice,
    /// Lets processes stay that were detached on purpose ([`crate::cookie`]).
    pub spare: bool,
    /// The limits of its life.
    pub policy: Policy,
    /// Writes the output to this file too.
    pub log: Option<Log>,
    /// Says nothing on standard error but failures.
    pub quiet: bool,
    /// Requests to stop by these signals are not heeded.
    #[serde(default)]
    pub deaf_to: Vec<Signal>,
    /// A file that was made for this run only, and is removed at its end.
    pub remove_at_end: Option<OsString>,
    /// Outlives whoever starts it.
    #[serde(default)]
    pub detached: Option<Detached>,
}

/// What only a detached command has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// Where its standard output and standard error go.
    pub output: DaemonOutput,
}

/// Where the output of a detached command goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DaemonOutput {
    /// Through ward into a log, both streams in one.
    Log(RotatedLog),
    /// Straight into files, which ward does not read.
    Files {
        /// Where standard output goes; it is added to what is there.
        stdout: OsString,
        /// Where standard error goes.
        stderr: OsString,
    },
}

/// A log that is kept within bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedLog {
    /// Where; older parts are beside it, with `.1` (the youngest) and so on behind its name.
    pub path: OsString,
    /// A part that has reached this size, bytes, is put aside; 0 keeps one part for ever.
    pub max_bytes: u64,
    /// How many parts are kept beside the current one; with 0 it begins anew.
    pub keep: u32,
    /// Puts the time before each line, as in [`Log::timestamps`].
    pub timestamps: bool,
    /// Nobody but its user may read it.
    pub private: bool,
}

impl Spec {
    /// A spec for `command` with an empty environment and every default.
    #[must_use]
    pub fn new(command: Vec<OsString>) -> Self {
        Self {
            command,
            title: None,
            environment: Vec::new(),
            directory: None,
            identity: None,
            umask: None,
            nice: None,
            rlimits: Vec::new(),
            tree_limits: TreeLimits::default(),
            best_effort: false,
            stdin: Stdin::Inherit,
            merge: false,
            keep_fds: Vec::new(),
            rung: RungChoice::Auto,
            spare: true,
            policy: Policy::default(),
            log: None,
            quiet: false,
            deaf_to: Vec::new(),
            remove_at_end: None,
            detached: None,
        }
    }

    /// The name of the command for messages: its title, or its program in backticks.
    #[must_use]
    pub fn name(&self) -> String {
        self.title.clone().unwrap_or_else(|| {
            let program = self
                .command
                .first()
                .map(|program| program.to_string_lossy());
            format!("`{}`", program.unwrap_or_default())
        })
    }
}

/// A user by numbers, credentials(7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// One resource limit, setrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Which: an `RLIMIT_` number of this system.
    pub resource: u32,
    /// The soft limit; `None` is unlimited.
    pub soft: Option<u64>,
    /// The hard limit; `None` is unlimited.
    pub hard: Option<u64>,
}

/// Limits of a whole tree, which only a cgroup can hold (cgroups(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeLimits {
    /// `memory.max`, bytes.
    pub memory_max: Option<u64>,
    /// `pids.max`.
    pub pids_max: Option<u64>,
    /// `cpu.max`, thousandths of a processor.
    pub cpu_max: Option<u32>,
}

impl TreeLimits {
    /// The controllers that these limits need.
    pub fn controllers(&self) -> impl Iterator<Item = &'static str> {
        [
            self.memory_max.map(|_| "memory"),
            self.pids_max.map(|_| "pids"),
            self.cpu_max.map(|_| "cpu"),
        ]
        .into_iter()
        .flatten()
    }
}

/// Where the leader reads from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdin {
    /// From where ward would.
    Inherit,
    /// From nowhere: end of file at once.
    Null,
    /// From this file.
    File(OsString),
}

/// A copy of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Where.
    pub path: OsString,
    /// Adds to what is there instead of replacing it.
    pub append: bool,
    /// Puts the time (RFC 3339, UTC, milliseconds) before each line.
    pub timestamps: bool,
}

/// How long the kill may go without any progress before members count as unkillable.
pub const KILL_PATIENCE: Duration = Duration::from_secs(5);
