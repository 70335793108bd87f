//! Ends of keepers and daemons, by will and by force.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rustix::process::{Signal, kill_process};
use ward_sys::procfs::{self, Stat};

use super::world::{World, is_alive, pid_of, until};
use super::{PLACE, Result, TASK};

fn kill(pid: i32) -> Result {
    kill_process(pid_of(pid)?, Signal::KILL)?;
    until("its end", || (!is_alive(pid)).then_some(()))
}

const WAITING: &str = "both while [ ! -e $WARD_TEST_KEEPER_PLACE/go ]; do sleep 0.01; done; \
    echo done; exit 9";

pub(crate) fn daemon_killed() -> Result {
    let mut world = World::obedient()?;
    let pid = world.spawn("a", WAITING)?;
    world.spawn("b", "exit 4")?;
    world.wait("exited b exit 4")?;
    world.order("deaf")?;
    world.wait("deaf")?;
    world.spawn("c", "exit 5")?;
    world.wait("exited c exit 5")?;
    world.order("remember a 77")?;
    world.wait("remembered a")?;
    kill(world.daemon()?)?;
    // What was acknowledged is not told again, what was not is, and memory is as it was.
    world.wait(&format!("adopted a alive {pid} 77"))?;
    world.wait("adopted b idle 1")?;
    world.wait("adopted c ended exit 5 0")?;
    world.wait("exited c exit 5")?;
    world.wait("ready")?;
    world.wait("crashed signal 9")?;
    // While there is no daemon, everything waits for the next.
    let daemon = world.daemon()?;
    kill_process(pid_of(daemon)?, Signal::STOP)?;
    fs::write(world.path("go"), "")?;
    until("its end", || (!is_alive(pid)).then_some(()))?;
    kill_process(pid_of(world.keeper())?, Signal::HUP)?;
    kill(daemon)?;
    world.wait("adopted a ended exit 9 77")?;
    world.wait("ready")?;
    world.wait("signal 1")?;
    until("its output", || (world.log("a") == b"done\n").then_some(()))?;
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn keeper_killed() -> Result {
    let mut world = World::obedient()?;
    let first = world.spawn("a", WAITING)?;
    let second = world.spawn("b", "sleep 1000")?;
    world.order("keep x")?;
    world.wait("keeping x")?;
    let daemon = world.daemon()?;
    kill(world.keeper())?;
    world.wait("gone")?;
    world.wait(&format!("adopted a alive {first}"))?;
    world.wait(&format!("adopted b alive {second}"))?;
    world.wait("kept x")?;
    world.wait("ready")?;
    // The daemon's process is the keeper, and called as the first one was.
    let keeper = Stat::of(daemon).context("it keeps")?;
    let own = std::env::current_exe()?;
    let own = own
        .file_name()
        .context("a name")?
        .to_string_lossy()
        .into_owned();
    ensure!(own.starts_with(&keeper.comm), "{}", keeper.comm);
    ensure!(world.daemon_of(daemon).is_some());
    kill_process(pid_of(second)?, Signal::KILL)?;
    let end = world.wait("exited b ")?;
    ensure!(end == "signal 9", "{end}");
    fs::write(world.path("go"), "")?;
    let end = world.wait("exited a ")?;
    ensure!(end == "exit 9", "{end}");
    // And it keeps as the first one did.
    let third = world.spawn("c", "sleep 1000")?;
    ensure!(Stat::of(third).context("it runs")?.ppid == daemon);
    kill(world.daemon_of(daemon).context("a daemon")?)?;
    world.wait(&format!("adopted c alive {third}"))?;
    world.wait("ready")?;
    world.order("signal c 9 leader")?;
    world.wait("exited c signal 9")?;
    world.order("exit 0")?;
    until("its end", || (!is_alive(daemon)).then_some(()))?;
    ensure!(world.is_tidy());
    Ok(())
}

pub(crate) fn both_killed() -> Result {
    let mut world = World::obedient()?;
    let alive = world.spawn("a", WAITING)?;
    let dead = world.spawn("b", "read x; exit 3")?;
    let (keeper, daemon) = (world.keeper(), world.daemon()?);
    kill_process(pid_of(daemon)?, Signal::STOP)?;
    kill(keeper)?;
    kill(daemon)?;
    kill(dead)?;
    world.start()?;
    world.wait(&format!("adopted a alive {alive}"))?;
    world.wait("adopted b ended")?;
    world.wait("exited b ")?;
    world.wait("ready")?;
    fs::write(world.path("go"), "")?;
    let end = world.wait("exited a ")?;
    ensure!(end == "exit 9", "{end}");
    until("its output", || (world.log("a") == b"done\n").then_some(()))?;
    world.spawn("b", "exit 6")?;
    world.wait("exited b exit 6")?;
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn nobody_reads() -> Result {
    let mut world = World::obedient()?;
    let mute = WAITING.replacen("both", "mute", 1);
    let pid = world.spawn("a", &mute)?;
    kill(world.daemon()?)?;
    world.wait(&format!("adopted a alive {pid}"))?;
    world.wait("ready")?;
    // Who has lost the keeper starts nobody, who would be nobody's child.
    let daemon = world.daemon()?;
    world.order("bereft b mute read x; exit 3")?;
    let why = world.wait("not spawned b ")?;
    ensure!(why == "Begin 32", "{why}");
    world.wait("gone")?;
    world.wait(&format!("adopted a alive {pid}"))?;
    world.wait("ready")?;
    world.spawn("b", "mute read x; exit 3")?;
    world.order("write b x")?;
    world.wait("exited b exit 3")?;
    let (keeper, daemon) = (daemon, world.daemon_of(daemon).context("a daemon")?);
    kill_process(pid_of(daemon)?, Signal::STOP)?;
    kill(keeper)?;
    kill(daemon)?;
    world.start()?;
    world.wait(&format!("adopted a alive {pid}"))?;
    world.wait("ready")?;
    fs::write(world.path("go"), "")?;
    let end = world.wait("exited a ")?;
    ensure!(end == "exit 9", "{end}");
    ensure!(world.log("a").is_empty() && world.count("drained") == 0);
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn daemon_stopped() -> Result {
    let mut world = World::obedient()?;
    let script = "while [ ! -e $WARD_TEST_KEEPER_PLACE/go ]; do sleep 0.05; done";
    let programs = 300;
    world.order(&format!("many {programs} {script}"))?;
    world.wait("many ")?;
    let daemon = world.daemon()?;
    kill_process(pid_of(daemon)?, Signal::STOP)?;
    fs::write(world.path("go"), "")?;
    // All are reaped, whoever listens.
    until("nobody", || {
        (procfs::children(world.keeper()) == [daemon]).then_some(())
    })?;
    for _ in 0..2000 {
        kill_process(pid_of(world.keeper())?, Signal::HUP)?;
    }
    kill_process(pid_of(daemon)?, Signal::CONT)?;
    let all = usize::try_from(programs)?;
    until("all ends", || {
        (world.count("exited many") == all).then_some(())
    })?;
    world.wait("signal 1")?;
    ensure!(world.count("unknown") == 0);
    Ok(())
}

pub(crate) fn exit_statuses() -> Result {
    let mut world = World::obedient()?;
    let pid = world.spawn("a", "sleep 1000")?;
    let before = world.daemon()?;
    world.order("exit 200")?;
    world.wait(&format!("adopted a alive {pid}"))?;
    world.wait("ready")?;
    ensure!(world.daemon()? != before);
    ensure!(world.count("crashed") == 0, "it wanted to");
    for (status, words) in [(101, "exit 101"), (2, "exit 2"), (1, "exit 1")] {
        world.order(&format!("exit {status}"))?;
        world.wait("ready")?;
        world.wait(&format!("crashed {words}"))?;
    }
    // Signals that are not dealt with are told again.
    kill_process(pid_of(world.keeper())?, Signal::USR1)?;
    world.wait("signal 10")?;
    world.order("exit 200")?;
    world.wait("signal 10")?;
    // Over while a program runs: it is left, and so is what the next one needs to find it.
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0));
    ensure!(is_alive(pid) && !world.is_tidy());
    world.start()?;
    world.wait(&format!("adopted a alive {pid}"))?;
    Ok(())
}

pub(crate) fn first_fails() -> Result {
    for (status, wanted) in [("2", 2), ("77", 77)] {
        let mut world = World::new("obey")?;
        fs::write(world.path("fail"), status)?;
        world.start()?;
        ensure!(world.end()?.code() == Some(wanted));
        ensure!(world.is_tidy(), "nothing was started");
        let errors = fs::read_to_string(world.path("stderr"))?;
        ensure!(errors.contains("the first daemon fails"), "{errors}");
        // The same in the background.
        let mut command = world.command()?;
        let status = command.env(TASK, "background").status()?;
        ensure!(status.code() == Some(wanted), "{status}");
    }
    Ok(())
}

pub(crate) fn background() -> Result {
    let mut world = World::new("obey")?;
    let fifo = world.path("orders");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
    )?;
    let orders = fs::File::options().read(true).write(true).open(&fifo)?;
    let mut command = world.command()?;
    let status = command
        .env(TASK, "background")
        .stdin(orders)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.code() == Some(0), "{status}");
    // It has returned because the daemon works, which has said so or is about to.
    let daemon: i32 = world.wait("ready")?.parse()?;
    let keeper = Stat::of(daemon).context("a daemon")?.ppid;
    let stat = Stat::of(keeper).context("a keeper")?;
    ensure!(stat.session == keeper, "a session of its own");
    for (pid, stream) in [(keeper, 0), (keeper, 2)] {
        until("silence", || {
            let link = fs::read_link(format!("/proc/{pid}/fd/{stream}")).ok()?;
            link.ends_with("null").then_some(())
        })?;
    }
    Ok(())
}

