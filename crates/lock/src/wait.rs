//! How somebody sleeps who waits: on a number of his own, until whoever changes the queue wakes him.
//!
//! Whoever is killed wakes nobody: so who is next in the queue looks, every few hundredths of a
//! second, whether those are there who hold. Where each of those is a process that is its own work, and
//! wakes nobody either, its end is watched (pidfd_open(2)). Those behind him look whether they are
//! next, the more seldom the further they are: most of them are granted it before they are, and to
//! wake each for that, in every turn, costs as much as the turn.
//!
//! The kernel could tell him who is next (inotify(7) says when a file is closed), but to give such a
//! descriptor back takes the kernel 8 to 25 ms, between the grant and the work or at the end of the
//! process: that was tried, and made every turn of a lock that is wanted by two take ten times as
//! long.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::lock::Standing;

use crate::image::Entry;
use crate::store::Store;
use crate::surroundings;

/// Whatever is missed is seen after this.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Who is next looks first after so long, and then after twice as long each time, up to this.
pub(crate) const FIRST_LOOK: Duration = Duration::from_millis(1);
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(50);

/// So many are looked at by who is not next.
const LOOKED_AT: usize = 3;

/// Who is not next looks whether he is after so long, at the latest: where all before him are gone, nobody
/// else wakes him.
const LATEST: Duration = Duration::from_millis(400);

/// So often who is next looks before he sleeps.
const TRIES: u32 = 24;

/// The ends of no more than so many are watched.
const WATCHED: usize = 16;

/// Who is granted it by others, and has no more before him who wait, is not woken before that.
const NEAR: usize = 64;

/// Who keeps somebody from a lock.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) holders: Vec<Entry>,
    /// How many wait before him, and the last of them.
    waiting: usize,
    last: Vec<Entry>,
}

impl Way {
    /// Of these, in the order of the queue.
    pub(crate) fn of<'a>(by: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut way = Self::default();
        let mut waiting = Vec::new();
        for entry in by {
            match entry.standing {
                Standing::Holding => way.holders.push(*entry),
                Standing::Waiting => waiting.push(entry),
            }
        }
        let last = waiting.iter().rev().take(LOOKED_AT);
        way.last = last.rev().map(|entry| **entry).collect();
        way.waiting = waiting.len();
        way
    }

    pub(crate) fn is_free(&self) -> bool {
        self.holders.is_empty() && self.waiting == 0
    }

    /// Whether nobody else comes first.
    pub(crate) fn is_next(&self) -> bool {
        self.waiting == 0
    }

    /// Whether he is so far from the head that he does not look, and is woken when he is next. Who is
    /// not granted it by others is far wherever he is.
    pub(crate) fn is_far(&self, is_plain: bool) -> bool {
        self.waiting > if is_plain { NEAR } else { 0 }
    }
}

/// Who is in the way.
#[derive(Debug)]
pub(crate) struct Obstacle<'a> {
    pub(crate) store: &'a Store,
    pub(crate) ticket: u64,
    /// Our number, as it was when we looked; none where the file cannot be mapped.
    pub(crate) value: Option<u32>,
    /// Whether we are woken when we are next.
    pub(crate) sleeps: bool,
    pub(crate) way: &'a Way,
}

/// Why a sleep has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Somebody has changed the queue for us.
    Changed,
    /// Somebody may be gone who was in the way, or it is time to look.
    Look,
    /// Others may have come and gone: it is time to read the queue.
    Late,
    /// Nobody is, and we are far from the head.
    Nothing,
}

impl Obstacle<'_> {
    /// Sleeps, until `limit` at most. Who is neither next nor woken when he is sleeps for `pace`, and
    /// as long again for each who waits before him: so those of a long queue look, together, not more
    /// often than those of a short one.
    pub(crate) fn sleep(
        &self,
        limit: Duration,
        pace: Duration,
        cancelled: Option<BorrowedFd<'_>>,
    ) -> Woken {
        let deadline = Instant::now() + limit;
        let is_next = self.way.is_next();
        let looks = !is_next && !self.sleeps;
        let deadline = if looks {
            let places = u32::try_from(self.way.waiting).unwrap_or(u32::MAX);
            let rest = pace.saturating_mul(places.max(1)).min(LATEST);
            deadline.min(Instant::now() + rest)
        } else {
            deadline
        };
        // Where turns are short it is ours before we would sleep, and to wake takes longer than a turn.
        if let Some(value) = self.value.filter(|_| is_next) {
            for _ in 0..TRIES {
                std::hint::spin_loop();
                if self.store.word(self.ticket) != Some(value) {
                    return Woken::Changed;
                }
            }
        }
        let mut ends = if is_next { self.ends() } else { Vec::new() };
        let mut pause = if !ends.is_empty() {
            LAST_LOOK
        } else if is_next || cancelled.is_some() {
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
            if !ends.is_empty() {
                let fds: Vec<BorrowedFd<'_>> =
                    ends.iter().map(AsFd::as_fd).chain(cancelled).collect();
                if poll_for(&fds, slice) {
                    // Once: somebody else may hold on with what he had from him.
                    ends.clear();
                    pause = FIRST_LOOK;
                }
                if self.value.is_some() && self.store.word(self.ticket) != self.value {
                    return Woken::Changed;
                }
                continue;
            }
            let Some(value) = self.value else {
                nap(slice.min(LAST_LOOK), cancelled);
                return Woken::Look;
            };
            if self.store.sleep(self.ticket, value, slice) {
                return Woken::Changed;
            }
            if pause < LAST_LOOK {
                pause = (pause * 2).min(LAST_LOOK);
            }
        }
        if looks {
            return Woken::Late;
        }
        // Who is far from the head need not read the queue because time goes by: with a thousand of
        // them nobody else would get to it.
        if !is_next && !self.is_anybody_gone() {
            return Woken::Nothing;
        }
        Woken::Look
    }

    /// What is readable when those end who hold, if each of them wakes nobody by it.
    fn ends(&self) -> Vec<OwnedFd> {
        if self.way.holders.len() > WATCHED {
            return Vec::new();
        }
        let ends = self.way.holders.iter().map(surroundings::end_of_own_work);
        ends.collect::<Option<_>>().unwrap_or_default()
    }

    /// Whether one of those is not there any more who decide when it is our turn: of those who wait,
    /// the last few before us, as they look after the others.
    pub(crate) fn is_anybody_gone(&self) -> bool {
        let gone = |entry: &Entry| !self.store.is_there(entry).unwrap_or(false);
        if self.way.is_next() {
            return self.way.holders.iter().any(gone);
        }
        self.way.last.iter().any(gone)
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
