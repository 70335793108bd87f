//! Requests that ask for what they may not get, or for several things at once: what is said of
//! them, and that they end when they should.

#![forbid(unsafe_code)]

mod queues;

use std::fs;

use anyhow::ensure;
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::nobody_is_left;
use ward_testkit::patience::wait_until;
use ward_testkit::processes::status_line;
use ward_testkit::run::text;
use ward_testkit::world;

use queues::{
    LONG, NOT_HELD, REFUSED, Result, TIME_LIMIT, WRONG_USE, all_is_free, ask, holder, just, locks,
    open, queue, said, shell, waiter, ward,
};

/// Who does not heed a signal does not heed it while he waits, either.
#[test]
fn a_waiter_does_not_heed_what_he_ignores() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[], "gate")?;
    let deaf = waiter(&world, "it", &["--ignore-signal", "TERM"], "deaf")?;
    let hears = waiter(&world, "it", &[], "hears")?;
    for asked in [&deaf, &hears] {
        asked.signal(Signal::TERM)?;
    }
    hears.answer()?.expect(128 + 15)?;
    let mask = status_line(deaf.pid(), "SigIgn").and_then(|it| u64::from_str_radix(&it, 16).ok());
    ensure!(mask.is_some_and(|mask| mask & (1 << 14) != 0), "{mask:?}");
    open(&world, "gate")?;
    deaf.answer()?.expect(0)?;
    first.answer()?.expect(0)?;
    ensure!(said(&world) == "deaf\n", "{}", said(&world));
    nobody_is_left(&world)
}

#[test]
fn without_a_wrapper_nobody_does_what_it_would() -> Result {
    let world = world!()?;
    for options in [
        &["--stdin", "null"][..],
        &["--grace", "5s"],
        &["--leftover-grace", "5s"],
        &["--containment", "guardian"],
        &["--log-append"],
        &["--no-spare"],
    ] {
        let all = [&["--exec"], options].concat();
        let answer = just(&world, "it", &all).expect(WRONG_USE)?;
        ensure!(
            answer.err.contains("--exec") && answer.err.contains(options[0]),
            "{}",
            answer.err
        );
    }
    just(&world, "it", &["--exec", "--quiet"]).expect(0)?;
    all_is_free(&world)
}

#[test]
fn several_locks_are_released_at_once() -> Result {
    let world = world!()?;
    locks(&world, &["reserve", "a,b,c", "--why", "tests"], 0)?;
    let said = locks(&world, &["release", "a,b"], 0)?;
    ensure!(said.lines().count() == 2, "{said}");
    assert_eq!(
        (
            queue(&world, "a")?,
            queue(&world, "b")?,
            queue(&world, "c")?
        ),
        ((0, 0), (0, 0), (1, 0))
    );
    // What is wrong with one is said, and is no reason to keep another.
    let said = locks(&world, &["release", "nobodys,c"], NOT_HELD)?;
    ensure!(said.contains("`nobodys` is not held"), "{said}");
    all_is_free(&world)?;
    locks(&world, &["release", "a,,b"], WRONG_USE)?;
    locks(&world, &["release", "a,b", "--token", "7"], WRONG_USE).map(drop)
}

#[test]
fn a_token_that_is_anothers() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[], "gate")?;
    let said = locks(
        &world,
        &["release", "it", "--anyway", "--token", "7"],
        NOT_HELD,
    )?;
    ensure!(
        said.contains("with the token 7, but by ") && !said.contains("is not held\n"),
        "{said}"
    );
    assert_eq!(queue(&world, "it")?, (1, 0));
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    nobody_is_left(&world)
}

#[test]
fn the_rest_is_listed_where_one_cannot_be_read() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[], "gate")?;
    fs::write(world.path("locks").join("x".repeat(250)), "")?;
    let said = locks(&world, &[], REFUSED)?;
    ensure!(
        said.contains("it: 1 hold, 0 wait") && said.contains("xxxx"),
        "{said}"
    );
    let listed: Value = ask(&world, &["locks", "--json"]).expect(REFUSED)?.json()?;
    ensure!(listed["locks"][0]["name"] == "it", "{listed:#}");
    fs::remove_file(world.path("locks").join("x".repeat(250)))?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    nobody_is_left(&world)
}

/// Though nothing changes any more that could be told to him.
#[test]
fn nobody_watches_for_who_has_gone() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[], "gate")?;
    let watch = format!("{} locks --watch --json | head -n 1", ward(&world));
    let seen = shell(&world, &watch).expect(0)?;
    ensure!(seen.out.contains("\"it\""), "{}", seen.out);
    wait_until("nobody to watch", || {
        let watches = |it: &ward_testkit::processes::Seen| it.command.contains("--watch");
        !world.survivors().iter().any(watches)
    })?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    nobody_is_left(&world)
}

/// What outlives the command holds the lock, and is held to its time.
#[test]
fn a_tree_holds_a_lock_no_longer_than_it_may() -> Result {
    let world = world!()?;
    let report = text(world.path("report"));
    let answer = ask(
        &world,
        &["lock", "it", "--hold", "tree", "--max-hold", "1s"],
    )
    .words(["--leftover-grace", LONG, "--report", &report])
    .sh(&format!("sleep {LONG} & exit 0"))
    .answer()?;
    let told: Value = serde_json::from_str(&fs::read_to_string(world.path("report"))?)?;
    ensure!(told["cause"] == "time_limit", "{told:#}\n{answer:?}");
    all_is_free(&world)?;
    // The command itself was limited before, too.
    let answer = ask(
        &world,
        &["lock", "it", "--hold", "tree", "--max-hold", "1s"],
    );
    answer.sh(&format!("sleep {LONG}")).expect(TIME_LIMIT)?;
    nobody_is_left(&world)
}
