//! What every verb that starts a command lets choose about its surroundings.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum, ValueHint};
use ward_model::quantity;

#[derive(Debug, Clone, Args)]
pub(crate) struct SurroundingsArgs {
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
