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

/// A test: its name, and what it does.
type Test = (&'static str, fn() -> anyhow::Result<()>);

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
    // Options of the usual harness mean nothing here.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| name.contains(it));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.into_iter().filter(|(name, _)| is_wanted(name)) {
        match test() {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED\n{error:?}");
            }
        }
    }
    println!("\ntest result: {passed} passed; {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
