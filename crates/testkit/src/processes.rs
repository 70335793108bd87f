//! Reading `/proc`: who is there, whose child, in which state, carrying which mark.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The environment variable that marks what a test starts; the argument `--mark=` does the
/// same for a process that loses its environment.
pub const MARK_VARIABLE: &str = "WARD_TEST_MARK";

/// A process as `/proc` showed it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub ppid: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Its name (`comm`).
    pub name: String,
    /// Its state letter, proc_pid_stat(5).
    pub state: char,
    /// How many threads it has, one that has ended and waits for the others included.
    pub threads: i32,
    /// Its command line, arguments separated by spaces.
    pub command: String,
}

impl Seen {
    /// Whether it only waits to be reaped. A process whose first thread has ended before the
    /// others looks the same, but has more than one.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }

    /// Whether it is a process of ward's own: the front of a run or of a daemon, a guardian,
    /// or who drains the pipes of the detached.
    #[must_use]
    pub fn is_wards_own(&self) -> bool {
        ["ward", "ward-guardian", "ward-drain", "ward-keeper"].contains(&self.name.as_str())
    }
}

/// Looks at one process.
#[must_use]
pub fn look(pid: i32) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything, also parentheses and spaces: the last one ends it.
    let (before, after) = stat.rsplit_once(") ")?;
    let name = before.split_once(" (")?.1.to_owned();
    let mut fields = after.split(' ');
    let state = fields.next()?.chars().next()?;
    let numbers: Vec<i32> = fields.map_while(|field| field.parse().ok()).collect();
    Some(Seen {
        pid,
        ppid: *numbers.first()?,
        group: *numbers.get(1)?,
        session: *numbers.get(2)?,
        name,
        state,
        threads: *numbers.get(NUMBER_OF_THREADS)?,
        command: command_line(pid),
    })
}

/// Where the number of threads is among what follows the state.
const NUMBER_OF_THREADS: usize = 16;

fn command_line(pid: i32) -> String {
    String::from_utf8_lossy(&of_any_thread(pid, "cmdline"))
        .trim_end_matches('\0')
        .replace('\0', " ")
}

/// A file of a process; if its first thread has ended, and with it lost its memory, that of
/// another thread.
fn of_any_thread(pid: i32, file: &str) -> Vec<u8> {
    let own = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    if !own.is_empty() {
        return own;
    }
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read(thread.path().join(file)).ok())
        .find(|bytes| !bytes.is_empty())
        .unwrap_or_default()
}

/// Every process id there is.
#[must_use]
pub fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children of a process.
#[must_use]
pub fn children(pid: i32) -> Vec<Seen> {
    let lists = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|child| child.parse().ok())
                .filter_map(look)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Whether a process carries `mark`, in its arguments or in its environment.
#[must_use]
pub fn carries(pid: i32, mark: &str) -> bool {
    ["cmdline", "environ"].iter().any(|file| {
        of_any_thread(pid, file)
            .windows(mark.len())
            .any(|part| part == mark.as_bytes())
    })
}

/// Every live process that carries `mark`, except the one that asks.
///
/// A scan can miss a process that forks and exits faster than it reads; tests that must
/// know for certain ask a cgroup as well ([`crate::controlgroup`]).
#[must_use]
pub fn marked(mark: &str) -> Vec<Seen> {
    let me = std::process::id().cast_signed();
    all()
        .into_iter()
        .filter(|pid| *pid != me && carries(*pid, mark))
        .filter_map(look)
        .filter(|seen| !seen.is_zombie())
        .collect()
}

/// Opens a process and, with the process held, makes sure that it still carries `mark`:
/// its number may have been given to somebody else since it was read.
#[must_use]
pub fn open_marked(pid: i32, mark: &str) -> Option<OwnedFd> {
    open_if(pid, |pid| carries(pid, mark))
}

/// Opens a process and, with the process held, makes sure that it is who was meant.
#[must_use]
pub fn open_if(pid: i32, is_meant: impl FnOnce(i32) -> bool) -> Option<OwnedFd> {
    let held = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    is_meant(pid).then_some(held)
}

/// When a process was started, in the kernel's ticks since it booted: with its number, this
/// names it for as long as the machine runs, as numbers are given again.
#[must_use]
pub fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(START_AFTER_NAME)?.parse().ok()
}

/// Where the time of the start is among what follows the name.
const START_AFTER_NAME: usize = 19;

/// Sends `signal` to a process if it carries `mark`; if it does not, or has ended, nobody
/// gets it.
pub fn signal_marked(pid: i32, mark: &str, signal: Signal) {
    if let Some(held) = open_marked(pid, mark) {
        // It may end in between, which is what most signals want.
        let _ = pidfd_send_signal(held, signal);
    }
}

/// The program that a process runs.
#[must_use]
pub fn program(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Which of a process's descriptors lead to `target`, as `readlink` shows it.
#[must_use]
pub fn descriptors_to(pid: i32, target: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|link| link == target))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The value of a variable in a process's environment as it was at its last exec.
#[must_use]
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environ.split(|byte| *byte == 0).find_map(|item| {
        let value = item.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(OsStr::from_bytes(value).to_string_lossy().into_owned())
    })
}

/// A line of `/proc/PID/status`, such as `SigIgn`, without its name.
#[must_use]
pub fn status_line(pid: i32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim().to_owned())
    })
}

/// What a process's descriptors lead to, as `readlink` shows it.
#[must_use]
pub fn descriptors(pid: i32) -> Vec<(i32, PathBuf)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?))
        })
        .collect()
}
