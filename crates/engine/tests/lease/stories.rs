//! What is done to the keepers, to the work and to the process that renews, and how it ends.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::exit_code::LOCK_LOST;
use ward_model::life::{CauseKind, End};
use ward_model::report::Report;
use ward_model::rung::Rung;
use ward_sys::clock::since_boot;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::Seen;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::{Run, Running, await_report, contains, text};
use ward_testkit::terminal::{SUSPEND, Terminal};
use ward_testkit::truth::contradictions;
use ward_testkit::world::{Setting, Who, World, can_have, settings};

use crate::program::RENEWER;

type Result = anyhow::Result<()>;
pub(crate) type Story = fn(&Path) -> Result;

/// The stories, each with its name.
macro_rules! stories {
    ($($story:ident)*) => {
        pub(crate) const ALL: &[(&str, Story)] = &[$((stringify!($story), $story)),*];
    };
}

stories! {
    who_ignores_the_signal_is_dead_in_time
    who_heeds_the_signal_cleans_up
    a_killed_front_changes_nothing
    a_killed_guardian_changes_nothing
    a_guardian_that_is_killed_while_it_stops_the_work
    a_front_that_learns_late_tells_the_truth
    a_stopped_guardian_changes_nothing
    a_stopped_renewer_changes_nothing
    a_killed_renewer_changes_nothing
    stopped_work_is_dead_in_time
    frozen_work_is_dead_in_time
    a_suspended_job_is_dead_in_time
    a_long_grace_is_cut_short
    a_lost_lease_leaves_no_time
    a_lost_lease_is_heard_by_the_half_that_is_left
    a_renewed_lease_stops_nobody
    nobody_is_started_under_a_lost_lock
    a_free_lock_cannot_be_lost
    a_lock_of_the_tree_can_be_lost_by_what_is_left
    the_guardian_is_killed_and_the_work_ends_well
    a_warning_is_said_once
}

fn each_setting(ward: &Path, test: impl Fn(&World, Setting) -> Result) -> Result {
    let settings = settings();
    ensure!(!settings.is_empty(), "no way to run ward");
    for setting in settings {
        let world = World::new(ward)?;
        test(&world, setting).with_context(|| format!("{setting:?}"))?;
    }
    Ok(())
}

const GUARDIAN_RUNG: Setting = Setting {
    who: Who::Myself,
    rung: Rung::Guardian,
};

const CGROUP_RUNG: Setting = Setting {
    who: Who::Myself,
    rung: Rung::Cgroup,
};

/// Once on each rung.
fn each_rung(ward: &Path, test: impl Fn(&World, Setting) -> Result) -> Result {
    for setting in [GUARDIAN_RUNG, CGROUP_RUNG] {
        if can_have(setting) {
            let world = World::new(ward)?;
            test(&world, setting).with_context(|| format!("{setting:?}"))?;
        }
    }
    Ok(())
}

/// A run whose lease is renewed so often; with `None`, for ever.
fn leased<'w>(world: &'w World, setting: Setting, renewals: Option<u32>) -> Run<'w> {
    let run = world.ward().setting(setting);
    let run = match renewals {
        Some(times) => run.options(["--renew".to_owned(), times.to_string()]),
        None => run,
    };
    run.options(["--lease", &text(world.path("lease"))])
}

/// Until when the lease was good, by the last that anybody heard of it.
fn good_until(world: &World) -> anyhow::Result<Duration> {
    let note = fs::read_to_string(world.path("lease"))?;
    Ok(Duration::from_nanos(note.parse()?))
}

/// Who is at work.
fn at_work(world: &World) -> Vec<Seen> {
    let mut seen = world.survivors();
    seen.retain(|seen| seen.name != RENEWER && seen.name != "bash");
    seen
}

fn renewer(world: &World) -> anyhow::Result<i32> {
    wait_for("the renewing process", || {
        let mut seen = world.survivors().into_iter();
        seen.find(|seen| seen.name == RENEWER).map(|seen| seen.pid)
    })
}

