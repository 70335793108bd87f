//! What people ask a server.

use anyhow::ensure;
use ward_testkit::patience::wait_for;

use crate::Result;
use crate::scene::{Scene, world};

const JOBS: &str = "
[job:good]
description = Does what it should
artifacts = out.txt
script =
    echo made it >out.txt
    echo from $JOB_NAME

[job:bad]
script = exit 3

[job:folder/shaky]
unstable_status = 9
script = exit 9

[job:asked]
parameters =
    WHO = nobody
    HOW: soft|loud
script = echo \"$WHO is $HOW\"

[job:slow]
grace = 20s
script =
    trap 'echo cleaning; echo cleaned; exit 0' TERM
    echo begun
    sleep 600 & wait
";

#[test]
fn a_build_is_started_followed_and_shown() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", JOBS)?;
    scene.serve()?;

    let said = scene.build(&["start", "good", "--wait", "-f"])?.expect(0)?;
    ensure!(said.out.contains("from good\n"), "{said:#?}");
    ensure!(said.out.ends_with("Finished: SUCCESS\n"), "{said:#?}");
    ensure!(said.err.contains("good #1: started"), "{said:#?}");
    // Who is asked in the socket's way needs no account; what was done is there.
    let shown = scene
        .build(&["show", "good", "--json"])?
        .expect(0)?
        .json()?;
    ensure!(
        shown["result"] == "SUCCESS" && shown["number"] == 1,
        "{shown}"
    );
    ensure!(shown["artifacts"][0] == "out.txt", "{shown}");
    let text = scene.build(&["show", "good", "1"])?.expect(0)?.out;
    ensure!(text.contains("artifact    out.txt\n"), "{text}");

    // Exit statuses tell results.
    let said = scene.build(&["start", "bad", "--wait"])?.expect(1)?;
    ensure!(said.out.starts_with("bad #1: FAILURE after "), "{said:#?}");
    let said = scene
        .build(&["start", "folder/shaky", "--wait", "-q"])?
        .expect(117)?;
    ensure!(said.out.is_empty(), "{said:#?}");
    scene.build(&["log", "bad", "-f"])?.expect(1)?;

    let jobs = scene.build(&["list", "--json"])?.expect(0)?.json()?;
    let state = |name: &str| {
        let jobs = jobs["jobs"].as_array().into_iter().flatten();
        let found = jobs.into_iter().find(|job| job["name"] == name);
        found.map(|job| job["state"].as_str().unwrap_or_default().to_owned())
    };
    ensure!(state("good").as_deref() == Some("SUCCESS"), "{jobs}");
    ensure!(
        state("folder/shaky").as_deref() == Some("UNSTABLE"),
        "{jobs}"
    );
    ensure!(state("slow").as_deref() == Some("never built"), "{jobs}");
    let table = scene.build(&["list"])?.expect(0)?.out;
    ensure!(table.contains("Does what it should"), "{table}");
    ensure!(
        !table.contains('\u{1b}'),
        "no colours where no terminal is: {table}"
    );
    let builds = scene.build(&["list", "bad", "--json"])?.expect(0)?.json()?;
    ensure!(builds["builds"][0]["result"] == "FAILURE", "{builds}");
    scene.end()
}

#[test]
fn parameters_are_given_by_name() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", JOBS)?;
    scene.serve()?;
    let said = scene
        .build(&["start", "asked", "-p", "WHO=it's & <you>", "-f"])?
        .expect(0)?;
    ensure!(said.out.contains("\nit's & <you> is soft\n"), "{said:#?}");
    let said = scene.build(&["start", "asked", "-p", "HOW=shrill"])?;
    ensure!(said.code != Some(0), "{said:#?}");
    let said = scene
        .build(&["start", "asked", "-p", "WHAT=x"])?
        .expect(2)?;
    ensure!(said.err.contains("hint: it has WHO, HOW"), "{said:#?}");
    let said = scene.build(&["start", "good", "-p", "WHAT=x"])?.expect(2)?;
    ensure!(said.err.contains("hint: it has none"), "{said:#?}");
    scene.end()
}

