//! After a supervisor was killed with its keeper and started again: what still runs is taken over as it
//! was, and then follows the file as it is now, as `update` would have it.

use ward_model::program::{Event, Level, StopRequest};

use super::core::Core;
use crate::configuration::compare;

impl Core {
    /// Notes the groups that the file has otherwise, or not at all.
    pub(crate) fn find_outdated(&mut self) {
        let active: Vec<_> = self.groups.iter().map(|group| &group.config).collect();
        let found = compare(&active, &self.latest.groups);
        for name in found.added {
            // Started with all others, once the supervisor works.
            if let Err(fault) = self.add_latest(&name) {
                self.say(Level::Error, &fault.to_string());
            }
        }
        for name in found.changed.into_iter().chain(found.removed) {
            let text = format!("'{name}' is configured otherwise now, and stopped");
            self.say(Level::Info, &text);
            let ids = self.members(&name).unwrap_or_default();
            for id in ids {
                let request = StopRequest::Asked { awaited: false };
                self.happen(id, Event::StopRequested(request));
            }
            self.outdated.push_back(name);
        }
    }

    /// Replaces those of them that have stopped.
    pub(crate) fn replace_outdated(&mut self) {
        if self.ending.is_some() {
            self.outdated.clear();
        }
        for _ in 0..self.outdated.len() {
            let Some(name) = self.outdated.pop_front() else {
                return;
            };
            if self.remove_group(&name).is_err() {
                self.outdated.push_back(name);
                continue;
            }
            let is_configured = self.latest.groups.iter().any(|group| group.name == name);
            if is_configured && let Err(fault) = self.add_group(&name) {
                self.say(Level::Error, &fault.to_string());
            }
        }
    }
}
