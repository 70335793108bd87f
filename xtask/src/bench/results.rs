//! What a run found: tables for people, the same figures for programs, and the goals.

use serde::Serialize;

use super::setup::CALM;
use super::statistics::{Sampled, Summary, ratio_between};
use super::supervise::{Side, side_table};
use super::table::{Table, figure};

/// All that a run found.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) latency: Vec<Latency>,
    /// From the call to a daemon that runs.
    pub(super) spawned: Vec<Latency>,
    /// From the call to its return.
    pub(super) returned: Vec<Latency>,
    /// `true` under a lock that is free.
    pub(super) locked: Vec<Latency>,
    /// Commands that want one lock.
    pub(super) contended: Vec<Contended>,
    /// Programs that want one lock, and have nothing to do under it.
    pub(super) in_process: Vec<Contended>,
    pub(super) relay: Vec<Relay>,
    pub(super) stop: Vec<Stop>,
    pub(super) memory: Vec<Memory>,
    /// Supervisors with their programs.
    pub(super) supervised: Vec<Side>,
    /// Of build servers.
    pub(super) built: Vec<Built>,
    pub(super) goals: Vec<Goal>,
    /// What could not be measured here, and why.
    pub(super) missing: Vec<String>,
}

/// Where it was measured; absolute figures mean nothing elsewhere.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) processors: usize,
    pub(super) kernel: String,
    pub(super) rounds: u32,
    /// The share of the processors that others used just before.
    pub(super) busy_before: Option<f64>,
}

/// A time through one wrapper.
#[derive(Serialize)]
pub(super) struct Latency {
    pub(super) name: String,
    pub(super) microseconds: Summary,
    /// Of the first of its kind (the bare command, the plainest peer), within each round.
    pub(super) of_bare: Option<f64>,
}

impl Latency {
    /// A row for each of `all`, fastest first, beside the one of them that is called `first`.
    pub(super) fn rows(all: &Sampled, first: &str) -> Vec<Self> {
        let mut rows: Vec<Self> = all
            .iter()
            .filter_map(|(name, rounds)| {
                Some(Self {
                    name: (*name).to_owned(),
                    microseconds: rounds.summary()?,
                    of_bare: ratio_between(all, name, first),
                })
            })
            .collect();
        rows.sort_by(|a, b| a.microseconds.p50.total_cmp(&b.microseconds.p50));
        rows
    }
}

/// Several who take turns at one lock.
#[derive(Serialize)]
pub(super) struct Contended {
    pub(super) contenders: usize,
    pub(super) name: String,
    /// Turns of all of them.
    pub(super) per_second: Summary,
    /// Of as many through flock, within each round.
    pub(super) of_flock: Option<f64>,
    /// The turns in a round of who had the fewest, and of who had the most.
    pub(super) fewest: f64,
    pub(super) most: f64,
}

impl Contended {
    /// How long one turn takes.
    pub(super) fn microseconds(&self) -> f64 {
        1e6 / self.per_second.p50
    }
}

/// A producer's output through something into something.
#[derive(Serialize)]
pub(super) struct Relay {
    pub(super) block: usize,
    /// Where the output ends: `null`, `pipe`, `file`.
    pub(super) sink: &'static str,
    /// What it goes through: `nothing`, `cat`, `ward`.
    pub(super) through: &'static str,
    pub(super) megabytes_per_second: Summary,
    /// CPU time of all but the producer, seconds per gigabyte.
    pub(super) cpu_per_gigabyte: Option<f64>,
    /// Throughput of that of `cat`, within each round.
    pub(super) of_cat: Option<f64>,
}

/// From the stop signal until whoever got it is gone.
#[derive(Serialize)]
pub(super) struct Stop {
    pub(super) size: u64,
    pub(super) name: String,
    pub(super) milliseconds: Summary,
    /// Of the kernel's own mechanism, within each round.
    pub(super) of_kernel: Option<f64>,
    /// The most processes of the tree that were left in any round.
    pub(super) survivors: usize,
    /// In how many rounds whoever got the signal did not end by itself.
    pub(super) hung: usize,
}

/// What a wrapper's own processes hold while a command runs.
#[derive(Serialize)]
pub(super) struct Memory {
    pub(super) wrapper: String,
    pub(super) process: String,
    pub(super) resident_kib: f64,
    pub(super) proportional_kib: f64,
}

