//! The ledger: what was detached on purpose, from where, and what became of it.
//!
//! A directory for each name, and in it
//! - `entry`: what was asked for, written (by rename) before anything is started;
//! - `processes`: who came to be, a line each as it did; both keepers hold this file locked
//!   (flock(2)) for as long as they live, so that the kernel tells whether they do;
//! - `report.json`: the end, written by the keeper;
//! - `log` and its older parts, where no other place was asked for.
//!
//! Whoever starts, stops or replaces holds the directory itself locked. Locks lie beside what
//! they guard, and not in a runtime directory: two sessions of one user may differ in theirs,
//! and both would win. Nothing here is ever believed by a number alone: boot, start time and
//! cookie must agree.

mod origin;
mod place;
mod state;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use ward_model::spec::Spec;
use ward_sys::procfs;

pub use origin::Origin;
pub use place::{locate, of_keepers};
pub(crate) use state::ProcessTable;
pub use state::{Identity, Main, Seen, State};

/// The version of `entry`.
const FORMAT: &str = "ward-entry/1";

/// No name is longer, bytes.
pub const LONGEST_NAME: usize = 100;

/// An entry is not longer than this, bytes: an environment is at most 2 MiB on Linux
/// (execve(2)), and so is a command line.
const LONGEST_ENTRY: u64 = 16 << 20;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Something about a file of it failed.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of it makes no sense.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is nowhere to keep it.
    #[error(
        "there is no directory for the state: neither WARD_STATE_DIR, XDG_STATE_HOME nor HOME is set"
    )]
    NoPlace,
    /// It cannot be a name.
    #[error("`{0}` cannot be a name")]
    Name(String),
}

impl LedgerError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on that disk, or set WARD_STATE_DIR to a directory on another"
            }
            Self::Io { .. } => "set WARD_STATE_DIR to a directory that you may write to",
            Self::Damaged { .. } => {
                "what it was about may still run; remove the directory once it does not"
            }
            Self::NoPlace => "set WARD_STATE_DIR to a directory that you may write to",
            Self::Name(_) => {
                "use up to 100 letters, digits and . _ - + @ :, beginning with a letter or a digit"
            }
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// [`FORMAT`].
    format: String,
    /// Under which name.
    pub name: String,
    /// Whether somebody chose that name, rather than ward.
    pub named: bool,
    /// The run's identity, `WARD_RUN_ID` in its processes.
    pub run_id: String,
    /// During which boot of the host (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// When, seconds since 1970.
    pub started_at: f64,
    /// The whole order; its environment is kept behind the rest of the file.
    pub spec: Spec,
    /// From where.
    pub origin: Origin,
    /// The cgroup that holds it, if one does.
    pub cgroup: Option<PathBuf>,
    /// Where its output is.
    pub log: Option<PathBuf>,
    /// When it counts as ready, as it was written.
    pub ready: Option<String>,
    /// How long it may take to get ready, seconds.
    pub ready_timeout: f64,
}

impl Entry {
    /// An entry for something that is about to be started.
    #[must_use]
    pub fn new(name: &str, named: bool, spec: Spec, origin: Origin) -> Self {
        let now = std::time::SystemTime::now();
        Self {
            format: FORMAT.to_owned(),
            name: name.to_owned(),
            named,
            run_id: String::new(),
            boot_id: boot_id(),
            started_at: now
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
            spec,
            origin,
            cgroup: None,
            log: None,
            ready: None,
            ready_timeout: 0.0,
        }
    }

    /// The same order once more, from here.
    #[must_use]
    pub fn again(old: &Self) -> Self {
        Self {
            run_id: String::new(),
            cgroup: None,
            ready: old.ready.clone(),
            ready_timeout: old.ready_timeout,
            ..Self::new(
                &old.name,
                old.named,
                old.spec.clone(),
                Origin::of_this_process(),
            )
        }
    }

    /// Why the same order cannot be given once more, if it cannot.
    #[must_use]
    pub fn not_again(&self) -> Option<&'static str> {
        let own = std::env::var(ward_model::cookie::WARD_RUN_ID).unwrap_or_default();
        let nested = own
            .strip_prefix(self.run_id.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !self.spec.keep_fds.is_empty() {
            return Some("it was given descriptors by its caller, which are not there any more");
        }
        (nested && !self.run_id.is_empty())
            .then_some("this very command is a part of it, and would be stopped with it")
    }

    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut entry = self.clone();
        let environment = std::mem::take(&mut entry.spec.environment);
        let mut bytes = serde_json::to_vec(&entry)?;
        bytes.push(b'\n');
        for (name, value) in environment {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
        }
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(bytes.len());
        let mut entry: Self = serde_json::from_slice(&bytes[..end])?;
        entry.spec.environment = bytes
            .get(end + 1..)
            .unwrap_or_default()
            .split(|byte| *byte == 0)
            .filter_map(|item| {
                let at = item.iter().skip(1).position(|byte| *byte == b'=')? + 1;
                let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
                Some((text(&item[..at]), text(&item[at + 1..])))
            })
            .collect();
        Ok(entry)
    }
}

