//! `ward lock`, `ward locks` and `ward run --lock`, asked for what they cannot give: each says what
//! is wrong and what to do instead, and nothing is held, or started.

#![forbid(unsafe_code)]

mod queues;

use std::fs;

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{Ask, nobody_is_left};
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::Who;

use queues::{NOT_HELD, Result, WRONG_USE, all_is_free, ask, just, said, say, ward};

/// Behind a list of values that there are.
const VALUES: &str = "possible values";
/// How a lock is written.
const LOCK: &str = "a lock is NAME, NAME=MODE";
/// What a name may be.
const NAME: &str = "use up to 80 letters";
const DURATION: &str = "write 90s, 2m30s";
const OPTIONS: &str = "ward lock LOCK[,LOCK]... [OPTIONS]";

#[test]
fn values_that_are_none() -> Result {
    let world = world!()?;
    let long = "x".repeat(81);
    for (words, what, how) in [
        // Names.
        (&["a b"][..], "`a b`", NAME),
        (&["a\nb"], "cannot be the name", NAME),
        (&["a,b\n"], "cannot be the name", NAME),
        (&["a/b\nc"], "cannot be the name", NAME),
        (&["a/"], "`a/`", NAME),
        (&[&long], "xxx", NAME),
        (&["a,"], "``", NAME),
        (&["=EX"], "``", NAME),
        (&["a,b,a"], "`a` is asked for twice", "each lock once"),
        (&["a/x,a/y"], "`a` is asked for twice", "the whole"),
        // How one is wanted.
        (&["a="], "`a=`", LOCK),
        (&["a=XX"], "`XX` is no lock mode", LOCK),
        (&["a=0/2"], "`0`", LOCK),
        (&["a=x/2"], "`x`", LOCK),
        (&["a=1/4294967297"], "`4294967297`", LOCK),
        (&["a=4294967297/2"], "`4294967297`", LOCK),
        (&["a=3/2"], "`a` has 2 slots", "hint: "),
        (&["a=pool:"], "`` cannot be a thing", "name things without"),
        (&["a=pool:x\n"], "cannot be a thing", "name things without"),
        (&["a=pool:x:y:x"], "`x` is twice", "each thing once"),
        (&["a", "--mode", "QQ"], "`QQ`", "NL, CR, CW, PR"),
        (&["a", "--slots", "0"], "'0'", "1..=4294967295"),
        (
            &["a", "--slots", "4294967297"],
            "'4294967297'",
            "1..=4294967295",
        ),
        (&["a", "--slots", "-1"], "'-1'", "--help"),
        (
            &["a", "--slots", "2", "--take", "0"],
            "'0'",
            "1..=4294967295",
        ),
        (
            &["a", "--slots", "2", "--take", "3"],
            "3 were asked",
            "hint: ",
        ),
        (&["a", "--take", "2"], "--take", "give --slots or --pool"),
        (
            &["a", "--pool", ""],
            "`` cannot be a thing",
            "name things without",
        ),
        (
            &["a", "--pool", "x,,y"],
            "`` cannot be",
            "name things without",
        ),
        (&["a", "--pool", "x,y,x"], "`x` is twice", "each thing once"),
        (
            &["a", "--pool", "x", "--take", "2"],
            "2 were asked",
            "hint: ",
        ),
        (
            &["a,b", "--shared"],
            "`a,b` says itself",
            "name one lock alone",
        ),
        (
            &["a=PR", "--sequence"],
            "`a=PR` says itself",
            "leave --mode",
        ),
        (&["a", "--slots", "2", "--shared"], "--shared", OPTIONS),
        (&["a", "--pool", "x", "--slots", "2"], "--slots", OPTIONS),
        (&["a", "--shared", "--exclusive"], "--exclusive", OPTIONS),
        // What is given with it.
        (&["a", "--transactional"], "--sequence", OPTIONS),
        (
            &["a", "--sequence", "--timestamp", "%S"],
            "--timestamp",
            OPTIONS,
        ),
        (&["a", "--sequence", "--pool", "x"], "--pool", OPTIONS),
        (&["a", "--timestamp", "%Y-%m"], "`%Y-%m`", "such as %Y%m%d"),
        (
            &["a", "--timestamp", "%S#fffffff"],
            "one to six f",
            "strftime",
        ),
        (&["a", "--timestamp", "%S%!"], "`%S%!`", "strftime"),
        // How long.
        (&["a", "--wait", "soon"], "`soon`", DURATION),
        (&["a", "--wait", "-1"], "'-1'", "--help"),
        (&["a", "--max-hold", "soon"], "`soon`", DURATION),
        (&["a", "--wait", "5s", "--no-wait"], "--no-wait", OPTIONS),
        (
            &["a", "--max-hold", "5s", "--timeout", "5s"],
            "--timeout",
            OPTIONS,
        ),
        (&["a", "--hold", "forever"], "'forever'", VALUES),
        // The queue.
        (&["a", "--priority", "high"], "'high'", "--help"),
        (
            &["a", "--priority", "2147483648"],
            "'",
            "-2147483648..=2147483647",
        ),
        (
            &["a", "--newest-first", "--first-fit"],
            "--first-fit",
            OPTIONS,
        ),
        (
            &["a", "--skip-if-queued", "--replace-pending"],
            "--skip-if",
            OPTIONS,
        ),
        (
            &["a", "--cancel-running", "--no-wait"],
            "--no-wait",
            OPTIONS,
        ),
        (&["a", "--conflict-exit-code", "256"], "'256'", "0..=255"),
        // Descriptors and signals.
        (&["a", "--status-fd", "77"], "77 is not open", "77>status"),
        (&["a", "--status-fd", "0"], "'0'", "1..="),
        (
            &["a", "--ignore-signal", "NOSUCH"],
            "`NOSUCH`",
            "such as TERM",
        ),
        (&["a", "--ignore-signal", "65"], "`65`", "such as TERM"),
        (&["a", "--ignore-signal", "KILL"], "SIGKILL", "leave it out"),
        (&["a", "--ignore-signal", "19"], "SIGSTOP", "leave it out"),
        // What cannot be where ward becomes the command.
        (&["a", "--exec", "--hold", "tree"], "--hold", OPTIONS),
        (&["a", "--exec", "--max-hold", "5s"], "--max-hold", OPTIONS),
        (&["a", "--exec", "--timeout", "5s"], "--timeout", OPTIONS),
        (
            &["a", "--exec", "--sequence", "--transactional"],
            "--transactional",
            OPTIONS,
        ),
    ] {
        let answer = ask(&world, &["lock"])
            .words(words)
            .sh(&say(&world, "entered"))
            .expect(WRONG_USE)
            .with_context(|| format!("{words:?}"))?;
        ensure!(
            answer.err.contains(what) && answer.err.contains(how) && answer.out.is_empty(),
            "{words:?}: not `{what}` and `{how}`: {answer:#?}"
        );
    }
    assert_eq!(said(&world), "");
    all_is_free(&world)?;
    // Nobody has even asked for it.
    ensure!(
        !world.path("locks/a").exists(),
        "{:?}",
        fs::read_dir(world.path("locks"))?
    );
    nobody_is_left(&world)
}

