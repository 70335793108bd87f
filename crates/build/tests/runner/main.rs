//! Builds by real runners. Without the usual harness: this program is its own runner and its own guardian,
//! and must be able to become one before anything else happens in it.

#![forbid(unsafe_code)]

mod kills;
mod results;
mod stage;
mod steps;
mod stops;
mod waits;

use std::process::ExitCode;

use ward_testkit::cases::Case as Test;

fn main() -> ExitCode {
    ward_engine::embed::guardian_entry();
    if let Some(code) = ward_build::runner::by_role() {
        return code;
    }
    let tests: Vec<Test> = [
        steps::TESTS,
        stops::TESTS,
        waits::TESTS,
        kills::TESTS,
        results::TESTS,
    ]
    .concat();
    ward_testkit::cases::run(tests)
}
