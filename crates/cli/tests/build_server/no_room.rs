//! A disk that is full, really: nothing that was reported is lost, what is wrong is said, and it goes on when
//! there is room.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use ward_testkit::patience::wait_until;
use ward_testkit::programs::skipped;
use ward_testkit::world::is_root;

use crate::Result;
use crate::scene::{Scene, world};

/// A small disk, which goes with the test.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one; none where that may not be.
    fn mount(path: &Path, size: &str) -> Result<Option<Self>> {
        if !is_root() {
            skipped("a full disk", "only root mounts one");
            return Ok(None);
        }
        fs::create_dir_all(path)?;
        let output = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=700"),
                "none",
            ])
            .arg(path)
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            skipped("a full disk", why.trim());
            return Ok(None);
        }
        Ok(Some(Self(path.to_owned())))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it to the last byte.
    fn fill(&self) -> Result {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        for size in [1 << 16, 1 << 12, 1] {
            let piece = vec![b'x'; size];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    fn make_room(&self) -> Result {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file there keeps it until then.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes more than there is room for, waits, and ends with a status of its own.
fn jobs(world: &ward_testkit::world::World) -> String {
    let mark = world.path("mark").display().to_string();
    format!(
        "[job:writer]\nscript =\n    #!/bin/sh\n    touch {mark}-began\n    \
         until test -e {mark}-write; do sleep 0.02; done\n    \
         i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"line $i of very many lines\"; done\n    \
         touch {mark}-wrote\n    until test -e {mark}-end; do sleep 0.02; done\n    echo last\n    exit 7\n\
         [job:sleeper]\nscript = echo asleep; sleep 600\n\
         [job:next]\nscript = echo next\n"
    )
}

fn touch(world: &ward_testkit::world::World, name: &str) -> Result {
    Ok(fs::write(world.path(&format!("mark-{name}")), "")?)
}

fn await_mark(world: &ward_testkit::world::World, name: &str) -> Result {
    wait_until(name, || world.path(&format!("mark-{name}")).exists())
}

fn log_has(scene: &Scene, text: &str) -> bool {
    fs::read_to_string(scene.log()).is_ok_and(|log| log.contains(text))
}

#[test]
fn a_full_disk_costs_a_log_its_lines_and_nothing_else() -> Result {
    let world = world()?;
    let Some(disk) = Disk::mount(&world.path("home"), "12m")? else {
        return Ok(());
    };
    let mut scene = Scene::new(&world, "executors = 3", &jobs(&world))?;
    scene.serve()?;
    scene.build(&["start", "writer", "-q"])?.expect(0)?;
    scene.build(&["start", "sleeper", "-q"])?.expect(0)?;
    await_mark(&world, "began")?;
    scene.await_text("sleeper", 1, "\nasleep\n")?;

    disk.fill()?;
    touch(&world, "write")?;
    await_mark(&world, "wrote")?;
    // What cannot be written is refused, and who asks is told why.
    let said = scene.build(&["start", "next", "-q"])?;
    ensure!(
        said.code != Some(0) && said.err.contains("full"),
        "{said:#?}"
    );
    // What runs can be seen and stopped, by name.
    scene.build(&["show", "writer", "1"])?.expect(0)?;
    scene.build(&["stop", "sleeper", "1"])?.expect(0)?;
    wait_until("the stop to be heeded", || {
        let outcome = scene.outcome("sleeper", 1);
        fs::read_to_string(outcome).is_ok_and(|text| text.contains("ABORTED"))
    })
    .with_context(|| scene.complaints())?;
    touch(&world, "end")?;
    wait_until("the outcome", || scene.outcome("writer", 1).exists())
        .with_context(|| scene.complaints())?;
    disk.make_room()?;
    let shown = scene.over("writer", 1)?;
    ensure!(shown["result"] == "FAILURE", "{shown}");
    ensure!(
        shown["outcome"]["why"] == "step 1 ended with status 7",
        "{shown}"
    );
    let log = scene.build(&["log", "writer", "1"])?.expect(0)?.out;
    ensure!(
        log.contains("bytes of this log are missing") && log.ends_with("\nFinished: FAILURE\n"),
        "{log}"
    );
    let shown = scene.over("sleeper", 1)?;
    ensure!(shown["result"] == "ABORTED", "{shown}");
    scene.build(&["start", "next", "--wait", "-q"])?.expect(0)?;
    scene.end()
}

#[test]
fn a_server_killed_on_a_full_disk_goes_on_when_there_is_room() -> Result {
    let world = world()?;
    let Some(disk) = Disk::mount(&world.path("home"), "12m")? else {
        return Ok(());
    };
    let mut scene = Scene::new(&world, "executors = 1", &jobs(&world))?;
    scene.serve()?;
    scene.build(&["start", "writer", "-q"])?.expect(0)?;
    await_mark(&world, "began")?;
    // One waits, whose number there is no room for.
    scene.build(&["start", "next", "-q"])?.expect(0)?;
    disk.fill()?;
    scene.kill()?;
    touch(&world, "write")?;
    await_mark(&world, "wrote")?;
    touch(&world, "end")?;
    wait_until("the outcome", || scene.outcome("writer", 1).exists())?;
    scene.serve()?;
    wait_until("a word about it", || {
        // The one may find room where something was written before; the other needs a directory.
        log_has(&scene, "writer #1 is over and cannot be recorded")
            || log_has(
                &scene,
                "builds cannot be begun, which is tried again: next: ",
            )
    })
    .with_context(|| scene.complaints())?;
    disk.make_room()?;
    let shown = scene.over("writer", 1)?;
    ensure!(shown["result"] == "FAILURE", "{shown}");
    let shown = scene.over("next", 1)?;
    ensure!(shown["result"] == "SUCCESS", "{shown}");
    scene.end()
}
