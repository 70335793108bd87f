//! Why git could not do what it should, with what is to be done about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ward_engine::EngineError;

/// Why git could not do what it should. No text has a password or a key in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The build is being stopped.
    #[error("stopped")]
    Stopped,
    /// The address is none that git may be given.
    #[error("`{address}` is no address of a repository: {why}")]
    Address {
        /// What was given, without a password.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name in the configuration cannot be used.
    #[error("{what} `{value}` cannot be used: {why}")]
    Setting {
        /// What it is.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What is built cannot be understood.
    #[error("{what}")]
    Branches {
        /// Which, and why.
        what: String,
    },
    /// The secret to sign in with cannot be had.
    #[error("cannot sign in with secret `{name}`: {why}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The command could not be had in custody.
    #[error("cannot run git")]
    Custody(#[from] EngineError),
    /// There is no git, or it could not be started.
    #[error("cannot start git: {step}: {message}")]
    NoGit {
        /// What was being done.
        step: String,
        /// What the system says.
        message: String,
    },
    /// It took too long.
    #[error("`git {what}` was not done after {}", humantime::format_duration(*limit))]
    TimedOut {
        /// Its verb.
        what: String,
        /// How long it may take.
        limit: Duration,
    },
    /// Git failed.
    #[error("`git {what}` failed: {said}")]
    Failed {
        /// Its verb.
        what: String,
        /// The last lines that it wrote, without passwords.
        said: String,
        /// What kind of failure it looks like.
        trouble: Trouble,
    },
    /// What git wrote was not what it should be.
    #[error("`git {0}` wrote something that it should not")]
    Nonsense(String),
    /// A repository without a commit.
    #[error("{0} has no commits yet")]
    Empty(String),
    /// No branch is as the job wants it.
    #[error("{url} has no branch that is {wanted}")]
    NoBranch {
        /// The repository.
        url: String,
        /// What is built.
        wanted: String,
        /// Some of the branches that there are.
        there: Vec<String>,
    },
    /// The commit is not there any more.
    #[error("{url} has no commit {revision}")]
    NoRevision {
        /// The repository.
        url: String,
        /// The commit.
        revision: String,
    },
    /// Something with files.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl GitError {
    /// What there is to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Stopped | Self::Custody(_) | Self::Nonsense(_) | Self::File { .. } => None,
            Self::Address { .. } => Some(
                "git knows https://host/path, ssh://host/path, user@host:path, and paths of this host"
                    .to_owned(),
            ),
            Self::Setting { .. } | Self::Branches { .. } => None,
            Self::Secret { name, .. } => Some(format!(
                "put a private key, or `user:password`, into the file `{name}` in the server's directory of secrets, with mode 0600"
            )),
            Self::NoGit { .. } => Some("install git, or set PATH for builds".to_owned()),
            Self::TimedOut { .. } => Some(
                "see whether the host answers; a large repository may need a longer time limit of git commands, or a depth"
                    .to_owned(),
            ),
            Self::Failed { trouble, .. } => trouble.hint(),
            Self::Empty(_) => Some("push a first commit".to_owned()),
            Self::NoBranch { there, .. } if there.is_empty() => None,
            Self::NoBranch { there, .. } => Some(format!("it has {}", there.join(", "))),
            Self::NoRevision { .. } => Some(
                "it was pushed away, or its branch was removed; start a new build".to_owned(),
            ),
        }
    }

    /// Wraps what the system says of a file.
    pub(super) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            doing,
            path,
            source,
        }
    }
}

/// What kind of failure something looks like that git wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The other side wants other credentials, or some.
    SignIn,
    /// The other side's key is not the one that is known.
    HostKey,
    /// There is no such repository, or it may not be seen.
    NotFound,
    /// The host cannot be reached.
    Unreachable,
    /// The other side gave up, or the connection broke: it may well work the next time.
    BrokenOff,
    /// A certificate is not trusted.
    Certificate,
    /// A way to fetch that is not allowed.
    Forbidden,
    /// The files belong to somebody else.
    Owner,
    /// A lock of another git is in the way.
    Locked,
    /// The disk is full.
    Full,
    /// A ref that was asked for is not there.
    NoRef,
    /// The clone on this host is damaged.
    Damaged,
    /// Something else.
    Other,
}

/// What git says, in lower case, and what it means; the first that is found counts.
const SIGNS: [(&str, Trouble); 36] = [
    ("no space left on device", Trouble::Full),
    ("disk quota exceeded", Trouble::Full),
    ("host key verification failed", Trouble::HostKey),
    ("remote host identification has changed", Trouble::HostKey),
    ("authentication failed", Trouble::SignIn),
    ("could not read username", Trouble::SignIn),
    ("could not read password", Trouble::SignIn),
    ("permission denied (publickey", Trouble::SignIn),
    ("permission denied, please try again", Trouble::SignIn),
    ("the requested url returned error: 401", Trouble::SignIn),
    ("the requested url returned error: 403", Trouble::SignIn),
    (
        "server certificate verification failed",
        Trouble::Certificate,
    ),
    ("ssl certificate problem", Trouble::Certificate),
    ("no supported authentication methods", Trouble::SignIn),
    ("could not resolve host", Trouble::Unreachable),
    ("unable to look up", Trouble::Unreachable),
    ("connection refused", Trouble::Unreachable),
    ("connection timed out", Trouble::Unreachable),
    ("network is unreachable", Trouble::Unreachable),
    ("no route to host", Trouble::Unreachable),
    ("failed to connect to", Trouble::Unreachable),
    ("couldn't connect to server", Trouble::Unreachable),
    ("unable to connect to", Trouble::Unreachable),
    ("the requested url returned error: 5", Trouble::BrokenOff),
    ("the requested url returned error: 429", Trouble::BrokenOff),
    ("couldn't find remote ref", Trouble::NoRef),
    ("not our ref", Trouble::NoRef),
    ("unadvertised object", Trouble::NoRef),
    ("repository not found", Trouble::NotFound),
    (
        "access denied or repository not exported",
        Trouble::NotFound,
    ),
    ("does not appear to be a git repository", Trouble::NotFound),
    ("dubious ownership", Trouble::Owner),
    ("not allowed", Trouble::Forbidden),
    (".lock': file exists", Trouble::Locked),
    ("loose object", Trouble::Damaged),
    ("not a git repository", Trouble::Damaged),
];

