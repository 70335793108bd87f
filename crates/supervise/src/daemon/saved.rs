//! What is written into the roster about a program, and read from it by the next daemon.

use std::time::Duration;

use ward_model::program::Snapshot;

use super::delivery::Delivery;
use crate::events::{Listener, ListenerState};
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
    pub(crate) listener: Option<Ear>,
    /// What the tree is called by.
    pub(crate) tree: u64,
    /// Its machine says that it is told to stop, which was about to be done.
    pub(crate) to_be_told: bool,
}

/// Where a listener stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ear {
    pub(crate) state: ListenerState,
    /// The length of a result that it has announced.
    pub(crate) announced: Option<usize>,
    /// So many bytes of its spool are in this.
    pub(crate) heard: u64,
    pub(crate) delivery: Delivery,
}

impl Ear {
    /// That of `listener`, which has heard so many bytes of its spool.
    pub(crate) fn of(listener: &Listener, heard: u64, delivery: Delivery) -> Self {
        Self {
            state: listener.state(),
            announced: listener.announced(),
            // What it has not understood is heard again.
            heard: heard.saturating_sub(listener.half_said() as u64),
            delivery,
        }
    }

    /// The listener, before it hears on.
    pub(crate) fn listener(self) -> Listener {
        Listener::resumed(self.state, self.announced)
    }
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
        if let Some(ear) = self.listener {
            words[7] = u64::from(ear.state.code().cast_unsigned());
            words[10] = ear.announced.unwrap_or(0) as u64;
            words[11] = ear.heard;
            words[12] = ear.delivery.to_number();
        }
        words[8] = self.tree;
        words[9] = u64::from(self.to_be_told);
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
        let state = i32::try_from(words[7])
            .ok()
            .and_then(ListenerState::from_code);
        let ear = |state| Ear {
            state,
            delivery: Delivery::from_number(words[12]).unwrap_or_default(),
            announced: usize::try_from(words[10]).ok().filter(|len| *len > 0),
            heard: words[11],
        };
        Self {
            machine: Snapshot::from_words(numbers),
            started: words[3].cast_signed(),
            stopped: words[4].cast_signed(),
            started_at: words[5],
            taken: Duration::from_nanos(words[6]),
            listener: state.map(ear),
            tree: words[8],
            to_be_told: words[9] != 0,
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
            Some((ListenerState::Busy, Some(7), Delivery::Done)),
            Some((ListenerState::Busy, None, Delivery::WholeOrNot)),
            Some((ListenerState::Busy, None, Delivery::InPieces)),
            Some((ListenerState::Unknown, None, Delivery::Done)),
        ] {
            let listener = listener.map(|(state, announced, delivery)| Ear {
                state,
                announced,
                delivery,
                heard: 1 << 40,
            });
            let saved = Saved {
                machine: Snapshot::running(4711),
                started: 1_700_000_000,
                stopped: -1,
                started_at: u64::MAX,
                taken: Duration::from_secs(1 << 33),
                listener,
                tree: 5,
                to_be_told: listener.is_none(),
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
        assert!(!saved.to_be_told);
    }
}
