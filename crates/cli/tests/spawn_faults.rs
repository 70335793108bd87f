//! Whatever is killed, at whatever moment, and however many ask at once: never a process that
//! nobody knows, and never a ledger that nobody can read.
//!
//! `WARD_TEST_ROUNDS` says how often each is tried (20 if it says nothing).

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::rung::Rung;
use ward_testkit::daemons::{
    Ask, Asked, await_state, custody, everything, nobody_is_left, ps, shown, spawn, state, stop,
    whole_log,
};
use ward_testkit::hostile::noise::{beats, numbered_line};
use ward_testkit::moments::{let_pass, moments};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::look;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, World, can_have};

type Result = anyhow::Result<()>;

const UNKNOWN_NAME: i32 = 121;
const NAME_TAKEN: i32 = 122;

fn each(span: Duration, mut round: impl FnMut(&World, Duration) -> Result) -> Result {
    let mut wrong = Vec::new();
    for moment in moments(span) {
        let world = world!()?;
        if let Err(error) = round(&world, moment) {
            wrong.push(format!(
                "after {moment:?}: {error:#}\n{}",
                everything(&world, "web")
            ));
        }
        // Each may have waited for as long as a test waits.
        ensure!(wrong.len() < 3, "{}", wrong.join("\n"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// How long a call takes here and now, so that moments can be spread over it.
fn how_long(mut call: impl FnMut() -> anyhow::Result<Asked>) -> anyhow::Result<Duration> {
    let started = Instant::now();
    call()?.answer()?;
    Ok(started.elapsed())
}

/// Whoever is alive is known: `ward ps` can be read, and if there is a daemon it names it; then
/// `ward stop` ends everybody.
fn nobody_is_unknown(world: &World) -> Result {
    // Whoever holds a daemon may be about to start it, or to give up.
    let mut last = String::new();
    wait_until("things to settle", || {
        let shown = shown(world, "web");
        last = format!("{shown:?}");
        let Ok(shown) = shown else { return true };
        let starting = shown.is_some_and(|shown| shown["state"] == "starting");
        !starting || world.wards().is_empty()
    })
    .with_context(|| last.clone())?;
    ps(world, &["--all"]).context("the ledger cannot be read")?;
    let alive = world.survivors();
    if !alive.is_empty() {
        let shown = shown(world, "web")?
            .with_context(|| format!("nobody knows {alive:#?}, nor {:#?}", world.wards()))?;
        ensure!(
            ["starting", "running", "unguarded", "stopping"]
                .contains(&shown["state"].as_str().unwrap_or_default()),
            "{alive:#?} are alive, but: {shown:#}"
        );
    }
    let answer = Ask::new(world, ["stop", "web"]).answer()?;
    ensure!([0, UNKNOWN_NAME].contains(&answer.code()), "{answer:#?}");
    ensure!(answer.code() == 0 || alive.is_empty(), "{answer:#?}");
    nobody_is_left(world).with_context(|| format!("after {answer:#?}"))?;
    // The name is not lost for it.
    spawn(world, "web", &[], &["linger"]).context("the name cannot be used again")?;
    stop(world, &["web"])?;
    Ok(())
}

fn spawning<'w>(world: &'w World, options: &[&str]) -> Ask<'w> {
    Ask::new(world, ["spawn", "--name", "web", "--grace", "300ms"])
        .words(options)
        .hostile(&["mixed-tree", "6"])
}

#[test]
fn spawn_is_killed() -> Result {
    let span = {
        let world = world!()?;
        how_long(|| spawning(&world, &[]).start())?
    };
    let mut killed = 0;
    each(span.mul_f64(1.3), |world, moment| {
        let asked = spawning(world, &[]).start()?;
        let_pass(moment);
        asked.signal(Signal::KILL)?;
        // Also whoever is left holds nothing of the caller's.
        killed += u32::from(asked.answer()?.code() == 128 + 9);
        nobody_is_unknown(world)
    })?;
    ensure!(
        killed > 0,
        "it always ended before: the test proves nothing"
    );
    Ok(())
}

#[test]
fn spawn_is_killed_while_it_replaces() -> Result {
    let span = {
        let world = world!()?;
        spawning(&world, &[]).expect(0)?;
        world.await_signatures(6)?;
        how_long(|| spawning(&world, &["--replace"]).start())?
    };
    each(span.mul_f64(1.2), |world, moment| {
        spawning(world, &[]).expect(0)?;
        let asked = spawning(world, &["--replace", "--rollback"]).start()?;
        let_pass(moment);
        asked.signal(Signal::KILL)?;
        asked.answer()?;
        nobody_is_unknown(world)
    })
}

#[test]
fn stop_is_killed() -> Result {
    each(Duration::from_millis(400), |world, moment| {
        spawning(world, &[]).expect(0)?;
        world.await_signatures(6)?;
        let asked = Ask::new(world, ["stop", "web"]).start()?;
        let_pass(moment);
        asked.signal(Signal::KILL)?;
        asked.answer()?;
        stop(world, &["web"]).context("the second stop does not finish")?;
        Ask::new(world, ["status", "web"]).expect(3)?;
        Ok(())
    })
}

/// Which of the custodians are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Front,
    Guardian,
}

/// One of the two is lost while the daemon starts up: the other one carries on.
#[test]
fn one_custodian_is_killed_at_any_moment() -> Result {
    for (lost, rung) in [
        (Lost::Front, Rung::Guardian),
        (Lost::Front, Rung::Cgroup),
        (Lost::Guardian, Rung::Guardian),
        (Lost::Guardian, Rung::Cgroup),
    ] {
        let who = Who::Myself;
        if !can_have(Setting { who, rung }) {
            continue;
        }
        each(Duration::from_millis(60), |world, moment| {
            spawning(world, &["--containment", rung.name()]).expect(0)?;
            let before = custody(world, "web")?;
            let_pass(moment);
            let victim = match lost {
                Lost::Front => before.front,
                Lost::Guardian => before.guardian,
            };
            world.signal(victim.pid, Signal::KILL);
            wait_until("the custodian to be gone", || !victim.is_alive())?;
            // Nobody of the tree is touched.
            world.await_signatures(6)?;
            ensure!(before.leader.is_alive(), "the daemon is gone");
            assert_eq!(state(world, "web")?, "running");
            stop(world, &["web"])?;
            Ok(())
        })
        .with_context(|| format!("{lost:?} lost, {rung:?}"))?;
    }
    Ok(())
}

/// A daemon that writes can go on writing, and all of it is in the log.
#[test]
fn one_custodian_is_killed_while_the_daemon_writes() -> Result {
    for lost in [Lost::Front, Lost::Guardian] {
        let world = world!()?;
        let file = world.path("beats");
        let before = spawn(
            &world,
            "web",
            &["--log-max", "64K"],
            &["beat", &text(&file)],
        )?;
        wait_until("a few beats", || beats(&file).is_ok_and(|beat| beat > 20))?;
        let victim = match lost {
            Lost::Front => before.front,
            Lost::Guardian => before.guardian,
        };
        world.signal(victim.pid, Signal::KILL);
        wait_until("the custodian to be gone", || !victim.is_alive())?;
        // More than the largest pipe holds.
        let first = beats(&file)?;
        wait_until("the daemon to go on", || match beats(&file) {
            Ok(beat) => beat > first + 1200,
            Err(_) => true,
        })?;
        let last = beats(&file).with_context(|| format!("{lost:?}"))?;
        wait_until("the log to follow", || {
            Ask::new(&world, ["logs", "-n", "1000", "web"])
                .answer()
                .is_ok_and(|answer| answer.out.contains(&format!("beat {last:010} ")))
        })
        .with_context(|| format!("{lost:?}"))?;
        stop(&world, &["web"]).with_context(|| format!("{lost:?}"))?;
    }
    Ok(())
}

/// Both are lost, one soon after the other: the daemon lives, and this is said; it can still be
/// stopped, with everybody whom it started.
#[test]
fn both_custodians_are_killed() -> Result {
    each(Duration::from_millis(30), |world, moment| {
        spawning(world, &[]).expect(0)?;
        world.await_signatures(6)?;
        let before = custody(world, "web")?;
        world.signal(before.front.pid, Signal::KILL);
        let_pass(moment);
        world.signal(before.guardian.pid, Signal::KILL);
        wait_until("the custodians to be gone", || {
            !before.front.is_alive() && !before.guardian.is_alive()
        })?;
        // Whoever was to take over may have put somebody else into his place.
        if world.wards().is_empty() {
            ensure!(before.leader.is_alive(), "the daemon is gone");
            await_state(world, "web", "unguarded")?;
            let shown = shown(world, "web")?.context("not shown")?;
            ensure!(shown["pid"] == before.leader.pid, "{shown:#}");
        }
        let status = Ask::new(world, ["status", "web"]).expect(0)?;
        ensure!(
            status.out.contains("unguarded") || !world.wards().is_empty(),
            "{status:#?}"
        );
        // Nobody else may have the name meanwhile.
        spawning(world, &[]).expect(NAME_TAKEN)?;
        stop(world, &["web"])?;
        Ok(())
    })
}

/// Both are lost while the daemon writes: nobody reads any more, and still it is not touched.
#[test]
fn both_custodians_are_killed_while_the_daemon_writes() -> Result {
    let world = world!()?;
    let file = world.path("beats");
    let before = spawn(&world, "web", &[], &["beat", &text(&file)])?;
    wait_until("a few beats", || beats(&file).is_ok_and(|beat| beat > 20))?;
    for custodian in [before.front, before.guardian] {
        world.signal(custodian.pid, Signal::KILL);
        wait_until("the custodian to be gone", || !custodian.is_alive())?;
    }
    // More than the largest pipe holds; it may be made to wait, but must not be ended.
    let first = beats(&file).context("it was ended by a broken pipe")?;
    wait_until("the daemon to go on, or to wait", || match beats(&file) {
        Ok(beat) => {
            beat > first + 1200 || look(before.leader.pid).is_some_and(|seen| seen.state == 'S')
        }
        Err(_) => true,
    })?;
    beats(&file).context("it was ended by a broken pipe")?;
    ensure!(before.leader.is_alive(), "the daemon is gone");
    await_state(&world, "web", "unguarded")?;
    stop(&world, &["web"])?;
    Ok(())
}

/// One is lost in a flood: not a byte is missing, nor there twice.
#[test]
fn one_custodian_is_killed_in_a_flood() -> Result {
    let wanted: String = (1..=100_000).map(numbered_line).collect();
    let options = ["--log-max", "256K", "--log-keep", "100"];
    let flood = ["numbered-lines", "100000"];
    for lost in [Lost::Front, Lost::Guardian] {
        each(Duration::from_millis(30), |world, moment| {
            let before = spawn(world, "web", &options, &flood)?;
            let_pass(moment);
            let victim = match lost {
                Lost::Front => before.front,
                Lost::Guardian => before.guardian,
            };
            world.signal(victim.pid, Signal::KILL);
            wait_until("the daemon to end", || {
                world.survivors().is_empty() && world.wards().is_empty()
            })?;
            let log = whole_log(world, "web")?;
            let at = log.iter().zip(wanted.as_bytes()).position(|(a, b)| a != b);
            ensure!(
                log == wanted.as_bytes(),
                "{lost:?}: {} bytes instead of {}, differing at {at:?}",
                log.len(),
                wanted.len()
            );
            let shown = Ask::new(world, ["logs", "web"]).expect(0)?;
            ensure!(
                shown.out == wanted,
                "{lost:?}: `ward logs` shows {} bytes of {}",
                shown.out.len(),
                wanted.len()
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// An unguarded daemon is replaced like any other.
#[test]
fn an_unguarded_daemon_is_replaced() -> Result {
    let world = world!()?;
    let before = spawn(&world, "web", &["--grace", "300ms"], &["mixed-tree", "6"])?;
    world.await_signatures(6)?;
    for custodian in [before.front, before.guardian] {
        world.signal(custodian.pid, Signal::KILL);
    }
    await_state(&world, "web", "unguarded")?;
    let after = spawn(&world, "web", &["--replace"], &["linger"])?;
    let left: Vec<i32> = world.survivors().iter().map(|seen| seen.pid).collect();
    assert_eq!(left, [after.leader.pid]);
    assert_eq!(state(&world, "web")?, "running");
    stop(&world, &["web"])?;
    Ok(())
}

/// Everybody is killed, as by a loss of power: it is known that nobody runs.
#[test]
fn everybody_is_killed() -> Result {
    let world = world!()?;
    let before = spawn(&world, "web", &[], &["linger"])?;
    for member in [before.front, before.guardian, before.leader] {
        world.signal(member.pid, Signal::KILL);
        wait_until("it to be gone", || !member.is_alive())?;
    }
    wait_until("the others", || world.wards().is_empty())?;
    Ask::new(&world, ["status", "web"]).expect(3)?;
    // Its empty cgroup may be left to who comes later.
    Ask::new(&world, ["stop", "web"]).expect(0)?;
    nobody_is_left(&world)?;
    spawn(&world, "web", &[], &["linger"])?;
    stop(&world, &["web"])?;
    Ok(())
}

#[test]
fn fifty_want_the_same_name() -> Result {
    let world = world!()?;
    let asked: Vec<Asked> = (0..50)
        .map(|_| {
            Ask::new(&world, ["spawn", "--name", "web"])
                .hostile(&["linger"])
                .start()
        })
        .collect::<anyhow::Result<_>>()?;
    let mut won = Vec::new();
    for one in asked {
        let answer = one.answer()?;
        match answer.code() {
            0 => won.push(answer.pid()?),
            NAME_TAKEN => {}
            _ => anyhow::bail!("{answer:#?}"),
        }
    }
    let [winner] = won[..] else {
        anyhow::bail!("winners: {won:?}; alive: {:#?}", world.survivors());
    };
    let left: Vec<i32> = world.survivors().iter().map(|seen| seen.pid).collect();
    assert_eq!(left, [winner]);
    assert_eq!(world.signed(), [winner], "somebody else was started too");
    assert_eq!(custody(&world, "web")?.leader.pid, winner);
    stop(&world, &["web"])?;
    Ok(())
}

/// Many stop, start and restart the same one at the same time: each gets an answer that makes
/// sense, and in the end there is one or none.
#[test]
fn many_do_different_things_at_once() -> Result {
    let world = world!()?;
    spawn(&world, "web", &[], &["linger"])?;
    let asked: Vec<Asked> = (0..24)
        .map(|number| match number % 4 {
            0 => Ask::new(&world, ["stop", "web"]).start(),
            1 => Ask::new(&world, ["restart", "web"]).start(),
            2 => Ask::new(&world, ["spawn", "--name", "web", "--replace"])
                .hostile(&["linger"])
                .start(),
            _ => Ask::new(&world, ["spawn", "--name", "web", "--if-running", "keep"])
                .hostile(&["linger"])
                .start(),
        })
        .collect::<anyhow::Result<_>>()?;
    for one in asked {
        let answer = one.answer()?;
        ensure!([0, NAME_TAKEN].contains(&answer.code()), "{answer:#?}");
    }
    let left = world.survivors();
    ensure!(left.len() <= 1, "{left:#?}");
    stop(&world, &["web"])?;
    Ok(())
}
