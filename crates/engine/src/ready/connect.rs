//! Readiness by a connection that is accepted; and connections for those who want to say
//! something over one.
//!
//! A connection is made and closed, and nothing is sent. No call here blocks: a server whose
//! queue is full, or whose packets are lost, costs one bounded wait per address.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};
use ward_model::ready::HostPort;

use super::Look;
use super::exec::Probe;
use super::patience::{Patience, Stop, Waited};

/// How long one address may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(1);
/// How long getent(1) may take to find a name.
const NAME_SERVICE: Duration = Duration::from_secs(5);
/// As many addresses of one name are tried.
const MOST_ADDRESSES: usize = 8;

/// A TCP server and, once they are known, its addresses.
#[derive(Debug)]
pub(super) struct Server {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
}

impl Server {
    pub(super) fn new(server: &HostPort) -> Self {
        let addresses = if server.host == "localhost" {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        } else {
            server.host.parse().into_iter().collect()
        };
        let mut new = Self {
            host: server.host.clone(),
            port: server.port,
            addresses: Vec::new(),
        };
        new.set_addresses(addresses);
        new
    }

    fn set_addresses(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let mut seen = HashSet::new();
        self.addresses = addresses
            .into_iter()
            .filter(|address| seen.insert(*address))
            .take(MOST_ADDRESSES)
            .map(|address| SocketAddr::new(address, self.port))
            .collect();
    }

    /// Whether one of its addresses accepts a connection.
    pub(super) fn look(&mut self, patience: &Patience<'_>) -> Result<Look, Stop> {
        let addresses = match self.addresses(patience)? {
            Ok(addresses) => addresses,
            Err(why) => return Ok(Look::NotYet(why)),
        };
        let mut first = None;
        for address in addresses {
            match open(address, patience)? {
                Ok(_) => return Ok(Look::Ready),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Ok(Look::NotYet(first.unwrap_or_default()))
    }

    /// Its addresses, at least one; or why they are not known, in words for people.
    ///
    /// Names that hosts(5) does not have are asked of getent(1): the static binary cannot load
    /// name-service modules, and nobody could end a resolver of the C library that hangs.
    pub(super) fn addresses(
        &mut self,
        patience: &Patience<'_>,
    ) -> Result<Result<Vec<SocketAddr>, String>, Stop> {
        if self.addresses.is_empty() {
            let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
            self.set_addresses(in_hosts(&hosts, &self.host));
        }
        if self.addresses.is_empty() {
            let words = ["getent", "ahosts", &self.host].map(str::to_owned);
            match Probe::new(&words).output(patience, Instant::now() + NAME_SERVICE)? {
                Ok(text) => self.set_addresses(first_words(&text)),
                Err(why) => {
                    return Ok(Err(format!(
                        "no address of `{}` is known: {why}",
                        self.host
                    )));
                }
            }
        }
        Ok(if self.addresses.is_empty() {
            Err(format!("no address of `{}` is known", self.host))
        } else {
            Ok(self.addresses.clone())
        })
    }
}

/// The addresses that hosts(5) has for a name.
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    hosts
        .lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut fields = line.split_ascii_whitespace();
            let address = fields.next()?.parse().ok()?;
            fields
                .any(|known| known.eq_ignore_ascii_case(name))
                .then_some(address)
        })
        .collect()
}

fn first_words(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .collect()
}

/// Connects to `address` within [`ANSWER`]; non-blocking. Else why not, in words for people.
pub(super) fn open(
    address: SocketAddr,
    patience: &Patience<'_>,
) -> Result<Result<TcpStream, String>, Stop> {
    let cannot = |error: io::Error| format!("cannot connect to {address}: {error}");
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = match socket_with(family, SocketType::STREAM, flags, None) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(cannot(error.into()))),
    };
    let outcome = match connect(&socket, &address) {
        Err(Errno::INPROGRESS | Errno::INTR) => {
            let until = Instant::now() + ANSWER;
            match patience.wait(Some((socket.as_fd(), PollFlags::OUT)), Some(until))? {
                Waited::Elapsed => return Ok(Err(format!("{address} does not answer"))),
                Waited::Able => sockopt::socket_error(&socket).and_then(|outcome| outcome),
            }
        }
        outcome => outcome,
    };
    Ok(match outcome {
        Ok(()) => unless_ourselves(socket, address),
        Err(Errno::CONNREFUSED) => Err(format!("connection refused by {address}")),
        Err(error) => Err(cannot(error.into())),
    })
}

/// A port that nobody listens at may be given to our own end of the connection, which then
/// connects to itself (RFC 9293, simultaneous open): that is no server.
fn unless_ourselves(socket: OwnedFd, address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::from(socket);
    if stream.local_addr().is_ok_and(|own| own == address) {
        // Reset it: it must not keep the port that the daemon is about to take.
        let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
        return Err(format!("nobody listens at {address}"));
    }
    Ok(stream)
}

/// Whether a unix socket (`@name` is an abstract one) accepts a connection, of whichever type
/// it is. Such a connection is made at once or not at all (unix(7)).
pub(super) fn look_unix(path: &str) -> Look {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(path),
    };
    let why = |error: io::Error| Look::NotYet(format!("cannot connect to `{path}`: {error}"));
    let address = match address {
        Ok(address) => address,
        Err(error) => return why(error.into()),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut last = Errno::PROTOTYPE;
    for kind in [SocketType::STREAM, SocketType::SEQPACKET, SocketType::DGRAM] {
        let connected = socket_with(AddressFamily::UNIX, kind, flags, None)
            .and_then(|socket| connect(&socket, &address));
        match connected {
            Ok(()) => return Look::Ready,
            Err(Errno::PROTOTYPE) => {}
            Err(error) => {
                last = error;
                break;
            }
        }
    }
    match last {
        Errno::CONNREFUSED => Look::NotYet(format!("connection refused by `{path}`")),
        Errno::NOENT => Look::NotYet(format!("`{path}` does not exist")),
        Errno::AGAIN => Look::NotYet(format!("`{path}` has too many connections that wait")),
        error => why(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_file() {
        let hosts = "# x\n10.0.0.1 one One.example # two\n::2\ttwo\nbad two\n10.0.0.2 two";
        assert_eq!(
            in_hosts(hosts, "ONE"),
            ["10.0.0.1".parse::<IpAddr>().expect("one")]
        );
        let two: Vec<String> = in_hosts(hosts, "two")
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(two, ["::2", "10.0.0.2"]);
        assert!(in_hosts(hosts, "x").is_empty());
    }

    #[test]
    fn a_connection_with_ourselves_is_no_server() {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        rustix::net::bind(&socket, &any).expect("bound");
        let own = rustix::net::getsockname(&socket).expect("name");
        let own = SocketAddr::try_from(own).expect("an internet address");
        connect(&socket, &own).expect("connected to itself");
        let refused = unless_ourselves(socket, own).expect_err("ourselves");
        assert_eq!(refused, format!("nobody listens at {own}"));
        std::net::TcpListener::bind(own).expect("the port is free again");
    }
}
