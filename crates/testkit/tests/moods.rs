//! The hostile program by itself: each mood does what it says, carries its mark, and is
//! found and ended with its world. A test of ward proves nothing if this is not so.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use ward_testkit::hostile::WITHOUT_ITS_FIRST_THREAD;
use ward_testkit::hostile::noise::{beats, numbered_line, random_bytes};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::{self, Seen, look};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::world::{Who, World, is_root, settings};

type Result = anyhow::Result<()>;

/// A world in which nobody runs ward.
fn world() -> anyhow::Result<World> {
    World::new("/bin/true")
}

fn command(world: &World, mood: &[&str]) -> Command {
    let words = world.hostile(mood);
    let mut command = world.command_as(Who::Myself, &words[0]);
    command.args(&words[1..]);
    command
}

fn start(world: &World, mood: &[&str]) -> anyhow::Result<Child> {
    Ok(command(world, mood).stdin(Stdio::null()).spawn()?)
}

fn output(world: &World, mood: &[&str]) -> anyhow::Result<Output> {
    Ok(command(world, mood).stdin(Stdio::null()).output()?)
}

fn send(child: &Child, signal: Signal) -> Result {
    let pid = Pid::from_raw(child.id().cast_signed()).context("no process")?;
    Ok(kill_process(pid, signal)?)
}

fn kill(mut child: Child) -> Result {
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Waits until exactly so many are alive, and gives them.
fn alive(world: &World, count: usize) -> anyhow::Result<Vec<Seen>> {
    wait_for(&format!("{count} to be alive"), || {
        Some(world.survivors()).filter(|found| found.len() == count)
    })
}

#[test]
fn who_lingers_dies_of_any_signal() -> Result {
    let world = world()?;
    let mut child = start(&world, &["linger"])?;
    world.await_signatures(1)?;
    send(&child, Signal::HUP)?;
    assert_eq!(child.wait()?.signal(), Some(1));
    Ok(())
}

#[test]
fn a_life_ends_by_itself() -> Result {
    let world = world()?;
    let mut words = world.hostile(&["mixed-tree", "10"]);
    words.insert(1, "--life=1".to_owned());
    let mut child = world
        .command_as(Who::Myself, &words[0])
        .args(&words[1..])
        .spawn()?;
    assert!(child.wait()?.success());
    wait_until("everybody to end by himself", || {
        world.survivors().is_empty()
    })
}

#[test]
fn stop_signals_are_ignored() -> Result {
    let world = world()?;
    let mut child = start(&world, &["ignore-term"])?;
    world.await_signatures(1)?;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        send(&child, signal)?;
    }
    // One that is not ignored comes after those that are.
    send(&child, Signal::USR1)?;
    assert_eq!(child.wait()?.signal(), Some(10));
    Ok(())
}

#[test]
fn a_request_to_end_makes_more_of_them() -> Result {
    let world = world()?;
    let child = start(&world, &["fork-on-term"])?;
    world.await_signatures(1)?;
    send(&child, Signal::TERM)?;
    alive(&world, 4)?;
    send(&child, Signal::TERM)?;
    alive(&world, 7)?;
    kill(child)
}

#[test]
fn signals_are_counted() -> Result {
    let world = world()?;
    let record = world.path("signals");
    let mut child = start(&world, &["count-signals", &record.to_string_lossy(), "0.3"])?;
    world.await_signatures(1)?;
    let heard = || std::fs::read_to_string(&record).unwrap_or_default();
    send(&child, Signal::TERM)?;
    wait_until("TERM", || heard() == "TERM\n")?;
    send(&child, Signal::TERM)?;
    wait_until("TERM again", || heard() == "TERM\nTERM\n")?;
    send(&child, Signal::HUP)?;
    assert!(child.wait()?.success());
    assert_eq!(heard(), "TERM\nTERM\nHUP\n");
    Ok(())
}

