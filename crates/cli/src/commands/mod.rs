//! A file per verb.

mod completions;
mod docs;
mod doctor;
mod man;
mod run;

use std::process::ExitCode;

use crate::args::{Verb, Ward};
use crate::failure::Failure;

/// Does what was asked.
pub(crate) fn run(arguments: Ward) -> Result<ExitCode, Failure> {
    match arguments.verb {
        Verb::Run(arguments) => run::run(*arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Docs(arguments) => docs::run(&arguments),
    }
}
