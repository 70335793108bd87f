//! Whoever is killed or stopped of those who guard the work: the lock stays as long as the work lives, and
//! where its lease cannot be renewed the work is over before anybody else has it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use ward_model::life::CauseKind;
use ward_model::report::Report;
use ward_sys::clock::since_boot;
use ward_testkit::daemons::{Asked, Member};
use ward_testkit::etcd::Members;
use ward_testkit::patience::wait_until;
use ward_testkit::processes::look;
use ward_testkit::run::{await_report, text};
use ward_testkit::truth::contradictions;

use crate::Result;
use crate::place::{Host, KILLED, LOST, Place, REFUSED, at_once, guardian, renewer};
use crate::witness::{self, Seen, alone, counted};

/// The shortest that there is.
const LEASE: &str = "5s";
const LEASE_TIME: Duration = Duration::from_secs(5);

/// So many stories at a time: each mostly waits for a lease to run out.
const AT_A_TIME: usize = 12;

/// Somebody at work, and somebody on another host who waits for his lock.
pub(crate) struct Two<'p> {
    place: &'p Place,
    pub(crate) first: Asked,
    pub(crate) second: Asked,
    pub(crate) guardian: Member,
    pub(crate) renewer: Member,
    pub(crate) leader: Member,
}

impl<'p> Two<'p> {
    /// The work does not heed signals, and lasts until the gate is opened or it is killed.
    pub(crate) fn begin(
        place: &'p Place,
        here: &Host,
        there: &Host,
        options: &[&str],
    ) -> Result<Self> {
        let report = text(place.world.path("report.json"));
        let pid = text(place.world.path("leader"));
        let work = alone(place, "first", Seen::Tree, &place.until("gate"));
        let first = place
            .lock(
                here,
                "it",
                &["--lease", LEASE, "--grace", "1h", "--report", &report],
            )
            .words(options)
            .sh(&format!("trap '' TERM HUP INT; echo $$ >{pid}; {work}"))
            .start()?;
        wait_until("the work", || place.said().contains("enter first"))?;
        let leader = std::fs::read_to_string(&pid)?;
        let second = place
            .lock(there, "it", &["--lease", LEASE])
            .sh(&alone(place, "second", Seen::Tree, ""))
            .start()?;
        place.await_queue("it", (1, 1))?;
        Ok(Self {
            guardian: guardian(&first)?,
            renewer: renewer(&first)?,
            leader: Member::now(leader.trim().parse()?)?,
            place,
            first,
            second,
        })
    }

    pub(crate) fn signal(&self, whom: Member, signal: Signal) -> Result {
        ensure!(
            self.place.world.signal(whom.pid, signal),
            "{whom:?} is gone"
        );
        if signal == Signal::STOP {
            wait_until("it to be stopped", || {
                look(whom.pid).is_some_and(|seen| seen.state == 'T')
            })?;
        }
        Ok(())
    }

    /// More than a lease lasts later the first one is at work, and the second one still waits.
    pub(crate) fn goes_on(&self) -> Result {
        let began = since_boot();
        wait_until("more than a lease to pass", || {
            since_boot() - began > LEASE_TIME + LEASE_TIME / 2
        })?;
        ensure!(self.leader.is_alive(), "the work was stopped");
        assert_eq!(self.place.said(), "enter first\n");
        assert_eq!(self.place.queue("it")?, (1, 1));
        Ok(())
    }

    /// The first one's work ends by itself, and then it is the second one's turn.
    pub(crate) fn ends_well(self, code: i32) -> Result {
        self.place.open("gate")?;
        self.second.answer()?.expect(0)?;
        self.first.answer()?.expect(code)?;
        let said = self.place.said();
        assert_eq!(
            said,
            "enter first\nleave first\nenter second\nleave second\n"
        );
        Ok(())
    }

