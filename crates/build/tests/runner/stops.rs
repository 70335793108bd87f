//! Stops, at every part of a build.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use ward_config::job::Step;
use ward_lock::Directory;
use ward_model::build::BuildResult;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{in_path, skipped};

use crate::Test;
use crate::stage::{Ended, Stage, step};

pub(crate) const TESTS: &[Test] = &[
    ("clean_up_runs_to_its_end", clean_up_runs_to_its_end),
    (
        "a_status_of_0_does_not_save_it",
        a_status_of_0_does_not_save_it,
    ),
    (
        "who_does_not_listen_is_killed",
        who_does_not_listen_is_killed,
    ),
    (
        "a_second_stop_allows_no_grace",
        a_second_stop_allows_no_grace,
    ),
    (
        "a_forced_stop_allows_none_either",
        a_forced_stop_allows_none_either,
    ),
    ("a_stop_by_a_signal", a_stop_by_a_signal),
    ("a_stop_before_it_has_begun", a_stop_before_it_has_begun),
    ("a_stop_between_steps", a_stop_between_steps),
    (
        "a_stop_while_it_waits_for_a_lock",
        a_stop_while_it_waits_for_a_lock,
    ),
    ("a_stop_of_somebody_else", a_stop_of_somebody_else),
    ("some_steps_run_after_a_stop", some_steps_run_after_a_stop),
    (
        "what_is_done_after_a_stop_has_a_limit",
        what_is_done_after_a_stop_has_a_limit,
    ),
    ("a_stop_after_the_last_step", a_stop_after_the_last_step),
    (
        "what_sudo_began_cleans_up_too",
        what_sudo_began_cleans_up_too,
    ),
];

/// Stops a build once its steps have said `ready`, and wait. (A shell that is told while it forks may lose
/// what its child was told: that is no matter of builds.)
fn stopped(stage: &Stage, force: bool) -> anyhow::Result<Ended> {
    let going = stage.start()?;
    stage.await_log("\nready\n")?;
    wait_until("who waits", || {
        let all = stage.processes();
        all.iter()
            .any(|seen| seen.name == "sleep" || seen.name.starts_with("python"))
    })?;
    stage.stop(force)?;
    going.end()
}

fn clean_up_runs_to_its_end() -> anyhow::Result<()> {
    let clean = "for i in 1 2 3; do echo cleaning $i; sleep 0.05; done; echo cleaned";
    let shells = [
        ("sh", format!("trap '{clean}' EXIT; echo ready; sleep 600")),
        ("sh", format!("trap '{clean}; exit 0' TERM; echo ready; sleep 600 & wait")),
        (
            "bash",
            format!("#!/usr/bin/env bash\nset -e\ntrap '{clean}' EXIT\necho ready\nsleep 600"),
        ),
        ("dash", format!("#!/usr/bin/env dash\ntrap '{clean}' EXIT\necho ready\nsleep 600")),
        ("zsh", format!("#!/usr/bin/env zsh\ntrap '{clean}' EXIT\necho ready\nsleep 600")),
        (
            "python3",
            "#!/usr/bin/env python3\nimport os, signal, sys, time\ndef end(*_):\n    \
             os.write(1, b'cleaning 1\\n')\n    time.sleep(0.1)\n    os.write(1, b'cleaned\\n')\n    \
             sys.exit(0)\nsignal.signal(signal.SIGTERM, end)\nos.write(1, b'\\nready\\n')\n\
             time.sleep(600)"
                .to_owned(),
        ),
    ];
    for (shell, script) in shells {
        if in_path(shell).is_none() {
            skipped(shell, "it is not here");
            continue;
        }
        let stage = Stage::new(&[&script, "echo never"])?;
        let ended = stopped(&stage, false)?;
        ended
            .is(BuildResult::Aborted)?
            .says("\nStopped by alice\n")?
            .says("stopping step 1, 30s of grace\n")?
            .says("cleaning 1\n")?
            .says("\ncleaned\n")?
            .says("Told to stop: ")?
            .is_silent_of("never")?;
        ensure!(ended.outcome.why.as_deref() == Some("stopped by alice"));
        let stop = ended.outcome.stop.as_ref().expect("a stop");
        ensure!(stop.by == "alice" && !stop.forced && stop.grace == 30_000);
        ensure!(stage.processes().is_empty());
    }
    Ok(())
}

