//! `ward locks reserve`, `release` and `steal`: what people do about locks without a command, and
//! what is written down of it.

#![forbid(unsafe_code)]

mod queues;

use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::nobody_is_left;
use ward_testkit::world;
use ward_testkit::world::World;

use queues::{
    BUSY, DURABLE, LONG, NOT_HELD, REFUSED, Result, STOPPED, all_are_gone, all_is_free, ask,
    await_queue, cleaning, cleans, holder, just, locks, open, past, queue, said, shown, waiter,
    ward, words_said,
};

/// The lines of the audit log: what was done to which lock, why, and to how many.
fn audited(world: &World) -> anyhow::Result<Vec<(String, String, String, usize)>> {
    let log = fs::read_to_string(world.path(DURABLE).join("audit.jsonl")).unwrap_or_default();
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line)?;
        ensure!(line["at"].is_f64() && line["user"].is_string(), "{line:#}");
        ensure!(line["uid"].is_u64() && line["host"].is_string(), "{line:#}");
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let from = line["from"].as_array().map_or(0, Vec::len);
        Ok((word("action"), word("lock"), word("note"), from))
    };
    log.lines().map(read).collect()
}

/// What was done last, as [`audited`] says it.
fn last_deed(world: &World) -> anyhow::Result<String> {
    let (action, lock, note, from) = audited(world)?.pop().context("nothing was audited")?;
    Ok(format!("{action} {lock}, {note}, {from}"))
}

#[test]
fn to_hold_one_without_a_command() -> Result {
    let world = world!()?;
    let reserve = ["reserve", "it", "--why", "being moved"];
    assert_eq!(locks(&world, &reserve, 0)?, "");
    assert_eq!(last_deed(&world)?, "reserve it, being moved, 0");
    let held = shown(&world, "it")?["holders"][0].clone();
    assert_eq!(
        (&held["reserved"], &held["until"]),
        (&true.into(), &Value::Null)
    );
    let list = locks(&world, &["it"], 0)?;
    ensure!(list.contains(" (reserved, being moved) for "), "{list}");
    // Nobody of ours is left, and it is held all the same.
    nobody_is_left(&world)?;
    let answer = just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    ensure!(
        answer.err.contains("(reserved, being moved)"),
        "{answer:#?}"
    );
    let next = waiter(&world, "it", &[], "next")?;
    for options in [&["--no-wait"][..], &["--wait", "50ms"]] {
        let again = [&["reserve", "it"][..], options].concat();
        locks(&world, &again, BUSY)?;
    }
    assert_eq!(queue(&world, "it")?, (1, 1));
    let told = locks(&world, &["release", "it", "--why", "moved"], 0)?;
    ensure!(
        told.contains("freed from ") && told.contains("being moved"),
        "{told}"
    );
    assert_eq!(last_deed(&world)?, "release it, moved, 1");
    next.answer()?.expect(0)?;
    locks(&world, &["release", "it"], NOT_HELD)?;
    // Several, and parts of one, as they are written for a command.
    locks(&world, &["reserve", "a,b=shared,c/d=PW"], 0)?;
    for (lock, code) in [("a", BUSY), ("b=shared", 0), ("c/d", BUSY), ("c/e", 0)] {
        just(&world, lock, &["--no-wait"]).expect(code)?;
    }
    assert_eq!(audited(&world)?.len(), 5, "{:#?}", audited(&world)?);
    Ok(())
}

#[test]
fn to_hold_one_in_turn_and_for_a_time() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &[], "gate")?;
    let words = ["locks", "reserve", "it", "--for", "1s", "--wait", LONG];
    let person = ask(&world, &words).start()?;
    await_queue(&world, "it", (1, 1))?;
    let later = waiter(&world, "it", &[], "later")?;
    assert_eq!(audited(&world)?, [], "it is not held yet");
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    person.answer()?.expect(0)?;
    let held = shown(&world, "it")?["holders"][0].clone();
    let number = |key: &str| {
        held[key]
            .as_f64()
            .with_context(|| format!("{key}: {held:#}"))
    };
    let time = number("until")? - number("held_since")?;
    ensure!((1.0..30.0).contains(&time), "{time}: {held:#}");
    assert_eq!(held["reserved"], true, "{held:#}");
    // When the time is over it is the next one's, without anybody's doing.
    later.answer()?.expect(0)?;
    assert_eq!(
        past(&world, "it")?["history"][1]["record"]["reserved"],
        true
    );
    all_is_free(&world)?;
    // A part of what holds it would wait for ever.
    let within = format!("{} locks reserve it; echo $?", ward(&world));
    let answer = ask(&world, &["lock", "it"]).sh(&within).expect(0)?;
    assert_eq!(answer.out.trim(), REFUSED.to_string(), "{answer:#?}");
    // Who gave up waiting is not in the queue.
    let first = holder(&world, "it", &[], "again")?;
    let person = ask(&world, &["locks", "reserve", "it"]).start()?;
    await_queue(&world, "it", (1, 1))?;
    person.signal(Signal::INT)?;
    person.answer()?.expect(128 + 2)?;
    await_queue(&world, "it", (1, 0))?;
    open(&world, "again")?;
    first.answer()?.expect(0)?;
    Ok(())
}

