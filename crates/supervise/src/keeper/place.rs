//! Where a keeper's runtime directory is.
//!
//! One per configuration file, so that whoever starts with the same file finds what still runs; several
//! supervisors may use one file, so that a second one gets a directory of its own, with a number behind
//! it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use thiserror::Error;
use ward_engine::ledger::{self, LedgerError};
use ward_sys::account;

use super::roster::{self, Opened, Roster, RosterError};

/// Root's, which is empty after every boot (Filesystem Hierarchy Standard).
const OF_ROOT: &str = "/run/ward/up";

/// Root's on a host whose `/run` is on a disk, as in many containers: three named pipes for each start of a
/// program are made in some microseconds there, and in up to a millisecond on a disk. Users' would be
/// removed when they log out (logind.conf(5), RemoveIPC).
const IN_MEMORY: &str = "/dev/shm";

/// How many supervisors may use one configuration file at a time.
const MOST: u32 = 64;

/// How long a roster is waited for whose owners are dead: a program that they were just starting has it
/// open until its exec.
const DYING: Duration = Duration::from_secs(5);

/// Why there is no runtime directory.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// Nowhere to look.
    #[error("there is no place for the runtime directory")]
    NoPlace(#[source] LedgerError),
    /// It cannot be made or opened.
    #[error("cannot use the runtime directory {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Others could put something into it.
    #[error("the runtime directory {} is not ours alone", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// Its roster cannot be used, and programs of it may still run.
    #[error("cannot use the runtime directory {}", path.display())]
    Roster {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        error: RosterError,
    },
    /// All of them are in use.
    #[error("{MOST} supervisors use {} already", base.display())]
    TooMany {
        /// The directory without a number.
        base: PathBuf,
    },
}

impl PlaceError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoPlace(_) => Some("set WARD_STATE_DIR".to_owned()),
            Self::NotOurs { path } => Some(format!("chmod 700 {}", path.display())),
            Self::Roster { path, error } => match error {
                RosterError::Io(_) => None,
                RosterError::Damaged | RosterError::OtherVersion { .. } => Some(format!(
                    "stop what still runs of it, then remove {}",
                    path.display()
                )),
            },
            Self::Io { .. } | Self::TooMany { .. } => None,
        }
    }
}

/// Where a supervisor's runtime directory is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    base: PathBuf,
}

/// The place for a configuration file: `up/` and 16 hexadecimal digits of a hash of its real path, in
/// `$WARD_STATE_DIR`; else, for root, in `/run/ward`, or in `/dev/shm` where `/run` is on a disk; else in the user's state directory
/// ([`ward_engine::ledger::locate`]).
///
/// # Errors
/// [`PlaceError::NoPlace`].
pub fn usual(configuration: &Path) -> Result<Place, PlaceError> {
    let real = fs::canonicalize(configuration)
        .or_else(|_| std::path::absolute(configuration))
        .unwrap_or_else(|_| configuration.to_owned());
    let name = format!("{:016x}", hash(real.as_os_str().as_bytes()));
    let is_set = std::env::var_os("WARD_STATE_DIR").is_some_and(|path| !path.is_empty());
    let base = if is_set || account::own_uid() != 0 {
        let state = ledger::locate().map_err(PlaceError::NoPlace)?;
        state.join("up").join(name)
    } else {
        let in_memory = Path::new(IN_MEMORY).join(format!("ward-up-{name}"));
        if !is_in_memory("/run") && is_in_memory(IN_MEMORY) && is_free(&in_memory) {
            in_memory
        } else {
            Path::new(OF_ROOT).join(name)
        }
    };
    Ok(Place { base })
}

/// Whether nothing is there, or a directory that is root's alone: everybody may put something there.
fn is_free(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_dir() && meta.uid() == 0 && meta.permissions().mode() & 0o077 == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whether a directory is of a file system in memory (tmpfs(5)).
fn is_in_memory(directory: &str) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(directory)
        .is_ok_and(|stat| stat.f_type.cast_unsigned() & 0xffff_ffff == TMPFS)
}

