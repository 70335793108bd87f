//! What a connection is doing and since when: what its time limits and its worth are taken from.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::settings::Limits;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was said yet.
    Fresh,
    /// Between two requests.
    Idle,
    /// A request arrives.
    Reading,
    /// The body of a request arrives, or does not.
    Arriving,
    /// A request is worked on.
    Busy,
    /// An answer is taken.
    Writing,
    /// A log is followed.
    Following,
}

tokio::task_local! {
    /// Of the connection whose request is being answered.
    pub(super) static METER: Rc<Meter>;
}

/// Waits for a body. Whoever does not send his is worked on as little as who has not asked yet, and does not
/// keep others out.
pub(super) async fn arriving<T>(body: impl Future<Output = T>) -> T {
    let enter = |phase| {
        let _ = METER.try_with(|meter| meter.enter(phase));
    };
    enter(Phase::Arriving);
    let whole = body.await;
    enter(Phase::Busy);
    whole
}

/// One for each connection.
#[derive(Debug)]
pub(crate) struct Meter {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    limited: Notify,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Fresh),
            since: Cell::new(Instant::now()),
            limited: Notify::new(),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let before = self.phase.replace(phase);
        self.since.set(Instant::now());
        // Its limit may be over sooner than the one that is waited for.
        if matches!(before, Phase::Idle | Phase::Busy | Phase::Following) {
            self.limited.notify_one();
        }
    }

    /// Bytes have arrived.
    pub(crate) fn received(&self) {
        match self.phase.get() {
            Phase::Fresh | Phase::Idle => self.enter(Phase::Reading),
            Phase::Reading | Phase::Arriving | Phase::Busy | Phase::Writing | Phase::Following => {}
        }
    }

    /// Bytes have been taken.
    pub(crate) fn sent(&self) {
        match self.phase.get() {
            Phase::Writing | Phase::Following => self.since.set(Instant::now()),
            Phase::Fresh | Phase::Idle | Phase::Reading | Phase::Arriving | Phase::Busy => {}
        }
    }

    /// Everything that was to be sent has been taken.
    pub(crate) fn flushed(&self) {
        match self.phase.get() {
            Phase::Writing => self.enter(Phase::Idle),
            Phase::Fresh
            | Phase::Idle
            | Phase::Reading
            | Phase::Arriving
            | Phase::Busy
            | Phase::Following => {}
        }
    }

    fn limit(&self, limits: &Limits) -> Option<Duration> {
        match self.phase.get() {
            Phase::Fresh | Phase::Reading => Some(limits.head),
            Phase::Idle => Some(limits.idle),
            Phase::Writing => Some(limits.stalled),
            // A body that is wanted has a limit of its own, after which its sender is told.
            Phase::Arriving => Some(limits.body + limits.head),
            // Work takes as long as it takes.
            Phase::Busy | Phase::Following => None,
        }
    }

    /// Returns when the connection has been at what it is at for too long.
    ///
    /// Looks again when a limit is over that was true before: it wakes up once after the last request,
    /// and then not before the connection has been idle for too long.
    pub(crate) async fn overdue(&self, limits: &Limits) {
        loop {
            match self.limit(limits) {
                None => self.limited.notified().await,
                Some(limit) => {
                    let end = self.since.get() + limit;
                    if end <= Instant::now() {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep_until(end) => {}
                        () = self.limited.notified() => {}
                    }
                }
            }
        }
    }

    /// How willingly it is cut off, the greatest first; nothing for never.
    pub(crate) fn worthless(&self) -> Option<(u8, Duration)> {
        let rank = match self.phase.get() {
            Phase::Busy => return None,
            Phase::Following => 0,
            Phase::Writing => 1,
            Phase::Fresh | Phase::Reading | Phase::Arriving => 2,
            Phase::Idle => 3,
        };
        Some((rank, self.since.get().elapsed()))
    }
}
