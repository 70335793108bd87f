//! What people and clients are shown of jobs, the queue and builds.

use std::collections::HashMap;

use ward_config::job::{Job, ParameterKind};
use ward_model::build::queue::{Departure, Place, Seen};

use super::asking::failed;
use super::downstream::{thresholds, upstream};
use super::ending::{read_state, read_tests};
use super::known::Known;
use super::state::{Inner, Server, now};
use crate::api::{
    BuildLine, BuildView, JobLine, JobView, QueueItem, QueuePlace, Refusal, ServerView, Which,
};
use crate::history::{builds, past};
use crate::outcome::{Checkout, TestSuite};
use crate::plan::{ParameterValue, file};
use crate::workspaces;

impl Server {
    /// The server itself.
    pub(super) fn view(&self) -> ServerView {
        let inner = self.lock();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        ServerView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: inner.build.url.clone(),
            executors: inner.build.executors,
            busy: count(inner.queue.busy()),
            waiting: count(inner.queue.waiting()),
            quieting_down: inner.queue.quieting_down().map(str::to_owned),
            node: host(),
        }
    }

    /// Every job.
    pub(super) fn all_jobs(&self) -> Vec<JobLine> {
        let inner = self.lock();
        let mut counts: HashMap<&str, (u32, u32)> = HashMap::new();
        for (name, _) in inner.running.keys() {
            counts.entry(name).or_default().0 += 1;
        }
        for item in inner.queue.items() {
            counts.entry(&item.job).or_default().1 += 1;
        }
        inner
            .jobs
            .values()
            .filter(|known| !known.leaving)
            .map(|known| {
                let (running, waiting) = counts
                    .get(known.job.name.as_str())
                    .copied()
                    .unwrap_or_default();
                line(known, running, waiting)
            })
            .collect()
    }

    /// All about one job.
    pub(super) fn one_job(&self, name: &str) -> Result<JobView, Refusal> {
        let inner = self.lock();
        let known = inner.shown(name)?;
        let queue: Vec<QueueItem> = inner
            .queue
            .seen(now())
            .iter()
            .filter(|seen| seen.item.job == name)
            .map(queue_item)
            .collect();
        let running = inner.running.keys().filter(|(job, _)| job == name).count();
        let main = workspaces::main(&self.home.workspaces(), self.home.root(), &known.job);
        Ok(JobView {
            line: line(
                known,
                u32::try_from(running).unwrap_or(u32::MAX),
                u32::try_from(queue.len()).unwrap_or(u32::MAX),
            ),
            of_file: known.of_file,
            unknown: known.unknown.clone(),
            not_buildable: known.not_buildable(),
            parameters: open_job(&known.job).parameters,
            next_number: known.next_number,
            lasts: known.past.lasts,
            queue,
            downstream: thresholds(&inner.jobs, name).into_keys().collect(),
            upstream: upstream(&inner.jobs, name).into_iter().collect(),
            estimate: known.past.estimate,
            workspace: main.is_dir().then_some(main),
            job: open_job(&known.job),
        })
    }

    /// One request, also if it has become a build.
    pub(super) fn one_request(&self, id: u64) -> Option<QueueItem> {
        {
            let inner = self.lock();
            let seen = inner.queue.seen_one(id, now());
            let is_starting = seen
                .as_ref()
                .is_some_and(|seen| matches!(seen.left, Some(Departure::Starting)));
            if let Some(seen) = seen.filter(|_| !is_starting || !inner.is_written(id)) {
                return Some(queue_item(&seen));
            }
        }
        let (job, row) = builds::of_request(&self.read(), id).ok().flatten()?;
        Some(QueueItem {
            id,
            job,
            causes: row.causes,
            parameters: row.parameters,
            since: row.line.started_at,
            place: QueuePlace::Started(row.line.number),
            why: "Finished waiting".to_owned(),
            position: 0,
            stuck: false,
        })
    }

    /// The row of a job that is there for people, and what is in memory of it.
    pub(super) fn known(&self, name: &str) -> Result<Known, Refusal> {
        self.lock().shown(name).cloned()
    }

    /// All about one build.
    pub(super) fn one_build(&self, job: &str, which: &Which) -> Result<BuildView, Refusal> {
        let known = self.known(job)?;
        let nothing = || Refusal::NoSuchBuild {
            job: job.to_owned(),
            build: written(which),
        };
        let number = past::number_meant(&known.past.lasts, which).ok_or_else(nothing)?;
        let directory = self.home.build(job, number);
        let (grows, estimate) = {
            let inner = self.lock();
            (
                inner.running.contains_key(&(job.to_owned(), number)),
                known.past.estimate,
            )
        };
        let reader = self.read();
        let mut row = builds::one(&reader, job, known.id, number)
            .map_err(|error| failed(&error))?
            .ok_or_else(nothing)?;
        let outcome = builds::outcome(&reader, row.id).map_err(|error| failed(&error))?;
        let (previous, next) =
            builds::neighbours(&reader, known.id, number).map_err(|error| failed(&error))?;
        let started =
            builds::started_by(&reader, known.id, number).map_err(|error| failed(&error))?;
        drop(reader);
        // Recorded between the two looks: it grows no more.
        let log_grows = grows && row.line.result.is_none();
        let state = log_grows.then(|| read_state(&directory)).flatten();
        let mut checkout = outcome
            .as_ref()
            .and_then(|outcome| outcome.checkout.clone());
        if let Some(state) = &state {
            row.line.revision = state.revision.clone();
            row.line.branch = state.branch.clone();
            if let Some(name) = &state.display_name {
                row.line.display_name.clone_from(name);
            }
            checkout = state.revision.clone().map(|revision| Checkout {
                url: known
                    .job
                    .source
                    .as_ref()
                    .map_or_else(String::new, |source| crate::git::shown(&source.url)),
                revision,
                branch: state.branch.clone().unwrap_or_default(),
                changes: Vec::new(),
            });
        }
        Ok(BuildView {
            queue_id: row.request,
            causes: row.causes,
            parameters: row.parameters,
            state,
            outcome,
            checkout,
            log: directory.join(file::LOG),
            log_grows,
            log_times: directory.join(file::TIMES),
            artifacts: directory.join(file::ARTIFACTS),
            estimate,
            executor: log_grows.then_some(row.executor),
            notified: row.notified,
            previous,
            next,
            started,
            line: row.line,
        })
    }

    /// Builds of a job.
    pub(super) fn some_builds(
        &self,
        job: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BuildLine>, Refusal> {
        let known = self.known(job)?;
        builds::list(&self.read(), job, known.id, before, limit).map_err(|error| failed(&error))
    }

    /// The test results of a build.
    pub(super) fn tests_of(&self, job: &str, number: u32) -> Result<Vec<TestSuite>, Refusal> {
        let known = self.known(job)?;
        let row = builds::one(&self.read(), job, known.id, number)
            .map_err(|error| failed(&error))?
            .ok_or_else(|| Refusal::NoSuchBuild {
                job: job.to_owned(),
                build: number.to_string(),
            })?;
        let nothing = || Refusal::Nothing(format!("test results of build {job} #{number}"));
        if row.line.tests.is_none() {
            return Err(nothing());
        }
        read_tests(&self.home.build(job, number).join(file::TESTS)).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                nothing()
            } else {
                Refusal::Failed(format!(
                    "test results of build {job} #{number} cannot be read: {error}"
                ))
            }
        })
    }
}

