//! The end of trees: ward and its peers against the kernel's own mechanism.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::control::Group;
use super::peers::{Peer, Peers};
use super::processes;
use super::results::{Bound, Goal, Stop};
use super::setup::{Setup, silent, wait_until, wait_within};
use super::statistics::{Summary, ratio};

const KERNEL: &str = "cgroup.kill (the kernel alone)";
const WARD: &str = "ward run";
const WARD_GUARDIAN: &str = "ward run --containment guardian";

/// Sizes of trees, and the most rounds for each: the big ones take long to grow.
const TREES: [(u64, u32); 3] = [(60, 100), (1_000, 5), (10_000, 3)];
/// Trees up to this size end in so few milliseconds that whoever leaves nobody ends so many times more: after
/// survivors one waits long each time.
const SMALL: u64 = 100;
const MORE: u32 = 5;
/// Trees bigger than this are for ward and the kernel only, and left out of a quick run.
const BIG: u64 = 1_000;

/// How the program that makes the tree is called.
const NODE: &str = "bench-load";

/// A tree that is not there by then does not come.
const GROWING: Duration = Duration::from_secs(180);
/// A wrapper that has not ended by then does not end.
const STOPPING: Duration = Duration::from_secs(20);
/// Whoever is alive this long after the wrapper's end has survived.
const SETTLING: Duration = Duration::from_millis(1_500);

/// What one stop came to.
struct Stopped {
    milliseconds: f64,
    survivors: usize,
    hung: bool,
}

/// All stops by one, one a round.
struct Series {
    name: String,
    /// `None` for the kernel alone.
    peer: Option<Peer>,
    stops: Vec<Stopped>,
    /// Why it was given up: its tree never came to be.
    failed: Option<String>,
}

impl Series {
    /// Once more, unless it cannot.
    fn stop(&mut self, setup: &Setup, size: u64) -> Result<()> {
        if self.failed.is_none() {
            match stop_once(setup, self.peer.as_ref(), size)? {
                Ok(stopped) => self.stops.push(stopped),
                Err(error) => self.failed = Some(format!("{error:#}")),
            }
        }
        Ok(())
    }

    fn milliseconds(&self) -> Vec<f64> {
        self.stops.iter().map(|stop| stop.milliseconds).collect()
    }
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Stop>,
    pub(super) goals: Vec<Goal>,
    pub(super) missing: Vec<String>,
}

pub(super) fn measure(setup: &mut Setup) -> Result<Found> {
    let mut found = Found::default();
    if !setup.has_groups() {
        found.missing.push(
            "the kernel's own mechanism: no cgroup v2 in which we may make a group".to_owned(),
        );
    }
    for (size, most) in TREES {
        if size > BIG && setup.quick {
            found
                .missing
                .push(format!("trees of {size}: left out by --quick"));
            continue;
        }
        let mut all = contestants(setup, size);
        let what = format!("stop of {size} processes");
        let rounds = setup.rounds.min(most);
        let once = |setup: &Setup, series: &mut &mut Series| series.stop(setup, size);
        let mut each: Vec<_> = all.iter_mut().collect();
        setup.in_turn(&what, rounds, &mut each, once)?;
        if size <= SMALL {
            each.retain(|it| it.stops.iter().all(|stop| stop.survivors == 0));
            setup.in_turn(&what, rounds * MORE, &mut each, once)?;
        }
        judge(&all, size, &mut found);
    }
    Ok(found)
}

fn contestants(setup: &Setup, size: u64) -> Vec<Series> {
    let ward = |name, words: &[&str]| Peer::ward(name, &setup.ward, words);
    let grace = ["run", "-q", "--grace", "0s"];
    let mut peers = vec![
        ward(WARD, &[&grace[..], &["--"]].concat()),
        ward(
            WARD_GUARDIAN,
            &[&grace[..], &["--containment", "guardian", "--"]].concat(),
        ),
    ];
    if size <= BIG {
        peers.extend(
            Peers::find(&[
                ("timeout", &["timeout", "600"]),
                ("tini", &["tini", "-s", "--"]),
                ("tini -g", &["tini", "-s", "-g", "--"]),
                ("dumb-init", &["dumb-init"]),
                ("setsid -w", &["setsid", "-w"]),
                ("sh -c", &["sh", "-c", "; :"]),
            ])
            .here,
        );
    }
    let kernel = setup.has_groups().then(|| Series {
        name: KERNEL.to_owned(),
        peer: None,
        stops: Vec::new(),
        failed: None,
    });
    let others = peers.into_iter().map(|peer| Series {
        name: peer.name.clone(),
        peer: Some(peer),
        stops: Vec::new(),
        failed: None,
    });
    kernel.into_iter().chain(others).collect()
}

