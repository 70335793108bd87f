//! Several at one lock: how often it goes from one to the next, and whether each gets his turns.
//!
//! Everybody who contends is a process that takes its turns one after the other until the time
//! is over: it starts a command under the lock, or, in process, locks and unlocks.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::latency::{BARE, running_true, tried};
use super::super::peers::Peer;
use super::super::results::{Bound, Contended, Goal};
use super::super::setup::{Setup, silent, wait_within};
use super::super::statistics::{Rounds, Summary, median, ratio_between};
use super::rivals::{FLOCK, LCKDO, SEM, WARD, WARD_EXEC, on_this_host};

const COMMANDS: [usize; 3] = [2, 8, 64];
/// It asks again and again instead of waiting; more of them would take longer than all the others
/// together.
const MOST_OF_SEM: usize = 8;
/// How long they take turns, in one round.
const SPAN: Duration = Duration::from_millis(2_000);
const QUICK_SPAN: Duration = Duration::from_millis(500);

/// One alone has nobody to hand it to: what that takes is the price of the lock itself.
const IN_PROCESS: [usize; 3] = [1, 8, 64];
const SPAN_IN_PROCESS: Duration = Duration::from_millis(500);
const QUICK_SPAN_IN_PROCESS: Duration = Duration::from_millis(200);
/// As flock(2), by a file that stays open; and by one that is opened in each turn.
const CRATE: &str = "ward-lock";
const OPENED_CRATE: &str = "ward-lock, file opened";
const CALL: &str = "flock(2)";
const OPENED_CALL: &str = "open, flock(2), close";

/// How long whoever waits when the time is over may take to get and to end his last turn.
const LAST_TURNS: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(in super::super) struct Found {
    pub(in super::super) rows: Vec<Contended>,
    pub(in super::super) goals: Vec<Goal>,
    pub(in super::super) missing: Vec<String>,
}

/// So many at one lock, in the same way.
struct Series {
    contenders: usize,
    name: String,
    /// What each does in his turn, as the load knows it.
    turn: Vec<OsString>,
    per_second: Rounds,
    /// Of who had the fewest turns, and of who had the most, round by round.
    fewest: Vec<f64>,
    most: Vec<f64>,
}

impl Series {
    fn new(contenders: usize, name: &str, turn: Vec<OsString>) -> Self {
        Self {
            contenders,
            name: name.to_owned(),
            turn,
            per_second: Rounds::default(),
            fewest: Vec::new(),
            most: Vec::new(),
        }
    }
}

/// Commands that want one lock.
pub(in super::super) fn commands(setup: &mut Setup) -> Result<Found> {
    // Those that are missing were named with the others.
    let mut peers = tried(on_this_host(setup)?)?.here;
    peers.push(Peer::new(BARE, Vec::new()));
    // It does not wait for its turn.
    peers.retain(|peer| peer.name != LCKDO);
    let mut all = Vec::new();
    let mut missing = Vec::new();
    for contenders in COMMANDS {
        for peer in &peers {
            if peer.name == SEM && contenders > MOST_OF_SEM {
                missing.push(format!(
                    "{contenders} contenders at {SEM}: left out, it polls"
                ));
                continue;
            }
            let turn = [vec!["command".into()], running_true(peer)?].concat();
            all.push(Series::new(contenders, &peer.name, turn));
        }
    }
    let span = if setup.quick { QUICK_SPAN } else { SPAN };
    take_turns(setup, "commands that want one lock", span, &mut all)?;
    let goals = COMMANDS.into_iter().flat_map(|contenders| {
        let sampled = sampled(&all, contenders);
        [WARD, WARD_EXEC].map(|name| Goal {
            what: format!("turns with {contenders} contenders: {name}, of flock"),
            value: ratio_between(&sampled, name, FLOCK),
            bound: Bound::AtLeast(1.1),
        })
    });
    let goals = goals.collect();
    Ok(Found {
        rows: rows(&all, FLOCK),
        goals,
        missing,
    })
}

/// Programs that want one lock.
pub(in super::super) fn in_process(setup: &mut Setup) -> Result<Found> {
    let directory = setup.work.join("locks");
    fs::create_dir_all(&directory).context("making a directory for locks")?;
    let file = directory.with_file_name("lock-of-flock").into_os_string();
    let mut all = Vec::new();
    for contenders in IN_PROCESS {
        for (name, how, place) in [
            (CRATE, "ward-turns", directory.as_os_str()),
            (OPENED_CRATE, "ward", directory.as_os_str()),
            (CALL, "flock", &file),
            (OPENED_CALL, "open-flock", &file),
        ] {
            let turn = vec![how.into(), place.to_owned()];
            all.push(Series::new(contenders, name, turn));
        }
    }
    let span = if setup.quick {
        QUICK_SPAN_IN_PROCESS
    } else {
        SPAN_IN_PROCESS
    };
    take_turns(setup, "programs that want one lock", span, &mut all)?;
    let rows = rows(&all, CALL);
    let goals = IN_PROCESS.map(|contenders| Goal {
        what: match contenders {
            1 => "lock and unlock in process, µs".to_owned(),
            more => format!("lock and unlock in process, {more} contenders, µs each"),
        },
        value: rows
            .iter()
            .find(|row| row.contenders == contenders && row.name == CRATE)
            .map(Contended::microseconds),
        bound: Bound::AtMost(if contenders == 1 { 10.0 } else { 40.0 }),
    });
    Ok(Found {
        rows,
        goals: goals.into(),
        missing: Vec::new(),
    })
}