/// The property itself: when the lease ends, nobody is at work any more.
fn over_in_time(world: &World) -> Result {
    wait_until("the end of the work", || at_work(world).is_empty())
        .with_context(|| format!("{:#?}", at_work(world)))?;
    let now = since_boot();
    let end = good_until(world)?;
    ensure!(
        now < end,
        "the lease had ended {:?} before the work",
        now.saturating_sub(end)
    );
    Ok(())
}

fn nobody_is_left(world: &World) -> Result {
    let left = || world.survivors().into_iter().chain(world.wards());
    wait_until("everybody to end", || left().next().is_none())
        .with_context(|| format!("{:#?}", left().collect::<Vec<_>>()))?;
    ensure!(
        world.forgotten_cgroups().is_empty(),
        "{:?}",
        world.forgotten_cgroups()
    );
    Ok(())
}

fn judge(report: &Report) -> Result {
    let wrong = contradictions(report);
    ensure!(wrong.is_empty(), "{wrong:?} {report:#?}");
    ensure!(
        report.cause == Some(CauseKind::LockLost) && report.exit_status == LOCK_LOST,
        "{report:#?}"
    );
    Ok(())
}

/// The whole ending of a run whose front lives: in time, told truly, and nobody is left.
fn ends_in_time(world: &World, running: Running<'_>) -> anyhow::Result<Report> {
    over_in_time(world)?;
    // It sees our end, if it can.
    for seen in world.survivors() {
        world.signal(seen.pid, Signal::CONT);
    }
    let ended = running.finish()?;
    let report = ended.report()?;
    judge(&report)?;
    ensure!(ended.code() == i32::from(LOCK_LOST), "{ended:#?}");
    let said = ended.wards_words();
    ensure!(
        said.contains("the lock is about to be lost (its lease ends in "),
        "{said}"
    );
    nobody_is_left(world)?;
    Ok(report)
}

fn who_ignores_the_signal_is_dead_in_time(ward: &Path) -> Result {
    each_setting(ward, |world, setting| {
        let run = leased(world, setting, Some(2)).options(["--grace", "1h"]);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        running.await_signatures(1)?;
        let report = ends_in_time(world, running)?;
        ensure!(report.forced && report.stopped_before_end, "{report:#?}");
        ensure!(
            report.told.count == 1 && report.killed.count == 1,
            "{report:#?}"
        );
        Ok(())
    })?;
    // Whoever starts others when he is told, whoever has left in every way, whoever starts others
    // all the time.
    for mood in [
        &["fork-on-term"][..],
        &["mixed-tree", "12"],
        &["fork-storm", "4", "100", "stay"],
    ] {
        each_rung(ward, |world, setting| {
            let run = leased(world, setting, Some(2)).options(["--grace", "1h"]);
            let mut running = run.hostile(mood).start()?;
            running.await_signatures(1)?;
            ends_in_time(world, running)?;
            Ok(())
        })?;
    }
    Ok(())
}

fn who_heeds_the_signal_cleans_up(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let file = world.path("cleaned");
        let run = leased(world, setting, Some(0)).options(["--grace", "1h"]);
        let mut running = run.hostile(&["cleanup", "0.3", &text(&file)]).start()?;
        running.await_signatures(1)?;
        let report = ends_in_time(world, running)?;
        ensure!(file.exists() && !report.forced, "{report:#?}");
        ensure!(report.end == End::Exited { code: 0 }, "{report:#?}");
        Ok(())
    })
}

fn a_killed_front_changes_nothing(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run = leased(world, setting, Some(2)).options(["--grace", "1h"]);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        let path = running.report_path()?.to_owned();
        running.await_signatures(1)?;
        running.signal(Signal::KILL)?;
        over_in_time(world)?;
        running.finish_killed()?;
        let report = await_report(&path)?;
        judge(&report)?;
        ensure!(
            report
                .stops
                .iter()
                .any(|stop| stop.cause == CauseKind::FrontLost),
            "{report:#?}"
        );
        nobody_is_left(world)
    })
}

fn a_killed_guardian_changes_nothing(ward: &Path) -> Result {
    each_setting(ward, |world, setting| {
        let run = leased(world, setting, Some(2)).options(["--grace", "1h"]);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        running.await_signatures(1)?;
        world.signal(running.guardian()?, Signal::KILL);
        let report = ends_in_time(world, running)?;
        ensure!(report.guardian_lost, "{report:#?}");
        Ok(())
    })
}

