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

use ward_testkit::cases::Case as Test;

fn main() -> ExitCode {
    ward_engine::embed::guardian_entry();
    let tests: Vec<Test> = [mails::TESTS, webhooks::TESTS, commands::TESTS].concat();
    ward_testkit::cases::run(tests)
}
