//! The tree in custody: who is a member, who is spared, telling and killing.
//!
//! Membership has two sources, and both are always asked: descent from this process (which
//! is a subreaper, so nobody leaves it) and the run's cgroup, where there is one. Nobody is
//! signalled by a number that could have been reused: own children are not reaped
//! meanwhile, and everybody else is held by a pidfd and only then looked up again.

mod again;
mod kill;
mod tell;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ward_model::cookie::Cookies;
use ward_model::report;
use ward_model::rung::{Rung, RungChoice};
use ward_model::spec::TreeLimits;
use ward_sys::clock;
use ward_sys::contain::cgroup::{self, Cgroup, CgroupError};
use ward_sys::procfs::{self, Stat};

use crate::error::EngineError;
pub(crate) use crate::error::chain;

pub(crate) use tell::Watched;

/// The name of every guardian process; by it an outer run knows that what is below one is
/// told to stop by that one.
pub(crate) const GUARDIAN_NAME: &std::ffi::CStr = c"ward-guardian";

/// The name of a process that reads on for who was detached on purpose.
pub(crate) const DRAIN_NAME: &std::ffi::CStr = c"ward-drain";

/// The name of both processes that keep a command which was detached on purpose.
pub(crate) const KEEPER_NAME: &std::ffi::CStr = c"ward-keeper";

/// Where the cgroups of detached commands are, at the root of the hierarchy.
pub(crate) const APART: &str = "ward";

/// How the cgroup of each run is called.
const RUN_PREFIX: &str = "ward-";

/// An empty cgroup of a run that is older than this has nobody who would remove it.
const STALE: Duration = Duration::from_secs(60);

/// Descriptors of at most so many processes are searched for the run's pipes.
const SEARCHED: usize = 16;

/// Looking at a large tree may take this share of the time at most: one part in so many.
const LOOK_SHARE: u32 = 8;

/// A live member, as it was listed.
#[derive(Debug, Clone)]
struct Member {
    stat: Stat,
    /// Below a nested guardian, which passes on what it is told.
    nested: bool,
}

/// The tree of one run.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) cgroup: Option<Rc<Cgroup>>,
    pub(crate) why_not_higher: Option<String>,
    pub(crate) limits_missing: Vec<String>,
    outside: Option<PathBuf>,
    cookies: Cookies,
    spare: bool,
    pipes: Vec<(&'static str, (u64, u64))>,
    spared: HashMap<i32, u64>,
    spared_named: Vec<report::Process>,
    told: HashSet<(i32, u64)>,
    forks: Option<again::Forks>,
    /// Moment of the stop in clock ticks since boot: members born later belong to somebody's
    /// clean-up and are left in peace until the grace is over.
    stop_ticks: Option<u64>,
    /// A process group that the terminal has told.
    terminal_told: Option<i32>,
    /// Where children may be ours that were there before the run: when it began, in clock
    /// ticks since boot.
    begun_ticks: Option<u64>,
    /// Children that this process had before the run for certain, as somebody looked.
    strangers: Vec<(i32, u64)>,
    /// When the whole tree may be looked at again.
    next_look: Instant,
    /// When own children may be killed again, and whether that is owed to new ones.
    next_kill: Instant,
    kill_owed: bool,
    kill_rounds: u32,
    /// Who was in the cgroup a moment before the first kill.
    members_seen: Option<Vec<i32>>,
    unchanged: Option<(Vec<i32>, Instant)>,
}

impl Tree {
    /// Prepares containment by the highest rung that `choice` allows and that works.
    ///
    /// # Errors
    /// When the rung or a limit that was asked for is not to be had.
    pub(crate) fn prepare(
        choice: RungChoice,
        run_id: &str,
        limits: &TreeLimits,
        best_effort: bool,
        cookies: Cookies,
        spare: bool,
        detached: bool,
    ) -> Result<Self, EngineError> {
        let mut tree = Self {
            cgroup: None,
            why_not_higher: None,
            limits_missing: Vec::new(),
            outside: None,
            cookies,
            spare,
            pipes: Vec::new(),
            spared: HashMap::new(),
            spared_named: Vec::new(),
            told: HashSet::new(),
            forks: None,
            stop_ticks: None,
            terminal_told: None,
            begun_ticks: None,
            strangers: Vec::new(),
            next_look: Instant::now(),
            next_kill: Instant::now(),
            kill_owed: false,
            kill_rounds: 0,
            members_seen: None,
            unchanged: None,
        };
        let wanted = limits.controllers().next();
        if choice == RungChoice::Exactly(Rung::Guardian) {
            tree.why_not_higher = Some("the guardian rung was asked for".to_owned());
            return match wanted {
                Some(what) => tree.without_limit(what, best_effort, CgroupError::NotWanted),
                None => Ok(tree),
            };
        }
        let name = format!(
            "{RUN_PREFIX}{}",
            run_id.rsplit('/').next().unwrap_or(run_id)
        );
        let parent = if detached {
            cgroup::outside_directory(APART, is_run)
        } else {
            cgroup::own_directory()
        };
        let made = parent.and_then(|parent| {
            let made = Cgroup::create(&parent, &name)?;
            Ok((parent, made))
        });
        match made {
            Ok((parent, made)) => {
                tree.outside = Some(parent);
                tree.cgroup = Some(Rc::new(made));
                tree.limit(limits, best_effort)?;
                Ok(tree)
            }
            Err(error) if choice == RungChoice::Exactly(Rung::Cgroup) => {
                Err(EngineError::Rung(error))
            }
            Err(error) => {
                tree.why_not_higher = Some(chain(&error));
                match wanted {
                    Some(what) => tree.without_limit(what, best_effort, error),
                    None => Ok(tree),
                }
            }
        }
    }

