//! `ward flom`: a command while something is locked, by another program's command line, and in
//! custody like any.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args as _, Command, FromArgMatches as _};
use rustix::fs::MemfdFlags;
use ward_engine::ledger::Origin;
use ward_engine::locks::{FIRST_DESCRIPTOR, Until};
use ward_engine::runs;
use ward_lock::{Request, Waiting};
use ward_model::exit_code;
use ward_model::life::{CauseKind, End};
use ward_model::report::Report;
use ward_model::signal::Signal;
use ward_model::spec::Spec;

use super::lock::{bear_a_limit_of_files, take_no_notice};
use super::lock_wait::{Got, HELD, Refused, Wait, held_above};
use super::run as in_custody;
use crate::args::{Hold, LockArgs};
use crate::compat::flom::{self, Asked, FAILED, NO_COMMAND, Order, Prints, Refusal};
use crate::failure::Failure;

/// Does what the original would.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let mut prints = Prints::default();
    let asked = flom::read(words, &mut prints);
    // Whoever does not listen misses nothing that matters.
    let _ = io::stdout().write_all(prints.out.as_bytes());
    for line in &prints.err {
        let _ = writeln!(io::stderr(), "{line}");
    }
    match asked {
        Err(refusal) => refusal.report(),
        Ok(Asked::Nothing) => ExitCode::SUCCESS,
        Ok(Asked::Command(order)) => hold_and_run(*order).unwrap_or_else(|told| told),
    }
}

/// The error is the exit status of what was told already.
fn hold_and_run(order: Order) -> Result<ExitCode, ExitCode> {
    let refused = |refusal: Refusal| refusal.report();
    let failed = |failure: Failure| failure.with_status(FAILED).report();
    let mut arguments = arguments(&order).map_err(refused)?;
    let report = arguments.run.report.clone();
    // The original says nothing about what its command does: who wants to know asks for a report.
    arguments.run.quiet |= report.is_none();
    let until = match arguments.hold {
        Hold::Command => Until::Command,
        Hold::Tree => Until::Tree,
    };
    // Whatever is wrong with the command is told before anybody waits for it.
    let mut spec = in_custody::spec(arguments.run.clone()).map_err(failed)?;
    let ours = FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + i32::try_from(order.wanted.len()).unwrap_or(1);
    if let Some(taken) = spec.keep_fds.iter().find(|fd| ours.contains(fd)) {
        return Err(refused(Refusal::ours(format!(
            "descriptor {taken} is the lock's in the command"
        ))));
    }
    bear_a_limit_of_files();
    let got = acquire(&order, &arguments)?;
    let element = got.told().first().map(|told| told.elements.join(","));
    let element = element.unwrap_or_default();
    if order.verbose && order.hands_out {
        let _ = writeln!(io::stdout(), "Locked element is '{element}'");
    }
    tell_the_command(&mut spec, &order, &got, &element);
    if order.hands_out {
        spec.command.push(element.into());
    }
    // Not while we wait: the original does not, either.
    take_no_notice(&order.ignored);
    spec.deaf_to = order.ignored;
    let program = spec.command.first().cloned().unwrap_or_default();
    let account = Account::new(report).map_err(refused)?;
    let mut wards = FAILED;
    let (locks, over) = got.into_locks(until).map_err(failed)?;
    let mut over = Some(over);
    let mut ended = |status| {
        if let Some(over) = over.take() {
            over();
        }
        wards = status;
    };
    in_custody::finish(spec, Some(&account.path), locks, &mut ended).map_err(failed)?;
    match account.status(wards) {
        Some(status) => Ok(ExitCode::from(status)),
        None => {
            let program = program.to_string_lossy();
            let line = format!("Unable to execute command '{program}'");
            Err(refused(Refusal::new(NO_COMMAND, line)))
        }
    }
}

/// What the options of `ward lock` say that were given.
fn arguments(order: &Order) -> Result<LockArgs, Refusal> {
    let mut words = vec![OsString::from("flom"), order.name.clone().into()];
    words.extend(order.extra.iter().cloned());
    words.push("--".into());
    words.extend(order.command.iter().cloned());
    LockArgs::augment_args(Command::new("flom"))
        .try_get_matches_from(words)
        .and_then(|matches| LockArgs::from_arg_matches(&matches))
        .map_err(|error| Refusal::ours(error.to_string().trim_end()))
}

