//! Who was spawned outlives who spawned him: the build, its server, its terminal, the run
//! around it. And he has nothing of theirs: no descriptor, no session, no signal disposition.
//!
//! Beside each daemon stands somebody who was left behind the old way, by `&`: as he is ended,
//! the killer works, and it is ward's doing that the daemon is not.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Signal, getpid};
use ward_testkit::daemons::{Ask, Custody, custody, nobody_is_left, shown, state, stop, whole_log};
use ward_testkit::hostile::noise::beats;
use ward_testkit::killers::{
    FreestyleBuild, PipelineNode, RunnerJob, Variable, hang_up, kill_group,
};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::{descriptors, look, marked, status_line, variable};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::{Ended, text};
use ward_testkit::terminal::Terminal;
use ward_testkit::world;
use ward_testkit::world::{Who, World, is_root, settings};

type Result = anyhow::Result<()>;

/// How long Jenkins waits for whom it has told; five seconds in reality.
const SOFT: Duration = Duration::from_millis(300);

/// Who was left behind the old way. The number is nobody else's.
const BYSTANDER: &str = "sleep 611";

/// What a step does: spawn a daemon, and leave somebody behind.
fn step_text(world: &World, then: &str) -> String {
    let (ward, said) = (text(world.ward_program()), text(world.path("said")));
    let daemon = world.hostile_text(&["beat", &text(world.path("beats"))]);
    format!("set -e; {ward} spawn --name web -- {daemon} >{said} 2>&1; {BYSTANDER} & {then}")
}

/// Starts a step in a process group of its own, as most build servers do.
fn step(world: &World, variables: &[Variable], then: &str) -> anyhow::Result<Child> {
    let mut command = world.command_as(Who::Myself, "/bin/sh");
    command
        .args(["-c", &step_text(world, then), world.mark()])
        .envs(variables.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null())
        .process_group(0);
    Ok(command.spawn()?)
}

fn bystanders(world: &World) -> usize {
    let found = marked(world.mark());
    found
        .iter()
        .filter(|seen| seen.command == BYSTANDER)
        .count()
}

/// Waits until both are there: the daemon, who writes, and the one beside him.
fn both_are_there(world: &World) -> anyhow::Result<Custody> {
    wait_until("the one who is left behind", || bystanders(world) == 1)
        .with_context(|| fs::read_to_string(world.path("said")).unwrap_or_default())?;
    let custody = custody(world, "web")?;
    goes_on(world)?;
    Ok(custody)
}

fn goes_on(world: &World) -> Result {
    let file = world.path("beats");
    let first = beats(&file).unwrap_or(0);
    wait_until("the daemon to go on", || {
        beats(&file).is_ok_and(|beat| beat > first + 20)
    })
}

/// After the killer has been there: one is gone, the other is what he was, and can be stopped.
fn only_the_daemon_is_left(world: &World, custody: &Custody, told: &[i32]) -> Result {
    wait_until("the one who was left behind to end", || {
        bystanders(world) == 0
    })
    .context("the killer does not work")?;
    for member in [custody.front, custody.guardian, custody.leader] {
        ensure!(
            !told.contains(&member.pid),
            "{member:?} was told to end: {custody:?}"
        );
        ensure!(member.is_alive(), "{member:?} is gone: {custody:?}");
    }
    goes_on(world)?;
    assert_eq!(state(world, "web")?, "running");
    stop(world, &["web"])?;
    assert!(!custody.leader.is_alive());
    Ok(())
}

#[test]
fn the_end_of_a_jenkins_freestyle_build() -> Result {
    let world = world!()?;
    let build = FreestyleBuild::new(&world, 17);
    step(&world, &build.environment(), "")?.wait()?;
    let custody = both_are_there(&world)?;
    let told = build.end(&world, SOFT);
    only_the_daemon_is_left(&world, &custody, &told)
}

#[test]
fn an_aborted_step_of_a_jenkins_freestyle_build() -> Result {
    let world = world!()?;
    let build = FreestyleBuild::new(&world, 17);
    let mut launched = step(&world, &build.environment(), "while :; do wait; done")?;
    let custody = both_are_there(&world)?;
    let told = build.abort_step(&world, &mut launched, SOFT);
    ensure!(told.contains(&launched.id().cast_signed()), "{told:?}");
    launched.wait()?;
    only_the_daemon_is_left(&world, &custody, &told)
}

