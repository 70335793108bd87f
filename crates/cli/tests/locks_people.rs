//! `ward locks`: what people see of locks, and what they do about them without a command.

#![forbid(unsafe_code)]

mod queues;

use std::fs;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_testkit::daemons::{Asked, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::World;

use queues::{
    BUSY, LONG, NOT_HELD, REFUSED, Result, STOPPED, all_is_free, ask, await_queue, cleaning,
    cleans, guardian, holder, just, open, queue, said, say, shell, shown, sign, signed, until,
    waiter, ward, words_said,
};

/// `ward locks WORDS…`.
fn locks(world: &World, words: &[&str], code: i32) -> anyhow::Result<String> {
    let answer = ask(world, &["locks"]).words(words).expect(code)?;
    Ok(answer.out + &answer.err)
}

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
    for (name, at) in [("lic", 3), ("site", 7)] {
        let work = shown(&world, name)?["holders"][0]["work"][0].to_string();
        ensure!(
            text.contains(&format!("  {work} ({user}, `")),
            "{work}: {text}"
        );
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

/// What `ward locks --history` tells scripts of a lock.
fn past(world: &World, lock: &str) -> anyhow::Result<Value> {
    let words = ["locks", "--history", "--json", lock];
    let answer = ask(world, &words).expect(0)?.json()?;
    Ok(answer["locks"][0].clone())
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
    let guardian = guardian(&killed)?;
    killed.signal(Signal::KILL)?;
    world.signal(guardian.pid, Signal::KILL);
    world.signal(leader.pid, Signal::KILL);
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
    for (key, all) in [("longest_wait", "waited"), ("longest_hold", "held")] {
        let shown = statistics[key].as_f64().context("no number")?;
        ensure!((shown - longest(all)).abs() < 0.001, "{key}: {past:#}");
        let sum: f64 = of(all).iter().filter_map(Value::as_f64).sum();
        let shown = statistics[all].as_f64().context("no number")?;
        ensure!((shown - sum).abs() < 0.001, "{all}: {past:#}");
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

/// The lines of the audit log: what was done to which lock, why, and to how many.
fn audited(world: &World) -> anyhow::Result<Vec<(String, String, String, usize)>> {
    let log = fs::read_to_string(world.path("locks/durable/audit.jsonl")).unwrap_or_default();
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
    ensure!((1.0..1.5).contains(&time), "{time}: {held:#}");
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
    nobody_is_left(&world)
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

/// What cannot be written down is not done.
#[test]
fn deeds_that_cannot_be_audited() -> Result {
    let world = world!()?;
    let work = holder(&world, "it", &[], "gate")?;
    fs::write(world.path("locks/durable"), "no directory")?;
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
