//! What became of an entry, as far as the kernel and the report tell.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use ward_model::cookie::WARD_RUN_ID;
use ward_model::life::{CauseKind, End};
use ward_model::report::Report;
use ward_sys::contain::cgroup::Cgroup;
use ward_sys::contain::process::Process;
use ward_sys::procfs::{self, Stat};

use super::{Entry, boot_id, open_file};
use crate::tree::{KEEPER_NAME, is_ours_to_stay};

/// No file of the ledger but an entry is longer, bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// How something on record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its keepers are there, and its command is not yet.
    Starting,
    /// It runs, and is kept.
    Running,
    /// It was told to stop, and has not ended yet.
    Stopping,
    /// It runs, but both its keepers were killed: nobody reads its output or learns its end.
    Unguarded,
    /// It ended by itself with exit status 0, or was stopped.
    Ended,
    /// It failed.
    Failed,
    /// It is no more, and nobody saw its end: the host was started anew, or everybody was killed.
    Gone,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Unguarded => "unguarded",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Gone => "gone",
        }
    }

    /// Whether something of it lives.
    #[must_use]
    pub fn is_alive(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Stopping | Self::Unguarded => true,
            Self::Ended | Self::Failed | Self::Gone => false,
        }
    }
}

/// A process by what cannot be reused together, during one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub pid: i32,
    /// When it started, clock ticks since boot.
    pub start_ticks: u64,
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
        }
    }

    /// Its state, if it lives.
    fn alive(self) -> Option<Stat> {
        Stat::of(self.pid).filter(|stat| Self::of(stat) == self && !stat.has_ended())
    }

    /// Holds it, if it lives: whoever is held cannot be mistaken for another any more.
    #[must_use]
    pub fn hold(self) -> Option<Process> {
        Process::hold(self.pid)
            .filter(|process| Self::of(process.stat()) == self && !process.stat().has_ended())
    }
}

/// The process that stands for the whole.
#[derive(Debug, Clone)]
pub struct Main {
    /// Its id.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// An entry, and how it stands now.
#[derive(Debug)]
pub struct Seen {
    /// Where it is kept.
    pub directory: PathBuf,
    /// What was asked for.
    pub entry: Entry,
    /// How it stands.
    pub state: State,
    /// The keepers, front first, as far as they live.
    pub keepers: Vec<Identity>,
    /// Its first process, whether it lives or not.
    pub leader: Option<Identity>,
    /// The user whose state directory it is in.
    pub owner: u32,
    /// How it ended.
    pub report: Option<Report>,
}

impl Seen {
    pub(super) fn new(directory: PathBuf, entry: Entry) -> Self {
        let owner = fs::metadata(&directory).map_or(0, |meta| meta.uid());
        let mut seen = Self {
            state: State::Gone,
            keepers: Vec::new(),
            leader: None,
            report: None,
            owner,
            directory,
            entry,
        };
        let this_boot = seen.entry.boot_id == boot_id();
        let path = seen.directory.join("processes");
        let mut is_stopping = false;
        if this_boot {
            for (role, identity) in read_processes(&path) {
                match role.as_str() {
                    "leader" => seen.leader = Some(identity),
                    "stopping" => is_stopping = true,
                    _ if identity.alive().is_some() => seen.keepers.push(identity),
                    _ => {}
                }
            }
        }
        seen.state = if this_boot && is_locked(&path) {
            match seen.leader {
                Some(_) if is_stopping => State::Stopping,
                Some(_) => State::Running,
                None => State::Starting,
            }
        } else {
            seen.report = read_report(&seen.directory, &seen.entry.run_id);
            match &seen.report {
                Some(report) => state_of(report),
                None if this_boot && !seen.members().is_empty() => State::Unguarded,
                None => State::Gone,
            }
        };
        seen
    }

    /// Everybody who belongs to it now, oldest first.
    #[must_use]
    pub fn members(&self) -> Vec<Stat> {
        if self.entry.boot_id != boot_id() {
            return Vec::new();
        }
        let mut pids: HashSet<i32> = HashSet::new();
        if let Some(path) = &self.entry.cgroup
            && let Ok(cgroup) = Cgroup::open(path)
        {
            pids.extend(cgroup.members());
        }
        let table = ProcessTable::read();
        let keepers: HashSet<i32> = self.keepers.iter().map(|keeper| keeper.pid).collect();
        for keeper in &keepers {
            pids.extend(table.below_but(*keeper, &keepers));
        }
        if self.keepers.is_empty() {
            if let Some(leader) = self.leader
                && leader.alive().is_some()
            {
                pids.insert(leader.pid);
                pids.extend(table.below_but(leader.pid, &keepers));
            }
            pids.extend(with_cookie(&self.entry.run_id));
        }
        let mut members: Vec<Stat> = pids
            .into_iter()
            .filter(|pid| !keepers.contains(pid))
            .filter_map(Stat::of)
            .filter(|stat| !stat.has_ended() && !is_ours_to_stay(stat))
            .filter(|stat| !self.is_anothers(stat.pid))
            .collect();
        members.sort_by_key(|stat| (stat.start_ticks, stat.pid));
        members
    }

