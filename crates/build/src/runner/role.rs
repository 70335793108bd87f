//! Runners as others see them: how one is started, found again, and told to stop.
//!
//! Whoever starts a runner locks `alive` for it before it exists, and it inherits the lock, as the
//! guardians below it do: the lock is free when the last of them is gone, and never before the runner has
//! begun. So a server that was killed at any moment is told the truth by [`adopt`].

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::fs::FlockOperation;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use ward_model::signal::Signal;
use ward_sys::contain::process::{Process, Told};
use ward_sys::pidfd;

use super::{build, stops};
use crate::git;
use crate::plan::{Plan, file};
use crate::state::{State, StopRequest};

/// The variable that tells a started executable what it is to be.
const VARIABLE: &str = "WARD_ROLE";
const ROLE: &str = "build";

/// How it is called among processes.
const NAME: &str = "ward-build";

/// What a runner itself says when it goes wrong, in the build's directory.
const COMPLAINTS: &str = "runner.err";

/// Of the environment of whoever starts it, a runner gets these: what its own work needs. What steps
/// find in theirs is in the plan.
const PASSED_ON: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
    "WARD_LOCKS_HELD",
    "WARD_LOCK_DIR",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// More of it is not shown, bytes.
const MAX_COMPLAINTS: u64 = 64 << 10;

/// A runner that has just begun may not have said yet who it is: for so long it is asked again.
const BEGINS: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// More is no file of ours, bytes.
const MAX_STATE: u64 = 1 << 20;

/// A runner that was started. It is a child of this process: [`reap`] it when its descriptor is readable.
#[derive(Debug)]
pub struct Started {
    /// Its process id.
    pub pid: i32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
}

/// What is there of a build.
#[derive(Debug)]
pub enum Found {
    /// Its runner works. The descriptor is readable once it has ended.
    Running(OwnedFd),
    /// Its runner was killed, and what it had in custody is being ended: ask again soon.
    Closing,
    /// It is over, or its runner was killed, and nothing of it runs. Whether there is an outcome tells
    /// which.
    Ended,
    /// No runner has ever begun.
    NeverStarted,
}

/// What this process is to be, if whoever started it said that it is a runner: then it is one, and this
/// is how it ended. To be asked before anything else, after `ward_engine::embed::guardian_entry`.
#[must_use]
pub fn by_role() -> Option<ExitCode> {
    if std::env::var_os(VARIABLE)? != ROLE {
        return None;
    }
    let run = || -> io::Result<ExitCode> {
        let directory = std::env::args_os()
            .nth(1)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no directory is named"))?;
        let alive = ward_sys::spawn::own_standard_stream(0)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        build::be_runner(Path::new(&directory), &alive)
    };
    Some(run().unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "{NAME}: {}", ward_engine::chain(&error));
        ExitCode::FAILURE
    }))
}

/// Starts the runner of the build whose plan is in `directory`.
///
/// # Errors
/// The directory cannot be written, a runner works there already (`WouldBlock`), or no process can be
/// had. Then nothing was started.
pub fn start(directory: &Path) -> io::Result<Started> {
    start_with(directory, Stdio::null())
}

