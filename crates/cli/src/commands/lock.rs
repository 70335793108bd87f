//! `ward lock`, and `ward run --lock`: a command in custody, while locks are held.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use ward_engine::ledger::Origin;
use ward_engine::locks::{FIRST_DESCRIPTOR, Until};
use ward_lock::{Crowd, Directory, Gives, Patience, Request, Wanted};
use ward_model::exit_code;
use ward_model::lock::{Mode, Turn};
use ward_model::signal::Signal;
use ward_model::spec::Spec;

use super::lock_wait::{HELD, Status, Wait, held_above};
use super::{lock_words, run as in_custody};
use crate::args::{Hold, LockArgs, LockedRunArgs, RunArgs};
use crate::failure::Failure;

/// SIGXFSZ.
const XFSZ: i32 = 25;

/// Waits for the locks, and runs the command.
pub(crate) fn run(arguments: LockArgs) -> Result<ExitCode, Failure> {
    let request = Request {
        priority: arguments.priority,
        turn: match (arguments.newest_first, arguments.first_fit) {
            (true, _) => Turn::NewestFirst,
            (false, true) => Turn::FirstFit,
            (false, false) => Turn::InOrder,
        },
        crowd: match (arguments.skip_if_queued, arguments.replace_pending) {
            (true, _) => Crowd::SkipIfQueued,
            (false, true) => Crowd::ReplacePending,
            (false, false) => Crowd::Join,
        },
        why: arguments.why.clone(),
        reentrant: arguments.reentrant,
        ..Request::new(wanted(&arguments)?)
    };
    if let Some(signal) = arguments
        .ignore_signal
        .iter()
        .find(|signal| [Signal::KILL, Signal::STOP].contains(signal))
    {
        return Err(Failure::usage(
            format!("nobody can help heeding {signal}"),
            "leave it out: if ward is killed, the command keeps the lock until it has ended",
        ));
    }
    // Also while we wait.
    take_no_notice(&arguments.ignore_signal);
    let wait = Wait {
        directory: Directory::open(arguments.place.lock_dir.as_deref())?,
        patience: patience(arguments.no_wait, arguments.wait),
        conflict: arguments.conflict_exit_code,
        cancel_running: arguments.cancel_running,
        quiet: arguments.run.quiet,
        status: Status::open(arguments.status_fd)?,
        #[cfg(feature = "etcd")]
        cluster: super::cluster::chosen(&arguments.cluster)?,
    };
    #[cfg(feature = "etcd")]
    if let Some(cluster) = wait.cluster.as_ref().filter(|_| arguments.exec) {
        return Err(cluster.not_with_exec());
    }
    if arguments.exec {
        return become_it(&arguments.run, request, wait);
    }
    let until = match arguments.hold {
        Hold::Command => Until::Command,
        Hold::Tree => Until::Tree,
    };
    let adjust = |spec: &mut Spec| {
        spec.deaf_to.clone_from(&arguments.ignore_signal);
        if let Some(limit) = arguments.max_hold.filter(|limit| !limit.is_zero()) {
            spec.policy.timeout = Some(limit);
            spec.policy.warn_after = Some(limit * 3 / 4);
            // As long as it is held.
            spec.policy.limits_the_tree = arguments.hold == Hold::Tree;
        }
    };
    hold_and_run(arguments.run, request, wait, until, &adjust)
}

/// Does not heed these signals from now on. What is started does.
pub(super) fn take_no_notice(signals: &[Signal]) {
    for signal in signals {
        // Who ignores the ends of children is not told of them.
        if *signal != Signal::CHLD {
            ward_sys::signals::ignore(signal.number());
        }
    }
}

/// A limit on the size of files (setrlimit(2)) is an error where a queue is written, and does not end
/// us in the middle of it. What is started heeds it.
pub(super) fn bear_a_limit_of_files() {
    ward_sys::signals::ignore(XFSZ);
}

/// `ward run`, with the locks that it is to hold.
pub(crate) fn run_with_locks(arguments: LockedRunArgs) -> Result<ExitCode, Failure> {
    if arguments.lock.is_empty() {
        return in_custody::run(arguments.run);
    }
    let request = Request {
        why: arguments.lock_why,
        ..Request::new(lock_words::parse(&arguments.lock.join(","))?)
    };
    let wait = Wait {
        directory: Directory::open(arguments.lock_dir.as_deref())?,
        patience: patience(false, arguments.lock_wait),
        conflict: exit_code::TAKEN,
        cancel_running: false,
        quiet: arguments.run.quiet,
        status: Status::open(None)?,
        #[cfg(feature = "etcd")]
        cluster: super::cluster::of_surroundings()?,
    };
    hold_and_run(arguments.run, request, wait, Until::Command, &|_| {})
}

pub(super) fn patience(no_wait: bool, wait: Option<Duration>) -> Patience {
    match (no_wait, wait) {
        (true, _) => Patience::None,
        (false, Some(time)) if time.is_zero() => Patience::None,
        (false, Some(time)) => Patience::For(time),
        (false, None) => Patience::Never,
    }
}

