//! Somebody stands still: whoever does not want to wait does not.

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use std::sync::mpsc;
use std::thread;
use ward_lock::{Held, LockError};
use ward_testkit::patience::LIMIT;

use super::Result;
use super::place::Place;

/// Asks without wanting to wait, and fails if there is no answer in the time that is a hang.
fn asked(place: &Place, name: &str) -> Result<std::result::Result<Held, LockError>> {
    let (answer, answered) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = answer.send(place.now(name));
        });
        answered.recv_timeout(LIMIT).context("it hangs")
    })
}

fn is_busy_with(got: &std::result::Result<Held, LockError>, pid: i32) -> bool {
    matches!(got, Err(LockError::Busy { holders, .. }) if holders.iter().any(|it| it.pid == pid))
}

#[test]
fn in_the_middle_of_a_change() -> Result {
    let place = Place::new()?;
    place.now("it")?.release();
    let mut worker = place.worker()?;
    ensure!(worker.hear()? == "here");
    worker.expect("stand-still it", "stands")?;
    let got = asked(&place, "it")?;
    let names_him = matches!(&got, Err(LockError::Stuck { who, .. }) if *who == [worker.pid()]);
    ensure!(names_him, "{got:?}");
    // Others are in nobody's way.
    place.now("other")?.release();
    worker.kill()?;
    place.now("it")?.release();
    Ok(())
}

#[test]
fn who_holds() -> Result {
    let place = Place::new()?;
    let mut worker = place.worker()?;
    ensure!(worker.hear()? == "here");
    worker.expect("lock it", "held")?;
    worker.stop()?;
    let got = asked(&place, "it")?;
    ensure!(is_busy_with(&got, worker.pid()), "{got:?}");
    worker.kill()?;
    place.now("it")?.release();
    Ok(())
}

#[test]
fn who_waits() -> Result {
    for killed in [false, true] {
        let place = Place::new()?;
        let first = place.now("it")?;
        let mut worker = place.worker()?;
        ensure!(worker.hear()? == "here");
        worker.order("lock it")?;
        place.await_queue("it", (1, 1))?;
        worker.stop()?;
        let got = asked(&place, "it")?;
        ensure!(
            is_busy_with(&got, i32::try_from(std::process::id())?),
            "{got:?}"
        );
        first.release();
        // It is his, though he does not know it.
        let got = asked(&place, "it")?;
        ensure!(is_busy_with(&got, worker.pid()), "{got:?}");
        if killed {
            worker.kill()?;
        } else {
            worker.signal(Signal::CONT)?;
            ensure!(worker.hear()?.starts_with("held"));
            worker.expect("release", "released")?;
        }
        place.now("it")?.release();
    }
    Ok(())
}

/// Behind somebody who was stopped and is first, others wait as long as they want to, and go on when
/// he is gone.
#[test]
fn who_waits_before_others() -> Result {
    let place = Place::new()?;
    let first = place.now("it")?;
    let mut workers = Vec::new();
    for number in 0..3 {
        let mut worker = place.worker()?;
        ensure!(worker.hear()? == "here");
        worker.order("lock it")?;
        place.await_queue("it", (1, number + 1))?;
        workers.push(worker);
    }
    workers[0].stop()?;
    first.release();
    ensure!(is_busy_with(&asked(&place, "it")?, workers[0].pid()));
    workers[0].kill()?;
    for worker in &mut workers[1..] {
        ensure!(worker.hear()?.starts_with("held"));
        worker.expect("release", "released")?;
    }
    place.now("it")?.release();
    Ok(())
}

/// Whoever is next is granted it while he sleeps, and nobody is told that he is the next one now:
/// those who are notice by themselves when the first is killed before he woke.
#[test]
fn who_was_granted_it_and_is_killed_before_he_knows() -> Result {
    let place = Place::new()?;
    let held = place.now("it")?;
    let mut workers = Vec::new();
    for number in 1..=4 {
        let mut worker = place.worker()?;
        ensure!(worker.hear()? == "here");
        worker.order("lock it")?;
        place.await_queue("it", (1, number))?;
        workers.push(worker);
    }
    let mut next = workers.remove(0);
    next.stop()?;
    held.release();
    drop(held);
    place.await_queue("it", (1, 3))?;
    for worker in workers {
        next.kill()?;
        ensure!(worker.hear()?.starts_with("held"));
        next = worker;
    }
    Ok(())
}
