//! Ctrl-C that ends what is shown, and not the shell.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::process::Signal;
use ward_sys::signals::{self, SavedMask, SignalSource};

/// The signals that are taken; all but the first do what they always do, in their turn.
const TAKEN: [Signal; 5] = [
    Signal::INT,
    Signal::TERM,
    Signal::HUP,
    Signal::QUIT,
    Signal::TSTP,
];

/// Takes the keyboard's signals as long as it lives.
#[derive(Debug)]
pub(super) struct Interrupts {
    source: SignalSource,
    before: Option<SavedMask>,
}

impl Interrupts {
    /// # Errors
    /// As signalfd(2).
    pub(super) fn take() -> io::Result<Self> {
        let before = signals::block_everything();
        match SignalSource::new(&TAKEN.map(Signal::as_raw)) {
            Ok(source) => Ok(Self {
                source,
                before: Some(before),
            }),
            Err(error) => {
                before.restore();
                Err(error)
            }
        }
    }

    /// Whether there was a Ctrl-C.
    pub(super) fn interrupted(&self) -> bool {
        while let Some(received) = self.source.next() {
            if received.signal == Signal::INT.as_raw() {
                return true;
            }
            signals::take_default_action(received.signal);
        }
        false
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            before.restore();
        }
    }
}
