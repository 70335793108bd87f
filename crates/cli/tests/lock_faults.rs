//! Whoever is killed, at whatever moment: never two inside, never a lock that nobody can get.
//!
//! `WARD_TEST_ROUNDS` says how often each is tried (20 if it says nothing).

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::{Ask, Asked, Member, nobody_is_left};
use ward_testkit::moments::{let_pass, moments};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::children;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::World;

type Result = anyhow::Result<()>;

const BUSY: i32 = 122;

fn ask<'w>(world: &'w World, words: &[&str]) -> Ask<'w> {
    Ask::new(world, words)
        .variable("WARD_LOCK_DIR", world.path("locks"))
        .variable("WARD_LOCKS_HELD", "")
}

/// How many hold the lock, and how many wait for it.
fn queue(world: &World) -> anyhow::Result<(usize, usize)> {
    let answer = ask(world, &["locks", "--json", "it"]).expect(0)?.json()?;
    let count = |list: &Value| list.as_array().map(Vec::len);
    let lock = &answer["locks"][0];
    count(&lock["holders"])
        .zip(count(&lock["waiting"]))
        .with_context(|| format!("{answer:#}"))
}

fn await_queue(world: &World, wanted: (usize, usize)) -> Result {
    let mut last = String::new();
    wait_until("the queue", || {
        let queue = queue(world);
        last = format!("{queue:?}");
        queue.is_ok_and(|queue| queue == wanted)
    })
    .with_context(|| format!("not {wanted:?}, but {last}"))
}

fn said(world: &World) -> String {
    fs::read_to_string(world.path("said")).unwrap_or_default()
}

