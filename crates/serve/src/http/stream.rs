//! A connection's bytes, counted by its meter.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::meter::Meter;

/// A connection, on whatever it came.
#[derive(Debug)]
pub(crate) enum Stream {
    /// On a path.
    Unix(UnixStream),
    /// On a port.
    Tcp(TcpStream),
}

impl Stream {
    /// Who is at the other end.
    pub(crate) fn visitor(&self) -> Visitor {
        match self {
            Self::Unix(stream) => Visitor {
                address: None,
                uid: stream.peer_cred().ok().map(|peer| peer.uid()),
            },
            Self::Tcp(stream) => Visitor {
                address: stream.peer_addr().ok().map(|peer| peer.ip().to_canonical()),
                uid: None,
            },
        }
    }

    /// Says something if that can be done at once.
    pub(crate) fn try_say(&self, text: &[u8]) {
        // Whether it is heard does not matter to who turns somebody away.
        let _ = match self {
            Self::Unix(stream) => stream.try_write(text),
            Self::Tcp(stream) => stream.try_write(text),
        };
    }
}

/// Who came, as far as the connection tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// From where; nothing on a unix socket.
    pub(crate) address: Option<IpAddr>,
    /// As which user of this host; nothing on a port.
    pub(crate) uid: Option<u32>,
}

/// A connection that tells its meter.
pub(crate) struct Metered {
    stream: Stream,
    meter: Rc<Meter>,
}

impl Metered {
    pub(crate) fn new(stream: Stream, meter: Rc<Meter>) -> Self {
        Self { stream, meter }
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.meter.sent();
        }
        written
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if buffer.filled().len() > before {
            self.meter.received();
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        };
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who flushes has nothing left in its own hands.
        let flushed = match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
        };
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.meter.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
