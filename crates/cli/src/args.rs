//! The command line: every verb, option, default and text of help.

mod build;
mod check;
#[cfg(feature = "etcd")]
mod cluster;
mod ctl;
mod daemon;
mod lock;
mod plain;
mod run;
mod surroundings;
mod up;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{
    ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint,
};
use ward_model::exit_code;

pub(crate) use build::{
    At, BuildArgs, BuildVerb, ListArgs, LocalArgs, LogArgs, QueueArgs, RoleArg, SecretDeed,
    ServeArgs, ShowArgs, StartArgs, StopBuildArgs, TokenDeed, UserDeed, Whose,
};
pub(crate) use check::CheckArgs;
#[cfg(feature = "etcd")]
pub(crate) use cluster::ClusterArgs;
pub(crate) use ctl::CtlArgs;
pub(crate) use daemon::{
    IfRunning, LogsArgs, PsArgs, RestartArgs, SpawnArgs, StatusArgs, StopArgs,
};
pub(crate) use lock::{
    Hold, LockArgs, LockedRunArgs, LocksArgs, LocksDeed, ReleaseArgs, ReserveArgs, StealArgs,
};
pub(crate) use run::RunArgs;
pub(crate) use surroundings::{Containment, SurroundingsArgs};
pub(crate) use up::UpArgs;

/// Reads the command line of this process. Ends it for `--help`, `--version` and mistakes.
pub(crate) fn parse() -> Ward {
    if let Some(plain) = plain::read(std::env::args_os().skip(1)) {
        return plain;
    }
    // Taking the description apart again would cost as much as making it: it is left to the
    // end of the process.
    let mut command = std::mem::ManuallyDrop::new(Ward::command());
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let arguments = parsed.and_then(|matches| {
        let matches = std::mem::ManuallyDrop::new(matches);
        Ward::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    });
    match arguments {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => refuse(&error),
        Err(error) => error.exit(),
    }
}

/// Says what is wrong with the command line, as ward says everything, and ends.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing was begun, and nothing is left to do"
)]
fn refuse(error: &clap::Error) -> ! {
    let rendered = error.render();
    let text = if std::io::stderr().is_terminal() {
        rendered.ansi().to_string()
    } else {
        rendered.to_string()
    };
    // The parser's own word for it, perhaps in colour.
    let text = text.replacen("error:", "ward:", 1);
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::exit(i32::from(exit_code::USAGE))
}

