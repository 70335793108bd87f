//! Cgroups of a test: a second, exact answer to "who is left?", and delegated places for
//! ordinary users.
//!
//! Nobody leaves a cgroup by forking, so a test that starts ward inside one of its own
//! learns of every survivor, also of those that hide from a scan.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::patience::wait_until;
use crate::processes::{Seen, look};

/// Where this process is in the cgroup v2 hierarchy, if there is one.
#[must_use]
pub fn own() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (root, mount) = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup2 ").then_some(())?;
        let mut fields = before.split(' ').skip(3);
        Some((fields.next()?.to_owned(), PathBuf::from(fields.next()?)))
    })?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = path
        .strip_prefix(root.trim_end_matches('/'))
        .unwrap_or(path);
    Some(mount.join(below.trim_start_matches('/')))
}

/// A cgroup that exists as long as this value.
#[derive(Debug)]
pub struct ControlGroup {
    path: PathBuf,
}

impl ControlGroup {
    /// Makes one below `parent`.
    ///
    /// # Errors
    /// When that is not allowed here.
    pub fn below(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Hands it over to a user, as a service manager does on `Delegate=yes`.
    ///
    /// # Errors
    /// When that is not allowed here.
    pub fn delegate(&self, uid: u32, gid: u32) -> io::Result<()> {
        for file in [
            "",
            "cgroup.procs",
            "cgroup.subtree_control",
            "cgroup.threads",
        ] {
            std::os::unix::fs::chown(self.path.join(file), Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everybody in it and below it. Zombies are not in a cgroup.
    #[must_use]
    pub fn members(&self) -> Vec<Seen> {
        directories(&self.path)
            .iter()
            .filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok())
            .flat_map(|list| {
                list.lines()
                    .filter_map(|line| look(line.parse().ok()?))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The directories below it, deepest first.
    #[must_use]
    pub fn below_it(&self) -> Vec<PathBuf> {
        let mut found = directories(&self.path);
        found.pop();
        found
    }

    /// Kills everybody in it and below it, and removes it.
    fn clear(&self) -> anyhow::Result<()> {
        // Writing fails before Linux 5.14; who carries the mark is killed in any case.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        wait_until("a cgroup to become empty", || self.members().is_empty())?;
        wait_until("a cgroup to be removable", || {
            directories(&self.path)
                .iter()
                .all(|directory| fs::remove_dir(directory).is_ok())
        })
        .with_context(|| format!("removing {}", self.path.display()))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("{error:#}");
        }
    }
}

/// `top` and all directories below it, deepest first.
fn directories(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(directories(&entry.path()));
        }
    }
    if top.is_dir() {
        found.push(top.to_owned());
    }
    found
}
