//! A control group of our own (cgroup v2): what we start stays in it and ends with it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::processes;

/// A directory of the cgroup v2 tree.
#[derive(Debug, Clone)]
pub(super) struct Group {
    path: PathBuf,
}

impl Group {
    /// The group that we are in ourselves; `None` where there is no cgroup v2.
    pub(super) fn own() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        own_directory(&mounts, &groups).map(|path| Self { path })
    }

    /// The group at a path that another of our processes told us.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a group below this one.
    pub(super) fn make(&self, name: &str) -> io::Result<Self> {
        let path = self.path.join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Moves this process into the group; what it starts from now on starts in there.
    pub(super) fn enter(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// CPU time of all that ever ran in the group and below it.
    pub(super) fn cpu(&self) -> io::Result<Duration> {
        let text = fs::read_to_string(self.path.join("cpu.stat"))?;
        usage(&text).ok_or_else(|| io::Error::other("cpu.stat has no usage_usec"))
    }

    /// Kills all in the group and below it, and returns when nothing runs there any more.
    /// Reaps what becomes a child of ours meanwhile: a dead process counts until it is reaped.
    pub(super) fn kill(&self, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        let events = File::open(self.path.join("cgroup.events"))?;
        fs::write(self.path.join("cgroup.kill"), "1")?;
        loop {
            let mut text = [0; 256];
            let length = events.read_at(&mut text, 0)?;
            if is_empty(&String::from_utf8_lossy(&text[..length])) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "the group is not empty",
                ));
            }
            let pause = Timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&pause))?;
            processes::reap();
        }
    }

    /// Removes the group and all below it; they must be empty. The kernel may take a moment.
    pub(super) fn remove(self, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        loop {
            match remove_directories(&self.path) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < end => {
                    thread::sleep(Duration::from_millis(2));
                }
                result => return result,
            }
        }
    }
}

/// Only directories can be removed there, from the deepest on.
fn remove_directories(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_directories(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// Where `mounts` (as in /proc/self/mountinfo) and `groups` (as in /proc/self/cgroup) put us.
fn own_directory(mounts: &str, groups: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(own).strip_prefix(root).ok()?;
        (after.split(' ').next() == Some("cgroup2")).then(|| Path::new(point).join(below))
    })
}

/// `usage_usec` of cpu.stat.
fn usage(text: &str) -> Option<Duration> {
    text.lines()
        .find_map(|line| line.strip_prefix("usage_usec "))
        .and_then(|microseconds| microseconds.parse().ok())
        .map(Duration::from_micros)
}

/// Whether cgroup.events says that nothing runs there.
fn is_empty(events: &str) -> bool {
    events.lines().any(|line| line == "populated 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_on_pure_and_on_mixed_hosts() {
        let mixed = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                     31 25 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            own_directory(mixed, "3:cpu:/elsewhere\n0::/user/one\n"),
            Some(PathBuf::from("/sys/fs/cgroup/unified/user/one"))
        );
        let pure = "31 25 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            own_directory(pure, "0::/\n"),
            Some(PathBuf::from("/sys/fs/cgroup"))
        );
    }

    #[test]
    fn a_mount_of_a_part_of_the_tree_is_taken_into_account() {
        let part = "31 25 0:27 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            own_directory(part, "0::/box/one\n"),
            Some(PathBuf::from("/sys/fs/cgroup/one"))
        );
        assert_eq!(own_directory(part, "0::/other\n"), None);
    }

    #[test]
    fn where_there_is_no_second_version_there_is_no_group() {
        let first = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(own_directory(first, "3:cpu:/\n"), None);
        assert_eq!(own_directory(first, "0::/\n"), None);
    }

    #[test]
    fn the_files_of_a_group_are_read() {
        let stat = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n";
        assert_eq!(usage(stat), Some(Duration::from_micros(1500)));
        assert_eq!(usage("user_usec 1\n"), None);
        assert!(is_empty("populated 0\nfrozen 0\n"));
        assert!(!is_empty("populated 1\nfrozen 0\n"));
    }
}
