//! Steps written in shell: clean-up in an EXIT trap runs to its end when the step is stopped,
//! in every shell, and nothing else about the step changes.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::life::End;
use ward_testkit::patience::wait_until;
use ward_testkit::processes;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::{Run, pipe_with, text};
use ward_testkit::world;
use ward_testkit::world::World;

type Result = anyhow::Result<()>;

const STOPPED: u8 = 123;

const TRAP: &str = "\
trap 'echo CLEAN-START; sleep 0.2; echo CLEAN-END' EXIT
echo READY
sleep 60
echo NOT REACHED
";
const TRAPPED: &str = "READY\nCLEAN-START\nCLEAN-END\n";

/// The shells that are installed, by name.
fn shells(world: &World) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    for name in ["dash", "bash", "zsh", "busybox"] {
        let Some(mut path) = in_path(name) else {
            skipped(name, "not installed");
            continue;
        };
        if name == "busybox" {
            // It is the shell when it is called `sh`.
            let place = world.path("busybox");
            fs::create_dir_all(&place)?;
            let link = place.join("sh");
            if !link.exists() {
                symlink(&path, &link)?;
            }
            path = link;
        }
        found.push((name, path));
    }
    ensure!(!found.is_empty(), "no shell at all");
    Ok(found)
}

fn script(world: &World, name: &str, contents: &str) -> anyhow::Result<String> {
    let path = world.path(name);
    fs::write(&path, contents)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(text(path))
}

/// Stops a run with `signal` once it has said READY and sleeps, and gives what it said in all.
///
/// A shell that has just forked is not yet the program that it starts, and what it is told
/// then is lost on that program: no shell and no supervisor can help it.
fn said_when_stopped(world: &World, run: Run<'_>, signal: Signal) -> anyhow::Result<String> {
    let mut running = run.options(["--grace", "30s"]).start()?;
    running.await_stdout("READY\n")?;
    wait_until("the step to sleep", || {
        processes::marked(world.mark())
            .iter()
            .any(|seen| seen.command.starts_with("sleep "))
    })?;
    running.signal(signal)?;
    let ended = running.finish()?;
    let report = ended.judge(STOPPED)?;
    ensure!(!report.forced, "it was killed: {report:#?}");
    Ok(ended.out())
}

