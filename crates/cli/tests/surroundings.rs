//! Where and as whom the command runs: each option with good values and with bad ones.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, ensure};
use ward_model::life::End;
use ward_model::report::Report;
use ward_model::rung::Rung;
use ward_testkit::programs::skipped;
use ward_testkit::run::{Ended, Run, pipe_with, text};
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, World, can_have, is_root, settings};

type Result = anyhow::Result<()>;

/// What a command prints under some options.
fn said(world: &World, options: &[&str], command: &[&str]) -> anyhow::Result<String> {
    let ended = world
        .ward()
        .options(options.iter().copied())
        .command(command.iter().copied())
        .finish()?;
    ended.judge(0).with_context(|| format!("{options:?}"))?;
    Ok(ended.out())
}

fn said_by_sh(world: &World, options: &[&str], script: &str) -> anyhow::Result<String> {
    said(world, options, &["/bin/sh", "-c", script, world.mark()])
}

/// A step before the start fails: 125, the step and the reason by name, nothing started.
fn fails_before_the_start(world: &World, run: Run<'_>, errno: i32, words: &[&str]) -> Result {
    let marker = world.path("started");
    let ended = run.command(["touch", &text(&marker)]).finish()?;
    ensure!(!marker.exists(), "it was started: {ended:#?}");
    let report = ended.judge(125)?;
    ensure!(
        report.end == (End::NotStarted { errno, exec: false }),
        "{:?}",
        report.end
    );
    let failure = report.failure.context("no failure")?;
    let everything = format!("{} {failure:?}", ended.wards_words());
    for word in words {
        ensure!(
            everything.contains(word),
            "`{word}` is not in: {everything}"
        );
    }
    ensure!(
        ended.wards_words().contains(&failure.message),
        "{:?} and {failure:?}",
        ended.err()
    );
    Ok(())
}

/// A value that cannot be used: 2, a message, nothing started.
fn refused(world: &World, options: &[&str], words: &[&str]) -> Result {
    let marker = world.path("started");
    let run = world
        .ward()
        .without_report()
        .options(options.iter().copied());
    let ended = run.command(["touch", &text(&marker)]).finish()?;
    ensure!(!marker.exists(), "{options:?}: it was started: {ended:#?}");
    ensure!(ended.code() == 2, "{options:?}: {ended:#?}");
    ensure!(
        ended.err().starts_with("ward: "),
        "{options:?}: {:?}",
        ended.err()
    );
    for word in words {
        ensure!(
            ended.err().contains(word),
            "{options:?}: `{word}` is not in {:?}",
            ended.err()
        );
    }
    Ok(())
}

#[test]
fn directory() -> Result {
    let world = world!()?;
    let place = world.path("a place");
    fs::create_dir(&place)?;
    let real = text(fs::canonicalize(&place)?);
    assert_eq!(
        said(&world, &["--chdir", &real], &["pwd"])?,
        format!("{real}\n")
    );
    // A relative program is found where the command runs.
    fs::write(place.join("tool"), "#!/bin/sh\necho tool\n")?;
    fs::set_permissions(place.join("tool"), fs::Permissions::from_mode(0o755))?;
    assert_eq!(said(&world, &["--chdir", &real], &["./tool"])?, "tool\n");

    let missing = text(world.path("missing"));
    let run = world.ward().options(["--chdir", &missing]);
    fails_before_the_start(&world, run, 2, &["directory", &missing])?;
    fs::write(world.path("file"), "")?;
    let run = world.ward().options(["--chdir", &text(world.path("file"))]);
    fails_before_the_start(&world, run, 20, &["directory"])
}

#[test]
fn variables() -> Result {
    let world = world!()?;
    let show = "printf '%s|%s|%s' \"$A\" \"$B\" \"$C\"";
    let options = ["-e", "A=1", "--env", "B=two words = three", "-e", "C="];
    assert_eq!(said_by_sh(&world, &options, show)?, "1|two words = three|");
    assert_eq!(
        said_by_sh(&world, &["-e", "A=1", "-e", "A=2"], show)?,
        "2||"
    );

    let file = world.path("variables");
    fs::write(
        &file,
        "# a comment\n\nA=from file\n  \nB=x=y\nC=last\nC=later\n",
    )?;
    let file = text(&file);
    assert_eq!(
        said_by_sh(&world, &["--env-file", &file], show)?,
        "from file|x=y|later"
    );
    assert_eq!(
        said_by_sh(&world, &["--env-file", &file, "-e", "B=mine"], show)?,
        "from file|mine|later"
    );

    let ended = world.ward().variable("A", "inherited").sh(show).finish()?;
    assert_eq!(ended.out(), "inherited||");
    let run = world
        .ward()
        .variable("A", "inherited")
        .options(["--clear-env", "-e", "B=2"]);
    let ended = run.command(["/usr/bin/env"]).finish()?;
    let report = ended.judge(0)?;
    let mut lines: Vec<_> = ended.out().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        ["B=2".to_owned(), format!("WARD_RUN_ID={}", report.run_id)]
    );
    // A name alone passes ours on; where we have none, there is none.
    let run = world.ward().variable("A", "inherited").options([
        "--clear-env",
        "-e",
        "A",
        "-e",
        "NOT_SET",
    ]);
    let ended = run.command(["/usr/bin/env"]).finish()?;
    assert!(
        ended.out().lines().any(|line| line == "A=inherited"),
        "{}",
        ended.out()
    );
    assert!(!ended.out().contains("NOT_SET"), "{}", ended.out());

    refused(&world, &["-e", "=value"], &["--env", "NAME=VALUE"])?;
    refused(&world, &["--env-file", "/no/such/file"], &["/no/such/file"])?;
    fs::write(world.path("bad"), "A=1\nnot a variable\n")?;
    refused(
        &world,
        &["--env-file", &text(world.path("bad"))],
        &["bad", "2"],
    )
}

