//! What is refused, where FLoM takes it and makes something else of it.

use anyhow::ensure;
use ward_testkit::world;

use crate::Result;
use crate::place::{BUSY, FAILED, Holder, given, just, said, say};

#[test]
fn newline_in_name_refused() -> Result {
    let world = world!()?;
    for name in [
        "bad name!\nabc",
        "abc\n",
        "\nabc",
        "/a\nb",
        "a.b\n",
        "N[1]\n",
    ] {
        let answer = just(&world, &["-r", name])?.expect(FAILED)?;
        ensure!(
            answer.out.starts_with("ERROR: '")
                && answer
                    .out
                    .ends_with("' is not a valid name for a resource\n"),
            "{answer:#?}"
        );
        ensure!(!answer.out.trim_end().contains('\n'), "{answer:#?}");
    }
    Ok(())
}

#[test]
fn names_that_are_none() -> Result {
    let world = world!()?;
    for name in [
        "",
        "1a",
        "a b",
        "a_b",
        "_RESOURCE",
        "a..b",
        "/",
        "/a/",
        "N[x]",
        "_t_%H",
    ] {
        let answer = just(&world, &["-r", name])?.expect(FAILED)?;
        let should = format!("ERROR: '{name}' is not a valid name for a resource\n");
        assert_eq!(answer.out, should);
        ensure!(answer.err.starts_with("flom: hint: "), "{answer:#?}");
    }
    Ok(())
}

#[test]
fn capacity_overflow() -> Result {
    let world = world!()?;
    for name in [
        "N[4294967297]",
        "N[2147483648]",
        "_s_a[4294967297]",
        "_t_%S[4294967297]",
    ] {
        just(&world, &["-r", name])?.expect(FAILED)?;
    }
    just(&world, &["-r", "N[2147483647]", "-q", "2147483647"])?.expect(0)?;
    Ok(())
}

/// As FLoM says it, at once, though nobody is there.
#[test]
fn what_can_never_be_had() -> Result {
    let world = world!()?;
    for options in [
        &["-r", "N[0]"][..],
        &["-r", "N[2]", "-q", "3"],
        &["-r", "_s_a[0]"],
        &["-r", "_t_%S[0]"],
    ] {
        let answer = just(&world, options)?.expect(FAILED)?;
        ensure!(
            answer.err.starts_with(
                "Resource will never satisfy the request, the lock cannot be obtained\n"
            ),
            "{answer:#?}"
        );
    }
    // Nothing in it ever changes.
    just(&world, &["-r", "_t_%Y%m%d[1]"])?.expect(FAILED)?;
    Ok(())
}

#[test]
fn boolean_values_strict() -> Result {
    let world = world!()?;
    for word in ["nobody", "maybe", "", "on", "yesterday"] {
        just(&world, &["-e", word])?.expect(FAILED)?;
        just(&world, &["--append-trace-file", word])?.expect(FAILED)?;
        just(&world, &["--tls-check-peer-id", word])?.expect(FAILED)?;
    }
    for word in ["yes", "YES", "y", "Yes"] {
        just(&world, &["-e", word])?.expect(0)?;
    }
    Ok(())
}

/// FLoM's own tests want them to be taken, so that is the default.
#[test]
fn unknown_signal_refused() -> Result {
    let world = world!()?;
    for options in [
        &["--ignore-signal=SIGXXXX"][..],
        &["--ignore-signal", "TERM", "--ignore-signal", "99"],
    ] {
        let answer = just(&world, options)?.expect(0)?;
        ensure!(answer.err.contains("there is no signal `"), "{answer:#?}");
        let strict = [&["--strict"], options].concat();
        let answer = just(&world, &strict)?.expect(FAILED)?;
        ensure!(answer.err.contains("there is no signal `"), "{answer:#?}");
    }
    just(
        &world,
        &[
            "--strict",
            "--ignore-signal",
            "SIGTERM",
            "--ignore-signal",
            "1",
        ],
    )?
    .expect(0)?;
    Ok(())
}

#[test]
fn a_negative_quantity_is_passed_over() -> Result {
    let world = world!()?;
    let answer = just(&world, &["-r", "N[1]", "-q", "-1"])?.expect(0)?;
    ensure!(answer.err.contains("-1"), "{answer:#?}");
    just(&world, &["--strict", "-r", "N[1]", "-q", "-1"])?.expect(FAILED)?;
    // For what has no quantity it means nothing.
    just(&world, &["-r", "R", "-q", "7"])?.expect(0)?;
    just(&world, &["-r", "a.b", "-q", "7"])?.expect(0)?;
    Ok(())
}

#[test]
fn set_element_is_exclusive() -> Result {
    let world = world!()?;
    let answer = just(&world, &["-r", "a.a"])?.expect(FAILED)?;
    ensure!(answer.out.starts_with("ERROR: 'a.a' "), "{answer:#?}");
    // Whatever the order in which they are named.
    let tell = say(&world, "$1");
    let first = Holder::with(&world, "first", &["-r", "a.b"], &tell)?;
    let second = Holder::with(&world, "second", &["-r", "b.a"], &tell)?;
    let told = said(&world);
    let mut both: Vec<&str> = told.split_whitespace().collect();
    both.sort_unstable();
    assert_eq!(both, ["a", "b"]);
    for options in [["-r", "a.b"], ["-r", "b.a"]] {
        let options = [&options[..], &["-o", "0"]].concat();
        just(&world, &options)?.expect(BUSY)?;
    }
    assert_eq!(given(&world, &["-r", "b.c.a", "-o", "0"])?, "c");
    first.end()?.expect(0)?;
    second.end()?.expect(0)?;
    Ok(())
}
