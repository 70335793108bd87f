//! From the death of a program until it runs again, where the policy asks for no delay.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::results::{Bound, Goal};
use super::super::setup::Setup;
use super::beacon::{Kind as Said, now};
use super::contestants::{Contestant, Field, WARD};
use super::gathered::{Gathered, Quantity};
use super::scene::Output;
use super::session::{Session, Work};

const PROGRAMS: u32 = 20;
const KILLS: u32 = 60;
const QUICK_KILLS: u32 = 20;
/// From one to the next.
const GAP: Duration = Duration::from_millis(120);
/// Some wait a second before they start a program that has just begun: who is killed has run longer.
const AGE: Duration = Duration::from_millis(1_300);
/// How long the last of them may take.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn measure(
    setup: &mut Setup,
    field: &Field,
    gathered: &mut Gathered,
    missing: &mut Vec<String>,
) -> Result<Vec<Goal>> {
    let mut all: Vec<(&Contestant, Option<String>)> = field
        .all
        .iter()
        .map(|contestant| (contestant, None))
        .collect();
    let rounds = setup.rounds;
    setup.in_turn(
        "restart",
        rounds,
        &mut all,
        |setup, (contestant, failed)| {
            if failed.is_none() {
                let what = (PROGRAMS as usize, Work::Sleep, Output::Nowhere);
                let kills = if setup.quick { QUICK_KILLS } else { KILLS };
                match Session::with(setup, contestant, &field.load, what, |it| killed(it, kills)) {
                    Ok(times) => gathered.add(Quantity::Restart, PROGRAMS, contestant.name, times),
                    Err(error) => *failed = Some(format!("{error:#}")),
                }
            }
            Ok(())
        },
    )?;
    missing.extend(all.iter().filter_map(|(contestant, failed)| {
        Some(format!(
            "restart, {}: {}",
            contestant.name,
            failed.as_ref()?
        ))
    }));
    Ok(vec![Goal {
        what: "restart after a kill by ward, median, ms".to_owned(),
        value: gathered.median(Quantity::Restart, PROGRAMS, WARD),
        bound: Bound::AtMost(1.5),
    }])
}

/// Kills one program after the other; how long each took to run again, in milliseconds.
fn killed(session: &mut Session, kills: u32) -> Result<Vec<f64>> {
    session.wait_for_all().context("starting")?;
    let mut deaths = Vec::new();
    for kill in 0..kills {
        let program = kill % PROGRAMS;
        let pid = old_enough(session, program)?;
        // By the time that it is signalled, the number still has to be that of the same process.
        let process = pidfd_open(pid, PidfdFlags::empty()).context("opening a pidfd")?;
        deaths.push((program, now()));
        pidfd_send_signal(&process, Signal::KILL).context("killing a program")?;
        thread::sleep(GAP);
    }
    let end = Instant::now() + LIMIT;
    loop {
        session.beacon.look().context("reading the beacon")?;
        let starts = session.beacon.of(Said::Began);
        let times = returns(&deaths, starts.map(|it| (it.program, it.nanoseconds)));
        if times.len() == deaths.len() {
            return Ok(times);
        }
        let (back, all) = (times.len(), deaths.len());
        ensure!(Instant::now() < end, "{back} of {all} came back");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The process of a program, once that has run long enough.
fn old_enough(session: &mut Session, program: u32) -> Result<Pid> {
    let end = Instant::now() + LIMIT;
    loop {
        let latest = session.latest()?;
        let (pid, began) = latest.get(&program).context("a program that never ran")?;
        let age = Duration::from_nanos(now().saturating_sub(*began));
        let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
        if age >= AGE {
            return pid.context("a process number out of range");
        }
        if Instant::now() > end {
            bail!("program {program} starts again and again");
        }
        thread::sleep(AGE.saturating_sub(age));
    }
}

/// Milliseconds from each death to the next start of the same program; starts come in their order.
fn returns(deaths: &[(u32, u64)], starts: impl Iterator<Item = (u32, u64)>) -> Vec<f64> {
    let mut of_each: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (program, at) in starts {
        of_each.entry(program).or_default().push(at);
    }
    deaths
        .iter()
        .filter_map(|(program, died)| {
            let next = of_each.get(program)?.iter().find(|at| *at > died)?;
            Some((next - died) as f64 / 1e6)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_followed_by_the_next_start_of_the_same_program() {
        let starts = [(0, 1), (1, 2), (0, 3_000_000), (1, 9_000_000)];
        let deaths = [(0, 1_000_000), (1, 2_000_000), (0, 4_000_000)];
        assert_eq!(returns(&deaths, starts.into_iter()), [2.0, 7.0]);
    }
}
