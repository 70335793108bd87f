//! The report of a run: a published, versioned format (`docs/reference/report.schema.json`).
//!
//! Fields may be added within a version; they are never renamed, removed or given another
//! meaning. Durations are seconds; moments are seconds since [`Report::started_at`].

use serde::{Deserialize, Serialize};

use crate::life::{CauseKind, End};
use crate::rung::Rung;
use crate::signal::Signal;

/// The version that this ward writes.
pub const FORMAT: &str = "ward-report/1";

/// Lists longer than this are cut; the counts beside them stay exact.
pub const MAX_LISTED: usize = 256;

/// The whole truth about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// The version of ward.
    pub ward: String,
    /// The run's identity, as its processes see it in `WARD_RUN_ID`.
    pub run_id: String,
    /// The command and its arguments; bytes that are not UTF-8 are replaced.
    pub command: Vec<String>,
    /// When the leader was started, RFC 3339 in UTC.
    pub started_at: String,
    /// The exit status that ward gave.
    pub exit_status: u8,
    /// How the leader ended.
    pub end: End,
    /// Which step failed, where the leader was not started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    /// Why the tree was told to stop, the gravest reason if there were several.
    pub cause: Option<CauseKind>,
    /// Every request to stop, in order.
    pub stops: Vec<Stop>,
    /// Whether the stop was asked for while the leader still ran.
    pub stopped_before_end: bool,
    /// Whether the grace ran out, or was waived, and the tree was killed.
    pub forced: bool,
    /// Whether a second request cut the grace short.
    pub hurried: bool,
    /// When what happened.
    pub times: Times,
    /// Who was told to stop.
    pub told: Listed,
    /// Who of them ended before the kill.
    pub cleaned_up: Listed,
    /// Who was killed.
    pub killed: Listed,
    /// Who outlived the leader without having been detached.
    pub left_over: Listed,
    /// Who was detached on purpose and goes on.
    pub spared: Listed,
    /// Who could not be ended.
    pub survivors: Listed,
    /// What was relayed.
    pub output: Output,
    /// What it cost.
    pub usage: Usage,
    /// By which means the tree was held.
    pub containment: Containment,
    /// Whether the guardian was killed and the front carried on in its place.
    pub guardian_lost: bool,
}

/// A step before the command that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// What was being done.
    pub step: String,
    /// errno(3).
    pub errno: i32,
    /// What the system says of it.
    pub message: String,
}

/// One request to stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stop {
    /// When.
    pub at: f64,
    /// Why.
    pub cause: CauseKind,
    /// Which signal ward received, if one was the reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<Signal>,
    /// Who sent it, if the system told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<Sender>,
}

/// Who sent a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sender {
    /// Its process, which may have ended since.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its command line, if it was still there to ask.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<String>,
}

/// When what happened, in seconds since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Times {
    /// The leader had ended.
    pub leader_ended: Option<f64>,
    /// The first request to stop.
    pub stop_asked: Option<f64>,
    /// The kill began.
    pub kill_began: Option<f64>,
    /// Nobody was left but who was detached on purpose.
    pub tree_empty: Option<f64>,
    /// Everything that was written had been delivered.
    pub output_ended: Option<f64>,
    /// The run was over.
    pub over: f64,
    /// For how long it was stopped by job control; limits do not count that time.
    pub paused: f64,
}

/// Processes: how many, and the first [`MAX_LISTED`] of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listed {
    /// How many there were.
    pub count: u64,
    /// Who.
    pub processes: Vec<Process>,
}

impl Listed {
    /// Adds one, keeping the list within its bound and the count exact.
    pub fn push(&mut self, process: Process) {
        self.count += 1;
        if self.processes.len() < MAX_LISTED {
            self.processes.push(process);
        }
    }
}

impl Report {
    /// Cuts its lists to `listed` processes, and every command to `width` characters (the command that
    /// ran, to so many words of it). Counts stay exact.
    pub fn shorten(&mut self, listed: usize, width: usize) {
        let cut = |text: &mut String| {
            if let Some((end, _)) = text.char_indices().nth(width) {
                text.truncate(end);
                text.push('…');
            }
        };
        self.command.truncate(listed);
        self.command.iter_mut().for_each(cut);
        self.stops.truncate(listed);
        for list in [
            &mut self.told,
            &mut self.cleaned_up,
            &mut self.killed,
            &mut self.left_over,
            &mut self.spared,
            &mut self.survivors,
        ] {
            list.processes.truncate(listed);
            for process in &mut list.processes {
                cut(&mut process.command);
                process.why.iter_mut().for_each(cut);
            }
        }
    }
}

/// A process as it was when it was named.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub ppid: i32,
    /// Its user, where that could be seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// Its command line, or its name in brackets where it has none; bytes that are not
    /// UTF-8 are replaced.
    pub command: String,
    /// Its age when it was named.
    pub age: f64,
    /// Which of the run's streams it held open: `stdout`, `stderr`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub holds: Vec<String>,
    /// How long it took to end after it had been told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_after: Option<f64>,
    /// Why it was spared, or could not be told or ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// What was relayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Output {
    /// Bytes delivered to standard output. Not counted where the command has the terminal.
    pub stdout_bytes: u64,
    /// Bytes delivered to standard error.
    pub stderr_bytes: u64,
    /// Bytes that could not be delivered, because nobody read them or the disk was full.
    pub undelivered_bytes: u64,
    /// Bytes that could not be written to the log.
    pub log_lost_bytes: u64,
}

/// What the tree cost, as far as the kernel tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// CPU seconds in user mode.
    pub cpu_user: f64,
    /// CPU seconds in the kernel.
    pub cpu_system: f64,
    /// Where the CPU seconds come from: `cgroup` (the whole tree) or `reaped` (its members
    /// that have ended and were waited for).
    pub cpu_source: String,
    /// The largest resident set of any single process, in bytes (getrusage(2)).
    pub largest_process_bytes: u64,
    /// The peak of the whole tree, in bytes (`memory.peak`), where a cgroup counts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_peak_bytes: Option<u64>,
    /// Bytes read from disks (`io.stat`, else getrusage(2) blocks of 512).
    pub read_bytes: u64,
    /// Bytes written to disks.
    pub written_bytes: u64,
    /// Members that the kernel killed for want of memory, where it can be told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oom_kills: Option<u64>,
}

/// By which means the tree was held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Containment {
    /// The rung.
    pub rung: Rung,
    /// Why no higher one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why_not_higher: Option<String>,
    /// Limits that could not be had and were done without (`--best-effort`).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub limits_missing: Vec<String>,
}

/// The JSON schema of [`Report`].
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

#[cfg(test)]
mod tests {
    use super::{Listed, Process};

    #[test]
    fn lists_are_bounded_and_counts_are_exact() {
        let mut listed = Listed::default();
        for pid in 0..1000 {
            listed.push(Process {
                pid,
                ..Process::default()
            });
        }
        assert_eq!(
            (listed.count, listed.processes.len()),
            (1000, super::MAX_LISTED)
        );
    }
}
