//! The command lines of `ward ctl`, `ward pidproxy` and `ward echo_supervisord_conf`, as far as help
//! and manual pages go: their words have rules of their own.

use std::ffi::OsString;

use clap::{Args, Command};

use crate::compat::supervisorctl::{EXAMPLES, OPTIONS};

#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "ward ctl [OPTIONS] [ACTION [ARGUMENT]...]"
)]
pub(crate) struct CtlArgs {
    /// As supervisorctl takes them
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<OsString>,
}

/// Describes `ward ctl`.
pub(crate) fn describe(command: Command) -> Command {
    CtlArgs::augment_args(command).after_help(format!("{OPTIONS}\n{EXAMPLES}"))
}
