//! What all doors of a site share, whatever is behind them.

use std::rc::Rc;

use super::settings::{Limits, Tell, Weight};
use crate::watch::Watches;

/// One for all listeners of a site.
pub(crate) struct Ground {
    pub(crate) limits: Limits,
    tell: Tell,
    pub(crate) watches: Rc<Watches>,
    /// A whole answer, said where nobody can be let in.
    pub(crate) full: &'static [u8],
}

impl Ground {
    /// In a tokio runtime.
    pub(crate) fn new(limits: Limits, tell: Tell, full: &'static [u8]) -> Self {
        Self {
            limits,
            tell,
            watches: Watches::new(),
            full,
        }
    }

    /// A line for the log; what came from outside is made printable and short.
    pub(crate) fn tell(&self, weight: Weight, line: &str) {
        let printable: String = line
            .chars()
            .take(400)
            .map(|character| {
                if character.is_control() {
                    '\u{fffd}'
                } else {
                    character
                }
            })
            .collect();
        (self.tell)(weight, &printable);
    }
}
