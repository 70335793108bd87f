//! Parts of locks: who holds `db/main` is in the way of who wants `db`, and of nobody who wants
//! `db/test`.

#![forbid(unsafe_code)]

mod queues;

use anyhow::{Context as _, ensure};
use ward_testkit::patience::wait_until;
use ward_testkit::world;

use queues::{
    BUSY, LONG, NOT_HELD, Result, STOPPED, all_is_free, ask, holder, just, open, queue, say, shown,
    waiter, words_said,
};

#[test]
fn parts_of_a_lock() -> Result {
    for (held, asked, code) in [
        ("db", "db/main", BUSY),
        ("db/main", "db", BUSY),
        ("db/main", "db/main/users", BUSY),
        ("db/main/users", "db/main", BUSY),
        ("db/main", "db/main", BUSY),
        ("db/main", "db/test", 0),
        ("db/main", "db/mainframe", 0),
        ("db/main", "dbs", 0),
        ("db=shared", "db/main=shared", 0),
        ("db=shared", "db/main", BUSY),
        ("db=CR", "db/main=PW", 0),
        ("db/main/a b", "db/main/a b", BUSY),
    ] {
        let world = world!()?;
        let first = holder(&world, held, &[], "gate")?;
        just(&world, asked, &["--no-wait"])
            .expect(code)
            .with_context(|| format!("{held}, {asked}"))?;
        let told = ask(&world, &["lock", "other/part"]).sh("echo $WARD_LOCK_NAME");
        assert_eq!(told.expect(0)?.out, "other/part\n");
        open(&world, "gate")?;
        first.answer()?.expect(0)?;
    }
    Ok(())
}

/// Whoever holds, or waits for, another part is in nobody's way: what is done about those who are
/// is not done to him.
#[test]
fn other_parts_are_left_in_peace() -> Result {
    let world = world!()?;
    let mut x = holder(&world, "db/x", &[], "gate")?;
    let mut y = holder(&world, "db/y", &[], "gate")?;
    let waits = waiter(&world, "db/y", &[], "waits")?;
    let answer = just(&world, "db/x", &["--no-wait"]).expect(BUSY)?;
    ensure!(
        answer.err.matches("/bin/sh").count() == 1,
        "who is in the way, and nobody else: {answer:#?}"
    );
    let skipped = waiter(&world, "db/x", &["--skip-if-queued"], "not-skipped")
        .context("somebody waits for another part")?;
    let replacing = ask(&world, &["lock", "db/x", "--replace-pending"])
        .words(["--cancel-running", "--grace", LONG])
        .sh(&say(&world, "replaced"))
        .answer()?;
    wait_until("it to be stopped", || x.is_over())?;
    ensure!(!y.is_over(), "{replacing:#?}");
    skipped.answer()?.expect(BUSY)?;
    x.answer()?.expect(STOPPED)?;
    assert_eq!(queue(&world, "db")?, (1, 1), "{replacing:#?}");
    open(&world, "gate")?;
    y.answer()?.expect(0)?;
    waits.answer()?.expect(0)?;
    assert_eq!(words_said(&world), ["replaced", "waits"]);
    Ok(())
}

/// Nor does a person free what is held of another part, or end the work there.
#[test]
fn to_free_one_part() -> Result {
    let world = world!()?;
    let release = |part: &str, options: &[&str], code: i32| {
        let release = ask(&world, &["locks", "release", part]);
        release.words(options).expect(code)
    };
    let first = |part: &str| -> Result {
        assert_eq!(queue(&world, "db")?, (1, 0), "{:#}", shown(&world, "db")?);
        assert_eq!(shown(&world, "db")?["holders"][0]["name"], part);
        Ok(())
    };
    for part in ["db/x", "db/y"] {
        ask(&world, &["locks", "reserve", part]).expect(0)?;
    }
    release("db/z", &[], NOT_HELD)?;
    release("db/x", &[], 0)?;
    first("db/y")?;
    // Of the whole, every part.
    release("db", &[], 0)?;
    all_is_free(&world)?;
    for options in [&["--stop"][..], &["--anyway"]] {
        let other = holder(&world, "db/y", &[], "gate")?;
        let work = holder(&world, "db/x", &[], "never")?;
        release("db/x", options, 0)?;
        first("db/y")?;
        release("db/x", &[], NOT_HELD)?;
        drop(work);
        open(&world, "gate")?;
        other.answer()?.expect(0)?;
        std::fs::remove_file(world.path("gate"))?;
    }
    all_is_free(&world)
}
