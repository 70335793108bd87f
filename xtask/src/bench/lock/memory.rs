//! What it takes to hold a lock while a command runs, and to wait for it.

use anyhow::{Context, Result, bail};
use rustix::process::Pid;

use super::super::latency::tried;
use super::super::memory::{self, Holding, ROUNDS, STARTING};
use super::super::peers::Peer;
use super::super::processes;
use super::super::results::{Bound, Goal, Memory};
use super::super::setup::{Setup, silent, wait_until};
use super::rivals::{FLOCK, WARD, WARD_GUARDIAN, on_this_host};

/// A process that sleeps each time that we look at it, this often in a row, waits for its lock:
/// one that is starting is seen at work in between.
const LOOKS: u32 = 20;

/// Wrappers that stay while the command runs (others become the command).
const WRAPPERS: [&str; 3] = [WARD, WARD_GUARDIAN, FLOCK];

pub(in super::super) struct Found {
    pub(in super::super) rows: Vec<Memory>,
    pub(in super::super) goals: Vec<Goal>,
}

struct Series {
    peer: Peer,
    /// Each process of who holds the lock, round by round; and of who waits for it.
    holding: Vec<Vec<Holding>>,
    waiting: Vec<Vec<Holding>>,
}

pub(in super::super) fn measure(setup: &mut Setup) -> Result<Found> {
    let mut all: Vec<Series> = tried(on_this_host(setup)?)?
        .here
        .into_iter()
        .filter(|peer| WRAPPERS.contains(&peer.name.as_str()))
        .map(|peer| Series {
            peer,
            holding: Vec::new(),
            waiting: Vec::new(),
        })
        .collect();
    setup.in_turn("memory", ROUNDS, &mut all, |setup, series| {
        let (holding, waiting) = memory::held_once(setup, &series.peer, |holding| {
            Ok((holding, waiting(&series.peer)?))
        })
        .with_context(|| series.peer.name.clone())?;
        series.holding.push(holding);
        series.waiting.push(waiting);
        Ok(())
    })?;
    let mut found = Found {
        rows: Vec::new(),
        goals: Vec::new(),
    };
    for series in &all {
        let name = &series.peer.name;
        let (held, proportional) = memory::judge(&format!("{name} (holds)"), &series.holding);
        let (waits, _) = memory::judge(&format!("{name} (waits)"), &series.waiting);
        if name == WARD {
            found.goals = goals(&held, proportional);
        }
        found.rows.extend(held.into_iter().chain(waits));
    }
    Ok(found)
}

fn goals(held: &[Memory], proportional: Option<f64>) -> Vec<Goal> {
    let resident = held.iter().map(|row| row.resident_kib);
    let goal = |what: &str, kib: Option<f64>| Goal {
        what: format!("memory of ward lock while it holds: {what}, MB"),
        value: kib.map(|kib| kib * 1024.0 / 1e6),
        bound: Bound::AtMost(2.0),
    };
    vec![
        goal("Pss of all its processes", proportional),
        goal("Rss of the largest", resident.reduce(f64::max)),
    ]
}

/// Starts the same a second time, and looks at it while it waits.
fn waiting(peer: &Peer) -> Result<Vec<Holding>> {
    let words = peer.words(&memory::sleeper());
    let mut child = silent(&words).spawn().context("starting a second one")?;
    let pid = Pid::from_child(&child).as_raw_pid();
    let mut looks = 0;
    let held = wait_until("the second one waits", STARTING, || {
        if let Some(status) = child.try_wait().context("looking after the second one")? {
            bail!("the second one ended ({status})");
        }
        let all = processes::below_us().context("looking for processes")?;
        let sleeps = |pid: i32| all.iter().any(|it| it.pid == pid && it.state == 'S');
        let is_alone = !all.iter().any(|it| it.parent == pid);
        looks = if sleeps(pid) && is_alone {
            looks + 1
        } else {
            0
        };
        Ok((looks == LOOKS).then_some(()))
    })
    .and_then(|()| {
        processes::settled(&[pid]).context("reading memory")?;
        Ok(vec![memory::holding(pid, "front")?])
    });
    memory::stop(&mut child)?;
    held
}
