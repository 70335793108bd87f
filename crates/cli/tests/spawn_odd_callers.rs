//! Callers of `ward spawn` whose surroundings are odd: without streams, with streams that cannot
//! be written, with hardly any descriptors left, with a huge environment, somewhere else.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{
    Ask, await_state, custody, directory, nobody_is_left, shown, state, stop, whole_log,
};
use ward_testkit::hostile::noise::beats;
use ward_testkit::patience::wait_until;
use ward_testkit::processes::{descriptors, variable};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{STATE_VARIABLE, Who, is_root};

type Result = anyhow::Result<()>;

/// Whoever has no streams gives their numbers to the files that are opened first. None of these
/// must be the daemon's, and what is said must not get into a file of the ledger.
#[test]
fn a_caller_without_streams() -> Result {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"] {
        let world = world!()?;
        let ward = text(world.ward_program());
        let script =
            format!("{ward} spawn --name web -- /bin/sh -c 'echo word; exec sleep 612' {closed}");
        Ask::shell(&world, &script)
            .expect(0)
            .with_context(|| closed)?;
        let leader = custody(&world, "web")?.leader.pid;
        wait_until("the word", || {
            whole_log(&world, "web").is_ok_and(|log| log == b"word\n")
        })
        .with_context(|| closed)?;
        let open: BTreeMap<i32, PathBuf> = descriptors(leader).into_iter().collect();
        assert_eq!(
            open.keys().copied().collect::<Vec<_>>(),
            [0, 1, 2],
            "{closed}: {open:?}"
        );
        assert_eq!(open[&0], Path::new("/dev/null"), "{closed}");
        ensure!(
            open[&1] == open[&2] && text(&open[&1]).starts_with("pipe:"),
            "{closed}: {open:?}"
        );
        assert_eq!(state(&world, "web")?, "running", "{closed}");
        stop(&world, &["web"]).with_context(|| closed)?;
    }
    Ok(())
}

/// What it says cannot be said. Whether that is a failure or not, the daemon is known.
#[test]
fn a_caller_whose_streams_are_full_or_broken() -> Result {
    for to in [">/dev/full", ">/dev/full 2>&1", "| true", "2>&1 | true"] {
        let world = world!()?;
        let ward = text(world.ward_program());
        let daemon = world.hostile_text(&["linger"]);
        Ask::shell(&world, &format!("{ward} spawn --name web -- {daemon} {to}")).answer()?;
        let alive = world.survivors().len();
        let known = shown(&world, "web")?.is_some_and(|web| web["state"] == "running");
        ensure!(
            (alive == 1) == known && alive <= 1,
            "{to}: {alive} alive, known: {known}"
        );
        stop(&world, &["web"]).with_context(|| to)?;
    }
    Ok(())
}

#[test]
fn a_caller_with_few_descriptors() -> Result {
    for limit in [4, 6, 8, 12, 20, 40] {
        let world = world!()?;
        let ward = text(world.ward_program());
        let daemon = world.hostile_text(&["linger"]);
        let script = format!("ulimit -n {limit}; {ward} spawn --name web -- {daemon}");
        let answer = Ask::shell(&world, &script).answer()?;
        // Either it runs and is known, or it is said why not, and nobody is left.
        if answer.code() == 0 {
            assert_eq!(state(&world, "web")?, "running", "{limit}");
            stop(&world, &["web"]).with_context(|| limit.to_string())?;
        } else {
            ensure!(answer.err.contains("ward: "), "{limit}: {answer:#?}");
            nobody_is_left(&world).with_context(|| format!("{limit}: {answer:#?}"))?;
        }
    }
    Ok(())
}

