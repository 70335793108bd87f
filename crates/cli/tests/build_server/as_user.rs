//! `[build] user=`: `ward up` of root has a build server that is somebody else, and so is everything of it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes;
use ward_testkit::programs::skipped;
use ward_testkit::world::is_root;

use crate::Result;
use crate::scene::{Scene, world};

/// Debian has this user everywhere, who owns nothing.
const USER: &str = "nobody";

const JOB: &str = "[job:who]\nsecrets = TOKEN@=token\nartifacts = made\nscript =\n    #!/bin/sh\n    id -un\n    \
    stat -c 'secret %U %a' \"$TOKEN\"\n    cat \"$TOKEN\" >made\n    stat -c 'made by %U' made\n    \
    echo \"home is $HOME\"\n    \
    echo begun\n    until test -e go; do sleep 0.02; done\n";

fn uid_of(pid: i32) -> Option<u32> {
    let line = processes::status_line(pid, "Uid")?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Everything below a directory belongs to `uid`, and nobody else can read it from its top.
fn belongs_to(path: &Path, uid: u32) -> Result {
    let about = fs::symlink_metadata(path)?;
    ensure!(
        about.uid() == uid,
        "{} is of {}",
        path.display(),
        about.uid()
    );
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            belongs_to(&entry?.path(), uid)?;
        }
    }
    Ok(())
}

fn shut_down(scene: &Scene) -> Result {
    let conf = scene.conf.to_string_lossy().into_owned();
    scene.ward(&["ctl", "-c", &conf, "shutdown"])?.expect(0)?;
    wait_until("everybody to be gone", || scene.world.wards().is_empty())
        .with_context(|| format!("{:#?}", scene.world.wards()))
}

#[test]
fn server_runner_and_steps_are_its_user() -> Result {
    if !is_root() {
        skipped("[build] user=", "who is not root is nobody else");
        return Ok(());
    }
    let world = world()?;
    let scene = Scene::new(&world, &format!("user = {USER}"), JOB)?;
    let conf = scene.conf.to_string_lossy().into_owned();
    scene.ward(&["up", "-c", &conf])?.expect(0)?;
    scene.await_answers()?;
    let home = scene.home();
    let uid = fs::metadata(&home)?.uid();
    ensure!(uid != 0, "the directory is root's");
    // A secret that its user gives; root is told to do it as that user.
    let said = scene.build(&["secret", "set", "token"])?;
    ensure!(
        said.code != Some(0) && said.err.contains("ward run --user"),
        "{said:#?}"
    );
    let program = world.ward_program().to_string_lossy().into_owned();
    let mut setting = scene
        .command(&[
            "run", "--user", USER, "--", &program, "build", "secret", "set", "token", "-c", &conf,
        ])
        .stdin(Stdio::piped())
        .spawn()?;
    setting
        .stdin
        .take()
        .context("asked for")?
        .write_all(b"a-secret-for-nobody-else")?;
    ensure!(setting.wait()?.success(), "the secret was not set");
    let secret = home.join("secrets/token");
    let mode =
        |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o777) };
    ensure!(mode(&home)? == 0o700 && mode(&home.join("secrets"))? == 0o700);
    ensure!(mode(&secret)? == 0o600 && fs::metadata(&secret)?.uid() == uid);

    scene.build(&["start", "who", "-q"])?.expect(0)?;
    scene.await_text("who", 1, "\nbegun\n")?;
    let state = fs::read(home.join("jobs/who/builds/1/state.json"))?;
    let state: serde_json::Value = serde_json::from_slice(&state)?;
    let runner = i32::try_from(state["pid"].as_i64().context("a pid")?)?;
    ensure!(
        uid_of(runner) == Some(uid),
        "the runner is {:?}",
        uid_of(runner)
    );
    let status = scene
        .ward(&["ctl", "-c", &conf, "status", "--json", "builds"])?
        .json()?;
    let server = i32::try_from(status["processes"][0]["pid"].as_i64().context("a pid")?)?;
    ensure!(
        uid_of(server) == Some(uid),
        "the server is {:?}",
        uid_of(server)
    );
    for seen in processes::children(runner) {
        ensure!(uid_of(seen.pid) == Some(uid), "{seen:?}");
    }
    fs::write(home.join("workspaces/who/go"), "")?;
    let shown = scene.over("who", 1)?;
    let log = scene.build(&["log", "who", "1"])?.expect(0)?.out;
    ensure!(shown["result"] == "SUCCESS", "{shown}\n{log}");
    for line in [
        format!("\n{USER}\n"),
        format!("\nsecret {USER} 600\n"),
        format!("\nmade by {USER}\n"),
    ] {
        ensure!(log.contains(&line), "no {line:?} in {log}");
    }
    ensure!(!log.contains("home is /root"), "{log}");
    fs::remove_file(home.join("workspaces/who/go"))?;
    belongs_to(&home, uid)?;
    shut_down(&scene)
}

#[test]
fn a_directory_that_its_user_cannot_write_is_said() -> Result {
    if !is_root() {
        skipped("[build] user=", "who is not root is nobody else");
        return Ok(());
    }
    let world = world()?;
    let scene = Scene::new(
        &world,
        &format!("user = {USER}"),
        "[program:other]\ncommand = sleep 600\n",
    )?;
    fs::create_dir(scene.home())?;
    fs::set_permissions(scene.home(), fs::Permissions::from_mode(0o700))?;
    let conf = scene.conf.to_string_lossy().into_owned();
    scene.ward(&["up", "-c", &conf])?.expect(0)?;
    let said = wait_for("a word about it", || {
        let said = scene.ward(&["ctl", "-c", &conf, "tail", "builds"]).ok()?;
        said.out.contains("hint: ").then_some(said.out)
    })?;
    ensure!(
        said.contains("cannot be the build server")
            && said.contains("Permission denied")
            && said.contains(&scene.home().display().to_string())
            && said.contains("give it the directory"),
        "{said}"
    );
    // Nobody else is touched.
    let other = scene
        .ward(&["ctl", "-c", &conf, "status", "--json", "other"])?
        .json()?;
    ensure!(
        other["processes"][0]["pid"]
            .as_i64()
            .is_some_and(|pid| pid > 0),
        "{other}"
    );
    shut_down(&scene)
}
