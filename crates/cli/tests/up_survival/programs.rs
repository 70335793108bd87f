//! Nobody's death ends a program, or makes anybody who asks wait in vain.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::{descriptors, start_ticks, status_line};
use ward_testkit::supervisor::daemon::read_answer;
use ward_testkit::supervisor::stage::Stage;

use crate::scene::{ALL, Pair, Scene, Victim, kill, send};
use crate::{Result, on_stage, rounds};

const MANY: usize = 100;

fn many() -> String {
    format!(
        "[program:many]\ncommand=sleep 1000\nprocess_name=%(process_num)03d\nnumprocs={MANY}\n\
         startsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
}

/// Who a process is, exactly: pid, its start by the kernel, its start as it is told.
type Identity = (i64, Option<u64>, i64);

/// Who each is, by name.
pub(crate) fn identities(all: &[Value]) -> Result<BTreeMap<String, Identity>> {
    all.iter()
        .map(|info| {
            let name = info["name"].as_str().context("no name")?;
            let pid = info["pid"].as_i64().context("no pid")?;
            let start = info["start"].as_i64().context("no start")?;
            let ticks = start_ticks(i32::try_from(pid)?);
            ensure!(pid > 0 && ticks.is_some(), "{info}");
            Ok((name.to_owned(), (pid, ticks, start)))
        })
        .collect()
}

fn status_is_whole(s: &Stage) -> Result {
    let status = s.ctl(&["status"])?;
    let running = status.out.matches(" RUNNING ").count();
    ensure!((status.code, running) == (0, MANY), "{status:?}");
    Ok(())
}

#[test]
fn programs_run_on() -> Result {
    on_stage(|s| {
        let scene = Scene::start(s, &many())?;
        let before = identities(&scene.await_all("RUNNING")?)?;
        ensure!(before.len() == MANY, "{}", before.len());
        for round in 0..rounds(2) {
            for victim in ALL {
                let killed = scene.fell(victim)?;
                if victim != Victim::Both {
                    // At once, whoever is there by now.
                    status_is_whole(s).with_context(|| format!("{round} {victim:?}"))?;
                }
                scene.recover(killed, victim)?;
                let all = scene.all()?;
                let after = identities(&all).with_context(|| format!("{round} {victim:?}"))?;
                ensure!(after == before, "{round} {victim:?}: {before:?} {after:?}");
                let still = all.iter().all(|info| info["statename"] == "RUNNING");
                ensure!(still, "{round} {victim:?}: {all:#?}");
                status_is_whole(s).with_context(|| format!("{round} {victim:?}"))?;
            }
        }
        Ok(())
    })
}

/// Nobody is started meanwhile, whoever dies while they are being started.
#[test]
fn starts_are_struck() -> Result {
    for victim in ALL {
        on_stage(|s| {
            s.configure(&many())?;
            let started = s.start_by(s.command("supervisord", &["-n", "-c", "c.conf"])?)?;
            let scene = Scene::of(s, started)?;
            scene.strike(victim)?;
            let before = identities(&scene.await_all("RUNNING")?)?;
            let sleepers = s.everybody();
            let sleepers = sleepers.iter().filter(|seen| seen.name == "sleep").count();
            ensure!(
                (before.len(), sleepers) == (MANY, MANY),
                "{victim:?}: {sleepers}"
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// A client that comes while there is no daemon.
#[test]
fn clients_wait_for_the_next_daemon() -> Result {
    on_stage(|s| {
        let scene = Scene::start(s, "[program:a]\ncommand=sleep 1000\nstartsecs=0\n")?;
        scene.await_state("a", "RUNNING")?;
        for _ in 0..rounds(5) {
            let Pair { keeper, daemon } = scene.pair()?;
            send(keeper, Signal::STOP)?;
            kill(daemon)?;
            wait_until("its end", || {
                ward_testkit::processes::look(daemon).is_none_or(|seen| seen.is_zombie())
            })?;
            let mut waiting = Vec::new();
            for _ in 0..20 {
                waiting.push(scene.d.begin("getProcessInfo", &json!(["a"]))?);
            }
            send(keeper, Signal::CONT)?;
            for connection in &mut waiting {
                let answer = read_answer(connection)?;
                let answer = answer.map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
                ensure!(answer["statename"] == "RUNNING", "{answer}");
            }
        }
        Ok(())
    })
}

/// A stop that was asked for goes on, and nobody forgets what was asked for before.
#[test]
fn orders_outlive_the_daemon() -> Result {
    for victim in ALL {
        on_stage(|s| orders(s, victim))?;
    }
    Ok(())
}

fn orders(s: &Stage, victim: Victim) -> Result {
    let scene = Scene::start(
        s,
        "[program:halted]\ncommand=sleep 1000\nstartsecs=0\n\
         [program:deaf]\ncommand=sh -c 'trap \"\" TERM;touch %(here)s/deaf;while :;do sleep 0.1;done'\n\
         startsecs=0\nstopwaitsecs=3\n\
         [program:added]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n\
         [program:removed]\ncommand=sleep 1000\nautostart=false\n\
         [program:fatal]\ncommand=/not/there\nstartretries=0\n",
    )?;
    scene.await_state("halted", "RUNNING")?;
    scene.await_state("fatal", "FATAL")?;
    scene.d.sv("stopProcess", &json!(["halted"]))?;
    scene.d.sv("startProcess", &json!(["added"]))?;
    scene.d.sv("removeProcessGroup", &json!(["removed"]))?;
    scene.d.await_that("the deaf", || s.path("deaf").exists())?;
    scene.d.sv("stopProcess", &json!(["deaf", false]))?;
    ensure!(scene.d.state("deaf")? == "STOPPING");
    let added = scene.d.pid_of("added")?;
    scene.strike(victim)?;
    // Whoever starts anew means the file, and what is to be started by it.
    let anew = victim == Victim::Both;
    let halted = if anew { "RUNNING" } else { "STOPPED" };
    scene.await_state("halted", halted)?;
    ensure!(scene.d.state("fatal")? == "FATAL", "{victim:?}");
    ensure!(scene.d.pid_of("added")? == added, "{victim:?}");
    scene.await_state("deaf", "STOPPED")?;
    let there = scene.all()?.iter().any(|info| info["name"] == "removed");
    ensure!(there == anew, "{victim:?}");
    Ok(())
}

/// However much its supervisor has open, and whatever that ignores.
#[test]
fn a_program_has_its_streams_and_nothing_else() -> Result {
    on_stage(|s| {
        let scene = Scene::start(s, &many())?;
        for info in scene.await_all("RUNNING")? {
            let pid = i32::try_from(info["pid"].as_i64().context("no pid")?)?;
            let numbers = || -> Vec<i32> {
                let mut numbers: Vec<i32> = descriptors(pid).into_iter().map(|it| it.0).collect();
                numbers.sort_unstable();
                numbers
            };
            // It may just be reading its libraries.
            wait_until("three streams", || numbers() == [0, 1, 2])
                .with_context(|| format!("{info}: {:?}", numbers()))?;
            // SIGPIPE alone, as the original has it.
            let ignored = status_line(pid, "SigIgn").unwrap_or_default();
            ensure!(ignored.ends_with("0000000000001000"), "{info}: {ignored}");
        }
        Ok(())
    })
}
