//! Whoever is killed: while the command works nobody else is let in, and when it has ended the
//! lock is free.

use anyhow::ensure;
use rustix::process::Signal;
use ward_testkit::daemons::{Member, nobody_is_left};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::world;
use ward_testkit::world::World;

use crate::Result;
use crate::place::{
    BUSY, Holder, LONG, await_file, await_queue, flom, just, make, open, said, say, until, waiter,
    ward,
};

/// The process that holds a lock as the command, once that is written down.
pub(crate) fn work_of(world: &World, lock: &str) -> Result<Member> {
    wait_for("the command to be written down", || {
        let answer = ward(world, &["locks", "--json", lock]).expect(0).ok()?;
        let answer = answer.json().ok()?;
        let work = &answer["locks"][0]["holders"][0]["work"];
        Some(Member {
            pid: i32::try_from(work[0].as_u64()?).ok()?,
            ticks: work[1].as_u64()?,
        })
    })
}

/// Kills the wrapper while the command works, which takes its time to clean up if it is told.
fn overlap(signal: Signal) -> Result {
    let world = world!()?;
    let clean_up = format!(
        "trap 'trap \"\" TERM HUP; {} {} {} exit 0' TERM HUP;",
        make(&world, "told"),
        until(&world, "cleaned"),
        say(&world, "cleaned")
    );
    let options = ["-r", "R", "--grace=50s"];
    let holder = Holder::with(&world, "it", &options, &clean_up)?;
    let work = work_of(&world, "R")?;
    let next = waiter(&world, "R", &["-r", "R"], "next")?;
    holder.asked.signal(signal)?;
    await_file(&world, "told")?;
    just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    ensure!(work.is_alive(), "it was killed before it had cleaned up");
    open(&world, "cleaned")?;
    next.answer()?.expect(0)?;
    assert_eq!(said(&world), "cleaned\nnext\n");
    let answer = holder.asked.answer()?;
    assert_eq!(answer.code(), 128 + signal.as_raw(), "{answer:#?}");
    wait_until("the command to be gone", || !work.is_alive())?;
    nobody_is_left(&world)
}

#[test]
fn wrapper_sigkill_keeps_lock() -> Result {
    overlap(Signal::KILL)
}

#[test]
fn wrapper_sigterm_no_overlap() -> Result {
    overlap(Signal::TERM)
}

#[test]
fn wrapper_sighup_no_overlap() -> Result {
    overlap(Signal::HUP)
}

/// What comes nearest to FLoM's daemon is the guardian of each command.
#[test]
fn daemon_sigkill_no_overlap() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let next = waiter(&world, "R", &["-r", "R"], "next")?;
    let guardian = holder.guardian()?;
    ensure!(world.signal(guardian.pid, Signal::KILL), "no guardian");
    wait_until("the guardian to be gone", || !guardian.is_alive())?;
    just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    assert_eq!(said(&world), "");
    // And the command's end is told as it was.
    holder.end()?.expect(0)?;
    next.answer()?.expect(0)?;
    nobody_is_left(&world)
}

/// Whether one who waits is killed, or both who keep the command at once.
#[test]
fn both_keepers_killed_no_overlap() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let work = work_of(&world, "R")?;
    let first = waiter(&world, "R", &["-r", "R"], "first")?;
    let second = waiter(&world, "R", &["-r", "R"], "second")?;
    first.signal(Signal::KILL)?;
    first.answer()?.expect(137)?;
    let guardian = holder.guardian()?;
    holder.asked.signal(Signal::STOP)?;
    ensure!(world.signal(guardian.pid, Signal::KILL), "no guardian");
    holder.asked.signal(Signal::KILL)?;
    wait_until("the guardian to be gone", || !guardian.is_alive())?;
    just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    ensure!(
        work.is_alive() && said(&world).is_empty(),
        "{}",
        said(&world)
    );
    holder.open()?;
    second.answer()?.expect(0)?;
    assert_eq!(said(&world), "second\n");
    drop(holder);
    nobody_is_left(&world)
}

#[test]
fn forced_exit_no_overlap() -> Result {
    let world = world!()?;
    for (name, option) in [("one", "-X"), ("two", "-x"), ("three", "--immediate-exit")] {
        let holder = Holder::new(&world, name, &["-r", "R"])?;
        let next = waiter(&world, "R", &["-r", "R"], name)?;
        let answer = flom(&world, &[option]).expect(0)?;
        ensure!(answer.err.contains("there is no daemon"), "{answer:#?}");
        assert_eq!(answer.out, "");
        just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
        holder.end()?.expect(0)?;
        next.answer()?.expect(0)?;
    }
    assert_eq!(said(&world), "one\ntwo\nthree\n");
    // Also where nobody is there, and whatever else is said.
    flom(&world, &["-a", "localhost", "-X"]).expect(0)?;
    flom(&world, &["-x", "--", "false"]).expect(0)?;
    nobody_is_left(&world)
}

/// FLoM's `-o 0` hangs while its daemon stands still.
#[test]
fn timeout_bounds_even_if_helper_hangs() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let (work, guardian) = (work_of(&world, "R")?, holder.guardian()?);
    holder.asked.signal(Signal::STOP)?;
    ensure!(world.signal(guardian.pid, Signal::STOP), "no guardian");
    for timeout in ["0", "100"] {
        just(&world, &["-r", "R", "-o", timeout])?.expect(BUSY)?;
    }
    // The command is not concerned.
    holder.open()?;
    wait_until("the command to end", || !work.is_alive())?;
    ensure!(world.signal(guardian.pid, Signal::CONT), "no guardian");
    holder.asked.signal(Signal::CONT)?;
    holder.asked.answer()?.expect(0)?;
    just(&world, &["-r", "R", "-o", LONG])?.expect(0)?;
    nobody_is_left(&world)
}

/// A sequence's number comes back however its holder went.
#[test]
fn a_number_comes_back_when_everybody_is_killed() -> Result {
    let world = world!()?;
    let name = "_S_q[1]";
    let holder = Holder::new(&world, "it", &["-r", name])?;
    let work = work_of(&world, name)?;
    let guardian = holder.guardian()?;
    holder.asked.signal(Signal::STOP)?;
    ensure!(world.signal(guardian.pid, Signal::KILL), "no guardian");
    holder.asked.signal(Signal::KILL)?;
    ensure!(world.signal(work.pid, Signal::KILL), "no command");
    await_queue(&world, name, (0, 0))?;
    assert_eq!(crate::place::given(&world, &["-r", name])?, "1");
    Ok(())
}
