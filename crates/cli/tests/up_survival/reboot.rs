//! After a reboot nothing of before is believed: numbers of processes are others' then.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::json;
use ward_testkit::processes::start_ticks;
use ward_testkit::supervisor::stage::Stage;

use crate::scene::{Scene, Victim};
use crate::{Result, on_stage};

/// The files of a runtime directory that have this name.
fn found(s: &Stage, name: &str) -> Result<PathBuf> {
    let above = s.path(".ward-state").join("up");
    let places = std::fs::read_dir(above)?;
    let mut files = places
        .filter_map(std::result::Result::ok)
        .map(|place| place.path().join(name))
        .filter(|file| file.exists());
    files.next().context("no runtime directory")
}

fn halves_of_this_boot() -> Result<[[u8; 8]; 2]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let number = u128::from_str_radix(&text.trim().replace('-', ""), 16)?;
    let (high, low) = ((number >> 64) as u64, number as u64);
    Ok([high.to_le_bytes(), low.to_le_bytes()])
}

/// Makes a roster one of another boot.
fn forge(s: &Stage) -> Result {
    let file = found(s, "roster")?;
    let mut bytes = std::fs::read(&file)?;
    let [high, low] = halves_of_this_boot()?;
    for half in [high, low] {
        let at = bytes.windows(8).position(|part| part == half);
        bytes[at.context("the boot is not in the roster")?] ^= 0x55;
    }
    std::fs::write(file, bytes)?;
    Ok(())
}

#[test]
fn records_of_another_boot_are_not_believed() -> Result {
    on_stage(|s| {
        let scene = Scene::start(
            s,
            "[program:a]\ncommand=sleep 1000\nstartsecs=0\n\
             [program:b]\ncommand=sleep 1000\nautostart=false\nstartsecs=0\n\
             [program:removed]\ncommand=sleep 1000\nautostart=false\n",
        )?;
        scene.await_state("a", "RUNNING")?;
        scene.d.sv("startProcess", &json!(["b"]))?;
        scene.d.sv("removeProcessGroup", &json!(["removed"]))?;
        // They stand for strangers who have these numbers now.
        let strangers = [scene.d.pid_of("a")?, scene.d.pid_of("b")?];
        let born = strangers.map(start_ticks);
        let before = scene.fell(Victim::Both)?;
        forge(s)?;
        scene.recover(before, Victim::Both)?;
        let info = scene.await_state("a", "RUNNING")?;
        ensure!(info["pid"] != strangers[0], "{info}");
        ensure!(scene.d.state("b")? == "STOPPED");
        ensure!(scene.d.state("removed")? == "STOPPED");
        scene.d.sv("startProcess", &json!(["b"]))?;
        for name in ["a", "b"] {
            scene.d.sv("stopProcess", &json!([name]))?;
        }
        ensure!(strangers.map(start_ticks) == born, "strangers were told");
        Ok(())
    })
}

/// The same without the reboot: what the test above would see of a roster that is believed.
#[test]
fn records_of_this_boot_are_believed() -> Result {
    on_stage(|s| {
        let scene = Scene::start(s, "[program:a]\ncommand=sleep 1000\nstartsecs=0\n")?;
        scene.await_state("a", "RUNNING")?;
        let pid = scene.d.pid_of("a")?;
        scene.strike(Victim::Both)?;
        ensure!(scene.d.pid_of("a")? == pid);
        Ok(())
    })
}
