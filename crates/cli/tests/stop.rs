//! Being asked to stop: everybody is told once, clean-up runs to its last byte, and whoever
//! asks twice does not wait.

#![forbid(unsafe_code)]

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::life::{CauseKind, End};
use ward_testkit::patience::wait_until;
use ward_testkit::processes;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::truth::pids;
use ward_testkit::world;
use ward_testkit::world::{Who, World, is_root, settings};

type Result = anyhow::Result<()>;

const STOPPED: u8 = 123;

/// Longer than any test waits, so that whoever ends did not end by this.
const FOREVER: [&str; 4] = ["--grace", "1h", "--leftover-grace", "1h"];

const REQUESTS: [(Signal, &str); 4] = [
    (Signal::TERM, "TERM"),
    (Signal::INT, "INT"),
    (Signal::HUP, "HUP"),
    (Signal::QUIT, "QUIT"),
];

fn heard(world: &World, name: &str) -> String {
    fs::read_to_string(world.path(name)).unwrap_or_default()
}

#[test]
fn the_signal_received_is_the_signal_sent() -> Result {
    for setting in settings() {
        for (signal, name) in REQUESTS {
            let world = world!()?;
            let record = text(world.path("signals"));
            let run = world.ward().setting(setting).options(FOREVER);
            let mut running = run.hostile(&["count-signals", &record, "0.1"]).start()?;
            running.await_signatures(1)?;
            running.signal(signal)?;
            let report = running.finish()?.judge(STOPPED)?;
            assert_eq!(heard(&world, "signals"), format!("{name}\n"), "{setting:?}");
            assert_eq!(report.end, End::Exited { code: 0 });
            let [stop] = report.stops.as_slice() else {
                anyhow::bail!("{:?}", report.stops);
            };
            assert_eq!(stop.cause, CauseKind::Requested);
            assert_eq!(
                stop.signal.map(|signal| signal.short_name()).as_deref(),
                Some(name)
            );
            let sender = stop.sender.as_ref().context("nobody sent it")?;
            assert_eq!(sender.pid, std::process::id().cast_signed());
            assert_eq!(sender.uid, rustix::process::getuid().as_raw());
        }
    }
    Ok(())
}

#[test]
fn another_signal_can_be_chosen() -> Result {
    let world = world!()?;
    let record = text(world.path("signals"));
    let run = world
        .ward()
        .options(FOREVER)
        .options(["--signal", "SIGINT"]);
    let mut running = run.hostile(&["count-signals", &record, "0.1"]).start()?;
    running.await_signatures(1)?;
    running.signal(Signal::TERM)?;
    running.finish()?.judge(STOPPED)?;
    assert_eq!(heard(&world, "signals"), "INT\n");
    Ok(())
}

/// Twenty processes, most of them in sessions of their own, each told exactly once.
#[test]
fn everybody_is_told_once() -> Result {
    for setting in settings() {
        let world = world!()?;
        let one = world.hostile_text(&["count-signals", &text(world.path("signals-$i")), "0.3"]);
        let script = format!(
            "for i in 1 2 3 4 5 6 7 8 9 10; do {one} & done
             for i in 11 12 13 14 15 16 17 18 19; do (setsid {one} &) ; done
             i=20; exec {one}"
        );
        let mut running = world
            .ward()
            .setting(setting)
            .options(FOREVER)
            .sh(&script)
            .start()?;
        running.await_signatures(20)?;
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(STOPPED)?;
        for i in 1..=20 {
            assert_eq!(
                heard(&world, &format!("signals-{i}")),
                "TERM\n",
                "{setting:?}, number {i}"
            );
        }
        assert_eq!(
            (report.told.count, report.cleaned_up.count),
            (20, 20),
            "{setting:?}"
        );
    }
    Ok(())
}

