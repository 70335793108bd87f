//! One build, from its locks to its outcome.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::FdFlags;
use ward_config::job::{Clean, Job};
use ward_engine::chain;
use ward_model::build::BuildResult;
use ward_model::spec::Identity;
use ward_sys::contain::subreaper;
use ward_sys::procfs::Stat;
use ward_sys::{account, terminal};

use super::desk::Desk;
use super::locks::{Holding, Refused};
use super::secrets::{self, Given, to_mask};
use super::stops::Stops;
use super::worker::Worker;
use super::{role, steps, words};
use crate::console::{self, Console};
use crate::environment::Environment;
use crate::outcome::{self, Artifact, Checkout, Outcome, StepOutcome, TestCounts};
use crate::plan::{Plan, file};
use crate::state::{Phase, State};

/// An outcome that finds no room on the disk is written as soon as there is some, within this time.
const ROOM: Duration = Duration::from_secs(300);
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// A build that is being done.
pub(super) struct Build {
    pub(super) plan: Plan,
    /// The plan's job, with what the repository says of it.
    pub(super) job: Job,
    pub(super) worker: Worker,
    pub(super) environment: Environment,
    pub(super) identity: Option<Identity>,
    /// When it had its locks.
    began: Instant,
    pub(super) result: BuildResult,
    pub(super) why: Option<String>,
    pub(super) checkout: Option<Checkout>,
    /// Where the commit's files are.
    pub(super) checked_out_to: PathBuf,
    pub(super) steps: Vec<StepOutcome>,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) tests: Option<TestCounts>,
    pub(super) job_of_repository: bool,
}

/// Whether a build goes on.
pub(super) type Goes = Result<(), Over>;

/// It does not. Why has been noted.
#[derive(Debug)]
pub(super) struct Over;

/// Does the build of this directory. `alive` is its lock, which lasts as long as what is left of it.
///
/// # Errors
/// There is no plan that can be understood, or the build was begun before. Nothing was done.
pub(super) fn be_runner(directory: &Path, alive: &OwnedFd) -> io::Result<ExitCode> {
    subreaper::set_name(c"ward-build");
    terminal::new_session(None)?;
    let stops = Stops::new(directory)?;
    subreaper::become_subreaper()?;
    // Inherited by the guardians, and by nobody else.
    rustix::io::fcntl_setfd(alive, FdFlags::empty())?;
    let plan = role::plan(directory)?;
    if plan.local {
        // Whoever waits for it at a terminal is all that there is.
        let signal = rustix::process::Signal::TERM;
        rustix::process::set_parent_process_death_signal(Some(signal))?;
    }
    let console = Console::create(directory, &to_mask(&plan), plan.local)?;
    let state = first_state()?;
    let worker = Worker::new(directory.to_owned(), console, stops, state, &plan.job);
    worker.write_state();
    let build = Build {
        environment: Environment::of_plan(&plan),
        job: plan.job.clone(),
        worker,
        identity: None,
        began: Instant::now(),
        result: BuildResult::Success,
        why: None,
        checkout: None,
        checked_out_to: plan.workspace.clone(),
        steps: Vec::new(),
        artifacts: Vec::new(),
        tests: None,
        job_of_repository: false,
        plan,
    };
    build.run();
    Ok(ExitCode::SUCCESS)
}

