//! What ward refuses: exit status, a message that says what is wrong and what to write
//! instead, and nothing started.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use ward_testkit::programs::skipped;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Who, World, is_root};

type Result = anyhow::Result<()>;

/// Options, and what the message must contain.
const USAGE: &[(&[&str], &[&str])] = &[
    // Durations.
    (&["--timeout", "soon"], &["--timeout", "soon", "90s"]),
    (&["--timeout", ""], &["--timeout"]),
    (&["--timeout=-5"], &["--timeout", "-5"]),
    (&["--timeout", "5 apples"], &["--timeout", "5 apples"]),
    (
        &["--timeout", "200000000h"],
        &["--timeout", "hundred years"],
    ),
    (&["--idle-timeout", "x"], &["--idle-timeout"]),
    (&["--grace", "1x"], &["--grace", "1x"]),
    (&["--leftover-grace", "NaN"], &["--leftover-grace", "NaN"]),
    // Signals.
    (
        &["--signal", "TERMINATE"],
        &["--signal", "TERMINATE", "TERM"],
    ),
    (&["--signal", "0"], &["--signal", "0"]),
    (&["--signal", "65"], &["--signal", "65"]),
    // Words of which only some are known.
    (
        &["--containment", "jail"],
        &["--containment", "jail", "guardian"],
    ),
    (&["--containment", ""], &["--containment"]),
    // Options that do not exist, or come without what they need.
    (&["--tiemout", "5s"], &["--tiemout", "--timeout"]),
    (&["--no-such-option"], &["--no-such-option"]),
    (&["-Z"], &["-Z"]),
    // Options that go together, or do not.
    (&["--log-append"], &["--log-append", "--log"]),
    (&["--timestamps"], &["--timestamps", "--log"]),
    (&["--timeout", "1s", "--timeout", "2s"], &["--timeout"]),
    // Places where nothing can be written.
    (
        &["--report", "/no/such/directory/report.json"],
        &["/no/such/directory/report.json"],
    ),
    (&["--report", "/"], &["/"]),
    (&["--report", ""], &["--report"]),
    (
        &["--log", "/no/such/directory/log"],
        &["/no/such/directory/log"],
    ),
    (&["--log", "/"], &["/"]),
];

fn refused(world: &World, words: &[&str], expected: &[&str]) -> Result {
    let marker = world.path("started");
    let mut command = world.command_as(Who::Myself, world.ward_program());
    let output = command
        .args(words)
        .arg("--")
        .arg("touch")
        .arg(&marker)
        .output()?;
    refused_as(&output, expected)?;
    ensure!(!marker.exists(), "it was started");
    Ok(())
}

fn refused_as(output: &std::process::Output, expected: &[&str]) -> Result {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{}: {said}", output.status);
    ensure!(
        said.starts_with("ward: "),
        "the message does not begin with `ward: `: {said}"
    );
    ensure!(output.stdout.is_empty(), "a message on stdout");
    for word in expected {
        ensure!(said.contains(word), "`{word}` is not in: {said}");
    }
    ensure!(said.lines().count() <= 12, "too long to be read: {said}");
    Ok(())
}

