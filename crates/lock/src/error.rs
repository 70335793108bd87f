//! Why a lock was not got.

use std::io;
use std::path::{Path, PathBuf};

use ward_model::lock::Shape;

use crate::record::Record;

/// Why a lock was not got. Nothing is held, and nobody waits.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be a name.
    #[error("`{0}` cannot be the name of a lock")]
    Name(String),
    /// It cannot be a thing of a pool.
    #[error("`{thing}` cannot be a thing of the pool `{name}`")]
    Thing {
        /// Which lock.
        name: String,
        /// What was to be in its pool.
        thing: String,
    },
    /// It is asked for twice at once, as a whole or in part.
    #[error("`{0}` is asked for twice")]
    Twice(String),
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
    #[error("there is no directory for locks: this user has no home, and is not logged in")]
    NoPlace,
    /// It is held, and there is no time to wait, or no more.
    #[error("`{name}` is not to be had: held by {}", names(holders))]
    Busy {
        /// Which lock.
        name: String,
        /// By whom, or who else was first.
        holders: Vec<Record>,
    },
    /// Nobody has it, but the next of its times is not yet due.
    #[error(
        "`{0}` is not to be had yet: nobody holds it, but the next of its times is still to come"
    )]
    NotDue(String),
    /// Somebody waits already, and we were not to.
    #[error(
        "`{name}` is waited for already, by {}",
        names(std::slice::from_ref(waiting))
    )]
    Queued {
        /// Which lock.
        name: String,
        /// By whom.
        waiting: Box<Record>,
    },
    /// Somebody took us out of the queue.
    #[error("we no longer wait for `{name}`: {why}")]
    Dismissed {
        /// Which lock.
        name: String,
        /// Who, and why.
        why: String,
    },
    /// Nobody uses it, and somebody else was to do so first.
    #[error("nobody uses `{name}`, and we were not to be the first")]
    Absent {
        /// Which lock.
        name: String,
    },
    /// It can never be granted.
    #[error("`{name}` has {slots} slots or things, and {take} were asked for")]
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
    /// We and others would wait for one another for ever.
    #[error("to wait for `{name}` would be to wait for ever: {}", ring.join("; "))]
    Deadlock {
        /// Which lock.
        name: String,
        /// Who waits for whom, a sentence each.
        ring: Vec<String>,
    },
    /// The format of a timestamp says nothing that changes, or cannot be understood.
    #[error("`{format}` cannot be the format of a timestamp: {why}")]
    Format {
        /// The format.
        format: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file that keeps numbers over a restart of the host cannot be understood.
    #[error("`{}` is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In which way.
        why: String,
    },
    /// Too many are in the queue.
    #[error("the queue of `{0}` is full")]
    Full(String),
    /// What is to be written of us finds no room.
    #[error("what is said about us for `{0}` is too long (command, reason, things, locks above)")]
    TooLong(String),
    /// Somebody was stopped in the middle of a change, and stands in everybody's way.
    #[error(
        "the queue of `{name}` is being changed by a process that stands still{}",
        pids(who)
    )]
    Stuck {
        /// Which lock.
        name: String,
        /// Who, as far as it can be seen.
        who: Vec<i32>,
    },
    /// Nobody holds it whom we could free it from.
    #[error("`{0}` is not held")]
    Free(String),
    /// It is held, but not with this token.
    #[error(
        "`{name}` is not held with the token {token}, but by {}",
        with_tokens(holders)
    )]
    OtherToken {
        /// Which lock.
        name: String,
        /// The token that was named.
        token: u64,
        /// Who holds it.
        holders: Vec<Record>,
    },
    /// It is held by work, which goes on.
    #[error("`{name}` is held by work that goes on: {}", names(holders))]
    InUse {
        /// Which lock.
        name: String,
        /// By whom.
        holders: Vec<Record>,
    },
    /// The cluster that keeps it cannot be used.
    #[error("the cluster that keeps the lock cannot be used")]
    Cluster {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// What a person wanted was done in part, or it is not known whether it was done.
    #[error("{text}")]
    HalfDone {
        /// What is done, and what is not or not known.
        text: String,
        /// Why not the rest.
        #[source]
        source: Box<LockError>,
    },
    /// The wait was ended by who asked.
    #[error("nobody wants `{0}` any more")]
    Cancelled(String),
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

    /// Others use it in another way.
    pub(crate) fn shapes(name: &str, theirs: Shape, ours: Shape) -> Self {
        let text = |shape| match shape {
            Shape::Modes => "modes".to_owned(),
            Shape::Slots(slots) => format!("{slots} slots"),
            Shape::Pool => "a pool".to_owned(),
        };
        Self::Shape {
            name: name.to_owned(),
            theirs: text(theirs),
            ours: text(ours),
        }
    }

    /// The cluster cannot be used.
    #[cfg(feature = "etcd")]
    pub(crate) fn cluster(error: crate::etcd::EtcdError) -> Self {
        let hint = error.hint();
        Self::Cluster {
            source: Box::new(error),
            hint,
        }
    }

    /// Whether others have it, so that it may be had at another time.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::NotDue(_)
                | Self::Queued { .. }
                | Self::Dismissed { .. }
                | Self::Absent { .. }
        )
    }

    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some(
                "use up to 80 letters, digits and . _ - + @ :, beginning with a letter or a digit; levels below it are separated by /",
            ),
            Self::Thing { .. } => Some("name things without commas and control characters"),
            Self::Twice(_) => Some("name each lock once; of a lock and its parts, the whole"),
            Self::Io { .. } | Self::NoPlace => {
                Some("choose a directory that you may write to by --lock-dir or WARD_LOCK_DIR")
            }
            Self::Open(_) => Some("use a directory that only you, or your group, may write to"),
            Self::FileSystem(_) => Some(
                "name a local directory by --lock-dir or WARD_LOCK_DIR; for several hosts, --etcd",
            ),
            Self::Busy { .. } => {
                Some("`ward locks` shows who holds and who waits; --wait waits longer")
            }
            Self::NotDue(_) => Some("--wait waits for it; a finer format has more of them"),
            Self::OtherToken { .. } => Some("the token is in `ward locks --json`"),
            Self::Queued { .. } | Self::Dismissed { .. } => {
                Some("`ward locks` shows who holds and who waits")
            }
            Self::Absent { .. } => Some("wait longer, or let the lock be created"),
            Self::Shape { .. } => Some(
                "everybody must use it the same way: modes, the same number of slots, or a pool",
            ),
            Self::Deadlock { .. } => Some(
                "take all locks at once, or always in the same order; --reentrant shares what is held above",
            ),
            Self::Format { .. } => Some(
                "as strftime(3), such as %Y%m%d-%H%M%S; #f to #ffffff are fractions of a second",
            ),
            Self::Damaged { .. } => Some("put it right, or remove it: then numbers begin anew"),
            Self::Stuck { .. } => {
                Some("continue or end it (`ps -eo pid,stat,args | grep T` shows who is stopped)")
            }
            Self::InUse { .. } => {
                Some("--stop ends the work; --anyway frees the lock while the work goes on")
            }
            Self::Cluster { hint, .. } => *hint,
            Self::HalfDone { .. } => Some(
                "`ward locks` shows who holds it; `ward locks release` frees what a person holds",
            ),
            Self::TooMuch { .. } => Some("ask for no more than there are"),
            Self::Full(_) | Self::TooLong(_) | Self::Free(_) | Self::Cancelled(_) => None,
        }
    }
}

fn pids(pids: &[i32]) -> String {
    let texts: Vec<String> = pids.iter().map(i32::to_string).collect();
    if texts.is_empty() {
        String::new()
    } else {
        format!(" (process {})", texts.join(", "))
    }
}

/// Who holds, and with which token.
fn with_tokens(holders: &[Record]) -> String {
    let token = |it: &Record| {
        it.token
            .map_or_else(String::new, |token| format!(" ({token})"))
    };
    let texts = holders
        .iter()
        .take(SHOWN)
        .map(|it| format!("{}{}", it.summary(), token(it)));
    texts.collect::<Vec<_>>().join(", ")
}

/// So many are named.
const SHOWN: usize = 3;

/// Who holds, in a few words each.
fn names(holders: &[Record]) -> String {
    let mut texts: Vec<String> = holders.iter().take(SHOWN).map(Record::summary).collect();
    if holders.len() > SHOWN {
        texts.push(format!("{} more", holders.len() - SHOWN));
    }
    if texts.is_empty() {
        texts.push("nobody yet, but others were first".to_owned());
    }
    texts.join(", ")
}
