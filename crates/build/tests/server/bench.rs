//! A server with a directory of its own, for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use ward_build::api::{BuildView, Builds, Request, Which};
use ward_build::server::{Server, ServerSettings};
use ward_config::build::BuildServer;
use ward_config::job::{Job, Step};
use ward_model::build::{BuildResult, Cause};
use ward_testkit::patience::{wait_for, wait_until};

use super::Result;

/// What the server said to its operator.
pub(crate) type Said = Arc<Mutex<Vec<String>>>;

/// A server with a directory of its own. What still runs is stopped in the end.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) server: Arc<Server>,
    pub(crate) said: Said,
}

/// A job that runs a script.
pub(crate) fn job(name: &str, script: &str) -> Job {
    Job {
        name: name.to_owned(),
        steps: vec![Step {
            script: script.to_owned(),
            ..Step::default()
        }],
        ..Job::default()
    }
}

/// `[build]` without a quiet period.
pub(crate) fn settings() -> BuildServer {
    BuildServer {
        quiet_period: Duration::ZERO,
        ..BuildServer::default()
    }
}

/// Opens a server.
pub(crate) fn open(
    home: &Path,
    build: BuildServer,
    jobs: Vec<Job>,
) -> std::result::Result<(Arc<Server>, Said), ward_build::server::OpenError> {
    let said = Said::default();
    let its = said.clone();
    let server = Server::open(ServerSettings {
        build,
        jobs,
        home: home.to_owned(),
        say: Arc::new(move |line| {
            if let Ok(mut said) = its.lock() {
                said.push(line.to_owned());
            }
        }),
    })?;
    Ok((server, said))
}

impl Bench {
    pub(crate) fn new(jobs: Vec<Job>) -> Result<Self> {
        Self::with(settings(), jobs)
    }

    pub(crate) fn with(build: BuildServer, jobs: Vec<Job>) -> Result<Self> {
        let directory = TempDir::new()?;
        let (server, said) = open(&directory.path().join("home"), build, jobs)?;
        server.start()?;
        Ok(Self {
            directory,
            server,
            said,
        })
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Ends the server and begins another in the same directory.
    pub(crate) fn restart(&mut self, jobs: Vec<Job>) -> Result {
        self.server.shut_down(false);
        // The directory is this server's until nobody has it.
        let place = self.directory.path().join("other");
        let (other, _) = open(&place, settings(), Vec::new())?;
        let old = std::mem::replace(&mut self.server, other);
        let gone = Arc::downgrade(&old);
        drop(old);
        wait_until("the old server to be gone", || gone.upgrade().is_none())?;
        let (server, said) = open(&self.home(), settings(), jobs)?;
        server.start()?;
        self.server = server;
        self.said = said;
        Ok(())
    }

    pub(crate) fn ask(&self, job: &str) -> Result<u64> {
        self.ask_with(job, &[])
    }

    pub(crate) fn ask_with(&self, job: &str, parameters: &[(&str, &str)]) -> Result<u64> {
        Ok(self.server.request(request(job, parameters))?.id)
    }

    /// Asks for a build and waits for its end.
    pub(crate) fn build(&self, job: &str) -> Result<BuildView> {
        let id = self.ask(job)?;
        let number = self.number_of(id)?;
        self.end_of(job, number)
    }

    /// Which build a request becomes.
    pub(crate) fn number_of(&self, id: u64) -> Result<u32> {
        number_of(&self.server, id)
    }

    /// Waits until a build is recorded.
    pub(crate) fn end_of(&self, job: &str, number: u32) -> Result<BuildView> {
        end_of(&self.server, job, number)
    }

    /// Lets the build in this workspace go on.
    pub(crate) fn let_go(&self, workspace: &str) -> Result {
        let workspace = self.home().join("workspaces").join(workspace);
        wait_until("the workspace", || workspace.is_dir())?;
        Ok(fs::write(workspace.join("go"), "")?)
    }

    /// Waits until a file is there.
    pub(crate) fn file(&self, path: &Path) -> Result<String> {
        file(path)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for line in self.server.jobs() {
            for number in self.server.build_numbers(&line.name).unwrap_or_default() {
                // Those that are over are left alone.
                let _ = self.server.stop(&line.name, number, "the test", true);
            }
        }
        self.server.shut_down(true);
    }
}

pub(crate) fn request(job: &str, parameters: &[(&str, &str)]) -> Request {
    Request {
        job: job.to_owned(),
        cause: Cause::User {
            user: "alice".to_owned(),
        },
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        delay: None,
        revision: None,
    }
}

pub(crate) fn number_of(server: &Server, id: u64) -> Result<u32> {
    wait_for(
        &format!("request {id} to become a build"),
        || match server.queue_item(id)?.place {
            ward_build::api::QueuePlace::Started(number) => Some(number),
            _ => None,
        },
    )
}

pub(crate) fn end_of(server: &Server, job: &str, number: u32) -> Result<BuildView> {
    wait_for(&format!("{job} #{number} to end"), || {
        let view = server.build(job, &Which::Number(number)).ok()?;
        (view.line.result.is_some() && !view.log_grows).then_some(view)
    })
}

pub(crate) fn file(path: &Path) -> Result<String> {
    wait_for(&format!("{}", path.display()), || {
        fs::read_to_string(path)
            .ok()
            .filter(|text| !text.is_empty())
    })
}

/// The console.
pub(crate) fn log(view: &BuildView) -> Result<String> {
    let bytes = fs::read(&view.log).with_context(|| format!("reading {}", view.log.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether it ended like this, with its console if not.
pub(crate) fn expect(view: &BuildView, result: BuildResult) -> Result {
    anyhow::ensure!(
        view.line.result == Some(result),
        "{} #{} is {:?}, not {result}: {:?}\n{}",
        view.line.job,
        view.line.number,
        view.line.result,
        view.outcome
            .as_ref()
            .and_then(|outcome| outcome.why.as_ref()),
        log(view).unwrap_or_default()
    );
    Ok(())
}