#[test]
fn every_bad_value() -> Result {
    let world = world!()?;
    let mut wrong = Vec::new();
    for (options, expected) in USAGE {
        let words: Vec<&str> = ["run"].iter().chain(*options).copied().collect();
        if let Err(error) = refused(&world, &words, expected) {
            wrong.push(format!("{options:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(world.survivors(), []);
    Ok(())
}

#[test]
fn no_command_or_two_of_them() -> Result {
    let world = world!()?;
    let script = world.path("script");
    fs::write(&script, "echo hello\n")?;
    let script = text(&script);
    let rows: &[(&[&str], &[&str])] = &[
        (&["run"], &["COMMAND"]),
        (&["run", "--"], &["COMMAND"]),
        (&["run", "--timeout", "5s"], &["COMMAND"]),
        (&["run", "--timeout"], &["--timeout"]),
        (&["run", "--script"], &["--script"]),
        (
            &["run", "--script", "/no/such/script"],
            &["/no/such/script"],
        ),
        (&["run", "--script", "/"], &["/"]),
        (&["run", "--shell"], &["--shell"]),
        (
            &["run", "--shell", "true", "--script", &script],
            &["--script"],
        ),
        (&["runn", "--", "true"], &["runn", "run"]),
    ];
    let mut wrong = Vec::new();
    for (words, expected) in rows {
        let output = world
            .command_as(Who::Myself, world.ward_program())
            .args(*words)
            .output()?;
        if let Err(error) = refused_as(&output, expected) {
            wrong.push(format!("{words:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A message like any other, and no panic.
#[test]
fn bytes_that_are_no_text() -> Result {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let world = world!()?;
    for option in [
        "--timeout",
        "--signal",
        "--user",
        "--rlimit",
        "--containment",
        "--umask",
    ] {
        let output = world
            .command_as(Who::Myself, world.ward_program())
            .args(["run", option])
            .arg(OsStr::from_bytes(b"\xff\xfe"))
            .args(["--", "true"])
            .output()?;
        refused_as(&output, &[]).with_context(|| option)?;
    }
    Ok(())
}

#[test]
fn a_report_in_a_place_of_somebody_else() -> Result {
    if !is_root() {
        skipped("a place of somebody else", "not root");
        return Ok(());
    }
    let world = world!()?;
    let private = world.path("private");
    fs::create_dir(&private)?;
    for option in ["--report", "--log"] {
        let marker = world.path("started");
        let place = text(private.join("file"));
        let mut command = world.command_as(Who::Ordinary, world.ward_program());
        let output = command
            .args(["run", option, &place, "--", "touch"])
            .arg(&marker)
            .output()?;
        refused_as(&output, &[&place])?;
        ensure!(!marker.exists(), "{option}: it was started");
    }
    Ok(())
}

#[test]
fn help_and_version() -> Result {
    let world = world!()?;
    let run = |words: &[&str]| -> anyhow::Result<std::process::Output> {
        Ok(Command::new(world.ward_program()).args(words).output()?)
    };
    for words in [
        ["--help"].as_slice(),
        &["run", "--help"],
        &["run", "-h"],
        &["-h"],
    ] {
        let output = run(words)?;
        ensure!(
            output.status.success() && output.stderr.is_empty(),
            "{words:?}: {output:?}"
        );
        ensure!(output.stdout.len() > 200, "{words:?}");
    }
    let version = run(&["--version"])?;
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("ward "));
    let help = String::from_utf8(run(&["run", "--help"])?.stdout)?;
    for option in [
        "--timeout",
        "--idle-timeout",
        "--grace",
        "--leftover-grace",
        "--signal",
        "--no-spare",
        "--no-prelude",
        "--shell-path",
        "--merge",
        "--log",
        "--log-append",
        "--timestamps",
        "--report",
        "--quiet",
        "--chdir",
        "--env",
        "--env-file",
        "--clear-env",
        "--user",
        "--group",
        "--umask",
        "--nice",
        "--rlimit",
        "--memory-max",
        "--pids-max",
        "--cpu-max",
        "--best-effort",
        "--stdin",
        "--keep-fd",
        "--containment",
        "--script",
        "--shell",
    ] {
        ensure!(help.contains(option), "{option} is not in the help");
    }
    Ok(())
}

#[test]
fn the_other_verbs() -> Result {
    let world = world!()?;
    let run = |words: &[&str]| -> anyhow::Result<std::process::Output> {
        Ok(world
            .command_as(Who::Myself, world.ward_program())
            .args(words)
            .output()?)
    };
    let doctor = run(&["doctor"])?;
    ensure!(doctor.status.success(), "{doctor:?}");
    let said = String::from_utf8(doctor.stdout)?;
    ensure!(
        said.contains("guardian") && said.contains("cgroup"),
        "{said}"
    );
    let json: serde_json::Value = serde_json::from_slice(&run(&["doctor", "--json"])?.stdout)?;
    ensure!(json.is_object(), "{json}");
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell])?;
        ensure!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("ward"),
            "{shell}"
        );
    }
    let pages = world.path("pages");
    fs::create_dir(&pages)?;
    let output = run(&["man", &text(&pages)])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(fs::read_dir(&pages)?.count() > 0, "no manual pages");
    refused_as(&run(&["completions", "cmd.exe"])?, &["cmd.exe"])?;
    Ok(())
}
