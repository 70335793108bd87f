//! What is typed at a terminal and must not be seen there.

use std::fs::File;
use std::io;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal that shows nothing that is typed, as long as this lives.
pub(crate) struct Hidden {
    pub(crate) terminal: File,
    before: Termios,
}

impl Hidden {
    /// Stops showing what is typed there.
    ///
    /// # Errors
    /// It is no terminal.
    pub(crate) fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nobody could be told.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}
