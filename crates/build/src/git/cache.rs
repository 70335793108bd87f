//! Clones that jobs share: what was fetched once crosses the network no more.
//!
//! A bare repository per address, below the server's `cache`. Who fetches into one holds its lock; who has
//! fetched copies into his workspace by git's own protocol, so that a workspace needs nothing of it later: it
//! may be deleted at any time. Steps of a job with a user of its own can read the clones that its jobs use,
//! and not write to them: git runs there as the build's own process does.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use ward_model::spec::Identity;

use super::address::Address;
use super::command::Git;
use super::error::GitError;
use super::{stale, wipe};

/// How often a stop is looked for while another build fetches.
const GLANCE: Duration = Duration::from_millis(20);

/// Where the clone of `address` is, for jobs whose steps run as `identity`.
pub(super) fn place(root: &Path, address: &Address, identity: Option<&Identity>) -> PathBuf {
    let name = HEXLOWER.encode(digest(&SHA256, address.url.as_bytes()).as_ref());
    match identity {
        Some(identity) => root
            .join(format!("u{}", identity.uid))
            .join(format!("{name}.git")),
        None => root.join(format!("{name}.git")),
    }
}

/// A shared clone that nobody else changes as long as this is there.
pub(super) struct Clone {
    pub(super) path: PathBuf,
    _lock: File,
}

impl Clone {
    /// Waits until nobody else changes the clone at `path`, and makes it if there is none.
    ///
    /// # Errors
    /// [`GitError::Stopped`] while waiting; what the system or git says.
    pub(super) fn open(
        git: &mut Git<'_, '_>,
        path: PathBuf,
        identity: Option<&Identity>,
    ) -> Result<Self, GitError> {
        if let Some(parent) = path.parent() {
            make_room(parent, identity).map_err(GitError::file("make", parent))?;
        }
        let lock = lock(git, &path.with_extension("lock"))?;
        if !is_repository(&path) {
            wipe::remove(&path).map_err(GitError::file("remove", &path))?;
            let words = ["init", "--bare", "--quiet"].map(OsStr::new);
            let mut words = words.to_vec();
            words.push(path.as_os_str());
            git.asks(None, &words, 4096)?;
        }
        stale::clear(&path, None);
        Ok(Self { path, _lock: lock })
    }

    /// Removes the clone; the lock is held on.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn discard(&self) -> Result<(), GitError> {
        wipe::remove(&self.path).map_err(GitError::file("remove", &self.path))
    }

    /// Fetches `refspecs` from `address`. What is gone there goes here.
    ///
    /// # Errors
    /// What git says.
    pub(super) fn fetch(
        &self,
        git: &mut Git<'_, '_>,
        address: &Address,
        refspecs: &[String],
    ) -> Result<(), GitError> {
        let mut words = [
            "fetch",
            "--progress",
            "--force",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--",
        ]
        .map(OsStr::new)
        .to_vec();
        words.push(OsStr::new(&address.url));
        words.extend(refspecs.iter().map(OsStr::new));
        git.does(Some(&self.path), &words)
    }

    /// Gives a commit that no branch has any more a name of its own, so that it can be copied; fetches it if
    /// it is not here. Gives the name, if it could be had.
    ///
    /// # Errors
    /// [`GitError::Stopped`], and when git cannot be run.
    pub(super) fn name_commit(
        &self,
        git: &mut Git<'_, '_>,
        address: &Address,
        revision: &str,
    ) -> Result<Option<String>, GitError> {
        let name = format!("refs/ward/{revision}");
        let here = ["update-ref", &name, revision].map(OsStr::new);
        if git.tries(Some(&self.path), &here, 4096)?.is_some() {
            return Ok(Some(name));
        }
        let refspec = format!("+{revision}:{name}");
        let words = ["fetch", "--no-tags", "--no-write-fetch-head", "--"].map(OsStr::new);
        let mut words = words.to_vec();
        words.extend([OsStr::new(&address.url), OsStr::new(&refspec)]);
        let got = git.tries(Some(&self.path), &words, 4096)?;
        Ok(got.map(|_| name))
    }
}

/// What is fetched into a shared clone for a job with these refspecs; `None` if it cannot be shared, as what
/// a short name means depends on who is asked.
pub(super) fn refspecs(wanted: &[String], has_tags: bool) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for each in wanted {
        let source = each.trim_start_matches('+').split(':').next()?;
        if !source.starts_with("refs/") {
            return None;
        }
        all.push(format!("+{source}:{source}"));
    }
    if has_tags {
        all.push("+refs/tags/*:refs/tags/*".to_owned());
    }
    all.sort();
    all.dedup();
    Some(all)
}

/// Whether there is something that git would take for a repository.
pub(super) fn is_repository(git: &Path) -> bool {
    let is = |name: &str, is_directory: bool| {
        std::fs::symlink_metadata(git.join(name))
            .is_ok_and(|about| about.is_dir() == is_directory && (is_directory || about.len() > 0))
    };
    is("HEAD", false) && is("objects", true) && is("refs", true) && is("config", false)
}

fn make_room(directory: &Path, identity: Option<&Identity>) -> std::io::Result<()> {
    let mode = if identity.is_some() { 0o750 } else { 0o700 };
    if std::fs::symlink_metadata(directory).is_ok_and(|about| about.is_dir()) {
        return Ok(());
    }
    if let Some(above) = directory.parent() {
        DirBuilder::new().recursive(true).create(above)?;
    }
    match DirBuilder::new().mode(mode).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    if let Some(identity) = identity {
        use std::os::unix::fs::PermissionsExt;
        // What is made in it belongs to the group too, which may read.
        std::os::unix::fs::chown(directory, None, Some(identity.gid))?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o2750))?;
    }
    Ok(())
}

fn lock(git: &mut Git<'_, '_>, path: &Path) -> Result<File, GitError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(GitError::file("open", path))?;
    let mut was_said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if git.desk.is_stopping() => {
                return Err(GitError::Stopped);
            }
            Err(TryLockError::WouldBlock) => {
                if !was_said {
                    git.desk
                        .line("Waiting for another build that fetches from there");
                    was_said = true;
                }
                std::thread::sleep(GLANCE);
            }
            Err(TryLockError::Error(error)) => return Err(GitError::file("lock", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_has_the_same_name_on_both_sides() {
        let heads = "+refs/heads/*:refs/remotes/origin/*".to_owned();
        let pulls = "refs/pull/*/head:refs/remotes/origin/pr/*".to_owned();
        assert_eq!(
            refspecs(&[heads, pulls], true),
            Some(vec![
                "+refs/heads/*:refs/heads/*".to_owned(),
                "+refs/pull/*/head:refs/pull/*/head".to_owned(),
                "+refs/tags/*:refs/tags/*".to_owned(),
            ])
        );
        assert_eq!(refspecs(&["main".to_owned()], true), None);
    }

    #[test]
    fn each_address_and_user_has_its_own() {
        let read = |text| Address::read(text).expect("an address");
        let root = Path::new("/c");
        let (one, two) = (read("https://a/x"), read("https://a/y"));
        let user = Identity {
            uid: 7,
            gid: 7,
            groups: Vec::new(),
        };
        let places = [
            place(root, &one, None),
            place(root, &two, None),
            place(root, &one, Some(&user)),
        ];
        assert!(places[0] != places[1] && places[0] != places[2]);
        // Whoever signs in: it is the same repository.
        assert_eq!(place(root, &read("https://u:p@a/x"), None), places[0]);
    }
}
