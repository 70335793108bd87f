//! Repositories of every kind into workspaces of every kind, by the real git. Without the usual harness: this
//! program is the guardian of the commands that it starts, and must be able to become one before anything else
//! happens in it.

#![forbid(unsafe_code)]

mod afar;
mod damage;
mod desk;
mod http;
mod near;
mod polls;
mod room;
mod ssh;

use std::process::ExitCode;

use ward_testkit::cases::Case as Test;

fn main() -> ExitCode {
    ward_engine::embed::guardian_entry();
    let tests: Vec<Test> = [
        near::TESTS,
        afar::TESTS,
        http::TESTS,
        ssh::TESTS,
        damage::TESTS,
        polls::TESTS,
    ]
    .concat();
    ward_testkit::cases::run(tests)
}
