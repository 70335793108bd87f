//! What the ledger may come to: a full disk, a directory that cannot be written, numbers that were
//! given again, a boot in between, files cut short. Nothing is started that is not written down,
//! and nobody is harmed who only has the number of somebody else.

#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::daemons::{
    Ask, Member, directory, members, nobody_is_left, shown, spawn, state, stop,
};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::look;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{STATE_VARIABLE, Who, World, is_root};

type Result = anyhow::Result<()>;

const WARDS_OWN_FAILURE: i32 = 125;

/// Starts a daemon where the state directory is on a full disk. The disk is mounted for this
/// one process and its children only, and is gone with them.
#[test]
fn a_full_disk() -> Result {
    if !is_root() || in_path("unshare").is_none() {
        skipped("a full disk", "only root can mount one, by unshare");
        return Ok(());
    }
    let world = world!()?;
    let disk = world.path("disk");
    fs::create_dir(&disk)?;
    let (ward, place) = (text(world.ward_program()), text(&disk));
    let daemon = world.hostile_text(&["linger"]);
    // Full from the start, and with room for the directories but not for what is in them.
    for size in ["4k", "20k", "24k", "28k"] {
        let script = format!(
            "mount -t tmpfs -o size={size} ward-test {place} || exit 77
             mkdir -p {place}/state/daemons
             cat /dev/zero >{place}/filler 2>/dev/null
             {ward} spawn --name web -- {daemon}"
        );
        let answer = Ask::of(&world, Who::Myself, "unshare".as_ref())
            .words(["--mount", "/bin/sh", "-c", &script, world.mark()])
            .variable(STATE_VARIABLE, disk.join("state"))
            .answer()?;
        if answer.code() == 77 {
            skipped(
                "a full disk",
                &format!("nothing can be mounted here: {}", answer.err),
            );
            return Ok(());
        }
        ensure!(
            answer.code() == WARDS_OWN_FAILURE
                && answer.err.starts_with("ward: ")
                && answer.err.contains("No space left"),
            "{size}: {answer:#?}"
        );
        ensure!(world.signed().is_empty(), "{size}: it was started");
        nobody_is_left(&world)?;
    }
    Ok(())
}

#[test]
fn a_state_directory_that_cannot_be_written() -> Result {
    let world = world!()?;
    let file = world.path("file");
    fs::write(&file, "")?;
    let locked = world.path("locked");
    fs::create_dir(&locked)?;
    fs::set_permissions(&locked, Permissions::from_mode(0o555))?;
    let mut rows = vec![
        (Who::Myself, file.clone()),
        (Who::Myself, file.join("below")),
    ];
    if is_root() {
        rows.push((Who::Ordinary, locked.clone()));
        rows.push((Who::Ordinary, locked.join("below")));
    }
    for (who, place) in rows {
        let answer = Ask::by(&world, who, ["spawn", "--name", "web"])
            .hostile(&["linger"])
            .variable(STATE_VARIABLE, &place)
            .expect(WARDS_OWN_FAILURE)?;
        ensure!(
            answer.err.starts_with("ward: ") && answer.err.contains(&text(&place)),
            "{answer:#?}"
        );
        ensure!(world.signed().is_empty(), "it was started");
        nobody_is_left(&world)?;
    }
    Ok(())
}

/// Somebody who has nothing to do with any of this, and does not even carry the mark in his
/// environment; ended with the value.
struct Innocent(Child);

