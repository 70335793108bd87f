//! What ward's own processes hold in memory while a command runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::peers::Peer;
use super::processes::{self, Entry};
use super::results::{Bound, Goal, Memory};
use super::setup::{Setup, silent, wait_until, wait_within};
use super::statistics::median;

const RUNGS: [&str; 2] = ["cgroup", "guardian"];

/// Rounds: memory hardly varies.
pub(super) const ROUNDS: u32 = 3;

pub(super) const STARTING: Duration = Duration::from_secs(20);
const STOPPING: Duration = Duration::from_secs(20);

/// The command that is run.
const SLEEPER: &str = "sleep";

/// A process by what it is called, and what it holds in KiB: resident, proportional.
pub(super) type Holding = (String, f64, f64);

pub(super) struct Found {
    pub(super) rows: Vec<Memory>,
    pub(super) goals: Vec<Goal>,
    pub(super) missing: Vec<String>,
}

pub(super) fn measure(setup: &Setup) -> Result<Found> {
    let mut found = Found {
        rows: Vec::new(),
        goals: Vec::new(),
        missing: Vec::new(),
    };
    for rung in RUNGS {
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            setup.progress(&format!(
                "memory on the {rung} rung: round {} of {ROUNDS}",
                round + 1
            ));
            let options = ["run", "-q", "--grace", "0s", "--containment", rung, "--"];
            let peer = Peer::ward(rung, &setup.ward, options);
            match held_once(setup, &peer, Ok) {
                Ok(holdings) => rounds.push(holdings),
                Err(error) => {
                    found
                        .missing
                        .push(format!("memory on the {rung} rung: {error:#}"));
                    break;
                }
            }
        }
        let (rows, proportional) = judge(rung, &rounds);
        found.rows.extend(rows);
        found.goals.push(Goal {
            what: format!("memory (Pss) on the {rung} rung, front and guardian, MB"),
            value: proportional.map(|kib| kib * 1024.0 / 1e6),
            bound: Bound::Below(4.0),
        });
    }
    Ok(found)
}

/// Runs a sleeper once through `peer` and looks at those above it; what they hold is told to
/// `meanwhile`, which may look further while the sleeper sleeps.
pub(super) fn held_once<T>(
    setup: &Setup,
    peer: &Peer,
    meanwhile: impl FnOnce(Vec<Holding>) -> Result<T>,
) -> Result<T> {
    let words = peer.words(&sleeper());
    let (mut child, group) = setup.in_own_group(|| silent(&words).spawn().context("starting"))?;
    let held = wait_until("the command runs", STARTING, || {
        if let Some(status) = child.try_wait().context("looking after the wrapper")? {
            bail!("{} ended ({status})", peer.name);
        }
        let pid = Pid::from_child(&child).as_raw_pid();
        Ok(at_rest(
            processes::below(pid).context("looking for processes")?,
        ))
    })
    .and_then(|others| {
        let front = Pid::from_child(&child).as_raw_pid();
        let mut pids = vec![front];
        pids.extend(others.iter().map(|it| it.pid));
        processes::settled(&pids).context("reading memory")?;
        let mut holdings = vec![holding(front, "front")?];
        for other in others {
            holdings.push(holding(other.pid, &other.name)?);
        }
        Ok(holdings)
    })
    .and_then(meanwhile);
    stop(&mut child)?;
    setup.clean(group)?;
    held
}

/// The command that is run, in words.
pub(super) fn sleeper() -> Vec<OsString> {
    vec![SLEEPER.into(), "300".into()]
}

/// Asks a wrapper to end, if it has not yet, and waits until it has.
pub(super) fn stop(child: &mut Child) -> Result<()> {
    if child
        .try_wait()
        .context("looking after the wrapper")?
        .is_none()
    {
        kill_process(Pid::from_child(child), Signal::TERM).context("stopping the wrapper")?;
        wait_within(child, STOPPING)?;
    }
    Ok(())
}

/// Our processes beside the front, once the sleeper sleeps and all of them wait.
fn at_rest(below: Vec<Entry>) -> Option<Vec<Entry>> {
    let (sleepers, ours): (Vec<Entry>, Vec<Entry>) =
        below.into_iter().partition(|entry| entry.name == SLEEPER);
    let rests = |entry: &Entry| entry.state == 'S';
    (!sleepers.is_empty() && sleepers.iter().all(rests) && ours.iter().all(rests)).then_some(ours)
}

/// What process `pid` holds.
pub(super) fn holding(pid: i32, name: &str) -> Result<Holding> {
    let memory = processes::memory(pid).context("reading its memory")?;
    Ok((
        name.to_owned(),
        memory.resident as f64,
        memory.proportional as f64,
    ))
}

/// A row for each process, and the proportional memory of all of them in KiB.
pub(super) fn judge(wrapper: &str, rounds: &[Vec<Holding>]) -> (Vec<Memory>, Option<f64>) {
    let mut by_name: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (name, resident, proportional) in rounds.iter().flatten() {
        let (all_resident, all_proportional) = by_name.entry(name).or_default();
        all_resident.push(*resident);
        all_proportional.push(*proportional);
    }
    let rows = by_name
        .into_iter()
        .filter_map(|(name, (resident, proportional))| {
            Some(Memory {
                wrapper: wrapper.to_owned(),
                process: name.to_owned(),
                resident_kib: median(&resident)?,
                proportional_kib: median(&proportional)?,
            })
        })
        .collect();
    let sums: Vec<f64> = rounds
        .iter()
        .map(|round| round.iter().map(|(_, _, proportional)| proportional).sum())
        .collect();
    (rows, median(&sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, state: char) -> Entry {
        Entry {
            pid: 7,
            parent: 1,
            state,
            name: name.to_owned(),
        }
    }

    #[test]
    fn nothing_is_read_before_the_command_runs_and_all_rest() {
        assert_eq!(at_rest(vec![entry("guardian", 'S')]), None);
        assert_eq!(
            at_rest(vec![entry("guardian", 'R'), entry("sleep", 'S')]),
            None
        );
        assert_eq!(
            at_rest(vec![entry("guardian", 'S'), entry("sleep", 'S')]),
            Some(vec![entry("guardian", 'S')])
        );
    }

    #[test]
    fn the_memory_of_a_rung_is_the_sum_of_its_processes() {
        let round = |guardian: f64| {
            vec![
                ("front".to_owned(), 900.0, 500.0),
                ("guardian".to_owned(), 1000.0, guardian),
            ]
        };
        let (rows, sum) = judge("cgroup", &[round(600.0), round(700.0), round(800.0)]);
        assert_eq!(sum, Some(1200.0));
        assert_eq!(rows[1].proportional_kib, 700.0);
        assert_eq!(judge("cgroup", &[]).1, None);
    }
}
