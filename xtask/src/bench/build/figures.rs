//! What is measured of a build server.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::super::processes;
use super::super::results::{Bound, Built, Goal};
use super::super::setup::Setup;
use super::super::statistics::{Summary, median};
use super::scene::Scene;

/// Builds one after the other in a round.
const ONE_BY_ONE: u64 = 10;
/// Builds at once in a round.
const AT_ONCE: u64 = 200;
/// Requests for a page in a round.
const PAGES: u32 = 20;
/// All of a crowd end within this time.
const CROWD: Duration = Duration::from_secs(600);

pub(in super::super) struct Found {
    pub(in super::super) rows: Vec<Built>,
    pub(in super::super) goals: Vec<Goal>,
}

/// Samples of one figure.
struct Series {
    what: String,
    unit: &'static str,
    samples: Vec<f64>,
}

#[derive(Default)]
struct All(Vec<Series>);

impl All {
    fn push(&mut self, what: &str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|series| series.what == what) {
            Some(series) => series.samples.push(value),
            None => self.0.push(Series {
                what: what.to_owned(),
                unit,
                samples: vec![value],
            }),
        }
    }

    fn median(&self, what: &str) -> Option<f64> {
        let series = self.0.iter().find(|series| series.what == what)?;
        median(&series.samples)
    }
}

const EMPTY: &str = "request to recorded result, no step";
const TRUE: &str = "request to recorded result, `true`";
const FIRST_LINE: &str = "request to the first line of a step";
const CONSOLE: &str = "a line's way to who follows";
const MEMORY: &str = "Pss of the server afterwards";

pub(in super::super) fn measure(setup: &mut Setup) -> Result<Found> {
    let mut all = All::default();
    let mut kept = 0;
    for round in 0..setup.rounds {
        setup.progress(&format!("builds, round {}", round + 1));
        one_by_one(setup, &mut all).context("one by one")?;
        for executors in [1, 8] {
            kept = at_once(setup, executors, &mut all)
                .with_context(|| format!("{executors} executors"))?;
        }
    }
    let pages = [
        format!("page of a job with {kept} builds"),
        format!("page of all jobs, {kept} builds"),
        format!("page of a build, {kept} builds"),
    ];
    let mut goals = vec![
        goal(EMPTY, "ms", &all, 50.0),
        goal(MEMORY, "MB", &all, 25.0),
    ];
    goals.extend(pages.iter().map(|page| goal(page, "ms", &all, 50.0)));
    let rows = all
        .0
        .into_iter()
        .filter_map(|series| {
            Some(Built {
                what: series.what,
                unit: series.unit,
                figures: Summary::of(&series.samples)?,
            })
        })
        .collect();
    Ok(Found { rows, goals })
}

fn goal(what: &str, unit: &str, all: &All, limit: f64) -> Goal {
    Goal {
        what: format!("{what}, {unit}"),
        value: all.median(what),
        bound: Bound::AtMost(limit),
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// A request on an idle server, until its result is recorded or its first line can be read.
fn one_by_one(setup: &Setup, all: &mut All) -> Result<()> {
    let scene = Scene::start(setup, 2)?;
    for (job, what) in [("empty", EMPTY), ("true", TRUE)] {
        for number in 1..=ONE_BY_ONE {
            let begun = Instant::now();
            scene.client.start(&format!("/job/{job}/build"))?;
            scene.await_end(job, number)?;
            all.push(what, "ms", milliseconds(begun));
        }
    }
    for number in 1..=2 {
        follow(&scene, number, all)?;
    }
    scene.end()
}

/// Follows a build that says the time, line by line.
fn follow(scene: &Scene, number: u64, all: &mut All) -> Result<()> {
    let begun = Instant::now();
    scene.client.start("/job/lines/build")?;
    let mut start = 0_u64;
    let mut rest = String::new();
    let mut is_first = true;
    loop {
        let path = format!("/job/lines/{number}/logText/progressiveText?start={start}");
        let Ok(answer) = scene.client.ask("GET", &path) else {
            // It has no number yet.
            ensure!(begun.elapsed() < Duration::from_secs(60), "no build");
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        rest.push_str(&String::from_utf8_lossy(&answer.body));
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        while let Some((line, after)) = rest.split_once('\n') {
            if let Ok(said) = line.trim().parse::<f64>() {
                if is_first {
                    all.push(FIRST_LINE, "ms", milliseconds(begun));
                    is_first = false;
                }
                all.push(CONSOLE, "ms", (now - said) * 1e3);
            }
            rest = after.to_owned();
        }
        let head = answer.head.to_ascii_lowercase();
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        if let Some(size) = field("x-text-size:").and_then(|size| size.parse().ok()) {
            start = size;
        }
        if field("x-more-data:").is_none() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Many requests at once; then pages and memory with all of that in the history.
fn at_once(setup: &Setup, executors: u32, all: &mut All) -> Result<u64> {
    let scene = Scene::start(setup, executors)?;
    let begun = Instant::now();
    for number in 0..AT_ONCE {
        scene
            .client
            .start(&format!("/job/many/buildWithParameters?N={number}"))?;
    }
    scene.await_builds("many", AT_ONCE, CROWD)?;
    let per_minute = AT_ONCE as f64 / begun.elapsed().as_secs_f64() * 60.0;
    all.push(
        &format!("builds of `true`, {executors} executors"),
        "per minute",
        per_minute,
    );
    let numbers = scene
        .client
        .json("/job/many/api/json?tree=allBuilds[number,result]")?;
    let builds = numbers["allBuilds"].as_array().context("no builds")?;
    let good = builds.iter().filter(|build| build["result"] == "SUCCESS");
    ensure!(good.count() as u64 == AT_ONCE, "builds were lost");
    for (path, what) in [
        ("/job/many/", "page of a job with"),
        ("/", "page of all jobs,"),
        ("/job/many/100/", "page of a build,"),
    ] {
        for _ in 0..PAGES {
            let begun = Instant::now();
            let answer = scene.client.ask("GET", path)?;
            ensure!(answer.is_page(), "{path} is no page: {}", answer.head);
            all.push(
                &format!("{what} {AT_ONCE} builds"),
                "ms",
                milliseconds(begun),
            );
        }
    }
    let memory = processes::memory(scene.pid().as_raw_nonzero().get()).context("its memory")?;
    all.push(MEMORY, "MB", memory.proportional as f64 * 1024.0 / 1e6);
    scene.end()?;
    Ok(AT_ONCE)
}
