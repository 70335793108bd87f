//! How long is waited, for what, and what is said when it was too long.

use anyhow::ensure;
use ward_testkit::patience::wait_until;
use ward_testkit::world;

use crate::Result;
use crate::place::{
    BUSY, CANNOT_WAIT, Holder, LONG, await_queue, flom, just, queue, said, say, waiter,
};

#[test]
fn who_does_not_wait() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let answer = just(&world, &["-r", "R", "-o", "0"])?.expect(BUSY)?;
    ensure!(
        answer
            .err
            .starts_with("Resource already locked, the lock cannot be obtained\n"),
        "{answer:#?}"
    );
    let answer = just(&world, &["-r", "R", "-o", "120"])?.expect(BUSY)?;
    ensure!(
        answer
            .err
            .starts_with("The lock was not obtained because timeout (120 milliseconds) expired\n"),
        "{answer:#?}"
    );
    assert_eq!(queue(&world, "R")?, (1, 0));
    let late = waiter(&world, "R", &["-r", "R", "-o", LONG], "late")?;
    holder.end()?.expect(0)?;
    late.answer()?.expect(0)?;
    assert_eq!(said(&world), "late\n");
    Ok(())
}

#[test]
fn busy_message_names_holder() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R", "--why=a good reason"])?;
    for timeout in ["0", "50"] {
        let answer = just(&world, &["-r", "R", "-o", timeout])?.expect(BUSY)?;
        let second = answer.err.lines().nth(1).unwrap_or_default();
        ensure!(
            second.starts_with("flom: held by ")
                && second.contains("/bin/sh")
                && second.contains("a good reason"),
            "{answer:#?}"
        );
        assert_eq!(answer.err.lines().count(), 2, "{answer:#?}");
    }
    holder.end()?.expect(0)?;
    Ok(())
}

/// It is not counted anew whenever the queue moves.
#[test]
fn timeout_is_total() -> Result {
    let world = world!()?;
    let holder = Holder::new(&world, "it", &["-r", "R"])?;
    let mut hurried = flom(&world, &["-r", "R", "-o", "700"])
        .sh(&say(&world, "entered"))
        .start()?;
    wait_until("it to give up", || {
        just(&world, &["-r", "R", "-o", "0"]).is_err() || hurried.is_over()
    })?;
    hurried.answer()?.expect(BUSY)?;
    holder.end()?.expect(0)?;
    assert_eq!(said(&world), "");
    Ok(())
}

#[test]
fn what_nobody_uses_is_waited_for() -> Result {
    let world = world!()?;
    for name in ["R", "N[2]", "a.b", "/a/b", "_s_q[1]", "_t_%S#ffffff[1]"] {
        let options = |more: &[&'static str]| [&["-r", name, "-e", "no"], more].concat();
        let answer = just(&world, &options(&["-o", "0"]))?.expect(CANNOT_WAIT)?;
        ensure!(
            answer.err.starts_with(
                "The resource could be available in the future, but the requester can't wait\n"
            ),
            "{name}: {answer:#?}"
        );
        let answer = just(&world, &options(&["-o", "20"]))?.expect(BUSY)?;
        ensure!(
            answer.err.contains("timeout (20 milliseconds) expired"),
            "{answer:#?}"
        );
    }
    // Somebody uses another part of it, or other things.
    let path = Holder::new(&world, "path", &["-r", "/a/c"])?;
    let things = Holder::new(&world, "things", &["-r", "c.d"])?;
    just(&world, &["-r", "/a/b", "-e", "no", "-o", "0"])?.expect(0)?;
    just(&world, &["-r", "a.b", "-e", "no", "-o", "0"])?.expect(CANNOT_WAIT)?;
    just(&world, &["-r", "c.d", "-e", "no", "-o", "0"])?.expect(0)?;
    path.end()?.expect(0)?;
    things.end()?.expect(0)?;
    Ok(())
}

#[test]
fn who_waits_for_it_to_be_used_goes_behind_who_does() -> Result {
    let world = world!()?;
    // Before anybody knows the name.
    let waits = flom(&world, &["-r", "R", "-e", "no", "-o", LONG])
        .sh(&say(&world, "waited"))
        .start()?;
    let holder = Holder::with(&world, "it", &["-r", "R"], &say(&world, "first"))?;
    await_queue(&world, "R", (1, 1))?;
    holder.end()?.expect(0)?;
    waits.answer()?.expect(0)?;
    assert_eq!(said(&world), "first\nwaited\n");
    Ok(())
}

#[test]
fn it_counts_as_used_for_a_while() -> Result {
    let world = world!()?;
    let is_used = |name: &str| just(&world, &["-r", name, "-e", "no", "-o", "0"]);
    just(&world, &["-r", "Brief"])?.expect(0)?;
    is_used("Brief")?.expect(CANNOT_WAIT)?;
    for name in ["R", "N[2]", "a.b", "/a/b"] {
        just(&world, &["-r", name, "-i", LONG])?.expect(0)?;
        is_used(name)?.expect(0)?;
        // Who comes later has no say in it.
        just(&world, &["-r", name, "-i", "0"])?.expect(0)?;
        is_used(name)?.expect(0)?;
    }
    just(&world, &["-r", "Short", "-i", "1"])?.expect(0)?;
    wait_until("its time to be over", || {
        is_used("Short").is_ok_and(|answer| answer.code() == CANNOT_WAIT)
    })
}
