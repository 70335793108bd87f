//! `ward up` keeps the build server as one more program.

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use ward_testkit::patience::{wait_for, wait_until};

use crate::Result;
use crate::scene::{Scene, world};

const JOB: &str = "[job:long]\nscript =\n    #!/bin/sh\n    for i in 1 2 3 4 5 6 7 8 9\n    do\n        echo line $i\n        sleep 0.05\n    done\n[program:other]\ncommand = sleep 600\n";

fn pid_of(scene: &Scene, name: &str) -> Option<i32> {
    let conf = scene.conf.to_string_lossy();
    let said = scene
        .ward(&["ctl", "-c", &conf, "status", "--json", name])
        .ok()?;
    let pid = said.json().ok()?["processes"][0]["pid"].as_i64()?;
    i32::try_from(pid).ok()
}

#[test]
fn a_build_server_is_one_more_program() -> Result {
    let world = world()?;
    let scene = Scene::new(&world, "", JOB)?;
    let conf = scene.conf.to_string_lossy().into_owned();
    scene.ward(&["up", "-c", &conf])?.expect(0)?;
    scene.await_answers()?;
    let before = wait_for("builds to run", || pid_of(&scene, "builds"))?;
    let status = scene.ward(&["ctl", "-c", &conf, "status"])?;
    ensure!(
        status.out.contains("builds") && status.out.contains("other"),
        "{status:#?}"
    );

    // It is killed in the middle of a build, and started again.
    scene.build(&["start", "long", "-q"])?.expect(0)?;
    wait_for("the build", || {
        scene
            .build(&["show", "long", "1"])
            .ok()
            .filter(|said| said.code == Some(0))
    })?;
    kill_process(Pid::from_raw(before).context("no pid")?, Signal::KILL)?;
    wait_until("another server", || {
        pid_of(&scene, "builds").is_some_and(|pid| pid != before)
    })?;
    scene.await_answers()?;
    let shown = scene.over("long", 1)?;
    ensure!(shown["result"] == "SUCCESS", "{shown}");
    let log = scene.build(&["log", "long", "1"])?.expect(0)?.out;
    ensure!(log.contains("\nline 9\n"), "{log}");

    let said = scene.ward(&["ctl", "-c", &conf, "shutdown"])?;
    ensure!(said.code == Some(0), "{said:#?}");
    wait_until("everybody to be gone", || {
        world.survivors().is_empty() && world.wards().is_empty()
    })
    .with_context(|| format!("{:#?}", world.wards()))
}

#[test]
fn a_name_is_taken_and_a_broken_job_keeps_no_program_from_running() -> Result {
    let world = world()?;
    let scene = Scene::new(&world, "", "[program:builds]\ncommand = cat\n")?;
    let conf = scene.conf.to_string_lossy().into_owned();
    let said = scene.ward(&["up", "-c", &conf])?.expect(2)?;
    ensure!(
        said.err
            .contains("`builds` is the name of the build server"),
        "{said:#?}"
    );

    // Whom the server would run as is not guessed from what is left of its section.
    let other = "[program:other]\ncommand = sleep 600\n";
    scene.write("user = nobody-here", other)?;
    let said = scene.ward(&["up", "-c", &conf])?.expect(2)?;
    ensure!(said.err.contains("nobody-here"), "{said:#?}");

    scene.write("", &format!("{other}[job:odd]\ntimeout = never\n"))?;
    let said = scene.ward(&["up", "-c", &conf])?.expect(0)?;
    ensure!(
        said.err.contains("the build server cannot start: "),
        "{said:#?}"
    );
    wait_for("the other program", || pid_of(&scene, "other"))?;
    scene.ward(&["ctl", "-c", &conf, "shutdown"])?.expect(0)?;
    wait_until("everybody to be gone", || world.wards().is_empty())
}
