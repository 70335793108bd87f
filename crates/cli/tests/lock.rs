//! `ward lock` and `ward locks`: who is served when, what the command is told, and what is
//! refused.

#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::{Ask, Asked, Member, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::look;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::World;

type Result = anyhow::Result<()>;

const WRONG_USE: i32 = 2;
const BUSY: i32 = 122;
const REFUSED: i32 = 125;

/// Longer than any test lasts.
const LONG: &str = "50s";

fn ask<'w>(world: &'w World, words: &[&str]) -> Ask<'w> {
    Ask::new(world, words)
        .variable("WARD_LOCK_DIR", world.path("locks"))
        .variable("WARD_LOCKS_HELD", "")
}

/// `ward lock NAME OPTIONS… -- true`.
fn just<'w>(world: &'w World, name: &str, options: &[&str]) -> Ask<'w> {
    ask(world, &["lock", name])
        .words(options)
        .words(["--", "true"])
}

/// What `ward locks` shows of a lock.
fn shown(world: &World, name: &str) -> anyhow::Result<Value> {
    let answer = ask(world, &["locks", "--json", name]).expect(0)?.json()?;
    Ok(answer["locks"][0].clone())
}

/// How many hold a lock, and how many wait for it.
fn queue(world: &World, name: &str) -> anyhow::Result<(usize, usize)> {
    let lock = shown(world, name)?;
    let count = |list: &Value| list.as_array().map(Vec::len);
    count(&lock["holders"])
        .zip(count(&lock["waiting"]))
        .with_context(|| format!("{lock:#}"))
}

fn await_queue(world: &World, name: &str, wanted: (usize, usize)) -> Result {
    let mut last = String::new();
    wait_until("the queue", || {
        let queue = queue(world, name);
        last = format!("{queue:?}");
        queue.is_ok_and(|queue| queue == wanted)
    })
    .with_context(|| format!("`{name}`: not {wanted:?}, but {last}"))
}

fn said(world: &World) -> String {
    fs::read_to_string(world.path("said")).unwrap_or_default()
}

/// For a shell: to add a word to what is said.
fn say(world: &World, word: &str) -> String {
    format!("echo {word} >>{};", text(world.path("said")))
}

/// For a shell: to wait for a file.
fn until(world: &World, file: &str) -> String {
    let file = text(world.path(file));
    format!("n=0; while [ ! -e {file} ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.02; done;")
}

fn open(world: &World, gate: &str) -> Result {
    Ok(fs::write(world.path(gate), "")?)
}

/// Somebody who holds a lock until `gate` is opened.
fn holder(world: &World, name: &str, options: &[&str]) -> anyhow::Result<Asked> {
    let before = queue(world, name)?;
    let asked = ask(world, &["lock", name])
        .words(options)
        .sh(&until(world, "gate"))
        .start()?;
    await_queue(world, name, (before.0 + 1, before.1))?;
    Ok(asked)
}

/// Somebody who waits, and says `word` when it is his turn.
fn waiter(world: &World, name: &str, options: &[&str], word: &str) -> anyhow::Result<Asked> {
    let before = queue(world, name)?;
    let asked = ask(world, &["lock", name])
        .words(options)
        .sh(&say(world, word))
        .start()?;
    await_queue(world, name, (before.0, before.1 + 1))?;
    Ok(asked)
}

#[test]
fn who_asks_first_is_served_first() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[])?;
    let words: Vec<String> = (0..12).map(|number| format!("w{number}")).collect();
    let waiting: Vec<Asked> = words
        .iter()
        .map(|word| waiter(&world, "it", &[], word))
        .collect::<anyhow::Result<_>>()?;
    let lock = shown(&world, "it")?;
    let asked: Vec<i64> = waiting.iter().map(|one| i64::from(one.pid())).collect();
    let listed: Vec<i64> = lock["waiting"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|record| record["pid"].as_i64())
        .collect();
    assert_eq!(listed, asked, "{lock:#}");
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    for one in waiting {
        one.answer()?.expect(0)?;
    }
    assert_eq!(said(&world).split_whitespace().collect::<Vec<_>>(), words);
    nobody_is_left(&world)?;
    assert_eq!(queue(&world, "it")?, (0, 0));
    Ok(())
}

