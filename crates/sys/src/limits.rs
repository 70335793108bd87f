//! Names of resource limits (getrlimit(2)), this process's limits, and what children used.

use std::io;
use std::time::Duration;

/// Names as `ulimit` and `prlimit` users know them, with their `RLIMIT_` numbers.
pub const NAMES: &[(&str, u32)] = &[
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// Whether the limit of this name counts bytes, so that `64M` makes sense.
#[must_use]
pub fn counts_bytes(name: &str) -> bool {
    matches!(
        name,
        "as" | "core" | "data" | "fsize" | "memlock" | "msgqueue" | "rss" | "stack"
    )
}

/// The hard limit of this process; `u64::MAX` is unlimited.
///
/// # Errors
/// When the number is no resource.
pub fn hard_limit(resource: u32) -> io::Result<u64> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: asks for our own limit only, into a valid struct.
    if unsafe { libc::prlimit64(0, resource, std::ptr::null(), &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_max)
}

/// What children used that have ended and were waited for, with what *their* waited-for
/// children used (getrusage(2), RUSAGE_CHILDREN).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChildrenUsage {
    /// CPU in user mode.
    pub user: Duration,
    /// CPU in the kernel.
    pub system: Duration,
    /// The largest resident set of any one of them, bytes.
    pub max_rss: u64,
    /// Blocks of 512 bytes read.
    pub blocks_in: u64,
    /// Blocks of 512 bytes written.
    pub blocks_out: u64,
}

/// The usage of this process's children so far.
#[must_use]
pub fn children_usage() -> ChildrenUsage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: a valid buffer of the right type.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: zeroed, then filled; every bit pattern is valid.
    let usage = unsafe { usage.assume_init() };
    let unsigned = |n: libc::c_long| u64::try_from(n).unwrap_or(0);
    let time = |t: libc::timeval| {
        Duration::from_secs(unsigned(t.tv_sec)) + Duration::from_micros(unsigned(t.tv_usec))
    };
    ChildrenUsage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_rss: unsigned(usage.ru_maxrss).saturating_mul(1024),
        blocks_in: unsigned(usage.ru_inblock),
        blocks_out: unsigned(usage.ru_oublock),
    }
}

/// A limit of another process, soft and hard; `None` if there is none, or we may not know
/// (prlimit(2): same user, or privileged).
#[must_use]
pub fn limit_of(pid: i32, resource: u32) -> Option<(u64, u64)> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: only asks, into a valid struct.
    let result = unsafe { libc::prlimit64(pid, resource, std::ptr::null(), &raw mut limit) };
    (result == 0).then_some((limit.rlim_cur, limit.rlim_max))
}

/// The number of RLIMIT_RTTIME, which marks a process and all that it starts.
pub const RTTIME: u32 = libc::RLIMIT_RTTIME;
