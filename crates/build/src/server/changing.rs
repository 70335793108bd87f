//! Making, changing and removing jobs.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ward_config::job::Job;
use ward_model::build::queue::Event;

use super::asking::failed;
use super::home::{private_directory, read_bounded, remove, write_private};
use super::known::Known;
use super::names;
use super::shown::open_job;
use super::state::{Inner, Server, now};
use crate::api::Refusal;
use crate::history::jobs;
use crate::jenkins::{self, BadDocument, Parsed};
use crate::runner;
use crate::state::StopRequest;
use crate::workspaces;

fn of_file(name: &str) -> Refusal {
    Refusal::Conflict(format!(
        "job `{name}` is in the configuration file, and is changed there"
    ))
}

fn bad(error: &BadDocument) -> Refusal {
    Refusal::BadInput(ward_engine::chain(error))
}

fn io(doing: &str, path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::Failed(format!("cannot {doing} `{}`: {error}", path.display()))
}

impl Server {
    /// A new folder.
    pub(super) fn add_folder(&self, name: &str) -> Result<(), Refusal> {
        let mut inner = self.lock();
        inner.check_new(name)?;
        jobs::add_folder(&inner.writer, name).map_err(|error| failed(&error))?;
        inner.folders.insert(name.to_owned());
        Ok(())
    }

    /// A new job from its document.
    pub(super) fn add_job(&self, name: &str, document: &[u8]) -> Result<(), Refusal> {
        let parsed = jenkins::parse(name, document).map_err(|error| bad(&error))?;
        let mut inner = self.lock();
        inner.check_new(name)?;
        self.define(&mut inner, name, document, parsed)
    }

    /// Another document for a job that was posted.
    pub(super) fn change_job(&self, name: &str, document: &[u8]) -> Result<(), Refusal> {
        let parsed = jenkins::parse(name, document).map_err(|error| bad(&error))?;
        let mut inner = self.lock();
        inner.check_posted(name)?;
        self.define(&mut inner, name, document, parsed)
    }

    /// Writes a job's document, and takes the job as it says.
    fn define(
        &self,
        inner: &mut Inner,
        name: &str,
        document: &[u8],
        parsed: Parsed,
    ) -> Result<(), Refusal> {
        let path = self.home.config(name);
        private_directory(&self.home.job(name))
            .and_then(|()| write_private(&path, document))
            .map_err(|error| io("write", &path, &error))?;
        let known = Known::posted(&inner.writer, &self.home, name, Ok(parsed))
            .map_err(|error| failed(&error))?;
        let is_disabled = known.job.disabled;
        inner.jobs.insert(name.to_owned(), known);
        inner.rule_all();
        if is_disabled {
            inner.drop_requests(name)?;
        }
        Ok(())
    }

    /// A job's document.
    pub(super) fn document_of(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        let job: Arc<Job> = {
            let inner = self.lock();
            let known = inner.shown(name)?;
            if !known.of_file {
                let path = self.home.config(name);
                return read_bounded(&path, super::LARGEST_DOCUMENT)
                    .map_err(|error| io("read", &path, &error));
            }
            known.job.clone()
        };
        let mut job = open_job(&job);
        // It lets strangers start builds, and is the file's.
        job.token = None;
        Ok(jenkins::write(&job))
    }

    /// Another name for a job that was posted. Killed in between, it is finished at the next start.
    pub(super) fn move_job(&self, name: &str, new: &str) -> Result<(), Refusal> {
        let mut inner = self.lock();
        inner.check_posted(name)?;
        inner.check_new(new)?;
        inner.check_idle(name)?;
        self.move_one(&mut inner, name, new)?;
        drop(inner);
        self.empty_trash_later();
        Ok(())
    }

