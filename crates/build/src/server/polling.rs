//! Looking for something new in repositories, in a lane of few threads, one look per job at a time.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ward_config::job::{Job, ParameterKind};
use ward_model::build::Cause;

use super::ending::read_state;
use super::home::remove;
use super::starting::environment;
use super::state::{Server, now};
use crate::api::{Push, Refusal, Request};
use crate::git::{self, PollOutcome, Polled, RemoteRequest};
use crate::history::{jobs, past};
use crate::triggers::same_repository;

/// No more of a log is kept, bytes.
const LONGEST_LOG: usize = 64 << 10;

/// No more branches are built because of one look.
const MOST_HEADS: usize = 50;

/// A job whose repository is looked into.
struct Looked {
    job: Arc<Job>,
    row: i64,
    was_built: bool,
    /// Commits that are being built.
    building: Vec<String>,
}

impl Server {
    /// Looks into a job's repository, soon.
    pub(super) fn poll_soon(&self, name: &str) -> Result<(), Refusal> {
        {
            let inner = self.lock();
            if inner.shown(name)?.job.source.is_none() {
                return Err(Refusal::Conflict(format!("job `{name}` has no repository")));
            }
        }
        self.look_into(name, "poll");
        Ok(())
    }

    /// Has a job's repository looked into. While that is going on, one more look comes after it.
    pub(super) fn look_into(&self, name: &str, by: &str) {
        let mut inner = self.lock();
        if let Some(again) = inner.polling.get_mut(name) {
            *again = Some(by.to_owned());
            return;
        }
        inner.polling.insert(name.to_owned(), None);
        drop(inner);
        let (name, by) = (name.to_owned(), by.to_owned());
        if let Some(me) = self.me.upgrade() {
            self.lanes.polls.put(move || me.look(&name, by));
        }
    }

    fn look(&self, name: &str, mut by: String) {
        loop {
            self.look_once(name, &by);
            let mut inner = self.lock();
            match inner.polling.get_mut(name).and_then(Option::take) {
                Some(next) if !inner.is_stopping => by = next,
                Some(_) | None => {
                    inner.polling.remove(name);
                    return;
                }
            }
        }
    }

    fn look_once(&self, name: &str, by: &str) {
        let Some(looked) = self.begin_look(name, by) else {
            return;
        };
        let polled = match self.scratch() {
            Ok(scratch) => {
                let polled = self.ask_remote(&looked, &scratch);
                if let Err(error) = remove(&scratch) {
                    self.say(&format!(
                        "`{}` cannot be removed: {error}",
                        scratch.display()
                    ));
                }
                polled
            }
            Err(error) => Polled {
                outcome: PollOutcome::Failed(error.to_string()),
                log: format!("a directory for git cannot be made: {error}\n"),
            },
        };
        let log = shortened(&polled.log);
        let written = jobs::set_poll_log(&self.lock().writer, looked.row, now(), log);
        if let Err(error) = written {
            self.say(&format!(
                "what a look into the repository of {name} wrote is lost: {error}"
            ));
        }
        let wanted = match polled.outcome {
            PollOutcome::Nothing | PollOutcome::Failed(_) => return,
            // What is newest when it is checked out is built: more may come in the quiet period.
            PollOutcome::First => vec![None],
            PollOutcome::New(heads) if heads.len() <= 1 => vec![None],
            PollOutcome::New(heads) => heads
                .into_iter()
                .take(MOST_HEADS)
                .map(|head| Some(head.revision))
                .collect(),
        };
        for revision in wanted {
            let request = Request {
                job: name.to_owned(),
                cause: Cause::Scm { by: by.to_owned() },
                parameters: Vec::new(),
                delay: None,
                revision,
            };
            if let Err(refusal) = self.ask(&request) {
                self.say(&format!(
                    "something new of {name} cannot be built: {refusal}"
                ));
            }
        }
    }

