//! The command lines of `ward spawn` and of the verbs for what it started.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use ward_model::quantity;
use ward_model::ready::Ready;
use ward_model::signal::Signal;

use super::surroundings::SurroundingsArgs;

const SPAWN_ABOUT: &str = "\
Start a daemon that outlives its caller, on record.

Returns when the daemon has truly started, or, with --ready, when it is ready. The daemon has a \
session, a log and a containment of its own, nothing of the caller's, and none of the marks by which \
build servers find what to kill. With --name it is the only one of its name.";

const SPAWN_EXAMPLES: &str = "\
Examples:
  ward spawn --name docs --ready tcp:8000 -- python3 -m http.server 8000
  ward spawn --name docs --replace --rollback --ready http:http://localhost:8000/ -- ./serve
                                                    the deploy step of a build
  ward spawn --name worker --user build --memory-max 2G --chdir /srv/app -- ./worker
  ward ps; ward logs -f docs; ward stop docs

Exit status:
  0 when it runs (and is ready); 120 when it ended or did not get ready in time, and was stopped
  again; 122 when the name is taken; 125 when ward itself failed; 126 and 127 as of `ward run`; 2 for
  a mistake on the command line.";

#[derive(Debug, Args)]
#[command(long_about = SPAWN_ABOUT, after_help = SPAWN_EXAMPLES,
          override_usage = "ward spawn [OPTIONS] [--] COMMAND [ARG]...")]
pub(crate) struct SpawnArgs {
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND",
          value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,

    /// Its name; there is only one of a name [default: made from the command]
    #[arg(long, value_name = "NAME", help_heading = "The name")]
    pub(crate) name: Option<String>,

    /// What to do if one of this name runs
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "fail",
        requires = "name",
        help_heading = "The name"
    )]
    pub(crate) if_running: IfRunning,

    /// Short for --if-running replace: stop the old one, start the new one
    #[arg(long, requires = "name", help_heading = "The name")]
    pub(crate) replace: bool,

    /// Start the old command again if the new one does not start or get ready
    #[arg(long, requires = "name", help_heading = "The name")]
    pub(crate) rollback: bool,

    /// Return only when it is ready: notify, fd[=N], tcp:[HOST:]PORT, unix:PATH, http:URL,
    /// log:REGEX or exec:COMMAND
    #[arg(long, value_name = "WAY", value_parser = Ready::from_str, help_heading = "The start")]
    pub(crate) ready: Option<Ready>,

    /// How long it may take to get ready
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = quantity::duration, help_heading = "The start")]
    pub(crate) ready_timeout: Duration,

    /// The stop signal [default: TERM]
    #[arg(long, value_name = "SIGNAL", value_parser = Signal::from_str, help_heading = "The end")]
    pub(crate) signal: Option<Signal>,

    /// From the stop signal to the kill; 0 kills at once
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = quantity::duration, help_heading = "The end")]
    pub(crate) grace: Duration,

    /// Where its output goes [default: in the state directory, see `ward logs`]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) log: Option<PathBuf>,

    /// Begin a new part of the log when this one is so large; 0 never does
    #[arg(long, value_name = "SIZE", default_value = "10M", value_parser = quantity::size, help_heading = "Output")]
    pub(crate) log_max: u64,

    /// How many older parts of the log to keep
    #[arg(long, value_name = "N", default_value = "5",
          value_parser = clap::value_parser!(u32).range(0..=1000), help_heading = "Output")]
    pub(crate) log_keep: u32,

    /// Put the time before each line of the log
    #[arg(long, help_heading = "Output")]
    pub(crate) timestamps: bool,

    /// Print what was started in JSON, as `ward ps --json` does
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// Say nothing but failures
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Where the command reads from: null or a file
    #[arg(
        long,
        value_name = "null|FILE",
        default_value = "null",
        help_heading = "Surroundings"
    )]
    pub(crate) stdin: OsString,

    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfRunning {
    /// Leave it alone, and succeed
    Keep,
    /// Leave it alone, and fail with 122
    Fail,
    /// Stop it, and start the new one
    Replace,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ward ps                  the daemons that run, and since when, and from which build
  ward ps --all            those that ended too, and the runs of `ward run`
  ward ps --tree docs      everybody who belongs to it
  ward ps --json | jq '.daemons[].log'")]
pub(crate) struct PsArgs {
    /// Only these
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Daemons that have ended, and runs of `ward run`, too
    #[arg(long, conflicts_with_all = ["detached", "builds"])]
    pub(crate) all: bool,

    /// Only daemons, those that have ended too
    #[arg(long)]
    pub(crate) detached: bool,

    /// Only runs of `ward run`
    #[arg(long, conflicts_with = "detached")]
    pub(crate) builds: bool,

    /// Everybody who belongs to each
    #[arg(long)]
    pub(crate) tree: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every process of the daemon is told once, its clean-up runs and is logged, and what is left after the
grace is killed. A second `ward stop` skips the rest of the grace.

Exit status:
  0 when none of them runs any more; 121 when a name is not on record; 125 when something of one could
  not be ended.")]
pub(crate) struct StopArgs {
    /// Which
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// The grace, instead of the daemon's own
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    pub(crate) grace: Option<Duration>,

    /// Kill at once, as with --grace 0
    #[arg(long, conflicts_with = "grace")]
    pub(crate) force: bool,

    /// Say nothing but failures
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// Which
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Say nothing but failures
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ward logs docs           everything that is kept, the oldest first
  ward logs -n 20 docs     the last 20 lines
  ward logs -f docs        goes on as it grows, over rotations and restarts, until interrupted")]
pub(crate) struct LogsArgs {
    /// Whose
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Go on as the log grows
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Only the last lines [default: everything; with --follow, 10]
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) lines: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit status (as the Linux Standard Base has it for services):
  0 when it runs; 3 when it does not; 4 when nothing is known of such a name.")]
pub(crate) struct StatusArgs {
    /// Whose
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
