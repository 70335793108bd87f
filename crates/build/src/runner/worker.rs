//! The one who does the work of a build: writes to its console, runs its commands in custody, and heeds
//! stops and time limits meanwhile.
//!
//! ```text
//!              request, limit            request                 request
//! Working ───────────────────► Stopping ─────────► Hurrying ───┐ (no more)
//!    ▲  └── commands are stopped with grace   └── …without ◄───┘
//! ```
//! What is done in spite of a stop (`always` steps, results) begins with [`Worker::begin_in_spite`]: then
//! only what is asked from then on counts, and that allows no grace.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_config::job::Job;
use ward_engine::EngineError;
use ward_engine::embed::{Event, Run};
use ward_model::build::BuildResult;
use ward_model::cookie::Cookies;
use ward_model::life::Policy;
use ward_model::report::Report;
use ward_model::signal::Signal;
use ward_model::spec::{Spec, Stdin};
use ward_model::wire::StopOrder;

use super::desk::{Desk, Ran};
use super::orphans::Known;
use super::stops::Stops;
use super::{lost, role, words};
use crate::console::{self, Console};
use crate::plan::file;
use crate::state::{Phase, State, StopHeeded};

/// As much is read from a command at a time, bytes; and so much its pipe may hold.
const PIECE: usize = 256 << 10;

/// A pipe of a command that is over has its end within this time, or somebody has it who should not.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Who does the work of a build.
pub(super) struct Worker {
    pub(super) console: Console,
    pub(super) state: State,
    directory: PathBuf,
    pub(super) stops: Stops,
    /// How many requests were passed on: each is told apart by its number.
    orders: u16,
    grace: Duration,
    leftover_grace: Duration,
    spare: bool,
    /// What a limit makes of the build.
    timeout_result: BuildResult,
    pub(super) limits: Limits,
    /// What a stop that was heeded makes of the build.
    pub(super) stopped_as: Option<BuildResult>,
    /// What is done now is done in spite of a stop.
    in_spite: bool,
    /// Somebody would not wait.
    hurried: bool,
    piece: Vec<u8>,
}

/// How long what is done now may take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Until when, and how long that is in all.
    pub(super) end: Option<(Instant, Duration)>,
    /// How long nothing may be written.
    pub(super) idle: Option<Duration>,
}

impl Worker {
    pub(super) fn new(
        directory: PathBuf,
        console: Console,
        stops: Stops,
        state: State,
        job: &Job,
    ) -> Self {
        Self {
            console,
            state,
            directory,
            stops,
            orders: 0,
            grace: job.grace,
            leftover_grace: job.leftover_grace,
            spare: job.spare,
            timeout_result: job.timeout_result,
            limits: Limits::default(),
            stopped_as: None,
            in_spite: false,
            hurried: false,
            piece: vec![0; PIECE],
        }
    }

    /// Takes over what another job says of how it is stopped: what the repository says of it.
    pub(super) fn adapt(&mut self, job: &Job) {
        self.grace = job.grace;
        self.leftover_grace = job.leftover_grace;
        self.spare = job.spare;
        self.timeout_result = job.timeout_result;
    }

    /// Tells others what is done now.
    pub(super) fn tell(&mut self, phase: Phase, doing: &str) {
        self.state.phase = phase;
        doing.clone_into(&mut self.state.doing);
        self.state.leader = None;
        self.write_state();
    }

    /// Notes something outside the build's directory that is going to be made. To be written down with the
    /// state before it is made.
    pub(super) fn note_made(&mut self, path: &Path) {
        self.state.made.push(path.to_string_lossy().into_owned());
    }

    /// Something that was noted is there no longer.
    pub(super) fn forget_made(&mut self, path: &Path) {
        let path = path.to_string_lossy();
        self.state.made.retain(|made| *made != path);
    }

    pub(super) fn write_state(&self) {
        let Ok(text) = serde_json::to_vec(&self.state) else {
            return;
        };
        if role::put(&self.directory, file::STATE, &text, false).is_err() {
            // Where there is no room for that either the old one stays; the build goes on.
            let _ = role::put_over(&self.directory, file::STATE, &text);
        }
    }

    /// From now on only what is asked from now on is a reason to end.
    pub(super) fn begin_in_spite(&mut self) {
        self.in_spite = true;
        self.limits = Limits::default();
    }

