//! One part after the other.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::results::Goal;
use super::super::setup::Setup;
use super::contestants::Field;
use super::gathered::{Gathered, Side};
use super::wanted::{Part, Wanted};
use super::{crowd, logs, programs, restart};

/// What everybody may open: whoever starts us decides how much of it we may allow.
const DESCRIPTORS: u64 = 65_536;

#[derive(Default)]
pub(in super::super) struct Found {
    pub(in super::super) sides: Vec<Side>,
    pub(in super::super) goals: Vec<Goal>,
    pub(in super::super) missing: Vec<String>,
}

/// Measures what is wanted.
pub(in super::super) fn measure(setup: &mut Setup, wanted: &Wanted) -> Result<Found> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    let raised = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raising the number of open files")?;
    let directory = setup.ward.with_file_name("bench-supervise");
    setup.progress("compiling and installing");
    let compiled = programs::compile(&directory)?;
    let mut field = Field::find(setup, compiled, &directory);
    let mut missing = std::mem::take(&mut field.missing);
    let mut gathered = Gathered::default();
    let of_crowds = [
        Part::Start,
        Part::Memory,
        Part::Idle,
        Part::Status,
        Part::Stop,
    ];
    let mut goals = Vec::new();
    if of_crowds.into_iter().any(|part| wanted.has(part)) {
        let found = crowd::measure(setup, &field, wanted, &mut gathered, &mut missing);
        goals.extend(found.context("many programs")?);
    }
    if wanted.has(Part::Restart) {
        let found = restart::measure(setup, &field, &mut gathered, &mut missing);
        goals.extend(found.context("restart")?);
    }
    if wanted.has(Part::Logs) {
        let found = logs::measure(setup, &field, &mut gathered, &mut missing);
        goals.extend(found.context("logs")?);
    }
    Ok(Found {
        sides: gathered.sides(),
        goals,
        missing,
    })
}
