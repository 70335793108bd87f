//! A daemon is killed between writing down that a program is to stop and telling it so.

use std::path::Path;

use anyhow::ensure;
use serde_json::json;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::supervisor::stage::{CONFIGURATION, Stage};

use crate::scene::{Scene, kill};
use crate::{Result, on_stage};

/// Notes each signal that it hears, and ends by the first.
const HEARS: &str = "#!/bin/sh
trap 'echo TERM >> heard; exit 0' TERM
echo there >> heard
while :; do sleep 0.05; done
";

/// What keeps a system call of the daemon from beginning for so long, microseconds.
const HELD: &str = "pidfd_send_signal:delay_enter=1000000";

/// Starts `ward up` under a tracer that holds each of its signals for a while before it is sent.
fn start_held<'s>(s: &'s Stage<'_>, strace: &Path, rest: &str) -> Result<Scene<'s>> {
    s.configure(rest)?;
    let supervisord = s.kit().program(s.daemon, "supervisord")?;
    let supervisord = supervisord.display().to_string();
    let inject = format!("inject={HELD}");
    let words = [
        "-qq",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=pidfd_send_signal",
        "-e",
        &inject,
        &supervisord,
        "-n",
        "-c",
        CONFIGURATION,
    ];
    let mut started = s.start_by(s.furnished(strace, &words))?;
    started.await_answer()?;
    Scene::of(s, started)
}

/// Waits until a process is held at the beginning of that call: 424, whatever the architecture.
fn held_in_a_signal(pid: i32) -> Result {
    wait_until("the daemon to be held", || {
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall"));
        call.is_ok_and(|call| call.starts_with("424 "))
    })
}

#[test]
fn the_next_daemon_says_at_once_what_the_killed_one_was_about_to_say() -> Result {
    let Some(strace) = in_path("strace") else {
        skipped("strace", "not installed");
        return Ok(());
    };
    on_stage(|s| {
        let program = s.script("hears", HEARS)?.display().to_string();
        let scene = start_held(
            s,
            &strace,
            &format!(
                "[program:a]\ncommand={program}\ndirectory=%(here)s\nstartsecs=0\n\
                 stopwaitsecs=3600\n"
            ),
        )?;
        scene.await_state("a", "RUNNING")?;
        scene.d.await_text("heard", "there")?;
        let pair = scene.pair()?;
        let _asked = scene.d.begin("stopProcess", &json!(["a", false]))?;
        held_in_a_signal(pair.daemon)?;
        kill(pair.daemon)?;
        scene.pair_but(&[pair.daemon])?;
        scene.await_state("a", "STOPPED")?;
        let heard = s.read("heard");
        ensure!(heard == "there\nTERM\n", "{heard:?}");
        Ok(())
    })
}
