//! Time since boot, by which the kernel dates processes.

use std::time::Duration;

/// Time since boot, including sleep: the clock of field 22 of `/proc/PID/stat`.
#[must_use]
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Clock ticks per second, the unit of times in `/proc/PID/stat`.
#[must_use]
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second().max(1)
}