/// A figure of a build server.
#[derive(Serialize)]
pub(super) struct Built {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) by: &'static str,
    pub(super) figures: Summary,
    /// Of ward's, within each round, where it is measured of several.
    pub(super) of_ward: Option<f64>,
}

/// Something to reach.
#[derive(Clone, Serialize)]
pub(super) struct Goal {
    pub(super) what: String,
    pub(super) value: Option<f64>,
    pub(super) bound: Bound,
}

/// Which side of a limit is good.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Below(limit) => value < limit,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::AtLeast(limit) => format!("≥ {limit}"),
            Self::Below(limit) => format!("< {limit}"),
        }
    }
}

impl Goal {
    fn verdict(&self) -> &'static str {
        match self.value {
            None => "not measured",
            Some(value) if self.bound.holds(value) => "PASS",
            Some(_) => "FAIL",
        }
    }
}

fn latency_table(title: &str, of: &str, rows: &[Latency]) -> Option<String> {
    let mut table = Table::new(title, &["through", "p10", "p50", "p90", of]);
    for row in rows {
        table.row(vec![
            row.name.clone(),
            format!("{:.0}", row.microseconds.p10),
            format!("{:.0}", row.microseconds.p50),
            format!("{:.0}", row.microseconds.p90),
            figure(row.of_bare),
        ]);
    }
    (!rows.is_empty()).then(|| table.text())
}

fn contended_table(title: &str, rows: &[Contended]) -> Option<String> {
    let heads = [
        "contenders, through",
        "p10",
        "p50",
        "p90",
        "µs each",
        "× flock",
        "turns of each",
    ];
    let mut table = Table::new(title, &heads);
    for row in rows {
        table.row(vec![
            format!("{} {}", row.contenders, row.name),
            figure(Some(row.per_second.p10)),
            figure(Some(row.per_second.p50)),
            figure(Some(row.per_second.p90)),
            figure(Some(row.microseconds())),
            figure(row.of_flock),
            format!("{:.0}..{:.0}", row.fewest, row.most),
        ]);
    }
    (!rows.is_empty()).then(|| table.text())
}