#[test]
fn to_free_what_one_token_holds() -> Result {
    let world = world!()?;
    for why in ["one", "two"] {
        locks(&world, &["reserve", "it=shared", "--why", why], 0)?;
    }
    let tokens = |world: &World| -> anyhow::Result<Vec<(String, String)>> {
        let shown = shown(world, "it")?;
        let holders = shown["holders"].as_array().context("no list")?;
        let one = |it: &Value| (it["why"].to_string(), it["token"].to_string());
        Ok(holders.iter().map(one).collect())
    };
    let held = tokens(&world)?;
    locks(&world, &["release", "it", "--token", "1"], NOT_HELD)?;
    assert_eq!(tokens(&world)?, held);
    let (first, rest) = held.split_first().context("nobody holds")?;
    let told = locks(&world, &["release", "it", "--token", &first.1], 0)?;
    assert_eq!(told.matches("freed from").count(), 1, "{told}");
    assert_eq!(tokens(&world)?, rest);
    assert_eq!(last_deed(&world)?, "release it, , 1");
    locks(&world, &["release", "it"], 0)?;
    all_is_free(&world)
}

#[test]
fn to_free_what_work_holds() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &["--why", "a good reason"], "gate")?;
    let told = locks(&world, &["release", "it"], BUSY)?;
    for part in ["a good reason", "work that goes on", "--stop", "--anyway"] {
        ensure!(told.contains(part), "no {part:?}: {told}");
    }
    assert_eq!(queue(&world, "it")?, (1, 0));
    assert_eq!(audited(&world)?, []);
    // It goes on beside the next one, whose lock it does not take with it.
    let told = locks(&world, &["release", "it", "--anyway", "--why", "stuck"], 0)?;
    ensure!(
        told.contains("freed from ") && told.contains("a good reason"),
        "{told}"
    );
    assert_eq!(last_deed(&world)?, "release it, stuck, 1");
    let second = holder(&world, "it", &[], "second")?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    assert_eq!(queue(&world, "it")?, (1, 0));
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    open(&world, "second")?;
    second.answer()?.expect(0)?;
    all_is_free(&world)
}

#[test]
fn to_stop_the_work_that_holds() -> Result {
    let world = world!()?;
    let script = cleaning(&world, "never");
    let work = ask(&world, &["lock", "it=shared", "--shell", &script]).start()?;
    cleans(&world)?;
    locks(&world, &["reserve", "it=shared"], 0)?;
    let stop = ["release", "it", "--stop", "--why", "an incident"];
    let told = locks(&world, &stop, 0)?;
    // It has waited until the work had ended.
    assert_eq!(said(&world), "cleaned\n");
    all_is_free(&world)?;
    ensure!(
        told.contains("stopping ") && told.contains("freed from "),
        "{told}"
    );
    work.answer()?.expect(STOPPED)?;
    assert_eq!(last_deed(&world)?, "release it, an incident, 1");
    // Where ward became the command there is nobody else to be told.
    let bare = holder(&world, "it", &["--exec"], "never")?;
    locks(&world, &stop, 0)?;
    bare.answer()?.expect(128 + 15)?;
    assert_eq!(locks(&world, &["release", "it", "--stop"], 0)?, "");
    all_are_gone(&world)
}

/// A person who ends somebody's work is named, as one who frees a lock is.
#[test]
fn to_stop_work_is_audited() -> Result {
    let world = world!()?;
    let work = holder(&world, "it", &[], "never")?;
    locks(&world, &["release", "it", "--stop", "--why", "stuck"], 0)?;
    work.answer()?.expect(STOPPED)?;
    let deeds = audited(&world)?;
    let [(_, lock, note, from)] = &deeds[..] else {
        anyhow::bail!("not one line: {deeds:#?}");
    };
    assert_eq!((lock.as_str(), note.as_str(), *from), ("it", "stuck", 1));
    Ok(())
}