fn a_status_of_0_does_not_save_it() -> anyhow::Result<()> {
    let stage = Stage::new(&["trap 'exit 0' TERM; echo ready; sleep 600"])?;
    let ended = stopped(&stage, false)?;
    ended.is(BuildResult::Aborted)?;
    Ok(())
}

const DEAF: &str = "set +x; trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo ready; \
                    while :; do sleep 1; done";

fn who_does_not_listen_is_killed() -> anyhow::Result<()> {
    let mut stage = Stage::new(&[DEAF])?;
    stage.plan.job.grace = Duration::from_millis(200);
    let ended = stopped(&stage, false)?;
    ended
        .is(BuildResult::Aborted)?
        .says("killing ")?
        .says("\nKilled: ")?;
    ensure!(stage.processes().is_empty());
    Ok(())
}

fn a_second_stop_allows_no_grace() -> anyhow::Result<()> {
    let mut stage = Stage::new(&[DEAF])?;
    stage.plan.job.grace = Duration::from_secs(3600);
    let going = stage.start()?;
    stage.await_log("\nready\n")?;
    stage.stop(false)?;
    stage.await_log("stopping step 1")?;
    ensure!(
        stage
            .state()
            .and_then(|it| it.stop)
            .is_some_and(|it| !it.forced)
    );
    stage.stop(false)?;
    let ended = going.end()?;
    ended
        .is(BuildResult::Aborted)?
        .says("Stopped again by alice: the grace is over")?;
    ensure!(ended.outcome.stop.as_ref().is_some_and(|it| it.forced));
    ensure!(stage.processes().is_empty());
    Ok(())
}

fn a_forced_stop_allows_none_either() -> anyhow::Result<()> {
    let mut stage = Stage::new(&[DEAF])?;
    stage.plan.job.grace = Duration::from_secs(3600);
    stage.plan.job.steps.push(Step {
        always: true,
        ..step("echo never")
    });
    let ended = stopped(&stage, true)?;
    ended
        .is(BuildResult::Aborted)?
        .says("Stopped by alice\nNo grace is allowed\n")?
        .is_silent_of("never")?;
    ensure!(stage.processes().is_empty());
    Ok(())
}

fn a_stop_by_a_signal() -> anyhow::Result<()> {
    let stage = Stage::new(&["echo ready; sleep 600"])?;
    let going = stage.start()?;
    stage.await_log("\nready\n")?;
    let runner = rustix::process::Pid::from_raw(going.runner.pid).expect("a process id");
    rustix::process::kill_process(runner, rustix::process::Signal::TERM)?;
    let ended = going.end()?;
    ended.is(BuildResult::Aborted)?.says(&format!(
        "Stopped by SIGTERM from process {}",
        std::process::id()
    ))?;
    Ok(())
}

fn a_stop_before_it_has_begun() -> anyhow::Result<()> {
    let stage = Stage::new(&["echo never"])?;
    stage.stop(false)?;
    let ended = stage.run()?;
    ended.is(BuildResult::Aborted)?.is_silent_of("never")?;
    // And at a moment when it may have said who it is, or not.
    for _ in 0..10 {
        let stage = Stage::new(&["sleep 600"])?;
        let going = stage.start()?;
        stage.stop(false)?;
        let ended = going.end()?;
        ended.is(BuildResult::Aborted)?.is_silent_of("again")?;
    }
    Ok(())
}

