//! Processes below us: who they are, ending them, and what they hold.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Add;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitOptions};

/// A line of /proc/PID/stat, as far as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) state: char,
    pub(super) name: String,
}

impl Entry {
    /// Whether it still runs: neither dead nor waiting to be reaped.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// `PID (NAME) STATE PARENT …`; the name may hold anything, parentheses too (proc(5)).
    fn parse(line: &str) -> Option<Self> {
        let (pid, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
        })
    }
}

/// Every process of the machine that we can see. One that ends meanwhile is left out.
fn all() -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<i32>().is_ok());
        if is_process
            && let Ok(bytes) = fs::read(entry.path().join("stat"))
            && let Some(process) = Entry::parse(&String::from_utf8_lossy(&bytes))
        {
            entries.push(process);
        }
    }
    Ok(entries)
}

/// All processes below `ancestor`, itself not included.
pub(super) fn below(ancestor: i32) -> io::Result<Vec<Entry>> {
    Ok(descendants(all()?, ancestor))
}

/// All processes below us.
pub(super) fn below_us() -> io::Result<Vec<Entry>> {
    below(process::getpid().as_raw_pid())
}

fn descendants(all: Vec<Entry>, ancestor: i32) -> Vec<Entry> {
    let mut children: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
    for entry in all {
        children.entry(entry.parent).or_default().push(entry);
    }
    let mut found = Vec::new();
    let mut next = vec![ancestor];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            next.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// Makes orphans below us our children, so that none gets away.
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(process::set_child_subreaper(Some(process::getpid()))?)
}

/// Reaps whoever has ended; says whether no child is left at all.
pub(super) fn reap() -> bool {
    loop {
        match process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(error) => return error == Errno::CHILD,
        }
    }
}

/// Waits for the end of every child, those included that are yet to be handed to us.
pub(super) fn reap_all() {
    loop {
        match process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Kills and reaps until nobody is left below us, or `limit` is over.
///
/// Only direct children are signalled: until we reap them their number is theirs. Their own
/// children become ours in the next round, because we adopt orphans.
pub(super) fn end_all(limit: Duration) -> io::Result<()> {
    let end = Instant::now() + limit;
    let us = process::getpid().as_raw_pid();
    while !reap() {
        if Instant::now() > end {
            return Err(io::Error::other("a process below us cannot be ended"));
        }
        for child in all()?.iter().filter(|entry| entry.parent == us) {
            if let (true, Some(pid)) = (child.is_alive(), Pid::from_raw(child.pid)) {
                // It may have ended since; it is still ours to reap.
                let _ = process::kill_process(pid, Signal::KILL);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// CPU time of the children that we have reaped, and of theirs, to a hundredth of a second.
pub(super) fn cpu_of_reaped() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let ticks = reaped_ticks(&stat).ok_or_else(|| io::Error::other("/proc/self/stat"))?;
    Ok(Duration::from_millis(ticks * 1000 / USER_HZ))
}

/// What /proc counts CPU time in: fixed for user space on every Linux that Rust runs on.
const USER_HZ: u64 = 100;

/// cutime + cstime, fields 16 and 17 (proc(5)).
fn reaped_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(13);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Memory of a process, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Its pages in memory.
    pub(super) resident: u64,
    /// The same, each shared page divided by how many share it.
    pub(super) proportional: u64,
}

impl Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            proportional: self.proportional + other.proportional,
        }
    }
}

/// What `pid` holds in memory.
pub(super) fn memory(pid: i32) -> io::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    parse_memory(&text).ok_or_else(|| io::Error::other("smaps_rollup has no Rss or no Pss"))
}

/// What changes less than this is settled, KiB: a thread that comes or goes takes as much.
const SETTLED: u64 = 64;
/// For how long it has to: a program may give back later what it needed to begin.
const QUIET: Duration = Duration::from_secs(4);
/// How long a program may take to settle; what it holds then is what it holds.
const SETTLING: Duration = Duration::from_secs(20);

/// What all of `pids` hold together once that changes no more, or `SETTLING` is over.
pub(super) fn settled(pids: &[i32]) -> io::Result<Memory> {
    let all = || -> io::Result<Memory> {
        pids.iter()
            .map(|pid| memory(*pid))
            .try_fold(Memory::default(), |sum, one| Ok(sum + one?))
    };
    let begun = Instant::now();
    let (mut last, mut since) = (all()?, begun);
    loop {
        thread::sleep(Duration::from_millis(200));
        let now = all()?;
        if now.resident.abs_diff(last.resident) > SETTLED {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() >= QUIET || begun.elapsed() >= SETTLING {
            return Ok(now);
        }
    }
}

fn parse_memory(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    Some(Memory {
        resident: field("Rss")?,
        proportional: field("Pss")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let entry = Entry::parse("42 (a) R (b) S 7 42 42 0 -1").unwrap();
        assert_eq!(
            (entry.pid, entry.name.as_str(), entry.state, entry.parent),
            (42, "a) R (b", 'S', 7)
        );
        assert!(entry.is_alive());
        assert!(!Entry::parse("42 (x) Z 7 0").unwrap().is_alive());
        assert_eq!(Entry::parse("42 x Z"), None);
    }

    #[test]
    fn descendants_are_all_below_and_nobody_else() {
        let entry = |pid, parent| Entry {
            pid,
            parent,
            state: 'S',
            name: String::new(),
        };
        let all = vec![
            entry(2, 1),
            entry(3, 2),
            entry(4, 3),
            entry(5, 1),
            entry(6, 5),
        ];
        let mut pids: Vec<i32> = descendants(all, 2).iter().map(|entry| entry.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [3, 4]);
    }

    #[test]
    fn the_ticks_of_reaped_children_are_fields_16_and_17() {
        let stat = "9 (x y) S 1 9 9 0 -1 4194560 1 2 3 4 100 200 30 12 20 0 1 0 5";
        assert_eq!(reaped_ticks(stat), Some(42));
    }

    #[test]
    fn memory_is_read_from_the_rollup() {
        let text = "00400000-7fff ---p 00000000 00:00 0 [rollup]\n\
                    Rss:                 972 kB\n\
                    Pss:                 433 kB\n\
                    Pss_Dirty:           100 kB\n";
        assert_eq!(
            parse_memory(text),
            Some(Memory {
                resident: 972,
                proportional: 433
            })
        );
        assert_eq!(parse_memory("Rss: 1 kB\n"), None);
    }

    #[test]
    fn we_see_ourselves_in_the_list() {
        let us = process::getpid().as_raw_pid();
        assert!(
            all()
                .unwrap()
                .iter()
                .any(|entry| entry.pid == us && entry.is_alive())
        );
        assert!(memory(us).unwrap().resident > 0);
    }
}
