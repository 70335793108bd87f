//! `tail -f` and `fg`: what grows, and Ctrl-C.

use std::process::{Child, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use ward_testkit::patience::wait_for;
use ward_testkit::run::Capture;
use ward_testkit::supervisor::stage::Stage;

use crate::Result;
use crate::or_skip;
use crate::pairs::{Side, kit, send, stage};

/// A client that goes on.
struct Going {
    child: Child,
    out: Capture,
}

impl Going {
    fn start(side: &Side, words: &[&str]) -> Result<Self> {
        let words = [&["-c", "c.conf"], words].concat();
        let mut command = side.stage.furnished(&side.program, &words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let out = Capture::of(child.stdout.take().context("no stdout")?.into());
        Ok(Self { child, out })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out.so_far()).into_owned()
    }

    fn expect(&self, text: &str) -> Result {
        wait_for(text, || self.text().contains(text).then_some(())).with_context(|| self.text())
    }

    fn say(&mut self, line: &str) -> Result {
        send(self.child.stdin.as_mut().context("no stdin")?, line)
    }

    /// Ctrl-C, and everything that was printed.
    fn interrupt(mut self) -> Result<(String, Option<i32>)> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no pid")?;
        kill_process(pid, Signal::INT)?;
        let status = wait_for("its end", || self.child.try_wait().ok().flatten())?;
        wait_for("the end of its output", || {
            self.out.is_at_end().then_some(())
        })?;
        Ok((self.text(), status.code()))
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours<'s>(stages: &'s [Stage<'s>; 2]) -> Result<Side<'s>> {
    let [_, ours] = Side::both(stages)?;
    ensure!(ours.is_ours);
    Ok(ours)
}

#[test]
fn a_log_is_followed_until_it_is_interrupted() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let daemon = stages[1].start("[program:cat]\ncommand=/bin/cat\n")?;
    daemon.await_state("cat", "RUNNING")?;
    let side = ours(&stages)?;
    daemon.sv("sendProcessStdin", &serde_json::json!(["cat", "first\n"]))?;
    for words in [&["tail", "-f", "cat"][..], &["tail", "-f", "cat", "stdout"]] {
        let going = Going::start(&side, words)?;
        going.expect("first\n")?;
        daemon.sv("sendProcessStdin", &serde_json::json!(["cat", "later\n"]))?;
        going.expect("later\n")?;
        let (text, code) = going.interrupt()?;
        ensure!(code == Some(0), "{code:?}");
        ensure!(
            text.starts_with("==> Press Ctrl-C to exit <==\nfirst\n"),
            "{text}"
        );
        ensure!(text.ends_with("later\n\n"), "{text:?}");
    }
    let going = Going::start(&side, &["maintail", "-f"])?;
    going.expect("entered RUNNING state")?;
    let (_, code) = going.interrupt()?;
    ensure!(code == Some(0), "{code:?}");
    Ok(())
}

#[test]
fn a_process_in_the_foreground_hears_and_is_heard() -> Result {
    let kit = or_skip!(kit());
    let stages = [stage(kit)?, stage(kit)?];
    let daemon = stages[1].start("[program:cat]\ncommand=/bin/cat\n")?;
    daemon.await_state("cat", "RUNNING")?;
    let side = ours(&stages)?;
    let mut going = Going::start(&side, &["fg", "cat"])?;
    going.say("one\n")?;
    going.expect("one\n")?;
    going.say("two\n")?;
    going.expect("two\n")?;
    let (text, code) = going.interrupt()?;
    ensure!(code == Some(0), "{code:?}");
    let expected = "==> Press Ctrl-C to exit <==\none\ntwo\nExiting foreground\n";
    ensure!(text == expected, "{text:?}");
    ensure!(daemon.state("cat")? == "RUNNING");

    let mut going = Going::start(&side, &["fg", "cat"])?;
    going.expect("==> Press Ctrl-C to exit <==\n")?;
    daemon.sv("stopProcess", &serde_json::json!(["cat"]))?;
    going.say("three\n")?;
    going.expect("Process got killed\nExiting foreground\n")?;
    Ok(())
}