/// Grows a tree under `peer` (or under nobody), stops it, and clears up behind it. The inner
/// result is the peer's, the outer one ours.
fn stop_once(setup: &Setup, peer: Option<&Peer>, size: u64) -> Result<Result<Stopped>> {
    let ready = setup.work.join("ready");
    fs::write(&ready, "").context("making the counter")?;
    let tree = [
        setup.load.clone().into_os_string(),
        "tree".into(),
        ready.clone().into_os_string(),
        size.to_string().into(),
    ];
    let words = peer.map_or_else(|| tree.to_vec(), |peer| peer.words(&tree));
    let (mut child, group) = setup.in_own_group(|| {
        silent(&words)
            .spawn()
            .with_context(|| format!("starting {}", words[0].display()))
    })?;
    let stopped = grown(&ready, size, &mut child).and_then(|()| match (peer, &group) {
        (None, Some(group)) => stop_by_kernel(group),
        _ => stop_by_signal(&mut child),
    });
    setup.clean(group)?;
    Ok(stopped)
}

/// Waits until every node is there, and no process of their making is on its way any more.
fn grown(ready: &std::path::Path, size: u64, child: &mut Child) -> Result<()> {
    wait_until("the tree grows", GROWING, || {
        if let Some(status) = child.try_wait().context("looking after the wrapper")? {
            anyhow::bail!("it ended before its tree was there ({status})");
        }
        let reported = fs::metadata(ready).context("reading the counter")?.len();
        Ok((reported >= size).then_some(()))
    })?;
    wait_until("the tree settles", GROWING, || {
        Ok((living_nodes()? as u64 == size).then_some(()))
    })
}

fn living_nodes() -> Result<usize> {
    let below = processes::below_us().context("looking for processes")?;
    Ok(below
        .iter()
        .filter(|entry| entry.is_alive() && entry.name == NODE)
        .count())
}

/// The floor: nothing but the kernel's own kill, and the reaping of all.
fn stop_by_kernel(group: &Group) -> Result<Stopped> {
    let started = Instant::now();
    group.kill(STOPPING).context("killing the group")?;
    processes::reap_all();
    Ok(Stopped {
        milliseconds: started.elapsed().as_secs_f64() * 1e3,
        survivors: living_nodes()?,
        hung: false,
    })
}

/// The stop signal to the wrapper, and its end.
fn stop_by_signal(child: &mut Child) -> Result<Stopped> {
    let started = Instant::now();
    // Ours and not reaped: the number is its own.
    kill_process(Pid::from_child(child), Signal::TERM).context("sending the stop signal")?;
    let ended = wait_within(child, STOPPING)?;
    let milliseconds = started.elapsed().as_secs_f64() * 1e3;
    Ok(Stopped {
        milliseconds,
        survivors: survivors()?,
        hung: ended.is_none(),
    })
}

/// Who is alive when there was time to end.
fn survivors() -> Result<usize> {
    let end = Instant::now() + SETTLING;
    loop {
        processes::reap();
        let living = living_nodes()?;
        if living == 0 || Instant::now() > end {
            return Ok(living);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn judge(all: &[Series], size: u64, found: &mut Found) {
    let kernel = all
        .iter()
        .find(|series| series.name == KERNEL)
        .map(Series::milliseconds)
        .unwrap_or_default();
    for series in all {
        if let Some(reason) = &series.failed {
            let missing = format!("stop of {size} processes by {}: {reason}", series.name);
            found.missing.push(missing);
        }
        let times = series.milliseconds();
        let survivors = series.stops.iter().map(|stop| stop.survivors).max();
        let (Some(milliseconds), Some(survivors)) = (Summary::of(&times), survivors) else {
            continue;
        };
        let of_kernel = ratio(&times, &kernel);
        found.rows.push(Stop {
            size,
            name: series.name.clone(),
            milliseconds,
            of_kernel,
            survivors,
            hung: series.stops.iter().filter(|stop| stop.hung).count(),
        });
        if series.name == WARD {
            found.goals.push(Goal {
                what: format!("stop of {size} processes, of the kernel alone"),
                value: of_kernel,
                bound: Bound::AtMost(1.5),
            });
        }
        if [WARD, WARD_GUARDIAN].contains(&series.name.as_str()) {
            found.goals.push(Goal {
                what: format!("survivors of {size} after {}", series.name),
                value: Some(survivors as f64),
                bound: Bound::AtMost(0.0),
            });
        }
    }
}

/// Fails at once where the tree could not be counted.
pub(super) fn check(setup: &Setup) -> Result<()> {
    let name = setup.load.file_name().and_then(|name| name.to_str());
    ensure!(name == Some(NODE), "the load is not called {NODE}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, stops: &[(f64, usize)]) -> Series {
        Series {
            name: name.to_owned(),
            peer: None,
            stops: stops
                .iter()
                .map(|(milliseconds, survivors)| Stopped {
                    milliseconds: *milliseconds,
                    survivors: *survivors,
                    hung: false,
                })
                .collect(),
            failed: None,
        }
    }

    #[test]
    fn stops_are_held_against_the_kernel_and_the_worst_round_counts_for_survivors() {
        let mut found = Found::default();
        let all = [
            series(KERNEL, &[(1.0, 0), (2.0, 0), (4.0, 0)]),
            series(WARD, &[(2.0, 0), (3.0, 1), (6.0, 0)]),
        ];
        judge(&all, 60, &mut found);
        assert_eq!(found.rows[1].of_kernel, Some(1.5));
        assert_eq!(found.rows[1].survivors, 1);
        let values: Vec<Option<f64>> = found.goals.iter().map(|goal| goal.value).collect();
        assert_eq!(values, [Some(1.5), Some(1.0)]);
    }
}
