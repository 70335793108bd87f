//! Stopping what is on record, by its keepers, or, where both were killed, without them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::report::Report;
use ward_model::signal::Signal;
use ward_model::spec::KILL_PATIENCE;
use ward_model::wire::StopOrder;
use ward_sys::contain::cgroup::Cgroup;
use ward_sys::contain::process::{Process, Told};
use ward_sys::procfs::{self, Stat};

use crate::ledger::{Seen, State};
use crate::tree::GUARDIAN_NAME;

/// How often it is looked whether it is over, where no event tells.
const LOOK: Duration = Duration::from_millis(20);

/// How a stop went.
#[derive(Debug)]
pub enum Stopped {
    /// There was nothing to stop.
    WasNotRunning,
    /// It is over, and this is the truth about it.
    Over(Option<Box<Report>>),
    /// It is over; it had lost its keepers, so nobody learned how it ended.
    OverUnguarded,
    /// We may not signal it.
    Denied,
    /// These could not be ended: process id and command line.
    Left(Vec<(i32, String)>),
}

/// Stops it, with its own grace or another, and waits until it is over. `request` numbers this
/// call among those of this process.
pub fn stop(seen: &Seen, grace: Option<Duration>, request: u16) -> Stopped {
    match seen.state {
        State::Ended | State::Failed | State::Gone => Stopped::WasNotRunning,
        State::Unguarded => stop_unguarded(seen, grace.unwrap_or(seen.entry.spec.policy.grace)),
        State::Starting | State::Running | State::Stopping => stop_kept(seen, grace, request),
    }
}

fn stop_kept(seen: &Seen, grace: Option<Duration>, request: u16) -> Stopped {
    // Keepers tell the orders of different callers apart by their process ids; this is for ids
    // that are used again.
    let moment = ward_sys::clock::since_boot().as_millis() % u128::from(StopOrder::REQUESTS);
    let order = StopOrder {
        request: u16::try_from(moment).unwrap_or(0).wrapping_add(request) % StopOrder::REQUESTS,
        grace,
    };
    let mut told: HashSet<i32> = HashSet::new();
    loop {
        // Each is told once, those too that come to be while we wait.
        let Ok(now) = crate::ledger::again(seen) else {
            return Stopped::Over(None);
        };
        let report = seen.read_report();
        if now.entry.run_id != seen.entry.run_id || !now.state.is_alive() || report.is_some() {
            return Stopped::Over(report.map(Box::new));
        }
        if now.state == State::Unguarded {
            return stop_unguarded(&now, grace.unwrap_or(now.entry.spec.policy.grace));
        }
        let held: Vec<Process> = now
            .keepers
            .iter()
            .filter_map(|keeper| keeper.hold())
            .collect();
        for process in &held {
            if told.insert(process.stat().pid) {
                match process.signal_with(Signal::TERM.number(), order.to_number()) {
                    // One that somebody has stopped would never hear of it.
                    Told::Yes => drop(process.signal(Signal::CONT.number())),
                    Told::Gone => {}
                    Told::Denied => return Stopped::Denied,
                }
            }
        }
        if held.is_empty() {
            wait(&[], LOOK);
            continue;
        }
        // A keeper that is about to be forked is in nobody's list yet.
        let patience = if held.len() < 2 { LOOK } else { 10 * LOOK };
        wait(&held, patience);
    }
}

/// Waits until one of these has ended, and no longer than this.
fn wait(processes: &[Process], at_most: Duration) {
    let mut fds: Vec<_> = processes
        .iter()
        .map(|process| PollFd::new(process, PollFlags::IN))
        .collect();
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(at_most.subsec_nanos()),
    };
    let _ = poll(&mut fds, Some(&timeout));
}

/// The ladder without a parent's privileges: nobody can be reaped or be waited for but by
/// looking, and whoever hides from cgroup, descent and cookie is not found.
fn stop_unguarded(seen: &Seen, grace: Duration) -> Stopped {
    let cgroup = seen
        .entry
        .cgroup
        .as_ref()
        .and_then(|path| Cgroup::open(path).ok());
    let signal = seen.entry.spec.policy.stop_signal.unwrap_or(Signal::TERM);
    let kill_at = Instant::now() + grace;
    let give_up_at = kill_at + KILL_PATIENCE;
    let mut told: HashSet<(i32, u64)> = HashSet::new();
    let mut may_clean_up = true;
    loop {
        let members = seen.members();
        if members.is_empty() {
            if let Some(cgroup) = cgroup {
                cgroup.remove();
            }
            return Stopped::OverUnguarded;
        }
        let now = Instant::now();
        if now >= give_up_at {
            let name = |stat: &Stat| (stat.pid, procfs::command_line(stat.pid, &stat.comm));
            return Stopped::Left(members.iter().map(name).collect());
        }
        let killing = now >= kill_at;
        if killing && let Some(cgroup) = &cgroup {
            let _ = cgroup.kill();
        }
        let mut denied = 0;
        for member in &members {
            let identity = (member.pid, member.start_ticks);
            // Who is born after the first telling belongs to a clean-up; and who is in the custody
            // of a nested run is told by that one.
            if !killing && is_below_guardian(member, &members) {
                continue;
            }
            if !killing && (told.contains(&identity) || !may_clean_up) {
                continue;
            }
            told.insert(identity);
            let held = Process::hold(member.pid)
                .filter(|process| process.stat().start_ticks == member.start_ticks);
            let number = if killing { Signal::KILL } else { signal }.number();
            if held.is_some_and(|process| process.signal(number) == Told::Denied) {
                denied += 1;
            }
        }
        may_clean_up = false;
        if denied == members.len() {
            return Stopped::Denied;
        }
        wait(&[], LOOK);
    }
}

/// Whether a guardian among `members` is above this one.
fn is_below_guardian(member: &Stat, members: &[Stat]) -> bool {
    let parent = |of: &Stat| members.iter().find(|stat| stat.pid == of.ppid);
    let mut above = parent(member);
    // A snapshot of what changes could even go in circles.
    for _ in 0..members.len() {
        match above {
            Some(stat) if stat.comm.as_bytes() == GUARDIAN_NAME.to_bytes() => return true,
            Some(stat) => above = parent(stat),
            None => return false,
        }
    }
    false
}
