//! The roster: what keeper and daemon both know, in a file that both have in memory.
//!
//! One page for all, then for every process a number that the kernel writes to, and a slot. Only typed
//! access; who may write what is said at each method. Nothing here decides anything.
//!
//! **Why it is right whenever either side is killed.** Every number is written by one side only, and
//! whatever takes several numbers takes effect by the one that is stored last:
//! * *A process* is its cell: generation and process id in one number. The daemon raises the generation
//!   while the id is 0; the kernel writes the id, before the new process runs. A cell with an id is a
//!   process that exists or existed, one without is a process that was never made.
//! * *An end* is written by the keeper, before it lets go of the dead: first when, then how, with the
//!   generation in the same number. It can neither be lost nor be taken for the end of a later process.
//! * *What the daemon remembers* (the snapshot) is written into the bank that is not in use; one number
//!   then says which bank is, and which end has been taken note of. A daemon that is killed before that
//!   store has not seen the end, and whoever follows sees it; after it, nobody sees it again.
//! * *A name* is there before the slot's phase says so; the phase is the daemon's alone.

mod file;
mod layout;
mod slot;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use ward_sys::mapped::{self, SharedWords};
use ward_sys::reap::Status;

pub use file::RosterError;
pub(super) use file::inherited;
pub(super) use file::{Opened, open};
pub(super) use layout::Word;
pub use layout::{LAYOUT_VERSION, NAME_MAX, SLOTS, SNAPSHOT_WORDS};
pub use slot::{Ended, Slot, Snapshot};
pub(super) use slot::{Flags, Phase};

use layout::{ARGV0_WORDS, CELLS, EXE_WORDS, NOTED, SLOT_WORDS, SLOTS_AT, UNKNOWN_RING};

/// How many slots are made room for at a time.
const CHUNK: usize = 64;

/// The roster, in memory.
#[derive(Debug)]
pub(super) struct Roster {
    words: SharedWords,
    file: OwnedFd,
}

impl Roster {
    pub(super) fn word(&self, word: Word) -> &AtomicU64 {
        self.at(word as usize)
    }

    /// Callers pass constants and [`Slot`]s, which are within the file.
    fn at(&self, index: usize) -> &AtomicU64 {
        &self.words.words()[index]
    }

    pub(super) fn get(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    pub(super) fn set(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Release);
    }

