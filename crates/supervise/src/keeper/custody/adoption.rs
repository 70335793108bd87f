//! What a new daemon finds.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ward_sys::pidfd;
use ward_sys::procfs::Stat;

use super::{Custody, FromKeeper, Live};
use crate::api::Stream;
use crate::keeper::foster;
use crate::keeper::pipes::{self, End};
use crate::keeper::roster::{Ended, Phase, Slot, Snapshot};

/// What there is of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing: none was started, or its end was acknowledged.
    Idle,
    /// It runs.
    Alive {
        /// Its process id.
        pid: i32,
    },
    /// It has ended, and no daemon has acknowledged that: as [`FromKeeper::Exited`].
    Ended {
        /// Its process id, which may be somebody else's by now.
        pid: i32,
        /// How.
        end: Ended,
        /// When, in nanoseconds since 1970.
        at: u64,
    },
}

/// A slot that an earlier daemon had claimed.
#[derive(Debug)]
pub struct Adopted {
    /// Where.
    pub slot: Slot,
    /// Whose.
    pub name: Vec<u8>,
    /// Which process of it; 0 for none ever.
    pub generation: u32,
    /// What there is of it.
    pub state: State,
    /// When it was started.
    pub spawned_at: SystemTime,
    /// When it was started, in time since boot.
    pub spawned_since_boot: Duration,
    /// What the last daemon remembered.
    pub snapshot: Snapshot,
    /// Reader of its output, unless that was drained or goes nowhere.
    pub stdout: Option<OwnedFd>,
    /// Reader of its errors, unless that was drained, goes nowhere or is one with its output.
    pub stderr: Option<OwnedFd>,
    /// Whether its errors go where its output goes.
    pub redirect_stderr: bool,
    /// Whether its input is a pipe.
    pub has_stdin: bool,
}

/// A pipe of a process that is not its slot's any more: others write to it still, or what they wrote is
/// still in it.
#[derive(Debug)]
pub struct LeftOver {
    /// Whose it was.
    pub slot: Slot,
    /// Which process's.
    pub generation: u32,
    /// Which stream.
    pub stream: Stream,
    /// The reader.
    pub reader: OwnedFd,
}

/// Everything that a new daemon finds.
#[derive(Debug, Default)]
pub struct Adoption {
    /// The slots that are claimed.
    pub slots: Vec<Adopted>,
    /// Pipes of processes before them.
    pub left_over: Vec<LeftOver>,
}

impl Custody {
    /// What earlier daemons have left, to be called once and before any slot is claimed. A process whose
    /// daemon was killed while it was making it is among them, if it was made: nothing is ever started
    /// twice.
    #[must_use]
    pub fn adopt(&mut self) -> Adoption {
        // What is noted before the slots are looked at is found there.
        self.house.roster.answer_bell();
        self.house.roster.take_noted(|_| {});
        self.waiting
            .retain(|news| !matches!(news, FromKeeper::Exited { .. }));
        let slots: Vec<Slot> = self.house.roster.slots().collect();
        let mut adoption = Adoption::default();
        let mut places = vec![None; slots.len()];
        for slot in slots {
            if let Some(adopted) = self.adopt_slot(slot) {
                places[slot.index()] = Some(adoption.slots.len());
                adoption.slots.push(adopted);
            }
        }
        self.find_pipes(&mut adoption, &places);
        adoption
    }

    fn adopt_slot(&mut self, slot: Slot) -> Option<Adopted> {
        let roster = &self.house.roster;
        match roster.phase(slot) {
            Some(Phase::Claimed | Phase::Starting | Phase::Alive) => {}
            Some(Phase::Free) | None => return None,
        }
        let cell = roster.cell(slot);
        let generation = cell.generation;
        let is_over = cell.pid == 0
            || roster.consumed(slot) == generation
            || roster.failed(slot) == generation;
        let state = if is_over {
            State::Idle
        } else {
            self.state_of(slot, cell.pid, generation)
        };
        let roster = &self.house.roster;
        match state {
            // Its daemon was killed before or after there was one.
            State::Idle if cell.pid == 0 => {
                if roster.phase(slot) == Some(Phase::Starting) {
                    self.forget_pipes(slot, generation);
                }
                self.house.roster.set_phase(slot, Phase::Claimed);
            }
            State::Idle | State::Alive { .. } => {}
            State::Ended { .. } => self.told[slot.index()] = generation,
        }
        let roster = &self.house.roster;
        let (wall, boot) = roster.spawned_at(slot);
        let flags = roster.flags(slot);
        Some(Adopted {
            slot,
            name: roster.name(slot),
            generation,
            state,
            spawned_at: UNIX_EPOCH + Duration::from_nanos(wall),
            spawned_since_boot: Duration::from_nanos(boot),
            snapshot: roster.snapshot(slot),
            stdout: None,
            stderr: None,
            redirect_stderr: flags.redirect_stderr,
            has_stdin: flags.stdin,
        })
    }

