//! What the kernel tells of processes in /proc (proc(5)).
//!
//! Everything read here may be out of date when it is returned, and a process id may belong
//! to somebody else by then: nothing here may be used to signal by number.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// A process as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its id.
    pub pid: i32,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// Its state letter.
    pub state: char,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub session: i32,
    /// It was forked and has not executed a program since: it still is what its parent was.
    pub is_fork: bool,
    /// When it started, in clock ticks since boot; with the id, its identity.
    pub start_ticks: u64,
}

/// The flag of a process that was forked and has not executed anything (`PF_FORKNOEXEC`, linux/sched.h).
const FORKED_ONLY: u32 = 0x40;

/// Reads a file of /proc, which is whole in one read, up to 4096 bytes.
fn read_small(path: &str) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::with_capacity(4096);
    rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))?;
    Ok(bytes)
}

/// Reads the whole of a file of /proc. Such files have no size to go by, and a reader that
/// begins with a small buffer asks for a large one many times over.
pub(crate) fn read_whole(path: impl rustix::path::Arg) -> io::Result<Vec<u8>> {
    read_until(path, <[u8]>::is_empty)
}

/// Bytes that are asked for in one call.
const PIECE: usize = 16 << 10;

/// Reads until a piece is the last one.
fn read_until(path: impl rustix::path::Arg, is_last: fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    let mut piece = [MaybeUninit::<u8>::uninit(); PIECE];
    loop {
        let (read, _) = rustix::io::read(&file, &mut piece)?;
        bytes.extend_from_slice(read);
        if is_last(read) {
            return Ok(bytes);
        }
    }
}

fn open(path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

impl Stat {
    /// Reads it; `None` if there is no such process.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(&read_small(&format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        // The name may contain anything, parentheses and blanks too: it ends at the last one.
        let text = String::from_utf8_lossy(bytes);
        let (pid, rest) = text.split_once(" (")?;
        let (comm, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse::<i32>().ok();
        let (ppid, pgrp, session) = (number()?, number()?, number()?);
        // Fields 9 and 22 of the whole line; 6 were taken.
        let flags: u32 = fields.nth(2)?.parse().ok()?;
        let start_ticks = fields.nth(12)?.parse().ok()?;
        Some(Self {
            pid: pid.parse().ok()?,
            comm: comm.to_owned(),
            state,
            ppid,
            pgrp,
            session,
            is_fork: flags & FORKED_ONLY != 0,
            start_ticks,
        })
    }

    /// Whether it has ended and only waits to be reaped: a zombie whose threads are all gone.
    /// A process whose leading thread alone has ended shows `Z` too, but lives.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self.state {
            'X' => true,
            'Z' => thread_count(self.pid) <= 1,
            _ => false,
        }
    }

    /// How long it has existed.
    #[must_use]
    pub fn age(&self) -> Duration {
        let ticks_per_second = crate::clock::ticks_per_second();
        let started = Duration::from_secs(self.start_ticks / ticks_per_second)
            + Duration::from_secs(1)
                * u32::try_from(self.start_ticks % ticks_per_second).unwrap_or(0)
                / u32::try_from(ticks_per_second).unwrap_or(1);
        crate::clock::since_boot().saturating_sub(started)
    }
}

/// What a process takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Resident memory, bytes; pages that it shares with others are counted with each.
    pub memory: u64,
    /// Processor time of it and of its children that it has reaped.
    pub cpu: Duration,
}

