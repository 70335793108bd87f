//! The report says what happened, and the exit status follows from it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_model::life::{CauseKind, End};
use ward_model::report::{FORMAT, MAX_LISTED};
use ward_model::rung::Rung;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::skipped;
use ward_testkit::run::{Ended, text};
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, can_have, is_root, settings};

type Result = anyhow::Result<()>;

#[test]
fn every_exit_status_passes_through() -> Result {
    let world = world!()?;
    for code in [
        0, 1, 2, 5, 63, 122, 123, 124, 125, 126, 127, 128, 130, 137, 143, 254, 255,
    ] {
        let report = world
            .ward()
            .sh(&format!("exit {code}"))
            .finish()?
            .judge(code)?;
        assert_eq!(report.end, End::Exited { code });
        assert_eq!(report.cause, None);
    }
    Ok(())
}

#[test]
fn every_signal_passes_through() -> Result {
    let world = world!()?;
    for number in [1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 34, 64] {
        // No core file: it would have to go somewhere.
        let script = format!("ulimit -c 0; kill -{number} $$; sleep 60");
        let report = world.ward().sh(&script).finish()?.judge(128 + number)?;
        let End::Signaled {
            signal,
            core_dumped,
        } = report.end
        else {
            anyhow::bail!("{number}: {:?}", report.end);
        };
        assert_eq!((signal.number(), core_dumped), (i32::from(number), false));
        assert_eq!(report.cause, None);
    }
    Ok(())
}

