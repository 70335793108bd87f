//! Why an account cannot be had or changed.

use std::io;
use std::path::PathBuf;

/// Why an account cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The name cannot be used.
    #[error(
        "`{0}` is no name for an account: 1 to 64 letters, digits and `-_.@+`, not beginning with `-`, and not `anonymous`"
    )]
    BadName(String),
    /// The password cannot be used.
    #[error("a password has 8 to 1024 bytes")]
    BadPassword,
    /// The label cannot be used.
    #[error("a token's label has 1 to 64 characters that can be printed")]
    BadLabel,
    /// There is one already.
    #[error("{what} `{name}` exists already")]
    Exists {
        /// What there is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is none.
    #[error("there is no {what} `{name}`")]
    Nothing {
        /// What there is not.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There are so many that no more are taken.
    #[error("there are {0} already, and no more are taken")]
    TooMany(usize),
    /// The file cannot be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what it should be. It is left as it is.
    #[error("{} is damaged (hint: put back a copy, or remove it and add the accounts again)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Others may read or write the file.
    #[error(
        "{} may be read or written by others than its owner (hint: chmod 600)",
        .0.display()
    )]
    Open(PathBuf),
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}
