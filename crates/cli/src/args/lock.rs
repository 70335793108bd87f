//! The command lines of `ward lock` and `ward locks`, and the locks of `ward run`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use ward_model::lock::Mode;
use ward_model::quantity;
use ward_model::signal::Signal;

use super::run::{RUN_ABOUT, RUN_EXAMPLES, RunArgs, USAGE};

const LOCK_ABOUT: &str = "\
Run a command while holding a lock, or several, exactly as long as the work lasts.

The lock needs no daemon and leaves nothing stale: the kernel frees it when the work is gone, however \
it went. If ward itself is killed, the lock stays with the command. Who asks first is served first. \
The command is run as by `ward run`, and takes its options.

LOCK is a name, or several separated by commas, which are got all at once or not at all. `db/main` is \
a part of `db`: who holds one waits for nobody who holds another part. Behind a name may stand how it \
is wanted: `db=shared`, `db=PW` (a mode), `licences=2/4` (two of four slots), `port=pool:8001:8002` \
(one of these things).";

const LOCK_EXAMPLES: &str = "\
Examples:
  ward lock deploy -- ./deploy.sh                    one at a time; waits for its turn
  ward lock deploy --no-wait -- ./deploy.sh          122 if somebody else is at it
  ward lock db --shared --wait 5m -- pg_dump app     beside other readers, not beside a writer
  ward lock licences --slots 4 --take 2 -- ./solve   two of four
  ward lock port --pool 8001,8002 -- ./serve         which one is in WARD_LOCK_ELEMENT
  ward lock deploy,db=shared,disk=1/2 -- ./deploy    all three, or none
  ward lock build --sequence -- ./build              its number is in WARD_LOCK_ELEMENT
  ward lock site --hold tree -- make publish         until its background processes have ended too
  ward lock site --skip-if-queued -- make publish    whoever waits already will do it
  ward lock site --etcd https://a,https://b -- make  among all hosts that use this cluster
  ward locks                                         who holds, since when, who waits

The command gets WARD_LOCK_NAME, WARD_LOCK_MODE, WARD_LOCK_ELEMENT (what was given), WARD_LOCK_TOKEN
(a number that is higher than that of every holder before) and WARD_LOCK_FD (the descriptor that holds
the lock); of several locks, separated by commas.

Exit status:
  as of `ward run`; 122 when the lock was not got (in time); 119 when the command was stopped because a
  cluster's lock was about to be lost.";

