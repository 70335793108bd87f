//! Where locks are.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::LockError;
use crate::surroundings;

/// Root's locks.
const OF_ROOT: &str = "/run/ward/locks";

/// What must outlive the host's run, in a directory that was named: no lock's file is called so.
const DURABLE: &str = "%durable";

/// File systems whose locks reach other hosts, or forget them (statfs(2)).
const UNRELIABLE: [u64; 5] = [
    0x6969,      // NFS
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x0102_1997, // 9p
    0x6573_5546, // FUSE
];

/// The directory in which locks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
    durable: PathBuf,
}

impl Directory {
    /// The usual one, made if need be: `WARD_LOCK_DIR`; else, for root, `/run/ward/locks`; else
    /// `ward/locks` in `$XDG_RUNTIME_DIR`, in `/run/user/UID`, or in `~/.local/state`.
    ///
    /// Unlike the runtime directory of a session, `/run/user/UID` is the same for all sessions of a
    /// user; it is what `$XDG_RUNTIME_DIR` usually is.
    ///
    /// # Errors
    /// When there is none, or it cannot be made, or everybody may write to it.
    pub fn usual() -> Result<Self, LockError> {
        Self::open(None)
    }

    /// This one, else the usual one.
    ///
    /// What must outlive the host's run (numbers that were given) is below it in `%durable` where it
    /// was named, and in ward's state directory where it is the usual one, which most hosts empty
    /// when they start.
    ///
    /// # Errors
    /// As [`Directory::usual`].
    pub fn open(given: Option<&Path>) -> Result<Self, LockError> {
        let variable = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let uid = surroundings::own_uid();
        let named = given
            .map(Path::to_owned)
            .or_else(|| variable("WARD_LOCK_DIR"));
        let home = || variable("HOME");
        let path = named
            .clone()
            .or_else(|| (uid == 0).then(|| OF_ROOT.into()))
            .or_else(|| {
                Some(PathBuf::from(format!("/run/user/{uid}")))
                    .filter(|path| path.is_dir())
                    .or_else(|| variable("XDG_RUNTIME_DIR"))
                    .or_else(|| home().map(|home| home.join(".local/state")))
                    .map(|base| base.join("ward/locks"))
            })
            .ok_or(LockError::NoPlace)?;
        let durable = match named {
            Some(named) => named.join(DURABLE),
            None => variable("WARD_STATE_DIR")
                .or_else(|| (uid == 0).then(|| "/var/lib/ward".into()))
                .or_else(|| variable("XDG_STATE_HOME").map(|base| base.join("ward")))
                .or_else(|| home().map(|home| home.join(".local/state/ward")))
                .ok_or(LockError::NoPlace)?
                .join("locks"),
        };
        // Where there is no runtime directory both are in the state directory, and the files of both
        // are called as their locks.
        let durable = if durable == path {
            path.join(DURABLE)
        } else {
            durable
        };
        let directory = Self { path, durable };
        directory.check()?;
        Ok(directory)
    }

    fn check(&self) -> Result<(), LockError> {
        let path = &self.path;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(LockError::io("make the directory", path))?;
        let meta = fs::metadata(path).map_err(LockError::io("use", path))?;
        if meta.mode() & 0o002 != 0 {
            return Err(LockError::Open(path.clone()));
        }
        let kind = rustix::fs::statfs(path).map(|stat| stat.f_type.cast_unsigned() & 0xffff_ffff);
        if kind.is_ok_and(|kind| UNRELIABLE.contains(&kind)) {
            return Err(LockError::FileSystem(path.clone()));
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn durable(&self) -> &Path {
        &self.durable
    }
}
