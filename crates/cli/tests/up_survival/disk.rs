//! A disk that is full: output waits, it is said, and when there is room everything is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;
use ward_testkit::hostile::noise::numbered_line;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{hostile, skipped};

use crate::logs::await_log;
use crate::scene::{ALL, Scene};
use crate::{Result, on_stage};

struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).ok()?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs"]);
        let done = command.arg(at).output().ok()?;
        done.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const LINES: u64 = 30_000;

#[test]
fn a_full_disk_loses_nothing() -> Result {
    for strip in [false, true] {
        for victim in ALL.into_iter().map(Some).chain([None]) {
            on_stage(|s| {
                let Some(_small) = Small::mount(&s.path("small")) else {
                    skipped("a full disk", "cannot mount a file system");
                    return Ok(());
                };
                let filler = s.write("small/filler", vec![0; 150 * 1024])?;
                let hostile = hostile()?.display();
                let head = ward_testkit::supervisor::stage::HEAD
                    .replace("childlogdir", &format!("strip_ansi={strip}\nchildlogdir"));
                s.configure_all(&format!(
                    "{head}[program:a]\n\
                     command=sh -c '{hostile} numbered-lines {LINES} 0; exec sleep 1000'\n\
                     startsecs=0\nstdout_logfile=%(here)s/small/a.log\nstdout_logfile_maxbytes=0\n"
                ))?;
                let scene = Scene::start_configured(s)?;
                wait_until("the disk to be full", || {
                    s.read("d.log").to_lowercase().contains("no space left")
                })?;
                if let Some(victim) = victim {
                    scene.strike(victim)?;
                }
                ensure!(scene.d.state("a")? == "RUNNING");
                // 480 kB do not fit in any case: first some, then all.
                std::fs::remove_file(&filler)?;
                let more = s.path("small").display().to_string();
                let grown = Command::new("mount")
                    .args(["-o", "remount,size=2m", &more])
                    .status()?;
                ensure!(grown.success());
                let sent: String = (1..=LINES).map(numbered_line).collect();
                await_log(s, "small/a.log", sent.as_bytes())?;
                Ok(())
            })
            .map_err(|error| error.context(format!("strip {strip}, {victim:?}")))?;
        }
    }
    Ok(())
}
