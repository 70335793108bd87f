//! Output through ward, beside `cat` and beside nothing at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::control::Group;
use super::processes;
use super::results::{Bound, Goal, Relay};
use super::setup::{Setup, silent, wait_within};
use super::statistics::{Summary, median, ratio};

const MEGABYTE: u64 = 1_000_000;

/// Sizes of a write, and megabytes to write in one round: enough that starting does not show.
const LOADS: [(usize, u64); 3] = [(65_536, 2_048), (4_096, 1_024), (100, 64)];
const QUICK_SHARE: u64 = 4;
/// A file of more than this would measure where files are kept.
const LARGEST_FILE: u64 = 512;

/// A relay slower than this hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Where the output ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sink {
    Null,
    Pipe,
    File,
}

/// What it goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    Nothing,
    Cat,
    Ward,
}

/// Everything that is measured, once for each size of a write.
const WAYS: [(Sink, Through); 9] = [
    (Sink::Null, Through::Nothing),
    (Sink::Null, Through::Cat),
    (Sink::Null, Through::Ward),
    (Sink::Pipe, Through::Nothing),
    (Sink::Pipe, Through::Cat),
    (Sink::Pipe, Through::Ward),
    (Sink::File, Through::Nothing),
    (Sink::File, Through::Cat),
    (Sink::File, Through::Ward),
];

impl Sink {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Pipe => "pipe",
            Self::File => "file",
        }
    }
}

impl Through {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Cat => "cat",
            Self::Ward => "ward",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy)]
struct Sample {
    /// Megabytes per second.
    speed: f64,
    /// CPU seconds per gigabyte of all of it, the producer included.
    cpu: f64,
}

/// The samples of one way, one a round.
struct Series {
    sink: Sink,
    through: Through,
    samples: Vec<Sample>,
    /// Why it was given up: bytes that did not arrive, or no end.
    failed: Option<String>,
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Relay>,
    pub(super) goals: Vec<Goal>,
    pub(super) missing: Vec<String>,
}

pub(super) fn measure(setup: &mut Setup) -> Result<Found> {
    let mut found = Found::default();
    for (block, megabytes) in LOADS {
        let megabytes = if setup.quick {
            megabytes / QUICK_SHARE
        } else {
            megabytes
        };
        let mut all: Vec<Series> = WAYS
            .iter()
            .map(|(sink, through)| Series {
                sink: *sink,
                through: *through,
                samples: Vec::new(),
                failed: None,
            })
            .collect();
        let what = format!("relay of {block} B writes");
        setup.in_turn(&what, setup.rounds, &mut all, |setup, series| {
            if series.failed.is_some() {
                return Ok(());
            }
            let (passage, group) = relayed(setup, series, block, megabytes)?;
            setup.clean(group)?;
            match passage.and_then(|passage| arrived(setup, series.sink, &passage)) {
                Ok(sample) => series.samples.push(sample),
                Err(error) => series.failed = Some(format!("{error:#}")),
            }
            Ok(())
        })?;
        judge(&all, block, &mut found);
    }
    Ok(found)
}

/// What is known of bytes on their way: how many, and how long they took.
struct Passage {
    bytes: u64,
    seconds: f64,
    cpu: f64,
}

/// Writes once, through `series.through` into `series.sink`. What it came to, and the control
/// group that has to be cleaned.
fn relayed(
    setup: &Setup,
    series: &Series,
    block: usize,
    megabytes: u64,
) -> Result<(Result<Passage>, Option<Group>)> {
    let megabytes = match series.sink {
        Sink::File => megabytes.min(LARGEST_FILE),
        Sink::Null | Sink::Pipe => megabytes,
    };
    let bytes = megabytes * MEGABYTE;
    let cpu_before = processes::cpu_of_reaped().context("reading CPU time")?;
    let (running, group) =
        setup.in_own_group(|| Pipeline::start(setup, series.sink, series.through, block, bytes))?;
    let passage = running.wait().and_then(|seconds| {
        Ok(Passage {
            bytes,
            seconds,
            cpu: cpu(group.as_ref(), cpu_before)?,
        })
    });
    Ok((passage, group))
}

/// A file must hold what was written (a drain counts for itself); then it is a sample.
fn arrived(setup: &Setup, sink: Sink, passage: &Passage) -> Result<Sample> {
    if sink == Sink::File {
        let file = output(setup);
        let held = fs::metadata(&file).context("looking at the output")?.len();
        ensure!(
            held == passage.bytes,
            "{held} of {} bytes arrived",
            passage.bytes
        );
        fs::remove_file(&file).context("removing the output")?;
    }
    let megabytes = passage.bytes as f64 / MEGABYTE as f64;
    Ok(Sample {
        speed: megabytes / passage.seconds,
        cpu: passage.cpu / (megabytes / 1000.0),
    })
}

/// The file that a relay writes to.
fn output(setup: &Setup) -> PathBuf {
    setup.work.join("output")
}

/// CPU seconds of what just ran: exactly from its group, roughly where there is none.
fn cpu(group: Option<&Group>, reaped_before: Duration) -> Result<f64> {
    let used = match group {
        Some(group) => group.cpu().context("reading the CPU time of a group")?,
        None => {
            let reaped = processes::cpu_of_reaped().context("reading CPU time")?;
            reaped.saturating_sub(reaped_before)
        }
    };
    Ok(used.as_secs_f64())
}

/// Processes joined by pipes.
struct Pipeline {
    children: Vec<Child>,
    started: Instant,
}

