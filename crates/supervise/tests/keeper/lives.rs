//! Programs, with nobody killed.

use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::{Signal, kill_process};
use ward_sys::procfs::Stat;

use super::Result;
use super::world::{World, is_alive, pid_of, until};

pub(crate) fn lives_and_ends() -> Result {
    let mut world = World::obedient()?;
    let pid = world.spawn("a", "read x; echo got $x; echo bad >&2; exit 7")?;
    let stat = Stat::of(pid).context("it runs")?;
    let keeper = Stat::of(world.keeper()).context("it keeps")?;
    ensure!(stat.ppid == keeper.pid, "the keeper's child from birth");
    ensure!(stat.pgrp == pid && stat.session == keeper.session);
    world.order("write a hello")?;
    world.wait("written a true")?;
    let end = world.wait("exited a ")?;
    ensure!(end == "exit 7", "{end}");
    until("both ends", || {
        (world.count("drained a") == 2).then_some(())
    })?;
    ensure!(world.log("a") == b"got hello\n", "{:?}", world.log("a"));
    ensure!(world.log("a.err") == b"bad\n");
    until("no pipes", || {
        let entries = fs::read_dir(world.path("run")).ok()?;
        (entries.count() == 1).then_some(())
    })?;
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0));
    ensure!(world.is_tidy());
    Ok(())
}

pub(crate) fn only_its_own() -> Result {
    let mut world = World::obedient()?;
    let script = "both ls -m /proc/$$/fd; env | grep -c WARD_ROLE; \
        grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -Sn; pwd; echo error >&2";
    world.spawn("a", script)?;
    world.wait("exited a")?;
    until("its end", || (world.count("drained a") == 1).then_some(()))?;
    let log = String::from_utf8(world.log("a"))?;
    let lines: Vec<&str> = log.lines().collect();
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let soft = soft.map_or("unlimited".to_owned(), |soft| soft.to_string());
    // Only the three streams, and SIGPIPE ignored (bit 12).
    let wanted = [
        "0, 1, 2",
        "0",
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000001000",
        &soft,
        "/",
        "error",
    ];
    ensure!(lines == wanted, "{lines:?}");
    Ok(())
}

pub(crate) fn closes_its_streams() -> Result {
    let mut world = World::obedient()?;
    let pid = world.spawn("a", "echo x; exec <&- >&- 2>&-; exec sleep 1000")?;
    world.wait("drained a")?;
    world.wait("drained a")?;
    ensure!(is_alive(pid) && world.log("a") == b"x\n");
    world.order("write a x")?;
    world.wait("written a false")?;
    world.order("signal a 9 leader")?;
    let end = world.wait("exited a ")?;
    ensure!(end == "signal 9", "{end}");
    Ok(())
}

