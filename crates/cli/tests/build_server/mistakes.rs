//! What is wrong with a configuration is said by the server itself.

use std::fs;

use anyhow::ensure;
use rustix::process::Signal;
use ward_testkit::patience::wait_until;

use crate::Result;
use crate::scene::{Scene, world};

#[test]
fn keys_that_nobody_knows_are_said_with_the_nearest_that_is_known() -> Result {
    let world = world()?;
    let mut scene = Scene::new(
        &world,
        "executers = 7",
        "[job:one]\nscript = true\nlock = db\n",
    )?;
    scene.serve()?;
    let said = fs::read_to_string(scene.log())?;
    for text in [
        "`executers` is no key of [build]; it is passed over",
        "did you mean executors?",
        "`lock` is no key of [job:one]; it is passed over",
        "did you mean locks?",
        "ward.conf:",
    ] {
        ensure!(said.contains(text), "no {text:?} in {said}");
    }
    // Nor is it said to everybody who asks something.
    let listed = scene.build(&["list"])?.expect(0)?;
    ensure!(listed.err.is_empty(), "{listed:#?}");
    scene.write("", "[job:one]\nscript = true\ntimeot = 1h\n")?;
    scene.signal(Signal::HUP)?;
    wait_until("a word about it", || {
        fs::read_to_string(scene.log()).is_ok_and(|said| said.contains("did you mean timeout?"))
    })?;
    scene.end()?;
    // A value that is none is refused.
    scene.write("", "[job:one]\nscript = true\ntimeout = never\n")?;
    let said = scene.build(&["serve"])?.expect(2)?;
    ensure!(said.err.contains("timeout"), "{said:#?}");
    Ok(())
}

/// Where SQLite keeps `user_version` in the file, big endian (sqlite.org, "Database File Format", 1.3).
const VERSION_AT: std::ops::Range<usize> = 60..64;

#[test]
fn a_history_that_cannot_be_used_is_said_and_its_copy_can() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", "[job:one]\nscript = echo first\n")?;
    scene.serve()?;
    scene.build(&["start", "one", "--wait", "-q"])?.expect(0)?;
    let copy = scene.home().join("history.copy.sqlite");
    wait_until("a copy", || copy.exists())?;
    scene.end()?;
    let path = scene.home().join("history.sqlite");
    let good = fs::read(&path)?;
    let mut newer = good.clone();
    newer[VERSION_AT].copy_from_slice(&99u32.to_be_bytes());
    fs::write(&path, &newer)?;
    let said = scene.build(&["serve"])?.expect(122)?;
    ensure!(
        said.err.contains("has version 99") && said.err.contains("hint: "),
        "{said:#?}"
    );
    ensure!(fs::read(&path)? == newer, "it was changed");
    let half = &good[..good.len() / 2];
    fs::write(&path, half)?;
    let said = scene.build(&["serve"])?.expect(122)?;
    ensure!(
        said.err.contains("is damaged") && said.err.contains("history.copy.sqlite"),
        "{said:#?}"
    );
    ensure!(fs::read(&path)? == half, "it was changed");
    // As the hint says.
    fs::remove_file(&path)?;
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(scene.home().join(format!("history.sqlite{end}")));
    }
    fs::rename(&copy, &path)?;
    scene.serve()?;
    scene.build(&["start", "one", "--wait", "-q"])?.expect(0)?;
    let shown = scene.over("one", 2)?;
    ensure!(shown["result"] == "SUCCESS", "{shown}");
    let first = scene.home().join("jobs/one/builds/1/log");
    ensure!(fs::read_to_string(first)?.contains("first"));
    scene.end()
}
