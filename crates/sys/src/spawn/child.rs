//! The child, between clone and exec: raw system calls, in order, each with its stage.
//!
//! It borrows its parent's memory. Nothing here may allocate, log, lock or panic.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;

use super::{Group, Launch, SHELL};
use crate::stage::Stage;

/// The child, from clone to exec. Returns (and so exits) only on failure.
pub(super) extern "C" fn child_main(launch: *mut libc::c_void) -> libc::c_int {
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
    match launch.group {
        Group::New | Group::NewForeground(_) => call(libc::SYS_setpgid, [0; 4])?,
        Group::Join(pid) => {
            let group = pid.as_raw_nonzero().get() as usize;
            call(libc::SYS_setpgid, [0, group, 0, 0])?
        }
        Group::NewSession => call(libc::SYS_setsid, [0; 4])?,
        Group::Same => 0,
    };
    if let Group::NewForeground(stream) = launch.group {
        at(Stage::Foreground);
        let me = call(libc::SYS_getpid, [0; 4])? as libc::pid_t;
        let stdio = launch.stdio.as_ref().ok_or(libc::EBADF)?;
        let terminal = stdio[stream.min(2)].as_raw_fd() as usize;
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
    reset_dispositions(crate::signals::may_be_ignored())?;
    ignore(&launch.ignored)?;

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
    let streams = match (&launch.landed, &launch.stdio) {
        (Some(landed), _) => {
            if let Some(end) = landed.shared_to {
                take_own_descriptors(end)?;
            }
            landed.streams
        }
        (None, Some(parked)) => parked.each_ref().map(AsRawFd::as_raw_fd),
        (None, None) => return Err(libc::EBADF),
    };
    for (place, fd) in streams.into_iter().enumerate() {
        call(libc::SYS_dup3, [fd as usize, place, 0, 0])?;
    }
    for file in &launch.tell_pid {
        tell_pid(file.as_raw_fd())?;
    }
    at(Stage::CloseRest);
    close_rest(&launch.keep)?;
    // Whatever is there is not to be kept; where it is something of ours, the parent has it.
    for (fd, number) in &launch.place {
        call(
            libc::SYS_dup3,
            [fd.as_raw_fd() as usize, *number as usize, 0, 0],
        )?;
    }

    // From here on a signal that was sent to the command before it existed takes effect, and
    // what it does is the command's own end.
    at(Stage::Exec);
    unblock_signals()?;
    exec(launch)
}

/// Replaces what is in a file by our own id and a line break.
fn tell_pid(file: RawFd) -> Step {
    // The longest id has ten digits.
    let mut text = [b'\n'; 11];
    let mut start = text.len() - 1;
    let mut rest = call(libc::SYS_getpid, [0; 4])?;
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 || start == 0 {
            break;
        }
    }
    let fd = file as usize;
    // A pipe or a device has nothing to cut off.
    let _ = call(libc::SYS_ftruncate, [fd, 0, 0, 0]);
    let line = text[start..].as_ptr() as usize;
    call(libc::SYS_write, [fd, line, text.len() - start, 0]).map(drop)
}

/// Parts with the parent's table of descriptors, and takes only those below `end` along.
fn take_own_descriptors(end: RawFd) -> Step {
    call(
        libc::SYS_close_range,
        [
            end as usize,
            u32::MAX as usize,
            libc::CLOSE_RANGE_UNSHARE as usize,
            0,
        ],
    )
    .map(drop)
}

/// Gives these signals (a bit each) their default disposition, so that no `nohup`, `&` or runtime above
/// us leaves the command deaf. Handlers fall at exec anyway; ignored signals would not.
fn reset_dispositions(deaf_to: u64) -> Step {
    // struct kernel_sigaction of every architecture begins with the handler; zeroes are
    // SIG_DFL, no flags, no restorer and an empty mask.
    let default = [0usize; 8];
    for signal in 1..=64 {
        if deaf_to & crate::signals::bit(signal) == 0 {
            continue;
        }
        call(
            libc::SYS_rt_sigaction,
            [signal as usize, default.as_ptr() as usize, 0, 8],
        )?;
    }
    Ok(())
}

fn ignore(signals: &[i32]) -> Step {
    // As above, with SIG_IGN for the handler.
    let mut ignored = [0usize; 8];
    ignored[0] = libc::SIG_IGN;
    for signal in signals {
        call(
            libc::SYS_rt_sigaction,
            [*signal as usize, ignored.as_ptr() as usize, 0, 8],
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
