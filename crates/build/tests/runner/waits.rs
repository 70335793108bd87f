//! Limits of time, and locks.

use std::time::Duration;

use anyhow::ensure;
use ward_lock::Directory;
use ward_model::build::BuildResult;

use crate::Test;
use crate::stage::Stage;

pub(crate) const TESTS: &[Test] = &[
    ("a_limit_of_time_stops_it", a_limit_of_time_stops_it),
    ("a_limit_may_make_it_fail", a_limit_may_make_it_fail),
    ("a_silent_build_is_stopped", a_silent_build_is_stopped),
    ("a_build_that_speaks_is_not", a_build_that_speaks_is_not),
    (
        "a_lock_is_held_to_the_last_process",
        a_lock_is_held_to_the_last_process,
    ),
    ("a_lock_that_is_none", a_lock_that_is_none),
    (
        "a_lock_outlives_a_killed_runner",
        a_lock_outlives_a_killed_runner,
    ),
];

fn a_limit_of_time_stops_it() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["trap 'echo cleaned' EXIT; sleep 600", "echo never"])?;
    stage.plan.job.timeout = Some(Duration::from_millis(500));
    let ended = stage.run()?;
    ended
        .is(BuildResult::Aborted)?
        .says("Build timed out (after 500ms). Marking the build as aborted.\n")?
        .says("\ncleaned\n")?
        .is_silent_of("never")?;
    let why = "stopped by the time limit of 500ms";
    ensure!(
        ended.outcome.why.as_deref() == Some(why),
        "{:?}",
        ended.outcome.why
    );
    Ok(())
}

fn a_limit_may_make_it_fail() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["sleep 600"])?;
    stage.plan.job.timeout = Some(Duration::from_millis(300));
    stage.plan.job.timeout_result = BuildResult::Failure;
    let ended = stage.run()?;
    ended
        .is(BuildResult::Failure)?
        .says("Marking the build as failed.\n")?;
    Ok(())
}

fn a_silent_build_is_stopped() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo one; sleep 600"])?;
    stage.plan.job.idle_timeout = Some(Duration::from_millis(400));
    let ended = stage.run()?;
    ended
        .is(BuildResult::Aborted)?
        .says("Build timed out (nothing was written for 400ms). Marking the build as aborted.\n")?;
    Ok(())
}

fn a_build_that_speaks_is_not() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.4; done"])?;
    stage.plan.job.idle_timeout = Some(Duration::from_secs(3));
    stage.run()?.is(BuildResult::Success)?;
    Ok(())
}

fn lock_of(stage: &mut Stage) -> String {
    let name = format!("runner-lock-{}-{}", std::process::id(), stage.plan.number);
    stage.plan.job.locks = vec![name.clone()];
    name
}

fn a_lock_is_held_to_the_last_process() -> anyhow::Result<()> {
    let mut stage =
        Stage::new(&["set +x; sleep 600 & echo $WARD_LOCK_NAME $WARD_LOCK_MODE; echo ready"])?;
    let name = lock_of(&mut stage);
    stage.plan.job.leftover_grace = Duration::from_secs(3600);
    let going = stage.start()?;
    stage.await_log("\nready\n")?;
    let locks = Directory::usual()?;
    ensure!(locks.try_lock(&name)?.is_none(), "it is free");
    stage.stop(false)?;
    let ended = going.end()?;
    ended.says(&format!("\n{name} EX\n"))?;
    ensure!(locks.try_lock(&name)?.is_some(), "it is not free");
    Ok(())
}

fn a_lock_that_is_none() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo never"])?;
    stage.plan.job.locks = vec!["a=x/2".to_owned()];
    let ended = stage.run()?;
    ended
        .is(BuildResult::Failure)?
        .says("Cannot build: its locks cannot be understood: ")?
        .says("hint: a lock is NAME")?
        .is_silent_of("never")?;
    Ok(())
}

fn a_lock_outlives_a_killed_runner() -> anyhow::Result<()> {
    let script = "trap '' TERM; set +x; echo ready; while ! test -e go; do sleep 0.02; done";
    let mut stage = Stage::new(&[script])?;
    let name = lock_of(&mut stage);
    let going = stage.start()?;
    stage.await_log("\nready\n")?;
    let runner = rustix::process::Pid::from_raw(going.runner.pid).expect("a process id");
    rustix::process::kill_process(runner, rustix::process::Signal::KILL)?;
    going.await_end()?;
    let locks = Directory::usual()?;
    ensure!(!stage.processes().is_empty());
    ensure!(
        locks.try_lock(&name)?.is_none(),
        "others may enter while it cleans up"
    );
    let found = ward_build::runner::adopt(stage.directory())?;
    ensure!(
        matches!(found, ward_build::runner::Found::Closing),
        "{found:?}"
    );
    std::fs::write(stage.in_workspace("go"), "")?;
    stage.await_nobody()?;
    ward_testkit::patience::wait_until("the lock", || {
        locks.try_lock(&name).is_ok_and(|guard| guard.is_some())
    })?;
    ward_testkit::patience::wait_until("the end of its guardian", || {
        let found = ward_build::runner::adopt(stage.directory());
        matches!(found, Ok(ward_build::runner::Found::Ended))
    })
}
