//! `ward lock`, and `ward run --lock`: a command in custody, while locks are held.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use ward_engine::holders;
use ward_engine::ledger::Origin;
use ward_engine::locks::{FIRST_DESCRIPTOR, Locks, Until};
use ward_engine::runs;
use ward_lock::{Crowd, Directory, Gives, Held, Patience, Record, Request, Waiting, Wanted};
use ward_model::exit_code;
use ward_model::lock::{Mode, Turn};
use ward_model::spec::Spec;

use super::{lock_words, run as in_custody, say};
use crate::args::{Hold, LockArgs, LockedRunArgs, RunArgs};
use crate::failure::Failure;

/// What a command is told of its locks; of several, separated by commas.
const NAME: &str = "WARD_LOCK_NAME";
const MODE: &str = "WARD_LOCK_MODE";
const ELEMENT: &str = "WARD_LOCK_ELEMENT";
const TOKEN: &str = "WARD_LOCK_TOKEN";
const DESCRIPTOR: &str = "WARD_LOCK_FD";
/// Every lock that is held above, `NAME:TICKET` separated by commas: to wait for one of them would
/// be to wait for ever.
const HELD: &str = "WARD_LOCKS_HELD";

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
    let wait = Wait {
        directory: Directory::open(arguments.place.lock_dir.as_deref())?,
        patience: patience(arguments.no_wait, arguments.wait),
        conflict: arguments.conflict_exit_code,
        cancel_running: arguments.cancel_running,
        quiet: arguments.run.quiet,
        status: Status::open(arguments.status_fd)?,
    };
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
        }
    };
    hold_and_run(arguments.run, request, wait, until, &adjust)
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
        (None, take, false) => one.things(take.unwrap_or(1), arguments.pool.clone())?,
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

/// How locks are waited for.
struct Wait {
    directory: Directory,
    patience: Patience,
    /// The exit status if they are not got.
    conflict: u8,
    cancel_running: bool,
    quiet: bool,
    status: Status,
}

impl Wait {
    fn acquire(&mut self, request: &Request) -> Result<Vec<Held>, Failure> {
        let mut progress = Progress::new(self.quiet);
        let mut told: Vec<u64> = Vec::new();
        let (status, cancel) = (&mut self.status, self.cancel_running);
        let mut first = true;
        let mut tell = |waiting: &Waiting| {
            // The holder may be one of a tree that stands still because nobody is left to thaw it; but
            // most are gone within a second.
            if !std::mem::take(&mut first) {
                runs::thaw_orphans();
            }
            if cancel {
                for holder in &waiting.holders {
                    if !told.contains(&holder.ticket) && holders::tell_to_stop(holder, None) {
                        told.push(holder.ticket);
                    }
                }
            }
            status.waiting(waiting);
            progress.show(waiting);
        };
        let got = self
            .directory
            .acquire(request, self.patience, Some(&mut tell));
        progress.clear();
        got.map_err(|error| {
            self.status.refused(&error);
            let busy = error.is_busy();
            let failure = Failure::from(error);
            if busy {
                failure.with_status(self.conflict)
            } else {
                failure
            }
        })
    }
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
    let held = wait.acquire(&request)?;
    let mut spec = if spec.remove_at_end.is_some() {
        in_custody::spec(arguments)?
    } else {
        spec
    };
    adjust(&mut spec);
    let numbers: Vec<i32> = ours.collect();
    for (name, value) in what_is_told(&held, &numbers) {
        spec.environment.retain(|(known, _)| known != name);
        spec.environment.push((OsString::from(name), value.into()));
    }
    wait.status.granted(&held);
    let status = &mut wait.status;
    let mut ended = |exit_status| status.ended(exit_status);
    in_custody::finish(spec, report.as_deref(), Locks::new(held, until), &mut ended)
}

/// Says in the request what it is for.
fn complete(request: &mut Request, title: Option<String>, command: &[OsString]) {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    request.command = title.unwrap_or_else(|| words.join(" "));
    request.held_above = held_above();
    request.origin = Origin::build_of_this_process();
}

/// The variables that tell the command of its locks.
fn what_is_told(held: &[Held], descriptors: &[i32]) -> Vec<(&'static str, String)> {
    let joined = |text: &dyn Fn(&Held) -> String| {
        let texts: Vec<String> = held.iter().map(text).collect();
        texts.join(",")
    };
    let above = std::env::var(HELD).unwrap_or_default();
    let separator = if above.is_empty() { "" } else { "," };
    let ours = joined(&|held| format!("{}:{}", held.name(), held.ticket()));
    let numbers: Vec<String> = descriptors.iter().map(i32::to_string).collect();
    vec![
        (NAME, joined(&|held| held.name().to_owned())),
        (MODE, joined(&|held| held.mode().to_string())),
        (ELEMENT, joined(&|held| held.elements().join(","))),
        (TOKEN, joined(&|held| held.token().to_string())),
        (DESCRIPTOR, numbers.join(",")),
        (HELD, format!("{above}{separator}{ours}")),
    ]
}

