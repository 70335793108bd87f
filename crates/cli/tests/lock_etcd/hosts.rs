//! Two hosts, or more, on one machine: each has its own directory of locks and, where it matters, its own
//! name. Only the cluster keeps them apart.

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_testkit::daemons::{Asked, Member};
use ward_testkit::etcd::Members;
use ward_testkit::programs::{in_path, skipped};
use ward_testkit::run::text;
use ward_testkit::world::is_root;

use crate::Result;
use crate::place::{BUSY, Host, KILLED, LOST, Place, REFUSED, now};
use crate::witness::{self, Seen, alone, alone_with, beside};

/// Two hosts that know themselves by different names; says aloud if that cannot be.
pub(crate) fn two() -> Option<[Host; 2]> {
    if !is_root() || in_path("unshare").is_none() {
        skipped("hosts of different names", "needs root and unshare");
        return None;
    }
    Some([Host::new("alpha").named(), Host::new("beta").named()])
}

#[test]
fn hosts_are_told_apart_by_their_names() -> Result {
    let Some([alpha, beta]) = two() else {
        return Ok(());
    };
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?.seen_from(beta.clone());
    let first = place.holder(&alpha, "it", &["--why", "a good reason"])?;
    let second = place.waiter(&beta, "it", &[], "second")?;
    let shown = place.shown("it")?.context("nothing is shown")?;
    for (list, host, pid) in [
        ("holders", "alpha", first.pid()),
        ("waiting", "beta", second.pid()),
    ] {
        let record = &shown[list][0];
        assert_eq!(record["host"], host, "{shown:#}");
        assert_eq!(record["pid"], pid, "{shown:#}");
    }
    let answer = place
        .ask(&beta, &["locks"])
        .words(place.cluster())
        .expect(0)?;
    ensure!(
        answer.out.contains("it: 1 hold, 1 wait")
            && answer.out.contains("a good reason")
            && answer.out.contains("alpha"),
        "{answer:#?}"
    );
    let gamma = Host::new("gamma").named();
    let answer = place.just(&gamma, "it", &["--no-wait"]).expect(BUSY)?;
    ensure!(answer.err.contains("alpha"), "{answer:#?}");
    place.open("gate")?;
    for one in [first, second] {
        one.answer()?.expect(0)?;
    }
    assert_eq!(place.said(), "second\n");
    place.is_settled(&members)
}

/// On the host of who holds it he can be stopped, whichever directory his own lock is in.
#[test]
fn who_holds_it_on_the_same_host_can_be_stopped() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let first = place.holder(&Host::new("here"), "it", &[])?;
    place
        .lock(&Host::new("there"), "it", &["--cancel-running"])
        .sh(&place.say("next"))
        .expect(0)?;
    first.answer()?.expect(123)?;
    assert_eq!(place.said(), "next\n");
    place.is_settled(&members)
}

/// All want it at once, some to share it.
#[test]
fn many_hosts_want_it() -> Result {
    const HOSTS: usize = 6;
    const EACH: usize = 4;
    let (Some(members), true) = (Members::start(1)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let hosts = Host::several(HOSTS);
    let asked: Vec<Asked> = (0..HOSTS * EACH)
        .map(|number| {
            let host = &hosts[number % HOSTS];
            if number % 3 == 0 {
                let work = beside(&place, "$$", "sleep 0.02;");
                place.lock(host, "it", &["--shared"]).sh(&work).start()
            } else {
                let work = alone(&place, "$$", Seen::Tree, "sleep 0.02;");
                place.lock(host, "it", &[]).sh(&work).start()
            }
        })
        .collect::<Result<_>>()?;
    for one in asked {
        one.answer()?.expect(0)?;
    }
    witness::judge(&place)?;
    assert_eq!(witness::counted(&place), (HOSTS * EACH, HOSTS * EACH));
    place.is_settled(&members)
}

/// Somebody who takes a slot for a moment, whichever the witness finds free; never more than there are.
#[test]
fn never_more_than_there_are_slots() -> Result {
    const HOSTS: usize = 4;
    const CLIENTS: usize = 16;
    let (Some(members), true) = (Members::start(1)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let hosts = Host::several(HOSTS);
    // The witness has three places; whoever finds none is one too many.
    let places = text(place.world.path("slot"));
    let said = text(place.world.path("said"));
    let work = format!(
        "for n in 1 2 3; do exec 9>>{places}$n; if flock -n 9; then echo enter $$ >>{said}
        sleep 0.02 9>&-; echo leave $$ >>{said}; exit 0; fi; done; echo broken $$ >>{said}; exit 77"
    );
    let asked: Vec<Asked> = (0..CLIENTS)
        .map(|number| {
            let host = &hosts[number % HOSTS];
            place.lock(host, "it", &["--slots", "3"]).sh(&work).start()
        })
        .collect::<Result<_>>()?;
    for one in asked {
        one.answer()?.expect(0)?;
    }
    witness::judge(&place)?;
    assert_eq!(witness::counted(&place), (CLIENTS, CLIENTS));
    place.is_settled(&members)
}

/// All want several things, and some of the processes are killed all the time: of whoever is left each is
/// served, and nobody meets anybody.
#[test]
fn many_want_it_and_some_are_killed() -> Result {
    const CLIENTS: usize = 24;
    const HOSTS: usize = 5;
    let (Some(members), true) = (Members::start(1)?, witness::is_here()) else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let hosts = Host::several(HOSTS);
    let work = |thing: &str| {
        // A command outlives those who are killed, and need not be heeded by them.
        let work = alone_with(&place, "$$", thing, "sleep 0.02;");
        format!("trap '' TERM HUP INT; {work}")
    };
    let mut asked: Vec<Asked> = (0..CLIENTS)
        .map(|number| {
            let (name, thing) = match number % 4 {
                0 => ("x,y", "x"),
                1 => ("y,x", "x"),
                _ => ("x", "x"),
            };
            place
                .lock(&hosts[number % HOSTS], name, &["--lease", "8s"])
                .sh(&work(thing))
                .start()
        })
        .collect::<Result<_>>()?;
    for (number, one) in asked.iter_mut().enumerate() {
        let guardian = now(one, "ward-guardian");
        let renewer = now(one, "ward-renewer");
        let kill = |member: Option<Member>| {
            if let Some(it) = member {
                place.world.signal(it.pid, Signal::KILL);
            }
        };
        let is_over = one.is_over();
        match number % 6 {
            0 => kill(guardian),
            1 if !is_over => one.signal(Signal::KILL)?,
            2 => kill(renewer),
            3 if !is_over => {
                one.signal(Signal::KILL)?;
                kill(guardian);
            }
            _ => {}
        }
    }
    for (number, one) in asked.into_iter().enumerate() {
        let answer = one.answer()?;
        let allowed: &[i32] = match number % 6 {
            // Before the command was there, or after that.
            0 => &[0, REFUSED],
            1 | 3 => &[0, KILLED],
            2 => &[0, REFUSED, LOST],
            _ => &[0],
        };
        ensure!(
            allowed.contains(&answer.code()),
            "{number}: {answer:#?}\n{}",
            place.said()
        );
    }
    witness::judge(&place)?;
    place
        .just(&hosts[0], "x,y", &["--wait", "30s"])
        .expect(0)
        .context("it cannot be got any more")?;
    place.settles(&members)
}
