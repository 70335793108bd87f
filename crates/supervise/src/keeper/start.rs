//! From the user's process to the keeper.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::Resource;
use thiserror::Error;
use ward_sys::contain::subreaper;
use ward_sys::fork::{self, Side};
use ward_sys::{handover, pipe};

use super::offspring::SELF;
use super::place::{Place, PlaceError, Taken};
use super::role::{self, House, Role, RoleError};
use super::roster::{LAYOUT_VERSION, Word};
use super::watch::Keeper;
use super::{handing, pipes, place, upgrade};

/// How to keep.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the runtime directory is ([`super::place::usual`]).
    pub place: Place,
    /// Whether the user's process returns once the daemon is ready, and the keeper goes on in a session
    /// of its own.
    pub daemonize: bool,
    /// Whether `/dev/null` takes the place of keeper's and daemon's standard streams once the daemon is
    /// ready.
    pub silence: bool,
    /// Where the keeper works, if elsewhere. The daemon is told where the user's process was
    /// ([`super::Custody::started_in`]), as what is written relative to that is read again.
    pub directory: Option<PathBuf>,
}

/// Why there is no keeper.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no runtime directory.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The kernel refused.
    #[error("{what}")]
    Step {
        /// What was being done.
        what: &'static str,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

impl StartError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Place(error) => error.hint(),
            Self::Step { .. } => None,
        }
    }

    fn step(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Step { what, error }
    }
}

/// Makes this process the keeper; with [`Plan::daemonize`], a child of it.
///
/// Everything that can be wrong with the configuration has to be found out before. This process must have
/// no other threads. Nothing may have changed since it was started by which the same words would mean
/// something else: keeper and daemon have the same arguments, environment and directory.
///
/// Returns only in the user's process that waits, with the status that it is to end with; without
/// [`Plan::daemonize`], never but for an error.
///
/// # Errors
/// [`StartError`]: nothing was started.
pub fn start(plan: &Plan) -> Result<ExitCode, StartError> {
    let waits = if plan.daemonize {
        match fork_away().map_err(StartError::step("cannot go into the background"))? {
            Half::User(code) => return Ok(code),
            Half::Keeper(waits) => Some(waits),
        }
    } else {
        None
    };
    let taken = plan.place.take()?;
    prepare(&taken, plan).map_err(|error| {
        StartError::Place(PlaceError::Io {
            path: taken.path.clone(),
            error,
        })
    })?;
    let house = House {
        roster: taken.roster,
        directory: taken.directory,
    };
    let passed = house.pass_on().and_then(|()| match &waits {
        Some(waits) => handover::pass_on(waits),
        None => Ok(()),
    });
    passed.map_err(StartError::step("cannot prepare the keeper"))?;
    let role = role::keeper(&house, waits.as_ref());
    let error = upgrade::become_keeper(&house, OsStr::new(SELF), role);
    Err(StartError::step("cannot start the keeper")(error))
}

fn prepare(taken: &Taken, plan: &Plan) -> io::Result<()> {
    if taken.is_fresh {
        // Of another boot, or of a roster that nobody has any more.
        for (slot, generation, end) in pipes::all(taken.directory.as_fd())? {
            pipes::remove(taken.directory.as_fd(), slot, generation, end);
        }
    }
    let roster = &taken.roster;
    let argv0 = std::env::args_os().next().unwrap_or_default();
    let executable = std::env::current_exe()?;
    roster.set_program(argv0.as_bytes(), executable.as_os_str().as_bytes());
    roster.set(Word::Quiet, u64::from(plan.silence));
    roster.set(Word::EverReady, 0);
    // Signals to an earlier keeper were not meant for this one.
    for word in [
        Word::Signals,
        Word::SignalsHeard,
        Word::LastEnd,
        Word::UpgradeRefused,
    ] {
        roster.set(word, 0);
    }
    place::remember_start(&taken.path, plan.directory.is_some())?;
    if let Some(directory) = &plan.directory {
        #[expect(
            clippy::disallowed_methods,
            reason = "this process has one thread, and is about to become the keeper"
        )]
        std::env::set_current_dir(directory)?;
    }
    let limit = rustix::process::getrlimit(Resource::Nofile);
    roster.set(Word::NofileSoft, limit.current.unwrap_or(u64::MAX));
    roster.set(Word::NofileHard, limit.maximum.unwrap_or(u64::MAX));
    Ok(())
}

