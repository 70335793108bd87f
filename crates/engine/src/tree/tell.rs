//! Telling members to stop: each once, whoever they are and wherever they went. Who may have lost it is told again
//! ([`super::again`]).

use std::time::Duration;

use ward_model::report;
use ward_model::signal::Signal;
use ward_sys::contain::cgroup;
use ward_sys::contain::process::{Process, Told, signal_own_child};
use ward_sys::procfs::{self, Stat};

use super::{Member, SEARCHED, Tree, again, is_ours_to_stay, now_ticks, own_pid, pid_of};

/// How long a freeze may take before members are told without it.
const FREEZE_PATIENCE: Duration = Duration::from_millis(50);

/// Processes held by a descriptor at a time, well below the usual limit of 1024.
const HELD: usize = 256;

/// A member that was told to stop and is still held, to see when it ends.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) process: Process,
    pub(crate) named: report::Process,
}

/// What telling gave.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    pub(crate) told: Vec<Watched>,
    pub(crate) more: u64,
    pub(crate) denied: Vec<report::Process>,
}

impl Tree {
    /// Sends `signal` once to every member that was born before the first telling, has not
    /// been told, and is not told by a nested guardian. They are looked at more closely only if
    /// somebody will read what they are called: everybody stands still meanwhile.
    pub(crate) fn tell(&mut self, signal: Signal, named: bool) -> Telling {
        let mut telling = Telling::default();
        // While they stand still nobody forks: who is there is told, and who comes later
        // was born to somebody who knows.
        let cgroup = self.cgroup.clone();
        let frozen = cgroup.as_ref().map(|cgroup| cgroup.freeze(FREEZE_PATIENCE));
        let complete = frozen.as_ref().is_some_and(cgroup::Frozen::complete);
        let stop_ticks = *self.stop_ticks.get_or_insert_with(now_ticks);
        let mut first = true;
        loop {
            let fresh: Vec<Member> = self
                .custody()
                .into_iter()
                .filter(|member| {
                    !member.nested
                        && self.was_there(member, stop_ticks, first)
                        && !self
                            .told
                            .contains(&(member.stat.pid, member.stat.start_ticks))
                })
                .collect();
            if fresh.is_empty() {
                break;
            }
            // Those that end before they can be held were told nothing, but are seen too.
            self.told.extend(
                fresh
                    .iter()
                    .map(|member| (member.stat.pid, member.stat.start_ticks)),
            );
            for batch in fresh.chunks(HELD) {
                self.tell_batch(batch, signal, named, &mut telling);
            }
            if complete {
                break;
            }
            first = false;
        }
        telling
    }

    /// Whether a member was there at the stop. The clock of births is coarse (10 ms): once
    /// somebody has been told, who was born in that very tick, or to somebody who knows,
    /// belongs to a clean-up.
    fn was_there(&self, member: &Member, stop_ticks: u64, first: bool) -> bool {
        let born = member.stat.start_ticks;
        if first {
            return born <= stop_ticks;
        }
        born < stop_ticks && !self.told.iter().any(|(pid, _)| *pid == member.stat.ppid)
    }

    fn tell_batch(&mut self, batch: &[Member], signal: Signal, named: bool, telling: &mut Telling) {
        let held: Vec<_> = batch
            .iter()
            .filter_map(|member| {
                let process = Process::hold(member.stat.pid)?;
                (process.stat().start_ticks == member.stat.start_ticks).then_some(process)
            })
            .collect();
        for process in held {
            let stat = process.stat().clone();
            let looked_at = if named && telling.told.len() < report::MAX_LISTED {
                self.name(&stat, telling.told.len() < SEARCHED)
            } else {
                report::Process {
                    pid: stat.pid,
                    ppid: stat.ppid,
                    ..report::Process::default()
                }
            };
            let may_lose_it = again::may_lose_it(&stat);
            if self.terminal_told == Some(stat.pgrp) {
                self.note_fork(&stat, may_lose_it, signal);
                telling.told.push(Watched {
                    process,
                    named: looked_at,
                });
                continue;
            }
            match process.signal(signal.number()) {
                Told::Yes => {
                    self.note_fork(&stat, may_lose_it, signal);
                    // A stopped process takes its signal only when it goes on.
                    if stat.state == 'T' {
                        let _ = process.signal(Signal::CONT.number());
                    }
                    if telling.told.len() < report::MAX_LISTED {
                        telling.told.push(Watched {
                            process,
                            named: looked_at,
                        });
                    } else {
                        telling.more += 1;
                    }
                }
                Told::Gone => {}
                Told::Denied => {
                    let mut denied = self.name(&stat, telling.denied.len() < SEARCHED);
                    denied.why = Some("not permitted to signal it".to_owned());
                    telling.denied.push(denied);
                }
            }
        }
    }

    /// Takes note that the terminal sent the stop signal to this process group itself.
    pub(crate) fn told_by_terminal(&mut self, group: i32) {
        self.terminal_told = Some(group);
    }

    /// Sends `signal` to the oldest of own children: the one that goes on for a leader that has
    /// put its work into the background.
    pub(crate) fn signal_eldest(&self, signal: Signal) {
        let eldest = procfs::children(own_pid())
            .into_iter()
            .filter_map(Stat::of)
            .filter(|stat| !stat.has_ended() && !is_ours_to_stay(stat))
            .min_by_key(|stat| (stat.start_ticks, stat.pid));
        if let Some(pid) = eldest.and_then(|stat| pid_of(stat.pid)) {
            let _ = signal_own_child(pid, signal.number());
        }
    }

    /// Sends `signal` to every member, for job control.
    pub(crate) fn signal_all(&mut self, signal: Signal) {
        for member in self.custody() {
            if member.nested {
                continue;
            }
            if let Some(process) = Process::hold(member.stat.pid)
                && process.stat().start_ticks == member.stat.start_ticks
            {
                let _ = process.signal(signal.number());
            }
        }
    }
}
