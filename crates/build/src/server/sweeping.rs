//! Removing: builds that are not kept, jobs that are gone, and what was thrown away.

use ward_config::job::Keep;

use super::state::{Inner, Server, now};
use crate::api::Refusal;
use crate::history::{builds, jobs};
use crate::plan::file;
use crate::retention::what_goes;

impl Server {
    /// Has removed what a job's rules do not keep.
    pub(super) fn sweep(&self, job: &str) {
        if let Some(me) = self.me.upgrade() {
            let job = job.to_owned();
            self.lanes.chores.put(move || me.sweep_now(&job));
        }
    }

    /// Has what was thrown away removed.
    pub(super) fn empty_trash_later(&self) {
        if let Some(me) = self.me.upgrade() {
            self.lanes.chores.put(move || {
                if let Err(error) = me.home.empty_trash() {
                    me.say(&format!("what was thrown away cannot be removed: {error}"));
                }
            });
        }
    }

    fn sweep_now(&self, job: &str) {
        let (going, keep) = {
            let inner = self.lock();
            let Some(known) = inner.jobs.get(job) else {
                return;
            };
            let keep = known.job.keep.clone();
            if keep == Keep::default() {
                return;
            }
            let running = inner.running.keys().filter(|(name, _)| name == job).count();
            match builds::candidates(&inner.writer, known.id) {
                Ok(over) => {
                    let going = what_goes(&keep, &over, running, &known.past.lasts, now());
                    (going, keep)
                }
                Err(error) => {
                    drop(inner);
                    self.say(&format!("old builds of {job} cannot be found: {error}"));
                    return;
                }
            }
        };
        for number in going.builds {
            let mut inner = self.lock();
            if !inner.still_goes(job, number, &keep) {
                continue;
            }
            let removed = self.remove_in(&mut inner, job, number);
            drop(inner);
            if let Err(refusal) = removed {
                self.say(&format!(
                    "build {job} #{number} cannot be removed: {refusal}"
                ));
            }
        }
        for number in going.artifacts {
            let inner = self.lock();
            if !inner.still_goes(job, number, &keep) {
                continue;
            }
            let removed = self.remove_artifacts(&inner, job, number);
            drop(inner);
            if let Err(refusal) = removed {
                self.say(&format!(
                    "artifacts of {job} #{number} cannot be removed: {refusal}"
                ));
            }
        }
        self.empty_trash_later();
    }

    /// Removes a build that is over: its directory goes out of sight first, its row with the same lock held.
    pub(super) fn remove_build(&self, job: &str, number: u32) -> Result<(), Refusal> {
        self.remove_in(&mut self.lock(), job, number)
    }

    fn remove_in(&self, inner: &mut Inner, job: &str, number: u32) -> Result<(), Refusal> {
        if inner.running.contains_key(&(job.to_owned(), number)) {
            return Err(Refusal::Conflict(format!("build {job} #{number} runs")));
        }
        let row = inner.row_of(job)?;
        let build = self.home.build(job, number);
        let failed = |error: &dyn std::fmt::Display| {
            Refusal::Failed(format!("build {job} #{number} cannot be removed: {error}"))
        };
        self.home
            .throw_away(&build)
            .map_err(|error| failed(&error))?;
        if !builds::delete(&inner.writer, row, number).map_err(|error| failed(&error))? {
            return Err(Refusal::NoSuchBuild {
                job: job.to_owned(),
                build: number.to_string(),
            });
        }
        inner.refresh(job);
        Ok(())
    }

    fn remove_artifacts(&self, inner: &Inner, job: &str, number: u32) -> Result<(), Refusal> {
        let row = inner.row_of(job)?;
        let failed = |error: &dyn std::fmt::Display| Refusal::Failed(error.to_string());
        let path = self.home.build(job, number).join(file::ARTIFACTS);
        self.home
            .throw_away(&path)
            .map_err(|error| failed(&error))?;
        builds::artifacts_gone(&inner.writer, row, number).map_err(|error| failed(&error))
    }

    /// Removes what is left of a job that is to go, once nothing of it runs.
    pub(super) fn leave_if_over(&self, inner: &mut Inner, job: &str) {
        let leaves = inner.jobs.get(job).is_some_and(|known| known.leaving);
        if !leaves || inner.running.keys().any(|(name, _)| name == job) {
            return;
        }
        let Ok(row) = inner.row_of(job) else {
            return;
        };
        for workspace in crate::workspaces::all(&self.home.workspaces(), job) {
            if let Err(error) = self.home.throw_away(&workspace) {
                self.say(&format!(
                    "the workspace of {job} cannot be removed: {error}"
                ));
            }
        }
        let gone = self
            .home
            .throw_away(&self.home.job(job))
            .map_err(|error| error.to_string())
            .and_then(|()| jobs::delete(&inner.writer, row).map_err(|error| error.to_string()));
        match gone {
            Ok(()) => {
                inner.jobs.remove(job);
                inner.rule_all();
            }
            // The next server tries again.
            Err(error) => self.say(&format!("job {job} cannot be removed: {error}")),
        }
        self.empty_trash_later();
    }
}

impl Inner {
    /// Whether a build that was to go by these rules goes still: since it was looked at somebody may have said
    /// that it is kept, or removed what was the last good one instead of it.
    fn still_goes(&self, job: &str, number: u32, keep: &Keep) -> bool {
        let Some(known) = self.jobs.get(job) else {
            return false;
        };
        let lasts = &known.past.lasts;
        if known.job.keep != *keep
            || lasts.successful == Some(number)
            || lasts.stable == Some(number)
        {
            return false;
        }
        builds::one(&self.writer, job, known.id, number)
            .is_ok_and(|row| row.is_some_and(|row| !row.line.keep))
    }

    /// The row of a job.
    pub(super) fn row_of(&self, job: &str) -> Result<i64, Refusal> {
        self.jobs
            .get(job)
            .map(|known| known.id)
            .ok_or_else(|| Refusal::NoSuchJob(job.to_owned()))
    }
}
