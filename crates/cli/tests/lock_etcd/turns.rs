//! Who is next, and who does not wait: the queue of a cluster.

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::daemons::Asked;
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;

use crate::Result;
use crate::place::{BUSY, Host, KILLED, LONG, Place};

/// How many hosts stand in line.
const LINE: usize = 12;

#[test]
fn the_host_that_asks_first_is_served_first() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let hosts = Host::several(LINE);
    let first = place.holder(&Host::new("first"), "it", &[])?;
    let words: Vec<String> = (0..LINE).map(|number| format!("w{number}")).collect();
    let waiting: Vec<Asked> = hosts
        .iter()
        .zip(&words)
        .map(|(host, word)| place.waiter(host, "it", &[], word))
        .collect::<Result<_>>()?;
    let lock = place.shown("it")?.context("nothing is shown")?;
    let list = lock["waiting"].as_array().context("no list")?;
    let listed: Vec<i64> = list.iter().filter_map(|it| it["pid"].as_i64()).collect();
    let asked: Vec<i64> = waiting.iter().map(|one| i64::from(one.pid())).collect();
    assert_eq!(listed, asked, "{lock:#}");
    place.open("gate")?;
    first.answer()?.expect(0)?;
    for one in waiting {
        one.answer()?.expect(0)?;
    }
    let said = place.said();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), words);
    place.is_settled(&members)
}

/// Somebody holds it; these come after him, one after the other. The order in which they are served.
fn served(members: &Members, line: &[(&str, &[&str])]) -> Result<Vec<String>> {
    let place = Place::new(members)?;
    let first = place.holder(&Host::new("first"), "it", &[])?;
    let waiting: Vec<Asked> = line
        .iter()
        .map(|(word, options)| place.waiter(&Host::new(word), "it", options, word))
        .collect::<Result<_>>()?;
    place.open("gate")?;
    first.answer()?.expect(0)?;
    for one in waiting {
        one.answer()?.expect(0)?;
    }
    place.is_settled(members)?;
    Ok(place.said().lines().map(str::to_owned).collect())
}

#[test]
fn other_orders_of_the_queue() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let line: [(&str, &[&str]); 4] = [
        ("low", &["--priority", "-1"]),
        ("usual", &[]),
        ("high", &["--priority", "5"]),
        ("late", &["--priority", "5"]),
    ];
    let order = served(&members, &line)?;
    assert_eq!(order, ["high", "late", "usual", "low"]);

    let line: [(&str, &[&str]); 4] = [
        ("one", &[]),
        ("two", &[]),
        ("newest", &["--newest-first"]),
        ("high", &["--priority", "1"]),
    ];
    let order = served(&members, &line)?;
    assert_eq!(order, ["high", "newest", "one", "two"]);
    Ok(())
}

/// Who takes it as soon as it can be had goes past a writer who waits for readers.
#[test]
fn the_first_that_fits() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c, d] = &Host::several(4)[..] else {
        anyhow::bail!("four hosts");
    };
    let first = place.holder(a, "it", &["--shared"])?;
    let writer = place.waiter(b, "it", &[], "writer")?;
    place
        .just(c, "it", &["--shared", "--no-wait"])
        .expect(BUSY)?;
    place
        .just(d, "it", &["--shared", "--no-wait", "--first-fit"])
        .expect(0)?;
    place.open("gate")?;
    for one in [first, writer] {
        one.answer()?.expect(0)?;
    }
    place.is_settled(&members)
}

#[test]
fn who_waits_already_is_enough_or_is_sent_away() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c, d] = &Host::several(4)[..] else {
        anyhow::bail!("four hosts");
    };
    let first = place.holder(a, "it", &[])?;
    let skip = ["--skip-if-queued"];
    let second = place.waiter(b, "it", &skip, "second")?;
    let answer = place
        .lock(c, "it", &skip)
        .sh(&place.say("third"))
        .expect(BUSY)?;
    ensure!(answer.err.contains("is waited for already"), "{answer:#?}");
    assert_eq!(place.queue("it")?, (1, 1));
    let last = place
        .lock(d, "it", &["--replace-pending"])
        .sh(&place.say("last"))
        .start()?;
    let answer = second.answer()?.expect(BUSY)?;
    ensure!(answer.err.contains("replaced by "), "{answer:#?}");
    place.await_queue("it", (1, 1))?;
    place.open("gate")?;
    for one in [first, last] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said(), "last\n");
    place.is_settled(&members)
}

#[test]
fn who_does_not_want_to_wait() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let first = place.holder(&here, "it", &["--why", "a good reason"])?;
    for (options, code) in [
        (&["--no-wait"][..], BUSY),
        (&["--wait", "0"], BUSY),
        (&["--wait", "150ms"], BUSY),
        (&["--no-wait", "--conflict-exit-code", "7"], 7),
        (&["--wait", "150ms", "--conflict-exit-code", "0"], 0),
    ] {
        let answer = place
            .lock(&there, "it", options)
            .sh(&place.say("entered"))
            .expect(code)?;
        ensure!(
            answer.err.contains("`it`") && answer.err.contains("a good reason"),
            "{answer:#?}"
        );
        assert_eq!(place.queue("it")?, (1, 0), "{options:?}");
    }
    let late = place.waiter(&there, "it", &["--wait", LONG], "late")?;
    place.open("gate")?;
    for one in [first, late] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said(), "late\n");
    place.is_settled(&members)
}