#[test]
fn nothing_to_be_done() -> Result {
    let world = world!()?;
    for (words, what) in [
        (&["lock"][..], "<LOCK>"),
        (&["lock", "a"], "<COMMAND>"),
        (&["lock", "a", "--exec"], "<COMMAND>"),
        (&["run", "--lock-wait", "5s", "--", "true"], "--lock <LOCK>"),
        (&["run", "--lock-why", "so", "--", "true"], "--lock <LOCK>"),
        (&["run", "--lock", "a=QQ", "--", "true"], "`QQ`"),
        (
            &["run", "--lock", "a", "--lock", "a", "--", "true"],
            "twice",
        ),
        (
            &["run", "--lock", "a", "--lock-wait", "x", "--", "true"],
            "`x`",
        ),
        (
            &["run", "--lock", "a", "--keep-fd", "100", "--", "true"],
            "100",
        ),
        (&["locks", "a b"], "`a b`"),
        (&["locks", "--history"], "<NAME>"),
        (&["locks", "--watch", "--history", "a"], "--history"),
        (&["locks", "reserve"], "<LOCK>"),
        (&["locks", "reserve", "a b"], "`a b`"),
        (&["locks", "reserve", "a", "--for", "x"], "`x`"),
        (&["locks", "reserve", "a=3/2"], "`a`"),
        (
            &["locks", "reserve", "a", "--wait", "1s", "--no-wait"],
            "--no-wait",
        ),
        (&["locks", "release"], "<LOCK>"),
        (&["locks", "release", "a b"], "`a b`"),
        (&["locks", "release", "a", "--token", "x"], "'x'"),
        (&["locks", "release", "a", "--stop", "--anyway"], "--anyway"),
        (&["locks", "steal"], "<LOCK>"),
        (&["locks", "steal", "a b"], "`a b`"),
    ] {
        let answer = ask(&world, words)
            .expect(WRONG_USE)
            .with_context(|| format!("{words:?}"))?;
        ensure!(
            answer.err.contains(what) && answer.out.is_empty(),
            "{words:?}: no `{what}`: {answer:#?}"
        );
        ensure!(
            ["hint: ", "--help"]
                .iter()
                .any(|how| answer.err.contains(how)),
            "{words:?}: what to do is not said: {answer:#?}"
        );
    }
    // Nobody holds it whom it could be freed from.
    for options in [&[][..], &["--stop"], &["--anyway"], &["--token", "5"]] {
        let answer = ask(&world, &["locks", "release", "a"]).words(options);
        answer
            .answer()?
            .expect(if options == ["--stop"] { 0 } else { NOT_HELD })?;
    }
    // A command that cannot be had is nothing to wait for.
    let file = text(world.path("report/none"));
    just(&world, "a", &["--report", &file]).expect(WRONG_USE)?;
    all_is_free(&world)
}

#[test]
fn a_descriptor_that_is_a_locks() -> Result {
    let Some(bash) = in_path("bash") else {
        skipped("a descriptor with the number of a lock's", "no bash");
        return Ok(());
    };
    let world = world!()?;
    for (lock, options, code) in [
        ("lock a", "--keep-fd 100", WRONG_USE),
        ("lock a,b", "--keep-fd 101", WRONG_USE),
        ("run --lock a,b", "--keep-fd 101", WRONG_USE),
        ("lock a", "--keep-fd 101", 0),
    ] {
        let words = format!("{} {lock} {options}", ward(&world));
        let open = format!("exec {words} -- true 100>&1 101>&1");
        let script = ["-c", open.as_str(), world.mark()];
        let answer = Ask::of(&world, Who::Myself, bash.as_os_str())
            .variable("WARD_LOCK_DIR", world.path("locks"))
            .words(script)
            .expect(code)
            .with_context(|| words.clone())?;
        ensure!(
            code == 0
                || answer.err.contains("is a lock's") && answer.err.contains("another number"),
            "{answer:#?}"
        );
    }
    all_is_free(&world)
}