#[test]
fn to_take_one_from_whoever_holds_it() -> Result {
    let world = world!()?;
    let robbed = [
        holder(&world, "it=shared", &["--why", "one"], "gate")?,
        holder(&world, "it=shared", &["--why", "two"], "gate")?,
    ];
    let waits = waiter(&world, "it", &["--priority", "9"], "waits")?;
    let told = locks(&world, &["steal", "it", "--why", "an incident"], 0)?;
    assert_eq!(told.matches("taken from ").count(), 2, "{told}");
    ensure!(
        told.contains(", one) for ") && told.contains(", two) for "),
        "{told}"
    );
    assert_eq!(last_deed(&world)?, "steal it, an incident, 2");
    assert_eq!(queue(&world, "it")?, (1, 1));
    let list = locks(&world, &["it"], 0)?;
    ensure!(list.contains("(reserved, an incident) for "), "{list}");
    // Their work goes on without it, and ends without a trace.
    open(&world, "gate")?;
    for one in robbed {
        one.answer()?.expect(0)?;
    }
    assert_eq!(queue(&world, "it")?, (1, 1));
    let ended: Vec<Value> = past(&world, "it")?["history"]
        .as_array()
        .context("no list")?
        .iter()
        .map(|it| it["ended"].clone())
        .collect();
    assert_eq!(ended, ["taken", "taken"]);
    locks(&world, &["release", "it"], 0)?;
    waits.answer()?.expect(0)?;
    // From nobody, and for a time.
    assert_eq!(locks(&world, &["steal", "it", "--for", "300ms"], 0)?, "");
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    just(&world, "it", &["--wait", LONG]).expect(0)?;
    assert_eq!(words_said(&world), ["waits"]);
    ensure!(
        !list.contains("priority 2147483647"),
        "nobody asked for that: {list}"
    );
    Ok(())
}

/// What is taken is held like anything else: also things of a pool, slots, and what was free.
#[test]
fn what_was_taken_is_held() -> Result {
    let world = world!()?;
    for (number, (held, taken, left)) in [
        (None, "it", None),
        (None, "it=pool:p:q", Some("it=pool:p:q")),
        (Some("it=pool:p"), "it=pool:p", None),
        (Some("it=2/2"), "it=1/2", Some("it=1/2")),
        (Some("it=shared"), "it=shared", Some("it=shared")),
    ]
    .into_iter()
    .enumerate()
    {
        let gate = format!("gate{number}");
        let robbed = held
            .map(|held| holder(&world, held, &[], &gate))
            .transpose()?;
        let granted = |world: &World| -> anyhow::Result<u64> {
            let granted = past(world, "it")?["statistics"]["granted"].as_u64();
            granted.context("no number")
        };
        let before = granted(&world)?;
        locks(&world, &["steal", taken, "--why", "an incident"], 0)?;
        ensure!(
            granted(&world)? == before + 1,
            "{taken}: it is granted once"
        );
        let code = if left.is_some() { 0 } else { BUSY };
        just(&world, left.unwrap_or(taken), &["--no-wait"])
            .expect(code)
            .with_context(|| format!("{held:?}, {taken}"))?;
        open(&world, &gate)?;
        if let Some(robbed) = robbed {
            robbed.answer()?.expect(0)?;
        }
        locks(&world, &["release", "it"], 0)?;
        all_is_free(&world)?;
    }
    Ok(())
}

/// What cannot be written down is not done.
#[test]
fn deeds_that_cannot_be_audited() -> Result {
    let world = world!()?;
    let work = holder(&world, "it", &[], "gate")?;
    fs::write(world.path(DURABLE), "no directory")?;
    for deed in [
        &["steal", "it"][..],
        &["release", "it", "--anyway"],
        &["reserve", "other"],
        &["steal", "other"],
    ] {
        let told = locks(&world, deed, REFUSED)?;
        ensure!(told.contains("audit.jsonl"), "{told}");
    }
    assert_eq!(queue(&world, "it")?, (1, 0));
    assert_eq!(queue(&world, "other")?, (0, 0));
    open(&world, "gate")?;
    work.answer()?.expect(0)?;
    all_is_free(&world)
}
