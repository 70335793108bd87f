//! From an order to a daemon that runs and is ready, or to a clear word on why it is not.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use ward_model::ready::Ready;
use ward_model::spec::{DaemonOutput, Detached, RotatedLog};

use crate::error::EngineError;
use crate::keep::{self, Beside, KeepError, Kept};
use crate::ledger::{Entry, Held};
use crate::ready::{ReadyError, Verdict, Watch};
use crate::stopping;

/// How much of the end of a log is shown, bytes and lines.
const TAIL_BYTES: u64 = 16 << 10;
const TAIL_LINES: usize = 10;

/// How long keepers may take to write down an end that has come, beyond the grace.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How a start went.
#[derive(Debug)]
pub enum Begun {
    /// It runs, and is ready where that was asked for.
    Running {
        /// Its leader.
        pid: i32,
        /// Somebody answered where it was to show that it is ready before it was started: that
        /// it is ready now says nothing.
        answered_before: bool,
    },
    /// It never ran. What `ward run` would have said and ended with.
    NotStarted {
        /// Exit status.
        status: u8,
        /// Lines for people.
        notices: Vec<String>,
    },
    /// It ran, but is over, or was stopped again.
    NotReady {
        /// Why.
        why: String,
        /// The end of its log.
        log: Vec<String>,
    },
}

/// Where the output of `entry` goes if nothing else was asked for.
#[must_use]
pub fn usual_output(held: &Held, max_bytes: u64, keep: u32, timestamps: bool) -> Detached {
    let path = held.directory().join("log");
    output(path, max_bytes, keep, timestamps, true)
}

/// Output into this log.
#[must_use]
pub fn into_log(path: PathBuf, max_bytes: u64, keep: u32, timestamps: bool) -> Detached {
    output(path, max_bytes, keep, timestamps, false)
}

fn output(path: PathBuf, max_bytes: u64, keep: u32, timestamps: bool, private: bool) -> Detached {
    Detached {
        output: DaemonOutput::Log(RotatedLog {
            path: path.into(),
            max_bytes,
            keep,
            timestamps,
            private,
        }),
    }
}

/// Starts what `entry` orders, under the name that is held, and waits until it is ready, if that
/// is asked for. This process must be single-threaded.
///
/// # Errors
/// [`KeepError`]; nothing was started.
pub fn begin(entry: &mut Entry, held: &Held) -> Result<Begun, KeepError> {
    begin_with(entry, held, Beside::default())
}

/// As [`begin`], with what is given to the daemon this time only.
///
/// # Errors
/// As [`begin`].
pub fn begin_with(entry: &mut Entry, held: &Held, mut beside: Beside) -> Result<Begun, KeepError> {
    entry.log = entry.spec.detached.as_ref().and_then(log_of);
    let ready = entry
        .ready
        .as_deref()
        .map(|text| Ready::from_str(text).map_err(ReadyError::from))
        .transpose()?;
    let answered_before = match &ready {
        Some(ready) => answers(ready)?,
        None => false,
    };
    let mut watch = ready.as_ref().map(Watch::prepare).transpose()?;
    if let Some(watch) = &mut watch {
        if let Some(identity) = &entry.spec.identity {
            watch.expect_uid(identity.uid);
        }
        beside.environment.extend(watch.environment());
        if let Some((fd, number)) = watch.take_passed() {
            beside.descriptors.push((fd, number));
        }
    }
    let log_from = entry
        .log
        .as_ref()
        .and_then(|path| fs::metadata(path).ok())
        .map_or(0, |meta| meta.len());
    let mut kept = keep::start(entry, held, beside)?;
    let pid = match kept.wait_for_start() {
        Ok(pid) => pid,
        Err(status) => {
            // Nothing lives of it, unless both its keepers were killed just now.
            stop_again(held, &mut kept, entry);
            return Ok(Begun::NotStarted {
                status,
                notices: kept.take_notices(),
            });
        }
    };
    let Some(mut watch) = watch else {
        return Ok(Begun::Running {
            pid,
            answered_before: false,
        });
    };
    let timeout = Duration::try_from_secs_f64(entry.ready_timeout).unwrap_or(Duration::MAX);
    let deadline = Instant::now().checked_add(timeout);
    let nowhere = PathBuf::from("/dev/null");
    let log = entry.log.as_ref().unwrap_or(&nowhere);
    let verdict = loop {
        let verdict = watch.wait(log, log_from, kept.as_fd(), deadline);
        // News of its keepers need not be of its end.
        if !matches!(verdict, Verdict::Ended) || kept.over().is_some() {
            break verdict;
        }
    };
    Ok(match verdict {
        Verdict::Ready => Begun::Running {
            pid,
            answered_before,
        },
        Verdict::Ended => {
            let why = match kept.over() {
                Some(status) => format!("it ended with status {status} before it was ready"),
                None => "it ended before it was ready".to_owned(),
            };
            stop_again(held, &mut kept, entry);
            Begun::NotReady {
                why,
                log: tail(log, log_from),
            }
        }
        Verdict::Never { why } => {
            stop_again(held, &mut kept, entry);
            Begun::NotReady {
                why: format!("it will never be ready: {why}"),
                log: tail(log, log_from),
            }
        }
        Verdict::TimedOut { last } => {
            let limit = humantime::format_duration(timeout);
            stop_again(held, &mut kept, entry);
            Begun::NotReady {
                why: format!("it was not ready after {limit}: {last}"),
                log: tail(log, log_from),
            }
        }
    })
}

/// Whether somebody answers already where a daemon is to answer.
fn answers(ready: &Ready) -> Result<bool, KeepError> {
    match ready {
        Ready::Tcp(_) | Ready::Unix(_) | Ready::Http(_) => {}
        Ready::Notify | Ready::Fd(_) | Ready::Log(_) | Ready::Exec(_) => return Ok(false),
    }
    // Nobody is over yet who could be: the other end stays open.
    let (nobody, _open) = ward_sys::pipe::pipe().map_err(EngineError::system("make a pipe"))?;
    let verdict = Watch::prepare(ready)?.wait(
        Path::new("/dev/null"),
        0,
        nobody.as_fd(),
        Some(Instant::now()),
    );
    Ok(verdict == Verdict::Ready)
}

fn stop_again(held: &Held, kept: &mut Kept, entry: &Entry) {
    if let Ok(Some(seen)) = held.look() {
        let _ = stopping::stop(&seen, None, 0);
    }
    let _ = kept.wait_for_end(Instant::now() + entry.spec.policy.grace + LAST_WORDS);
}

fn log_of(detached: &Detached) -> Option<PathBuf> {
    match &detached.output {
        DaemonOutput::Log(log) => Some(PathBuf::from(&log.path)),
        DaemonOutput::Files { .. } => None,
    }
}

/// The last lines of a log, of those behind `from`.
fn tail(path: &Path, from: u64) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        // It may have been rotated meanwhile.
        let from = if from > end { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..]
        .iter()
        // Bytes of a daemon are not ours to send to a terminal as they are.
        .map(|line| line.replace(|c: char| c.is_control() && c != '\t', "?"))
        .collect()
}
