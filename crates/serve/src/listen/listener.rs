//! A socket that listens, and the file it can be found at.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::complaint::BindError;
use super::unix::{BACKLOG, Identity, UnixSocket, answers, bind};

/// Listens on a unix or a TCP socket.
///
/// Dropping it closes the socket and leaves its file: it may be somebody else's by then, or be wanted by
/// who takes over. [`Listener::remove`] takes it away.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    home: Option<Home>,
}

/// What listens.
#[derive(Debug)]
pub(crate) enum Socket {
    /// On a path.
    Unix(UnixListener),
    /// On a port.
    Tcp(TcpListener),
}

/// Where a unix socket can be found.
#[derive(Debug)]
struct Home {
    wanted: UnixSocket,
    /// Which file is ours; nothing while there is none.
    identity: Option<Identity>,
}

impl Listener {
    /// Listens on a path, as Supervisor does: a socket that nobody listens on any more is taken away
    /// (`tell` hears of it), one that lives is an error. The file is never there with wider permissions.
    ///
    /// # Errors
    /// Somebody listens there, something else is there, or the system refuses.
    pub fn unix(wanted: UnixSocket, tell: &mut dyn FnMut(&str)) -> Result<Self, BindError> {
        let (socket, identity) = bind(&wanted, tell)?;
        Ok(Self {
            socket: Socket::Unix(UnixListener::from(socket)),
            home: Some(Home {
                wanted,
                identity: Some(identity),
            }),
        })
    }

    /// Listens on a port. An empty host means every IPv4 address; names are looked up, and the first of
    /// their addresses that can be had is taken; IPv6 addresses may stand in brackets.
    ///
    /// # Errors
    /// The name is unknown, somebody listens there, or the system refuses.
    pub fn tcp(host: &str, port: u16) -> Result<Self, BindError> {
        let named = format!("{host}:{port}");
        let host = match host {
            "" | "*" => "0.0.0.0",
            other => other
                .strip_prefix('[')
                .and_then(|inner| inner.strip_suffix(']'))
                .unwrap_or(other),
        };
        let system = |error: io::Error| BindError::system(named.as_str(), error);
        let mut refused = None;
        for address in (host, port).to_socket_addrs().map_err(system)? {
            match tcp_socket(address) {
                Ok(socket) => {
                    return Ok(Self {
                        socket: Socket::Tcp(TcpListener::from(socket)),
                        home: None,
                    });
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(system(refused.unwrap_or_else(|| {
            io::Error::from(io::ErrorKind::AddrNotAvailable)
        })))
    }

    /// One that listens already. With `home` the file there is looked after; if nobody answers there it is not
    /// this socket's, and [`Listener::renew`] makes another.
    ///
    /// # Errors
    /// It is not a listening unix or TCP socket.
    pub fn inherited(socket: OwnedFd, home: Option<UnixSocket>) -> io::Result<Self> {
        let family = sockopt::socket_domain(&socket)?;
        let stream = sockopt::socket_type(&socket)? == SocketType::STREAM;
        if !stream || !sockopt::socket_acceptconn(&socket)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        rustix::io::ioctl_fionbio(&socket, true)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        match family {
            AddressFamily::UNIX => Ok(Self {
                socket: Socket::Unix(UnixListener::from(socket)),
                home: home.map(|wanted| Home {
                    identity: match answers(&wanted.path) {
                        Ok(true) => Identity::of(&wanted.path).ok(),
                        Ok(false) | Err(_) => None,
                    },
                    wanted,
                }),
            }),
            AddressFamily::INET | AddressFamily::INET6 => Ok(Self {
                socket: Socket::Tcp(TcpListener::from(socket)),
                home: None,
            }),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The socket, to be handed over.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Tcp(socket) => socket.as_fd(),
        }
    }

    /// The file of a unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.home.as_ref().map(|home| home.wanted.path.as_path())
    }

    /// The port of a TCP socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.socket {
            Socket::Unix(_) => None,
            Socket::Tcp(socket) => socket.local_addr().ok().map(|address| address.port()),
        }
    }

    /// Whether the file of a unix socket is still there and this one's; of others always.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.home.as_ref().is_none_or(|home| {
            home.identity.is_some() && Identity::of(&home.wanted.path).ok() == home.identity
        })
    }

    /// If the file of a unix socket is gone, listens on a new one; who waited at the old one is turned away.
    /// A [`Server`](crate::http::Server) does this by itself and turns nobody away.
    ///
    /// Returns whether it did.
    ///
    /// # Errors
    /// As [`Listener::unix`]: somebody else may listen there now.
    pub fn renew(&mut self, tell: &mut dyn FnMut(&str)) -> Result<bool, BindError> {
        if self.is_found() {
            return Ok(false);
        }
        let Some(home) = &mut self.home else {
            return Ok(false);
        };
        let (socket, identity) = bind(&home.wanted, tell)?;
        home.identity = Some(identity);
        self.socket = Socket::Unix(UnixListener::from(socket));
        Ok(true)
    }

    /// Closes the socket and takes its file away, if it is still this one's.
    pub fn remove(self) {
        if self.is_found()
            && let Some(home) = &self.home
        {
            // What cannot be taken away is found to be dead by the next one.
            let _ = std::fs::remove_file(&home.wanted.path);
        }
    }
}

fn tcp_socket(address: std::net::SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
