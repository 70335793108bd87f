//! The command line of `ward up`, as far as help and manual pages go: its words have rules of their own.

use std::ffi::OsString;

use clap::{Args, Command};

use crate::compat::supervisord::{EXAMPLES, HELP};

#[derive(Debug, Args)]
#[command(disable_help_flag = true, override_usage = "ward up [OPTIONS]")]
pub(crate) struct UpArgs {
    /// As supervisord takes them
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<OsString>,
}

/// Describes `ward up`.
pub(crate) fn describe(command: Command) -> Command {
    UpArgs::augment_args(command).after_help(format!("{HELP}\n{EXAMPLES}"))
}
