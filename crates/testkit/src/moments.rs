//! Moments to strike at: spread over a span, and the same in each run of a test.
//!
//! `WARD_TEST_ROUNDS` says how many.

use std::time::{Duration, Instant};

const USUAL: u32 = 20;

/// How many moments a test tries.
#[must_use]
pub fn rounds() -> u32 {
    std::env::var("WARD_TEST_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(USUAL)
}

/// Moments spread over `span`.
pub fn moments(span: Duration) -> impl Iterator<Item = Duration> {
    let rounds = rounds().max(1);
    (0..rounds).map(move |round| {
        // Not evenly: a stride that shares no factor with the number of rounds.
        let at = u64::from(round) * 7919 % u64::from(rounds);
        span.mul_f64(at as f64 / f64::from(rounds))
    })
}

/// Lets `moment` pass: not to wait for something, but to strike at no particular point.
pub fn let_pass(moment: Duration) {
    let started = Instant::now();
    while started.elapsed() < moment {
        std::thread::yield_now();
    }
}
