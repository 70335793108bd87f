//! What others can do to us: strangers, programs that stand still, files that are not ours.

use std::fs;

use anyhow::ensure;
use rustix::process::Signal;
use ward_testkit::daemons::{Asked, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::look;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::world;
use ward_testkit::world::{Who, is_root};

use crate::Result;
use crate::place::{BUSY, FAILED, Holder, LONG, flom, just, of, waiter, words};

/// There is nobody who listens; what can be malformed are the files of other locks.
#[test]
fn malformed_client_cannot_drop_locks() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let locks = world.path("locks");
    fs::write(locks.join("Other"), "<msg level=\"3\"/></msg>")?;
    fs::write(locks.join("%5Fsets"), vec![0xff; 5000])?;
    fs::write(locks.join("not a lock"), "x")?;
    fs::create_dir(locks.join("Directory"))?;
    std::os::unix::fs::symlink(world.path("victim"), locks.join("Link"))?;
    for name in ["Other", "a.b", "Directory", "Link"] {
        // Refused or repaired, but never for ever.
        let answer = just(&world, &["-r", name, "-o", "0"])?;
        ensure!([0, BUSY, FAILED].contains(&answer.code()), "{answer:#?}");
    }
    ensure!(!world.path("victim").exists(), "a link was followed");
    just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    just(&world, &["-r", "Free", "-o", "0"])?.expect(0)?;
    holder.end()?.expect(0)?;
    just(&world, &["-r", "R", "-o", "0"])?.expect(0)?;
    nobody_is_left(&world)
}

#[test]
fn stalled_client_cannot_block_others() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R", "-l", "PR"])?;
    let stalled = waiter(&world, "R", &["-r", "R"], "stalled")?;
    stalled.signal(Signal::STOP)?;
    wait_until("it to stand still", || {
        look(stalled.pid()).is_some_and(|seen| seen.state == 'T')
    })?;
    // Other locks are others' affair, and who limits his time gets his answer.
    just(&world, &["-r", "Q", "-o", "0"])?.expect(0)?;
    just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    just(&world, &["-r", "R", "-o", "100"])?.expect(BUSY)?;
    let next = waiter(&world, "R", &["-r", "R", "-l", "PR"], "next")?;
    stalled.signal(Signal::KILL)?;
    next.answer()?.expect(0)?;
    stalled.answer()?.expect(137)?;
    holder.end()?.expect(0)?;
    nobody_is_left(&world)
}

#[test]
fn other_user_cannot_stop_it() -> Result {
    if !is_root() {
        skipped("another user", "only root can become somebody else");
        return Ok(());
    }
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let stranger = |words: &[&str]| {
        of(&world, Who::Ordinary, world.ward_program())
            .words(["flom"])
            .words(words)
    };
    stranger(&["-X"]).expect(0)?;
    // Neither can he take the lock's place, nor look at it.
    stranger(&["-r", "R", "-o", "0", "--", "true"]).expect(FAILED)?;
    just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    holder.end()?.expect(0)?;
    // A directory in which everybody may do anything is not used.
    let open = world.path("open");
    fs::create_dir(&open)?;
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o1777))?;
    flom(&world, &["--lock-dir"])
        .words([&open])
        .words(["--", "true"])
        .expect(FAILED)?;
    nobody_is_left(&world)
}

/// Whoever reads a script's output sees its end when the command has ended, whichever descriptors
/// the script had open. FLoM's daemon keeps those from 64 on.
#[test]
fn no_descriptor_leak_into_daemon() -> Result {
    let Some(bash) = in_path("bash") else {
        skipped("descriptors from 64 on", "needs bash");
        return Ok(());
    };
    let world = world!()?;
    let flom = words(&world);
    let text = format!(
        "exec 64>&1 70>&1 200>&2; x=$({flom} -r R -- echo in); echo \"got $x\"; {flom} -r R -- true &
        wait"
    );
    // The end is awaited on both streams.
    let answer = of(&world, Who::Myself, &bash)
        .words(["-c", &text, world.mark()])
        .expect(0)?;
    assert_eq!(answer.out, "got in\n");
    nobody_is_left(&world)
}

/// Everybody comes at once to where there was nobody, and nobody is two.
#[test]
fn cold_start_race() -> Result {
    let world = world!()?;
    let inside = world.path("inside").display().to_string();
    let script = format!("mkdir {inside} && rmdir {inside}");
    for round in 0..4 {
        let place = world.path(&format!("fresh-{round}")).display().to_string();
        let asked: Vec<Asked> = (0..12)
            .map(|number| {
                let options = ["-o", LONG, "--lock-dir", &place, "-d", "1"];
                // Some by a socket, whose directory is made then too.
                let options = match number % 2 {
                    0 => options.to_vec(),
                    _ => [&options[..], &["-s", "/tmp/some-socket-of-a-test"]].concat(),
                };
                let inside = if number % 2 == 0 {
                    script.clone()
                } else {
                    script.replace("inside", "apart")
                };
                flom(&world, &options).sh(&inside).start()
            })
            .collect::<Result<_>>()?;
        for one in asked {
            one.answer()?.expect(0)?;
        }
    }
    nobody_is_left(&world)
}

#[test]
fn short_daemon_lifespan() -> Result {
    let world = world!()?;
    for lifespan in ["0", "1", "100", "-1"] {
        for _ in 0..5 {
            just(&world, &["-d", lifespan])?.expect(0)?;
        }
    }
    nobody_is_left(&world)
}