    /// What is to be looked at; nothing if that is no use now. As long as a build has not said what it
    /// builds, nobody can tell what is new: the look comes after it.
    fn begin_look(&self, name: &str, by: &str) -> Option<Looked> {
        let mut inner = self.lock();
        let known = inner
            .jobs
            .get(name)
            .filter(|it| it.not_buildable().is_none())?;
        let (job, row) = (known.job.clone(), known.id);
        let was_built = known.past.lasts.last.is_some();
        job.source.as_ref()?;
        let running = inner.running.keys().filter(|(job, _)| job == name);
        let building: Option<Vec<String>> = running
            .map(|(job, number)| read_state(&self.home.build(job, *number))?.revision)
            .collect();
        if building.is_none() {
            inner.owed.insert(name.to_owned(), by.to_owned());
        }
        Some(Looked {
            job,
            row,
            was_built,
            building: building?,
        })
    }

    fn ask_remote(&self, looked: &Looked, scratch: &Path) -> Polled {
        let Some(source) = &looked.job.source else {
            return Polled {
                outcome: PollOutcome::Nothing,
                log: String::new(),
            };
        };
        // As a build's checkout has them, so that what is seen can be had too.
        let of_job = &looked.job.environment;
        let mut given = environment(&self.lock().build);
        given.retain(|(name, _)| !of_job.iter().any(|(own, _)| own == name));
        let given = given.iter().chain(of_job);
        let given = given.map(|(name, value)| (name.into(), value.into()));
        let environment = git::surrounded(given.collect());
        let mut variables = defaults(&looked.job);
        variables.extend(of_job.iter().cloned());
        let request = RemoteRequest {
            source,
            home: self.home.root(),
            secrets: self.home.secrets(),
            scratch,
            environment: &environment,
            variables: &variables,
        };
        git::poll(&request, looked.was_built, &|revision| {
            // What cannot be known is not built again and again: the next look asks once more.
            looked.building.iter().any(|building| building == revision)
                || past::is_built(&self.read(), looked.row, revision).unwrap_or(true)
        })
    }

    /// A directory of its own for one look.
    fn scratch(&self) -> io::Result<PathBuf> {
        let path = self.home.fresh_scratch()?;
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// Something was pushed: looks into the repository of every job that builds from such a one. What was
    /// told of commits is not believed.
    pub(super) fn heed_push(&self, push: &Push) -> Vec<String> {
        let found: Vec<String> = {
            let inner = self.lock();
            let is_meant = |job: &Job| {
                let triggers = &job.triggers;
                let wants = triggers.webhook || triggers.poll.is_some();
                let url = job.source.as_ref().map(|source| source.url.as_str());
                wants
                    && !triggers.ignores_notify
                    && push.job.as_ref().is_none_or(|only| *only == job.name)
                    && url.is_some_and(|url| {
                        push.urls.iter().any(|pushed| same_repository(pushed, url))
                    })
            };
            inner
                .jobs
                .values()
                .filter(|known| known.not_buildable().is_none() && is_meant(&known.job))
                .map(|known| known.job.name.clone())
                .collect()
        };
        for name in &found {
            self.look_into(name, &push.by);
        }
        found
    }
}

/// What is given for parameters if nobody says anything: an address or a branch may hold them.
fn defaults(job: &Job) -> Vec<(String, String)> {
    let value = |kind: &ParameterKind| match kind {
        ParameterKind::Text { default, .. }
        | ParameterKind::Lines { default }
        | ParameterKind::Password { default } => default.clone(),
        ParameterKind::Boolean { default } => default.to_string(),
        ParameterKind::Choice { choices } => choices.first().cloned().unwrap_or_default(),
    };
    job.parameters
        .iter()
        .map(|parameter| (parameter.name.clone(), value(&parameter.kind)))
        .collect()
}

/// The beginning of a log, to the end of a character.
fn shortened(log: &str) -> &str {
    log.get(..log.floor_char_boundary(LONGEST_LOG))
        .unwrap_or(log)
}
