//! Lines about many things, of which a few are enough.

use crate::runner::Desk;

/// So many lines of a kind are written.
const ENOUGH: usize = 20;

/// Counts what was said.
#[derive(Default)]
pub(crate) struct Tally {
    count: usize,
}

impl Tally {
    /// Says it, if not enough was said.
    pub(crate) fn say(&mut self, desk: &mut dyn Desk, line: &str) {
        self.count += 1;
        if self.count <= ENOUGH {
            desk.line(line);
        }
    }

    /// Says how much more there was.
    pub(crate) fn end(&self, desk: &mut dyn Desk) {
        if self.count > ENOUGH {
            desk.line(&format!("… and {} more", self.count - ENOUGH));
        }
    }
}
