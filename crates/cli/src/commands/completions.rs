//! `ward completions`: what the shell offers at the Tab key.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{CompletionsArgs, Ward};
use crate::failure::Failure;

/// Prints them.
pub(crate) fn run(arguments: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Ward::command(), "ward", &mut text);
    std::io::stdout()
        .write_all(&text)
        .map_err(|error| Failure::ours("cannot write the completions", &error))?;
    Ok(ExitCode::SUCCESS)
}