fn a_stop_between_steps() -> anyhow::Result<()> {
    // What ends a step is done by nobody who is in custody: the second step must not begin.
    let stage = Stage::new(&[
        "touch begun; while ! test -e go; do sleep 0.01; done",
        "echo never",
    ])?;
    let going = stage.start()?;
    wait_until("the step", || stage.in_workspace("begun").exists())?;
    let pid = going.guardian()?;
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    // The guardian hears of the stop only after the step is over.
    rustix::process::kill_process(pid, rustix::process::Signal::STOP)?;
    fs::write(stage.in_workspace("go"), "")?;
    stage.await_nobody()?;
    stage.stop(false)?;
    stage.await_log("Stopped by alice")?;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT)?;
    let ended = going.end()?;
    ended.is(BuildResult::Aborted)?.is_silent_of("never")?;
    Ok(())
}

fn a_stop_while_it_waits_for_a_lock() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo never"])?;
    let name = format!("runner-test-{}", std::process::id());
    stage.plan.job.locks = vec![name.clone()];
    let guard = Directory::usual()?.lock(&name)?;
    let going = stage.start()?;
    stage.await_log(&format!("Waiting for `{name}`: held by "))?;
    stage.stop(false)?;
    let ended = going.end()?;
    ended.is(BuildResult::Aborted)?.is_silent_of("never")?;
    drop(guard);
    ensure!(
        Directory::usual()?.try_lock(&name)?.is_some(),
        "it has the lock"
    );
    Ok(())
}

fn a_stop_of_somebody_else() -> anyhow::Result<()> {
    let stage = Stage::new(&["echo on"])?;
    stage.run()?.is(BuildResult::Success)?;
    // It is over: nobody is told, and nothing changes.
    stage.stop(true)?;
    Ok(())
}

fn some_steps_run_after_a_stop() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo ready; sleep 600", "echo never"])?;
    stage.plan.job.steps.push(Step {
        always: true,
        ..step("echo in spite; exit 7")
    });
    stage.plan.job.steps.push(Step {
        always: true,
        ..step("echo and more")
    });
    let ended = stopped(&stage, false)?;
    ended
        .is(BuildResult::Aborted)?
        .says("\nin spite\n")?
        .says("\nand more\n")?
        .is_silent_of("never")?;
    ensure!(ended.outcome.why.as_deref() == Some("stopped by alice"));
    Ok(())
}

fn what_is_done_after_a_stop_has_a_limit() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo ready; sleep 600"])?;
    stage.plan.job.grace = Duration::from_millis(300);
    stage.plan.job.steps.push(Step {
        always: true,
        ..step("echo in spite; sleep 600")
    });
    let ended = stopped(&stage, false)?;
    ended
        .is(BuildResult::Aborted)?
        .says("\nin spite\n")?
        .says("After a stop it may take 300ms: stopping it")?;
    ensure!(stage.processes().is_empty());
    Ok(())
}

fn a_stop_after_the_last_step() -> anyhow::Result<()> {
    // It has ended, and what it left behind is waited for: it is what it is, but nothing is waited for
    // any longer.
    let mut stage = Stage::new(&["set +x; sleep 600 & echo ready"])?;
    stage.plan.job.leftover_grace = Duration::from_secs(3600);
    let going = stage.start()?;
    stage.await_log("\nready\n")?;
    wait_until("the end of the shell", || {
        stage.processes().iter().all(|seen| seen.name == "sleep")
    })?;
    stage.stop(false)?;
    let ended = going.end()?;
    ended.is(BuildResult::Success)?;
    ensure!(stage.processes().is_empty());
    Ok(())
}

fn what_sudo_began_cleans_up_too() -> anyhow::Result<()> {
    let works = || {
        let mut sudo = std::process::Command::new("sudo");
        sudo.args(["-n", "true"])
            .output()
            .is_ok_and(|it| it.status.success())
    };
    if in_path("sudo").is_none() || !works() {
        skipped("what sudo began", "there is no sudo without a password");
        return Ok(());
    }
    let script = "sudo -n sh -c 'trap \"echo cleaned; exit\" TERM; echo ready; sleep 600 & wait'";
    let stage = Stage::new(&[script])?;
    let going = stage.start()?;
    stage.await_log("\nready\n")?;
    stage.stop(false)?;
    let ended = going.end()?;
    ended.is(BuildResult::Aborted)?.says("\ncleaned\n")?;
    Ok(())
}
