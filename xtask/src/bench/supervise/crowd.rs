//! Many programs that sleep: how long all take to start, what watching them costs, how they are listed,
//! and how long all take to end.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::processes;
use super::super::results::{Bound, Goal};
use super::super::setup::{Setup, silent, wait_within};
use super::account::Use;
use super::contestants::{Contestant, Field, SUPERVISOR, WARD};
use super::gathered::{Gathered, Quantity};
use super::scene::Output;
use super::session::{LIMIT, Session, Work};
use super::wanted::{Part, Wanted};

const SIZES: [u32; 3] = [100, 1_000, 5_000];
/// What a supervisor costs is looked at with this many programs.
const LOOKED_AT: u32 = 1_000;
/// So many programs take long enough: more rounds of them would take an hour.
const LARGE: u32 = 5_000;
const LARGE_ROUNDS: u32 = 3;

/// Until whatever starting left to do is done.
const SETTLING: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);
const QUICK_IDLE: Duration = Duration::from_secs(4);

/// How often the list is asked for in one round.
const LISTS: usize = 5;

/// A contestant, and why it was given up.
struct Series<'a> {
    contestant: &'a Contestant,
    failed: Option<String>,
}

pub(super) fn measure(
    setup: &mut Setup,
    field: &Field,
    wanted: &Wanted,
    gathered: &mut Gathered,
    missing: &mut Vec<String>,
) -> Result<Vec<Goal>> {
    let most = wanted.most(setup.quick);
    let looked_at = LOOKED_AT.min(most);
    let looks = [Part::Memory, Part::Idle, Part::Status];
    let mut sizes: Vec<u32> = SIZES.into_iter().map(|size| size.min(most)).collect();
    sizes.dedup();
    for size in sizes {
        let has_work = wanted.has(Part::Start)
            || wanted.has(Part::Stop)
            || (size == looked_at && looks.into_iter().any(|part| wanted.has(part)));
        if !has_work {
            continue;
        }
        let mut all: Vec<Series> = Vec::new();
        for contestant in &field.all {
            if contestant.most < size {
                let name = contestant.name;
                missing.push(format!("{size} programs: {name} takes {}", contestant.most));
            } else {
                all.push(Series {
                    contestant,
                    failed: None,
                });
            }
        }
        let rounds = if size >= LARGE {
            setup.rounds.min(LARGE_ROUNDS)
        } else {
            setup.rounds
        };
        let what = format!("{size} programs");
        setup.in_turn(&what, rounds, &mut all, |setup, series| {
            if series.failed.is_none() {
                let done = once(
                    setup,
                    field,
                    series.contestant,
                    size,
                    size == looked_at,
                    wanted,
                );
                match done {
                    Ok(figures) => figures.into_iter().for_each(|(quantity, figures)| {
                        gathered.add(quantity, size, series.contestant.name, figures);
                    }),
                    Err(error) => series.failed = Some(format!("{error:#}")),
                }
            }
            Ok(())
        })?;
        missing.extend(all.iter().filter_map(|series| {
            let why = series.failed.as_ref()?;
            Some(format!(
                "{size} programs, {}: {why}",
                series.contestant.name
            ))
        }));
    }
    Ok(goals(gathered, wanted))
}

/// Everything that one round of one contestant brings.
fn once(
    setup: &Setup,
    field: &Field,
    contestant: &Contestant,
    programs: u32,
    looks_closer: bool,
    wanted: &Wanted,
) -> Result<Vec<(Quantity, Vec<f64>)>> {
    let what = (programs as usize, Work::Sleep, Output::Nowhere);
    let mut found = Vec::new();
    Session::with(setup, contestant, &field.load, what, |session| {
        let took = session.wait_for_all().context("starting")?;
        if wanted.has(Part::Start) {
            found.push((Quantity::Start, vec![milliseconds(took)]));
        }
        if looks_closer {
            look(setup, session, wanted, &mut found)?;
            if wanted.has(Part::Status)
                && let Some(words) = &session.scene.status
            {
                let times = (0..LISTS)
                    .map(|_| list(words, programs))
                    .collect::<Result<_>>();
                found.push((Quantity::Status, times.context("listing all programs")?));
            }
        }
        if wanted.has(Part::Stop) {
            let took = session.stop_all().context("stopping all")?;
            found.push((Quantity::Stop, vec![milliseconds(took)]));
        }
        Ok(found)
    })
}