/// Becomes the command, which holds the locks itself.
fn become_it(run: &RunArgs, mut request: Request, mut wait: Wait) -> Result<ExitCode, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::ours("cannot hold the lock", error);
    let Some((program, words)) = run.command.split_first() else {
        return Err(Failure::usage("there is no command", "name one behind --"));
    };
    complete(&mut request, None, &run.command);
    let held = wait.acquire(&request)?;
    let mut kept = Vec::new();
    for one in &held {
        let copy = rustix::io::fcntl_dupfd_cloexec(one.descriptor(), FIRST_DESCRIPTOR)
            .map_err(|error| failed(&error))?;
        kept.push(copy);
        // Should it close the descriptor.
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        one.note_work(pid).map_err(|error| failed(&error))?;
    }
    let numbers: Vec<i32> = kept.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
    wait.status.granted(&held);
    for fd in &kept {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())
            .map_err(|error| failed(&error))?;
    }
    let error = Command::new(program)
        .args(words)
        .envs(what_is_told(&held, &numbers))
        .exec();
    for one in &held {
        one.release();
    }
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => exit_code::NOT_FOUND,
        _ => exit_code::NOT_EXECUTABLE,
    };
    let what = format!("cannot execute `{}`", program.to_string_lossy());
    Err(Failure::ours(&what, &error).with_status(code))
}

fn held_above() -> Vec<(String, u64)> {
    let text = std::env::var(HELD).unwrap_or_default();
    text.split(',')
        .filter_map(|item| {
            let (name, ticket) = item.rsplit_once(':')?;
            Some((name.to_owned(), ticket.parse().ok()?))
        })
        .collect()
}

/// How it goes, for a script that listens: a line of JSON each.
struct Status(Option<std::fs::File>);

impl Status {
    fn open(number: Option<i32>) -> Result<Self, Failure> {
        let Some(number) = number else {
            return Ok(Self(None));
        };
        let fd = ward_sys::spawn::take_inherited(number).ok_or_else(|| {
            Failure::usage(
                format!("descriptor {number} is not open"),
                format!("open it, as in `ward lock … --status-fd {number} {number}>status`"),
            )
        })?;
        Ok(Self(Some(fd.into())))
    }

    fn say(&mut self, line: &serde_json::Value) {
        if let Some(file) = &mut self.0 {
            // Who no longer listens need not hear it.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }

    fn waiting(&mut self, waiting: &Waiting) {
        if self.0.is_some() {
            self.say(&serde_json::json!({
                "event": "waiting",
                "lock": waiting.name,
                "ahead": waiting.ahead,
                "holders": waiting.holders,
            }));
        }
    }

    fn refused(&mut self, error: &ward_lock::LockError) {
        self.say(&serde_json::json!({
            "event": "refused",
            "busy": error.is_busy(),
            "why": error.to_string(),
        }));
    }

    fn granted(&mut self, held: &[Held]) {
        let locks: Vec<_> = held
            .iter()
            .map(|held| {
                serde_json::json!({
                    "lock": held.name(),
                    "mode": held.mode(),
                    "elements": held.elements(),
                    "token": held.token(),
                })
            })
            .collect();
        self.say(&serde_json::json!({ "event": "granted", "locks": locks }));
    }

    fn ended(&mut self, exit_status: u8) {
        self.say(&serde_json::json!({ "event": "ended", "exit_status": exit_status }));
    }
}

/// How it stands, in place on a terminal, and otherwise once.
pub(super) struct Progress {
    quiet: bool,
    in_place: bool,
    said: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            in_place: std::io::stderr().is_terminal(),
            said: false,
        }
    }

    pub(super) fn show(&mut self, waiting: &Waiting) {
        if self.quiet || (self.said && !self.in_place) {
            return;
        }
        self.said = true;
        let holders: Vec<String> = waiting.holders.iter().map(Record::summary).collect();
        let whose = if holders.is_empty() {
            "others are first".to_owned()
        } else {
            format!("held by {}", holders.join(", "))
        };
        let line = format!(
            "waiting for `{}`: {whose}; {} ahead",
            waiting.name, waiting.ahead
        );
        if self.in_place {
            // Where nobody can be told, the exit status still says it.
            let _ = write!(std::io::stderr(), "\r\x1b[Kward: {line}");
        } else {
            say(&line);
        }
    }

    pub(super) fn clear(&self) {
        if self.said && self.in_place {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
