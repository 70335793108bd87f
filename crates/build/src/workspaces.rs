//! Where builds are made: which workspace a build gets.
//!
//! A job has the workspace of its name; builds of it that run beside each other have `name@2`, `name@3` …,
//! the lowest that is free. What a job says itself is used as it is, by as many builds as there are, without
//! a lock, as in Jenkins.

use std::path::{Path, PathBuf};

use ward_config::job::Job;

/// The workspace of the next build of `job`, when `taken` are those of its builds that run.
///
/// `root` is the directory of all workspaces, `home` the server's.
#[must_use]
pub fn choose(root: &Path, home: &Path, job: &Job, taken: &[&Path]) -> PathBuf {
    if let Some(own) = job.workspace.as_deref().filter(|own| !own.is_empty()) {
        return home.join(own);
    }
    let mut number = 1;
    loop {
        let path = numbered(root, &job.name, number);
        if !taken.contains(&path.as_path()) {
            return path;
        }
        number += 1;
    }
}

/// The workspace that people are shown, and that is emptied first: the job's own, or the first of its name.
#[must_use]
pub fn main(root: &Path, home: &Path, job: &Job) -> PathBuf {
    choose(root, home, job, &[])
}

/// Every workspace that a job may have left: the first, and those beside it that are there, with the
/// directories for temporary files beside them.
#[must_use]
pub fn all(root: &Path, name: &str) -> Vec<PathBuf> {
    let first = numbered(root, name, 1);
    let Some(base) = first
        .file_name()
        .map(|base| base.to_string_lossy().into_owned())
    else {
        return Vec::new();
    };
    let entries = first
        .parent()
        .into_iter()
        .filter_map(|parent| std::fs::read_dir(parent).ok());
    entries
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            // `@` is in no job's name: nothing of another job begins like this.
            name.to_str()
                .and_then(|name| name.strip_prefix(base.as_str()))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        })
        .map(|entry| entry.path())
        .collect()
}

fn numbered(root: &Path, name: &str, number: u32) -> PathBuf {
    if number == 1 {
        root.join(name)
    } else {
        root.join(format!("{name}@{number}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use ward_config::job::Job;

    use super::{all, choose};

    fn chosen(job: &Job, taken: &[&str]) -> PathBuf {
        let taken: Vec<&Path> = taken.iter().map(Path::new).collect();
        choose(Path::new("/h/w"), Path::new("/h"), job, &taken)
    }

    #[test]
    fn the_lowest_that_is_free() {
        let job = Job {
            name: "a/b".to_owned(),
            ..Job::default()
        };
        assert_eq!(chosen(&job, &[]), Path::new("/h/w/a/b"));
        assert_eq!(chosen(&job, &["/h/w/a/b"]), Path::new("/h/w/a/b@2"));
        assert_eq!(
            chosen(&job, &["/h/w/a/b", "/h/w/a/b@3"]),
            Path::new("/h/w/a/b@2")
        );
        assert_eq!(chosen(&job, &["/h/w/a/b@2"]), Path::new("/h/w/a/b"));
        let own = Job {
            workspace: Some("/srv/x".to_owned()),
            ..job
        };
        assert_eq!(chosen(&own, &["/srv/x"]), Path::new("/srv/x"));
    }

    #[test]
    fn what_a_job_left() {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["a", "a@2", "a@tmp", "ab", "b"] {
            std::fs::create_dir(root.path().join(name)).expect("created");
        }
        let mut found = all(root.path(), "a");
        found.sort();
        assert_eq!(
            found,
            ["a", "a@2", "a@tmp"].map(|name| root.path().join(name))
        );
    }
}
