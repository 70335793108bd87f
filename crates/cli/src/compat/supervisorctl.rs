//! supervisorctl 4.3.0: `ward ctl`, and ward by the name `supervisorctl`.
//!
//! Its options, commands, exit statuses, and what it prints on standard output, are those of the
//! original, for scripts that depend on them; what ward adds is apart in [`ours`]. This room asks a
//! supervisor over HTTP, and starts, watches and stops no process itself.

mod actions;
mod call;
mod command_line;
mod endpoint;
mod follow;
mod foreground;
mod help;
mod history;
mod http;
mod info;
mod interrupt;
mod names;
mod ours;
mod question;
mod session;
mod settings;
mod shell;
mod tail;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::ExitCode;

use ward_config::host::{Files, Host};

use command_line::Parsed;
use session::Session;

pub(crate) use command_line::{EXAMPLES, OPTIONS};

/// How we were called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Called<'a> {
    /// For people: `ward ctl`, or the program's name as it was written.
    pub(crate) name: &'a str,
    /// The program's name as it was written; beside it a configuration is looked for.
    pub(crate) program: &'a OsStr,
}

/// Does what the words behind the program's name say.
pub(crate) fn run(
    called: Called<'_>,
    words: &[String],
    host: &Host,
    files: &dyn Files,
) -> ExitCode {
    let line = match command_line::parse(called.name, words) {
        Ok(Parsed::Print(text)) => {
            // Whoever does not listen misses nothing that matters.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Run(line)) => *line,
        Err(refusal) => return refusal.report(called.name),
    };
    let action = line.action.join(" ");
    let has_action = !line.action.is_empty();
    let settings = match settings::of(line, called.program, host, files) {
        Ok(settings) => settings,
        Err(refusal) => return refusal.report(called.name),
    };
    let mut session = Session::new(settings);
    if has_action {
        session.one(&action);
        return ExitCode::from(session.status());
    }
    shell::run(session);
    ExitCode::SUCCESS
}
