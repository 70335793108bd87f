//! The file of accounts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::error::AccessError;
use super::secret::Hashed;
use crate::api::Role;

/// The file is not longer, bytes.
const LONGEST: u64 = 16 << 20;

/// All accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book {
    pub(super) users: Vec<User>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) role: Role,
    /// Without one only tokens let in.
    pub(super) password: Option<Hashed>,
    pub(super) tokens: Vec<Token>,
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) label: String,
    /// Of the whole text.
    pub(super) sha256: String,
    /// Seconds since the epoch.
    pub(super) created_at: i64,
}

impl Book {
    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub(super) fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.name == name)
    }
}

/// What tells one state of the file from another: it is only ever replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edition {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Where the accounts are.
#[derive(Debug)]
pub(super) struct Shelf {
    home: PathBuf,
    path: PathBuf,
}

impl Shelf {
    pub(super) fn new(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            path: home.join("accounts.json"),
        }
    }

    /// Which state the file is in; none if there is no file.
    pub(super) fn edition(&self) -> Result<Option<Edition>, AccessError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok(Some(Edition {
                inode: found.ino(),
                size: found.size(),
                changed: (found.ctime(), found.ctime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.trouble("looking at", error)),
        }
    }

    /// What it says.
    pub(super) fn read(&self) -> Result<Book, AccessError> {
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(no_follow)
            .open(&self.path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
            Err(error) => return Err(self.trouble("opening", error)),
        };
        let found = file
            .metadata()
            .map_err(|error| self.trouble("looking at", error))?;
        if found.permissions().mode() & 0o077 != 0 {
            return Err(AccessError::Open(self.path.clone()));
        }
        let mut text = Vec::new();
        file.take(LONGEST)
            .read_to_end(&mut text)
            .map_err(|error| self.trouble("reading", error))?;
        serde_json::from_slice(&text).map_err(|source| AccessError::Damaged {
            path: self.path.clone(),
            source,
        })
    }

    /// Changes it; nobody else does at the same time, and who reads sees all of it or nothing.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let lock = self.home.join("accounts.lock");
        let held = private(&lock, false)
            .and_then(|file| {
                flock(&file, FlockOperation::LockExclusive)?;
                Ok(file)
            })
            .map_err(|source| AccessError::File {
                doing: "locking",
                path: lock.clone(),
                source,
            })?;
        let mut book = self.read()?;
        let given = change(&mut book)?;
        self.write(&book)?;
        drop(held);
        Ok(given)
    }

    fn write(&self, book: &Book) -> Result<(), AccessError> {
        let mut text = serde_json::to_vec_pretty(book).map_err(|source| AccessError::Damaged {
            path: self.path.clone(),
            source,
        })?;
        text.push(b'\n');
        let new = self.home.join("accounts.json.new");
        let write = || -> io::Result<()> {
            let mut file = private(&new, true)?;
            self.give_to_owner(&file)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(&self.home)?.sync_all()
        };
        write().map_err(|error| self.trouble("writing", error))
    }

    /// Whoever owns the directory is the server, and must be able to read what root writes there.
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        let home = fs::metadata(&self.home)?;
        let own = file.metadata()?;
        if (home.uid(), home.gid()) != (own.uid(), own.gid())
            && rustix::process::geteuid().is_root()
        {
            std::os::unix::fs::fchown(file, Some(home.uid()), Some(home.gid()))?;
        }
        Ok(())
    }

    fn trouble(&self, doing: &'static str, source: io::Error) -> AccessError {
        AccessError::File {
            doing,
            path: self.path.clone(),
            source,
        }
    }
}

fn private(path: &Path, empty: bool) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(empty)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}