/// The outer run tells the inner command; the inner ward, told as well, must not do it again.
#[test]
fn a_run_within_a_run_is_told_once() -> Result {
    for setting in settings() {
        for depth in [1, 2] {
            let world = world!()?;
            let (record, inner_report) = (text(world.path("signals")), world.path("inner.json"));
            let mut command = Vec::new();
            for level in 0..depth {
                let report = if level == depth - 1 {
                    text(&inner_report)
                } else {
                    text(world.path("middle.json"))
                };
                command.extend([text(world.ward_program()), "run".to_owned()]);
                command.extend(FOREVER.map(str::to_owned));
                command.extend(["--report".to_owned(), report, "--".to_owned()]);
            }
            command.extend(world.hostile(&["count-signals", &record, "0.5"]));
            let mut running = world
                .ward()
                .setting(setting)
                .options(FOREVER)
                .command(command)
                .start()?;
            running.await_signatures(1)?;
            running.signal(Signal::TERM)?;
            let report = running.finish()?.judge(STOPPED)?;
            assert_eq!(
                heard(&world, "signals"),
                "TERM\n",
                "{setting:?}, depth {depth}"
            );
            let inner = ward_testkit::run::await_report(&inner_report)?;
            assert_eq!(inner.exit_status, STOPPED, "{setting:?}, depth {depth}");
            assert_eq!(inner.cause, Some(CauseKind::Requested));
            let prefix = format!("{}/", report.run_id);
            assert!(
                inner.run_id.starts_with(&prefix),
                "{} in {}",
                inner.run_id,
                report.run_id
            );
        }
    }
    Ok(())
}

#[test]
fn a_clean_up_runs_to_its_last_byte() -> Result {
    for setting in settings() {
        let world = world!()?;
        let file = world.path("cleaned");
        let run = world.ward().setting(setting).options(FOREVER);
        let mut running = run
            .hostile_leaving(5, &["cleanup", "0.5", &text(&file)])
            .start()?;
        running.await_signatures(1)?;
        running.signal(Signal::TERM)?;
        let ended = running.finish()?;
        let report = ended.judge(STOPPED)?;
        let out = ended.out();
        assert!(
            out.starts_with("READY\nSTART\ncleaning 1\n") && out.ends_with("\nEND\n"),
            "{out}"
        );
        assert!(!out.contains("TOLD AGAIN"), "{out}");
        assert!(file.exists());
        assert_eq!(
            (report.end, report.forced),
            (End::Exited { code: 5 }, false)
        );
        let took = report.cleaned_up.processes[0]
            .ended_after
            .context("how long it took")?;
        assert!(took >= 0.499, "{took}");
    }
    Ok(())
}

/// What a clean-up starts is part of the clean-up, and is left in peace until the grace ends.
#[test]
fn helpers_of_a_clean_up_are_not_told() -> Result {
    for setting in settings() {
        let world = world!()?;
        let record = text(world.path("signals"));
        let helper = world.hostile_text(&["count-signals", &record, "1"]);
        let script = format!(
            "trap 'echo START; (setsid {helper} &); sleep 0.5; sh -c \"sleep 0.3; echo END\"; exit 0' TERM
             echo READY; while :; do sleep 0.05; done"
        );
        let mut running = world
            .ward()
            .setting(setting)
            .options(["--grace", "4s"])
            .sh(&script)
            .start()?;
        running.await_stdout("READY")?;
        running.signal(Signal::TERM)?;
        let ended = running.finish()?;
        let report = ended.judge(STOPPED)?;
        assert!(
            ended.out().ends_with("START\nEND\n"),
            "{setting:?}: {}",
            ended.out()
        );
        assert_eq!(heard(&world, "signals"), "", "{setting:?}");
        assert_eq!(report.killed.count, 1, "{setting:?}");
    }
    Ok(())
}

#[test]
fn whoever_asks_twice_does_not_wait() -> Result {
    for setting in settings() {
        // Another signal that follows at once, as some callers send them, is the same request.
        for (second, when) in [(Signal::TERM, "cleaning 60"), (Signal::INT, "cleaning 60")] {
            let world = world!()?;
            let run = world.ward().setting(setting).options(FOREVER);
            let mut running = run
                .hostile(&["cleanup", "100", &text(world.path("cleaned"))])
                .start()?;
            running.await_signatures(1)?;
            running.signal(Signal::TERM)?;
            running.await_stdout(when)?;
            running.signal(second)?;
            let report = running.finish()?.judge(STOPPED)?;
            assert!(report.hurried && report.forced, "{setting:?}: {report:#?}");
            assert_eq!(report.stops.len(), 2);
        }
    }
    Ok(())
}

/// Who signals a process and then its group asks once, though ward hears it twice.
#[test]
fn an_echo_is_no_second_request() -> Result {
    for setting in settings() {
        let world = world!()?;
        let run = world.ward().setting(setting).options(FOREVER);
        let mut running = run
            .hostile(&["cleanup", "0.3", &text(world.path("cleaned"))])
            .start()?;
        running.await_signatures(1)?;
        running.signal(Signal::TERM)?;
        running.await_stdout("START")?;
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(STOPPED)?;
        assert!(
            !report.hurried && !report.forced,
            "{setting:?}: {report:#?}"
        );
        assert!(world.path("cleaned").exists());
    }
    Ok(())
}

