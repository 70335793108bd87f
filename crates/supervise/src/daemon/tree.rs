//! The whole tree of a program with `contain = tree`: who is in it, told together, killed together.
//!
//! Where the host gives cgroups, a tree is one, and its emptiness is the kernel's word. Elsewhere every
//! process carries a mark that it cannot lose, a limit on real-time CPU that nobody reaches
//! (getrlimit(2), RLIMIT_RTTIME): it is inherited through fork, exec, setsid, a cleared environment and a
//! change of user. Marks are found by looking at every process, which one that forks all the time can
//! escape for a moment: hence the rounds.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use ward_model::signal::Signal;
use ward_sys::contain::cgroup::{self, Cgroup};
use ward_sys::contain::process::Process;
use ward_sys::spawn::Limit;
use ward_sys::{limits, procfs};

/// Marks begin here, in microseconds: beyond the age of all computers.
const FIRST_MARK: u64 = 1 << 61;

/// Ends the prefix of a supervisor: that of another may begin with all of it.
const END: char = '.';

/// How long a freeze may take before members are told without it.
const FREEZE_PATIENCE: Duration = Duration::from_millis(20);

/// Looks at all processes in one kill: who outruns them is met by the next one.
const ROUNDS: usize = 64;

/// Where trees are made.
#[derive(Debug)]
pub(crate) struct Grove {
    parent: Option<PathBuf>,
    prefix: String,
    /// The last number that was given.
    last: u64,
}

impl Grove {
    /// For a supervisor that is called by `prefix`, unlike any other's on this host.
    pub(crate) fn new(prefix: String) -> Self {
        let parent = cgroup::own_directory().ok().filter(|parent| {
            let probe = format!("{prefix}{END}probe");
            Cgroup::create(parent, &probe)
                .map(|made| made.remove())
                .is_ok()
        });
        Self {
            parent,
            prefix,
            last: 0,
        }
    }

    /// Takes away what a supervisor that was killed has left, of programs that have ended.
    pub(crate) fn sweep(&self) {
        if let Some(parent) = &self.parent {
            cgroup::sweep(parent, &format!("{}{END}", self.prefix), Duration::ZERO);
        }
    }

    /// A number unlike that of any other tree on this host: the nanosecond, since boot.
    pub(crate) fn next_number(&mut self) -> u64 {
        let now = ward_sys::clock::since_boot().as_nanos();
        self.last = u64::try_from(now).unwrap_or(0).max(self.last + 1);
        self.last
    }

    /// A tree for one start of a program, called so, with a number of its own.
    pub(crate) fn plant(&self, name: &str, number: u64) -> Tree {
        let made = self
            .parent
            .as_deref()
            .and_then(|parent| Cgroup::create(parent, &format!("{}{END}{name}", self.prefix)).ok());
        let kind = match made {
            Some(cgroup) => Kind::Cgroup(cgroup),
            None => Kind::Mark(mark(number)),
        };
        Tree {
            kind,
            told: BTreeSet::new(),
        }
    }

    /// The tree of a program that an earlier daemon started, whose leader may have ended.
    pub(crate) fn find(&self, name: &str, number: u64) -> Tree {
        let path = self
            .parent
            .as_deref()
            .map(|parent| parent.join(format!("{}{END}{name}", self.prefix)));
        let cgroup = path
            .filter(|path| path.is_dir())
            .map(|path| Cgroup::open(&path));
        let kind = match cgroup {
            Some(Ok(cgroup)) => {
                // Whoever was killed while it told them has left them standing still.
                cgroup.thaw();
                Kind::Cgroup(cgroup)
            }
            Some(Err(_)) | None => Kind::Mark(mark(number)),
        };
        Tree {
            kind,
            told: BTreeSet::new(),
        }
    }
}

/// What the members of the tree of this number carry.
fn mark(number: u64) -> u64 {
    FIRST_MARK | (number & (FIRST_MARK - 1))
}

