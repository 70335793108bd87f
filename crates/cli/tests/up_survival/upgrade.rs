//! The executable is replaced while everything runs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ward_testkit::hostile::noise::numbered_line;
use ward_testkit::moments::let_pass;
use ward_testkit::patience::wait_until;
use ward_testkit::processes::program;
use ward_testkit::programs::hostile;
use ward_testkit::supervisor::stage::Stage;

use crate::logs::await_log;
use crate::programs::identities;
use crate::scene::{Scene, Victim};
use crate::{Result, moments, on_stage, rounds};

const LINES: u64 = 60_000;

fn install(s: &Stage, what: Option<&str>) -> Result<PathBuf> {
    let (new, place) = (s.path("ward.new"), s.path("ward"));
    if let Some(text) = what {
        s.script("ward.new", text)?;
    } else {
        // By another process: one that has it open for writing could not execute it.
        let words = ["-m", "755", env!("CARGO_BIN_EXE_ward")];
        let mut copy = s.furnished("/usr/bin/install".as_ref(), &words);
        let done = s.finish({
            copy.arg(&new);
            copy
        })?;
        ensure!(done.code == 0, "{done:?}");
    }
    std::fs::rename(&new, &place)?;
    Ok(place)
}

fn start<'s>(s: &'s Stage<'s>) -> Result<(Scene<'s>, PathBuf)> {
    let ward = install(s, None)?;
    let hostile = hostile()?.display();
    s.configure(&format!(
        "[program:w]\ncommand=sh -c '{hostile} numbered-lines {LINES} 0; exec sleep 1000'\n\
         process_name=w%(process_num)d\nnumprocs=3\nstartsecs=0\n\
         stdout_logfile=%(here)s/w%(process_num)d.log\n\
         stdout_logfile_maxbytes=100KB\nstdout_logfile_backups=50\n"
    ))?;
    let command = s.furnished(&ward, &["up", "-n", "-c", "c.conf"]);
    let scene = Scene::of(s, s.start_by(command)?)?;
    Ok((scene, ward))
}

fn logs_are_whole(s: &Stage) -> Result {
    let sent: String = (1..=LINES).map(numbered_line).collect();
    for number in 0..3 {
        await_log(s, &format!("w{number}.log"), sent.as_bytes())?;
    }
    Ok(())
}

#[test]
fn a_new_executable_is_put_to_work() -> Result {
    for round in 0..rounds(2) {
        on_stage(|s| {
            let (scene, ward) = start(s)?;
            let before = identities(&scene.await_all("RUNNING")?)?;
            for moment in moments(round + 3, Duration::from_millis(40)).take(2) {
                let pair = scene.pair()?;
                let_pass(moment);
                install(s, None)?;
                let done = s.ctl(&["upgrade"])?;
                ensure!(done.code == 0, "{done:?}");
                let after = scene.pair_but(&[pair.daemon])?;
                ensure!(after.keeper == pair.keeper, "{pair:?} {after:?}");
                wait_until("the new executable", || {
                    program(after.keeper).as_ref() == Some(&ward)
                        && program(after.daemon).as_ref() == Some(&ward)
                })
                .with_context(|| format!("{:?}", program(after.keeper)))?;
                ensure!(identities(&scene.all()?)? == before);
            }
            logs_are_whole(s)?;
            // The new ones can die as the old ones could.
            for victim in [Victim::Daemon, Victim::Keeper] {
                scene.strike(victim)?;
                ensure!(identities(&scene.all()?)? == before, "{victim:?}");
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn what_cannot_take_over_is_refused() -> Result {
    for rubbish in [
        "",
        "rubbish\n",
        "#!/bin/sh\nexit 0\n",
        "#!/bin/sh\nexec sleep 1000\n",
    ] {
        on_stage(|s| {
            let (scene, _) = start(s)?;
            let before = identities(&scene.await_all("RUNNING")?)?;
            let pair = scene.pair()?;
            install(s, Some(rubbish))?;
            // Whether or not it is said at once, it is in the log.
            s.ctl(&["upgrade"])?;
            scene.d.await_that("the refusal", || {
                let log = s.read("d.log").to_lowercase();
                log.contains("upgrade") || log.contains("take over")
            })?;
            let after = scene.pair()?;
            ensure!(after.keeper == pair.keeper, "{pair:?} {after:?}");
            ensure!(identities(&scene.all()?)? == before);
            logs_are_whole(s)?;
            // By the right one it works still.
            install(s, None)?;
            let done = s.ctl(&["upgrade"])?;
            ensure!(done.code == 0, "{done:?}");
            let after = scene.pair_but(&[after.daemon])?;
            ensure!(after.keeper == pair.keeper, "{pair:?} {after:?}");
            ensure!(identities(&scene.all()?)? == before);
            Ok(())
        })
        .with_context(|| format!("{rubbish:?}"))?;
    }
    Ok(())
}
