//! A long queue, and a server that is killed again and again: what was taken is built, once.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, ensure};
use ward_testkit::patience::wait_until;

use crate::Result;
use crate::scene::{Scene, world};

const ALL: u32 = 1_000;
/// The server is killed so often.
const KILLS: u32 = 10;

/// Asks for a build as a client that speaks HTTP does. Whether it was taken, if that was heard.
fn ask(scene: &Scene, name: &str) -> Option<bool> {
    let mut stream = UnixStream::connect(scene.home().join("control.sock")).ok()?;
    let request = format!(
        "POST /job/count/buildWithParameters?P={name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let line = answer.split(|byte| *byte == b'\r').next()?;
    Some(line.ends_with(b" 201 Created"))
}

#[test]
fn a_thousand_requests_and_a_server_that_is_killed() -> Result {
    let world = world()?;
    let built = world.path("built");
    let jobs = format!(
        "[job:count]\nparameters =\n    P = none\nconcurrent = 4\nscript =\n    #!/bin/sh\n    echo $P >>{}\n",
        built.display()
    );
    let mut scene = Scene::new(&world, "executors = 4", &jobs)?;
    scene.serve()?;
    let (mut taken, mut unheard) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..ALL {
        let name = format!("p{number}");
        match ask(&scene, &name) {
            Some(true) => taken.insert(name),
            Some(false) => anyhow::bail!("{name} was refused\n{}", scene.complaints()),
            None => unheard.insert(name),
        };
        if number % (ALL / KILLS) == ALL / KILLS / 2 {
            scene.kill()?;
            scene.serve()?;
        }
    }
    ensure!(
        unheard.is_empty(),
        "a server that answers takes them: {unheard:?}"
    );
    let lines = || {
        let text = fs::read_to_string(&built).unwrap_or_default();
        text.lines().count()
    };
    // As long as something is built; nobody says how fast.
    while lines() < taken.len() {
        let before = lines();
        wait_until("another build", || lines() > before).with_context(|| scene.complaints())?;
    }
    let text = fs::read_to_string(&built)?;
    let mut seen = BTreeSet::new();
    for name in text.lines() {
        ensure!(seen.insert(name.to_owned()), "{name} was built twice");
    }
    let lost: Vec<&String> = taken.difference(&seen).collect();
    ensure!(lost.is_empty(), "{} are lost: {lost:?}", lost.len());
    wait_until("each to be recorded once", || {
        let said = scene.build(&["list", "count", "-n", "1000", "--json"]);
        let builds = said.ok().and_then(|said| said.json().ok());
        builds.is_some_and(|builds| {
            let builds = builds["builds"].as_array().cloned().unwrap_or_default();
            let is_good = |build: &serde_json::Value| build["result"] == "SUCCESS";
            builds.len() == taken.len() && builds.iter().all(is_good)
        })
    })
    .with_context(|| scene.complaints())?;
    scene.end()
}