impl Pipeline {
    fn start(
        setup: &Setup,
        sink: Sink,
        through: Through,
        block: usize,
        bytes: u64,
    ) -> Result<Self> {
        let produce: Vec<OsString> = vec![
            setup.load.clone().into(),
            "produce".into(),
            bytes.to_string().into(),
            block.to_string().into(),
        ];
        let mut commands = match through {
            Through::Nothing => vec![silent(&produce)],
            Through::Cat => vec![silent(&produce), silent(&["cat".into()])],
            Through::Ward => {
                let mut words: Vec<OsString> =
                    vec![setup.ward.clone().into(), "run".into(), "--".into()];
                words.extend(produce);
                vec![silent(&words)]
            }
        };
        if sink == Sink::Pipe {
            let drain = [
                setup.load.clone().into(),
                "drain".into(),
                bytes.to_string().into(),
            ];
            commands.push(silent(&drain));
        }
        if sink == Sink::File {
            let last = commands.last_mut().context("nothing to start")?;
            last.stdout(File::create(output(setup)).context("making the output")?);
        }
        Self::join(commands)
    }

    fn join(commands: Vec<Command>) -> Result<Self> {
        let last = commands.len().saturating_sub(1);
        let started = Instant::now();
        let mut children: Vec<Child> = Vec::new();
        for (at, mut command) in commands.into_iter().enumerate() {
            if let Some(before) = children.last_mut().and_then(|child| child.stdout.take()) {
                command.stdin(before);
            }
            if at < last {
                command.stdout(Stdio::piped());
            }
            command.stderr(Stdio::inherit());
            children.push(command.spawn().context("starting a pipeline")?);
        }
        Ok(Self { children, started })
    }

    /// Seconds until all have ended well.
    fn wait(mut self) -> Result<f64> {
        for child in &mut self.children {
            match wait_within(child, LIMIT)? {
                None => bail!("it hangs"),
                Some(status) => ensure!(status.success(), "a part failed ({status})"),
            }
        }
        Ok(self.started.elapsed().as_secs_f64())
    }
}

/// Rows and goals of all ways with one size of a write.
fn judge(all: &[Series], block: usize, found: &mut Found) {
    let of = |sink, through| {
        all.iter()
            .find(|series| series.sink == sink && series.through == through)
            .map_or(&[][..], |series| &series.samples)
    };
    let speeds =
        |samples: &[Sample]| -> Vec<f64> { samples.iter().map(|sample| sample.speed).collect() };
    let alone = of(Sink::Null, Through::Nothing);

    for series in all {
        let speed = speeds(&series.samples);
        let of_cat = ratio(&speed, &speeds(of(series.sink, Through::Cat)));
        let added: Vec<f64> = series
            .samples
            .iter()
            .zip(alone)
            .map(|(sample, alone)| (sample.cpu - alone.cpu).max(0.0))
            .collect();
        if let Some(megabytes_per_second) = Summary::of(&speed) {
            found.rows.push(Relay {
                block,
                sink: series.sink.name(),
                through: series.through.name(),
                megabytes_per_second,
                cpu_per_gigabyte: median(&added),
                of_cat,
            });
        }
        if let Some(reason) = &series.failed {
            found.missing.push(format!(
                "relay of {block} B writes to {} through {}: {reason}",
                series.sink.name(),
                series.through.name()
            ));
        }
        if series.through == Through::Ward {
            found.goals.push(Goal {
                what: format!(
                    "relay of {block} B writes to {}, of cat",
                    series.sink.name()
                ),
                // What does not arrive has no speed.
                value: series.failed.as_ref().map_or(of_cat, |_| Some(0.0)),
                bound: Bound::AtLeast(0.9),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(sink: Sink, through: Through, samples: &[(f64, f64)]) -> Series {
        Series {
            sink,
            through,
            samples: samples
                .iter()
                .map(|(speed, cpu)| Sample {
                    speed: *speed,
                    cpu: *cpu,
                })
                .collect(),
            failed: None,
        }
    }

    #[test]
    fn throughput_is_held_against_cat_and_cpu_against_the_producer_alone() {
        let all = [
            series(
                Sink::Null,
                Through::Nothing,
                &[(9000.0, 0.1), (9000.0, 0.1)],
            ),
            series(Sink::Null, Through::Cat, &[(1000.0, 0.6), (2000.0, 0.6)]),
            series(Sink::Null, Through::Ward, &[(500.0, 0.4), (1000.0, 0.4)]),
        ];
        let mut found = Found::default();
        judge(&all, 4096, &mut found);
        let ward = &found.rows[2];
        assert_eq!(ward.of_cat, Some(0.5));
        assert_eq!(ward.megabytes_per_second.p50, 750.0);
        let added = ward.cpu_per_gigabyte.unwrap();
        assert!((added - 0.3).abs() < 1e-9, "{added}");
        assert_eq!(found.goals.len(), 1);
        assert_eq!(found.goals[0].value, Some(0.5));
    }

    #[test]
    fn a_relay_that_loses_or_hangs_fails_its_goal_and_is_named() {
        let mut broken = series(Sink::Pipe, Through::Ward, &[(5000.0, 0.1)]);
        broken.failed = Some("it hangs".to_owned());
        let mut found = Found::default();
        judge(
            &[series(Sink::Pipe, Through::Cat, &[(1000.0, 0.6)]), broken],
            100,
            &mut found,
        );
        assert_eq!(found.goals[0].value, Some(0.0));
        assert_eq!(
            found.missing,
            ["relay of 100 B writes to pipe through ward: it hangs"]
        );
    }
}
