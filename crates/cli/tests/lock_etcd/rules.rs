//! Who goes with whom, and what is refused: the rules of one host, among several.

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::Member;
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;

use crate::Result;
use crate::place::{BUSY, Host, LONG, Place, REFUSED, WRONG_USE};

#[test]
fn one_at_a_time_or_several_who_share() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c, d] = &Host::several(4)[..] else {
        anyhow::bail!("four hosts");
    };
    let first = place.holder(a, "it", &[])?;
    for (host, options, code) in [
        (b, &[][..], BUSY),
        (b, &["--shared"], BUSY),
        (a, &[], BUSY),
        (b, &["--mode", "NL"], 0),
    ] {
        let mut options = options.to_vec();
        options.push("--no-wait");
        place.just(host, "it", &options).expect(code)?;
    }
    // Another lock has nothing to do with it, nor has one whose name begins like it.
    for other in ["other", "it2", "i"] {
        place.just(b, other, &["--no-wait"]).expect(0)?;
    }
    place.open("gate")?;
    first.answer()?.expect(0)?;
    place.is_settled(&members)?;

    let place = Place::new(&members)?;
    let first = place.holder(a, "it", &["--shared"])?;
    place.just(b, "it", &["--shared", "--no-wait"]).expect(0)?;
    // A reader does not overtake a writer who waits.
    let writer = place.waiter(b, "it", &["--exclusive"], "writer")?;
    place
        .just(c, "it", &["--shared", "--no-wait"])
        .expect(BUSY)?;
    let reader = place.waiter(d, "it", &["--shared"], "reader")?;
    place.open("gate")?;
    for one in [first, writer, reader] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said(), "writer\nreader\n");
    place.is_settled(&members)
}

/// Each of them waits for the other one.
#[test]
fn neighbours_that_share_run_together() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c] = &Host::several(3)[..] else {
        anyhow::bail!("three hosts");
    };
    let first = place.holder(a, "it", &[])?;
    let reader = |host: &Host, own: &str, other: &str| {
        let own = text(place.world.path(own));
        let script = format!(": >{own}; {}", place.until(other));
        place.lock(host, "it", &["--shared"]).sh(&script).start()
    };
    let (one, two) = (reader(b, "one", "two")?, reader(c, "two", "one")?);
    place.await_queue("it", (1, 2))?;
    place.open("gate")?;
    for one in [first, one, two] {
        one.answer()?.expect(0)?;
    }
    place.is_settled(&members)
}

#[test]
fn modes_that_go_together() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let mut holders = Vec::new();
    for (held, asked, code) in [
        ("NL", "EX", 0),
        ("CR", "PW", 0),
        ("CR", "EX", BUSY),
        ("CW", "CW", 0),
        ("CW", "PR", BUSY),
        ("PR", "PR", 0),
        ("PR", "PW", BUSY),
        ("PW", "CR", 0),
        ("PW", "PW", BUSY),
        ("EX", "NL", 0),
        ("EX", "CR", BUSY),
    ] {
        let name = format!("{held}-{asked}");
        holders.push(place.holder(&here, &name, &["--mode", held])?);
        place
            .just(&there, &name, &["--mode", asked, "--no-wait"])
            .expect(code)
            .context(name)?;
    }
    place.open("gate")?;
    for holder in holders {
        holder.answer()?.expect(0)?;
    }
    place.is_settled(&members)
}