    fn without_limit(
        mut self,
        what: &'static str,
        best_effort: bool,
        source: CgroupError,
    ) -> Result<Self, EngineError> {
        if !best_effort {
            return Err(EngineError::TreeLimit { what, source });
        }
        self.limits_missing
            .push(format!("{what}: {}", chain(&source)));
        Ok(self)
    }

    fn limit(&mut self, limits: &TreeLimits, best_effort: bool) -> Result<(), EngineError> {
        /// The period of `cpu.max` in microseconds, the kernel's default.
        const PERIOD: u64 = 100_000;
        let Some(cgroup) = &self.cgroup else {
            return Ok(());
        };
        let wanted = [
            limits
                .memory_max
                .map(|bytes| ("memory", "memory.max", bytes.to_string())),
            limits
                .pids_max
                .map(|count| ("pids", "pids.max", count.to_string())),
            limits.cpu_max.map(|share| {
                let quota = (u64::from(share) * PERIOD / 1000).max(1000);
                ("cpu", "cpu.max", format!("{quota} {PERIOD}"))
            }),
        ];
        for (what, file, value) in wanted.into_iter().flatten() {
            if let Err(source) = cgroup.set_limit(what, file, &value) {
                if !best_effort {
                    cgroup.remove();
                    return Err(EngineError::TreeLimit { what, source });
                }
                self.limits_missing
                    .push(format!("{what}: {}", chain(&source)));
            }
        }
        Ok(())
    }

