//! A connection, plain or TLS, on which nothing takes longer than until a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::address::Place;
use super::error::NotifyError;

/// A connection.
pub(super) struct Stream {
    to: String,
    host: String,
    wire: Wire,
    /// What has come and was not looked at yet.
    received: Vec<u8>,
}

enum Wire {
    Plain(Timed),
    Secure(Box<StreamOwned<ClientConnection, Timed>>),
    /// While one becomes the other.
    None,
}

impl Stream {
    /// Connects to the first of the host's addresses that answers.
    pub(super) fn connect(place: &Place, until: Instant) -> Result<Self, NotifyError> {
        let to = place.to_string();
        let cannot = |source| NotifyError::Connect {
            to: to.clone(),
            source,
        };
        let addresses = (place.host.as_str(), place.port)
            .to_socket_addrs()
            .map_err(cannot)?;
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            let attempt = left(until).and_then(|left| TcpStream::connect_timeout(&address, left));
            match attempt {
                Ok(socket) => {
                    // Each request is written in one go and waited for.
                    let _ = socket.set_nodelay(true);
                    return Ok(Self {
                        to,
                        host: place.host.clone(),
                        wire: Wire::Plain(Timed { socket, until }),
                        received: Vec::new(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(cannot(last))
    }

    /// Who is at the other end.
    pub(super) fn to(&self) -> &str {
        &self.to
    }

    /// Goes on in TLS, with who can show that they are the host that was asked for.
    pub(super) fn secure(&mut self, configuration: &Arc<ClientConfig>) -> Result<(), NotifyError> {
        // What came before would be taken for something that came safely.
        if !self.received.is_empty() {
            return Err(self.nonsense("it speaks before TLS begins"));
        }
        let Wire::Plain(mut socket) = std::mem::replace(&mut self.wire, Wire::None) else {
            return Err(self.nonsense("TLS began already"));
        };
        let bad_name = |_| NotifyError::Bad {
            what: format!("the name {}", self.host),
            why: "it cannot be one in a certificate",
        };
        let name = ServerName::try_from(self.host.clone()).map_err(bad_name)?;
        let mut connection = ClientConnection::new(Arc::clone(configuration), name)
            .map_err(|source| self.not_tls(source))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(|error| {
                match error.downcast::<rustls::Error>() {
                    Ok(source) => self.not_tls(source),
                    Err(source) => self.broken(source),
                }
            })?;
        }
        self.wire = Wire::Secure(Box::new(StreamOwned::new(connection, socket)));
        Ok(())
    }

    /// Whether nobody else can read it.
    pub(super) fn is_secure(&self) -> bool {
        match &self.wire {
            Wire::Secure(_) => true,
            Wire::Plain(_) | Wire::None => false,
        }
    }

    /// Sends all of it.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), NotifyError> {
        let sent = match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(bytes),
            Wire::Secure(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Wire::None => Err(ErrorKind::NotConnected.into()),
        };
        sent.map_err(|source| self.broken(source))
    }

    /// The next line, without its end; it is not longer than `longest` bytes.
    pub(super) fn line(&mut self, longest: usize) -> Result<Vec<u8>, NotifyError> {
        let mut searched = 0;
        loop {
            let found = self
                .received
                .iter()
                .skip(searched)
                .position(|it| *it == b'\n');
            if let Some(at) = found {
                let rest = self.received.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.truncate(line.len() - 1);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.received.len();
            if searched > longest {
                return Err(self.nonsense("a line without an end"));
            }
            let mut piece = [0; 4096];
            let count = match &mut self.wire {
                Wire::Plain(socket) => socket.read(&mut piece),
                Wire::Secure(stream) => stream.read(&mut piece),
                Wire::None => Err(ErrorKind::NotConnected.into()),
            };
            match count {
                Ok(0) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.received.extend(piece.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    /// The other side says what makes no sense.
    pub(super) fn nonsense(&self, what: &'static str) -> NotifyError {
        NotifyError::Protocol {
            to: self.to.clone(),
            what,
        }
    }

    fn broken(&self, source: io::Error) -> NotifyError {
        NotifyError::Broken {
            to: self.to.clone(),
            source,
        }
    }

    fn not_tls(&self, source: rustls::Error) -> NotifyError {
        NotifyError::Tls {
            to: self.to.clone(),
            source,
        }
    }
}

/// A socket on which every call ends by then.
struct Timed {
    socket: TcpStream,
    until: Instant,
}

/// What is left of the time.
fn left(until: Instant) -> io::Result<std::time::Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// The kernel says "try again" when the time is over, socket(7).
fn late(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock {
        ErrorKind::TimedOut.into()
    } else {
        error
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(buffer).map_err(late)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