/// FNV-1a of 64 bits: the same in every version.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A runtime directory and the roster in it, which is locked.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) path: PathBuf,
    pub(super) directory: OwnedFd,
    pub(super) roster: Roster,
    pub(super) is_fresh: bool,
}

impl Place {
    /// This directory (and, if it is in use, those with a number behind it).
    #[must_use]
    pub fn at(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// The directory without a number.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The first that is nobody's.
    pub(super) fn take(&self) -> Result<Taken, PlaceError> {
        for number in 0..MOST {
            let mut path = self.base.clone();
            if number > 0 {
                path.as_mut_os_string().push(format!("-{number}"));
            }
            if let Some(taken) = take_one(&path)? {
                return Ok(taken);
            }
        }
        Err(PlaceError::TooMany {
            base: self.base.clone(),
        })
    }
}

fn take_one(path: &Path) -> Result<Option<Taken>, PlaceError> {
    let until = std::time::Instant::now() + DYING;
    loop {
        let directory = open(path)?;
        let opened = roster::open(directory.as_fd());
        let (roster, is_fresh) = match opened {
            Ok(Opened::Fresh(roster)) => (roster, true),
            Ok(Opened::Found(roster)) => (roster, false),
            Ok(Opened::Taken { alive }) => {
                if alive || std::time::Instant::now() > until {
                    return Ok(None);
                }
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            Err(RosterError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                // Its last keeper has just removed the directory.
                continue;
            }
            Err(error) => {
                return Err(PlaceError::Roster {
                    path: path.to_owned(),
                    error,
                });
            }
        };
        return Ok(Some(Taken {
            path: path.to_owned(),
            directory,
            roster,
            is_fresh,
        }));
    }
}

fn open(path: &Path) -> Result<OwnedFd, PlaceError> {
    let failed = |error: io::Error| PlaceError::Io {
        path: path.to_owned(),
        error,
    };
    if let Some(above) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(above)
            .map_err(failed)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory: OwnedFd =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let file = fs::File::from(directory);
    let meta = file.metadata().map_err(failed)?;
    if meta.uid() != account::own_uid() || meta.permissions().mode() & 0o077 != 0 {
        return Err(PlaceError::NotOurs {
            path: path.to_owned(),
        });
    }
    Ok(file.into())
}

/// The file that tells where the user's process was.
pub(super) const STARTED_IN: &str = "started-in";

/// Writes down where this process is, or that nobody has to know.
pub(super) fn remember_start(directory: &Path, matters: bool) -> io::Result<()> {
    let file = directory.join(STARTED_IN);
    if matters {
        return fs::write(file, std::env::current_dir()?.as_os_str().as_bytes());
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where the user's process was, if that was written down.
pub(super) fn started_in(directory: &Path) -> Option<PathBuf> {
    let bytes = fs::read(directory.join(STARTED_IN)).ok()?;
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_second_supervisor_gets_a_directory_of_its_own() {
        let above = tempfile::tempdir().expect("a directory");
        let place = Place::at(above.path().join("x"));
        let first = place.take().expect("taken");
        assert!(first.is_fresh && first.path.ends_with("x"));
        // It lives as long as this test does.
        let me = u64::from(std::process::id());
        first.roster.set(roster::Word::KeeperPid, me);
        let second = place.take().expect("taken");
        assert!(second.is_fresh && second.path.ends_with("x-1"));
        drop(first);
        let again = place.take().expect("taken");
        assert!(!again.is_fresh && again.path.ends_with("x"));
    }

    #[test]
    fn a_directory_of_others_is_not_used() {
        let above = tempfile::tempdir().expect("a directory");
        let path = above.path().join("x");
        DirBuilder::new().mode(0o755).create(&path).expect("made");
        let error = Place::at(&path).take().expect_err("refused");
        assert!(matches!(error, PlaceError::NotOurs { .. }), "{error:?}");
        assert!(error.hint().is_some());
        let link = above.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        assert!(Place::at(&link).take().is_err());
    }
}