    /// Gives a job that may be renamed its new name.
    pub(super) fn move_one(&self, inner: &mut Inner, name: &str, new: &str) -> Result<(), Refusal> {
        let row = inner.row_of(name)?;
        let renaming = serde_json::to_string(&(name, new))
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        jobs::set_fact(&inner.writer, RENAMING, Some(&renaming)).map_err(|error| failed(&error))?;
        let (from, to) = (self.home.job(name), self.home.job(new));
        // What is there of a job that is defined nowhere any more gives way.
        if let Err(error) = self
            .home
            .throw_away(&to)
            .and_then(|()| fs::rename(&from, &to))
        {
            let refusal = io("rename", &from, &error);
            jobs::set_fact(&inner.writer, RENAMING, None).map_err(|error| failed(&error))?;
            return Err(refusal);
        }
        finish_renaming(&mut inner.writer, row, new).map_err(|error| failed(&error))?;
        for workspace in workspaces::all(&self.home.workspaces(), name) {
            // It is made anew where it cannot be kept.
            let _ = self.home.throw_away(&workspace);
        }
        if let Some(mut known) = inner.jobs.remove(name) {
            let mut job = known.job.as_ref().clone();
            new.clone_into(&mut job.name);
            known.job = Arc::new(job);
            inner.jobs.insert(new.to_owned(), known);
        }
        inner.happen(Event::JobRenamed {
            from: name.to_owned(),
            to: new.to_owned(),
        });
        inner
            .rewrite_requests(&self.home.key, new)
            .map_err(|error| failed(&error))?;
        inner.refresh(new);
        inner.rule_all();
        Ok(())
    }

    /// Removes a job that was posted, or a folder with its jobs.
    pub(super) fn remove_job(&self, name: &str) -> Result<(), Refusal> {
        let mut inner = self.lock();
        if inner.jobs.contains_key(name) {
            inner.check_posted(name)?;
            return self.let_go(&mut inner, name);
        }
        if !inner.is_folder(name) {
            return Err(Refusal::NoSuchJob(name.to_owned()));
        }
        let within: Vec<String> = inner
            .shown_names()
            .filter(|job| names::is_in(job, name))
            .map(str::to_owned)
            .collect();
        for job in &within {
            inner.check_posted(job)?;
        }
        for job in &within {
            self.let_go(&mut inner, job)?;
        }
        let folders: Vec<String> = inner
            .folders
            .iter()
            .filter(|folder| *folder == name || names::is_in(folder, name))
            .cloned()
            .collect();
        for folder in folders {
            jobs::delete_folder(&inner.writer, &folder).map_err(|error| failed(&error))?;
            inner.folders.remove(&folder);
        }
        Ok(())
    }

    fn let_go(&self, inner: &mut Inner, name: &str) -> Result<(), Refusal> {
        let row = inner.row_of(name)?;
        jobs::leave(&inner.writer, row).map_err(|error| failed(&error))?;
        // From here on it is going, also if the server ends now.
        if let Some(known) = inner.jobs.get_mut(name) {
            known.leaving = true;
        }
        inner.drop_requests(name)?;
        for (job, number) in inner.running.keys().filter(|(job, _)| job == name) {
            let request = StopRequest {
                at: now(),
                by: "the removal of the job".to_owned(),
                force: false,
            };
            if let Err(error) = runner::stop(&self.home.build(job, *number), &request) {
                self.say(&format!("build {job} #{number} cannot be stopped: {error}"));
            }
        }
        self.leave_if_over(inner, name);
        Ok(())
    }

    /// Lets nothing start a job, or lets it be started again.
    pub(super) fn disable(&self, name: &str, disabled: bool) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let known = inner.shown(name)?;
        if known.of_file {
            let row = known.id;
            if known.disabled_by_file && !disabled {
                return Err(Refusal::Conflict(format!(
                    "job `{name}` is disabled in the configuration file"
                )));
            }
            jobs::set_disabled(&inner.writer, row, disabled).map_err(|error| failed(&error))?;
            if let Some(known) = inner.jobs.get_mut(name) {
                let mut job = known.job.as_ref().clone();
                job.disabled = disabled;
                known.job = Arc::new(job);
            }
            if disabled {
                inner.drop_requests(name)?;
            }
            return Ok(());
        }
        let path = self.home.config(name);
        let document = read_bounded(&path, super::LARGEST_DOCUMENT)
            .map_err(|error| io("read", &path, &error))?;
        let document = jenkins::edit_disabled(&document, disabled).map_err(|error| bad(&error))?;
        let parsed = jenkins::parse(name, &document).map_err(|error| bad(&error))?;
        self.define(&mut inner, name, &document, parsed)
    }

    /// Empties a job's workspaces.
    pub(super) fn wipe(&self, name: &str) -> Result<(), Refusal> {
        let inner = self.lock();
        let job = inner.shown(name)?.job.clone();
        inner.check_idle(name)?;
        let failed = |path: &Path, error: &std::io::Error| io("empty", path, error);
        if job.workspace.is_some() {
            let path = workspaces::main(&self.home.workspaces(), self.home.root(), &job);
            let entries = match fs::read_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                other => other.map_err(|error| failed(&path, &error))?,
            };
            for entry in entries.flatten() {
                let entry = entry.path();
                // It may be on another file system.
                self.home
                    .throw_away(&entry)
                    .or_else(|_| remove(&entry))
                    .map_err(|error| failed(&path, &error))?;
            }
            drop(inner);
            self.empty_trash_later();
            return Ok(());
        }
        for path in workspaces::all(&self.home.workspaces(), name) {
            self.home
                .throw_away(&path)
                .map_err(|error| failed(&path, &error))?;
        }
        drop(inner);
        self.empty_trash_later();
        Ok(())
    }

    /// The number of the next build.
    pub(super) fn number_next(&self, name: &str, number: u32) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let known = inner.shown(name)?;
        let (row, last) = (known.id, known.past.lasts.last.unwrap_or(0));
        if number == 0 || number <= last {
            return Err(Refusal::Conflict(format!(
                "the next number of job `{name}` is greater than {last}"
            )));
        }
        jobs::set_next_number(&inner.writer, row, number).map_err(|error| failed(&error))?;
        if let Some(known) = inner.jobs.get_mut(name) {
            known.next_number = number;
        }
        Ok(())
    }
}

