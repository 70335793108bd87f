//! Starting a command.
//!
//! The child is a `clone(CLONE_VM | CLONE_VFORK)`: it borrows this process's memory until
//! its exec while this process stands still, so that nothing is copied and a failure
//! reaches the parent through memory instead of a pipe. fork(2) was measured at twice the
//! time, and posix_spawn(3) cannot set users, limits or cgroups.
//!
//! Between clone and exec nothing may allocate, log, lock or panic: everything that the
//! child needs is prepared by [`Launch::new`], and the child makes raw system calls only.

mod beside;
mod birth;
mod child;

pub use beside::{Beside, Landing, NotBeside};

use std::ffi::{CString, NulError, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use rustix::process::Pid;

use crate::shared::SharedNumber;
use crate::stage::Stage;
use beside::Landed;
use child::child_main;

/// Descriptors that are handed to the child are first moved to or above this number, so
/// that putting one in its place never overwrites another.
const PARKING: RawFd = 10;

/// The child's stack, in units of 16 bytes.
const STACK: usize = 2048;

/// In which process group the child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// One of its own.
    New,
    /// This one, of the same session.
    Join(Pid),
    /// One of its own in a session of its own, without a terminal: a daemon's.
    NewSession,
    /// One of its own, in the foreground of the terminal that is this one (0 to 2) of its
    /// standard streams.
    NewForeground(usize),
    /// The caller's.
    Same,
}

/// One resource limit by its `RLIMIT_` number; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// `RLIMIT_` number.
    pub resource: u32,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// User and groups by number.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub uid: u32,
    /// Real, effective and saved group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// How the child gets into its cgroup.