    fn state_of(&mut self, slot: Slot, pid: i32, generation: u32) -> State {
        let roster = &self.house.roster;
        let ended = || {
            let (end, at) = roster.end_of(slot, generation)?;
            Some(State::Ended { pid, end, at })
        };
        if let Some(ended) = ended() {
            return ended;
        }
        let (identity, start_ticks) = roster.identity(slot);
        let held = if (identity, start_ticks) == (0, 0) {
            // Its daemon did not come to write down what it is. The keeper's children keep their
            // numbers until it has noted their ends.
            let held = pidfd::open(pid).ok();
            let is_child = Stat::of(pid).is_some_and(|stat| stat.ppid == self.keeper_pid());
            held.filter(|_| is_child)
                .or_else(|| foster::verified(roster, slot, pid))
        } else {
            foster::verified(roster, slot, pid)
        };
        if let Some(ended) = ended() {
            return ended;
        }
        if let Some(pidfd) = held {
            if (identity, start_ticks) == (0, 0) {
                write_down(roster, slot, pid, &pidfd);
            }
            roster.set_phase(slot, Phase::Alive);
            self.live[slot.index()] = Some(Live { pid, pidfd });
        }
        // Without a descriptor it has just ended: the keeper is about to note it.
        State::Alive { pid }
    }

    pub(super) fn forget_pipes(&self, slot: Slot, generation: u32) {
        for stream in Stream::ALL {
            self.drained(slot, generation, stream);
        }
        let directory = self.house.directory.as_fd();
        pipes::remove(directory, slot, generation, End::In);
    }

    /// Opens every pipe that has a name, and gives it to whom it belongs.
    fn find_pipes(&self, adoption: &mut Adoption, places: &[Option<usize>]) {
        let directory = self.house.directory.as_fd();
        let roster = &self.house.roster;
        for (slot, generation, end) in pipes::all(directory).unwrap_or_default() {
            let place = places.get(slot.index()).copied().flatten();
            let own = place
                .and_then(|place| adoption.slots.get_mut(place))
                .filter(|adopted| adopted.generation == generation);
            let End::Out(stream) = end else {
                let runs = own.is_some_and(|it| matches!(it.state, State::Alive { .. }));
                if !runs {
                    pipes::remove(directory, slot, generation, end);
                }
                continue;
            };
            if own.is_some() && roster.failed(slot) == generation {
                self.drained(slot, generation, stream);
                continue;
            }
            let Ok(reader) = pipes::reader(directory, slot, generation, stream) else {
                continue;
            };
            match (own, stream) {
                (Some(own), Stream::Stdout) => own.stdout = Some(reader),
                (Some(own), Stream::Stderr) => own.stderr = Some(reader),
                (None, _) => adoption.left_over.push(LeftOver {
                    slot,
                    generation,
                    stream,
                    reader,
                }),
            }
        }
    }
}

/// Notes what identifies a process, for whoever finds it when its keeper is gone.
pub(super) fn write_down(
    roster: &crate::keeper::roster::Roster,
    slot: Slot,
    pid: i32,
    pidfd: &OwnedFd,
) {
    match pidfd::identity(pidfd) {
        Some(identity) => roster.set_identity(slot, identity, 0),
        None => {
            let start = Stat::of(pid).map_or(0, |stat| stat.start_ticks);
            roster.set_identity(slot, 0, start);
        }
    }
}
