//! A storm of kills: processes take and free locks of all kinds as fast as they can, and somebody
//! kills them, mostly in the middle of a change.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Signal, getppid};
use ward_lock::{Crowd, Directory, Gives, Held, Patience, Request, Wanted};
use ward_model::lock::{Mode, Turn};
use ward_testkit::moments::{let_pass, rounds};
use ward_testkit::patience::{wait_for, wait_until};

use super::Result;
use super::place::{Numbers, Place, Worker, is_being_changed};
use super::witness::{Claim, Witness};

/// How many processes; the first is never killed.
const WORKERS: usize = 4;
const KILLS_A_ROUND: u32 = 10;
/// The number that says that it is enough; below it, everybody's progress.
const ENOUGH: usize = 512;

const NAMES: [&str; 6] = ["modes", "slots", "pool", "numbers", "left", "right"];
const PATHS: [&str; 3] = ["modes", "modes/a", "modes/b"];
const THINGS: [&str; 4] = ["a", "b", "c", "d"];
const SLOTS: u32 = 4;

/// Where the witness keeps what.
const ALONE: u64 = 10_000;
const OF_SLOTS: u64 = 20_000;
const OF_THINGS: u64 = 30_000;

/// As much chance as a test needs, the same for the same seed.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len() as u64);
        &all[usize::try_from(at).unwrap_or(0)]
    }
}

/// What is asked for, and what somebody may be sure of who has it.
fn wanted(chance: &mut Chance, number: u64) -> Result<(Request, Vec<Claim>)> {
    let beside = |mode: Mode, path: usize| {
        let row = |mode: Mode| Mode::ALL.iter().position(|it| *it == mode).unwrap_or(0);
        let cell = |mode: Mode, path: usize| (row(mode) * PATHS.len() + path) as u64;
        let in_line = |other: usize| other == path || other == 0 || path == 0;
        let against = Mode::ALL
            .into_iter()
            .filter(|other| !other.goes_with(mode))
            .flat_map(|other| {
                (0..PATHS.len())
                    .filter(|it| in_line(*it))
                    .map(move |it| cell(other, it))
            });
        Claim::Beside {
            what: cell(mode, path),
            number,
            against: against.collect(),
        }
    };
    let alone = |name: &str| {
        let at = NAMES.iter().position(|it| *it == name).unwrap_or(0);
        Claim::Alone(ALONE + at as u64)
    };
    let mut claims = Vec::new();
    let mut wanted = Vec::new();
    match chance.below(8) {
        0 | 1 => {
            let (mode, path) = (*chance.of(&Mode::ALL), chance.below(3) as usize);
            wanted.push(Wanted::new(PATHS[path])?.mode(mode));
            claims.push(beside(mode, path));
        }
        2 => {
            let take = 1 + chance.below(3) as u32;
            wanted.push(Wanted::new("slots")?.slots(take, SLOTS)?);
            claims.push(Claim::Some {
                take,
                first: OF_SLOTS,
                last: OF_SLOTS + u64::from(SLOTS),
            });
        }
        3 => {
            let first = chance.below(2) as usize;
            let among = THINGS[first..first + 3].iter().map(ToString::to_string);
            let take = 1 + chance.below(2) as u32;
            // Which, is known only later.
            wanted.push(Wanted::new("pool")?.things(take, among.collect())?);
        }
        4 => {
            let gives = Gives::Sequence {
                transactional: true,
            };
            wanted.push(Wanted::new("numbers")?.giving(gives));
            claims.push(alone("numbers"));
        }
        5 => {
            for name in ["right", "left"] {
                wanted.push(Wanted::new(name)?);
                claims.push(alone(name));
            }
            if chance.below(2) == 0 {
                wanted.push(Wanted::new("modes")?.mode(Mode::PR));
                claims.push(beside(Mode::PR, 0));
            }
        }
        6 => {
            let name = *chance.of(&["left", "right"]);
            wanted.push(Wanted::new(name)?);
            claims.push(alone(name));
        }
        _ => {
            wanted.push(Wanted::new("left")?);
            claims.push(alone("left"));
        }
    }
    let mut request = Request::new(wanted);
    if chance.below(2) == 0 {
        request.command = "make all".into();
    }
    if chance.below(8) == 0 {
        request.priority = 1;
        request.turn = *chance.of(&[Turn::InOrder, Turn::NewestFirst, Turn::FirstFit]);
    }
    if chance.below(16) == 0 {
        request.crowd = *chance.of(&[Crowd::SkipIfQueued, Crowd::ReplacePending]);
    }
    Ok((request, claims))
}

