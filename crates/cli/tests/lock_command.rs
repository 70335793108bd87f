//! `ward lock`: the command that holds the lock: what it inherits, how long it holds, what becomes
//! of signals, what it may ask for itself, and what is told of it all.

#![forbid(unsafe_code)]

mod queues;

use std::ffi::OsStr;
use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::{Ask, Asked, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::{descriptors_to, status_line};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Who, World};

use queues::{
    BUSY, LONG, REFUSED, Result, STOPPED, TIME_LIMIT, all_is_free, ask, await_queue, holder, just,
    open, queue, said, say, shell, shown, sign, signed, until, waiter, ward, words_said, work,
};

#[test]
fn whoever_holds_it_too_long_is_stopped() -> Result {
    let world = world!()?;
    let long = ask(&world, &["lock", "it", "--max-hold", "4s"])
        .hostile(&["linger"])
        .start()?;
    await_queue(&world, "it", (1, 0))?;
    let next = waiter(&world, "it", &["--max-hold", LONG], "next")?;
    let answer = long.answer()?.expect(TIME_LIMIT)?;
    let at = |words: &str| {
        let at = answer.err.find(words);
        at.with_context(|| format!("no `{words}`: {answer:#?}"))
    };
    let warned = at("has held the lock for 3s; it will be stopped after 4s")?;
    ensure!(warned < at("has run for 4s: stopping it")?, "{answer:#?}");
    let in_time = next.answer()?.expect(0)?;
    ensure!(!in_time.err.contains("has held"), "{in_time:#?}");
    nobody_is_left(&world)?;
    all_is_free(&world)
}

/// What the stop does not end at once goes on under the lock, or without it, as was asked for.
#[test]
fn a_tree_that_holds_it_too_long_is_stopped() -> Result {
    for (hold, order) in [("tree", "over next"), ("command", "next over")] {
        let world = world!()?;
        let script = format!(
            "(trap '' TERM; : >{}; {} {}) </dev/null >/dev/null 2>&1 &
            {} {} exec sleep 100",
            text(world.path("deaf")),
            until(&world, "gate"),
            say(&world, "over"),
            until(&world, "deaf"),
            sign(&world, "leader"),
        );
        let first = ask(&world, &["lock", "it", "--max-hold", "300ms", "--hold"])
            .words([hold, "--grace", LONG])
            .sh(&script)
            .start()?;
        let leader = signed(&world, "leader")?;
        wait_until("the command to be stopped", || !leader.is_alive())?;
        let next = ask(&world, &["lock", "it"])
            .sh(&say(&world, "next"))
            .start()?;
        if hold == "tree" {
            await_queue(&world, "it", (1, 1))?;
            just(&world, "it", &["--no-wait"]).expect(BUSY)?;
        } else {
            wait_until("the next one", || said(&world) == "next\n")?;
        }
        open(&world, "gate")?;
        next.answer()?.expect(0)?;
        first.answer()?.expect(TIME_LIMIT)?;
        assert_eq!(words_said(&world).join(" "), order);
        nobody_is_left(&world)?;
    }
    Ok(())
}

/// Waits until a process has taken every signal that it was sent.
fn await_taken(asked: &Asked) -> Result {
    wait_until("the signal to be taken", || {
        ["SigPnd", "ShdPnd"].iter().all(|line| {
            status_line(asked.pid(), line).is_some_and(|bits| bits.chars().all(|bit| bit == '0'))
        })
    })
}

#[test]
fn a_signal_that_is_not_heeded() -> Result {
    for stopped in [false, true] {
        let world = world!()?;
        let ignored = "grep SigIgn /proc/self/status;";
        let script = format!(
            "{ignored} trap '{} exit 9' TERM HUP; {} {} exit 5",
            say(&world, "told"),
            sign(&world, "leader"),
            until(&world, "gate")
        );
        let bare = ask(&world, &["lock", "other"]).sh(ignored).expect(0)?;
        let first = ask(&world, &["lock", "it", "--ignore-signal", "TERM"])
            .words(["--ignore-signal", "1", "--ignore-signal", "SIGALRM"])
            .sh(&script)
            .start()?;
        let leader = signed(&world, "leader")?;
        for signal in [Signal::TERM, Signal::HUP, Signal::ALARM] {
            first.signal(signal)?;
            await_taken(&first)?;
        }
        just(&world, "it", &["--no-wait"]).expect(BUSY)?;
        ensure!(leader.is_alive() && said(&world).is_empty());
        let code = if stopped {
            first.signal(Signal::INT)?;
            STOPPED
        } else {
            open(&world, "gate")?;
            5
        };
        // What is started heeds it.
        assert_eq!(first.answer()?.expect(code)?.out, bare.out);
        assert_eq!(said(&world), "");
        nobody_is_left(&world)?;
    }
    Ok(())
}