/// The command is searched for in the path that it is given.
#[test]
fn the_path_of_the_command() -> Result {
    let world = world!()?;
    let place = world.path("tools");
    fs::create_dir(&place)?;
    fs::write(place.join("only-here"), "#!/bin/sh\necho here\n")?;
    fs::set_permissions(place.join("only-here"), fs::Permissions::from_mode(0o755))?;
    let path = format!("PATH={}:/usr/bin:/bin", place.display());
    assert_eq!(said(&world, &["-e", &path], &["only-here"])?, "here\n");
    assert_eq!(world.ward().command(["only-here"]).finish()?.code(), 127);
    Ok(())
}

#[test]
fn user_and_group() -> Result {
    if !is_root() {
        skipped("changing the user", "not root");
        return Ok(());
    }
    let world = world!()?;
    let who = "echo $(id -u):$(id -g):$(id -G)";
    assert_eq!(
        said_by_sh(&world, &["--user", "nobody"], who)?,
        "65534:65534:65534\n"
    );
    assert_eq!(
        said_by_sh(&world, &["--user", "65534"], who)?,
        "65534:65534:65534\n"
    );
    let number = world.ordinary().to_string();
    let as_number = said_by_sh(&world, &["--user", &number, "--group", &number], who)?;
    assert_eq!(as_number, format!("{number}:{number}:{number}\n"));
    let with_group = said_by_sh(&world, &["--user", "nobody", "--group", "daemon"], who)?;
    assert!(with_group.starts_with("65534:1:"), "{with_group}");
    // No rights are left over.
    let rights = said_by_sh(
        &world,
        &["--user", "nobody"],
        "grep -E '^Cap(Eff|Prm)' /proc/self/status",
    )?;
    assert!(
        rights
            .lines()
            .all(|line| line.ends_with("0000000000000000")),
        "{rights}"
    );

    refused(&world, &["--user", "no-such-user"], &["no-such-user"])?;
    refused(&world, &["--group", "no-such-group"], &["no-such-group"])?;
    for setting in settings()
        .into_iter()
        .filter(|setting| setting.who != Who::Myself)
    {
        let run = world.ward().setting(setting).options(["--user", "root"]);
        fails_before_the_start(&world, run, 1, &["user"]).or_else(|_| {
            fails_before_the_start(
                &world,
                world.ward().setting(setting).options(["--user", "root"]),
                1,
                &["group"],
            )
        })?;
    }
    Ok(())
}

/// Whoever is started as somebody else is held as well as anybody.
#[test]
fn somebody_else_is_held_too() -> Result {
    for setting in settings()
        .into_iter()
        .filter(|setting| setting.who == Who::Myself && is_root())
    {
        let world = world!()?;
        let run = world.ward().setting(setting).options([
            "--user",
            "nobody",
            "--leftover-grace",
            "100ms",
            "--grace",
            "300ms",
        ]);
        let report = run
            .hostile_leaving(9, &["mixed-tree", "12", "leave"])
            .finish()?
            .judge(9)?;
        assert_eq!(report.left_over.count, 11);
        assert!(
            report
                .left_over
                .processes
                .iter()
                .all(|process| process.uid == Some(65534))
        );
    }
    Ok(())
}

#[test]
fn mode_mask() -> Result {
    let world = world!()?;
    assert_eq!(said_by_sh(&world, &["--umask", "027"], "umask")?, "0027\n");
    assert_eq!(said_by_sh(&world, &["--umask", "0"], "umask")?, "0000\n");
    for bad in ["9", "rwx", "01000", "-1", ""] {
        refused(&world, &[&format!("--umask={bad}")], &["umask"])?;
    }
    Ok(())
}