#[test]
fn slots() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c, d] = &Host::several(4)[..] else {
        anyhow::bail!("four hosts");
    };
    let first = place.holder(a, "it", &["--slots", "3", "--take", "2"])?;
    for (options, code) in [
        (&["--slots", "3"][..], 0),
        (&["--slots", "3", "--take", "2"], BUSY),
        (&["--slots", "4"], REFUSED),
        (&[], REFUSED),
        (&["--shared"], REFUSED),
        (&["--slots", "3", "--take", "4"], WRONG_USE),
    ] {
        let mut options = options.to_vec();
        options.push("--no-wait");
        place
            .just(b, "it", &options)
            .expect(code)
            .with_context(|| format!("{options:?}"))?;
    }
    // A big one is not overtaken by small ones.
    let big = place.waiter(b, "it", &["--slots", "3", "--take", "3"], "big")?;
    place
        .just(c, "it", &["--slots", "3", "--no-wait"])
        .expect(BUSY)?;
    let small = place.waiter(d, "it", &["--slots", "3"], "small")?;
    let shown = place.shown("it")?.context("nothing is shown")?;
    assert_eq!(shown["shape"]["slots"], 3, "{shown:#}");
    place.open("gate")?;
    for one in [first, big, small] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said(), "big\nsmall\n");
    // Nobody is there any more who could mean something else by it.
    place
        .just(c, "it", &["--slots", "4", "--no-wait"])
        .expect(0)?;
    place.just(d, "it", &["--no-wait"]).expect(0)?;
    place.is_settled(&members)
}

#[test]
fn several_are_got_all_at_once_or_not_at_all() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let [a, b, c] = &Host::several(3)[..] else {
        anyhow::bail!("three hosts");
    };
    let first = place.holder(a, "two", &[])?;
    place
        .just(c, "one,two", &["--no-wait"])
        .expect(BUSY)
        .context("one of them is held")?;
    place.just(c, "one", &["--no-wait"]).expect(0)?;
    let all = place
        .lock(b, "one,two=shared,three=1/2", &[])
        .sh("echo $WARD_LOCK_NAME $WARD_LOCK_MODE $WARD_LOCK_FD; echo $WARD_LOCK_TOKEN")
        .start()?;
    place.await_queue("two", (1, 1))?;
    for free in ["one", "three"] {
        assert_eq!(place.queue(free)?, (0, 1), "{free}");
    }
    place.just(c, "one,one", &[]).expect(WRONG_USE)?;
    place.just(c, "one,one/part", &[]).expect(WRONG_USE)?;
    place.open("gate")?;
    first.answer()?.expect(0)?;
    let answer = all.answer()?.expect(0)?;
    let (told, tokens) = answer.out.trim().split_once('\n').context("two lines")?;
    assert_eq!(told, "one,two,three EX,PR,EX 100,101,102");
    let tokens: Vec<u64> = tokens
        .split(',')
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    ensure!(tokens.len() == 3, "{answer:#?}");
    place.is_settled(&members)?;

    // Whoever names them in another order does not wait for ever.
    let asked: Vec<_> = (0..8)
        .map(|number| {
            let (host, name) = match number % 3 {
                0 => (a, "x,y,z"),
                1 => (b, "z,x,y"),
                _ => (c, "y,z"),
            };
            let script = format!("{} sleep 0.01", place.say("entered"));
            place.lock(host, name, &[]).sh(&script).start()
        })
        .collect::<Result<_>>()?;
    for one in asked {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said().lines().count(), 8);
    place.is_settled(&members)
}

#[test]
fn parts_of_a_lock() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let first = place
        .lock(&here, "db/main", &[])
        .sh(&place.until("gate"))
        .start()?;
    place.await_queue("db", (1, 0))?;
    for (name, code) in [
        ("db/main", BUSY),
        ("db/main/table", BUSY),
        ("db", BUSY),
        ("db/other", 0),
    ] {
        place
            .just(&there, name, &["--no-wait"])
            .expect(code)
            .context(name)?;
    }
    place.open("gate")?;
    first.answer()?.expect(0)?;
    place.is_settled(&members)
}

/// For a shell: `ward lock NAME` on a host, OPTIONS, `-- true`.
fn inner(place: &Place, host: &str, name: &str, options: &str) -> String {
    format!(
        "WARD_LOCK_DIR={} {} lock {name} {} {options} -- true; echo $?;",
        text(place.world.path(&format!("locks-of-{host}"))),
        text(place.world.ward_program()),
        place.cluster().join(" "),
    )
}

