//! `--ignore-signal`: signals that do not concern who waits for the command, but the command.

use anyhow::ensure;
use rustix::process::Signal;
use ward_testkit::daemons::nobody_is_left;
use ward_testkit::patience::wait_until;
use ward_testkit::processes::status_line;
use ward_testkit::world;
use ward_testkit::world::World;

use crate::Result;
use crate::place::{BUSY, Holder, just, make};

/// Sends a signal to who must not heed it, and sees to it that nobody has.
fn is_ignored(world: &World, options: &[&str], signal: Signal) -> Result {
    let number = signal.as_raw();
    let trap = format!("trap '{}' {number};", make(world, "told"));
    let options = [&["-r", "R"], options].concat();
    let holder = Holder::with(world, "it", &options, &trap)?;
    holder.asked.signal(signal)?;
    // Heeded or not, it is not waited for any more.
    wait_until("the signal to have come", || {
        let pending = |line| status_line(holder.asked.pid(), line);
        [pending("ShdPnd"), pending("SigPnd")]
            .into_iter()
            .all(|mask| {
                let mask = mask.and_then(|mask| u64::from_str_radix(&mask, 16).ok());
                mask.is_some_and(|mask| mask & (1 << (number - 1)) == 0)
            })
    })?;
    just(world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    holder.end()?.expect(0)?;
    ensure!(!world.path("told").exists(), "it was passed on");
    for file in ["it-inside", "it-gate"] {
        std::fs::remove_file(world.path(file))?;
    }
    nobody_is_left(world)
}

#[test]
fn a_signal_is_not_heeded() -> Result {
    let world = world!()?;
    for (options, signal) in [
        (&["--ignore-signal", "SIGTERM"][..], Signal::TERM),
        (&["--ignore-signal=15"], Signal::TERM),
        (&["--ignore-signal=HUP", "--ignore-signal=INT"], Signal::HUP),
        (&["--ignore-signal=HUP", "--ignore-signal=INT"], Signal::INT),
        (&["--ignore-signal=SIGUSR1"], Signal::USR1),
        // One that ward does nothing about.
        (&["--ignore-signal=ALRM"], Signal::ALARM),
    ] {
        is_ignored(&world, options, signal)?;
    }
    std::fs::write(
        world.path("flom.conf"),
        "[Monitor]\nIgnoredSignals=SIGXXXX;SIGTERM;\n",
    )?;
    is_ignored(&world, &[], Signal::TERM)
}

/// Children are heard of all the same, and what is not to be ignored is not.
#[test]
fn what_cannot_be_ignored() -> Result {
    let world = world!()?;
    let all = [
        "--ignore-signal=CHLD",
        "--ignore-signal=KILL",
        "--ignore-signal=STOP",
    ];
    just(&world, &all)?.expect(0)?;
    let holder = Holder::new(&world, "it", &["--ignore-signal=HUP"])?;
    holder.asked.signal(Signal::TERM)?;
    holder.asked.answer()?.expect(143)?;
    nobody_is_left(&world)
}

/// It is the wrapper that is deaf: the command has signals as anybody has.
#[test]
fn the_command_does_not_inherit_it() -> Result {
    let world = world!()?;
    let answer = crate::place::flom(&world, &["--ignore-signal=TERM", "--ignore-signal=ALRM"])
        .sh("kill -TERM $$; echo deaf")
        .expect(143)?;
    assert_eq!(answer.out, "");
    Ok(())
}
