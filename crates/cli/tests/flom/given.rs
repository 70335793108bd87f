//! What a command is given with the lock: things, numbers, times; as its last argument and in its
//! environment.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::Asked;
use ward_testkit::world;

use crate::Result;
use crate::place::{FAILED, Holder, flom, forget_queues, given, just, queue, said, say};

#[test]
fn things_of_a_set_take_turns() -> Result {
    let world = world!()?;
    let options = ["-r", "red.green.blue"];
    let got: Vec<String> = (0..6)
        .map(|_| given(&world, &options))
        .collect::<Result<_>>()?;
    assert_eq!(got, ["red", "green", "blue", "red", "green", "blue"]);
    Ok(())
}

#[test]
fn things_of_a_set_are_handed_out_once() -> Result {
    let world = world!()?;
    let options = ["-r", "red.green.blue"];
    let tell = say(&world, "$1");
    let holders = ["one", "two", "three"].map(|name| Holder::with(&world, name, &options, &tell));
    let mut told: Vec<String> = said(&world).split_whitespace().map(str::to_owned).collect();
    told.sort_unstable();
    assert_eq!(told, ["blue", "green", "red"]);
    just(&world, &["-r", "red.green.blue", "-o", "0"])?.expect(98)?;
    let waits = flom(&world, &options).words(["--", "echo"]).start()?;
    for holder in holders {
        holder?.end()?.expect(0)?;
    }
    waits.answer()?.expect(0)?;
    assert_eq!(queue(&world, "_sets")?, (0, 0));
    Ok(())
}

/// As in FLoM, of `sh -c` it is `$0`.
#[test]
fn it_is_the_last_argument_and_only_there_where_something_is_given() -> Result {
    let world = world!()?;
    for (name, first) in [("a.b", "a"), ("_s_q[1]", "1"), ("_S_q[1]", "1")] {
        let answer = flom(&world, &["-r", name])
            .words(["--", "sh", "-c", "echo \"$0\" $#"])
            .expect(0)?;
        assert_eq!(answer.out, format!("{first} 0\n"), "{name}");
    }
    for name in ["R", "N[2]", "/a/b"] {
        let answer = flom(&world, &["-r", name])
            .words(["--", "echo", "x"])
            .expect(0)?;
        assert_eq!(answer.out, "x\n", "{name}");
    }
    Ok(())
}

#[test]
fn element_in_environment() -> Result {
    let world = world!()?;
    for (name, told) in [
        ("a.b", "a.b EX a 100"),
        ("_s_q[1]", "_s_q[1] EX 1 100"),
        ("R", "R PW  100"),
        ("/a/b c", "/a/b c PW  100"),
    ] {
        let show = "echo \"$WARD_LOCK_NAME $WARD_LOCK_MODE $WARD_LOCK_ELEMENT $WARD_LOCK_FD\"";
        let answer = flom(&world, &["-r", name, "-l", "PW"])
            .words(["--", "sh", "-c", show])
            .expect(0)?;
        assert_eq!(answer.out, format!("{told}\n"), "{name}");
    }
    Ok(())
}

#[test]
fn fencing_token_in_environment() -> Result {
    let world = world!()?;
    for name in ["R", "a.b", "N[2]", "/a/b"] {
        let mut last = 0;
        for _ in 0..3 {
            let answer = flom(&world, &["-r", name])
                .words(["--", "sh", "-c", "echo $WARD_LOCK_TOKEN"])
                .expect(0)?;
            let token: u64 = answer.out.trim().parse().context("no token")?;
            ensure!(token > last, "{name}: {token} after {last}");
            last = token;
        }
    }
    Ok(())
}

#[test]
fn sequence_survives_restart() -> Result {
    let world = world!()?;
    let number = |name: &str| -> Result<u64> { Ok(given(&world, &["-r", name])?.parse()?) };
    for (name, gapless) in [("_s_q[1]", false), ("_S_q[1]", true)] {
        for expected in 1..4 {
            assert_eq!(number(name)?, expected, "{name}");
        }
        // There is no daemon that could end; what can happen is that the host starts anew.
        forget_queues(&world)?;
        let after = number(name)?;
        ensure!(after > 3 && (after == 4 || !gapless), "{name}: {after}");
        assert_eq!(number(name)?, after + 1, "{name}");
    }
    // The numbers of another name, or of another count, are others.
    assert_eq!(number("_s_r[1]")?, 1);
    assert_eq!(number("_s_q[2]")?, 1);
    Ok(())
}

/// However short it counts as used.
#[test]
fn a_sequence_does_not_begin_anew_when_nobody_uses_it() -> Result {
    let world = world!()?;
    for (idle, expected) in [("0", "1"), ("1", "2"), ("0", "3")] {
        let number = given(&world, &["-r", "_s_q[1]", "-i", idle])?;
        assert_eq!(number, expected);
    }
    Ok(())
}

#[test]
fn killed_command_rolls_sequence_back() -> Result {
    let world = world!()?;
    for (end, kept) in [
        ("kill -KILL $$", false),
        ("kill -TERM $$", false),
        ("exit 1", false),
        ("exit 255", false),
        ("exit 0", true),
    ] {
        let name = "_S_q[1]";
        let script = format!("echo $0; {end}");
        let answer = flom(&world, &["-r", name])
            .words(["--", "sh", "-c", &script])
            .answer()?;
        let number: u64 = answer.out.trim().parse().context("no number")?;
        let next: u64 = given(&world, &["-r", name])?.parse()?;
        let expected = if kept { number + 1 } else { number };
        assert_eq!(next, expected, "{end}");
    }
    // A plain one is used up whatever happens.
    let plain = ["-r", "_s_q[1]"];
    flom(&world, &plain).words(["--", "false"]).expect(1)?;
    assert_eq!(given(&world, &plain)?, "2");
    Ok(())
}

