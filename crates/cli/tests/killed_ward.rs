//! Ward itself is killed with a signal that nobody can handle, at any moment: still nobody is
//! left, and still the truth is told.
//!
//! `WARD_TEST_ROUNDS` says how often each is tried (20 if it says nothing; 200 for the full proof).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::life::{CauseKind, End};
use ward_model::report::Report;
use ward_testkit::hostile::noise::{beats, numbered_line};
use ward_testkit::moments::{let_pass, moments};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::{self, children, look};
use ward_testkit::run::{Running, await_report, text};
use ward_testkit::truth::contradictions;
use ward_testkit::world;
use ward_testkit::world::{Setting, World, settings};

type Result = anyhow::Result<()>;

fn nobody_is_left(world: &World) -> Result {
    wait_until("everybody to end", || {
        world.survivors().is_empty() && world.wards().is_empty()
    })
    .with_context(|| format!("left: {:#?} {:#?}", world.survivors(), world.wards()))?;
    // Once more, now that nobody can start anybody any more.
    ensure!(
        world.survivors().is_empty(),
        "left: {:#?}",
        world.survivors()
    );
    // Whoever is killed between making a cgroup and starting somebody in it leaves it.
    let begun = !world.signed().is_empty();
    ensure!(
        !begun || world.forgotten_cgroups().is_empty(),
        "left: {:?}",
        world.forgotten_cgroups()
    );
    Ok(())
}

