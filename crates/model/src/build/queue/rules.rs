//! What keeps a request from being built although it is its turn.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Item, Place, Queue};

/// What holds for a job. A job without rules runs one build at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// How many of its builds may run at a time, at least 1.
    pub concurrent: u32,
    /// Waits while a job that it depends on, or one that that depends on, runs or is about to.
    pub blocked_by_upstream: bool,
    /// Waits while a job that depends on it, or one that depends on that, runs or is about to.
    pub blocked_by_downstream: bool,
    /// Jobs whose builds start it.
    pub upstream: BTreeSet<String>,
    /// Jobs that its builds start.
    pub downstream: BTreeSet<String>,
    /// How long a build takes, by those before it, milliseconds.
    pub estimate: Option<u64>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            concurrent: 1,
            blocked_by_upstream: false,
            blocked_by_downstream: false,
            upstream: BTreeSet::new(),
            downstream: BTreeSet::new(),
            estimate: None,
        }
    }
}

impl Rules {
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        for names in [&mut self.upstream, &mut self.downstream] {
            if names.remove(from) {
                names.insert(to.to_owned());
            }
        }
    }
}

/// What must end first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blockage {
    /// As many builds of the job run as may; the oldest of them.
    Busy {
        /// How many.
        running: usize,
        /// The number of the oldest, if it has one by now.
        number: Option<u32>,
        /// When the oldest began.
        since: i64,
    },
    /// A job that it depends on.
    Upstream(String),
    /// A job that depends on it.
    Downstream(String),
}

impl<P: Clone + PartialEq> Queue<P> {
    pub(super) fn blockage(&self, item: &Item<P>) -> Option<Blockage> {
        let rules = self.rules.get(&item.job);
        let concurrent = rules.map_or(1, |rules| rules.concurrent.max(1));
        let ours = self.running.values().filter(|it| it.job == item.job);
        let running = ours.clone().count();
        if running >= concurrent as usize {
            let oldest = ours.min_by_key(|it| (it.since, it.number));
            return Some(Blockage::Busy {
                running,
                number: oldest.and_then(|it| it.number),
                since: oldest.map_or(item.since, |it| it.since),
            });
        }
        let rules = rules?;
        if rules.blocked_by_upstream
            && let Some(job) = self.busy_beyond(&item.job, |rules| &rules.upstream)
        {
            return Some(Blockage::Upstream(job));
        }
        if rules.blocked_by_downstream
            && let Some(job) = self.busy_beyond(&item.job, |rules| &rules.downstream)
        {
            return Some(Blockage::Downstream(job));
        }
        None
    }

    /// The first job in this direction, however far, that runs or is about to. One that is blocked itself
    /// does not count: two jobs would wait for one another.
    fn busy_beyond(&self, job: &str, next: fn(&Rules) -> &BTreeSet<String>) -> Option<String> {
        let mut seen = BTreeSet::from([job]);
        let mut to_see = vec![job];
        while let Some(job) = to_see.pop() {
            for other in self.rules.get(job).into_iter().flat_map(next) {
                if !seen.insert(other) {
                    continue;
                }
                if self.is_active(other) {
                    return Some(other.clone());
                }
                to_see.push(other);
            }
        }
        None
    }

    fn is_active(&self, job: &str) -> bool {
        let is_next = |item: &Item<P>| match item.place {
            Place::Quiet { .. } | Place::Buildable { .. } => item.job == job,
            Place::Blocked => false,
        };
        self.running.values().any(|it| it.job == job) || self.waiting.values().any(is_next)
    }
}
