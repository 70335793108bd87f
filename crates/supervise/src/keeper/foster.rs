//! Programs that are not the keeper's children: an earlier keeper was killed, and somebody else is their
//! parent now. They are watched by descriptors, and how they ended is found out as far as it can be.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::process::Pid;
use ward_sys::procfs::Stat;
use ward_sys::{clock, pidfd, reap};

use super::roster::{Ended, Roster, Slot};

/// How long somebody else may take to reap one, before how it ended is given up.
const REAPING: Duration = Duration::from_secs(3);

/// What an event of one of them is marked with, and its number.
pub(super) const MARK: u64 = 1 << 32;

#[derive(Debug)]
struct Foster {
    slot: Slot,
    generation: u32,
    pid: i32,
    pidfd: OwnedFd,
    /// It has ended, and until then it may be reaped.
    due: Option<Duration>,
}

/// All of them. The table is made when a keeper begins, and only becomes emptier.
#[derive(Debug, Default)]
pub(super) struct Fosters {
    all: Vec<Option<Foster>>,
}

impl Fosters {
    /// Finds out, for each process of the roster, whether it is our child, somebody else's, or gone.
    /// `passed` are descriptors that an earlier keeper or daemon held.
    pub(super) fn find(
        roster: &Roster,
        mut passed: Vec<(Slot, u32, OwnedFd)>,
        epoll: BorrowedFd<'_>,
        now: u64,
    ) -> io::Result<Self> {
        let mut all = Vec::new();
        passed.sort_by_key(|(slot, generation, _)| (*slot, *generation));
        let mut passed = passed.into_iter().peekable();
        for slot in roster.slots() {
            let cell = roster.cell(slot);
            let mut held = None;
            while let Some((_, generation, fd)) = passed.next_if(|(of, ..)| *of <= slot) {
                if generation == cell.generation {
                    held = Some(fd);
                }
            }
            if !roster.is_alive(slot) || Pid::from_raw(cell.pid).is_some_and(reap::is_own_child) {
                continue;
            }
            let held = held.or_else(|| verified(roster, slot, cell.pid));
            let Some(pidfd) = held else {
                roster.note_end(slot, cell.generation, Ended::Unknown, now);
                continue;
            };
            let mark = EventData::new_u64(MARK + all.len() as u64);
            epoll::add(epoll, &pidfd, mark, EventFlags::IN | EventFlags::ONESHOT)?;
            all.push(Some(Foster {
                slot,
                generation: cell.generation,
                pid: cell.pid,
                pidfd,
                due: None,
            }));
        }
        Ok(Self { all })
    }

    /// When to look again without being told to, in time since boot.
    pub(super) fn due(&self) -> Option<Duration> {
        self.all.iter().flatten().filter_map(|it| it.due).min()
    }

    /// Something happened to the one of this number. Whether its end was noted.
    pub(super) fn look(
        &mut self,
        roster: &Roster,
        epoll: BorrowedFd<'_>,
        number: usize,
        now: u64,
    ) -> bool {
        let Some(place) = self.all.get_mut(number) else {
            return false;
        };
        let Some(foster) = place else {
            return false;
        };
        if !pidfd::has_ended(&foster.pidfd) {
            return false;
        }
        let since_boot = clock::since_boot();
        let end = how(&foster.pidfd, foster.pid)
            .or_else(|| (foster.due? <= since_boot).then_some(Ended::Unknown));
        if let Some(end) = end {
            roster.note_end(foster.slot, foster.generation, end, now);
            let _ = epoll::delete(epoll, &foster.pidfd);
            *place = None;
            return true;
        }
        foster.due.get_or_insert(since_boot + REAPING);
        // Only that it is reaped is told now (EPOLLHUP, which is always told).
        let mark = EventData::new_u64(MARK + number as u64);
        let _ = epoll::modify(epoll, &foster.pidfd, mark, EventFlags::ONESHOT);
        false
    }

    /// The numbers of those that are due.
    pub(super) fn next_due(&self, now: Duration) -> Option<usize> {
        self.all.iter().position(|it| {
            it.as_ref()
                .and_then(|it| it.due)
                .is_some_and(|due| due <= now)
        })
    }

    /// All that are left.
    pub(super) fn each(&self) -> impl Iterator<Item = (Slot, u32, BorrowedFd<'_>)> {
        let all = self.all.iter().flatten();
        all.map(|it| (it.slot, it.generation, it.pidfd.as_fd()))
    }
}

/// How one ended, if that can be known now.
fn how(pidfd: &OwnedFd, pid: i32) -> Option<Ended> {
    let fd = pidfd.as_fd();
    pidfd::status_of_reaped(fd)
        .or_else(|| pidfd::status_of_unreaped(fd, pid))
        // Reaped between the two.
        .or_else(|| pidfd::status_of_reaped(fd))
        .map(Ended::of)
}

/// The process of this id, if it is the one that the slot is about.
pub(super) fn verified(roster: &Roster, slot: Slot, pid: i32) -> Option<OwnedFd> {
    let fd = pidfd::open(pid).ok()?;
    let (identity, start_ticks) = roster.identity(slot);
    let same = match pidfd::identity(&fd) {
        Some(inode) if identity != 0 => inode == identity,
        _ => {
            let stat = Stat::of(pid)?;
            if start_ticks == 0 {
                // Its daemon was killed between making it and writing down what it is.
                let (_, spawned) = roster.spawned_at(slot);
                was_born(stat.start_ticks, Duration::from_nanos(spawned))
            } else {
                stat.start_ticks == start_ticks
            }
        }
    };
    // What was read is of this process if it was there all the time.
    (same && pidfd::signal(fd.as_fd(), 0, false).is_ok_or_denied()).then_some(fd)
}

/// Whether a process that started at this tick may be the one that was about to be made then.
fn was_born(start_ticks: u64, spawned: Duration) -> bool {
    const AT_MOST: Duration = Duration::from_secs(5);
    let per_second = clock::ticks_per_second();
    let tick = |moment: Duration| {
        u64::try_from(moment.as_millis() * u128::from(per_second) / 1000).unwrap_or(u64::MAX)
    };
    start_ticks >= tick(spawned) && start_ticks <= tick(spawned + AT_MOST)
}

trait Reached {
    fn is_ok_or_denied(&self) -> bool;
}

impl Reached for io::Result<()> {
    /// Whether there was somebody to be signalled, be it allowed or not.
    fn is_ok_or_denied(&self) -> bool {
        match self {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_near_its_spawning() {
        let per_second = clock::ticks_per_second();
        let spawned = Duration::from_millis(100_004);
        assert!(was_born(per_second * 100, spawned));
        assert!(was_born(per_second * 105, spawned));
        assert!(!was_born(per_second * 100 - 1, spawned));
        assert!(!was_born(per_second * 106, spawned));
    }
}
