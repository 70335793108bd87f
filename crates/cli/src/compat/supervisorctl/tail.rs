//! A log that is followed: what a server goes on sending of it.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use super::call::{AGENT, CallError, Credentials};
use super::endpoint::{Endpoint, Stream};
use super::http::{Body, head};

/// How much is read at once, bytes.
const READ: usize = 64 << 10;

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Perhaps something, and more may come.
    More,
    /// The last.
    End,
}

/// An open log. Nothing here waits, once it is open.
#[derive(Debug)]
pub(super) struct Tail {
    stream: Stream,
    /// What is not read as a head yet.
    input: Vec<u8>,
    body: Option<Body>,
}

impl Tail {
    /// Connects, and asks for the log at `path`.
    pub(super) fn open(
        url: &str,
        credentials: Option<&Credentials>,
        path: &str,
    ) -> Result<Self, CallError> {
        let endpoint = Endpoint::of(url)?;
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\n",
            endpoint.host()
        );
        if let Some(credentials) = credentials {
            request.push_str(&format!("Authorization: {}\r\n", credentials.header()));
        }
        request.push_str("\r\n");
        let mut stream = endpoint.connect()?;
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.set_nonblocking())
            .map_err(CallError::Broken)?;
        Ok(Self {
            stream,
            input: Vec::new(),
            body: None,
        })
    }

    /// Adds what is there to `content`.
    pub(super) fn take(&mut self, content: &mut Vec<u8>) -> Result<Came, CallError> {
        let start = self.input.len();
        self.input.resize(start + READ, 0);
        let read = self
            .stream
            .read(self.input.get_mut(start..).unwrap_or_default());
        let (read, is_end) = match read {
            Ok(read) => (read, read == 0),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                (0, false)
            }
            Err(error) => return Err(CallError::Broken(error)),
        };
        self.input.truncate(start + read);
        if self.body.is_none() {
            let Some((head, length)) = head(&self.input)? else {
                return if is_end {
                    Err(CallError::Closed)
                } else {
                    Ok(Came::More)
                };
            };
            if head.status != 200 {
                return Err(CallError::Status {
                    code: head.status,
                    reason: head.reason,
                });
            }
            self.input.drain(..length);
            self.body = Some(Body::new(head.framing));
        }
        if let Some(body) = &mut self.body {
            body.take(&self.input, content)?;
            self.input.clear();
            if body.is_over() {
                return Ok(Came::End);
            }
        }
        Ok(if is_end { Came::End } else { Came::More })
    }
}

impl AsFd for Tail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
