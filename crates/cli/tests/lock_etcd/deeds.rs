//! What people do about a cluster's locks: hold them without a process, free them, take them, stop the work
//! that holds them, on whichever host it is.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::nobody_is_left;
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;

use crate::Result;
use crate::hosts::two;
use crate::place::{BUSY, Host, KILLED, Place, REFUSED, at_once};

/// Nobody holds it.
const NOT_HELD: i32 = 121;

/// The command was stopped.
const STOPPED: i32 = 123;

/// Renewed every second or so.
const SOON: &str = "--lease=5s";

/// What was done on a host, as its audit log says it.
fn deeds(place: &Place, host: &str) -> Result<Vec<String>> {
    let log = format!("locks-of-{host}/%durable/audit.jsonl");
    let log = fs::read_to_string(place.world.path(&log)).unwrap_or_default();
    let deed = |line: &str| {
        let line: Value = serde_json::from_str(line)?;
        assert_eq!(line["cluster"], place.prefix(), "{line:#}");
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let from = line["from"].as_array().map_or(0, Vec::len);
        let (action, lock, note) = (word("action"), word("lock"), word("note"));
        Ok(format!("{action} {lock} ({note}) {from}"))
    };
    log.lines().map(deed).collect()
}

/// Whatever somebody was given is given back.
fn no_lease_is_left(members: &Members) -> Result {
    let leases = members.etcdctl(["lease", "list"])?;
    let leases = leases.as_deref().map(str::trim);
    ensure!(leases.is_none_or(|it| it == "found 0 leases"), "{leases:?}");
    Ok(())
}

/// For a shell: work that cleans up when it is told to stop.
fn cleaning(place: &Place) -> String {
    let trap = place.say("cleaned");
    format!(
        "trap '{trap} exit 1' TERM; {} {}",
        place.say("works"),
        place.until("gate")
    )
}

#[test]
fn a_person_holds_it_for_all_hosts() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [here, there] = [Host::new("here"), Host::new("there")];
    let reserve = ["reserve", "it,other=shared", "--why", "the database moves"];
    let answer = place.deed(&here, &reserve).expect(0)?;
    ensure!(
        answer.out.is_empty() && answer.err.is_empty(),
        "{answer:#?}"
    );
    // No process, no lease: nobody of ours is there, and it is held.
    nobody_is_left(&place.world)?;
    let shown = place.shown("it")?.context("nothing is shown")?;
    assert_eq!(shown["holders"][0]["reserved"], true, "{shown:#}");
    let refused = place.just(&there, "it", &["--no-wait"]).expect(BUSY)?;
    ensure!(
        refused.err.contains("(reserved, the database moves)"),
        "{refused:#?}"
    );
    place
        .just(&there, "other", &["--no-wait", "--shared"])
        .expect(0)?;
    place.just(&there, "other", &["--no-wait"]).expect(BUSY)?;
    // This host's lock is another one.
    place
        .ask(&here, &["lock", "it", "--local", "--no-wait", "--", "true"])
        .expect(0)?;
    let next = place.waiter(&there, "it", &[], "next")?;
    place
        .deed(&there, &["reserve", "it", "--wait", "50ms"])
        .expect(BUSY)?;
    place.deed(&there, &["steal", "it", "--local"]).expect(2)?;
    let freed = place
        .deed(&there, &["release", "it", "--why", "moved"])
        .expect(0)?;
    ensure!(freed.err.contains("freed from "), "{freed:#?}");
    next.answer()?.expect(0)?;
    place.deed(&there, &["release", "it"]).expect(NOT_HELD)?;
    place
        .deed(&there, &["release", "it,other"])
        .expect(NOT_HELD)?;
    assert_eq!(
        deeds(&place, "here")?,
        [
            "reserve it (the database moves) 0",
            "reserve other (the database moves) 0"
        ]
    );
    assert_eq!(
        deeds(&place, "there")?,
        ["release it (moved) 1", "release other () 1"]
    );
    // A part of what holds it would wait for ever.
    let words: Vec<String> = place.cluster().map(str::to_owned).to_vec();
    let ward = text(place.world.ward_program());
    let within = format!("{ward} locks reserve it {}; echo $?", words.join(" "));
    let answer = place.lock(&here, "it", &[]).sh(&within).expect(0)?;
    assert_eq!(answer.out.trim(), REFUSED.to_string(), "{answer:#?}");
    // Who gives up waiting leaves nothing behind, at once.
    let holder = place.holder(&here, "it", &[])?;
    let person = place.deed(&there, &["reserve", "it"]).start()?;
    place.await_queue("it", (1, 1))?;
    person.signal(Signal::TERM)?;
    person.answer()?.expect(128 + 15)?;
    assert_eq!(place.queue("it")?, (1, 0));
    place.open("gate")?;
    holder.answer()?.expect(0)?;
    place.is_settled(&members)?;
    no_lease_is_left(&members)
}