#[test]
fn to_become_the_command() -> Result {
    let world = world!()?;
    let locks = fs::canonicalize(world.path("."))?.join("locks");
    for (signal, code) in [(None, 7), (Some(Signal::TERM), 128 + 15)] {
        let script = format!(
            "{} echo $WARD_LOCK_NAME $WARD_LOCK_FD; {} exit 7",
            sign(&world, "leader"),
            until(&world, "gate")
        );
        let first = ask(&world, &["lock", "it,other=shared", "--exec"])
            .sh(&script)
            .start()?;
        let leader = signed(&world, "leader")?;
        fs::remove_file(world.path("leader"))?;
        assert_eq!(leader.pid, first.pid());
        ensure!(world.wards().is_empty(), "{:#?}", world.wards());
        for (name, number) in [("it", 100), ("other", 101)] {
            assert_eq!(shown(&world, name)?["holders"][0]["pid"], leader.pid);
            assert_eq!(descriptors_to(leader.pid, &locks.join(name)), [number]);
        }
        just(&world, "it", &["--no-wait"]).expect(BUSY)?;
        let next = waiter(&world, "it", &[], "next")?;
        match signal {
            Some(signal) => first.signal(signal)?,
            None => open(&world, "gate")?,
        }
        let answer = first.answer()?.expect(code)?;
        assert_eq!(answer.out, "it,other 100,101\n");
        next.answer()?.expect(0)?;
        all_is_free(&world)?;
        let _ = fs::remove_file(world.path("gate"));
    }
    for (program, code) in [("no-such-program-anywhere", 127), ("/", 126)] {
        let answer = ask(&world, &["lock", "it", "--exec", "--", program]).expect(code)?;
        ensure!(answer.err.contains(program), "{answer:#?}");
        all_is_free(&world)?;
    }
    Ok(())
}

/// Of a command that closed the descriptor nothing in the kernel says that it holds.
#[test]
fn what_ward_became_closes_the_descriptor() -> Result {
    let Some(bash) = in_path("bash") else {
        skipped("a command that closes descriptor 100", "no bash");
        return Ok(());
    };
    let world = world!()?;
    let file = fs::canonicalize(world.path("."))?.join("locks/it");
    let script = format!("exec 100>&-; {} exec sleep 100", sign(&world, "closed"));
    let first = ask(&world, &["lock", "it", "--exec", "--", &text(bash)])
        .words(["-c", &script])
        .start()?;
    let leader = signed(&world, "closed")?;
    assert_eq!(leader.pid, first.pid());
    assert_eq!(descriptors_to(first.pid(), &file), [0; 0]);
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    let next = waiter(&world, "it", &[], "next")?;
    assert_eq!(queue(&world, "it")?, (1, 1));
    first.signal(Signal::KILL)?;
    next.answer()?.expect(0)?;
    first.answer()?.expect(128 + 9)?;
    all_is_free(&world)
}

#[test]
fn who_inherits_from_what_ward_became_keeps_it() -> Result {
    let world = world!()?;
    let script = format!(
        "({} {}) </dev/null >/dev/null 2>&1 & exit 0",
        until(&world, "gate"),
        say(&world, "over")
    );
    ask(&world, &["lock", "it", "--exec"])
        .sh(&script)
        .expect(0)?;
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    let next = waiter(&world, "it", &[], "next")?;
    open(&world, "gate")?;
    next.answer()?.expect(0)?;
    assert_eq!(words_said(&world), ["over", "next"]);
    Ok(())
}

#[test]
fn who_waits_sees_the_end_of_what_ward_became_and_who_inherits_from_it() -> Result {
    let world = world!()?;
    let script = format!(
        "{} ({} {}) </dev/null >/dev/null 2>&1 & {}",
        sign(&world, "leader"),
        until(&world, "gate"),
        say(&world, "over"),
        until(&world, "end")
    );
    let first = ask(&world, &["lock", "it", "--exec"]).sh(&script).start()?;
    signed(&world, "leader")?;
    let next = waiter(&world, "it", &[], "next")?;
    let last = waiter(&world, "it", &["--exec"], "last")?;
    open(&world, "end")?;
    first.answer()?.expect(0)?;
    assert_eq!(queue(&world, "it")?, (1, 2));
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    open(&world, "gate")?;
    next.answer()?.expect(0)?;
    last.answer()?.expect(0)?;
    assert_eq!(words_said(&world), ["over", "next", "last"]);
    all_is_free(&world)
}

