//! Locks that a killed git left in a repository.
//!
//! Only where nobody else can be at work: in a build's own workspace, in a shared clone whose lock we hold;
//! elsewhere only those that are older than any git command may run.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// So many directories of refs are looked into.
const MAX_DIRECTORIES: usize = 100_000;

/// Removes locks of the repository whose git directory is `git`; with `age`, those that are older. Gives
/// the names of what was removed.
pub(super) fn clear(git: &Path, age: Option<Duration>) -> Vec<String> {
    let mut removed = Vec::new();
    let mut directories = vec![(git.to_owned(), false)];
    for below in ["refs", "logs", "modules"] {
        let path = git.join(below);
        // A link in its place may lead anywhere.
        if fs::symlink_metadata(&path).is_ok_and(|about| about.is_dir()) {
            directories.push((path, true));
        }
    }
    let mut seen = 0;
    while let Some((directory, is_deep)) = directories.pop() {
        seen += 1;
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && is_deep && seen + directories.len() < MAX_DIRECTORIES {
                directories.push((entry.path(), true));
            }
            let name = entry.file_name();
            let is_lock = name.as_encoded_bytes().ends_with(b".lock");
            if kind.is_file()
                && is_lock
                && is_older(&entry, age)
                && fs::remove_file(entry.path()).is_ok()
            {
                removed.push(name.to_string_lossy().into_owned());
            }
        }
    }
    removed
}

fn is_older(entry: &fs::DirEntry, age: Option<Duration>) -> bool {
    let Some(age) = age else { return true };
    let changed = entry.metadata().and_then(|about| about.modified());
    changed
        .ok()
        .and_then(|changed| SystemTime::now().duration_since(changed).ok())
        .is_some_and(|passed| passed > age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_go_and_nothing_else() {
        let room = tempfile::tempdir().expect("a directory");
        let git = room.path();
        fs::create_dir_all(git.join("refs/heads/a")).expect("made");
        for name in [
            "index",
            "index.lock",
            "refs/heads/a/b.lock",
            "refs/heads/a/c",
        ] {
            fs::write(git.join(name), "").expect("written");
        }
        let day = Duration::from_secs(86_400);
        assert!(clear(git, Some(day)).is_empty());
        let mut removed = clear(git, None);
        removed.sort();
        assert_eq!(removed, ["b.lock", "index.lock"]);
        assert!(git.join("index").exists() && git.join("refs/heads/a/c").exists());
    }
}
