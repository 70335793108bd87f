//! `ward locks`: what people and scripts see of locks, now, whenever it changes, and afterwards.

#![forbid(unsafe_code)]

mod queues;

use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::{Asked, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::look;
use ward_testkit::run::text;
use ward_testkit::world;

use queues::{
    BUSY, Result, all_is_free, ask, await_queue, guardian, holder, just, locks, open, past, shell,
    shown, sign, signed, until, waiter, ward, work,
};

#[test]
fn the_list_for_people() -> Result {
    let world = world!()?;
    let mut all = vec![
        holder(&world, "db/main", &["--why", "a good reason"], "gate")?,
        holder(&world, "db/a b=shared", &[], "gate")?,
        waiter(&world, "db", &["--priority", "3"], "db")?,
        holder(&world, "lic=2/4", &[], "gate")?,
        waiter(&world, "lic=3/4", &["--priority", "-1"], "lic")?,
        holder(&world, "port", &["--pool", "p,q", "--take", "2"], "gate")?,
        waiter(&world, "port=pool:q:p", &[], "port")?,
    ];
    let built = ask(&world, &["lock", "site"])
        .variable("JENKINS_URL", "http://jenkins.example/")
        .variable("JOB_NAME", "docs/site")
        .variable("BUILD_NUMBER", "42")
        .sh(&until(&world, "gate"))
        .start()?;
    await_queue(&world, "site", (1, 0))?;
    all.push(built);
    let commands = [work(&world, "lic")?, work(&world, "site")?];
    let text = locks(&world, &[], 0)?;
    let user = shown(&world, "site")?["holders"][0]["user"].clone();
    let user = user.as_str().context("no user")?;
    for line in [
        "db: 2 hold, 1 wait\n  holds  db/main  EX  ",
        "\n  holds  db/a b  PR  ",
        "\n  waits  EX  priority 3  ",
        "\nlic: 1 hold, 1 wait, 2 of 4 slots taken\n  holds  takes 2  ",
        "\n  waits  takes 3  priority -1  ",
        "\nport: 1 hold, 1 wait, a pool\n  holds  ",
        "\n  waits  q|p  ",
        "\nsite: 1 hold, 0 wait\n  holds  EX  ",
        ", a good reason) for ",
    ] {
        ensure!(text.contains(line), "no {line:?} in\n{text}");
    }
    for (name, part) in [("site", "docs/site"), ("site", "42"), ("db", user)] {
        let text = locks(&world, &[name], 0)?;
        ensure!(text.contains(part), "no {part:?} in\n{text}");
        ensure!(text.starts_with(&format!("{name}: ")), "{text}");
    }
    // Who is named is the work.
    for (name, at, command) in [("lic", 3, &commands[0]), ("site", 7, &commands[1])] {
        let who = format!("  {command} ({user}, `");
        ensure!(text.contains(&who), "no {who:?} in\n{text}");
        assert_eq!(shown(&world, name)?["holders"][0]["pid"], all[at].pid());
    }
    let some = locks(&world, &["port", "lic", "nobody"], 0)?;
    let first: Vec<&str> = some.lines().filter(|it| !it.starts_with(' ')).collect();
    assert_eq!(
        first,
        [
            "port: 1 hold, 1 wait, a pool",
            "lic: 1 hold, 1 wait, 2 of 4 slots taken",
            "nobody: 0 hold, 0 wait",
        ]
    );
    // Of a part, the whole: who waits for what is seen only so.
    ensure!(locks(&world, &["db/main"], 0)?.contains("db/a b"));
    open(&world, "gate")?;
    for one in all {
        one.answer()?.expect(0)?;
    }
    all_is_free(&world)
}

#[test]
fn the_list_for_scripts() -> Result {
    let world = world!()?;
    let holders = [
        holder(&world, "db/main", &["--why", "a good reason"], "gate")?,
        holder(&world, "lic", &["--slots", "4", "--take", "2"], "gate")?,
        holder(&world, "port", &["--pool", "p,q", "--take", "2"], "gate")?,
    ];
    let waits = waiter(&world, "db", &["--priority", "3", "--first-fit"], "waits")?;
    let list = ask(&world, &["locks", "--json"]).expect(0)?.json()?;
    let list = list["locks"].as_array().context("no list")?;
    let names: Vec<&str> = list.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["db", "lic", "port"]);
    let [db, lic, port] = &list[..] else {
        anyhow::bail!("{list:#?}");
    };
    assert_eq!(db["shape"], "modes");
    assert_eq!(lic["shape"]["slots"], 4);
    assert_eq!(port["shape"], "pool");
    let held = &db["holders"][0];
    assert_eq!(held["name"], "db/main", "{db:#}");
    assert_eq!(held["ask"]["path"], "main", "{db:#}");
    assert_eq!(held["standing"], "holding", "{db:#}");
    assert_eq!(held["why"], "a good reason", "{db:#}");
    assert_eq!(held["origin"], Value::Null, "{db:#}");
    assert_eq!(held["reserved"], false, "{db:#}");
    ensure!(held["token"].as_u64() > held["ticket"].as_u64(), "{db:#}");
    ensure!(
        held["held_since"].as_f64() >= held["asked_at"].as_f64(),
        "{db:#}"
    );
    let asked = &db["waiting"][0];
    assert_eq!(asked["pid"], waits.pid(), "{db:#}");
    assert_eq!(asked["ask"]["priority"], 3, "{db:#}");
    assert_eq!(asked["ask"]["turn"], "first_fit", "{db:#}");
    assert_eq!(asked["token"], Value::Null, "{db:#}");
    assert_eq!(lic["holders"][0]["ask"]["take"], 2, "{lic:#}");
    let mut has: Vec<&str> = port["holders"][0]["has"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    has.sort_unstable();
    assert_eq!(has, ["p", "q"], "{port:#}");
    assert_eq!(db["statistics"]["granted"], 1, "{db:#}");
    open(&world, "gate")?;
    for one in holders.into_iter().chain([waits]) {
        one.answer()?.expect(0)?;
    }
    let list = ask(&world, &["locks", "--json"]).expect(0)?.json()?;
    assert_eq!(list["locks"], Value::Array(Vec::new()));
    Ok(())
}

/// What a watcher has shown so far, when it has shown `what`.
fn shows(watcher: &Asked, what: &str) -> anyhow::Result<String> {
    wait_until(what, || watcher.out_so_far().contains(what))
        .with_context(|| watcher.out_so_far())?;
    Ok(watcher.out_so_far())
}

#[test]
fn to_watch_them() -> Result {
    let world = world!()?;
    let people = ask(&world, &["locks", "--watch"]).start()?;
    let nobody = "nobody holds or waits for a lock\n";
    shows(&people, nobody).context("nothing is shown at first")?;
    let scripts = ask(&world, &["locks", "--watch", "--json", "it"]).start()?;
    shows(&scripts, "\n")?;
    let first = holder(&world, "it", &["--why", "a good reason"], "gate")?;
    shows(&people, "it: 1 hold, 0 wait\n  holds  EX  ")?;
    shows(&scripts, "a good reason")?;
    let next = waiter(&world, "it", &[], "next")?;
    let text = shows(&people, "it: 1 hold, 1 wait\n")?;
    // Each state once, however old it gets.
    assert_eq!(text.matches("it: 1 hold, 0 wait\n").count(), 1, "{text}");
    assert_eq!(text.matches("it: 1 hold, 1 wait\n").count(), 1, "{text}");
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    next.answer()?.expect(0)?;
    wait_until("it to be free", || {
        people.out_so_far().matches(nobody).count() == 2
    })?;
    let is_last = |text: &str| {
        let last = text.lines().next_back().unwrap_or_default();
        last.contains("\"holders\":[]") && last.contains("\"waiting\":[]")
    };
    wait_until("it to be free", || {
        let text = scripts.out_so_far();
        text.lines().count() > 2 && text.ends_with('\n') && is_last(&text)
    })?;
    for line in scripts.out_so_far().lines() {
        let state: Value = serde_json::from_str(line).context("a line of JSON each")?;
        assert_eq!(state["locks"][0]["name"], "it", "{state:#}");
        assert_eq!(
            state["locks"].as_array().map(Vec::len),
            Some(1),
            "{state:#}"
        );
    }
    for watcher in [people, scripts] {
        watcher.signal(Signal::INT)?;
        watcher.answer()?.expect(128 + 2)?;
    }
    Ok(())
}

/// Whoever reads may go: it ends when it has something to say.
#[test]
fn to_watch_them_for_nobody() -> Result {
    let world = world!()?;
    for (gate, options) in [("people", ""), ("scripts", "--json")] {
        let code = text(world.path("code"));
        let script = format!(
            "{{ {} locks --watch {options} it; echo $? >{code}; }} | head -n 1",
            ward(&world)
        );
        let watching = shell(&world, &script).start()?;
        shows(&watching, "it")?;
        let first = holder(&world, "it", &[], gate)?;
        let answer = watching.answer()?.expect(0)?;
        assert_eq!(fs::read_to_string(&code)?, "0\n", "{answer:#?}");
        open(&world, gate)?;
        first.answer()?.expect(0)?;
    }
    nobody_is_left(&world)
}

#[test]
fn who_held_it() -> Result {
    let world = world!()?;
    let first = holder(&world, "it", &["--why", "a good reason"], "gate")?;
    just(&world, "it", &["--no-wait"]).expect(BUSY)?;
    let second = waiter(&world, "it", &[], "second")?;
    open(&world, "gate")?;
    first.answer()?.expect(0)?;
    second.answer()?.expect(0)?;
    let killed = ask(&world, &["lock", "it"])
        .sh(&format!(
            "{} {}",
            sign(&world, "leader"),
            until(&world, "never")
        ))
        .start()?;
    let leader = signed(&world, "leader")?;
    assert_eq!(work(&world, "it")?, leader.pid.to_string());
    // Who stands still cannot give it back when the other one is gone.
    let guardian = guardian(&killed)?;
    world.signal(guardian.pid, Signal::STOP);
    wait_until("it to stand still", || {
        look(guardian.pid).is_some_and(|seen| seen.state == 'T')
    })?;
    killed.signal(Signal::KILL)?;
    for member in [guardian, leader] {
        world.signal(member.pid, Signal::KILL);
    }
    killed.answer()?.expect(128 + 9)?;
    await_queue(&world, "it", (0, 0))?;
    let robbed = holder(&world, "it", &[], "robbed")?;
    locks(&world, &["release", "it", "--anyway"], 0)?;
    open(&world, "robbed")?;
    robbed.answer()?.expect(0)?;

    let past = past(&world, "it")?;
    let history = past["history"].as_array().context("no list")?;
    let of = |key: &str| -> Vec<Value> { history.iter().map(|it| it[key].clone()).collect() };
    assert_eq!(
        of("ended"),
        ["released", "released", "gone", "taken"],
        "{past:#}"
    );
    assert_eq!(history[0]["record"]["why"], "a good reason", "{past:#}");
    assert_eq!(history[2]["record"]["work"][0], leader.pid, "{past:#}");
    for (at, one) in history.iter().enumerate() {
        let number = |value: &Value| value.as_f64().context("no number");
        let record = &one["record"];
        let (asked, held) = (number(&record["asked_at"])?, number(&record["held_since"])?);
        let ended = number(&one["ended_at"])?;
        ensure!(
            (number(&one["waited"])? - (held - asked)).abs() < 0.001,
            "{at}: {past:#}"
        );
        ensure!(
            (number(&one["held"])? - (ended - held)).abs() < 0.001,
            "{at}: {past:#}"
        );
        ensure!(asked <= held && held <= ended, "{at}: {past:#}");
    }
    // The second one has waited for the first one only.
    ensure!(
        history[1]["waited"].as_f64() > history[0]["waited"].as_f64(),
        "{past:#}"
    );
    let statistics = &past["statistics"];
    assert_eq!(statistics["granted"], 4, "{past:#}");
    assert_eq!(statistics["refused"], 1, "{past:#}");
    let longest = |key: &str| of(key).iter().filter_map(Value::as_f64).fold(0.0, f64::max);
    // The clock is looked at for each.
    for (key, all) in [("longest_wait", "waited"), ("longest_hold", "held")] {
        let shown = statistics[key].as_f64().context("no number")?;
        ensure!((shown - longest(all)).abs() < 0.2, "{key}: {past:#}");
        let sum: f64 = of(all).iter().filter_map(Value::as_f64).sum();
        let shown = statistics[all].as_f64().context("no number")?;
        ensure!((shown - sum).abs() < 0.2, "{all}: {past:#}");
    }

    let told = locks(&world, &["--history", "it", "nobody"], 0)?;
    let lines: Vec<&str> = told.lines().collect();
    ensure!(
        lines[0].starts_with("it: granted 4, not got 1; waited "),
        "{told}"
    );
    assert_eq!(lines.len(), 6, "{told}");
    for (line, part) in [
        (1, ", a good reason) waited 0.0s, held "),
        (3, ", and was gone"),
        (4, ", and it was taken from there"),
        (5, "nobody: granted 0, not got 0; "),
    ] {
        ensure!(lines[line].contains(part), "{part:?}: {told}");
    }
    for line in &lines[1..5] {
        // As in 2026-02-03T04:05:06Z.
        let (time, _) = line.trim().split_once(' ').context("no time")?;
        ensure!(
            time.len() == 20 && time.ends_with('Z') && time.contains('T'),
            "{told}"
        );
    }
    Ok(())
}
