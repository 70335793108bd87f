//! Folders: which there are, and another name for one with everything in it.

use std::collections::BTreeSet;
use std::fs;

use rusqlite::Connection;

use super::asking::failed;
use super::changing::finish_renaming;
use super::home::Home;
use super::names;
use super::state::{Inner, Server};
use crate::api::Refusal;
use crate::history::jobs;

/// The fact that says which folder is being renamed.
const MOVING: &str = "moving-folder";

impl Server {
    /// Every folder by its full name: those that were made, and those that jobs are in.
    pub(super) fn all_folders(&self) -> Vec<String> {
        let inner = self.lock();
        let mut all: BTreeSet<String> = inner.folders.iter().cloned().collect();
        for job in inner.shown_names() {
            let mut at = job;
            while let Some(folder) = names::parent(at) {
                if !all.insert(folder.to_owned()) {
                    break;
                }
                at = folder;
            }
        }
        all.into_iter().collect()
    }

    /// Another name for a folder. Killed in between, it is finished at the next start.
    pub(super) fn move_folder(&self, name: &str, new: &str) -> Result<(), Refusal> {
        let mut inner = self.lock();
        if !inner.is_folder(name) {
            return Err(Refusal::Nothing(format!("folder `{name}`")));
        }
        if names::is_in(new, name) {
            return Err(Refusal::BadName(format!(
                "folder `{name}` cannot be in itself"
            )));
        }
        inner.check_new(new)?;
        let within: Vec<(String, String)> = inner
            .jobs
            .keys()
            .filter_map(|job| Some((job.clone(), moved(job, name, new)?)))
            .collect();
        for (job, to) in &within {
            names::check(to)?;
            inner.check_posted(job)?;
            inner.check_idle(job)?;
        }
        for to in moved_folders(&inner, name, new) {
            names::check(&to)?;
        }
        let moving = serde_json::to_string(&(name, new))
            .map_err(|error| Refusal::Failed(error.to_string()))?;
        jobs::set_fact(&inner.writer, MOVING, Some(&moving)).map_err(|error| failed(&error))?;
        for folder in moved_folders(&inner, name, new) {
            inner.folders.insert(folder);
        }
        for (job, to) in &within {
            self.move_one(&mut inner, job, to)?;
        }
        finish_moving(&mut inner.writer, name, new).map_err(|error| failed(&error))?;
        inner
            .folders
            .retain(|folder| folder != name && !names::is_in(folder, name));
        drop(inner);
        self.empty_trash_later();
        Ok(())
    }
}

/// What a job or folder within `folder` is called when that is called `new`; nothing for others.
fn moved(name: &str, folder: &str, new: &str) -> Option<String> {
    names::is_in(name, folder).then(|| {
        let rest = name.strip_prefix(folder).unwrap_or_default();
        format!("{new}{rest}")
    })
}

/// The new names of the folder and of those that were made in it.
fn moved_folders(inner: &Inner, name: &str, new: &str) -> Vec<String> {
    let within = inner.folders.iter();
    let within = within.filter_map(|folder| moved(folder, name, new));
    std::iter::once(new.to_owned()).chain(within).collect()
}

/// Gives the folders their names, when all jobs have theirs.
fn finish_moving(connection: &mut Connection, name: &str, new: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    jobs::add_folder(&transaction, new)?;
    for folder in jobs::folders(&transaction)? {
        if let Some(to) = moved(&folder, name, new) {
            jobs::add_folder(&transaction, &to)?;
            jobs::delete_folder(&transaction, &folder)?;
        }
    }
    jobs::delete_folder(&transaction, name)?;
    jobs::set_fact(&transaction, MOVING, None)?;
    transaction.commit()
}

/// Finishes what a server that was killed while it renamed a folder left half done.
pub(super) fn go_on_moving(connection: &mut Connection, home: &Home) -> rusqlite::Result<()> {
    let Some(text) = jobs::fact(connection, MOVING)? else {
        return Ok(());
    };
    let Ok((name, new)) = serde_json::from_str::<(String, String)>(&text) else {
        return jobs::set_fact(connection, MOVING, None);
    };
    for row in jobs::all(connection)? {
        let Some(to) = moved(&row.name, &name, &new) else {
            continue;
        };
        // One that cannot be moved stays where it is, and its folder with it.
        if home.config(&row.name).exists()
            && home.throw_away(&home.job(&to)).is_ok()
            && fs::rename(home.job(&row.name), home.job(&to)).is_ok()
        {
            finish_renaming(connection, row.id, &to)?;
        }
    }
    finish_moving(connection, &name, &new)
}

#[cfg(test)]
mod tests {
    use super::moved;

    #[test]
    fn what_is_within_is_called_after_it() {
        for (name, to) in [
            ("a/b", Some("x/y/b")),
            ("a/b/c", Some("x/y/b/c")),
            ("a", None),
            ("ab/c", None),
            ("b/a/c", None),
        ] {
            assert_eq!(moved(name, "a", "x/y").as_deref(), to, "{name}");
        }
    }
}