/// How locks are wanted, whichever verb wants them.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// Where locks are [default: WARD_LOCK_DIR, /run/ward/locks, ~/.local/state/ward/locks]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "The lock")]
    pub(crate) lock_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// The lock, or several
    #[arg(value_name = "LOCK")]
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

    /// It is one of these things, whichever is free; WARD_LOCK_ELEMENT tells which
    #[arg(long, value_name = "THING,…", value_delimiter = ',', conflicts_with_all = ["slots", "shared", "exclusive", "mode"], help_heading = "The lock")]
    pub(crate) pool: Vec<String>,

    /// How many slots or things to take [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "The lock")]
    pub(crate) take: Option<u32>,

    /// With a number that nobody else was ever given, in WARD_LOCK_ELEMENT
    #[arg(long, conflicts_with_all = ["pool", "timestamp"], help_heading = "The lock")]
    pub(crate) sequence: bool,

    /// Give the number to somebody else if the command fails
    #[arg(long, requires = "sequence", help_heading = "The lock")]
    pub(crate) transactional: bool,

    /// With the time, as strftime(3) and #f…#ffffff write it, that nobody else is given
    #[arg(
        long,
        value_name = "FORMAT",
        conflicts_with = "pool",
        help_heading = "The lock"
    )]
    pub(crate) timestamp: Option<String>,

    /// Share it with what this is a part of, if that holds it
    #[arg(long, help_heading = "The lock")]
    pub(crate) reentrant: bool,

    /// Hold it until the command has ended, or until everybody has who belongs to it
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "command",
        help_heading = "The lock"
    )]
    pub(crate) hold: Hold,

    /// Stop the command when it has held the lock for this long; a warning comes at three quarters
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, conflicts_with = "timeout", help_heading = "The lock")]
    pub(crate) max_hold: Option<Duration>,

    /// Tell others why it is held
    #[arg(long, value_name = "TEXT", help_heading = "The lock")]
    pub(crate) why: Option<String>,

    #[command(flatten)]
    pub(crate) place: WaitArgs,

    /// Wait no longer than this in all
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, conflicts_with = "no_wait", help_heading = "The queue")]
    pub(crate) wait: Option<Duration>,

    /// Do not wait at all
    #[arg(long, help_heading = "The queue")]
    pub(crate) no_wait: bool,

    /// Go before those with a lower priority
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        allow_negative_numbers = true,
        help_heading = "The queue"
    )]
    pub(crate) priority: i32,

    /// Go before all who wait already with the same priority
    #[arg(long, conflicts_with = "first_fit", help_heading = "The queue")]
    pub(crate) newest_first: bool,

    /// Do not stand behind others who wait: take it as soon as it can be had
    #[arg(long, help_heading = "The queue")]
    pub(crate) first_fit: bool,

    /// Give up if somebody waits already
    #[arg(long, conflicts_with = "replace_pending", help_heading = "The queue")]
    pub(crate) skip_if_queued: bool,

    /// Send everybody away who waits
    #[arg(long, help_heading = "The queue")]
    pub(crate) replace_pending: bool,

    /// Stop whoever holds it
    #[arg(long, conflicts_with = "no_wait", help_heading = "The queue")]
    pub(crate) cancel_running: bool,

    /// The exit status when the lock is not got
    #[arg(
        long,
        value_name = "N",
        default_value = "122",
        help_heading = "The queue"
    )]
    pub(crate) conflict_exit_code: u8,

    /// Write how it goes to this descriptor, a line of JSON each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), help_heading = "The lock")]
    pub(crate) status_fd: Option<i32>,

    /// Do not heed this signal, nor pass it on
    #[arg(long, value_name = "SIGNAL", value_parser = Signal::from_str, help_heading = "The lock")]
    pub(crate) ignore_signal: Vec<Signal>,

    #[cfg(feature = "etcd")]
    #[command(flatten)]
    pub(crate) cluster: super::ClusterArgs,

    /// Become the command instead of guarding it: the lock is held until it, and whoever inherited its
    /// descriptor, has ended. Of the options of `ward run` there is only --quiet
    #[arg(long, conflicts_with_all = NOT_WITH_EXEC, help_heading = "The lock")]
    pub(crate) exec: bool,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Without a wrapper nobody does what these ask for.
const NOT_WITH_EXEC: [&str; 35] = [
    "hold",
    "max_hold",
    "transactional",
    "ignore_signal",
    "script",
    "shell",
    "shell_path",
    "no_prelude",
    "timeout",
    "idle_timeout",
    "signal",
    "grace",
    "leftover_grace",
    "no_spare",
    "merge",
    "log",
    "log_append",
    "timestamps",
    "report",
    "stdin",
    "chdir",
    "env",
    "env_file",
    "clear_env",
    "user",
    "group",
    "umask",
    "nice",
    "rlimit",
    "keep_fd",
    "memory_max",
    "pids_max",
    "cpu_max",
    "best_effort",
    "containment",
];

/// What the verb says of itself: the flattened `ward run` says something else.
pub(super) fn describe(command: clap::Command) -> clap::Command {
    LockArgs::augment_args(command)
        .long_about(LOCK_ABOUT)
        .after_help(LOCK_EXAMPLES)
        .override_usage("ward lock LOCK[,LOCK]... [OPTIONS] [--] COMMAND [ARG]...")
}

/// `ward run`, and the locks that it holds meanwhile.
#[derive(Debug, Args)]
pub(crate) struct LockedRunArgs {
    /// Hold this lock meanwhile, as `ward lock`; several are got all at once or not at all
    #[arg(long, value_name = "LOCK", help_heading = "Locks")]
    pub(crate) lock: Vec<String>,

    /// Wait for the locks no longer than this in all; 0 does not wait
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, requires = "lock", help_heading = "Locks")]
    pub(crate) lock_wait: Option<Duration>,

    /// Tell others why they are held
    #[arg(long, value_name = "TEXT", requires = "lock", help_heading = "Locks")]
    pub(crate) lock_why: Option<String>,

    /// Where locks are, as of `ward lock`
    #[arg(long, value_name = "DIR", requires = "lock", value_hint = ValueHint::DirPath, help_heading = "Locks")]
    pub(crate) lock_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What `ward run` says of itself.
