//! Why somebody was not told.

use std::io;

use ward_engine::EngineError;

/// Why somebody was not told. What others said is in it, made printable and short; secrets are not.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// What the job says cannot be used.
    #[error("{what} cannot be used: {why}")]
    Bad {
        /// What it is, without secrets.
        what: String,
        /// Why not.
        why: &'static str,
    },
    /// A secret is not there.
    #[error("secret `{id}` cannot be read")]
    Secret {
        /// Its name.
        id: String,
        /// Why not.
        source: io::Error,
    },
    /// What the secret holds is not what is needed.
    #[error("secret `{0}` is not of the form user:password")]
    BadSecret(String),
    /// The name is not known, or nobody answers there.
    #[error("cannot connect to {to}")]
    Connect {
        /// Host and port.
        to: String,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke, or took too long.
    #[error("talking to {to}")]
    Broken {
        /// Host and port.
        to: String,
        /// What happened.
        source: io::Error,
    },
    /// The other side is not who it should be, or does not speak TLS.
    #[error("no secure connection to {to}")]
    Tls {
        /// Host and port.
        to: String,
        /// Why not.
        source: rustls::Error,
    },
    /// Nobody whom this host trusts could vouch for the other side.
    #[error(
        "this host has no certificates of authorities (hint: install ca-certificates, or set SSL_CERT_FILE)"
    )]
    NoAuthorities,
    /// The other side does not offer what the settings insist on.
    #[error("{to} {what} (hint: {hint})")]
    NotOffered {
        /// Host and port.
        to: String,
        /// What it does not do.
        what: &'static str,
        /// What can be done.
        hint: &'static str,
    },
    /// The other side said no.
    #[error("{to} said: {said}")]
    Refused {
        /// Host and port.
        to: String,
        /// What it said.
        said: String,
        /// It may say something else later.
        temporary: bool,
    },
    /// The other side said what makes no sense.
    #[error("{to} does not speak as it should: {what}")]
    Protocol {
        /// Host and port.
        to: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A file for a command cannot be made.
    #[error("writing what a command is to read")]
    Scratch(#[source] io::Error),
    /// A command cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// The command's first word.
        program: String,
        /// Why not.
        source: EngineError,
    },
    /// A command failed.
    #[error("{program} {how}{}{said}", if said.is_empty() { "" } else { ": " })]
    Failed {
        /// The command's first word.
        program: String,
        /// How it ended.
        how: String,
        /// The end of what it wrote to standard error.
        said: String,
        /// It may do better later.
        temporary: bool,
    },
}

impl NotifyError {
    /// Whether another attempt may go better.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Scratch(_) | Self::Run { .. } => {
                true
            }
            Self::Refused { temporary, .. } | Self::Failed { temporary, .. } => *temporary,
            Self::Bad { .. }
            | Self::Secret { .. }
            | Self::BadSecret(_)
            | Self::Tls { .. }
            | Self::NoAuthorities
            | Self::NotOffered { .. }
            | Self::Protocol { .. } => false,
        }
    }
}

/// What somebody else said: one line that can be printed, and not a long one.
pub(super) fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim()
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(300)
        .collect()
}