#[test]
fn niceness() -> Result {
    let world = world!()?;
    let before: i32 = said(&world, &[], &["nice"])?.trim().parse()?;
    assert_eq!(
        said(&world, &["--nice", "3"], &["nice"])?,
        format!("{}\n", before + 3)
    );
    if is_root() {
        assert_eq!(
            said(&world, &["--nice", "-2"], &["nice"])?,
            format!("{}\n", before - 2)
        );
    }
    for bad in ["100", "-41", "much", "1.5"] {
        refused(&world, &[&format!("--nice={bad}")], &["nice"])?;
    }
    if can_have(Setting {
        who: Who::Ordinary,
        rung: Rung::Guardian,
    }) {
        let run = world.ward().who(Who::Ordinary).options(["--nice=-5"]);
        // EPERM where the limit is looked at, EACCES from setpriority(2).
        fails_before_the_start(&world, run, 13, &["nice"]).or_else(|_| {
            fails_before_the_start(
                &world,
                world.ward().who(Who::Ordinary).options(["--nice=-5"]),
                1,
                &["nice"],
            )
        })?;
    }
    Ok(())
}

#[test]
fn resource_limits() -> Result {
    let world = world!()?;
    let show = "echo $(ulimit -Sn) $(ulimit -Hn) $(ulimit -Sc)";
    assert!(said_by_sh(&world, &["--rlimit", "NOFILE=100:200"], show)?.starts_with("100 200 "));
    assert!(said_by_sh(&world, &["--rlimit", "nofile=150"], show)?.starts_with("150 "));
    let both = said_by_sh(
        &world,
        &["--rlimit", "NOFILE=100:200", "--rlimit", "CORE=0"],
        show,
    )?;
    assert_eq!(both, "100 200 0\n");
    let core = said_by_sh(
        &world,
        &["--rlimit", "CORE=0:unlimited"],
        "ulimit -Sc; ulimit -Hc",
    )?;
    assert!(core.starts_with("0\n"), "{core}");
    // The limit of the command is not ward's own: there is enough for a large tree's pipes.
    let report = world
        .ward()
        .options(["--rlimit", "NOFILE=8"])
        .hostile_leaving(9, &["mixed-tree", "30", "leave"])
        .options(["--leftover-grace", "100ms", "--grace", "300ms"])
        .finish()?
        .judge(9)?;
    assert_eq!(report.left_over.count, 29);

    for (bad, word) in [
        ("NOSUCH=1", "NOSUCH"),
        ("NOFILE", "NOFILE"),
        ("NOFILE=", "NOFILE"),
        ("NOFILE=many", "many"),
        ("NOFILE=200:100", "200"),
        ("=5", "=5"),
    ] {
        refused(&world, &["--rlimit", bad], &[word])?;
    }
    if can_have(Setting {
        who: Who::Ordinary,
        rung: Rung::Guardian,
    }) {
        let run = world
            .ward()
            .who(Who::Ordinary)
            .options(["--rlimit", "NOFILE=999999999"]);
        fails_before_the_start(&world, run, 1, &["limit"])?;
    }
    Ok(())
}

/// Limits of the whole tree need a controller. Where there is none, ward says so and does not
/// start, unless it may do without.
#[test]
fn limits_of_the_tree() -> Result {
    let world = world!()?;
    let limits = [
        ("--memory-max", "512M", "memory"),
        ("--pids-max", "200", "pids"),
        ("--cpu-max", "1.5", "cpu"),
    ];
    for setting in settings() {
        for (option, value, controller) in limits {
            let marker = world.path("started");
            let command = ["touch".to_owned(), text(&marker)];
            let run = || world.ward().setting(setting).options([option, value]);
            let ended = run().command(command.clone()).finish()?;
            match ended.code() {
                0 => ensure!(marker.exists() && missing(&ended)?.is_empty(), "{ended:#?}"),
                125 => {
                    ensure!(!marker.exists(), "{setting:?} {option}: it was started");
                    let words = ended.wards_words();
                    ensure!(
                        words.contains(controller) && words.contains("--best-effort"),
                        "{setting:?} {option}: {words}"
                    );
                    let ended = run().options(["--best-effort"]).command(command).finish()?;
                    ended.judge(0)?;
                    let missing = missing(&ended)?;
                    ensure!(
                        missing.len() == 1 && missing[0].contains(controller),
                        "{setting:?} {option}: {missing:?}"
                    );
                }
                _ => anyhow::bail!("{setting:?} {option}: {ended:#?}"),
            }
            let _ = fs::remove_file(&marker);
        }
    }
    for (option, bad) in [
        ("--memory-max", "much"),
        ("--memory-max", "1.5G"),
        ("--pids-max", "0"),
        ("--pids-max", "-1"),
        ("--cpu-max", "0"),
        ("--cpu-max", "fast"),
    ] {
        refused(&world, &[&format!("{option}={bad}")], &[option])?;
    }
    Ok(())
}

