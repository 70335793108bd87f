//! The socket that the processes of a FastCGI program share: made before the first of them starts,
//! closed when the last has ended.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use rustix::fs::{Gid, Uid, chown};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen, socket_with,
    sockopt::set_socket_reuseaddr,
};
use thiserror::Error;
use ward_config::group::{FcgiAddress, FcgiSocket};

/// The longest queue that the system allows is what it makes of this one.
const SOMAXCONN: i32 = 4096;

/// Why there is no socket.
#[derive(Debug, Error)]
#[error("cannot {what} the socket {address}")]
pub(crate) struct NoSocket {
    what: &'static str,
    address: String,
    #[source]
    source: io::Error,
}

/// How log lines call it.
pub(crate) fn address_of(socket: &FcgiSocket) -> String {
    match &socket.address {
        FcgiAddress::Tcp { host, port } => format!("tcp://{host}:{port}"),
        FcgiAddress::Unix { path, .. } => format!("unix://{path}"),
    }
}

/// Makes it and listens.
pub(crate) fn open(socket: &FcgiSocket) -> Result<OwnedFd, NoSocket> {
    let failed = |what| {
        let address = address_of(socket);
        move |source: io::Error| NoSocket {
            what,
            address,
            source,
        }
    };
    let backlog = socket
        .backlog
        .and_then(|backlog| i32::try_from(backlog).ok())
        .unwrap_or(SOMAXCONN);
    match &socket.address {
        FcgiAddress::Tcp { host, port } => {
            let address = (host.as_str(), *port);
            let mut found = std::net::ToSocketAddrs::to_socket_addrs(&address)
                .map_err(failed("find the address of"))?
                .filter(std::net::SocketAddr::is_ipv4);
            let address = found
                .next()
                .ok_or_else(|| failed("find the address of")(io::ErrorKind::NotFound.into()))?;
            let fd = socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )
            .map_err(|error| failed("make")(error.into()))?;
            set_socket_reuseaddr(&fd, true).map_err(|error| failed("make")(error.into()))?;
            bind(&fd, &address).map_err(|error| failed("bind")(error.into()))?;
            listen(&fd, backlog).map_err(|error| failed("listen on")(error.into()))?;
            Ok(fd)
        }
        FcgiAddress::Unix { path, owner, mode } => {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("replace")(error));
                }
                Ok(()) | Err(_) => {}
            }
            let listener = UnixListener::bind(path).map_err(failed("bind"))?;
            let mode = u32::try_from(*mode).unwrap_or(0o700);
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
                .map_err(failed("give permissions to"))?;
            if let Some(owner) = owner {
                chown(
                    path.as_str(),
                    owner.uid.map(Uid::from_raw),
                    owner.gid.map(Gid::from_raw),
                )
                .map_err(|error| failed("give away")(error.into()))?;
            }
            listen(&listener, backlog).map_err(|error| failed("listen on")(error.into()))?;
            Ok(listener.into())
        }
    }
}

/// Takes its path away, after everybody has closed it.
pub(crate) fn remove(socket: &FcgiSocket) {
    if let FcgiAddress::Unix { path, .. } = &socket.address {
        // Somebody may have been there before us, which is as well.
        let _ = fs::remove_file(path);
    }
}
