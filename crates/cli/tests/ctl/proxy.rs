//! `pidproxy`, and the sample of a configuration.

use std::process::{Child, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::look;

use crate::Result;
use crate::or_skip;
use crate::pairs::{kit, stage};

/// A proxy, its pid file, and what its command tells.
struct Proxy {
    child: Child,
    place: TempDir,
}

impl Proxy {
    /// `script` runs in the directory of the files; `pid` is the pid file.
    fn start(script: &str, before: &str) -> Result<Self> {
        let place = tempfile::tempdir()?;
        if !before.is_empty() {
            std::fs::write(place.path().join("pid"), before)?;
        }
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_ward"))
            .args(["pidproxy", "pid", "/bin/sh", "-c", script])
            .current_dir(place.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(place.path().join("out"))?)
            .spawn()?;
        Ok(Self { child, place })
    }

    fn await_file(&self, name: &str) -> Result<String> {
        wait_for(name, || {
            let text = std::fs::read_to_string(self.place.path().join(name));
            text.ok().filter(|text| text.ends_with('\n'))
        })
    }

    fn signal(&self, signal: Signal) -> Result {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    fn end(&mut self) -> Result<Option<i32>> {
        let status = wait_for("the end of the proxy", || {
            self.child.try_wait().ok().flatten()
        })?;
        Ok(status.code())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let pid = std::fs::read_to_string(self.place.path().join("daemon"));
        let pid = pid
            .ok()
            .and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Detaches, and notes the pid and every signal in files.
const DAEMON: &str = "\
setsid sh -c 'trap \"echo HUP >>heard\" HUP; trap \"echo TERM >>heard; exit\" TERM
echo $$ >daemon; cp daemon pid
while :; do sleep 0.05; done' >/dev/null 2>&1 &
while ! [ -s pid ]; do sleep 0.05; done";

#[test]
fn it_stands_for_a_daemon_that_has_detached_itself() -> Result {
    let mut proxy = Proxy::start(DAEMON, "")?;
    let daemon: i32 = proxy.await_file("pid")?.trim().parse()?;
    proxy.signal(Signal::HUP)?;
    ensure!(proxy.await_file("heard")? == "HUP\n");
    ensure!(
        proxy.child.try_wait()?.is_none(),
        "it did not wait for the daemon"
    );
    proxy.signal(Signal::TERM)?;
    ensure!(proxy.end()? == Some(0));
    ensure!(proxy.await_file("heard")? == "HUP\nTERM\n");
    wait_until("the daemon's end", || {
        look(daemon).is_none_or(|seen| seen.is_zombie())
    })
}

#[test]
fn it_ends_with_its_command() -> Result {
    // A pid file of old names somebody who is none of ours: this test.
    let ourselves = format!("{}\n", std::process::id());
    for (script, before, code) in [
        ("exit 3", "", 3),
        ("exit 3", ourselves.as_str(), 3),
        ("kill -9 $$", "", 137),
        ("exit 0", "1\n", 0),
    ] {
        let mut proxy = Proxy::start(script, before)?;
        ensure!(proxy.end()? == Some(code), "{script}");
    }
    Ok(())
}

#[test]
fn without_a_pid_file_the_command_is_told() -> Result {
    let script = "trap 'echo TERM >heard; exit 5' TERM; echo >up; while :; do sleep 0.05; done";
    let mut proxy = Proxy::start(script, "")?;
    proxy.await_file("up")?;
    proxy.signal(Signal::TERM)?;
    ensure!(proxy.end()? == Some(0));
    ensure!(proxy.await_file("heard")? == "TERM\n");
    ensure!(proxy.await_file("out")? == "Can't read child pidfile pid!\n");
    Ok(())
}

#[test]
fn what_cannot_be_started_is_told() -> Result {
    let ward = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ward"));
        command.arg("pidproxy").args(words).output()
    };
    for (words, code) in [
        (&[][..], 1),
        (&["pid"], 1),
        (&["pid", "/nonexistent"], 127),
        (&["pid", "/etc/passwd"], 126),
        // It is a path, and is not searched for.
        (&["pid", "true"], 127),
    ] {
        let output = ward(words)?;
        ensure!(output.status.code() == Some(code), "{words:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn the_sample_is_read_by_everybody() -> Result {
    let ward = env!("CARGO_BIN_EXE_ward");
    let sample = std::process::Command::new(ward)
        .arg("echo_supervisord_conf")
        .output()?;
    ensure!(sample.status.success());
    let place = tempfile::tempdir()?;
    // As it is, and with every comment that is a key or a section put to work.
    let text = String::from_utf8(sample.stdout)?;
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix(';') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    for (name, text, is_whole) in [("sample", &text, true), ("all", &all, false)] {
        let path = place.path().join(name);
        std::fs::write(&path, text)?;
        let check = std::process::Command::new(ward)
            .args(["check", "--elsewhere", "--json", "-c"])
            .arg(&path)
            .output()?;
        let told: serde_json::Value = serde_json::from_slice(&check.stdout)?;
        // What the examples name is not there; every key is known.
        let found = told["diagnostics"].to_string();
        ensure!(!found.contains("is no key of"), "{found}");
        ensure!(!is_whole || check.status.success(), "{found}");
    }
    let kit = or_skip!(kit());
    let stage = stage(kit)?;
    stage
        .configure_all(&text.replace("/tmp/supervisor", &format!("{}/supervisor", stage.here())))?;
    let command = stage.command("supervisord", &["-n", "-c", "c.conf"])?;
    let daemon = ward_testkit::supervisor::daemon::Daemon::start_unready(&stage, command)?;
    daemon.await_that("the sample's daemon", || {
        stage
            .read("supervisord.log")
            .contains("supervisord started with pid")
    })
}
