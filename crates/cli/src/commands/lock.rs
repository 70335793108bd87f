//! `ward lock`: a command in custody, while a lock is held; and `ward locks`.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use ward_engine::locks::{FIRST_DESCRIPTOR, Locks, Until};
use ward_engine::runs;
use ward_lock::{Listed, LockError, Order, Patience, Record, Waiting};
use ward_model::lock::{Mode, Shape, Standing};

use super::{run as in_custody, say};
use crate::args::{Hold, LockArgs, LocksArgs};
use crate::failure::Failure;

/// What a command is told of its locks.
const NAME: &str = "WARD_LOCK_NAME";
const MODE: &str = "WARD_LOCK_MODE";
const TOKEN: &str = "WARD_LOCK_TOKEN";
const DESCRIPTOR: &str = "WARD_LOCK_FD";
/// Every lock that is held above, `NAME:TOKEN` separated by commas: to wait for one of them would
/// be to wait for ever.
const HELD: &str = "WARD_LOCKS_HELD";

/// Waits for the lock, and runs the command.
pub(crate) fn run(arguments: LockArgs) -> Result<ExitCode, Failure> {
    let directory = ward_lock::locate(arguments.lock_dir.as_deref())?;
    let conflict = arguments.conflict_exit_code;
    let quiet = arguments.run.quiet;
    let report = arguments.run.report.clone();
    let mode = match (arguments.mode, arguments.shared) {
        (Some(mode), _) => mode,
        (None, true) => Mode::PR,
        (None, false) => Mode::EX,
    };
    let patience = match (arguments.no_wait, arguments.wait) {
        (true, _) => Patience::None,
        (false, Some(time)) => Patience::For(time),
        (false, None) => Patience::Never,
    };
    let until = match arguments.hold {
        Hold::Command => Until::Command,
        Hold::Tree => Until::Tree,
    };
    // Whatever is wrong with the command is told before anybody waits for it.
    let spec = in_custody::spec(arguments.run.clone())?;
    if spec.keep_fds.contains(&FIRST_DESCRIPTOR) {
        return Err(Failure::usage(
            format!("descriptor {FIRST_DESCRIPTOR} is the lock's in the command"),
            "pass yours on under another number",
        ));
    }
    // A script is written anew when its turn has come: nobody would remove it if we were ended
    // while we wait.
    if let Some(made) = &spec.remove_at_end {
        let _ = std::fs::remove_file(made);
    }
    let words: Vec<_> = spec
        .command
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    let order = Order {
        name: arguments.name,
        mode,
        slots: arguments.slots,
        take: arguments.take,
        command: spec.title.clone().unwrap_or_else(|| words.join(" ")),
        why: arguments.why,
        held_above: held_above(),
    };
    let mut progress = Progress::new(&order.name, quiet);
    let got = order.acquire_in(&directory, patience, &mut |waiting| {
        // The holder may be one of a tree that stands still because nobody is left to thaw it.
        runs::thaw_orphans();
        progress.show(waiting);
    });
    progress.clear();
    let held = match got {
        Ok(held) => held,
        Err(error @ LockError::Busy { .. }) => {
            return Err(Failure::from(error).with_status(conflict));
        }
        Err(error) => return Err(error.into()),
    };
    let mut spec = if spec.remove_at_end.is_some() {
        in_custody::spec(arguments.run)?
    } else {
        spec
    };
    let above = std::env::var(HELD).unwrap_or_default();
    let separator = if above.is_empty() { "" } else { "," };
    let token = held.token();
    for (name, value) in [
        (NAME, order.name.clone()),
        (MODE, mode.to_string()),
        (TOKEN, token.to_string()),
        (DESCRIPTOR, FIRST_DESCRIPTOR.to_string()),
        (HELD, format!("{above}{separator}{}:{token}", order.name)),
    ] {
        spec.environment.retain(|(known, _)| known != name);
        spec.environment
            .push((OsString::from(name), OsString::from(value)));
    }
    in_custody::finish(spec, report.as_deref(), Locks::new(vec![held], until))
}

fn held_above() -> Vec<(String, u64)> {
    let text = std::env::var(HELD).unwrap_or_default();
    text.split(',')
        .filter_map(|item| {
            let (name, token) = item.rsplit_once(':')?;
            Some((name.to_owned(), token.parse().ok()?))
        })
        .collect()
}

/// How it stands, in place on a terminal, and otherwise once.
struct Progress {
    name: String,
    quiet: bool,
    in_place: bool,
    said: bool,
}

impl Progress {
    fn new(name: &str, quiet: bool) -> Self {
        Self {
            name: name.to_owned(),
            quiet,
            in_place: std::io::stderr().is_terminal(),
            said: false,
        }
    }

    fn show(&mut self, waiting: &Waiting) {
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
            self.name, waiting.ahead
        );
        if self.in_place {
            // Where nobody can be told, the exit status still says it.
            let _ = write!(std::io::stderr(), "\r\x1b[Kward: {line}");
        } else {
            say(&line);
        }
    }

    fn clear(&self) {
        if self.said && self.in_place {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// Lists them.
pub(crate) fn list(arguments: &LocksArgs) -> Result<ExitCode, Failure> {
    let directory = ward_lock::locate(arguments.lock_dir.as_deref())?;
    let locks: Vec<Listed> = if arguments.names.is_empty() {
        ward_lock::all(&directory)?
    } else {
        arguments
            .names
            .iter()
            .map(|name| ward_lock::one(&directory, name))
            .collect::<Result<_, _>>()?
    };
    let failed = |error: std::io::Error| Failure::ours("cannot write", &error);
    let mut out = std::io::stdout();
    if arguments.json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "locks": locks }))
            .map_err(|error| Failure::ours("cannot write", &error))?;
        writeln!(out, "{text}").map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for lock in &locks {
        let shape = match lock.shape {
            Shape::Modes => String::new(),
            Shape::Slots(slots) => {
                let taken: u32 = lock.holders.iter().map(|holder| holder.ask.take).sum();
                format!(", {taken} of {slots} slots taken")
            }
        };
        text.push_str(&format!(
            "{}: {} hold, {} wait{shape}\n",
            lock.name,
            lock.holders.len(),
            lock.waiting.len()
        ));
        for record in lock.holders.iter().chain(&lock.waiting) {
            let word = match record.standing {
                Standing::Holding => "holds",
                Standing::Waiting => "waits",
            };
            let how = match lock.shape {
                Shape::Modes => record.ask.mode.to_string(),
                Shape::Slots(_) => format!("takes {}", record.ask.take),
            };
            text.push_str(&format!("  {word}  {how}  {}\n", record.summary()));
        }
    }
    out.write_all(text.as_bytes()).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
