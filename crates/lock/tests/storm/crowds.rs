//! Many: contenders for one lock, locks at once, and in one queue.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ward_lock::{Directory, Held, LockError, Patience, Request};
use ward_testkit::moments::{let_pass, rounds};
use ward_testkit::patience::wait_until;

use super::Result;
use super::place::{Numbers, Place, Worker};
use super::worker::many_descriptors;

const PROCESSES: usize = 4;
const THREADS: usize = 16;

/// How long a turn is.
const TURN: Duration = Duration::from_micros(100);

/// How many turns were taken in all, in the numbers that all processes see.
const TURNS: usize = 0;

/// Some of the contenders: each takes turns until so many were taken by all, and tells how many were
/// its own.
pub(crate) fn take_turns(directory: &Path, enough: u32) -> Result {
    let locks = Directory::open(Some(directory))?;
    let turns = Arc::new(Numbers::in_file(&directory.join("../turns"))?);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (locks, turns) = (locks.clone(), Arc::clone(&turns));
            thread::spawn(move || -> Result<u32> {
                let mut own = 0;
                loop {
                    let _guard = locks.lock("it")?;
                    if turns.get(TURNS) >= u64::from(enough) {
                        return Ok(own);
                    }
                    turns.add(TURNS, 1)?;
                    own += 1;
                    // So long that whoever has had his turn is back in the queue before the next
                    // one, even where there are few processors.
                    let_pass(TURN);
                }
            })
        })
        .collect();
    for thread in threads {
        let own = thread.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
        eprintln!("@{}", own?);
    }
    Ok(())
}

#[test]
fn everybody_gets_his_share() -> Result {
    let place = Place::new()?;
    let each = rounds().max(20) * 2;
    let contenders = u32::try_from(PROCESSES * THREADS)?;
    let first = place.now("it")?;
    let mut workers = Vec::new();
    for _ in 0..PROCESSES {
        let command = Command::new(std::env::current_exe()?);
        let task = format!("turns {}", each * contenders);
        workers.push(Worker::start(command, &task, &place.directory())?);
    }
    // They begin together.
    place.await_queue("it", (1, PROCESSES * THREADS))?;
    first.release();
    let mut shares: Vec<u32> = Vec::new();
    for worker in &workers {
        for _ in 0..THREADS {
            shares.push(worker.hear()?.parse()?);
        }
    }
    shares.sort_unstable();
    ensure!(shares.iter().sum::<u32>() == each * contenders);
    let (least, most) = (shares[0], shares[shares.len() - 1]);
    println!("{contenders} contenders, {each} turns each on average: {least} to {most}");
    ensure!(
        least * 10 >= each * 9 && most * 10 <= each * 11,
        "{shares:?}"
    );
    workers.iter_mut().try_for_each(Worker::end)
}

/// As many as may be open at once; 5,000 if they may.
#[test]
fn thousands_of_locks_at_once() -> Result {
    const SPARE: u64 = 200;
    let place = Place::new()?;
    let may = many_descriptors().saturating_sub(SPARE);
    let many = may.min(u64::from(rounds()) * 250).min(5000);
    let mut held: Vec<Held> = Vec::new();
    for number in 0..many {
        let got = place.now(&format!("lock-{number}"));
        held.push(got.with_context(|| format!("with {number} held"))?);
    }
    for number in (0..many).step_by(97) {
        let refused = place.now(&format!("lock-{number}"));
        ensure!(
            matches!(refused, Err(LockError::Busy { .. })),
            "{refused:?}"
        );
    }
    // Half of them with a word, half without.
    for held in held.iter().step_by(2) {
        held.release();
    }
    drop(held);
    for number in (0..many).step_by(89) {
        place.now(&format!("lock-{number}"))?.release();
    }
    ensure!(place.locks.list()?.locks.is_empty());
    println!("{many} locks were held at once");
    Ok(())
}

/// Everybody comes while one holds, in any order, and is served in the order in which he came.
pub(crate) fn served_in_order(many: usize) -> Result {
    let place = Place::new()?;
    let may = many_descriptors();
    ensure!(may > many as u64 + 200, "SKIPPED: only {may} descriptors");
    let first = place.now("it")?;
    let served = Arc::new(Mutex::new(Vec::new()));
    let (failed, failures) = mpsc::channel();
    let threads: Vec<_> = (0..many)
        .map(|_| {
            let (locks, served, failed) =
                (place.locks.clone(), Arc::clone(&served), failed.clone());
            // Thousands of stacks of the usual size are too many for small machines.
            thread::Builder::new().stack_size(256 << 10).spawn(move || {
                let request = Request::exclusive("it").expect("a name");
                match locks.acquire(&request, Patience::Never, None) {
                    Ok(held) => {
                        let numbers = (held[0].ticket(), held[0].token());
                        served.lock().expect("nobody panicked").push(numbers);
                        held[0].release();
                    }
                    Err(error) => {
                        let _ = failed.send(error);
                    }
                }
            })
        })
        .collect::<std::io::Result<_>>()?;
    drop(failed);
    let mut failure = None;
    let all_there = wait_until("all of them in the queue", || {
        failure = failure.take().or_else(|| failures.try_recv().ok());
        failure.is_some() || place.queue("it").is_ok_and(|queue| queue == (1, many))
    });
    first.release();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
    }
    if let Some(failure) = failure.or_else(|| failures.try_recv().ok()) {
        return Err(failure).context("somebody who would have waited for ever");
    }
    all_there?;
    let served = served.lock().expect("nobody panicked");
    ensure!(served.len() == many && served.is_sorted(), "{served:?}");
    ensure!(place.queue("it")? == (0, 0));
    println!("{many} were served in order");
    Ok(())
}

#[test]
fn hundreds_wait_in_order() -> Result {
    served_in_order(400)
}