/// Whoever is killed on the way has reserved it or not, and nothing of it stays that nobody knows.
#[test]
fn who_is_killed_while_he_reserves_holds_it_or_does_not() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let endpoints = members.endpoints();
    let (held, not) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let numbers: Vec<u64> = (0..40).collect();
    at_once(20, &numbers, |number| {
        let place = Place::at(&endpoints)?;
        let here = Host::new("here");
        let person = place.deed(&here, &["reserve", "it", SOON]).start()?;
        let until = Instant::now() + Duration::from_micros(number * 500);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        // He may have been quicker.
        let _ = person.signal(Signal::KILL);
        let code = person.answer()?.code();
        ensure!(code == 0 || code == KILLED, "{code}");
        // In its turn: behind what he may have left in the queue.
        let next = place
            .just(&Host::new("there"), "it", &["--wait", "20s", SOON])
            .answer()?;
        if next.code() == 0 {
            ensure!(code != 0, "it was reserved, and somebody else got it");
            not.fetch_add(1, Ordering::Relaxed);
            return nobody_is_left(&place.world);
        }
        ensure!(next.err.contains("(reserved"), "{next:#?}");
        held.fetch_add(1, Ordering::Relaxed);
        place.deed(&here, &["release", "it"]).expect(0)?;
        nobody_is_left(&place.world)
    })?;
    let (held, not) = (held.into_inner(), not.into_inner());
    ensure!(held + not == numbers.len());
    eprintln!("killed on the way: {held} held, {not} did not");
    Ok(())
}

#[test]
fn what_work_holds_is_taken_and_freed() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [here, there] = [Host::new("here"), Host::new("there")];
    let work = place.holder(&here, "it", &["--why", "a build"])?;
    let refused = place.deed(&there, &["release", "it"]).expect(BUSY)?;
    ensure!(refused.err.contains("a build"), "{refused:#?}");
    let taken = place
        .deed(&there, &["steal", "it", "--why", "incident", "--for", "1h"])
        .expect(0)?;
    ensure!(
        taken.err.contains("taken from ") && taken.err.contains("a build"),
        "{taken:#?}"
    );
    assert_eq!(place.queue("it")?, (1, 0));
    assert_eq!(deeds(&place, "there")?, ["steal it (incident) 1"]);
    place.just(&there, "it", &["--no-wait"]).expect(BUSY)?;
    place.deed(&here, &["release", "it"]).expect(0)?;
    let next = place
        .lock(&there, "it", &[])
        .sh(&place.until("next"))
        .start()?;
    place.await_queue("it", (1, 0))?;
    // The work went on, and what it gives back is not the next one's.
    place.open("gate")?;
    work.answer()?.expect(0)?;
    assert_eq!(place.queue("it")?, (1, 0));
    let freed = place
        .deed(&here, &["release", "it", "--anyway"])
        .expect(0)?;
    ensure!(freed.err.contains("freed from "), "{freed:#?}");
    place.just(&here, "it", &["--no-wait"]).expect(0)?;
    place.open("next")?;
    next.answer()?.expect(0)?;
    // Who is refused had asked for no time either.
    let ask = place.lock(&here, "slots", &["--slots", "2"]);
    let work = ask.sh(&place.until("last")).start()?;
    place.await_queue("slots", (1, 0))?;
    let long = ["--for", "1h"];
    place
        .deed(&there, &[&["steal", "slots=1/3"][..], &long].concat())
        .expect(REFUSED)?;
    place
        .deed(&there, &[&["steal", "slots=2/2,other"][..], &long].concat())
        .expect(0)?;
    place.open("last")?;
    work.answer()?.expect(0)?;
    place.deed(&here, &["release", "slots,other"]).expect(0)?;
    place.is_settled(&members)?;
    no_lease_is_left(&members)
}