fn missing(ended: &Ended) -> anyhow::Result<Vec<String>> {
    let report: Report = ended.report()?;
    Ok(report.containment.limits_missing)
}

#[test]
fn standard_input() -> Result {
    let world = world!()?;
    let file = world.path("input");
    fs::write(&file, "from a file\n")?;
    let run = || Ok::<_, anyhow::Error>(world.ward().stdin(pipe_with(b"from ward\n".to_vec())?));
    let cat = ["cat"];
    assert_eq!(run()?.command(cat).finish()?.out(), "from ward\n");
    assert_eq!(
        run()?
            .options(["--stdin", "inherit"])
            .command(cat)
            .finish()?
            .out(),
        "from ward\n"
    );
    assert_eq!(
        run()?
            .options(["--stdin", "null"])
            .command(cat)
            .finish()?
            .out(),
        ""
    );
    assert_eq!(
        run()?
            .options(["--stdin", &text(&file)])
            .command(cat)
            .finish()?
            .out(),
        "from a file\n"
    );
    // A file whose name is a word.
    fs::write(world.path("null"), "not nothing\n")?;
    assert_eq!(
        run()?
            .options(["--stdin", "./null"])
            .command(cat)
            .finish()?
            .out(),
        "not nothing\n"
    );

    let marker = world.path("started");
    let ended = run()?
        .options(["--stdin", "/no/such/input"])
        .command(["touch", &text(&marker)])
        .finish()?;
    ensure!([2, 125].contains(&ended.code()), "{ended:#?}");
    ensure!(
        ended.err().contains("/no/such/input") && !marker.exists(),
        "{ended:#?}"
    );
    Ok(())
}

#[test]
fn other_descriptors() -> Result {
    let world = world!()?;
    let file = world.path("seven");
    fs::write(&file, "from the seventh\n")?;
    let open = format!("exec 7<{} 8</dev/null; exec \"$@\"", file.display());
    let before = ["/bin/sh", "-c", &open, "sh"];
    for setting in settings() {
        let run = || world.ward().setting(setting).started_by(before);
        let ended = run().options(["--keep-fd", "7"]).sh("cat <&7").finish()?;
        ended.judge(0)?;
        assert_eq!(ended.out(), "from the seventh\n", "{setting:?}");
        // Without being asked, nothing is passed on.
        let ended = run()
            .options(["--keep-fd", "7"])
            .command(["ls", "/proc/self/fd"])
            .finish()?;
        assert_eq!(ended.out(), "0\n1\n2\n3\n7\n", "{setting:?}");
        let ended = run().command(["ls", "/proc/self/fd"]).finish()?;
        assert_eq!(ended.out(), "0\n1\n2\n3\n", "{setting:?}");
    }
    refused(&world, &["--keep-fd", "99"], &["99"])?;
    refused(&world, &["--keep-fd", "-1"], &["-1"])?;
    refused(&world, &["--keep-fd", "seven"], &["seven"])
}

#[test]
fn the_command_has_a_clean_start() -> Result {
    let world = world!()?;
    // Nothing is blocked, and nothing is ignored or handled that would not be without ward.
    let show = ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"];
    let sets = |status: &str| -> anyhow::Result<Vec<u64>> {
        status
            .lines()
            .map(|line| {
                let (_, set) = line.split_once(":\t").context("no set")?;
                Ok(u64::from_str_radix(set, 16)?)
            })
            .collect()
    };
    let in_custody = sets(&said(&world, &[], &show)?)?;
    let bare = world
        .command_as(Who::Myself, show[0])
        .args(&show[1..])
        .output()?;
    let bare = sets(&String::from_utf8_lossy(&bare.stdout))?;
    assert_eq!(
        (in_custody.len(), in_custody[0], in_custody[2]),
        (3, bare[0], bare[2])
    );
    assert_eq!(
        in_custody[1] & !bare[1],
        0,
        "{in_custody:x?}, bare {bare:x?}"
    );
    for limit in ["Max open files", "Max processes", "Max core file size"] {
        let show = format!("grep '{limit}' /proc/self/limits");
        let bare = world
            .command_as(Who::Myself, "/bin/sh")
            .args(["-c", &show])
            .output()?;
        assert_eq!(
            said_by_sh(&world, &[], &show)?,
            String::from_utf8_lossy(&bare.stdout)
        );
    }
    let oom = said(&world, &[], &["cat", "/proc/self/oom_score_adj"])?;
    let bare = world
        .command_as(Who::Myself, "cat")
        .arg("/proc/self/oom_score_adj")
        .output()?;
    assert_eq!(oom, String::from_utf8_lossy(&bare.stdout));
    Ok(())
}
