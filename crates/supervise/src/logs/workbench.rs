//! What all channels share while one of them moves bytes: a pipe to look into another one by, a
//! place to throw bytes away, and memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use ward_sys::pipe::{self, Moved};

/// Memory that is kept for the next turn, in bytes.
const KEPT: usize = 512 * 1024;

/// What a turn works with.
#[derive(Debug, Default)]
pub(crate) struct Workbench {
    scratch: Option<(OwnedFd, OwnedFd)>,
    nowhere: Option<File>,
    memory: Vec<u8>,
}

impl Workbench {
    /// Empty memory, which comes back by [`Workbench::give_back`].
    pub(crate) fn memory(&mut self) -> Vec<u8> {
        let mut memory = std::mem::take(&mut self.memory);
        memory.clear();
        memory
    }

    /// Gives memory back.
    pub(crate) fn give_back(&mut self, memory: Vec<u8>) {
        if memory.capacity() <= KEPT && memory.capacity() > self.memory.capacity() {
            self.memory = memory;
        }
    }

    /// Appends up to `limit` bytes of a pipe to `into`, and leaves them in the pipe (tee(2)).
    ///
    /// # Errors
    /// As pipe(2), tee(2).
    pub(crate) fn peek(
        &mut self,
        fifo: BorrowedFd<'_>,
        limit: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<Moved> {
        let (reader, writer) = match self.scratch.take() {
            Some(scratch) => scratch,
            None => {
                let (reader, writer) = pipe::pipe()?;
                pipe::enlarge(&writer);
                (reader, writer)
            }
        };
        let seen = loop {
            match rustix::pipe::tee(fifo, &writer, limit, SpliceFlags::NONBLOCK) {
                Ok(seen) => break seen,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.scratch = Some((reader, writer));
                    return Ok(Moved::NotNow);
                }
                Err(error) => return Err(error.into()),
            }
        };
        let from = into.len();
        into.resize(from + seen, 0);
        let mut at = from;
        while let Some(rest) = into.get_mut(at..)
            && !rest.is_empty()
        {
            match pipe::read(reader.as_fd(), rest)? {
                Moved::Bytes(read) => at += read,
                Moved::End | Moved::NotNow | Moved::Closed | Moved::Unsupported => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        // Only an empty one is used again.
        self.scratch = Some((reader, writer));
        Ok(if seen == 0 {
            Moved::End
        } else {
            Moved::Bytes(seen)
        })
    }

    /// Whether there is something in a pipe, or why not: without writers it is at its end, also where
    /// they had gone before it was opened, which poll(2) would not tell.
    ///
    /// # Errors
    /// As [`Workbench::peek`].
    pub(crate) fn probe(&mut self, fifo: BorrowedFd<'_>) -> io::Result<Moved> {
        let mut byte = Vec::with_capacity(1);
        self.peek(fifo, 1, &mut byte)
    }

    /// Throws up to `limit` bytes of a pipe away.
    ///
    /// # Errors
    /// As open(2), splice(2).
    pub(crate) fn discard(&mut self, fifo: BorrowedFd<'_>, limit: usize) -> io::Result<Moved> {
        let nowhere = match self.nowhere.take() {
            Some(nowhere) => nowhere,
            None => File::options().write(true).open("/dev/null")?,
        };
        let moved = pipe::splice(fifo, nowhere.as_fd(), limit);
        self.nowhere = Some(nowhere);
        moved
    }
}
