//! Kill −9 of a runner, and of a guardian.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use ward_build::outcome::Outcome;
use ward_build::plan::file;
use ward_build::runner::{self, Found};
use ward_model::build::BuildResult;
use ward_testkit::moments::{let_pass, moments};
use ward_testkit::patience::wait_until;

use crate::Test;
use crate::stage::Stage;

pub(crate) const TESTS: &[Test] = &[
    (
        "a_killed_runner_leaves_nobody",
        a_killed_runner_leaves_nobody,
    ),
    (
        "a_killed_guardian_leaves_nobody",
        a_killed_guardian_leaves_nobody,
    ),
    (
        "a_guardian_killed_at_any_moment",
        a_guardian_killed_at_any_moment,
    ),
    (
        "who_hops_is_caught_without_a_guardian",
        who_hops_is_caught_without_a_guardian,
    ),
    ("a_runner_is_found_again", a_runner_is_found_again),
];

fn kill(pid: i32) -> anyhow::Result<()> {
    let pid = Pid::from_raw(pid).context("a process id")?;
    Ok(kill_process(pid, Signal::KILL)?)
}

fn a_killed_runner_leaves_nobody() -> anyhow::Result<()> {
    for moment in moments(Duration::from_millis(120)) {
        let script =
            "setsid sh -c 'sleep 600' & (trap '' TERM; sleep 601) & echo on; sleep 0.05; echo off";
        let mut stage = Stage::new(&[script])?;
        stage.plan.job.grace = Duration::from_millis(100);
        let going = stage.start()?;
        let_pass(moment);
        kill(going.runner.pid)?;
        going.await_end()?;
        stage.await_nobody()?;
        wait_until("the end of its guardian", || {
            !matches!(runner::adopt(stage.directory()), Ok(Found::Closing))
        })?;
        // There is a whole outcome, or none.
        if let Ok(text) = fs::read(stage.directory().join(file::OUTCOME)) {
            let outcome: Outcome = serde_json::from_slice(&text)?;
            ensure!(outcome.result == BuildResult::Success, "{outcome:?}");
            ensure!(stage.log().len() as u64 == outcome.log_bytes);
        }
        let remains = fs::read_dir(std::env::temp_dir())?.flatten().count();
        ensure!(remains < 100_000);
    }
    Ok(())
}

fn a_killed_guardian_leaves_nobody() -> anyhow::Result<()> {
    // Who stands still as the leader above him ends makes the kernel hang up on all of his group, now and
    // then: also on who stays.
    (0..60).try_for_each(|_| leave_nobody_but_the_detached())
}

fn leave_nobody_but_the_detached() -> anyhow::Result<()> {
    let script =
        "setsid sh -c 'trap \"\" TERM; sleep 600' & BUILD_ID=dontKillMe sleep 602 & sleep 601";
    let stage = Stage::new(&[script, "echo never"])?;
    let going = stage.start()?;
    wait_until("all of them", || {
        let all = stage.processes();
        ["600", "601", "602"].iter().all(|word| {
            all.iter()
                .any(|seen| seen.name == "sleep" && seen.command.ends_with(word))
        })
    })?;
    kill(going.guardian()?)?;
    let ended = going.end()?;
    ended
        .is(BuildResult::Failure)?
        .says("The process that guarded step 1 was killed; killed what it guarded: ")?
        .is_silent_of("never")?;
    let step = ended.outcome.steps.first().expect("a step");
    ensure!(step.report.guardian_lost && step.report.killed.count >= 2);
    // Who was detached on purpose stays.
    let left = stage.processes();
    ensure!(
        left.len() == 1 && left[0].command.ends_with("602"),
        "{left:?}"
    );
    stage.kill_all()
}

fn a_guardian_killed_at_any_moment() -> anyhow::Result<()> {
    /// The time between the end of its line and its own end is some microseconds.
    const OFTEN: usize = 5;
    let stage = || Stage::new(&["sh -c 'sleep 600' & echo on; sleep 0.03; echo off"]);
    for moment in (0..OFTEN).flat_map(|_| moments(Duration::from_millis(60))) {
        let stage = stage()?;
        let going = stage.start()?;
        let guardian = going.guardian()?;
        let_pass(moment);
        // It may be over by now.
        let _ = kill(guardian);
        let ended = going.end()?;
        ensure!(
            [BuildResult::Success, BuildResult::Failure].contains(&ended.outcome.result),
            "{ended:?}"
        );
        stage.await_nobody()?;
    }
    Ok(())
}

fn who_hops_is_caught_without_a_guardian() -> anyhow::Result<()> {
    // It is a new process all the time, whose parent has just ended. Whoever of them lives has the lock.
    let hop = "import os, time\nopen('hops', 'w')\nend = time.monotonic() + 100\n\
               while time.monotonic() < end:\n    if os.fork(): os._exit(0)\n";
    for moment in moments(Duration::from_millis(20)) {
        let script = "exec 9>lock; flock 9; python3 hop.py & sleep 601";
        let mut stage = Stage::new(&[script])?;
        fs::create_dir(&stage.plan.workspace)?;
        fs::write(stage.in_workspace("hop.py"), hop)?;
        stage.plan.job.grace = Duration::from_millis(100);
        let going = stage.start()?;
        wait_until("hops", || stage.in_workspace("hops").exists())?;
        let_pass(moment);
        kill(going.guardian()?)?;
        going.end()?.is(BuildResult::Failure)?;
        let lock = fs::File::open(stage.in_workspace("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context("somebody hops on")?;
        stage.await_nobody()?;
    }
    Ok(())
}

fn a_runner_is_found_again() -> anyhow::Result<()> {
    let stage = Stage::new(&["while ! test -e go; do sleep 0.02; done"])?;
    ensure!(matches!(
        runner::adopt(stage.directory())?,
        Found::NeverStarted
    ));
    let going = stage.start()?;
    let Found::Running(pidfd) = runner::adopt(stage.directory())? else {
        anyhow::bail!("it is not found");
    };
    ensure!(!ward_sys::pidfd::has_ended(&pidfd));
    let state = stage.state().context("a state")?;
    ensure!(state.pid == going.runner.pid);
    wait_until("the workspace", || stage.plan.workspace.exists())?;
    fs::write(stage.in_workspace("go"), "")?;
    going.end()?.is(BuildResult::Success)?;
    ensure!(ward_sys::pidfd::has_ended(&pidfd));
    ensure!(matches!(runner::adopt(stage.directory())?, Found::Ended));
    Ok(())
}