impl Results {
    /// Nothing found yet.
    pub(super) fn of(machine: Machine) -> Self {
        Self {
            machine,
            latency: Vec::new(),
            spawned: Vec::new(),
            returned: Vec::new(),
            locked: Vec::new(),
            contended: Vec::new(),
            in_process: Vec::new(),
            relay: Vec::new(),
            stop: Vec::new(),
            memory: Vec::new(),
            supervised: Vec::new(),
            built: Vec::new(),
            goals: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The compact text.
    pub(super) fn text(&self) -> String {
        let machine = &self.machine;
        let mut parts = vec![format!(
            "{} processors, Linux {}, {} rounds; {}",
            machine.processors,
            machine.kernel,
            machine.rounds,
            calm(machine.busy_before)
        )];
        parts.extend(latency_table(
            "START TO EXIT of `true`, µs",
            "× bare",
            &self.latency,
        ));
        parts.extend(latency_table(
            "CALL TO A DAEMON THAT RUNS, µs",
            "× daemonize",
            &self.spawned,
        ));
        parts.extend(latency_table(
            "CALL TO ITS RETURN, µs (only ward waits until the daemon runs)",
            "× daemonize",
            &self.returned,
        ));
        parts.extend(latency_table(
            "START TO EXIT of `true` under a lock that is free, µs",
            "× flock",
            &self.locked,
        ));
        parts.extend(contended_table(
            "ONE LOCK, WANTED BY SEVERAL who run `true` under it, turns per second",
            &self.contended,
        ));
        parts.extend(contended_table(
            "ONE LOCK, IN PROCESS, locked and unlocked by several at once, turns per second",
            &self.in_process,
        ));
        parts.extend(self.relay_table());
        parts.extend(self.stop_table());
        parts.extend(self.memory_table());
        parts.extend(self.supervised.iter().map(side_table));
        parts.extend(self.built_table());
        parts.push(self.goal_table());
        if !self.missing.is_empty() {
            parts.push(format!("NOT MEASURED\n  {}", self.missing.join("\n  ")));
        }
        parts.join("\n\n")
    }

    fn built_table(&self) -> Option<String> {
        let mut table = Table::new("BUILDS", &["what, by", "p10", "p50", "p90", "× ward"]);
        for row in &self.built {
            table.row(vec![
                format!("{}, {}: {}", row.what, row.unit, row.by),
                figure(Some(row.figures.p10)),
                figure(Some(row.figures.p50)),
                figure(Some(row.figures.p90)),
                figure(row.of_ward),
            ]);
        }
        (!self.built.is_empty()).then(|| table.text())
    }

    fn relay_table(&self) -> Option<String> {
        let mut table = Table::new(
            "RELAY, MB/s, and CPU seconds per GB without the producer's own",
            &[
                "writes to, through",
                "p10",
                "p50",
                "p90",
                "× cat",
                "CPU s/GB",
            ],
        );
        for row in &self.relay {
            table.row(vec![
                format!("{} B {}, {}", row.block, row.sink, row.through),
                format!("{:.0}", row.megabytes_per_second.p10),
                format!("{:.0}", row.megabytes_per_second.p50),
                format!("{:.0}", row.megabytes_per_second.p90),
                figure(row.of_cat),
                figure(row.cpu_per_gigabyte),
            ]);
        }
        (!self.relay.is_empty()).then(|| table.text())
    }

    fn stop_table(&self) -> Option<String> {
        let mut table = Table::new(
            "STOP of a tree of mixed escapes, ms from SIGTERM until gone",
            &[
                "processes, by",
                "p10",
                "p50",
                "p90",
                "× kernel",
                "survivors",
                "hung",
            ],
        );
        for row in &self.stop {
            table.row(vec![
                format!("{} {}", row.size, row.name),
                figure(Some(row.milliseconds.p10)),
                figure(Some(row.milliseconds.p50)),
                figure(Some(row.milliseconds.p90)),
                figure(row.of_kernel),
                row.survivors.to_string(),
                row.hung.to_string(),
            ]);
        }
        (!self.stop.is_empty()).then(|| table.text())
    }

    fn memory_table(&self) -> Option<String> {
        let mut table = Table::new(
            "MEMORY while `sleep` runs, KiB",
            &["wrapper, process", "Rss", "Pss"],
        );
        for row in &self.memory {
            table.row(vec![
                format!("{}, {}", row.wrapper, row.process),
                format!("{:.0}", row.resident_kib),
                format!("{:.0}", row.proportional_kib),
            ]);
        }
        (!self.memory.is_empty()).then(|| table.text())
    }

    fn goal_table(&self) -> String {
        let mut table = Table::new("GOALS", &["what", "is", "should be", ""]);
        for goal in &self.goals {
            table.row(vec![
                goal.what.clone(),
                figure(goal.value),
                goal.bound.text(),
                goal.verdict().to_owned(),
            ]);
        }
        table.text()
    }
}

/// How far the figures can be trusted.
fn calm(busy: Option<f64>) -> String {
    match busy {
        None => "how busy it was before is not known".to_owned(),
        Some(busy) if busy > CALM => format!(
            "{:.0} % busy with other work before: NOT CALM, measure again",
            busy * 100.0
        ),
        Some(busy) => format!("{:.0} % busy with other work before", busy * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::statistics::Rounds;
    use super::*;

    #[test]
    fn rows_come_fastest_first_with_their_ratio_to_the_plainest() {
        let mut both = [Rounds::default(), Rounds::default()];
        for (slow, bare) in [(40.0, 10.0), (80.0, 20.0)] {
            both[0].push(vec![slow]);
            both[1].push(vec![bare]);
        }
        let rows = Latency::rows(&[("slow", &both[0]), ("bare", &both[1])], "bare");
        assert_eq!(rows[0].name, "bare");
        assert_eq!(rows[1].of_bare, Some(4.0));
    }

    #[test]
    fn a_goal_is_passed_failed_or_not_measured() {
        for (value, bound, verdict) in [
            (Some(1.0), Bound::AtMost(1.0), "PASS"),
            (Some(1.01), Bound::AtMost(1.0), "FAIL"),
            (Some(0.9), Bound::AtLeast(0.9), "PASS"),
            (Some(0.89), Bound::AtLeast(0.9), "FAIL"),
            (Some(4.0), Bound::Below(4.0), "FAIL"),
            (Some(3.99), Bound::Below(4.0), "PASS"),
            (None, Bound::Below(4.0), "not measured"),
        ] {
            let goal = Goal {
                what: String::new(),
                value,
                bound,
            };
            assert_eq!(goal.verdict(), verdict, "{value:?} {}", bound.text());
        }
    }
}
