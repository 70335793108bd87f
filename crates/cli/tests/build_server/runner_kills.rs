//! The runner of a build is killed at any moment, alone, with its guardian, or with the server: its build ends,
//! is recorded once, has a whole log, and leaves nothing behind.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ward_testkit::moments::{let_pass, moments};
use ward_testkit::patience::{wait_for, wait_until};

use crate::Result;
use crate::scene::{Scene, world};

const LINES: usize = 60;
const SECRET: &str = "a-secret-that-nobody-keeps";

fn jobs() -> String {
    format!(
        "[job:long]\nsecrets = TOKEN@=token\nleftover_grace = 0\nscript =\n    #!/bin/sh\n    # {SECRET}\n    i=0\n    \
         while [ $i -lt {LINES} ]\n    do\n        i=$((i+1))\n        echo line $i\n        sleep 0.005\n    done\n"
    )
}

fn scene(world: &ward_testkit::world::World) -> Result<Scene<'_>> {
    let mut scene = Scene::new(world, "", &jobs())?;
    scene.serve()?;
    fs::write(scene.home().join("secrets/token"), SECRET)?;
    Ok(scene)
}

fn directory(scene: &Scene, number: u32) -> PathBuf {
    scene.home().join(format!("jobs/long/builds/{number}"))
}

/// The runner of a build, if it says who it is.
fn runner_of(scene: &Scene, number: u32) -> Option<i32> {
    let text = fs::read(directory(scene, number).join("state.json")).ok()?;
    let state: Value = serde_json::from_slice(&text).ok()?;
    i32::try_from(state["pid"].as_i64()?).ok()
}

/// Kills it, if it is still the runner of that build.
fn kill_runner(scene: &Scene, number: u32) -> Option<i32> {
    let pid = runner_of(scene, number)?;
    if !scene.world.owns(pid) {
        return None;
    }
    kill_process(Pid::from_raw(pid)?, Signal::KILL).ok()?;
    Some(pid)
}

/// What is to be said of every build, whoever was killed.
fn is_sound(scene: &Scene, number: u32) -> Result {
    let shown = scene.over("long", number)?;
    let log = scene
        .build(&["log", "long", &number.to_string()])?
        .expect(0)?
        .out;
    let lines: Vec<&str> = log.lines().filter(|it| it.starts_with("line ")).collect();
    let expected: Vec<String> = (1..=lines.len()).map(|n| format!("line {n}")).collect();
    ensure!(lines == expected, "{log}");
    let result = shown["result"].as_str().context("no result")?;
    match result {
        "SUCCESS" => ensure!(lines.len() == LINES, "{log}"),
        "FAILURE" => {
            let why = shown["outcome"]["why"].as_str().unwrap_or_default();
            ensure!(why.contains("the build's own process"), "{shown}\n{log}");
        }
        other => anyhow::bail!("{other}: {shown}\n{log}"),
    }
    let has_log = directory(scene, number).join("log").exists();
    ensure!(
        !has_log || log.ends_with(&format!("\nFinished: {result}\n")),
        "{shown}\n{log}"
    );
    ensure!(log.matches("Finished: ").count() <= 1, "{log}");
    leaves_nothing(scene, number)
}

/// Neither files that a runner made nor processes of the build.
fn leaves_nothing(scene: &Scene, number: u32) -> Result {
    let left = |path: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let scripts = left(scene.temporary());
    ensure!(scripts.is_empty(), "{scripts:?}");
    let secrets = left(scene.home().join("workspaces/long@tmp"));
    ensure!(secrets.is_empty(), "{secrets:?}");
    let files = left(directory(scene, number));
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".new") || name == "scratch"
    };
    ensure!(!files.iter().any(is_part), "{files:?}");
    let survivors = scene.world.survivors();
    ensure!(survivors.is_empty(), "{survivors:#?}");
    Ok(())
}

/// Each build is there once.
fn are_recorded_once(scene: &Scene, count: u32) -> Result {
    let mut numbers = scene.numbers("long")?;
    numbers.sort_unstable();
    let all: Vec<u64> = (1..=u64::from(count)).collect();
    ensure!(numbers == all, "{numbers:?}");
    Ok(())
}

#[test]
fn a_runner_killed_at_any_moment() -> Result {
    let world = world()?;
    let mut scene = scene(&world)?;
    let (mut count, mut killed) = (0, 0);
    for moment in moments(Duration::from_millis(600)) {
        count += 1;
        scene.build(&["start", "long", "-q"])?.expect(0)?;
        let_pass(moment);
        killed += u32::from(kill_runner(&scene, count).is_some());
        is_sound(&scene, count).with_context(|| format!("killed {moment:?} after the request"))?;
    }
    ensure!(killed > 0, "nobody was killed");
    are_recorded_once(&scene, count)?;
    scene.end()
}

#[test]
fn a_runner_and_its_server_killed_at_any_moment() -> Result {
    let world = world()?;
    let mut scene = scene(&world)?;
    let mut count = 0;
    for moment in moments(Duration::from_millis(600)) {
        count += 1;
        scene.build(&["start", "long", "-q"])?.expect(0)?;
        let_pass(moment);
        // Now the one first, now the other.
        if count % 2 == 0 {
            kill_runner(&scene, count);
            scene.kill()?;
        } else {
            scene.kill()?;
            kill_runner(&scene, count);
        }
        scene.serve()?;
        is_sound(&scene, count).with_context(|| format!("killed {moment:?} after the request"))?;
    }
    are_recorded_once(&scene, count)?;
    scene.end()
}

#[test]
fn what_a_killed_runner_and_guardian_leave_is_removed() -> Result {
    let world = world()?;
    let mut scene = scene(&world)?;
    scene.write(
        "",
        "[job:long]\nsecrets = TOKEN@=token\nscript =\n    test -s \"$TOKEN\"\n    echo \"begun $0\"\n    sleep 600\n",
    )?;
    scene.signal(Signal::HUP)?;
    wait_until("the other job", || {
        fs::read_to_string(scene.log()).is_ok_and(|log| log.contains("read again"))
    })?;
    scene.build(&["start", "long", "-q"])?.expect(0)?;
    scene.await_text("long", 1, "\nbegun ")?;
    let runner = wait_for("the runner", || runner_of(&scene, 1))?;
    let made = fs::read_dir(scene.temporary())?.count();
    ensure!(made == 1, "the script is there: {made}");
    let secret = scene.home().join("workspaces/long@tmp/secrets-1/token");
    ensure!(fs::read_to_string(&secret)? == SECRET);
    scene.kill()?;
    // The runner and its guardian at once: nobody is left who would remove anything.
    let wards = world.wards();
    ensure!(!wards.is_empty(), "there is no guardian");
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in wards.iter().map(|seen| seen.pid).chain([runner]) {
            world.signal(pid, signal);
        }
    }
    wait_until("their end", || {
        world.wards().is_empty() && !world.owns(runner)
    })?;
    ensure!(secret.exists(), "somebody else removed it");
    for seen in world.survivors() {
        world.signal(seen.pid, Signal::KILL);
    }
    wait_until("nobody to be left", || world.survivors().is_empty())?;
    scene.serve()?;
    let shown = scene.over("long", 1)?;
    ensure!(shown["result"] == "FAILURE", "{shown}");
    leaves_nothing(&scene, 1)?;
    let log = scene.build(&["log", "long", "1"])?.expect(0)?.out;
    ensure!(
        log.ends_with("\nThe build's own process was killed\nFinished: FAILURE\n"),
        "{log}"
    );
    scene.end()
}
