//! What a daemon writes is in its log: every byte, in order, also when files are rotated under
//! a flood; and whoever follows the log misses nothing.

#![forbid(unsafe_code)]

use std::fs;

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{
    Ask, directory, everything, nobody_is_left, shown, spawn, stop, whole_log,
};
use ward_testkit::hostile::noise::{numbered_line, random_bytes};
use ward_testkit::patience::wait_until;
use ward_testkit::run::text;
use ward_testkit::truth::is_rfc3339;
use ward_testkit::world;
use ward_testkit::world::{World, settings};

type Result = anyhow::Result<()>;

fn lines(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(numbered_line).collect()
}

/// Waits until the daemon has ended by itself, custodians and all.
fn await_end(world: &World, name: &str) -> Result {
    wait_until("the daemon to end", || {
        world.survivors().is_empty() && world.wards().is_empty()
    })
    .with_context(|| everything(world, name))?;
    Ask::new(world, ["status", name]).expect(3)?;
    Ok(())
}

/// Where two texts part, without showing all of both.
fn same(got: &[u8], wanted: &[u8]) -> Result {
    if got == wanted {
        return Ok(());
    }
    let at = got.iter().zip(wanted).position(|(a, b)| a != b);
    let at = at.unwrap_or(got.len().min(wanted.len()));
    let part = |bytes: &[u8]| {
        let end = bytes.len().min(at + 60);
        String::from_utf8_lossy(&bytes[at.saturating_sub(60).min(end)..end]).into_owned()
    };
    anyhow::bail!(
        "{} bytes instead of {}, differing at {at}: {:?} instead of {:?}",
        got.len(),
        wanted.len(),
        part(got),
        part(wanted)
    )
}

#[test]
fn a_flood_is_complete_over_all_its_files() -> Result {
    for setting in settings() {
        let world = world!()?;
        Ask::by(&world, setting.who, ["spawn", "--name", "web"])
            .words(["--containment", setting.rung.name()])
            .words(["--log-max", "64K", "--log-keep", "100"])
            .hostile(&["numbered-lines", "200000"])
            .expect(0)
            .with_context(|| format!("{setting:?}"))?;
        wait_until("the daemon to end", || {
            world.survivors().is_empty() && world.wards().is_empty()
        })?;
        let kept = world.state_of(setting.who).join("daemons/web");
        let mut log = Vec::new();
        for number in (1..=100).rev() {
            let part = fs::read(kept.join(format!("log.{number}"))).unwrap_or_default();
            ensure!(
                part.len() <= 128 << 10,
                "log.{number}: {} bytes",
                part.len()
            );
            log.extend(part);
        }
        ensure!(log.len() > 1 << 20, "{setting:?}: hardly rotated");
        log.extend(fs::read(kept.join("log"))?);
        same(&log, lines(1..=200_000).as_bytes()).with_context(|| format!("{setting:?}"))?;
    }
    Ok(())
}

