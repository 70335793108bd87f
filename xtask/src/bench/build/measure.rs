//! One contestant after the other, in rounds; then what only ward is asked for.

use anyhow::{Context, Result};

use super::super::peers::which;
use super::super::results::{Bound, Built, Goal};
use super::super::setup::Setup;
use super::buildbot::{self, Buildbot};
use super::gathered::{BUILDBOT, EMPTY, Gathered, WARD};
use super::{past, ward};

pub(in super::super) struct Found {
    pub(in super::super) rows: Vec<Built>,
    pub(in super::super) goals: Vec<Goal>,
    pub(in super::super) missing: Vec<String>,
}

/// Who is measured.
enum Contestant {
    Ward,
    /// Until it fails.
    Buildbot(Option<Buildbot>),
}

pub(in super::super) fn measure(setup: &mut Setup) -> Result<Found> {
    let mut missing = vec![laminar()];
    let mut contestants = vec![Contestant::Ward];
    setup.progress("installing");
    match buildbot::install(&setup.ward.with_file_name("bench-build")) {
        Ok(it) => contestants.push(Contestant::Buildbot(Some(it))),
        Err(why) => missing.push(format!("{BUILDBOT}: {why}")),
    }
    let mut gathered = Gathered::default();
    let rounds = setup.rounds;
    setup.in_turn("builds", rounds, &mut contestants, |setup, contestant| {
        match contestant {
            Contestant::Ward => gathered.add(WARD, ward::round(setup).context(WARD)?),
            Contestant::Buildbot(there) => {
                let Some(it) = there else { return Ok(()) };
                match it.round(setup) {
                    Ok(samples) => gathered.add(BUILDBOT, samples),
                    Err(error) => {
                        missing.push(format!("{BUILDBOT}, any more: {error:#}"));
                        *there = None;
                    }
                }
            }
        }
        Ok(())
    })?;
    past::measure(setup, &mut gathered).context("10,000 builds")?;
    let mut goals = vec![gathered.goal(EMPTY, Bound::AtMost(50.0))];
    goals.extend(past::goals(&gathered));
    Ok(Found {
        rows: gathered.rows(),
        goals,
        missing,
    })
}

/// Why Laminar is not measured.
fn laminar() -> String {
    let why = match which("laminard") {
        Some(_) => "it is here, and how it is asked is not known here",
        None => "there is no `laminard` here (Debian 12 has no package of it)",
    };
    format!("Laminar: {why}")
}
