//! What a cluster gives with a lock: things, numbers, times, tokens, and what the command is told.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::daemons::Asked;
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;

use crate::Result;
use crate::place::{BUSY, Host, KILLED, Place, REFUSED, WRONG_USE, guardian};
use crate::witness::{self, alone_with};

#[test]
fn what_the_command_is_told() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let script = "echo $WARD_LOCK_NAME $WARD_LOCK_MODE $WARD_LOCK_FD $WARD_LOCK_TOKEN
        echo $WARD_CLUSTER_LOCKS_HELD; readlink /proc/$$/fd/$WARD_LOCK_FD";
    let mut last = 0;
    for (host, options, mode) in [
        ("here", &[][..], "EX"),
        ("there", &["--shared"], "PR"),
        ("here", &["--clear-env"], "EX"),
    ] {
        let answer = place
            .lock(&Host::new(host), "it", options)
            .words(["--env", &format!("PATH={}", std::env::var("PATH")?)])
            .sh(script)
            .expect(0)?;
        let lines: Vec<&str> = answer.out.lines().collect();
        let [told, above, link] = lines[..] else {
            anyhow::bail!("{answer:#?}");
        };
        let token = told
            .strip_prefix(&format!("it {mode} 100 "))
            .with_context(|| format!("{answer:#?}"))?;
        let token: u64 = token.parse()?;
        ensure!(token > last, "{token} after {last}");
        last = token;
        ensure!(above.starts_with("it:"), "{answer:#?}");
        ensure!(link.ends_with(&format!("locks-of-{host}/it")), "{link}");
    }
    place.is_settled(&members)
}

/// A script that listens is told the same, and how it went.
#[test]
fn what_a_script_is_told_that_listens() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let status = text(place.world.path("status"));
    let script = format!(
        "{} lock it {} --status-fd 3 -- /bin/sh -c 'echo $WARD_LOCK_TOKEN' 3>>{status}; echo $?",
        text(place.world.ward_program()),
        place.cluster().join(" "),
    );
    let first = place.holder(&there, "it", &["--why", "a good reason"])?;
    let listens = place.ask(&here, &["run"]).sh(&script).start()?;
    place.await_queue("it", (1, 1))?;
    place.open("gate")?;
    first.answer()?.expect(0)?;
    let answer = listens.answer()?.expect(0)?;
    let (token, code) = answer.out.trim().split_once('\n').context("two lines")?;
    assert_eq!(code, "0");
    let told = std::fs::read_to_string(&status)?;
    let told: Vec<serde_json::Value> = told
        .lines()
        .map(serde_json::from_str)
        .collect::<std::result::Result<_, _>>()?;
    let events: Vec<&str> = told.iter().filter_map(|it| it["event"].as_str()).collect();
    assert_eq!(events, ["waiting", "granted", "ended"], "{told:#?}");
    assert_eq!(told[0]["holders"][0]["why"], "a good reason");
    assert_eq!(told[1]["locks"][0]["token"].to_string(), token);
    place.is_settled(&members)
}

/// Who came first and is served last has the highest one.
#[test]
fn tokens_rise_in_the_order_of_service() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let tell = |own: &str| {
        let file = text(place.world.path("tokens"));
        format!("echo {own} $WARD_LOCK_TOKEN >>{file};")
    };
    let script = format!("{} {}", tell("first"), place.until("gate"));
    let first = place.lock(&Host::new("a"), "it", &[]).sh(&script).start()?;
    place.await_queue("it", (1, 0))?;
    let mut waiting = Vec::new();
    for (own, priority) in [("low", "0"), ("middle", "1"), ("high", "2")] {
        let options = ["--priority", priority];
        waiting.push(
            place
                .lock(&Host::new(own), "it", &options)
                .sh(&tell(own))
                .start()?,
        );
        place.await_queue("it", (1, waiting.len()))?;
    }
    // What is shown of the holder is what he was told.
    let shown = place.shown("it")?.context("nothing is shown")?;
    let token = shown["holders"][0]["token"].as_u64();
    let told = std::fs::read_to_string(place.world.path("tokens"))?;
    assert_eq!(
        Some(told.trim().to_owned()),
        token.map(|token| format!("first {token}")),
        "{shown:#}"
    );
    place.open("gate")?;
    first.answer()?.expect(0)?;
    for one in waiting {
        one.answer()?.expect(0)?;
    }
    let told = std::fs::read_to_string(place.world.path("tokens"))?;
    let mut last = 0;
    let mut order = Vec::new();
    for line in told.lines() {
        let (own, token) = line.split_once(' ').context("two words")?;
        let token: u64 = token.parse()?;
        ensure!(token > last, "{told}");
        (last, order) = (token, [order, vec![own]].concat());
    }
    assert_eq!(order, ["first", "high", "middle", "low"]);
    place.is_settled(&members)
}