/// The boot of this host, or of this container's host.
#[must_use]
pub fn boot_id() -> String {
    let text = procfs::boot_id().unwrap_or_default();
    text.trim().to_owned()
}

/// The ledger of one user, or of one state directory.
#[derive(Debug, Clone)]
pub struct Ledger {
    daemons: PathBuf,
}

impl Ledger {
    /// The ledger in this state directory, which need not exist yet.
    #[must_use]
    pub fn at(state: &Path) -> Self {
        Self {
            daemons: state.join("daemons"),
        }
    }

    /// Where `name` is kept.
    #[must_use]
    pub fn directory(&self, name: &str) -> PathBuf {
        self.daemons.join(name)
    }

    /// Every name on record, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.daemons)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// Holds `name`: nobody else starts, stops or replaces it meanwhile. Waits for whoever does.
    ///
    /// # Errors
    /// When the name is none, or its directory cannot be made.
    pub fn hold(&self, name: &str) -> Result<Held, LedgerError> {
        check_name(name)?;
        let path = self.directory(name);
        loop {
            // Nobody else's business: an environment may hold secrets.
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(LedgerError::io("make the directory", &path))?;
            let directory = File::open(&path).map_err(LedgerError::io("open", &path))?;
            rustix::fs::flock(&directory, FlockOperation::LockExclusive)
                .map_err(|error| LedgerError::io("lock", &path)(error.into()))?;
            // It may have been removed while we waited.
            let same = fs::metadata(&path)
                .ok()
                .zip(directory.metadata().ok())
                .is_some_and(|(there, ours)| {
                    (there.dev(), there.ino()) == (ours.dev(), ours.ino())
                });
            if same {
                return Ok(Held {
                    path,
                    lock: RefCell::new(Some(directory.into())),
                });
            }
        }
    }

    /// Holds a name that is on record, if nobody else does.
    fn try_hold(&self, name: &str) -> Option<Held> {
        let path = self.directory(name);
        let directory = File::open(&path).ok()?;
        rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Held {
            path,
            lock: RefCell::new(Some(directory.into())),
        })
    }

    /// What is on record of `name`; `None` if nothing is.
    ///
    /// # Errors
    /// When it cannot be read, or makes no sense.
    pub fn look(&self, name: &str) -> Result<Option<Seen>, LedgerError> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let directory = self.directory(name);
        match read_entry(&directory)? {
            Some(entry) => Ok(Some(Seen::new(directory, entry))),
            None => Ok(None),
        }
    }

    /// Removes entries that ward named itself and whose daemon ended more than `age` seconds ago.
    pub fn forget_older(&self, age: f64) {
        for name in self.names() {
            // The report's rename is the last that happens to a directory.
            let old = fs::metadata(self.directory(&name))
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|at| at.elapsed().ok())
                .is_some_and(|since| since.as_secs_f64() > age);
            if old
                && let Some(held) = self.try_hold(&name)
                && let Ok(Some(seen)) = held.look()
                && !seen.entry.named
                && !seen.state.is_alive()
            {
                held.remove();
            }
        }
    }
}

/// Opens a file of the ledger. Root reads other people's, who may have put anything there: nothing
/// that waits, and nothing that leads elsewhere.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file",
        ))
    }
}

fn read_entry(directory: &Path) -> Result<Option<Entry>, LedgerError> {
    let path = directory.join("entry");
    let file = match open_file(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LedgerError::io("open", &path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_ENTRY)
        .read_to_end(&mut bytes)
        .map_err(LedgerError::io("read", &path))?;
    Entry::from_bytes(&bytes)
        .map(Some)
        .map_err(|source| LedgerError::Damaged { path, source })
}

/// Looks again at what was seen.
///
/// # Errors
/// As [`Ledger::look`], and when it is not on record any more.
pub(crate) fn again(seen: &Seen) -> Result<Seen, LedgerError> {
    let missing = || {
        let path = seen.directory.join("entry");
        LedgerError::io("open", &path)(io::ErrorKind::NotFound.into())
    };
    let entry = read_entry(&seen.directory)?.ok_or_else(missing)?;
    Ok(Seen::new(seen.directory.clone(), entry))
}

/// Refuses what cannot be a name: it becomes a file's, and people type it.
///
/// # Errors
/// [`LedgerError::Name`].
pub fn check_name(name: &str) -> Result<(), LedgerError> {
    if ward_model::names::is_plain(name, LONGEST_NAME) {
        Ok(())
    } else {
        Err(LedgerError::Name(name.to_owned()))
    }
}

/// A name that nobody else starts, stops or replaces as long as this lives.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    lock: RefCell<Option<OwnedFd>>,
}

