//! Readiness by a newline in a pipe, as s6 has it ("Service startup notifications" in its
//! documentation): what comes before the newline means nothing, and a daemon that closes the
//! pipe without one will never be known to be ready.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use ward_sys::pipe::{self, Moved};

use super::patience::{Patience, Stop};

/// A daemon's pipe is closed a moment before it is known to be over; so long may that moment be
/// until we say that it goes on and will never be ready.
const MOMENT: Duration = Duration::from_secs(1);

/// Bytes read in one call.
const CHUNK: usize = 4096;

/// The pipe. The writing end is the daemon's.
#[derive(Debug)]
pub(super) struct NewlinePipe {
    reader: OwnedFd,
    writer: Option<OwnedFd>,
    number: i32,
}

impl NewlinePipe {
    /// A pipe whose writing end is to have this number in the daemon.
    ///
    /// # Errors
    /// As pipe2(2).
    pub(super) fn new(number: i32) -> io::Result<Self> {
        let (reader, writer) = pipe::pipe()?;
        Ok(Self {
            reader,
            writer: Some(writer),
            number,
        })
    }

    pub(super) fn take_passed(&mut self) -> Option<(OwnedFd, i32)> {
        self.writer.take().map(|writer| (writer, self.number))
    }

    pub(super) fn wait(&mut self, patience: &Patience<'_>, last: &mut String) -> Result<(), Stop> {
        // Nobody took it: as long as we hold it ourselves its end can never come.
        self.writer = None;
        *last = format!("no newline came from its descriptor {}", self.number);
        let mut buffer = [0; CHUNK];
        loop {
            patience.wait(Some((self.reader.as_fd(), PollFlags::IN)), None)?;
            match pipe::read(self.reader.as_fd(), &mut buffer) {
                Ok(Moved::Bytes(count)) if buffer[..count].contains(&b'\n') => return Ok(()),
                Ok(Moved::Bytes(_) | Moved::NotNow) => patience.check()?,
                Ok(Moved::End | Moved::Closed | Moved::Unsupported) => {
                    *last = format!("it closed its descriptor {} without a newline", self.number);
                    break;
                }
                Err(error) => {
                    *last = format!("cannot read from its descriptor {}: {error}", self.number);
                    break;
                }
            }
        }
        patience.pause(MOMENT)?;
        Err(Stop::Never)
    }
}
