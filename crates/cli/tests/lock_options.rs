//! `ward lock`: what can be asked for, what is given with it, and who is next.

#![forbid(unsafe_code)]

mod queues;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::{Asked, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::World;

use queues::{
    BUSY, DURABLE, REFUSED, Result, STOPPED, all_are_gone, all_is_free, ask, await_queue, cleaning,
    cleans, guardian, holder, just, open, queue, say, shown, sign, signed, until, waiter, ward,
    words_said,
};

/// One of each kind.
const ALL: &str = "a,b=shared,lic=2/4,port=pool:1:2";
const NAMES: [&str; 4] = ["a", "b", "lic", "port"];

#[test]
fn several_at_once() -> Result {
    let world = world!()?;
    let script = format!(
        "echo $WARD_LOCK_NAME; echo $WARD_LOCK_MODE; echo $WARD_LOCK_ELEMENT; echo $WARD_LOCK_FD
        for fd in 100 101 102 103; do basename $(readlink /proc/$$/fd/$fd); done
        echo $WARD_LOCK_TOKEN; {} locks; exit 0",
        ward(&world)
    );
    let answer = ask(&world, &["lock", ALL]).sh(&script).expect(0)?;
    let lines: Vec<&str> = answer.out.lines().collect();
    assert_eq!(lines[..2], ["a,b,lic,port", "EX,PR,EX,EX"], "{answer:#?}");
    ensure!([",,,1", ",,,2"].contains(&lines[2]), "{answer:#?}");
    assert_eq!(lines[3], "100,101,102,103", "{answer:#?}");
    assert_eq!(lines[4..8], NAMES, "{answer:#?}");
    let tokens: Vec<u64> = lines[8]
        .split(',')
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    assert_eq!(tokens.len(), 4, "{answer:#?}");
    for name in NAMES {
        let held = format!("{name}: 1 hold, 0 wait");
        ensure!(answer.out.contains(&held), "{name}: {answer:#?}");
    }
    all_is_free(&world)?;
    nobody_is_left(&world)
}

#[test]
fn all_or_none() -> Result {
    let world = world!()?;
    for (held, options) in [
        ("a", &[][..]),
        ("b", &[]),
        ("lic", &["--slots", "4", "--take", "3"]),
        ("port", &["--pool", "1,2", "--take", "2"]),
    ] {
        let first = holder(&world, held, options, held)?;
        let alone = |waiting: usize| -> Result {
            for name in NAMES {
                let wanted = (usize::from(name == held), waiting);
                assert_eq!(queue(&world, name)?, wanted, "{name}, {held} is held");
            }
            Ok(())
        };
        let answer = just(&world, ALL, &["--no-wait"]).expect(BUSY)?;
        ensure!(answer.err.contains(&format!("`{held}`")), "{answer:#?}");
        alone(0)?;
        // Who waits for one of them holds none of them.
        let all = waiter(&world, ALL, &[], held)?;
        alone(1)?;
        open(&world, held)?;
        first.answer()?.expect(0)?;
        all.answer()?.expect(0)?;
    }
    assert_eq!(words_said(&world), NAMES);
    all_is_free(&world)
}

/// Nobody waits in a ring, whatever the order in which they are named.
#[test]
fn several_in_different_orders() -> Result {
    let world = world!()?;
    let place = text(world.path("place"));
    let alone = format!("mkdir {place} || exit 77; sleep 0.01; rmdir {place}");
    let orders = ["x,y,z", "z,y,x", "y,z", "z,x=EX", "z"];
    let asked: Vec<Asked> = (0..15)
        .map(|number| {
            ask(&world, &["lock", orders[number % 5]])
                .sh(&alone)
                .start()
        })
        .collect::<anyhow::Result<_>>()?;
    for one in asked {
        one.answer()?.expect(0)?;
    }
    all_is_free(&world)?;
    nobody_is_left(&world)
}

/// The things that holders of a lock have.
fn things(world: &World, lock: &str) -> anyhow::Result<Vec<String>> {
    let shown = shown(world, lock)?;
    let holders = shown["holders"].as_array().context("no list")?;
    let has = holders.iter().filter_map(|one| one["has"].as_array());
    let all = has.flatten().filter_map(Value::as_str);
    Ok(all.map(str::to_owned).collect())
}

#[test]
fn a_pool() -> Result {
    let world = world!()?;
    let two = &["--pool", "p,q,r", "--take", "2"];
    let first = holder(&world, "port", two, "gate")?;
    let taken = things(&world, "port")?;
    let left: Vec<&str> = ["p", "q", "r"]
        .into_iter()
        .filter(|thing| !taken.iter().any(|it| it == thing))
        .collect();
    let [left] = left[..] else {
        anyhow::bail!("two of p, q and r: {taken:?}");
    };
    let given = |options: &[&str]| -> anyhow::Result<BTreeSet<String>> {
        let ask = ask(&world, &["lock", "port", "--no-wait"]).words(options);
        let answer = ask.sh("echo $WARD_LOCK_ELEMENT").expect(0)?;
        let given = answer.out.trim().split(',').map(str::to_owned);
        Ok(given.collect())
    };
    let set = |things: &[&str]| things.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(given(&["--pool", "p,q,r"])?, set(&[left]));
    // Lists may overlap.
    let overlapping = format!("s,{left}");
    let both = ["--pool", overlapping.as_str(), "--take", "2"];
    assert_eq!(given(&both)?, set(&["s", left]));
    let gone = ["--pool", taken[0].as_str()];
    for options in [&["--pool", "p,q,r", "--take", "2"][..], &gone] {
        let mut all = options.to_vec();
        all.push("--no-wait");
        just(&world, "port", &all).expect(BUSY)?;
    }
    // All who use it at a time must mean the same.
    for options in [&[][..], &["--slots", "2"], &["--shared"]] {
        let mut all = options.to_vec();
        all.push("--no-wait");
        just(&world, "port", &all).expect(REFUSED)?;
    }
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    let three: Vec<Asked> = (0..3)
        .map(|_| holder(&world, "port", &["--pool", "p,q,r"], "again"))
        .collect::<anyhow::Result<_>>()?;
    let mut taken = things(&world, "port")?;
    taken.sort_unstable();
    assert_eq!(taken, ["p", "q", "r"]);
    let fourth = waiter(&world, "port", &["--pool", "r,q"], "fourth")?;
    open(&world, "again")?;
    for one in three.into_iter().chain([fourth]) {
        one.answer()?.expect(0)?;
    }
    all_is_free(&world)
}

/// As when the host starts anew: what is below [`DURABLE`] stays.
fn restart(world: &World, lock: &str) -> Result {
    ensure!(world.path(DURABLE).join(lock).exists());
    Ok(fs::remove_file(world.path("locks").join(lock))?)
}

#[test]
fn numbers_are_never_given_twice() -> Result {
    let world = world!()?;
    // Nor is any name in the way of where that is kept.
    for name in ["durable", "audit.jsonl"] {
        just(&world, name, &["--sequence"]).expect(0)?;
    }
    let numbered = |options: &[&str]| {
        ask(&world, &["lock", "build", "--sequence"])
            .words(options)
            .sh("echo $WARD_LOCK_ELEMENT $WARD_LOCK_TOKEN")
            .start()
    };
    let mut given: Vec<(u64, u64)> = Vec::new();
    let mut note = |asked: Asked| -> Result {
        let answer = asked.answer()?.expect(0)?;
        let (number, token) = answer.out.trim().split_once(' ').context("two numbers")?;
        given.push((token.parse()?, number.parse()?));
        Ok(())
    };
    for options in [&[][..], &["--slots", "3"]] {
        let asked: Vec<Asked> = (0..6)
            .map(|_| numbered(options))
            .collect::<anyhow::Result<_>>()?;
        asked.into_iter().try_for_each(&mut note)?;
    }
    for _ in 0..2 {
        restart(&world, "build")?;
        note(numbered(&[])?)?;
    }
    given.sort_unstable();
    let numbers: Vec<u64> = given.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers[..12], (1..=12).collect::<Vec<u64>>(), "{given:?}");
    ensure!(numbers.is_sorted_by(|one, next| one < next), "{given:?}");
    Ok(())
}

