//! Pid files and lock files, and one file that is both.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, ensure};
use rustix::fs::FlockOperation;
use ward_testkit::patience::wait_until;
use ward_testkit::processes;

use crate::Result;
use crate::place::{TOUCH, each};
use crate::seen::{equal, is_locked, mode, pid_in, unlock};

#[test]
fn the_pid_file_has_the_daemons_id() -> Result {
    each(|place| {
        let file = place.path("pid");
        let pid = place.daemon(&["-p", &file])?;
        equal("id", pid_in(&file)?, pid)?;
        equal("text", fs::read_to_string(&file)?, format!("{pid}\n"))?;
        place.end(pid)?;
        // It stays, and the next one replaces what is in it but not its mode.
        fs::write(&file, "1234567890 and more\n")?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        let pid = place.daemon(&[&format!("-p{file}")])?;
        equal("text", fs::read_to_string(&file)?, format!("{pid}\n"))?;
        equal("mode", mode(&file)?, 0o600)
    })
}

#[test]
fn a_daemon_finds_its_own_id() -> Result {
    each(|place| {
        let (file, out) = (place.path("pid"), place.path("out"));
        place.script(&["-p", &file, "-o", &out], &format!("echo $$; cat {file}"))?;
        let out = fs::read_to_string(&out)?;
        let (own, read) = out.split_once('\n').context("no lines")?;
        equal("id", read.trim_end(), own)
    })
}

#[test]
fn the_pid_file_is_there_when_the_call_returns() -> Result {
    each(|place| {
        if !place.is_ours() {
            // It writes the file in its child, and does not wait for that.
            return Ok(());
        }
        let file = place.path("pid");
        for _ in 0..10 {
            place
                .say(&["-p", &file, "/bin/true"])?
                .is_silent_success()?;
            let text = fs::read_to_string(&file)?;
            ensure!(text.trim_end().parse::<i32>().is_ok(), "{text:?}");
            fs::remove_file(&file)?;
        }
        Ok(())
    })
}

#[test]
fn pid_files_that_cannot_be() -> Result {
    each(|place| {
        let nowhere = place.path("nowhere/pid");
        let here = place.path("here");
        fs::create_dir(&here)?;
        for (path, why) in [
            (nowhere.as_str(), "No such file or directory"),
            (here.as_str(), "Is a directory"),
            ("", "No such file or directory"),
        ] {
            place.refuses(
                &["-p", path, TOUCH],
                &format!("Can't create PID file \"{path}\": {why}\n"),
            )?;
        }
        Ok(())
    })
}

#[test]
fn a_relative_pid_file_is_in_both_directories() -> Result {
    each(|place| {
        let there = place.path("there");
        fs::create_dir(&there)?;
        let pid = place.daemon(&["-c", &there, "-p", "pid"])?;
        equal("there", pid_in(&place.path("there/pid"))?, pid)?;
        let here = fs::read_to_string(place.path("pid"))?;
        // The original leaves an empty one where it was started.
        let should = if place.is_ours() {
            format!("{pid}\n")
        } else {
            String::new()
        };
        equal("here", here, should)?;
        // In the same directory it is one file.
        let pid = place.daemon(&["-c", &place.path("."), "-p", "one"])?;
        equal("one", pid_in(&place.path("one"))?, pid)
    })
}

#[test]
fn a_lock_is_held_for_the_daemons_life() -> Result {
    each(|place| {
        let (lock, file, out) = (place.path("lock"), place.path("pid"), place.path("out"));
        let pid = place.daemon(&["-l", &lock, "-p", &file])?;
        equal("id", pid_in(&file)?, pid)?;
        ensure!(is_locked(&lock)?, "not locked");
        equal("content", fs::read_to_string(&lock)?, String::new())?;
        ensure!(
            !processes::descriptors_to(pid, &fs::canonicalize(&lock)?).is_empty(),
            "the daemon does not have it open"
        );
        // A second one is refused before it touches anything.
        fs::write(&out, "kept")?;
        place.refuses(
            &["-l", &lock, "-p", &file, "-o", &out, TOUCH],
            &locked(&lock),
        )?;
        equal("id", pid_in(&file)?, pid)?;
        equal("output", fs::read_to_string(&out)?, "kept".to_owned())?;
        place.end(pid)?;
        wait_until("the lock to be free", || !is_locked(&lock).unwrap_or(true))?;
        place.daemon(&["-l", &lock])?;
        ensure!(is_locked(&lock)?, "not locked again");
        Ok(())
    })
}

pub(crate) fn locked(path: &str) -> String {
    format!("Can't lock the lock file \"{path}\". Is another instance running?\n")
}

#[test]
fn a_lock_goes_on_with_the_daemons_children() -> Result {
    each(|place| {
        let lock = place.path("lock");
        // The daemon puts itself into the background and ends, as daemons do.
        place.script(
            &["-l", &lock],
            &format!("{} &", place.world.hostile_text(&["linger"])),
        )?;
        let child = place.world.await_signatures(1)?[0];
        ensure!(is_locked(&lock)?, "not locked");
        place.refuses(&["-l", &lock, TOUCH], &locked(&lock))?;
        place.end(child)?;
        wait_until("the lock to be free", || !is_locked(&lock).unwrap_or(true))
    })
}

#[test]
fn somebody_elses_lock_counts() -> Result {
    each(|place| {
        let lock = place.path("lock");
        let held = File::create(&lock)?;
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive)?;
        place.refuses(&["-l", &lock, TOUCH], &locked(&lock))?;
        // One that is shared is one too.
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockShared)?;
        place.refuses(&["-l", &lock, TOUCH], &locked(&lock))?;
        unlock(&held)?;
        place.daemon(&["-l", &lock])?;
        Ok(())
    })
}

#[test]
fn the_pid_file_may_be_the_lock() -> Result {
    each(|place| {
        let both = place.path("both");
        let pid = place.daemon(&["-p", &both, "-l", &both])?;
        equal("id", pid_in(&both)?, pid)?;
        equal("mode", mode(&both)?, 0o600)?;
        place.refuses(&["-p", &both, "-l", &both, TOUCH], &locked(&both))?;
        equal("id", pid_in(&both)?, pid)?;
        place.end(pid)?;
        wait_until("the lock to be free", || !is_locked(&both).unwrap_or(true))?;
        let pid = place.daemon(&["-p", &both, "-l", &both])?;
        equal("id", pid_in(&both)?, pid)
    })
}

#[test]
fn lock_files_that_cannot_be() -> Result {
    each(|place| {
        let nowhere = place.path("nowhere/lock");
        for (path, why) in [
            (nowhere.as_str(), "No such file or directory"),
            ("/", "Is a directory"),
            ("", "No such file or directory"),
        ] {
            place.refuses(
                &["-l", path, TOUCH],
                &format!("Can't create lock file \"{path}\": {why}\n"),
            )?;
        }
        Ok(())
    })
}
