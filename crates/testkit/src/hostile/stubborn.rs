//! Moods about signals: not hearing them, hearing them wrong, counting them, taking them
//! seriously.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::body::Body;
use crate::processes;

const STOP_SIGNALS: [(i32, &str); 4] = [
    (SIGTERM, "TERM"),
    (SIGINT, "INT"),
    (SIGHUP, "HUP"),
    (SIGQUIT, "QUIT"),
];

/// One byte in a pipe for each signal that is delivered, so that none is merged with
/// another after the kernel has delivered it.
struct Ear {
    name: &'static str,
    stream: UnixStream,
}

impl Ear {
    fn listen(signal: i32, name: &'static str) -> anyhow::Result<Self> {
        let (stream, deliver) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal, deliver)?;
        Ok(Self { name, stream })
    }

    /// How many came since the last time.
    fn heard(&self) -> usize {
        let mut bytes = [0; 64];
        (&self.stream).read(&mut bytes).unwrap_or(0)
    }
}

/// Waits until one of `ears` has something, or for `limit`.
fn listen_for(ears: &[Ear], limit: Duration) {
    let mut fds: Vec<_> = ears
        .iter()
        .map(|ear| PollFd::new(&ear.stream, PollFlags::IN))
        .collect();
    let limit = Timespec::try_from(limit).ok();
    // Interrupted by the very signal that is being waited for: the caller looks anyway.
    let _ = poll(&mut fds, limit.as_ref());
}

pub(super) fn take_no_notice() -> anyhow::Result<()> {
    for (signal, _) in STOP_SIGNALS {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

pub(super) fn ignore_term(body: &Body) -> anyhow::Result<ExitCode> {
    take_no_notice()?;
    body.stay()
}

/// The youngest generation has no children, so that there are at most 40 in all for each
/// time that everybody is told to stop.
const YOUNGEST: u32 = 3;

pub(super) fn fork_on_term(body: &Body, generation: u32) -> anyhow::Result<ExitCode> {
    let ears = [Ear::listen(SIGTERM, "TERM")?];
    body.sign()?;
    while !body.is_over() {
        listen_for(&ears, body.remaining());
        if ears[0].heard() > 0 && generation < YOUNGEST {
            for _ in 0..3 {
                body.again(&["fork-on-term", &(generation + 1).to_string()])?
                    .spawn()?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn count_signals(body: &Body, file: &Path, seconds: f64) -> anyhow::Result<ExitCode> {
    let ears = STOP_SIGNALS
        .iter()
        .map(|(signal, name)| Ear::listen(*signal, name))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut record = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .with_context(|| format!("opening {}", file.display()))?;
    body.sign()?;
    let mut end: Option<Instant> = None;
    loop {
        let left = end.map_or(body.remaining(), |end| {
            end.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return Ok(body.leave());
        }
        listen_for(&ears, left);
        for ear in &ears {
            for _ in 0..ear.heard() {
                writeln!(record, "{}", ear.name)?;
                end.get_or_insert(Instant::now() + Duration::from_secs_f64(seconds));
            }
        }
    }
}

pub(super) fn clean_up(body: &Body, seconds: f64, file: &Path) -> anyhow::Result<ExitCode> {
    let ears = [Ear::listen(SIGTERM, "TERM")?];
    let mut out = std::io::stdout().lock();
    writeln!(out, "READY")?;
    body.sign()?;
    while ears[0].heard() == 0 {
        if body.is_over() {
            return Ok(ExitCode::from(super::CONFUSED));
        }
        listen_for(&ears, body.remaining());
    }
    writeln!(out, "START")?;
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut step = 0;
    while Instant::now() < end {
        step += 1;
        writeln!(out, "cleaning {step}")?;
        listen_for(&ears, Duration::from_millis(20));
        if ears[0].heard() > 0 {
            writeln!(out, "TOLD AGAIN")?;
        }
    }
    writeln!(out, "END")?;
    std::fs::write(file, "cleaned up\n")?;
    Ok(body.leave())
}

pub(super) fn stop_self(body: &Body) -> anyhow::Result<ExitCode> {
    // A stopped process cannot see to the end of its own life.
    let me = getpid().as_raw_nonzero().to_string();
    body.again(&["minder", &me])?.spawn()?;
    body.await_signatures(1)?;
    body.sign()?;
    kill_process(getpid(), Signal::STOP)?;
    std::thread::sleep(body.remaining());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn mind(body: &Body, pid: i32) -> anyhow::Result<ExitCode> {
    body.stay()?;
    match body.mark() {
        Some(mark) => {
            processes::signal_marked(pid, mark, Signal::KILL);
        }
        None if rustix::process::getppid() == Pid::from_raw(pid) => {
            // Still its child, so the number is still its parent's.
            let parent = Pid::from_raw(pid).context("no parent")?;
            kill_process(parent, Signal::KILL)?;
        }
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}