#[test]
fn a_pool_gives_what_nobody_else_has() -> Result {
    const CLIENTS: usize = 9;
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let hosts = Host::several(3);
    // Each has one of its own, so they are three at most, on whichever host they are.
    let pool = ["--pool", "p1,p2,p3"];
    let work = alone_with(&place, "$$", "$WARD_LOCK_ELEMENT", "sleep 0.03;");
    if witness::is_here() {
        let asked: Vec<Asked> = (0..CLIENTS)
            .map(|number| {
                let host = &hosts[number % hosts.len()];
                place.lock(host, "port", &pool).sh(&work).start()
            })
            .collect::<Result<_>>()?;
        for one in asked {
            one.answer()?.expect(0)?;
        }
        witness::judge(&place)?;
        assert_eq!(witness::counted(&place), (CLIENTS, CLIENTS));
    }

    let two = ["--pool", "p1,p2,p3", "--take", "2"];
    let script = format!("echo $WARD_LOCK_ELEMENT; {}", place.until("gate"));
    let first = place.lock(&hosts[0], "port", &two).sh(&script).start()?;
    place.await_queue("port", (1, 0))?;
    let mut options = two.to_vec();
    options.push("--no-wait");
    place.just(&hosts[1], "port", &options).expect(BUSY)?;
    // Another pool, of which one is free.
    let other = ["--pool", "p1,p2,p3,p4", "--take", "2", "--no-wait"];
    let rest = place.told(&hosts[1], "port", &other, "WARD_LOCK_ELEMENT")?;
    place
        .just(&hosts[1], "port", &["--slots", "3", "--no-wait"])
        .expect(REFUSED)?;
    for bad in ["p1,p1", "p1,,p2"] {
        place
            .just(&hosts[1], "port", &["--pool", bad])
            .expect(WRONG_USE)?;
    }
    let shown = place.shown("port")?.context("nothing is shown")?;
    place.open("gate")?;
    let answer = first.answer()?.expect(0)?;
    let has = answer.out.trim();
    let listed = shown["holders"][0]["has"].as_array().context("has")?;
    let listed: Vec<&str> = listed.iter().filter_map(|it| it.as_str()).collect();
    assert_eq!(listed.join(","), has);
    let all: BTreeSet<&str> = has.split(',').chain(rest.split(',')).collect();
    assert_eq!(all, BTreeSet::from(["p1", "p2", "p3", "p4"]));
    place.is_settled(&members)
}

/// A pool so big that what is taken of it is no short message.
#[test]
fn a_big_pool() -> Result {
    const THINGS: usize = 4000;
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let things: Vec<String> = (0..THINGS)
        .map(|number| format!("thing-number-{number:06}"))
        .collect();
    let take = (THINGS - 1).to_string();
    let options = ["--pool", &things.join(","), "--take", &take];
    let answer = place
        .lock(&Host::new("here"), "many", &options)
        .sh("echo $WARD_LOCK_ELEMENT")
        .answer()?;
    if answer.code() == 0 {
        assert_eq!(answer.out.split(',').count(), THINGS - 1);
    } else {
        // It may be too much, but that must be said.
        ensure!(answer.code() == REFUSED, "{}", answer.err);
    }
    place.is_settled(&members)
}