/// The fact that says which job is being renamed.
const RENAMING: &str = "renaming";

/// Gives a job's row its new name, when its directory has it.
pub(super) fn finish_renaming(
    connection: &mut rusqlite::Connection,
    row: i64,
    new: &str,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    // A job of that name that is defined nowhere any more gives way, with its builds.
    for other in jobs::all(&transaction)? {
        if other.name == new && other.id != row {
            jobs::delete(&transaction, other.id)?;
        }
    }
    jobs::rename(&transaction, row, new)?;
    jobs::set_fact(&transaction, RENAMING, None)?;
    transaction.commit()
}

/// Finishes what a server that was killed while it renamed a job left half done.
pub(super) fn go_on_renaming(
    connection: &mut rusqlite::Connection,
    home: &super::home::Home,
) -> rusqlite::Result<()> {
    let Some(text) = jobs::fact(connection, RENAMING)? else {
        return Ok(());
    };
    let Ok((name, new)) = serde_json::from_str::<(String, String)>(&text) else {
        return jobs::set_fact(connection, RENAMING, None);
    };
    let row = jobs::all(connection)?
        .into_iter()
        .find(|row| row.name == name);
    match row {
        // The directory was renamed, the row was not.
        Some(row) if !home.config(&name).exists() && home.config(&new).exists() => {
            finish_renaming(connection, row.id, &new)
        }
        Some(_) | None => jobs::set_fact(connection, RENAMING, None),
    }
}

impl Inner {
    /// A job that is there for people.
    pub(super) fn shown(&self, name: &str) -> Result<&Known, Refusal> {
        self.jobs
            .get(name)
            .filter(|known| !known.leaving)
            .ok_or_else(|| Refusal::NoSuchJob(name.to_owned()))
    }

    /// Whether there is such a folder: one that was made, or one that a job of the file is in.
    pub(super) fn is_folder(&self, name: &str) -> bool {
        self.folders.contains(name) || self.jobs.keys().any(|job| names::is_in(job, name))
    }

    /// Whether a job or a folder of this name can be made.
    pub(super) fn check_new(&self, name: &str) -> Result<(), Refusal> {
        names::check(name)?;
        if let Some(known) = self.jobs.get(name) {
            return Err(if known.leaving {
                Refusal::Conflict(format!("job `{name}` is still being removed"))
            } else {
                Refusal::Exists(format!("job `{name}`"))
            });
        }
        if self.is_folder(name) {
            return Err(Refusal::Exists(format!("folder `{name}`")));
        }
        match names::parent(name) {
            Some(parent) if !self.is_folder(parent) => {
                Err(Refusal::Nothing(format!("folder `{parent}`")))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn check_posted(&self, name: &str) -> Result<(), Refusal> {
        if self.shown(name)?.of_file {
            return Err(of_file(name));
        }
        Ok(())
    }

    pub(super) fn check_idle(&self, name: &str) -> Result<(), Refusal> {
        if self.running.keys().any(|(job, _)| job == name) {
            return Err(Refusal::Conflict(format!("job `{name}` is building")));
        }
        Ok(())
    }

    /// Takes everything of a job out of the queue.
    fn drop_requests(&mut self, name: &str) -> Result<(), Refusal> {
        self.forget_requests(name).map_err(|error| failed(&error))?;
        self.happen(Event::JobGone {
            job: name.to_owned(),
        });
        self.rule(name);
        Ok(())
    }
}
