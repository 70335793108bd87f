//! Locks that are shared with another namespace of process ids, as with a container.

use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use ward_lock::LockError;
use ward_testkit::patience::wait_for;
use ward_testkit::processes;

use super::Result;
use super::place::{Place, Worker};

/// Runs us in another namespace, where a shell stays that is not killed with us.
fn unshare() -> Option<Command> {
    let mut words = vec!["--pid", "--fork", "--kill-child", "--mount-proc"];
    if !ward_testkit::world::is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    let can = Command::new("unshare").args(&words).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: no other namespace of processes is to be had here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(words).args([
        "sh",
        "-c",
        "exec 3<&0; \"$0\" \"$@\" <&3 & wait; exec sleep 600",
    ]);
    command.arg(std::env::current_exe().ok()?);
    Some(command)
}

/// Whoever the shell inside has started: us, and what we leave behind.
fn inside(outer: &Worker) -> Result<Vec<processes::Seen>> {
    let shell = wait_for("the shell", || {
        processes::children(outer.pid()).into_iter().next()
    })?;
    Ok(processes::children(shell.pid))
}

fn kill_inside(outer: &Worker, is_him: impl Fn(&processes::Seen) -> bool) -> Result {
    let all = inside(outer)?;
    let him = all
        .iter()
        .find(|it| is_him(it))
        .context("nobody like that")?;
    Ok(kill_process(
        Pid::from_raw(him.pid).context("a number")?,
        Signal::KILL,
    )?)
}

fn is_us(seen: &processes::Seen) -> bool {
    seen.command.contains("worker_process")
}

fn is_busy(place: &Place) -> bool {
    matches!(place.now("it"), Err(LockError::Busy { .. }))
}

#[test]
fn inside_and_outside_see_one_another() -> Result {
    let Some(command) = unshare() else {
        return Ok(());
    };
    let place = Place::new()?;
    let mut worker = place.worker_through(command)?;
    ensure!(worker.hear()? == "here");
    worker.expect("lock it", "held")?;
    ensure!(is_busy(&place));
    worker.expect("release", "released")?;
    let held = place.now("it")?;
    worker.expect("try it", "busy")?;
    worker.order("lock it")?;
    place.await_queue("it", (1, 1))?;
    held.release();
    ensure!(worker.hear()?.starts_with("held"));
    ensure!(is_busy(&place));
    kill_inside(&worker, is_us)?;
    // It takes the kernel a moment.
    wait_for("the lock", || place.now("it").ok())?.release();
    Ok(())
}

/// Work that has closed its descriptors goes on inside, and those who guarded it are killed.
#[test]
fn work_inside_is_seen_outside() -> Result {
    let Some(command) = unshare() else {
        return Ok(());
    };
    let place = Place::new()?;
    let mut worker = place.worker_through(command)?;
    ensure!(worker.hear()? == "here");
    worker.expect("lock it", "held")?;
    worker.expect("work", "works")?;
    kill_inside(&worker, is_us)?;
    wait_for("him to be gone", || {
        (!inside(&worker).ok()?.iter().any(is_us)).then_some(())
    })?;
    ensure!(is_busy(&place), "the work goes on");
    let mut other = place.worker()?;
    ensure!(other.hear()? == "here");
    other.order("lock it")?;
    place.await_queue("it", (1, 1))?;
    kill_inside(&worker, |seen| seen.command.starts_with("sleep"))?;
    ensure!(other.hear()?.starts_with("held"));
    Ok(())
}

/// As above, but others were started within the same tick of the clock, and go on.
pub(crate) fn work_is_told_from_others_of_its_age() -> Result {
    let Some(command) = unshare() else {
        return Ok(());
    };
    let place = Place::new()?;
    let mut worker = place.worker_through(command)?;
    ensure!(worker.hear()? == "here");
    worker.expect("lock it", "held")?;
    let work = worker.expect("work-beside-others", "works")?;
    worker.expect(&format!("end-work {work}"), "ended")?;
    // He goes too, so that only the work would hold it.
    kill_inside(&worker, is_us)?;
    wait_for("the lock", || place.now("it").ok())?.release();
    Ok(())
}
