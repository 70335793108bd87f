//! A network that is cut between the hosts: whoever is on the losing side is stopped before anybody on the
//! other one may enter.

use anyhow::{Context as _, ensure};
use ward_model::life::CauseKind;
use ward_testkit::daemons::nobody_is_left;
use ward_testkit::patience::wait_until;
use ward_testkit::run::{await_report, text};

use crate::Result;
use crate::network::Network;
use crate::place::{Host, LOST, Place, REFUSED};
use crate::witness::{self, Seen, alone, counted};

const MACHINES: usize = 3;

/// A host on a machine of the network.
fn host(network: &Network, name: &str, machine: usize) -> Host {
    let before = network.on(machine);
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    Host::new(name).named().within(&before)
}

/// One whose own member leads is cut off, and one whose member follows.
#[test]
fn who_is_cut_off_is_stopped_before_another_enters() -> Result {
    let (Some(network), true) = (Network::new(MACHINES)?, witness::is_here()) else {
        return Ok(());
    };
    for leads in [true, false] {
        let leader = network.leader_among(&[0, 1, 2])?;
        let lost = if leads {
            leader
        } else {
            (leader + 1) % MACHINES
        };
        cut_off(&network, lost).with_context(|| format!("the leader is cut off: {leads}"))?;
    }
    Ok(())
}

fn cut_off(network: &Network, lost: usize) -> Result {
    let others: Vec<usize> = (0..MACHINES).filter(|it| *it != lost).collect();
    let here = host(network, "alpha", lost);
    let there = host(network, "beta", others[0]);
    let place = Place::at(&network.endpoints())?.seen_from(host(network, "gamma", others[1]));
    let report = place.world.path("report.json");
    let short = ["--lease", "5s", "--grace", "1h"];
    let work = alone(&place, "first", Seen::Tree, &place.until("gate"));
    let first = place
        .lock(&here, "it", &short)
        .words(["--report", &text(&report)])
        .sh(&format!("trap '' TERM HUP INT; {work}"))
        .start()?;
    place.await_queue("it", (1, 0))?;
    wait_until("the work", || place.said() == "enter first\n")?;
    // They wait on both sides.
    let second = place
        .lock(&there, "it", &short)
        .sh(&alone(&place, "second", Seen::Tree, ""))
        .start()?;
    place.await_queue("it", (1, 1))?;
    let neighbour = place
        .lock(&host(network, "delta", lost), "it", &short)
        .sh(&place.say("neighbour"))
        .start()?;
    place.await_queue("it", (1, 2))?;

    network.cut(lost)?;
    second.answer()?.expect(0).context("the second one")?;
    witness::judge(&place)?;
    let said = place.said();
    assert_eq!(said, "enter first\nenter second\nleave second\n");
    let answer = first.answer()?.expect(LOST)?;
    ensure!(
        answer.err.contains("the lock is about to be lost"),
        "{answer:#?}"
    );
    let report = await_report(&report)?;
    ensure!(report.cause == Some(CauseKind::LockLost), "{report:#?}");
    let answer = neighbour.answer()?.expect(REFUSED)?;
    ensure!(
        place
            .endpoints()
            .split(',')
            .all(|it| answer.err.contains(it)),
        "{answer:#?}"
    );
    // Nobody gets in there, as long as it is so.
    let answer = place
        .lock(&here, "it", &short)
        .sh(&place.say("cut off"))
        .expect(REFUSED)?;
    ensure!(
        answer.err.contains(&network.endpoints()[lost]),
        "{answer:#?}"
    );
    place.just(&there, "it", &["--no-wait"]).expect(0)?;

    network.heal(lost)?;
    place.just(&here, "it", &["--wait", "40s"]).expect(0)?;
    assert_eq!(place.said(), said);
    nobody_is_left(&place.world)?;
    assert_eq!(place.queue("it")?, (0, 0));
    let keys = network.etcdctl(lost, &["get", "--prefix", "--keys-only", place.prefix()])?;
    ensure!(!keys.contains("/queue/"), "{keys}");
    Ok(())
}

/// Shorter than the lease leaves time for: nobody notices.
#[test]
fn who_is_cut_off_for_a_moment_loses_nothing() -> Result {
    let (Some(network), true) = (Network::new(MACHINES)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::at(&network.endpoints())?;
    let lost = network.leader_among(&[0, 1, 2])?;
    let others: Vec<usize> = (0..MACHINES).filter(|it| *it != lost).collect();
    let place = place.seen_from(host(&network, "gamma", others[1]));
    let work = |tag: &str, gate: &str| alone(&place, tag, Seen::Tree, &place.until(gate));
    let first = place
        .lock(&host(&network, "alpha", lost), "it", &[])
        .sh(&work("first", "gate"))
        .start()?;
    place.await_queue("it", (1, 0))?;
    let mut waiting = Vec::new();
    for (name, machine) in [("beta", others[0]), ("delta", lost)] {
        let host = host(&network, name, machine);
        waiting.push(
            place
                .lock(&host, "it", &[])
                .sh(&work(name, "gate"))
                .start()?,
        );
        place.await_queue("it", (1, waiting.len()))?;
    }
    network.cut(lost)?;
    network.leader_among(&others)?;
    network.heal(lost)?;
    place.open("gate")?;
    first.answer()?.expect(0)?;
    for one in waiting {
        one.answer()?.expect(0)?;
    }
    witness::judge(&place)?;
    assert_eq!(counted(&place), (3, 3));
    nobody_is_left(&place.world)?;
    assert_eq!(place.queue("it")?, (0, 0));
    Ok(())
}
