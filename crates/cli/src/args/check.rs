//! The command line of `ward check`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Args)]
#[command(after_help = "\
Every mistake is told at once, each with its file, line and column, the line itself, and what to do \
about it. Warnings are about what is no mistake, and hardly what was meant.

Exit status: 0 if the configuration can be used, 2 if not.

Examples:
  ward check -c supervisord.conf
  ward check -c supervisord.conf --strict            in CI: warnings count too
  ward check -c supervisord.conf --elsewhere         it is for another host
  ward check -c supervisord.conf --show              what every program will be")]
pub(crate) struct CheckArgs {
    /// The configuration [default: the first of ../etc/supervisord.conf and ../supervisord.conf from
    /// the program's directory, ./supervisord.conf, ./etc/supervisord.conf, /etc/supervisord.conf,
    /// /etc/supervisor/supervisord.conf]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) configuration: Option<PathBuf>,

    /// Take warnings for errors
    #[arg(long)]
    pub(crate) strict: bool,

    /// Do not look whether users and directories are on this host
    #[arg(long)]
    pub(crate) elsewhere: bool,

    /// Print every value, and where it was given
    #[arg(long)]
    pub(crate) show: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