#[test]
fn a_reader_does_not_overtake_a_writer_who_waits() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &["--shared"])?;
    // Beside another reader, as long as nobody else waits.
    just(&world, "it", &["--shared", "--no-wait"]).expect(0)?;
    let writer = waiter(&world, "it", &["--exclusive"], "writer")?;
    just(&world, "it", &["--shared", "--no-wait"]).expect(BUSY)?;
    let reader = waiter(&world, "it", &["--shared"], "reader")?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    writer.answer()?.expect(0)?;
    reader.answer()?.expect(0)?;
    assert_eq!(said(&world), "writer\nreader\n");
    nobody_is_left(&world)
}

#[test]
fn neighbours_that_share_run_together() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[])?;
    let reader = |own: &str, other: &str| {
        let script = format!(": >{}; {}", text(world.path(own)), until(&world, other));
        ask(&world, &["lock", "it", "--shared"]).sh(&script).start()
    };
    let (one, two) = (reader("one", "two")?, reader("two", "one")?);
    await_queue(&world, "it", (1, 2))?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    // Each waits for the other one.
    one.answer()?.expect(0)?;
    two.answer()?.expect(0)?;
    nobody_is_left(&world)
}

#[test]
fn modes_that_go_together() -> Result {
    let rows = [
        ("CR", "PW", 0),
        ("PR", "CW", BUSY),
        ("CW", "CW", 0),
        ("PW", "PW", BUSY),
        ("EX", "NL", 0),
        ("EX", "CR", BUSY),
    ];
    for (held, asked, code) in rows {
        let world = world!()?;
        let first = holder(&world, "it", &["--mode", held])?;
        just(&world, "it", &["--mode", asked, "--no-wait"])
            .expect(code)
            .with_context(|| format!("{held}, {asked}"))?;
        // Another lock has nothing to do with it.
        just(&world, "other", &["--no-wait"]).expect(0)?;
        open(&world, "gate")?;
        first.answer()?.expect(0)?;
    }
    let world = world!()?;
    just(&world, "it", &["--mode", "XX"]).expect(WRONG_USE)?;
    Ok(())
}

#[test]
fn who_does_not_want_to_wait() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &["--why", "a good reason"])?;
    for (options, code) in [
        (&["--no-wait"][..], BUSY),
        (&["--wait", "0"], BUSY),
        (&["--wait", "150ms"], BUSY),
        (&["--no-wait", "--conflict-exit-code", "7"], 7),
        (&["--wait", "150ms", "--conflict-exit-code", "0"], 0),
    ] {
        let answer = ask(&world, &["lock", "it"])
            .words(options)
            .sh(&say(&world, "entered"))
            .expect(code)?;
        ensure!(
            answer.err.contains("`it`") && answer.err.contains("a good reason"),
            "{answer:#?}"
        );
        assert_eq!(queue(&world, "it")?, (1, 0), "{options:?}");
    }
    let late = waiter(&world, "it", &["--wait", LONG], "late")?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    late.answer()?.expect(0)?;
    assert_eq!(said(&world), "late\n");
    nobody_is_left(&world)
}

/// The time to wait is not counted anew whenever the queue moves.
#[test]
fn the_time_to_wait_is_counted_in_all() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[])?;
    let mut hurried = ask(&world, &["lock", "it", "--wait", "700ms"])
        .sh(&say(&world, "entered"))
        .start()?;
    // Others come and go until it has given up, much more often than that.
    wait_until("it to give up", || {
        just(&world, "it", &["--no-wait"]).expect(BUSY).is_err() || hurried.is_over()
    })?;
    hurried.answer()?.expect(BUSY)?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    assert_eq!(said(&world), "");
    Ok(())
}

