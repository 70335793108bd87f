//! Why nobody can listen somewhere.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

/// Why a socket was not made. Texts are Supervisor's where it has one (without `Error: ` before).
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody listens there.
    #[error(
        "Another program is already listening on a port that one of our HTTP servers is configured to use.  Shut this program down first before starting supervisord."
    )]
    InUse {
        /// Where.
        address: String,
    },
    /// The system refused.
    #[error("Cannot open an HTTP server: socket.error reported {}", spelled(.source))]
    System {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is something at the path that nobody listens on, and it is no socket: it is left alone.
    #[error("Cannot open an HTTP server: {} exists and is not a socket", .0.display())]
    NotSocket(PathBuf),
    /// The longest path of a socket has 107 bytes, and one is made beside it first.
    #[error("Cannot open an HTTP server: the path {} is too long for a socket", .0.display())]
    TooLong(PathBuf),
    /// It may not be given to whom the configuration says.
    #[error(
        "Not permitted to chown {} to uid/gid ({uid}, {gid}); adjust \"sockchown\" value in config file or on command line to values that the current user ({user}) can successfully chown",
        .path.display()
    )]
    Chown {
        /// The socket.
        path: PathBuf,
        /// User; -1 for the same as before.
        uid: i64,
        /// Group; likewise.
        gid: i64,
        /// Number of the user who tried.
        user: u32,
    },
}

impl BindError {
    pub(super) fn system(address: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let address = address.into();
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::InUse { address }
        } else {
            Self::System { address, source }
        }
    }

    /// Where it was tried.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::InUse { address } | Self::System { address, .. } => address.clone(),
            Self::NotSocket(path) | Self::TooLong(path) | Self::Chown { path, .. } => {
                path.display().to_string()
            }
        }
    }
}

/// An error as Python names it: `errno.EACCES (13)`, or its number.
fn spelled(error: &io::Error) -> String {
    let Some(errno) = Errno::from_io_error(error) else {
        return error.to_string();
    };
    let number = errno.raw_os_error();
    NAMES.iter().find(|(known, _)| *known == errno).map_or_else(
        || number.to_string(),
        |(_, name)| format!("errno.{name} ({number})"),
    )
}

/// Those that socket(2), bind(2), listen(2), unlink(2) and link(2) may give.
const NAMES: &[(Errno, &str)] = &[
    (Errno::ACCESS, "EACCES"),
    (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
    (Errno::DQUOT, "EDQUOT"),
    (Errno::INVAL, "EINVAL"),
    (Errno::IO, "EIO"),
    (Errno::ISDIR, "EISDIR"),
    (Errno::LOOP, "ELOOP"),
    (Errno::MFILE, "EMFILE"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG"),
    (Errno::NFILE, "ENFILE"),
    (Errno::NOBUFS, "ENOBUFS"),
    (Errno::NOENT, "ENOENT"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::NOSPC, "ENOSPC"),
    (Errno::NOTDIR, "ENOTDIR"),
    (Errno::PERM, "EPERM"),
    (Errno::ROFS, "EROFS"),
];
