//! Where relayed bytes go: one of the caller's streams. Never waits for its reader.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ward_model::spec::RotatedLog;
use ward_sys::pipe::{self, Destination, Moved};

use super::rotate::Rotation;

/// One of the caller's streams.
#[derive(Debug)]
pub(crate) struct Sink {
    fd: OwnedFd,
    /// The same pipe or terminal, non-blocking and ours alone.
    private: Option<OwnedFd>,
    kind: Destination,
    /// Read, but not yet written.
    pending: Vec<u8>,
    closed: bool,
    spliceable: bool,
    delivered: u64,
    /// A daemon's log: kept within bounds, and never given up for want of room.
    rotation: Option<Rotation>,
    /// Bytes that the log could not take, and why, until that is written into it.
    lost: Option<(u64, io::Error)>,
    forgotten: u64,
}

impl Sink {
    /// Takes a stream to write to.
    ///
    /// # Errors
    /// As fstat(2).
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let kind = pipe::destination(fd.as_fd())?;
        Ok(Self {
            // The rest either never block (files), have a flag for it (sockets), or are
            // written in bits that fit (pipes of other users, odd devices). Opened when
            // first needed: a splice into a pipe needs none.
            private: None,
            spliceable: match kind {
                // A socket's or a terminal's splice may block in spite of its flag.
                Destination::Pipe | Destination::Device => true,
                Destination::File => false,
                Destination::Socket | Destination::Terminal => false,
            },
            fd,
            kind,
            pending: Vec::new(),
            closed: false,
            delivered: 0,
            rotation: None,
            lost: None,
            forgotten: 0,
        })
    }

    /// A daemon's log. Bytes are spliced into it: a writer that is killed at any moment has
    /// then moved them or not, and lost none.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn log(log: &RotatedLog) -> io::Result<Self> {
        let (fd, rotation) = Rotation::open(log)?;
        Ok(Self {
            rotation: Some(rotation),
            spliceable: true,
            ..Self::new(fd)?
        })
    }

    /// Goes on where a killed writer was, who may have rotated the log.
    pub(crate) fn take_over(&mut self) {
        let fd = self.fd.as_fd();
        let rotation = self.rotation.as_mut();
        if let Some(fresh) = rotation.and_then(|rotation| rotation.reopen(fd)) {
            self.fd = fresh;
        }
    }

    /// Whether what cannot be written is to be forgotten, and counted, rather than to stop
    /// whoever writes it: a daemon does not die of a full disk.
    pub(crate) fn forgets(&self) -> bool {
        self.rotation.is_some()
    }

    /// Bytes that were forgotten so far.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Takes note of bytes that were forgotten.
    pub(crate) fn forgot(&mut self, bytes: u64, why: io::Error) {
        self.forgotten += bytes;
        match &mut self.lost {
            Some((lost, _)) => *lost += bytes,
            None => self.lost = Some((bytes, why)),
        }
    }

    /// Writes into the log that something is missing from it, once that is possible again.
    pub(crate) fn confess(&mut self) {
        let Some((bytes, why)) = &self.lost else {
            return;
        };
        let line = super::rotate::confession(*bytes, why);
        if let Ok(written) = rustix::io::write(&self.fd, line.as_bytes()) {
            if written == line.len() {
                self.lost = None;
            }
            self.wrote(written);
        }
    }

    fn wrote(&mut self, bytes: usize) {
        let fd = self.fd.as_fd();
        if let Some(fresh) = self
            .rotation
            .as_mut()
            .and_then(|rotation| rotation.wrote(fd, bytes))
        {
            self.fd = fresh;
        }
    }

    /// Whether bytes can be spliced here.
    pub(crate) fn spliceable(&self) -> bool {
        self.spliceable && self.pending.is_empty()
    }

    /// Whether a splice to it may find no room: files and devices take everything.
    pub(crate) fn can_be_full(&self) -> bool {
        self.kind == Destination::Pipe && self.spliceable()
    }

    /// Splices from `source`.
    pub(crate) fn splice(&mut self, source: BorrowedFd<'_>, limit: usize) -> io::Result<Moved> {
        let room = self.rotation.as_ref().map_or(limit, Rotation::room);
        let moved = pipe::splice(source, self.fd.as_fd(), limit.min(room))?;
        match moved {
            Moved::Bytes(count) => {
                self.delivered += count as u64;
                self.wrote(count);
            }
            Moved::Unsupported => self.spliceable = false,
            Moved::Closed => self.closed = true,
            Moved::End | Moved::NotNow => {}
        }
        Ok(moved)
    }

    /// Takes bytes, to be written now or when there is room.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes what is pending, as far as there is room.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty()
            && self.private.is_none()
            && matches!(self.kind, Destination::Pipe | Destination::Terminal)
        {
            self.private = pipe::reopen_nonblocking(self.fd.as_fd());
        }
        let mut done = 0;
        while done < self.pending.len() && !self.closed {
            let (to, private) = match &self.private {
                Some(private) => (private.as_fd(), true),
                None => (self.fd.as_fd(), false),
            };
            match pipe::write_some(to, self.kind, private, &self.pending[done..]) {
                Ok(Moved::Bytes(count)) => {
                    done += count;
                    self.wrote(count);
                }
                Ok(Moved::Closed) => self.closed = true,
                Ok(_) => break,
                Err(error) if self.forgets() => {
                    self.forgot((self.pending.len() - done) as u64, error);
                    self.pending.clear();
                    self.delivered += done as u64;
                    return Ok(());
                }
                Err(error) => {
                    self.closed = true;
                    self.delivered += done as u64;
                    self.pending.drain(..done);
                    return Err(error);
                }
            }
        }
        self.delivered += done as u64;
        self.pending.drain(..done);
        Ok(())
    }

    /// Bytes that wait for room.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether nobody reads any more.
    pub(crate) fn closed(&self) -> bool {
        self.closed
    }

    /// Gives up what is pending, and takes nothing more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Bytes delivered.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
