//! Custody across borders: into containers and as their first process, through sudo into
//! another user, and between ward and a caller or a command that it shares little with.

#![forbid(unsafe_code)]

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::report::Report;
use ward_model::rung::Rung;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::{self, children, look};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, can_have, is_root, settings};

type Result = anyhow::Result<()>;

/// What a leader that ends by itself ends with.
const LEFT: u8 = 9;
/// What ward ends with when it was asked to stop.
const STOPPED: u8 = 123;

/// Graces that are short, but longer than it takes anybody to die who wants to.
const GRACES: [&str; 4] = ["--grace", "800ms", "--leftover-grace", "200ms"];

/// The first process of a pid namespace takes no notice of signals that it does not handle.
#[test]
fn a_container_within_the_run() -> Result {
    if !is_root() || in_path("unshare").is_none() {
        skipped("a container within the run", "needs root and unshare");
        return Ok(());
    }
    for setting in settings()
        .into_iter()
        .filter(|setting| setting.who == Who::Myself)
    {
        let world = world!()?;
        let mut command = vec![
            "unshare".to_owned(),
            "--pid".to_owned(),
            "--fork".to_owned(),
        ];
        command.extend(world.hostile(&["mixed-tree", "8"]));
        let mut running = world
            .ward()
            .setting(setting)
            .options(GRACES)
            .command(command)
            .start()?;
        running.await_signatures(8)?;
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(STOPPED)?;
        assert!(
            report.told.count >= 8 && report.forced,
            "{setting:?}: {report:#?}"
        );
    }
    Ok(())
}

/// A caller's limit on descriptors is not the end of custody.
#[test]
fn with_few_descriptors() -> Result {
    for setting in settings() {
        let world = world!()?;
        let limited = ["/bin/sh", "-c", "ulimit -n 24; exec \"$@\"", "sh"];
        let run = world
            .ward()
            .setting(setting)
            .started_by(limited)
            .options(GRACES);
        let report = run
            .hostile_leaving(LEFT, &["sleepers", "200"])
            .finish()?
            .judge(LEFT)?;
        assert_eq!(report.left_over.count, 200, "{setting:?}");
        let run = world.ward().setting(setting).started_by(limited);
        assert_eq!(run.sh("ulimit -n").finish()?.out(), "24\n", "{setting:?}");
    }
    Ok(())
}

/// The first process of a container: it reaps what others leave to it, answers to signals
/// that the kernel would not deliver to it without a handler, and ends the rest.
#[test]
fn the_first_process_of_a_container() -> Result {
    if !is_root() || in_path("unshare").is_none() || in_path("nsenter").is_none() {
        skipped("PID 1", "needs root, unshare and nsenter");
        return Ok(());
    }
    for rung in [Rung::Guardian, Rung::Cgroup] {
        if !can_have(Setting {
            who: Who::Myself,
            rung,
        }) {
            continue;
        }
        let world = world!()?;
        let run = world.ward().rung(rung).options(GRACES);
        let run = run.started_by(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]);
        let mut running = run.hostile(&["mixed-tree", "20"]).start()?;
        running.await_signatures(20)?;
        let front = wait_for("the front", || {
            children(running.front())
                .into_iter()
                .find(|child| child.name == "ward")
        })?;

        // Somebody from outside leaves an orphan: only PID 1 can reap it.
        let status = Command::new("nsenter")
            .args(["--target", &front.pid.to_string(), "--pid", "--"])
            .args([
                "/bin/sh",
                "-c",
                "sh -c 'exit 0' & exec sh -c 'exit 0'",
                world.mark(),
            ])
            .status()?;
        ensure!(status.success(), "nsenter: {status}");
        wait_until("orphans to be reaped", || {
            !children(front.pid)
                .iter()
                .any(|child| child.is_zombie() && child.ppid == front.pid)
        })?;

        processes::signal_marked(front.pid, world.mark(), Signal::TERM);
        let ended = running.finish()?;
        let report = ended.judge(STOPPED)?;
        assert_eq!(report.told.count, 20, "{rung:?}");
    }
    Ok(())
}

#[test]
fn no_zombie_is_kept() -> Result {
    let world = world!()?;
    let orphans = "for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 0' & exit 0); done";
    let mut running = world
        .ward()
        .sh(&format!("{orphans}; echo READY; exec sleep 60"))
        .start()?;
    running.await_stdout("READY")?;
    let (front, guardian) = (running.front(), running.guardian()?);
    wait_until("orphans to be reaped", || {
        [front, guardian]
            .iter()
            .all(|parent| !children(*parent).iter().any(|child| child.is_zombie()))
    })?;
    running.signal(Signal::TERM)?;
    running.finish()?.judge(STOPPED)?;
    Ok(())
}

/// Root may signal whoever sudo started, so nobody is left.
#[test]
fn who_became_somebody_else_through_sudo_is_ended() -> Result {
    if !is_root() || in_path("sudo").is_none() {
        skipped("sudo", "needs root and sudo");
        return Ok(());
    }
    for rung in [Rung::Guardian, Rung::Cgroup] {
        if !can_have(Setting {
            who: Who::Myself,
            rung,
        }) {
            continue;
        }
        let world = world!()?;
        let mut command = vec![
            "sudo".to_owned(),
            "-n".to_owned(),
            "-u".to_owned(),
            "nobody".to_owned(),
        ];
        command.extend(world.hostile(&["ignore-term"]));
        let mut running = world
            .ward()
            .rung(rung)
            .options(GRACES)
            .command(command)
            .start()?;
        running.await_signatures(1)?;
        running.signal(Signal::TERM)?;
        let report = running.finish()?.judge(STOPPED)?;
        assert!(report.killed.count >= 1, "{report:#?}");
    }
    Ok(())
}