#[test]
fn a_stopped_step_of_a_jenkins_pipeline() -> Result {
    let world = world!()?;
    let node = PipelineNode::new(&world);
    step(&world, &node.environment(), "")?.wait()?;
    let custody = both_are_there(&world)?;
    let mut told = node.stop_step(&world, SOFT);
    told.extend(node.end(&world, SOFT));
    only_the_daemon_is_left(&world, &custody, &told)
}

#[test]
fn the_end_of_a_node_of_a_jenkins_pipeline() -> Result {
    let world = world!()?;
    let node = PipelineNode::new(&world);
    step(&world, &node.environment(), "")?.wait()?;
    let custody = both_are_there(&world)?;
    let told = node.end(&world, SOFT);
    only_the_daemon_is_left(&world, &custody, &told)
}

#[test]
fn the_end_of_a_github_job() -> Result {
    let world = world!()?;
    let job = RunnerJob::new(&world);
    step(&world, &job.environment(), "")?.wait()?;
    let custody = both_are_there(&world)?;
    let killed = job.end(&world);
    only_the_daemon_is_left(&world, &custody, &killed)
}

/// A step that takes no notice, so that the runner goes as far as it can.
#[test]
fn a_cancelled_github_step() -> Result {
    let world = world!()?;
    let job = RunnerJob::new(&world);
    let stubborn = "trap '' INT TERM; while :; do sleep 0.05; done";
    let mut entry = step(&world, &job.environment(), stubborn)?;
    let custody = both_are_there(&world)?;
    job.cancel(&world, &mut entry, SOFT, SOFT)?;
    entry.wait()?;
    let killed = job.end(&world);
    only_the_daemon_is_left(&world, &custody, &killed)
}

#[test]
fn the_group_of_a_step_is_killed() -> Result {
    let world = world!()?;
    let mut command = step(&world, &[], "while :; do wait; done")?;
    let custody = both_are_there(&world)?;
    kill_group(&world, &mut command, SOFT)?;
    only_the_daemon_is_left(&world, &custody, &[])
}

#[test]
fn a_login_is_lost() -> Result {
    let world = world!()?;
    let script = step_text(&world, "while :; do wait; done");
    let mut terminal = Terminal::start(&world, &["/bin/sh", "-c", &script, world.mark()])?;
    let custody = both_are_there(&world)?;
    hang_up(&world, &mut terminal)?;
    terminal.wait()?;
    only_the_daemon_is_left(&world, &custody, &[])
}

/// A login with job control, whose user says `exit`.
#[test]
fn a_person_logs_out() -> Result {
    let world = world!()?;
    let mut bash = Terminal::bash(&world)?;
    bash.ask(&step_text(&world, "").replace("set -e; ", ""))?;
    let custody = both_are_there(&world)?;
    hang_up(&world, &mut bash)?;
    bash.wait()?;
    only_the_daemon_is_left(&world, &custody, &[])
}

/// Who kills by cgroup, as systemd does with what a service left, kills whoever is in it. Root can
/// leave it, and so does what root spawns.
#[test]
fn the_cgroup_of_a_build_is_killed() -> Result {
    let world = world!()?;
    let Some(cgroup) = world.cgroup_of(Who::Myself).filter(|_| is_root()) else {
        skipped("a kill by cgroup", "only root can make cgroups here");
        return Ok(());
    };
    let mut command = step(&world, &[], "while :; do wait; done")?;
    let custody = both_are_there(&world)?;
    let members = cgroup.members();
    let inside: Vec<i32> = members.iter().map(|seen| seen.pid).collect();
    ensure!(inside.contains(&command.id().cast_signed()), "{members:#?}");
    fs::write(cgroup.path().join("cgroup.kill"), "1")?;
    command.wait()?;
    only_the_daemon_is_left(&world, &custody, &inside)
}

/// Exactly the daemon and its custodians outlive the run, which has told nobody.
fn only_the_daemon_outlives(ended: &Ended, code: i32) -> Result {
    ensure!(ended.code() == code, "{ended:#?}");
    let [daemon] = ended.survivors.as_slice() else {
        anyhow::bail!("not one daemon: {ended:#?}");
    };
    ensure!(daemon.command.contains("beat"), "{daemon:?}");
    // Of the run itself nobody is left, not even to drain: the daemon holds nothing of it.
    let names: Vec<&str> = ended.wards.iter().map(|seen| seen.name.as_str()).collect();
    ensure!(names == ["ward-keeper"; 2], "{names:?}");
    let report = ended.report()?;
    assert_eq!(
        (
            report.left_over.count,
            report.killed.count,
            report.survivors.count
        ),
        (0, 0, 0),
        "{report:#?}"
    );
    Ok(())
}