#[derive(Debug, Clone, Copy)]
pub enum Join<'a> {
    /// Born into this cgroup directory (clone(2), CLONE_INTO_CGROUP).
    Birth(BorrowedFd<'a>),
    /// By writing to this open `cgroup.procs`. Works also where a cgroup was killed before,
    /// but waits for a grace period of the whole machine: 10 ms and more.
    Write(BorrowedFd<'a>),
}

/// A variable of an environment: its name and its value.
pub type Variable<'a> = (&'a OsStr, &'a OsStr);

/// Everything about the child but its program.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Its environment, complete.
    pub environment: &'a [Variable<'a>],
    /// Its directory, if another than ours.
    pub directory: Option<&'a OsStr>,
    /// Its credentials, if others than ours.
    pub credentials: Option<&'a Credentials>,
    /// Its file mode creation mask, if another than ours.
    pub umask: Option<u32>,
    /// Added to the niceness.
    pub nice: Option<i32>,
    /// Its resource limits, where they differ from ours.
    pub limits: &'a [Limit],
    /// Its process group.
    pub group: Group,
    /// The cgroup to be in.
    pub cgroup: Option<Join<'a>>,
    /// Its standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Other descriptors to keep under their numbers.
    pub keep: &'a [RawFd],
    /// Descriptors to give it under these numbers, each above 2.
    pub place: &'a [(BorrowedFd<'a>, RawFd)],
    /// Files into which it writes its own id, a line each, just before its exec: whatever was
    /// in them is gone then, and it finds the id there itself.
    pub tell_pid: &'a [BorrowedFd<'a>],
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A string for the kernel contains a NUL byte.
    #[error("an argument, a variable or the directory contains a NUL byte")]
    Nul(#[from] NulError),
    /// Before the child existed.
    #[error("cannot start a process")]
    Clone(#[source] io::Error),
    /// A step in the child failed.
    #[error("{}", stage.describe())]
    Step {
        /// Which.
        stage: Stage,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The child was killed before it could begin, as happens to children born into, or
    /// out of, a cgroup that `cgroup.kill` was used on.
    #[error("the new process was killed at its birth while {}", stage.describe())]
    KilledAtBirth {
        /// How far it came.
        stage: Stage,
    },
}

impl SpawnError {
    /// The stage that failed and the error number, where there are such.
    #[must_use]
    pub fn stage_and_errno(&self) -> (Stage, i32) {
        match self {
            Self::Nul(_) => (Stage::Begin, libc::EINVAL),
            Self::Clone(error) => (Stage::Begin, error.raw_os_error().unwrap_or(0)),
            Self::Step { stage, error } => (*stage, error.raw_os_error().unwrap_or(0)),
            Self::KilledAtBirth { stage } => (*stage, 0),
        }
    }
}

/// NUL-terminated strings, one behind the other, and the array of pointers to them that execve(2) wants.
#[derive(Debug)]
struct StringArray {
    _bytes: Vec<u8>,
    pointers: Vec<*const libc::c_char>,
}

impl StringArray {
    /// Of strings that are given in pieces.
    fn new<'a, const PIECES: usize>(
        strings: impl Iterator<Item = [&'a [u8]; PIECES]> + Clone,
    ) -> Result<Self, NulError> {
        let length =
            |pieces: [&[u8]; PIECES]| pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let (count, size) = strings.clone().fold((0, 0), |(count, size), pieces| {
            (count + 1, size + length(pieces) + 1)
        });
        // Room for all: nothing is moved that is pointed to.
        let mut bytes: Vec<u8> = Vec::with_capacity(size);
        let mut pointers = Vec::with_capacity(count + 1);
        for pieces in strings {
            let start = bytes.len();
            for piece in pieces {
                bytes.extend_from_slice(piece);
            }
            if bytes[start..].contains(&0) {
                CString::new(&bytes[start..])?;
            }
            bytes.push(0);
            pointers.push(bytes[start..].as_ptr().cast());
        }
        pointers.push(ptr::null());
        Ok(Self {
            _bytes: bytes,
            pointers,
        })
    }
}

/// A command, prepared to the last pointer.
#[derive(Debug)]
pub struct Launch {
    /// Paths to try, in order; a missing one gives way to the next (execvp(3)).
    candidates: Vec<CString>,
    argv: StringArray,
    /// The arguments with which `/bin/sh` runs a candidate as a script without a `#!` line,
    /// as execvp(3) does on ENOEXEC. The child puts the candidate in the second place.
    script_argv: Vec<AtomicPtr<libc::c_char>>,
    envp: StringArray,
    directory: Option<CString>,
    credentials: Option<Credentials>,
    umask: Option<u32>,
    nice: Option<i32>,
    limits: Vec<Limit>,
    group: Group,
    cgroup_directory: Option<OwnedFd>,
    cgroup_procs: Option<OwnedFd>,
    /// None for one whose streams are given when it is started.
    stdio: Option<[OwnedFd; 3]>,
    keep: Vec<RawFd>,
    place: Vec<(OwnedFd, RawFd)>,
    tell_pid: Vec<OwnedFd>,
    ignored: Vec<i32>,
    /// Where the standard streams are, if the child shares our descriptors at first.
    landed: Option<Landed>,
    /// The child's word to its parent: how far it came, and the errno of what failed.
    stage: AtomicU32,
    errno: AtomicI32,
}

const SHELL: &std::ffi::CStr = c"/bin/sh";

impl Launch {
    /// Prepares `command` (program and arguments) with these surroundings.
    ///
    /// A program without a slash is searched for in the child's `PATH`, or in `/bin:/usr/bin`
    /// if it has none.
    ///
    /// # Errors
    /// When a string contains a NUL byte or a descriptor cannot be duplicated.
    pub fn new(command: &[OsString], around: &Surroundings<'_>) -> Result<Self, SpawnError> {
        let parking = parking_for(around);
        let [stdin, stdout, stderr] = around.stdio;
        Ok(Self {
            stdio: Some([
                park(stdin, parking)?,
                park(stdout, parking)?,
                park(stderr, parking)?,
            ]),
            ..Self::without_streams(command, around)?
        })
    }

    /// The same for [`Launch::start_beside`], which is given the streams.
    ///
    /// # Errors
    /// As [`Launch::new`].
    pub fn without_streams(
        command: &[OsString],
        around: &Surroundings<'_>,
    ) -> Result<Self, SpawnError> {
        let c = |text: &OsStr| CString::new(text.as_bytes());
        let empty = OsString::new();
        let program = command.first().unwrap_or(&empty);
        let path = around
            .environment
            .iter()
            .rev()
            .find(|(key, _)| *key == "PATH")
            .map(|(_, value)| *value);
        let candidates = candidates(program, path)
            .iter()
            .map(|path| c(path))
            .collect::<Result<Vec<_>, _>>()?;
        let argv = StringArray::new(command.iter().map(|word| [word.as_bytes()]))?;
        let null = ptr::null_mut();
        let script_argv = [SHELL.as_ptr().cast_mut(), null]
            .into_iter()
            .chain(argv.pointers.iter().skip(1).map(|arg| arg.cast_mut()))
            .map(AtomicPtr::new)
            .collect();
        let variables = around.environment.iter();
        let envp = StringArray::new(
            variables.map(|(name, value)| [name.as_bytes(), b"=".as_slice(), value.as_bytes()]),
        )?;
        let parking = parking_for(around);
        let park = |fd| park(fd, parking);
        // Looks the first time, which is not the child's business.
        let _ = crate::signals::may_be_ignored();
        Ok(Self {
            candidates,
            argv,
            script_argv,
            envp,
            directory: around.directory.map(c).transpose()?,
            credentials: around.credentials.cloned(),
            umask: around.umask,
            nice: around.nice,
            limits: around.limits.to_vec(),
            group: around.group,
            cgroup_directory: match around.cgroup {
                Some(Join::Birth(directory)) => Some(park(directory)?),
                Some(Join::Write(_)) | None => None,
            },
            cgroup_procs: match around.cgroup {
                Some(Join::Write(procs)) => Some(park(procs)?),
                Some(Join::Birth(_)) | None => None,
            },
            stdio: None,
            keep: around.keep.to_vec(),
            place: around
                .place
                .iter()
                .map(|(fd, number)| Ok((park(*fd)?, *number)))
                .collect::<Result<_, SpawnError>>()?,
            tell_pid: around
                .tell_pid
                .iter()
                .map(|fd| park(*fd))
                .collect::<Result<_, _>>()?,
            ignored: Vec::new(),
            landed: None,
            stage: AtomicU32::new(Stage::Begin as u32),
            errno: AtomicI32::new(0),
        })
    }

    /// The child begins with these signals ignored, all others having their default dispositions.
    #[must_use]
    pub fn ignoring(mut self, signals: &[i32]) -> Self {
        self.ignored.extend_from_slice(signals);
        self
    }

    /// What is executed is this file, and the command's first word only what it is called.
    ///
    /// # Errors
    /// When the path contains a NUL byte.
    pub fn executing(mut self, file: &OsStr) -> Result<Self, SpawnError> {
        self.candidates = vec![CString::new(file.as_bytes())?];
        Ok(self)
    }

    /// Starts it and returns its process id, once its exec has succeeded.
    ///
    /// The calling thread stands still until then; the child is not waited for. The kernel
    /// writes its id to `told` before it runs, so that whoever shares that number knows of
    /// it even if this process is killed meanwhile.
    ///
    /// # Errors
    /// [`SpawnError`] names the step. After an error there is no child.
    pub fn start(&self, told: &SharedNumber) -> Result<Pid, SpawnError> {
        let blocked = crate::signals::block_everything();
        let (pid, clone_error) = match self.clone_child(told) {
            Ok(pid) => (pid, None),
            Err(error) => (0, Some(error)),
        };
        blocked.restore();
        if let Some(error) = clone_error {
            return Err(match &self.cgroup_directory {
                Some(_) => SpawnError::Step {
                    stage: Stage::JoinCgroup,
                    error,
                },
                None => SpawnError::Clone(error),
            });
        }
        let Some(pid) = Pid::from_raw(pid) else {
            return Err(SpawnError::Clone(io::Error::from_raw_os_error(libc::ESRCH)));
        };
        let stage = Stage::from_number(self.stage.load(Ordering::Acquire));
        let errno = self.errno.load(Ordering::Acquire);
        if errno == 0 && stage == Stage::Exec {
            return Ok(pid);
        }
        crate::reap::wait_for(pid);
        if errno == 0 {
            return Err(SpawnError::KilledAtBirth { stage });
        }
        Err(SpawnError::Step {
            stage,
            error: io::Error::from_raw_os_error(errno),
        })
    }

    /// Makes the child, which runs `child_main`, and returns once it has exec'd or ended.
    fn clone_child(&self, told: &SharedNumber) -> io::Result<libc::pid_t> {
        // The child uses little: a few frames of raw system calls. Not zeroed, so that only
        // the pages that it uses are ever touched.
        let mut stack: Vec<u128> = Vec::with_capacity(STACK);
        let stack = &mut stack.spare_capacity_mut()[..STACK];
        let me = ptr::from_ref(self).cast_mut().cast::<libc::c_void>();
        if let Some(directory) = &self.cgroup_directory {
            return birth::clone_into(stack, directory.as_fd(), told, child_main, me);
        }
        let top = stack.as_mut_ptr_range().end.cast::<libc::c_void>();
        // SAFETY: the child runs `child_main` on `stack`, which outlives it there because
        // CLONE_VFORK keeps this thread here until the child has exec'd or ended; `me`
        // points to `self`, which is borrowed for as long; the child only writes to the
        // two atomics. Signals are blocked, so no handler runs in the shared memory.
        let pid = unsafe {
            libc::clone(
                child_main,
                top,
                libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID | libc::SIGCHLD,
                me,
                told.address(),
            )
        };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pid)
    }

    /// The program file that exec is tried with first, for messages.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        self.candidates
            .first()
            .map_or(OsStr::new(""), |path| OsStr::from_bytes(path.as_bytes()))
    }
}

