//! The command line of `ward run`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueHint};
use ward_model::quantity;
use ward_model::signal::Signal;

use super::surroundings::SurroundingsArgs;

pub(super) const RUN_ABOUT: &str = "\
Run a command, with everything that it starts, in custody.

Every process that the command starts belongs to the run, however it detaches itself. Output is \
relayed byte for byte. A stop (TERM, INT, HUP or QUIT sent to ward, or a limit) tells every process \
once, waits for their clean-up, and kills what is left. What outlives the command is named, told \
and ended too, unless it was detached on purpose.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  ward run -- make -j4                              a build step that leaves nothing behind
  ward run --timeout 30m --idle-timeout 5m -- make check
  ward run --shell 'trap \"rm -rf tmp\" EXIT; make'   as Jenkins runs it; the trap runs on a stop too
  ward run --script ci/build.sh --report run.json   what ended it, who was killed, what it cost
  ward run --user build --memory-max 2G -- npm test
  ward run --lock deploy --lock db=shared -- ./deploy   while both locks are held
  BUILD_ID=dontKillMe in front of a daemon that the command starts lets it stay.

Exit status:
  the command's own; 128+n when signal n ended it; 123 when ward was asked to stop it; 124 when a
  limit ran out; 125 when ward itself failed; 126 when the command cannot be executed; 127 when it
  was not found; 2 for a mistake on the command line.";

pub(super) const USAGE: &str = "\
ward run [OPTIONS] [--] COMMAND [ARG]...
       ward run [OPTIONS] --script FILE [ARG]...
       ward run [OPTIONS] --shell TEXT [ARG]...";

#[derive(Debug, Clone, Args)]
#[command(long_about = RUN_ABOUT, after_help = RUN_EXAMPLES, override_usage = USAGE)]
pub(crate) struct RunArgs {
    /// The command and its arguments; with --script or --shell, the script's arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND",
          value_hint = ValueHint::CommandWithArguments,
          required_unless_present_any = ["script", "shell"])]
    pub(crate) command: Vec<OsString>,

    /// Run this script: by the interpreter of its `#!` line, else by `sh -xe`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "shell", help_heading = "Scripts")]
    pub(crate) script: Option<PathBuf>,

    /// Run this text as a script
    #[arg(long, value_name = "TEXT", help_heading = "Scripts")]
    pub(crate) shell: Option<OsString>,

    /// The shell for scripts without a `#!` line
    #[arg(long, value_name = "PATH", default_value = "/bin/sh", value_hint = ValueHint::ExecutablePath, help_heading = "Scripts")]
    pub(crate) shell_path: OsString,

    /// Do not make EXIT traps run on a stop in shells that would not
    #[arg(long, help_heading = "Scripts")]
    pub(crate) no_prelude: bool,

    /// Stop it after this long
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, help_heading = "The end")]
    pub(crate) timeout: Option<Duration>,

    /// Stop it when it has printed nothing for this long
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, help_heading = "The end")]
    pub(crate) idle_timeout: Option<Duration>,

    /// The stop signal [default: the one received, TERM for limits]
    #[arg(long, value_name = "SIGNAL", value_parser = Signal::from_str, help_heading = "The end")]
    pub(crate) signal: Option<Signal>,

    /// From the stop signal to the kill; 0 kills at once
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = quantity::duration, help_heading = "The end")]
    pub(crate) grace: Duration,

    /// How long what outlives the command may take to end by itself
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = quantity::duration, help_heading = "The end")]
    pub(crate) leftover_grace: Duration,

    /// End also what was detached on purpose (by a changed BUILD_ID, JENKINS_NODE_COOKIE,
    /// RUNNER_TRACKING_ID or WARD_RUN_ID)
    #[arg(long, help_heading = "The end")]
    pub(crate) no_spare: bool,

    /// Send standard error where standard output goes
    #[arg(long, help_heading = "Output")]
    pub(crate) merge: bool,

    /// Write the output to this file too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) log: Option<PathBuf>,

    /// Add to the log instead of replacing it
    #[arg(long, help_heading = "Output")]
    pub(crate) log_append: bool,

    /// Put the time before each line of the log
    #[arg(long, help_heading = "Output")]
    pub(crate) timestamps: bool,

    /// Write a report in JSON to this file at the end
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,

    /// Say nothing but failures
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Where the command reads from: null, inherit, or a file
    #[arg(
        long,
        value_name = "null|inherit|FILE",
        default_value = "inherit",
        help_heading = "Surroundings"
    )]
    pub(crate) stdin: OsString,

    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArgs,
}
