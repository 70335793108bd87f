//! Whole commands survive: `ward up` and its two processes are killed with a signal that nobody can
//! handle, at any moment, and no program notices, no byte of a log is lost, no end is told twice.
//!
//! `WARD_TEST_ROUNDS` says how often each is tried; without it, a few times.

#![forbid(unsafe_code)]

mod disk;
mod ends;
mod listeners;
mod logs;
mod programs;
mod reboot;
mod scene;
mod second;
mod strangers;
mod trees;
mod untold;
mod upgrade;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use ward_testkit::supervisor::kit::{Kit, Subject};
use ward_testkit::supervisor::stage::Stage;

type Result<T = ()> = anyhow::Result<T>;

/// The program under test, under its names.
fn kit() -> Result<&'static Kit> {
    static KIT: OnceLock<std::result::Result<Kit, String>> = OnceLock::new();
    KIT.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Kit::ours_alone(Path::new(env!("CARGO_BIN_EXE_ward")), place)
            .map_err(|error| format!("{error:#}"))
    })
    .as_ref()
    .map_err(|error| anyhow::anyhow!("{error}"))
}

/// Plays on a stage of its own; says what was to be seen there if that fails.
fn on_stage(play: impl FnOnce(&Stage) -> Result) -> Result {
    let stage = Stage::new(kit()?, Subject::Ward, Subject::Ward, &[])?;
    play(&stage).map_err(|error| {
        let log = stage.read("d.log");
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(60);
        error.context(format!("--- main log\n{}\n---", lines[last..].join("\n")))
    })
}

/// How many rounds: what is asked for, or `usual`.
fn rounds(usual: u32) -> u32 {
    let asked = std::env::var("WARD_TEST_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Moments within `span`, without end, other ones for each seed.
fn moments(seed: u32, span: Duration) -> impl Iterator<Item = Duration> {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        span.mul_f64((state >> 40) as f64 / f64::from(1 << 24))
    })
}
