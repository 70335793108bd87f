//! The server's own process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;
use ward_testkit::patience::{LIMIT, wait_until};

use crate::Result;
use crate::scene::{Scene, world};

const JOB: &str = "[job:one]\nscript = true\n";

#[test]
fn a_directory_has_one_server_and_is_its_owners_alone() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", JOB)?;
    scene.serve()?;
    let said = scene.build(&["serve"])?.expect(122)?;
    let pid = scene.pid()?.to_string();
    ensure!(
        said.err.contains(&pid) && said.err.contains("hint: "),
        "{said:#?}"
    );
    scene.await_answers()?;
    let home = scene.home();
    let mode = |name: &str| -> Result<u32> {
        Ok(fs::metadata(home.join(name))?.permissions().mode() & 0o777)
    };
    ensure!(
        mode(".")? == 0o700 && mode("control.sock")? == 0o600,
        "{home:?}"
    );
    scene.end()?;
    ensure!(!home.join("control.sock").exists(), "it is taken away");
    Ok(())
}

#[test]
fn a_configuration_that_cannot_be_used_changes_nothing() -> Result {
    let world = world()?;
    let mut scene = Scene::new(&world, "", JOB)?;
    scene.serve()?;
    scene.write("executors = none", "[job:two]\nscript = true\n")?;
    scene.signal(Signal::HUP)?;
    wait_until("a word about it", || {
        fs::read_to_string(scene.log()).is_ok_and(|log| log.contains("everything stays as it was"))
    })?;
    // Where the server is, is asked of the file.
    scene.write("", "[job:two]\nscript = true\n")?;
    scene.build(&["start", "one", "--wait", "-q"])?.expect(0)?;
    scene.build(&["start", "two"])?.expect(121)?;
    scene.signal(Signal::HUP)?;
    wait_until("the new job", || {
        scene
            .build(&["start", "two", "-q"])
            .is_ok_and(|said| said.code == Some(0))
    })?;
    scene.end()
}

#[test]
fn without_a_section_there_is_no_server() -> Result {
    let world = world()?;
    let scene = Scene::new(&world, "", JOB)?;
    fs::write(&scene.conf, "[supervisord]\n[job:one]\nscript = true\n")?;
    let said = scene.build(&["serve"])?.expect(2)?;
    ensure!(said.err.contains("has no section [build]"), "{said:#?}");
    scene.build(&["list"])?.expect(118)?;
    fs::write(&scene.conf, "[build]\nexecutors = many\n")?;
    let said = scene.build(&["serve"])?.expect(2)?;
    ensure!(
        said.err.contains("ward.conf:2:"),
        "it is told where: {said:#?}"
    );
    Ok(())
}

#[test]
fn a_service_manager_is_told_when_it_is_ready() -> Result {
    let world = world()?;
    let scene = Scene::new(&world, "", JOB)?;
    let place = world.path("notify.sock");
    let socket = UnixDatagram::bind(&place)?;
    socket.set_read_timeout(Some(Duration::max(LIMIT, Duration::from_secs(1))))?;
    let conf = scene.conf.to_string_lossy().into_owned();
    let mut server = scene
        .command(&["build", "serve", "-c", &conf])
        .env("NOTIFY_SOCKET", &place)
        .stderr(fs::File::create(scene.log())?)
        .spawn()?;
    let mut message = [0; 64];
    let length = socket.recv(&mut message)?;
    ensure!(
        message.get(..length) == Some(&b"READY=1\n"[..]),
        "{message:?}"
    );
    scene.build(&["list"])?.expect(0)?;
    server.kill()?;
    server.wait()?;
    Ok(())
}