/// Runs a command with a number that counts only if it succeeds.
fn on_trial(world: &World, script: &str, code: i32) -> anyhow::Result<u64> {
    let answer = ask(world, &["lock", "build", "--sequence", "--transactional"])
        .sh(&format!("echo $WARD_LOCK_ELEMENT; {script}"))
        .expect(code)?;
    Ok(answer.out.trim().parse()?)
}

#[test]
fn the_number_of_a_command_that_failed_is_given_again() -> Result {
    let world = world!()?;
    for (next, (script, code)) in (1..).zip([
        ("exit 1", 1),
        ("kill -TERM $$", 128 + 15),
        ("exit 255", 255),
        ("kill -KILL $$", 128 + 9),
        ("exec no-such-program", 127),
    ]) {
        assert_eq!(on_trial(&world, script, code)?, next, "{script}");
        assert_eq!(on_trial(&world, "exit 0", 0)?, next, "after {script}");
        restart(&world, "build")?;
    }
    Ok(())
}

#[test]
fn the_number_of_those_who_were_killed_is_given_again() -> Result {
    let world = world!()?;
    for (everybody, restarted) in [(false, false), (true, false), (true, true)] {
        let gate = format!("gate-{everybody}-{restarted}");
        let number = on_trial(&world, "exit 0", 0)? + 1;
        let script = format!("{} {}", sign(&world, "leader"), until(&world, &gate));
        let first = ask(&world, &["lock", "build", "--sequence", "--transactional"])
            .sh(&script)
            .start()?;
        let leader = signed(&world, "leader")?;
        fs::remove_file(world.path("leader"))?;
        assert_eq!(things(&world, "build")?, [number.to_string()]);
        let guardian = guardian(&first)?;
        first.signal(Signal::KILL)?;
        if everybody {
            world.signal(guardian.pid, Signal::KILL);
            world.signal(leader.pid, Signal::KILL);
        }
        first.answer()?.expect(128 + 9)?;
        wait_until("the command's end", || !leader.is_alive())?;
        if restarted {
            restart(&world, "build")?;
        }
        assert_eq!(on_trial(&world, "exit 0", 0)?, number, "{gate}");
        all_are_gone(&world)?;
    }
    Ok(())
}

