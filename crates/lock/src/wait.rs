//! How somebody sleeps who waits: on a number of his own, until whoever changes the queue wakes him.
//!
//! Whoever is killed wakes nobody: so who is next in the queue looks, every few hundredths of a
//! second, whether those are there who hold. The kernel could tell him (inotify(7) says when a file
//! is closed), but to give such a descriptor back takes the kernel 8 to 25 ms, between the grant and
//! the work or at the end of the process: that was tried, and made every turn of a lock that is wanted
//! by two take ten times as long.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::lock::Standing;

use crate::image::Entry;
use crate::store::Store;

/// Whatever is missed is seen after this.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Who is next looks first after so long, and then after twice as long each time, up to this.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// So many are looked at by who is not next.
const LOOKED_AT: usize = 3;

/// Who is in the way.
#[derive(Debug)]
pub(crate) struct Obstacle<'a> {
    pub(crate) store: &'a Store,
    pub(crate) ticket: u64,
    /// Our number, as it was when we looked; none where the file cannot be mapped.
    pub(crate) value: Option<u32>,
    pub(crate) by: &'a [Entry],
}

/// Why a sleep has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Somebody has changed the queue for us.
    Changed,
    /// Somebody may be gone who was in the way, or it is time to look.
    Look,
    /// Nobody is, and we are far from the head.
    Nothing,
}

impl Obstacle<'_> {
    /// Sleeps, until `limit` at most.
    pub(crate) fn sleep(&self, limit: Duration, cancelled: Option<BorrowedFd<'_>>) -> Woken {
        let deadline = Instant::now() + limit;
        let holds = |it: &Entry| it.standing == Standing::Holding;
        let is_next = self.by.iter().all(holds);
        let mut pause = if is_next || cancelled.is_some() {
            FIRST_LOOK
        } else {
            LOOK
        };
        loop {
            if is_next && self.is_anybody_gone() {
                return Woken::Look;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || cancelled.is_some_and(is_readable) {
                break;
            }
            let slice = pause.min(left);
            let Some(value) = self.value else {
                nap(slice.min(LAST_LOOK), cancelled);
                return Woken::Look;
            };
            self.store.sleep(self.ticket, value, slice);
            if self.store.word(self.ticket) != Some(value) {
                return Woken::Changed;
            }
            if pause < LAST_LOOK {
                pause = (pause * 2).min(LAST_LOOK);
            }
        }
        // Who is far from the head need not read the queue because time goes by: with a thousand of
        // them nobody else would get to it.
        if !is_next && !self.is_anybody_gone() {
            return Woken::Nothing;
        }
        Woken::Look
    }

    /// Whether one of those is not there any more who decide when it is our turn: of those who wait,
    /// the last few before us.
    fn is_anybody_gone(&self) -> bool {
        let gone = |entry: &Entry| !self.store.is_there(entry).unwrap_or(false);
        let waits = |it: &&Entry| it.standing == Standing::Waiting;
        let waiting = self.by.iter().filter(waits).count();
        if waiting == 0 {
            return self.by.iter().any(gone);
        }
        let ahead = self.by.iter().filter(waits);
        ahead.skip(waiting.saturating_sub(LOOKED_AT)).any(gone)
    }
}

/// Whether there is something to be read, or its end.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    poll_for(&[fd], Duration::ZERO)
}

/// Sleeps for so long, unless `cancelled` gets readable.
pub(crate) fn nap(time: Duration, cancelled: Option<BorrowedFd<'_>>) {
    let fds: Vec<BorrowedFd<'_>> = cancelled.into_iter().collect();
    poll_for(&fds, time);
}

fn poll_for(fds: &[BorrowedFd<'_>], time: Duration) -> bool {
    let polled = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
    let mut polled: Vec<PollFd<'_>> = polled.collect();
    let time = Timespec::try_from(time).ok();
    poll(&mut polled, time.as_ref()).is_ok_and(|ready| ready > 0)
}
