//! Starting a command as a child of our own parent (clone(2), CLONE_PARENT): it is not orphaned by our
//! end, and whoever started us learns of its own.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::DupFlags;
use rustix::process::Pid;

#[cfg(target_arch = "x86_64")]
use super::birth;
use super::child::child_main;
use super::{Launch, STACK, SpawnError};
use crate::stage::Stage;

/// linux/sched.h; the C library's binding of it is too narrow.
#[cfg(target_arch = "x86_64")]
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Of memory that is shared with the child, which lends it until its exec; its id is written where we
/// say before it runs and by itself as well, so that our own end in between loses nothing.
const FLAGS: libc::c_int = libc::CLONE_VM
    | libc::CLONE_VFORK
    | libc::CLONE_PARENT
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_SETTID;

/// A command that our parent has as its child.
#[derive(Debug)]
pub struct Beside {
    /// Its process id.
    pub pid: Pid,
    /// It, where the kernel gave a descriptor with it (clone3(2)); by its number it could be somebody
    /// else already.
    pub pidfd: Option<OwnedFd>,
}

/// Three numbers for the standard streams of what is being started, lower than those of most other
/// descriptors of this process.
///
/// A child gets a copy of all descriptors of its parent, and closes them: for a parent that has thousands
/// that is what takes longest of a start. A child that finds its streams below a certain number can share
/// its parent's until it takes a copy of those alone (close_range(2), CLOSE_RANGE_UNSHARE). To be made
/// early, while low numbers are to be had.
#[derive(Debug)]
pub struct Landing {
    streams: [OwnedFd; 3],
    nothing: OwnedFd,
    /// Whether the kernel lets a child share them at first.
    shares: bool,
    /// One after the other begins on it.
    stack: Stack,
}

/// As much room as a child takes; nothing is ever in it.
type Stack = Vec<u128>;

/// Where the streams of one start are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landed {
    pub(super) streams: [RawFd; 3],
    /// The number above all of them, if the child begins with the descriptors of its parent.
    pub(super) shared_to: Option<RawFd>,
}

impl Landing {
    /// Takes the lowest numbers that are free.
    ///
    /// # Errors
    /// When there are none.
    pub fn new() -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let nothing = rustix::fs::open("/dev/null", flags, Mode::empty())?;
        let place = || rustix::io::fcntl_dupfd_cloexec(&nothing, super::PARKING);
        Ok(Self {
            streams: [place()?, place()?, place()?],
            nothing,
            shares: can_share(),
            stack: Vec::with_capacity(STACK),
        })
    }

    fn put(&mut self, streams: [BorrowedFd<'_>; 3]) -> io::Result<Landed> {
        for (place, stream) in self.streams.iter_mut().zip(streams) {
            rustix::io::dup3(stream, place, DupFlags::CLOEXEC)?;
        }
        let streams = self.streams.each_ref().map(AsRawFd::as_raw_fd);
        let highest = streams.into_iter().max().unwrap_or(0);
        Ok(Landed {
            streams,
            shared_to: self.shares.then_some(highest + 1),
        })
    }

    /// Lets go of them: who reads what the child writes waits for the end of that.
    fn clear(&mut self) {
        for place in &mut self.streams {
            let _ = rustix::io::dup3(&self.nothing, place, DupFlags::CLOEXEC);
        }
    }
}

/// Whether there is a close_range(2): since Linux 5.9, unless a container's filter does not know it.
fn can_share() -> bool {
    // SAFETY: closes what has the highest number, which no descriptor has.
    unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
}

/// Why a command was not started beside us.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotBeside {
    /// Why.
    #[source]
    pub error: SpawnError,
    /// The child that failed before its exec, if there was one: our parent reaps it, with status 127.
    pub pid: Option<Pid>,
}

