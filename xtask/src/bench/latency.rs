//! From start to exit: `true`, bare and through everyone who can run it.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};

use super::peers::{Peer, Peers, which};
use super::results::{Bound, Goal, Latency};
use super::setup::{Setup, silent};
use super::statistics::{Summary, median, ratio};

const BARE: &str = "bare";
const TIMEOUT: &str = "timeout 9";
const WARD: &str = "ward run --";

/// Starts in one round, of each.
const STARTS: usize = 40;
const QUICK_STARTS: usize = 20;

/// What was found: rows, the goal, and who could not be measured.
pub(super) struct Found {
    pub(super) rows: Vec<Latency>,
    pub(super) goals: Vec<Goal>,
    pub(super) missing: Vec<String>,
}

/// A peer, its words, and its samples in µs, round by round.
struct Series {
    name: String,
    words: Vec<OsString>,
    rounds: Vec<Vec<f64>>,
}

impl Series {
    fn medians(&self) -> Vec<f64> {
        self.rounds
            .iter()
            .filter_map(|round| median(round))
            .collect()
    }
}

pub(super) fn measure(setup: &mut Setup) -> Result<Found> {
    let command = vec![
        which("true")
            .context("there is no `true` here")?
            .into_os_string(),
    ];
    let mut peers = Peers::find(&[
        ("sh -c true", &["sh", "-c", ""]),
        ("sh -c 'true; :'", &["sh", "-c", "; :"]),
        ("env", &["env"]),
        ("nohup", &["nohup"]),
        ("setsid -w", &["setsid", "-w"]),
        (TIMEOUT, &["timeout", "9"]),
        ("tini -s --", &["tini", "-s", "--"]),
        ("dumb-init", &["dumb-init"]),
    ]);
    peers.here.insert(0, Peer::new(BARE, Vec::new()));
    peers.here.extend(wards(setup));

    let mut missing = peers.missing;
    let mut series = Vec::new();
    for peer in &peers.here {
        let words = peer.words(&command);
        match why_not(&words)? {
            None => series.push(Series {
                name: peer.name.clone(),
                words,
                rounds: Vec::new(),
            }),
            Some(reason) => missing.push(format!("{}: {reason}", peer.name)),
        }
    }

    setup.wait_for_calm();
    let starts = if setup.quick { QUICK_STARTS } else { STARTS };
    for round in 0..setup.rounds {
        setup.progress(&format!(
            "start to exit: round {} of {}",
            round + 1,
            setup.rounds
        ));
        for at in setup.shuffle.order(series.len()) {
            let samples = (0..starts)
                .map(|_| start_to_exit(&series[at].words))
                .collect::<Result<Vec<f64>>>()?;
            series[at].rounds.push(samples);
        }
    }
    Ok(Found {
        goals: vec![goal(&series)],
        rows: rows(&series),
        missing,
    })
}

fn wards(setup: &Setup) -> Vec<Peer> {
    let report = setup.work.join("report.json").into_os_string();
    let ward = |name: &str, options: Vec<OsString>| {
        let mut prefix = vec![setup.ward.clone().into_os_string(), "run".into()];
        prefix.extend(options);
        prefix.push("--".into());
        Peer::new(name, prefix)
    };
    vec![
        ward(WARD, Vec::new()),
        ward(
            "ward run --containment guardian --",
            vec!["--containment".into(), "guardian".into()],
        ),
        ward(
            "ward run -q --report FILE --",
            vec!["-q".into(), "--report".into(), report],
        ),
    ]
}

/// Why these words cannot be measured, by what they say when tried.
fn why_not(words: &[OsString]) -> Result<Option<String>> {
    let output = silent(words)
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("starting {}", words[0].display()))?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or("nothing said");
    Ok(Some(format!("{} ({last})", output.status)))
}

/// Microseconds from before the start until it is reaped.
fn start_to_exit(words: &[OsString]) -> Result<f64> {
    let mut command = silent(words);
    let started = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("starting {}", words[0].display()))?;
    let passed = started.elapsed();
    anyhow::ensure!(status.success(), "{} failed ({status})", words[0].display());
    Ok(passed.as_secs_f64() * 1e6)
}

fn rows(series: &[Series]) -> Vec<Latency> {
    let bare = series
        .iter()
        .find(|series| series.name == BARE)
        .map(Series::medians)
        .unwrap_or_default();
    let mut rows: Vec<Latency> = series
        .iter()
        .filter_map(|series| {
            Some(Latency {
                name: series.name.clone(),
                microseconds: Summary::of(&series.rounds.concat())?,
                of_bare: ratio(&series.medians(), &bare),
            })
        })
        .collect();
    rows.sort_by(|a, b| a.microseconds.p50.total_cmp(&b.microseconds.p50));
    rows
}

fn goal(series: &[Series]) -> Goal {
    let of = |name: &str| {
        series
            .iter()
            .find(|series| series.name == name)
            .map(Series::medians)
            .unwrap_or_default()
    };
    Goal {
        what: "start to exit: ward run -- true, of timeout 9 true".to_owned(),
        value: ratio(&of(WARD), &of(TIMEOUT)),
        bound: Bound::AtMost(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, rounds: &[&[f64]]) -> Series {
        Series {
            name: name.to_owned(),
            words: Vec::new(),
            rounds: rounds.iter().map(|round| round.to_vec()).collect(),
        }
    }

    #[test]
    fn rows_come_fastest_first_with_their_ratio_to_the_bare_command() {
        let rows = rows(&[
            series("slow", &[&[40.0], &[80.0]]),
            series(BARE, &[&[10.0], &[20.0]]),
        ]);
        assert_eq!(rows[0].name, BARE);
        assert_eq!(rows[1].of_bare, Some(4.0));
    }

    #[test]
    fn the_goal_is_not_measured_without_its_peer() {
        let ward = series(WARD, &[&[10.0]]);
        let timeout = series(TIMEOUT, &[&[20.0]]);
        assert_eq!(goal(&[ward]).value, None);
        assert_eq!(goal(&[series(WARD, &[&[10.0]]), timeout]).value, Some(0.5));
    }
}
