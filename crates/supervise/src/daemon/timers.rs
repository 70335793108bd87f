//! When something is due, among many programs: one alarm, set to the earliest.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// Timers by key. Moments are since boot, sleep of the machine included.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_moment: BTreeSet<(Duration, K)>,
    by_key: HashMap<K, Duration>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            by_moment: BTreeSet::new(),
            by_key: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord> Timers<K> {
    /// Lets `key` be due at a moment, in place of an earlier one.
    pub(crate) fn arm(&mut self, key: K, at: Duration) {
        self.disarm(key);
        self.by_key.insert(key, at);
        self.by_moment.insert((at, key));
    }

    /// Whether `key` will be due.
    pub(crate) fn is_armed(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Forgets `key`.
    pub(crate) fn disarm(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_moment.remove(&(at, key));
        }
    }

    /// Takes the earliest that is due.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<K> {
        let (at, key) = *self.by_moment.first()?;
        if at > now {
            return None;
        }
        self.disarm(key);
        Some(key)
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.by_moment.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_a_new_moment_replaces_the_old() {
        let second = Duration::from_secs;
        let mut timers = Timers::default();
        timers.arm("a", second(3));
        timers.arm("b", second(2));
        timers.arm("c", second(2));
        timers.arm("a", second(1));
        timers.disarm("c");
        timers.disarm("never armed");
        assert!(timers.is_armed("a") && !timers.is_armed("c"));
        assert_eq!(timers.next_due(), Some(second(1)));
        assert_eq!(timers.take_due(Duration::ZERO), None);
        assert_eq!(timers.take_due(second(9)), Some("a"));
        assert_eq!(timers.take_due(second(9)), Some("b"));
        assert_eq!(timers.take_due(second(9)), None);
        assert_eq!(timers.next_due(), None);
    }
}
