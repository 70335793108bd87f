//! From a runner that has ended to a recorded build: once, with everything that follows from it.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use ward_model::build::queue::Event;
use ward_model::build::{BuildResult, Cause};

use super::home::{put_private, read_bounded};
use super::known::Past;
use super::remains;
use super::state::{Inner, Server, Watch, now};
use crate::history::{builds, past};
use crate::outcome::{Outcome, TestSuite, VERSION};
use crate::plan::file;
use crate::runner::{self, Found};
use crate::state::State;

/// No outcome is larger, bytes.
const LARGEST_OUTCOME: u64 = 64 << 20;
/// No list of test results is larger, bytes.
const LARGEST_TESTS: u64 = 256 << 20;
/// What a runner says of itself is not longer, bytes.
const LARGEST_STATE: u64 = 1 << 20;

/// A history that cannot be written is tried again after so many milliseconds.
const WRITE_AGAIN: i64 = 2_000;
/// What a killed runner had in custody is looked at again after so many milliseconds.
const LOOK_AGAIN: i64 = 100;

impl Server {
    /// A runner has ended, or may have: records its build, or says when to look again.
    pub(super) fn end(&self, job: &str, number: u32) {
        let directory = self.home.build(job, number);
        match read_outcome(&directory.join(file::OUTCOME)) {
            Ok(Some(outcome)) => self.record(job, number, outcome),
            Ok(None) => self.end_without_outcome(job, number, &directory),
            Err(error) => self.cannot_read_outcome(job, number, &error),
        }
    }

    /// An outcome that cannot be read now may be one later; if it never will, the build has failed.
    fn cannot_read_outcome(&self, job: &str, number: u32, error: &io::Error) {
        let why = format!("its outcome cannot be read: {error}");
        if is_shortage(error) {
            let text = format!("build {job} #{number}: {why}, which is tried again");
            self.complain(&format!("failure of {job} #{number}"), &text);
            self.set_watch(job, number, Watch::Again(now() + WRITE_AGAIN));
        } else {
            self.record_failure(job, number, &why);
        }
    }

    fn end_without_outcome(&self, job: &str, number: u32, directory: &Path) {
        if !directory.is_dir() {
            self.record_failure(job, number, "the build's directory is gone");
            return;
        }
        match runner::adopt(directory) {
            Ok(Found::Running(pidfd)) => {
                self.set_watch(job, number, Watch::Runner(std::sync::Arc::new(pidfd)));
            }
            Ok(Found::Closing) => self.set_watch(job, number, Watch::Again(now() + LOOK_AGAIN)),
            // The outcome may have come between the two looks.
            Ok(Found::Ended) if directory.join(file::OUTCOME).exists() => {
                self.set_watch(job, number, Watch::Again(now()));
            }
            // It may have been killed after it had said how the build ended.
            Ok(Found::Ended) => match remains::complete(directory) {
                Ok(true) => self.set_watch(job, number, Watch::Again(now())),
                Ok(false) => {
                    let complaint = runner::complaint(directory);
                    let why = if complaint.is_empty() {
                        "the build's own process was killed".to_owned()
                    } else {
                        format!("the build's own process ended too early: {complaint}")
                    };
                    self.clear_up(job, number, directory, &why);
                    self.record_failure(job, number, &why);
                }
                Err(error) => self.cannot_read_outcome(job, number, &error),
            },
            Ok(Found::NeverStarted) => {
                let complaint = runner::complaint(directory);
                let why = format!("the build's own process ended before it began. {complaint}");
                let why = why.trim_end_matches(['.', ' ']);
                self.clear_up(job, number, directory, why);
                self.record_failure(job, number, why);
            }
            Err(error) => {
                let why = format!("the build's directory cannot be read: {error}");
                self.record_failure(job, number, &why);
            }
        }
    }

    /// Removes what a runner that is there no longer could not remove, and ends its log.
    pub(super) fn clear_up(&self, job: &str, number: u32, directory: &Path, why: &str) {
        let left = remains::clear_up(directory).join(", ");
        if !left.is_empty() {
            self.complain(
                &format!("remains of {job} #{number}"),
                &format!("build {job} #{number}: {left}"),
            );
        }
        // There may be none, or no room in it: its page says why, too.
        let _ = remains::end_log(directory, why);
    }

    /// Records a build that has no outcome of its own.
    pub(super) fn record_failure(&self, job: &str, number: u32, why: &str) {
        let started_at = self
            .lock()
            .running
            .get(&(job.to_owned(), number))
            .map_or_else(now, |running| running.started_at);
        let directory = self.home.build(job, number);
        let state = read_state(&directory);
        let log = fs::metadata(directory.join(file::LOG)).map_or(0, |meta| meta.len());
        let outcome = Outcome {
            version: VERSION,
            result: BuildResult::Failure,
            why: Some(why.to_owned()),
            started_at: state.as_ref().map_or(started_at, |state| state.started_at),
            ended_at: now(),
            checkout: state.as_ref().and_then(|state| {
                Some(crate::outcome::Checkout {
                    revision: state.revision.clone()?,
                    branch: state.branch.clone().unwrap_or_default(),
                    ..crate::outcome::Checkout::default()
                })
            }),
            steps: Vec::new(),
            artifacts: Vec::new(),
            tests: None,
            stop: state.and_then(|state| state.stop),
            log_bytes: log,
            display_name: None,
            job_of_repository: false,
        };
        self.complain(
            &format!("failure of {job} #{number}"),
            &format!("build {job} #{number}: {why}"),
        );
        self.record(job, number, outcome);
    }

