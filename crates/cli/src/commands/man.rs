//! `ward man`: manual pages, from the same source as the help.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{ManArgs, Ward};
use crate::failure::Failure;

/// Writes a page per verb into a directory, or the first to standard output.
pub(crate) fn run(arguments: &ManArgs) -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| Failure::ours("cannot write the manual", &error);
    let mut command = Ward::command();
    command.build();
    match &arguments.directory {
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(failed)?;
            clap_mangen::generate_to(command, directory).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page).map_err(failed)?;
            std::io::stdout().write_all(&page).map_err(failed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