    /// Gives the cgroup up, as a member could not join it, and with it its limits.
    pub(crate) fn fall_to_guardian(&mut self, why: String, limits: &TreeLimits) {
        self.limits_missing
            .extend(limits.controllers().map(|what| format!("{what}: {why}")));
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.remove();
        }
        self.why_not_higher = Some(why);
    }

    /// Tells which pipes are the run's, by device and inode.
    pub(crate) fn set_pipes(&mut self, pipes: Vec<(&'static str, (u64, u64))>) {
        self.pipes = pipes;
    }

    /// The rung that holds the tree.
    pub(crate) fn rung(&self) -> Rung {
        if self.cgroup.is_some() {
            Rung::Cgroup
        } else {
            Rung::Guardian
        }
    }

    /// Every live member, parents before their children, spared ones included.
    fn list(&self) -> Vec<Member> {
        let me = own_pid();
        let mut members = Vec::new();
        let mut seen = HashSet::from([me]);
        let mut queue: Vec<(i32, bool)> = procfs::children(me)
            .into_iter()
            .map(|pid| (pid, false))
            .collect();
        let mut next = 0;
        let strangers = self
            .cgroup
            .as_ref()
            .map(|cgroup| cgroup.members())
            .unwrap_or_default();
        let mut strangers = strangers.into_iter();
        loop {
            let Some((pid, nested)) = queue.get(next).copied() else {
                // Who is in the cgroup but does not descend from us.
                match strangers.find(|pid| !seen.contains(pid)) {
                    Some(pid) => {
                        queue.push((pid, false));
                        continue;
                    }
                    None => break,
                }
            };
            next += 1;
            if !seen.insert(pid) {
                continue;
            }
            let Some(stat) = Stat::of(pid) else { continue };
            if stat.ppid == me && self.is_stranger(&stat) {
                continue;
            }
            let below_guardian = nested || stat.comm.as_bytes() == GUARDIAN_NAME.to_bytes();
            queue.extend(
                procfs::children(pid)
                    .into_iter()
                    .map(|child| (child, below_guardian)),
            );
            if !stat.has_ended() {
                members.push(Member { stat, nested });
            }
        }
        members
    }

    /// Takes over from a killed guardian: a tree that it froze goes on, and children that this
    /// process had before the run are nobody's business.
    pub(crate) fn take_over(&mut self, started: Instant) {
        // In this order: a delay in between makes the beginning earlier than it was, and so
        // nobody of ours a stranger.
        let now = clock::since_boot();
        let begun = now.saturating_sub(started.elapsed());
        self.begun_ticks = Some(ticks(begun));
        if let Some(cgroup) = &self.cgroup {
            cgroup.thaw();
        }
    }

    /// Takes note of the children that this process has now: should it take over, they are not
    /// the run's, even if they were born in the same tick of the clock.
    pub(crate) fn note_strangers(&mut self) {
        self.strangers = procfs::children(own_pid())
            .into_iter()
            .filter_map(Stat::of)
            .map(|stat| (stat.pid, stat.start_ticks))
            .collect();
    }

    fn is_stranger(&self, stat: &Stat) -> bool {
        self.begun_ticks.is_some_and(|begun| {
            stat.start_ticks < begun || self.strangers.contains(&(stat.pid, stat.start_ticks))
        })
    }

    /// Whether this process has children left, and none of them is the run's. Only where somebody
    /// looked before the run.
    pub(crate) fn has_strangers_only(&self) -> bool {
        !self.strangers.is_empty()
            && procfs::children(own_pid())
                .into_iter()
                .all(|pid| Stat::of(pid).is_some_and(|stat| self.is_stranger(&stat)))
    }

    /// Takes note of members that ask to stay, and moves them out of the cgroup. Returns
    /// the members that do not.
    fn custody(&mut self) -> Vec<Member> {
        let members = self.list();
        if !self.spare {
            return members;
        }
        let mut rest = Vec::new();
        for member in members {
            if self.is_spared(&member.stat) {
                continue;
            }
            // The child of a spared process is spared with it.
            let by_parent = self.spared.contains_key(&member.stat.ppid);
            let cookie = procfs::environ(member.stat.pid)
                .ok()
                .and_then(|environ| self.cookies.asks_to_stay(&environ));
            let name = member.stat.comm.as_bytes();
            let why = match (cookie, by_parent) {
                _ if name == DRAIN_NAME.to_bytes() => {
                    "reads on for who was detached on purpose".to_owned()
                }
                _ if name == KEEPER_NAME.to_bytes() => {
                    "keeps what was detached on purpose (ward spawn)".to_owned()
                }
                (Some(name), _) => format!("detached on purpose ({name})"),
                (None, true) => format!(
                    "child of {}, which was detached on purpose",
                    member.stat.ppid
                ),
                (None, false) => {
                    rest.push(member);
                    continue;
                }
            };
            self.spared.insert(member.stat.pid, member.stat.start_ticks);
            let mut named = self.name(&member.stat, true);
            named.why = Some(why);
            self.spared_named.push(named);
            if let (Some(_), Some(outside)) = (&self.cgroup, &self.outside) {
                // The process may have ended meanwhile, or sit in a cgroup of its own.
                let _ = Cgroup::move_out(outside, member.stat.pid);
            }
        }
        rest
    }

    fn is_spared(&self, stat: &Stat) -> bool {
        self.spared.get(&stat.pid) == Some(&stat.start_ticks)
    }

    /// Whether nobody is left but who is spared. `no_children` is the kernel's word that
    /// this process has no child at all.
    pub(crate) fn is_empty(&mut self, no_children: bool) -> bool {
        let populated = self.cgroup.as_ref().is_some_and(|cgroup| {
            cgroup
                .populated()
                .unwrap_or_else(|_| cgroup.path().exists())
        });
        if no_children && !populated {
            return true;
        }
        let now = Instant::now();
        if (!self.spare && self.begun_ticks.is_none()) || now < self.next_look {
            return false;
        }
        // Once it is being killed, nobody who is to stay is in the cgroup any more.
        if populated && self.kill_rounds > 0 {
            return false;
        }
        let empty = self.custody().is_empty() && self.only_spared_left();
        self.next_look = Instant::now() + now.elapsed() * LOOK_SHARE;
        empty
    }

    /// Whether whoever is left is known to be spared. Finding nobody proves nothing (a tree
    /// may fork faster than it is listed, or no descriptor may be left to list it by): each of
    /// our children, even one that has ended, must be somebody that is known.
    fn only_spared_left(&self) -> bool {
        let known = |pid: &i32| {
            Stat::of(*pid).is_some_and(|stat| self.is_spared(&stat) || self.is_stranger(&stat))
        };
        let children = procfs::children(own_pid());
        let inside = self
            .cgroup
            .as_ref()
            .map(|cgroup| cgroup.members())
            .unwrap_or_default();
        !children.is_empty() && children.iter().all(known) && inside.iter().all(known)
    }

    /// Names members that are neither spared nor below `limit`.
    pub(crate) fn name_all(&mut self) -> report::Listed {
        let members = self.custody();
        self.listed(&members)
    }

    fn listed(&self, members: &[Member]) -> report::Listed {
        let processes = members
            .iter()
            .take(report::MAX_LISTED)
            .enumerate()
            .map(|(index, member)| self.name(&member.stat, index < SEARCHED))
            .collect();
        report::Listed {
            count: members.len() as u64,
            processes,
        }
    }

    fn name(&self, stat: &Stat, search: bool) -> report::Process {
        let holds = if search {
            let files: Vec<u64> = self.pipes.iter().map(|(_, (_, inode))| *inode).collect();
            procfs::holds_for_writing(stat.pid, &files)
                .into_iter()
                .map(|index| self.pipes[index].0.to_owned())
                .collect()
        } else {
            Vec::new()
        };
        report::Process {
            pid: stat.pid,
            ppid: stat.ppid,
            uid: procfs::effective_uid(stat.pid),
            command: procfs::command_line(stat.pid, &stat.comm),
            age: round(stat.age()),
            holds,
            ended_after: None,
            why: None,
        }
    }

    /// Who was spared, as far as they still live.
    pub(crate) fn take_spared(&mut self) -> report::Listed {
        let mut listed = report::Listed::default();
        for process in std::mem::take(&mut self.spared_named) {
            let lives = self.spared.get(&process.pid).is_some_and(|start| {
                Stat::of(process.pid)
                    .is_some_and(|stat| stat.start_ticks == *start && !stat.has_ended())
            });
            if lives {
                listed.push(process);
            }
        }
        listed
    }

    /// Removes empty cgroups of runs that were killed with front and guardian.
    pub(crate) fn sweep(&self) {
        if let Some(parent) = &self.outside {
            cgroup::sweep(parent, RUN_PREFIX, STALE);
            thaw_orphans(parent);
        }
    }

    /// Removes the cgroup directory.
    pub(crate) fn clean_up(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.remove();
        }
    }
}

