//! Steps that end by themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::ensure;
use ward_build::console::Times;
use ward_build::plan::{ParameterValue, file};
use ward_config::job::{SecretBinding, Step};
use ward_model::build::BuildResult;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::skipped;

use crate::Test;
use crate::stage::{Stage, step};

pub(crate) const TESTS: &[Test] = &[
    ("an_empty_build_succeeds", an_empty_build_succeeds),
    (
        "the_console_is_as_clients_know_it",
        the_console_is_as_clients_know_it,
    ),
    ("a_failure_ends_the_steps", a_failure_ends_the_steps),
    ("a_status_makes_it_unstable", a_status_makes_it_unstable),
    (
        "some_steps_run_after_a_failure",
        some_steps_run_after_a_failure,
    ),
    (
        "an_interpreter_that_is_missing",
        an_interpreter_that_is_missing,
    ),
    ("steps_find_what_they_expect", steps_find_what_they_expect),
    (
        "secrets_are_masked_and_taken_back",
        secrets_are_masked_and_taken_back,
    ),
    (
        "a_missing_secret_is_a_failure",
        a_missing_secret_is_a_failure,
    ),
    (
        "what_is_left_over_is_ended_and_named",
        what_is_left_over_is_ended_and_named,
    ),
    ("a_daemon_stays_that_asks_to", a_daemon_stays_that_asks_to),
    ("a_flood_is_complete", a_flood_is_complete),
    ("lines_have_times", lines_have_times),
    ("a_build_is_done_once", a_build_is_done_once),
    ("scripts_of_other_systems", scripts_of_other_systems),
    ("a_build_at_a_terminal", a_build_at_a_terminal),
    ("steps_of_another_user", steps_of_another_user),
    ("a_user_that_is_nobody_here", a_user_that_is_nobody_here),
    ("very_many_are_left_over", very_many_are_left_over),
];

fn an_empty_build_succeeds() -> anyhow::Result<()> {
    let stage = Stage::new(&[])?;
    let ended = stage.run()?;
    ended.is(BuildResult::Success)?.says("Started by timer\n")?;
    ensure!(ended.outcome.log_bytes == ended.log.len() as u64);
    ensure!(ended.outcome.why.is_none() && ended.outcome.stop.is_none());
    ensure!(matches!(
        ward_build::runner::adopt(stage.directory())?,
        ward_build::runner::Found::Ended
    ));
    Ok(())
}

fn the_console_is_as_clients_know_it() -> anyhow::Result<()> {
    let stage = Stage::new(&["echo hello\nfalse", "echo never"])?;
    let ended = stage.run()?;
    ended
        .is(BuildResult::Failure)?
        .says("[workspace] $ /bin/sh -xe /tmp/")?
        .says("+ echo hello\nhello\n+ false\n")?
        .says("\nBuild step 'Execute shell' marked build as failure\nFinished: FAILURE\n")?
        .is_silent_of("never")?
        .is_silent_of("trap ")?;
    ensure!(ended.outcome.why.as_deref() == Some("step 1 ended with status 1"));
    Ok(())
}

fn a_failure_ends_the_steps() -> anyhow::Result<()> {
    let stage = Stage::new(&["kill -9 $$", "echo never"])?;
    let ended = stage.run()?;
    ended.is(BuildResult::Failure)?.is_silent_of("never")?;
    ensure!(ended.outcome.steps.len() == 1);
    Ok(())
}

fn a_status_makes_it_unstable() -> anyhow::Result<()> {
    let mut stage = Stage::new(&[])?;
    let unstable = |status| Step {
        unstable_status: Some(status),
        ..step("exit 3")
    };
    stage.plan.job.steps = vec![unstable(3), step("echo on")];
    let ended = stage.run()?;
    ended
        .is(BuildResult::Unstable)?
        .says("Build step 'Execute shell' changed build result to UNSTABLE\n")?
        .says("+ echo on\non\n")?;
    let mut stage = Stage::new(&[])?;
    stage.plan.job.steps = vec![unstable(4)];
    stage.run()?.is(BuildResult::Failure)?;
    Ok(())
}

fn some_steps_run_after_a_failure() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["exit 1", "echo never"])?;
    stage.plan.job.steps.push(Step {
        always: true,
        ..step("echo always")
    });
    let ended = stage.run()?;
    ended
        .is(BuildResult::Failure)?
        .says("\nalways\n")?
        .is_silent_of("never")?;
    ensure!(ended.outcome.why.as_deref() == Some("step 1 ended with status 1"));
    Ok(())
}

fn an_interpreter_that_is_missing() -> anyhow::Result<()> {
    let stage = Stage::new(&["#!/nowhere/python3 -u\nprint(1)"])?;
    let ended = stage.run()?;
    ended
        .is(BuildResult::Failure)?
        .says("[workspace] $ /nowhere/python3 -u /tmp/")?
        .says("cannot start `/nowhere/python3`")?;
    Ok(())
}

