//! Killing members until nobody is left who can be killed.

use std::rc::Rc;
use std::time::{Duration, Instant};

use ward_model::report;
use ward_model::signal::Signal;
use ward_model::spec::KILL_PATIENCE;
use ward_sys::contain::cgroup::Cgroup;
use ward_sys::contain::process::{Process, Told, signal_own_child};
use ward_sys::procfs::{self, Stat};

use super::{Tree, is_ours_to_stay, own_pid, pid_of};

/// A pass over own children that takes no longer need not be paced.
const BRIEF: Duration = Duration::from_millis(1);

impl Tree {
    /// Who is about to be killed; by name only if somebody will read the names.
    pub(crate) fn doomed(&mut self, named: bool) -> report::Listed {
        let Some(cgroup) = self.cgroup.clone() else {
            return self.name_all();
        };
        // Only as many are looked at as are named: the kill must not wait for a large tree.
        let pids = cgroup.members();
        let mut listed = report::Listed::default();
        if !named {
            listed.count = pids.len() as u64;
            self.members_seen = Some(pids);
            return listed;
        }
        for pid in pids.iter().take(report::MAX_LISTED) {
            if let Some(stat) = Stat::of(*pid)
                && !self.is_spared(&stat)
            {
                listed.processes.push(self.name(&stat, false));
            }
        }
        let unseen = pids.len().saturating_sub(report::MAX_LISTED);
        listed.count = (listed.processes.len() + unseen) as u64;
        listed
    }

    /// Moves out of the cgroup who is to stay, before it is killed.
    fn move_spared_out(&mut self) {
        let Some(cgroup) = &self.cgroup else {
            return;
        };
        let members = self.members_seen.take().unwrap_or_else(|| cgroup.members());
        let asks = |tree: &Self, pid| {
            // Ours have no environment to say it by.
            let environ = procfs::environ(pid).unwrap_or_default();
            tree.cookies.asks_to_stay(&environ).is_some()
                || (environ.first().is_none_or(|byte| *byte == 0)
                    && Stat::of(pid).is_some_and(|stat| is_ours_to_stay(&stat)))
        };
        if members.into_iter().any(|pid| asks(self, pid)) {
            let _ = self.custody();
        }
    }

    /// Kills every member that can be killed. Returns whether those that are left cannot
    /// be ended at all.
    pub(crate) fn kill(&mut self) -> bool {
        self.kill_rounds += 1;
        if self.spare {
            self.move_spared_out();
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
        }
        self.next_kill = Instant::now();
        let denied = self.kill_children();
        if !denied.is_empty() {
            self.kill_below(&denied);
        }
        self.is_stalled(!denied.is_empty())
    }

    /// Kills own children. Enough for the whole tree, one generation after the other: each
    /// death hands its children to us, and nobody else can have taken a number that we
    /// have not reaped.
    ///
    /// In a cgroup that is only for those who have left it. With many children it takes
    /// time, and may take half of ours: the dead must be reaped meanwhile.
    pub(crate) fn kill_children(&mut self) -> Vec<i32> {
        let mut denied = Vec::new();
        let now = Instant::now();
        let populated = |cgroup: &Rc<Cgroup>| cgroup.populated().unwrap_or(false);
        if self.cgroup.as_ref().is_some_and(populated) {
            return denied;
        }
        self.kill_owed = now < self.next_kill;
        if self.kill_owed {
            return denied;
        }
        for pid in procfs::children(own_pid()) {
            if self.spare
                && let Some(start) = self.spared.get(&pid)
                && Stat::of(pid).is_some_and(|stat| stat.start_ticks == *start)
            {
                continue;
            }
            if self.begun_ticks.is_some()
                && Stat::of(pid).is_none_or(|stat| self.is_stranger(&stat))
            {
                continue;
            }
            let Some(raw) = pid_of(pid) else { continue };
            if signal_own_child(raw, Signal::KILL.number()) == Told::Denied {
                denied.push(pid);
            }
        }
        let took = now.elapsed();
        self.next_kill = Instant::now() + if took > BRIEF { took } else { Duration::ZERO };
        denied
    }

    /// When new own children must be killed, if there are any that had to wait.
    pub(crate) fn kill_owed_at(&self) -> Option<Instant> {
        self.kill_owed.then_some(self.next_kill)
    }

    /// Kills what is below children that cannot be killed.
    fn kill_below(&mut self, denied: &[i32]) {
        for member in self.custody() {
            if denied.contains(&member.stat.pid) {
                continue;
            }
            if let Some(process) = Process::hold(member.stat.pid)
                && process.stat().start_ticks == member.stat.start_ticks
            {
                let _ = process.signal(Signal::KILL.number());
            }
        }
    }

    fn is_stalled(&mut self, any_denied: bool) -> bool {
        /// Rounds of the kill before anybody counts as unkillable.
        const ROUNDS: u32 = 10;
        if self.kill_rounds < ROUNDS {
            return false;
        }
        let mut left = match &self.cgroup {
            Some(cgroup) => cgroup.members(),
            None => Vec::new(),
        };
        left.extend(procfs::children(own_pid()));
        left.retain(|pid| {
            !self.spared.contains_key(pid)
                && Stat::of(*pid).is_some_and(|stat| !stat.has_ended() && !self.is_stranger(&stat))
        });
        left.sort_unstable();
        left.dedup();
        if left.is_empty() {
            return false;
        }
        let now = Instant::now();
        match &self.unchanged {
            Some((before, since)) if *before == left => {
                let patience = if any_denied && self.cgroup.is_none() {
                    KILL_PATIENCE / 10
                } else {
                    KILL_PATIENCE
                };
                now.duration_since(*since) >= patience
            }
            _ => {
                self.unchanged = Some((left, now));
                false
            }
        }
    }

    /// Who is left although everything was tried, and why.
    pub(crate) fn survivors(&mut self) -> report::Listed {
        let members = self.custody();
        let mut listed = self.listed(&members);
        for process in &mut listed.processes {
            let state = Stat::of(process.pid).map_or('?', |stat| stat.state);
            process.why = Some(if state == 'D' {
                let place =
                    procfs::waits_in(process.pid).unwrap_or_else(|| "the kernel".to_owned());
                format!("uninterruptible, waits in {place}")
            } else {
                match process.uid {
                    Some(uid) => format!("not permitted to kill it: it runs as user {uid}"),
                    None => "not permitted to kill it".to_owned(),
                }
            });
        }
        listed
    }
}