impl Launch {
    /// Starts it as a child of our parent, and returns once its exec has succeeded.
    ///
    /// The calling thread stands still until then. The kernel writes its id into the lower half of
    /// `told` before it runs, and leaves the upper half alone.
    ///
    /// The child begins with the descriptors of this process itself in place of a copy, where that is
    /// possible, and has only its three streams in the end: it is given no others, whatever was said of
    /// them.
    ///
    /// # Errors
    /// [`NotBeside`] names the step. A child that came so far ends by itself, and is not waited for.
    pub fn start_beside(
        &mut self,
        told: &AtomicU64,
        landing: &mut Landing,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<Beside, NotBeside> {
        let landed = landing.put(streams).map_err(|error| NotBeside {
            error: SpawnError::Clone(error),
            pid: None,
        })?;
        self.landed = Some(landed);
        let started = self.start_landed(told, &mut landing.stack);
        landing.clear();
        self.landed = None;
        started
    }

    fn start_landed(&self, told: &AtomicU64, stack: &mut Stack) -> Result<Beside, NotBeside> {
        self.stage.store(Stage::Begin as u32, Ordering::Release);
        self.errno.store(0, Ordering::Release);
        let blocked = crate::signals::block_everything();
        let cloned = self.clone_beside(told, stack);
        blocked.restore();
        let (pid, pidfd) = cloned.map_err(|error| NotBeside {
            error: match &self.cgroup_directory {
                Some(_) => SpawnError::Step {
                    stage: Stage::JoinCgroup,
                    error,
                },
                None => SpawnError::Clone(error),
            },
            pid: None,
        })?;
        let stage = Stage::from_number(self.stage.load(Ordering::Acquire));
        let errno = self.errno.load(Ordering::Acquire);
        if errno == 0 && stage == Stage::Exec {
            return Ok(Beside { pid, pidfd });
        }
        let error = if errno == 0 {
            SpawnError::KilledAtBirth { stage }
        } else {
            SpawnError::Step {
                stage,
                error: io::Error::from_raw_os_error(errno),
            }
        };
        Err(NotBeside {
            error,
            pid: Some(pid),
        })
    }

    fn flags(&self) -> libc::c_int {
        match self.landed.and_then(|landed| landed.shared_to) {
            Some(_) => FLAGS | libc::CLONE_FILES,
            None => FLAGS,
        }
    }

    fn clone_beside(
        &self,
        told: &AtomicU64,
        stack: &mut Stack,
    ) -> io::Result<(Pid, Option<OwnedFd>)> {
        let stack = &mut stack.spare_capacity_mut()[..STACK];
        let me = ptr::from_ref(self).cast_mut().cast::<libc::c_void>();
        let told = lower_half(told);
        let known =
            |pid| Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH));

        #[cfg(target_arch = "x86_64")]
        {
            let mut pidfd: libc::c_int = -1;
            // SAFETY: all zeroes are a valid `clone_args`.
            let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
            // The signal at its end is inherited with the parent (clone3(2): it must be 0 here).
            args.flags = (self.flags() | libc::CLONE_PIDFD) as u64;
            args.parent_tid = told as u64;
            args.child_tid = told as u64;
            args.pidfd = (&raw mut pidfd) as u64;
            args.stack = stack.as_mut_ptr() as u64;
            args.stack_size = size_of_val(stack) as u64;
            if let Some(directory) = &self.cgroup_directory {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = directory.as_raw_fd() as u64;
            }
            // SAFETY: a stack of whole u128 that nobody else uses; `child_main` never returns; CLONE_VFORK keeps
            // this thread, and with it the stack and `self`, here until the child has exec'd or
            // ended. Signals are blocked, so no handler runs in the shared memory.
            match unsafe { birth::run(&args, child_main, me) } {
                Ok(pid) => {
                    // SAFETY: the kernel has just made it for us.
                    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
                    return Ok((known(pid)?, pidfd));
                }
                // Containers whose filters do not know the call; they know the old one.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
                        && self.cgroup_directory.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        if self.cgroup_directory.is_some() {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        let top = stack.as_mut_ptr_range().end.cast::<libc::c_void>();
        let no_tls: *mut libc::c_void = ptr::null_mut();
        // SAFETY: as above; the pointers are of a number that outlives the child's use of it.
        let pid = unsafe { libc::clone(child_main, top, self.flags(), me, told, no_tls, told) };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((known(pid)?, None))
    }
}

/// Where the lower half of a number is.
fn lower_half(number: &AtomicU64) -> *mut libc::pid_t {
    let start = number.as_ptr().cast::<libc::pid_t>();
    if cfg!(target_endian = "little") {
        return start;
    }
    // The second of its two halves, which lies within it.
    start.wrapping_add(1)
}
