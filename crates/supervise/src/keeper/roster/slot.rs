//! One process of the roster.

use std::sync::atomic::{AtomicU64, Ordering};

use ward_sys::reap::Status;

use super::Roster;
use super::layout::{CELLS, NAME_MAX, SLOT_WORDS, SLOTS, SLOTS_AT, SNAPSHOT_WORDS, of_slot};

/// The place of a process in the roster: its own for as long as it is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// The slot of this number, if there can be one.
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        let number = u32::try_from(index).ok()?;
        (index < SLOTS).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub(in crate::keeper) fn number(self) -> u32 {
        self.0
    }
}

/// How far the daemon has come with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::keeper) enum Phase {
    /// Nobody's.
    Free = 0,
    /// A process's, of which none runs by the daemon's will.
    Claimed = 1,
    /// It is being started: whether there is a process says its cell.
    Starting = 2,
    /// It was started.
    Alive = 3,
}

/// What is known of a process from its spawning on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::keeper) struct Flags {
    /// Its standard error goes where its output goes.
    pub(in crate::keeper) redirect_stderr: bool,
    /// Its input is a pipe that the daemon may write to.
    pub(in crate::keeper) stdin: bool,
}

/// Generation and process id of a slot, as they were at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::keeper) struct Cell {
    /// How many processes the slot has had.
    pub(in crate::keeper) generation: u32,
    /// 0 for none.
    pub(in crate::keeper) pid: i32,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It called exit with this status.
    Exit(u8),
    /// This signal ended it, perhaps leaving a core file.
    Signal(i32, bool),
    /// It is gone, and nobody knows how: its keeper was killed, and somebody else reaped it.
    Unknown,
}

impl Ended {
    const UNKNOWN: u64 = 1 << 18;

    pub(in crate::keeper) fn of(status: Status) -> Self {
        match status {
            Status::Exited(code) => Self::Exit(code),
            Status::Signaled(signal, core) => Self::Signal(signal, core),
            // Nobody asks for those that stop.
            Status::Stopped(_) => Self::Unknown,
        }
    }

    /// As a number of 32 bits that is not 0.
    pub(in crate::keeper) fn to_number(self) -> u64 {
        let status = match self {
            Self::Exit(code) => Status::Exited(code),
            Self::Signal(signal, core) => Status::Signaled(signal, core),
            Self::Unknown => return Self::UNKNOWN,
        };
        status
            .to_number()
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or(Self::UNKNOWN)
    }

    pub(in crate::keeper) fn from_number(number: u64) -> Self {
        i32::try_from(number)
            .ok()
            .and_then(Status::from_number)
            .map_or(Self::Unknown, Self::of)
    }
}

/// What a daemon remembers of a process for the next one: numbers that mean nothing to the keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot(pub [u64; SNAPSHOT_WORDS]);

impl Roster {
    fn of(&self, slot: Slot, word: usize) -> &AtomicU64 {
        self.at(SLOTS_AT + slot.index() * SLOT_WORDS + word)
    }

    fn load(&self, slot: Slot, word: usize) -> u64 {
        self.of(slot, word).load(Ordering::Acquire)
    }

    fn store(&self, slot: Slot, word: usize, value: u64) {
        self.of(slot, word).store(value, Ordering::Release);
    }

    /// The number that the kernel writes the process id to, into its lower half.
    pub(in crate::keeper) fn cell_word(&self, slot: Slot) -> &AtomicU64 {
        self.at(CELLS + slot.index())
    }

    pub(in crate::keeper) fn cell(&self, slot: Slot) -> Cell {
        let value = self.cell_word(slot).load(Ordering::Acquire);
        Cell {
            generation: upper(value),
            pid: i32::try_from(lower(value)).unwrap_or(0),
        }
    }

    /// By the daemon: there is no process in this slot, or a new one will be with this generation.
    pub(in crate::keeper) fn empty_cell(&self, slot: Slot, generation: u32) {
        self.cell_word(slot)
            .store(u64::from(generation) << 32, Ordering::Release);
    }

    /// `None` for a number that is no phase.
    pub(in crate::keeper) fn phase(&self, slot: Slot) -> Option<Phase> {
        match self.load(slot, of_slot::PHASE) {
            0 => Some(Phase::Free),
            1 => Some(Phase::Claimed),
            2 => Some(Phase::Starting),
            3 => Some(Phase::Alive),
            _ => None,
        }
    }

    pub(in crate::keeper) fn set_phase(&self, slot: Slot, phase: Phase) {
        self.store(slot, of_slot::PHASE, phase as u64);
    }

    /// How the process of this generation ended, and when (nanoseconds since 1970).
    pub(in crate::keeper) fn end_of(&self, slot: Slot, generation: u32) -> Option<(Ended, u64)> {
        let status = self.load(slot, of_slot::STATUS);
        (lower(status) != 0 && upper(status) == generation).then(|| {
            let end = Ended::from_number(u64::from(lower(status)));
            (end, self.load(slot, of_slot::ENDED_AT))
        })
    }

