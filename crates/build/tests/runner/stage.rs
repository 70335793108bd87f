//! A place for builds, and what can be asked of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use ward_build::console;
use ward_build::outcome::Outcome;
use ward_build::plan::{Plan, VERSION, file};
use ward_build::runner::{self, Started};
use ward_build::state::{State, StopRequest};
use ward_config::job::{Job, Step};
use ward_model::build::{BuildResult, Cause};
use ward_testkit::patience::{wait_for, wait_until};
use ward_testkit::processes::{self, Seen};

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A build that is to be done.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    place: TempDir,
    mark: String,
}

/// A build that goes on.
pub(crate) struct Going<'s> {
    stage: &'s Stage,
    pub(crate) runner: Started,
}

/// A build that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) log: String,
}

/// A step with this script.
pub(crate) fn step(script: &str) -> Step {
    Step {
        script: script.to_owned(),
        ..Step::default()
    }
}

impl Stage {
    /// A build of these scripts.
    pub(crate) fn new(scripts: &[&str]) -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("runner-{}-{number}", std::process::id());
        let path = |name: &str| place.path().join(name);
        for name in ["build", "secrets", "cache", "locks"] {
            fs::create_dir(path(name))?;
        }
        let job = Job {
            name: "the job".to_owned(),
            steps: scripts.iter().map(|script| step(script)).collect(),
            leftover_grace: Duration::from_millis(50),
            grace: Duration::from_secs(30),
            ..Job::default()
        };
        let variable = |name: &str, value: String| (name.to_owned(), value);
        let environment = vec![
            variable("PATH", std::env::var("PATH").unwrap_or_default()),
            variable(processes::MARK_VARIABLE, mark.clone()),
        ];
        let plan = Plan {
            version: VERSION,
            job,
            number,
            queue_id: 7,
            causes: vec![Cause::Timer],
            parameters: Vec::new(),
            directory: path("build"),
            home: place.path().to_owned(),
            workspace: path("workspace"),
            cache: path("cache"),
            secrets: path("secrets"),
            url: Some("http://ci.example/".to_owned()),
            executor: 0,
            shell: "/bin/sh".to_owned(),
            environment,
            server_cookie: "c0ffee00c0ffee00".to_owned(),
            revision: None,
            built: Vec::new(),
            local: false,
        };
        Ok(Self { plan, place, mark })
    }

    /// Something in its place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Something in its workspace.
    pub(crate) fn in_workspace(&self, name: &str) -> PathBuf {
        self.plan.workspace.join(name)
    }

    /// The directory of the build.
    pub(crate) fn directory(&self) -> &Path {
        &self.plan.directory
    }

    /// Begins the build.
    pub(crate) fn start(&self) -> anyhow::Result<Going<'_>> {
        let plan = serde_json::to_vec(&self.plan)?;
        fs::write(self.directory().join(file::PLAN), plan)?;
        let runner = runner::start(self.directory()).context("start the runner")?;
        Ok(Going {
            stage: self,
            runner,
        })
    }

    /// Does the build.
    pub(crate) fn run(&self) -> anyhow::Result<Ended> {
        self.start()?.end()
    }

    /// What the console has by now.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.directory().join(file::LOG)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until the console has this.
    pub(crate) fn await_log(&self, text: &str) -> anyhow::Result<()> {
        wait_until(&format!("`{text}` in the log"), || {
            self.log().contains(text)
        })
        .with_context(|| self.log())
    }

    /// What the runner says of itself.
    pub(crate) fn state(&self) -> Option<State> {
        let text = fs::read(self.directory().join(file::STATE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Every process that a step of it has started and that is there.
    pub(crate) fn processes(&self) -> Vec<Seen> {
        processes::marked(&self.mark)
            .into_iter()
            .filter(|seen| !seen.is_zombie() && !seen.is_wards_own())
            .collect()
    }

    /// Ends what stays of it.
    pub(crate) fn kill_all(&self) -> anyhow::Result<()> {
        wait_until("the end of what stayed", || {
            let left = self.processes();
            for seen in &left {
                processes::signal_marked(seen.pid, &self.mark, Signal::KILL);
            }
            left.is_empty()
        })
    }

    /// Waits until nothing of it is left.
    pub(crate) fn await_nobody(&self) -> anyhow::Result<()> {
        wait_until("the end of all that it has started", || {
            self.processes().is_empty()
        })
        .with_context(|| format!("{:?}", self.processes()))
    }

    /// Asks it to stop.
    pub(crate) fn stop(&self, force: bool) -> anyhow::Result<()> {
        let request = StopRequest {
            at: console::now(),
            by: "alice".to_owned(),
            force,
        };
        runner::stop(self.directory(), &request).context("ask it to stop")
    }
}

impl Going<'_> {
    /// Waits for the end of the runner.
    pub(crate) fn await_end(&self) -> anyhow::Result<()> {
        wait_until("the end of the runner", || {
            ward_sys::pidfd::has_ended(&self.runner.pidfd)
        })
        .with_context(|| self.stage.log())?;
        runner::reap(&self.runner.pidfd);
        Ok(())
    }

    /// Waits for the end of the build.
    pub(crate) fn end(self) -> anyhow::Result<Ended> {
        self.await_end()?;
        let complaints = fs::read_to_string(self.stage.directory().join("runner.err"))?;
        ensure!(complaints.is_empty(), "{complaints}");
        let outcome = fs::read(self.stage.directory().join(file::OUTCOME))?;
        let outcome: Outcome = serde_json::from_slice(&outcome)?;
        let log = self.stage.log();
        ensure!(outcome.log_bytes <= log.len() as u64, "{outcome:?}");
        Ok(Ended { outcome, log })
    }

    /// Its guardian, once there is one.
    pub(crate) fn guardian(&self) -> anyhow::Result<i32> {
        wait_for("a guardian", || {
            processes::children(self.runner.pid)
                .into_iter()
                .find(|seen| seen.name == "ward-guardian")
                .map(|seen| seen.pid)
        })
    }
}

impl Ended {
    /// It ended so.
    pub(crate) fn is(&self, result: BuildResult) -> anyhow::Result<&Self> {
        ensure!(
            self.outcome.result == result,
            "it is {} ({:?}) and not {result}:\n{}",
            self.outcome.result,
            self.outcome.why,
            self.log
        );
        let last = format!("Finished: {result}\n");
        ensure!(self.log.ends_with(&last), "{}", self.log);
        Ok(self)
    }

    /// Its console has this.
    pub(crate) fn says(&self, text: &str) -> anyhow::Result<&Self> {
        ensure!(self.log.contains(text), "no `{text}` in\n{}", self.log);
        Ok(self)
    }

    /// Its console does not have this.
    pub(crate) fn is_silent_of(&self, text: &str) -> anyhow::Result<&Self> {
        ensure!(!self.log.contains(text), "`{text}` in\n{}", self.log);
        Ok(self)
    }
}