/// Takes and frees locks until it is killed, or it is enough.
pub(crate) fn contend(directory: &Path, number: u64) -> Result {
    let done = contend_until_enough(directory, number);
    if let Err(error) = &done {
        let mut broken = File::options()
            .create(true)
            .append(true)
            .open(directory.join("../broken"))?;
        writeln!(broken, "{number} ({}): {error:#}", std::process::id())?;
    }
    done
}

fn descriptors() -> Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

fn contend_until_enough(directory: &Path, number: u64) -> Result {
    let locks = Directory::open(Some(directory))?;
    let witness = Witness::new(&directory.join("../witness"))?;
    let numbers = Numbers::in_file(&directory.join("../progress"))?;
    let mut chance = Chance::new(number << 32 | u64::from(std::process::id()));
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("../log"))?;
    let mut before = None;
    let parent = getppid();
    // Should the test be killed, nobody is left.
    while numbers.get(ENOUGH) == 0 && getppid() == parent {
        let (request, claims) = wanted(&mut chance, number)?;
        let patience = match chance.below(8) {
            0 => Patience::None,
            1 => Patience::For(Duration::from_micros(chance.below(2000))),
            _ => Patience::Never,
        };
        let work = |held: &[Held], chance: &mut Chance| -> Result {
            let mut claims = claims.clone();
            numbers.add(usize::try_from(number)?, 1)?;
            if held[0].name() == "pool" {
                let bytes = held[0]
                    .elements()
                    .iter()
                    .map(|it| u64::from(it.as_bytes()[0]));
                claims.extend(bytes.map(|it| Claim::Alone(OF_THINGS + it)));
            }
            let inside = witness
                .enter(&claims)
                .with_context(|| format!("{request:?}"))?;
            let_pass(Duration::from_micros(chance.below(30)));
            if held[0].name() == "numbers" {
                let mine = &held[0].elements()[0];
                (&log).write_all(format!("try {mine}\n").as_bytes())?;
                if chance.below(3) > 0 {
                    held[0].commit()?;
                    (&log).write_all(format!("done {mine}\n").as_bytes())?;
                }
            }
            drop(inside);
            Ok(())
        };
        // Some ask for the same several times, by files that stay open.
        if chance.below(3) == 0 {
            let mut turns = locks.turns(request.clone());
            for _ in 0..chance.below(6) {
                match turns.take(patience) {
                    Ok(turn) => work(&turn, &mut chance)?,
                    Err(error) if error.is_busy() => {}
                    Err(error) => return Err(error).with_context(|| format!("{request:?}")),
                }
            }
            continue;
        }
        let held = match locks.acquire(&request, patience, None) {
            Ok(held) => held,
            Err(error) if error.is_busy() => continue,
            Err(error) => return Err(error).with_context(|| format!("{request:?}")),
        };
        work(&held, &mut chance)?;
        // Without a word, as somebody who is killed.
        if chance.below(3) > 0 {
            held.iter().for_each(Held::release);
        }
        drop(held);
        // The first ones are for what is opened once.
        if before.is_none() && chance.below(64) == 0 {
            before = Some(descriptors()?);
        }
    }
    if let Some(before) = before {
        let after = descriptors()?;
        // A bell may have been hung up for later.
        ensure!(after <= before + 1, "{before} descriptors, then {after}");
    }
    Ok(())
}

fn contender(place: &Place, number: usize) -> Result<Worker> {
    let command = Command::new(std::env::current_exe()?);
    Worker::start(command, &format!("storm {number}"), &place.directory())
}

/// Stops it again and again until it stands in the middle of a change. Whether it does, in the end.
fn catch_in_a_change(worker: &Worker, files: &[File], chance: &mut Chance) -> Result<bool> {
    const TRIES: u32 = 12;
    for _ in 0..TRIES {
        let_pass(Duration::from_micros(chance.below(200)));
        worker.stop()?;
        for file in files {
            // Others are in there for microseconds, or for as long as they have no processor.
            let since = Instant::now();
            while is_being_changed(file)? {
                if since.elapsed() > Duration::from_millis(4) {
                    return Ok(true);
                }
                std::thread::yield_now();
            }
        }
        worker.signal(Signal::CONT)?;
    }
    Ok(false)
}

