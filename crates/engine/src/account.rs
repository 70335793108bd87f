//! The facts of a run, collected as they happen and told once.

use std::time::{Duration, Instant, SystemTime};

use ward_model::exit_code;
use ward_model::life::{CauseKind, Outcome};
use ward_model::report::{
    Containment, FORMAT, Failure, Listed, Output, Process, Report, Sender, Stop, Times, Usage,
};
use ward_model::signal::Signal;
use ward_model::spec::Spec;
use ward_sys::contain::cgroup::Cgroup;
use ward_sys::limits::children_usage;
use ward_sys::procfs;

use crate::tree::{Tree, Watched, round};

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Account {
    started: Instant,
    started_at: SystemTime,
    pub(crate) failure: Option<Failure>,
    stops: Vec<Stop>,
    times: Times,
    told_at: Option<Instant>,
    watched: Vec<Watched>,
    pub(crate) told_count: u64,
    ended: Listed,
    told: Listed,
    denied: Vec<Process>,
    pub(crate) killed: Listed,
    pub(crate) left_over: Listed,
    pub(crate) spared: Listed,
    pub(crate) survivors: Listed,
    pub(crate) guardian_lost: bool,
    oom_before: Option<u64>,
    oom_after: Option<u64>,
}

impl Account {
    /// An account that begins now.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            failure: None,
            stops: Vec::new(),
            times: Times::default(),
            told_at: None,
            watched: Vec::new(),
            told_count: 0,
            ended: Listed::default(),
            told: Listed::default(),
            denied: Vec::new(),
            killed: Listed::default(),
            left_over: Listed::default(),
            spared: Listed::default(),
            survivors: Listed::default(),
            guardian_lost: false,
            oom_before: None,
            oom_after: None,
        }
    }

    /// When the run began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    fn since(&self, now: Instant) -> f64 {
        round(now.saturating_duration_since(self.started))
    }

    /// Remembers how many processes the host had lost for want of memory before the run;
    /// called once the leader runs, as it is off the path there.
    pub(crate) fn note_memory(&mut self) {
        self.oom_before = procfs::oom_kills();
    }

    pub(crate) fn leader_ended(&mut self, now: Instant) {
        self.times.leader_ended = Some(self.since(now));
    }

    pub(crate) fn tree_emptied(&mut self, now: Instant) {
        self.times.tree_empty = Some(self.since(now));
    }

    pub(crate) fn output_ended(&mut self, now: Instant) {
        self.times.output_ended = Some(self.since(now));
    }

    pub(crate) fn kill_began(&mut self, now: Instant) {
        if self.times.kill_began.is_none() {
            self.times.kill_began = Some(self.since(now));
        }
    }

    pub(crate) fn stop_asked(
        &mut self,
        cause: CauseKind,
        signal: Option<Signal>,
        sender: Option<Sender>,
        now: Instant,
    ) {
        let at = self.since(now);
        if self.times.stop_asked.is_none() {
            self.times.stop_asked = Some(at);
        }
        self.stops.push(Stop {
            at,
            cause,
            signal,
            sender,
        });
    }

    /// When the last request to stop came, and by which signal.
    pub(crate) fn last_stop(&self, now: Instant) -> Option<(f64, Option<Signal>)> {
        let stop = self.stops.last()?;
        Some((self.since(now) - stop.at, stop.signal))
    }

    /// Notes who was told, and keeps watching them.
    pub(crate) fn told(
        &mut self,
        watched: Vec<Watched>,
        more: u64,
        denied: Vec<Process>,
        now: Instant,
    ) {
        self.told_at.get_or_insert(now);
        self.told_count += watched.len() as u64 + more;
        self.told.count += more;
        for one in watched {
            self.told.push(one.named.clone());
            self.watched.push(one);
        }
        self.denied.extend(denied);
    }

    /// Looks who of those that were told has ended meanwhile.
    pub(crate) fn look_at_watched(&mut self, now: Instant) {
        let Some(told_at) = self.told_at else { return };
        let took = round(now.saturating_duration_since(told_at));
        let mut index = 0;
        while index < self.watched.len() {
            if self.watched[index].process.has_ended() {
                let mut named = self.watched.swap_remove(index).named;
                if self.times.kill_began.is_none() {
                    named.ended_after = Some(took);
                    self.ended.push(named);
                }
            } else {
                index += 1;
            }
        }
    }

    /// How many ended after they had been told and before any kill, and how long the last
    /// of them took.
    pub(crate) fn cleaned_up(&self) -> (u64, f64) {
        let last = self
            .ended
            .processes
            .iter()
            .filter_map(|process| process.ended_after)
            .fold(0.0, f64::max);
        (self.ended.count, last)
    }

    /// Looks whether the kernel killed anybody for want of memory.
    pub(crate) fn look_for_oom(&mut self, cgroup: Option<&Cgroup>) -> u64 {
        if let Some(kills) = cgroup.and_then(|cgroup| cgroup.counter("memory.events", "oom_kill "))
        {
            self.oom_before = Some(0);
            self.oom_after = Some(kills);
        } else {
            self.oom_after = procfs::oom_kills();
        }
        self.oom_kills().unwrap_or(0)
    }

    fn oom_kills(&self) -> Option<u64> {
        Some(self.oom_after?.saturating_sub(self.oom_before?))
    }

    /// Closes the account.
    pub(crate) fn over(&mut self, paused: Duration, now: Instant) {
        self.look_at_watched(now);
        self.times.over = self.since(now);
        self.times.paused = round(paused);
    }

    /// The whole truth.
    pub(crate) fn report(
        &mut self,
        spec: &Spec,
        run_id: &str,
        outcome: &Outcome,
        tree: &mut Tree,
        output: Output,
    ) -> Report {
        let mut told = std::mem::take(&mut self.told);
        // Those that were too many to be watched one by one have ended before the kill, or are
        // among those that it found.
        let found = if outcome.forced { self.killed.count } else { 0 };
        let ended = self.told_count.saturating_sub(found);
        self.ended.count = self.ended.count.max(ended.min(self.told_count));
        if told.count <= told.processes.len() as u64 {
            self.ended.count = self.ended.processes.len() as u64;
        }
        for process in &self.denied {
            told.push(process.clone());
        }
        Report {
            format: FORMAT.to_owned(),
            ward: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: run_id.to_owned(),
            command: spec
                .command
                .iter()
                .map(|arg| arg.to_string_lossy().into_owned())
                .collect(),
            started_at: humantime::format_rfc3339_millis(self.started_at).to_string(),
            exit_status: exit_code::of(outcome),
            end: outcome.end,
            failure: self.failure.clone(),
            cause: outcome.cause,
            stops: self.stops.clone(),
            stopped_before_end: outcome.stopped_before_end,
            forced: outcome.forced,
            hurried: outcome.hurried,
            times: self.times.clone(),
            told,
            cleaned_up: std::mem::take(&mut self.ended),
            killed: std::mem::take(&mut self.killed),
            left_over: std::mem::take(&mut self.left_over),
            spared: std::mem::take(&mut self.spared),
            survivors: std::mem::take(&mut self.survivors),
            output,
            usage: usage(tree.cgroup.as_deref(), self.oom_kills()),
            containment: Containment {
                rung: tree.rung(),
                why_not_higher: tree.why_not_higher.clone(),
                limits_missing: tree.limits_missing.clone(),
            },
            guardian_lost: self.guardian_lost,
        }
    }
}

fn usage(cgroup: Option<&Cgroup>, oom_kills: Option<u64>) -> Usage {
    let reaped = children_usage();
    let micros = |key: &str| {
        let micros = cgroup?.counter("cpu.stat", key)?;
        Some(round(Duration::from_micros(micros)))
    };
    // The kernel adds to a cgroup's account late; what was reaped has been counted already.
    let counted = micros("user_usec ")
        .zip(micros("system_usec "))
        .filter(|(user, system)| user + system >= round(reaped.user + reaped.system));
    let (cpu_user, cpu_system) = counted.unwrap_or((round(reaped.user), round(reaped.system)));
    let io = |key| cgroup.and_then(|cgroup| cgroup.sum("io.stat", key));
    Usage {
        cpu_user,
        cpu_system,
        cpu_source: if counted.is_some() {
            "cgroup"
        } else {
            "reaped"
        }
        .to_owned(),
        largest_process_bytes: reaped.max_rss,
        memory_peak_bytes: cgroup.and_then(|cgroup| cgroup.counter("memory.peak", "")),
        read_bytes: io("rbytes=").unwrap_or(reaped.blocks_in * 512),
        written_bytes: io("wbytes=").unwrap_or(reaped.blocks_out * 512),
        oom_kills,
    }
}