impl Inner {
    /// Whether a request has its build's row already.
    fn is_written(&self, request: u64) -> bool {
        self.running
            .values()
            .any(|running| running.request == request)
    }
}

/// A job without what is given for passwords if nobody says anything: it is shown to nobody.
pub(super) fn open_job(job: &Job) -> Job {
    let mut job = job.clone();
    for parameter in &mut job.parameters {
        if let ParameterKind::Password { default } = &mut parameter.kind {
            default.clear();
        }
    }
    job
}

fn line(known: &Known, running: u32, waiting: u32) -> JobLine {
    let job = &known.job;
    let past = &known.past;
    JobLine {
        name: job.name.clone(),
        display_name: job.display_name.clone().unwrap_or_else(|| job.name.clone()),
        description: job.description.clone(),
        disabled: job.disabled,
        running,
        waiting,
        last: past.last.clone(),
        last_completed: past.last_completed.clone(),
        last_successful: past.lasts.successful,
        last_failed: past.lasts.failed,
        trend: past.trend.clone(),
    }
}

/// A request as people see it: without secrets.
pub(super) fn queue_item(seen: &Seen<'_, ParameterValue>) -> QueueItem {
    let item = seen.item;
    let place = match (seen.left, &item.place) {
        (Some(Departure::Started { number }), _) => QueuePlace::Started(*number),
        (Some(Departure::Cancelled { .. }), _) => QueuePlace::Cancelled,
        (Some(Departure::Starting), _) => QueuePlace::Buildable(item.since),
        (None, Place::Quiet { due, .. }) => QueuePlace::Waiting(*due),
        (None, Place::Blocked) => QueuePlace::Blocked,
        (None, Place::Buildable { since }) => QueuePlace::Buildable(*since),
    };
    let parameters = item.parameters.iter().map(|parameter| ParameterValue {
        name: parameter.name.clone(),
        value: if parameter.secret {
            String::new()
        } else {
            parameter.value.clone()
        },
        secret: parameter.secret,
    });
    QueueItem {
        id: item.id,
        job: item.job.clone(),
        causes: item.causes.clone(),
        parameters: parameters.collect(),
        since: item.since,
        place,
        why: seen.why.clone(),
        position: u32::try_from(seen.position).unwrap_or(u32::MAX),
        stuck: seen.stuck,
    }
}

fn written(which: &Which) -> String {
    match which {
        Which::Number(number) => return number.to_string(),
        Which::Last => "lastBuild",
        Which::LastCompleted => "lastCompletedBuild",
        Which::LastFailed => "lastFailedBuild",
        Which::LastStable => "lastStableBuild",
        Which::LastSuccessful => "lastSuccessfulBuild",
        Which::LastUnstable => "lastUnstableBuild",
        Which::LastUnsuccessful => "lastUnsuccessfulBuild",
    }
    .to_owned()
}

/// The name of this host.
pub(super) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
