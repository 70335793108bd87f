//! Waiting for one thing while the daemon's end and the deadline are never out of sight.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Why waiting cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The daemon is over.
    Gone,
    /// The deadline has passed.
    Late,
    /// What is waited for cannot come any more.
    Never,
}

/// What waiting for a descriptor gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It can be read or written, as was asked, or has failed.
    Able,
    /// The time for this one thing is over.
    Elapsed,
}

/// How long, and for what, may be waited at all.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    gone: BorrowedFd<'a>,
    deadline: Option<Instant>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(gone: BorrowedFd<'a>, deadline: Option<Instant>) -> Self {
        Self { gone, deadline }
    }

    /// Waits until `fd` is able to do `what`, or until `until`. What is able by the deadline
    /// counts, even if it is only seen later.
    pub(super) fn wait(
        &self,
        fd: Option<(BorrowedFd<'_>, PollFlags)>,
        until: Option<Instant>,
    ) -> Result<Waited, Stop> {
        loop {
            let limit = earliest(self.deadline, until);
            let mut fds = vec![PollFd::from_borrowed_fd(self.gone, PollFlags::IN)];
            fds.extend(fd.map(|(fd, what)| PollFd::from_borrowed_fd(fd, what)));
            match poll(&mut fds, left(limit).as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                // Out of memory: the kernel's pause, not ours to spin in.
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
            if !fds[0].revents().is_empty() {
                return Err(Stop::Gone);
            }
            if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
                return Ok(Waited::Able);
            }
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                return Err(Stop::Late);
            }
            if until.is_some_and(|until| until <= now) {
                return Ok(Waited::Elapsed);
            }
        }
    }

    /// Waits for nothing but `pause` to be over.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Stop> {
        self.wait(None, Some(Instant::now() + pause)).map(drop)
    }

    /// Whether waiting may go on, without waiting: for loops that always find something to do.
    pub(super) fn check(&self) -> Result<(), Stop> {
        self.pause(Duration::ZERO)
    }

    /// Whether the daemon is over.
    pub(super) fn daemon_is_gone(&self) -> bool {
        self.check() == Err(Stop::Gone)
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// For how long poll(2) may wait.
fn left(limit: Option<Instant>) -> Option<Timespec> {
    let left = limit?.saturating_duration_since(Instant::now());
    // One that does not fit is longer than anybody waits.
    Timespec::try_from(left).ok()
}