/// Lets the trees of runs go on that stand still for ever: front and guardian were both killed
/// while the guardian had them frozen to be told.
pub(crate) fn thaw_orphans(parent: &Path) {
    for directory in cgroup::subdirectories(parent) {
        let name = directory.file_name().and_then(|name| name.to_str());
        if !name.is_some_and(is_run) {
            continue;
        }
        let Ok(cgroup) = Cgroup::open(&directory) else {
            continue;
        };
        if cgroup.is_told_to_freeze() && !cgroup.members().into_iter().any(has_guardian) {
            cgroup.thaw();
        }
    }
}

/// Whether somebody above this process could thaw it.
fn has_guardian(pid: i32) -> bool {
    let mut above = Stat::of(pid);
    while let Some(stat) = above.filter(|stat| stat.pid > 1) {
        let name = stat.comm.as_bytes();
        if name == GUARDIAN_NAME.to_bytes() || name == KEEPER_NAME.to_bytes() {
            return true;
        }
        above = Stat::of(stat.ppid);
    }
    false
}

/// Whether it is a process of ward that looks after who was detached on purpose.
pub(crate) fn is_ours_to_stay(stat: &Stat) -> bool {
    [DRAIN_NAME, KEEPER_NAME]
        .iter()
        .any(|name| stat.comm.as_bytes() == name.to_bytes())
}

/// Whether a cgroup of this name is that of a run: `ward-MICROSECONDS-PID`.
pub(crate) fn is_run(name: &str) -> bool {
    let parts = name
        .strip_prefix(RUN_PREFIX)
        .and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(micros, pid)| {
        !micros.is_empty()
            && micros.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !pid.is_empty()
            && pid.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(i32::MAX)
}

fn pid_of(pid: i32) -> Option<ward_sys::Pid> {
    ward_sys::Pid::from_raw(pid)
}

fn now_ticks() -> u64 {
    ticks(clock::since_boot())
}

/// A time since boot in the unit that processes are dated by.
fn ticks(since_boot: Duration) -> u64 {
    let per_second = clock::ticks_per_second();
    since_boot.as_secs() * per_second
        + u64::from(since_boot.subsec_nanos()) * per_second / 1_000_000_000
}

/// Seconds to the millisecond: reports are for people too.
pub(crate) fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
