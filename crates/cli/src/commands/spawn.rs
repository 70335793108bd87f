//! `ward spawn`: a daemon that outlives its caller, on record.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use ward_engine::chain;
use ward_engine::daemon::{self, Begun};
use ward_engine::keep::{self, usual_surroundings};
use ward_engine::ledger::{Entry, Held, Ledger, LedgerError, Origin, Seen, locate};
use ward_engine::ready;
use ward_model::cookie::{OF_BUILD_SERVERS, OF_SERVICE_MANAGERS};
use ward_model::exit_code;
use ward_model::life::Policy;
use ward_model::spec::{Spec, Stdin};

use super::stop::{self, Telling};
use super::surroundings::Resolved;
use super::{ps, say};
use crate::args::{IfRunning, SpawnArgs};
use crate::failure::Failure;

/// Daemons that ward named itself are forgotten this long after their end, seconds.
const FORGOTTEN_AFTER: f64 = 7.0 * 24.0 * 3600.0;

/// Starts it and says so.
pub(crate) fn run(arguments: SpawnArgs) -> Result<ExitCode, Failure> {
    let ledger = Ledger::at(&locate()?);
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => made_up(&arguments.command[0]),
    };
    let show = Show {
        json: arguments.json,
        quiet: arguments.quiet,
    };
    let rollback = arguments.rollback;
    let if_running = if arguments.replace {
        IfRunning::Replace
    } else {
        arguments.if_running
    };
    let named = arguments.name.is_some();
    let ready = arguments.ready.is_some();
    // Found to be wrong before anything is touched.
    let draft = Draft::new(arguments)?;
    keep::check(&draft.spec)?;
    let held = ledger.hold(&name)?;
    let old = match held.look() {
        // Whatever it was about has ended, and its place can be taken.
        Err(error @ LedgerError::Damaged { .. }) if !held.is_kept() => {
            say(&format!("{}; it is replaced", chain(&error)));
            None
        }
        result => result?,
    };
    let running = old.as_ref().filter(|old| old.state.is_alive());
    if let Some(running) = running {
        match if_running {
            IfRunning::Keep => {
                show.started(running, "runs already")?;
                return Ok(ExitCode::SUCCESS);
            }
            IfRunning::Fail => {
                return Err(Failure::with_code(
                    format!("`{name}` runs already{}", with_pid(running)),
                    Some("stop it first, or use --replace, or --if-running keep"),
                    exit_code::TAKEN,
                ));
            }
            IfRunning::Replace => {
                draft.check_program()?;
                refuse_from_inside(running, rollback)?;
                stop::stop_one(running, None, Telling::of(show.quiet), 0)?;
            }
        }
    }
    let mut entry = draft.entry(&name, named, &held);
    let begun = daemon::begin(&mut entry, &held);
    let failure = match begun {
        Ok(Begun::Running {
            answered_before, ..
        }) => {
            if let (true, Some(ready)) = (answered_before, &entry.ready) {
                say(&format!(
                    "`{name}`: somebody answered at {ready} before it was started, so that this says nothing of it"
                ));
            }
            let word = if ready { "ready" } else { "running" };
            if let Some(seen) = held.look()? {
                show.started(&seen, word)?;
            }
            if !named {
                ledger.forget_older(FORGOTTEN_AFTER);
            }
            return Ok(ExitCode::SUCCESS);
        }
        Ok(begun) => failed(&name, begun),
        Err(error) => Some(error.into()),
    };
    if let (true, Some(old)) = (rollback, running) {
        if let Some(failure) = &failure {
            failure.report();
        }
        roll_back(old, &held)?;
        return Ok(ExitCode::from(
            failure.map_or(exit_code::NOT_READY, |failure| failure.code()),
        ));
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(ExitCode::from(exit_code::NOT_READY)),
    }
}

/// Says why it was not started. The lines of a failed start are said as they are.
pub(super) fn failed(name: &str, begun: Begun) -> Option<Failure> {
    match begun {
        Begun::Running { .. } => None,
        Begun::NotStarted { status, notices } => {
            for line in &notices[..notices.len().saturating_sub(1)] {
                say(line);
            }
            let last = notices.last().cloned();
            let last = last.unwrap_or_else(|| format!("`{name}` was not started"));
            Some(Failure::with_code(last, None, status))
        }
        Begun::NotReady { why, log } => {
            let mut text = format!("`{name}`: {why}");
            if !log.is_empty() {
                text.push_str("; the end of its log:");
            }
            for line in log {
                text.push_str("\n    ");
                text.push_str(&line);
            }
            Some(Failure::with_code(text, None, exit_code::NOT_READY))
        }
    }
}

/// Starts again what ran before.
fn roll_back(old: &Seen, held: &Held) -> Result<(), Failure> {
    let name = &old.entry.name;
    let mut entry = Entry::again(&old.entry);
    match daemon::begin(&mut entry, held)? {
        Begun::Running { pid, .. } => {
            say(&format!("`{name}`: the old command runs again, pid {pid}"));
            Ok(())
        }
        begun => {
            say(&format!(
                "`{name}`: the old command could not be started again"
            ));
            failed(name, begun).map_or(Ok(()), Err)
        }
    }
}

