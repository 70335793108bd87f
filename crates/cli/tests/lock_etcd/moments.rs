//! Death at any moment: of the front, the guardian, both, or the process that renews, from before they ask
//! for the lock until after the work.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::daemons::{Asked, Member};
use ward_testkit::etcd::Members;
use ward_testkit::moments::{let_pass, moments};

use crate::Result;
use crate::place::{Host, KILLED, LOST, Place, REFUSED, at_once, now};
use crate::witness::{self, Seen, alone};

/// So many rounds at a time: some wait for a lease to run out.
const AT_A_TIME: usize = 6;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Front,
    Guardian,
    Both,
    Renewer,
    Waiter,
}

fn strike(place: &Place, lost: Lost, first: &Asked, second: &Asked) -> Result {
    let kill = |member: Option<Member>| {
        if let Some(member) = member.filter(Member::is_alive) {
            place.world.signal(member.pid, Signal::KILL);
        }
    };
    match lost {
        Lost::Front => first.signal(Signal::KILL)?,
        Lost::Guardian => kill(now(first, "ward-guardian")),
        Lost::Both => {
            let guardian = now(first, "ward-guardian");
            first.signal(Signal::KILL)?;
            kill(guardian);
        }
        Lost::Renewer => kill(now(first, "ward-renewer")),
        Lost::Waiter => second.signal(Signal::KILL)?,
    }
    Ok(())
}

fn work(place: &Place, tag: &str) -> String {
    let work = alone(place, tag, Seen::Command, "sleep 0.03;");
    format!("trap '' TERM HUP INT; {work}")
}

fn a_round(members: &Members, lost: Lost, moment: Duration, containment: &str) -> Result {
    let place = Place::new(members)?;
    let contender = |host: &str| {
        place
            .lock(&Host::new(host), "it", &["--lease", "5s"])
            .words(["--containment", containment])
            .sh(&work(&place, host))
            .start()
    };
    let (first, second) = (contender("first")?, contender("second")?);
    let_pass(moment);
    strike(&place, lost, &first, &second)?;
    let third = place
        .lock(&Host::new("third"), "it", &["--wait", "40s"])
        .sh(&work(&place, "third"))
        .answer()?;
    let (first, second) = (first.answer()?, second.answer()?);
    let all = format!("{:?}, {first:#?}, {second:#?}, {third:#?}", place.said());
    ensure!(third.code() == 0, "it cannot be got: {all}");
    witness::judge(&place).with_context(|| all.clone())?;
    let (hit, spared) = match lost {
        Lost::Waiter => (second, first),
        _ => (first, second),
    };
    ensure!(spared.code() == 0, "another one failed: {all}");
    let allowed: &[i32] = match lost {
        Lost::Front | Lost::Both | Lost::Waiter => &[0, KILLED],
        Lost::Guardian => &[0, REFUSED],
        Lost::Renewer => &[0, REFUSED, LOST],
    };
    ensure!(allowed.contains(&hit.code()), "{all}");
    // Whoever says that it could not be done has not begun it.
    let began = place.said().contains("enter first");
    ensure!(hit.code() != REFUSED || !began, "{all}");
    place.settles(members).with_context(|| all.clone())
}

fn rounds_with(lost: Lost) -> Result {
    let (Some(members), true) = (Members::start(1)?, witness::is_here()) else {
        return Ok(());
    };
    let span = {
        let place = Place::new(&members)?;
        let started = Instant::now();
        place
            .lock(&Host::new("first"), "it", &[])
            .sh(&work(&place, "first"))
            .expect(0)?;
        started.elapsed()
    };
    let rounds: Vec<(Duration, &str)> = moments(span.mul_f64(2.5))
        .zip(["auto", "guardian"].into_iter().cycle())
        .collect();
    at_once(AT_A_TIME, &rounds, |(moment, containment)| {
        a_round(&members, lost, *moment, containment)
            .with_context(|| format!("{lost:?}, {containment}, after {moment:?} of {span:?}"))
    })
}

#[test]
fn a_front_is_killed_at_any_moment() -> Result {
    rounds_with(Lost::Front)
}

#[test]
fn a_guardian_is_killed_at_any_moment() -> Result {
    rounds_with(Lost::Guardian)
}

#[test]
fn both_are_killed_at_any_moment() -> Result {
    rounds_with(Lost::Both)
}

#[test]
fn a_renewer_is_killed_at_any_moment() -> Result {
    rounds_with(Lost::Renewer)
}

#[test]
fn a_waiter_is_killed_at_any_moment() -> Result {
    rounds_with(Lost::Waiter)
}