#[test]
fn cleaning_up_takes_its_time() -> Result {
    let world = world()?;
    let file = world.path("cleaned");
    let mut child = command(&world, &["cleanup", "0.2", &file.to_string_lossy()])
        .stdout(Stdio::piped())
        .spawn()?;
    world.await_signatures(1)?;
    assert!(!file.exists());
    send(&child, Signal::TERM)?;
    let mut said = String::new();
    let mut pipe = child.stdout.take().context("no pipe")?;
    std::io::Read::read_to_string(&mut pipe, &mut said)?;
    assert!(child.wait()?.success());
    assert!(
        said.starts_with("READY\nSTART\n") && said.ends_with("END\n"),
        "{said}"
    );
    assert!(file.exists());
    Ok(())
}

#[test]
fn who_stops_himself_is_stopped_and_minded() -> Result {
    let world = world()?;
    let child = start(&world, &["stop-self"])?;
    let pid = child.id().cast_signed();
    wait_until("it to be stopped", || {
        look(pid).is_some_and(|seen| seen.state == 'T')
    })?;
    alive(&world, 2)?;
    kill(child)
}

#[test]
fn a_daemon_has_left_everything_but_the_mark() -> Result {
    let world = world()?;
    let mut child = start(&world, &["daemonize"])?;
    let leader = child.id().cast_signed();
    assert!(child.wait()?.success());
    let daemon = alive(&world, 1)?.remove(0);
    let me = look(std::process::id().cast_signed()).context("no me")?;
    ensure!(
        daemon.ppid != leader && daemon.session != me.session,
        "{daemon:?}"
    );
    ensure!(
        daemon.pid != daemon.session,
        "a daemon does not lead its session: {daemon:?}"
    );
    Ok(())
}

#[test]
fn a_pipe_is_held() -> Result {
    let world = world()?;
    let mut words = world.hostile(&["hold-pipe"]);
    words.insert(1, "--status=9".to_owned());
    let mut child = world
        .command_as(Who::Myself, &words[0])
        .args(&words[1..])
        .stdout(Stdio::piped())
        .spawn()?;
    assert_eq!(child.wait()?.code(), Some(9));
    let holder = alive(&world, 1)?.remove(0);
    let pipe = child.stdout.take().context("no pipe")?;
    let link = std::fs::read_link(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&pipe)
    ))?;
    assert_eq!(processes::descriptors_to(holder.pid, &link), [1]);
    Ok(())
}

