//! Walking through a directory that strangers write to, by descriptors, without leaving it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2,
    readlinkat, statat,
};
use rustix::io::Errno;

use super::glob::{Patterns, Place};

/// Directories deeper than this are not looked into.
const MAX_DEPTH: usize = 200;
/// So many names are looked at; a tree of more is not walked to its end.
const MAX_NAMES: u64 = 5_000_000;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Opening never waits for anybody at the other end, and makes nothing our terminal.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A file that is meant.
#[derive(Debug)]
pub struct Found<'a> {
    /// Below the directory that is walked, with `/`; bytes.
    pub path: &'a [u8],
    parent: BorrowedFd<'a>,
    name: &'a CStr,
    /// Where a symbolic link led.
    opened: Option<OwnedFd>,
}

impl Found<'_> {
    /// Opens it for reading.
    ///
    /// # Errors
    /// What the system says; that it is no file any more.
    pub fn open(&self) -> io::Result<File> {
        let fd = match &self.opened {
            Some(fd) => fd.try_clone()?,
            None => openat(self.parent, self.name, FILE, Mode::empty())?,
        };
        if kind(&fstat(&fd)?) != FileType::RegularFile {
            return Err(io::Error::other("it is no file any more"));
        }
        Ok(File::from(fd))
    }
}

/// Something that is meant by its name and is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// A FIFO, a socket, a device.
    NoFile,
    /// A symbolic link that leads out of the directory.
    LeadsOut,
    /// A symbolic link to nothing.
    LeadsNowhere,
    /// A symbolic link, where those are not followed.
    Link,
    /// It cannot be read.
    Unreadable(i32),
    /// Directories are nested too deeply.
    TooDeep,
}

impl std::fmt::Display for Oddity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoFile => out.write_str("it is no file"),
            Self::LeadsOut => {
                out.write_str("it is a symbolic link that leads out of the workspace")
            }
            Self::LeadsNowhere => out.write_str("it is a symbolic link to nothing"),
            Self::Link => out.write_str("it is a symbolic link"),
            Self::Unreadable(errno) => {
                write!(out, "{}", io::Error::from_raw_os_error(*errno))
            }
            Self::TooDeep => out.write_str("directories are nested too deeply"),
        }
    }
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// Everything was seen.
    All,
    /// Who was told said that it is enough.
    Enough,
    /// There are more names than anybody looks at.
    TooMany,
}

/// What is told of a walk.
pub trait Visitor {
    /// A file that is meant.
    fn found(&mut self, file: &Found<'_>) -> ControlFlow<()>;
    /// Something that is meant and not taken.
    fn odd(&mut self, path: &[u8], what: Oddity) -> ControlFlow<()>;
}

/// Walks through `directory` in the order of names, and tells of everything that `patterns` mean. With
/// `follow`, symbolic links are followed as long as they stay within.
///
/// # Errors
/// When `directory` itself cannot be opened.
pub fn walk(
    directory: &Path,
    patterns: &Patterns,
    follow: bool,
    visitor: &mut dyn Visitor,
) -> io::Result<Walked> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(CWD, directory, flags, Mode::empty())?;
    let real = std::fs::canonicalize(directory);
    let mut walker = Walker {
        top: top.as_fd(),
        names_of_top: [Some(directory.to_owned()), real.ok()],
        patterns,
        follow,
        visitor,
        names: 0,
        is_too_many: false,
    };
    let mut path = Vec::new();
    let mut above = vec![identity(&fstat(&top)?)];
    let end = walker.enter(top.as_fd(), &patterns.top(), &mut path, &mut above);
    Ok(match end {
        ControlFlow::Break(()) if walker.is_too_many => Walked::TooMany,
        ControlFlow::Break(()) => Walked::Enough,
        ControlFlow::Continue(()) => Walked::All,
    })
}

struct Walker<'a> {
    top: BorrowedFd<'a>,
    /// What absolute links may call the directory: as it was given, and without links.
    names_of_top: [Option<PathBuf>; 2],
    patterns: &'a Patterns,
    follow: bool,
    visitor: &'a mut dyn Visitor,
    names: u64,
    is_too_many: bool,
}

fn kind(about: &Stat) -> FileType {
    FileType::from_raw_mode(about.st_mode)
}

fn identity(about: &Stat) -> (u64, u64) {
    (about.st_dev, about.st_ino)
}

