//! The files and the command line: which says what, and which wins.

use std::fs;

use anyhow::ensure;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::World;

use crate::Result;
use crate::place::{BUSY, FAILED, Holder, flom, just};

/// The line that `-V` tells of a key.
fn told(world: &World, options: &[&str], key: &str) -> Result<Vec<String>> {
    let answer = flom(world, options).words(["--", "true"]).expect(0)?;
    let lines = answer.out.lines().filter(|line| line.contains(key));
    Ok(lines.map(str::to_owned).collect())
}

#[test]
fn each_layer_wins_over_the_one_before() -> Result {
    let world = world!()?;
    let name = |options: &[&str]| told(&world, options, "]/Name=");
    assert_eq!(name(&["-V"])?, ["[Resource]/Name='_RESOURCE'"]);
    fs::write(
        world.path("flom.conf"),
        "[Resource]\nName=OfHost\nTimeout=1\n",
    )?;
    assert_eq!(name(&["-V"])?, ["[Resource]/Name='OfHost'"]);
    fs::write(
        world.path(".flom"),
        "[Resource]\nName=OfUser\n[Trace]\nVerbose=yes\n",
    )?;
    assert_eq!(name(&[])?, ["[Resource]/Name='OfUser'"]);
    fs::write(world.path("custom"), "[Resource]\nName=Custom\n")?;
    let custom = text(world.path("custom"));
    assert_eq!(name(&["-c", &custom])?, ["[Resource]/Name='Custom'"]);
    assert_eq!(name(&["-c", "custom"])?, ["[Resource]/Name='Custom'"]);
    assert_eq!(
        name(&["-c", &custom, "-r", "Given"])?,
        ["[Resource]/Name='Given'"]
    );
    // What the others say of other things holds all the same.
    let timeout = told(&world, &["-c", &custom], "]/Timeout=")?;
    assert_eq!(timeout, ["[Resource]/Timeout=1"]);
    Ok(())
}

#[test]
fn default_value_on_command_line_overrides_config() -> Result {
    let world = world!()?;
    fs::write(
        world.path("flom.conf"),
        "[Resource]\nTimeout=0\nIdleLifespan=9\nQuantity=2\nCreate=no\nLockMode=PR\n\
         [Daemon]\nLifespan=7\nUnicastPort=1\n[Network]\nDiscoveryAttempts=9\n",
    )?;
    for (options, line) in [
        (["-o", "-1"], "[Resource]/Timeout=-1"),
        (["-i", "0"], "[Resource]/IdleLifespan=0"),
        (["-q", "1"], "[Resource]/Quantity=1"),
        (["-l", "EX"], "[Resource]/LockMode=5"),
        (["-d", "5000"], "[Daemon]/Lifespan=5000"),
        (["-p", "28015"], "[Daemon]/UnicastPort=28015"),
        (["-D", "2"], "[Network]/DiscoveryAttempts=2"),
    ] {
        let all = [&["-V", "-e", "yes"][..], &options].concat();
        let key = line.split('=').next().unwrap_or_default();
        assert_eq!(told(&world, &all, key)?, [line], "{options:?}");
    }
    // Not only what is told.
    let holder = Holder::new(&world, "it", &["-e", "yes"])?;
    just(&world, &[])?.expect(0)?;
    just(&world, &["-l", "EX"])?.expect(BUSY)?;
    holder.end()?.expect(0)?;
    Ok(())
}

#[test]
fn partial_config_file_accepted() -> Result {
    let world = world!()?;
    for (file, line) in [
        ("", "[Resource]/Name='_RESOURCE'"),
        ("# nothing\n", "[Resource]/Name='_RESOURCE'"),
        ("[Resource]\nName=R\n", "[Resource]/Name='R'"),
        ("[Network]\n", "[Resource]/Name='_RESOURCE'"),
        (
            "[Unknown]\nName=R\n[Resource]\nUnknown=1\n",
            "[Resource]/Name='_RESOURCE'",
        ),
        (
            "[Monitor]\nIgnoredSignals=SIGHUP;15;\n",
            "[Monitor]/IgnoredSignals='SIGHUP;15'",
        ),
        ("[Resource]\r\nName = R\r\n", "[Resource]/Name='R'"),
        (
            "[Resource]\nLockMode=ProtectedRead",
            "[Resource]/LockMode=3",
        ),
    ] {
        fs::write(world.path("custom"), file)?;
        let key = line.split('=').next().unwrap_or_default();
        assert_eq!(
            told(&world, &["-V", "-c", "custom"], key)?,
            [line],
            "{file}"
        );
    }
    Ok(())
}

#[test]
fn what_is_wrong_with_a_file_is_told() -> Result {
    let world = world!()?;
    for (content, line) in [
        ("[Resource]\nTimeout=soon\n", 2),
        ("[Resource]\nName=not a name\n", 2),
        ("[Resource]\nName=_RESOURCE\n", 2),
        ("\n\n[Resource]\nLockMode=XX\n", 4),
        ("[Resource]\nCreate=maybe\n", 2),
        ("[Trace]\nVerbose=nobody\n", 2),
        ("Name=R\n", 1),
        ("[Resource]\nName\n", 2),
    ] {
        for (path, options) in [
            ("flom.conf", &[][..]),
            (".flom", &[]),
            ("custom", &["-c", "custom"]),
        ] {
            fs::write(world.path(path), content)?;
            // That the command line says something else does not make it right.
            let all = [&["-r", "R", "-o", "5"][..], options].concat();
            let answer = just(&world, &all)?.expect(FAILED)?;
            ensure!(
                answer.err.contains(&format!("{path}:{line}")),
                "{answer:#?}"
            );
            fs::remove_file(world.path(path))?;
        }
    }
    Ok(())
}

#[test]
fn files_that_are_not_there() -> Result {
    let world = world!()?;
    let answer = just(&world, &["-c", "nowhere"])?.expect(FAILED)?;
    ensure!(answer.err.contains("nowhere"), "{answer:#?}");
    just(&world, &["-c", "."])?.expect(FAILED)?;
    flom(&world, &[])
        .variable("HOME", "/no/such/home")
        .words(["--", "true"])
        .expect(0)?;
    // What is there and cannot be read might say which lock is meant.
    fs::create_dir(world.path(".flom"))?;
    just(&world, &[])?.expect(FAILED)?;
    Ok(())
}