/// What came back goes first.
#[test]
fn numbers_that_come_back_go_first() -> Result {
    let world = world!()?;
    let options = ["-r", "_S_q[3]"];
    let tell = say(&world, "$1");
    let fails = format!("{tell} trap 'exit 1' EXIT;");
    let one = Holder::with(&world, "one", &options, &fails)?;
    let two = Holder::with(&world, "two", &options, &tell)?;
    let three = Holder::with(&world, "three", &options, &fails)?;
    assert_eq!(said(&world), "1\n2\n3\n");
    three.end()?.expect(1)?;
    one.end()?.expect(1)?;
    two.end()?.expect(0)?;
    let mut back = [given(&world, &options)?, given(&world, &options)?];
    back.sort_unstable();
    assert_eq!(back, ["1", "3"]);
    assert_eq!(given(&world, &options)?, "4");
    Ok(())
}

#[test]
fn a_command_that_cannot_be_executed_uses_no_number_up() -> Result {
    let world = world!()?;
    flom(&world, &["-r", "_S_q[1]"])
        .words(["--", "no-such-program-anywhere"])
        .expect(97)?;
    assert_eq!(given(&world, &["-r", "_S_q[1]"])?, "1");
    Ok(())
}

#[test]
fn timestamp_unique_across_restart() -> Result {
    let world = world!()?;
    let name = "_t_stamp%H%M%S#f[1]";
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        for _ in 0..3 {
            let stamp = given(&world, &["-r", name])?;
            ensure!(stamp.starts_with("stamp"), "{stamp}");
            ensure!(seen.insert(stamp.clone()), "{stamp} twice: {seen:?}");
        }
        forget_queues(&world)?;
    }
    Ok(())
}

#[test]
fn timestamps_of_many_at_once_are_different() -> Result {
    let world = world!()?;
    for name in ["_t_%S#fff[4]", "_t_%S#ff[1]"] {
        let asked: Vec<Asked> = (0..8)
            .map(|_| flom(&world, &["-r", name]).words(["--", "echo"]).start())
            .collect::<Result<_>>()?;
        let mut seen = BTreeSet::new();
        for one in asked {
            seen.insert(one.answer()?.expect(0)?.out);
        }
        assert_eq!(seen.len(), 8, "{name}: {seen:?}");
    }
    Ok(())
}

/// The next one comes with the next second.
#[test]
fn a_time_is_waited_for() -> Result {
    let world = world!()?;
    let name = "_t_%M%S[2]";
    let first = given(&world, &["-r", name])?;
    let second = given(&world, &["-r", name])?;
    ensure!(first != second, "{first} twice");
    // Or not waited for.
    let mut refused = false;
    for _ in 0..20 {
        let answer = just(&world, &["-r", "_t_%M[1]", "-o", "0"])?;
        refused |= answer.code() == 98;
    }
    ensure!(refused, "twenty times in one minute");
    Ok(())
}

/// As FLoM's own tests try them.
#[test]
fn formats() -> Result {
    let world = world!()?;
    for format in ["S", "M", "H", "c", "r", "s", "T", "X", "R", "I"] {
        let name = format!("_t_a%{format}[1]");
        let stamp = given(&world, &["-r", &name])?;
        ensure!(stamp.len() > 1 && stamp.starts_with('a'), "{name}: {stamp}");
        ensure!(!stamp.contains('%'), "{name}: {stamp}");
    }
    let slow = "%a%A%b%B%d%D%e%E%F%G%g%h%j%m%p%P%u%U%V%w%W%x%y%Y%z%Z";
    just(&world, &["-r", &format!("_t_invalid{slow}[1]")])?.expect(FAILED)?;
    just(&world, &["-r", &format!("_t_invalid#f{slow}[1]")])?.expect(0)?;
    just(&world, &["-r", "_t_a#fffffff[1]"])?.expect(FAILED)?;
    let stamp = given(&world, &["-r", "_t_x.%H:#fff[1]"])?;
    let (_, digits) = stamp.rsplit_once(":.").with_context(|| stamp.clone())?;
    ensure!(
        digits.len() == 3 && digits.parse::<u16>().is_ok(),
        "{stamp}"
    );
    Ok(())
}

/// Whether a set is in use says the set itself, not the things that others hand out.
#[test]
fn a_set_that_was_used_exists_though_no_other_one_is() -> Result {
    let world = world!()?;
    let other = Holder::new(&world, "other", &["-r", "c.d"])?;
    just(&world, &["-r", "a.b", "-i", "60000"])?.expect(0)?;
    other.end()?.expect(0)?;
    just(&world, &["-r", "a.b", "-e", "no", "-o", "0"])?.expect(0)?;
    just(&world, &["-r", "c.d", "-e", "no", "-o", "0"])?.expect(96)?;
    Ok(())
}

/// The next one gets what failed first.
#[test]
fn numbers_come_back_first_failed_first_given() -> Result {
    let world = world!()?;
    let options = ["-r", "_S_build[3]"];
    let fails = |name: &'static str| Holder::with(&world, name, &options, "trap 'exit 7' EXIT;");
    let (one, two, three) = (fails("one")?, fails("two")?, fails("three")?);
    for holder in [two, three, one] {
        holder.end()?.expect(7)?;
    }
    let got: Vec<String> = (0..4)
        .map(|_| given(&world, &options))
        .collect::<Result<_>>()?;
    assert_eq!(got, ["2", "3", "1", "4"]);
    Ok(())
}
