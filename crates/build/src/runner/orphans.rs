//! What falls to the runner when a guardian is killed: it is the next one above, and ends it.
//!
//! Who was detached on purpose stays, here as with a guardian.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::cookie::{Cookies, WARD_RUN_ID};
use ward_model::report::{Listed, Process as Named};
use ward_model::spec::KILL_PATIENCE;
use ward_sys::contain::process::{Process, Told};
use ward_sys::procfs::{self, Stat};
use ward_sys::reap::{self, Reaped};

/// SIGKILL and SIGSTOP.
const KILL: i32 = 9;
const STOP: i32 = 19;

/// Names of our own processes that look after who was detached on purpose.
const OURS_TO_STAY: [&str; 2] = ["ward-drain", "ward-keeper"];

/// How often it is looked whether they are gone.
const LOOK: Duration = Duration::from_millis(5);

/// Children that were there before: they are nobody's business.
#[derive(Debug, Default)]
pub(super) struct Known(HashSet<(i32, u64)>);

impl Known {
    /// Those that are there now. Remains of those that have ended are taken.
    pub(super) fn now() -> Self {
        while let Reaped::Child(..) = reap::next_ended(&mut |_, _| {}) {}
        let children = procfs::children(own_pid());
        let stats = children.into_iter().filter_map(Stat::of);
        Self(stats.map(|stat| (stat.pid, stat.start_ticks)).collect())
    }

    fn has(&self, stat: &Stat) -> bool {
        self.0.contains(&(stat.pid, stat.start_ticks))
    }

    /// Ends everybody that has come since, and does not ask to stay. Returns who was killed, the
    /// guardian aside (it may still be ending), and who could not be ended.
    pub(super) fn end_others(&self, guardian: u32, cookies: Option<&Cookies>) -> (Listed, Listed) {
        await_end(guardian);
        let is_guardian = |stat: &Stat| u32::try_from(stat.pid) == Ok(guardian);
        let mut killed = Listed::default();
        let mut seen = HashSet::new();
        let mut progress = Instant::now();
        loop {
            // Nobody who stands still has children, so this comes to an end.
            let (members, is_whole) = loop {
                let (members, is_whole) = self.members(cookies);
                let mut is_new = false;
                for member in &members {
                    if seen.insert((member.stat().pid, member.stat().start_ticks)) {
                        is_new = true;
                        let _ = member.signal(STOP);
                        if !is_guardian(member.stat()) {
                            killed.push(name(member.stat()));
                        }
                    }
                }
                if !is_new {
                    break (members, is_whole);
                }
                progress = Instant::now();
            };
            // Children first: see `await_end` for who stands still as the process above him ends.
            for member in members.iter().rev() {
                match member.signal(KILL) {
                    Told::Yes | Told::Gone | Told::Denied => {}
                }
            }
            while let Reaped::Child(..) = reap::next_ended(&mut |_, _| {}) {
                progress = Instant::now();
            }
            if members.is_empty() && is_whole {
                return (killed, Listed::default());
            }
            if progress.elapsed() >= KILL_PATIENCE {
                let mut left = Listed::default();
                members.iter().for_each(|it| left.push(name(it.stat())));
                return (killed, left);
            }
            let nobody: &mut [PollFd<'_>] = &mut [];
            let _ = poll(nobody, Timespec::try_from(LOOK).ok().as_ref());
        }
    }

    /// Live descendants of this process that are to go, parents first, and whether these are all: the
    /// children of who ended during the look (as the guardian may, whose line ends before it does) have
    /// become ours after ours were read.
    fn members(&self, cookies: Option<&Cookies>) -> (Vec<Process>, bool) {
        let mut is_whole = true;
        let mut queue = procfs::children(own_pid());
        let mut members = Vec::new();
        let mut next = 0;
        while let Some(pid) = queue.get(next).copied() {
            next += 1;
            let Some(process) = Process::hold(pid) else {
                is_whole = false;
                continue;
            };
            let stat = process.stat();
            let asks_to_stay = || {
                let environ = without_run_id(&procfs::environ(pid).unwrap_or_default());
                cookies.is_some_and(|cookies| cookies.asks_to_stay(&environ).is_some())
                    || OURS_TO_STAY.contains(&stat.comm.as_str())
            };
            if self.has(stat) || asks_to_stay() {
                continue;
            }
            queue.extend(procfs::children(pid));
            if stat.has_ended() {
                is_whole = false;
            } else {
                members.push(process);
            }
        }
        (members, is_whole)
    }
}

/// Waits until a guardian that was killed has ended, for as long as that may take. Its end cuts the process
/// groups of the step off from their session, and the kernel sends SIGHUP to all of such a group if one of
/// it stands still by then (_exit(2), setpgid(2): orphaned process groups): also to who stays on purpose.
fn await_end(guardian: u32) {
    let Some(guardian) = i32::try_from(guardian).ok().and_then(Process::hold) else {
        return;
    };
    if guardian.stat().ppid != own_pid() {
        return;
    }
    // Should it only have lost its line. It is the one that is meant: nobody has waited for it yet, so
    // that its number is its own.
    let _ = guardian.signal(KILL);
    let mut fds = [PollFd::new(&guardian, PollFlags::IN)];
    let _ = poll(&mut fds, Timespec::try_from(KILL_PATIENCE).ok().as_ref());
}

/// An environment without the identity of the run: only its guardian knew which one is ours. A daemon
/// that changed nothing else is told by the keeper above it.
fn without_run_id(environ: &[u8]) -> Vec<u8> {
    let is_other = |item: &&[u8]| {
        let rest = item.strip_prefix(WARD_RUN_ID.as_bytes());
        !rest.is_some_and(|rest| rest.starts_with(b"="))
    };
    let items: Vec<&[u8]> = environ.split(|byte| *byte == 0).filter(is_other).collect();
    items.join(&0)
}

fn name(stat: &Stat) -> Named {
    Named {
        pid: stat.pid,
        ppid: stat.ppid,
        uid: procfs::effective_uid(stat.pid),
        command: procfs::command_line(stat.pid, &stat.comm),
        age: (stat.age().as_secs_f64() * 1000.0).round() / 1000.0,
        ..Named::default()
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(i32::MAX)
}
