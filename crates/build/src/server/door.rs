//! Everything that can be asked of the server, by the names of [`Builds`].

use ward_model::build::queue::Event;

use super::asking::failed;
use super::processes;
use super::shown::queue_item;
use super::state::{Server, now};
use crate::api::{
    BuildLine, BuildView, Builds, JobLine, JobView, ProcessLine, Push, QueueItem, Refusal, Request,
    Requested, ServerView, ViewView, Which,
};
use crate::history::{builds, jobs, past};
use crate::outcome::{TestCounts, TestSuite};
use crate::runner;
use crate::state::StopRequest;

impl Builds for Server {
    fn server(&self) -> ServerView {
        self.view()
    }

    fn jobs(&self) -> Vec<JobLine> {
        self.all_jobs()
    }

    fn job(&self, name: &str) -> Result<JobView, Refusal> {
        self.one_job(name)
    }

    fn create_folder(&self, name: &str) -> Result<(), Refusal> {
        self.add_folder(name)
    }

    fn has_folder(&self, name: &str) -> bool {
        self.lock().is_folder(name)
    }

    fn folders(&self) -> Vec<String> {
        self.all_folders()
    }

    fn rename_folder(&self, name: &str, new: &str) -> Result<(), Refusal> {
        self.move_folder(name, new)
    }

    fn create_job(&self, name: &str, config: &[u8]) -> Result<(), Refusal> {
        self.add_job(name, config)
    }

    fn copy_job(&self, from: &str, name: &str) -> Result<(), Refusal> {
        let document = self.document_of(from)?;
        self.add_job(name, &document)
    }

    fn job_config(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        self.document_of(name)
    }

    fn update_job(&self, name: &str, config: &[u8]) -> Result<(), Refusal> {
        self.change_job(name, config)
    }

    fn rename_job(&self, name: &str, new: &str) -> Result<(), Refusal> {
        self.move_job(name, new)
    }

    fn delete_job(&self, name: &str) -> Result<(), Refusal> {
        self.remove_job(name)
    }

    fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), Refusal> {
        self.disable(name, disabled)
    }

    fn wipe_workspace(&self, name: &str) -> Result<(), Refusal> {
        self.wipe(name)
    }

    fn set_next_number(&self, name: &str, number: u32) -> Result<(), Refusal> {
        self.number_next(name, number)
    }

    fn request(&self, request: Request) -> Result<Requested, Refusal> {
        self.ask(&request)
    }

    fn poll(&self, name: &str) -> Result<(), Refusal> {
        self.poll_soon(name)
    }

    fn poll_log(&self, name: &str) -> Result<Option<(i64, String)>, Refusal> {
        let known = self.known(name)?;
        jobs::poll_log(&self.read(), known.id).map_err(|error| failed(&error))
    }

    fn pushed(&self, push: &Push) -> Vec<String> {
        self.heed_push(push)
    }

    fn queue(&self) -> Vec<QueueItem> {
        self.lock()
            .queue
            .seen(now())
            .iter()
            .map(queue_item)
            .collect()
    }

    fn queue_item(&self, id: u64) -> Option<QueueItem> {
        self.one_request(id)
    }

    fn cancel(&self, id: u64, who: &str) -> Result<(), Refusal> {
        self.take_out(id, who)
    }

    fn builds(
        &self,
        job: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BuildLine>, Refusal> {
        self.some_builds(job, before, limit)
    }

    fn build_numbers(&self, job: &str) -> Result<Vec<u32>, Refusal> {
        let known = self.known(job)?;
        builds::numbers(&self.read(), known.id).map_err(|error| failed(&error))
    }

    fn build(&self, job: &str, build: &Which) -> Result<BuildView, Refusal> {
        self.one_build(job, build)
    }

    fn stop(&self, job: &str, number: u32, who: &str, force: bool) -> Result<(), Refusal> {
        let known = self.known(job)?;
        let runs = self.lock().running.contains_key(&(job.to_owned(), number));
        if !runs {
            return self.exists(job, known.id, number);
        }
        let request = StopRequest {
            at: now(),
            by: who.to_owned(),
            force,
        };
        runner::stop(&self.home.build(job, number), &request).map_err(|error| {
            Refusal::Failed(format!("build {job} #{number} cannot be stopped: {error}"))
        })
    }

    fn delete_build(&self, job: &str, number: u32) -> Result<(), Refusal> {
        let known = self.known(job)?;
        self.exists(job, known.id, number)?;
        self.remove_build(job, number)?;
        self.empty_trash_later();
        Ok(())
    }

    fn set_keep(&self, job: &str, number: u32, keep: bool) -> Result<(), Refusal> {
        self.edit(job, number, |connection, row| {
            builds::keep(connection, row, number, keep)
        })
    }

    fn describe_build(
        &self,
        job: &str,
        number: u32,
        description: &str,
        display_name: Option<&str>,
    ) -> Result<(), Refusal> {
        self.edit(job, number, |connection, row| {
            builds::describe(connection, row, number, description, display_name)
        })
    }

    fn tests(&self, job: &str, number: u32) -> Result<Vec<TestSuite>, Refusal> {
        self.tests_of(job, number)
    }

    fn test_trend(&self, job: &str, limit: usize) -> Result<Vec<(u32, TestCounts)>, Refusal> {
        let known = self.known(job)?;
        past::tests(&self.read(), known.id, limit).map_err(|error| failed(&error))
    }

    fn processes(&self, job: &str, number: u32) -> Result<Vec<ProcessLine>, Refusal> {
        let known = self.known(job)?;
        let runs = self.lock().running.contains_key(&(job.to_owned(), number));
        if !runs {
            self.exists(job, known.id, number)?;
            return Ok(Vec::new());
        }
        Ok(processes::of_build(&self.home.build(job, number)))
    }

    fn views(&self) -> Vec<ViewView> {
        self.all_views()
    }

    fn put_view(&self, name: &str, config: &[u8], is_new: bool) -> Result<(), Refusal> {
        self.write_view(name, config, is_new)
    }

    fn delete_view(&self, name: &str) -> Result<(), Refusal> {
        self.remove_view(name)
    }

    fn set_in_view(&self, view: &str, job: &str, is_in: bool) -> Result<(), Refusal> {
        self.change_view(view, job, is_in)
    }

    fn quiet_down(&self, reason: Option<&str>, on: bool) {
        let reason = on.then(|| reason.unwrap_or_default().to_owned());
        self.lock().happen(Event::QuietDown(reason));
        self.wake();
    }

    fn is_new_delivery(&self, forge: &str, id: &str) -> bool {
        // A history that cannot be written hides no push.
        jobs::add_delivery(&self.lock().writer, forge, id).unwrap_or(true)
    }

    fn webhook_secret(&self, job: &str) -> Option<Vec<u8>> {
        let known = self.known(job).ok()?;
        let name = known.job.triggers.webhook_secret.as_deref()?;
        processes::secret(self.home.secrets(), name)
    }
}

impl Server {
    fn exists(&self, job: &str, row: i64, number: u32) -> Result<(), Refusal> {
        let found = builds::one(&self.read(), job, row, number).map_err(|error| failed(&error))?;
        found.map(|_| ()).ok_or_else(|| Refusal::NoSuchBuild {
            job: job.to_owned(),
            build: number.to_string(),
        })
    }

    /// Changes what people say of a build.
    fn edit(
        &self,
        job: &str,
        number: u32,
        change: impl FnOnce(&rusqlite::Connection, i64) -> rusqlite::Result<bool>,
    ) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let row = inner.shown(job)?.id;
        if !change(&inner.writer, row).map_err(|error| failed(&error))? {
            return Err(Refusal::NoSuchBuild {
                job: job.to_owned(),
                build: number.to_string(),
            });
        }
        inner.refresh(job);
        Ok(())
    }
}