fn says(running: &Running<'_>, words: &str) -> Result {
    wait_until(words, || contains(&running.stderr_so_far(), words))
}

/// The front goes on with what the guardian had begun, and tells nobody twice, even if the lease
/// is renewed after all.
fn a_guardian_that_is_killed_while_it_stops_the_work(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let record = world.path("signals");
        let run = leased(world, setting, None).options(["--grace", "1h"]);
        let mut running = run
            .hostile(&["count-signals", &text(&record), "100"])
            .start()?;
        running.await_signatures(1)?;
        let renewer = renewer(world)?;
        world.signal(renewer, Signal::STOP);
        wait_until("everybody to be told", || {
            fs::read_to_string(&record).is_ok_and(|told| !told.is_empty())
        })?;
        world.signal(running.guardian()?, Signal::KILL);
        world.signal(renewer, Signal::CONT);
        let report = ends_in_time(world, running)?;
        ensure!(report.guardian_lost && report.forced, "{report:#?}");
        ensure!(fs::read_to_string(&record)? == "TERM\n", "told twice");
        Ok(())
    })
}

/// The work has ended by itself when the front takes over, and yet it was on account of the lock.
fn a_front_that_learns_late_tells_the_truth(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let file = world.path("cleaned");
        let run = leased(world, setting, None).options(["--grace", "1h"]);
        let mut running = run.hostile(&["cleanup", "0.3", &text(&file)]).start()?;
        running.await_signatures(1)?;
        world.signal(renewer(world)?, Signal::STOP);
        running.await_stdout("START")?;
        let guardian = running.guardian()?;
        running.signal(Signal::STOP)?;
        world.signal(guardian, Signal::KILL);
        over_in_time(world)?;
        running.signal(Signal::CONT)?;
        let report = ends_in_time(world, running)?;
        ensure!(report.guardian_lost && !report.forced, "{report:#?}");
        ensure!(report.end == End::Exited { code: 0 }, "{report:#?}");
        Ok(())
    })
}

/// Whoever stops the guardian has not stopped the end: the front sees to it.
fn a_stopped_guardian_changes_nothing(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run = leased(world, setting, Some(2)).options(["--grace", "1h"]);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        running.await_signatures(1)?;
        world.signal(running.guardian()?, Signal::STOP);
        ends_in_time(world, running)?;
        Ok(())
    })
}

fn a_renewer_that_is(ward: &Path, signal: Signal) -> Result {
    each_rung(ward, |world, setting| {
        let run = leased(world, setting, None).options(["--grace", "1h"]);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        running.await_signatures(1)?;
        world.signal(renewer(world)?, signal);
        ends_in_time(world, running)?;
        Ok(())
    })
}

fn a_stopped_renewer_changes_nothing(ward: &Path) -> Result {
    a_renewer_that_is(ward, Signal::STOP)
}

fn a_killed_renewer_changes_nothing(ward: &Path) -> Result {
    a_renewer_that_is(ward, Signal::KILL)
}

fn stopped_work_is_dead_in_time(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run = leased(world, setting, Some(2)).options(["--grace", "1h"]);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        let signed = running.await_signatures(1)?;
        world.signal(signed[0], Signal::STOP);
        ends_in_time(world, running)?;
        Ok(())
    })
}

/// Frozen from outside, as container tools do it.
fn frozen_work_is_dead_in_time(ward: &Path) -> Result {
    if !can_have(CGROUP_RUNG) {
        return Ok(());
    }
    let world = World::new(ward)?;
    let run = leased(&world, CGROUP_RUNG, Some(2)).options(["--grace", "1h"]);
    let mut running = run.hostile(&["ignore-term"]).start()?;
    running.await_signatures(1)?;
    let place = world.forgotten_cgroups();
    let place = place.first().context("the run has no cgroup")?;
    fs::write(place.join("cgroup.freeze"), "1")?;
    ends_in_time(&world, running)?;
    Ok(())
}

