//! Why a run was not begun. Each says what was attempted and on what; the cause chain
//! says the rest, and a hint says what to do where there is something to do.

use std::io;
use std::path::PathBuf;

use ward_model::exit_code;
use ward_sys::contain::cgroup::CgroupError;

/// Why a run was not begun. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no command.
    #[error("there is no command to run")]
    NoCommand,
    /// The log cannot be written.
    #[error("cannot open the log `{}`", path.display())]
    Log {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The report cannot be written.
    #[error("cannot write the report `{}`", path.display())]
    Report {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The input file cannot be read.
    #[error("cannot read standard input from `{}`", path.display())]
    Stdin {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A descriptor to keep is not open.
    #[error("descriptor {0} cannot be kept: it is not open")]
    KeepFd(i32),
    /// The rung that was asked for is not to be had.
    #[error("containment by cgroup is not possible here")]
    Rung(#[source] CgroupError),
    /// A limit of the tree is not to be had.
    #[error("cannot limit the tree's {what}")]
    TreeLimit {
        /// Of what.
        what: &'static str,
        /// Why.
        #[source]
        source: CgroupError,
    },
    /// The command was not started, and went no further than this.
    #[error("cannot prepare the command")]
    Prepare(#[source] ward_sys::spawn::SpawnError),
    /// Something that every run needs failed.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The guardian is gone, and the truth with it.
    #[error("the guardian process ended before the run did")]
    GuardianLost,
}

impl EngineError {
    /// Wraps an I/O error of something that every run needs.
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }

    /// The exit status that tells it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommand
            | Self::Log { .. }
            | Self::Report { .. }
            | Self::Stdin { .. }
            | Self::KeepFd(_)
            | Self::Prepare(ward_sys::spawn::SpawnError::Nul(_)) => exit_code::USAGE,
            Self::Rung(_)
            | Self::TreeLimit { .. }
            | Self::Prepare(_)
            | Self::System { .. }
            | Self::GuardianLost => exit_code::WARD_FAILED,
        }
    }

    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Log { path, .. } | Self::Report { path, .. } => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                Some(match directory {
                    Some(directory) if !directory.exists() => {
                        format!("create the directory `{}` first", directory.display())
                    }
                    _ => "choose a file in a directory that you may write to".to_owned(),
                })
            }
            Self::KeepFd(fd) => Some(format!("open it in the caller, as in `{fd}>file`")),
            Self::Rung(_) => Some(
                "`ward doctor` says what this host gives; without --containment the best of it is used"
                    .to_owned(),
            ),
            Self::TreeLimit { source, .. } => Some(match source {
                CgroupError::NoController { .. } | CgroupError::Busy { .. } => {
                    "start ward in a delegated cgroup (systemd-run --scope -p Delegate=yes …), or go on without the limit with --best-effort".to_owned()
                }
                CgroupError::NotWanted => {
                    "leave --containment out, or go on without the limit with --best-effort".to_owned()
                }
                CgroupError::NotMounted | CgroupError::NotVisible | CgroupError::Io { .. } => {
                    "a limit of a whole tree needs a writable cgroup v2; --best-effort goes on without it"
                        .to_owned()
                }
            }),
            Self::NoCommand
            | Self::Stdin { .. }
            | Self::Prepare(_)
            | Self::System { .. }
            | Self::GuardianLost => None,
        }
    }
}

/// An error with its whole cause chain, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
