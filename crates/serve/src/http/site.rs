//! What all rooms of the supervisor's server share.

use std::rc::Rc;

use data_encoding::HEXLOWER;
use rustix::rand::{GetRandomFlags, getrandom};
use ward_supervise::api::Control;

use super::ground::Ground;
use super::settings::{Settings, Weight};

/// What is said where nobody can be let in.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nServer: Medusa/1.12\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// One for all listeners of a supervisor.
pub(crate) struct Site {
    pub(crate) control: Rc<dyn Control>,
    pub(crate) settings: Settings,
    pub(crate) ground: Rc<Ground>,
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
        let ground = Ground::new(settings.limits.clone(), Rc::clone(&settings.tell), FULL);
        Ok(Self {
            control,
            settings,
            ground: Rc::new(ground),
            token: HEXLOWER.encode(&secret),
        })
    }

    /// A line for the log; what came from outside is made printable and short.
    pub(crate) fn tell(&self, weight: Weight, line: &str) {
        self.ground.tell(weight, line);
    }
}
