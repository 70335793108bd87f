//! The command line: every verb, option, default and text of help.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use ward_model::exit_code;
use ward_model::quantity;
use ward_model::signal::Signal;

/// Reads the command line of this process. Ends it for `--help`, `--version` and mistakes.
pub(crate) fn parse() -> Ward {
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

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command, with everything that it starts, in custody
    #[command(long_about = RUN_ABOUT)]
    Run(Box<RunArgs>),
    /// Tell which containment this host gives, why, and what would give a better one
    Doctor(DoctorArgs),
    /// Write the manual pages
    Man(ManArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print a page of the reference, as it is generated from the code
    #[command(hide = true)]
    Docs(DocsArgs),
}

const RUN_ABOUT: &str = "\
Run a command, with everything that it starts, in custody.

Every process that the command starts belongs to the run, however it detaches itself. Output is \
relayed byte for byte. A stop (TERM, INT, HUP or QUIT sent to ward, or a limit) tells every process \
once, waits for their clean-up, and kills what is left. What outlives the command is named, told \
and ended too, unless it was detached on purpose.";

const RUN_EXAMPLES: &str = "\
Examples:
  ward run -- make -j4                              a build step that leaves nothing behind
  ward run --timeout 30m --idle-timeout 5m -- make check
  ward run --shell 'trap \"rm -rf tmp\" EXIT; make'   as Jenkins runs it; the trap runs on a stop too
  ward run --script ci/build.sh --report run.json   what ended it, who was killed, what it cost
  ward run --user build --memory-max 2G -- npm test
  BUILD_ID=dontKillMe in front of a daemon that the command starts lets it stay.

Exit status:
  the command's own; 128+n when signal n ended it; 123 when ward was asked to stop it; 124 when a
  limit ran out; 125 when ward itself failed; 126 when the command cannot be executed; 127 when it
  was not found; 2 for a mistake on the command line.";

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, override_usage = "\
ward run [OPTIONS] [--] COMMAND [ARG]...
       ward run [OPTIONS] --script FILE [ARG]...
       ward run [OPTIONS] --shell TEXT [ARG]...")]
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

    /// Start in this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Surroundings")]
    pub(crate) chdir: Option<OsString>,

    /// Set a variable; without `=`, pass ours on (for --clear-env)
    #[arg(
        short,
        long = "env",
        value_name = "NAME[=VALUE]",
        help_heading = "Surroundings"
    )]
    pub(crate) env: Vec<OsString>,

    /// Set the variables of this file: NAME=VALUE lines, `#` comments
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Surroundings")]
    pub(crate) env_file: Vec<PathBuf>,

    /// Start with an empty environment
    #[arg(long, help_heading = "Surroundings")]
    pub(crate) clear_env: bool,

    /// Run as this user, with its groups, HOME, USER and LOGNAME
    #[arg(long, value_name = "NAME|UID", value_hint = ValueHint::Username, help_heading = "Surroundings")]
    pub(crate) user: Option<String>,

    /// Run as this group
    #[arg(long, value_name = "NAME|GID", help_heading = "Surroundings")]
    pub(crate) group: Option<String>,

    /// File mode creation mask
    #[arg(long, value_name = "OCTAL", value_parser = umask, help_heading = "Surroundings")]
    pub(crate) umask: Option<u32>,

    /// Add to the niceness (-40 to 39)
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-40..=39), help_heading = "Surroundings")]
    pub(crate) nice: Option<i32>,

    /// Set a resource limit, such as nofile=1024 or core=0:unlimited
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = Limit::from_str, help_heading = "Surroundings")]
    pub(crate) rlimit: Vec<Limit>,

    /// Where the command reads from: null, inherit, or a file
    #[arg(
        long,
        value_name = "null|inherit|FILE",
        default_value = "inherit",
        help_heading = "Surroundings"
    )]
    pub(crate) stdin: OsString,

    /// Pass this descriptor on, besides 0, 1 and 2
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..), help_heading = "Surroundings")]
    pub(crate) keep_fd: Vec<i32>,

    /// Limit the memory of the whole tree
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, help_heading = "Containment")]
    pub(crate) memory_max: Option<u64>,

    /// Limit the number of processes and threads of the whole tree
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Containment")]
    pub(crate) pids_max: Option<u64>,

    /// Limit the processors of the whole tree, such as 1.5 or 150%
    #[arg(long, value_name = "SHARE", value_parser = quantity::cpus, help_heading = "Containment")]
    pub(crate) cpu_max: Option<u32>,

    /// Go on without limits of the whole tree that cannot be had here
    #[arg(long, help_heading = "Containment")]
    pub(crate) best_effort: bool,

    /// By which means the tree is held; see `ward doctor`
    #[arg(
        long,
        value_name = "RUNG",
        default_value = "auto",
        help_heading = "Containment"
    )]
    pub(crate) containment: Containment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Containment {
    /// The highest rung that works here
    Auto,
    /// A cgroup of its own, or fail
    Cgroup,
    /// The guardian process alone
    Guardian,
}

/// A resource limit as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    /// Its `RLIMIT_` number.
    pub(crate) resource: u32,
    /// `None` is unlimited.
    pub(crate) soft: Option<u64>,
    /// Outer `None`: not given.
    pub(crate) hard: Option<Option<u64>>,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "write NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:4096 or core=unlimited";
        let (name, values) = text.split_once('=').ok_or(form)?;
        let names = ward_sys::limits::NAMES;
        let name = name.to_ascii_lowercase();
        let Some((_, resource)) = names.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = names.iter().map(|(known, _)| *known).collect();
            return Err(format!(
                "there is no limit `{name}` (there are {})",
                known.join(", ")
            ));
        };
        let bytes = ward_sys::limits::counts_bytes(&name);
        let value = |text: &str| match text {
            "unlimited" | "infinity" => Ok(None),
            text if bytes => quantity::size(text)
                .map(Some)
                .map_err(|error| error.to_string()),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| format!("`{text}` is not a number ({form})")),
        };
        let (soft, hard) = match values.split_once(':') {
            Some((soft, hard)) => (value(soft)?, Some(value(hard)?)),
            None => (value(values)?, None),
        };
        if let Some(Some(hard)) = hard
            && soft.is_none_or(|soft| soft > hard)
        {
            return Err("the soft limit is above the hard one".to_owned());
        }
        Ok(Self {
            resource: *resource,
            soft,
            hard,
        })
    }
}

fn umask(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| {
            format!("`{text}` is not a mask (write up to three octal digits, such as 022)")
        })
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