#[test]
fn a_number_is_given_to_nobody_else() -> Result {
    const CLIENTS: usize = 9;
    let Some(mut members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let hosts = Host::several(3);
    let asked: Vec<Asked> = (0..CLIENTS)
        .map(|number| {
            let host = &hosts[number % hosts.len()];
            let ask = place.lock(host, "build", &["--sequence"]);
            ask.sh("echo $WARD_LOCK_ELEMENT; exit 3").start()
        })
        .collect::<Result<_>>()?;
    let mut numbers = BTreeSet::new();
    for one in asked {
        let answer = one.answer()?.expect(3)?;
        numbers.insert(answer.out.trim().parse::<usize>()?);
    }
    // Used up, although the work failed.
    assert_eq!(numbers, (1..=CLIENTS).collect());
    // They go on after a restart of the cluster.
    members.kill(0)?;
    members.restart(0)?;
    let next = place.told(&hosts[0], "build", &["--sequence"], "WARD_LOCK_ELEMENT")?;
    assert_eq!(next, (CLIENTS + 1).to_string());
    place.is_settled(&members)
}

#[test]
fn a_number_of_work_that_fails_is_given_again() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let options = ["--sequence", "--transactional"];
    let end = |host: &Host, script: &str, code: i32| {
        let answer = place
            .lock(host, "build", &options)
            .sh(&format!("echo $WARD_LOCK_ELEMENT; {script}"))
            .expect(code)?;
        Ok::<_, anyhow::Error>(answer.out.trim().to_owned())
    };
    assert_eq!(end(&here, "exit 0", 0)?, "1");
    assert_eq!(end(&here, "exit 3", 3)?, "2");
    assert_eq!(end(&there, "kill -TERM $$", 128 + 15)?, "2");
    assert_eq!(end(&here, "kill -KILL $$", KILLED)?, "2");
    assert_eq!(end(&there, "exit 0", 0)?, "2");
    assert_eq!(end(&here, "exit 0", 0)?, "3");
    place.is_settled(&members)?;

    // Nobody is left who could say that it had come to nothing.
    let script = format!("echo $WARD_LOCK_ELEMENT; {}", place.until("gate"));
    let doomed = place.lock(&here, "build", &options).sh(&script).start()?;
    place.await_queue("build", (1, 0))?;
    wait_until("the number", || doomed.out_so_far().trim() == "4")?;
    let guardian = guardian(&doomed)?;
    doomed.signal(Signal::KILL)?;
    place.world.signal(guardian.pid, Signal::KILL);
    place.open("gate")?;
    doomed.answer()?.expect(KILLED)?;
    assert_eq!(end(&there, "exit 0", 0)?, "4");

    // Those who have one at the same time have different ones, in whichever order they end.
    std::fs::remove_file(place.world.path("gate"))?;
    let shared = [&options[..], &["--shared"]].concat();
    let hold = |host: &Host, gate: &str, code: i32| {
        let script = format!("echo $WARD_LOCK_ELEMENT; {} exit {code}", place.until(gate));
        let one = place.lock(host, "build", &shared).sh(&script).start()?;
        wait_until("the number", || !one.out_so_far().is_empty())?;
        Ok::<_, anyhow::Error>(one)
    };
    let fails = hold(&here, "first", 1)?;
    let succeeds = hold(&there, "second", 0)?;
    place.open("second")?;
    assert_eq!(succeeds.answer()?.expect(0)?.out, "6\n");
    place.open("first")?;
    assert_eq!(fails.answer()?.expect(1)?.out, "5\n");
    assert_eq!(end(&here, "exit 0", 0)?, "5");
    assert_eq!(end(&there, "exit 0", 0)?, "7");
    place.settles(&members)
}

