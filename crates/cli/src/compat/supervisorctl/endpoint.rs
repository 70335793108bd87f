//! Where a supervisor listens: from a URL to an open stream.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::call::CallError;

const DEFAULT_PORT: u16 = 80;

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A path.
    Unix(String),
    /// A host, without the brackets of IPv6, and a port.
    Tcp(String, u16),
}

/// Whether this is a URL of any kind, as far as the original looks on its command line.
pub(super) fn is_url(text: &str) -> bool {
    scheme(text).is_some_and(|(_, rest)| {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        !rest.starts_with(['?', '#']) && !rest.is_empty()
    })
}

/// The part before the colon, in lower case, and the part behind it.
pub(super) fn scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let sound = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    sound.then(|| (scheme.to_ascii_lowercase(), rest))
}

impl Endpoint {
    /// Reads `unix://PATH` or `http://HOST[:PORT]`. A user in it, and what follows the host, mean
    /// nothing, as in the original.
    pub(super) fn of(url: &str) -> Result<Self, CallError> {
        let unknown = || CallError::Scheme(url.to_owned());
        if let Some(path) = url.strip_prefix("unix://") {
            return Ok(Self::Unix(path.to_owned()));
        }
        let rest = url.strip_prefix("http://").ok_or_else(unknown)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(unknown)?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port.filter(|port| !port.is_empty()) {
            Some(port) => port.parse().map_err(|_| unknown())?,
            None => DEFAULT_PORT,
        };
        Ok(Self::Tcp(host.to_lowercase(), port))
    }

    /// For the header `Host`.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp(host, port) => format!("{host}:{port}"),
        }
    }

    /// Connects.
    pub(super) fn connect(&self) -> Result<Stream, CallError> {
        match self {
            Self::Unix(path) => UnixStream::connect(path)
                .map(Stream::Unix)
                .map_err(CallError::Connect),
            Self::Tcp(host, port) => {
                let addresses = (host.as_str(), *port).to_socket_addrs();
                let addresses: Vec<_> = addresses.map_err(CallError::Resolve)?.collect();
                let stream =
                    TcpStream::connect(addresses.as_slice()).map_err(CallError::Connect)?;
                // Calls are small, and each waits for its answer.
                stream.set_nodelay(true).map_err(CallError::Connect)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// Over a path.
    Unix(UnixStream),
    /// Over a port.
    Tcp(TcpStream),
}

impl Stream {
    /// From now on nothing waits.
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(true),
            Self::Tcp(stream) => stream.set_nonblocking(true),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let tcp = |host: &str, port| Some(Endpoint::Tcp(host.to_owned(), port));
        for (url, expected) in [
            (
                "unix:///run/s.sock",
                Some(Endpoint::Unix("/run/s.sock".into())),
            ),
            ("unix://", Some(Endpoint::Unix(String::new()))),
            ("http://LocalHost:9001", tcp("localhost", 9001)),
            ("http://u:p@h:1/x?y", tcp("h", 1)),
            ("http://h/", tcp("h", 80)),
            ("http://h:", tcp("h", 80)),
            ("http://[::1]:9001", tcp("::1", 9001)),
            ("http://[::1]", tcp("::1", 80)),
            ("http://[::1", None),
            ("http://h:x", None),
            ("http://h:99999", None),
            ("https://h", None),
            ("localhost:9001", None),
        ] {
            assert_eq!(Endpoint::of(url).ok(), expected, "{url}");
        }
        for (url, is) in [
            ("http://x", true),
            ("localhost:9001", true),
            ("unix:/x", true),
            ("x", false),
            ("http:", false),
            ("http://", false),
            ("9://x", false),
            (":x", false),
            ("a b:x", false),
        ] {
            assert_eq!(is_url(url), is, "{url}");
        }
    }
}