/// The time to wait is not counted anew whenever the queue moves, nor when the wait for this host's own
/// lock becomes one for the cluster's.
#[test]
fn the_time_to_wait_is_counted_in_all() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let first = place.holder(&here, "it", &["--shared"])?;
    // Before us at our own host's lock, until the gate is opened.
    let next = place
        .ask(&there, &["lock", "it"])
        .sh(&place.until("next"))
        .start()?;
    wait_until("the neighbour", || {
        let held = place.ask(&there, &["locks", "it"]).expect(0);
        held.is_ok_and(|answer| answer.out.contains("1 hold"))
    })?;
    let mut hurried = place
        .lock(&there, "it", &["--wait", "1500ms"])
        .sh(&place.say("entered"))
        .start()?;
    wait_until("it to wait", || {
        let waits = place.ask(&there, &["locks", "it"]).expect(0);
        waits.is_ok_and(|answer| answer.out.contains("1 wait")) || hurried.is_over()
    })?;
    place.open("next")?;
    next.answer()?.expect(0)?;
    // Others come and go until it has given up, more often than that.
    let other = Host::new("other");
    wait_until("it to give up", || {
        let options = ["--shared", "--no-wait", "--first-fit"];
        place.just(&other, "it", &options).expect(0).is_err() || hurried.is_over()
    })?;
    hurried.answer()?.expect(BUSY)?;
    place.open("gate")?;
    first.answer()?.expect(0)?;
    assert_eq!(place.said(), "");
    place.is_settled(&members)
}

/// However a waiter is ended, whoever it was in the way of goes on at once.
#[test]
fn a_waiter_that_is_ended_leaves_the_queue() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c] = &Host::several(3)[..] else {
        anyhow::bail!("three hosts");
    };
    let first = place.holder(a, "it", &["--shared"])?;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
        let ended = place.waiter(b, "it", &[], "ended")?;
        let next = place.waiter(c, "it", &["--shared"], "next")?;
        ended.signal(signal)?;
        ended.answer()?.expect(128 + signal.as_raw())?;
        // Only the one who has gone was in its way.
        next.answer()?.expect(0)?;
        place.await_queue("it", (1, 0))?;
    }
    place.open("gate")?;
    first.answer()?.expect(0)?;
    assert_eq!(place.said(), "next\n".repeat(4));
    place.settles(&members)
}

/// One that somebody has stopped keeps its place, and is in nobody's way otherwise.
#[test]
fn a_waiter_that_is_stopped_keeps_its_place() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c] = &Host::several(3)[..] else {
        anyhow::bail!("three hosts");
    };
    let first = place.holder(a, "it", &[])?;
    let stopped = place.waiter(b, "it", &[], "stopped")?;
    stopped.signal(Signal::STOP)?;
    let next = place.waiter(c, "it", &[], "next")?;
    place.open("gate")?;
    first.answer()?.expect(0)?;
    place.await_queue("it", (1, 1))?;
    stopped.signal(Signal::CONT)?;
    for one in [stopped, next] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said(), "stopped\nnext\n");

    // Killed while it stands still, it is gone.
    std::fs::remove_file(place.world.path("gate"))?;
    let first = place.holder(a, "it", &[])?;
    let stopped = place.waiter(b, "it", &[], "killed")?;
    stopped.signal(Signal::STOP)?;
    let next = place.waiter(c, "it", &[], "last")?;
    stopped.signal(Signal::KILL)?;
    stopped.answer()?.expect(KILLED)?;
    place.open("gate")?;
    for one in [first, next] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said(), "stopped\nnext\nlast\n");
    place.settles(&members)
}

/// Others go, one after the other, while somebody who waits stands still: whatever he was told meanwhile,
/// he hears that it is his turn.
#[test]
fn who_hears_much_hears_of_his_turn() -> Result {
    /// What is told of them is more than a socket holds that nobody reads from.
    const OTHERS: usize = 40;
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let why = "\"".repeat(300);
    let others: Vec<Asked> = (0..OTHERS)
        .map(|number| {
            let script = place.until(&format!("gate{number}"));
            let options = ["--shared", "--why", &why];
            place.lock(&here, "it", &options).sh(&script).start()
        })
        .collect::<Result<_>>()?;
    place.await_queue("it", (OTHERS, 0))?;
    let stopped = place.waiter(&there, "it", &[], "entered")?;
    stopped.signal(Signal::STOP)?;
    for (number, other) in others.into_iter().enumerate() {
        place.open(&format!("gate{number}"))?;
        other.answer()?.expect(0)?;
    }
    place.await_queue("it", (1, 0))?;
    stopped.signal(Signal::CONT)?;
    stopped.answer()?.expect(0)?;
    assert_eq!(place.said(), "entered\n");
    place.is_settled(&members)
}
