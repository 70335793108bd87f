//! One connection to a member, plain or TLS. No call here waits beyond its limits.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::error::{Failure, Trouble};
use super::wait::Limits;

/// With what TLS is spoken, and to whom.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) configuration: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

fn broken(error: io::Error) -> Trouble {
    Trouble::Member(Failure::Broken(error))
}

fn not_tls(error: rustls::Error) -> Trouble {
    Trouble::Member(Failure::Tls(error))
}

impl Stream {
    /// Connects, and shakes hands if it is TLS.
    pub(super) fn connect(
        address: SocketAddr,
        tls: Option<&Tls>,
        limits: &Limits<'_>,
    ) -> Result<Self, Trouble> {
        let socket = open(address, limits)?;
        let tls = tls
            .map(|tls| ClientConnection::new(Arc::clone(&tls.configuration), tls.name.clone()))
            .transpose()
            .map_err(not_tls)?
            .map(Box::new);
        let mut stream = Self { socket, tls };
        while stream.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            stream.flush(limits)?;
            if stream.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
                && !stream.receive(limits)?
            {
                return Err(Trouble::Member(Failure::NoTls));
            }
        }
        stream.flush(limits)?;
        Ok(stream)
    }

    /// Sends all of it.
    pub(super) fn send(&mut self, mut bytes: &[u8], limits: &Limits<'_>) -> Result<(), Trouble> {
        if let Some(tls) = &mut self.tls {
            // Taken in whole, and sent by and by: it is one request, of limited length.
            tls.set_buffer_limit(None);
            tls.writer().write_all(bytes).map_err(broken)?;
            return self.flush(limits);
        }
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.unless_later(error, PollFlags::OUT, limits)?,
            }
        }
        Ok(())
    }

    /// Reads what there is, at least one byte; 0 at the end.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        limits: &Limits<'_>,
    ) -> Result<usize, Trouble> {
        loop {
            let outcome = match &mut self.tls {
                None => self.socket.read(buffer),
                Some(tls) => tls.reader().read(buffer),
            };
            match outcome {
                Ok(count) => return Ok(count),
                // Without the goodbye of TLS. Whether something is missing is for HTTP to see.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.tls.is_some() => {
                    // What is sent here are answers to the other side's TLS, such as new keys.
                    self.flush(limits)?;
                    self.receive(limits)?;
                }
                Err(error) => self.unless_later(error, PollFlags::IN, limits)?,
            }
        }
    }

    /// Whether nothing has come since the last answer, not even the end: such a connection can be
    /// used again.
    pub(super) fn is_quiet(&mut self) -> bool {
        let Some(tls) = &mut self.tls else {
            let outcome = self.socket.peek(&mut [0]);
            return matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        };
        // Tickets for later connections may come at any time.
        loop {
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return false,
                Ok(_) => match tls.process_new_packets() {
                    Ok(state) if state.plaintext_bytes_to_read() > 0 => return false,
                    Ok(state) if state.peer_has_closed() => return false,
                    Ok(_) => {}
                    Err(_) => return false,
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Sends what TLS has to send.
    fn flush(&mut self, limits: &Limits<'_>) -> Result<(), Trouble> {
        while let Some(tls) = &mut self.tls
            && tls.wants_write()
        {
            if let Err(error) = tls.write_tls(&mut self.socket) {
                self.unless_later(error, PollFlags::OUT, limits)?;
            }
        }
        Ok(())
    }

    /// Receives something for TLS; `false` at the end.
    fn receive(&mut self, limits: &Limits<'_>) -> Result<bool, Trouble> {
        while let Some(tls) = &mut self.tls {
            match tls.read_tls(&mut self.socket) {
                Ok(count) => {
                    if let Err(error) = tls.process_new_packets() {
                        // The other side is told why, if that is possible at once.
                        let _ = tls.write_tls(&mut self.socket);
                        return Err(not_tls(error));
                    }
                    return Ok(count > 0);
                }
                Err(error) => self.unless_later(error, PollFlags::IN, limits)?,
            }
        }
        Ok(false)
    }

    /// Waits, if that is all that is wrong.
    fn unless_later(
        &self,
        error: io::Error,
        what: PollFlags,
        limits: &Limits<'_>,
    ) -> Result<(), Trouble> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => Ok(limits.wait(self.socket.as_fd(), what)?),
            _ => Err(broken(error)),
        }
    }
}

fn open(address: SocketAddr, limits: &Limits<'_>) -> Result<TcpStream, Trouble> {
    let cannot = |error: Errno| {
        Trouble::Member(Failure::Connect {
            address,
            source: error.into(),
        })
    };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(cannot)?;
    // Requests are written in one go and each is waited for.
    sockopt::set_tcp_nodelay(&socket, true).map_err(cannot)?;
    match connect(&socket, &address) {
        Err(Errno::INPROGRESS | Errno::INTR) => {
            limits.wait(socket.as_fd(), PollFlags::OUT)?;
            sockopt::socket_error(&socket)
                .and_then(|outcome| outcome)
                .map_err(cannot)?;
        }
        outcome => outcome.map_err(cannot)?,
    }
    let stream = TcpStream::from(socket);
    // A port that nobody listens at may be given to our own end, which then connects to itself
    // (RFC 9293, simultaneous open): that is no member, and must not keep its port.
    if stream.local_addr().is_ok_and(|own| own == address) {
        let _ = sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO));
        return Err(cannot(Errno::CONNREFUSED));
    }
    Ok(stream)
}