#[test]
fn to_wait_for_oneself_is_refused() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let here = Host::new("here");
    // From here it is this host's lock that is held above, from elsewhere only the cluster's.
    for host in ["here", "there"] {
        for (outer, within, code) in [
            (&[][..], "", REFUSED),
            (&[], "--wait 50s", REFUSED),
            (&[], "--reentrant", 0),
            (&["--shared"], "", REFUSED),
            (&["--shared"], "--shared", 0),
            (
                &["--slots", "3", "--take", "2"],
                "--slots 3 --take 2",
                REFUSED,
            ),
            (&["--slots", "3", "--take", "2"], "--slots 3", 0),
        ] {
            let what = format!("{host}: {outer:?}, {within}");
            let direct = inner(&place, host, "it", within);
            // Also below another lock.
            let deeper = format!(
                "{} lock between {} -- /bin/sh -c '{direct}' {}",
                text(place.world.ward_program()),
                place.cluster().join(" "),
                place.world.mark()
            );
            for script in [direct, deeper] {
                let answer = place.lock(&here, "it", outer).sh(&script).expect(0)?;
                assert_eq!(answer.out.trim(), code.to_string(), "{what}: {answer:#?}");
            }
        }
    }
    // Others are no part of this.
    let answer = place
        .lock(&here, "it", &[])
        .sh(&inner(&place, "here", "other", ""))
        .expect(0)?;
    assert_eq!(answer.out.trim(), "0", "{answer:#?}");
    place.is_settled(&members)
}

#[test]
fn the_end_of_the_command_is_passed_on() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let here = Host::new("here");
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 119", 119),
        ("exit 122", 122),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        place.lock(&here, "it", &[]).sh(script).expect(code)?;
        // Free at once, not only when a lease has run out.
        place.is_settled(&members).context(script)?;
    }
    let missing = ["--", "no-such-program-anywhere"];
    place.lock(&here, "it", &[]).words(missing).expect(127)?;
    place.settles(&members)?;
    place
        .just(&Host::new("there"), "it", &["--no-wait"])
        .expect(0)?;
    place.is_settled(&members)
}

/// A command that leaves somebody behind who lives until the gate is opened.
fn leaving(place: &Place) -> String {
    let background = text(place.world.path("background"));
    format!(
        "(echo $(exec sh -c 'echo $PPID') >{background}.new; mv {background}.new {background}
        {} {}) </dev/null >/dev/null 2>&1 & {} {}",
        place.until("gate"),
        place.say("over"),
        place.until("background"),
        place.say("left"),
    )
}

#[test]
fn who_stays_in_the_background_holds_it_only_if_that_is_wanted() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let (here, there) = (Host::new("here"), Host::new("there"));
    for containment in ["auto", "guardian"] {
        let options = ["--leftover-grace", LONG, "--containment", containment];

        let place = Place::new(&members)?;
        let first = place
            .lock(&here, "it", &options)
            .sh(&leaving(&place))
            .start()?;
        let background = place.world.path("background");
        wait_until("somebody in the background", || background.exists())?;
        place
            .lock(&there, "it", &["--wait", LONG])
            .sh(&place.say("next"))
            .expect(0)?;
        let background = std::fs::read_to_string(background)?;
        let background = Member::now(background.trim().parse()?)?;
        ensure!(background.is_alive(), "{}", place.said());
        place.open("gate")?;
        first.answer()?.expect(0)?;
        assert_eq!(place.said(), "left\nnext\nover\n", "{containment}");
        place.is_settled(&members)?;

        let place = Place::new(&members)?;
        let first = place
            .lock(&here, "it", &options)
            .words(["--hold", "tree"])
            .sh(&leaving(&place))
            .start()?;
        wait_until("the command", || place.said().contains("left"))?;
        let next = place.waiter(&there, "it", &["--wait", LONG], "next")?;
        place.open("gate")?;
        for one in [first, next] {
            one.answer()?.expect(0)?;
        }
        assert_eq!(place.said(), "left\nover\nnext\n", "{containment}");
        place.is_settled(&members)?;
    }
    Ok(())
}