    /// The first one's work is stopped, and only then it is the second one's turn.
    pub(crate) fn ends_in_loss(self) -> Result<Report> {
        self.second.answer()?.expect(0).context("the second one")?;
        ensure!(!self.leader.is_alive(), "the work goes on");
        let said = self.place.said();
        assert_eq!(said, "enter first\nenter second\nleave second\n");
        let answer = self.first.answer()?;
        let report = await_report(&self.place.world.path("report.json"))?;
        let wrong = contradictions(&report);
        ensure!(wrong.is_empty(), "{wrong:?} {report:#?}");
        ensure!(
            report.cause == Some(CauseKind::LockLost) && i32::from(report.exit_status) == LOST,
            "{report:#?}"
        );
        ensure!(
            [LOST, KILLED].contains(&answer.code())
                && answer.err.contains("the lock is about to be lost"),
            "{answer:#?}"
        );
        if answer.code() == KILLED {
            let front_lost = |stop: &ward_model::report::Stop| stop.cause == CauseKind::FrontLost;
            ensure!(report.stops.iter().any(front_lost), "{report:#?}");
        }
        Ok(report)
    }
}

type Tale = fn(Two<'_>, &Members) -> Result;

/// Tells a story on each way to hold a tree, each in a place of its own.
fn tell(tales: &[(&str, Tale)]) -> Result {
    let (Some(members), true) = (Members::start(1)?, witness::is_here()) else {
        return Ok(());
    };
    let stories: Vec<_> = tales
        .iter()
        .flat_map(|tale| ["auto", "guardian"].map(|containment| (tale, containment)))
        .collect();
    at_once(AT_A_TIME, &stories, |((name, tale), containment)| {
        let place = Place::new(&members)?;
        let (here, there) = (Host::new("here"), Host::new("there"));
        let options = ["--containment", containment];
        let told = Two::begin(&place, &here, &there, &options)
            .and_then(|two| tale(two, &members))
            .and_then(|()| witness::judge(&place))
            .and_then(|()| place.settles(&members));
        told.with_context(|| format!("{name}, {containment}: {:?}", place.said()))
    })
}

#[test]
fn the_lock_stays_as_long_as_the_work() -> Result {
    tell(&[
        ("the front is killed", |two, _| {
            two.first.signal(Signal::KILL)?;
            two.goes_on()?;
            two.ends_well(KILLED)
        }),
        ("the guardian is killed", |two, _| {
            two.signal(two.guardian, Signal::KILL)?;
            two.goes_on()?;
            two.ends_well(0)
        }),
        ("both are killed", |two, _| {
            two.first.signal(Signal::KILL)?;
            two.signal(two.guardian, Signal::KILL)?;
            two.goes_on()?;
            two.ends_well(KILLED)
        }),
        ("the front is stopped", |two, _| {
            let front = Member::now(two.first.pid())?;
            two.signal(front, Signal::STOP)?;
            two.goes_on()?;
            // The guardian sees the end, and gives the lock back, without it.
            let place = two.place;
            place.open("gate")?;
            wait_until("the second one", || counted(place) == (2, 2))?;
            two.signal(front, Signal::CONT)?;
            two.ends_well(0)
        }),
        ("the guardian is stopped", |two, _| {
            two.signal(two.guardian, Signal::STOP)?;
            two.goes_on()?;
            two.signal(two.guardian, Signal::CONT)?;
            two.ends_well(0)
        }),
        ("the renewer is stopped for a moment", |two, _| {
            two.signal(two.renewer, Signal::STOP)?;
            two.signal(two.renewer, Signal::CONT)?;
            two.goes_on()?;
            two.ends_well(0)
        }),
    ])
}

#[test]
fn who_cannot_renew_is_stopped_in_time() -> Result {
    tell(&[
        ("the renewer is killed", |two, _| {
            two.signal(two.renewer, Signal::KILL)?;
            two.ends_in_loss().map(drop)
        }),
        ("the renewer is stopped", |two, _| {
            two.signal(two.renewer, Signal::STOP)?;
            let renewer = two.renewer;
            two.ends_in_loss()?;
            ends(renewer)
        }),
        ("the renewer and the front are killed", |two, _| {
            two.signal(two.renewer, Signal::KILL)?;
            two.first.signal(Signal::KILL)?;
            two.ends_in_loss().map(drop)
        }),
        ("the renewer and the guardian are killed", |two, _| {
            two.signal(two.renewer, Signal::KILL)?;
            two.signal(two.guardian, Signal::KILL)?;
            let report = two.ends_in_loss()?;
            ensure!(report.guardian_lost, "{report:#?}");
            Ok(())
        }),
        ("the renewer and the front are stopped", |two, _| {
            let front = Member::now(two.first.pid())?;
            two.signal(two.renewer, Signal::STOP)?;
            two.signal(front, Signal::STOP)?;
            let (place, renewer) = (two.place, two.renewer);
            wait_until("the second one", || counted(place) == (2, 1))?;
            two.signal(front, Signal::CONT)?;
            two.ends_in_loss()?;
            ends(renewer)
        }),
        ("the renewer and the guardian are stopped", |two, _| {
            two.signal(two.renewer, Signal::STOP)?;
            two.signal(two.guardian, Signal::STOP)?;
            let renewer = two.renewer;
            two.ends_in_loss()?;
            ends(renewer)
        }),
    ])
}

/// It is gone, even if somebody had stopped it.
fn ends(renewer: Member) -> Result {
    wait_until("the renewing process to end", || !renewer.is_alive())
}

/// Both who would have stopped the work are gone, and then the cluster is: whoever renewed sees to it.
#[test]
fn an_orphan_is_stopped_in_time() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let (here, there) = (Host::new("here"), Host::new("there"));
    let two = Two::begin(&place, &here, &there, &[])?;
    two.first.signal(Signal::KILL)?;
    two.signal(two.guardian, Signal::KILL)?;
    let paused = since_boot();
    members.pause(0)?;
    wait_until("the work to end", || !two.leader.is_alive())?;
    // Nobody has renewed it since.
    ensure!(
        since_boot() < paused + LEASE_TIME,
        "the lease had ended before the work"
    );
    // Who waits cannot know whether he is in the queue any more.
    let answer = two.second.answer()?.expect(REFUSED)?;
    ensure!(answer.err.contains(place.endpoints()), "{answer:#?}");
    members.resume(0)?;
    two.first.answer()?.expect(KILLED)?;
    place.just(&there, "it", &["--wait", "30s"]).expect(0)?;
    assert_eq!(place.said(), "enter first\n");
    place.settles(&members)
}