impl Innocent {
    fn new(world: &World) -> anyhow::Result<Self> {
        let child = Command::new(world.hostile_program())
            .args(["--life=100", "linger"])
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    fn member(&self) -> anyhow::Result<Member> {
        Member::now(self.0.id().cast_signed())
    }

    fn is_well(&self) -> bool {
        look(self.0.id().cast_signed()).is_some_and(|seen| !seen.is_zombie())
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon that has ended with both custodians, without any of them having written it down.
fn a_daemon_that_is_gone(world: &World) -> Result {
    let before = spawn(world, "web", &[], &["linger"])?;
    for member in [before.front, before.guardian, before.leader] {
        world.signal(member.pid, Signal::KILL);
        wait_until("it to be gone", || !member.is_alive())?;
    }
    wait_until("the others", || world.wards().is_empty())
}

/// Writes somebody else into the ledger, in the place of everybody.
fn write_processes(world: &World, member: Member) -> Result {
    let roles: Vec<String> = members(world, "web")?
        .into_iter()
        .map(|(role, _)| format!("{role} {} {}\n", member.pid, member.ticks))
        .collect();
    ensure!(roles.len() >= 3, "{roles:?}");
    fs::write(directory(world, "web").join("processes"), roles.concat())?;
    Ok(())
}

fn harms_nobody(world: &World, innocent: &Innocent) -> Result {
    let status = Ask::new(world, ["status", "web"]).expect(3)?;
    ensure!(innocent.is_well(), "{status:#?}");
    ensure!(
        shown(world, "web")?.context("not shown")?["state"] != "running"
            && state(world, "web")? != "unguarded"
    );
    for words in [&["stop", "web"][..], &["stop", "--force", "web"]] {
        let answer = Ask::new(world, words).expect(0)?;
        ensure!(innocent.is_well(), "{answer:#?}");
    }
    spawn(world, "web", &["--replace"], &["linger"])?;
    stop_only(world, innocent)?;
    ensure!(innocent.is_well(), "killed by what came after");
    Ok(())
}

/// Ends the daemon; the innocent runs a program of this world, and so belongs to it.
fn stop_only(world: &World, innocent: &Innocent) -> Result {
    Ask::new(world, ["stop", "web"]).expect(0)?;
    let innocent = innocent.member()?.pid;
    let left: Vec<_> = world
        .survivors()
        .into_iter()
        .filter(|seen| seen.pid != innocent)
        .collect();
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}

/// The numbers in the ledger have been given to somebody else.
#[test]
fn a_number_that_was_given_again() -> Result {
    let world = world!()?;
    let innocent = Innocent::new(&world)?;
    a_daemon_that_is_gone(&world)?;
    let Member { pid, ticks } = innocent.member()?;
    // Started a moment before, as the number is the same and the process is not.
    write_processes(
        &world,
        Member {
            pid,
            ticks: ticks - 1,
        },
    )?;
    harms_nobody(&world, &innocent)
}

/// The machine was started again, and somebody has the number and the time of the old one.
#[test]
fn a_ledger_from_before_the_last_boot() -> Result {
    let world = world!()?;
    let innocent = Innocent::new(&world)?;
    a_daemon_that_is_gone(&world)?;
    write_processes(&world, innocent.member()?)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let path = directory(&world, "web").join("entry");
    let entry = fs::read_to_string(&path)?;
    ensure!(entry.contains(boot.trim()), "no boot in {entry}");
    let other = "00000000-0000-4000-8000-000000000000";
    fs::write(&path, entry.replace(boot.trim(), other))?;
    harms_nobody(&world, &innocent)
}

/// Files that were cut short, are empty, or contain anything: whoever else is in the ledger is
/// still shown, and whoever is meant by them is named.
#[test]
fn a_ledger_that_is_damaged() -> Result {
    let damages: [(&str, &[u8]); 6] = [
        ("entry", b""),
        ("entry", b"{\"command\": [\"sle"),
        ("entry", b"\xff\xfe\x00 nonsense"),
        ("processes", b"front 1"),
        (
            "processes",
            b"leader x y\nfront -1 -1\nguardian 1 99999999999999999999\n\xff\n",
        ),
        ("report.json", b"{"),
    ];
    let mut wrong = Vec::new();
    for (file, contents) in damages {
        if let Err(error) = a_damage(file, contents) {
            let contents = String::from_utf8_lossy(contents);
            wrong.push(format!("{file}: {contents:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn a_damage(file: &str, contents: &[u8]) -> Result {
    let world = world!()?;
    a_daemon_that_is_gone(&world)?;
    let other = spawn(&world, "other", &[], &["linger"])?;
    fs::write(directory(&world, "web").join(file), contents)?;
    let shown = shown(&world, "other")?.context("the other is not shown")?;
    assert_eq!(shown["state"], "running");
    let answer = Ask::new(&world, ["status", "web"]).answer()?;
    // It does not run, or that cannot be known.
    ensure!([3, 4, 125].contains(&answer.code()), "{answer:#?}");
    ensure!(!answer.err.contains("panicked"), "{answer:#?}");
    let answer = Ask::new(&world, ["stop", "web"]).answer()?;
    ensure!(
        !answer.err.contains("panicked") && answer.code() != 101,
        "{answer:#?}"
    );
    ensure!(other.leader.is_alive());
    // Nobody of it is alive, as the lock and the numbers say: the name can be used again.
    spawn(&world, "web", &["--replace"], &["linger"])?;
    stop(&world, &["web", "other"])?;
    Ok(())
}

/// The ledger is removed under a daemon that runs: whoever made it is not lost for it.
#[test]
fn a_ledger_that_is_removed() -> Result {
    let world = world!()?;
    let before = spawn(&world, "web", &[], &["linger"])?;
    fs::remove_dir_all(directory(&world, "web"))?;
    ensure!(before.leader.is_alive());
    // It still ends when its custodian is asked, which a person can do too.
    world.signal(before.front.pid, Signal::TERM);
    wait_until("everybody to end", || {
        world.survivors().is_empty() && world.wards().is_empty()
    })
    .with_context(|| format!("{:#?} {:#?}", world.survivors(), world.wards()))
}
