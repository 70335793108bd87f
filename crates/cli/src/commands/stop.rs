//! `ward stop` and `ward restart`.

use std::process::ExitCode;
use std::time::Duration;

use ward_engine::daemon::{self, Begun};
use ward_engine::ledger::{Entry, Ledger, Seen, locate};
use ward_engine::stopping::{self, Stopped};
use ward_model::exit_code;

use super::say;
use super::spawn::Show;
use crate::args::{RestartArgs, StopArgs};
use crate::failure::Failure;

/// Whether what was done is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    All,
    Failures,
}

impl Telling {
    pub(super) fn of(quiet: bool) -> Self {
        if quiet { Self::Failures } else { Self::All }
    }
}

/// Stops each, one after the other, and fails with the first failure.
pub(crate) fn run(arguments: &StopArgs) -> Result<ExitCode, Failure> {
    let ledger = Ledger::at(&locate()?);
    let grace = if arguments.force {
        Some(Duration::ZERO)
    } else {
        arguments.grace
    };
    let telling = Telling::of(arguments.quiet);
    each(&arguments.names, |number, name| {
        let seen = on_record(&ledger, name)?;
        stop_one(&seen, grace, telling, number)
    })
}

/// Stops each and starts it again as it was.
pub(crate) fn restart(arguments: &RestartArgs) -> Result<ExitCode, Failure> {
    let ledger = Ledger::at(&locate()?);
    each(&arguments.names, |number, name| {
        on_record(&ledger, name)?;
        let held = ledger.hold(name)?;
        let seen = held.look()?.ok_or_else(|| unknown(name))?;
        if let Some(why) = seen.entry.not_again() {
            return Err(Failure::usage(
                format!("`{name}` cannot be started again as it was: {why}"),
                "it was left alone; start it anew with `ward spawn --replace`, from outside of it",
            ));
        }
        if seen.state.is_alive() {
            stop_one(&seen, None, Telling::Failures, number)?;
        }
        let mut entry = Entry::again(&seen.entry);
        match daemon::begin(&mut entry, &held)? {
            Begun::Running { .. } => {
                let show = Show {
                    json: false,
                    quiet: arguments.quiet,
                };
                match held.look()? {
                    Some(seen) => show.started(&seen, "running again"),
                    None => Ok(()),
                }
            }
            begun => super::spawn::failed(name, begun).map_or(Ok(()), Err),
        }
    })
}

/// Does it to each, says every failure, and ends with the first one's status.
fn each(
    names: &[String],
    mut what: impl FnMut(u16, &str) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let mut first = None;
    for (number, name) in names.iter().enumerate() {
        if let Err(failure) = what(u16::try_from(number).unwrap_or(0), name) {
            failure.report();
            first.get_or_insert(failure.code());
        }
    }
    Ok(first.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// What is on record of a name that must be.
pub(super) fn on_record(ledger: &Ledger, name: &str) -> Result<Seen, Failure> {
    ledger.look(name)?.ok_or_else(|| unknown(name))
}

pub(super) fn unknown(name: &str) -> Failure {
    Failure::with_code(
        format!("there is no `{name}` on record"),
        Some("`ward ps --all` lists what is; another user's is in that user's state directory"),
        exit_code::UNKNOWN_NAME,
    )
}

/// Stops one, and says how it went.
pub(super) fn stop_one(
    seen: &Seen,
    grace: Option<Duration>,
    telling: Telling,
    number: u16,
) -> Result<(), Failure> {
    let name = &seen.entry.name;
    let tell = |text: String| {
        if telling == Telling::All {
            say(&format!("`{name}` {text}"));
        }
    };
    match stopping::stop(seen, grace, number) {
        Stopped::WasNotRunning => tell("does not run".to_owned()),
        Stopped::Over(None) => tell("is stopped".to_owned()),
        Stopped::OverUnguarded => tell("is stopped; it had lost its keepers".to_owned()),
        Stopped::Over(Some(report)) => {
            let count = |listed: &ward_model::report::Listed| listed.count;
            if count(&report.survivors) > 0 {
                let left = report.survivors.processes.iter();
                let left: Vec<_> = left.map(|it| (it.pid, it.command.clone())).collect();
                return Err(left_failure(name, &left));
            }
            let killed = match count(&report.killed) {
                0 => String::new(),
                count => format!(", {count} killed"),
            };
            tell(format!(
                "is stopped: {} told, {} cleaned up{killed}",
                count(&report.told),
                count(&report.cleaned_up)
            ));
        }
        Stopped::Denied => {
            return Err(Failure::with_code(
                format!("not permitted to stop `{name}`"),
                Some("it was started by another user; be that user, or root"),
                exit_code::WARD_FAILED,
            ));
        }
        Stopped::Left(left) => return Err(left_failure(name, &left)),
    }
    Ok(())
}

fn left_failure(name: &str, left: &[(i32, String)]) -> Failure {
    let mut text = format!("of `{name}` these could not be ended:");
    for (pid, command) in left {
        text.push_str(&format!("\n    {pid} {command}"));
    }
    Failure::with_code(text, None, exit_code::WARD_FAILED)
}
