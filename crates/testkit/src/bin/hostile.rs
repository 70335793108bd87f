//! The program that misbehaves on command; see [`ward_testkit::hostile`] for its moods.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ward_testkit::hostile::main()
}
