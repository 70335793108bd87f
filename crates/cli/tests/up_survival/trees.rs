//! `contain = tree`: a stop leaves nobody, whoever asks for it and whoever dies over it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use ward_testkit::moments::let_pass;
use ward_testkit::processes::Seen;
use ward_testkit::programs::{hostile, put, skipped};
use ward_testkit::supervisor::stage::Stage;

use crate::scene::{ALL, Scene};
use crate::{Result, moments, on_stage, rounds};

const COUNT: usize = 60;
/// Nobody's.
const ORDINARY: u32 = 65_534;

fn survivors(s: &Stage) -> Vec<Seen> {
    let mut found = s.everybody();
    found.retain(|seen| seen.command.contains("hostile") && !seen.is_zombie());
    found
}

fn start<'s>(s: &'s Stage<'s>, ordinary: bool, stopwaitsecs: u32) -> Result<Scene<'s>> {
    let hostile = put(hostile()?, s.path("").as_path())?;
    let roll = s.write("roll", "")?;
    s.configure(&format!(
        "[program:t]\ncommand={} --mark=%(ENV_WARD_TEST_MARK)s --roll={} mixed-tree {COUNT}\n\
         contain=tree\nautostart=false\nstartsecs=0\nautorestart=false\nstopwaitsecs={stopwaitsecs}\n",
        hostile.display(),
        roll.display()
    ))?;
    if !ordinary {
        return Scene::start_configured(s);
    }
    let ward = put(env!("CARGO_BIN_EXE_ward").as_ref(), s.path("").as_path())?;
    for name in ["", "roll"] {
        std::os::unix::fs::chown(s.path(name), Some(ORDINARY), Some(ORDINARY))?;
    }
    let (gid, uid) = (format!("gid={ORDINARY}"), format!("uid={ORDINARY}"));
    let ward = ward.display().to_string();
    let words = ["enter", &gid, &uid, "--", &ward, "up", "-n", "-c", "c.conf"];
    let command = s.furnished(&hostile, &words);
    Scene::of(s, s.start_by(command)?)
}

fn grow(s: &Stage, scene: &Scene) -> Result {
    scene.d.sv("startProcess", &json!(["t"]))?;
    scene
        .d
        .await_that("the tree", || s.count("roll", "\n") >= COUNT)
        .with_context(|| format!("{} have signed", s.count("roll", "\n")))
}

/// Whether a process carries what stands for a cgroup where there is none.
fn is_limited(pid: i32) -> bool {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let mut time = limits
        .lines()
        .filter(|line| line.starts_with("Max realtime timeout"));
    time.any(|line| !line.contains("unlimited"))
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn stop_a_tree(ordinary: bool) -> Result {
    for round in 0..rounds(1) {
        on_stage(|s| {
            let scene = start(s, ordinary, 1)?;
            grow(s, &scene)?;
            let there = survivors(s);
            ensure!(there.len() >= COUNT, "only {}", there.len());
            for seen in there.iter().filter(|_| ordinary) {
                ensure!(is_limited(seen.pid), "no mark: {seen:?}");
            }
            let done = s.ctl(&["stop", "t"])?;
            ensure!(done.code == 0, "{done:?}");
            let left = survivors(s);
            ensure!(left.is_empty(), "round {round}: left: {left:#?}");
            ensure!(scene.d.state("t")? == "STOPPED");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_stop_leaves_nobody() -> Result {
    stop_a_tree(false)
}

#[test]
fn a_stop_by_an_ordinary_user_leaves_nobody() -> Result {
    if !is_root() {
        skipped(
            "an ordinary user",
            "needs root; the other test is one already",
        );
        return Ok(());
    }
    stop_a_tree(true)
}

fn struck_stop(ordinary: bool) -> Result {
    for (number, victim) in (0..rounds(1)).flat_map(|_| ALL).enumerate() {
        // A second `ward up` of the ordinary user's would be started as root.
        if ordinary && victim == crate::scene::Victim::Both {
            continue;
        }
        on_stage(|s| {
            let scene = start(s, ordinary, 1)?;
            grow(s, &scene)?;
            let seed = u32::try_from(number)? + 1;
            let moment = moments(seed, Duration::from_millis(1200)).next();
            scene.d.sv("stopProcess", &json!(["t", false]))?;
            let_pass(moment.unwrap_or_default());
            scene.strike(victim)?;
            scene.await_state("t", "STOPPED").with_context(|| {
                format!("{victim:?} after {moment:?}: left: {:#?}", survivors(s))
            })?;
            let left = survivors(s);
            ensure!(
                left.is_empty(),
                "{victim:?} after {moment:?}: left: {left:#?}"
            );
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_struck_stop_leaves_nobody() -> Result {
    struck_stop(false)
}

#[test]
fn a_struck_stop_by_an_ordinary_user_leaves_nobody() -> Result {
    if is_root() { struck_stop(true) } else { Ok(()) }
}

/// The first process ends, its child goes on for a while: only then is there a next one.
#[test]
fn nothing_runs_twice() -> Result {
    for victim in ALL.into_iter().map(Some).chain([None]) {
        on_stage(|s| {
            let program = s.script(
                "leader",
                "#!/bin/sh\nset -C\ntrap '' TERM\ntrue 2>/dev/null > here || echo twice >> told\necho began >> told\n\
                 (setsid sh -c 'while ! [ -e go ]; do sleep 0.02; done; rm here go') &\n\
                 exit 1\n",
            )?;
            let program = program.display();
            let scene = Scene::start(
                s,
                &format!(
                    "[program:t]\ncommand={program}\ndirectory=%(here)s\ncontain=tree\n\
                     startsecs=0\nautorestart=true\nstopwaitsecs=100\n"
                ),
            )?;
            for life in 1..=3 {
                scene.d.await_that("a life", || s.count("told", "began") >= life)?;
                if let Some(victim) = victim {
                    scene.strike(victim)?;
                }
                let info = scene.d.info("t")?;
                ensure!(s.count("told", "began") == life, "{victim:?}: {info}");
                s.write("go", "")?;
            }
            ensure!(s.count("told", "twice") == 0, "{victim:?}");
            Ok(())
        })
        .with_context(|| format!("{victim:?}"))?;
    }
    Ok(())
}
