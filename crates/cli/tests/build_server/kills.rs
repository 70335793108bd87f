//! The server is killed at any moment: each build ends, is recorded once, and has its whole log.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::moments::{let_pass, moments};
use ward_testkit::patience::wait_for;

use crate::Result;
use crate::scene::{Scene, world};

const LINES: u32 = 40;

fn jobs() -> String {
    format!(
        "[job:long]\nartifacts = kept\nscript =\n    #!/bin/sh\n    i=0\n    while [ $i -lt {LINES} ]\n    do\n        i=$((i+1))\n        echo line $i\n        sleep 0.01\n    done\n    echo x >kept\n"
    )
}

/// A build that ended well, with its whole log, each line once.
fn is_whole(scene: &Scene, number: u32) -> Result {
    let shown = scene.over("long", number)?;
    let log = scene
        .build(&["log", "long", &number.to_string()])?
        .expect(0)?
        .out;
    ensure!(shown["result"] == "SUCCESS", "{shown}\n{log}");
    ensure!(shown["artifacts"][0] == "kept", "{shown}");
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("line "))
        .collect();
    let expected: Vec<String> = (1..=LINES).map(|n| format!("line {n}")).collect();
    ensure!(lines == expected, "{log}");
    ensure!(log.matches("Finished: ").count() == 1, "{log}");
    ensure!(log.ends_with("Finished: SUCCESS\n"), "{log}");
    Ok(())
}

#[test]
fn a_build_goes_on_without_its_server() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", &jobs())?;
    scene.serve()?;
    let mut count = 0;
    for moment in moments(Duration::from_millis(900)) {
        count += 1;
        scene.build(&["start", "long", "-q"])?.expect(0)?;
        let_pass(moment);
        scene.kill()?;
        scene.serve()?;
        is_whole(&scene, count).with_context(|| format!("killed {moment:?} after the request"))?;
    }
    let all: Vec<u64> = (1..=u64::from(count)).collect();
    let numbers = scene.numbers("long")?;
    ensure!(numbers == all, "each is there once: {numbers:?}");
    scene.end()
}

#[test]
fn a_request_that_was_taken_is_never_lost_or_built_twice() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", &jobs())?;
    scene.serve()?;
    let conf = scene.conf.to_string_lossy().into_owned();
    for moment in moments(Duration::from_millis(60)) {
        let before = scene.numbers("long")?.len();
        let mut asking = scene
            .command(&["build", "start", "long", "-q", "-c", &conf])
            .spawn()?;
        let_pass(moment);
        scene.kill()?;
        let was_taken = asking.wait()?.success();
        scene.serve()?;
        let builds = wait_for("the queue to be empty", || {
            let queue = scene.build(&["queue", "--json"]).ok()?.json().ok()?;
            let is_empty = queue["items"].as_array()?.is_empty();
            is_empty.then(|| scene.numbers("long").ok()).flatten()
        })?;
        // Who heard nothing does not know; who was told that it is done can rely on it.
        ensure!(
            builds.len() <= before + 1,
            "{moment:?}: {before} {builds:?}"
        );
        ensure!(
            !was_taken || builds.len() == before + 1,
            "{moment:?}: {before} {builds:?}"
        );
        if let Some(last) = builds.last() {
            is_whole(&scene, u32::try_from(*last)?)?;
        }
    }
    scene.end()
}

#[test]
fn a_server_that_is_replaced_finds_what_runs() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "stop_builds = false", &jobs())?;
    scene.serve()?;
    scene.build(&["start", "long", "-q"])?.expect(0)?;
    wait_for("the build", || {
        scene
            .build(&["show", "long", "1"])
            .ok()
            .filter(|said| said.code == Some(0))
    })?;
    // Another file in the place of the program, as an upgrade does it.
    let program = world.ward_program();
    let beside = program.with_extension("new");
    fs::copy(program, &beside)?;
    scene.signal(Signal::TERM)?;
    ensure!(scene.ended()? == Some(0), "{}", scene.complaints());
    fs::rename(&beside, program)?;
    scene.serve()?;
    is_whole(&scene, 1)?;
    ensure!(scene.numbers("long")? == [1], "once");
    scene.end()
}

#[test]
fn a_server_that_ends_stops_what_runs() -> Result {
    let world = world()?;
    let jobs = "[job:slow]\nscript =\n    trap 'echo cleaned; exit 0' TERM\n    echo begun\n    sleep 600 & wait\n";
    let mut scene = Scene::new(&world, "", jobs)?;
    scene.serve()?;
    scene.build(&["start", "slow", "-q"])?.expect(0)?;
    wait_for("the build", || {
        scene
            .build(&["show", "slow", "1"])
            .ok()
            .filter(|said| said.code == Some(0))
    })?;
    scene.await_text("slow", 1, "\nbegun\n")?;
    scene.end()?;
    ensure!(world.survivors().is_empty(), "{:#?}", world.survivors());
    scene.serve()?;
    let shown = scene.over("slow", 1)?;
    ensure!(shown["result"] == "ABORTED", "{shown}");
    let log = scene.build(&["log", "slow", "1"])?.expect(0)?.out;
    ensure!(log.contains("\ncleaned\n"), "{log}");
    scene.end()
}
