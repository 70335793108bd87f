//! People are told how builds ended: by mail servers that are kind and by such that are not, by webhooks, by
//! programs. Without the usual harness: this program is the guardian of the commands that it starts, and must
//! be able to become one before anything else happens in it.

#![forbid(unsafe_code)]

mod commands;
mod mails;
mod sink;
mod stage;
mod webhooks;

use std::process::ExitCode;

/// A test: its name, and what it does.
type Test = (&'static str, fn() -> anyhow::Result<()>);

fn main() -> ExitCode {
    ward_engine::embed::guardian_entry();
    let tests: Vec<Test> = [mails::TESTS, webhooks::TESTS, commands::TESTS].concat();
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