pub(crate) fn outputs_nowhere() -> Result {
    let mut world = World::obedient()?;
    let pipes = |world: &World| -> Result<Vec<String>> {
        let entries = fs::read_dir(world.path("run"))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<Result<_>>()?;
        names.retain(|name| name.matches('.').count() == 2);
        names.sort();
        Ok(names)
    };
    let targets = "readlink /proc/$$/fd/1 /proc/$$/fd/2";
    let half = format!("half {targets} | sed 's/.*[.]/./' >&2; echo unseen; echo seen >&2; read x");
    world.spawn("a", &half)?;
    until("the half that is seen", || {
        world.log("a.err").ends_with(b"seen\n").then_some(())
    })?;
    let seen = String::from_utf8(world.log("a.err"))?;
    ensure!(seen == "/dev/null\n.err\nseen\n", "{seen}");
    let seen = pipes(&world)?;
    ensure!(
        seen.len() == 2 && seen[0].ends_with(".err") && seen[1].ends_with(".in"),
        "{seen:?}"
    );
    world.order("write a x")?;
    world.wait("exited a exit 0")?;
    until("its end", || (world.count("drained a") == 1).then_some(()))?;
    ensure!(world.log("a").is_empty());
    let told = world.path("told");
    let mute = format!(
        "mute {targets} | cat >{}; echo unseen; echo unseen >&2; read x",
        told.display()
    );
    world.spawn("b", &mute)?;
    let told = until("what it is told", || {
        let told = fs::read_to_string(&told).ok()?;
        (told.lines().count() == 2).then_some(told)
    })?;
    ensure!(told == "/dev/null\n/dev/null\n", "{told}");
    let seen = pipes(&world)?;
    ensure!(seen.len() == 1 && seen[0].ends_with(".in"), "{seen:?}");
    world.order("write b x")?;
    world.wait("exited b exit 0")?;
    ensure!(world.count("drained") == 1 && world.log("b").is_empty());
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn orphans() -> Result {
    let mut world = World::obedient()?;
    world.spawn("a", "(sh -c 'echo $$; exit 5' &) ; exit 0")?;
    let unknown = world.wait("unknown ")?;
    until("its end", || {
        (world.count("exited a exit 0") == 1).then_some(())
    })?;
    until("both ends", || {
        (world.count("drained a") == 2).then_some(())
    })?;
    let pid = String::from_utf8(world.log("a"))?;
    ensure!(unknown == format!("{} exit 5", pid.trim()), "{unknown}");
    Ok(())
}

pub(crate) fn signals() -> Result {
    let mut world = World::obedient()?;
    let script = "trap 'echo leader' USR2; sh -c 'trap \"echo member; exit\" USR2; \
        echo here; while :; do sleep 0.01; done' & echo here; while :; do sleep 0.01; done";
    world.spawn("a", script)?;
    until("two", || (world.log("a") == b"here\nhere\n").then_some(()))?;
    world.order("signal a 12 leader")?;
    world.wait("signalled a true")?;
    until("one", || {
        world.log("a").ends_with(b"leader\n").then_some(())
    })?;
    ensure!(!String::from_utf8(world.log("a"))?.contains("member"));
    world.order("signal a 12 group")?;
    until("both", || {
        let log = String::from_utf8(world.log("a")).ok()?;
        (log.contains("member") && log.matches("leader").count() == 2).then_some(())
    })?;
    world.order("signal a 9 group")?;
    world.wait("exited a signal 9")?;
    world.order("signal a 15 leader")?;
    world.wait("signalled a false")?;
    // The keeper's own are told, once each while it is not done with.
    for signal in [
        Signal::HUP,
        Signal::USR2,
        Signal::INT,
        Signal::QUIT,
        Signal::TERM,
    ] {
        kill_process(pid_of(world.keeper())?, signal)?;
        world.wait(&format!("signal {}", signal.as_raw()))?;
    }
    ensure!(!world.has_ended());
    Ok(())
}

pub(crate) fn cannot_be_executed() -> Result {
    let mut world = World::obedient()?;
    for _ in 0..50 {
        world.order("spawn a exec /nonexistent/program")?;
        let why = world.wait("not spawned a ")?;
        ensure!(why == "Exec 2", "{why}");
    }
    world.spawn("a", "exit 3")?;
    world.wait("exited a exit 3")?;
    ensure!(
        world.count("exited") == 1,
        "nobody is told of the failed ones"
    );
    ensure!(world.count("unknown") == 0);
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn names_and_slots() -> Result {
    let mut world = World::obedient()?;
    let long = "n".repeat(250);
    world.order(&format!("claim {long}"))?;
    world.wait(&format!("claimed {long} 0"))?;
    world.order(&format!("claim {long}n"))?;
    world.wait("refused")?;
    world.order("claim b")?;
    world.wait("claimed b 1")?;
    world.order("claim b")?;
    world.wait("refused b")?;
    world.spawn("b", "read x")?;
    world.order("release b")?;
    world.wait("released b false")?;
    world.order("spawn b true")?;
    world.wait("not spawned b")?;
    world.order("signal b 9 leader")?;
    world.wait("exited b")?;
    world.order("release b")?;
    world.wait("released b true")?;
    world.order("claim c")?;
    world.wait("claimed c 1")?;
    Ok(())
}

pub(crate) fn left_overs() -> Result {
    let mut world = World::obedient()?;
    world.spawn(
        "a",
        "both (read x < /dev/null; while [ ! -e $WARD_TEST_KEEPER_PLACE/go ]; \
        do sleep 0.01; done; echo late) & exit 0",
    )?;
    world.wait("exited a exit 0")?;
    world.spawn("a", "both echo second; sleep 1000")?;
    until("the second", || {
        (world.log("a") == b"second\n").then_some(())
    })?;
    // The next daemon reads from both.
    let daemon = world.daemon()?;
    kill_process(pid_of(daemon)?, Signal::KILL)?;
    world.wait("left over")?;
    world.wait("ready")?;
    fs::write(world.path("go"), "")?;
    until("the first's", || {
        (world.log("a") == b"second\nlate\n").then_some(())
    })?;
    world.wait("drained a")?;
    Ok(())
}

pub(crate) fn a_thousand() -> Result {
    let mut world = World::obedient()?;
    world.order("many 1000 exec /bin/true")?;
    let took: u64 = world.wait("many ")?.parse()?;
    println!("{} us each", took / 1000);
    until("all ends", || {
        (world.count("exited many") == 1000).then_some(())
    })?;
    until("all pipes", || {
        (world.count("drained many") == 2000).then_some(())
    })?;
    ensure!(world.count("unknown") == 0);
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn disk_full() -> Result {
    let mut world = World::new("obey")?;
    fs::create_dir(world.path("run"))?;
    let script = "mount -t tmpfs -o size=300k,mode=700 none $WARD_TEST_KEEPER_PLACE/run && \
        exec \"$0\" \"$@\"";
    let possible = std::process::Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none"])
        .arg(world.path("run"))
        .stderr(std::process::Stdio::null())
        .status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("no namespaces of mounts here");
        return Ok(());
    }
    world.start_below("unshare", &["-m", "sh", "-c", script])?;
    world.wait("ready")?;
    for number in 0..600 {
        world.order(&format!("claim n{number}"))?;
    }
    let why = world.wait("refused ")?;
    ensure!(
        why.ends_with("there is no room in the runtime directory"),
        "{why}"
    );
    // Those that have room live as ever.
    world.spawn("n0", "exit 3")?;
    world.wait("exited n0 exit 3")?;
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.count("crashed") == 0);
    Ok(())
}
