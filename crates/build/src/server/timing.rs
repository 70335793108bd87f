//! What is due by the clock: timers, and looks into repositories.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use ward_config::job::Job;
use ward_model::build::Cause;

use super::known::Known;
use super::state::Server;
use crate::api::Request;
use crate::triggers::timer::{Ticker, Timer};

/// The clocks of all jobs.
#[derive(Debug)]
pub(super) struct Clocks {
    ticker: Ticker,
    zone: TimeZone,
}

/// What a clock asks for.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Builds of these jobs.
    builds: Vec<String>,
    /// Looks into the repositories of these.
    polls: Vec<String>,
}

impl Clocks {
    /// Begins with the minute after `now`, milliseconds since the epoch: nothing is made up for.
    pub(super) fn new(now: i64) -> Self {
        Self {
            ticker: Ticker::new(now),
            zone: TimeZone::system(),
        }
    }

    /// What has become due since it was asked last.
    pub(super) fn due(&mut self, now: i64, jobs: &BTreeMap<String, Known>) -> Due {
        let minutes = self.ticker.tick(now);
        let mut due = Due::default();
        if minutes.is_empty() {
            return due;
        }
        let is_due = |spec: &Option<String>, name: &str| {
            spec.as_deref()
                .filter(|spec| !spec.trim().is_empty())
                .and_then(|spec| Timer::read(spec, name, &self.zone).ok())
                .is_some_and(|timer| timer.due(minutes.clone()).next().is_some())
        };
        for (name, known) in jobs
            .iter()
            .filter(|(_, known)| known.not_buildable().is_none())
        {
            if is_due(&known.job.triggers.timer, name) {
                due.builds.push(name.clone());
            }
            if is_due(&known.job.triggers.poll, name) {
                due.polls.push(name.clone());
            }
        }
        due
    }

    /// When to ask next, milliseconds since the epoch.
    pub(super) fn next(&self, now: i64) -> i64 {
        self.ticker.next_due(now)
    }
}

/// What is wrong with a job's times: nothing is started by what is not understood.
pub(super) fn misunderstood(job: &Job) -> Vec<String> {
    let zone = TimeZone::UTC;
    [("timer", &job.triggers.timer), ("poll", &job.triggers.poll)]
        .into_iter()
        .filter_map(|(what, spec)| {
            let spec = spec.as_deref().filter(|spec| !spec.trim().is_empty())?;
            let error = Timer::read(spec, &job.name, &zone).err()?;
            Some(format!("{what}: {}", ward_engine::chain(&error)))
        })
        .collect()
}

impl Server {
    /// Asks for what the clocks ask for.
    pub(super) fn heed_clocks(&self, due: Due) {
        for job in due.builds {
            let request = Request {
                job: job.clone(),
                cause: Cause::Timer,
                parameters: Vec::new(),
                delay: Some(0),
                revision: None,
            };
            if let Err(refusal) = self.ask(&request) {
                self.say(&format!(
                    "job {job} is due and cannot be asked for: {refusal}"
                ));
            }
        }
        for job in due.polls {
            self.look_into(&job, "poll");
        }
    }
}