#[test]
fn an_exit_trap_runs_to_its_end() -> Result {
    let world = world!()?;
    let mut wrong = Vec::new();
    for (name, shell) in shells(&world)? {
        let path = text(&shell);
        let by_text = world
            .ward()
            .options(["--shell-path", &path])
            .bare(["--shell", TRAP]);
        let file = script(&world, &format!("{name}.sh"), &format!("#!{path}\n{TRAP}"))?;
        let by_file = world.ward().bare(["--script", &file]);
        for (how, run) in [("--shell", by_text), ("--script", by_file)] {
            match said_when_stopped(&world, run, Signal::TERM) {
                Ok(said) if said == TRAPPED => {}
                Ok(said) => wrong.push(format!("{name} {how}: {said:?}")),
                Err(error) => wrong.push(format!("{name} {how}: {error:#}")),
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn an_exit_trap_runs_whatever_the_request() -> Result {
    let world = world!()?;
    let mut wrong = Vec::new();
    for (name, shell) in shells(&world)? {
        for signal in [Signal::INT, Signal::HUP] {
            let run = world
                .ward()
                .options(["--shell-path", &text(&shell)])
                .bare(["--shell", TRAP]);
            match said_when_stopped(&world, run, signal) {
                Ok(said) if said == TRAPPED => {}
                Ok(said) => wrong.push(format!("{name} {signal:?}: {said:?}")),
                Err(error) => wrong.push(format!("{name} {signal:?}: {error:#}")),
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The default shell, and a script that does not name its own.
#[test]
fn without_naming_a_shell() -> Result {
    let world = world!()?;
    let said = said_when_stopped(&world, world.ward().bare(["--shell", TRAP]), Signal::TERM)?;
    assert_eq!(said, TRAPPED);
    let file = script(&world, "nameless", TRAP)?;
    let said = said_when_stopped(&world, world.ward().bare(["--script", &file]), Signal::TERM)?;
    assert_eq!(said, TRAPPED);
    Ok(())
}

/// The difference that ward makes, where the shell does not do it by itself.
#[test]
fn without_the_prelude_dash_skips_its_trap() -> Result {
    let Some(dash) = in_path("dash") else {
        skipped("dash", "not installed");
        return Ok(());
    };
    let world = world!()?;
    let run = || world.ward().options(["--shell-path", &text(&dash)]);
    let bare = run().options(["--no-prelude"]).bare(["--shell", TRAP]);
    assert_eq!(said_when_stopped(&world, bare, Signal::TERM)?, "READY\n");
    assert_eq!(
        said_when_stopped(&world, run().bare(["--shell", TRAP]), Signal::TERM)?,
        TRAPPED
    );
    Ok(())
}

/// Whoever sets a trap of his own keeps it.
#[test]
fn a_trap_for_the_signal_itself_is_the_scripts_own() -> Result {
    let world = world!()?;
    for (name, shell) in shells(&world)? {
        let step = "trap 'echo MINE; exit 4' TERM; trap 'echo EXIT' EXIT; echo READY; while :; do sleep 0.05; done";
        let run = world
            .ward()
            .options(["--shell-path", &text(&shell)])
            .bare(["--shell", step]);
        assert_eq!(
            said_when_stopped(&world, run, Signal::TERM)?,
            "READY\nMINE\nEXIT\n",
            "{name}"
        );
    }
    Ok(())
}

/// Ignoring the signal is the script's right; the grace and the kill are ward's.
#[test]
fn a_script_that_ignores_the_signal_is_killed() -> Result {
    let world = world!()?;
    for (name, shell) in shells(&world)? {
        let step = "trap '' TERM; echo READY; while :; do sleep 0.05; done";
        let run = world
            .ward()
            .options(["--shell-path", &text(&shell), "--grace", "300ms"]);
        let mut running = run.bare(["--shell", step]).start()?;
        running.await_stdout("READY")?;
        running.signal(Signal::TERM)?;
        assert!(running.finish()?.judge(STOPPED)?.forced, "{name}");
    }
    Ok(())
}

/// A step that is not stopped does not notice any of this.
#[test]
fn a_step_is_what_it_is_without_ward() -> Result {
    let world = world!()?;
    let steps = [
        ("exit 7", 7, ""),
        ("false", 1, ""),
        ("true; (exit 9)", 9, ""),
        (
            "trap 'echo BYE' EXIT; echo HELLO; exit 3",
            3,
            "HELLO\nBYE\n",
        ),
        ("trap 'echo BYE; exit 5' EXIT; exit 3", 5, "BYE\n"),
        ("trap 'echo BYE' EXIT; (exit 6)", 6, "BYE\n"),
        ("set -e; false; echo NOT REACHED", 1, ""),
        ("set -u; echo \"$#\"; echo \"${1-none}\"", 0, "0\nnone\n"),
        ("exec echo replaced", 0, "replaced\n"),
        ("trap", 0, ""),
        ("x=$(sh -c 'trap'); echo \"[$x]\"", 0, "[]\n"),
        ("echo a |\ntr a b", 0, "b\n"),
        ("# a comment\n\n", 0, ""),
        ("cat <<END\nhere\nEND\n", 0, "here\n"),
        (
            "printf '%s\\n' \"it's\" '\"$x\"' \"\\\\\"",
            0,
            "it's\n\"$x\"\n\\\n",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, shell) in shells(&world)? {
        for (step, code, out) in steps {
            let path = text(&shell);
            let file = script(&world, "step", &format!("#!{path}\n{step}"))?;
            for run in [
                world
                    .ward()
                    .options(["--shell-path", &path])
                    .bare(["--shell", step]),
                world.ward().bare(["--script", &file]),
            ] {
                let ended = run.finish()?;
                // What `trap` prints may show the preparation; that is all that may differ.
                let same = step == "trap" || ended.out() == out;
                let judged = ended.judge(code).err();
                if !same || judged.is_some() {
                    wrong.push(format!(
                        "{name}: {step:?}: {:?} {:?} {judged:#?}",
                        ended.out(),
                        ended.err()
                    ));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Children of the step have no traps or ignored signals from ward's preparation.
#[test]
fn programs_of_a_step_have_default_signals() -> Result {
    let world = world!()?;
    for (name, shell) in shells(&world)? {
        let step = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
        let run = world
            .ward()
            .options(["--shell-path", &text(&shell)])
            .bare(["--shell", step]);
        let ended = run.finish()?;
        ended.judge(0)?;
        let sets: Vec<u64> = ended
            .out()
            .lines()
            .map(|line| u64::from_str_radix(line.split_whitespace().next_back().unwrap_or("?"), 16))
            .collect::<std::result::Result<_, _>>()
            .with_context(|| ended.out())?;
        // HUP, INT, QUIT, PIPE and TERM; others are as the test itself has them.
        let ours = [1, 2, 3, 13, 15]
            .iter()
            .fold(0, |set, number| set | 1 << (number - 1));
        assert!(
            sets.len() == 2 && sets.iter().all(|set| set & ours == 0),
            "{name}: {}",
            ended.out()
        );
    }
    Ok(())
}

#[test]
fn arguments_of_a_step() -> Result {
    let world = world!()?;
    let show = "for argument; do printf '<%s>' \"$argument\"; done; echo \" $#\"";
    let ended = world
        .ward()
        .bare(["--shell", show, "a", "b c", "", "--timeout", "-x", "$HOME"])
        .finish()?;
    ended.judge(0)?;
    assert_eq!(ended.out(), "<a><b c><><--timeout><-x><$HOME> 6\n");
    let file = script(&world, "arguments", show)?;
    let ended = world
        .ward()
        .bare(["--script", &file, "a", "b c", "--", "-x"])
        .finish()?;
    ended.judge(0)?;
    assert_eq!(ended.out(), "<a><b c><--><-x> 4\n");
    Ok(())
}

#[test]
fn a_script_knows_its_name_and_its_input() -> Result {
    let world = world!()?;
    let step = "echo \"${0##*/}\"; read -r line; echo \"got $line\"; cat";
    for first_line in [
        "",
        "#!/bin/sh\n",
        "#!/bin/bash -u\n",
        "#! /usr/bin/env bash\n",
    ] {
        let file = script(&world, "named", &format!("{first_line}{step}"))?;
        let input = pipe_with(b"first line\nand the rest\n".to_vec())?;
        let ended = world
            .ward()
            .stdin(input)
            .bare(["--script", &file])
            .finish()?;
        ended.judge(0)?;
        assert_eq!(
            ended.out(),
            "named\ngot first line\nand the rest\n",
            "{first_line:?}"
        );
    }
    let input = pipe_with(b"first line\nand the rest\n".to_vec())?;
    let ended = world
        .ward()
        .stdin(input)
        .bare(["--shell", "read -r line; echo \"got $line\"; cat"])
        .finish()?;
    assert_eq!(ended.out(), "got first line\nand the rest\n");
    Ok(())
}

/// A script in another language is started as it says, and stopped like any command.
#[test]
fn a_script_that_is_no_shell_script() -> Result {
    if in_path("python3").is_none() {
        skipped("a python script", "needs python3");
        return Ok(());
    }
    let world = world!()?;
    let file = script(
        &world,
        "step.py",
        "#!/usr/bin/env python3\nimport sys, time\nprint('READY', sys.argv[1:], flush=True)\ntime.sleep(60)\n",
    )?;
    let mut running = world.ward().bare(["--script", &file, "a b"]).start()?;
    running.await_stdout("READY ['a b']\n")?;
    running.signal(Signal::TERM)?;
    let report = running.finish()?.judge(STOPPED)?;
    assert!(
        matches!(report.end, End::Signaled { signal, .. } if signal.number() == 15),
        "{:?}",
        report.end
    );
    Ok(())
}

/// What people do in traps: everything below belongs to the clean-up and is left in peace.
#[test]
fn a_trap_may_start_programs() -> Result {
    let world = world!()?;
    let mut wrong = Vec::new();
    for (name, shell) in shells(&world)? {
        let file = text(world.path(&format!("cleaned-{name}")));
        let step = format!(
            "clean() {{ seq 1 3 | while read -r i; do sleep 0.05; echo \"step $i\"; done; sh -c 'sleep 0.1; echo done > {file}'; echo END; }}
             trap clean EXIT
             echo READY
             sleep 60 | cat"
        );
        let run = world
            .ward()
            .options(["--shell-path", &text(&shell)])
            .bare(["--shell", &step]);
        match said_when_stopped(&world, run, Signal::TERM) {
            Ok(said) if said == "READY\nstep 1\nstep 2\nstep 3\nEND\n" && fs::exists(&file)? => {}
            Ok(said) => wrong.push(format!("{name}: {said:?}")),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
