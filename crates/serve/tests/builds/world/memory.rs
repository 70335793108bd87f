//! A build server that is kept in memory: it holds what a test puts there, and notes what it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use ward_build::api::{
    BuildLine, BuildView, Builds, JobLine, JobView, Lasts, ProcessLine, Push, QueueItem, Refusal,
    Request, Requested, ServerView, ViewView, Which,
};
use ward_build::job::Job;
use ward_build::outcome::{Artifact, Outcome, TestCounts, TestSuite};
use ward_model::build::{BuildResult, Cause};

/// What there is.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) jobs: BTreeMap<String, JobView>,
    pub(crate) configs: BTreeMap<String, Vec<u8>>,
    pub(crate) folders: BTreeSet<String>,
    pub(crate) builds: BTreeMap<(String, u32), BuildView>,
    pub(crate) tests: BTreeMap<(String, u32), Vec<TestSuite>>,
    pub(crate) queue: Vec<QueueItem>,
    pub(crate) views: Vec<ViewView>,
    pub(crate) deliveries: BTreeSet<String>,
    pub(crate) folds: bool,
    pub(crate) requests: Vec<Request>,
    pub(crate) calls: Vec<String>,
}

/// A build server.
pub(crate) struct Memory {
    held: Mutex<Held>,
    directory: PathBuf,
}

impl Memory {
    pub(crate) fn new(directory: &Path) -> Self {
        let held = Held {
            views: vec![ViewView {
                name: "all".to_owned(),
                jobs: Vec::new(),
                config: b"<hudson.model.AllView/>".to_vec(),
            }],
            ..Held::default()
        };
        Self {
            held: Mutex::new(held),
            directory: directory.to_owned(),
        }
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("not poisoned")
    }

    /// A job and what is written of it.
    pub(crate) fn put(&self, view: JobView) {
        self.held().jobs.insert(view.line.name.clone(), view);
    }

    /// A build, with its log.
    pub(crate) fn put_build(&self, mut view: BuildView, log: &[u8]) {
        let name = format!("{}-{}", view.line.job.replace('/', "_"), view.line.number);
        let directory = self.directory.join(name);
        std::fs::create_dir_all(directory.join("artifacts")).expect("made");
        view.log = directory.join("log");
        view.artifacts = directory.join("artifacts");
        std::fs::write(&view.log, log).expect("written");
        let mut held = self.held();
        if let Some(job) = held.jobs.get_mut(&view.line.job) {
            job.lasts.last = Some(view.line.number);
            job.line.last = Some(view.line.clone());
            match view.line.result {
                Some(_) => job.line.last_completed = Some(view.line.clone()),
                None => job.line.running += 1,
            }
        }
        held.builds
            .insert((view.line.job.clone(), view.line.number), view);
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.held().calls)
    }

    fn known(&self, name: &str, call: &str) -> Result<MutexGuard<'_, Held>, Refusal> {
        let mut held = self.held();
        if !held.jobs.contains_key(name) {
            return Err(Refusal::NoSuchJob(name.to_owned()));
        }
        held.calls.push(format!("{call} {name}"));
        Ok(held)
    }
}

/// A job called so.
pub(crate) fn job(name: &str) -> JobView {
    JobView {
        line: JobLine {
            name: name.to_owned(),
            display_name: name.to_owned(),
            description: String::new(),
            disabled: false,
            running: 0,
            waiting: 0,
            last: None,
            last_completed: None,
            last_successful: None,
            last_failed: None,
            trend: Vec::new(),
        },
        job: Job {
            name: name.to_owned(),
            ..Job::default()
        },
        of_file: false,
        unknown: Vec::new(),
        not_buildable: None,
        parameters: Vec::new(),
        next_number: 1,
        lasts: Lasts::default(),
        queue: Vec::new(),
        downstream: Vec::new(),
        upstream: Vec::new(),
        estimate: None,
        workspace: None,
    }
}

/// A build that runs.
pub(crate) fn build(job: &str, number: u32) -> BuildView {
    BuildView {
        line: BuildLine {
            job: job.to_owned(),
            number,
            display_name: format!("#{number}"),
            result: None,
            started_at: 1_700_000_000_000,
            duration: 0,
            description: String::new(),
            keep: false,
            revision: None,
            branch: None,
            tests: None,
        },
        queue_id: 7,
        causes: vec![Cause::User {
            user: "alice".to_owned(),
        }],
        parameters: Vec::new(),
        state: None,
        outcome: None,
        checkout: None,
        log: PathBuf::new(),
        log_grows: true,
        log_times: PathBuf::new(),
        artifacts: PathBuf::new(),
        estimate: None,
        executor: Some(0),
        notified: Vec::new(),
        previous: None,
        next: None,
        started: Vec::new(),
    }
}