#[test]
fn what_is_not_there_is_said() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", JOBS)?;
    let said = scene.build(&["list"])?.expect(118)?;
    ensure!(
        said.err.contains("hint: start it by `ward up`"),
        "{said:#?}"
    );
    scene.serve()?;
    for words in [
        &["start", "nothing"][..],
        &["show", "nothing"],
        &["show", "good", "7"],
        &["log", "good", "7"],
        &["log", "good", "7", "-f"],
        &["stop", "good"],
        &["list", "nothing"],
        &["queue", "--cancel", "4711"],
    ] {
        let said = scene.build(words)?.expect(121)?;
        ensure!(said.err.starts_with("ward: "), "{said:#?}");
    }
    scene.end()
}

#[test]
fn a_stop_lets_clean_up_run_and_a_forced_one_does_not() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", JOBS)?;
    scene.serve()?;
    scene.build(&["start", "slow"])?.expect(0)?;
    wait_for("the build", || {
        scene
            .build(&["show", "slow", "1"])
            .ok()
            .filter(|said| said.code == Some(0))
    })?;
    scene.await_text("slow", 1, "\nbegun\n")?;
    scene.build(&["stop", "slow", "--wait"])?.expect(0)?;
    let log = scene.build(&["log", "slow", "1"])?.expect(0)?.out;
    ensure!(log.contains("\ncleaned\n"), "{log}");
    ensure!(log.ends_with("Finished: ABORTED\n"), "{log}");
    scene.build(&["log", "slow", "1", "-f"])?.expect(123)?;
    let said = scene.build(&["stop", "slow", "1"])?.expect(0)?;
    ensure!(said.out.contains("is over already: ABORTED"), "{said:#?}");

    let stubborn =
        "\n[job:stubborn]\ngrace = 1h\nscript =\n    trap '' TERM\n    echo begun\n    sleep 600\n";
    scene.write("", &format!("{JOBS}{stubborn}"))?;
    scene.signal(rustix::process::Signal::HUP)?;
    wait_for("the new job", || {
        scene
            .build(&["start", "stubborn"])
            .ok()
            .filter(|said| said.code == Some(0))
    })?;
    wait_for("the build", || {
        scene
            .build(&["show", "stubborn", "1"])
            .ok()
            .filter(|said| said.code == Some(0))
    })?;
    scene.await_text("stubborn", 1, "\nbegun\n")?;
    scene
        .build(&["stop", "stubborn", "--force", "--wait"])?
        .expect(0)?;
    let shown = scene.over("stubborn", 1)?;
    ensure!(shown["result"] == "ABORTED", "{shown}");
    ensure!(world.survivors().is_empty(), "{:#?}", world.survivors());
    scene.end()
}

#[test]
fn the_queue_tells_why_and_lets_go() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", JOBS)?;
    scene.serve()?;
    scene.build(&["start", "slow"])?.expect(0)?;
    wait_for("the build", || {
        scene
            .build(&["show", "slow", "1"])
            .ok()
            .filter(|said| said.code == Some(0))
    })?;
    let said = scene
        .build(&["start", "slow", "--json"])?
        .expect(0)?
        .json()?;
    let number = &said["queue_id"];
    let id = number.to_string();
    let items = wait_for("the queue", || {
        let queue = scene.build(&["queue", "--json"]).ok()?.json().ok()?;
        (queue["items"].as_array()?.len() == 1).then_some(queue)
    })?;
    let item = &items["items"][0];
    ensure!(item["id"] == *number && item["job"] == "slow", "{items}");
    ensure!(
        item["why"].as_str().is_some_and(|why| !why.is_empty()),
        "{items}"
    );
    let table = scene.build(&["queue"])?.expect(0)?.out;
    ensure!(table.lines().count() == 2, "{table}");
    scene.build(&["queue", "--cancel", &id])?.expect(0)?;
    let empty = scene.build(&["queue", "--json"])?.expect(0)?.json()?;
    ensure!(
        empty["items"].as_array().is_some_and(Vec::is_empty),
        "{empty}"
    );
    scene
        .build(&["stop", "slow", "--force", "--wait"])?
        .expect(0)?;
    scene.end()
}
