//! A server with ten thousand builds behind it, and a thousand before it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::results::{Bound, Goal};
use super::super::setup::{Setup, silent};
use super::gathered::{Figure, Gathered, Samples, WARD};
use super::scene::{MANY, Place, Scene, milliseconds, remove};
use super::ward::{per_minute, resident};

/// Builds in the history.
const PAST: u32 = 10_000;
/// Requests that wait at once.
const WAITING: u64 = 1_000;
/// All of them end within this time.
const CROWD: Duration = Duration::from_secs(600);
/// Requests for each page in a round.
const PAGES: usize = 20;
/// Rounds, at most.
const ROUNDS: u32 = 3;

const START: Figure = Figure("start of the server with 10,000 builds", "ms");
const LOST: Figure = Figure("lost of 1,000 requests that waited", "builds");
const RATE: Figure = Figure("1,000 builds after 10,000, 8 executors", "per minute");
const TAKEN: Figure = Figure("a request is taken, up to 1,000 wait", "ms");
const RESIDENT: Figure = Figure("Rss of the server after all that", "MB");

/// What is looked at, and whether as JSON.
const LOOKED_AT: [(Figure, &str); 6] = [
    (Figure("page of all jobs, 10,000 builds", "ms"), "/"),
    (Figure("/api/json, 10,000 builds", "ms"), "/api/json"),
    (Figure("page of the job, 10,000 builds", "ms"), "/job/many/"),
    (
        Figure("/job/many/api/json, 10,000 builds", "ms"),
        "/job/many/api/json",
    ),
    (
        Figure("page of a build, 10,000 builds", "ms"),
        "/job/many/5000/",
    ),
    (
        Figure("/job/many/5000/api/json, 10,000 builds", "ms"),
        "/job/many/5000/api/json",
    ),
];

/// The same, while a thousand requests wait.
const LOOKED_AT_IN_A_CROWD: [(Figure, &str); 3] = [
    (Figure("page of the queue, 1,000 wait", "ms"), "/queue"),
    (
        Figure("/queue/api/json, 1,000 wait", "ms"),
        "/queue/api/json",
    ),
    (Figure("page of the job, 1,000 wait", "ms"), "/job/many/"),
];

/// Measures, and says what is to be reached.
pub(super) fn measure(setup: &Setup, gathered: &mut Gathered) -> Result<()> {
    let rounds = if setup.quick {
        1
    } else {
        setup.rounds.min(ROUNDS)
    };
    for round in 1..=rounds {
        setup.progress(&format!("10,000 builds: round {round} of {rounds}"));
        gathered.add(WARD, once(setup)?);
    }
    Ok(())
}

/// What is to be reached.
pub(super) fn goals(gathered: &Gathered) -> Vec<Goal> {
    let pages = LOOKED_AT.iter().chain(&LOOKED_AT_IN_A_CROWD);
    let mut goals: Vec<Goal> = pages
        .map(|(figure, _)| gathered.goal(*figure, Bound::AtMost(50.0)))
        .collect();
    goals.push(gathered.goal(LOST, Bound::AtMost(0.0)));
    goals.push(gathered.goal(RESIDENT, Bound::AtMost(25.0)));
    goals
}

fn once(setup: &Setup) -> Result<Samples> {
    let place = Place::make(setup, 8)?;
    // One real build, as if it had been built so often.
    Scene::with(setup, &place, |scene| {
        scene.client.start(&format!("/job/{MANY}/build"))?;
        scene.await_end(MANY, 1)
    })?;
    let words = [
        setup.load.clone().into_os_string(),
        place.home().into(),
        MANY.into(),
        PAST.to_string().into(),
    ];
    let status = silent(&words).status().context("starting past-builds")?;
    ensure!(status.success(), "past-builds failed ({status})");

    let mut found = Samples::new();
    let begun = Instant::now();
    Scene::with(setup, &place, |scene| {
        found.push((START, vec![milliseconds(begun)]));
        found.extend(look(scene, &LOOKED_AT)?);
        scene.client.start("/quietDown")?;
        let begun = Instant::now();
        scene.ask_for(WAITING)?;
        found.push((TAKEN, vec![milliseconds(begun) / WAITING as f64]));
        found.extend(look(scene, &LOOKED_AT_IN_A_CROWD)?);
        let begun = Instant::now();
        scene.client.start("/cancelQuietDown")?;
        scene.await_idle(CROWD)?;
        found.push((RATE, vec![per_minute(WAITING, begun.elapsed())]));
        let recorded = scene.recorded(WAITING)?;
        found.push((LOST, vec![(WAITING - recorded) as f64]));
        found.push((RESIDENT, vec![resident(scene)?]));
        Ok(())
    })?;
    remove(&place.directory)?;
    Ok(found)
}

fn look(scene: &Scene, pages: &[(Figure, &str)]) -> Result<Samples> {
    pages
        .iter()
        .map(|(figure, path)| {
            let times = (0..PAGES).map(|_| {
                let begun = Instant::now();
                let answer = scene.client.ask("GET", path)?;
                let took = milliseconds(begun);
                let is_good = if path.ends_with("/json") {
                    answer.body.starts_with(b"{")
                } else {
                    answer.is_page()
                };
                ensure!(is_good, "{path} is not what was asked for: {}", answer.head);
                Ok(took)
            });
            Ok((*figure, times.collect::<Result<_>>()?))
        })
        .collect()
}