    pub(super) fn store_end(&self, slot: Slot, generation: u32, end: Ended, at: u64) {
        self.store(slot, of_slot::ENDED_AT, at);
        let status = (u64::from(generation) << 32) | end.to_number();
        self.store(slot, of_slot::STATUS, status);
    }

    /// Whether the slot has a process that is not known to have ended.
    pub(in crate::keeper) fn is_alive(&self, slot: Slot) -> bool {
        let cell = self.cell(slot);
        cell.pid != 0 && self.end_of(slot, cell.generation).is_none()
    }

    /// The generation whose end was last taken note of.
    pub(in crate::keeper) fn consumed(&self, slot: Slot) -> u32 {
        upper(self.load(slot, of_slot::COMMIT))
    }

    pub(in crate::keeper) fn snapshot(&self, slot: Slot) -> Snapshot {
        let bank = lower(self.load(slot, of_slot::COMMIT)) & 1;
        let at = bank_at(bank);
        Snapshot(std::array::from_fn(|index| self.load(slot, at + index)))
    }

    /// By the daemon: remembers this, and with `consumed`, by the same store, that this end was noted.
    pub(in crate::keeper) fn set_snapshot(
        &self,
        slot: Slot,
        snapshot: &Snapshot,
        consumed: Option<u32>,
    ) {
        let commit = self.load(slot, of_slot::COMMIT);
        let bank = (lower(commit) & 1) ^ 1;
        for (index, word) in snapshot.0.iter().enumerate() {
            self.store(slot, bank_at(bank) + index, *word);
        }
        let consumed = consumed.unwrap_or(upper(commit));
        let commit = (u64::from(consumed) << 32) | u64::from(bank);
        self.store(slot, of_slot::COMMIT, commit);
    }

    /// By the daemon, before the phase says that the slot is somebody's.
    pub(in crate::keeper) fn set_name(&self, slot: Slot, name: &[u8]) {
        let name = &name[..name.len().min(NAME_MAX)];
        self.write_bytes(SLOTS_AT + slot.index() * SLOT_WORDS + of_slot::NAME, name);
    }

    pub(in crate::keeper) fn name(&self, slot: Slot) -> Vec<u8> {
        let at = SLOTS_AT + slot.index() * SLOT_WORDS + of_slot::NAME;
        self.read_bytes(at, of_slot::NAME_WORDS)
    }

    /// When the process was spawned: nanoseconds since 1970, and since boot.
    pub(in crate::keeper) fn spawned_at(&self, slot: Slot) -> (u64, u64) {
        let (wall, boot) = (of_slot::SPAWN_WALL, of_slot::SPAWN_BOOT);
        (self.load(slot, wall), self.load(slot, boot))
    }

    /// What identifies a running process: descriptor's inode and start in clock ticks; 0 for unknown.
    pub(in crate::keeper) fn identity(&self, slot: Slot) -> (u64, u64) {
        let (identity, start) = (of_slot::IDENTITY, of_slot::START_TICKS);
        (self.load(slot, identity), self.load(slot, start))
    }

    pub(in crate::keeper) fn set_identity(&self, slot: Slot, identity: u64, start_ticks: u64) {
        self.store(slot, of_slot::IDENTITY, identity);
        self.store(slot, of_slot::START_TICKS, start_ticks);
    }

    pub(in crate::keeper) fn flags(&self, slot: Slot) -> Flags {
        let flags = self.load(slot, of_slot::FLAGS);
        Flags {
            redirect_stderr: flags & 1 != 0,
            stdin: flags & 2 != 0,
        }
    }

    /// By the daemon: begins a new generation. While this goes on there is no process; once the phase
    /// is starting, whether there is one says the cell.
    pub(in crate::keeper) fn begin(&self, slot: Slot, flags: Flags, wall: u64, boot: u64) -> u32 {
        let generation = self.cell(slot).generation.wrapping_add(1).max(1);
        self.empty_cell(slot, generation);
        self.set_identity(slot, 0, 0);
        self.store(slot, of_slot::SPAWN_WALL, wall);
        self.store(slot, of_slot::SPAWN_BOOT, boot);
        let flags = u64::from(flags.redirect_stderr) | (u64::from(flags.stdin) << 1);
        self.store(slot, of_slot::FLAGS, flags);
        self.set_phase(slot, Phase::Starting);
        generation
    }

    /// The generation that failed before its exec: nobody is told of its end.
    pub(in crate::keeper) fn failed(&self, slot: Slot) -> u32 {
        lower(self.load(slot, of_slot::FAILED))
    }

    pub(in crate::keeper) fn set_failed(&self, slot: Slot, generation: u32) {
        self.store(slot, of_slot::FAILED, u64::from(generation));
    }
}

fn upper(value: u64) -> u32 {
    (value >> 32) as u32
}

fn lower(value: u64) -> u32 {
    (value & u64::from(u32::MAX)) as u32
}

fn bank_at(bank: u32) -> usize {
    of_slot::BANKS + SNAPSHOT_WORDS * bank as usize
}
