//! What is built: the commit in the workspace, and what the repository says of the job.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use ward_config::host::Host;
use ward_config::job::load_repository_job;
use ward_engine::chain;
use ward_sys::account;

use super::build::{Build, Goes};
use super::desk::Desk;
use crate::git::{self, CheckoutRequest, GitError};
use crate::plan::file;
use crate::state::Phase;

/// A job in a repository is not longer, bytes; one that is, is refused by who reads it.
const LONGEST: u64 = 1 << 20;

impl Build {
    /// Puts the commit into the workspace.
    pub(super) fn check_out(&mut self) -> Goes {
        let Some(source) = self.job.source.clone() else {
            return Ok(());
        };
        self.worker.tell(Phase::Checkout, "git");
        let scratch = match self.scratch() {
            Ok(scratch) => scratch,
            Err(error) => return Err(self.fail(&format!("Cannot check out: {error}"), None)),
        };
        let given = &self.plan.parameters;
        let mut variables: Vec<(String, String)> = given
            .iter()
            .map(|it| (it.name.clone(), it.value.clone()))
            .collect();
        variables.extend(self.job.environment.iter().cloned());
        let checked = git::checkout(
            &mut self.worker,
            &CheckoutRequest {
                source: &source,
                clean: self.job.clean,
                workspace: &self.plan.workspace,
                shared_workspace: self.job.workspace.is_some(),
                cache: &self.plan.cache,
                home: &self.plan.home,
                secrets: &self.plan.secrets,
                scratch: &scratch,
                environment: &git::surrounded(self.environment.to_vec()),
                identity: self.identity.as_ref(),
                variables: &variables,
                revision: self.plan.revision.as_deref(),
                built: &self.plan.built,
            },
        );
        // There is nothing to be done about what cannot be removed but to leave it, unreadable to others.
        let _ = fs::remove_dir_all(&scratch);
        self.worker.forget_made(&scratch);
        self.worker.heed(None);
        match checked {
            Ok(checked) => {
                for (name, value) in &checked.environment {
                    self.environment.set(name, value);
                }
                self.worker.state.revision = Some(checked.checkout.revision.clone());
                self.worker.state.branch = Some(checked.checkout.branch.clone());
                self.worker.write_state();
                self.checkout = Some(checked.checkout);
                self.checked_out_to = checked.directory;
                Ok(())
            }
            Err(GitError::Stopped) => Err(self.stopped()),
            Err(_) if self.worker.stopped_as.is_some() => Err(self.stopped()),
            Err(error) => {
                let hint = error.hint();
                Err(self.fail(&format!("Cannot check out: {}", chain(&error)), hint))
            }
        }
    }

    /// A directory for what git signs in with. Who runs the steps must get through to it, and have no say
    /// in where it leads.
    fn scratch(&mut self) -> io::Result<PathBuf> {
        let (path, mode) = match &self.identity {
            Some(_) => {
                let name = format!("ward-build-{}", self.cookie());
                (std::env::temp_dir().join(name), 0o711)
            }
            None => (self.plan.directory.join(file::SCRATCH), 0o700),
        };
        self.worker.note_made(&path);
        self.worker.write_state();
        fs::DirBuilder::new().mode(mode).create(&path)?;
        Ok(path)
    }

    /// Takes over what the repository says of the job, where it may.
    pub(super) fn read_repository(&mut self) -> Goes {
        let Some(name) = self.job.from_repository.clone() else {
            return Ok(());
        };
        let text = match read_beneath(&self.checked_out_to, &name) {
            Ok(text) => text,
            Err(error) => {
                let why = format!("Cannot read the job from `{name}` of the repository: {error}");
                return Err(self.fail(&why, None));
            }
        };
        let host = Host {
            node_name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            current_directory: self.checked_out_to.to_string_lossy().into_owned(),
            temporary_directory: std::env::temp_dir().to_string_lossy().into_owned(),
            uid: account::own_uid(),
            ..Host::default()
        };
        let (job, found) = load_repository_job(&text, &host, &self.job);
        for one in &found {
            let hint = one
                .hint
                .as_ref()
                .map_or(String::new(), |it| format!(" ({it})"));
            self.worker.line(&format!("{name}: {}{hint}", one.what));
        }
        match job {
            Some(job) => {
                self.worker.line(&format!("The job is as `{name}` says"));
                self.worker.adapt(&job);
                self.job = job;
                self.job_of_repository = true;
                self.set_limits();
                Ok(())
            }
            None => Err(self.fail(&format!("`{name}` of the repository says no job"), None)),
        }
    }
}

/// A file of the repository, which may lead nowhere else.
fn read_beneath(directory: &Path, name: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
    // Not a FIFO that nobody writes to.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = fs::File::from(openat2(directory, name, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}