#[test]
fn work_on_another_host_is_stopped() -> Result {
    let (Some([alpha, beta]), Some(members)) = (two(), Members::start(1)?) else {
        return Ok(());
    };
    let place = Place::new(&members)?.seen_from(beta.clone());
    let work = place
        .lock(&alpha, "it", &[SOON])
        .sh(&cleaning(&place))
        .start()?;
    place.await_queue("it", (1, 0))?;
    wait_until("work", || place.said() == "works\n")?;
    let stopped = place
        .deed(&beta, &["release", "it", "--stop", "--why", "stuck"])
        .expect(0)?;
    ensure!(
        stopped.err.contains("stopping ") && stopped.err.contains("@alpha"),
        "{stopped:#?}"
    );
    work.answer()?.expect(STOPPED)?;
    assert_eq!(place.said(), "works\ncleaned\n");
    assert_eq!(deeds(&place, "beta")?, ["stop it (stuck) 1"]);
    // Who came after it is not meant.
    let work = place.holder(&alpha, "it", &[SOON])?;
    let person = place
        .deed(&alpha, &["reserve", "it", "--wait", "50s"])
        .start()?;
    place.await_queue("it", (1, 1))?;
    place.deed(&beta, &["release", "it", "--stop"]).expect(0)?;
    work.answer()?.expect(STOPPED)?;
    person.answer()?.expect(0)?;
    let shown = place.shown("it")?.context("nothing is shown")?;
    assert_eq!(shown["holders"][0]["reserved"], true, "{shown:#}");
    // Whom to ask for it: he is on another host.
    let list = place.ask(&beta, &["locks", "it"]).words(place.cluster());
    let list = list.expect(0)?.out;
    ensure!(list.contains("@alpha (reserved)"), "{list}");
    // Nor is work where a person holds it, or at another part.
    place.deed(&beta, &["release", "it", "--stop"]).expect(0)?;
    assert_eq!(place.queue("it")?, (0, 0));
    let part = place.holder(&alpha, "it/other", &[SOON])?;
    // So does who wants it now.
    let work = place.holder(&alpha, "it/one", &[SOON])?;
    place
        .lock(&beta, "it/one", &["--cancel-running"])
        .sh(&place.say("next"))
        .expect(0)?;
    work.answer()?.expect(STOPPED)?;
    assert_eq!(place.said(), "works\ncleaned\nnext\n");
    assert_eq!(place.queue("it")?, (1, 0));
    place.open("gate")?;
    part.answer()?.expect(0)?;
    // By a name that only FLoM has.
    let work = place
        .ask(&alpha, &["flom", "-r", "/A/B", SOON])
        .words(place.cluster())
        .words(["--", "sleep", "50"])
        .start()?;
    wait_until("work", || place.queue("/A").is_ok_and(|it| it == (1, 0)))?;
    place.deed(&beta, &["release", "/A", "--stop"]).expect(0)?;
    ensure!(work.answer()?.code() != 0);
    place.settles(&members)?;
    no_lease_is_left(&members)
}
