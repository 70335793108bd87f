//! What all rooms of the server share.

use std::rc::Rc;

use data_encoding::HEXLOWER;
use rustix::rand::{GetRandomFlags, getrandom};
use ward_supervise::api::Control;

use super::settings::{Settings, Weight};
use crate::watch::Watches;

/// One for all listeners of a supervisor.
pub(crate) struct Site {
    pub(crate) control: Rc<dyn Control>,
    pub(crate) settings: Settings,
    pub(crate) watches: Rc<Watches>,
    /// What a form of our own pages carries, and nobody else knows.
    pub(crate) token: String,
}

impl Site {
    pub(crate) fn new(control: Rc<dyn Control>, settings: Settings) -> std::io::Result<Self> {
        let mut secret = [0; 16];
        let mut filled = 0;
        while let Some(rest) = secret.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += getrandom(rest, GetRandomFlags::empty())?;
        }
        Ok(Self {
            control,
            settings,
            watches: Watches::new(),
            token: HEXLOWER.encode(&secret),
        })
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
        (self.settings.tell)(weight, &printable);
    }
}