/// Work that says when it comes and goes, and that it found somebody inside who is alive. Who is
/// inside has left a link to his number; of who was killed inside there is no command line.
fn work(world: &World) -> String {
    let (link, said) = (text(world.path("inside")), text(world.path("said")));
    format!(
        "trap '' TERM HUP INT
        while ! ln -s $$ {link} 2>/dev/null; do
            other=$(readlink {link}) || continue
            if [ -n \"$(tr -d '\\0' 2>/dev/null </proc/$other/cmdline)\" ]; then
                echo \"broken $$ $other\" >>{said}; echo \"$other is inside\" >&2; exit 77
            fi
            rm -f {link}
        done
        echo \"enter $$\" >>{said}
        sleep 0.03
        echo \"leave $$\" >>{said}
        rm -f {link}"
    )
}

/// Work that lasts until the test opens the gate.
fn gated(world: &World) -> String {
    let (gate, said) = (text(world.path("gate")), text(world.path("said")));
    format!(
        "trap '' TERM HUP INT; echo enter >>{said}; n=0
        while [ ! -e {gate} ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.02; done
        echo leave >>{said}"
    )
}

/// The guardian of a front, if it has one yet.
fn guardian(front: &Asked) -> Option<Member> {
    children(front.pid())
        .into_iter()
        .find(|child| child.is_wards_own())
        .and_then(|child| Member::now(child.pid).ok())
}

fn kill(world: &World, member: Option<Member>) {
    if let Some(member) = member.filter(Member::is_alive) {
        world.signal(member.pid, Signal::KILL);
    }
}

/// Which of the first one's custodians are killed, or the second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Front,
    Guardian,
    Both,
    Waiter,
}

fn a_round(world: &World, lost: Lost, moment: Duration, containment: &str) -> Result {
    let contender = || {
        ask(world, &["lock", "it", "--containment", containment])
            .sh(&work(world))
            .start()
    };
    let (first, second) = (contender()?, contender()?);
    let_pass(moment);
    match lost {
        Lost::Front => first.signal(Signal::KILL)?,
        Lost::Guardian => kill(world, guardian(&first)),
        Lost::Both => {
            let guardian = guardian(&first);
            first.signal(Signal::KILL)?;
            kill(world, guardian);
        }
        Lost::Waiter => second.signal(Signal::KILL)?,
    }
    let third = ask(world, &["lock", "it", "--wait", "20s"])
        .sh(&work(world))
        .answer()?;
    ensure!(
        third.code() == 0,
        "it cannot be got: {:?}, {}, {:#?}",
        said(world),
        third.err,
        world.survivors()
    );
    let (first, second) = (first.answer()?, second.answer()?);
    let told: Vec<_> = [&first, &second, &third]
        .map(|answer| (answer.code(), answer.err.clone()))
        .into();
    let said = said(world);
    let all = format!("{said:?}, {told:#?}");
    ensure!(!said.contains("broken"), "two inside: {all}");
    let untouched = if lost == Lost::Waiter {
        &first
    } else {
        &second
    };
    ensure!(untouched.code() == 0, "another one failed: {all}");
    nobody_is_left(world).with_context(|| all.clone())?;
    ensure!(queue(world)? == (0, 0), "stale: {:?}; {all}", queue(world)?);
    Ok(())
}

fn rounds_with(lost: Lost) -> Result {
    let span = {
        let world = world!()?;
        let started = Instant::now();
        ask(&world, &["lock", "it"]).sh(&work(&world)).expect(0)?;
        started.elapsed()
    };
    for containment in ["auto", "guardian"] {
        for moment in moments(span.mul_f64(1.8)) {
            let world = world!()?;
            a_round(&world, lost, moment, containment).with_context(|| {
                format!("{lost:?}, {containment}, after {moment:?} of {span:?}")
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_front_is_killed_at_any_moment() -> Result {
    rounds_with(Lost::Front)
}

#[test]
fn a_guardian_is_killed_at_any_moment() -> Result {
    rounds_with(Lost::Guardian)
}

#[test]
fn both_are_killed_at_any_moment() -> Result {
    rounds_with(Lost::Both)
}

#[test]
fn a_waiter_is_killed_at_any_moment() -> Result {
    rounds_with(Lost::Waiter)
}

/// All want it at once, and some of them are killed all the time.
#[test]
fn many_want_it_and_some_are_killed() -> Result {
    let world = world!()?;
    let mut asked: Vec<Asked> = (0..24)
        .map(|_| ask(&world, &["lock", "it"]).sh(&work(&world)).start())
        .collect::<anyhow::Result<_>>()?;
    for (number, one) in asked.iter_mut().enumerate() {
        if number % 3 == 0 && !one.is_over() {
            kill(&world, guardian(one));
        }
        if number % 2 == 0 && !one.is_over() {
            one.signal(Signal::KILL)?;
        }
    }
    for (number, one) in asked.into_iter().enumerate() {
        let answer = one.answer()?;
        ensure!(
            answer.code() != 77 && (number % 2 == 0 || number % 3 == 0 || answer.code() == 0),
            "{number}: {answer:#?}\n{}",
            said(&world)
        );
    }
    ensure!(!said(&world).contains("broken"), "{}", said(&world));
    nobody_is_left(&world)?;
    ask(&world, &["lock", "it", "--no-wait", "--", "true"]).expect(0)?;
    ensure!(queue(&world)? == (0, 0));
    Ok(())
}

/// However the one in front is ended: the next one enters when the command has ended.
#[test]
fn the_next_one_waits_for_the_command_of_a_front_that_was_ended() -> Result {
    for signal in [Signal::TERM, Signal::HUP, Signal::KILL] {
        for containment in ["auto", "guardian"] {
            let world = world!()?;
            let what = format!("{signal:?}, {containment}");
            let options = ["lock", "it", "--grace", "55s", "--containment", containment];
            let first = ask(&world, &options).sh(&gated(&world)).start()?;
            wait_until("the work", || said(&world).contains("enter"))?;
            let next = format!("echo next >>{}", text(world.path("said")));
            let second = ask(&world, &["lock", "it"]).sh(&next).start()?;
            await_queue(&world, (1, 1)).with_context(|| what.clone())?;
            let front = Member::now(first.pid())?;
            first.signal(signal)?;
            if signal == Signal::KILL {
                wait_until("the front to be gone", || !front.is_alive())?;
            }
            ask(&world, &["lock", "it", "--no-wait", "--", "true"])
                .expect(BUSY)
                .with_context(|| what.clone())?;
            ensure!(queue(&world)? == (1, 1), "{what}: {:?}", queue(&world)?);
            fs::write(world.path("gate"), "")?;
            second.answer()?.expect(0).with_context(|| what.clone())?;
            let first = first.answer()?;
            assert_eq!(said(&world), "enter\nleave\nnext\n", "{what}: {first:#?}");
            nobody_is_left(&world).with_context(|| what.clone())?;
        }
    }
    Ok(())
}

/// Closes whatever it inherited, and lives until the gate opens.
const CLOSES_ALL: &str = "\
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
gate, said = sys.argv[1:3]
os.closerange(0, 4096)
def say(word):
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.write(out, word)
    os.close(out)
say(b'enter\\n')
end = time.monotonic() + 100
while not os.path.exists(gate) and time.monotonic() < end:
    time.sleep(0.01)
say(b'leave\\n')
";

/// Of a command that closed all descriptors nothing is left in the kernel that says that it
/// holds: it does all the same.
#[test]
fn a_command_that_closes_all_descriptors_keeps_it() -> Result {
    let Some(python) = in_path("python3") else {
        skipped("a command that closes all descriptors", "no python3");
        return Ok(());
    };
    for containment in ["auto", "guardian"] {
        let world = world!()?;
        let (gate, file) = (world.path("gate"), world.path("said"));
        let words = [python.as_path(), Path::new("-c"), CLOSES_ALL.as_ref()];
        let options = ["lock", "it", "--grace", "55s", "--containment", containment];
        let first = ask(&world, &options)
            .words(["--"])
            .words(words)
            .words([&gate, &file])
            .start()?;
        wait_until("the work", || said(&world) == "enter\n")?;
        let front = Member::now(first.pid())?;
        let guardian = wait_for("a guardian", || guardian(&first))?;
        let leader = wait_for("a command", || {
            let of_guardian = children(guardian.pid);
            let of_both = of_guardian.into_iter().chain(children(front.pid));
            let mut commands = of_both.filter(|child| !child.is_wards_own());
            commands.find_map(|child| Member::now(child.pid).ok())
        })?;
        let next = format!("echo next >>{}", text(&file));
        let second = ask(&world, &["lock", "it"]).sh(&next).start()?;
        await_queue(&world, (1, 1))?;
        first.signal(Signal::KILL)?;
        kill(&world, Some(guardian));
        wait_until("both to be gone", || {
            !front.is_alive() && !guardian.is_alive()
        })?;
        ensure!(leader.is_alive(), "{containment}: the command is gone");
        ask(&world, &["lock", "it", "--no-wait", "--", "true"])
            .expect(BUSY)
            .context(containment)?;
        assert_eq!(queue(&world)?, (1, 1), "{containment}");
        fs::write(&gate, "")?;
        second.answer()?.expect(0).context(containment)?;
        assert_eq!(said(&world), "enter\nleave\nnext\n", "{containment}");
        first.answer()?;
        nobody_is_left(&world)?;
        ask(&world, &["lock", "it", "--no-wait", "--", "true"]).expect(0)?;
        assert_eq!(queue(&world)?, (0, 0), "{containment}");
    }
    Ok(())
}

/// Somebody who has the lock until the gate opens.
fn holder(world: &World) -> anyhow::Result<Asked> {
    let options = ["lock", "it", "--shared"];
    let holder = ask(world, &options).sh(&gated(world)).start()?;
    await_queue(world, (1, 0))?;
    Ok(holder)
}

#[test]
fn a_waiter_that_is_ended_leaves_the_queue() -> Result {
    let world = world!()?;
    let first = holder(&world)?;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
        let ended = ask(&world, &["lock", "it"]).sh("exit 1").start()?;
        await_queue(&world, (1, 1))?;
        let next = ask(&world, &["lock", "it", "--shared"])
            .sh("exit 0")
            .start()?;
        await_queue(&world, (1, 2))?;
        ended.signal(signal)?;
        ended.answer()?.expect(128 + signal.as_raw())?;
        // Only the one who has gone was in its way.
        next.answer()?.expect(0)?;
        assert_eq!(queue(&world)?, (1, 0), "{signal:?}");
    }
    fs::write(world.path("gate"), "")?;
    first.answer()?.expect(0)?;
    nobody_is_left(&world)
}

/// Nor does it leave the file of a script that was never run.
#[test]
fn a_waiter_that_is_ended_leaves_no_script() -> Result {
    for signal in [Signal::TERM, Signal::INT] {
        let world = world!()?;
        let first = holder(&world)?;
        let temporary = world.path("tmp");
        fs::create_dir(&temporary)?;
        let ended = ask(&world, &["lock", "it", "--shell", "true"])
            .variable("TMPDIR", &temporary)
            .start()?;
        await_queue(&world, (1, 1))?;
        ended.signal(signal)?;
        ended.answer()?.expect(128 + signal.as_raw())?;
        let left: Vec<_> = fs::read_dir(&temporary)?.flatten().collect();
        ensure!(left.is_empty(), "{signal:?}: {left:?}");
        fs::write(world.path("gate"), "")?;
        first.answer()?.expect(0)?;
    }
    Ok(())
}
