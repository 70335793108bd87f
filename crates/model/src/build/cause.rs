//! Why a build was started.

use serde::{Deserialize, Serialize};

/// Why a build was started. One build may have several causes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody asked for it.
    User {
        /// The account's name; `anonymous` where nobody has to sign in.
        user: String,
    },
    /// A trigger token was presented.
    Remote {
        /// From which address.
        host: String,
        /// What the caller said.
        note: String,
    },
    /// A time came.
    Timer,
    /// The repository had something new.
    Scm {
        /// What told us to look: `poll`, or the name of the forge whose webhook came.
        by: String,
    },
    /// Another job's build ended.
    Upstream {
        /// Full name of that job.
        job: String,
        /// Number of its build.
        number: u32,
        /// The causes of that build.
        causes: Vec<Cause>,
    },
    /// It runs on this machine without a server.
    Local {
        /// The account's name.
        user: String,
    },
}

impl Cause {
    /// One line for people, as Jenkins' clients know it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::User { user } | Self::Local { user } => format!("Started by user {user}"),
            Self::Remote { host, note } if note.is_empty() => {
                format!("Started by remote host {host}")
            }
            Self::Remote { host, note } => {
                format!("Started by remote host {host} with note: {note}")
            }
            Self::Timer => "Started by timer".to_owned(),
            Self::Scm { by } if by == "poll" => "Started by an SCM change".to_owned(),
            Self::Scm { by } => format!("Started by an SCM change ({by})"),
            Self::Upstream { job, number, .. } => {
                format!("Started by upstream project \"{job}\" build number {number}")
            }
        }
    }

    /// The Java class that Jenkins' clients look for.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::User { .. } | Self::Local { .. } => "hudson.model.Cause$UserIdCause",
            Self::Remote { .. } => "hudson.model.Cause$RemoteCause",
            Self::Timer => "hudson.triggers.TimerTrigger$TimerTriggerCause",
            Self::Scm { .. } => "hudson.triggers.SCMTrigger$SCMTriggerCause",
            Self::Upstream { .. } => "hudson.model.Cause$UpstreamCause",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cause;

    #[test]
    fn causes_are_told_in_words_that_clients_know() {
        let upstream = Cause::Upstream {
            job: "lib".to_owned(),
            number: 3,
            causes: vec![Cause::Timer],
        };
        assert_eq!(
            upstream.describe(),
            "Started by upstream project \"lib\" build number 3"
        );
        let silent = Cause::Remote {
            host: "10.0.0.1".to_owned(),
            note: String::new(),
        };
        assert_eq!(silent.describe(), "Started by remote host 10.0.0.1");
        let json = serde_json::to_string(&upstream).expect("plain data");
        let back: Cause = serde_json::from_str(&json).expect("what was written");
        assert_eq!(back, upstream);
    }
}