#[test]
fn everything_is_closed() -> Result {
    let world = world()?;
    let mut child = command(&world, &["close-and-stay"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    world.await_signatures(1)?;
    let mut nothing = Vec::new();
    let mut pipe = child.stdout.take().context("no pipe")?;
    std::io::Read::read_to_end(&mut pipe, &mut nothing)?;
    assert!(nothing.is_empty());
    assert_eq!(alive(&world, 1)?[0].pid, child.id().cast_signed());
    kill(child)
}

#[test]
fn the_environment_is_empty() -> Result {
    let world = world()?;
    let child = start(&world, &["wipe-environ"])?;
    let signed = world.await_signatures(1)?;
    assert_eq!(signed, [child.id().cast_signed()]);
    assert!(std::fs::read(format!("/proc/{}/environ", child.id()))?.is_empty());
    alive(&world, 1)?;
    kill(child)
}

#[test]
fn its_own_user_may_not_look() -> Result {
    let Some(setting) = settings()
        .into_iter()
        .find(|setting| setting.who == Who::Ordinary)
    else {
        return Ok(());
    };
    let world = world()?;
    let words = world.hostile(&["undumpable"]);
    let child = world
        .command_as(setting.who, &words[0])
        .args(&words[1..])
        .spawn()?;
    world.await_signatures(1)?;
    let look = format!("cat /proc/{}/environ", child.id());
    let looked = world
        .command_as(setting.who, "/bin/sh")
        .args(["-c", &look])
        .output()?;
    ensure!(
        !looked.status.success() && looked.stdout.is_empty(),
        "{looked:?}"
    );
    // Root may, and so the test finds it.
    alive(&world, 1)?;
    kill(child)
}

#[test]
fn who_has_lost_its_first_thread_is_found() -> Result {
    if in_path("python3").is_none() {
        skipped("a lost first thread", "needs python3");
        return Ok(());
    }
    let world = world()?;
    let mut child = world
        .command_as(Who::Myself, "python3")
        .args([
            "-c",
            WITHOUT_ITS_FIRST_THREAD,
            &world.roll().to_string_lossy(),
            world.mark(),
        ])
        .spawn()?;
    let pid = world.await_signatures(1)?[0];
    wait_until("the first thread to end", || {
        look(pid).is_some_and(|seen| seen.state == 'Z')
    })?;
    let found = alive(&world, 1)?;
    assert_eq!((found[0].pid, found[0].is_zombie()), (pid, false));
    processes::signal_marked(pid, world.mark(), Signal::KILL);
    child.wait()?;
    assert_eq!(world.survivors(), []);
    Ok(())
}

#[test]
fn the_user_is_another() -> Result {
    if !is_root() {
        skipped("changing the user", "not root");
        return Ok(());
    }
    let world = world()?;
    let child = start(&world, &["change-user"])?;
    world.await_signatures(1)?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    ensure!(
        status.contains("Uid:\t65534\t65534\t65534\t65534"),
        "{status}"
    );
    kill(child)
}

#[test]
fn a_thousand_sleepers() -> Result {
    let world = world()?;
    assert!(start(&world, &["sleepers", "1000"])?.wait()?.success());
    assert_eq!(world.survivors().len(), 1000);
    Ok(())
}

#[test]
fn a_tree_has_left_in_every_way() -> Result {
    let world = world()?;
    let child = start(&world, &["mixed-tree", "60"])?;
    world.await_signatures(60)?;
    let found = alive(&world, 60)?;
    let me = look(std::process::id().cast_signed()).context("no me")?;
    let leader = child.id().cast_signed();
    let count = |what: &dyn Fn(&Seen) -> bool| found.iter().filter(|seen| what(seen)).count();
    let has_environment = |seen: &Seen| processes::variable(seen.pid, "LC_ALL").is_some();
    assert!(count(&|seen| seen.ppid == leader) >= 1);
    assert!(count(&|seen| seen.group == seen.pid && seen.session != seen.pid) >= 5);
    assert!(count(&|seen| seen.session == me.session) >= 5);
    assert!(count(&|seen| seen.session == seen.pid) >= 5);
    assert!(count(&|seen| !found.iter().any(|other| other.pid == seen.ppid)) >= 10);
    assert!(count(&|seen| !has_environment(seen)) >= 5);
    // All but the deaf die of it.
    for seen in &found {
        processes::signal_marked(seen.pid, world.mark(), Signal::TERM);
    }
    wait_until("only the deaf to be left", || {
        let left = world.survivors();
        !left.is_empty() && left.iter().all(|seen| seen.command.contains(" deaf"))
    })?;
    kill(child)
}

#[test]
fn a_storm_runs_away_and_abates() -> Result {
    let world = world()?;
    let mut child = start(&world, &["fork-storm", "2", "1"])?;
    assert!(child.wait()?.success());
    let links = || -> Vec<i32> { world.survivors().into_iter().map(|seen| seen.pid).collect() };
    let first = wait_for("a link", || Some(links()).filter(|links| !links.is_empty()))?;
    wait_until("other links", || {
        links().iter().any(|link| !first.contains(link))
    })?;
    wait_until("the end of the storm", || {
        links().is_empty() && links().is_empty()
    })
}

#[test]
fn a_flood_has_as_many_bytes_as_were_ordered() -> Result {
    let world = world()?;
    assert_eq!(
        output(&world, &["flood", "1000003"])?.stdout.len(),
        1_000_003
    );
    Ok(())
}

#[test]
fn lines_and_bytes_are_known_beforehand() -> Result {
    let world = world()?;
    let lines: String = (1..=3000).map(numbered_line).collect();
    assert_eq!(
        String::from_utf8(output(&world, &["numbered-lines", "3000"])?.stdout)?,
        lines
    );

    let both = output(&world, &["both-streams", "4"])?;
    assert_eq!(
        String::from_utf8(both.stdout)?,
        numbered_line(1) + &numbered_line(3)
    );
    assert_eq!(
        String::from_utf8(both.stderr)?,
        numbered_line(2) + &numbered_line(4)
    );

    let random = output(&world, &["random-bytes", "5", "300001", "200003"])?;
    assert!(random.stdout == random_bytes(5, 300_001) && random.stderr == random_bytes(6, 200_003));
    assert_ne!(random_bytes(5, 100), random_bytes(6, 100));
    Ok(())
}

#[test]
fn the_spared_writer_counts_until_its_pipe_breaks() -> Result {
    let world = world()?;
    let file = world.path("beats");
    let mut child = command(&world, &["spared-writer", &file.to_string_lossy()])
        .stdout(Stdio::piped())
        .spawn()?;
    assert!(child.wait()?.success());
    let writer = alive(&world, 1)?.remove(0);
    assert_eq!(
        processes::variable(writer.pid, "BUILD_ID").as_deref(),
        Some("dontKillMe")
    );
    // It goes on only as long as there is room in its pipe.
    let mut pipe = child.stdout.take().context("it has no pipe")?;
    let mut read = [0; 4096];
    let first = beats(&file)?;
    wait_until("another beat", || {
        pipe.read_exact(&mut read).is_ok() && beats(&file).is_ok_and(|beat| beat > first)
    })?;
    drop(pipe);
    wait_until("the pipe to break", || beats(&file).is_err())
}

#[test]
fn every_setting_is_what_it_says() -> Result {
    for setting in settings() {
        let world = world()?;
        let words = world.hostile(&["linger"]);
        let child = world
            .command_as(setting.who, &words[0])
            .args(&words[1..])
            .spawn()?;
        world.await_signatures(1)?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let user = match setting.who {
            Who::Myself => rustix::process::getuid().as_raw(),
            Who::Ordinary | Who::Delegated => world.ordinary(),
        };
        ensure!(
            status.contains(&format!("Uid:\t{user}\t{user}\t{user}\t{user}")),
            "{status}"
        );
        if let Some(place) = world.cgroup_of(setting.who) {
            assert_eq!(place.members().len(), 1);
        }
        kill(child)?;
    }
    Ok(())
}

#[test]
fn a_world_ends_with_everybody_in_it() -> Result {
    let mark = {
        let world = world()?;
        let mut child = start(&world, &["mixed-tree", "20", "leave"])?;
        assert!(child.wait()?.success());
        assert_eq!(world.survivors().len(), 19);
        world.mark().to_owned()
    };
    assert_eq!(processes::marked(&mark), []);
    Ok(())
}

#[test]
fn a_process_that_is_not_marked_is_not_touched() -> Result {
    let mut stranger = Command::new("sleep").arg("100").spawn()?;
    let pid = stranger.id().cast_signed();
    assert!(processes::open_marked(pid, "ward-test-somebody").is_none());
    processes::signal_marked(pid, "ward-test-somebody", Signal::KILL);
    assert!(stranger.try_wait()?.is_none());
    kill(stranger)
}

#[test]
fn a_terminal_has_job_control() -> Result {
    use ward_testkit::terminal::{INTERRUPT, SUSPEND, Terminal};
    let world = world()?;
    let mut terminal = Terminal::bash(&world)?;
    assert_eq!(terminal.ask("echo one $((1+1))")?, "one 2");
    terminal.line(&world.hostile_text(&["linger"]))?;
    world.await_signatures(1)?;
    assert_ne!(terminal.foreground()?, terminal.leader());
    terminal.send(SUSPEND)?;
    terminal.expect("Stopped")?;
    terminal.prompt()?;
    terminal.line("fg")?;
    wait_until("the job to be in front", || {
        terminal
            .foreground()
            .is_ok_and(|group| group != terminal.leader())
    })?;
    terminal.send(INTERRUPT)?;
    terminal.prompt()?;
    assert_eq!(terminal.ask("echo ended $?")?, "ended 130");
    assert_eq!(terminal.ask("stty size")?, "50 500");
    terminal.hang_up();
    // Bash takes the hang-up as a signal, or as the end of its input.
    let status = terminal.wait()?;
    ensure!(matches!(status.signal(), None | Some(1)), "{status}");
    Ok(())
}
