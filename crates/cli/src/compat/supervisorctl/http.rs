//! Answers over one connection, bounded.

use std::io::{self, Read as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) use ward_serve::client::{Body, Framing, head};

use super::call::CallError;
use super::endpoint::Stream;

/// Bytes of an answer: a log of a supervisor's default size five times over.
const MAX_ANSWER: usize = 256 << 20;
/// How much is read at once, bytes.
const READ: usize = 64 << 10;

/// An answer as a whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) body: Vec<u8>,
    pub(super) is_kept: bool,
}

/// A connection on which one request waits for its answer at a time.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
}

impl Connection {
    pub(super) fn over(stream: Stream) -> Self {
        Self { stream }
    }

    /// Whether the other side has said nothing since its last answer, not even that it goes.
    pub(super) fn is_idle(&self) -> bool {
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&at_once)) == Ok(0)
    }

    /// Waits for the answer.
    pub(super) fn answer(&mut self) -> Result<Answer, CallError> {
        let mut input = Vec::new();
        let (head, length) = loop {
            if let Some(found) = head(&input)? {
                break found;
            }
            if self.more(&mut input)? == 0 {
                return Err(if input.is_empty() {
                    CallError::Closed
                } else {
                    CallError::NotHttp("the answer is cut short")
                });
            }
        };
        let mut body = Body::new(head.framing);
        let mut content = Vec::new();
        if let Framing::Length(length) = head.framing {
            content.reserve(length.min(MAX_ANSWER));
        }
        input.drain(..length);
        let has_more = loop {
            let taken = body.take(&input, &mut content)?;
            let has_more = taken < input.len();
            if content.len() > MAX_ANSWER {
                return Err(CallError::NotHttp("the answer is too long"));
            }
            if body.is_over() {
                break has_more;
            }
            input.clear();
            if self.more(&mut input)? == 0 {
                match body {
                    Body::UntilClose => break false,
                    Body::Rest(_)
                    | Body::Size(_)
                    | Body::Chunk(_)
                    | Body::ChunkEnd(_)
                    | Body::Trailer(_)
                    | Body::Over => return Err(CallError::NotHttp("the answer is cut short")),
                }
            }
        };
        Ok(Answer {
            status: head.status,
            reason: head.reason,
            body: content,
            // What comes unasked would be taken for the next answer.
            is_kept: head.is_kept && !has_more,
        })
    }

    /// Adds what is there; 0 at the end.
    fn more(&mut self, input: &mut Vec<u8>) -> Result<usize, CallError> {
        let start = input.len();
        input.resize(start + READ, 0);
        let read = loop {
            match self.stream.read(input.get_mut(start..).unwrap_or_default()) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CallError::Broken(error)),
            }
        };
        input.truncate(start + read);
        Ok(read)
    }
}
