//! The command line of bmc/daemonize 1.7.8: `ward daemonize`, and ward by the name `daemonize`.
//!
//! Its options, messages, exit statuses, and the order in which it looks at things, are those
//! of the original, for scripts that depend on them; `docs/reference/daemonize.md` lists what
//! differs and why. This room reads, checks and opens. It starts nothing: that is one call,
//! which the caller of [`run`] hands in.

mod command_line;
mod environment;
mod opening;
mod pid_file;
mod refusal;
mod user;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use rustix::fs::{Access, Mode};

use command_line::Request;
pub(crate) use command_line::{Parsed, parse};
use environment::environment;
use opening::{Existing, Opened, lock, open_to_write};
pub(crate) use pid_file::PidFile;
use pid_file::give_away;
pub(crate) use refusal::Refusal;
use refusal::{cannot, reason};
use user::{Who, as_user, find_user};

/// Everything that a daemon needs, checked and open.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The program by its absolute path, and its arguments; `argv[0]` is that path.
    pub(crate) command: Vec<OsString>,
    /// The whole environment, but what ward adds and takes away itself.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Where to start: an absolute path.
    pub(crate) directory: OsString,
    /// Whom to become before entering the directory.
    pub(crate) user: Option<Who>,
    /// The file mode creation mask: the caller's.
    pub(crate) umask: u32,
    /// Standard input, output and error, close-on-exec.
    pub(crate) stdio: [OwnedFd; 3],
    /// Is locked. The lock must belong to the daemon, and to whoever inherits it from the
    /// daemon: the descriptor is to be open there, and nowhere else once it runs. It is
    /// close-on-exec here.
    pub(crate) lock: Option<OwnedFd>,
    /// [`Request::extra`].
    pub(crate) extra: Vec<OsString>,
}

/// Why a daemon was not started, though everything was prepared.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// execve(2) refused the program; nothing is left of the attempt.
    Exec(io::Error),
    /// Anything else; the whole text for people, with its own hint.
    Other(Refusal),
}

/// Does what was asked. `start` starts the prepared daemon detached and gives its process id,
/// once its exec has succeeded; it may write the pid file itself as soon as it knows the id.
pub(crate) fn run(
    request: Request,
    start: impl FnOnce(Prepared, &mut PidFile) -> Result<i32, NotStarted>,
) -> ExitCode {
    let program = request.command.first().cloned().unwrap_or_default();
    let (prepared, mut pid_file) = match prepare(request) {
        Ok(ready) => ready,
        Err(refusal) => return refusal.report(),
    };
    let started = start(prepared, &mut pid_file);
    let refusal = match started {
        Ok(pid) => match pid_file.write(pid) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(refusal) => refusal,
        },
        Err(NotStarted::Exec(error)) => {
            pid_file.take_back();
            Refusal::new(format!(
                "Can't exec \"{}\": {}",
                program.display(),
                reason(&error)
            ))
        }
        Err(NotStarted::Other(refusal)) => {
            pid_file.take_back();
            refusal
        }
    };
    refusal.report()
}

/// All checks, and everything that is opened, in the original's order.
fn prepare(request: Request) -> Result<(Prepared, PidFile), Refusal> {
    let uid = rustix::process::getuid();
    if uid != rustix::process::geteuid() {
        return Err(Refusal::new(
            "This executable is too dangerous to be setuid.",
        ));
    }
    let program = request.command.first().map(OsString::as_os_str);
    check_program(program.unwrap_or_default())?;

    let lock = request.lock_file.as_deref().map(lock).transpose()?;
    let mut pid_file = PidFile {
        files: Vec::new(),
        written: None,
    };
    if let Some(path) = &request.pid_file {
        request.tell(format_args!("Creating PID file \"{}\".", path.display()));
        let file = open_to_write(path, 0o644, Existing::Kept)
            .map_err(|error| cannot("create PID file", path, "", &error))?;
        pid_file.files.push((path.clone(), file));
    }
    let user = request
        .user
        .as_deref()
        .map(|name| find_user(name, uid))
        .transpose()?;
    if let (Some(who), Some(path)) = (&user, &request.pid_file) {
        give_away(&request, path, &who.user)?;
    }

    let opened = match &user {
        None => Opened::new(&request)?,
        Some(who) => as_user(who, || Opened::new(&request))?,
    };
    pid_file.files.extend(opened.second_pid_file);
    let environment = environment(&request.environment, user.as_ref(), std::env::vars_os());
    let prepared = Prepared {
        command: request.command,
        environment,
        directory: opened.directory,
        user,
        umask: own_umask(),
        stdio: opened.stdio,
        lock,
        extra: request.extra,
    };
    Ok((prepared, pid_file))
}

fn check_program(path: &OsStr) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::new(format!("File \"{}\" {what}.", path.display())));
    if path.as_bytes().first() != Some(&b'/') {
        return Err(Refusal::new(
            "The 'path' parameter must be an absolute path name.",
        ));
    }
    if rustix::fs::access(path, Access::EXEC_OK).is_err() {
        return refuse("is not executable");
    }
    match std::fs::metadata(path) {
        Err(_) => refuse("does not exist"),
        Ok(found) if !found.is_file() => refuse("is not regular file"),
        Ok(_) => Ok(()),
    }
}

/// The mask can only be read by setting it.
fn own_umask() -> u32 {
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask);
    mask.bits()
}