fn steps_find_what_they_expect() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["env; pwd; ls -l /proc/self/fd; cat"])?;
    stage.plan.parameters = vec![ParameterValue {
        name: "Level".to_owned(),
        value: "a b".to_owned(),
        secret: false,
    }];
    stage.plan.job.environment = vec![("CI".to_owned(), "mine".to_owned())];
    let number = stage.plan.number;
    let workspace = stage.plan.workspace.display().to_string();
    let ended = stage.run()?;
    ended.is(BuildResult::Success)?;
    for line in [
        format!("BUILD_NUMBER={number}"),
        format!("WARD_BUILD=the job#{number}"),
        "JOB_NAME=the job".to_owned(),
        "LEVEL=a b".to_owned(),
        "Level=a b".to_owned(),
        "CI=mine".to_owned(),
        format!("WORKSPACE={workspace}"),
        workspace,
    ] {
        ended.says(&format!("\n{line}\n"))?;
    }
    ended
        .says("\nHUDSON_COOKIE=")?
        .says("\nJENKINS_NODE_COOKIE=")?;
    // Nothing of the runner's or of the guardian's.
    ended
        .is_silent_of("WARD_ROLE")?
        .is_silent_of("WARD_GUARDIAN")?
        .is_silent_of("alive")?;
    Ok(())
}

fn secrets_are_masked_and_taken_back() -> anyhow::Result<()> {
    let script = "#!/bin/sh -e\nprintf 'it is s3c'; sleep 0.2; printf 'r3tValue\\n'; cat \"$KEY\"; echo \"$WORD\"; \
                  echo $JENKINS_SERVER_COOKIE; stat -c %a \"$KEY\"";
    let mut stage = Stage::new(&[script])?;
    fs::write(stage.path("secrets/token"), "s3cr3tValue\n")?;
    fs::write(stage.path("secrets/key"), "user:passw0rd\n")?;
    let bind = |variable: &str, secret: &str, as_file| SecretBinding {
        variable: variable.to_owned(),
        secret: secret.to_owned(),
        as_file,
    };
    stage.plan.job.secrets = vec![bind("TOKEN", "token", false), bind("KEY", "key", true)];
    stage.plan.parameters = vec![ParameterValue {
        name: "WORD".to_owned(),
        value: "open sesame".to_owned(),
        secret: true,
    }];
    let ended = stage.run()?;
    ended
        .is(BuildResult::Success)?
        .says("it is ********\n")?
        .says("\n600\n")?;
    for secret in ["s3cr3tValue", "passw0rd", "sesame", "c0ffee00"] {
        ended.is_silent_of(secret)?;
        let outcome = fs::read_to_string(stage.directory().join(file::OUTCOME))?;
        ensure!(!outcome.contains(secret), "{outcome}");
    }
    let left = fs::read_dir(stage.path("workspace@tmp"))?.count();
    ensure!(left == 0, "secrets are left");
    Ok(())
}

fn a_missing_secret_is_a_failure() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo never"])?;
    stage.plan.job.secrets = vec![SecretBinding {
        variable: "A".to_owned(),
        secret: "nothing".to_owned(),
        as_file: false,
    }];
    let ended = stage.run()?;
    ended
        .is(BuildResult::Failure)?
        .says("Cannot build: cannot read the secret `nothing`: No such file")?
        .says("hint: ")?
        .is_silent_of("never")?;
    Ok(())
}

fn what_is_left_over_is_ended_and_named() -> anyhow::Result<()> {
    let script = "sleep 600 & setsid sh -c 'trap \"\" TERM; sleep 601' & exit 0";
    let mut stage = Stage::new(&[script])?;
    stage.plan.job.grace = Duration::from_millis(100);
    let ended = stage.run()?;
    ended
        .is(BuildResult::Success)?
        .says("step 1 has ended and left ")?
        .says("sleep 600")?;
    ensure!(stage.processes().is_empty(), "{:?}", stage.processes());
    let report = &ended.outcome.steps.first().expect("a step").report;
    ensure!(
        report.left_over.count >= 2 && report.killed.count >= 1,
        "{report:?}"
    );
    Ok(())
}

fn a_daemon_stays_that_asks_to() -> anyhow::Result<()> {
    let script = "BUILD_ID=dontKillMe sh -c 'echo daemon speaks; while ! test -e go; do sleep 0.02; done; \
                  for i in 1 2 3; do echo later $i; done; touch gone; sleep 600' & \
                  while ! test -e ready; do sleep 0.01; touch ready; done; sleep 0.2; echo over";
    let stage = Stage::new(&[script])?;
    let ended = stage.run()?;
    ended
        .is(BuildResult::Success)?
        .says("daemon speaks")?
        .says("left running: ")?;
    let daemons = stage.processes();
    ensure!(!daemons.is_empty(), "it was ended");
    let length = fs::metadata(stage.directory().join(file::LOG))?.len();
    ensure!(length == ended.outcome.log_bytes);
    fs::write(stage.in_workspace("go"), "")?;
    wait_until("the daemon's later words", || {
        stage.in_workspace("gone").exists()
    })?;
    // It wrote, lives, and the log has not grown.
    ensure!(stage.log().len() as u64 == length);
    ensure!(!stage.processes().is_empty(), "it died of what it wrote");
    stage.kill_all()
}

