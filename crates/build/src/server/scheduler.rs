//! The thread that makes things happen when their time has come: it sleeps until a runner ends, something is
//! due, or somebody wakes it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::build::queue::Event;

use super::state::{Inner, Server, Watch, now};
use crate::runner;

/// A runner whose end is waited for.
struct Watched {
    job: String,
    number: u32,
    runner: Arc<OwnedFd>,
}

impl Server {
    /// Runs until [`Inner::is_over`].
    pub(super) fn schedule(&self) {
        loop {
            let mut inner = self.lock();
            if inner.is_over {
                return;
            }
            let now = now();
            let Inner { clocks, jobs, .. } = &mut *inner;
            let asked_for = clocks.due(now, jobs);
            drop(inner);
            self.heed_clocks(asked_for);
            self.copy_if_due(now);
            self.think_again(now);
            self.send_due_notices(now);
            let mut inner = self.lock();
            if inner.queue.next_due().is_some_and(|due| due <= now) {
                inner.happen(Event::Tick);
            }
            drop(inner);
            if self.start_builds() {
                // What is started may have ended already, and makes room.
                continue;
            }
            let inner = self.lock();
            let again: Vec<(String, u32)> = due_again(&inner, now);
            let watched = watched(&inner);
            let until = inner.next_moment(now);
            drop(inner);
            for (job, number) in again {
                self.end_later(&job, number);
            }
            self.wait(&watched, until);
        }
    }

    /// Waits until something is to be done, at most until then (milliseconds since the epoch).
    fn wait(&self, watched: &[Watched], until: i64) {
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        fds.extend(
            watched
                .iter()
                .map(|it| PollFd::from_borrowed_fd(it.runner.as_fd(), PollFlags::IN)),
        );
        let timeout = until.saturating_sub(now()).clamp(0, 60_000);
        let timeout = Timespec {
            tv_sec: timeout / 1000,
            tv_nsec: timeout % 1000 * 1_000_000,
        };
        // A signal that comes between is as good as a time that is over.
        let _ = poll(&mut fds, Some(&timeout));
        let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut number = [0u8; 8];
        if ended.first().is_some_and(|is_awake| *is_awake) {
            let _ = rustix::io::read(&self.wake, &mut number);
        }
        for (it, ended) in watched.iter().zip(ended.iter().skip(1)) {
            if *ended {
                runner::reap(&it.runner);
                self.end_later(&it.job, it.number);
            }
        }
    }

    /// Has the end of a build recorded by the lane for that.
    fn end_later(&self, job: &str, number: u32) {
        let key = (job.to_owned(), number);
        let mut inner = self.lock();
        let Some(running) = inner.running.get_mut(&key) else {
            return;
        };
        running.watch = Watch::Busy;
        drop(inner);
        if let Some(me) = self.me.upgrade() {
            self.lanes.ends.put(move || me.end(&key.0, key.1));
        }
    }
}

impl Inner {
    /// When something happens by itself next, milliseconds since the epoch.
    fn next_moment(&self, now: i64) -> i64 {
        let again = self
            .running
            .values()
            .filter_map(|running| match running.watch {
                Watch::Again(at) => Some(at),
                Watch::Busy | Watch::Runner(_) => None,
            });
        let notices = crate::history::notices::next_due(&self.writer)
            .ok()
            .flatten();
        // What is due now was to be sent a moment ago. If it was not, the history cannot be written: that is
        // tried again, and not without a pause.
        let notices = notices.map(|due| due.max(now.saturating_add(1_000)));
        let most = now.saturating_add(60_000);
        again
            .chain(self.queue.next_due())
            .chain(notices)
            .chain(self.think_again)
            .chain(self.copying.next())
            .chain([self.clocks.next(now), most])
            .min()
            .unwrap_or(most)
    }
}

fn due_again(inner: &Inner, now: i64) -> Vec<(String, u32)> {
    inner
        .running
        .iter()
        .filter(|(_, running)| matches!(running.watch, Watch::Again(at) if at <= now))
        .map(|(key, _)| key.clone())
        .collect()
}

fn watched(inner: &Inner) -> Vec<Watched> {
    inner
        .running
        .iter()
        .filter_map(|((job, number), running)| match &running.watch {
            Watch::Runner(runner) => Some(Watched {
                job: job.clone(),
                number: *number,
                runner: runner.clone(),
            }),
            Watch::Busy | Watch::Again(_) => None,
        })
        .collect()
}