/// A request that comes while left-overs are being waited for leaves the leader's status.
#[test]
fn a_request_after_the_leader_has_ended() -> Result {
    for setting in settings() {
        let world = world!()?;
        let mut running = world
            .ward()
            .setting(setting)
            .options(FOREVER)
            .hostile_leaving(7, &["daemonize"])
            .start()?;
        let daemon = running.await_signatures(1)?[0];
        wait_until("the leader to end", || {
            !processes::marked(world.mark())
                .iter()
                .any(|seen| seen.pid != daemon && !seen.is_wards_own())
        })?;
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(7)?;
        assert_eq!(report.cause, Some(CauseKind::Requested), "{setting:?}");
        assert!(!report.stopped_before_end);
        assert_eq!(pids(&report.left_over), [daemon].into());
    }
    Ok(())
}

/// A trap that ends with `exit 0` is not a success.
#[test]
fn a_stop_is_not_a_success_whatever_the_command_says() -> Result {
    let world = world!()?;
    let script = "trap 'exit 0' TERM; echo READY; while :; do sleep 0.02; done";
    let mut running = world.ward().sh(script).start()?;
    running.await_stdout("READY")?;
    running.signal(Signal::TERM)?;
    let report = running.finish()?.judge(STOPPED)?;
    assert_eq!(report.end, End::Exited { code: 0 });
    Ok(())
}

/// Signals that mean something to the command only are passed on to it, and to it alone.
#[test]
fn other_signals_are_the_commands_own_affair() -> Result {
    for setting in settings() {
        let world = world!()?;
        let script = "trap 'echo USR1' USR1; trap 'echo USR2; exit 8' USR2; echo READY; while :; do sleep 0.02; done";
        let mut running = world.ward().setting(setting).sh(script).start()?;
        running.await_stdout("READY")?;
        running.signal(Signal::USR1)?;
        running.await_stdout("USR1\n")?;
        running.signal(Signal::USR2)?;
        let report = running.finish()?.judge(8)?;
        assert!(report.stops.is_empty());
    }
    Ok(())
}

/// A request at any moment, from the very first: never a survivor, and never a run that
/// goes on.
#[test]
fn a_request_at_any_moment() -> Result {
    for setting in settings() {
        for round in 0_u32..25 {
            let world = world!()?;
            let mut running = world
                .ward()
                .setting(setting)
                .hostile(&["mixed-tree", "6"])
                .options(["--grace", "2s"])
                .start()?;
            let started = Instant::now();
            let moment = std::time::Duration::from_micros(u64::from(round) * 900);
            wait_until("the moment", || started.elapsed() >= moment)?;
            running.signal(Signal::TERM)?;
            let pid = running.front();
            let over = wait_until("ward to end", || running.is_over());
            over.with_context(|| {
                format!("{setting:?}, after {moment:?}: {:?}", processes::look(pid))
            })?;
            let ended = running.finish()?;
            let wrong = ended.left_behind();
            ensure!(wrong.is_empty(), "{setting:?}, after {moment:?}: {wrong:?}");
            // Before ward has its handlers it dies as any program does, and has started nothing.
            let before = ended.code() == 128 + 15 && ended.raw.is_none();
            ensure!(
                before || ended.code() == i32::from(STOPPED),
                "{setting:?}, after {moment:?}: {ended:#?}"
            );
        }
    }
    Ok(())
}

/// A request that comes while the command ends by itself: one report, whole, and an exit
/// status that follows from it, whichever came first.
#[test]
fn a_request_at_the_very_end() -> Result {
    for setting in settings() {
        for round in 0_u32..30 {
            let world = world!()?;
            let (input, hold) = std::io::pipe()?;
            let run = world.ward().setting(setting).stdin(input);
            let mut running = run.sh("echo READY; read -r nothing; exit 4").start()?;
            running.await_stdout("READY")?;
            drop(hold);
            let started = Instant::now();
            let moment = std::time::Duration::from_micros(u64::from(round) * 50);
            while started.elapsed() < moment {
                std::thread::yield_now();
            }
            running.signal(Signal::TERM)?;
            let ended = running.finish()?;
            let code = u8::try_from(ended.code())?;
            ensure!(
                [4, STOPPED].contains(&code),
                "{setting:?}, after {moment:?}: {ended:#?}"
            );
            ended
                .judge(code)
                .with_context(|| format!("{setting:?}, after {moment:?}"))?;
            let said = ended.wards_words();
            ensure!(
                !said.contains("cannot"),
                "{setting:?}, after {moment:?}: {said}"
            );
        }
    }
    Ok(())
}