/// From which number on descriptors are parked.
fn parking_for(around: &Surroundings<'_>) -> RawFd {
    let highest = around.place.iter().map(|(_, number)| number + 1).max();
    PARKING.max(highest.unwrap_or(0))
}

fn park(fd: BorrowedFd<'_>, parking: RawFd) -> Result<OwnedFd, SpawnError> {
    rustix::io::fcntl_dupfd_cloexec(fd, parking).map_err(|error| SpawnError::Clone(error.into()))
}

fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<OsString> {
    if program.is_empty() || program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    path.unwrap_or(OsStr::new("/bin:/usr/bin"))
        .as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| {
            let mut file = if directory.is_empty() {
                b".".to_vec()
            } else {
                directory.to_vec()
            };
            file.push(b'/');
            file.extend_from_slice(program.as_bytes());
            OsString::from_vec(file)
        })
        .collect()
}

/// Whether the caller left `fd` open for us, so that it can be kept for the child. Descriptors of
/// our own have the close-on-exec flag, which none has that came through an exec.
#[must_use]
pub fn is_inherited(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only asks, and a number that is no descriptor is answered by EBADF.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// Takes a descriptor that the caller left open for us, so that nobody inherits it from us; none
/// if it is not open, or is one of our own.
#[must_use]
pub fn take_inherited(fd: RawFd) -> Option<OwnedFd> {
    if !is_inherited(fd) {
        return None;
    }
    // SAFETY: a descriptor without the flag came from the caller, and nobody in this process owns it;
    // once it was taken it has the flag.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&owned, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(owned)
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Duplicates a standard stream, or opens `/dev/null` in its stead if it is closed.
///
/// # Errors
/// When no descriptor can be had.
pub fn own_standard_stream(number: RawFd) -> io::Result<OwnedFd> {
    debug_assert!((0..=2).contains(&number));
    if !is_open(number) {
        return Ok(rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?);
    }
    let fd = match number {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    };
    Ok(rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), PARKING)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_in_path() {
        let path = OsStr::new("/a::/b");
        assert_eq!(
            candidates(OsStr::new("x"), Some(path)),
            ["/a/x", "./x", "/b/x"]
        );
        assert_eq!(candidates(OsStr::new("./x"), Some(path)), ["./x"]);
        assert_eq!(candidates(OsStr::new(""), Some(path)), [""]);
    }

    #[test]
    fn stages_have_their_numbers() {
        for (number, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, number);
            assert_eq!(Stage::from_number(stage as u32), stage);
        }
    }
}