fn look(
    setup: &Setup,
    session: &mut Session,
    wanted: &Wanted,
    found: &mut Vec<(Quantity, Vec<f64>)>,
) -> Result<()> {
    if !wanted.has(Part::Memory) && !wanted.has(Part::Idle) {
        return Ok(());
    }
    thread::sleep(SETTLING);
    let pids = session.supervisors()?;
    if wanted.has(Part::Memory) {
        let memory = processes::settled(&pids).context("reading memory")?;
        let megabytes = |kib: u64| vec![kib as f64 * 1024.0 / 1e6];
        found.push((Quantity::Resident, megabytes(memory.resident)));
        found.push((Quantity::Proportional, megabytes(memory.proportional)));
        found.push((Quantity::Processes, vec![pids.len() as f64]));
    }
    if wanted.has(Part::Idle) {
        let before = Use::of(&pids).context("reading what it used")?;
        let began = Instant::now();
        thread::sleep(if setup.quick { QUICK_IDLE } else { IDLE });
        let used = Use::of(&pids)
            .context("reading what it used")?
            .since(before);
        let seconds = began.elapsed().as_secs_f64();
        found.push((Quantity::Switches, vec![used.switches as f64 / seconds]));
        found.push((
            Quantity::IdleTime,
            vec![milliseconds(used.nanoseconds) / seconds],
        ));
    }
    Ok(())
}

/// Milliseconds of the command that lists all programs; fails unless it lists them.
fn list(words: &[String], programs: u32) -> Result<f64> {
    let words: Vec<_> = words.iter().map(Into::into).collect();
    let mut command = silent(&words);
    let began = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the command")?;
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        std::io::Read::read_to_string(&mut output, &mut text).context("reading the list")?;
    }
    wait_within(&mut child, LIMIT)?.context("the command hangs")?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let lines = text.lines().count();
    ensure!(
        lines == programs as usize,
        "{lines} lines came for {programs} programs"
    );
    Ok(took)
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn goals(gathered: &Gathered, wanted: &Wanted) -> Vec<Goal> {
    use super::contestants::FLOOR;
    let ward = |quantity| gathered.median(quantity, LOOKED_AT, WARD);
    let start = |ours, theirs| gathered.ratio(Quantity::Start, LOOKED_AT, ours, theirs);
    let all = [
        (
            Part::Start,
            "start of 1,000 programs: ward, of the floor",
            start(WARD, FLOOR),
            Bound::AtMost(2.0),
        ),
        (
            Part::Start,
            "start of 1,000 programs: Supervisor, of ward",
            start(SUPERVISOR, WARD),
            Bound::AtLeast(15.0),
        ),
        (
            Part::Memory,
            "memory (Rss) of all of ward at 1,000 programs, MB",
            ward(Quantity::Resident),
            Bound::AtMost(12.0),
        ),
        (
            Part::Idle,
            "ward is woken at idle, times per second",
            ward(Quantity::Switches),
            Bound::AtMost(0.0),
        ),
        (
            Part::Status,
            "status of 1,000 programs by ward's command, ms",
            ward(Quantity::Status),
            Bound::AtMost(15.0),
        ),
    ];
    all.into_iter()
        .filter(|(part, ..)| wanted.has(*part))
        .map(|(_, what, value, bound)| Goal {
            what: what.to_owned(),
            value,
            bound,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_line_for_every_program() {
        let words = ["printf", "%s\\n%s\\n", "one", "two"].map(str::to_owned);
        assert!(list(&words, 2).is_ok());
        assert!(list(&words, 3).unwrap_err().to_string().contains("2 lines"));
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let goals = goals(&Gathered::default(), &Wanted::ALL);
        assert_eq!(goals.len(), 5);
        assert!(goals.iter().all(|goal| goal.value.is_none()));
    }
}