/// `nohup ward run …`: what the caller ignores, ward ignores, and so does the command.
#[test]
fn a_hang_up_that_is_ignored() -> Result {
    let world = world!()?;
    let run = world
        .ward()
        .started_by(["/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]);
    let mut running = run
        .sh("echo READY; while ! [ -e stop ]; do sleep 0.02; done; exit 4")
        .start()?;
    running.await_stdout("READY")?;
    running.signal(Signal::HUP)?;
    fs::write(world.path("stop"), "")?;
    running.finish()?.judge(4)?;
    Ok(())
}

/// A stop reaches a command that has stopped itself, and its time to clean up is its own.
#[test]
fn who_is_stopped_is_woken_to_clean_up() -> Result {
    for setting in settings() {
        let world = world!()?;
        let script = "trap 'echo CLEAN; exit 0' TERM; echo READY; kill -STOP $$; while :; do sleep 0.02; done";
        let mut running = world
            .ward()
            .setting(setting)
            .options(["--grace", "20s"])
            .sh(script)
            .start()?;
        running.await_stdout("READY")?;
        wait_until("it to be stopped", || {
            processes::marked(world.mark())
                .iter()
                .any(|seen| seen.state == 'T')
        })?;
        running.signal(Signal::TERM)?;
        let ended = running.finish()?;
        let report = ended.judge(STOPPED)?;
        assert_eq!(
            (ended.out().as_str(), report.forced),
            ("READY\nCLEAN\n", false),
            "{setting:?}"
        );
    }
    Ok(())
}

/// A caller may group what it starts and signal the whole group, as `timeout` and shells do:
/// then the command's processes are told once all the same, not by the group and by ward.
#[test]
fn a_signal_to_the_whole_group_is_told_once() -> Result {
    if in_path("timeout").is_none() {
        skipped("timeout(1)", "not installed");
        return Ok(());
    }
    for setting in settings() {
        let world = world!()?;
        let record = text(world.path("signals"));
        let run = world
            .ward()
            .setting(setting)
            .options(FOREVER)
            .started_by(["timeout", "0.5"]);
        let ended = run.hostile(&["count-signals", &record, "0.3"]).finish()?;
        // timeout(1) says 124 for itself.
        ensure!(ended.code() == 124, "{setting:?}: {ended:#?}");
        assert_eq!(heard(&world, "signals"), "TERM\n", "{setting:?}");
        assert!(ended.survivors.is_empty(), "{:?}", ended.survivors);
    }
    Ok(())
}

/// The user who started ward may stop it, and his processes are told by name who did.
#[test]
fn the_sender_is_named() -> Result {
    if !is_root() {
        skipped("another sender", "not root");
        return Ok(());
    }
    let world = world!()?;
    let mut running = world
        .ward()
        .who(Who::Ordinary)
        .hostile(&["linger"])
        .start()?;
    running.await_signatures(1)?;
    let kill = format!("kill -TERM {}; sleep 0.5", running.front());
    let mut killer = world.command_as(Who::Ordinary, "/bin/sh");
    let mut killer = killer.args(["-c", &kill, world.mark()]).spawn()?;
    let mut ended = running.finish()?;
    killer.wait()?;
    ended.survivors.clear();
    let report = ended.judge(STOPPED)?;
    let sender = report.stops[0].sender.clone().context("nobody")?;
    assert_eq!(
        (sender.pid, sender.uid),
        (killer.id().cast_signed(), world.ordinary())
    );
    assert!(
        sender
            .command
            .clone()
            .is_some_and(|command| command.contains("kill -TERM")),
        "{sender:?}"
    );
    assert!(
        ended.wards_words().contains(&killer.id().to_string()),
        "{}",
        ended.err()
    );
    Ok(())
}

/// A signal to the guardian is a request too, or nothing; in no case the end of the guard.
#[test]
fn a_request_to_the_guardian_loses_nobody() -> Result {
    for setting in settings() {
        let world = world!()?;
        let mut running = world
            .ward()
            .setting(setting)
            .options(["--grace", "500ms"])
            .hostile(&["mixed-tree", "10"])
            .start()?;
        running.await_signatures(10)?;
        let guardian = running.guardian()?;
        processes::signal_marked(guardian, world.mark(), Signal::TERM);
        processes::signal_marked(guardian, world.mark(), Signal::HUP);
        running.signal(Signal::TERM)?;
        running.finish()?.judge(STOPPED)?;
    }
    Ok(())
}
