//! A copy of the history that is whole at any time: for those who copy the directory of a server that runs.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::state::{Inner, Server, now};
use crate::history;

/// There is no copy more often, milliseconds.
const PAUSE: i64 = 60 * 60 * 1000;

/// When there is to be another.
#[derive(Debug)]
pub(super) struct Copying {
    /// Not before then, milliseconds since the epoch.
    after: i64,
    /// Something is in the history that is not in the copy.
    is_owed: bool,
}

impl Copying {
    /// As the copy says that is there.
    pub(super) fn of(history: &Path) -> Self {
        let made = fs::metadata(history::copy_of(history)).and_then(|about| about.modified());
        let made = made.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let after = made.map_or(0, |at| {
            i64::try_from(at.as_millis())
                .unwrap_or(0)
                .saturating_add(PAUSE)
        });
        Self {
            // A clock that was set back delays nothing for longer than that.
            after: after.min(now().saturating_add(PAUSE)),
            is_owed: made.is_none(),
        }
    }

    /// Something was recorded.
    pub(super) fn owe(&mut self) {
        self.is_owed = true;
    }

    /// When there is to be another, if so.
    pub(super) fn next(&self) -> Option<i64> {
        self.is_owed.then_some(self.after)
    }
}

impl Inner {
    /// Whether there is to be another now; then the next is put off.
    fn takes_copy(&mut self, now: i64) -> bool {
        let is_due = self.copying.next().is_some_and(|after| after <= now);
        if is_due {
            self.copying = Copying {
                after: now.saturating_add(PAUSE),
                is_owed: false,
            };
        }
        is_due
    }
}

impl Server {
    /// Has the history copied, if that is due.
    pub(super) fn copy_if_due(&self, now: i64) {
        if !self.lock().takes_copy(now) {
            return;
        }
        if let Some(me) = self.me.upgrade() {
            self.lanes.chores.put(move || me.copy_history());
        }
    }

    fn copy_history(&self) {
        let history = self.home.history();
        match history::copy(&history, &history::copy_of(&history)) {
            Ok(()) => {
                self.is_well("copying");
            }
            Err(error) => {
                let why = ward_engine::chain(&error);
                self.complain(
                    "copying",
                    &format!("there is no new copy of the history, which is tried again: {why}"),
                );
                self.lock().copying.owe();
            }
        }
    }
}