/// Each round with another setting.
fn each(span: Duration, mut round: impl FnMut(&World, Setting, Duration) -> Result) -> Result {
    let settings = settings();
    ensure!(!settings.is_empty(), "no way to run ward");
    let mut wrong = Vec::new();
    for (moment, setting) in moments(span).zip(settings.iter().cycle()) {
        let world = world!()?;
        if let Err(error) = round(&world, *setting, moment) {
            wrong.push(format!("{setting:?}, after {moment:?}: {error:#}"));
        }
        // Each may have waited for as long as a test waits.
        ensure!(wrong.len() < 3, "{}", wrong.join("\n"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn guardian_now(running: &Running<'_>) -> Option<i32> {
    children(running.front())
        .into_iter()
        .find(|child| child.name == "ward-guardian" && !child.is_zombie())
        .map(|child| child.pid)
}

#[test]
fn the_front_is_killed_while_the_tree_grows() -> Result {
    each(Duration::from_millis(60), |world, setting, moment| {
        let run = world.ward().setting(setting).options(["--grace", "300ms"]);
        let running = run.hostile(&["mixed-tree", "12"]).start()?;
        let path = running.report_path()?.to_owned();
        let_pass(moment);
        running.signal(Signal::KILL)?;
        let ended = running.finish_killed()?;
        ensure!(ended.code() == 128 + 9, "{}", ended.status);
        nobody_is_left(world)?;
        // Whoever has signed had been started.
        if !world.signed().is_empty() {
            let report = await_report(&path)?;
            judge_after_front(&report)?;
        }
        Ok(())
    })
}

fn judge_after_front(report: &Report) -> Result {
    let wrong = contradictions(report);
    ensure!(wrong.is_empty(), "{wrong:?} {report:#?}");
    ensure!(report.cause == Some(CauseKind::FrontLost), "{report:#?}");
    ensure!(report.exit_status == 125, "{report:#?}");
    Ok(())
}

#[test]
fn the_front_is_killed_while_left_overs_are_stopped() -> Result {
    each(Duration::from_millis(300), |world, setting, moment| {
        let run =
            world
                .ward()
                .setting(setting)
                .options(["--grace", "200ms", "--leftover-grace", "50ms"]);
        let mut running = run
            .hostile_leaving(9, &["mixed-tree", "8", "leave"])
            .start()?;
        let path = running.report_path()?.to_owned();
        running.await_signatures(8)?;
        let_pass(moment);
        running.signal(Signal::KILL)?;
        running.finish_killed()?;
        nobody_is_left(world)?;
        let report = await_report(&path)?;
        let wrong = contradictions(&report);
        ensure!(wrong.is_empty(), "{wrong:?} {report:#?}");
        Ok(())
    })
}

/// The grace that was granted is kept when the front is gone: clean-up runs to its end.
#[test]
fn a_clean_up_outlives_the_front() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("cleaned");
        // Into a file, so that there is somewhere to write when the front is gone.
        let out = world.path("out");
        let run = world
            .ward()
            .setting(setting)
            .options(["--grace", "1h"])
            .stdout(fs::File::create(&out)?);
        let mut running = run.hostile(&["cleanup", "0.4", &text(&file)]).start()?;
        let path = running.report_path()?.to_owned();
        running.await_signatures(1)?;
        running.signal(Signal::KILL)?;
        running.finish_killed()?;
        wait_until("the clean-up", || file.exists())?;
        nobody_is_left(&world)?;
        let report = await_report(&path)?;
        judge_after_front(&report)?;
        assert_eq!(
            (report.end, report.forced),
            (End::Exited { code: 0 }, false),
            "{setting:?}"
        );
        let said = fs::read_to_string(&out)?;
        assert!(
            said.starts_with("READY\nSTART\n") && said.ends_with("END\n"),
            "{setting:?}: {said}"
        );
    }
    Ok(())
}

/// A log is written to the end although the front is gone.
#[test]
fn the_log_outlives_the_front() -> Result {
    for setting in settings() {
        let world = world!()?;
        let (file, log) = (world.path("cleaned"), world.path("log"));
        let run = world
            .ward()
            .setting(setting)
            .options(["--grace", "1h", "--log", &text(&log)]);
        let mut running = run.hostile(&["cleanup", "0.3", &text(&file)]).start()?;
        running.await_signatures(1)?;
        running.signal(Signal::KILL)?;
        running.finish_killed()?;
        nobody_is_left(&world)?;
        assert!(file.exists(), "{setting:?}");
        let said = fs::read_to_string(&log)?;
        assert!(
            said.starts_with("READY\nSTART\n") && said.ends_with("END\n"),
            "{setting:?}: {said}"
        );
    }
    Ok(())
}

/// The run goes on without its guardian, and not a byte is lost.
#[test]
fn the_guardian_is_killed_and_the_run_goes_on() -> Result {
    let mut lost = 0;
    each(Duration::from_millis(40), |world, setting, moment| {
        let run = world
            .ward()
            .setting(setting)
            .options(["--leftover-grace", "100ms"]);
        let running = run
            .hostile_leaving(6, &["numbered-lines", "60", "1"])
            .start()?;
        let_pass(moment);
        let Some(guardian) = guardian_now(&running) else {
            // Not there yet, or over already.
            running.finish()?;
            return Ok(());
        };
        processes::signal_marked(guardian, world.mark(), Signal::KILL);
        let ended = running.finish()?;
        let wrong = ended.left_behind();
        ensure!(wrong.is_empty(), "{wrong:?}");
        if world.signed().is_empty() {
            // Nothing was started: that must be said, and is no success.
            ensure!(ended.code() == 125, "{ended:#?}");
            return Ok(());
        }
        let report = ended.judge(6)?;
        lost += u32::from(report.guardian_lost);
        let lines: String = (1..=60).map(numbered_line).collect();
        ensure!(
            ended.out() == lines,
            "{} of 60 lines: {report:#?}",
            ended.out().lines().count()
        );
        Ok(())
    })?;
    ensure!(
        lost > 0,
        "in no round was the guardian lost: the test proves nothing"
    );
    Ok(())
}

/// Much output at the moment of the loss: nothing missing, nothing twice.
#[test]
fn the_guardian_is_killed_in_a_flood() -> Result {
    let lines: String = (1..=100_000).map(numbered_line).collect();
    each(Duration::from_millis(25), |world, setting, moment| {
        let run = world
            .ward()
            .setting(setting)
            .hostile_leaving(6, &["numbered-lines", "100000"]);
        let mut running = run.start()?;
        running.await_signatures(1)?;
        let_pass(moment);
        if let Some(guardian) = guardian_now(&running) {
            processes::signal_marked(guardian, world.mark(), Signal::KILL);
        }
        let ended = running.finish()?;
        let got = ended.out();
        let wrong = got
            .lines()
            .zip(lines.lines())
            .position(|(got, sent)| got != sent);
        ensure!(
            got == lines,
            "{} bytes instead of {}, first wrong line {wrong:?}; {ended:#?}",
            got.len(),
            lines.len()
        );
        ended.judge(6)?;
        Ok(())
    })
}

/// Without its guardian a run can still be stopped, and leaves nobody.
#[test]
fn the_guardian_is_killed_and_then_the_run_is_stopped() -> Result {
    each(Duration::from_millis(20), |world, setting, moment| {
        let run = world.ward().setting(setting).options(["--grace", "300ms"]);
        let mut running = run.hostile(&["mixed-tree", "12"]).start()?;
        running.await_signatures(12)?;
        let guardian = running.guardian()?;
        processes::signal_marked(guardian, world.mark(), Signal::KILL);
        let_pass(moment);
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(123)?;
        ensure!(report.guardian_lost, "{report:#?}");
        ensure!(
            report.killed.count >= 1,
            "the deaf must be killed: {report:#?}"
        );
        Ok(())
    })
}

/// While everybody is being stopped, the guardian goes: the front finishes what was begun.
#[test]
fn the_guardian_is_killed_during_a_stop() -> Result {
    each(Duration::from_millis(350), |world, setting, moment| {
        let run = world.ward().setting(setting).options(["--grace", "200ms"]);
        let mut running = run.hostile(&["mixed-tree", "8"]).start()?;
        running.await_signatures(8)?;
        let guardian = running.guardian()?;
        running.signal(Signal::TERM)?;
        let_pass(moment);
        processes::signal_marked(guardian, world.mark(), Signal::KILL);
        let ended = running.finish()?;
        let wrong = ended.left_behind();
        ensure!(wrong.is_empty(), "{wrong:?} {ended:#?}");
        ensure!(ended.code() == 123, "{ended:#?}");
        let report = ended.report()?;
        let wrong = contradictions(&report);
        ensure!(wrong.is_empty(), "{wrong:?} {report:#?}");
        Ok(())
    })
}

/// Limits hold without the guardian.
#[test]
fn a_limit_holds_without_the_guardian() -> Result {
    for setting in settings() {
        let world = world!()?;
        let run = world
            .ward()
            .setting(setting)
            .options(["--timeout", "500ms", "--grace", "200ms"]);
        let mut running = run.hostile(&["mixed-tree", "8"]).start()?;
        running.await_signatures(8)?;
        processes::signal_marked(running.guardian()?, world.mark(), Signal::KILL);
        let report = running.finish()?.judge(124)?;
        assert_eq!(report.cause, Some(CauseKind::TimeLimit), "{setting:?}");
    }
    Ok(())
}

/// Who was detached on purpose is spared by whoever finishes the run.
#[test]
fn a_lost_guardian_spares_too() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("beats");
        let script = format!(
            "{}; exec sleep 60",
            world.hostile_text(&["spared-writer", &text(&file)])
        );
        let mut running = world.ward().setting(setting).sh(&script).start()?;
        let writer = running.await_signatures(1)?[0];
        processes::signal_marked(running.guardian()?, world.mark(), Signal::KILL);
        running.signal(Signal::TERM)?;
        let ended = running.finish()?;
        ensure!(ended.code() == 123, "{setting:?}: {ended:#?}");
        assert_eq!(ended.report()?.spared.count, 1, "{setting:?}");
        ensure!(
            look(writer).is_some_and(|seen| !seen.is_zombie()),
            "{setting:?}: it was not spared"
        );
        let first = beats(&file)?;
        wait_until("the writer to go on", || {
            beats(&file).is_ok_and(|beat| beat > first + 200)
        })?;
    }
    Ok(())
}