enum Half {
    User(ExitCode),
    Keeper(OwnedFd),
}

fn fork_away() -> io::Result<Half> {
    let (reader, writer) = pipe::pipe()?;
    match fork::fork_single_threaded()? {
        Side::Child => {
            rustix::process::setsid()?;
            Ok(Half::Keeper(writer))
        }
        Side::Parent(pid) => {
            drop(writer);
            let flags = rustix::fs::fcntl_getfl(&reader)?;
            rustix::fs::fcntl_setfl(&reader, flags - rustix::fs::OFlags::NONBLOCK)?;
            let mut code = [1];
            let code = match std::fs::File::from(reader).read_exact(&mut code) {
                Ok(()) => code[0],
                // It ended without a word to us: it has said why.
                Err(_) => match ward_sys::reap::wait_for_status(pid) {
                    Some(ward_sys::reap::Status::Exited(code)) if code != 0 => code,
                    _ => 1,
                },
            };
            Ok(Half::User(ExitCode::from(code)))
        }
    }
}

/// Plays the part that this process was given by another of ours: keeps, if it is to be a keeper. To be
/// called first of all in `main`, before there are threads. None for everybody else: the daemon too goes
/// on, to [`super::Custody::from_role`].
#[must_use]
pub fn by_role() -> Option<ExitCode> {
    let role = match role::take(true)? {
        Ok(role) => role,
        Err(error) => return Some(refuse(&error, &error.hint())),
    };
    let kept = match role {
        Role::Check(version) if version == LAYOUT_VERSION => {
            return Some(ExitCode::from(upgrade::FITS));
        }
        Role::Check(_) => return Some(ExitCode::from(upgrade::DOES_NOT_FIT)),
        Role::Keeper(house, waits) => keep(house, waits, None),
        Role::Again(house, list) => keep(house, None, Some(list)),
        Role::Daemon(..) => return Some(refuse(&RoleError::Word, &RoleError::Word.hint())),
    };
    Some(kept.unwrap_or_else(|error| refuse(&error, "")))
}

fn keep(house: House, waits: Option<OwnedFd>, list: Option<OwnedFd>) -> io::Result<ExitCode> {
    let argv0 = house.roster.argv0();
    let name = Path::new(OsStr::from_bytes(&argv0)).file_name();
    if let Some(name) = name
        && let Ok(name) = std::ffi::CString::new(name.as_bytes())
    {
        subreaper::set_name(&name);
    }
    let passed = list.map_or_else(|| Ok(Vec::new()), handing::read)?;
    Ok(Keeper::new(house, waits, passed)?.run())
}

fn refuse(error: &(dyn std::error::Error + 'static), hint: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {}", ward_engine::chain(error));
    if !hint.is_empty() {
        let _ = writeln!(io::stderr(), "hint: {hint}");
    }
    ExitCode::from(2)
}

/// What the daemon writes down of itself: the last one leaves it.
const DAEMONS: &str = "daemon.json";

/// Removes a runtime directory and all of ours that is in it.
pub(super) fn remove(directory: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    for (slot, generation, end) in pipes::all(directory).unwrap_or_default() {
        pipes::remove(directory, slot, generation, end);
    }
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    for file in ["roster", place::STARTED_IN, DAEMONS] {
        let _ = rustix::fs::unlinkat(directory, file, rustix::fs::AtFlags::empty());
    }
    if let Ok(path) = path {
        let _ = std::fs::remove_dir(path);
    }
}