/// `ward lock it OPTIONS --status-fd 7 -- sh -c SCRIPT`, and what was written to descriptor 7.
fn listening(
    world: &World,
    options: &str,
    script: &str,
    code: i32,
    meanwhile: impl FnOnce() -> Result,
) -> anyhow::Result<Vec<Value>> {
    let status = world.path("status");
    let _ = fs::remove_file(&status);
    let asked = shell(
        world,
        &format!(
            "exec {} lock it {options} --status-fd 7 -- {script} 7>{}",
            ward(world),
            text(&status)
        ),
    )
    .start()?;
    meanwhile()?;
    asked.answer()?.expect(code)?;
    let lines = fs::read_to_string(&status)?;
    let events = lines.lines().map(|line| Ok(serde_json::from_str(line)?));
    let mut events: Vec<Value> = events.collect::<anyhow::Result<_>>()?;
    // How long somebody waits is said each second.
    events.dedup_by(|next, one| next["event"] == "waiting" && one["event"] == "waiting");
    Ok(events)
}

#[test]
fn how_it_goes_is_told_to_a_script() -> Result {
    let world = world!()?;
    let kinds = |events: &[Value]| -> Vec<String> {
        let kinds = events.iter().filter_map(|event| event["event"].as_str());
        kinds.map(str::to_owned).collect()
    };
    let first = holder(&world, "it", &["--why", "a good reason"], "gate")?;
    let refused = listening(&world, "--no-wait", "true", BUSY, || Ok(()))?;
    assert_eq!(kinds(&refused), ["refused"]);
    assert_eq!(refused[0]["busy"], true);
    let why = refused[0]["why"].as_str().context("no reason")?;
    ensure!(
        why.contains("`it`") && why.contains("a good reason"),
        "{why}"
    );
    let late = listening(&world, "--wait 2s", "true", BUSY, || Ok(()))?;
    assert_eq!(kinds(&late), ["waiting", "refused"]);
    let events = listening(&world, "", "/bin/sh -c 'exit 3'", 3, || {
        // Who waits only for a moment says nothing.
        wait_until("a word of the wait", || {
            fs::read_to_string(world.path("status")).is_ok_and(|it| it.contains("waiting"))
        })?;
        open(&world, "gate")
    })?;
    assert_eq!(kinds(&events), ["waiting", "granted", "ended"]);
    assert_eq!(events[0]["lock"], "it");
    assert_eq!(events[0]["ahead"], 1);
    assert_eq!(events[0]["holders"][0]["pid"], first.pid());
    assert_eq!(events[1]["locks"][0]["lock"], "it");
    assert_eq!(events[1]["locks"][0]["mode"], "EX");
    ensure!(events[1]["locks"][0]["token"].is_u64(), "{events:#?}");
    assert_eq!(events[2]["exit_status"], 3);
    first.answer()?.expect(0)?;
    let options = "--pool x";
    for (script, code) in [("/bin/sh -c 'kill -9 $$'", 137), ("no-such-program", 127)] {
        let events = listening(&world, options, script, code, || Ok(()))?;
        assert_eq!(kinds(&events), ["granted", "ended"]);
        assert_eq!(events[0]["locks"][0]["elements"][0], "x");
        assert_eq!(events[1]["exit_status"], code);
    }
    // What would never end is not for another time.
    let inner = format!(
        "{} lock it --status-fd 1 -- true || exit 125; exit 0",
        ward(&world)
    );
    let answer = ask(&world, &["lock", "it"]).sh(&inner).expect(REFUSED)?;
    assert_eq!(answer.json()?["busy"], false, "{answer:#?}");
    // Who no longer listens is in nobody's way.
    let deaf = format!(
        "{{ {} lock it --status-fd 7 -- /bin/sh -c 'exit 3' 7>&1 >/dev/null; echo $? >{}; }} | :",
        ward(&world),
        text(world.path("code"))
    );
    shell(&world, &deaf).expect(0)?;
    assert_eq!(fs::read_to_string(world.path("code"))?, "3\n");
    Ok(())
}

