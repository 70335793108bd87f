//! Three members that die and hang under those who work and wait: who waits is served in the end, and
//! never two at once.

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::Asked;
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;

use crate::Result;
use crate::place::{Host, LOST, Place, REFUSED};
use crate::witness::{self, Seen, alone, counted};

/// What a lease lasts while members fail: an election takes its time, and so does a busy machine.
const LEASE: [&str; 2] = ["--lease", "30s"];

/// Somebody who is inside until the gate opens, and so many who wait, each on a host of his own.
fn crowd(place: &Place, count: usize) -> Result<Vec<Asked>> {
    let mut all = vec![
        place
            .lock(&Host::new("holder"), "it", &LEASE)
            .sh(&alone(place, "holder", Seen::Tree, &place.until("gate")))
            .start()?,
    ];
    place.await_queue("it", (1, 0))?;
    for host in &Host::several(count) {
        let work = alone(place, "$$", Seen::Tree, "sleep 0.01;");
        all.push(place.lock(host, "it", &LEASE).sh(&work).start()?);
    }
    place.await_queue("it", (1, count))?;
    Ok(all)
}

/// Each of them is served.
fn all_served(place: &Place, members: &Members, crowd: Vec<Asked>) -> Result {
    let count = crowd.len();
    for (number, one) in crowd.into_iter().enumerate() {
        one.answer()?
            .expect(0)
            .with_context(|| format!("{number} of {count}: {}", place.said()))?;
    }
    witness::judge(place)?;
    assert_eq!(counted(place), (count, count));
    place.is_settled(members)
}

#[test]
fn the_leader_dies_while_many_wait() -> Result {
    const WAITING: usize = 20;
    let (Some(mut members), true) = (Members::start(3)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let crowd = crowd(&place, WAITING)?;
    place.open("gate")?;
    // In the middle of it, and once more when they have found another one.
    for step in [3, 9] {
        wait_until("some to have been served", || counted(&place).0 >= step)?;
        let leader = members.leader()?;
        members.kill(leader)?;
        wait_until("others to be served", || counted(&place).0 >= step + 3)
            .with_context(|| place.said())?;
        members.restart(leader)?;
    }
    all_served(&place, &members, crowd)
}

/// What they have on disk is kept.
#[test]
fn all_members_die_while_many_wait() -> Result {
    const WAITING: usize = 50;
    let (Some(mut members), true) = (Members::start(3)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let crowd = crowd(&place, WAITING)?;
    // While nothing moves, and in the middle of it.
    for step in [0, 10] {
        if step > 0 {
            place.open("gate")?;
            wait_until("some to have been served", || counted(&place).0 >= step)
                .with_context(|| place.said())?;
        }
        for index in 0..members.len() {
            members.kill(index)?;
        }
        members.restart_all()?;
    }
    all_served(&place, &members, crowd)
}

/// Those that hang take connections and answer nothing.
#[test]
fn members_hang_under_load() -> Result {
    const CLIENTS: usize = 5;
    const EACH: usize = 12;
    let (Some(members), true) = (Members::start(3)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let program = place.world.ward_program().display();
    let work = alone(&place, "$$", Seen::Tree, "");
    // Where there is no leader for long, who comes just then is told so, and comes again.
    let script = format!(
        "for n in $(seq {EACH}); do
        until {program} lock it {} {} -- /bin/sh -c '{work}' {}; do [ $? = {REFUSED} ] || exit 9; done
        done",
        place.cluster().join(" "),
        LEASE.join(" "),
        place.world.mark()
    );
    let clients: Vec<Asked> = Host::several(CLIENTS)
        .iter()
        .map(|host| place.ask(host, &["run"]).sh(&script).start())
        .collect::<Result<_>>()?;
    for round in 0..members.len() {
        // In turn whoever it is, and the leader.
        let hung = if round % 2 == 0 {
            members.leader()?
        } else {
            round
        };
        members.pause(hung)?;
        let before = counted(&place).1;
        let enough = (before + 4).min(CLIENTS * EACH);
        wait_until("others to go on", || counted(&place).1 >= enough)
            .with_context(|| place.said())?;
        members.resume(hung)?;
    }
    for client in clients {
        client.answer()?.expect(0).with_context(|| place.said())?;
    }
    witness::judge(&place)?;
    assert_eq!(counted(&place), (CLIENTS * EACH, CLIENTS * EACH));
    place.is_settled(&members)
}

/// One of three is enough to lose nothing; without two of them the work is stopped in time.
#[test]
fn without_a_majority_the_work_is_stopped() -> Result {
    let (Some(mut members), true) = (Members::start(3)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let short = ["--lease", "6s", "--grace", "1h"];
    let script = alone(&place, "first", Seen::Tree, &place.until("gate"));
    let first = place
        .lock(&Host::new("here"), "it", &short)
        .sh(&format!("trap '' TERM; {script}"))
        .start()?;
    place.await_queue("it", (1, 0))?;
    let second = place
        .lock(&Host::new("there"), "it", &short)
        .sh(&place.say("second"))
        .start()?;
    place.await_queue("it", (1, 1))?;
    members.kill(0)?;
    place.await_queue("it", (1, 1))?;
    members.kill(1)?;
    let answer = first.answer()?.expect(LOST)?;
    ensure!(
        answer.err.contains("the lock is about to be lost"),
        "{answer:#?}"
    );
    // Whoever waits cannot know whether he does.
    let answer = second.answer()?.expect(REFUSED)?;
    let mut all = place.endpoints().split(',');
    ensure!(
        all.all(|endpoint| answer.err.contains(endpoint)),
        "{answer:#?}"
    );
    members.restart_all()?;
    place
        .just(&Host::new("there"), "it", &["--wait", "40s"])
        .expect(0)?;
    assert_eq!(place.said(), "enter first\n");
    place.settles(&members)
}
