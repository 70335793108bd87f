//! How a life ended: reported once, never inferred from anything else.

use serde::{Deserialize, Serialize};

use crate::signal::Signal;

/// How the leader, the first process of the tree, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum End {
    /// It called exit.
    Exited {
        /// Its exit status, 0 to 255.
        code: u8,
    },
    /// A signal ended it.
    Signaled {
        /// Which.
        signal: Signal,
        /// Whether a core file was written.
        core_dumped: bool,
    },
    /// It never ran: a step before or at exec failed.
    NotStarted {
        /// The system's error number, errno(3).
        errno: i32,
        /// Whether the failing step was the exec itself.
        exec: bool,
    },
    /// It ended, but nobody could learn how.
    Unknown,
}

/// Why a tree was told to stop, in rising severity: a cause replaces only a lesser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The leader had ended by itself and others outlived it.
    LeftOver,
    /// Somebody sent a signal to ward.
    Requested,
    /// No output for too long.
    IdleLimit,
    /// It ran for too long.
    TimeLimit,
    /// The process that the caller sees was killed.
    FrontLost,
    /// The lock that it held was about to be lost, or was: others may enter.
    LockLost,
}

/// The whole truth about an ended life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How the leader ended.
    pub end: End,
    /// Why the tree was told to stop, if it was.
    pub cause: Option<CauseKind>,
    /// Whether the stop was asked for while the leader still ran.
    pub stopped_before_end: bool,
    /// Whether the grace ran out and the tree was killed.
    pub forced: bool,
    /// Whether a second request cut the grace short.
    pub hurried: bool,
    /// Whether some members could not be ended at all.
    pub stalled: bool,
    /// Whether output was given up undelivered, because nobody read it.
    pub output_cut: bool,
}
