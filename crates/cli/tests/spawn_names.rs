//! A daemon has a name: which names there are, who may take one that is taken, and what is left
//! under it when its program cannot be started.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs;

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{
    Ask, custody, everything, free_port, nobody_is_left, shown, spawn, state, stop,
};
use ward_testkit::hostile::noise::beats;
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;
use ward_testkit::world;

type Result = anyhow::Result<()>;

const ENDED_OR_NOT_READY: i32 = 120;
const UNKNOWN_NAME: i32 = 121;
const NAME_TAKEN: i32 = 122;

#[test]
fn a_program_that_cannot_be_started() -> Result {
    let world = world!()?;
    let plain = world.path("plain");
    fs::write(&plain, "no program")?;
    let nowhere = text(world.path("nowhere"));
    let rows = [
        ("no-such-program-anywhere", 127),
        (nowhere.as_str(), 127),
        (&text(&plain), 126),
        (&text(world.programs()), 126),
    ];
    for (program, code) in rows {
        let answer = Ask::new(&world, ["spawn", "--name", "web", "--", program]).expect(code)?;
        ensure!(
            answer.err.starts_with("ward: ") && answer.err.contains(program),
            "{answer:#?}"
        );
        ensure!(answer.out.is_empty(), "{answer:#?}");
        nobody_is_left(&world)?;
        ensure!(
            state(&world, "web").is_ok_and(|state| state != "running")
                || shown(&world, "web")?.is_none()
        );
    }
    // The name is free for who can be started.
    spawn(&world, "web", &[], &["linger"])?;
    stop(&world, &["web"])?;
    Ok(())
}

#[test]
fn a_directory_that_is_not_there() -> Result {
    let world = world!()?;
    let answer = Ask::new(&world, ["spawn", "--name", "web", "--chdir"])
        .words([world.path("nowhere")])
        .hostile(&["linger"])
        .answer()?;
    ensure!(
        [125, 126, 127].contains(&answer.code()) && answer.err.contains("nowhere"),
        "{answer:#?}"
    );
    nobody_is_left(&world)
}

#[test]
fn a_name_that_is_none() -> Result {
    let world = world!()?;
    for name in ["", ".", "..", "a/b", "../web", "/web", "-x", "a b", "a\nb"] {
        let answer = Ask::new(&world, ["spawn", &format!("--name={name}")])
            .hostile(&["linger"])
            .answer()?;
        ensure!(answer.code() == 2, "{name:?}: {answer:#?}");
        nobody_is_left(&world)?;
    }
    for words in [["stop", "../web"], ["status", "../web"], ["logs", "../web"]] {
        let answer = Ask::new(&world, words).answer()?;
        ensure!([2, 4, UNKNOWN_NAME].contains(&answer.code()), "{answer:#?}");
    }
    Ok(())
}

