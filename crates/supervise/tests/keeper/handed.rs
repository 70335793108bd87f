//! What passes from one program to the next in the same process.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context as _, ensure};
use rustix::process::{Signal, kill_process};

use super::Result;
use super::world::{World, is_alive, pid_of, until};

const WAITING: &str = "both echo begun; while [ ! -e $WARD_TEST_KEEPER_PLACE/go ]; \
    do sleep 0.01; done; echo done; exit 9";

/// A copy of this program at another place.
fn moved() -> Result<World> {
    let mut world = World::new("obey")?;
    let own = std::env::current_exe()?;
    let path = world.path("ward");
    fs::copy(&own, &path)?;
    fs::copy(&own, world.path("ward.new"))?;
    world.executable = path;
    world.start()?;
    world.wait("ready")?;
    Ok(world)
}

fn inode(pid: i32) -> Result<u64> {
    Ok(fs::metadata(format!("/proc/{pid}/exe"))?.ino())
}

pub(crate) fn upgrade() -> Result {
    let mut world = moved()?;
    let pid = world.spawn("a", WAITING)?;
    until("it", || (world.log("a") == b"begun\n").then_some(()))?;
    world.order("keep x")?;
    world.wait("keeping x")?;
    let (keeper, before) = (world.keeper(), inode(world.keeper())?);
    fs::rename(world.path("ward.new"), world.path("ward"))?;
    let new = fs::metadata(world.path("ward"))?.ino();
    // It ends while nobody looks: only the keeper has its pipe open meanwhile.
    fs::write(world.path("go"), "")?;
    world.order("exit 201")?;
    world.wait("kept x")?;
    world.wait("ready")?;
    ensure!(
        before != new && inode(keeper)? == new,
        "the keeper is not the new one"
    );
    ensure!(inode(world.daemon()?)? == new);
    let name = fs::read_to_string(format!("/proc/{keeper}/comm"))?;
    ensure!(name.trim() == "ward", "{name}");
    until("its end", || {
        (world.count("exited a exit 9") == 1).then_some(())
    })?;
    until("its output", || {
        (world.log("a") == b"begun\ndone\n").then_some(())
    })?;
    ensure!(!is_alive(pid) && world.count("unknown") == 0);
    // Twice, and with a program that is found alive.
    let pid = world.spawn("b", "sleep 1000")?;
    world.order("exit 201")?;
    world.wait(&format!("adopted b alive {pid}"))?;
    world.wait("ready")?;
    world.order("signal b 9 leader")?;
    world.wait("exited b signal 9")?;
    world.order("exit 0")?;
    ensure!(world.end()?.code() == Some(0) && world.is_tidy());
    Ok(())
}

pub(crate) fn no_upgrade() -> Result {
    let mut world = moved()?;
    let pid = world.spawn("a", "sleep 1000")?;
    let before = inode(world.keeper())?;
    for replace in [true, false] {
        if replace {
            fs::copy("/bin/true", world.path("true"))?;
            fs::rename(world.path("true"), world.path("ward"))?;
        } else {
            fs::remove_file(world.path("ward"))?;
        }
        world.order("exit 201")?;
        world.wait(&format!("adopted a alive {pid}"))?;
        world.wait("ready")?;
        world.wait("upgrade refused")?;
        ensure!(inode(world.keeper())? == before);
    }
    // A daemon that is killed now is still the old one.
    kill_process(pid_of(world.daemon()?)?, Signal::KILL)?;
    world.wait(&format!("adopted a alive {pid}"))?;
    world.wait("ready")?;
    Ok(())
}

pub(crate) fn kept() -> Result {
    let mut world = World::obedient()?;
    let keys = 400;
    for number in 0..keys {
        world.order(&format!("keep k{number}"))?;
    }
    world.wait(&format!("keeping k{}", keys - 1))?;
    world.order("let_go k7")?;
    world.wait("let go")?;
    for _ in 0..2 {
        let daemon = world.daemon()?;
        kill_process(pid_of(daemon)?, Signal::KILL)?;
        world.wait("ready")?;
    }
    let all = usize::try_from(keys)? - 1;
    ensure!(world.count("kept k") >= all);
    let last = {
        let lines = world.said();
        let from = lines.iter().rposition(|line| line.starts_with("ready"));
        let before = lines.get(..from.context("ready")?).context("lines")?;
        let begun = before.iter().rposition(|line| line.starts_with("ready"));
        let lines = before.get(begun.context("ready")?..).context("lines")?;
        lines
            .iter()
            .filter(|line| line.starts_with("kept k"))
            .count()
    };
    ensure!(last == all, "{last} of {all}");
    // They are the files that they were.
    let keeper = world.keeper();
    let held = fs::read_dir(format!("/proc/{keeper}/fd"))?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|path| path.to_string_lossy().contains("/kept.k"))
        .count();
    ensure!(held == all, "{held}");
    Ok(())
}
