//! `ward build local`: without a server.

use std::fs;

use anyhow::ensure;

use crate::Result;
use crate::scene::{Said, Scene, repository, world};

const JOB: &str = "[job]
artifacts = *.out
junit = *.xml
junit_allow_empty = true
script =
    cat input
    cp input made.out
    test ! -e fail
";

fn local(scene: &Scene, place: &std::path::Path, words: &[&str]) -> Result<Said> {
    let words = [&["build", "local"], words].concat();
    Scene::run(scene.command(&words).current_dir(place))
}

#[test]
fn the_job_of_a_checkout_is_built_where_it_is() -> Result {
    let world = world()?;
    let scene = Scene::new(&world, "", "")?;
    let files = [(".ward.conf", JOB), ("input", "committed\n")];
    let Some(place) = repository(&world.path("checkout"), &files)? else {
        return Ok(());
    };
    fs::write(place.join("input"), "changed\n")?;
    let below = place.join("below");
    fs::create_dir(&below)?;
    let said = local(&scene, &below, &[])?.expect(0)?;
    ensure!(
        said.out.contains("\nchanged\n"),
        "files as they are: {said:#?}"
    );
    ensure!(said.out.ends_with("Finished: SUCCESS\n"), "{said:#?}");
    ensure!(said.err.contains("1 artifact in "), "{said:#?}");
    ensure!(
        fs::read_to_string(place.join("made.out"))? == "changed\n",
        "in place"
    );

    // The commit, in a place of its own.
    fs::remove_file(place.join("made.out"))?;
    let said = local(&scene, &place, &["--clean"])?.expect(0)?;
    ensure!(said.out.contains("\ncommitted\n"), "{said:#?}");
    ensure!(!place.join("made.out").exists(), "elsewhere");

    fs::write(place.join("fail"), "")?;
    let said = local(&scene, &place, &[])?.expect(1)?;
    ensure!(said.out.ends_with("Finished: FAILURE\n"), "{said:#?}");
    ensure!(world.survivors().is_empty(), "{:#?}", world.survivors());
    Ok(())
}

#[test]
fn a_job_of_the_configuration_is_built_with_its_parameters() -> Result {
    let world = world()?;
    let jobs = "[job:a]\nparameters = WHO = nobody\nclean = wipe\nscript = echo \"hello $WHO\"; ls\n[job:b]\nscript = exit 9\nunstable_status = 9\n";
    let scene = Scene::new(&world, "", jobs)?;
    let place = world.path("plain");
    fs::create_dir(&place)?;
    fs::write(place.join("precious"), "")?;
    let conf = scene.conf.to_string_lossy().into_owned();
    let said = local(
        &scene,
        &place,
        &["-c", &conf, "--job", "a", "-p", "WHO=you"],
    )?
    .expect(0)?;
    ensure!(said.out.contains("\nhello you\n"), "{said:#?}");
    ensure!(
        place.join("precious").exists(),
        "what is here is somebody's work"
    );
    local(&scene, &place, &["-c", &conf, "--job", "b"])?.expect(117)?;
    let said = local(&scene, &place, &["-c", &conf])?.expect(2)?;
    ensure!(
        said.err.contains("hint: name one with --job; it has a, b"),
        "{said:#?}"
    );
    local(&scene, &place, &["-c", &conf, "--job", "c"])?.expect(121)?;
    let said = local(&scene, &place, &["-c", &conf, "--job", "a", "-p", "X=1"])?.expect(2)?;
    ensure!(said.err.contains("hint: it has WHO"), "{said:#?}");
    Ok(())
}

#[test]
fn a_file_that_says_too_much_is_refused() -> Result {
    let world = world()?;
    let scene = Scene::new(&world, "", "")?;
    let files = [(".ward.conf", "[job]\nscript = true\nuser = root\n")];
    let Some(place) = repository(&world.path("checkout"), &files)? else {
        return Ok(());
    };
    let said = local(&scene, &place, &[])?.expect(2)?;
    ensure!(said.err.contains(".ward.conf:3"), "{said:#?}");
    Ok(())
}

#[test]
fn a_signal_is_a_stop() -> Result {
    let world = world()?;
    let scene = Scene::new(&world, "", "")?;
    let job = "[job]\nscript =\n    trap 'echo cleaned; exit 0' TERM\n    echo begun >begun\n    sleep 600 & wait\n";
    let Some(place) = repository(&world.path("checkout"), &[(".ward.conf", job)])? else {
        return Ok(());
    };
    let building = scene
        .command(&["build", "local"])
        .current_dir(&place)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    ward_testkit::patience::wait_until("the script", || place.join("begun").exists())?;
    let pid = rustix::process::Pid::from_raw(building.id().cast_signed());
    let pid = anyhow::Context::context(pid, "no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    let output = building.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(123), "{output:?}");
    ensure!(text.contains("\ncleaned\n"), "{text}");
    ensure!(text.ends_with("Finished: ABORTED\n"), "{text}");
    ensure!(world.survivors().is_empty(), "{:#?}", world.survivors());
    Ok(())
}

/// Commands within the steps hold their locks in the cluster that the configuration names.
#[test]
fn steps_are_told_of_the_cluster() -> Result {
    let world = world()?;
    let jobs = "[cluster]\nendpoints = http://127.0.0.1:1\nprefix = /ours\n\
                [job:a]\nscript = echo \"at $WARD_ETCD_ENDPOINTS below $WARD_ETCD_PREFIX\"\n";
    let mut scene = Scene::new(&world, "", jobs)?;
    let expected = "\nat http://127.0.0.1:1 below /ours\n";
    let place = world.path("plain");
    fs::create_dir(&place)?;
    let conf = scene.conf.to_string_lossy().into_owned();
    let said = local(&scene, &place, &["-c", &conf, "--job", "a"])?.expect(0)?;
    ensure!(said.out.contains(expected), "{said:#?}");
    scene.serve()?;
    let said = scene.build(&["start", "a", "--wait", "-f"])?.expect(0)?;
    ensure!(said.out.contains(expected), "{said:#?}");
    scene.end()?;

    // The same without a server of its own.
    fs::write(&conf, jobs)?;
    let said = local(&scene, &place, &["-c", &conf, "--job", "a"])?.expect(0)?;
    ensure!(said.out.contains(expected), "{said:#?}");
    Ok(())
}