    /// How many slots were ever used: all others are free.
    pub(super) fn high(&self) -> usize {
        usize::try_from(self.get(Word::High)).map_or(SLOTS, |high| high.min(SLOTS))
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.high()).filter_map(Slot::new)
    }

    /// Makes room in the file for this slot and its neighbours, by the daemon; up to which slot there is
    /// room then.
    ///
    /// # Errors
    /// ENOSPC: without this, the first store would kill us instead.
    pub(super) fn reserve(&self, slot: Slot) -> std::io::Result<usize> {
        let first = slot.index() / CHUNK * CHUNK;
        let room = |at: usize, words: usize| {
            let bytes = |words: usize| u64::try_from(words * 8).unwrap_or(u64::MAX);
            mapped::reserve(&self.file, bytes(at), bytes(words))
        };
        room(CELLS + first, CHUNK)?;
        room(SLOTS_AT + first * SLOT_WORDS, CHUNK * SLOT_WORDS)?;
        Ok(first + CHUNK)
    }

    /// The slot of the process with this id that is not known to have ended. By the keeper; looks at
    /// one number per process.
    pub(super) fn find(&self, pid: i32) -> Option<(Slot, u32)> {
        self.slots().find_map(|slot| {
            let cell = self.cell(slot);
            (cell.pid == pid && self.end_of(slot, cell.generation).is_none())
                .then_some((slot, cell.generation))
        })
    }

    /// Whether any process is not known to have ended.
    pub(super) fn anything_lives(&self) -> bool {
        self.slots().any(|slot| self.is_alive(slot))
    }

    /// Notes how a process ended, by the keeper alone.
    pub(super) fn note_end(&self, slot: Slot, generation: u32, end: Ended, at: u64) {
        self.store_end(slot, generation, end, at);
        let index = slot.index();
        self.at(NOTED + index / 64)
            .fetch_or(1 << (index % 64), Ordering::SeqCst);
    }

    /// The slots of which an end was noted since this was last asked, by the daemon alone.
    pub(super) fn take_noted(&self, mut each: impl FnMut(Slot)) {
        for group in 0..self.high().div_ceil(64) {
            let word = self.at(NOTED + group);
            if word.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some(slot) = Slot::new(group * 64 + bit) {
                    each(slot);
                }
            }
        }
    }

    /// Whether the daemon must be woken: it has not yet looked since it was last.
    pub(super) fn ring(&self) -> bool {
        self.word(Word::Bell).swap(1, Ordering::SeqCst) == 0
    }

    /// The daemon begins to look.
    pub(super) fn answer_bell(&self) {
        // A full barrier: what is looked at next was not read before.
        self.word(Word::Bell).swap(0, Ordering::SeqCst);
    }

    /// A child that nobody knows has ended, by the keeper; lost when there are too many.
    pub(super) fn note_unknown(&self, pid: i32, status: Status) {
        let number = status.to_number().unwrap_or(0).unsigned_abs();
        let head = self.get(Word::UnknownHead);
        if head.wrapping_sub(self.get(Word::UnknownTail)) >= UNKNOWN_RING {
            self.word(Word::UnknownLost).fetch_add(1, Ordering::Relaxed);
            return;
        }
        let at = layout::unknown_at(head);
        let value = (u64::from(pid.unsigned_abs()) << 32) | u64::from(number);
        self.at(at).store(value, Ordering::Release);
        self.set(Word::UnknownHead, head.wrapping_add(1));
    }

    /// The next of them, by the daemon.
    pub(super) fn next_unknown(&self) -> Option<(i32, Ended)> {
        let tail = self.get(Word::UnknownTail);
        let waiting = self.get(Word::UnknownHead).wrapping_sub(tail);
        if waiting == 0 || waiting > UNKNOWN_RING {
            return None;
        }
        let value = self.at(layout::unknown_at(tail)).load(Ordering::Acquire);
        self.set(Word::UnknownTail, tail.wrapping_add(1));
        let pid = i32::try_from(value >> 32).unwrap_or(0);
        Some((pid, Ended::from_number(value & u64::from(u32::MAX))))
    }

    /// A child whose end is to be told to nobody: it failed before its exec. By the daemon; of many at
    /// once the oldest are told after all, as unknown.
    pub(super) fn forget_child(&self, pid: i32) {
        let next = self
            .word(Word::ForgottenNext)
            .fetch_add(1, Ordering::AcqRel);
        self.at(layout::forgotten_at(next))
            .store(u64::from(pid.unsigned_abs()), Ordering::Release);
    }

    /// Whether this child is such a one, by the keeper; true once.
    pub(super) fn is_forgotten(&self, pid: i32) -> bool {
        let pid = u64::from(pid.unsigned_abs());
        layout::all_forgotten().any(|at| {
            self.at(at)
                .compare_exchange(pid, 0, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        })
    }

    /// What the user's process was called, for `ps`.
    pub(super) fn argv0(&self) -> Vec<u8> {
        self.read_bytes(layout::ARGV0, ARGV0_WORDS)
    }

    /// The path of the executable; empty if it is not known.
    pub(super) fn executable(&self) -> Vec<u8> {
        self.read_bytes(layout::EXE, EXE_WORDS)
    }

    /// Both, before anybody else reads them. What does not fit is cut off (a name) or left out (a path).
    pub(super) fn set_program(&self, argv0: &[u8], executable: &[u8]) {
        let argv0 = &argv0[..argv0.len().min(ARGV0_WORDS * 8)];
        self.write_bytes(layout::ARGV0, argv0);
        if executable.len() <= EXE_WORDS * 8 {
            self.write_bytes(layout::EXE, executable);
        }
    }

    /// Bytes with their length before them.
    fn write_bytes(&self, at: usize, bytes: &[u8]) {
        for (index, piece) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.at(at + 1 + index)
                .store(u64::from_ne_bytes(word), Ordering::Release);
        }
        self.at(at).store(bytes.len() as u64, Ordering::Release);
    }

    /// Bytes that were written so; none if their length cannot be.
    fn read_bytes(&self, at: usize, words: usize) -> Vec<u8> {
        let length = usize::try_from(self.at(at).load(Ordering::Acquire)).unwrap_or(usize::MAX);
        if length > words * 8 {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(words * 8);
        for index in 0..length.div_ceil(8) {
            let word = self.at(at + 1 + index).load(Ordering::Acquire);
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

impl AsFd for Roster {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests;
