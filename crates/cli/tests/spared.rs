//! Who was detached on purpose is spared: he goes on, can go on writing, and holds nobody up;
//! and nobody is spared who did not ask for it.

#![forbid(unsafe_code)]

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::rung::Rung;
use ward_testkit::hostile::noise::beats;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes;
use ward_testkit::run::{Ended, text};
use ward_testkit::truth::pids;
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, settings};

type Result = anyhow::Result<()>;

/// Name and value.
type Variable = (&'static str, &'static str);

/// A caller that reads to the end of file, as `$(…)` does, is not held by a left-over that
/// holds the pipe, nor by a process that was spared.
#[test]
fn a_caller_that_reads_to_the_end_is_not_held() -> Result {
    let world = world!()?;
    let file = world.path("beats");
    let moods = [
        world.hostile_text(&["hold-pipe"]),
        world.hostile_text(&["spared-writer", &text(&file)]),
    ];
    for command in moods {
        let ward = text(world.ward_program());
        let text = format!(
            "x=$({ward} run --leftover-grace 100ms -- {command} 2>/dev/null); echo done $?"
        );
        let output = world
            .command_as(Who::Myself, "/bin/sh")
            .args(["-c", &text, world.mark()])
            .output()?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "done 0\n");
    }
    Ok(())
}

/// Who was detached on purpose goes on, and can go on writing: the guardian stays to read,
/// for as long as the pipe is held.
#[test]
fn a_spared_writer_goes_on() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("beats");
        let mut ended = world
            .ward()
            .setting(setting)
            .hostile_leaving(9, &["spared-writer", &text(&file)])
            .finish()?;
        // finish() has seen the end of both pipes by now.
        let writer = one_survivor(&ended).with_context(|| format!("{setting:?}"))?;
        ensure!(ended.wards.len() <= 1, "{:?}", ended.wards);
        ended.survivors.clear();
        ended.wards.clear();
        let report = ended.judge(9)?;
        assert_eq!(pids(&report.spared), [writer].into(), "{report:#?}");
        let why = report.spared.processes[0]
            .why
            .as_deref()
            .context("no reason")?;
        assert!(why.contains("BUILD_ID"), "{why}");
        assert_eq!(report.spared.processes[0].holds, ["stdout", "stderr"]);
        assert_eq!(
            (report.cause, report.left_over.count, report.told.count),
            (None, 0, 0)
        );

        // More than the largest pipe holds.
        let first = beats(&file)?;
        wait_for("the writer to go on", || match beats(&file) {
            Ok(beat) => (beat > first + 1200).then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })?
        .with_context(|| format!("{setting:?}"))?;
        assert!(!world.wards().is_empty(), "nobody drains");

        processes::signal_marked(writer, world.mark(), Signal::KILL);
        wait_until("who drained to end", || world.wards().is_empty())?;
    }
    Ok(())
}

fn one_survivor(ended: &Ended) -> anyhow::Result<i32> {
    match ended.survivors.as_slice() {
        [writer] => Ok(writer.pid),
        others => anyhow::bail!(
            "{others:#?}; ward said {}; report {:#?}",
            ended.err(),
            ended.raw
        ),
    }
}

#[test]
fn nobody_is_spared_if_nobody_may_be() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("beats");
        let run =
            world
                .ward()
                .setting(setting)
                .options(["--no-spare", "--leftover-grace", "100ms"]);
        let report = run
            .hostile_leaving(9, &["spared-writer", &text(&file)])
            .finish()?
            .judge(9)?;
        assert_eq!(
            (report.spared.count, report.left_over.count),
            (0, 1),
            "{setting:?}"
        );
    }
    Ok(())
}

/// Which changed variable means what: given to ward, seen in the process, spared or not.
#[test]
fn who_asks_to_be_spared() -> Result {
    let rows: &[(&[Variable], &str, Option<&str>)] = &[
        (&[], "BUILD_ID=dontKillMe", Some("BUILD_ID")),
        (&[], "BUILD_ID=17", None),
        (&[("BUILD_ID", "17")], "BUILD_ID=18", Some("BUILD_ID")),
        (&[("BUILD_ID", "17")], "BUILD_ID=17", None),
        (&[("BUILD_ID", "17")], "-u BUILD_ID", None),
        (
            &[("JENKINS_NODE_COOKIE", "c0ffee")],
            "JENKINS_NODE_COOKIE=dontKillMe",
            Some("JENKINS_NODE_COOKIE"),
        ),
        (
            &[("RUNNER_TRACKING_ID", "github_1")],
            "RUNNER_TRACKING_ID=0",
            Some("RUNNER_TRACKING_ID"),
        ),
        (&[], "WARD_RUN_ID=", Some("WARD_RUN_ID")),
        (&[], "-u WARD_RUN_ID", None),
        (&[("BUILD_ID", "17")], "-i", None),
    ];
    for setting in [Rung::Guardian, Rung::Cgroup].map(|rung| Setting {
        who: Who::Myself,
        rung,
    }) {
        if !ward_testkit::world::can_have(setting) {
            continue;
        }
        let mut wrong = Vec::new();
        for (given, changed, spared) in rows {
            let world = world!()?;
            let text = format!(
                "env {changed} {} & while ! [ -s {} ]; do sleep 0.01; done; exit 9",
                world.hostile_text(&["linger"]),
                text(world.roll()),
            );
            let mut run = world
                .ward()
                .setting(setting)
                .options(["--leftover-grace", "0"]);
            for (name, value) in *given {
                run = run.variable(name, value);
            }
            let mut ended = run.sh(&text).finish()?;
            let alive: Vec<i32> = ended.survivors.drain(..).map(|seen| seen.pid).collect();
            ended.wards.clear();
            let report = ended.judge(9)?;
            let why = report
                .spared
                .processes
                .first()
                .and_then(|process| process.why.as_deref());
            let right = match (why, spared) {
                (Some(why), Some(name)) => why.contains(name),
                (why, name) => why.is_none() && name.is_none(),
            };
            if !right || alive.len() != usize::from(spared.is_some()) {
                wrong.push(format!(
                    "{given:?} {changed}: {why:?}, not {spared:?}; alive {alive:?}"
                ));
            }
        }
        ensure!(wrong.is_empty(), "{setting:?}\n{}", wrong.join("\n"));
    }
    Ok(())
}

/// Who was spared is not told when a person asks for the end.
#[test]
fn a_stop_spares_too() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("beats");
        let text = format!(
            "{}; exec sleep 60",
            world.hostile_text(&["spared-writer", &text(&file)])
        );
        let mut running = world.ward().setting(setting).sh(&text).start()?;
        running.await_signatures(1)?;
        wait_until("the leader to sleep", || {
            processes::marked(world.mark())
                .iter()
                .any(|seen| seen.command == "sleep 60")
        })?;
        running.signal(Signal::TERM)?;
        let mut ended = running.finish()?;
        one_survivor(&ended).with_context(|| format!("{setting:?}"))?;
        ended.survivors.clear();
        ended.wards.clear();
        let report = ended.judge(123)?;
        assert_eq!(
            (report.spared.count, report.told.count),
            (1, 1),
            "{setting:?}"
        );
        let first = beats(&file)?;
        wait_until("the writer to go on", || {
            beats(&file).is_ok_and(|beat| beat > first + 50)
        })?;
    }
    Ok(())
}
