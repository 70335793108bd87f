//! The command lines of `ward lock` and `ward locks`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use ward_model::lock::Mode;
use ward_model::quantity;

use super::run::RunArgs;

const LOCK_ABOUT: &str = "\
Run a command while holding a lock, exactly as long as the work lasts.

The lock needs no daemon and leaves nothing stale: the kernel frees it when the work is gone, however \
it went. If ward itself is killed, the lock stays with the command. Who asks first is served first. \
The command is run as by `ward run`, and takes its options.";

const LOCK_EXAMPLES: &str = "\
Examples:
  ward lock deploy -- ./deploy.sh                    one at a time; waits for its turn
  ward lock deploy --no-wait -- ./deploy.sh          122 if somebody else is at it
  ward lock db --shared --wait 5m -- pg_dump app     beside other readers, not beside a writer
  ward lock licences --slots 4 --take 2 -- ./solve   two of four
  ward lock site --hold tree -- make publish         until its background processes have ended too
  ward locks                                         who holds, since when, who waits

The command gets WARD_LOCK_NAME, WARD_LOCK_MODE, WARD_LOCK_TOKEN (a number that is higher than that of
every holder before) and WARD_LOCK_FD (the descriptor that holds the lock).

Exit status:
  as of `ward run`; 122 when the lock was not got in time.";

#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// The lock
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Hold it together with others that do (mode PR)
    #[arg(long, conflicts_with = "mode", help_heading = "The lock")]
    pub(crate) shared: bool,

    /// Hold it alone (mode EX, the default)
    #[arg(long, conflicts_with_all = ["shared", "mode"], help_heading = "The lock")]
    pub(crate) exclusive: bool,

    /// In which mode: NL, CR, CW, PR, PW or EX
    #[arg(long, value_name = "MODE", value_parser = Mode::from_str, help_heading = "The lock")]
    pub(crate) mode: Option<Mode>,

    /// It has so many slots, and is not held as a whole
    #[arg(long, value_name = "N", conflicts_with_all = ["shared", "exclusive", "mode"],
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "The lock")]
    pub(crate) slots: Option<u32>,

    /// How many slots to take
    #[arg(long, value_name = "N", requires = "slots", default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "The lock")]
    pub(crate) take: u32,

    /// Wait no longer than this in all
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, conflicts_with = "no_wait", help_heading = "The lock")]
    pub(crate) wait: Option<Duration>,

    /// Do not wait at all
    #[arg(long, help_heading = "The lock")]
    pub(crate) no_wait: bool,

    /// Hold it until the command has ended, or until everybody has who belongs to it
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "command",
        help_heading = "The lock"
    )]
    pub(crate) hold: Hold,

    /// Tell others why it is held
    #[arg(long, value_name = "TEXT", help_heading = "The lock")]
    pub(crate) why: Option<String>,

    /// Where locks are [default: WARD_LOCK_DIR, /run/ward/locks, /run/user/UID/ward/locks]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "The lock")]
    pub(crate) lock_dir: Option<PathBuf>,

    /// The exit status when the lock is not got in time
    #[arg(
        long,
        value_name = "N",
        default_value = "122",
        help_heading = "The lock"
    )]
    pub(crate) conflict_exit_code: u8,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What the verb says of itself: the flattened `ward run` says something else.
pub(super) fn describe(command: clap::Command) -> clap::Command {
    LockArgs::augment_args(command)
        .long_about(LOCK_ABOUT)
        .after_help(LOCK_EXAMPLES)
        .override_usage("ward lock NAME [OPTIONS] [--] COMMAND [ARG]...")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hold {
    /// The command
    Command,
    /// The command and everything that it started
    Tree,
}

#[derive(Debug, Args)]
pub(crate) struct LocksArgs {
    /// Only these
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Where locks are, as of `ward lock`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) lock_dir: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