#[test]
fn who_gives_no_name_gets_one() -> Result {
    let world = world!()?;
    let mut names = HashSet::new();
    for _ in 0..3 {
        let answer = Ask::new(&world, ["spawn", "--", "sleep", "612"]).expect(0)?;
        let (name, rest) = answer
            .out
            .split_once(": running, pid ")
            .context("no name")?;
        let suffix = name
            .strip_prefix("sleep-")
            .with_context(|| name.to_owned())?;
        ensure!(!suffix.is_empty(), "{name}");
        let pid: i32 = rest.trim_end().parse()?;
        assert_eq!(custody(&world, name)?.leader.pid, pid);
        ensure!(names.insert(name.to_owned()), "{name} twice");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stop(&world, &names)?;
    Ok(())
}

#[test]
fn a_name_is_taken() -> Result {
    let world = world!()?;
    let before = spawn(&world, "web", &[], &["linger"])?;
    for options in [&[][..], &["--if-running", "fail"]] {
        let answer = Ask::new(&world, ["spawn", "--name", "web"])
            .words(options)
            .hostile(&["linger"])
            .expect(NAME_TAKEN)?;
        ensure!(
            answer.err.contains("web") && answer.err.contains(&before.leader.pid.to_string()),
            "{answer:#?}"
        );
    }
    assert_eq!(custody(&world, "web")?, before);
    ensure!(before.leader.is_alive());
    assert_eq!(world.survivors().len(), 1);
    stop(&world, &["web"])?;
    Ok(())
}

#[test]
fn who_runs_already_is_kept() -> Result {
    let world = world!()?;
    let keep = ["--if-running", "keep"];
    // Kept or not: the first one starts it.
    let before = spawn(&world, "web", &keep, &["linger"])?;
    let answer = Ask::new(&world, ["spawn", "--name", "web"])
        .words(keep)
        .words(["--", "no-such-program-anywhere"])
        .expect(0)?;
    assert_eq!(
        answer.out,
        format!("web: runs already, pid {}\n", before.leader.pid)
    );
    assert_eq!(custody(&world, "web")?, before);
    stop(&world, &["web"])?;
    // Nobody runs any more, so there is nobody to be kept.
    let after = spawn(&world, "web", &keep, &["linger"])?;
    ensure!(after.leader != before.leader && after.leader.is_alive());
    stop(&world, &["web"])?;
    Ok(())
}

#[test]
fn who_runs_already_is_replaced() -> Result {
    let world = world!()?;
    let mut before = spawn(&world, "web", &[], &["linger"])?;
    for options in [&["--replace"][..], &["--if-running", "replace"]] {
        let after = spawn(&world, "web", options, &["linger"])?;
        ensure!(after.leader.pid != before.leader.pid);
        for gone in [before.front, before.guardian, before.leader] {
            wait_until("the old one to be gone", || !gone.is_alive())?;
        }
        // Not at some later time: the old one is gone before the new one starts.
        assert_eq!(world.survivors().len(), 1);
        ensure!(after.leader.is_alive());
        before = after;
    }
    stop(&world, &["web"])?;
    Ok(())
}

/// The old tree is stopped as it wanted to be stopped when it was spawned.
#[test]
fn the_whole_old_tree_is_replaced() -> Result {
    let world = world!()?;
    spawn(&world, "web", &["--grace", "300ms"], &["mixed-tree", "12"])?;
    let old = world.await_signatures(12)?;
    let after = spawn(&world, "web", &["--replace", "--grace", "1h"], &["linger"])?;
    let left: Vec<i32> = world.survivors().iter().map(|seen| seen.pid).collect();
    assert_eq!(left, [after.leader.pid], "the old ones were {old:?}");
    stop(&world, &["web"])?;
    Ok(())
}

/// The new one never gets ready: the old command runs again.
#[test]
fn a_replacement_that_fails_is_rolled_back() -> Result {
    let world = world!()?;
    let port = format!("tcp:{}", free_port()?);
    let file = text(world.path("beats"));
    let before = spawn(&world, "web", &[], &["beat", &file])?;
    let command = shown(&world, "web")?.context("not shown")?["command"].clone();
    let answer = Ask::new(
        &world,
        ["spawn", "--name", "web", "--replace", "--rollback"],
    )
    .words(["--ready", &port, "--ready-timeout", "500ms"])
    .sh("echo I am the new one; exec sleep 612")
    .expect(ENDED_OR_NOT_READY)?;
    ensure!(answer.err.contains("I am the new one"), "{answer:#?}");
    ensure!(!before.leader.is_alive());

    let after = custody(&world, "web")?;
    ensure!(after.leader.is_alive(), "{}", everything(&world, "web"));
    let shown = shown(&world, "web")?.context("not shown")?;
    assert_eq!(
        (&shown["state"], &shown["command"]),
        (&"running".into(), &command)
    );
    assert_eq!(shown["pid"], after.leader.pid);
    wait_until("the old command to run again", || {
        beats(file.as_ref()).is_ok_and(|beat| beat > 20)
    })?;
    assert_eq!(world.survivors().len(), 1, "{:#?}", world.survivors());
    Ask::new(&world, ["status", "web"]).expect(0)?;
    stop(&world, &["web"])?;
    Ok(())
}

/// A replacement that cannot even be started must not cost the old one its life for good.
#[test]
fn a_replacement_that_cannot_be_started_is_rolled_back() -> Result {
    let world = world!()?;
    spawn(&world, "web", &[], &["linger"])?;
    let answer = Ask::new(
        &world,
        ["spawn", "--name", "web", "--replace", "--rollback"],
    )
    .words(["--", "no-such-program-anywhere"])
    .answer()?;
    ensure!(
        [ENDED_OR_NOT_READY, 127].contains(&answer.code()),
        "{answer:#?}"
    );
    assert_eq!(state(&world, "web")?, "running");
    ensure!(custody(&world, "web")?.leader.is_alive());
    assert_eq!(world.survivors().len(), 1, "{:#?}", world.survivors());
    stop(&world, &["web"])?;
    Ok(())
}