pub(super) fn describe_run(command: clap::Command) -> clap::Command {
    LockedRunArgs::augment_args(command)
        .long_about(RUN_ABOUT)
        .after_help(RUN_EXAMPLES)
        .override_usage(USAGE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hold {
    /// The command
    Command,
    /// The command and everything that it started
    Tree,
}

const LOCKS_EXAMPLES: &str = "\
Examples:
  ward locks                                 every lock that somebody holds or waits for
  ward locks deploy --history                who held it, how long, and who waited how long
  ward locks --watch                         again whenever something changes
  ward locks reserve deploy --why 'database is being moved' --for 2h
  ward locks release deploy --why 'moved'    what a person holds is free again
  ward locks release deploy --stop           stops the work that holds it
  ward locks steal deploy --why 'incident'   the work that held it goes on without it

A lock called `reserve`, `release` or `steal` is listed behind `--`.";

#[derive(Debug, Args)]
#[command(after_help = LOCKS_EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct LocksArgs {
    #[command(subcommand)]
    pub(crate) deed: Option<LocksDeed>,

    /// Only these
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Who held them since the host started (the last 128)
    #[arg(long, requires = "names")]
    pub(crate) history: bool,

    /// Show them again whenever something changes, until it is interrupted
    #[arg(long, conflicts_with = "history")]
    pub(crate) watch: bool,

    /// Where locks are, as of `ward lock`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) lock_dir: Option<PathBuf>,

    #[cfg(feature = "etcd")]
    #[command(flatten)]
    pub(crate) cluster: super::ClusterArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What people do to locks without a command.
#[derive(Debug, Subcommand)]
pub(crate) enum LocksDeed {
    /// Hold a lock without a command, until it is released (one of this host: or the host starts anew)
    Reserve(ReserveArgs),
    /// Free what people hold
    Release(ReleaseArgs),
    /// Take a lock from whoever holds it, and hold it without a command
    Steal(StealArgs),
}

/// Where people do that.
#[derive(Debug, Args)]
pub(crate) struct DeedPlace {
    #[command(flatten)]
    pub(crate) place: WaitArgs,

    #[cfg(feature = "etcd")]
    #[command(flatten)]
    pub(crate) cluster: super::ClusterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReserveArgs {
    /// The lock, written as for `ward lock`
    #[arg(value_name = "LOCK")]
    pub(crate) name: String,

    /// Tell others why
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,

    /// Hold it no longer than this
    #[arg(long = "for", value_name = "DURATION", value_parser = quantity::duration)]
    pub(crate) time: Option<Duration>,

    /// Wait no longer than this for it
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, conflicts_with = "no_wait")]
    pub(crate) wait: Option<Duration>,

    /// Do not wait for it
    #[arg(long)]
    pub(crate) no_wait: bool,

    #[command(flatten)]
    pub(crate) place: DeedPlace,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The lock
    #[arg(value_name = "LOCK")]
    pub(crate) name: String,

    /// Only what is held with this token
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<u64>,

    /// Say why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,

    /// Stop the work that holds it, and wait until it has ended
    #[arg(long, conflicts_with = "anyway")]
    pub(crate) stop: bool,

    /// Free it though the work that holds it goes on
    #[arg(long)]
    pub(crate) anyway: bool,

    #[command(flatten)]
    pub(crate) place: DeedPlace,
}

#[derive(Debug, Args)]
pub(crate) struct StealArgs {
    /// The lock, written as for `ward lock`
    #[arg(value_name = "LOCK")]
    pub(crate) name: String,

    /// Tell others why
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,

    /// Hold it no longer than this
    #[arg(long = "for", value_name = "DURATION", value_parser = quantity::duration)]
    pub(crate) time: Option<Duration>,

    #[command(flatten)]
    pub(crate) place: DeedPlace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_takes_no_option_that_has_no_effect() {
        let run = RunArgs::augment_args(clap::Command::new("run"));
        let options = run.get_arguments().map(|it| it.get_id().as_str());
        let without: Vec<&str> = options.filter(|it| !NOT_WITH_EXEC.contains(it)).collect();
        assert_eq!(without, ["command", "quiet"]);
        let lock = LockArgs::augment_args(clap::Command::new("lock"));
        for id in NOT_WITH_EXEC {
            let known = lock.get_arguments().any(|it| it.get_id().as_str() == id);
            assert!(known, "{id}");
        }
    }
}