pub(crate) fn first_process() -> Result {
    let mut world = World::new("obey")?;
    let init = ["-p", "-f", "--mount-proc", "--kill-child"];
    let possible = std::process::Command::new("unshare")
        .args(init)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("no namespaces of processes here");
        return Ok(());
    }
    world.start_below("unshare", &init)?;
    world.wait("ready 2")?;
    world.spawn("a", "(sh -c 'exit 5' &) ; (setsid sleep 0.1 &) ; exit 3")?;
    until("its end", || {
        (world.count("exited a exit 3") == 1).then_some(())
    })?;
    until("two orphans", || {
        (world.count("unknown") == 2).then_some(())
    })?;
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn role_by_hand() -> Result {
    for value in [
        "",
        "x",
        "keeper:3,4,5",
        "keeper:0,1,2",
        "daemon:3,4,5",
        "again:7,8,9",
    ] {
        let world = World::new("obey")?;
        let out = world.path("out");
        let status = world
            .command()?
            .env("WARD_ROLE", value)
            .stderr(fs::File::create(&out)?)
            .status()?;
        ensure!(status.code() == Some(2), "{value}: {status}");
        let errors = fs::read_to_string(&out)?;
        ensure!(errors.contains("WARD_ROLE"), "{value}: {errors}");
    }
    ensure!(std::env::var_os(PLACE).is_none());
    Ok(())
}