/// As [`start`], with a standard output for what is echoed.
pub(super) fn start_with(directory: &Path, stdout: Stdio) -> io::Result<Started> {
    let alive = private().create(true).open(directory.join(file::ALIVE))?;
    rustix::fs::flock(&alive, FlockOperation::NonBlockingLockExclusive)?;
    let complaints = private()
        .create(true)
        .append(true)
        .open(directory.join(COMPLAINTS))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg0(NAME)
        .arg(directory)
        .current_dir("/")
        .env_clear()
        .stdin(alive)
        .stdout(stdout)
        .stderr(complaints);
    for name in PASSED_ON.iter().chain(&git::PASSED_ON) {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let child = command.env(VARIABLE, ROLE).spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    // Nobody has waited for it, so the number is its own.
    let pidfd = pidfd::open(pid)?;
    Ok(Started { pid, pidfd })
}

/// Takes the remains of a runner that has ended, if it was a child of this process.
pub fn reap(pidfd: &OwnedFd) {
    use std::os::fd::AsFd;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    // Of somebody else's child there is nothing to be taken.
    let _ = waitid(WaitId::PidFd(pidfd.as_fd()), options);
}

/// Looks what is there of a build.
///
/// # Errors
/// The directory cannot be read.
pub fn adopt(directory: &Path) -> io::Result<Found> {
    let began = Instant::now();
    loop {
        if !is_alive(directory)? {
            let anything = [file::OUTCOME, file::STATE, file::LOG];
            let has_begun = anything.iter().any(|name| directory.join(name).exists());
            return Ok(if has_begun {
                Found::Ended
            } else {
                Found::NeverStarted
            });
        }
        if let Some(state) = state(directory) {
            return Ok(match runner_of(&state) {
                Some(pidfd) => Found::Running(pidfd),
                None if is_alive(directory)? => Found::Closing,
                None => Found::Ended,
            });
        }
        if began.elapsed() >= BEGINS {
            // It was killed before it could say who it is, and somebody has its lock.
            return Ok(Found::Closing);
        }
        pause(ASK_AGAIN);
    }
}

/// Asks a build to stop. One that is over is left alone.
///
/// # Errors
/// The request cannot be written down, or the runner may not be told.
pub fn stop(directory: &Path, request: &StopRequest) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let mut file = private()
        .create(true)
        .append(true)
        .open(directory.join(file::STOPS))?;
    let written = file.write_all(&line).and_then(|()| file.sync_data());
    // One that has not said yet who it is reads it when it has.
    let Some(state) = state(directory) else {
        return written;
    };
    let Some(process) = Process::hold(state.pid) else {
        return Ok(());
    };
    if process.stat().start_ticks != state.start_time {
        return Ok(());
    }
    let told = match &written {
        Ok(()) => process.signal_with(Signal::TERM.number(), stops::WRITTEN),
        // Where there is no room to write who asks, it hears of it at least. Two are one without grace.
        Err(_) if request.force => match process.signal(Signal::TERM.number()) {
            Told::Yes => process.signal(Signal::HUP.number()),
            other @ (Told::Gone | Told::Denied) => other,
        },
        Err(_) => process.signal(Signal::TERM.number()),
    };
    match told {
        Told::Yes | Told::Gone => Ok(()),
        Told::Denied => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Whether a runner works there, or something that one had in custody is left.
fn is_alive(directory: &Path) -> io::Result<bool> {
    let file = match File::open(directory.join(file::ALIVE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn runner_of(state: &State) -> Option<OwnedFd> {
    let pidfd = pidfd::open(state.pid).ok()?;
    let stat = ward_sys::procfs::Stat::of(state.pid)?;
    (stat.start_ticks == state.start_time && !pidfd::has_ended(&pidfd)).then_some(pidfd)
}

/// What a runner says of itself.
pub(super) fn state(directory: &Path) -> Option<State> {
    serde_json::from_slice(&read(&directory.join(file::STATE), MAX_STATE).ok()?).ok()
}

/// The plan in a build's directory.
///
/// # Errors
/// It cannot be read, or is none of this version.
pub(super) fn plan(directory: &Path) -> io::Result<Plan> {
    let bytes = read(&directory.join(file::PLAN), 64 << 20)?;
    let plan: Plan = serde_json::from_slice(&bytes)?;
    if plan.version != crate::plan::VERSION {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(plan)
}

/// What the runner of a build said when it went wrong.
#[must_use]
pub fn complaint(directory: &Path) -> String {
    let said = read(&directory.join(COMPLAINTS), MAX_COMPLAINTS).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Puts a file in its place by one rename; with `durable`, so that a host that loses its power has it
/// then or has not. Room that was kept for it is used.
///
/// # Errors
/// As the system calls; the old file is still there.
pub(super) fn put(directory: &Path, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
    prepare(directory, name, bytes, durable)?;
    place(directory, name, durable)
}

/// Writes what [`place`] puts in its place.
///
/// # Errors
/// As the system calls; the old file is still there.
pub(super) fn prepare(directory: &Path, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
    // Not emptied first: that would give away the room.
    let mut file = private()
        .create(true)
        .truncate(false)
        .open(directory.join(file::part(name)))?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    if durable {
        file.sync_all()?;
    }
    Ok(())
}

/// Puts in its place what was prepared.
///
/// # Errors
/// As the system calls; the old file is still there.
pub(super) fn place(directory: &Path, name: &str, durable: bool) -> io::Result<()> {
    fs::rename(directory.join(file::part(name)), directory.join(name))?;
    if durable {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Removes what was kept for requests to stop, if nobody has written any.
pub(super) fn give_back_room(directory: &Path) {
    let stops = directory.join(file::STOPS);
    if fs::metadata(&stops).is_ok_and(|about| about.len() == 0) {
        // Who asks after that makes it anew, and is not heard.
        let _ = fs::remove_file(&stops);
    }
}

/// Writes over a file that is there, where there is no room for another: in one piece, and padded with blanks,
/// so that who reads it meanwhile finds the old one or the new.
///
/// # Errors
/// As the system calls; it has no room for that.
pub(super) fn put_over(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = private().open(directory.join(name))?;
    let about = file.metadata()?;
    let length = usize::try_from(about.len()).map_err(io::Error::other)?;
    let mut padded = bytes.to_vec();
    padded.resize(length.max(bytes.len()), b' ');
    // Blocks are counted by 512 bytes, stat(2).
    if padded.len() as u64 > about.blocks().saturating_mul(512) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    file.write_all_at(&padded, 0)
}

/// How files are opened that nobody else may read.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}

fn pause(time: Duration) {
    let nobody: &mut [PollFd<'_>] = &mut [];
    let _ = poll(nobody, Timespec::try_from(time).ok().as_ref());
}
