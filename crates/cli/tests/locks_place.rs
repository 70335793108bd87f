//! Where locks are: one user has one place, whatever his sessions say, and whoever names a place
//! means that of where he is.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::chown;

use anyhow::ensure;
use ward_testkit::daemons::{Ask, nobody_is_left};
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, World, can_have};

type Result = anyhow::Result<()>;

const BUSY: i32 = 122;

/// What differs between the sessions of one user.
const OF_A_SESSION: [&str; 3] = ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "WARD_STATE_DIR"];

/// `ward WORDS…` by an ordinary user.
fn by_a_user<'w>(world: &'w World, words: &[&str]) -> Ask<'w> {
    Ask::by(world, Who::Ordinary, words)
        .variable("HOME", world.path("home"))
        // As if it were not set.
        .variable("WARD_LOCK_DIR", "")
        .variable("WARD_LOCKS_HELD", "")
}

fn inside(world: &World) -> String {
    let (inside, gate) = (text(world.path("home/inside")), text(world.path("gate")));
    format!(
        ": >{inside}; n=0; while [ ! -e {gate} ] && [ $n -lt 4000 ]; do n=$((n+1)); sleep 0.02; done"
    )
}

#[test]
fn a_cron_job_and_a_login_have_the_same_locks() -> Result {
    if !can_have(Setting {
        who: Who::Ordinary,
        rung: ward_model::rung::Rung::Guardian,
    }) {
        return Ok(());
    }
    let world = world!()?;
    let user = Some(world.ordinary());
    for directory in ["home", "one", "two"] {
        fs::create_dir(world.path(directory))?;
        chown(world.path(directory), user, user)?;
    }
    let session = |name: &'static str, ask| {
        OF_A_SESSION
            .into_iter()
            .fold(ask, |ask: Ask<'_>, variable| {
                ask.variable(variable, world.path(name))
            })
    };
    let holds = by_a_user(&world, &["lock", "it", "--sequence"]).sh(&inside(&world));
    let holds = session("one", holds).start()?;
    wait_until("somebody inside", || world.path("home/inside").exists())?;
    let other = || {
        by_a_user(&world, &["lock", "it", "--sequence", "--no-wait"]).sh("echo $WARD_LOCK_ELEMENT")
    };
    session("two", other()).expect(BUSY)?;
    other().expect(BUSY)?;
    let path = text(world.path("home/.local/state/ward/locks"));
    fs::write(world.path("gate"), "")?;
    holds.answer()?.expect(0)?;
    // By any name of the place, and whatever is set, no number is given twice.
    let named = by_a_user(&world, &["lock", "it", "--sequence", "--lock-dir", &path])
        .sh("echo $WARD_LOCK_ELEMENT");
    let numbers = [
        session("two", other()).expect(0)?.out,
        session("one", named).expect(0)?.out,
        other().variable("WARD_LOCK_DIR", &path).expect(0)?.out,
    ];
    ensure!(numbers.concat() == "2\n3\n4\n", "{numbers:?}");
    ensure!(
        fs::read_dir(world.path("one"))?
            .chain(fs::read_dir(world.path("two"))?)
            .flatten()
            .all(|it| { it.file_name() != "ward" && it.file_name() != "locks" })
    );
    nobody_is_left(&world)
}

#[test]
fn a_relative_place_is_that_of_where_we_are() -> Result {
    let world = world!()?;
    let here = world.path("here");
    fs::create_dir(&here)?;
    let ask = |words: &[&str]| {
        Ask::new(&world, words)
            .directory(&here)
            .variable("WARD_LOCKS_HELD", "")
    };
    let wards = text(world.ward_program());
    for (options, variable) in [(&[][..], "locks"), (&["--lock-dir", "locks"], "")] {
        let script = format!(
            "cd / && env WARD_LOCKS_HELD= {wards} lock it --no-wait --lock-dir {}/locks -- true",
            text(&here)
        );
        let nested = ask(&["lock", "it"])
            .words(options)
            .variable("WARD_LOCK_DIR", variable)
            .sh(&format!("{script}; [ $? = {BUSY} ]"));
        nested.expect(0)?;
        ask(&["locks"])
            .variable("WARD_LOCK_DIR", "locks")
            .expect(0)?;
    }
    ensure!(here.join("locks/it").is_file());
    nobody_is_left(&world)
}

/// A limit that lets a command in lets it out, and is no reason to forget that it was there.
#[test]
fn a_limit_to_the_size_of_files_is_no_matter() -> Result {
    let world = world!()?;
    let (ward, locks) = (text(world.ward_program()), text(world.path("locks")));
    for (kilobytes, code) in [(2048, 0), (1, 125)] {
        let script = format!(
            "ulimit -f {}; exec {ward} lock it --lock-dir {locks} -- true",
            kilobytes * 2
        );
        let answer = Ask::shell(&world, &script).expect(code)?;
        ensure!(
            code == 0 || answer.err.contains("File too large"),
            "{}",
            answer.err
        );
    }
    let words = ["locks", "--json", "--history", "it", "--lock-dir", &locks];
    let past = Ask::new(&world, words).expect(0)?.json()?;
    ensure!(
        past["locks"][0]["history"].as_array().map(Vec::len) == Some(1),
        "{past:#}"
    );
    let words = [
        "lock",
        "it",
        "--no-wait",
        "--lock-dir",
        &locks,
        "--",
        "true",
    ];
    Ask::new(&world, words).expect(0)?;
    nobody_is_left(&world)
}
