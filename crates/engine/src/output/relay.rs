//! Moving bytes from sources to sinks, a budget at a time, so that a flood on one pipe
//! starves neither signals nor the other pipe, and a reader that does not read stops
//! nobody but its own writers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ward_sys::pipe::{self, Moved};

use super::{LogFile, Sink};

/// Bytes moved from one source in one turn.
const BUDGET: usize = 2 << 20;
/// One call that moves less than this, a page, has caught up with the writer: what comes next is a
/// few bytes at a time, and waited for. Writers of whole pages are followed without waiting.
const LITTLE: usize = 4 << 10;
/// Bytes moved in one call.
const CHUNK: usize = 1 << 20;
/// A pipe that has this much at once, bytes, is made large: its writer is quicker than we are.
/// Half of the usual capacity, as short writes leave gaps.
const FULL: usize = 32 << 10;
/// Bytes copied in one call, where they cannot be spliced, once a call has filled a buffer of
/// [`LITTLE`]: each page of the buffer costs a fault, and most commands print little or nothing.
const COPY_CHUNK: usize = 128 << 10;

/// The reading end of something that the command writes to.
#[derive(Debug)]
pub(crate) struct Source {
    /// What the command calls it.
    pub(crate) name: &'static str,
    /// `None` once it has ended or been given up.
    fd: Option<OwnedFd>,
    /// Whether it is a pipe, and not a pseudo-terminal.
    is_pipe: bool,
    is_large: bool,
    sink: usize,
    /// Device and inode of the pipe, by which holders are found.
    pub(crate) identity: Option<(u64, u64)>,
}

impl Source {
    /// A pipe to relay into `sink`.
    ///
    /// # Errors
    /// As fstat(2).
    pub(crate) fn pipe(name: &'static str, fd: OwnedFd, sink: usize) -> io::Result<Self> {
        let identity = Some(pipe::identity(&fd)?);
        Ok(Self {
            name,
            fd: Some(fd),
            is_pipe: true,
            is_large: false,
            sink,
            identity,
        })
    }

    /// Our side of a pseudo-terminal, to relay into `sink`.
    pub(crate) fn terminal(fd: OwnedFd, sink: usize) -> Self {
        Self {
            name: "terminal",
            fd: Some(fd),
            is_pipe: false,
            is_large: true,
            sink,
            identity: None,
        }
    }

    /// Its descriptor, while it is open.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Gives it up.
    pub(crate) fn close(&mut self) {
        self.fd = None;
    }
}

/// What became of a source in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// There may be more; come back when it is readable.
    Open,
    /// Its sink has no room; come back when it has.
    Blocked,
    /// It is at its end.
    Ended,
    /// Nobody reads its sink, or the sink failed: the writers must learn of it.
    Refused,
}

/// Every source and sink of a run.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) sources: Vec<Source>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) log: Option<LogFile>,
    buffer: Vec<u8>,
    undelivered: u64,
    failures: Vec<(&'static str, io::Error)>,
}

impl Relay {
    /// A relay between these.
    pub(crate) fn new(sources: Vec<Source>, sinks: Vec<Sink>, log: Option<LogFile>) -> Self {
        Self {
            sources,
            sinks,
            log,
            buffer: Vec::new(),
            undelivered: 0,
            failures: Vec::new(),
        }
    }

    /// The sink that a source flows into.
    pub(crate) fn sink_of(&self, source: usize) -> usize {
        self.sources[source].sink
    }

    /// Moves what is there, up to the budget. Returns what became of the source and how
    /// many bytes were moved. A source that has ended, or was refused, is the caller's to
    /// close, after it has stopped watching it: the other half of the run holds the same open
    /// file, so that closing does not do that.
    pub(crate) fn turn(&mut self, index: usize) -> (Flow, usize) {
        let mut moved = 0;
        let flow = loop {
            match self.step(index) {
                Ok(Moved::Bytes(count)) => {
                    moved += count;
                    if moved >= BUDGET || count < LITTLE {
                        break Flow::Open;
                    }
                }
                Ok(Moved::End) => break Flow::Ended,
                Ok(Moved::Closed) => break Flow::Refused,
                Ok(Moved::NotNow) => break self.why_not_now(index),
                Ok(Moved::Unsupported) => {}
                Err(error) => {
                    let sink = &mut self.sinks[self.sources[index].sink];
                    sink.close();
                    self.failures.push((self.sources[index].name, error));
                    break Flow::Refused;
                }
            }
        };
        let source = &mut self.sources[index];
        if moved >= FULL
            && !source.is_large
            && let Some(fd) = &source.fd
        {
            source.is_large = true;
            pipe::enlarge(fd);
        }
        if flow == Flow::Refused {
            self.refuse(index);
        }
        (flow, moved)
    }