    /// How long clean-up may take.
    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// Whether somebody would not wait for clean-up.
    pub(super) fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// Takes what was asked meanwhile, and what the clock says, and does it to whatever runs.
    pub(super) fn heed(&mut self, run: Option<&Run>) {
        for request in self.stops.take() {
            let hurries = self.state.stop.is_some() || request.force;
            if self.state.stop.is_none() {
                self.console.line(&format!("Stopped by {}", request.by));
                self.note_stop(request.at, request.by, BuildResult::Aborted);
                if request.force {
                    self.console.line("No grace is allowed");
                }
            } else {
                self.console.line(&format!(
                    "Stopped again by {}: the grace is over",
                    request.by
                ));
            }
            if hurries {
                self.hurried = true;
                if let Some(stop) = &mut self.state.stop {
                    stop.forced = true;
                }
            }
            self.write_state();
            self.order(run);
        }
        if let Some(limit) = self.limit_that_is_over() {
            self.limits = Limits::default();
            if self.in_spite {
                // Of one command, and not of the build.
                self.console.line(&words::took_too_long(limit));
                self.order(run);
            } else if self.state.stop.is_none() {
                self.console
                    .line(&words::timed_out(limit, self.timeout_result));
                let by = words::limit(limit);
                self.note_stop(console::now(), by, self.timeout_result);
                self.write_state();
                self.order(run);
            }
        }
    }

    fn note_stop(&mut self, at: i64, by: String, result: BuildResult) {
        let grace = u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX);
        self.stopped_as = Some(result);
        self.state.stop = Some(StopHeeded {
            at,
            by,
            grace,
            forced: false,
        });
    }

    /// Has whatever runs stopped, with the grace that is allowed now.
    fn order(&mut self, run: Option<&Run>) {
        let Some(run) = run else { return };
        self.orders = (self.orders + 1) % StopOrder::REQUESTS;
        let order = StopOrder {
            request: self.orders,
            grace: self.hurried.then_some(Duration::ZERO),
        };
        run.order_stop(Signal::TERM, order);
    }

    fn limit_that_is_over(&self) -> Option<Over> {
        let now = Instant::now();
        if let Some((end, all)) = self.limits.end
            && now >= end
        {
            return Some(Over::Time(all));
        }
        let idle = self.limits.idle?;
        (now.saturating_duration_since(self.console.last_output()) >= idle)
            .then_some(Over::Idle(idle))
    }

    /// How long one may sleep until a limit has to be looked at.
    fn until_limit(&self) -> Option<Duration> {
        let now = Instant::now();
        let end = self.limits.end.map(|(end, _)| end);
        let idle = self
            .limits
            .idle
            .and_then(|idle| self.console.last_output().checked_add(idle));
        let next = [end, idle].into_iter().flatten().min()?;
        // Not a moment too early, or it would be looked at over and over.
        Some(next.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn run_to_end(
        &mut self,
        run: &mut Run,
        capture: Option<usize>,
    ) -> Result<(Report, Vec<u8>, bool), EngineError> {
        let mut captured = Captured {
            bytes: Vec::new(),
            limit: capture.unwrap_or(0),
            cut: false,
        };
        let mut shown: Option<OwnedFd> = run.take_stderr().map(Into::into);
        let mut kept: Option<OwnedFd> = match capture {
            Some(_) => run.take_stdout().map(Into::into),
            None => None,
        };
        for pipe in [&shown, &kept].into_iter().flatten() {
            // Only for speed: fewer, larger reads.
            let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIECE);
        }
        let mut report: Option<Report> = None;
        let mut over: Option<Instant> = None;
        loop {
            if let (Some(_), None, None) = (&report, &shown, &kept) {
                break;
            }
            let patience = over.map(|over| LAST_WORDS.saturating_sub(over.elapsed()));
            if patience == Some(Duration::ZERO) {
                break;
            }
            let timeout = [self.until_limit(), patience].into_iter().flatten().min();
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let mut ready = [false; 4];
            {
                let mut fds = vec![PollFd::new(&self.stops, PollFlags::IN)];
                let (shows, keeps) = (shown.is_some(), kept.is_some());
                for fd in [&shown, &kept].into_iter().flatten() {
                    fds.push(PollFd::new(fd, PollFlags::IN));
                }
                if report.is_none() {
                    // Later it is at its end, and always ready.
                    fds.push(PollFd::from_borrowed_fd(run.as_fd(), PollFlags::IN));
                }
                if poll(&mut fds, timeout.as_ref()).is_err() {
                    continue;
                }
                let mut revents = fds.iter().map(|fd| !fd.revents().is_empty());
                let mut next = || revents.next().unwrap_or(false);
                ready[0] = next();
                ready[2] = shows && next();
                ready[3] = keeps && next();
                ready[1] = report.is_none() && next();
            }
            // Output first: what was written before a stop stands before it.
            if ready[2] && self.show(shown.as_ref()).is_none() {
                shown = None;
            }
            if ready[3] && captured.take(kept.as_ref(), &mut self.piece).is_none() {
                kept = None;
            }
            if ready[0] || self.limit_that_is_over().is_some() {
                self.heed(report.is_none().then_some(run));
            }
            if ready[1] {
                match run.try_event() {
                    Ok(None) => {}
                    Ok(Some(Event::Started { leader })) => {
                        self.state.leader = Some(leader);
                        self.write_state();
                    }
                    Ok(Some(Event::Ended(ended))) => {
                        report = Some(*ended);
                        over = Some(Instant::now());
                    }
                    Ok(Some(_)) => {}
                    Err(error) => {
                        // What it has handed on is still in the pipe.
                        while shown.is_some() && self.show(shown.as_ref()).is_some() {}
                        return Err(error);
                    }
                }
            }
        }
        self.console.settle();
        let report = report.ok_or(EngineError::GuardianLost)?;
        Ok((report, captured.bytes, captured.cut))
    }

    /// Shows what a command has written, once. None at the end of it.
    fn show(&mut self, pipe: Option<&OwnedFd>) -> Option<()> {
        let mut piece = std::mem::take(&mut self.piece);
        let count = read(pipe, &mut piece);
        if let Some(bytes) = count.and_then(|count| piece.get(..count)) {
            self.console.write(bytes);
        }
        self.piece = piece;
        count.map(|_| ())
    }
}

