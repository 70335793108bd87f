//! `ward daemonize`: a daemon by another program's command line, kept and on record like any.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches};
use ward_engine::chain;
use ward_engine::daemon::{self, Begun};
use ward_engine::keep::Beside;
use ward_engine::ledger::{Held, Ledger, locate};
use ward_model::cookie::OF_BUILD_SERVERS;
use ward_model::spec::{DaemonOutput, Detached, Identity};

use super::spawn::{Draft, made_up};
use crate::args::SpawnArgs;
use crate::compat::daemonize::{self, NotStarted, Parsed, PidFile, Prepared, Refusal};

type Environment = Vec<(OsString, OsString)>;

/// The number of the lock's descriptor in the daemon: the first that is free in the original.
const LOCK_PLACE: i32 = 3;

/// Does what the original would.
pub(crate) fn run(name: &str, words: &[OsString]) -> ExitCode {
    match daemonize::parse(name, words) {
        Err(refusal) => refusal.report(),
        Ok(Parsed::Help(text)) => {
            // Whoever does not listen misses nothing that matters.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Parsed::Run(request)) => daemonize::run(request, start),
    }
}

fn start(prepared: Prepared, pid_file: &mut PidFile) -> Result<i32, NotStarted> {
    let other = |text: String| NotStarted::Other(Refusal::new(text));
    let Prepared {
        command,
        environment,
        directory,
        user,
        umask,
        stdio,
        lock,
        extra,
    } = prepared;
    let mut words = vec![OsString::from("spawn")];
    words.extend(extra);
    words.push("--".into());
    words.extend(command);
    let matches = SpawnArgs::augment_args(Command::new("daemonize"))
        .try_get_matches_from(words)
        .and_then(|matches| SpawnArgs::from_arg_matches(&matches));
    let arguments = matches.map_err(|error| other(error.to_string().trim_end().to_owned()))?;
    let named = arguments.name.is_some();
    let own_log = arguments.log.is_some();
    let own_directory = arguments.surroundings.chdir.is_some();
    let own_umask = arguments.surroundings.umask;
    let clear = arguments.surroundings.clear_env;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => made_up(&arguments.command[0]),
    };
    let mut draft = Draft::new(arguments).map_err(|failure| other(failure.text().to_owned()))?;
    // What a long option of ours says wins over what the original would do unasked.
    draft.spec.environment = merged(environment, draft.spec.environment, clear);
    if !own_directory {
        draft.spec.directory = Some(directory);
    }
    draft.spec.umask = own_umask.or(Some(umask));
    if let (Some(who), None) = (user, &draft.spec.identity) {
        draft.spec.identity = Some(Identity {
            uid: who.user.uid,
            gid: who.user.gid,
            groups: who.groups,
        });
    }
    let mut beside = Beside::default();
    for (_, file) in &pid_file.files {
        let file = file.try_clone();
        let file = file.map_err(|error| other(format!("cannot pass the PID file on: {error}")))?;
        beside.pid_files.push(file.into());
    }
    let ledger = Ledger::at(&locate().map_err(|error| other(chain(&error)))?);
    let held = ledger.hold(&name).map_err(|error| other(chain(&error)))?;
    refuse_taken(&held, &name)?;
    let mut entry = draft.entry(&name, named, &held);
    if !own_log {
        let [_, stdout, stderr] = stdio.each_ref().map(open_on);
        entry.spec.detached = Some(Detached {
            output: DaemonOutput::Files { stdout, stderr },
        });
        beside.stdio = Some(stdio);
    }
    // The lock is the daemon's alone, and goes with it: nobody else may hold it open.
    beside
        .descriptors
        .extend(lock.map(|lock| (lock, LOCK_PLACE)));
    let begun = daemon::begin_with(&mut entry, &held, beside);
    match begun {
        Ok(Begun::Running { pid, .. }) => {
            pid_file.written = Some(pid);
            Ok(pid)
        }
        Ok(Begun::NotStarted { notices, .. }) => {
            // Some process wrote its id, and was not to become the daemon.
            pid_file.written = Some(0);
            let failure = held
                .look()
                .ok()
                .flatten()
                .and_then(|seen| seen.read_report()?.failure);
            match failure {
                Some(failure) if failure.step.contains("execut") && failure.errno > 0 => Err(
                    NotStarted::Exec(io::Error::from_raw_os_error(failure.errno)),
                ),
                _ => Err(other(notices.join("; "))),
            }
        }
        Ok(Begun::NotReady { why, log }) => {
            let mut text = format!("\"{name}\": {why}");
            for line in log {
                text.push_str("\n    ");
                text.push_str(&line);
            }
            Err(other(text))
        }
        Err(error) => Err(other(chain(&error))),
    }
}

/// The original's environment, with what our own options changed of the caller's.
fn merged(theirs: Environment, ours: Environment, clear: bool) -> Environment {
    let is_callers =
        |name: &OsString, value: &OsString| std::env::var_os(name).as_ref() == Some(value);
    let explicit: Environment = ours
        .into_iter()
        .filter(|(name, value)| !is_callers(name, value))
        .collect();
    let mut all: Environment = theirs
        .into_iter()
        .filter(|(name, value)| {
            let passed_on = is_callers(name, value);
            let is_cookie = OF_BUILD_SERVERS.iter().any(|cookie| name == cookie);
            !(passed_on && (clear || is_cookie))
        })
        .filter(|(name, _)| !explicit.iter().any(|(known, _)| known == name))
        .collect();
    all.extend(explicit);
    all
}

fn refuse_taken(held: &Held, name: &str) -> Result<(), NotStarted> {
    let taken = held
        .look()
        .ok()
        .flatten()
        .is_some_and(|seen| seen.state.is_alive());
    if taken {
        let text = format!("\"{name}\" runs already.");
        return Err(NotStarted::Other(Refusal::new(text)));
    }
    Ok(())
}

/// What a descriptor is open on, for a start of the same order later on.
fn open_on(fd: &OwnedFd) -> OsString {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match std::fs::read_link(link) {
        Ok(path) if path.is_absolute() => path.into(),
        // A pipe or a socket, which nobody can open again.
        Ok(_) | Err(_) => "/dev/null".into(),
    }
}
