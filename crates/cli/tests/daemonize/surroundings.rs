//! What surrounds a daemon: its session, mask, limits and variables, and what it has of the
//! caller's.

use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::processes::{self, look};

use crate::Result;
use crate::place::{TOUCH, each};
use crate::seen::{descriptor, directory, equal, is_gone, mode, status_line};

#[test]
fn a_daemon_is_on_its_own() -> Result {
    each(|place| {
        let pid = place.daemon(&[])?;
        let seen = look(pid).context("gone")?;
        equal("session", seen.session, pid)?;
        equal("process group", seen.group, pid)?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, after) = stat.rsplit_once(") ").context("no name")?;
        equal("terminal", after.split(' ').nth(4), Some("0"))?;
        equal("directory", directory(pid)?, "/".to_owned())?;
        for number in 0..=2 {
            let leads_to = descriptor(pid, number);
            equal("descriptor", leads_to.as_deref(), Some("/dev/null"))?;
        }
        equal(
            "blocked",
            status_line(pid, "SigBlk")?,
            format!("{:016x}", 0),
        )
    })
}

#[test]
fn the_call_returns_at_once_and_holds_nothing() -> Result {
    each(|place| {
        // `output` reads both pipes to their ends, so the daemon has none of them; and whoever
        // started it has ended.
        let pid = place.daemon(&[])?;
        ensure!(!is_gone(pid), "it did not stay");
        let others = place.world.survivors();
        ensure!(others.len() == 1, "{others:#?}");
        Ok(())
    })
}

#[test]
fn the_mask_is_the_callers() -> Result {
    each(|place| {
        let (out, pid_file, lock) = (place.path("out"), place.path("pid"), place.path("lock"));
        let options = ["-o", &out, "-p", &pid_file, "-l", &lock];
        let pid = place.daemon_by(Some("umask 027; exec \"$@\""), &options)?;
        equal("mask", status_line(pid, "Umask")?, "0027".to_owned())?;
        equal("output", mode(&out)?, 0o640)?;
        equal("pid file", mode(&pid_file)?, 0o640)?;
        equal("lock file", mode(&lock)?, 0o600)?;
        let (out, pid_file, lock) = (place.path("out2"), place.path("pid2"), place.path("lock2"));
        let options = ["-o", &out, "-p", &pid_file, "-l", &lock];
        place.daemon_by(Some("umask 0; exec \"$@\""), &options)?;
        equal("output", mode(&out)?, 0o666)?;
        equal("pid file", mode(&pid_file)?, 0o644)?;
        equal("lock file", mode(&lock)?, 0o600)
    })
}

#[test]
fn limits_and_niceness_are_inherited() -> Result {
    each(|place| {
        let wrapper = "ulimit -n 123; exec nice -n 5 \"$@\"";
        let pid = place.daemon_by(Some(wrapper), &[])?;
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .context("no limit")?;
        ensure!(files.contains(" 123 "), "{files}");
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, after) = stat.rsplit_once(") ").context("no name")?;
        equal("niceness", after.split(' ').nth(16), Some("5"))
    })
}

#[test]
fn variables() -> Result {
    each(|place| {
        let daemon = place.lingering();
        let options = [
            "-E", "A=1", "-EB=x=y", "-E", "C=", "-E", "A=2", "-E", "HOME=/h", "-E", "=v",
        ];
        let words: Vec<&str> = options
            .into_iter()
            .chain(daemon.iter().map(String::as_str))
            .collect();
        let mut command = place.command(&words);
        command.env("B", "inherited").env("D", "inherited");
        let pid = place.start(&mut command)?;
        for (name, value) in [
            ("A", Some("2")),
            ("B", Some("x=y")),
            ("C", Some("")),
            ("D", Some("inherited")),
            ("HOME", Some("/h")),
            ("NONE", None),
            ("IFS", Some(" \t\n")),
        ] {
            equal(name, processes::variable(pid, name).as_deref(), value)?;
        }
        for bad in ["A", ""] {
            place.refuses(
                &["-E", bad, TOUCH],
                &format!("Argument to -E (\"{bad}\") is not of the form name=value.\n"),
            )?;
        }
        Ok(())
    })
}

#[test]
fn a_daemon_has_a_path_and_separators() -> Result {
    each(|place| {
        let daemon = place.lingering();
        let words: Vec<&str> = daemon.iter().map(String::as_str).collect();
        let mut command = place.command(&words);
        command.env_remove("PATH").env_remove("IFS");
        let pid = place.start(&mut command)?;
        let path = "/usr/local/sbin:/sbin:/bin:/usr/sbin:/usr/bin";
        equal(
            "PATH",
            processes::variable(pid, "PATH").as_deref(),
            Some(path),
        )?;
        equal(
            "IFS",
            processes::variable(pid, "IFS").as_deref(),
            Some(" \t\n"),
        )?;
        let mut command = place.command(&words);
        command.env("PATH", "/mine").env("IFS", ":");
        let pid = place.start(&mut command)?;
        equal(
            "PATH",
            processes::variable(pid, "PATH").as_deref(),
            Some("/mine"),
        )?;
        equal("IFS", processes::variable(pid, "IFS").as_deref(), Some(":"))
    })
}

#[test]
fn nothing_else_of_the_callers_is_passed_on() -> Result {
    each(|place| {
        let wrapper = "trap '' HUP USR1; exec 7</etc/passwd; exec \"$@\"";
        let pid = place.daemon_by(Some(wrapper), &[])?;
        let ignored = u64::from_str_radix(&status_line(pid, "SigIgn")?, 16)?;
        let is_ignored = |signal: Signal| ignored & (1 << (signal.as_raw() - 1)) != 0;
        let open = descriptor(pid, 7);
        if place.is_ours() {
            ensure!(
                !is_ignored(Signal::HUP) && !is_ignored(Signal::USR1),
                "{ignored:x}"
            );
            equal("descriptor", open, None)
        } else {
            ensure!(
                is_ignored(Signal::HUP) && is_ignored(Signal::USR1),
                "{ignored:x}"
            );
            equal("descriptor", open.as_deref(), Some("/etc/passwd"))
        }
    })
}
