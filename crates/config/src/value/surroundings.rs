//! Values that are right on one host and wrong on another: directories, users, groups.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::{Complaint, LogFile, integer};
use crate::host::{Files, Host, directory_of};
use crate::nearest::nearest;

/// What values are checked against.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Accounts, home, directories.
    pub host: &'a Host,
    /// Whether a directory is there.
    pub files: &'a dyn Files,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

impl Surroundings<'_> {
    fn is_directory(&self, path: &str) -> bool {
        self.host.elsewhere
            || self.files.is_directory(Path::new(&crate::host::join(
                &self.host.current_directory,
                path,
            )))
    }

    /// A directory that is there; `~` is replaced.
    ///
    /// # Errors
    /// When it is not there.
    pub fn directory(&self, text: &str) -> Result<String, Complaint> {
        let path = self.host.expand_home(text);
        if self.is_directory(&path) {
            return Ok(path);
        }
        Err(Complaint {
            what: format!("there is no directory `{path}`"),
            hint: quotes_hint(text).or_else(|| Some("make it, or name another".into())),
        })
    }

    /// A file whose directory is there; `~` is replaced.
    ///
    /// # Errors
    /// When its directory is not there.
    pub fn file(&self, text: &str) -> Result<String, Complaint> {
        let path = self.host.expand_home(text);
        let directory = directory_of(&path);
        if directory.is_empty() || self.is_directory(directory) {
            return Ok(path);
        }
        Err(Complaint {
            what: format!("there is no directory `{directory}` for the file `{path}`"),
            hint: quotes_hint(text).or_else(|| Some("make it, or name another".into())),
        })
    }

    /// `AUTO`, `NONE` (or `off`), `syslog`, or a file.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn log_file(&self, text: &str) -> Result<LogFile, Complaint> {
        match text.to_lowercase().as_str() {
            "none" | "off" => Ok(LogFile::None),
            "auto" => Ok(LogFile::Auto),
            "syslog" => Ok(LogFile::Syslog),
            _ => self.file(text).map(LogFile::Path),
        }
    }

    /// A user by name or number.
    ///
    /// # Errors
    /// When there is none on this host.
    pub fn user(&self, text: &str) -> Result<Account, Complaint> {
        let accounts = &self.host.accounts;
        let known = match integer(text) {
            Ok(number) => u32::try_from(number)
                .ok()
                .and_then(|uid| accounts.user_by_id(uid)),
            Err(_) => accounts.user(text),
        };
        match known {
            Some(user) => Ok(Account {
                name: user.name.clone(),
                uid: Some(user.uid),
                gid: Some(user.gid),
            }),
            None if self.host.elsewhere => Ok(Account {
                name: text.to_owned(),
                uid: integer(text).ok().and_then(|uid| u32::try_from(uid).ok()),
                gid: None,
            }),
            None => Err(Complaint {
                what: format!("there is no user `{text}` on this host"),
                hint: nearest(text, accounts.user_names())
                    .map(|name| format!("did you mean {name}?"))
                    .or_else(|| quotes_hint(text)),
            }),
        }
    }

    /// `user` or `user:group`, each by name or number.
    ///
    /// # Errors
    /// When there is none on this host.
    pub fn owner(&self, text: &str) -> Result<Owner, Complaint> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let uid = self.user(user)?.uid;
        let accounts = &self.host.accounts;
        let gid = match group {
            None => None,
            Some(group) => {
                let known = match integer(group) {
                    Ok(number) => u32::try_from(number)
                        .ok()
                        .and_then(|gid| accounts.group_by_id(gid)),
                    Err(_) => accounts.group(group),
                };
                if known.is_none() && !self.host.elsewhere {
                    return Err(Complaint::bare(format!(
                        "there is no group `{group}` on this host"
                    )));
                }
                known.map(|group| group.gid)
            }
        };
        Ok(Owner { uid, gid })
    }
}

/// Values are not quoted: the quotes would be part of them.
fn quotes_hint(text: &str) -> Option<String> {
    is_quoted(text).then(|| "leave out the quotes: they are part of the value".into())
}

/// Whether a text is a quoted one.
#[must_use]
pub fn is_quoted(text: &str) -> bool {
    text.len() > 1
        && ['"', '\'']
            .iter()
            .any(|quote| text.starts_with(*quote) && text.ends_with(*quote))
}

/// A user that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its name; as it is written, where it was not looked up.
    pub name: String,
    /// Its number; `None` where it was not looked up.
    pub uid: Option<u32>,
    /// The number of its first group; `None` where it was not looked up.
    pub gid: Option<u32>,
}

/// To whom a socket is given; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}