/// A limit whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It took longer.
    Time(Duration),
    /// It wrote nothing for so long.
    Idle(Duration),
}

/// What is kept of standard output.
struct Captured {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Captured {
    fn take(&mut self, pipe: Option<&OwnedFd>, piece: &mut [u8]) -> Option<()> {
        let count = read(pipe, piece)?;
        let room = self.limit.saturating_sub(self.bytes.len());
        self.cut |= count > room;
        self.bytes
            .extend_from_slice(piece.get(..count.min(room)).unwrap_or_default());
        Some(())
    }
}

/// Reads once from a pipe that is readable. None at its end.
fn read(pipe: Option<&OwnedFd>, piece: &mut [u8]) -> Option<usize> {
    loop {
        match rustix::io::read(pipe?.as_fd(), &mut *piece) {
            Ok(0) => return None,
            Ok(count) => return Some(count),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

impl Desk for Worker {
    fn line(&mut self, text: &str) {
        self.console.line(text);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.console.write(bytes);
    }

    fn run(&mut self, mut command: Spec, capture: Option<usize>) -> Result<Ran, EngineError> {
        self.heed(None);
        if self.is_stopping() {
            return Ok(Ran {
                report: None,
                stdout: Vec::new(),
                cut: false,
            });
        }
        command.stdin = Stdin::Null;
        // What is not kept goes the same way anyhow, and in its order.
        command.merge &= capture.is_some();
        command.spare &= self.spare;
        command.policy = Policy {
            timeout: command.policy.timeout,
            idle_timeout: command.policy.idle_timeout,
            grace: self.grace,
            leftover_grace: self.leftover_grace,
            ..Policy::default()
        };
        let known = Known::now();
        let mut remains = Remains::of(&command);
        let mut run = Run::start_aloud(command, capture.is_some())?;
        let ran = self.run_to_end(&mut run, capture);
        self.state.leader = None;
        match ran {
            Ok((report, stdout, cut)) => {
                if report.stopped_before_end || report.forced {
                    words::told(&report).iter().for_each(|it| self.line(it));
                }
                Ok(Ran {
                    report: Some(Box::new(report)),
                    stdout,
                    cut,
                })
            }
            Err(EngineError::GuardianLost) => {
                let guardian = run.guardian();
                drop(run);
                let cookies = remains.spare.then_some(&remains.cookies);
                let (killed, survivors) = known.end_others(guardian, cookies);
                for line in words::guardian_lost(&remains.name, &killed, &survivors) {
                    self.line(&line);
                }
                remains.clean_up();
                let report = lost::report(&remains, killed, survivors);
                Ok(Ran {
                    report: Some(Box::new(report)),
                    stdout: Vec::new(),
                    cut: false,
                })
            }
            Err(error) => Err(error),
        }
    }

    fn is_stopping(&self) -> bool {
        let asked = self.stops.is_pending();
        if self.in_spite {
            return asked || self.hurried;
        }
        asked || self.state.stop.is_some()
    }
}

/// What must be known of a command whose guardian was killed.
pub(super) struct Remains {
    pub(super) name: String,
    pub(super) command: Vec<String>,
    pub(super) started_at: i64,
    made: Option<std::ffi::OsString>,
    spare: bool,
    cookies: Cookies,
}

impl Remains {
    fn of(spec: &Spec) -> Self {
        let variables = spec
            .environment
            .iter()
            .map(|(key, value)| (key.as_encoded_bytes(), value.as_encoded_bytes()));
        Self {
            name: spec.name(),
            command: spec
                .command
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            started_at: console::now(),
            made: spec.remove_at_end.clone(),
            spare: spec.spare,
            cookies: Cookies::of_step("", &variables),
        }
    }

    fn clean_up(&mut self) {
        if let Some(made) = self.made.take() {
            let _ = std::fs::remove_file(made);
        }
    }
}