impl Held {
    /// Where it is kept.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.path
    }

    /// Lets a process of ours that has just been forked have no part in the lock: it would hold
    /// the name for as long as it lives.
    pub(crate) fn leave_to_parent(&self) {
        drop(self.lock.take());
    }

    /// What is on record; `None` if nothing is.
    ///
    /// # Errors
    /// As [`Ledger::look`].
    pub fn look(&self) -> Result<Option<Seen>, LedgerError> {
        Ok(read_entry(&self.path)?.map(|entry| Seen::new(self.path.clone(), entry)))
    }

    /// Whether keepers live of whatever is on record.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        state::is_locked(&self.path.join("processes"))
    }

    /// Puts `entry` on record in the place of what was there, which must have ended. Gives the
    /// file that the keepers note themselves in, locked.
    ///
    /// # Errors
    /// When a file cannot be written. Then what was on record still is.
    pub fn begin(&self, entry: &Entry) -> Result<File, LedgerError> {
        let path = self.path.join("entry");
        let draft = self.path.join(".entry");
        let bytes = entry.to_bytes().map_err(|source| LedgerError::Damaged {
            path: path.clone(),
            source,
        })?;
        let write = |path: &Path, bytes: &[u8]| {
            let mut file = File::options()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        write(&draft, &bytes).map_err(|error| {
            let _ = fs::remove_file(&draft);
            LedgerError::io("write", &draft)(error)
        })?;
        // A new file: keepers of the run before may not have closed theirs yet.
        let processes_draft = self.path.join(".processes");
        let processes = write(&processes_draft, b"");
        let processes = processes.map_err(LedgerError::io("write", &processes_draft))?;
        rustix::fs::flock(&processes, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| LedgerError::io("lock", &processes_draft)(error.into()))?;
        self.remove_drafts();
        // Killed in between, the old entry has processes that are of nobody: it has ended, and
        // still says so by its report.
        let place =
            |from: &Path, to: &Path| fs::rename(from, to).map_err(LedgerError::io("write", to));
        place(&processes_draft, &self.path.join("processes"))?;
        place(&draft, &path)?;
        Ok(processes)
    }

    /// Removes reports that killed keepers did not finish.
    fn remove_drafts(&self) {
        let drafts = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for draft in drafts {
            let name = draft.file_name();
            if name.as_bytes().starts_with(b".report.json.")
                && !name
                    .as_bytes()
                    .ends_with(std::process::id().to_string().as_bytes())
            {
                let _ = fs::remove_file(draft.path());
            }
        }
    }

    /// Removes it from the record, with its log.
    pub fn remove(self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Adds a line about a process of ours to the file of [`Held::begin`].
pub(crate) fn note(processes: &File, role: &str, pid: i32) {
    let start = procfs::Stat::of(pid).map_or(0, |stat| stat.start_ticks);
    let mut file = processes;
    // Both keepers write, through one open file: its offset is shared.
    let _ = file.seek(SeekFrom::End(0));
    let _ = file.write_all(format!("{role} {pid} {start}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["web", "web-1.2_3+x@y:z", "1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-x",
            ".x",
            "a/b",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(101),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let mut spec = Spec::new(vec!["true".into(), OsString::from_vec(vec![0xff, b' '])]);
        spec.environment = vec![
            ("A".into(), "1=2\n3".into()),
            ("EMPTY".into(), "".into()),
            ("B".into(), OsString::from_vec(vec![0xfe])),
        ];
        let mut entry = Entry::new("web", true, spec, Origin::default());
        entry.run_id = "id".to_owned();
        let bytes = entry.to_bytes().expect("bytes");
        let back = Entry::from_bytes(&bytes).expect("an entry");
        assert_eq!(back.spec.command, entry.spec.command);
        assert_eq!(back.spec.environment, entry.spec.environment);
        assert_eq!(back.run_id, "id");
        // Cut anywhere, it is an error or an entry, and never a panic.
        for end in 0..bytes.len() {
            let _ = Entry::from_bytes(&bytes[..end]);
        }
    }

    #[test]
    fn a_name_is_held_by_one() {
        let state = std::env::temp_dir().join(format!("ward-ledger-{}", std::process::id()));
        let ledger = Ledger::at(&state);
        let held = ledger.hold("web").expect("held");
        let entry = Entry::new(
            "web",
            true,
            Spec::new(vec!["true".into()]),
            Origin::default(),
        );
        let processes = held.begin(&entry).expect("begun");
        let seen = held.look().expect("readable").expect("an entry");
        assert_eq!(seen.state, State::Starting);
        drop(processes);
        let seen = held.look().expect("readable").expect("an entry");
        assert_eq!(seen.state, State::Gone);
        assert_eq!(ledger.names(), ["web"]);
        held.remove();
        assert!(ledger.look("web").expect("readable").is_none());
        fs::remove_dir_all(&state).expect("clean up");
    }
}
