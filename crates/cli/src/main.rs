//! The one binary: arguments and rendering only.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = args::parse();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
