//! A cgroup v2 directory for one run (cgroups(7), the kernel's cgroup-v2 document).
//!
//! Made fresh each time and never reused: a cgroup that `cgroup.kill` was written to kills
//! processes that are cloned into it, or out of it, afterwards. Entering by a write to
//! `cgroup.procs` is not subject to that, but takes the kernel a grace period.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::procfs;

/// Where a cgroup v2 hierarchy is usually mounted: alone, or beside the version 1 ones.
const USUAL_MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// `CGROUP2_SUPER_MAGIC`, statfs(2).
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Why there is no cgroup to be had.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No hierarchy of version 2 is mounted.
    #[error("no cgroup v2 hierarchy is mounted")]
    NotMounted,
    /// It was not to be used.
    #[error("a limit of the whole tree needs a cgroup, and the guardian rung was asked for")]
    NotWanted,
    /// Our own place in it cannot be told.
    #[error("our own cgroup cannot be seen from here")]
    NotVisible,
    /// Something about it failed.
    #[error("{what} {}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A limit needs a controller that is not to be had.
    #[error("the `{controller}` controller is not available in {}", path.display())]
    NoController {
        /// Which.
        controller: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// A controller cannot be enabled for children, as the directory has processes itself.
    #[error(
        "the `{controller}` controller cannot be enabled in {}: it holds processes of its own",
        path.display()
    )]
    Busy {
        /// Which.
        controller: &'static str,
        /// Where.
        path: PathBuf,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |source| CgroupError::Io { what, path, source }
}

/// The directory of the cgroup that this process is in.
///
/// # Errors
/// When no hierarchy is mounted, or ours is outside what we can see.
pub fn own_directory() -> Result<PathBuf, CgroupError> {
    let mut membership = String::with_capacity(4096);
    File::open("/proc/self/cgroup")
        .and_then(|mut file| file.read_to_string(&mut membership))
        .map_err(|_| CgroupError::NotVisible)?;
    let path = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or(CgroupError::NotMounted)?;
    // Outside our cgroup namespace, or removed under us.
    if path.starts_with("/..") || path.ends_with(" (deleted)") {
        return Err(CgroupError::NotVisible);
    }
    let (mount, root) = usual_mount()
        .map(|mount| (mount, "/".to_owned()))
        .or_else(mount_from_mountinfo)
        .ok_or(CgroupError::NotMounted)?;
    let below = path
        .strip_prefix(root.trim_end_matches('/'))
        .ok_or(CgroupError::NotVisible)?;
    let directory = mount.join(below.trim_start_matches('/'));
    if directory.join("cgroup.procs").exists() {
        Ok(directory)
    } else {
        // A bind mount shows another part of the tree at the usual place.
        Err(CgroupError::NotVisible)
    }
}

/// A directory outside the caller's cgroup, for what is to outlive whatever ends that one (the
/// service of a build agent, an enclosing run): `name` at the root of the hierarchy, made if
/// need be. Where that may not be written to, the nearest ancestor of our own cgroup that is no
/// run's.
///
/// # Errors
/// As [`own_directory`].
pub fn outside_directory(name: &str, is_run: fn(&str) -> bool) -> Result<PathBuf, CgroupError> {
    let (mount, _) = usual_mount()
        .map(|mount| (mount, "/".to_owned()))
        .or_else(mount_from_mountinfo)
        .ok_or(CgroupError::NotMounted)?;
    let apart = mount.join(name);
    match fs::create_dir(&apart) {
        Ok(()) => return Ok(apart),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if rustix::fs::access(&apart, rustix::fs::Access::WRITE_OK).is_ok() {
                return Ok(apart);
            }
        }
        Err(_) => {}
    }
    let own = own_directory()?;
    let below_run = own.ancestors().filter(|directory| {
        let name = directory.file_name().and_then(|name| name.to_str());
        name.is_some_and(is_run)
    });
    Ok(below_run
        .last()
        .and_then(Path::parent)
        .map_or_else(|| own.clone(), Path::to_owned))
}

/// Opens a cgroup for processes that are nobody's run, made if need be.
///
/// # Errors
/// When it cannot be made or opened.
pub fn leaf(path: &Path) -> Result<OwnedFd, CgroupError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(io_error("making", path)(error))
        }
        Ok(()) | Err(_) => File::open(path)
            .map(OwnedFd::from)
            .map_err(io_error("opening", path)),
    }
}