fn mark_of(pid: i32) -> Option<u64> {
    let (_, hard) = limits::limit_of(pid, limits::RTTIME)?;
    (hard != u64::MAX && hard & FIRST_MARK != 0).then_some(hard)
}

#[derive(Debug)]
enum Kind {
    Cgroup(Cgroup),
    Mark(u64),
}

/// The processes of one start of a program.
#[derive(Debug)]
pub(crate) struct Tree {
    kind: Kind,
    /// Who was told, by pid and start time: nobody is told twice, which breaks clean-up.
    told: BTreeSet<(i32, u64)>,
}

impl Tree {
    /// The directory to be born into, if it is a cgroup.
    pub(crate) fn directory(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Cgroup(cgroup) => Some(cgroup.directory()),
            Kind::Mark(_) => None,
        }
    }

    /// The limit to be started with, if it is a mark.
    pub(crate) fn limit(&self) -> Option<Limit> {
        match &self.kind {
            Kind::Cgroup(_) => None,
            Kind::Mark(mark) => Some(Limit {
                resource: limits::RTTIME,
                soft: *mark,
                hard: *mark,
            }),
        }
    }

    /// What becomes readable in its exceptional way (POLLPRI) around the time that it gets empty.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Cgroup(cgroup) => Some(cgroup.events()),
            Kind::Mark(_) => None,
        }
    }

    /// Whether nobody is left.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Cgroup(cgroup) => !cgroup.populated().unwrap_or(false),
            Kind::Mark(mark) => !marked(*mark).any(|_| true),
        }
    }

    fn members(&self) -> Vec<i32> {
        match &self.kind {
            Kind::Cgroup(cgroup) => cgroup.members(),
            Kind::Mark(mark) => marked(*mark).collect(),
        }
    }

    /// Holds a process that is certainly a member now.
    fn hold(&self, pid: i32) -> Option<Process> {
        let process = Process::hold(pid)?;
        let is_member = match &self.kind {
            Kind::Cgroup(cgroup) => cgroup.holds(pid),
            Kind::Mark(mark) => mark_of(pid) == Some(*mark),
        };
        is_member.then_some(process)
    }

    /// Sends a signal to every member that has not had one yet; returns to how many.
    pub(crate) fn tell(&mut self, signal: Signal) -> usize {
        // While they stand still nobody forks.
        let frozen = match &self.kind {
            Kind::Cgroup(cgroup) => Some(cgroup.freeze(FREEZE_PATIENCE)),
            Kind::Mark(_) => None,
        };
        let mut told = Vec::new();
        for pid in self.members() {
            let Some(process) = self.hold(pid) else {
                continue;
            };
            let who = (pid, process.stat().start_ticks);
            if !self.told.contains(&who) {
                // Who has ended meanwhile needs no word.
                let _ = process.signal(signal.number());
                told.push(who);
            }
        }
        drop(frozen);
        let count = told.len();
        self.told.extend(told);
        count
    }

    /// Sends a signal to every member, again to those that had one: an order of a person.
    pub(crate) fn signal(&self, signal: Signal) {
        for pid in self.members() {
            if let Some(process) = self.hold(pid) {
                let _ = process.signal(signal.number());
            }
        }
    }

    /// Ends every member at once.
    ///
    /// # Errors
    /// When the kernel refuses to.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Cgroup(cgroup) => cgroup.kill(),
            Kind::Mark(_) => {
                for _ in 0..ROUNDS {
                    if self.is_empty() {
                        break;
                    }
                    self.signal(Signal::KILL);
                }
                Ok(())
            }
        }
    }

    /// Takes it away once nobody is in it.
    pub(crate) fn clear(&self) {
        match &self.kind {
            Kind::Cgroup(cgroup) => cgroup.remove(),
            Kind::Mark(_) => {}
        }
    }
}

/// Everybody with this mark who has not ended.
fn marked(mark: u64) -> impl Iterator<Item = i32> {
    procfs::all_pids().filter(move |pid| {
        mark_of(*pid) == Some(mark) && procfs::Stat::of(*pid).is_some_and(|stat| !stat.has_ended())
    })
}