#[test]
fn no_more_files_than_asked_for() -> Result {
    let world = world!()?;
    let options = ["--log-max", "64K", "--log-keep", "2"];
    spawn(&world, "web", &options, &["numbered-lines", "50000"])?;
    await_end(&world, "web")?;
    let mut names: Vec<String> = fs::read_dir(directory(&world, "web"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("log"))
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    // What is kept is the end, without a gap.
    let log = whole_log(&world, "web")?;
    let all = lines(1..=50_000);
    same(&log, &all.as_bytes()[all.len() - log.len()..])
}

/// Bytes are not text: no line end is needed, none is added, none is changed.
#[test]
fn a_log_is_bytes() -> Result {
    let world = world!()?;
    spawn(&world, "web", &[], &["random-bytes", "5", "3000001", "0"])?;
    await_end(&world, "web")?;
    same(&whole_log(&world, "web")?, &random_bytes(5, 3_000_001))
}

/// Both streams are one pipe, so their order is what it was.
#[test]
fn both_streams_in_order() -> Result {
    let world = world!()?;
    spawn(&world, "web", &[], &["both-streams", "5000"])?;
    await_end(&world, "web")?;
    same(&whole_log(&world, "web")?, lines(1..=5000).as_bytes())
}

/// What was written in the last moment before a stop, and while cleaning up, is there.
#[test]
fn the_last_words_are_there() -> Result {
    let world = world!()?;
    let cleaned = text(world.path("cleaned"));
    spawn(
        &world,
        "web",
        &["--grace", "1h"],
        &["cleanup", "0.3", &cleaned],
    )?;
    world.await_signatures(1)?;
    stop(&world, &["web"])?;
    let log = String::from_utf8(whole_log(&world, "web")?)?;
    ensure!(
        log.starts_with("READY\nSTART\n") && log.ends_with("\nEND\n"),
        "{log}"
    );
    Ok(())
}

#[test]
fn the_last_lines() -> Result {
    let world = world!()?;
    let options = ["--log-max", "64K", "--log-keep", "9"];
    spawn(&world, "web", &options, &["numbered-lines", "10000"])?;
    await_end(&world, "web")?;
    for (count, first) in [("1", 10_000), ("3", 9998), ("9000", 1001)] {
        // Also across files.
        let answer = Ask::new(&world, ["logs", "-n", count, "web"]).expect(0)?;
        same(answer.out.as_bytes(), lines(first..=10_000).as_bytes())
            .with_context(|| format!("-n {count}"))?;
    }
    let answer = Ask::new(&world, ["logs", "-n", "0", "web"]).expect(0)?;
    assert_eq!(answer.out, "");
    let answer = Ask::new(&world, ["logs", "web"]).expect(0)?;
    ensure!(answer.out.ends_with(&numbered_line(10_000)));
    Ok(())
}

/// Whoever follows misses nothing and sees nothing twice, though the file under his eyes is
/// another one every few moments.
#[test]
fn following_across_rotation() -> Result {
    let world = world!()?;
    let options = ["--log-max", "64K", "--log-keep", "200"];
    spawn(&world, "web", &options, &["numbered-lines", "4000", "1"])?;
    let mut follower = Ask::new(&world, ["logs", "-f", "-n", "1000000", "web"]).start()?;
    let last = numbered_line(4000);
    wait_until("the last line", || {
        follower.out_so_far().ends_with(&last) || follower.is_over()
    })
    .with_context(|| format!("{} bytes", follower.out_so_far().len()))?;
    same(follower.out_so_far().as_bytes(), lines(1..=4000).as_bytes())
}

/// The same under a flood, which is rotated faster than it can be read.
#[test]
fn following_a_flood() -> Result {
    let world = world!()?;
    let (go, daemon) = (
        text(world.path("go")),
        world.hostile_text(&["numbered-lines", "100000"]),
    );
    Ask::new(&world, ["spawn", "--name", "web"])
        .words(["--log-max", "64K", "--log-keep", "1000"])
        .sh(&format!(
            "echo first; until [ -e {go} ]; do sleep 0.01; done; exec {daemon}"
        ))
        .expect(0)?;
    let mut follower = Ask::new(&world, ["logs", "-f", "web"]).start()?;
    wait_until("the follower to be there", || {
        follower.out_so_far() == "first\n"
    })?;
    fs::write(&go, "")?;
    let last = numbered_line(100_000);
    wait_until("the last line", || {
        follower.out_so_far().ends_with(&last) || follower.is_over()
    })
    .with_context(|| format!("{} bytes", follower.out_so_far().len()))?;
    let wanted = format!("first\n{}", lines(1..=100_000));
    same(follower.out_so_far().as_bytes(), wanted.as_bytes())
}

/// A reader who goes away in the middle is nobody's problem, least of all the daemon's.
#[test]
fn a_reader_who_goes_away() -> Result {
    let world = world!()?;
    let custody = spawn(&world, "web", &[], &["numbered-lines", "0", "1"])?;
    let ward = text(world.ward_program());
    let answer = Ask::shell(
        &world,
        &format!("{ward} logs -f -n 1000000 web | head -n 3"),
    )
    .answer()?;
    same(answer.out.as_bytes(), lines(1..=3).as_bytes())?;
    ensure!(!answer.err.contains("panicked"), "{answer:#?}");
    ensure!(custody.leader.is_alive());
    stop(&world, &["web"])?;
    Ok(())
}

#[test]
fn a_time_before_each_line() -> Result {
    let world = world!()?;
    spawn(&world, "web", &["--timestamps"], &["numbered-lines", "100"])?;
    await_end(&world, "web")?;
    let log = String::from_utf8(whole_log(&world, "web")?)?;
    let mut without = String::new();
    for line in log.lines() {
        let (time, rest) = line.split_once(' ').with_context(|| line.to_owned())?;
        ensure!(is_rfc3339(time), "{line}");
        without += &format!("{rest}\n");
    }
    same(without.as_bytes(), lines(1..=100).as_bytes())
}

#[test]
fn a_log_elsewhere() -> Result {
    let world = world!()?;
    let file = text(world.path("elsewhere.log"));
    spawn(&world, "web", &["--log", &file], &["numbered-lines", "100"])?;
    await_end(&world, "web")?;
    same(&fs::read(&file)?, lines(1..=100).as_bytes())?;
    assert_eq!(shown(&world, "web")?.context("not shown")?["log"], file);
    let answer = Ask::new(&world, ["logs", "-n", "2", "web"]).expect(0)?;
    assert_eq!(answer.out, lines(99..=100));
    Ok(())
}

/// A log that cannot be written is told before anything is started, as of `ward run`.
#[test]
fn a_log_that_cannot_be() -> Result {
    let world = world!()?;
    let nowhere = text(world.path("nowhere/log"));
    let answer = Ask::new(&world, ["spawn", "--name", "web", "--log", &nowhere])
        .hostile(&["linger"])
        .answer()?;
    ensure!(
        answer.code() == 2 && answer.err.contains("nowhere"),
        "{answer:#?}"
    );
    ensure!(world.signed().is_empty(), "it was started");
    nobody_is_left(&world)
}

/// A daemon that outlives its first process goes on being heard.
#[test]
fn who_comes_after_the_leader_is_heard() -> Result {
    let world = world!()?;
    let go = text(world.path("go"));
    Ask::new(&world, ["spawn", "--name", "web"])
        .sh(&format!(
            "(setsid sh -c 'until [ -e {go} ]; do sleep 0.01; done; echo child') & echo leader"
        ))
        .expect(0)?;
    wait_until("the leader's word", || {
        whole_log(&world, "web").is_ok_and(|log| log == b"leader\n")
    })?;
    fs::write(&go, "")?;
    await_end(&world, "web")?;
    same(&whole_log(&world, "web")?, b"leader\nchild\n")
}