/// A killed front leaves who was spared, and the guardian to drain his pipe.
#[test]
fn a_lost_front_spares_too() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("beats");
        let script = format!(
            "{}; exec sleep 60",
            world.hostile_text(&["spared-writer", &text(&file)])
        );
        let mut running = world.ward().setting(setting).sh(&script).start()?;
        let path = running.report_path()?.to_owned();
        let writer = running.await_signatures(1)?[0];
        running.signal(Signal::KILL)?;
        running.finish_killed()?;
        let report = await_report(&path)?;
        assert_eq!(report.spared.count, 1, "{setting:?}: {report:#?}");
        ensure!(
            look(writer).is_some_and(|seen| !seen.is_zombie()),
            "{setting:?}: it was not spared"
        );
        let first = beats(&file)?;
        wait_until("the writer to go on", || {
            beats(&file).is_ok_and(|beat| beat > first + 200)
        })?;
    }
    Ok(())
}

/// A guardian that stands still is not a reason to hang for ever once it goes on.
#[test]
fn a_guardian_that_stands_still_for_a_while() -> Result {
    let world = world!()?;
    let mut running = world
        .ward()
        .options(["--grace", "300ms"])
        .hostile(&["mixed-tree", "8"])
        .start()?;
    running.await_signatures(8)?;
    let guardian = running.guardian()?;
    processes::signal_marked(guardian, world.mark(), Signal::STOP);
    wait_until("the guardian to stand still", || {
        look(guardian).is_some_and(|seen| seen.state == 'T')
    })?;
    running.signal(Signal::TERM)?;
    processes::signal_marked(guardian, world.mark(), Signal::CONT);
    running.finish()?.judge(123)?;
    Ok(())
}
