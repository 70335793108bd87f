//! What a lock costs whoever asks for it: takes turns at it until the time is over.
//!
//! `lock-load MILLISECONDS ward DIRECTORY | ward-turns DIRECTORY | flock FILE | open-flock FILE | command WORD…`
//!
//! It says `ready` and begins at the end of its standard input, so that several who share a pipe
//! begin at once. At last it says how many turns it had, and in how many nanoseconds.
//! `cargo xtask bench lock` compares what several of these come to.

#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use ward_lock::{Directory, LockError, Patience, Request};

type Turn = Box<dyn FnMut() -> Result<(), Box<dyn Error>>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lock-load: {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    let usage = "not: MILLISECONDS ward DIRECTORY | ward-turns DIRECTORY | flock FILE | open-flock FILE | \
                 command WORD…";
    let [milliseconds, kind, rest @ ..] = words else {
        return Err(usage.into());
    };
    let span = Duration::from_millis(milliseconds.parse()?);
    let turn = match (*kind, rest) {
        ("ward", [directory]) => ward(Path::new(directory))?,
        ("ward-turns", [directory]) => ward_turns(Path::new(directory))?,
        ("flock", [file]) => held_open(lockable(Path::new(file))?),
        ("open-flock", [file]) => opened(PathBuf::from(file)),
        ("command", [program, arguments @ ..]) => command(program, arguments),
        _ => return Err(usage.into()),
    };
    take_turns(span, turn)
}

fn take_turns(span: Duration, mut turn: Turn) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    let begin = Instant::now();
    let mut turns = 0_u64;
    let mut passed = Duration::ZERO;
    while passed < span {
        turn()?;
        turns += 1;
        passed = begin.elapsed();
    }
    writeln!(out, "{turns} {}", passed.as_nanos())?;
    Ok(())
}

/// Ward's lock, by its API.
fn ward(directory: &Path) -> Result<Turn, LockError> {
    let locks = Directory::open(Some(directory))?;
    Ok(Box::new(move || {
        drop(locks.lock("in-process")?);
        Ok(())
    }))
}

/// The same, by a file that stays open.
fn ward_turns(directory: &Path) -> Result<Turn, LockError> {
    let locks = Directory::open(Some(directory))?;
    let mut turns = locks.turns(Request::exclusive("in-process")?);
    Ok(Box::new(move || {
        drop(turns.take(Patience::Never)?);
        Ok(())
    }))
}

/// The kernel's, through a description that is kept: the least that a lock can cost.
fn held_open(file: File) -> Turn {
    Box::new(move || {
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(flock(&file, FlockOperation::Unlock)?)
    })
}

/// The kernel's, freed by the end of its description, as by whoever dies.
fn opened(path: PathBuf) -> Turn {
    Box::new(move || Ok(flock(&lockable(&path)?, FlockOperation::LockExclusive)?))
}

fn lockable(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// A command, under whichever lock its words say.
fn command(program: &str, arguments: &[&str]) -> Turn {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Box::new(move || {
        let status = command.status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{status}").into())
        }
    })
}