/// The cluster is away just when the work ends: what it could not be told then it is told once it is back,
/// long before a lease has run out.
#[test]
fn a_number_is_used_up_though_the_cluster_is_away() -> Result {
    let Some(mut members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let options = ["--sequence", "--transactional", "--lease", "5m"];
    let script = format!(
        "echo $WARD_LOCK_ELEMENT; {} {}",
        place.until("gate"),
        place.say("done")
    );
    let first = place
        .lock(&Host::new("here"), "build", &options)
        .sh(&script)
        .start()?;
    wait_until("the number", || first.out_so_far() == "1\n")?;
    members.kill(0)?;
    place.open("gate")?;
    wait_until("the end of the work", || place.said() == "done\n")?;
    members.restart(0)?;
    first.answer()?.expect(0)?;
    let next = place.told(&Host::new("there"), "build", &options, "WARD_LOCK_ELEMENT")?;
    assert_eq!(next, "2");
    place.settles(&members)
}

#[test]
fn a_time_is_given_to_nobody_else() -> Result {
    const CLIENTS: usize = 6;
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let hosts = Host::several(3);
    let fine = ["--timestamp", "%Y%m%d-%H%M%S#f"];
    let asked: Vec<Asked> = (0..CLIENTS)
        .map(|number| {
            let host = &hosts[number % hosts.len()];
            let ask = place.lock(host, "release", &fine);
            ask.sh("echo $WARD_LOCK_ELEMENT").start()
        })
        .collect::<Result<_>>()?;
    let mut times = BTreeSet::new();
    for one in asked {
        let answer = one.answer()?.expect(0)?;
        ensure!(
            answer.out.trim().len() == "20260101-120000.1".len(),
            "{answer:#?}"
        );
        times.insert(answer.out);
    }
    assert_eq!(times.len(), CLIENTS);
    place
        .just(&hosts[0], "release", &["--timestamp", "always the same"])
        .expect(WRONG_USE)?;
    place.is_settled(&members)
}

/// The next one comes only after an hour: until then the lock is not to be had, by nobody's fault.
#[test]
fn who_waits_for_a_time_waits_no_longer_than_he_wants() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let hourly = ["--timestamp", "%Y%m%d-%H"];
    let refused = |options: &[&str]| {
        let options = [&hourly[..], options].concat();
        let ask = place.lock(&here, "release", &options);
        ask.sh("echo $WARD_LOCK_ELEMENT").answer()
    };
    // If an hour ends just now, the next one begins.
    let first = place.told(&here, "release", &hourly, "WARD_LOCK_ELEMENT")?;
    let answer = refused(&["--no-wait"])?;
    ensure!(
        answer.code() == BUSY || answer.out.trim() != first,
        "{answer:#?}"
    );
    refused(&["--wait", "200ms"])?.expect(BUSY)?;
    place.is_settled(&members)?;

    // Whoever is ended while he waits for it is gone, and so is his renewing process.
    let options = [&hourly[..], &["--lease", "5s"]].concat();
    for signal in [Signal::TERM, Signal::KILL] {
        let waits = place.lock(&there, "release", &options).sh("true").start()?;
        place.await_queue("release", (0, 1))?;
        waits.signal(signal)?;
        waits.answer()?.expect(128 + signal.as_raw())?;
        place.await_queue("release", (0, 0))?;
        place.settles(&members)?;
    }
    // He can be sent away, too, and does not lose his place by waiting longer than a lease lasts.
    let waits = place.lock(&there, "release", &options).sh("true").start()?;
    place.await_queue("release", (0, 1))?;
    let began = ward_sys::clock::since_boot();
    wait_until("a lease to pass", || {
        ward_sys::clock::since_boot() - began > std::time::Duration::from_millis(6500)
    })?;
    assert_eq!(place.queue("release")?, (0, 1));
    place
        .just(&here, "release", &["--replace-pending"])
        .expect(0)?;
    waits.answer()?.expect(BUSY)?;
    place.is_settled(&members)
}
