//! Time that runs out: limits stop a run that takes too long or falls silent, and a grace is
//! kept to its end, but not beyond it.

#![forbid(unsafe_code)]

use std::fs;

use anyhow::Context as _;
use rustix::process::Signal;
use ward_model::life::{CauseKind, End};
use ward_testkit::patience::wait_until;
use ward_testkit::processes;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{World, settings};

type Result = anyhow::Result<()>;

const STOPPED: u8 = 123;
const TIME_LIMIT: u8 = 124;

/// Longer than any test waits, so that whoever ends did not end by this.
const FOREVER: [&str; 4] = ["--grace", "1h", "--leftover-grace", "1h"];

fn heard(world: &World, name: &str) -> String {
    fs::read_to_string(world.path(name)).unwrap_or_default()
}

#[test]
fn when_the_grace_is_over_it_is_over() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("cleaned");
        let run = world.ward().setting(setting).options(["--grace", "400ms"]);
        let mut running = run.hostile(&["cleanup", "100", &text(&file)]).start()?;
        running.await_signatures(1)?;
        running.signal(Signal::TERM)?;
        let ended = running.finish()?;
        let report = ended.judge(STOPPED)?;
        assert!(
            ended.out().contains("START\ncleaning 1\n") && !ended.out().contains("END"),
            "{}",
            ended.out()
        );
        assert!(!file.exists());
        assert!(report.forced && !report.hurried);
        let asked = report.times.stop_asked.context("when")?;
        let killed = report.times.kill_began.context("when")?;
        // Moments are rounded to milliseconds.
        assert!(killed - asked >= 0.399, "killed after {}", killed - asked);
        assert!(matches!(report.end, End::Signaled { signal, .. } if signal.number() == 9));
    }
    Ok(())
}

#[test]
fn no_grace_is_no_grace() -> Result {
    let world = world!()?;
    let mut running = world
        .ward()
        .options(["--grace", "0"])
        .hostile(&["ignore-term"])
        .start()?;
    running.await_signatures(1)?;
    running.signal(Signal::TERM)?;
    assert!(running.finish()?.judge(STOPPED)?.forced);
    Ok(())
}

#[test]
fn the_time_limit() -> Result {
    for setting in settings() {
        let world = world!()?;
        let record = text(world.path("signals"));
        let run = world
            .ward()
            .setting(setting)
            .options(FOREVER)
            .options(["--timeout", "300ms"]);
        let ended = run.hostile(&["count-signals", &record, "0.1"]).finish()?;
        let report = ended.judge(TIME_LIMIT)?;
        assert_eq!(heard(&world, "signals"), "TERM\n");
        assert_eq!(report.cause, Some(CauseKind::TimeLimit));
        assert!(report.stopped_before_end);
        assert!(report.times.stop_asked.context("when")? >= 0.3);
        assert!(
            ended.wards_words().contains("0.3s"),
            "which limit? {}",
            ended.err()
        );
        assert_eq!(report.stops[0].signal, None);
    }
    Ok(())
}

#[test]
fn the_limit_of_silence() -> Result {
    for setting in settings() {
        let world = world!()?;
        let run = world
            .ward()
            .setting(setting)
            .options(["--idle-timeout", "400ms"]);
        let ended = run.sh("i=0; while [ $i -lt 12 ]; do echo $i >&$((1 + i % 2)); sleep 0.1; i=$((i+1)); done; sleep 100").finish()?;
        let report = ended.judge(TIME_LIMIT)?;
        assert_eq!(report.cause, Some(CauseKind::IdleLimit));
        // It spoke for longer than the limit, on either stream, before it fell silent.
        assert!(ended.out().ends_with("10\n"), "{}", ended.out());
        assert!(report.times.stop_asked.context("when")? >= 1.4);
        assert!(
            ended.wards_words().contains("0.4s"),
            "which limit? {}",
            ended.err()
        );
    }
    Ok(())
}

#[test]
fn limits_that_are_not_reached_do_nothing() -> Result {
    let world = world!()?;
    let run = world
        .ward()
        .options(["--timeout", "1h", "--idle-timeout", "30m", "--grace", "1d"]);
    let report = run.sh("exit 6").finish()?.judge(6)?;
    assert_eq!((report.cause, report.times.stop_asked), (None, None));
    Ok(())
}

/// The gravest reason is the one that counts.
#[test]
fn a_limit_after_a_request_and_a_request_after_a_limit() -> Result {
    let world = world!()?;
    let run = world
        .ward()
        .options(FOREVER)
        .options(["--timeout", "200ms"]);
    let mut running = run
        .hostile(&["cleanup", "100", &text(world.path("cleaned"))])
        .start()?;
    running.await_stdout("START")?;
    running.signal(Signal::TERM)?;
    let report = running.finish()?.judge(TIME_LIMIT)?;
    assert_eq!(report.cause, Some(CauseKind::TimeLimit));
    assert!(
        report.hurried,
        "a person who asks does not wait for a limit's grace"
    );
    Ok(())
}

/// Left-overs are stopped with the same care: TERM once, time to clean up, then the kill.
#[test]
fn left_overs_have_their_grace_too() -> Result {
    for setting in settings() {
        let world = world!()?;
        let record = text(world.path("signals"));
        let script = format!(
            "{} & while ! [ -s {} ]; do sleep 0.01; done; exit 3",
            world.hostile_text(&["count-signals", &record, "0.3"]),
            text(world.roll()),
        );
        let run =
            world
                .ward()
                .setting(setting)
                .options(["--leftover-grace", "100ms", "--grace", "1h"]);
        let report = run.sh(&script).finish()?.judge(3)?;
        assert_eq!(heard(&world, "signals"), "TERM\n", "{setting:?}");
        assert!(!report.forced && !report.stopped_before_end);
        let ended = report.times.leader_ended.context("when")?;
        let asked = report.times.stop_asked.context("when")?;
        assert!(asked - ended >= 0.099, "asked after {}", asked - ended);
    }
    Ok(())
}

/// Output that nobody reads does not keep a stopped run.
#[test]
fn a_reader_that_does_not_read_does_not_keep_a_stopped_run() -> Result {
    let world = world!()?;
    let (reader, writer) = std::io::pipe()?;
    let mut running = world
        .ward()
        .stdout(writer)
        .options(["--grace", "500ms"])
        .hostile(&["flood", "0"])
        .start()?;
    let flood = running.await_signatures(1)?[0];
    wait_until("the pipes to be full", || {
        processes::look(flood).is_some_and(|seen| seen.state == 'S')
    })?;
    running.signal(Signal::TERM)?;
    let report = running.finish()?.judge(STOPPED)?;
    assert!(report.output.undelivered_bytes > 0, "{report:#?}");
    drop(reader);
    Ok(())
}

/// Children that are born while everybody is being told are not forgotten at the kill.
#[test]
fn who_is_born_late_is_killed_with_the_others() -> Result {
    for setting in settings() {
        let world = world!()?;
        let script = "trap 'i=0; while [ $i -lt 30 ]; do setsid sleep 100 & i=$((i+1)); done' TERM
                      echo READY; while :; do sleep 0.02; done";
        let mut running = world
            .ward()
            .setting(setting)
            .options(["--grace", "500ms"])
            .sh(script)
            .start()?;
        running.await_stdout("READY")?;
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(STOPPED)?;
        assert!(
            report.killed.count >= 31,
            "{setting:?}: {}",
            report.killed.count
        );
    }
    Ok(())
}