/// A build that is over.
pub(crate) fn finished(job: &str, number: u32, result: BuildResult, log_bytes: u64) -> BuildView {
    let mut view = build(job, number);
    view.line.result = Some(result);
    view.line.duration = 1500;
    view.log_grows = false;
    view.outcome = Some(Outcome {
        version: ward_build::outcome::VERSION,
        result,
        why: None,
        started_at: 1_700_000_000_000,
        ended_at: 1_700_000_001_500,
        checkout: None,
        steps: Vec::new(),
        artifacts: vec![Artifact {
            path: "out/a b.txt".to_owned(),
            size: 5,
            sha256: "00".to_owned(),
        }],
        tests: None,
        stop: None,
        log_bytes,
        display_name: None,
        job_of_repository: false,
    });
    view
}

impl Builds for Memory {
    fn server(&self) -> ServerView {
        ServerView {
            version: "0".to_owned(),
            url: None,
            executors: 2,
            busy: 0,
            waiting: 0,
            quieting_down: None,
            node: "here".to_owned(),
        }
    }

    fn jobs(&self) -> Vec<JobLine> {
        let held = self.held();
        held.jobs.values().map(|view| view.line.clone()).collect()
    }

    fn job(&self, name: &str) -> Result<JobView, Refusal> {
        let found = self.held().jobs.get(name).cloned();
        found.ok_or_else(|| Refusal::NoSuchJob(name.to_owned()))
    }

    fn create_folder(&self, name: &str) -> Result<(), Refusal> {
        self.held().folders.insert(name.to_owned());
        Ok(())
    }

    fn has_folder(&self, name: &str) -> bool {
        self.held().folders.contains(name)
    }

    fn folders(&self) -> Vec<String> {
        self.held().folders.iter().cloned().collect()
    }

    fn rename_folder(&self, name: &str, new: &str) -> Result<(), Refusal> {
        let call = format!("rename folder {name} to {new}");
        self.held().calls.push(call);
        Ok(())
    }

    fn create_job(&self, name: &str, config: &[u8]) -> Result<(), Refusal> {
        if self.held().jobs.contains_key(name) {
            return Err(Refusal::Exists(format!("job `{name}`")));
        }
        self.put(job(name));
        self.held().configs.insert(name.to_owned(), config.to_vec());
        Ok(())
    }

    fn copy_job(&self, from: &str, name: &str) -> Result<(), Refusal> {
        self.job(from)?;
        self.create_job(name, b"<project/>")
    }

    fn job_config(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        let held = self.known(name, "config")?;
        Ok(held.configs.get(name).cloned().unwrap_or_default())
    }

    fn update_job(&self, name: &str, config: &[u8]) -> Result<(), Refusal> {
        let mut held = self.known(name, "update")?;
        held.configs.insert(name.to_owned(), config.to_vec());
        Ok(())
    }

    fn rename_job(&self, name: &str, new: &str) -> Result<(), Refusal> {
        let mut held = self.known(name, "rename")?;
        held.calls.push(format!("to {new}"));
        Ok(())
    }

    fn delete_job(&self, name: &str) -> Result<(), Refusal> {
        self.known(name, "delete").map(|_| ())
    }

    fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), Refusal> {
        let call = if disabled { "disable" } else { "enable" };
        self.known(name, call).map(|_| ())
    }

    fn wipe_workspace(&self, name: &str) -> Result<(), Refusal> {
        self.known(name, "wipe").map(|_| ())
    }

    fn set_next_number(&self, name: &str, number: u32) -> Result<(), Refusal> {
        self.known(name, &format!("next {number}")).map(|_| ())
    }

    fn request(&self, request: Request) -> Result<Requested, Refusal> {
        let view = self.job(&request.job)?;
        if view.line.disabled {
            return Err(Refusal::Conflict(format!("{} is disabled", request.job)));
        }
        let mut held = self.held();
        held.requests.push(request);
        Ok(Requested {
            id: 42,
            folded: held.folds,
        })
    }

    fn poll(&self, name: &str) -> Result<(), Refusal> {
        self.known(name, "poll").map(|_| ())
    }

    fn poll_log(&self, name: &str) -> Result<Option<(i64, String)>, Refusal> {
        let log = (0, "Started\nDone\n".to_owned());
        self.known(name, "poll log").map(|_| Some(log))
    }

    fn pushed(&self, push: &Push) -> Vec<String> {
        let mut held = self.held();
        held.calls.push(format!("pushed {:?}", push.job));
        match &push.job {
            Some(job) => vec![job.clone()],
            None => held.jobs.keys().cloned().collect(),
        }
    }

    fn queue(&self) -> Vec<QueueItem> {
        self.held().queue.clone()
    }

    fn queue_item(&self, id: u64) -> Option<QueueItem> {
        self.held().queue.iter().find(|item| item.id == id).cloned()
    }

    fn cancel(&self, id: u64, who: &str) -> Result<(), Refusal> {
        if self.queue_item(id).is_none() {
            return Err(Refusal::Nothing(format!("item {id}")));
        }
        self.held().calls.push(format!("cancel {id} {who}"));
        Ok(())
    }

    fn builds(
        &self,
        job: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<BuildLine>, Refusal> {
        self.job(job)?;
        let held = self.held();
        let builds = held.builds.values().rev();
        Ok(builds
            .map(|view| view.line.clone())
            .filter(|line| line.job == job && before.is_none_or(|before| line.number < before))
            .take(limit)
            .collect())
    }

    fn build_numbers(&self, job: &str) -> Result<Vec<u32>, Refusal> {
        let lines = self.builds(job, None, usize::MAX)?;
        Ok(lines.into_iter().map(|line| line.number).collect())
    }

    fn build(&self, job: &str, build: &Which) -> Result<BuildView, Refusal> {
        let number = match build {
            Which::Number(number) => Some(*number),
            _ => self.job(job)?.lasts.last,
        };
        let held = self.held();
        let found = number.and_then(|number| held.builds.get(&(job.to_owned(), number)));
        found.cloned().ok_or_else(|| Refusal::NoSuchBuild {
            job: job.to_owned(),
            build: format!("{build:?}"),
        })
    }

    fn stop(&self, job: &str, number: u32, who: &str, force: bool) -> Result<(), Refusal> {
        self.known(job, &format!("stop {number} {who} {force}"))
            .map(|_| ())
    }

    fn delete_build(&self, job: &str, number: u32) -> Result<(), Refusal> {
        self.known(job, &format!("delete {number}")).map(|_| ())
    }

    fn set_keep(&self, job: &str, number: u32, keep: bool) -> Result<(), Refusal> {
        self.known(job, &format!("keep {number} {keep}"))
            .map(|_| ())
    }

    fn describe_build(
        &self,
        job: &str,
        number: u32,
        description: &str,
        display_name: Option<&str>,
    ) -> Result<(), Refusal> {
        let call = format!("describe {number} {description} {display_name:?}");
        self.known(job, &call).map(|_| ())
    }

    fn tests(&self, job: &str, number: u32) -> Result<Vec<TestSuite>, Refusal> {
        let held = self.held();
        let found = held.tests.get(&(job.to_owned(), number)).cloned();
        found.ok_or_else(|| Refusal::Nothing("test result".to_owned()))
    }

    fn test_trend(&self, _: &str, _: usize) -> Result<Vec<(u32, TestCounts)>, Refusal> {
        Ok(Vec::new())
    }

    fn processes(&self, _: &str, _: u32) -> Result<Vec<ProcessLine>, Refusal> {
        Ok(Vec::new())
    }

    fn views(&self) -> Vec<ViewView> {
        self.held().views.clone()
    }

    fn put_view(&self, name: &str, config: &[u8], is_new: bool) -> Result<(), Refusal> {
        let mut held = self.held();
        if is_new == held.views.iter().any(|view| view.name == name) {
            return Err(Refusal::Exists(format!("view `{name}`")));
        }
        held.views.retain(|view| view.name != name);
        held.views.push(ViewView {
            name: name.to_owned(),
            jobs: Vec::new(),
            config: config.to_vec(),
        });
        Ok(())
    }

    fn delete_view(&self, name: &str) -> Result<(), Refusal> {
        self.held().views.retain(|view| view.name != name);
        Ok(())
    }

    fn set_in_view(&self, view: &str, job: &str, is_in: bool) -> Result<(), Refusal> {
        self.known(job, &format!("in view {view} {is_in}"))
            .map(|_| ())
    }

    fn quiet_down(&self, reason: Option<&str>, on: bool) {
        self.held().calls.push(format!("quiet {reason:?} {on}"));
    }

    fn is_new_delivery(&self, forge: &str, id: &str) -> bool {
        self.held().deliveries.insert(format!("{forge} {id}"))
    }

    fn webhook_secret(&self, job: &str) -> Option<Vec<u8>> {
        let view = self.job(job).ok()?;
        view.job.triggers.webhook_secret.map(String::into_bytes)
    }
}