#[test]
fn a_command_that_cannot_be_started() -> Result {
    let world = world!()?;
    let directory = world.path(".");
    let plain = world.path("plain");
    fs::write(&plain, "#!/bin/sh\n")?;
    let lost_interpreter = world.path("lost");
    fs::write(&lost_interpreter, "#!/no/such/interpreter\n")?;
    fs::set_permissions(
        &lost_interpreter,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let rows = [
        ("no-such-command-anywhere", 127, 2),
        ("/no/such/command", 127, 2),
        (&*text(&lost_interpreter), 127, 2),
        (&*text(plain.join("below")), 127, 20),
        (&*text(&directory), 126, 13),
        (&*text(&plain), 126, 13),
        ("", 127, 2),
    ];
    let mut wrong = Vec::new();
    for (command, code, errno) in rows {
        let ended = world.ward().command([command]).finish()?;
        let report = match ended.judge(code) {
            Ok(report) => report,
            Err(error) => {
                wrong.push(format!("{command:?}: {error:#}"));
                continue;
            }
        };
        if report.end != (End::NotStarted { errno, exec: true }) {
            wrong.push(format!("{command:?}: {:?}", report.end));
        }
        let failure = report.failure.context("no failure")?;
        if failure.errno != errno || failure.step.is_empty() || failure.message.is_empty() {
            wrong.push(format!("{command:?}: {failure:?}"));
        }
        if !ended.wards_words().contains(command) || ended.wards_words().lines().count() > 3 {
            wrong.push(format!("{command:?}: ward said {:?}", ended.err()));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// As env(1), xargs(1) and every shell do it.
#[test]
fn a_file_without_an_interpreter_is_a_shell_script() -> Result {
    let world = world!()?;
    let path = world.path("script");
    fs::write(&path, "echo \"$1\"; exit 5\n")?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let ended = world
        .ward()
        .command([text(&path), "an argument".to_owned()])
        .finish()?;
    ended.judge(5)?;
    assert_eq!(ended.out(), "an argument\n");
    Ok(())
}

#[test]
fn bytes_are_counted() -> Result {
    for setting in settings() {
        let world = world!()?;
        let ended = world
            .ward()
            .setting(setting)
            .options(["--quiet"])
            .hostile(&["random-bytes", "1", "123457", "65537"])
            .finish()?;
        let output = ended.judge(0)?.output;
        assert_eq!(
            (output.stdout_bytes, output.stderr_bytes),
            (123_457, 65_537),
            "{setting:?}"
        );
        assert_eq!(
            (ended.stdout.len(), ended.stderr.len()),
            (123_457, 65_537),
            "{setting:?}"
        );
    }
    Ok(())
}

#[test]
fn costs_are_counted() -> Result {
    for setting in settings() {
        let world = world!()?;
        // A second of work in a grandchild that nobody of the run waits for.
        let script = "(python3 -c 'b = bytearray(60_000_000)\nfor i in range(6_000_000): pass' &) ; wait; sleep 0.2";
        let run = world
            .ward()
            .setting(setting)
            .options(["--leftover-grace", "30s"])
            .sh(script);
        let usage = run.finish()?.judge(0)?.usage;
        assert!(usage.cpu_user > 0.05, "{setting:?}: {usage:?}");
        assert!(usage.cpu_system >= 0.0, "{setting:?}: {usage:?}");
        assert!(
            usage.largest_process_bytes > 60_000_000,
            "{setting:?}: {usage:?}"
        );
        assert!(
            usage.largest_process_bytes < 2_000_000_000,
            "{setting:?}: {usage:?}"
        );
        // The kernel may be late with a cgroup's account.
        let from_cgroup = usage.cpu_source == "cgroup" && setting.rung == Rung::Cgroup;
        assert!(
            from_cgroup || usage.cpu_source == "reaped",
            "{setting:?}: {usage:?}"
        );
    }
    Ok(())
}

#[test]
fn the_identity_is_the_one_that_the_command_sees() -> Result {
    let world = world!()?;
    let ended = world.ward().sh("printf %s \"$WARD_RUN_ID\"").finish()?;
    assert_eq!(ended.judge(0)?.run_id, ended.out());
    let other = world.ward().sh("printf %s \"$WARD_RUN_ID\"").finish()?;
    assert_ne!(ended.out(), other.out());
    Ok(())
}

#[test]
fn the_command_is_recorded_as_it_was() -> Result {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let world = world!()?;
    let words: Vec<OsString> = vec![
        "printf".into(),
        "%s|".into(),
        "two words".into(),
        "".into(),
        "--timeout".into(),
        OsString::from_vec(vec![b'x', 0xff, b'y']),
    ];
    let ended = world.ward().command(words).finish()?;
    let report = ended.judge(0)?;
    assert_eq!(ended.stdout, b"two words||--timeout|x\xffy|");
    assert_eq!(
        report.command,
        ["printf", "%s|", "two words", "", "--timeout", "x\u{fffd}y"]
    );
    Ok(())
}

/// Whoever reads the file while ward runs sees the old report or the new one, never a part.
#[test]
fn the_report_is_replaced_as_a_whole() -> Result {
    let world = world!()?;
    let path = world.path("again.json");
    fs::write(&path, "what was there")?;
    let before = fs::metadata(&path)?.ino();
    let run = world
        .ward()
        .without_report()
        .options(["--report", &text(&path)]);
    let mut running = run
        .sh("echo READY; while ! [ -e go ]; do sleep 0.02; done")
        .start()?;
    running.await_stdout("READY")?;
    assert_eq!(fs::read_to_string(&path)?, "what was there");
    fs::write(world.path("go"), "")?;
    assert_eq!(running.finish()?.code(), 0);
    let report: Value = serde_json::from_slice(&fs::read(&path)?)?;
    assert_eq!(report["format"], FORMAT);
    assert_ne!(fs::metadata(&path)?.ino(), before);
    let left: Vec<_> = fs::read_dir(world.path("."))?
        .flatten()
        .map(|entry| text(entry.file_name()))
        .filter(|name| name.contains("again.json") && name != "again.json")
        .collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

/// A relative path is relative to where ward was started, not to where the command runs.
#[test]
fn the_report_is_where_the_caller_expects_it() -> Result {
    let world = world!()?;
    fs::create_dir(world.path("elsewhere"))?;
    let run = world
        .ward()
        .without_report()
        .options(["--report", "here.json", "--log", "here.log"]);
    let ended = run
        .options(["--chdir", "elsewhere"])
        .sh("pwd; exit 3")
        .finish()?;
    assert_eq!(ended.code(), 3, "{}", ended.err());
    assert!(world.path("here.json").exists() && world.path("here.log").exists());
    assert!(ended.out().ends_with("/elsewhere\n"), "{}", ended.out());
    Ok(())
}

/// The report of a run that the command's user may not write to is ward's, and is written.
#[test]
fn the_report_is_written_by_who_started_ward() -> Result {
    if !is_root() {
        skipped("another user's report", "not root");
        return Ok(());
    }
    let world = world!()?;
    let private = world.path("private");
    fs::create_dir(&private)?;
    let path = private.join("report.json");
    let run = world
        .ward()
        .without_report()
        .options(["--report", &text(&path), "--user", "nobody"]);
    assert_eq!(run.sh("exit 3").finish()?.code(), 3);
    let metadata = fs::metadata(&path)?;
    assert_eq!(metadata.uid(), 0);
    Ok(())
}

#[test]
fn who_was_left_over_is_described() -> Result {
    for setting in settings() {
        let world = world!()?;
        let script = format!(
            "{} >/dev/null & while ! [ -s {} ]; do sleep 0.01; done; sleep 0.3; exit 9",
            world.hostile_text(&["linger"]),
            text(world.roll()),
        );
        let ended = world
            .ward()
            .setting(setting)
            .options(["--leftover-grace", "100ms"])
            .sh(&script)
            .finish()?;
        let report = ended.judge(9)?;
        let [process] = report.left_over.processes.as_slice() else {
            anyhow::bail!("{:?}", report.left_over);
        };
        assert_eq!([process.pid].as_slice(), world.signed(), "{setting:?}");
        assert_eq!(process.command, world.hostile_text(&["linger"]));
        let user = match setting.who {
            Who::Myself => rustix::process::getuid().as_raw(),
            Who::Ordinary | Who::Delegated => world.ordinary(),
        };
        assert_eq!(process.uid, Some(user));
        assert!((0.3..100.0).contains(&process.age), "{}", process.age);
        assert_eq!(process.holds, ["stderr"], "{setting:?}");
        assert!(process.ppid > 1);
        assert!(ended.wards_words().contains("hostile"), "{}", ended.err());
    }
    Ok(())
}

#[test]
fn long_lists_are_cut_and_counted() -> Result {
    let world = world!()?;
    let run = world.ward().options(["--leftover-grace", "0"]);
    let many = MAX_LISTED + 100;
    let ended = run
        .hostile_leaving(9, &["sleepers", &many.to_string()])
        .finish()?;
    let report = ended.judge(9)?;
    for listed in [&report.left_over, &report.told, &report.cleaned_up] {
        assert_eq!(
            (listed.count, listed.processes.len()),
            (many as u64, MAX_LISTED)
        );
    }
    // What people read is not a line for each.
    let lines = ended.wards_words().lines().count();
    assert!(lines < 20, "{lines} lines");
    Ok(())
}

#[test]
fn times_are_in_order_and_of_the_right_size() -> Result {
    let world = world!()?;
    let run = world
        .ward()
        .options(["--leftover-grace", "200ms", "--grace", "300ms"]);
    let script = format!(
        "{} & while ! [ -s {} ]; do sleep 0.01; done; sleep 0.4; exit 9",
        world.hostile_text(&["ignore-term"]),
        text(world.roll()),
    );
    let times = run.sh(&script).finish()?.judge(9)?.times;
    let at = |moment: Option<f64>| moment.context("no time");
    assert!(at(times.leader_ended)? >= 0.4, "{times:?}");
    assert!(
        at(times.stop_asked)? >= at(times.leader_ended)? + 0.2,
        "{times:?}"
    );
    assert!(
        at(times.kill_began)? >= at(times.stop_asked)? + 0.3,
        "{times:?}"
    );
    assert!(at(times.tree_empty)? >= at(times.kill_began)?, "{times:?}");
    assert!(
        times.over >= at(times.tree_empty)? && times.over < 50.0,
        "{times:?}"
    );
    assert!(times.paused == 0.0, "{times:?}");
    Ok(())
}

#[test]
fn who_cleaned_up_and_how_long_it_took() -> Result {
    for setting in settings() {
        let world = world!()?;
        let script = format!(
            "{} & {} & {} & wait",
            world.hostile_text(&["linger"]),
            world.hostile_text(&["cleanup", "0.3", &text(world.path("cleaned"))]),
            world.hostile_text(&["ignore-term"]),
        );
        let mut running = world
            .ward()
            .setting(setting)
            .options(["--grace", "900ms"])
            .sh(&script)
            .start()?;
        running.await_signatures(3)?;
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(123)?;
        assert_eq!(report.told.count, 4, "{setting:?}");
        let took = |mood: &str| {
            let hostile = world.hostile_text(&[mood]);
            let process = report
                .cleaned_up
                .processes
                .iter()
                .find(|process| process.command.starts_with(&hostile));
            process
                .and_then(|process| process.ended_after)
                .with_context(|| format!("{mood}: {report:#?}"))
        };
        assert!(took("linger")? < 0.3, "{setting:?}: {report:#?}");
        assert!(took("cleanup")? >= 0.3, "{setting:?}");
        assert_eq!(report.killed.count, 1);
        assert!(
            report.killed.processes[0].command.contains("ignore-term"),
            "{setting:?}"
        );
    }
    Ok(())
}

/// The published schema accepts what is written, whatever happened.
#[test]
fn every_report_is_as_published() -> Result {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/report.schema.json"
    );
    let Ok(schema) = fs::read(path) else {
        skipped(
            "the published schema",
            "docs/reference/report.schema.json is not there",
        );
        return Ok(());
    };
    let validator = jsonschema::validator_for(&serde_json::from_slice(&schema)?)?;
    let check = |what: &str, ended: &Ended| -> Result {
        let raw = ended
            .raw
            .as_ref()
            .with_context(|| format!("{what}: no report"))?;
        let wrong: Vec<String> = validator
            .iter_errors(raw)
            .map(|error| error.to_string())
            .collect();
        ensure!(wrong.is_empty(), "{what}: {wrong:?}\n{raw:#}");
        Ok(())
    };
    let setting = Setting {
        who: Who::Myself,
        rung: Rung::Cgroup,
    };
    let rung = if can_have(setting) {
        Rung::Cgroup
    } else {
        Rung::Guardian
    };
    let world = world!()?;
    let run = || {
        world
            .ward()
            .rung(rung)
            .options(["--grace", "200ms", "--leftover-grace", "100ms"])
    };
    check("a success", &run().command(["true"]).finish()?)?;
    check("a failure", &run().sh("exit 3").finish()?)?;
    check("a signal", &run().sh("kill -9 $$").finish()?)?;
    check("not found", &run().command(["/no/such"]).finish()?)?;
    check(
        "a limit",
        &run()
            .options(["--timeout", "100ms"])
            .hostile(&["ignore-term"])
            .finish()?,
    )?;
    check(
        "left-overs",
        &run().hostile(&["mixed-tree", "12", "leave"]).finish()?,
    )?;
    let mut running = run()
        .hostile(&["spared-writer", &text(world.path("beats"))])
        .start()?;
    wait_until("the end", || running.is_over())?;
    check("spared", &running.finish()?)
}

/// What a stop costs the exit status depends on whether it came before the end.
#[test]
fn causes_and_statuses() -> Result {
    let world = world!()?;
    let run = || {
        world
            .ward()
            .options(["--leftover-grace", "100ms", "--grace", "200ms"])
    };
    let report = run()
        .hostile_leaving(0, &["daemonize"])
        .finish()?
        .judge(0)?;
    assert_eq!(
        (report.cause, report.stopped_before_end),
        (Some(CauseKind::LeftOver), false)
    );
    let report = run()
        .options(["--timeout", "100ms"])
        .hostile(&["ignore-term"])
        .finish()?
        .judge(124)?;
    assert_eq!(
        (report.cause, report.stopped_before_end),
        (Some(CauseKind::TimeLimit), true)
    );
    let report = run()
        .options(["--idle-timeout", "100ms"])
        .hostile(&["ignore-term"])
        .finish()?
        .judge(124)?;
    assert_eq!(
        (report.cause, report.stopped_before_end),
        (Some(CauseKind::IdleLimit), true)
    );
    Ok(())
}
