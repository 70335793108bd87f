//! Being born into a cgroup: clone3(2), which the C library does not wrap.

use std::io;
use std::mem::MaybeUninit;
#[cfg(target_arch = "x86_64")]
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
#[cfg(target_arch = "x86_64")]
use std::ptr;

use crate::shared::SharedNumber;

/// linux/sched.h; the C library's binding of it is too narrow.
#[cfg(target_arch = "x86_64")]
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// As `clone(CLONE_VM | CLONE_VFORK)`, into the cgroup of `directory`.
///
/// # Errors
/// As clone(2): EACCES outside a delegated cgroup, ENOSYS or EPERM in old containers.
#[cfg(target_arch = "x86_64")]
pub(super) fn clone_into(
    stack: &mut [MaybeUninit<u128>],
    directory: BorrowedFd<'_>,
    told: &SharedNumber,
    entry: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    argument: *mut libc::c_void,
) -> io::Result<libc::pid_t> {
    // SAFETY: all zeroes are a valid `clone_args`.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags =
        (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID) as u64 | CLONE_INTO_CGROUP;
    args.parent_tid = told.address() as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.stack = stack.as_mut_ptr() as u64;
    args.stack_size = size_of_val(stack) as u64;
    args.cgroup = directory.as_raw_fd() as u64;
    // SAFETY: as this function's caller vouches for `clone_into` itself: `entry` never returns, and
    // `stack` and `argument` stay until the child has exec'd or ended.
    unsafe { run(&args, entry, argument) }
}

/// clone3(2) for a child that runs `entry` on the stack of `args`.
///
/// # Safety
/// The stack must be mapped and aligned to 16 bytes, `entry` must not return, and with CLONE_VM the
/// flags must have CLONE_VFORK, so that stack and `argument` stay until the child is done with them.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn run(
    args: &libc::clone_args,
    entry: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    argument: *mut libc::c_void,
) -> io::Result<libc::pid_t> {
    let result: i64;
    // SAFETY: in the parent the system call returns as any other, with rcx and r11 lost.
    // The child begins after it with the same registers but on its stack, whose end is
    // aligned to 16 bytes, calls `entry`, which never returns, and so never sees our
    // frame. CLONE_VFORK keeps this thread, and with it the stack, here meanwhile.
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
            in("rdi") ptr::from_ref(args),
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

/// Not known how on this architecture: the caller joins by writing instead.
///
/// # Errors
/// Always ENOSYS.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn clone_into(
    _stack: &mut [MaybeUninit<u128>],
    _directory: BorrowedFd<'_>,
    _told: &SharedNumber,
    _entry: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    _argument: *mut libc::c_void,
) -> io::Result<libc::pid_t> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}
