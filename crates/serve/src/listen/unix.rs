//! Making a unix socket: under another name first, so that it is never there with other permissions, and
//! linked to its own, which nobody else can have then.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, RenameFlags, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::complaint::BindError;

/// Connections that wait to be taken.
pub(super) const BACKLOG: i32 = 1024;

/// How often somebody who is gone may be in the way.
const ATTEMPTS: usize = 10;

/// A socket as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its path; absolute, if the directory may change.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Whose it becomes.
    pub owner: Option<u32>,
    /// Of which group it becomes.
    pub group: Option<u32>,
}

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of what a path names itself.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = path.symlink_metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// Makes it and listens. `tell` hears what is worth a line on standard error.
pub(super) fn bind(
    wanted: &UnixSocket,
    tell: &mut dyn FnMut(&str),
) -> Result<(OwnedFd, Identity), BindError> {
    let path = &wanted.path;
    let named = path.display().to_string();
    let system = |source: Errno| BindError::system(named.as_str(), source);
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let address = SocketAddrUnix::new(&beside).map_err(|_| BindError::TooLong(path.clone()))?;
    let mode = Mode::from_raw_mode(wanted.mode);

    let beginning = Temporary(&beside);
    beginning.remove();
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .map_err(system)?;
    // Linux takes the permissions of the file from the socket, less the mask: it is never wider than this.
    rustix::fs::fchmod(&socket, mode).map_err(system)?;
    rustix::net::bind(&socket, &address).map_err(system)?;
    rustix::fs::chmod(&beside, mode).map_err(system)?;
    // Who finds it can connect: nobody takes it for one that is left over.
    rustix::net::listen(&socket, BACKLOG).map_err(system)?;
    let identity =
        Identity::of(&beside).map_err(|error| BindError::system(named.as_str(), error))?;

    for attempt in 1.. {
        match give_name(&beside, path) {
            Ok(()) => break,
            Err(Errno::EXIST) if attempt < ATTEMPTS => clear(path, tell)?,
            Err(Errno::EXIST) => return Err(BindError::InUse { address: named }),
            Err(source) => return Err(system(source)),
        }
    }
    if let Err(refused) = give_owner(wanted) {
        let _ = std::fs::remove_file(path);
        return Err(refused);
    }
    Ok((socket, identity))
}

/// The name the socket was made under, which it loses in any case.
struct Temporary<'a>(&'a Path);

impl Temporary<'_> {
    fn remove(&self) {
        let _ = std::fs::remove_file(self.0);
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Gives the socket its own name, unless there is something called so.
fn give_name(beside: &Path, path: &Path) -> Result<(), Errno> {
    match rustix::fs::linkat(CWD, beside, CWD, path, AtFlags::empty()) {
        // Filesystems without links.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV | Errno::MLINK) => {
            rustix::fs::renameat_with(CWD, beside, CWD, path, RenameFlags::NOREPLACE)
        }
        linked => linked,
    }
}

fn give_owner(wanted: &UnixSocket) -> Result<(), BindError> {
    if wanted.owner.is_none() && wanted.group.is_none() {
        return Ok(());
    }
    let owner = wanted.owner.map(Uid::from_raw);
    let group = wanted.group.map(Gid::from_raw);
    rustix::fs::chown(&wanted.path, owner, group).map_err(|source| match source {
        Errno::PERM => BindError::Chown {
            path: wanted.path.clone(),
            uid: wanted.owner.map_or(-1, i64::from),
            gid: wanted.group.map_or(-1, i64::from),
            user: rustix::process::geteuid().as_raw(),
        },
        source => BindError::system(wanted.path.display().to_string(), source),
    })
}

/// Takes a socket away that nobody listens on.
fn clear(path: &Path, tell: &mut dyn FnMut(&str)) -> Result<(), BindError> {
    let named = || path.display().to_string();
    let before = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::system(named(), error)),
    };
    if !before.file_type().is_socket() {
        return Err(BindError::NotSocket(path.to_owned()));
    }
    match answers(path) {
        Ok(true) => return Err(BindError::InUse { address: named() }),
        Ok(false) => {}
        Err(Errno::NOENT) => return Ok(()),
        Err(source) => return Err(BindError::system(named(), source)),
    }
    let same = path
        .symlink_metadata()
        .is_ok_and(|after| after.ino() == before.ino() && after.dev() == before.dev());
    if same {
        tell(&format!("Unlinking stale socket {}", path.display()));
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BindError::system(named(), error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether somebody listens there. One who does but is too busy to take more does, too.
pub(super) fn answers(path: &Path) -> Result<bool, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(other) => Err(other),
    }
}
