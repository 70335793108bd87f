//! Starting a command.
//!
//! The child is a `clone(CLONE_VM | CLONE_VFORK)`: it borrows this process's memory until
//! its exec while this process stands still, so that nothing is copied and a failure
//! reaches the parent through memory instead of a pipe. fork(2) was measured at twice the
//! time, and posix_spawn(3) cannot set users, limits or cgroups.
//!
//! Between clone and exec nothing may allocate, log, lock or panic: everything that the
//! child needs is prepared by [`Launch::new`], and the child makes raw system calls only.

use std::ffi::{CString, NulError, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use rustix::process::Pid;

use crate::shared::SharedNumber;
use crate::stage::Stage;

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
    /// One of its own, in the foreground of the terminal that is this one (0 to 2) of its
    /// standard streams.
    NewForeground(usize),
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

/// Everything about the child but its program.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Its environment, complete.
    pub environment: &'a [(OsString, OsString)],
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

/// NUL-terminated strings and the array of pointers to them that execve(2) wants.
#[derive(Debug)]
struct StringArray {
    _strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl StringArray {
    fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(ptr::null());
        Self {
            _strings: strings,
            pointers,
        }
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
    stdio: [OwnedFd; 3],
    keep: Vec<RawFd>,
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
        let c = |text: &OsStr| CString::new(text.as_bytes());
        let argv: Vec<CString> = command.iter().map(|arg| c(arg)).collect::<Result<_, _>>()?;
        let empty = OsString::new();
        let program = command.first().unwrap_or(&empty);
        let path = around
            .environment
            .iter()
            .rev()
            .find(|(key, _)| key == "PATH")
            .map(|(_, value)| value.as_os_str());
        let candidates = candidates(program, path)
            .iter()
            .map(|path| c(path))
            .collect::<Result<Vec<_>, _>>()?;
        let argv = StringArray::new(argv);
        let null = ptr::null_mut();
        let script_argv = [SHELL.as_ptr().cast_mut(), null]
            .into_iter()
            .chain(argv.pointers.iter().skip(1).map(|arg| arg.cast_mut()))
            .map(AtomicPtr::new)
            .collect();
        let envp = around
            .environment
            .iter()
            .map(|(key, value)| {
                // Room for the NUL too: nothing is moved to make it.
                let mut item = Vec::with_capacity(key.len() + value.len() + 2);
                item.extend_from_slice(key.as_bytes());
                item.push(b'=');
                item.extend_from_slice(value.as_bytes());
                CString::new(item)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let park = |fd: BorrowedFd<'_>| {
            rustix::io::fcntl_dupfd_cloexec(fd, PARKING)
                .map_err(|error| SpawnError::Clone(error.into()))
        };
        let [stdin, stdout, stderr] = around.stdio;
        Ok(Self {
            candidates,
            argv,
            script_argv,
            envp: StringArray::new(envp),
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
            stdio: [park(stdin)?, park(stdout)?, park(stderr)?],
            keep: around.keep.to_vec(),
            stage: AtomicU32::new(Stage::Begin as u32),
            errno: AtomicI32::new(0),
        })
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

/// Being born into a cgroup: clone3(2), which the C library does not wrap.
#[cfg(target_arch = "x86_64")]
mod birth {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsRawFd, BorrowedFd};

    use crate::shared::SharedNumber;

    /// linux/sched.h; the C library's binding of it is too narrow.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

    /// As `clone(CLONE_VM | CLONE_VFORK)`, into the cgroup of `directory`.
    ///
    /// # Errors
    /// As clone(2): EACCES outside a delegated cgroup, ENOSYS or EPERM in old containers.
    pub(super) fn clone_into(
        stack: &mut [MaybeUninit<u128>],
        directory: BorrowedFd<'_>,
        told: &SharedNumber,
        entry: extern "C" fn(*mut libc::c_void) -> libc::c_int,
        argument: *mut libc::c_void,
    ) -> io::Result<libc::pid_t> {
        // SAFETY: all zeroes are a valid `clone_args`.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID) as u64
            | CLONE_INTO_CGROUP;
        args.parent_tid = told.address() as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        args.stack = stack.as_mut_ptr() as u64;
        args.stack_size = size_of_val(stack) as u64;
        args.cgroup = directory.as_raw_fd() as u64;
        let result: i64;
        // SAFETY: in the parent the system call returns as any other, with rcx and r11 lost.
        // The child begins after it with the same registers but on `stack`, whose end is
        // aligned to 16 bytes, calls `entry`, which never returns, and so never sees our
        // frame. CLONE_VFORK keeps this thread, and with it `stack`, here meanwhile.
        unsafe {
            std::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r13",
                "call r12",
                "ud2",
                "2:",
                inlateout("rax") libc::SYS_clone3 => result,
                in("rdi") &raw const args,
                in("rsi") size_of::<libc::clone_args>(),
                in("r12") entry,
                in("r13") argument,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        if result < 0 {
            return Err(io::Error::from_raw_os_error(
                i32::try_from(-result).unwrap_or(0),
            ));
        }
        libc::pid_t::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::ERANGE))
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod birth {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::BorrowedFd;

    use crate::shared::SharedNumber;

    /// Not known how on this architecture: the caller joins by writing instead.
    ///
    /// # Errors
    /// Always ENOSYS.
    pub(super) fn clone_into(
        _stack: &mut [MaybeUninit<u128>],
        _directory: BorrowedFd<'_>,
        _told: &SharedNumber,
        _entry: extern "C" fn(*mut libc::c_void) -> libc::c_int,
        _argument: *mut libc::c_void,
    ) -> io::Result<libc::pid_t> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
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

/// The child, from clone to exec. Returns (and so exits) only on failure.
extern "C" fn child_main(launch: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` passed a pointer to a `Launch` that it borrows until we are done.
    let launch = unsafe { &*launch.cast::<Launch>() };
    if let Err(errno) = become_command(launch) {
        launch.errno.store(errno, Ordering::Release);
    }
    // Returning from here would run exit handlers of the memory that we borrow.
    // SAFETY: exit_group has no preconditions; it ends this child only.
    unsafe { libc::_exit(127) }
}

type Step = Result<(), i32>;

/// One raw system call. The wrappers of the C library are avoided for calls that it makes
/// process-wide among threads (setuid and its kin), as this child shares its memory.
fn call(number: libc::c_long, args: [usize; 4]) -> Result<usize, i32> {
    let [a, b, c, d] = args;
    // SAFETY: each caller passes numbers, or pointers into `Launch`, that live through the
    // call and are valid for the given system call.
    let result = unsafe { libc::syscall(number, a, b, c, d) };
    if result < 0 {
        return Err(
            rustix::io::Errno::from_io_error(&io::Error::last_os_error())
                .map_or(libc::EIO, rustix::io::Errno::raw_os_error),
        );
    }
    Ok(result as usize)
}

fn become_command(launch: &Launch) -> Step {
    let at = |stage: Stage| launch.stage.store(stage as u32, Ordering::Release);
    let arg = |pointer: *const libc::c_void| pointer as usize;

    if let Some(procs) = &launch.cgroup_procs {
        at(Stage::JoinCgroup);
        let zero = b"0";
        call(
            libc::SYS_write,
            [procs.as_raw_fd() as usize, arg(zero.as_ptr().cast()), 1, 0],
        )?;
    }

    at(Stage::ProcessGroup);
    let group = match launch.group {
        Group::New | Group::NewForeground(_) => 0,
        Group::Join(pid) => pid.as_raw_nonzero().get() as usize,
    };
    call(libc::SYS_setpgid, [0, group, 0, 0])?;
    if let Group::NewForeground(stream) = launch.group {
        at(Stage::Foreground);
        let me = call(libc::SYS_getpid, [0; 4])? as libc::pid_t;
        let terminal = launch.stdio[stream.min(2)].as_raw_fd() as usize;
        // SIGTTOU is blocked here, so that a background group may do this.
        call(
            libc::SYS_ioctl,
            [
                terminal,
                libc::TIOCSPGRP as usize,
                arg((&raw const me).cast()),
                0,
            ],
        )?;
    }

    at(Stage::Signals);
    reset_dispositions()?;

    if !launch.limits.is_empty() {
        at(Stage::Limits);
        for limit in &launch.limits {
            let pair: [u64; 2] = [limit.soft, limit.hard];
            call(
                libc::SYS_prlimit64,
                [0, limit.resource as usize, arg(pair.as_ptr().cast()), 0],
            )?;
        }
    }
    if let Some(increment) = launch.nice {
        at(Stage::Nice);
        // The raw call answers 20 minus the niceness (getpriority(2)).
        let current = 20
            - call(
                libc::SYS_getpriority,
                [libc::PRIO_PROCESS as usize, 0, 0, 0],
            )? as i32;
        let wanted = current.saturating_add(increment) as usize;
        call(
            libc::SYS_setpriority,
            [libc::PRIO_PROCESS as usize, 0, wanted, 0],
        )?;
    }
    if let Some(mask) = launch.umask {
        call(libc::SYS_umask, [mask as usize, 0, 0, 0])?;
    }
    if let Some(credentials) = &launch.credentials {
        at(Stage::Groups);
        let groups = &credentials.groups;
        call(
            libc::SYS_setgroups,
            [groups.len(), arg(groups.as_ptr().cast()), 0, 0],
        )?;
        at(Stage::Group);
        let gid = credentials.gid as usize;
        call(libc::SYS_setresgid, [gid, gid, gid, 0])?;
        at(Stage::User);
        let uid = credentials.uid as usize;
        call(libc::SYS_setresuid, [uid, uid, uid, 0])?;
    }
    if let Some(directory) = &launch.directory {
        at(Stage::Directory);
        call(libc::SYS_chdir, [arg(directory.as_ptr().cast()), 0, 0, 0])?;
    }

    at(Stage::Descriptors);
    for (place, fd) in launch.stdio.iter().enumerate() {
        call(libc::SYS_dup3, [fd.as_raw_fd() as usize, place, 0, 0])?;
    }
    at(Stage::CloseRest);
    close_rest(&launch.keep)?;

    // From here on a signal that was sent to the command before it existed takes effect, and
    // what it does is the command's own end.
    at(Stage::Exec);
    unblock_signals()?;
    exec(launch)
}

/// Gives every signal its default disposition, so that no `nohup`, `&` or runtime above us
/// leaves the command deaf. Handlers would fall at exec anyway; ignored signals would not.
fn reset_dispositions() -> Step {
    // struct kernel_sigaction of every architecture begins with the handler; zeroes are
    // SIG_DFL, no flags, no restorer and an empty mask.
    let default = [0usize; 8];
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        call(
            libc::SYS_rt_sigaction,
            [signal as usize, default.as_ptr() as usize, 0, 8],
        )?;
    }
    Ok(())
}

fn unblock_signals() -> Step {
    let none = 0u64;
    call(
        libc::SYS_rt_sigprocmask,
        [libc::SIG_SETMASK as usize, (&raw const none) as usize, 0, 8],
    )
    .map(drop)
}

/// Marks everything above standard error to be closed by exec, but what is to be kept.
fn close_rest(keep: &[RawFd]) -> Step {
    let all = call(
        libc::SYS_close_range,
        [3, u32::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize, 0],
    );
    if all.is_err() {
        // Before Linux 5.11. Ours are close-on-exec already; only foreign ones can leak,
        // up to the limit that a process can have had.
        for fd in 3..65536 {
            let _ = call(
                libc::SYS_fcntl,
                [fd, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0],
            );
        }
    }
    for fd in keep {
        call(
            libc::SYS_fcntl,
            [*fd as usize, libc::F_SETFD as usize, 0, 0],
        )?;
    }
    Ok(())
}

/// Executes the first candidate that can be; the most telling failure otherwise
/// (execvp(3): a file that exists but may not be executed outranks a missing one).
fn exec(launch: &Launch) -> Step {
    let envp = launch.envp.pointers.as_ptr() as usize;
    let mut denied = None;
    let mut last = libc::ENOENT;
    for path in &launch.candidates {
        let argv = launch.argv.pointers.as_ptr() as usize;
        let Err(errno) = try_exec(path.as_ptr() as usize, argv, envp) else {
            continue;
        };
        last = errno;
        match errno {
            libc::ENOEXEC => {
                launch.script_argv[1].store(path.as_ptr().cast_mut(), Ordering::Release);
                let script = launch.script_argv.as_ptr() as usize;
                try_exec(SHELL.as_ptr() as usize, script, envp)?;
            }
            libc::EACCES => denied = Some(errno),
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            _ => return Err(errno),
        }
    }
    Err(denied.unwrap_or(last))
}

/// execve(2), with patience for a file that somebody is just finishing to write: a process
/// that forked meanwhile may hold its descriptor for a moment after the writer closed it.
fn try_exec(path: usize, argv: usize, envp: usize) -> Step {
    for attempt in 1u32..=8 {
        match call(libc::SYS_execve, [path, argv, envp, 0]) {
            Err(libc::ETXTBSY) => {
                let pause = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: libc::c_long::from(attempt) * 2_000_000,
                };
                let _ = call(libc::SYS_nanosleep, [(&raw const pause) as usize, 0, 0, 0]);
            }
            Err(errno) => return Err(errno),
            Ok(_) => return Ok(()),
        }
    }
    Err(libc::ETXTBSY)
}

/// Whether `fd` is open, so that it can be kept for the child.
#[must_use]
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only asks, and a number that is no descriptor is answered by EBADF.
    fd >= 0 && unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0
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
