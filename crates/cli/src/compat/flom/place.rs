//! Where locks are: those of who names a socket are apart from all others.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ward_lock::Directory;
use ward_sys::account;

use super::refusal::Refusal;

/// Below the lock directory. No lock's file is called so.
const SOCKETS: &str = ".flom";

/// The bits of a directory that say who shares it.
const SHARING: u32 = 0o2770;

/// No name of a file is longer (limits(7), `NAME_MAX`).
const LONGEST_FILE: usize = 255;

/// The directory of locks: the usual one, or that of a socket.
pub(super) fn open(lock_dir: Option<&Path>, socket: Option<&str>) -> Result<Directory, Refusal> {
    let open = |path: Option<&Path>| {
        Directory::open(path).map_err(|error| Refusal::of_lock(&error, "", 0))
    };
    let usual = open(lock_dir)?;
    let Some(socket) = socket else {
        return Ok(usual);
    };
    let socket = absolute(Path::new(socket)).map_err(|error| {
        Refusal::ours(format!(
            "the directory of the socket `{}` cannot be used: {error}",
            socket.escape_debug()
        ))
    })?;
    if socket == of_user() {
        return Ok(usual);
    }
    let name = file_name(&socket);
    if name.len() > LONGEST_FILE {
        let socket = socket.display();
        return Err(Refusal::ours(format!(
            "`{socket}` is too long for a socket"
        )));
    }
    let made = make(usual.path(), &name).map_err(|error| {
        let path = usual.path().join(SOCKETS);
        Refusal::ours(format!("cannot make `{}`: {error}", path.display()))
    })?;
    open(Some(&made))
}

/// As FLoM's sockets are, one by all the names that its directory has.
fn absolute(socket: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(socket)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(fs::canonicalize(parent)?.join(name)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The socket of who names none.
fn of_user() -> PathBuf {
    let uid = account::own_uid();
    let name = account::name_of(uid).unwrap_or_else(|| uid.to_string());
    PathBuf::from(format!("/tmp/flom-{name}"))
}

/// Letters, digits and `. _ -` stand for themselves, other bytes are written `%XX`.
fn file_name(socket: &Path) -> String {
    let mut name = String::new();
    for byte in socket.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(byte) {
            name.push(char::from(*byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// Whoever shares the lock directory shares what is below it.
fn make(locks: &Path, name: &str) -> io::Result<PathBuf> {
    let mode = fs::metadata(locks)?.permissions().mode() & SHARING | 0o700;
    let mut path = locks.to_owned();
    for level in [SOCKETS, name] {
        path.push(level);
        match DirBuilder::new().mode(mode).create(&path) {
            // Less the mask, which is about what is private.
            Ok(()) => fs::set_permissions(&path, Permissions::from_mode(mode))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_one_directory() {
        let base = tempfile::tempdir().expect("a directory");
        let locks = base.path().join("locks");
        let link = base.path().join("link");
        std::os::unix::fs::symlink(base.path(), &link).expect("a link");
        let of = |socket: &str| {
            let directory = open(Some(&locks), Some(socket)).expect(socket);
            directory.path().to_owned()
        };
        let path = |directory: &Path| format!("{}/a socket", directory.display());
        let one = of(&path(base.path()));
        assert!(one.starts_with(locks.join(SOCKETS)), "{}", one.display());
        assert!(
            one.to_string_lossy().ends_with("%2Fa%20socket"),
            "{}",
            one.display()
        );
        assert_eq!(of(&path(&link)), one);
        assert_ne!(of(&format!("{}/another", base.path().display())), one);
        assert_eq!(of(&of_user().to_string_lossy()), locks);
        assert!(open(Some(&locks), Some("/no/such/directory/socket")).is_err());
        assert!(open(Some(&locks), Some("/")).is_err());
        let long = format!("{}/{}", base.path().display(), "%".repeat(90));
        assert!(open(Some(&locks), Some(&long)).is_err());
    }

    #[test]
    fn a_socket_is_shared_as_its_lock_directory_is() {
        let base = tempfile::tempdir().expect("a directory");
        for (given, made) in [(0o2770, 0o2770), (0o700, 0o700), (0o755, 0o750)] {
            let locks = base.path().join(format!("{given:o}"));
            fs::create_dir(&locks).expect("made");
            fs::set_permissions(&locks, Permissions::from_mode(given)).expect("changed");
            let directory = open(Some(&locks), Some("/tmp/some-socket")).expect("opened");
            let mode = fs::metadata(directory.path()).expect("there").permissions();
            assert_eq!(mode.mode() & 0o7777, made, "{given:o}");
        }
    }
}