/// Every process on a host ends exactly when it should, and never before.
#[derive(Debug, Parser)]
#[command(
    name = "ward",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Ward {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do. Described by hand, as each description is only made when its verb is used: all of
/// them would cost `ward run` a tenth of its start.
#[derive(Debug)]
pub(crate) enum Verb {
    Run(Box<LockedRunArgs>),
    Spawn(Box<SpawnArgs>),
    Ps(PsArgs),
    Stop(StopArgs),
    Restart(RestartArgs),
    Logs(LogsArgs),
    Status(StatusArgs),
    Daemonize(DaemonizeArgs),
    Flom(FlomArgs),
    Lock(Box<LockArgs>),
    Locks(Box<LocksArgs>),
    Up(UpArgs),
    Ctl(CtlArgs),
    Build(Box<BuildArgs>),
    Check(CheckArgs),
    Doctor(DoctorArgs),
    Man(ManArgs),
    Completions(CompletionsArgs),
    Docs(DocsArgs),
}

impl Verb {
    fn describe(command: Command) -> Command {
        type Described = (&'static str, &'static str, fn(Command) -> Command);
        let verbs: [Described; 19] = [
            (
                "run",
                "Run a command, with everything that it starts, in custody",
                lock::describe_run,
            ),
            (
                "spawn",
                "Start a daemon that outlives its caller, on record",
                SpawnArgs::augment_args,
            ),
            (
                "ps",
                "List what is in ward's custody on this host",
                PsArgs::augment_args,
            ),
            (
                "stop",
                "Stop daemons, each with everything that it started",
                StopArgs::augment_args,
            ),
            (
                "restart",
                "Stop daemons and start them again as they were",
                RestartArgs::augment_args,
            ),
            ("logs", "Show what a daemon printed", LogsArgs::augment_args),
            (
                "status",
                "Tell how a daemon stands",
                StatusArgs::augment_args,
            ),
            (
                "daemonize",
                "Start a daemon by the command line of daemonize(1)",
                DaemonizeArgs::augment_args,
            ),
            (
                "flom",
                "Run a command while holding a lock by the command line of flom(1)",
                FlomArgs::augment_args,
            ),
            (
                "lock",
                "Run a command while holding a lock, exactly as long as the work lasts",
                lock::describe,
            ),
            (
                "locks",
                "List who holds and who waits for locks; reserve, release and steal them",
                LocksArgs::augment_args,
            ),
            (
                "up",
                "Keep the programs of a supervisord.conf running, as supervisord(1)",
                up::describe,
            ),
            (
                "ctl",
                "Ask a supervisor how its programs stand, and tell it what to do, as supervisorctl(1)",
                ctl::describe,
            ),
            (
                "build",
                "Build jobs: the server, and what people ask it",
                BuildArgs::augment_args,
            ),
            (
                "check",
                "Tell everything that is wrong with a supervisord.conf, and what it says",
                CheckArgs::augment_args,
            ),
            (
                "doctor",
                "Tell which containment this host gives, why, and what would give a better one",
                DoctorArgs::augment_args,
            ),
            ("man", "Write the manual pages", ManArgs::augment_args),
            (
                "completions",
                "Print completions for a shell",
                CompletionsArgs::augment_args,
            ),
            (
                "docs",
                "Print a page of the reference, as it is generated from the code",
                DocsArgs::augment_args,
            ),
        ];
        verbs
            .into_iter()
            .fold(command, |command, (name, about, augment)| {
                let verb = Command::new(name).about(about).defer(augment);
                command.subcommand(verb.hide(name == "docs"))
            })
    }
}

impl FromArgMatches for Verb {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        Ok(match name {
            "run" => Self::Run(Box::new(LockedRunArgs::from_arg_matches(matches)?)),
            "spawn" => Self::Spawn(Box::new(SpawnArgs::from_arg_matches(matches)?)),
            "ps" => Self::Ps(PsArgs::from_arg_matches(matches)?),
            "stop" => Self::Stop(StopArgs::from_arg_matches(matches)?),
            "restart" => Self::Restart(RestartArgs::from_arg_matches(matches)?),
            "logs" => Self::Logs(LogsArgs::from_arg_matches(matches)?),
            "status" => Self::Status(StatusArgs::from_arg_matches(matches)?),
            "daemonize" => Self::Daemonize(DaemonizeArgs::from_arg_matches(matches)?),
            "flom" => Self::Flom(FlomArgs::from_arg_matches(matches)?),
            "lock" => Self::Lock(Box::new(LockArgs::from_arg_matches(matches)?)),
            "locks" => Self::Locks(Box::new(LocksArgs::from_arg_matches(matches)?)),
            "up" => Self::Up(UpArgs::from_arg_matches(matches)?),
            "ctl" => Self::Ctl(CtlArgs::from_arg_matches(matches)?),
            "build" => Self::Build(Box::new(BuildArgs::from_arg_matches(matches)?)),
            "check" => Self::Check(CheckArgs::from_arg_matches(matches)?),
            "doctor" => Self::Doctor(DoctorArgs::from_arg_matches(matches)?),
            "man" => Self::Man(ManArgs::from_arg_matches(matches)?),
            "completions" => Self::Completions(CompletionsArgs::from_arg_matches(matches)?),
            "docs" => Self::Docs(DocsArgs::from_arg_matches(matches)?),
            _ => return Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Verb {
    fn augment_subcommands(command: Command) -> Command {
        Self::describe(command)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::describe(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Self::describe(Command::new(""))
            .find_subcommand(name)
            .is_some()
    }
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to write ward.1, ward-run.1 and so on; without it, ward.1 goes to standard output
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ward completions bash >/etc/bash_completion.d/ward
  ward completions zsh  >/usr/local/share/zsh/site-functions/_ward
  ward completions fish >~/.config/fish/completions/ward.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    /// List the pages: name, tab, file
    #[arg(long)]
    pub(crate) list: bool,
    /// Which page
    #[arg(required_unless_present = "list")]
    pub(crate) page: Option<String>,
}

/// The words of another program's command line, which has rules of its own.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "ward daemonize [OPTIONS] PATH [ARG]..."
)]
pub(crate) struct DaemonizeArgs {
    /// As daemonize(1) takes them; -h lists them
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<OsString>,
}

/// The words of another program's command line, which has rules of its own.
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "ward flom [OPTIONS] [--] COMMAND [ARG]..."
)]
pub(crate) struct FlomArgs {
    /// As flom(1) takes them; -h lists them
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) arguments: Vec<OsString>,
}