fn take_turns(setup: &mut Setup, what: &str, span: Duration, all: &mut [Series]) -> Result<()> {
    setup.in_turn(what, setup.rounds, all, |setup, series| {
        let round = one_round(setup, series, span)
            .with_context(|| format!("{} at {}", series.contenders, series.name))?;
        series.per_second.push(vec![round.per_second()]);
        let turns = || round.0.iter().map(|(turns, _)| *turns);
        series.fewest.push(turns().min().unwrap_or(0) as f64);
        series.most.push(turns().max().unwrap_or(0) as f64);
        Ok(())
    })
}

fn one_round(setup: &Setup, series: &Series, span: Duration) -> Result<Round> {
    let words = [
        vec![
            setup.load.clone().into_os_string(),
            span.as_millis().to_string().into(),
        ],
        series.turn.clone(),
    ]
    .concat();
    let (gate, opener) = io::pipe().context("making a pipe")?;
    let (started, group) = setup.in_own_group(|| {
        Ok((0..series.contenders)
            .map(|_| Contender::start(&words, &gate))
            .collect::<Result<Vec<Contender>>>())
    })?;
    let round = started.and_then(|mut contenders| {
        for contender in &mut contenders {
            contender.expect_ready()?;
        }
        // All of them wait for the end of the pipe, and so begin at once.
        drop(opener);
        contenders
            .into_iter()
            .map(|contender| contender.finish(span + LAST_TURNS))
            .collect::<Result<Vec<(u64, f64)>>>()
    });
    setup.clean(group)?;
    Ok(Round(round?))
}

/// What each came to in one round: turns, and the seconds until his last one was over.
struct Round(Vec<(u64, f64)>);

impl Round {
    /// Turns of all, in the time until all were over.
    fn per_second(&self) -> f64 {
        let turns: u64 = self.0.iter().map(|(turns, _)| turns).sum();
        let seconds = self.0.iter().map(|(_, seconds)| *seconds);
        turns as f64 / seconds.fold(f64::MIN_POSITIVE, f64::max)
    }
}

/// A process that takes turns.
struct Contender {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Contender {
    fn start(words: &[OsString], gate: &PipeReader) -> Result<Self> {
        let mut child = silent(words)
            .stdin(gate.try_clone().context("copying a pipe")?)
            .stdout(Stdio::piped())
            // Why it fails is said by itself.
            .stderr(Stdio::inherit())
            .spawn()
            .context("starting a contender")?;
        let says = child.stdout.take().context("a contender without a voice")?;
        Ok(Self {
            child,
            says: BufReader::new(says),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.says
            .read_line(&mut line)
            .context("listening to a contender")?;
        Ok(line.trim_end().to_owned())
    }

    fn expect_ready(&mut self) -> Result<()> {
        let line = self.line()?;
        ensure!(line == "ready", "a contender is not ready: `{line}`");
        Ok(())
    }

    /// Its turns, and the seconds that they took.
    fn finish(mut self, limit: Duration) -> Result<(u64, f64)> {
        let status = wait_within(&mut self.child, limit)?.context("a contender hangs")?;
        ensure!(status.success(), "a contender failed ({status})");
        let line = self.line()?;
        parse(&line).with_context(|| format!("a contender said `{line}`"))
    }
}

/// `TURNS NANOSECONDS`
fn parse(line: &str) -> Option<(u64, f64)> {
    let (turns, nanoseconds) = line.split_once(' ')?;
    let nanoseconds: u64 = nanoseconds.parse().ok()?;
    Some((turns.parse().ok()?, nanoseconds as f64 / 1e9))
}

fn sampled(all: &[Series], contenders: usize) -> Vec<(&str, &Rounds)> {
    all.iter()
        .filter(|series| series.contenders == contenders)
        .map(|series| (series.name.as_str(), &series.per_second))
        .collect()
}

/// Fewest contenders first, and among as many, most turns first; each beside `peer`.
fn rows(all: &[Series], peer: &str) -> Vec<Contended> {
    let mut rows: Vec<Contended> = all
        .iter()
        .filter_map(|series| {
            let per_second: Summary = series.per_second.summary()?;
            let alike = sampled(all, series.contenders);
            Some(Contended {
                contenders: series.contenders,
                name: series.name.clone(),
                per_second,
                of_flock: ratio_between(&alike, &series.name, peer),
                fewest: median(&series.fewest)?,
                most: median(&series.most)?,
            })
        })
        .collect();
    rows.sort_by(|a, b| {
        let more = b.per_second.p50.total_cmp(&a.per_second.p50);
        a.contenders.cmp(&b.contenders).then(more)
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_the_last_turn_of_all() {
        let round = Round(vec![(300, 0.5), (100, 2.0)]);
        assert_eq!(round.per_second(), 200.0);
        assert_eq!(parse("300 500000000"), Some((300, 0.5)));
        assert_eq!(parse("ready"), None);
    }

    #[test]
    fn rows_are_beside_the_peer_with_as_many_contenders() {
        let series = |contenders, name, turns| {
            let mut series = Series::new(contenders, name, Vec::new());
            series.per_second.push(vec![turns]);
            series.fewest.push(1.0);
            series.most.push(2.0);
            series
        };
        let all = [
            series(8, FLOCK, 100.0),
            series(8, WARD, 150.0),
            series(2, FLOCK, 500.0),
            series(2, WARD, 400.0),
        ];
        let rows = rows(&all, FLOCK);
        let told: Vec<(usize, &str, Option<f64>)> = rows
            .iter()
            .map(|row| (row.contenders, row.name.as_str(), row.of_flock))
            .collect();
        assert_eq!(
            told,
            [
                (2, FLOCK, Some(1.0)),
                (2, WARD, Some(0.8)),
                (8, WARD, Some(1.5)),
                (8, FLOCK, Some(1.0)),
            ]
        );
        assert_eq!(rows[0].microseconds(), 2000.0);
    }
}