/// Of two at work at once, each has a number of his own; that of the one who fails comes next.
#[test]
fn numbers_on_trial_at_once() -> Result {
    let world = world!()?;
    let options = ["--slots", "2", "--sequence", "--transactional"];
    let start = |gate: &str, code: i32| {
        let script = format!("{} exit {code}", until(&world, gate));
        ask(&world, &["lock", "build"])
            .words(options)
            .sh(&script)
            .start()
    };
    let fails = start("one", 1)?;
    await_queue(&world, "build", (1, 0))?;
    let succeeds = start("two", 0)?;
    await_queue(&world, "build", (2, 0))?;
    assert_eq!(things(&world, "build")?, ["1", "2"]);
    open(&world, "one")?;
    fails.answer()?.expect(1)?;
    let again = start("three", 0)?;
    await_queue(&world, "build", (2, 0))?;
    assert_eq!(things(&world, "build")?, ["2", "1"]);
    for gate in ["two", "three"] {
        open(&world, gate)?;
    }
    succeeds.answer()?.expect(0)?;
    again.answer()?.expect(0)?;
    assert_eq!(on_trial(&world, "exit 0", 0)?, 3);
    Ok(())
}

#[test]
fn times_are_never_given_twice() -> Result {
    let world = world!()?;
    for (name, format, count) in [
        ("fine", "%Y%m%d-%H%M%S#ff", 8),
        ("coarse", "x-%Y%m%d-%T", 2),
    ] {
        let start = || {
            ask(&world, &["lock", name, "--timestamp", format])
                .sh("echo $WARD_LOCK_TOKEN $WARD_LOCK_ELEMENT")
                .start()
        };
        let mut asked: Vec<Asked> = (1..count).map(|_| start()).collect::<anyhow::Result<_>>()?;
        let mut given: Vec<String> = Vec::new();
        for one in asked.drain(..) {
            given.push(one.answer()?.expect(0)?.out);
        }
        restart(&world, name)?;
        given.push(start()?.answer()?.expect(0)?.out);
        // Each token is as long as the next one.
        given.sort_unstable();
        let times: Vec<&str> = given
            .iter()
            .filter_map(|line| Some(line.trim().split_once(' ')?.1))
            .collect();
        ensure!(times.is_sorted_by(|one, next| one < next), "{given:#?}");
        assert_eq!(times.len(), count, "{given:#?}");
    }
    Ok(())
}

#[test]
fn turns() -> Result {
    let high: &[&str] = &["--priority", "5"];
    let low: &[&str] = &["--priority", "-5"];
    let newest: &[&str] = &["--newest-first"];
    let newest_of_high: &[&str] = &["--newest-first", "--priority", "5"];
    for (waiting, order) in [
        (
            &[("a", &[][..]), ("b", high), ("c", low), ("d", high)],
            "b d a c",
        ),
        (
            &[("a", &[]), ("b", newest), ("c", &[]), ("d", newest)],
            "d b a c",
        ),
        (
            &[
                ("a", high),
                ("b", newest),
                ("c", newest_of_high),
                ("d", &[]),
            ],
            "c a b d",
        ),
    ] {
        let world = world!()?;
        let first = holder(&world, "it", &[], "gate")?;
        let asked: Vec<Asked> = waiting
            .iter()
            .map(|(word, options)| waiter(&world, "it", options, word))
            .collect::<anyhow::Result<_>>()?;
        open(&world, "gate")?;
        for one in [first].into_iter().chain(asked) {
            one.answer()?.expect(0)?;
        }
        assert_eq!(words_said(&world).join(" "), order);
    }
    Ok(())
}

