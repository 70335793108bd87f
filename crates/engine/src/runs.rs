//! Runs of `ward run` on this host, found by their guardians: they keep no record, which would
//! cost each of them more than anybody gains.

use ward_sys::account;
use ward_sys::contain::cgroup;
use ward_sys::procfs::{self, Stat};

use crate::ledger::{Origin, ProcessTable};
use crate::tree::{self, APART, GUARDIAN_NAME, is_run};

/// A run that goes on.
#[derive(Debug)]
pub struct Run {
    /// The process that its caller sees.
    pub front: i32,
    /// Its guardian.
    pub guardian: Stat,
    /// The words that ward was called with.
    pub command: String,
    /// As whom.
    pub user: String,
    /// Where, if that can be seen.
    pub directory: Option<String>,
    /// From where.
    pub origin: Origin,
    /// Everybody who belongs to it now, oldest first.
    pub members: Vec<Stat>,
}

/// Lets trees go on that stand still because front and guardian were both killed in the moment
/// in which they were told to stop. What they do then is their own affair.
pub fn thaw_orphans() {
    let places = [
        cgroup::own_directory(),
        cgroup::outside_directory(APART, is_run),
    ];
    for place in places.into_iter().flatten() {
        tree::thaw_orphans(&place);
    }
}

/// Every run that can be seen.
#[must_use]
pub fn all() -> Vec<Run> {
    let table = ProcessTable::read();
    let mut runs: Vec<Run> = procfs::all_pids()
        .filter_map(Stat::of)
        .filter(|stat| stat.comm.as_bytes() == GUARDIAN_NAME.to_bytes() && !stat.has_ended())
        .map(|guardian| {
            let pid = guardian.pid;
            let mut members: Vec<Stat> = table
                .below(pid)
                .into_iter()
                .filter_map(Stat::of)
                .filter(|stat| !stat.has_ended())
                .collect();
            members.sort_by_key(|stat| (stat.start_ticks, stat.pid));
            let uid = procfs::effective_uid(pid).unwrap_or(0);
            let user = account::name_of(uid).unwrap_or_else(|| uid.to_string());
            let environ = procfs::environ(pid).unwrap_or_default();
            let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
            Run {
                front: guardian.ppid,
                command: procfs::command_line(pid, &guardian.comm),
                directory: directory.map(|path| path.to_string_lossy().into_owned()),
                origin: Origin::of_environ(&environ, user.clone()),
                user,
                members,
                guardian,
            }
        })
        .collect();
    runs.sort_by_key(|run| run.guardian.start_ticks);
    runs
}
