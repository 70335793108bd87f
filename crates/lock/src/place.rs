//! Where locks are, and what they may be called.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use ward_sys::account;

use crate::error::LockError;

/// Root's locks.
const OF_ROOT: &str = "/run/ward/locks";

/// No name is longer, bytes.
const LONGEST_NAME: usize = 80;

/// File systems whose locks reach other hosts, or forget them (statfs(2)).
const UNRELIABLE: [u64; 5] = [
    0x6969,      // NFS
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x0102_1997, // 9p
    0x6573_5546, // FUSE
];

/// The lock directory, made if need be: `WARD_LOCK_DIR`; else, for root, `/run/ward/locks`; else
/// `ward/locks` in `$XDG_RUNTIME_DIR`, in `/run/user/UID`, or in `~/.local/state`.
///
/// Unlike the runtime directory of a session, `/run/user/UID` is the same for all sessions of a
/// user; it is what `$XDG_RUNTIME_DIR` usually is.
///
/// # Errors
/// When there is none, or it cannot be made, or everybody may write to it.
pub fn locate(given: Option<&Path>) -> Result<PathBuf, LockError> {
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let own = format!("/run/user/{}", account::own_uid());
    let path = given
        .map(Path::to_owned)
        .or_else(|| variable("WARD_LOCK_DIR"))
        .or_else(|| (account::own_uid() == 0).then(|| OF_ROOT.into()))
        .or_else(|| {
            Some(PathBuf::from(own))
                .filter(|path| path.is_dir())
                .or_else(|| variable("XDG_RUNTIME_DIR"))
                .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
                .map(|base| base.join("ward/locks"))
        })
        .ok_or(LockError::NoPlace)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(LockError::io("make the directory", &path))?;
    let meta = fs::metadata(&path).map_err(LockError::io("use", &path))?;
    if meta.mode() & 0o002 != 0 {
        return Err(LockError::Open(path));
    }
    let kind = rustix::fs::statfs(&path).map(|stat| stat.f_type.cast_unsigned() & 0xffff_ffff);
    if kind.is_ok_and(|kind| UNRELIABLE.contains(&kind)) {
        return Err(LockError::FileSystem(path));
    }
    Ok(path)
}

/// Refuses what cannot be a name: it becomes a file's, and people type it.
///
/// # Errors
/// [`LockError::Name`].
pub fn check_name(name: &str) -> Result<(), LockError> {
    if ward_model::names::is_plain(name, LONGEST_NAME) {
        Ok(())
    } else {
        Err(LockError::Name(name.to_owned()))
    }
}