#[test]
fn whatever_fits_first() -> Result {
    for (held, waits, asked, too_much) in [
        ("it=shared", "it", "it=shared", "it"),
        ("it=2/4", "it=4/4", "it=2/4", "it=3/4"),
        ("it=pool:a", "it=pool:a:b", "it=pool:b", "it=pool:a"),
    ] {
        let world = world!()?;
        // Of a pool, who waits must have something to wait for.
        let also = (held == "it=pool:a").then_some(["--pool", "a,b", "--take", "2"]);
        let (waits, options) = match &also {
            Some(options) => ("it", &options[..]),
            None => (waits, &[][..]),
        };
        let first = holder(&world, held, &[], "gate")?;
        let waiting = waiter(&world, waits, options, "waits")?;
        for (lock, options, code) in [
            (asked, &["--no-wait"][..], BUSY),
            (asked, &["--no-wait", "--first-fit"], 0),
            (too_much, &["--no-wait", "--first-fit"], BUSY),
        ] {
            just(&world, lock, options)
                .expect(code)
                .with_context(|| format!("{held}, {lock}"))?;
        }
        open(&world, "gate")?;
        first.answer()?.expect(0)?;
        waiting.answer()?.expect(0)?;
    }
    Ok(())
}

#[test]
fn to_give_up_where_somebody_waits() -> Result {
    let world = world!()?;
    let skip: &[&str] = &["--skip-if-queued"];
    just(&world, "it", skip).expect(0)?;
    let first = holder(&world, "it", skip, "gate")?;
    let one = waiter(&world, "it", skip, "one")?;
    let answer = just(&world, "it", skip).expect(BUSY)?;
    ensure!(
        answer.err.contains("waited for already") && answer.err.contains(&one.pid().to_string()),
        "{answer:#?}"
    );
    just(
        &world,
        "it",
        &["--skip-if-queued", "--conflict-exit-code", "0"],
    )
    .expect(0)?;
    assert_eq!(queue(&world, "it")?, (1, 1));
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    one.answer()?.expect(0)?;
    assert_eq!(words_said(&world), ["one"]);
    Ok(())
}

#[test]
fn to_send_those_away_who_wait() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[], "gate")?;
    let old = waiter(&world, "it", &[], "old")?;
    let coded = waiter(&world, "it", &["--conflict-exit-code", "7"], "coded")?;
    let by = ask(&world, &["lock", "it", "--replace-pending"])
        .sh(&say(&world, "last"))
        .start()?;
    for (sent_away, code) in [(old, BUSY), (coded, 7)] {
        let answer = sent_away.answer()?.expect(code)?;
        let who = format!("replaced by {}", by.pid());
        ensure!(answer.err.contains(&who), "{answer:#?}");
    }
    await_queue(&world, "it", (1, 1))?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    by.answer()?.expect(0)?;
    assert_eq!(words_said(&world), ["last"]);
    Ok(())
}

/// Whoever is stopped cleans up first.
#[test]
fn to_stop_whoever_holds() -> Result {
    let world = world!()?;
    let stopping = |lock: &str| {
        ask(&world, &["lock", lock, "--cancel-running"])
            .sh(&say(&world, "mine"))
            .expect(0)
    };
    let mut holders = Vec::new();
    for number in 1..=2 {
        let script = cleaning(&world, "never");
        let words = ["lock", "it=shared", "--quiet", "--shell", &script];
        holders.push(ask(&world, &words).start()?);
        cleans(&world)?;
        await_queue(&world, "it", (number, 0))?;
    }
    stopping("it")?;
    for one in holders {
        one.answer()?.expect(STOPPED)?;
    }
    assert_eq!(words_said(&world), ["cleaned", "cleaned", "mine"]);
    // Who is in nobody's way goes on.
    let half = holder(&world, "it=1/2", &[], "gate")?;
    stopping("it=1/2")?;
    assert_eq!(queue(&world, "it")?, (1, 0));
    open(&world, "gate")?;
    half.answer()?.expect(0)?;
    nobody_is_left(&world)
}
