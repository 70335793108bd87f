//! The containment ladder: by which means a tree is held.

use serde::{Deserialize, Serialize};

/// A rung of the containment ladder, weakest first. Each keeps the lower ones on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// A guardian process that is a child subreaper (`PR_SET_CHILD_SUBREAPER`, prctl(2)):
    /// every orphan of the tree becomes its child, and `ECHILD` proves that none is left.
    Guardian,
    /// A fresh cgroup v2 directory per run (cgroups(7)), killed by `cgroup.kill` and proved
    /// empty by `cgroup.events`, with the guardian above it.
    Cgroup,
}

impl Rung {
    /// The name on the command line, in reports and in the documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guardian => "guardian",
            Self::Cgroup => "cgroup",
        }
    }
}

/// Which rung the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RungChoice {
    /// The highest that works here.
    #[default]
    Auto,
    /// This one, or fail before anything is started.
    Exactly(Rung),
}
