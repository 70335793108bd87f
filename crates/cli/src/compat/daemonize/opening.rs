//! The files that are opened before the start: the lock, and all that is opened with the
//! rights that the daemon will have.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

use super::command_line::Request;
use super::refusal::{Refusal, cannot, reason};

const DEV_NULL: &str = "/dev/null";

/// What becomes of a file's content when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Kept,
    Removed,
    AddedTo,
}

pub(super) fn open_to_write(path: &OsStr, mode: u32, existing: Existing) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(existing == Existing::Removed)
        .append(existing == Existing::AddedTo)
        .mode(mode)
        .open(path)
}

pub(super) fn lock(path: &OsStr) -> Result<OwnedFd, Refusal> {
    let file = open_to_write(path, 0o600, Existing::Kept)
        .map_err(|error| cannot("create lock file", path, "", &error))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Refusal::new(format!(
            "Can't lock the lock file \"{}\". Is another instance running?",
            path.display()
        ))
    })?;
    Ok(file.into())
}

/// What is opened with the rights that the daemon will have.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stdio: [OwnedFd; 3],
    pub(super) directory: OsString,
    pub(super) second_pid_file: Option<(OsString, File)>,
}

impl Opened {
    pub(super) fn new(request: &Request) -> Result<Self, Refusal> {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEV_NULL)
            .map_err(|error| Refusal::new(format!("Can't open {DEV_NULL}: {}", reason(&error))))?;
        let again = |file: &File| {
            file.try_clone().map_err(|error| {
                Refusal::with_hint(
                    &format!(
                        "daemonize: cannot duplicate a descriptor: {}",
                        reason(&error)
                    ),
                    "the limit of open files may be reached; see `ulimit -n`",
                )
            })
        };
        let stdout = match &request.stdout {
            None => again(&null)?,
            Some(path) => output(request, path, " for stdout")?,
        };
        let stderr = match &request.stderr {
            None => again(&null)?,
            // By the same name: one open file, so that neither overwrites the other.
            same if *same == request.stdout => again(&stdout)?,
            Some(path) => output(request, path, " for stderr")?,
        };
        let directory = directory(request.directory.as_deref().unwrap_or(OsStr::new("/")))?;
        Ok(Self {
            second_pid_file: second_pid_file(request, &directory)?,
            stdio: [null.into(), stdout.into(), stderr.into()],
            directory,
        })
    }
}

fn output(request: &Request, path: &OsStr, purpose: &str) -> Result<File, Refusal> {
    let (doing, existing) = if request.append {
        ("Appending to", Existing::AddedTo)
    } else {
        ("Overwriting", Existing::Removed)
    };
    request.tell(format_args!("{doing} {}", path.display()));
    open_to_write(path, 0o666, existing).map_err(|error| cannot("open", path, purpose, &error))
}

/// Makes sure that a directory can be entered, and gives its absolute path.
fn directory(path: &OsStr) -> Result<OsString, Refusal> {
    let refuse = |error: io::Error| cannot("change working directory to", path, "", &error);
    let mut inside = path.to_owned();
    if !path.is_empty() {
        // Its own entry is seen only by who may search it.
        inside.push("/.");
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&inside, flags, Mode::empty()).map_err(|error| refuse(error.into()))?;
    let absolute = std::path::absolute(path).map_err(refuse)?;
    Ok(absolute.into_os_string())
}

/// The original creates a pid file of a relative name where it was started, and writes one
/// where the daemon starts. Here both get the id.
fn second_pid_file(
    request: &Request,
    directory: &OsStr,
) -> Result<Option<(OsString, File)>, Refusal> {
    let Some(name) = request.pid_file.as_deref() else {
        return Ok(None);
    };
    let path = Path::new(directory).join(name).into_os_string();
    if std::path::absolute(name).is_ok_and(|first| first.as_os_str() == path) {
        return Ok(None);
    }
    let file = open_to_write(&path, 0o666, Existing::Kept)
        .map_err(|error| cannot("open PID file", &path, "", &error))?;
    Ok(Some((path, file)))
}
