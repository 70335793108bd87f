//! Giving out what was kept: by a path from the network, without ever leaving the directory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

/// A path has at most so many parts.
const MAX_PARTS: usize = 200;
/// So many files are listed.
const MAX_LISTED: usize = 200_000;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Something in a directory of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below where one looked, parts parted by `/`.
    pub path: String,
    /// It is a directory.
    pub is_directory: bool,
    /// Bytes.
    pub size: u64,
    /// When it was last written, seconds since the epoch.
    pub modified: i64,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Served {
    /// A file, and how many bytes it has.
    File(File, u64),
    /// A directory: what is in it, in the order of names, directories first.
    Directory(Vec<Listed>),
}

/// Why there is nothing to give.
#[derive(Debug, thiserror::Error)]
pub enum NotServed {
    /// There is nothing of that name.
    #[error("there is no such artifact")]
    Nothing,
    /// That is no path of an artifact.
    #[error("that is no path of an artifact")]
    BadPath,
    /// It cannot be read.
    #[error("the artifact cannot be read")]
    Unreadable(#[source] io::Error),
}

impl From<Errno> for NotServed {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG => Self::Nothing,
            other => Self::Unreadable(other.into()),
        }
    }
}

/// What is at `path` below `directory`. The path is decoded already; an empty one is the directory itself.
///
/// # Errors
/// [`NotServed`].
pub fn open(directory: &Path, path: &str) -> Result<Served, NotServed> {
    let fd = descend(directory, path)?;
    let about = fstat(&fd)?;
    match FileType::from_raw_mode(about.st_mode) {
        FileType::RegularFile => {
            let size = u64::try_from(about.st_size).unwrap_or(0);
            Ok(Served::File(File::from(fd), size))
        }
        FileType::Directory => {
            let mut all = read(&fd, "")?;
            all.sort_by(|one, other| {
                let by_kind = other.is_directory.cmp(&one.is_directory);
                by_kind.then_with(|| one.path.cmp(&other.path))
            });
            Ok(Served::Directory(all))
        }
        _ => Err(NotServed::Nothing),
    }
}

/// All files below `below`, which is a path below `directory`, in the order of their paths; 200,000 at most.
/// A directory that is not there has none.
///
/// # Errors
/// [`NotServed`].
pub fn list(directory: &Path, below: &str) -> Result<Vec<Listed>, NotServed> {
    let top = match descend(directory, below) {
        Err(NotServed::Nothing) if below.is_empty() => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    let mut directories = vec![(top, String::new(), 0)];
    while let Some((fd, path, depth)) = directories.pop() {
        for each in read(&fd, &path)? {
            if !each.is_directory {
                all.push(each);
                if all.len() >= MAX_LISTED {
                    return Ok(sorted(all));
                }
            } else if depth < MAX_PARTS {
                let name = each.path.rsplit('/').next().unwrap_or_default();
                let inner = openat(&fd, name, DIRECTORY, Mode::empty())?;
                directories.push((inner, each.path, depth + 1));
            }
        }
    }
    Ok(sorted(all))
}

fn sorted(mut all: Vec<Listed>) -> Vec<Listed> {
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all
}

/// The file or directory at `path`; no part of it is a link.
pub(super) fn descend(directory: &Path, path: &str) -> Result<OwnedFd, NotServed> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut fd = openat(CWD, directory, flags, Mode::empty())?;
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Ok(fd);
    }
    let parts: Vec<_> = path.split('/').collect();
    let is_bad = |part: &&str| matches!(*part, "" | "." | "..") || part.contains('\0');
    if parts.len() > MAX_PARTS || parts.iter().any(is_bad) {
        return Err(NotServed::BadPath);
    }
    let last = parts.len() - 1;
    for (index, part) in parts.into_iter().enumerate() {
        let flags = if index < last {
            DIRECTORY
        } else {
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC
        };
        fd = openat(&fd, part, flags, Mode::empty())?;
    }
    Ok(fd)
}

fn read(fd: &OwnedFd, above: &str) -> Result<Vec<Listed>, NotServed> {
    let mut all = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        // What was kept has names that people read.
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if matches!(name, "." | "..") {
            continue;
        }
        let about = match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => about,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let is_directory = match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => continue,
        };
        all.push(Listed {
            path: if above.is_empty() {
                name.to_owned()
            } else {
                format!("{above}/{name}")
            },
            is_directory,
            size: u64::try_from(about.st_size).unwrap_or(0),
            modified: about.st_mtime,
        });
        if all.len() >= MAX_LISTED {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_was_kept_is_given_out_and_nothing_else() {
        let room = tempfile::tempdir().expect("a directory");
        let kept = room.path().join("artifacts");
        fs::create_dir_all(kept.join("d/e")).expect("made");
        fs::write(kept.join("d/e/file"), "12345").expect("written");
        fs::write(kept.join("a"), "1").expect("written");
        fs::write(room.path().join("secret"), "x").expect("written");
        symlink("../secret", kept.join("link")).expect("linked");
        symlink("..", kept.join("up")).expect("linked");

        let paths: Vec<_> = list(&kept, "")
            .expect("a list")
            .into_iter()
            .map(|each| each.path)
            .collect();
        assert_eq!(paths, ["a", "d/e/file"]);
        assert!(
            list(&room.path().join("nowhere"), "")
                .expect("a list")
                .is_empty()
        );
        assert!(matches!(open(&kept, "d/e/file"), Ok(Served::File(_, 5))));
        let Ok(Served::Directory(top)) = open(&kept, "/") else {
            panic!("no directory");
        };
        let names: Vec<_> = top.iter().map(|each| each.path.as_str()).collect();
        assert_eq!(names, ["d", "a"]);
        for path in ["../secret", "d/../../secret", "d//e", "a\0b", "./a"] {
            assert!(
                matches!(open(&kept, path), Err(NotServed::BadPath)),
                "{path}"
            );
        }
        for path in ["link", "up/secret", "nothing", "a/b"] {
            assert!(
                matches!(open(&kept, path), Err(NotServed::Nothing)),
                "{path}"
            );
        }
    }
}