fn usual_mount() -> Option<PathBuf> {
    USUAL_MOUNTS.into_iter().map(PathBuf::from).find(|path| {
        rustix::fs::statfs(path).is_ok_and(|stat| {
            #[expect(
                clippy::unnecessary_cast,
                reason = "its type differs among architectures"
            )]
            let magic = stat.f_type as i64;
            magic == CGROUP2_MAGIC
        })
    })
}

/// Mount point and root of a cgroup2 mount, from proc_pid_mountinfo(5).
fn mount_from_mountinfo() -> Option<(PathBuf, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    text.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let root = fields.next()?.to_owned();
        Some((PathBuf::from(fields.next()?), root))
    })
}

/// One run's cgroup. Dropping it leaves the directory; see [`Cgroup::remove`].
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
    events: File,
}

impl Cgroup {
    /// Makes a fresh one named `name` in `parent`.
    ///
    /// # Errors
    /// When the directory cannot be made or its files cannot be opened.
    pub fn create(parent: &Path, name: &str) -> Result<Self, CgroupError> {
        let path = parent.join(name);
        fs::create_dir(&path).map_err(io_error("making", &path))?;
        let open = |file: &Path| File::open(file).map_err(io_error("opening", file));
        match (open(&path), open(&path.join("cgroup.events"))) {
            (Ok(directory), Ok(events)) => Ok(Self {
                path,
                directory,
                events,
            }),
            (Err(error), _) | (_, Err(error)) => {
                let _ = fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// Opens one that is there, as somebody who may look after it once nobody else does.
    ///
    /// # Errors
    /// When its files cannot be opened.
    pub fn open(path: &Path) -> Result<Self, CgroupError> {
        let open = |file: &Path| File::open(file).map_err(io_error("opening", file));
        Ok(Self {
            directory: open(path)?,
            events: open(&path.join("cgroup.events"))?,
            path: path.to_owned(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory, for being born into it.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Its `cgroup.procs`, for joining.
    ///
    /// # Errors
    /// When it cannot be opened for writing.
    pub fn open_procs(&self) -> io::Result<File> {
        File::options()
            .write(true)
            .open(self.path.join("cgroup.procs"))
    }

    /// Its `cgroup.events`, which polls with POLLPRI when it changes; late by up to 20 ms.
    #[must_use]
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Whether any process that has not ended is in it or below it.
    ///
    /// # Errors
    /// When the file cannot be read; ENODEV when the directory was removed.
    pub fn populated(&self) -> io::Result<bool> {
        Ok(self.event("populated ")? == 1)
    }

    fn event(&self, key: &str) -> io::Result<u32> {
        let mut buffer = [0; 128];
        let read = self.events.read_at(&mut buffer, 0)?;
        let text = String::from_utf8_lossy(&buffer[..read]);
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        File::options()
            .write(true)
            .open(self.path.join(file))?
            .write_all(text.as_bytes())
    }

    /// Every process in it and below it, in no order.
    #[must_use]
    pub fn members(&self) -> Vec<i32> {
        let mut members = Vec::new();
        let mut directories = vec![self.path.clone()];
        while let Some(directory) = directories.pop() {
            let text = procfs::read_whole(directory.join("cgroup.procs")).unwrap_or_default();
            members.extend(procfs::numbers(&text));
            directories.extend(subdirectories(&directory));
        }
        members
    }

    /// Stops all members from running, and waits up to `patience` until they do not run.
    /// Returns whether they all stand still. Thaws when the guard is dropped.
    pub fn freeze(&self, patience: Duration) -> Frozen<'_> {
        let mut complete = false;
        if self.write("cgroup.freeze", "1").is_ok() {
            let deadline = Instant::now() + patience;
            loop {
                match self.event("frozen ") {
                    Ok(1) => complete = true,
                    Ok(_) if Instant::now() < deadline => {
                        rustix::thread::sched_yield();
                        continue;
                    }
                    Ok(_) | Err(_) => {}
                }
                break;
            }
        }
        Frozen {
            cgroup: self,
            complete,
        }
    }

    /// Whether its members are to stand still, whoever said so.
    #[must_use]
    pub fn is_told_to_freeze(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
    }

    /// Lets members run again whom somebody else had frozen and could not thaw.
    pub fn thaw(&self) {
        let _ = self.write("cgroup.freeze", "0");
    }

    /// Ends every member at once by SIGKILL, stopped and frozen ones and those of other users
    /// included. Kernels before 5.14 cannot; there the members are killed one by one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> io::Result<()> {
        match self.write("cgroup.kill", "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for pid in self.members() {
                    if let Some(process) = super::process::Process::hold(pid)
                        && self.holds(pid)
                    {
                        let _ = process.signal(libc::SIGKILL);
                    }
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Whether this process is in it or below it now.
    #[must_use]
    pub fn holds(&self, pid: i32) -> bool {
        self.members().contains(&pid)
    }

    /// Moves a member to `other` (a cgroup directory).
    ///
    /// # Errors
    /// As a write to `cgroup.procs`; ESRCH if it has ended.
    pub fn move_out(other: &Path, pid: i32) -> io::Result<()> {
        File::options()
            .write(true)
            .open(other.join("cgroup.procs"))?
            .write_all(pid.to_string().as_bytes())
    }

    /// Sets one limit, `file` being such as `memory.max`.
    ///
    /// # Errors
    /// When its controller is not available or cannot be enabled here.
    pub fn set_limit(
        &self,
        controller: &'static str,
        file: &str,
        value: &str,
    ) -> Result<(), CgroupError> {
        let parent = self.path.parent().unwrap_or(&self.path);
        let path = self.path.join(file);
        if !path.exists() {
            let available =
                fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
            if !available
                .split_ascii_whitespace()
                .any(|name| name == controller)
            {
                return Err(CgroupError::NoController {
                    controller,
                    path: parent.to_owned(),
                });
            }
            let control = parent.join("cgroup.subtree_control");
            let enable = || {
                File::options()
                    .write(true)
                    .open(&control)
                    .and_then(|mut file| file.write_all(format!("+{controller}").as_bytes()))
            };
            let enabled = match enable() {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && step_aside(parent) => {
                    enable()
                }
                result => result,
            };
            match enabled {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    return Err(CgroupError::Busy {
                        controller,
                        path: parent.to_owned(),
                    });
                }
                other => other.map_err(io_error("writing", &control))?,
            }
        }
        self.write(file, value).map_err(io_error("writing", &path))
    }

    /// A number from one of its files, `key` being the start of its line, or empty for a
    /// file that is one number.
    #[must_use]
    pub fn counter(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    }

    /// The sum of `key=NUMBER` over all lines of one of its files, as in `io.stat`.
    #[must_use]
    pub fn sum(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        let values = text
            .split_ascii_whitespace()
            .filter_map(|field| field.strip_prefix(key)?.parse::<u64>().ok());
        Some(values.sum())
    }

    /// Removes the directory and those that members made in it. Processes keep it alive.
    pub fn remove(&self) {
        remove_tree(&self.path);
    }
}

/// Moves this process out of `parent` into a leaf below it, if nobody else is in `parent`: a
/// cgroup that holds processes cannot give its controllers to children (cgroups(7), no
/// internal processes). Returns whether it did.
fn step_aside(parent: &Path) -> bool {
    let own = std::process::id().to_string();
    let alone = fs::read_to_string(parent.join("cgroup.procs"))
        .is_ok_and(|text| text.lines().eq([own.as_str()]));
    let leaf = parent.join(format!("ward-self-{own}"));
    alone && fs::create_dir(&leaf).is_ok() && fs::write(leaf.join("cgroup.procs"), &own).is_ok()
}

/// The directories in a directory.
pub fn subdirectories(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

/// Removes a cgroup directory and what is below it, as far as it is empty of processes.
pub fn remove_tree(directory: &Path) {
    // The common case costs one call: nobody made cgroups inside, or somebody was here before.
    match fs::remove_dir(directory) {
        Ok(()) => return,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(_) => {}
    }
    for inner in subdirectories(directory) {
        remove_tree(&inner);
    }
    let _ = fs::remove_dir(directory);
}

/// Removes directories in `parent` whose names begin with `prefix`, that hold no process, and
/// that are older than `age`: they are left from somebody who was killed.
pub fn sweep(parent: &Path, prefix: &str, age: Duration) {
    for directory in subdirectories(parent) {
        let ours = directory
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(prefix));
        let old = || {
            let modified = fs::metadata(&directory)
                .and_then(|meta| meta.modified())
                .ok();
            modified
                .and_then(|at| at.elapsed().ok())
                .is_some_and(|since| since > age)
        };
        // A directory with processes, or with directories of a live run in it, cannot be
        // removed (rmdir: EBUSY).
        if ours && old() {
            let _ = fs::remove_dir(&directory);
        }
    }
}

/// Members stand still until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it thaws"]
pub struct Frozen<'a> {
    cgroup: &'a Cgroup,
    complete: bool,
}

impl Frozen<'_> {
    /// Whether all of them do.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.complete
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.cgroup.thaw();
    }
}