/// The user has stopped the job, and with it, here, the process that renews: the lease's clock
/// goes on.
fn a_suspended_job_is_dead_in_time(ward: &Path) -> Result {
    if in_path("bash").is_none() {
        skipped("a suspended job", "needs bash");
        return Ok(());
    }
    for logged in [false, true] {
        let world = World::new(ward)?;
        let mut terminal = Terminal::bash(&world)?;
        let report = world.path("report.json");
        let log = if logged {
            format!("--log {}", text(world.path("log")))
        } else {
            String::new()
        };
        terminal.line(&format!(
            "{} run --report {} {log} --grace 1h --renewer in-group --lease {} -- {}",
            text(world.ward_program()),
            text(&report),
            text(world.path("lease")),
            world.hostile_text(&["ignore-term"])
        ))?;
        world.await_signatures(1)?;
        terminal.send(SUSPEND)?;
        terminal.prompt()?;
        over_in_time(&world).with_context(|| format!("logged: {logged}: {}", terminal.shown()))?;
        terminal.line("fg")?;
        terminal.prompt()?;
        ensure!(
            terminal.ask("echo status $?")? == "status 119",
            "{}",
            terminal.shown()
        );
        judge(&await_report(&report)?)?;
        wait_until("everybody to end", || {
            at_work(&world).is_empty() && world.wards().is_empty()
        })?;
    }
    Ok(())
}

/// A stop that was asked for, with much time for clean-up.
fn a_long_grace_is_cut_short(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run = leased(world, setting, None).options(["--grace", "1h"]);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        running.await_signatures(1)?;
        running.signal(Signal::TERM)?;
        says(&running, "stopping ")?;
        world.signal(renewer(world)?, Signal::KILL);
        let report = ends_in_time(world, running)?;
        let causes: Vec<_> = report.stops.iter().map(|stop| stop.cause).collect();
        ensure!(
            causes == [CauseKind::Requested, CauseKind::LockLost] && !report.hurried,
            "{report:#?}"
        );
        Ok(())
    })
}

/// With a lease of an hour, an end within a test's patience is one at once.
fn lost_at<'w>(world: &'w World, setting: Setting, file: &Path) -> Run<'w> {
    leased(world, setting, None).options([
        "--span",
        "1h",
        "--grace",
        "1h",
        "--lose-at",
        &text(file),
    ])
}

fn is_lost(report: &Report, said: &str) -> Result {
    judge(report)?;
    ensure!(report.forced && report.told.count == 0, "{report:#?}");
    ensure!(said.contains("ward: the lock is lost: stopping "), "{said}");
    Ok(())
}

fn a_lost_lease_leaves_no_time(ward: &Path) -> Result {
    each_setting(ward, |world, setting| {
        let file = world.path("lost");
        let mut running = lost_at(world, setting, &file)
            .hostile(&["ignore-term"])
            .start()?;
        running.await_signatures(1)?;
        fs::write(&file, "")?;
        let ended = running.finish()?;
        ensure!(ended.code() == i32::from(LOCK_LOST), "{ended:#?}");
        is_lost(&ended.report()?, &ended.wards_words())?;
        nobody_is_left(world)
    })
}

fn a_lost_lease_is_heard_by_the_half_that_is_left(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let file = world.path("lost");
        let mut running = lost_at(world, setting, &file)
            .hostile(&["ignore-term"])
            .start()?;
        running.await_signatures(1)?;
        world.signal(running.guardian()?, Signal::KILL);
        fs::write(&file, "")?;
        let ended = running.finish()?;
        ensure!(ended.code() == i32::from(LOCK_LOST), "{ended:#?}");
        is_lost(&ended.report()?, &ended.wards_words())?;
        nobody_is_left(world)
    })?;
    each_rung(ward, |world, setting| {
        let file = world.path("lost");
        let run = lost_at(world, setting, &file);
        let mut running = run.hostile(&["ignore-term"]).start()?;
        let path = running.report_path()?.to_owned();
        running.await_signatures(1)?;
        running.signal(Signal::KILL)?;
        wait_until("the front's end", || running.is_over())?;
        fs::write(&file, "")?;
        running.finish_killed()?;
        judge(&await_report(&path)?)?;
        nobody_is_left(world)
    })
}

