//! What is written into the roster about a program, and read from it by the next daemon.

use std::time::Duration;

use ward_model::program::Snapshot;

use crate::events::ListenerState;
use crate::keeper::{SNAPSHOT_WORDS, Snapshot as Words};

/// Where a program stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) machine: Snapshot,
    /// Seconds since 1970.
    pub(crate) started: i64,
    pub(crate) stopped: i64,
    /// In nanoseconds since 1970.
    pub(crate) started_at: u64,
    /// When this was written, since boot.
    pub(crate) taken: Duration,
    pub(crate) listener: Option<ListenerState>,
    /// What the tree is called by.
    pub(crate) tree: u64,
}

impl Saved {
    pub(crate) fn to_words(self) -> Words {
        let mut words = [0; SNAPSHOT_WORDS];
        let numbers = self.machine.to_words();
        for (word, pair) in words.iter_mut().zip(numbers.chunks_exact(2)) {
            *word = u64::from(pair[0]) | (u64::from(pair[1]) << 32);
        }
        words[3] = self.started.cast_unsigned();
        words[4] = self.stopped.cast_unsigned();
        words[5] = self.started_at;
        words[6] = nanoseconds(self.taken);
        words[7] = self
            .listener
            .map_or(0, |state| u64::from(state.code().cast_unsigned()));
        words[8] = self.tree;
        Words(words)
    }

    /// From anything: whether the machine's part makes sense is seen when it is resumed.
    pub(crate) fn from_words(Words(words): &Words) -> Self {
        let low = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or(0);
        let mut numbers = [0; 6];
        for (pair, word) in numbers.chunks_exact_mut(2).zip(words) {
            pair[0] = low(*word);
            pair[1] = low(*word >> 32);
        }
        Self {
            machine: Snapshot::from_words(numbers),
            started: words[3].cast_signed(),
            stopped: words[4].cast_signed(),
            started_at: words[5],
            taken: Duration::from_nanos(words[6]),
            listener: i32::try_from(words[7])
                .ok()
                .and_then(ListenerState::from_code),
            tree: words[8],
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_model::program::{Machine, Policy};

    #[test]
    fn what_is_written_is_read() {
        for listener in [
            None,
            Some(ListenerState::Busy),
            Some(ListenerState::Unknown),
        ] {
            let saved = Saved {
                machine: Snapshot::running(4711),
                started: 1_700_000_000,
                stopped: -1,
                started_at: u64::MAX,
                taken: Duration::from_secs(1 << 33),
                listener,
                tree: 5,
            };
            assert_eq!(Saved::from_words(&saved.to_words()), saved);
        }
    }

    #[test]
    fn a_fresh_slot_is_a_program_that_was_never_started() {
        let saved = Saved::from_words(&Words([0; SNAPSHOT_WORDS]));
        let fresh = Machine::new(Policy::default()).snapshot();
        assert_eq!(saved.machine, fresh);
        assert_eq!((saved.started, saved.stopped), (0, 0));
    }
}