fn a_flood_is_complete() -> anyhow::Result<()> {
    let stage = Stage::new(&["seq 1 2000000"])?;
    let ended = stage.run()?;
    ended.is(BuildResult::Success)?;
    let mut expected = 1u32;
    for line in ended.log.lines().skip_while(|line| *line != "1") {
        if line.parse() != Ok(expected) {
            break;
        }
        expected += 1;
    }
    ensure!(expected == 2_000_001, "it breaks off before {expected}");
    Ok(())
}

fn lines_have_times() -> anyhow::Result<()> {
    let stage = Stage::new(&["echo one; sleep 0.3; echo two; printf half"])?;
    let ended = stage.run()?;
    ended.is(BuildResult::Success)?.says("half\nFinished")?;
    let times = Times::open(&stage.directory().join(file::TIMES))?;
    let at = |text: &str| -> anyhow::Result<i64> {
        let offset = ended.log.find(text).map(|at| at as u64 + 1);
        Ok(times.at(offset.unwrap_or(0))?.unwrap_or(0))
    };
    let (one, two) = (at("\none\n")?, at("\ntwo\n")?);
    ensure!(one >= ended.outcome.started_at && two <= ended.outcome.ended_at);
    ensure!(two > one, "{one} {two}");
    Ok(())
}

fn a_build_is_done_once() -> anyhow::Result<()> {
    let stage = Stage::new(&["echo once >>counted; sleep 0.3"])?;
    let going = stage.start()?;
    let second = ward_build::runner::start(stage.directory());
    ensure!(
        second.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "a second runner works beside the first"
    );
    going.end()?.is(BuildResult::Success)?;
    let again = stage.start()?;
    again.await_end()?;
    ensure!(fs::read_to_string(stage.in_workspace("counted"))? == "once\n");
    Ok(())
}

fn scripts_of_other_systems() -> anyhow::Result<()> {
    let stage = Stage::new(&[
        "#!/usr/bin/env -S sh -e\r\necho 'a b'\r\necho c",
        "echo d\r\ntrue\r\n",
    ])?;
    let ended = stage.run()?;
    ended
        .is(BuildResult::Success)?
        .says("\na b\nc\n")?
        .says("\nd\n")?;
    Ok(())
}

fn a_build_at_a_terminal() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo at home"])?;
    stage.plan.directory = stage.path("elsewhere/build");
    let outcome = ward_build::runner::run_local(&stage.plan)?;
    ensure!(outcome.result == BuildResult::Success);
    ensure!(stage.log().contains("\nat home\n"));
    Ok(())
}

fn steps_of_another_user() -> anyhow::Result<()> {
    if !ward_testkit::world::is_root() {
        skipped("steps of another user", "only root can have them");
        return Ok(());
    }
    let script = "id -un; echo $HOME:$USER; touch mine; cat \"$KEY\"; touch \"$WORKSPACE_TMP\"/x && echo here too";
    let mut stage = Stage::new(&[script])?;
    // They must get through to the workspace.
    fs::set_permissions(stage.path(""), PermissionsExt::from_mode(0o711))?;
    fs::write(stage.path("secrets/key"), "a line\nof a key\n")?;
    stage.plan.job.user = Some("nobody".to_owned());
    stage.plan.job.secrets = vec![SecretBinding {
        variable: "KEY".to_owned(),
        secret: "key".to_owned(),
        as_file: true,
    }];
    let ended = stage.run()?;
    ended
        .is(BuildResult::Success)?
        .says("\nnobody\n")?
        .says(":nobody\n")?
        .says("\nhere too\n")?
        .is_silent_of("of a key")?;
    Ok(())
}

fn a_user_that_is_nobody_here() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo never"])?;
    stage.plan.job.user = Some("no-such-user".to_owned());
    let ended = stage.run()?;
    ended
        .is(BuildResult::Failure)?
        .says("There is no user `no-such-user`\n")?
        .is_silent_of("never")?;
    Ok(())
}

fn very_many_are_left_over() -> anyhow::Result<()> {
    let stage =
        Stage::new(&["for i in $(seq 400); do sh -c 'sleep 600; : and so on' & done; exit 0"])?;
    let ended = stage.run()?;
    ended.is(BuildResult::Success)?;
    let step = ended.outcome.steps.first().expect("a step");
    ensure!(!step.report.guardian_lost && step.report.left_over.count >= 400);
    stage.await_nobody()
}