#[test]
fn the_end_of_the_command_is_passed_on() -> Result {
    let world = world!()?;
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 122", 122),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        ask(&world, &["lock", "it"]).sh(script).expect(code)?;
        assert_eq!(queue(&world, "it")?, (0, 0), "{script}");
    }
    let missing = ["lock", "it", "--", "no-such-program-anywhere"];
    ask(&world, &missing).expect(127)?;
    just(&world, "it", &["--no-wait"]).expect(0)?;
    nobody_is_left(&world)
}

#[test]
fn what_the_command_is_told() -> Result {
    let world = world!()?;
    let file = fs::canonicalize(world.path("."))?.join("locks/it");
    let script = "echo $WARD_LOCK_NAME $WARD_LOCK_MODE $WARD_LOCK_FD $WARD_LOCK_TOKEN
        readlink /proc/$$/fd/$WARD_LOCK_FD";
    let mut last = 0;
    for (options, mode) in [
        (&[][..], "EX"),
        (&["--shared"], "PR"),
        (&["--clear-env"], "EX"),
    ] {
        let answer = ask(&world, &["lock", "it"])
            .words(options)
            .words(["--env", &format!("PATH={}", std::env::var("PATH")?)])
            .sh(script)
            .expect(0)?;
        let lines: Vec<&str> = answer.out.lines().collect();
        let [told, link] = lines[..] else {
            anyhow::bail!("{answer:#?}");
        };
        let token = told
            .strip_prefix(&format!("it {mode} 100 "))
            .with_context(|| format!("{answer:#?}"))?;
        let token: u64 = token.parse()?;
        ensure!(token > last, "{token} after {last}");
        last = token;
        assert_eq!(PathBuf::from(link), file);
        // Who was refused has a number too, or has none; the next one's is higher anyway.
        ask(&world, &["lock", "it"])
            .sh(&format!("[ $WARD_LOCK_TOKEN -gt {token} ]"))
            .expect(0)?;
    }
    Ok(())
}

#[test]
fn the_list() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &["--why", "a good reason"])?;
    let second = waiter(&world, "it", &["--shared"], "second")?;
    let lock = shown(&world, "it")?;
    assert_eq!(lock["name"], "it");
    assert_eq!(lock["holders"][0]["why"], "a good reason", "{lock:#}");
    assert_eq!(lock["holders"][0]["pid"], first.pid(), "{lock:#}");
    assert_eq!(lock["waiting"][0]["pid"], second.pid(), "{lock:#}");
    let answer = ask(&world, &["locks"]).expect(0)?;
    ensure!(
        answer.out.contains("it: 1 hold, 1 wait") && answer.out.contains("a good reason"),
        "{answer:#?}"
    );
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    second.answer()?.expect(0)?;
    assert_eq!(ask(&world, &["locks"]).expect(0)?.out, "");
    Ok(())
}

/// A command that leaves somebody behind who lives until the gate is opened.
fn leaving(world: &World) -> String {
    let background = text(world.path("background"));
    format!(
        "(echo $(exec sh -c 'echo $PPID') >{background}.new; mv {background}.new {background}
        {} {}) </dev/null >/dev/null 2>&1 & {} {}",
        until(world, "gate"),
        say(world, "over"),
        until(world, "background"),
        say(world, "left"),
    )
}

fn background(world: &World) -> anyhow::Result<Member> {
    wait_until("somebody in the background", || {
        world.path("background").exists()
    })?;
    Member::now(
        fs::read_to_string(world.path("background"))?
            .trim()
            .parse()?,
    )
}

#[test]
fn who_stays_in_the_background_does_not_keep_it() -> Result {
    for containment in ["auto", "guardian"] {
        let world = world!()?;
        let options = ["lock", "it", "--leftover-grace", LONG];
        let first = ask(&world, &options)
            .words(["--containment", containment])
            .sh(&leaving(&world))
            .start()?;
        let background = background(&world)?;
        let next = ask(&world, &["lock", "it", "--wait", LONG]).sh(&say(&world, "next"));
        next.expect(0)?;
        ensure!(background.is_alive(), "{}", said(&world));
        open(&world, "gate")?;
        first.answer()?.expect(0)?;
        assert_eq!(said(&world), "left\nnext\nover\n", "{containment}");
        nobody_is_left(&world)?;
    }
    Ok(())
}

