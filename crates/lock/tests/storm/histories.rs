//! What many processes asked and got, written down and judged afterwards by the rules alone: at no
//! time two inside who do not go together, and nobody served before those who came before him.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};
use ward_lock::{Directory, Held, Patience, Request, Wanted};
use ward_model::lock::{Ask, Mode, Place as InQueue, Shape, Standing, Turn, blockers};
use ward_testkit::moments::{let_pass, rounds};

use super::Result;
use super::kills::Chance;
use super::place::{Place, Worker};

const PROCESSES: u64 = 5;
const SLOTS: u32 = 5;
const PATHS: [&str; 4] = ["", "a", "a/x", "b"];

/// One that held.
#[derive(Debug)]
struct Hold {
    lock: String,
    ask: Ask,
    ticket: u64,
    token: u64,
    /// When he knew it, and when he began to give it back, by one clock for all processes.
    granted: u64,
    released: u64,
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap_or(0)
}

/// The locks of a request, each with what is written down of it.
fn wanted(chance: &mut Chance) -> Result<Vec<(Wanted, Ask)>> {
    let modes = |chance: &mut Chance, name: &str| -> Result<(Wanted, Ask)> {
        let mode = *chance.of(&Mode::ALL);
        let path = *chance.of(&PATHS);
        let whole = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{name}/{path}")
        };
        let ask = Ask {
            path: path.to_owned(),
            ..Ask::mode(mode)
        };
        Ok((Wanted::new(&whole)?.mode(mode), ask))
    };
    let slots = |chance: &mut Chance| -> Result<(Wanted, Ask)> {
        let take = u32::try_from(1 + chance.below(4))?;
        Ok((Wanted::new("slots")?.slots(take, SLOTS)?, Ask::slots(take)))
    };
    Ok(match chance.below(5) {
        0 | 1 => vec![modes(chance, "modes")?],
        2 => vec![slots(chance)?],
        3 => vec![slots(chance)?, modes(chance, "modes")?],
        _ => vec![modes(chance, "more")?, modes(chance, "modes")?],
    })
}

/// Asks so often as its round says, and writes down what came of it.
pub(crate) fn make(directory: &Path, number: u64) -> Result {
    let locks = Directory::open(Some(directory))?;
    let mut chance = Chance::new(number + 1);
    let mut lines = String::new();
    for _ in 0..rounds() * 10 {
        let wanted = wanted(&mut chance)?;
        let (wanted, asks): (Vec<Wanted>, Vec<Ask>) = wanted.into_iter().unzip();
        let request = Request::new(wanted);
        let patience = match chance.below(4) {
            0 => Patience::For(Duration::from_micros(chance.below(1000))),
            _ => Patience::Never,
        };
        let held = match locks.acquire(&request, patience, None) {
            Ok(held) => held,
            Err(error) if error.is_busy() => continue,
            Err(error) => return Err(error).with_context(|| format!("{request:?}")),
        };
        let granted = now();
        let_pass(Duration::from_micros(chance.below(40)));
        let released = now();
        for (held, ask) in held.iter().zip(&asks) {
            let root = held.name().split('/').next().unwrap_or_default();
            let mode = Mode::ALL.iter().position(|it| *it == ask.mode);
            writeln!(
                lines,
                "{root} {} {} {} {} {granted} {released} {}",
                mode.unwrap_or(0),
                ask.take,
                held.ticket(),
                held.token(),
                ask.path
            )?;
        }
        if chance.below(4) > 0 {
            held.iter().for_each(Held::release);
        }
    }
    fs::write(directory.join(format!("../history-{number}")), lines)?;
    Ok(())
}

fn read(place: &Place) -> Result<Vec<Hold>> {
    let mut all = Vec::new();
    for number in 0..PROCESSES {
        for line in fs::read_to_string(place.path(&format!("history-{number}")))?.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| -> Result<u64> { Ok(words[at].parse()?) };
            all.push(Hold {
                lock: words[0].to_owned(),
                ask: Ask {
                    take: u32::try_from(number(2)?)?,
                    path: words[7].to_owned(),
                    ..Ask::mode(Mode::ALL[usize::try_from(number(1)?)?])
                },
                ticket: number(3)?,
                token: number(4)?,
                granted: number(5)?,
                released: number(6)?,
            });
        }
    }
    Ok(all)
}

