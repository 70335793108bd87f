//! How a call ends, and what it says besides.

use anyhow::ensure;
use rustix::process::Signal;
use ward_testkit::daemons::nobody_is_left;
use ward_testkit::world;

use crate::Result;
use crate::place::{
    BUSY, FAILED, Holder, NO_COMMAND, await_file, flom, just, make, open, queue, until,
};

#[test]
fn killed_command_is_not_success() -> Result {
    let world = world!()?;
    for (script, code) in [
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("exit 0", 0),
        ("exit 42", 42),
        ("exit 255", 255),
        // Its own, though they look like ours.
        ("exit 96", 96),
        ("exit 126", 126),
        ("exit 127", 127),
    ] {
        let answer = flom(&world, &["-r", "R"]).sh(script).expect(code)?;
        ensure!(
            answer.out.is_empty() && answer.err.is_empty(),
            "{answer:#?}"
        );
        assert_eq!(queue(&world, "R")?, (0, 0), "{script}");
    }
    nobody_is_left(&world)
}

#[test]
fn what_cannot_be_executed() -> Result {
    let world = world!()?;
    let answer = flom(&world, &["-r", "R"]).expect(NO_COMMAND)?;
    assert_eq!(answer.err, "No command to execute!\n");
    std::fs::write(world.path("text"), "")?;
    for program in ["no-such-program-anywhere", "./text", "/"] {
        let answer = flom(&world, &["-r", "R"])
            .words(["--", program])
            .expect(NO_COMMAND)?;
        let line = format!("Unable to execute command '{program}'");
        ensure!(answer.err.lines().any(|it| it == line), "{answer:#?}");
    }
    let report = world.path("report").display().to_string();
    flom(&world, &["--report", &report])
        .words(["--", "no-such-program-anywhere"])
        .expect(NO_COMMAND)?;
    // The lock is free again.
    just(&world, &["-r", "R", "-o", "0"])?.expect(0)?;
    nobody_is_left(&world)
}

/// The command's output is its own.
#[test]
fn streams_are_passed_through() -> Result {
    let world = world!()?;
    let (reader, mut writer) = std::io::pipe()?;
    std::io::Write::write_all(&mut writer, b"a line\n")?;
    drop(writer);
    let answer = flom(&world, &[])
        .stdin(std::process::Stdio::from(reader))
        .words(["--", "sh", "-c", "cat; echo err >&2; pwd"])
        .expect(0)?;
    let here = std::fs::canonicalize(world.path("."))?;
    assert_eq!(answer.out, format!("a line\n{}\n", here.display()));
    assert_eq!(answer.err, "err\n");
    Ok(())
}

/// Whoever is left behind is ended without a word, unless a report is asked for.
#[test]
fn left_overs_are_not_talked_about() -> Result {
    let world = world!()?;
    let report = world.path("report").display().to_string();
    for (options, talks) in [(&[][..], false), (&["--report", report.as_str()], true)] {
        let options = [&["--leftover-grace=0"], options].concat();
        let answer = flom(&world, &options).sh("sleep 50 & exit 3").expect(3)?;
        ensure!(answer.err.contains("sleep") == talks, "{answer:#?}");
        nobody_is_left(&world)?;
    }
    Ok(())
}

#[test]
fn sigterm_reaches_command() -> Result {
    let world = world!()?;
    for (signal, trap, end, code) in [
        (Signal::TERM, "TERM", "exit 3", 3),
        // Clean-up that succeeds is no success of the work: FLoM would have died of the signal.
        (Signal::TERM, "TERM", "exit 0", 143),
        (Signal::HUP, "HUP", "exit 0", 129),
        (Signal::INT, "INT", "exit 0", 130),
    ] {
        for file in ["told", "it-inside", "it-gate"] {
            let _ = std::fs::remove_file(world.path(file));
        }
        let trap = format!("trap '{} {end}' {trap};", make(&world, "told"));
        let holder = Holder::with(&world, "it", &["-r", "R"], &trap)?;
        holder.asked.signal(signal)?;
        await_file(&world, "told")?;
        holder.asked.answer()?.expect(code)?;
        nobody_is_left(&world)?;
    }
    // Without a trap it dies of it.
    let holder = Holder::new(&world, "other", &["-r", "R"])?;
    holder.asked.signal(Signal::TERM)?;
    holder.asked.answer()?.expect(143)?;
    nobody_is_left(&world)
}

/// They are ours, and so is their status.
#[test]
fn limits() -> Result {
    let world = world!()?;
    for (option, script) in [
        ("--timeout=50ms", "sleep 50"),
        (
            "--timeout=50ms",
            "trap 'exit 0' TERM; while :; do sleep 0.02; done",
        ),
        ("--idle-timeout=50ms", "sleep 50"),
    ] {
        flom(&world, &[option]).sh(script).expect(124)?;
        nobody_is_left(&world)?;
    }
    Ok(())
}

/// By default a lock is for the command, as in FLoM; it can be for all that it leaves behind.
#[test]
fn background_child_keeps_lock() -> Result {
    let world = world!()?;
    let script = format!(
        "({} {}) </dev/null >/dev/null 2>&1 & {}",
        make(&world, "background"),
        until(&world, "gate"),
        until(&world, "background")
    );
    for (hold, code) in [("command", 0), ("tree", BUSY)] {
        let options = ["-r", "R", "--leftover-grace=50s", "--hold", hold];
        let first = flom(&world, &options).sh(&script).start()?;
        await_file(&world, "background")?;
        if hold == "command" {
            // As soon as the command has ended.
            just(&world, &["-r", "R", "-o", crate::place::LONG])?.expect(code)?;
        } else {
            let leader = crate::kills::work_of(&world, "R")?;
            ward_testkit::patience::wait_until("the command to end", || !leader.is_alive())?;
            just(&world, &["-r", "R", "-o", "0"])?.expect(code)?;
        }
        open(&world, "gate")?;
        first.answer()?.expect(0)?;
        for file in ["gate", "background"] {
            std::fs::remove_file(world.path(file))?;
        }
        nobody_is_left(&world)?;
    }
    just(&world, &["--hold", "for ever"])?.expect(FAILED)?;
    Ok(())
}
