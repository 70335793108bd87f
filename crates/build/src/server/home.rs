//! The server's directory: what lies where, who may read it, and that one server only has it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{PollFd, Timespec, poll};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use ward_sys::pidfd;

use super::names;
use crate::history::HistoryError;

/// A server that is killed just as it starts a program leaves its lock, for the moments until that program
/// begins, to a process that nobody knows: it is waited for so long.
const LAST_BREATH: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Why a server cannot have its directory.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
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
    /// Another server has it.
    #[error("another build server has `{}`{}", path.display(), told(*.pid))]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Which process, where it said so.
        pid: Option<u32>,
    },
    /// The history cannot be had.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A query failed at once.
    #[error("cannot read the history")]
    Query(#[from] rusqlite::Error),
}

fn told(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

impl OpenError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => hint_for(source),
            Self::Query(_) => None,
            Self::Taken { .. } => Some(
                "stop it first, or give this one a directory of its own (`directory=` in `[build]`)"
                    .to_owned(),
            ),
            Self::History(error) => error.hint(),
        }
    }
}

fn hint_for(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(format!(
            "the server runs as user {}: give it the directory, or name another by `directory=` in `[build]`",
            ward_sys::account::own_uid()
        )),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room on its disk, and start it again".to_owned())
        }
        _ => None,
    }
}

/// The server's directory.
#[derive(Debug)]
pub(super) struct Home {
    root: PathBuf,
    secrets: PathBuf,
    /// Locked for as long as the server is there.
    _lock: File,
    /// The server's cookie: hexadecimal, secret.
    pub(super) cookie: String,
    /// What secrets in the history are sealed with.
    pub(super) key: [u8; 32],
}

impl Home {
    /// Takes the directory for this server, and makes what is missing in it.
    pub(super) fn take(root: &Path, secrets: Option<PathBuf>) -> Result<Self, OpenError> {
        let io = |doing, path: &Path, source| OpenError::Io {
            doing,
            path: path.to_owned(),
            source,
        };
        private_directory(root).map_err(|source| io("create", root, source))?;
        let root = root
            .canonicalize()
            .map_err(|source| io("find", root, source))?;
        let lock = take_lock(&root)?;
        let secrets = secrets.unwrap_or_else(|| root.join("secrets"));
        for directory in [
            root.join("jobs"),
            root.join("workspaces"),
            root.join("cache"),
            root.join("trash"),
            root.join("scratch"),
            secrets.clone(),
        ] {
            private_directory(&directory).map_err(|source| io("create", &directory, source))?;
        }
        // Of a server that was killed. Nobody but a server has anything there.
        let scratch = root.join("scratch");
        clear(&scratch).map_err(|source| io("empty", &scratch, source))?;
        let path = root.join("secret.key");
        let key = secret_key(&path).map_err(|source| io("read", &path, source))?;
        Ok(Self {
            cookie: derived(&key, b"server cookie"),
            key: bytes_of(&key, b"sealed parameters"),
            root,
            secrets,
            _lock: lock,
        })
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where secrets are.
    pub(super) fn secrets(&self) -> &Path {
        &self.secrets
    }

    /// The database.
    pub(super) fn history(&self) -> PathBuf {
        self.root.join("history.sqlite")
    }

    /// Where clones are shared.
    pub(super) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Where workspaces are.
    pub(super) fn workspaces(&self) -> PathBuf {
        self.root.join("workspaces")
    }

    /// Directories of jobs.
    pub(super) fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// A job's directory.
    pub(super) fn job(&self, name: &str) -> PathBuf {
        self.jobs().join(names::directory(name))
    }

    /// The document of a job that was posted.
    pub(super) fn config(&self, name: &str) -> PathBuf {
        self.job(name).join("config.xml")
    }

    /// Directories of a job's builds.
    pub(super) fn builds(&self, name: &str) -> PathBuf {
        self.job(name).join("builds")
    }

    /// A build's directory.
    pub(super) fn build(&self, name: &str, number: u32) -> PathBuf {
        self.builds(name).join(number.to_string())
    }

    /// What is to be removed, out of everybody's sight.
    pub(super) fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Takes something out of sight, to be removed in one's own time. What is not there is gone already.
    pub(super) fn throw_away(&self, path: &Path) -> io::Result<()> {
        match fs::rename(path, fresh(&self.trash())?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// For files that need not outlive this server.
    pub(super) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// A name among those that nobody else has.
    pub(super) fn fresh_scratch(&self) -> io::Result<PathBuf> {
        fresh(&self.scratch())
    }

    /// Removes what was thrown away.
    pub(super) fn empty_trash(&self) -> io::Result<()> {
        clear(&self.trash())
    }
}

fn fresh(directory: &Path) -> io::Result<PathBuf> {
    let mut random = [0u8; 8];
    fill(&mut random)?;
    Ok(directory.join(HEXLOWER.encode(&random)))
}

/// Removes a file, or a directory with all that is in it; links are not followed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn clear(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        remove(&entry?.path())?;
    }
    Ok(())
}

/// Makes a directory that is nobody else's, and those above it.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that is nobody else's, whole or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&part)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&part, path)
    };
    let result = write();
    if result.is_err() {
        // Only what is half written: the file itself is as it was.
        let _ = fs::remove_file(&part);
    }
    result
}

/// Writes a file that is nobody else's, in a directory that nobody looks into yet.
pub(super) fn put_private(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is larger than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

fn take_lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("lock");
    let io = |source| OpenError::Io {
        doing: "lock",
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let mut file = options.open(&path).map_err(io)?;
    let began = Instant::now();
    while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != Errno::WOULDBLOCK && error != Errno::INTR {
            return Err(io(error.into()));
        }
        let pid = holder(&mut file);
        if pid.is_some_and(lives) || began.elapsed() >= LAST_BREATH {
            return Err(OpenError::Taken {
                path: root.to_owned(),
                pid,
            });
        }
        pause();
    }
    let mut write = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    // The number is for people; the lock is what counts, also on a full disk.
    let _ = write();
    Ok(file)
}

/// Which process wrote that it has the lock.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok();
    pid.and_then(|pid| pidfd::open(pid).ok())
        .is_some_and(|process| !pidfd::has_ended(&process))
}

fn pause() {
    let nobody: &mut [PollFd<'_>] = &mut [];
    // A signal that comes between is as good as a time that is over.
    let _ = poll(nobody, Timespec::try_from(LOOK).ok().as_ref());
}

fn secret_key(path: &Path) -> io::Result<Vec<u8>> {
    match read_bounded(path, 4096) {
        Ok(key) if key.len() >= 32 => return Ok(key),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = vec![0u8; 32];
    fill(&mut key)?;
    write_private(path, &key)?;
    Ok(key)
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| io::Error::other("the system gave no random bytes"))
}

/// One purpose's own secret: the key itself is given to nobody.
fn bytes_of(key: &[u8], purpose: &[u8]) -> [u8; 32] {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    let tag = ring::hmac::sign(&key, purpose);
    let mut bytes = [0u8; 32];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    bytes
}

fn derived(key: &[u8], purpose: &[u8]) -> String {
    HEXLOWER.encode(&bytes_of(key, purpose))
}
