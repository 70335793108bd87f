//! Where ledgers are: ours, and for root those of everybody whose keepers run here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ward_sys::account;
use ward_sys::procfs::{self, Stat};

use super::LedgerError;
use crate::tree::KEEPER_NAME;

/// Root's state directory, as the Filesystem Hierarchy Standard has it.
const OF_ROOT: &str = "/var/lib/ward";

/// The state directory: `$WARD_STATE_DIR`; else, for root, `/var/lib/ward`; else `ward` in
/// `$XDG_STATE_HOME`, or in `~/.local/state` (XDG Base Directory Specification).
///
/// # Errors
/// [`LedgerError::NoPlace`] for a user without any of them.
pub fn locate() -> Result<PathBuf, LedgerError> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(path) = std::env::var_os("WARD_STATE_DIR").filter(|path| !path.is_empty()) {
        // The keepers have another working directory.
        return std::path::absolute(&path).map_err(LedgerError::io("use", Path::new(&path)));
    }
    if account::own_uid() == 0 {
        return Ok(OF_ROOT.into());
    }
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("ward"))
        .ok_or(LedgerError::NoPlace)
}

/// The state directories of all keepers that run on this host, as far as we may look: each has
/// its own entry open.
#[must_use]
pub fn of_keepers() -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    for pid in procfs::all_pids() {
        let is_keeper =
            Stat::of(pid).is_some_and(|stat| stat.comm.as_bytes() == KEEPER_NAME.to_bytes());
        if !is_keeper {
            continue;
        }
        let links = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten();
        for link in links.flatten() {
            let Ok(target) = fs::read_link(link.path()) else {
                continue;
            };
            // STATE/daemons/NAME/processes
            let mut above = target.ancestors();
            if above.next().is_some_and(|path| path.ends_with("processes"))
                && let (Some(_), Some(daemons), Some(state)) =
                    (above.next(), above.next(), above.next())
                && daemons.ends_with("daemons")
                // Anybody may call himself a keeper.
                && fs::metadata(state).is_ok_and(|meta| {
                    meta.is_dir() && Some(meta.uid()) == procfs::effective_uid(pid)
                })
            {
                found.insert(state.to_owned());
            }
        }
    }
    found.into_iter().collect()
}