    /// Whether a process belongs to another run, which was detached from this one.
    fn is_anothers(&self, pid: i32) -> bool {
        let name = WARD_RUN_ID.as_bytes();
        procfs::environ(pid).is_ok_and(|environ| {
            environ
                .split(|byte| *byte == 0)
                .filter_map(|item| item.strip_prefix(name)?.strip_prefix(b"="))
                .next_back()
                .is_some_and(|value| !is_of_run(value, &self.entry.run_id))
        })
    }

    /// The process that stands for it: its first one, or, where that has put itself into the
    /// background, the oldest of those that it left.
    #[must_use]
    pub fn main(&self, members: &[Stat]) -> Option<Main> {
        let stat = self
            .leader
            .and_then(Identity::alive)
            .or_else(|| members.first().cloned())?;
        Some(Main {
            pid: stat.pid,
            command: procfs::command_line(stat.pid, &stat.comm),
        })
    }

    /// The report, once there is one of this very run.
    #[must_use]
    pub fn read_report(&self) -> Option<Report> {
        read_report(&self.directory, &self.entry.run_id)
    }

    /// Where its report is written.
    #[must_use]
    pub fn report_path(directory: &Path) -> PathBuf {
        directory.join("report.json")
    }

    /// Whether keepers of it live.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        is_locked(&self.directory.join("processes"))
    }

    /// How long it has been there.
    #[must_use]
    pub fn age(&self) -> Duration {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        Duration::try_from_secs_f64(now - self.entry.started_at).unwrap_or_default()
    }
}

fn state_of(report: &Report) -> State {
    let stopped = report.stopped_before_end && report.cause == Some(CauseKind::Requested);
    match report.end {
        _ if stopped => State::Ended,
        End::Exited { code: 0 } => State::Ended,
        End::Exited { .. } | End::Signaled { .. } | End::NotStarted { .. } | End::Unknown => {
            State::Failed
        }
    }
}

/// Whether a keeper holds the file: asked by trying, which harms nobody, as a keeper never tries
/// again.
pub(super) fn is_locked(path: &Path) -> bool {
    let Ok(file) = open_file(path) else {
        return false;
    };
    matches!(
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared),
        Err(Errno::WOULDBLOCK)
    )
}

fn read_processes(path: &Path) -> Vec<(String, Identity)> {
    let mut text = String::new();
    if let Ok(file) = open_file(path) {
        // What makes no sense tells nothing.
        let _ = file.take(LONGEST_FILE).read_to_string(&mut text);
    }
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let role = words.next()?.to_owned();
            let pid = words.next()?.parse().ok()?;
            let start_ticks = words.next()?.parse().ok()?;
            Some((role, Identity { pid, start_ticks }))
        })
        .collect()
}

fn read_report(directory: &Path, run_id: &str) -> Option<Report> {
    let mut bytes = Vec::new();
    let file = open_file(&Seen::report_path(directory)).ok()?;
    file.take(LONGEST_FILE).read_to_end(&mut bytes).ok()?;
    let report: Report = serde_json::from_slice(&bytes).ok()?;
    (report.run_id == run_id).then_some(report)
}

/// Whether this value of `WARD_RUN_ID` is that of a run, or of one nested in it.
fn is_of_run(value: &[u8], run_id: &str) -> bool {
    value
        .strip_prefix(run_id.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Who was given this cookie at its last exec, or one nested in it.
fn with_cookie(run_id: &str) -> Vec<i32> {
    if run_id.is_empty() {
        return Vec::new();
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let name = format!("{WARD_RUN_ID}=");
    procfs::all_pids()
        .filter(|pid| *pid != own)
        .filter(|pid| {
            procfs::environ(*pid).is_ok_and(|environ| {
                environ.split(|byte| *byte == 0).any(|item| {
                    item.strip_prefix(name.as_bytes())
                        .is_some_and(|value| is_of_run(value, run_id))
                })
            })
        })
        .collect()
}

/// Who is whose child, at one moment.
pub(crate) struct ProcessTable {
    children: HashMap<i32, Vec<i32>>,
    keepers: HashSet<i32>,
}

impl ProcessTable {
    pub(crate) fn read() -> Self {
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        let mut keepers = HashSet::new();
        for stat in procfs::all_pids().filter_map(Stat::of) {
            if stat.comm.as_bytes() == KEEPER_NAME.to_bytes() {
                keepers.insert(stat.pid);
            }
            children.entry(stat.ppid).or_default().push(stat.pid);
        }
        Self { children, keepers }
    }

    pub(crate) fn below(&self, pid: i32) -> Vec<i32> {
        self.below_but(pid, &HashSet::new())
    }

    /// Everybody below, but what other keepers keep: it was detached from here.
    fn below_but(&self, pid: i32, own_keepers: &HashSet<i32>) -> Vec<i32> {
        let mut found = Vec::new();
        let mut open = vec![pid];
        while let Some(pid) = open.pop() {
            for child in self.children.get(&pid).into_iter().flatten() {
                if self.keepers.contains(child) && !own_keepers.contains(child) {
                    continue;
                }
                if !found.contains(child) {
                    found.push(*child);
                    open.push(*child);
                }
            }
        }
        found
    }
}