/// More of it, which only counts if nothing above does.
const LATER_SIGNS: [(&str, Trouble); 22] = [
    ("repository '", Trouble::NotFound),
    ("bad object", Trouble::Damaged),
    ("corrupt", Trouble::Damaged),
    ("unable to read tree", Trouble::Damaged),
    ("missing blob", Trouble::Damaged),
    ("missing tree", Trouble::Damaged),
    ("missing necessary objects", Trouble::Damaged),
    ("index file smaller than expected", Trouble::Damaged),
    ("bad signature", Trouble::Damaged),
    ("did not send all necessary objects", Trouble::Damaged),
    ("could not parse object", Trouble::Damaged),
    ("is truncated", Trouble::Damaged),
    ("does not match index", Trouble::Damaged),
    // Where the clone itself is asked, what is wrong with it is said before this.
    ("rpc failed", Trouble::BrokenOff),
    ("early eof", Trouble::BrokenOff),
    ("unexpected disconnect", Trouble::BrokenOff),
    ("connection reset", Trouble::BrokenOff),
    ("connection closed by", Trouble::BrokenOff),
    ("broken pipe", Trouble::BrokenOff),
    ("empty reply from server", Trouble::BrokenOff),
    ("the remote end hung up", Trouble::BrokenOff),
    ("could not read from remote repository", Trouble::BrokenOff),
];

impl Trouble {
    /// What kind of failure `text` looks like.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        SIGNS
            .iter()
            .chain(&LATER_SIGNS)
            .find(|(sign, _)| text.contains(sign))
            .map_or(Self::Other, |(_, trouble)| *trouble)
    }

    /// Whether a clone that is made anew may help.
    #[must_use]
    pub fn is_of_clone(self) -> bool {
        match self {
            Self::Damaged | Self::Locked | Self::Other => true,
            Self::SignIn
            | Self::HostKey
            | Self::NotFound
            | Self::Unreachable
            | Self::BrokenOff
            | Self::Certificate
            | Self::Forbidden
            | Self::Owner
            | Self::Full
            | Self::NoRef => false,
        }
    }

    fn hint(self) -> Option<String> {
        let text = match self {
            Self::SignIn => {
                "give the job the name of a secret (`credentials`) that may read the repository: a private key without a passphrase for ssh, `user:password` or a token for https"
            }
            Self::HostKey => {
                "the host shows another key than before: if that is right, remove its lines from `known_hosts` in the server's directory"
            }
            Self::NotFound => {
                "look at the address; some forges say this too if credentials are missing"
            }
            Self::Unreachable => "see whether this host can reach that one, and by which proxy",
            Self::BrokenOff => "the other side broke off; if that goes on, its own log tells why",
            Self::Certificate => {
                "if the certificate is right, name its authority with `http.sslCAInfo` in the file `gitconfig` in the server's directory"
            }
            Self::Forbidden => {
                "git may fetch by https, http, ssh and git, and from this host's files where the job's own repository is such; helpers for other ways are not run"
            }
            Self::Owner => {
                "the files belong to another user than the job's: give them to that user, or let the workspace be wiped"
            }
            Self::Locked => "if no other git works there, remove the file that it names",
            Self::Full => "make room, or keep fewer builds and artifacts",
            Self::NoRef => "look at the refspec and at the branches",
            Self::Damaged => "wipe the workspace; the next build clones anew",
            Self::Other => return None,
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Trouble;

    #[test]
    fn what_git_says_is_understood() {
        let cases = [
            (
                "fatal: Authentication failed for 'https://x/'",
                Trouble::SignIn,
            ),
            (
                "fatal: could not read Username for 'https://x': terminal prompts disabled",
                Trouble::SignIn,
            ),
            (
                "git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                Trouble::SignIn,
            ),
            (
                "fatal: unable to access 'https://x/': Could not resolve host: x",
                Trouble::Unreachable,
            ),
            (
                "fatal: '/nowhere' does not appear to be a git repository",
                Trouble::NotFound,
            ),
            (
                "fatal: repository 'https://x/y.git/' not found",
                Trouble::NotFound,
            ),
            ("fatal: transport 'file' not allowed", Trouble::Forbidden),
            (
                "fatal: Unable to create '/w/.git/index.lock': File exists.",
                Trouble::Locked,
            ),
            (
                "error: object file .git/objects/1 is empty\nfatal: loose object 1 is corrupt",
                Trouble::Damaged,
            ),
            (
                "fatal: couldn't find remote ref refs/heads/x",
                Trouble::NoRef,
            ),
            ("write error: No space left on device", Trouble::Full),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 503",
                Trouble::BrokenOff,
            ),
            (
                "error: RPC failed; curl 18 transfer closed with 12 bytes remaining to read\nfetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\nfatal: index-pack failed",
                Trouble::BrokenOff,
            ),
            (
                "remote: fatal: packed object 1 (stored in x.pack) is corrupt\nfatal: the remote end hung up unexpectedly",
                Trouble::Damaged,
            ),
            ("what?", Trouble::Other),
        ];
        for (text, trouble) in cases {
            assert_eq!(Trouble::of(text), trouble, "{text}");
        }
    }
}
