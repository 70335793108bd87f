//! `cargo xtask bench`: ward beside its peers, and beside what the kernel itself can do.
//!
//! Everything is measured in one run, in rounds, each round in another order; what counts is
//! a ratio within a round, never a figure alone.

mod build;
mod control;
mod custody;
mod latency;
mod lock;
mod measure;
mod memory;
mod peers;
mod processes;
mod relay;
mod results;
mod setup;
mod spawn;
mod statistics;
mod stop;
mod supervise;
mod table;
mod venv;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use crate::cargo;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Measure `ward run`: start, relay, stop and memory; the table goes to standard output
    Run(Effort),
    /// Measure `ward spawn`: from the call to a daemon that runs
    Spawn(Effort),
    /// Measure `ward lock`: start, turns of several at one lock, in process too, and memory
    Lock(Effort),
    /// Measure `ward up` beside other supervisors: start, memory, idle, status, restart, stop and logs
    Supervise {
        #[command(flatten)]
        effort: Effort,
        #[command(flatten)]
        wanted: supervise::Wanted,
    },
    /// Measure `ward build serve` beside Buildbot: from a request to a recorded result, many at once,
    /// console, pages and memory
    Build(Effort),
    /// Keep the measuring process and end everything below it (started by `run`)
    #[command(hide = true)]
    Keep(Plan),
    /// Measure (started by `keep`)
    #[command(hide = true)]
    Measure(Plan),
}

/// How much to measure.
#[derive(Args, Clone)]
pub(crate) struct Effort {
    /// Measure everything this many times [default: 9, of supervisors and builds 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Fewer rounds, less data, no tree of ten thousand
    #[arg(long)]
    quick: bool,
    /// Write every figure to this file too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Of which capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    Run,
    Spawn,
    Lock,
    Supervise,
    Build,
}

/// What one of our processes tells the next.
#[derive(Args, Clone)]
pub(crate) struct Plan {
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    wanted: supervise::Wanted,
    /// What is measured
    #[arg(long, value_enum)]
    what: What,
    /// The program that is measured
    #[arg(long)]
    ward: PathBuf,
    /// The program that makes the load
    #[arg(long)]
    load: PathBuf,
    /// A directory for files, removed at the end
    #[arg(long)]
    work: Option<PathBuf>,
    /// A control group for all, removed at the end
    #[arg(long)]
    group: Option<PathBuf>,
}

impl Plan {
    /// The arguments that make another process follow this plan.
    fn arguments(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = Vec::new();
        let mut pair = |name: &str, value: Option<std::ffi::OsString>| {
            if let Some(value) = value {
                arguments.push(name.into());
                arguments.push(value);
            }
        };
        let what = match self.what {
            What::Run => "run",
            What::Spawn => "spawn",
            What::Lock => "lock",
            What::Supervise => "supervise",
            What::Build => "build",
        };
        pair("--what", Some(what.into()));
        pair("--rounds", self.effort.rounds.map(|n| n.to_string().into()));
        pair("--json", self.effort.json.clone().map(Into::into));
        pair("--ward", Some(self.ward.clone().into()));
        pair("--load", Some(self.load.clone().into()));
        pair("--work", self.work.clone().map(Into::into));
        pair("--group", self.group.clone().map(Into::into));
        if self.effort.quick {
            arguments.push("--quick".into());
        }
        arguments.extend(self.wanted.arguments());
        arguments
    }
}

pub(crate) fn main(verb: Verb) -> Result<()> {
    match verb {
        Verb::Run(effort) => begin(What::Run, effort, supervise::Wanted::ALL),
        Verb::Spawn(effort) => begin(What::Spawn, effort, supervise::Wanted::ALL),
        Verb::Lock(effort) => begin(What::Lock, effort, supervise::Wanted::ALL),
        Verb::Supervise { effort, wanted } => begin(What::Supervise, effort, wanted),
        Verb::Build(effort) => begin(What::Build, effort, supervise::Wanted::ALL),
        Verb::Keep(plan) => custody::keep(plan),
        Verb::Measure(plan) => measure::measure(&plan),
    }
}

fn begin(what: What, effort: Effort, wanted: supervise::Wanted) -> Result<()> {
    // One by one: built together, the two would share the features of what they share,
    // and the ward that is measured would not be the ward that is shipped.
    let ward = cargo::build("ward", &["--release", "--package", "ward"])?;
    // Where locks are called in process, the load is the lock's, where logs are pumped, the
    // supervisor's, and where a history is made, the build server's: nothing of ours uses the product.
    let (load, of) = match what {
        What::Run | What::Spawn => ("bench-load", ["--package", "xtask", "--bin"]),
        What::Lock => ("lock-load", ["--package", "ward-lock", "--example"]),
        What::Supervise => ("log-pump", ["--package", "ward-supervise", "--example"]),
        What::Build => ("past-builds", ["--package", "ward-build", "--example"]),
    };
    let load = cargo::build(load, &[&["--release"], &of[..], &[load]].concat())?;
    let ward = installed(&ward)?;
    custody::front(&Plan {
        effort,
        wanted,
        what,
        ward,
        load,
        work: None,
        group: None,
    })
}

/// The program as an installation has it, in a directory `installed` beside the built one. What a linker has
/// written lies in the page cache in single pages, as it writes here and there, and such a program starts a
/// tenth slower than one that was written from its beginning to its end, as the peers' packages were.
fn installed(ward: &Path) -> Result<PathBuf> {
    let directory = ward.with_file_name("installed");
    let copy = directory.join("ward");
    let doing = || format!("copying {} to {}", ward.display(), copy.display());
    fs::create_dir_all(&directory).with_context(doing)?;
    // A new file: the old one may be running, and keeps its pages.
    let _ = fs::remove_file(&copy);
    // As cp(1) and install(1) do. Written in one piece it would be mapped two megabytes at a time, and count
    // as resident that nobody has touched.
    fs::copy(ward, &copy).with_context(doing)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Reader {
        #[command(flatten)]
        plan: Plan,
    }

    #[test]
    fn a_plan_survives_being_told() {
        let plan = Plan {
            effort: Effort {
                rounds: Some(4),
                quick: true,
                json: Some("out file.json".into()),
            },
            wanted: supervise::Wanted::ALL,
            what: What::Lock,
            ward: "/a/ward".into(),
            load: "/a/load".into(),
            work: Some("/tmp/w".into()),
            group: None,
        };
        let told = [vec!["reader".into()], plan.arguments()].concat();
        let read = Reader::try_parse_from(told).unwrap().plan;
        assert_eq!(read.arguments(), plan.arguments());
        assert_eq!(read.effort.rounds, Some(4));
        assert!(read.effort.quick);
        assert_eq!(read.group, None);
    }
}