/// What the survivor was seen to do.
struct Watched {
    seen: u64,
    since: Instant,
    /// How often it stood still for half a second, and the longest time.
    stalls: u32,
    longest: Duration,
}

impl Watched {
    fn look(&mut self, progress: &Numbers) {
        let seen = progress.get(0);
        let still = self.since.elapsed();
        if seen != self.seen {
            self.longest = self.longest.max(still);
            self.stalls += u32::from(still > Duration::from_millis(500));
            (self.seen, self.since) = (seen, Instant::now());
        }
    }
}

/// Every number was given, and none again that was used up.
fn judge_numbers(place: &Place) -> Result<usize> {
    let log = fs::read_to_string(place.path("log")).unwrap_or_default();
    let mut tried = std::collections::BTreeSet::new();
    let mut done = std::collections::BTreeSet::new();
    for line in log.lines() {
        let (what, number) = line.split_once(' ').context("two words")?;
        let number: u64 = number.parse()?;
        ensure!(
            !done.contains(&number),
            "{number} was used up, and then {what}"
        );
        tried.insert(number);
        if what == "done" {
            done.insert(number);
        }
    }
    // Whoever was killed between the grant and the line left no trace of the last one.
    let expected = 1..=tried.last().copied().unwrap_or(0);
    let missing: Vec<u64> = expected.filter(|it| !tried.contains(it)).collect();
    ensure!(missing.len() <= WORKERS, "never given: {missing:?}");
    Ok(done.len())
}

#[test]
fn a_storm_of_kills() -> Result {
    let place = Place::new()?;
    let progress = Numbers::in_file(&place.path("progress"))?;
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        workers.push(contender(&place, number)?);
    }
    for name in NAMES {
        // Where nobody has been there is nothing to look at.
        wait_until("its file", || {
            place
                .open(name)
                .is_ok_and(|it| it.metadata().is_ok_and(|it| it.len() > 0))
        })?;
    }
    let mut files = Vec::new();
    for name in NAMES {
        files.push(place.open(name)?);
    }
    let broken = || fs::read_to_string(place.path("broken")).unwrap_or_default();
    let mut chance = Chance::new(7);
    let mut caught = 0;
    let mut survivor = Watched {
        seen: progress.get(0),
        since: Instant::now(),
        stalls: 0,
        longest: Duration::ZERO,
    };
    let kills = rounds() * KILLS_A_ROUND;
    let started = Instant::now();
    for kill in 0..kills {
        let victim = 1 + usize::try_from(chance.below(WORKERS as u64 - 1))?;
        let seen = progress.get(victim);
        // It must be at it, and not still be starting.
        wait_for("progress", || {
            survivor.look(&progress);
            (progress.get(victim) != seen || !broken().is_empty()).then_some(())
        })
        .with_context(|| format!("after {kill} kills, process {victim} stands still"))?;
        let_pass(Duration::from_micros(chance.below(600)));
        // One in four wherever it is, be it in the middle of a system call.
        if kill % 4 > 0 && catch_in_a_change(&workers[victim], &files, &mut chance)? {
            caught += 1;
        }
        workers[victim].kill()?;
        ensure!(broken().is_empty(), "after {kill} kills: {}", broken());
        workers[victim] = contender(&place, victim)?;
    }
    let took = started.elapsed();
    progress.add(ENOUGH, 1)?;
    for worker in &mut workers {
        worker.end()?;
    }
    ensure!(broken().is_empty(), "{}", broken());
    for name in NAMES {
        ensure!(
            place.queue(name)? == (0, 0),
            "{name}: {:?}",
            place.locks.show(name)?
        );
    }
    let numbers = judge_numbers(&place)?;
    drop((workers, files));
    let open: Vec<_> = ward_testkit::processes::descriptors(i32::try_from(std::process::id())?)
        .into_iter()
        .filter(|(_, target)| target.starts_with(place.directory()))
        .collect();
    ensure!(open.is_empty(), "left open: {open:?}");
    let grants: u64 = (0..WORKERS).map(|it| progress.get(it)).sum();
    println!(
        "{kills} kills in {took:.1?}, {caught} of them in the middle of a change; {grants} grants, \
         {numbers} numbers used up; the survivor stood still {} times for more than half a second, \
         at most {:.1?}",
        survivor.stalls, survivor.longest
    );
    Ok(())
}