fn first_state() -> io::Result<State> {
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let stat = Stat::of(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(State {
        pid,
        start_time: stat.start_ticks,
        started_at: console::now(),
        phase: Phase::Locks,
        doing: "beginning".to_owned(),
        leader: None,
        stop: None,
        revision: None,
        branch: None,
        display_name: None,
        made: Vec::new(),
    })
}

impl Build {
    fn run(mut self) {
        for line in words::causes(&self.plan.causes) {
            self.worker.line(&line);
        }
        let place = self.plan.workspace.display().to_string();
        self.worker.line(&format!("Building in workspace {place}"));
        match self.worker.console.unmasked() {
            0 => {}
            1 => self.worker.line("A secret is too short to be masked"),
            count => self
                .worker
                .line(&format!("{count} secrets are too short to be masked")),
        }
        let mut holding = Holding::default();
        if self.take_locks(&mut holding).is_ok() {
            holding.describe_to(&mut self.environment);
            self.begin_limits();
            if self.prepare_workspace().is_ok()
                && self.check_out().is_ok()
                && self.read_repository().is_ok()
            {
                self.work();
                self.worker.limits = super::worker::Limits::default();
                self.take_results();
            }
        }
        self.finish();
        role::give_back_room(&self.plan.directory);
        holding.release();
    }

    fn take_locks(&mut self, holding: &mut Holding) -> Goes {
        self.worker.tell(Phase::Locks, "waiting for locks");
        let build = format!("{}#{}", self.plan.job.name, self.plan.number);
        match Holding::acquire(&mut self.worker, &self.job.locks, &build) {
            Ok(got) => {
                *holding = got;
                Ok(())
            }
            Err(Refused::Stopped) => Err(self.stopped()),
            Err(refused) => {
                let hint = refused.hint();
                Err(self.fail(&format!("Cannot build: {}", chain(&refused)), hint))
            }
        }
    }

    fn begin_limits(&mut self) {
        self.began = Instant::now();
        self.set_limits();
    }

    /// The limits as the job has them, from the beginning on.
    pub(super) fn set_limits(&mut self) {
        let all = self.job.timeout.filter(|limit| !limit.is_zero());
        self.worker.limits.end = all.and_then(|all| Some((self.began.checked_add(all)?, all)));
        self.worker.limits.idle = self.job.idle_timeout.filter(|limit| !limit.is_zero());
    }

    /// The workspace, and who works in it.
    fn prepare_workspace(&mut self) -> Goes {
        self.worker.heed(None);
        if self.worker.is_stopping() {
            return Err(self.stopped());
        }
        self.identity = match identity(self.job.user.as_deref(), &mut self.environment) {
            Ok(identity) => identity,
            Err(why) => return Err(self.fail(&why, None)),
        };
        let workspace = self.plan.workspace.clone();
        let made = (|| {
            // Where there is a repository, its checkout does that.
            let wipes = self.job.clean == Clean::Wipe && self.job.source.is_none();
            if wipes && workspace.is_dir() {
                empty(&workspace)?;
            }
            let is_new = !workspace.is_dir();
            fs::create_dir_all(&workspace)?;
            match &self.identity {
                Some(it) if is_new => {
                    std::os::unix::fs::lchown(&workspace, Some(it.uid), Some(it.gid))
                }
                Some(_) | None => Ok(()),
            }
        })();
        made.map_err(|error: io::Error| {
            let what = format!("Cannot use the workspace `{}`", workspace.display());
            self.fail(&format!("{what}: {error}"), None)
        })
    }

    /// The steps, with the secrets that they get.
    fn work(&mut self) {
        self.environment.add_parameters(&self.plan);
        self.environment.add_of_job(&self.job.environment);
        self.environment.set("JENKINS_NODE_COOKIE", self.cookie());
        self.name_build();
        let secrets = secrets::place(&self.plan, &self.job);
        if let Some(secrets) = &secrets {
            self.worker.note_made(secrets);
            self.worker.write_state();
        }
        let given = Given::give(
            &self.plan,
            &self.job,
            self.identity.as_ref(),
            &mut self.environment,
        );
        match given {
            Ok(mut given) => {
                self.run_steps();
                match given.take_back() {
                    Ok(()) => {
                        if let Some(secrets) = &secrets {
                            self.worker.forget_made(secrets);
                        }
                    }
                    Err(error) => {
                        self.fail(&format!("Secrets are left in the workspace: {error}"), None);
                    }
                }
            }
            Err(error) => {
                let hint = error.hint();
                self.fail(&format!("Cannot build: {}", chain(&error)), hint);
            }
        }
    }

    fn name_build(&mut self) {
        let Some(name) = &self.job.build_name else {
            return;
        };
        let name = self.environment.expand(name);
        self.environment.set("BUILD_DISPLAY_NAME", &name);
        self.worker.state.display_name = Some(name);
    }

    /// Notes what becomes of the build, and why, if nothing worse has been noted before.
    pub(super) fn worsen(&mut self, result: BuildResult, why: impl FnOnce() -> String) {
        if self.why.is_none() || result > self.result {
            self.why = Some(why());
        }
        self.result = self.result.worsened(result);
    }

    /// Says on the console why the build fails.
    pub(super) fn fail(&mut self, why: &str, hint: Option<String>) -> Over {
        self.worker.line(why);
        if let Some(hint) = hint {
            self.worker.line(&format!("hint: {hint}"));
        }
        self.worsen(BuildResult::Failure, || why.to_owned());
        Over
    }

    /// The build was stopped before it had done everything.
    pub(super) fn cut_short(&mut self, result: BuildResult) {
        let why = steps::why_stopped(self);
        self.worsen(result, || why);
    }

    /// The same, where nothing more is done.
    pub(super) fn stopped(&mut self) -> Over {
        self.worker.heed(None);
        self.cut_short(self.worker.stopped_as.unwrap_or(BuildResult::Aborted));
        Over
    }

    /// A value that nobody can guess and no other process has.
    pub(super) fn cookie(&self) -> String {
        let mut bytes = [0; 16];
        // Where the kernel has none to give it only tells apart, and hides nothing.
        let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
        let parts = parts.map(|part| hex.get(part).unwrap_or_default());
        parts.join("-")
    }

    /// Writes down how it ended; nothing is done after that.
    fn finish(&mut self) {
        if let Some((bytes, why)) = self.worker.console.lost() {
            let text = format!("{bytes} bytes of this log are missing: {why}");
            self.worker.line(&text);
        }
        // Prepared before it is said: whoever kills us then changes nothing of it any more.
        let last = outcome::last_line(self.result);
        let length = self.worker.console.length_with(&last);
        let mut outcome = self.outcome(length);
        let directory = &self.plan.directory;
        let prepared = serde_json::to_vec(&outcome)
            .map_err(io::Error::from)
            .and_then(|bytes| role::prepare(directory, file::OUTCOME, &bytes, true));
        self.worker.line(&last);
        // What cannot be made durable may still be read; there is nothing else to be done about it.
        let _ = self.worker.console.sync();
        let length = self.worker.console.length();
        let is_as_prepared = length == std::mem::replace(&mut outcome.log_bytes, length);
        if prepared.is_ok() && is_as_prepared && role::place(directory, file::OUTCOME, true).is_ok()
        {
            return;
        }
        let began = Instant::now();
        while let Err(error) = put(&self.plan.directory, &outcome) {
            // A directory that is gone stays gone.
            if began.elapsed() >= ROOM || error.kind() == io::ErrorKind::NotFound {
                return;
            }
            if error.kind() == io::ErrorKind::StorageFull {
                // What is left of it fits where anything does.
                for step in &mut outcome.steps {
                    step.report.shorten(0, 200);
                }
            }
            let mut asked = [PollFd::new(&self.worker.stops, PollFlags::IN)];
            let _ = poll(&mut asked, Timespec::try_from(LOOK_FOR_ROOM).ok().as_ref());
            if !self.worker.stops.take().is_empty() {
                return;
            }
        }
    }

    fn outcome(&mut self, log_bytes: u64) -> Outcome {
        Outcome {
            version: outcome::VERSION,
            result: self.result,
            why: self.why.take(),
            started_at: self.worker.state.started_at,
            ended_at: console::now(),
            checkout: self.checkout.take(),
            steps: std::mem::take(&mut self.steps),
            artifacts: std::mem::take(&mut self.artifacts),
            tests: self.tests,
            stop: self.worker.state.stop.clone(),
            log_bytes,
            display_name: self.worker.state.display_name.clone(),
            job_of_repository: self.job_of_repository,
        }
    }
}

fn put(directory: &Path, outcome: &Outcome) -> io::Result<()> {
    role::put(
        directory,
        file::OUTCOME,
        &serde_json::to_vec(outcome)?,
        true,
    )
}

/// As whom the steps run, where that is somebody else; the environment is made to say so.
fn identity(user: Option<&str>, environment: &mut Environment) -> Result<Option<Identity>, String> {
    let Some(name) = user else { return Ok(None) };
    let user = account::user(name).ok_or_else(|| format!("There is no user `{name}`"))?;
    let own = account::own_uid();
    if user.uid == own {
        return Ok(None);
    }
    if own != 0 {
        return Err(format!(
            "Cannot build as user `{name}`: only a server that runs as root can"
        ));
    }
    let shell = if user.shell.is_empty() {
        "/bin/sh"
    } else {
        &user.shell
    };
    environment.set("HOME", &user.home);
    environment.set("USER", &user.name);
    environment.set("LOGNAME", &user.name);
    environment.set("SHELL", shell);
    let groups = account::groups_of(&user);
    Ok(Some(Identity {
        uid: user.uid,
        gid: user.gid,
        groups,
    }))
}

/// Removes all that is in a directory, and follows no link out of it.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