/// Waits for what is to be locked, without a word.
fn acquire(order: &Order, arguments: &LockArgs) -> Result<Got, ExitCode> {
    let directory = order
        .directory(arguments.place.lock_dir.as_deref())
        .map_err(|refusal| refusal.report())?;
    let words: Vec<_> = order
        .command
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    let request = Request {
        command: words.join(" "),
        why: arguments.why.clone(),
        origin: Origin::build_of_this_process(),
        held_above: held_above(HELD),
        idle: order.idle,
        ..Request::new(order.wanted.clone())
    };
    let mut first = true;
    let mut tell = |_: &Waiting| {
        // The holder may be one of a tree that stands still because nobody is left to thaw it; but
        // most are gone within a second.
        if !std::mem::take(&mut first) {
            runs::thaw_orphans();
        }
    };
    #[cfg(feature = "etcd")]
    let cluster = super::cluster::chosen(&arguments.cluster)
        .map_err(|failure| failure.with_status(FAILED).report())?;
    let got = Wait::get(
        &directory,
        &request,
        order.patience,
        #[cfg(feature = "etcd")]
        cluster.map(|it| (it, false)),
        &mut tell,
    );
    got.map_err(|refused| match refused {
        Refused::Here(error) => order.refused(&error).report(),
        #[cfg(feature = "etcd")]
        Refused::There { failure, busy } => {
            let status = if busy { flom::BUSY } else { FAILED };
            failure.with_status(status).report()
        }
    })
}

/// The variables that tell the command of its locks. Of several it is told of the first, which is
/// what was asked for; but all are held above it.
fn tell_the_command(spec: &mut Spec, order: &Order, got: &Got, element: &str) {
    for (name, value) in got.variables(&[FIRST_DESCRIPTOR]) {
        let value = match name {
            "WARD_LOCK_NAME" => order.name.clone(),
            "WARD_LOCK_ELEMENT" => element.to_owned(),
            "WARD_LOCK_MODE" | "WARD_LOCK_TOKEN" => {
                value.split(',').next().unwrap_or_default().to_owned()
            }
            _ => value,
        };
        spec.environment.retain(|(known, _)| known != name);
        spec.environment.push((name.into(), value.into()));
    }
}

/// Where the run's report goes, which tells the end of the command from what ward makes of it.
struct Account {
    path: PathBuf,
    /// If nobody else wants it: a file in memory.
    file: Option<File>,
}

impl Account {
    fn new(asked: Option<PathBuf>) -> Result<Self, Refusal> {
        if let Some(path) = asked {
            return Ok(Self { path, file: None });
        }
        let file = rustix::fs::memfd_create("flom", MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|error| Refusal::ours(format!("cannot make a file in memory: {error}")))?;
        Ok(Self {
            path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            file: Some(file),
        })
    }

    /// The exit status; none if the command could not be executed. `wards` is what ward made of it,
    /// for the case that there is no report to be read.
    fn status(self, wards: u8) -> Option<u8> {
        let mut bytes = Vec::new();
        let read = match self.file {
            Some(mut file) => file.rewind().and_then(|()| file.read_to_end(&mut bytes)),
            // A pipe would be read from for ever.
            None if self.path.is_file() => {
                File::open(&self.path).and_then(|mut file| file.read_to_end(&mut bytes))
            }
            None => Ok(0),
        };
        let report: Option<Report> = read.ok().and_then(|_| serde_json::from_slice(&bytes).ok());
        match report {
            Some(report) => status(&report),
            None if [exit_code::NOT_FOUND, exit_code::NOT_EXECUTABLE].contains(&wards) => None,
            None => Some(wards),
        }
    }
}

/// What the original would end with, if it told of signals; none if the command could not be
/// executed.
fn status(report: &Report) -> Option<u8> {
    let killed_by = |signal: Signal| {
        let number = u8::try_from(signal.number()).unwrap_or(u8::MAX);
        exit_code::SIGNAL_BASE.saturating_add(number)
    };
    let cause = report.cause.filter(|_| report.stopped_before_end);
    Some(match (report.end, cause) {
        (End::NotStarted { exec: true, .. }, _) => return None,
        (End::NotStarted { exec: false, .. } | End::Unknown, _) => FAILED,
        // Limits are ours, and so is the status that tells of them.
        (_, Some(CauseKind::IdleLimit | CauseKind::TimeLimit)) => report.exit_status,
        (_, Some(CauseKind::LockLost)) => FAILED,
        (End::Signaled { signal, .. }, _) => killed_by(signal),
        // Its clean-up is no success. The original would have died of the signal.
        (End::Exited { code: 0 }, Some(CauseKind::Requested)) => {
            let signal = report.stops.iter().find_map(|stop| stop.signal);
            signal.map_or(exit_code::STOPPED, killed_by)
        }
        (End::Exited { code }, _) => code,
    })
}
