//! Waiting for a condition, with a limit. Nothing in the tests sleeps for a fixed time.

use std::time::{Duration, Instant};

/// How long anything may take before a test calls it a hang. Generous: the limit exists to
/// end a test that would never end, not to measure anything.
pub const LIMIT: Duration = Duration::from_secs(60);

const INTERVAL: Duration = Duration::from_millis(3);

/// Waits until `condition` gives a value.
///
/// # Errors
/// When [`LIMIT`] is over; `what` says what was being waited for.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    wait_for_within(LIMIT, what, condition)
}

/// Waits until `condition` gives a value, for at most `limit`.
///
/// # Errors
/// When the limit is over; `what` says what was being waited for.
pub fn wait_for_within<T>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if started.elapsed() > limit {
            anyhow::bail!("waited {limit:?} for {what}");
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Waits until `condition` holds.
///
/// # Errors
/// When [`LIMIT`] is over; `what` says what was being waited for.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
    wait_for(what, || condition().then_some(()))
}
