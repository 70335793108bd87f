//! Programs that nobody knows any more.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::descriptors;

use crate::scene::{Scene, Victim};
use crate::{Result, on_stage};

/// Where keeper and daemon keep what they know.
fn directory_of(pid: i32) -> Result<PathBuf> {
    let all = descriptors(pid);
    let roster = all.iter().find(|(_, path)| path.ends_with("roster"));
    let (_, roster) = roster.context("no roster")?;
    Ok(roster.parent().context("no directory")?.to_path_buf())
}

/// A supervisor was killed, what it had written down is lost, and the file has other programs by now.
#[test]
fn who_is_not_configured_any_more_ends_whether_it_wants_to_or_not() -> Result {
    on_stage(|s| {
        let deaf = "[program:deaf]\ncommand=sh -c 'trap \"\" TERM; touch %(here)s/deaf; \
                    while :; do sleep 0.1; done'\nstartsecs=0\n";
        let scene = Scene::start(s, deaf)?;
        scene.d.await_that("the deaf", || s.path("deaf").exists())?;
        let pid = scene.d.pid_of("deaf")?;
        let directory = directory_of(scene.pair()?.daemon)?;
        let before = scene.fell(Victim::Both)?;
        std::fs::write(directory.join("daemon.json"), "nothing")?;
        s.configure("[program:other]\ncommand=sleep 1000\nstartsecs=0\n")?;
        scene.recover(before, Victim::Both)?;
        scene.await_state("other", "RUNNING")?;
        scene
            .d
            .await_log("'deaf:deaf' is not configured any more")?;
        wait_until("the end of the deaf", || {
            ward_testkit::processes::look(pid).is_none_or(|seen| seen.is_zombie())
        })?;
        let log = scene.d.await_log("killing 'deaf:deaf' with SIGKILL")?;
        ensure!(log.contains("cannot be read"), "{log}");
        Ok(())
    })
}
