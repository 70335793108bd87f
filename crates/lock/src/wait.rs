//! How somebody sleeps who waits: until he is woken, or, near the head of the queue, until the
//! kernel tells that somebody has gone who is in his way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use ward_model::lock::Standing;
use ward_sys::contain::process::Process;

use crate::image::Entry;
use crate::store::Store;
use crate::surroundings;

/// The kernel wakes us; should it ever not, we look.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// How often we look where the kernel cannot tell us: no more inotify instances are to be had.
const LOOK_OFTEN: Duration = Duration::from_millis(20);

/// With more than this in the way, whoever rings may have been one of them.
const LOOKED_AT: usize = 8;

/// Who is in the way in one of the queues, and which change of it we have seen.
#[derive(Debug)]
pub(crate) struct Obstacle<'a> {
    pub(crate) store: &'a Store,
    pub(crate) generation: u64,
    pub(crate) by: Vec<Entry>,
}

/// A descriptor that is readable when somebody has closed one of the files, as the kernel does for
/// whoever is killed.
#[derive(Debug)]
pub(crate) struct Bell {
    /// None where the kernel has no more of them for us.
    watches: Option<Watches>,
    /// Where they go when they are no longer needed.
    rest: Rest,
}

/// An inotify instance, and what it watches.
#[derive(Debug)]
pub(crate) struct Watches {
    fd: OwnedFd,
    at: Vec<i32>,
}

/// Instances that watch nothing just now. To close one waits for the kernel to be sure that nobody
/// uses it (fsnotify's grace period, up to milliseconds), and that would be between the grant and
/// the work.
pub(crate) type Rest = Arc<Mutex<Vec<Watches>>>;

/// So many are kept: an ordinary user has 128 (inotify(7), `max_user_instances`).
const KEPT: usize = 8;

impl Bell {
    /// Hangs one up at these.
    pub(crate) fn hang<'a>(rest: &Rest, stores: impl Iterator<Item = &'a Store>) -> Self {
        let known = rest.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let watches = known.or_else(|| {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let fd = inotify::init(flags).ok()?;
            Some(Watches { fd, at: Vec::new() })
        });
        let paths: Vec<&Path> = stores.map(Store::path).collect();
        Self {
            watches: watches.and_then(|watches| watches.moved_to(&paths)),
            rest: Arc::clone(rest),
        }
    }

    /// Waits until somebody may have gone who is in the way, something was changed, `cancelled` is
    /// readable, or `limit` is over. Returns whether it was a change, and nothing else is known.
    pub(crate) fn wait(
        &self,
        obstacles: &[Obstacle<'_>],
        limit: Duration,
        cancelled: Option<BorrowedFd<'_>>,
    ) -> bool {
        // Work that closed its descriptors makes no sound when it ends.
        let silent: Vec<Process> = obstacles
            .iter()
            .flat_map(|it| &it.by)
            .filter(|it| it.standing == Standing::Holding && it.work.pid != 0)
            .filter(|it| it.namespace == surroundings::namespace())
            .filter_map(|it| {
                Process::hold(it.work.pid)
                    .filter(|process| process.stat().start_ticks == it.work.start)
            })
            .collect();
        let often = if self.watches.is_some() {
            LOOK
        } else {
            LOOK_OFTEN
        };
        let deadline = Instant::now() + limit.min(often);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds: Vec<PollFd<'_>> = self
                .watches
                .iter()
                .map(|watches| watches.fd.as_fd())
                .chain(cancelled)
                .chain(silent.iter().map(AsFd::as_fd))
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
            let rang = |fd: &PollFd<'_>| !fd.revents().is_empty();
            let bell_rang = self.watches.is_some() && fds.first().is_some_and(rang);
            let others = usize::from(self.watches.is_some());
            if !bell_rang || fds.iter().skip(others).any(rang) || left.is_zero() {
                return false;
            }
            drop(fds);
            if let Some(watches) = &self.watches {
                watches.hush();
            }
            // Others close the files too: whoever only looks, or was in nobody's way.
            if obstacles.iter().any(Obstacle::has_changed) {
                return true;
            }
            if obstacles.is_empty() || obstacles.iter().any(Obstacle::may_be_gone) {
                return false;
            }
        }
    }
}

impl Obstacle<'_> {
    fn has_changed(&self) -> bool {
        self.store.generation() != self.generation
    }

    fn may_be_gone(&self) -> bool {
        let gone = |entry: &Entry| !self.store.is_there(entry).unwrap_or(false);
        self.by.len() > LOOKED_AT || self.by.iter().any(gone)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let Some(mut watches) = self.watches.take() else {
            return;
        };
        // What rings for nobody costs whoever closes the file all the same.
        for watch in watches.at.drain(..) {
            let _ = inotify::remove_watch(&watches.fd, watch);
        }
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if rest.len() < KEPT {
            rest.push(watches);
        }
    }
}

impl Watches {
    /// Watches these files; none if it cannot.
    fn moved_to(mut self, paths: &[&Path]) -> Option<Self> {
        let closed = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::CLOSE_NOWRITE;
        for path in paths {
            self.at
                .push(inotify::add_watch(&self.fd, *path, closed).ok()?);
        }
        self.hush();
        Some(self)
    }

    /// Forgets what has rung.
    fn hush(&self) {
        let mut events = [0; 4096];
        while matches!(rustix::io::read(&self.fd, &mut events), Ok(read) if read > 0) {}
    }
}
