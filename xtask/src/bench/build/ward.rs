//! A round of ward.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::processes;
use super::super::setup::Setup;
use super::follow;
use super::gathered::{EIGHT_AT_A_TIME, EMPTY, Figure, ONE_AT_A_TIME, RESIDENT, Samples, TRUE};
use super::scene::{Place, Scene, milliseconds, remove};

/// Builds one after the other in a round.
const ONE_BY_ONE: u64 = 10;
/// Builds that wait at once in a round.
const AT_ONCE: u64 = 200;
const QUICK_AT_ONCE: u64 = 80;
/// All of them end within this time.
const CROWD: Duration = Duration::from_secs(300);

pub(super) fn round(setup: &Setup) -> Result<Samples> {
    let mut found = Samples::new();
    let place = Place::make(setup, 1)?;
    Scene::with(setup, &place, |scene| {
        found.extend(one_by_one(scene).context("one by one")?);
        found.extend(follow::measure(scene).context("console")?);
        let rate = crowd(scene, at_once(setup)).context("1 executor")?;
        found.push((ONE_AT_A_TIME, vec![rate]));
        Ok(())
    })?;
    remove(&place.directory)?;
    let place = Place::make(setup, 8)?;
    Scene::with(setup, &place, |scene| {
        let rate = crowd(scene, at_once(setup)).context("8 executors")?;
        found.push((EIGHT_AT_A_TIME, vec![rate]));
        found.push((RESIDENT, vec![resident(scene)?]));
        Ok(())
    })?;
    remove(&place.directory)?;
    Ok(found)
}

fn at_once(setup: &Setup) -> u64 {
    if setup.quick { QUICK_AT_ONCE } else { AT_ONCE }
}

/// A request on an idle server, until its result is recorded.
fn one_by_one(scene: &Scene) -> Result<Samples> {
    let all: [(&str, Figure); 2] = [("empty", EMPTY), ("true", TRUE)];
    all.into_iter()
        .map(|(job, figure)| {
            let times = (1..=ONE_BY_ONE).map(|number| {
                let begun = Instant::now();
                scene.client.start(&format!("/job/{job}/build"))?;
                scene.await_end(job, number)?;
                Ok(milliseconds(begun))
            });
            Ok((figure, times.collect::<Result<_>>()?))
        })
        .collect()
}

/// Asks for many builds, and returns how many are done in a minute.
fn crowd(scene: &Scene, count: u64) -> Result<f64> {
    let begun = Instant::now();
    scene.ask_for(count)?;
    scene.await_idle(CROWD)?;
    let took = begun.elapsed();
    let recorded = scene.recorded(count)?;
    ensure!(
        recorded == count,
        "{recorded} builds of {count} are recorded"
    );
    Ok(per_minute(count, took))
}

pub(super) fn per_minute(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64() * 60.0
}

/// Megabytes that the server holds once it rests.
pub(super) fn resident(scene: &Scene) -> Result<f64> {
    let pids = [scene.pid().as_raw_pid()];
    let memory = processes::settled(&pids).context("its memory")?;
    Ok(memory.resident as f64 * 1024.0 / 1e6)
}