#[test]
fn a_tree_holds_it_until_everybody_has_ended() -> Result {
    for containment in ["auto", "guardian"] {
        let world = world!()?;
        let options = ["lock", "it", "--hold", "tree", "--leftover-grace", LONG];
        let first = ask(&world, &options)
            .words(["--containment", containment])
            .sh(&leaving(&world))
            .start()?;
        let leader = {
            let background = background(&world)?;
            look(background.pid).context("it is gone")?.ppid
        };
        wait_until("the command to end", || {
            look(leader).is_none_or(|seen| seen.is_zombie())
        })?;
        let next = waiter(&world, "it", &["--wait", LONG], "next")?;
        just(&world, "it", &["--no-wait"]).expect(BUSY)?;
        open(&world, "gate")?;
        next.answer()?.expect(0)?;
        first.answer()?.expect(0)?;
        assert_eq!(said(&world), "left\nover\nnext\n", "{containment}");
        nobody_is_left(&world)?;
    }
    Ok(())
}

#[test]
fn slots() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &["--slots", "3", "--take", "2"])?;
    for (options, code) in [
        (&["--slots", "3"][..], 0),
        (&["--slots", "3", "--take", "2"], BUSY),
        (&["--slots", "4"], REFUSED),
        (&[], REFUSED),
        (&["--shared"], REFUSED),
    ] {
        let mut all = options.to_vec();
        all.push("--no-wait");
        just(&world, "it", &all).expect(code)?;
    }
    let answer = just(&world, "it", &["--slots", "3", "--take", "4"]).answer()?;
    ensure!([WRONG_USE, REFUSED].contains(&answer.code()), "{answer:#?}");
    just(&world, "it", &["--slots", "0"]).expect(WRONG_USE)?;
    just(&world, "it", &["--slots", "3", "--take", "0"]).expect(WRONG_USE)?;
    // A big one is not overtaken by small ones.
    let big = waiter(&world, "it", &["--slots", "3", "--take", "3"], "big")?;
    just(&world, "it", &["--slots", "3", "--no-wait"]).expect(BUSY)?;
    let small = waiter(&world, "it", &["--slots", "3"], "small")?;
    assert_eq!(shown(&world, "it")?["shape"]["slots"], 3);
    open(&world, "gate")?;
    for one in [first, big, small] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(said(&world), "big\nsmall\n");
    // Nobody is there any more who could mean something else by it.
    just(&world, "it", &["--slots", "4", "--no-wait"]).expect(0)?;
    just(&world, "it", &["--no-wait"]).expect(0)?;
    Ok(())
}

/// For a shell: `ward lock NAME OPTIONS -- true` inside.
fn inner(world: &World, name: &str, options: &str) -> String {
    let ward = world.ward_program().display();
    format!("{ward} lock {name} {options} -- true; echo $?;")
}

#[test]
fn to_wait_for_oneself_is_refused() -> Result {
    let world = world!()?;
    for (outer, within, code) in [
        (&[][..], "", REFUSED),
        (&["--shared"], "", REFUSED),
        (&["--shared"], "--shared", 0),
        (
            &["--slots", "3", "--take", "2"],
            "--slots 3 --take 2",
            REFUSED,
        ),
        (&["--slots", "3", "--take", "2"], "--slots 3", 0),
    ] {
        // Also below another lock.
        let deeper = format!(
            "{} lock between -- /bin/sh -c '{}' {}",
            world.ward_program().display(),
            inner(&world, "it", within),
            world.mark()
        );
        for script in [inner(&world, "it", within), deeper] {
            let answer = ask(&world, &["lock", "it"])
                .words(outer)
                .sh(&script)
                .expect(0)?;
            assert_eq!(
                answer.out.trim(),
                code.to_string(),
                "{outer:?}: {answer:#?}"
            );
        }
        just(&world, "it", outer).expect(0)?;
    }
    // Others are no part of this.
    let answer = ask(&world, &["lock", "it"])
        .sh(&inner(&world, "other", ""))
        .expect(0)?;
    assert_eq!(answer.out.trim(), "0", "{answer:#?}");
    nobody_is_left(&world)
}