/// An environment near the limit of the system, and values that are no text.
#[test]
fn a_caller_with_a_huge_environment() -> Result {
    let world = world!()?;
    let large = "x".repeat(120_000);
    let mut ask = Ask::new(&world, ["spawn", "--name", "web", "--", "sleep", "612"]);
    let names: Vec<String> = (0..9).map(|number| format!("LARGE_{number}")).collect();
    for name in &names {
        ask = ask.variable(name, &large);
    }
    ask.variable("LINES", "one\ntwo\n").expect(0)?;
    let check = || -> Result {
        let leader = custody(&world, "web")?.leader.pid;
        for name in &names {
            ensure!(variable(leader, name).as_ref() == Some(&large), "{name}");
        }
        assert_eq!(variable(leader, "LINES").as_deref(), Some("one\ntwo\n"));
        Ok(())
    };
    check()?;
    Ask::new(&world, ["restart", "web"]).expect(0)?;
    check().context("after a restart")?;
    stop(&world, &["web"])?;
    Ok(())
}

/// The state directory is relative to where the caller is, and the keepers are elsewhere.
#[test]
fn a_state_directory_beside_the_caller() -> Result {
    let world = world!()?;
    let ask = |words: &[&str]| {
        Ask::new(&world, words)
            .directory(world.path("."))
            .variable(STATE_VARIABLE, "state")
    };
    ask(&["spawn", "--name", "web", "--", "sleep", "612"]).expect(0)?;
    ensure!(directory(&world, "web").join("entry").exists());
    ask(&["status", "web"]).expect(0)?;
    // The same, by its whole name.
    assert_eq!(state(&world, "web")?, "running");
    stop(&world, &["web"])?;
    Ok(())
}

/// The disk with the log is full: the daemon does not notice, and can be stopped.
#[test]
fn a_log_on_a_full_disk() -> Result {
    if !is_root() || in_path("unshare").is_none() {
        skipped(
            "a log on a full disk",
            "only root can mount one, by unshare",
        );
        return Ok(());
    }
    let world = world!()?;
    let disk = world.path("disk");
    fs::create_dir(&disk)?;
    let (ward, place, file) = (text(world.ward_program()), text(&disk), world.path("beats"));
    let daemon = world.hostile_text(&["beat", &text(&file)]);
    let script = format!(
        "mount -t tmpfs -o size=64k ward-test {place} || exit 77
         {ward} spawn --name web --log {place}/log --log-max 16K --log-keep 9 -- {daemon}"
    );
    let answer = Ask::of(&world, Who::Myself, "unshare".as_ref())
        .words(["--mount", "/bin/sh", "-c", &script, world.mark()])
        .answer()?;
    if answer.code() == 77 {
        skipped(
            "a log on a full disk",
            &format!("nothing can be mounted here: {}", answer.err),
        );
        return Ok(());
    }
    answer.expect(0)?;
    // More than the disk, the pipe and any buffer hold.
    wait_until("the daemon to go on", || match beats(&file) {
        Ok(beat) => beat > 1500,
        Err(_) => false,
    })
    .with_context(|| format!("{:?}", beats(&file)))?;
    await_state(&world, "web", "running")?;
    stop(&world, &["web"])?;
    Ok(())
}

/// `ward spawn` as the first process of a container that goes on: it must not take the daemon
/// with it, nor be in its way.
#[test]
fn a_container() -> Result {
    if !is_root() || in_path("unshare").is_none() {
        skipped("a container", "only root can make one, by unshare");
        return Ok(());
    }
    let world = world!()?;
    let (ward, file) = (text(world.ward_program()), world.path("beats"));
    let daemon = world.hostile_text(&["beat", &text(&file)]);
    let script = format!(
        "{ward} spawn --name web -- {daemon} || exit 1
         until [ -s {beats} ]; do sleep 0.01; done
         {ward} status web && {ward} ps && {ward} stop web && ! {ward} status web",
        beats = text(&file)
    );
    let answer = Ask::of(&world, Who::Myself, "unshare".as_ref())
        .words([
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "/bin/sh",
            "-c",
        ])
        .words([&script, world.mark()])
        .answer()?;
    if answer.err.contains("unshare") {
        skipped("a container", &answer.err);
        return Ok(());
    }
    answer.expect(0)?;
    nobody_is_left(&world)
}