    /// Records how a build ended, with what follows from it, in one transaction. If that cannot be written
    /// now, it is tried again until it can.
    fn record(&self, job: &str, number: u32, mut outcome: Outcome) {
        if outcome.tests.is_some()
            && let Err(why) = self.compare_tests(job, number)
        {
            self.complain(
                &format!("tests of {job} #{number}"),
                &format!("build {job} #{number}: {why}"),
            );
            if !self.home.build(job, number).join(file::TESTS).exists() {
                outcome.tests = None;
            }
        }
        let mut inner = self.lock();
        let recorded = self.record_in(&mut inner, job, number, &outcome);
        let about = format!("record of {job} #{number}");
        if let Err(error) = &recorded {
            self.complain(
                &about,
                &format!(
                    "build {job} #{number} is over and cannot be recorded, which is tried again: {error}"
                ),
            );
            let key = (job.to_owned(), number);
            if inner.is_stopping {
                // Nobody waits for room on a disk to be able to end: the next server records it.
                inner.running.remove(&key);
            } else if let Some(running) = inner.running.get_mut(&key) {
                running.watch = Watch::Again(now() + WRITE_AGAIN);
            }
        }
        let owed = inner.owed.remove(job);
        drop(inner);
        self.recorded.notify_all();
        self.wake();
        if let Some(by) = owed {
            self.look_into(job, &by);
        }
        if recorded.is_ok() {
            for about in ["failure", "remains", "tests"] {
                self.is_well(&format!("{about} of {job} #{number}"));
            }
            if self.is_well(&about) {
                self.say(&format!("build {job} #{number} is recorded now"));
            }
            self.tell_of(job, number);
            self.sweep(job);
        }
    }

    fn record_in(
        &self,
        inner: &mut Inner,
        job: &str,
        number: u32,
        outcome: &Outcome,
    ) -> rusqlite::Result<()> {
        let key = (job.to_owned(), number);
        let Some(running) = inner.running.get(&key) else {
            return Ok(());
        };
        let (row, request) = (running.job, running.request);
        let tells = inner
            .jobs
            .get(job)
            .is_some_and(|known| !known.leaving && tells_anybody(&known.job.notify));
        let causes = match builds::one(&inner.writer, job, row, number)? {
            Some(build) => build.causes,
            None => Vec::<Cause>::new(),
        };
        let next = inner.downstream(job, number, outcome.result, &causes);
        let came = inner.put(&self.home.key, next, |connection| {
            builds::finish(connection, row, number, outcome, tells).map(|_| ())
        })?;
        let refused = came.iter().filter(|came| came.is_none()).count();
        if refused > 0 {
            self.say(&format!(
                "build {job} #{number} starts {refused} fewer than it should: the queue is full"
            ));
        }
        inner.copying.owe();
        inner.running.remove(&key);
        inner.happen(Event::Ended { id: request });
        inner.refresh(job);
        self.leave_if_over(inner, job);
        Ok(())
    }

    /// Tells the test results of a build apart from those of the last one before it that had any.
    fn compare_tests(&self, job: &str, number: u32) -> Result<(), String> {
        let path = self.home.build(job, number).join(file::TESTS);
        let text = |error: &dyn std::error::Error| {
            format!(
                "its test results cannot be compared: {}",
                ward_engine::chain(error)
            )
        };
        let mut tests = read_tests(&path).map_err(|error| text(&error))?;
        let before = {
            let inner = self.lock();
            let row = inner.jobs.get(job).map(|known| known.id);
            row.map(|row| past::tested_before(&inner.writer, row, number))
        };
        let before = before.transpose().map_err(|error| text(&error))?.flatten();
        let previous = before.and_then(|before| {
            // Results that were removed are as good as none.
            read_tests(&self.home.build(job, before).join(file::TESTS)).ok()
        });
        crate::junit::compare(&previous.unwrap_or_default(), &mut tests, number);
        let bytes = serde_json::to_vec(&tests).map_err(|error| text(&error))?;
        let part = path.with_extension("part");
        put_private(&part, &bytes)
            .and_then(|_| fs::rename(&part, &path))
            .map_err(|error| text(&error))
    }
}

impl Inner {
    /// Looks anew what there is to say of a job's builds.
    pub(super) fn refresh(&mut self, job: &str) {
        let Some(known) = self.jobs.get_mut(job) else {
            return;
        };
        // What cannot be read now stays as it was said last.
        if let Ok(past) = Past::read(&self.writer, job, known.id) {
            let is_new = past.estimate != known.past.estimate;
            known.past = past;
            if is_new {
                self.rule(job);
            }
        }
    }
}

fn tells_anybody(notify: &ward_config::job::Notify) -> bool {
    !(notify.mail.is_empty()
        && notify.webhooks.is_empty()
        && notify.commands.is_empty()
        && !notify.mail_culprits)
}

pub(super) fn read_outcome(path: &Path) -> io::Result<Option<Outcome>> {
    match read_bounded(path, LARGEST_OUTCOME) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map(Some)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether this is about the host, and over in a while, and not about the build.
fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)
    )
}

/// What a runner says of itself.
pub(super) fn read_state(directory: &Path) -> Option<State> {
    serde_json::from_slice(&read_bounded(&directory.join(file::STATE), LARGEST_STATE).ok()?).ok()
}

/// All test results of a build.
pub(super) fn read_tests(path: &Path) -> io::Result<Vec<TestSuite>> {
    Ok(serde_json::from_slice(&read_bounded(path, LARGEST_TESTS)?)?)
}