#[test]
fn a_run_under_locks() -> Result {
    let world = world!()?;
    let locks = ["run", "--lock", "a", "--lock", "b=shared"];
    let script = format!(
        "echo $WARD_LOCK_NAME $WARD_LOCK_MODE $WARD_LOCK_FD; {} exit 6",
        until(&world, "gate")
    );
    let first = ask(&world, &locks)
        .words(["--lock-why", "a good reason"])
        .sh(&script)
        .start()?;
    await_queue(&world, "a", (1, 0))?;
    assert_eq!(shown(&world, "b")?["holders"][0]["why"], "a good reason");
    just(&world, "b=shared", &["--no-wait"]).expect(0)?;
    for lock in [&["--lock", "c,a"][..], &["--lock", "c", "--lock", "b"]] {
        let refused = ask(&world, &["run", "--lock-wait", "0"])
            .words(lock)
            .sh(&say(&world, "entered"))
            .expect(BUSY)?;
        ensure!(refused.err.contains("a good reason"), "{refused:#?}");
        assert_eq!(queue(&world, "c")?, (0, 0));
    }
    let next = ask(&world, &locks)
        .words(["--lock-wait", LONG])
        .sh(&say(&world, "next"))
        .start()?;
    await_queue(&world, "a", (1, 1))?;
    open(&world, "gate")?;
    let answer = first.answer()?.expect(6)?;
    assert_eq!(answer.out, "a,b EX,PR 100,101\n");
    next.answer()?.expect(0)?;
    assert_eq!(said(&world), "next\n");
    // Without locks it holds none.
    ask(&world, &["run"])
        .sh("[ -z \"$WARD_LOCK_FD\" ]")
        .expect(0)?;
    all_is_free(&world)
}

/// Which descriptors the shell has that runs this. It ends itself, so that nothing takes its place.
const LIST: &str = "ls /proc/$$/fd; exit 0";

