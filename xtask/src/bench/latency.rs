//! From start to exit: `true`, bare and through everyone who can run it.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::peers::{Peer, Peers, which};
use super::results::{Bound, Goal, Latency};
use super::setup::{Setup, silent};
use super::statistics::{Rounds, ratio_between};

pub(super) const BARE: &str = "bare";
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

/// A peer, its words, how often it is started in a round, and its samples in µs.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) words: Vec<OsString>,
    pub(super) starts: usize,
    pub(super) rounds: Rounds,
}

impl Series {
    /// Of a peer that runs `true`.
    pub(super) fn of(setup: &Setup, peer: &Peer) -> Result<Self> {
        Ok(Self {
            name: peer.name.clone(),
            words: running_true(peer)?,
            starts: if setup.quick { QUICK_STARTS } else { STARTS },
            rounds: Rounds::default(),
        })
    }
}

/// The words that make a peer run `true`.
pub(super) fn running_true(peer: &Peer) -> Result<Vec<OsString>> {
    let command = which("true").context("there is no `true` here")?;
    Ok(peer.words(&[command.into_os_string()]))
}

/// Tries everybody once: others who cannot run `true` are missing, with what they say; ward must.
pub(super) fn tried(peers: Peers) -> Result<Peers> {
    let mut working = Peers {
        here: Vec::new(),
        missing: peers.missing,
    };
    for peer in peers.here {
        match why_not(&running_true(&peer)?)? {
            None => working.here.push(peer),
            Some(reason) => {
                let missing = format!("{}: {reason}", peer.name);
                ensure!(!peer.name.starts_with("ward "), missing);
                working.missing.push(missing);
            }
        }
    }
    Ok(working)
}

/// Starts all of them, in turn, and times each start.
pub(super) fn sample(setup: &mut Setup, what: &str, all: &mut [Series]) -> Result<()> {
    setup.in_turn(what, setup.rounds, all, |_, series| {
        let samples = (0..series.starts)
            .map(|_| start_to_exit(&series.words))
            .collect::<Result<Vec<f64>>>()?;
        series.rounds.push(samples);
        Ok(())
    })
}

/// Their samples by name.
pub(super) fn sampled(all: &[Series]) -> Vec<(&str, &Rounds)> {
    all.iter()
        .map(|series| (series.name.as_str(), &series.rounds))
        .collect()
}

pub(super) fn measure(setup: &mut Setup) -> Result<Found> {
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

    let Peers { here, missing } = tried(peers)?;
    let mut series = here
        .iter()
        .map(|peer| Series::of(setup, peer))
        .collect::<Result<Vec<Series>>>()?;
    sample(setup, "start to exit", &mut series)?;
    let sampled = sampled(&series);
    Ok(Found {
        goals: vec![Goal {
            what: "start to exit: ward run -- true, of timeout 9 true".to_owned(),
            value: ratio_between(&sampled, WARD, TIMEOUT),
            bound: Bound::AtMost(1.0),
        }],
        rows: Latency::rows(&sampled, BARE),
        missing,
    })
}

fn wards(setup: &Setup) -> Vec<Peer> {
    let report = setup.work.join("report.json").into_os_string();
    let ward = |name, options: Vec<OsString>| {
        let words = [vec!["run".into()], options, vec!["--".into()]].concat();
        Peer::ward(name, &setup.ward, words)
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
    ensure!(status.success(), "{} failed ({status})", words[0].display());
    Ok(passed.as_secs_f64() * 1e6)
}