/// The locks, as the options say.
fn wanted(arguments: &LockArgs) -> Result<Vec<Wanted>, Failure> {
    let mut wanted = lock_words::parse(&arguments.name)?;
    let gives = if arguments.sequence {
        Gives::Sequence {
            transactional: arguments.transactional,
        }
    } else if let Some(format) = arguments.timestamp.clone() {
        Gives::Timestamp { format }
    } else {
        Gives::Nothing
    };
    let mode = arguments.mode.or(arguments.shared.then_some(Mode::PR));
    let has_options = mode.is_some()
        || arguments.exclusive
        || arguments.slots.is_some()
        || arguments.take.is_some()
        || !arguments.pool.is_empty()
        || gives != Gives::Nothing;
    if !has_options {
        return Ok(wanted);
    }
    if wanted.len() > 1 || arguments.name.contains('=') {
        return Err(Failure::usage(
            format!("`{}` says itself how it is wanted", arguments.name),
            "leave --mode, --shared, --exclusive, --slots, --take, --pool, --sequence and --timestamp \
             out, or name one lock alone",
        ));
    }
    let Some(one) = wanted.pop() else {
        return Ok(wanted);
    };
    let one = match (arguments.slots, arguments.take, arguments.pool.is_empty()) {
        (Some(slots), take, _) => one.slots(take.unwrap_or(1), slots)?,
        (None, take, false) => lock_words::things(one, take.unwrap_or(1), arguments.pool.clone())?,
        (None, Some(_), true) => {
            return Err(Failure::usage(
                "--take is about slots or things, and there are none",
                "give --slots or --pool too",
            ));
        }
        (None, None, true) => one,
    };
    let one = mode.map_or(one.clone(), |mode| one.mode(mode));
    Ok(vec![one.giving(gives)])
}

fn hold_and_run(
    arguments: RunArgs,
    mut request: Request,
    mut wait: Wait,
    until: Until,
    adjust: &dyn Fn(&mut Spec),
) -> Result<ExitCode, Failure> {
    let report = arguments.report.clone();
    // Whatever is wrong with the command is told before anybody waits for it.
    let spec = in_custody::spec(arguments.clone())?;
    let ours = FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + i32::try_from(request.locks.len()).unwrap_or(1);
    if let Some(taken) = spec.keep_fds.iter().find(|fd| ours.contains(fd)) {
        return Err(Failure::usage(
            format!("descriptor {taken} is a lock's in the command"),
            "pass yours on under another number",
        ));
    }
    // A script is written anew when its turn has come: nobody would remove it if we were ended
    // while we wait.
    if let Some(made) = &spec.remove_at_end {
        let _ = std::fs::remove_file(made);
    }
    let title = spec.title.clone();
    complete(&mut request, title, &spec.command);
    bear_a_limit_of_files();
    let got = wait.acquire(&request)?;
    let mut spec = if spec.remove_at_end.is_some() {
        in_custody::spec(arguments)?
    } else {
        spec
    };
    adjust(&mut spec);
    let numbers: Vec<i32> = ours.collect();
    for (name, value) in got.variables(&numbers) {
        spec.environment.retain(|(known, _)| known != name);
        spec.environment.push((OsString::from(name), value.into()));
    }
    let (locks, over) = got.into_locks(until)?;
    let (status, mut over) = (&mut wait.status, Some(over));
    let mut ended = |exit_status| {
        if let Some(over) = over.take() {
            over();
        }
        status.ended(exit_status);
    };
    in_custody::leave(in_custody::finish(
        spec,
        report.as_deref(),
        locks,
        &mut ended,
    )?)
}

/// Says in the request what it is for.
pub(super) fn complete(request: &mut Request, title: Option<String>, command: &[OsString]) {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    request.command = title.unwrap_or_else(|| words.join(" "));
    request.held_above = held_above(HELD);
    request.origin = Origin::build_of_this_process();
}

/// Becomes the command, which holds the locks itself.
fn become_it(run: &RunArgs, mut request: Request, mut wait: Wait) -> Result<ExitCode, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::ours("cannot hold the lock", error);
    let Some((program, words)) = run.command.split_first() else {
        return Err(Failure::usage("there is no command", "name one behind --"));
    };
    complete(&mut request, None, &run.command);
    // Should it close the descriptor.
    request.becomes_work = true;
    let got = wait.acquire(&request)?;
    let held = &got.held;
    let mut kept = Vec::new();
    for one in held {
        let copy = rustix::io::fcntl_dupfd_cloexec(one.descriptor(), FIRST_DESCRIPTOR)
            .map_err(|error| failed(&error))?;
        kept.push(copy);
    }
    let numbers: Vec<i32> = kept.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
    for fd in &kept {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())
            .map_err(|error| failed(&error))?;
    }
    let error = Command::new(program)
        .args(words)
        .envs(got.variables(&numbers))
        .exec();
    for one in held {
        one.release();
    }
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => exit_code::NOT_FOUND,
        _ => exit_code::NOT_EXECUTABLE,
    };
    let what = format!("cannot execute `{}`", program.to_string_lossy());
    Err(Failure::ours(&what, &error).with_status(code))
}
