//! Emptying a directory that others fill: everything by descriptors, and no link is ever followed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, openat, statat, unlinkat};
use rustix::io::Errno;

/// Directories deeper than this are refused.
const MAX_DEPTH: usize = 2000;

/// Removes everything in `directory`, which stays. Directories without the right to remove something from
/// them get it first, if they are ours. One that is not there is empty.
///
/// # Errors
/// What the system says of the first thing that cannot be removed; `directory` being a link.
pub fn empty(directory: &Path) -> io::Result<()> {
    match openat(rustix::fs::CWD, directory, FLAGS, Mode::empty()) {
        Ok(fd) => clear(fd),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes `path`, whatever it is. One that is not there is removed.
///
/// # Errors
/// As [`empty`].
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => {
            empty(path)?;
            std::fs::remove_dir(path)
        }
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory on the way down.
struct Level {
    fd: OwnedFd,
    /// What is in it and has not been removed yet.
    names: Vec<CString>,
    /// Its name in the one above.
    name: CString,
}

fn clear(top: OwnedFd) -> io::Result<()> {
    let mut levels = vec![level(top, CString::default())?];
    while let Some(current) = levels.last_mut() {
        let Some(name) = current.names.pop() else {
            let done = levels.pop();
            if let (Some(done), Some(above)) = (done, levels.last()) {
                gone(unlinkat(&above.fd, &done.name, AtFlags::REMOVEDIR))?;
            }
            continue;
        };
        let about = match statat(&current.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => about,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(about.st_mode) != FileType::Directory {
            gone(unlinkat(&current.fd, &name, AtFlags::empty()))?;
            continue;
        }
        if levels.len() >= MAX_DEPTH {
            return Err(io::Error::other("directories are nested too deeply"));
        }
        let fd = enter(levels.last().map(|above| above.fd.as_fd()), &name)?;
        levels.push(level(fd, name)?);
    }
    Ok(())
}

fn enter(above: Option<std::os::fd::BorrowedFd<'_>>, name: &CString) -> io::Result<OwnedFd> {
    let above = above.unwrap_or(rustix::fs::CWD);
    match openat(above, name, FLAGS, Mode::empty()) {
        // One that may not even be read; a link in its place is not followed by a later open either.
        Err(Errno::ACCESS) => {
            let fd = openat(above, name, FLAGS | OFlags::PATH, Mode::empty())?;
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
            rustix::fs::chmod(path.as_str(), Mode::RWXU)?;
            Ok(openat(above, name, FLAGS, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

fn level(fd: OwnedFd, name: CString) -> io::Result<Level> {
    let about = rustix::fs::fstat(&fd)?;
    if about.st_mode & 0o300 != 0o300 {
        // A cache of sources is often made so that nobody writes to it by mistake.
        match fchmod(&fd, Mode::RWXU) {
            Ok(()) | Err(Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut names = Vec::new();
    for entry in Dir::read_from(&fd)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(Level { fd, names, name })
}

fn gone(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn everything_goes_and_nothing_outside() {
        let room = tempfile::tempdir().expect("a directory");
        let (inside, outside) = (room.path().join("in"), room.path().join("out"));
        fs::create_dir_all(inside.join("a/b/c")).expect("made");
        fs::create_dir_all(&outside).expect("made");
        fs::write(outside.join("keep"), "x").expect("written");
        fs::write(inside.join("a/b/file"), "x").expect("written");
        symlink(&outside, inside.join("a/link")).expect("linked");
        symlink("/nowhere", inside.join("dangling")).expect("linked");
        let locked = inside.join("a/locked");
        fs::create_dir(&locked).expect("made");
        fs::write(locked.join("file"), "x").expect("written");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).expect("mode");
        empty(&inside).expect("emptied");
        assert_eq!(fs::read_dir(&inside).expect("there").count(), 0);
        assert!(outside.join("keep").exists());
        empty(&room.path().join("nowhere")).expect("nothing to do");
    }

    #[test]
    fn a_link_is_not_emptied() {
        let room = tempfile::tempdir().expect("a directory");
        let outside = room.path().join("out");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("keep"), "x").expect("written");
        let link = room.path().join("link");
        symlink(&outside, &link).expect("linked");
        empty(&link).expect_err("refused");
        remove(&link).expect("the link goes");
        assert!(outside.join("keep").exists() && !link.exists());
    }
}