/// A run around it ends as if nothing had been spawned.
#[test]
fn the_end_of_a_run_around_it() -> Result {
    for setting in settings() {
        let world = world!()?;
        let ward = text(world.ward_program());
        let daemon = world.hostile_text(&["beat", &text(world.path("beats"))]);
        // An hour: if the run waited for the daemon, the test would see it.
        let ended = world
            .ward()
            .setting(setting)
            .options(["--leftover-grace", "1h"])
            .sh(&format!(
                "{ward} spawn --name web -- {daemon} && echo built; exit 3"
            ))
            .finish()?;
        only_the_daemon_outlives(&ended, 3).with_context(|| format!("{setting:?}"))?;
        ensure!(ended.out().ends_with("built\n"), "{setting:?}: {ended:#?}");
        goes_on(&world)?;
        Ask::by(&world, setting.who, ["stop", "web"]).expect(0)?;
        nobody_is_left(&world).with_context(|| format!("{setting:?}"))?;
        let mut forgotten = world.forgotten_cgroups();
        // The one of all keepers is there to stay.
        forgotten.retain(|path| !path.ends_with("ward-keepers"));
        ensure!(forgotten.is_empty(), "{setting:?}: {forgotten:?}");
    }
    Ok(())
}

/// A run around it is stopped: whoever is part of it is told, and the daemon is not.
#[test]
fn a_stop_of_a_run_around_it() -> Result {
    for setting in settings() {
        let world = world!()?;
        let ward = text(world.ward_program());
        let daemon = world.hostile_text(&["beat", &text(world.path("beats"))]);
        let mut running = world
            .ward()
            .setting(setting)
            .sh(&format!(
                "{ward} spawn --name web -- {daemon} && echo spawned; exec sleep 60"
            ))
            .start()?;
        running.await_stdout("spawned\n")?;
        let leader = running.front();
        wait_until("the step to sleep", || {
            marked(world.mark())
                .iter()
                .any(|seen| seen.command == "sleep 60" && seen.pid != leader)
        })?;
        running.signal(Signal::TERM)?;
        let ended = running.finish()?;
        only_the_daemon_outlives(&ended, 123).with_context(|| format!("{setting:?}"))?;
        assert_eq!(ended.report()?.told.count, 1, "{setting:?}");
        goes_on(&world)?;
        Ask::by(&world, setting.who, ["stop", "web"]).expect(0)?;
        nobody_is_left(&world).with_context(|| format!("{setting:?}"))?;
    }
    Ok(())
}

/// The custodians of a run are killed: the daemon was never theirs.
#[test]
fn a_run_around_it_is_killed() -> Result {
    for setting in settings() {
        let world = world!()?;
        let ward = text(world.ward_program());
        let daemon = world.hostile_text(&["beat", &text(world.path("beats"))]);
        let mut running = world
            .ward()
            .setting(setting)
            .sh(&format!(
                "{ward} spawn --name web -- {daemon} && echo spawned; exec sleep 60"
            ))
            .start()?;
        running.await_stdout("spawned\n")?;
        running.signal(Signal::KILL)?;
        running.finish_killed()?;
        wait_until("the rest of the run to end", || {
            !marked(world.mark())
                .iter()
                .any(|seen| seen.command == "sleep 60")
        })?;
        goes_on(&world).with_context(|| format!("{setting:?}"))?;
        Ask::by(&world, setting.who, ["stop", "web"]).expect(0)?;
        wait_until("nobody to be left", || nobody_is_left(&world).is_ok())
            .with_context(|| format!("{setting:?}: {:#?}", world.survivors()))?;
    }
    Ok(())
}

/// Whoever reads what `ward spawn` says gets his end of file at once, though the daemon
/// lives and writes.
#[test]
fn a_reader_gets_his_end_of_file() -> Result {
    let world = world!()?;
    let ward = text(world.ward_program());
    let daemon = world.hostile_text(&["beat", &text(world.path("beats"))]);
    let moods = [
        format!("{ward} spawn --name web -- {daemon} 2>&1 | cat; echo end"),
        format!("x=$({ward} spawn --name web -- {daemon} 2>&1); echo \"$x\"; echo end"),
        format!("{{ {ward} spawn --name web -- {daemon}; }} 2>&1 | sed -n p; echo end"),
    ];
    for script in moods {
        let answer = Ask::shell(&world, &script).expect(0)?;
        let lines: Vec<&str> = answer.out.lines().collect();
        let [said, "end"] = lines[..] else {
            anyhow::bail!("{answer:#?}");
        };
        ensure!(said.starts_with("web: running, pid "), "{answer:#?}");
        goes_on(&world)?;
        stop(&world, &["web"])?;
        fs::remove_file(world.path("beats"))?;
    }
    Ok(())
}

