//! Who is next.

use anyhow::ensure;
use ward_testkit::daemons::{Asked, nobody_is_left};
use ward_testkit::world;

use crate::Result;
use crate::place::{BUSY, FAILED, Holder, await_queue, just, said, script, waiter, words};

#[test]
fn who_asks_first_is_served_first() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let names: Vec<String> = (0..6).map(|number| format!("w{number}")).collect();
    let waiting: Vec<Asked> = names
        .iter()
        .map(|name| waiter(&world, "R", &["-r", "R"], name))
        .collect::<Result<_>>()?;
    holder.end()?.expect(0)?;
    for one in waiting {
        one.answer()?.expect(0)?;
    }
    assert_eq!(said(&world).split_whitespace().collect::<Vec<_>>(), names);
    nobody_is_left(&world)
}

#[test]
fn writer_not_starved_by_readers() -> Result {
    let world = world!()?;
    for name in ["R", "/a/b"] {
        let holder = Holder::new(&world, "it", &["-r", name, "-l", "PR"])?;
        just(&world, &["-r", name, "-l", "PR", "-o", "0"])?.expect(0)?;
        let writer = waiter(&world, root(name), &["-r", name], "writer")?;
        for _ in 0..3 {
            just(&world, &["-r", name, "-l", "PR", "-o", "0"])?.expect(BUSY)?;
        }
        let reader = waiter(&world, root(name), &["-r", name, "-l", "PR"], "reader")?;
        holder.end()?.expect(0)?;
        writer.answer()?.expect(0)?;
        reader.answer()?.expect(0)?;
        std::fs::remove_file(world.path("it-gate"))?;
        std::fs::remove_file(world.path("it-inside"))?;
    }
    assert_eq!(said(&world), "writer\nreader\n".repeat(2));
    Ok(())
}

/// What `ward locks` calls it.
fn root(name: &str) -> &str {
    let below = name.get(1..).and_then(|rest| rest.find('/'));
    below.map_or(name, |at| &name[..=at])
}

#[test]
fn big_quantity_not_starved() -> Result {
    let world = world!()?;
    let lock = "N[4]";
    let holder = Holder::new(&world, "it", &["-r", lock, "-q", "2"])?;
    let big = waiter(&world, lock, &["-r", lock, "-q", "4"], "big")?;
    for _ in 0..3 {
        just(&world, &["-r", lock, "-o", "0"])?.expect(BUSY)?;
    }
    let small = waiter(&world, lock, &["-r", lock], "small")?;
    holder.end()?.expect(0)?;
    big.answer()?.expect(0)?;
    small.answer()?.expect(0)?;
    assert_eq!(said(&world), "big\nsmall\n");
    Ok(())
}

/// Whether directly inside, or below another lock.
fn inside_itself(options: &str, code: i32) -> Result {
    let world = world!()?;
    let flom = words(&world);
    // A number is an argument of whatever is run: of a shell it is in nobody's way.
    let near = format!("{flom} {options} -- sh -c \"{flom} {options} -- true\"; echo $?");
    let deep = format!(
        "{flom} {options} -- sh -c \"{flom} -r Between -- sh -c \\\"{flom} {options} -- true\\\"\"; echo $?"
    );
    for text in [near, deep] {
        let answer = script(&world, &text).expect(0)?;
        ensure!(answer.out.trim() == code.to_string(), "{answer:#?}");
    }
    nobody_is_left(&world)
}

#[test]
fn self_deadlock_detected() -> Result {
    for options in ["", "-r R", "-r R -l PW", "-r N[2] -q 2", "-r _s_q[1]"] {
        inside_itself(options, FAILED)?;
    }
    Ok(())
}

#[test]
fn self_deadlock_detected_in_a_hierarchy() -> Result {
    inside_itself("-r /a/b -o 20000", FAILED)?;
    inside_itself("-r /a -l PW -o 20000", FAILED)
}

/// What goes together is no circle, and who does not wait is only told that it is busy.
#[test]
fn what_is_no_deadlock() -> Result {
    for (options, code) in [("-l CR", 0), ("-r N[2]", 0), ("-r a.b", 0), ("-o 0", BUSY)] {
        inside_itself(options, code)?;
    }
    Ok(())
}

#[test]
fn neighbours_that_share_run_together() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let reader = |own: &str, other: &str| {
        let script = format!(
            "{} {}",
            crate::place::make(&world, own),
            crate::place::until(&world, other)
        );
        crate::place::flom(&world, &["-r", "R", "-l", "PR"])
            .sh(&script)
            .start()
    };
    let (one, two) = (reader("one", "two")?, reader("two", "one")?);
    await_queue(&world, "R", (1, 2))?;
    holder.end()?.expect(0)?;
    // Each waits for the other one.
    one.answer()?.expect(0)?;
    two.answer()?.expect(0)?;
    Ok(())
}
