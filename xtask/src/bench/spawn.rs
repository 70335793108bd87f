//! From the call to a daemon that runs: ward beside the ways that people detach a command.
//!
//! The daemon writes one byte into a FIFO and ends. Two times are taken: until that byte is
//! there, and until the caller has its prompt back.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, mknodat};

use super::peers::{Peer, Peers};
use super::results::{Bound, Goal, Latency};
use super::setup::{Setup, silent};
use super::statistics::{Rounds, ratio_between};

const DAEMONIZE: &str = "daemonize";
const WARD: &str = "ward spawn --";

/// Starts in one round, of each.
const STARTS: usize = 20;

/// A daemon that has not spoken by then does not.
const SILENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};

/// What was found.
pub(super) struct Found {
    /// Until the daemon runs.
    pub(super) running: Vec<Latency>,
    /// Until the call returns.
    pub(super) returned: Vec<Latency>,
    pub(super) goals: Vec<Goal>,
    pub(super) missing: Vec<String>,
}

/// A peer, its words, and its samples in µs.
struct Series {
    name: String,
    words: Vec<OsString>,
    running: Rounds,
    returned: Rounds,
}

pub(super) fn measure(setup: &mut Setup) -> Result<Found> {
    let fifo = setup.work.join("arrivals");
    mknodat(
        rustix::fs::CWD,
        &fifo,
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .context("making a FIFO")?;
    // For writing too, so that it never ends.
    let mut arrivals = File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .context("opening a FIFO")?;
    let command = vec![
        setup.load.clone().into_os_string(),
        "arrive".into(),
        fifo.into_os_string(),
    ];
    let mut peers = Peers::find(&[
        (DAEMONIZE, &["daemonize"]),
        ("setsid -f", &["setsid", "-f"]),
        (
            "sh -c 'nohup … &'",
            &["sh", "-c", ">/dev/null 2>&1 </dev/null &"],
        ),
    ]);
    let ward = |name, words: &[&str]| Peer::ward(name, &setup.ward, words);
    peers.here.extend([
        ward(WARD, &["spawn", "-q", "--"]),
        ward(
            "ward spawn --containment guardian --",
            &["spawn", "-q", "--containment", "guardian", "--"],
        ),
        ward("ward daemonize", &["daemonize"]),
    ]);
    let mut series: Vec<Series> = peers
        .here
        .iter()
        .map(|peer| {
            let mut words = peer.words(&command);
            if peer.name.starts_with("sh ") {
                let text = words.pop().unwrap_or_default();
                let mut detached = OsString::from("nohup ");
                detached.push(text);
                words.push(detached);
            }
            Series {
                name: peer.name.clone(),
                words,
                running: Rounds::default(),
                returned: Rounds::default(),
            }
        })
        .collect();

    setup.in_turn("daemons", setup.rounds, &mut series, |setup, series| {
        // A record that grows from round to round would be measured too.
        let state = setup.work.join("state");
        let mut running = Vec::new();
        let mut returned = Vec::new();
        for _ in 0..STARTS {
            let (until_running, until_return) = start(&series.words, &state, &mut arrivals)?;
            running.push(until_running);
            returned.push(until_return);
        }
        series.running.push(running);
        series.returned.push(returned);
        setup.clean(None)?;
        let _ = fs::remove_dir_all(&state);
        Ok(())
    })?;
    let sampled = |pick: fn(&Series) -> &Rounds| -> Vec<(&str, &Rounds)> {
        series
            .iter()
            .map(|series| (series.name.as_str(), pick(series)))
            .collect()
    };
    let running = sampled(|series| &series.running);
    Ok(Found {
        running: Latency::rows(&running, DAEMONIZE),
        returned: Latency::rows(&sampled(|series| &series.returned), DAEMONIZE),
        goals: vec![Goal {
            what: "call to running: ward spawn, of daemonize".to_owned(),
            value: ratio_between(&running, WARD, DAEMONIZE),
            bound: Bound::AtMost(2.0),
        }],
        missing: peers.missing,
    })
}

/// Microseconds from before the call until the daemon's byte is there, and until the call
/// returned.
fn start(words: &[OsString], state: &Path, arrivals: &mut File) -> Result<(f64, f64)> {
    let mut command = silent(words);
    command.env("WARD_STATE_DIR", state);
    let before = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {}", words[0].display()))?;
    // Whichever comes first is looked at first: a caller that waits would hide an early byte.
    let mut running: Option<Duration> = None;
    let mut returned: Option<Duration> = None;
    let its_end = rustix::process::pidfd_open(
        rustix::process::Pid::from_child(&child),
        rustix::process::PidfdFlags::empty(),
    )
    .context("opening a pidfd")?;
    while running.is_none() || returned.is_none() {
        let mut fds = Vec::new();
        if running.is_none() {
            fds.push(PollFd::new(&*arrivals, PollFlags::IN));
        }
        if returned.is_none() {
            fds.push(PollFd::new(&its_end, PollFlags::IN));
        }
        let ready = poll(&mut fds, Some(&SILENCE)).context("waiting for a daemon")?;
        let now = before.elapsed();
        ensure!(ready > 0, "{}: no daemon came", words[0].display());
        let mut events = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |waiting: bool| waiting && events.next().unwrap_or(false);
        let (has_byte, has_end) = (next(running.is_none()), next(returned.is_none()));
        drop(fds);
        if has_byte {
            let mut byte = [0];
            arrivals.read_exact(&mut byte).context("reading a FIFO")?;
            running = Some(now);
        }
        if has_end {
            returned = Some(now);
        }
    }
    let status = child.wait().context("reaping a child")?;
    ensure!(status.success(), "{} failed ({status})", words[0].display());
    let micros = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64() * 1e6;
    Ok((micros(running), micros(returned)))
}