fn numbers(listed: &str) -> Vec<i32> {
    let mut numbers: Vec<i32> = listed
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_command_has_no_descriptors_but_its_locks() -> Result {
    let world = world!()?;
    let (log, report) = (text(world.path("log")), text(world.path("report")));
    for (lock, options, also) in [
        ("a", &[][..], &[100][..]),
        ("a,b=2/3,c=pool:x", &["--wait", LONG], &[100, 101, 102]),
        ("a", &["--sequence", "--transactional"], &[100]),
        ("a", &["--timestamp", "%S#ff", "--hold", "tree"], &[100]),
        (
            "a",
            &["--log", &log, "--report", &report, "--merge"],
            &[100],
        ),
        (
            "a",
            &["--max-hold", LONG, "--containment", "guardian"],
            &[100],
        ),
        ("a", &["--status-fd", "1"], &[100]),
    ] {
        let answer = ask(&world, &["lock", lock])
            .words(options)
            .sh(LIST)
            .expect(0)?;
        let wanted = [&[0, 1, 2][..], also].concat();
        assert_eq!(numbers(&answer.out), wanted, "{lock}, {options:?}");
    }
    // Also if it had to wait, and had others in its queue.
    let first = holder(&world, "a", &[], "gate")?;
    let waiting = ask(&world, &["lock", "a"]).sh(LIST).start()?;
    await_queue(&world, "a", (1, 1))?;
    let last = waiter(&world, "a", &[], "last")?;
    open(&world, "gate")?;
    let answer = waiting.answer()?.expect(0)?;
    assert_eq!(numbers(&answer.out), [0, 1, 2, 100]);
    for one in [first, last] {
        one.answer()?.expect(0)?;
    }
    // What ward becomes keeps what the caller gave it.
    let bare = Ask::of(&world, Who::Myself, OsStr::new("/bin/sh"))
        .words(["-c", LIST])
        .expect(0)?;
    let become_it = ask(&world, &["lock", "a,b", "--exec"]).sh(LIST).expect(0)?;
    let mut wanted = [&numbers(&bare.out)[..], &[100, 101]].concat();
    wanted.sort_unstable();
    assert_eq!(numbers(&become_it.out), wanted);
    Ok(())
}

/// Fourteen who came later, and could have it, do not overtake a writer, or a big request.
#[test]
fn nobody_starves() -> Result {
    for (held, waits, later) in [
        ("it=shared", "it", "it=shared"),
        ("it=2/4", "it=4/4", "it=1/4"),
    ] {
        let world = world!()?;
        let first = holder(&world, held, &[], "gate")?;
        let starving = waiter(&world, waits, &[], "starving")?;
        just(&world, later, &["--no-wait"]).expect(BUSY)?;
        let others: Vec<Asked> = (0..14)
            .map(|_| {
                ask(&world, &["lock", later])
                    .sh(&say(&world, "later"))
                    .start()
            })
            .collect::<anyhow::Result<_>>()?;
        await_queue(&world, "it", (1, 15))?;
        open(&world, "gate")?;
        for one in [first, starving].into_iter().chain(others) {
            one.answer()?.expect(0)?;
        }
        let said = words_said(&world);
        assert_eq!((said[0].as_str(), said.len()), ("starving", 15), "{said:?}");
    }
    Ok(())
}
#[test]
fn what_is_held_above_is_shared() -> Result {
    let world = world!()?;
    for (outer, inner) in [
        ("it", "it"),
        ("it", "it/part"),
        ("it=shared", "it"),
        ("it=3/4", "it=2/4"),
        ("it,other", "other,third"),
    ] {
        let again = format!(
            "{} lock {inner} --reentrant --no-wait -- true; echo $?",
            ward(&world)
        );
        let answer = ask(&world, &["lock", outer]).sh(&again).expect(0)?;
        assert_eq!(answer.out, "0\n", "{outer}, {inner}: {answer:#?}");
    }
    // Who is no part of it waits like everybody.
    let first = holder(&world, "it", &[], "gate")?;
    just(&world, "it", &["--reentrant", "--no-wait"]).expect(BUSY)?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    Ok(())
}

/// Whoever shares it, and stays when the one above has ended, holds it.
#[test]
fn who_shares_it_may_stay_longer() -> Result {
    let world = world!()?;
    let within = format!("{} {}", until(&world, "gate"), say(&world, "inner"));
    let inner = format!(
        "{} lock it --reentrant -- /bin/sh -c '{within}' {} </dev/null >/dev/null 2>&1 &
        {} {}",
        ward(&world),
        world.mark(),
        until(&world, "go"),
        say(&world, "outer"),
    );
    let outer = ask(&world, &["lock", "it", "--leftover-grace", LONG])
        .sh(&inner)
        .start()?;
    await_queue(&world, "it", (2, 0))?;
    // Behind somebody who waits, too.
    let next = waiter(&world, "it", &[], "next")?;
    open(&world, "go")?;
    await_queue(&world, "it", (1, 1))?;
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    open(&world, "gate")?;
    outer.answer()?.expect(0)?;
    next.answer()?.expect(0)?;
    assert_eq!(said(&world), "outer\ninner\nnext\n");
    nobody_is_left(&world)
}

/// Each holds one and asks for the next one's: exactly one of them gives up, and says why.
#[test]
fn rings_of_waits() -> Result {
    for names in [&["a", "b"][..], &["a", "b", "c"]] {
        let world = world!()?;
        let mut asked = Vec::new();
        for (name, next) in names.iter().zip(names.iter().cycle().skip(1)) {
            let inner = format!(
                "{} lock {next} --wait {LONG} -- true; echo $?",
                ward(&world)
            );
            let script = format!("{} {inner}", until(&world, "all"));
            asked.push(ask(&world, &["lock", name]).sh(&script).start()?);
            await_queue(&world, name, (1, 0))?;
        }
        let commands: Vec<String> = names
            .iter()
            .map(|name| work(&world, name))
            .collect::<anyhow::Result<_>>()?;
        open(&world, "all")?;
        let mut refused = Vec::new();
        for one in asked {
            let answer = one.answer()?.expect(0)?;
            match answer.out.trim() {
                "0" => {}
                "125" => refused.push(answer.err),
                _ => anyhow::bail!("{answer:#?}"),
            }
        }
        let [told] = &refused[..] else {
            anyhow::bail!("not one: {refused:#?}");
        };
        for (name, command) in names.iter().zip(&commands) {
            ensure!(
                told.contains(&format!("holds `{name}`"))
                    && told.contains(&format!("waits for `{name}`"))
                    && told.contains(command),
                "{name}, {command}: {told}"
            );
        }
        ensure!(
            told.contains("hint: ") && told.contains("same order"),
            "{told}"
        );
        all_is_free(&world)?;
    }
    Ok(())
}