/// Somebody else's hand: who holds it learns of it when he renews.
#[test]
fn a_lease_that_is_taken_away() -> Result {
    let Some(members) = Members::start(1)? else {
        return Ok(());
    };
    let place = Place::new(&members)?;
    let here = Host::new("here");
    for containment in ["auto", "guardian"] {
        let report = place.world.path(&format!("report-{containment}"));
        let options = [
            "--lease",
            LEASE,
            "--grace",
            "1h",
            "--containment",
            containment,
        ];
        let first = place
            .lock(&here, "it", &options)
            .words(["--report", &text(&report)])
            .sh(&format!("trap '' TERM; {}", place.until("gate")))
            .start()?;
        place.await_queue("it", (1, 0))?;
        let Some(keys) = place.keys(&members)? else {
            return Ok(());
        };
        let [key] = &keys[..] else {
            anyhow::bail!("{keys:?}");
        };
        let lease = key.rsplit('/').next().context("no lease")?;
        members.etcdctl(["lease", "revoke", lease])?;
        first.answer()?.expect(LOST)?;
        let report = await_report(&report)?;
        let wrong = contradictions(&report);
        ensure!(
            wrong.is_empty() && report.cause == Some(CauseKind::LockLost),
            "{wrong:?} {report:#?}"
        );
        place.is_settled(&members)?;
    }
    Ok(())
}