fn in_queue(hold: &Hold, standing: Standing) -> InQueue {
    InQueue {
        ticket: hold.ticket,
        standing,
        ask: hold.ask.clone(),
        has: Vec::new(),
    }
}

/// Whoever came before this one and had not begun to give back when it was known to hold was in the
/// queue when it was granted: he must not have been in its way. Whoever held at that moment must not
/// have been, whenever he came.
fn judge(shape: Shape, all: &[Hold]) -> Result {
    for mine in all {
        let there = all.iter().filter(|other| {
            let before = other.ticket < mine.ticket;
            let held = other.granted <= mine.granted && other.ticket != mine.ticket;
            other.released > mine.granted && (before || held)
        });
        let standing = |other: &Hold| {
            if other.granted <= mine.granted {
                Standing::Holding
            } else {
                Standing::Waiting
            }
        };
        let mut queue: Vec<InQueue> = there
            .map(|other| in_queue(other, standing(other)))
            .collect();
        queue.push(in_queue(mine, Standing::Waiting));
        let by = blockers(shape, &queue, mine.ticket, &[]);
        ensure!(
            by.is_empty(),
            "{mine:?} was granted before {by:?}: {queue:#?}"
        );
        // Whoever was inside before and kept him out has the lower token. (Where both may be inside,
        // who was granted first may be the later one to learn of it.)
        for earlier in all.iter().filter(|other| other.released < mine.granted) {
            let pair = [
                in_queue(earlier, Standing::Holding),
                in_queue(mine, Standing::Waiting),
            ];
            let go_together = blockers(shape, &pair, mine.ticket, &[]).is_empty();
            ensure!(
                go_together || earlier.token < mine.token,
                "{earlier:?} and {mine:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_grant_is_one_that_the_rules_allow() -> Result {
    let place = Place::new()?;
    let mut workers = Vec::new();
    for number in 0..PROCESSES {
        let command = Command::new(std::env::current_exe()?);
        let task = format!("history {number}");
        workers.push(Worker::start(command, &task, &place.directory())?);
    }
    for worker in &mut workers {
        worker.end()?;
    }
    let all = read(&place)?;
    let mut judged = 0;
    for (lock, shape) in [
        ("modes", Shape::Modes),
        ("more", Shape::Modes),
        ("slots", Shape::Slots(SLOTS)),
    ] {
        let (of_it, _): (Vec<Hold>, Vec<Hold>) = read(&place)?
            .into_iter()
            .partition(|hold| hold.lock == lock);
        judge(shape, &of_it).with_context(|| lock.to_owned())?;
        judged += of_it.len();
        ensure!(place.queue(lock)? == (0, 0));
    }
    ensure!(
        judged == all.len() && judged > 100,
        "{judged} of {}",
        all.len()
    );
    println!("{judged} grants are as they should be");
    Ok(())
}

/// The judge is not blind: what the rules forbid, he sees.
#[test]
fn a_false_grant_would_be_seen() {
    let hold = |ticket, mode, granted, released| Hold {
        lock: "it".into(),
        ask: Ask {
            turn: Turn::InOrder,
            ..Ask::mode(mode)
        },
        ticket,
        token: granted,
        granted,
        released,
    };
    let judge = |all: &[Hold]| judge(Shape::Modes, all).is_ok();
    assert!(judge(&[
        hold(1, Mode::EX, 10, 20),
        hold(2, Mode::EX, 21, 30)
    ]));
    assert!(judge(&[
        hold(1, Mode::PR, 10, 20),
        hold(2, Mode::PR, 11, 30)
    ]));
    // Two inside.
    assert!(!judge(&[
        hold(1, Mode::EX, 10, 20),
        hold(2, Mode::PR, 19, 30)
    ]));
    assert!(!judge(&[
        hold(2, Mode::EX, 10, 20),
        hold(1, Mode::PR, 19, 30)
    ]));
    // The second one first.
    assert!(!judge(&[
        hold(1, Mode::EX, 30, 40),
        hold(2, Mode::EX, 10, 20)
    ]));
}
