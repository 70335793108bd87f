//! A file per verb.

mod build;
mod check;
#[cfg(feature = "etcd")]
mod cluster;
mod completions;
mod ctl;
mod daemonize;
mod docs;
mod doctor;
mod flom;
mod lock;
mod lock_wait;
mod lock_words;
mod locks;
mod locks_deeds;
mod logs;
mod man;
mod ps;
mod run;
mod spawn;
mod status;
mod stop;
mod surroundings;
mod up;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use ward_config::diagnostics::{Diagnostic, Palette};
use ward_config::source::Sources;

use crate::args::{Verb, Ward};
use crate::failure::Failure;

pub(crate) use ctl::run as ctl;
pub(crate) use daemonize::run as daemonize;
pub(crate) use flom::run as flom;
pub(crate) use up::run as up;

/// Does what was asked.
pub(crate) fn run(arguments: Ward) -> Result<ExitCode, Failure> {
    match arguments.verb {
        Verb::Run(arguments) => lock::run_with_locks(*arguments),
        Verb::Spawn(arguments) => spawn::run(*arguments),
        Verb::Ps(arguments) => ps::run(&arguments),
        Verb::Stop(arguments) => stop::run(&arguments),
        Verb::Restart(arguments) => stop::restart(&arguments),
        Verb::Logs(arguments) => logs::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Daemonize(arguments) => Ok(daemonize("daemonize", &arguments.arguments)),
        Verb::Flom(arguments) => Ok(flom(&arguments.arguments)),
        Verb::Lock(arguments) => lock::run(*arguments),
        Verb::Locks(arguments) => locks::run(&arguments),
        Verb::Up(arguments) => Ok(up("ward".as_ref(), "ward up", &arguments.arguments)),
        Verb::Build(arguments) => build::run(*arguments),
        Verb::Ctl(arguments) => Ok(ctl("ward".as_ref(), "ward ctl", &arguments.arguments)),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Docs(arguments) => docs::run(&arguments),
    }
}

/// Says to people what is wrong with a configuration.
fn say_findings(found: &[Diagnostic], sources: &Sources) {
    let palette = if std::io::stderr().is_terminal() {
        Palette::COLOURED
    } else {
        Palette::default()
    };
    for one in found {
        // Where nobody can be told, the exit status still says it.
        let _ = write!(std::io::stderr(), "{}", one.render(sources, palette));
    }
}

/// Says something to people.
fn say(text: &str) {
    // Where nobody can be told, the exit status still says it.
    let _ = writeln!(std::io::stderr(), "ward: {text}");
}