/// Longer than any one renewal lasts.
fn a_renewed_lease_stops_nobody(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run =
            leased(world, setting, None).options(["--stop-before", "1s", "--kill-before", "0.5s"]);
        let ended = run.sh("sleep 10; exit 7").finish()?;
        let report = ended.report()?;
        ensure!(ended.code() == 7 && report.cause.is_none(), "{ended:#?}");
        ensure!(ended.wards_words().is_empty(), "{ended:#?}");
        nobody_is_left(world)
    })
}

fn nobody_is_started_under_a_lost_lock(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run = leased(world, setting, Some(0)).options(["--span", "1s"]);
        let ended = run.hostile(&["linger"]).finish()?;
        ensure!(ended.code() == i32::from(LOCK_LOST), "{ended:#?}");
        ensure!(world.signed().is_empty(), "it was started");
        let report = ended.report()?;
        judge(&report)?;
        let step = report.failure.as_ref().map(|failure| failure.step.as_str());
        ensure!(step == Some("keeping the lock"), "{report:#?}");
        nobody_is_left(world)
    })
}

/// Background work that was forgotten is not under the lock, which is free by then.
fn a_free_lock_cannot_be_lost(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run = leased(world, setting, Some(0)).options([
            "--span",
            "7s",
            "--leftover-grace",
            "9s",
            "--grace",
            "100ms",
        ]);
        let mut words = world.hostile(&["mixed-tree", "4", "leave"]);
        words.insert(1, "--status=5".to_owned());
        let ended = run.command(words).finish()?;
        let report = ended.report()?;
        ensure!(ended.code() == 5, "{ended:#?}");
        ensure!(report.cause == Some(CauseKind::LeftOver), "{report:#?}");
        nobody_is_left(world)
    })
}

/// Where the lock is the whole tree's, it is lost by whoever is left.
fn a_lock_of_the_tree_can_be_lost_by_what_is_left(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let run =
            leased(world, setting, Some(0)).options(["--hold", "tree", "--leftover-grace", "1h"]);
        let mut running = run.hostile(&["mixed-tree", "4", "leave"]).start()?;
        running.await_signatures(4)?;
        let report = ends_in_time(world, running)?;
        ensure!(!report.stopped_before_end, "{report:#?}");
        ensure!(report.end == End::Exited { code: 0 }, "{report:#?}");
        Ok(())
    })
}

/// The process that renews is the front's child, and no part of the run that it takes over.
fn the_guardian_is_killed_and_the_work_ends_well(ward: &Path) -> Result {
    each_setting(ward, |world, setting| {
        let file = world.path("go on");
        let script = format!(
            "echo began; until test -e '{}'; do sleep 0.1; done; exit 6",
            text(&file)
        );
        let mut running = leased(world, setting, None).sh(&script).start()?;
        running.await_stdout("began")?;
        world.signal(running.guardian()?, Signal::KILL);
        fs::write(&file, "")?;
        let ended = running.finish()?;
        let report = ended.report()?;
        ensure!(ended.code() == 6 && report.cause.is_none(), "{ended:#?}");
        ensure!(
            report.guardian_lost && report.killed.count == 0,
            "{report:#?}"
        );
        nobody_is_left(world)
    })
}

fn a_warning_is_said_once(ward: &Path) -> Result {
    each_rung(ward, |world, setting| {
        let options = ["--warn-after", "0.2s", "--timeout", "1h"];
        let run = leased(world, setting, None).options(options);
        let ended = run.sh("sleep 1").finish()?;
        ensure!(
            ended.wards_words()
                == "ward: `/bin/sh` has held the lock for 0.2s; it will be stopped after 1h\n",
            "{ended:#?}"
        );
        let run = world.ward().setting(setting).options(options);
        let running = run.sh("sleep 1").start()?;
        says(
            &running,
            "`/bin/sh` has run for 0.2s; it will be stopped after 1h",
        )?;
        world.signal(running.guardian()?, Signal::KILL);
        let ended = running.finish()?;
        ensure!(ended.wards_words().lines().count() == 1, "{ended:#?}");
        nobody_is_left(world)
    })
}
