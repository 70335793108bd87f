//! `ward run`: a command in custody.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use ward_engine::front::{self, FrontEnd};
use ward_engine::locks::Locks;
use ward_engine::shell_step::{self, Script};
use ward_model::life::Policy;
use ward_model::spec::{Log, Spec, Stdin};
use ward_sys::finish::at_once;
use ward_sys::signals;

use super::surroundings::Resolved;
use crate::args::RunArgs;
use crate::failure::Failure;

/// Runs it and gives its exit status.
pub(super) fn run(arguments: RunArgs) -> Result<ExitCode, Failure> {
    let report = arguments.report.clone();
    let spec = spec(arguments)?;
    leave(finish(
        spec,
        report.as_deref(),
        Locks::default(),
        &mut |_| {},
    )?)
}

/// Ends this process: the last thing that a run does.
pub(super) fn leave(exit_status: u8) -> ! {
    // Whoever does not read it has been told so, or does not care.
    let _ = io::stdout().flush();
    at_once(exit_status)
}

/// Runs what was understood, holding these locks. `ended` is told the exit status, before this
/// process perhaps dies of the signal that the command died of.
pub(super) fn finish(
    spec: Spec,
    report: Option<&Path>,
    locks: Locks,
    ended: &mut dyn FnMut(u8),
) -> Result<u8, Failure> {
    let made = spec.remove_at_end.clone();
    let end = front::run_holding(spec, report, locks);
    if let (Err(_), Some(made)) = (&end, made) {
        let _ = std::fs::remove_file(made);
    }
    let FrontEnd {
        exit_status,
        die_of,
    } = end?;
    ended(exit_status);
    if let Some(signal) = die_of {
        signals::no_core_file();
        signals::take_default_action(signal.number());
    }
    Ok(exit_status)
}

pub(super) fn spec(arguments: RunArgs) -> Result<Spec, Failure> {
    for (option, given) in [
        ("--log-append", arguments.log_append),
        ("--timestamps", arguments.timestamps),
    ] {
        if given && arguments.log.is_none() {
            return Err(Failure::usage(
                format!("{option} is about the log, and there is none"),
                "give --log FILE too",
            ));
        }
    }
    let surroundings = Resolved::new(arguments.surroundings)?;
    let script = match (&arguments.script, &arguments.shell) {
        (Some(path), _) => Some(Script::File(path)),
        (None, Some(text)) => Some(Script::Text(text)),
        (None, None) => None,
    };
    let mut spec = match script {
        None => Spec::new(arguments.command),
        Some(script) => {
            let step = shell_step::prepare(
                script,
                &arguments.command,
                &arguments.shell_path,
                !arguments.no_prelude,
                surroundings
                    .identity()
                    .map(|identity| (identity.uid, identity.gid)),
            )?;
            Spec {
                title: Some(step.title),
                remove_at_end: step.made.map(Into::into),
                ..Spec::new(step.command)
            }
        }
    };
    surroundings.apply(&mut spec);
    spec.stdin = match arguments.stdin.as_bytes() {
        b"inherit" => Stdin::Inherit,
        b"null" => Stdin::Null,
        _ => Stdin::File(arguments.stdin),
    };
    spec.merge = arguments.merge;
    spec.spare = !arguments.no_spare;
    spec.policy = Policy {
        timeout: arguments.timeout.filter(|limit| !limit.is_zero()),
        idle_timeout: arguments.idle_timeout.filter(|limit| !limit.is_zero()),
        stop_signal: arguments.signal,
        grace: arguments.grace,
        leftover_grace: arguments.leftover_grace,
        follow: false,
        warn_after: None,
        limits_the_tree: false,
    };
    spec.log = arguments.log.map(|path| Log {
        path: path.into(),
        append: arguments.log_append,
        timestamps: arguments.timestamps,
    });
    spec.quiet = arguments.quiet;
    Ok(spec)
}
