//! The project's own tasks: `cargo xtask <verb>`, a file for each verb.
//!
//! Nothing in here is part of the product. It needs cargo and a Rust toolchain and no
//! other tool, so that what is checked in CI can be checked anywhere.

#![forbid(unsafe_code)]

mod bench;
mod cargo;
mod ci;
mod doors;
mod licences;
mod metadata;
mod order;
mod reference;
mod source;
mod spdx;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Check who depends on whom, where unsafe code is, and how files are named and how long they are
    Doors,
    /// Check that every dependency's licence is one we can pass on
    Licences,
    /// Write the reference pages from the code
    Gen {
        /// Write nothing; fail if a page differs from what would be written
        #[arg(long)]
        check: bool,
    },
    /// Measure ward beside its peers
    Bench {
        #[command(subcommand)]
        verb: bench::Verb,
    },
    /// Write the list of functions that the linker puts side by side, for short runs to start fast
    Order,
    /// Everything that CI checks, stopping at the first failure
    Ci {
        /// Leave out the tests
        #[arg(long)]
        skip_tests: bool,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Doors => doors::check(),
        Verb::Licences => licences::check(),
        Verb::Gen { check: false } => reference::write(),
        Verb::Gen { check: true } => reference::check(),
        Verb::Bench { verb } => bench::main(verb),
        Verb::Order => order::write(),
        Verb::Ci { skip_tests } => ci::run(skip_tests),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