/// An ordinary user may not signal what sudo made root. Without a cgroup ward must say so,
/// by name, and end; in a delegated cgroup the kernel kills it all the same.
///
/// The rule that lets him use sudo exists in a mount namespace of this test only.
#[test]
fn who_became_root_through_sudo_is_named() -> Result {
    let tools = ["sudo", "unshare", "mount", "setpriv"];
    if !is_root() || tools.iter().any(|tool| in_path(tool).is_none()) {
        skipped(
            "sudo as an ordinary user",
            "needs root, sudo, unshare, mount and setpriv",
        );
        return Ok(());
    }
    for setting in settings()
        .into_iter()
        .filter(|setting| setting.who != Who::Myself)
    {
        let world = world!()?;
        let user = world.ordinary();
        let (passwd, sudoers) = (world.path("passwd"), world.path("sudoers"));
        let known = fs::read_to_string("/etc/passwd")?;
        fs::write(
            &passwd,
            format!("{known}wardtest:*:{user}:{user}::/tmp:/bin/sh\n"),
        )?;
        fs::write(&sudoers, "wardtest ALL=(ALL) NOPASSWD: ALL\n")?;
        fs::set_permissions(
            &sudoers,
            std::os::unix::fs::PermissionsExt::from_mode(0o440),
        )?;

        // Root makes the namespace and enters the user's cgroup; then the user starts ward.
        let before = format!(
            "mount --bind {} /etc/passwd && mount --bind {} /etc/sudoers && \
             exec setpriv --reuid {user} --regid {user} --clear-groups \"$@\"",
            text(&passwd),
            text(&sudoers),
        );
        let report_path = world.path("report.json");
        let mut command = Command::new(world.hostile_program());
        command.arg("enter");
        if let Some(place) = world.cgroup_of(setting.who) {
            command.arg(format!("cgroup={}", place.path().display()));
        }
        command.args([
            "--",
            "unshare",
            "--mount",
            "/bin/sh",
            "-c",
            &before,
            world.mark(),
        ]);
        command
            .arg(world.ward_program())
            .args(["run", "--grace", "500ms", "--report"]);
        command
            .arg(&report_path)
            .args(["--containment", setting.rung.name(), "--"]);
        command
            .args(["sudo", "-n"])
            .args(world.hostile(&["ignore-term"]));
        world.furnish(&mut command);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let signed = world.await_signatures(1)?[0];
        let front = look(child.id().cast_signed()).context("ward has ended")?;
        ensure!(front.name == "ward", "{front:?}");
        processes::signal_marked(front.pid, world.mark(), Signal::TERM);
        let status = wait_for("ward to end", || child.try_wait().ok().flatten())?;
        ensure!(
            status.code() == Some(i32::from(STOPPED)),
            "{setting:?}: {status}"
        );

        let report: Report = serde_json::from_slice(&fs::read(&report_path)?)?;
        let named: Vec<i32> = report
            .survivors
            .processes
            .iter()
            .map(|process| process.pid)
            .collect();
        match setting.rung {
            Rung::Guardian => {
                ensure!(
                    named.contains(&signed),
                    "{signed} is not named: {report:#?}"
                );
                ensure!(
                    report
                        .survivors
                        .processes
                        .iter()
                        .all(|process| process.why.is_some()),
                    "survivors without a reason: {report:#?}"
                );
            }
            Rung::Cgroup => {
                ensure!(named.is_empty(), "{report:#?}");
                ensure!(world.survivors().is_empty(), "{:#?}", world.survivors());
            }
        }
    }
    Ok(())
}

/// Nothing that ward opens for itself reaches the command.
#[test]
fn the_command_inherits_no_descriptors() -> Result {
    for setting in settings() {
        let world = world!()?;
        let run = world
            .ward()
            .setting(setting)
            .options(["--log", &text(world.path("log"))]);
        let ended = run.command(["ls", "/proc/self/fd"]).finish()?;
        ended.judge(0)?;
        // The fourth is the directory that ls itself reads.
        assert_eq!(ended.out(), "0\n1\n2\n3\n", "{setting:?}");
    }
    Ok(())
}

/// Signals that the caller ignores or blocks are the caller's affair, and the command's
/// where it inherits them; ward answers in any case.
#[test]
fn a_caller_that_blocks_term_does_not_make_ward_deaf() -> Result {
    if in_path("python3").is_none() {
        skipped("a blocked signal", "needs python3");
        return Ok(());
    }
    let world = world!()?;
    let block = "import os, signal, sys; \
                 signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGINT}); \
                 os.execv(sys.argv[1], sys.argv[1:])";
    let run = world
        .ward()
        .started_by(["python3", "-c", block])
        .options(GRACES);
    let mut running = run.hostile(&["mixed-tree", "10"]).start()?;
    running.await_signatures(10)?;
    running.signal(Signal::TERM)?;
    running.finish()?.judge(STOPPED)?;
    Ok(())
}
