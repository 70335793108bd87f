//! Why a lock was not got.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::Record;

/// Why a lock was not got. Nothing is held, and nobody waits.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be a name.
    #[error("`{0}` cannot be the name of a lock")]
    Name(String),
    /// Something about a file failed.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could put anything there.
    #[error("the lock directory `{}` may be written to by everybody", .0.display())]
    Open(PathBuf),
    /// The file system does not say when a lock goes.
    #[error("`{}` is on a file system without locks that can be relied upon", .0.display())]
    FileSystem(PathBuf),
    /// There is nowhere to keep it.
    #[error(
        "there is no directory for locks: neither WARD_LOCK_DIR, XDG_RUNTIME_DIR nor HOME is set"
    )]
    NoPlace,
    /// It is held, and there is no time to wait, or no more.
    #[error("`{name}` is not to be had: held by {}", names(holders))]
    Busy {
        /// Which lock.
        name: String,
        /// By whom, or who else was first.
        holders: Vec<Record>,
    },
    /// It can never be granted.
    #[error("`{name}` has {slots} slots, and {take} were asked for")]
    TooMuch {
        /// Which lock.
        name: String,
        /// What there is.
        slots: u32,
        /// What was asked for.
        take: u32,
    },
    /// Others use it in another way just now.
    #[error("`{name}` is in use with {theirs}, and was asked for with {ours}")]
    Shape {
        /// Which lock.
        name: String,
        /// How others use it.
        theirs: String,
        /// How it was asked for.
        ours: String,
    },
    /// It is held above us: to wait for it would be to wait for ever.
    #[error("`{0}` is held already by what this is a part of")]
    Ours(String),
    /// Too many are in the queue.
    #[error("the queue of `{0}` is full")]
    Full(String),
    /// Somebody was stopped in the middle of a change, and stands in everybody's way.
    #[error("the queue of `{name}` is being changed by a process that stands still")]
    Stuck {
        /// Which lock.
        name: String,
    },
}

impl LockError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some(
                "use up to 80 letters, digits and . _ - + @ :, beginning with a letter or a digit",
            ),
            Self::Io { .. } | Self::NoPlace => {
                Some("choose a directory that you may write to by --lock-dir or WARD_LOCK_DIR")
            }
            Self::Open(_) => Some("use a directory that only you, or your group, may write to"),
            Self::FileSystem(_) => Some("use a local directory"),
            Self::Busy { .. } => {
                Some("`ward locks` shows who holds and who waits; --wait waits longer")
            }
            Self::TooMuch { .. } => None,
            Self::Shape { .. } => Some("everybody must name the same number of slots"),
            Self::Ours(_) => Some("leave the inner lock out, or give it another name"),
            Self::Full(_) => None,
            Self::Stuck { .. } => {
                Some("look for a stopped process (`ps -eo pid,stat,args | grep T`)")
            }
        }
    }
}

/// Who holds, in a few words each.
fn names(holders: &[Record]) -> String {
    const SHOWN: usize = 3;
    let mut texts: Vec<String> = holders.iter().take(SHOWN).map(Record::summary).collect();
    if holders.len() > SHOWN {
        texts.push(format!("{} more", holders.len() - SHOWN));
    }
    if texts.is_empty() {
        texts.push("nobody yet, but others were first".to_owned());
    }
    texts.join(", ")
}