    fn step(&mut self, index: usize) -> io::Result<Moved> {
        let source = &self.sources[index];
        let Some(fd) = source.fd.as_ref() else {
            return Ok(Moved::End);
        };
        let sink = &mut self.sinks[source.sink];
        if sink.closed() {
            return Ok(Moved::Closed);
        }
        if sink.pending() > 0 {
            sink.flush()?;
            if sink.closed() {
                return Ok(Moved::Closed);
            }
            if sink.pending() > 0 {
                return Ok(Moved::NotNow);
            }
        }
        if sink.forgets() {
            sink.confess();
        }
        let mut failure = None;
        if self.log.is_none() && source.is_pipe && sink.spliceable() {
            match sink.splice(fd.as_fd(), CHUNK) {
                Err(error) if sink.forgets() => failure = Some(error),
                result => return result,
            }
        }
        if self.buffer.is_empty() {
            self.buffer.resize(LITTLE, 0);
        }
        let read = pipe::read(fd.as_fd(), &mut self.buffer)?;
        if let Moved::Bytes(count) = read {
            if let Some(error) = failure {
                sink.forgot(count as u64, error);
                return Ok(read);
            }
            if let Some(log) = &mut self.log {
                log.write(index, &self.buffer[..count]);
            }
            sink.put(&self.buffer[..count])?;
            if count == self.buffer.len() {
                self.buffer.resize(COPY_CHUNK, 0);
            }
        }
        Ok(read)
    }

    /// Nothing moved: for want of bytes, or for want of room?
    fn why_not_now(&self, index: usize) -> Flow {
        let source = &self.sources[index];
        let sink = &self.sinks[source.sink];
        // A splice does not say which. Bytes may have come since it found none: then a pipe
        // has room and says so at once, but what cannot be full would never say anything.
        let waits = || source.fd.as_ref().is_some_and(|fd| pipe::waiting(fd) > 0);
        if sink.pending() > 0 || (source.is_pipe && sink.can_be_full() && waits()) {
            Flow::Blocked
        } else {
            Flow::Open
        }
    }

    fn refuse(&mut self, index: usize) {
        self.undelivered += self.sources[index].fd.as_ref().map_or(0, pipe::waiting);
        let sink = &self.sinks[self.sources[index].sink];
        self.undelivered += sink.pending() as u64;
    }

    /// Goes on with logs that a killed writer had open.
    pub(crate) fn take_over(&mut self) {
        for sink in &mut self.sinks {
            sink.take_over();
        }
        if let Some(log) = &mut self.log {
            log.take_over();
        }
    }

    /// Whether every source is at its end and everything was delivered, or cannot be.
    pub(crate) fn ended(&self) -> bool {
        self.sources.iter().all(|source| source.fd.is_none()) && self.flushed()
    }

    /// Whether nothing read waits for room.
    pub(crate) fn flushed(&self) -> bool {
        self.sinks
            .iter()
            .all(|sink| sink.closed() || sink.pending() == 0)
    }

    /// Whether a source holds nothing just now.
    pub(crate) fn is_dry(&self, index: usize) -> bool {
        self.sources[index]
            .fd
            .as_ref()
            .is_none_or(|fd| pipe::waiting(fd) == 0)
    }

    /// What waits in each source.
    pub(crate) fn waiting(&self) -> Vec<u64> {
        let waiting = |source: &Source| source.fd.as_ref().map_or(0, pipe::waiting);
        self.sources.iter().map(waiting).collect()
    }

    /// Gives up what nobody reads and counts it.
    pub(crate) fn give_up(&mut self) {
        for index in 0..self.sources.len() {
            self.undelivered += self.sources[index].fd.as_ref().map_or(0, pipe::waiting);
        }
        for sink in &mut self.sinks {
            if !sink.closed() {
                self.undelivered += sink.pending() as u64;
                sink.close();
            }
        }
    }

    /// Bytes that were given up.
    pub(crate) fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// Failures of sinks since the last call, each with the name of the stream.
    pub(crate) fn take_failures(&mut self) -> Vec<(&'static str, io::Error)> {
        std::mem::take(&mut self.failures)
    }
}