/// Refuses to stop what this process is a part of, or what could not be started again.
fn refuse_from_inside(running: &Seen, rollback: bool) -> Result<(), Failure> {
    let name = &running.entry.name;
    match running.entry.not_again() {
        Some(why) if rollback || running.entry.spec.keep_fds.is_empty() => Err(Failure::usage(
            format!("`{name}` cannot be replaced: {why}"),
            "it was left alone; ask from outside of it, and without --rollback",
        )),
        Some(_) | None => Ok(()),
    }
}

fn with_pid(seen: &Seen) -> String {
    let members = seen.members();
    seen.main(&members)
        .map_or_else(String::new, |main| format!(", pid {}", main.pid))
}

/// How a start is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Show {
    /// Says that something runs.
    pub(super) fn started(self, seen: &Seen, word: &str) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::ours("cannot write", &error);
        let mut out = std::io::stdout();
        if self.json {
            let row = ps::Daemon::new(seen);
            let text = serde_json::to_string(&row)
                .map_err(|error| Failure::ours("cannot write", &error))?;
            return writeln!(out, "{text}").map_err(failed);
        }
        if self.quiet {
            return Ok(());
        }
        // The leader may have put its work into the background just now.
        let pid = seen
            .leader
            .map_or_else(|| with_pid(seen), |leader| format!(", pid {}", leader.pid));
        writeln!(out, "{}: {word}{pid}", seen.entry.name).map_err(failed)
    }
}

/// A name for what has none: the program's, and something that no other has.
pub(super) fn made_up(program: &std::ffi::OsStr) -> String {
    let base = program.to_string_lossy();
    let base = base.rsplit('/').next().unwrap_or_default();
    let mut name: String = base
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "._-+".contains(*c))
        .take(60)
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        name.insert(0, 'x');
    }
    let micros = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    let mixed = micros
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(u128::from(std::process::id()) << 17);
    format!("{name}-{:06x}", (mixed >> 16) & 0xff_ffff)
}

/// An order that was understood, without its name.
pub(super) struct Draft {
    pub(super) spec: Spec,
    log: Option<PathBuf>,
    log_max: u64,
    log_keep: u32,
    timestamps: bool,
    ready: Option<String>,
    ready_timeout: f64,
}

impl Draft {
    pub(super) fn new(arguments: SpawnArgs) -> Result<Self, Failure> {
        if let Some(ready) = &arguments.ready {
            ready::check(ready)?;
        }
        let surroundings = Resolved::new(arguments.surroundings)?;
        let mut spec = Spec::new(arguments.command);
        surroundings.apply(&mut spec);
        // What was set on purpose, as by --env, stays.
        spec.environment.retain(|(name, value)| {
            let mut marks = OF_BUILD_SERVERS.iter().chain(OF_SERVICE_MANAGERS);
            let is_mark = marks.any(|mark| name == mark);
            !is_mark || std::env::var_os(name).as_ref() != Some(value)
        });
        spec.stdin = match arguments.stdin.as_bytes() {
            b"null" => Stdin::Null,
            _ => Stdin::File(absolute(PathBuf::from(arguments.stdin))?.into()),
        };
        spec.policy = Policy {
            stop_signal: arguments.signal,
            grace: arguments.grace,
            ..Policy::default()
        };
        spec.quiet = true;
        // A daemon's directory is `/`; what was meant relative to ours must say so now.
        if let Some(directory) = spec.directory.take() {
            spec.directory = Some(absolute(PathBuf::from(directory))?.into());
        }
        if let Some(program) = spec.command.first_mut()
            && program.as_bytes().contains(&b'/')
        {
            *program = absolute(PathBuf::from(&*program))?.into();
        }
        Ok(Self {
            spec: usual_surroundings(spec),
            log: arguments.log.map(absolute).transpose()?,
            log_max: arguments.log_max,
            log_keep: arguments.log_keep,
            timestamps: arguments.timestamps,
            ready: arguments.ready.map(|ready| ready.to_string()),
            ready_timeout: arguments.ready_timeout.as_secs_f64(),
        })
    }

    /// Refuses a program that is not there, while the old one still runs.
    fn check_program(&self) -> Result<(), Failure> {
        let program = &self.spec.command[0];
        let found = if program.as_bytes().contains(&b'/') {
            std::path::Path::new(program).exists()
        } else {
            let path = self
                .spec
                .environment
                .iter()
                .rev()
                .find(|(name, _)| name == "PATH")
                .map_or("/bin:/usr/bin".into(), |(_, path)| path.clone());
            std::env::split_paths(&path).any(|directory| directory.join(program).exists())
        };
        if found {
            return Ok(());
        }
        Err(Failure::with_code(
            format!(
                "cannot start `{}`: there is no such program",
                program.to_string_lossy()
            ),
            Some("the old one was left alone"),
            exit_code::NOT_FOUND,
        ))
    }

    pub(super) fn entry(self, name: &str, named: bool, held: &Held) -> Entry {
        let mut spec = self.spec;
        spec.detached = Some(match self.log {
            Some(path) => daemon::into_log(path, self.log_max, self.log_keep, self.timestamps),
            None => daemon::usual_output(held, self.log_max, self.log_keep, self.timestamps),
        });
        let mut entry = Entry::new(name, named, spec, Origin::of_this_process());
        entry.ready = self.ready;
        entry.ready_timeout = self.ready_timeout;
        entry
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path).map_err(|source| {
        LedgerError::Io {
            doing: "use",
            path,
            source,
        }
        .into()
    })
}