/// What a process takes now; nothing if there is no such process.
#[must_use]
pub fn usage(pid: i32) -> Usage {
    let read = || {
        let bytes = read_small(&format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<u64> = rest
            .split_ascii_whitespace()
            .skip(1)
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        // Fields 14 to 17 and 24 of the whole line; the third was taken.
        let ticks: u64 = fields.get(10..14)?.iter().sum();
        let memory = fields.get(20)? * rustix::param::page_size() as u64;
        let millis = ticks * 1000 / crate::clock::ticks_per_second();
        Some(Usage {
            memory,
            cpu: Duration::from_millis(millis),
        })
    };
    read().unwrap_or_default()
}

fn thread_count(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Its command line with single blanks between arguments, or its name in brackets if it
/// has none (kernel threads, zombies); at most 4096 bytes, bytes that are not UTF-8 replaced.
#[must_use]
pub fn command_line(pid: i32, comm: &str) -> String {
    let mut bytes = read_small(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return format!("[{comm}]");
    }
    for byte in &mut bytes {
        if *byte == 0 || byte.is_ascii_control() {
            *byte = b' ';
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The environment that it was given at its last exec, `KEY=VALUE` separated by NUL.
///
/// # Errors
/// EACCES for processes of other users, and for those that dropped privileges.
pub fn environ(pid: i32) -> io::Result<Vec<u8>> {
    // Unlike other files of /proc it gives all that was asked for, if there is as much: a tree is looked
    // through by this before it is killed, and a call more for each member is time.
    read_until(format!("/proc/{pid}/environ"), |read| read.len() < PIECE)
}

/// The user that it acts as, where that can be seen.
#[must_use]
pub fn effective_uid(pid: i32) -> Option<u32> {
    // The files in it belong to root where a process is not dumpable; the directory itself
    // never does (proc_pid(5)), and is quicker to ask than `status`.
    Some(fs::metadata(format!("/proc/{pid}")).ok()?.uid())
}

/// In which kernel function it waits, for one that cannot be killed.
#[must_use]
pub fn waits_in(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/wchan")).ok()?;
    (!text.is_empty() && text != "0").then_some(text)
}

/// Whether one of its threads waits in read(2) of this descriptor (`/proc/PID/task/TID/syscall`,
/// proc_pid_syscall(5)). False too where that cannot be seen: it may be asked only by who could trace it.
#[must_use]
pub fn waits_to_read(pid: i32, fd: i32) -> bool {
    let (read, fd) = (libc::SYS_read.to_string(), format!("{fd:#x}"));
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    tasks.into_iter().flatten().flatten().any(|task| {
        let call = fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
        // One that runs has no numbers here, and one of another architecture has its own.
        let mut words = call.split_ascii_whitespace();
        words.next() == Some(&*read) && words.next() == Some(&*fd)
    })
}

/// Its children, of all its threads (`/proc/PID/task/TID/children`).
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for task in tasks.flatten() {
        let mut path = task.path();
        path.push("children");
        match read_whole(&path) {
            Ok(text) => all.extend(numbers(&text)),
            // Kernels without CONFIG_PROC_CHILDREN.
            Err(error) if error.kind() == io::ErrorKind::NotFound && task.path().exists() => {
                return children_by_scan(pid);
            }
            Err(_) => {}
        }
    }
    all
}

/// The numbers in a list that is separated by blanks or ends of lines.
pub(crate) fn numbers(text: &[u8]) -> impl Iterator<Item = i32> {
    text.split(u8::is_ascii_whitespace)
        .filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

fn children_by_scan(pid: i32) -> Vec<i32> {
    all_pids()
        .filter(|candidate| Stat::of(*candidate).is_some_and(|stat| stat.ppid == pid))
        .collect()
}

/// The id that a process has in the innermost of its process namespaces (`NSpid`, proc(5)).
#[must_use]
pub fn innermost_pid(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().next_back()?.parse().ok()
}

/// Whether there is a process of this id, though we may not be allowed to see it (proc(5),
/// `hidepid`).
#[must_use]
pub fn exists(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return false;
    };
    !matches!(
        rustix::process::test_kill_process(pid),
        Err(rustix::io::Errno::SRCH)
    )
}

/// Every process id in /proc.
pub fn all_pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Which of these pipes (by inode) it holds open for writing. Empty where its descriptors
/// cannot be seen (other users).
///
/// Only links are read: to look at the files themselves could wait for a file system that
/// is served by a process of the very tree.
#[must_use]
pub fn holds_for_writing(pid: i32, pipes: &[u64]) -> Vec<usize> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let mut held = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let inode = fs::read_link(&path).ok().and_then(|target| {
            let text = target.to_str()?.strip_prefix("pipe:[")?;
            text.strip_suffix(']')?.parse::<u64>().ok()
        });
        let Some(index) = pipes.iter().position(|pipe| Some(*pipe) == inode) else {
            continue;
        };
        // The mode of the link shows how the descriptor was opened: owner write bit.
        let writes = fs::symlink_metadata(&path).is_ok_and(|link| link.mode() & 0o200 != 0);
        if writes && !held.contains(&index) {
            held.push(index);
        }
    }
    held.sort_unstable();
    held
}

/// The random identity of this boot (random(4)).
///
/// # Errors
/// Where /proc is not mounted.
pub fn boot_id() -> io::Result<String> {
    let text = read_small("/proc/sys/kernel/random/boot_id")?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// How many processes the kernel has killed for want of memory since boot
/// (`oom_kill` of `/proc/vmstat`).
#[must_use]
pub fn oom_kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_anything() {
        let line = b"7 (a) b (c)) S 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2";
        let stat = Stat::parse(line).expect("parses");
        assert_eq!(
            (stat.pid, stat.comm.as_str(), stat.state),
            (7, "a) b (c)", 'S')
        );
        assert_eq!(
            (stat.ppid, stat.pgrp, stat.session, stat.start_ticks),
            (1, 2, 3, 9876)
        );
        assert_eq!(Stat::parse(b"7 (x"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn ourselves() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        let stat = Stat::of(me).expect("we exist");
        assert!(!stat.is_fork, "we were executed");
        assert!(!stat.has_ended() && stat.age() < Duration::from_secs(3600));
        assert!(command_line(me, &stat.comm).contains("ward_sys"));
        assert!(environ(me).is_ok());
        assert!(effective_uid(me).is_some());
    }

    #[test]
    fn who_waits_for_what() {
        let mut cat = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("cat");
        let pid = i32::try_from(cat.id()).expect("a pid");
        while !waits_to_read(pid, 0) {
            assert!(
                cat.try_wait().expect("a child").is_none(),
                "it was to wait for what is written"
            );
            std::thread::yield_now();
        }
        assert!(!waits_to_read(pid, 1), "it is about another descriptor");
        drop(cat.stdin.take());
        cat.wait().expect("it ends");
        assert!(!waits_to_read(pid, 0), "nobody waits who is not there");
    }

    #[test]
    fn who_holds_a_pipe() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let stat = rustix::fs::fstat(&writer).expect("stat");
        let file = [stat.st_ino];
        assert_eq!(holds_for_writing(me, &file), [0]);
        drop(writer);
        assert!(holds_for_writing(me, &file).is_empty());
        drop(reader);
    }
}
