//! Which names mean which locks, in which modes, and whom they exclude.

use anyhow::ensure;
use ward_testkit::run::text;
use ward_testkit::world;

use crate::Result;
use crate::place::{BUSY, FAILED, Holder, flom, just, ward};

const MODES: [(&str, &str); 6] = [
    ("NL", "NullLock"),
    ("CR", "ConcurrentRead"),
    ("CW", "ConcurrentWrite"),
    ("PR", "ProtectedRead"),
    ("PW", "ProtectedWrite"),
    ("EX", "Exclusive"),
];

/// Held row, asked column, as FLoM was seen to have it.
const TABLE: [&str; 6] = ["yyyyyy", "yyyyy-", "yyy---", "yy-y--", "yy----", "y-----"];

fn every_pair(names: [&str; 2]) -> Result {
    for ((held, _), row) in MODES.into_iter().zip(TABLE) {
        let world = world!()?;
        let holder = Holder::new(&world, "it", &["-r", names[0], "-l", held])?;
        for ((asked, long), cell) in MODES.into_iter().zip(row.chars()) {
            let code = if cell == 'y' { 0 } else { BUSY };
            let mode = if cell == 'y' { asked } else { long };
            let answer = just(&world, &["-r", names[1], "-l", mode, "-o", "0"])?;
            ensure!(answer.code() == code, "{held}, {asked}: {answer:#?}");
        }
        holder.end()?.expect(0)?;
    }
    Ok(())
}

#[test]
fn every_pair_of_modes() -> Result {
    every_pair(["R", "R"])
}

#[test]
fn every_pair_of_modes_below_one_another() -> Result {
    every_pair(["/a/b", "/a/b/c"])?;
    every_pair(["/a/b/c", "/a"])
}

/// What is held, what is asked, and whether it can be had beside it.
const BESIDE: [(&[&str], &[&str], bool); 23] = [
    (&["-r", "R"], &["-r", "R"], false),
    (&["-r", "R"], &["-r", "r"], true),
    (&["-r", "R"], &[], true),
    (&[], &[], false),
    // The number is a part of the name.
    (&["-r", "N[2]"], &["-r", "N[2]"], true),
    (&["-r", "N[2]", "-q", "2"], &["-r", "N[2]"], false),
    (&["-r", "N[2]", "-q", "2"], &["-r", "N[3]", "-q", "3"], true),
    (&["-r", "N[2]", "-q", "2"], &["-r", "N"], true),
    // Modes mean nothing there.
    (
        &["-r", "N[1]", "-l", "CR"],
        &["-r", "N[1]", "-l", "CR"],
        false,
    ),
    // Paths.
    (&["-r", "/a"], &["-r", "/a"], false),
    (&["-r", "/a"], &["-r", "/a/b/c"], false),
    (&["-r", "/a/b/c"], &["-r", "/a"], false),
    (&["-r", "/a/b"], &["-r", "/a/c"], true),
    (&["-r", "/a/b"], &["-r", "/a/bc"], true),
    (&["-r", "/a"], &["-r", "/ab"], true),
    (&["-r", "/a b/c*d"], &["-r", "/a b"], false),
    (&["-r", "/a"], &["-r", "a"], true),
    (&["-r", "/a", "-l", "CR"], &["-r", "/a/b", "-l", "PW"], true),
    (
        &["-r", "/a", "-l", "PR"],
        &["-r", "/a/b", "-l", "CW"],
        false,
    ),
    // Other things.
    (&["-r", "a.b"], &["-r", "a"], true),
    (&["-r", "_s_q[1]"], &["-r", "_s_q[1]"], false),
    (&["-r", "_s_q[2]"], &["-r", "_s_q[2]"], true),
    (&["-r", "_s_q[1]"], &["-r", "_S_q[1]"], true),
];

#[test]
fn what_goes_beside_what() -> Result {
    for (held, asked, beside) in BESIDE {
        let world = world!()?;
        let holder = Holder::new(&world, "it", held)?;
        let options = [asked, &["-o", "0"]].concat();
        let answer = just(&world, &options)?;
        let code = if beside { 0 } else { BUSY };
        ensure!(answer.code() == code, "{held:?}: {answer:#?}");
        holder.end()?.expect(0)?;
    }
    Ok(())
}

#[test]
fn a_simple_name_is_the_lock_of_this_name() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "db"])?;
    ward(&world, &["lock", "db", "--no-wait", "--", "true"]).expect(122)?;
    ward(&world, &["lock", "other", "--no-wait", "--", "true"]).expect(0)?;
    holder.end()?.expect(0)?;
    let inner = format!(
        "{} -r db -o 0 -- true; echo $?",
        crate::place::words(&world)
    );
    for (options, code) in [
        (&[][..], BUSY),
        (&["--shared"], BUSY),
        (&["--mode", "NL"], 0),
    ] {
        let answer = ward(&world, &["lock", "db"])
            .words(options)
            .sh(&inner)
            .expect(0)?;
        assert_eq!(answer.out.trim(), code.to_string(), "{answer:#?}");
    }
    // Somebody uses the same name for something else: neither is let in.
    let answer = ward(&world, &["lock", "db", "--slots", "2"])
        .sh(&inner)
        .expect(0)?;
    assert_eq!(answer.out.trim(), FAILED.to_string(), "{answer:#?}");
    Ok(())
}

#[test]
fn who_names_a_socket_is_apart() -> Result {
    let world = world!()?;
    let (one, two) = (text(world.path("one")), text(world.path("two")));
    let holder = Holder::new(&world, "it", &["-s", &one])?;
    for (options, code) in [
        (&["-s", one.as_str()][..], BUSY),
        (&["-s", "one"], BUSY),
        (&["-s", "./one"], BUSY),
        (&["-s", two.as_str()], 0),
        (&[], 0),
    ] {
        let options = [options, &["-o", "0"]].concat();
        just(&world, &options)?.expect(code)?;
    }
    holder.end()?.expect(0)?;
    just(&world, &["-s", "/no/such/directory/socket"])?.expect(FAILED)?;
    // A number that was given there is given here, too.
    for socket in [&one, &two] {
        let answer = flom(&world, &["-s", socket, "-r", "_s_q[1]"])
            .words(["--", "echo"])
            .expect(0)?;
        assert_eq!(answer.out, "1\n");
    }
    Ok(())
}