impl Walker<'_> {
    /// A directory; `above` are those that it is in, itself included.
    fn enter(
        &mut self,
        fd: BorrowedFd<'_>,
        place: &Place,
        path: &mut Vec<u8>,
        above: &mut Vec<(u64, u64)>,
    ) -> ControlFlow<()> {
        let names = match self.read(fd) {
            Ok(names) => names,
            Err(error) => {
                return self
                    .visitor
                    .odd(path, Oddity::Unreadable(error.raw_os_error()));
            }
        };
        if self.is_too_many {
            return ControlFlow::Break(());
        }
        let length = path.len();
        for name in names {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            let place = self.patterns.step(place, name.to_bytes());
            self.entry(fd, &name, &place, path, above)?;
        }
        path.truncate(length);
        ControlFlow::Continue(())
    }

    fn read(&mut self, fd: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(fd)? {
            let name = entry?.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            names.push(name);
            self.names += 1;
            if self.names > MAX_NAMES {
                self.is_too_many = true;
                break;
            }
        }
        names.sort();
        Ok(names)
    }

    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        place: &Place,
        path: &mut Vec<u8>,
        above: &mut Vec<(u64, u64)>,
    ) -> ControlFlow<()> {
        let is_meant = self.patterns.is_meant(place);
        let may_be_below = self.patterns.may_be_below(place);
        if !is_meant && !may_be_below {
            return ControlFlow::Continue(());
        }
        let about = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(about) => about,
            // It went while we looked.
            Err(Errno::NOENT) => return ControlFlow::Continue(()),
            Err(error) => return self.odd_if(is_meant, path, error),
        };
        match kind(&about) {
            FileType::Directory if may_be_below => {
                match openat(parent, name, DIRECTORY, Mode::empty()) {
                    Ok(fd) => self.go_down(&fd, place, path, above),
                    // Unreadable: what is below may be meant.
                    Err(error) => self.odd_if(true, path, error),
                }
            }
            FileType::RegularFile if is_meant => self.visitor.found(&Found {
                path,
                parent,
                name,
                opened: None,
            }),
            FileType::Symlink if !self.follow && is_meant => self.visitor.odd(path, Oddity::Link),
            FileType::Symlink if self.follow => {
                self.link(parent, name, (place, is_meant, may_be_below), path, above)
            }
            FileType::Directory | FileType::RegularFile | FileType::Symlink => {
                ControlFlow::Continue(())
            }
            _ if is_meant => self.visitor.odd(path, Oddity::NoFile),
            _ => ControlFlow::Continue(()),
        }
    }

    fn odd_if(&mut self, is_meant: bool, path: &[u8], error: Errno) -> ControlFlow<()> {
        if is_meant {
            self.visitor
                .odd(path, Oddity::Unreadable(error.raw_os_error()))
        } else {
            ControlFlow::Continue(())
        }
    }

    fn go_down(
        &mut self,
        fd: &OwnedFd,
        place: &Place,
        path: &mut Vec<u8>,
        above: &mut Vec<(u64, u64)>,
    ) -> ControlFlow<()> {
        let Ok(about) = fstat(fd) else {
            return ControlFlow::Continue(());
        };
        let identity = identity(&about);
        // Reached by a link from within itself.
        if above.contains(&identity) {
            return ControlFlow::Continue(());
        }
        if above.len() >= MAX_DEPTH {
            return self.visitor.odd(path, Oddity::TooDeep);
        }
        above.push(identity);
        let end = self.enter(fd.as_fd(), place, path, above);
        above.pop();
        end
    }

    fn link(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        (place, is_meant, may_be_below): (&Place, bool, bool),
        path: &mut Vec<u8>,
        above: &mut Vec<(u64, u64)>,
    ) -> ControlFlow<()> {
        // `openat2` would not say what a FIFO at the end is before it has opened it; it does not wait.
        let opened = self.resolve(path, parent, name);
        let fd = match opened {
            Ok(fd) => fd,
            // A directory's worth of links that lead out is no news unless a file was meant.
            Err(error) if is_meant => {
                let what = match error {
                    Errno::XDEV => Oddity::LeadsOut,
                    Errno::NOENT | Errno::LOOP | Errno::NOTDIR => Oddity::LeadsNowhere,
                    Errno::NXIO | Errno::NODEV => Oddity::NoFile,
                    other => Oddity::Unreadable(other.raw_os_error()),
                };
                return self.visitor.odd(path, what);
            }
            Err(_) => return ControlFlow::Continue(()),
        };
        let Ok(about) = fstat(&fd) else {
            return ControlFlow::Continue(());
        };
        match kind(&about) {
            FileType::Directory if may_be_below => self.go_down(&fd, place, path, above),
            FileType::RegularFile if is_meant => self.visitor.found(&Found {
                path,
                parent,
                name,
                opened: Some(fd),
            }),
            FileType::Directory | FileType::RegularFile => ControlFlow::Continue(()),
            _ if is_meant => self.visitor.odd(path, Oddity::NoFile),
            _ => ControlFlow::Continue(()),
        }
    }

    /// What a link leads to, by the kernel's own rule of staying below the top; an absolute link into the
    /// directory counts as one within.
    fn resolve(&self, path: &[u8], parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        let flags = FILE.difference(OFlags::NOFOLLOW);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let open = |path: &[u8]| openat2(self.top, path, flags, Mode::empty(), resolve);
        match open(path) {
            Err(Errno::XDEV) => {
                let target = readlinkat(parent, name, Vec::new())?;
                let strip = |top: &PathBuf| {
                    let below = target.as_bytes().strip_prefix(top.as_os_str().as_bytes())?;
                    below.strip_prefix(b"/")
                };
                let below = self.names_of_top.iter().flatten().find_map(strip);
                open(below.ok_or(Errno::XDEV)?)
            }
            other => other,
        }
    }
}