/// Who shares it and asks to share it once more stands behind a writer who waits for him: to
/// wait would be to wait for ever, so he is refused, or served.
#[test]
fn to_wait_for_oneself_behind_somebody_else_is_refused() -> Result {
    let world = world!()?;
    let script = format!(
        "{} {}",
        until(&world, "gate"),
        inner(&world, "it", "--shared --wait 5s")
    );
    let outer = ask(&world, &["lock", "it", "--shared"])
        .sh(&script)
        .start()?;
    await_queue(&world, "it", (1, 0))?;
    let writer = waiter(&world, "it", &[], "writer")?;
    open(&world, "gate")?;
    let answer = outer.answer()?.expect(0)?;
    writer.answer()?.expect(0)?;
    ensure!(
        ["0", "125"].contains(&answer.out.trim()),
        "it waited in vain: {answer:#?}"
    );
    Ok(())
}

#[test]
fn a_name_that_is_none() -> Result {
    let world = world!()?;
    let long = "x".repeat(81);
    for name in [
        "", ".", "..", "a//b", "../x", "/x", "-x", ".x", "a b", "a\nb", "ä", &long,
    ] {
        just(&world, name, &[])
            .expect(WRONG_USE)
            .with_context(|| format!("{name:?}"))?;
    }
    for name in ["a", "0", "a.b-c_d+e@f:g", &"x".repeat(80)] {
        just(&world, name, &["--no-wait"]).expect(0)?;
    }
    ask(&world, &["locks", "../x"]).expect(WRONG_USE)?;
    Ok(())
}

#[test]
fn a_directory_that_cannot_be_relied_upon() -> Result {
    let world = world!()?;
    let open = world.path("open");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, Permissions::from_mode(0o1777))?;
    let answer = just(&world, "it", &["--lock-dir", &text(&open)]).expect(REFUSED)?;
    ensure!(answer.err.contains(&text(&open)), "{answer:#?}");
    assert_eq!(fs::read_dir(&open)?.count(), 0);
    just(&world, "it", &[])
        .variable("WARD_LOCK_DIR", &open)
        .expect(REFUSED)?;
    ask(&world, &["locks", "--lock-dir", &text(&open)]).expect(REFUSED)?;
    // What is no file, or leads elsewhere, is not touched.
    let place = world.path("locks");
    just(&world, "good", &[]).expect(0)?;
    assert_eq!(fs::metadata(&place)?.permissions().mode() & 0o7777, 0o700);
    fs::create_dir(place.join("directory"))?;
    fs::write(world.path("victim"), "as it was")?;
    symlink(world.path("victim"), place.join("link"))?;
    for name in ["directory", "link"] {
        just(&world, name, &[]).expect(REFUSED)?;
    }
    assert_eq!(fs::read_to_string(world.path("victim"))?, "as it was");
    Ok(())
}

/// A process that is stopped keeps its place, and is in nobody's way otherwise.
#[test]
fn a_stopped_process_is_in_nobodys_way() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &["--shared"])?;
    first.signal(Signal::STOP)?;
    wait_until("it to be stopped", || {
        look(first.pid()).is_some_and(|seen| seen.state == 'T')
    })?;
    just(&world, "it", &["--shared", "--no-wait"]).expect(0)?;
    let stopped = waiter(&world, "it", &[], "stopped")?;
    stopped.signal(Signal::STOP)?;
    wait_until("it to be stopped", || {
        look(stopped.pid()).is_some_and(|seen| seen.state == 'T')
    })?;
    assert_eq!(queue(&world, "it")?, (1, 1));
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    let next = waiter(&world, "it", &["--shared"], "next")?;
    // Killed, it gives up its place, and whoever it was in the way of runs beside the first one.
    stopped.signal(Signal::KILL)?;
    next.answer()?.expect(0)?;
    stopped.answer()?.expect(128 + 9)?;
    first.signal(Signal::CONT)?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    assert_eq!(said(&world), "next\n");
    nobody_is_left(&world)
}