fn cwd(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// The caller has pipes, files and directories open, and hands them down as shells do; the
/// daemon and both custodians have none of them.
#[test]
fn nothing_of_the_caller_is_held() -> Result {
    let world = world!()?;
    let ward = text(world.ward_program());
    fs::write(world.path("held"), "")?;
    let (held, fifo) = (text(world.path("held")), text(world.path("fifo")));
    let script = format!(
        "mkfifo {fifo}; exec 5>>{held} 6<{held} 7<. 8<>{fifo} 9>&1
         readlink /proc/$$/fd/1 /proc/$$/fd/2
         {ward} spawn --name web -- sleep 612 3>&1 4>&2"
    );
    let answer = Ask::shell(&world, &script).expect(0)?;
    let lines: Vec<&str> = answer.out.lines().collect();
    let [out, err, said] = lines[..] else {
        anyhow::bail!("{answer:#?}");
    };
    let mine = [
        PathBuf::from(out),
        PathBuf::from(err),
        world.path("held"),
        world.path("fifo"),
        world.path(".").components().collect(),
    ];
    let custody = custody(&world, "web")?;
    ensure!(said.ends_with(&custody.leader.pid.to_string()), "{said}");

    for pid in [custody.front.pid, custody.guardian.pid, custody.leader.pid] {
        let seen = look(pid).context("gone")?;
        let open = descriptors(pid);
        ensure!(!open.is_empty(), "cannot look into {seen:?}");
        let kept: Vec<_> = open.iter().filter(|(_, to)| mine.contains(to)).collect();
        ensure!(kept.is_empty(), "{seen:?} keeps {kept:?} of {open:?}");
        assert_eq!(cwd(pid).as_deref(), Some(Path::new("/")), "{seen:?}");
    }
    let open: BTreeMap<i32, PathBuf> = descriptors(custody.leader.pid).into_iter().collect();
    assert_eq!(
        open.keys().copied().collect::<Vec<_>>(),
        [0, 1, 2],
        "{open:?}"
    );
    assert_eq!(open[&0], Path::new("/dev/null"));
    ensure!(text(&open[&1]).starts_with("pipe:"), "{open:?}");
    assert_eq!(open[&1], open[&2]);
    stop(&world, &["web"])?;
    Ok(())
}

/// The names and environments of the custodians, and whose sessions they all are in.
#[test]
fn sessions_and_names() -> Result {
    let world = world!()?;
    Ask::new(&world, ["spawn", "--name", "web", "--", "sleep", "612"])
        .variable("SECRET", "do not keep me")
        .expect(0)?;
    let custody = custody(&world, "web")?;
    let [front, guardian, leader] =
        [custody.front, custody.guardian, custody.leader].map(|member| look(member.pid));
    let (front, guardian) = (front.context("no front")?, guardian.context("no guardian")?);
    let leader = leader.context("no leader")?;
    assert_eq!(front.name, "ward-keeper");
    assert_eq!(guardian.name, "ward-keeper");
    assert_eq!(leader.command, "sleep 612");
    assert_eq!(leader.session, leader.pid, "{leader:?}");
    // Not getsid(2) and getpgrp(2): 0, where they are not of this PID namespace.
    let own = look(getpid().as_raw_nonzero().get()).context("not seen by itself")?;
    let mine = own.session;
    for custodian in [&front, &guardian] {
        ensure!(
            custodian.session != mine && custodian.session != leader.session,
            "{custodian:?}, mine is {mine}"
        );
        ensure!(custodian.group != own.group, "{custodian:?}");
        let environ = fs::read(format!("/proc/{}/environ", custodian.pid))?;
        ensure!(
            environ.iter().all(|byte| *byte == 0),
            "{custodian:?}: {}",
            String::from_utf8_lossy(&environ)
        );
    }
    stop(&world, &["web"])?;
    Ok(())
}

/// Ignores and blocks what it can, forbids what it can, and goes somewhere else; then becomes
/// what it is told.
const ODD_CALLER: &str = "
import os, signal, sys
for number in range(1, 65):
    if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
        signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
os.umask(0o077)
os.chdir('/tmp')
os.execv(sys.argv[1], sys.argv[1:])
";

/// Whatever the caller ignores, blocks or forbids: the daemon starts as from a boot.
#[test]
fn a_daemon_starts_afresh() -> Result {
    let Some(python) = in_path("python3") else {
        skipped("a caller who blocks signals", "no python3");
        return Ok(());
    };
    let world = world!()?;
    let ward = text(world.ward_program());
    Ask::of(&world, Who::Myself, python.as_os_str())
        .words(["-c", ODD_CALLER, &ward, "spawn", "--name", "web"])
        .words(["--", "sleep", "612"])
        .expect(0)?;
    let leader = custody(&world, "web")?.leader.pid;
    for line in ["SigIgn", "SigBlk", "SigCgt"] {
        let value = status_line(leader, line).context("no such line")?;
        assert_eq!(value, "0000000000000000", "{line}");
    }
    assert_eq!(status_line(leader, "Umask").as_deref(), Some("0022"));
    assert_eq!(cwd(leader).as_deref(), Some(Path::new("/")));
    // The ledger is nobody else's affair, and is ward's own also under such an umask.
    stop(&world, &["web"])?;
    Ok(())
}

/// What was asked for is given.
#[test]
fn a_daemon_starts_as_it_is_told_to() -> Result {
    let world = world!()?;
    let directory = world.path("place");
    fs::create_dir(&directory)?;
    Ask::new(&world, ["spawn", "--name", "web", "--umask", "027"])
        .words(["--chdir", &text(&directory), "--env", "COLOUR=blue"])
        .words(["--", "sleep", "612"])
        .variable("TASTE", "sweet")
        .expect(0)?;
    let leader = custody(&world, "web")?.leader.pid;
    assert_eq!(status_line(leader, "Umask").as_deref(), Some("0027"));
    assert_eq!(cwd(leader).as_deref(), Some(directory.as_path()));
    assert_eq!(variable(leader, "COLOUR").as_deref(), Some("blue"));
    assert_eq!(variable(leader, "TASTE").as_deref(), Some("sweet"));
    stop(&world, &["web"])?;
    Ok(())
}

/// Root spawns for somebody else: whoever runs is he, and what he says is heard.
#[test]
fn a_daemon_of_another_user() -> Result {
    if !is_root() {
        skipped(
            "a daemon of another user",
            "only root can become somebody else",
        );
        return Ok(());
    }
    let world = world!()?;
    Ask::new(&world, ["spawn", "--name", "web", "--user", "nobody"])
        .sh("id -u; exec sleep 612")
        .expect(0)?;
    let leader = custody(&world, "web")?.leader.pid;
    let uids = status_line(leader, "Uid").context("no such line")?;
    ensure!(uids.split_whitespace().all(|uid| uid == "65534"), "{uids}");
    wait_until("his word", || {
        whole_log(&world, "web").is_ok_and(|log| log == b"65534\n")
    })?;
    let shown = shown(&world, "web")?.context("not shown")?;
    assert_eq!(shown["user"], "nobody", "{shown:#}");
    assert_eq!(shown["origin"]["user"], "root", "{shown:#}");
    stop(&world, &["web"])?;
    Ok(())
}

/// No build server finds the daemon by what it gave to the build.
#[test]
fn a_daemon_has_no_cookie() -> Result {
    const COOKIES: [&str; 5] = [
        "HUDSON_COOKIE",
        "HUDSON_SERVER_COOKIE",
        "JENKINS_SERVER_COOKIE",
        "JENKINS_NODE_COOKIE",
        "RUNNER_TRACKING_ID",
    ];
    let world = world!()?;
    let mut ask = Ask::new(&world, ["spawn", "--name", "web", "--", "sleep", "612"])
        .variable("WARD_RUN_ID", "outer")
        .variable("JOB_NAME", "kept");
    for name in COOKIES {
        ask = ask.variable(name, "c0ffee");
    }
    ask.expect(0)?;
    let leader = custody(&world, "web")?.leader.pid;
    for name in COOKIES {
        assert_eq!(variable(leader, name), None, "{name}");
    }
    // What is no cookie is the daemon's to read.
    assert_eq!(variable(leader, "JOB_NAME").as_deref(), Some("kept"));
    let id = variable(leader, "WARD_RUN_ID").context("no id")?;
    ensure!(!id.is_empty() && !id.starts_with("outer"), "{id}");
    stop(&world, &["web"])?;
    Ok(())
}
