//! What a lock may be called, and which file is its own.
//!
//! A lock may have levels, separated by `/`: `db/main/users` is a part of `db/main`, which is a
//! part of `db`. One file decides for all that is below its first level.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::LockError;

/// No first level that people type is longer, bytes.
const LONGEST_PLAIN: usize = 80;
/// No path below it, bytes.
const LONGEST_PATH: usize = 1024;
/// No file's name (limits(7), `NAME_MAX`), with room for what is put behind it.
const LONGEST_FILE: usize = 240;

/// A lock's name: its first level, and what is below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    text: String,
    /// Of the file.
    file: String,
    /// Where the levels below the first begin in the text.
    below: usize,
}

impl Name {
    /// Takes what [`check_name`] lets pass.
    pub(crate) fn parse(text: &str) -> Result<Self, LockError> {
        let refused = || LockError::Name(text.to_owned());
        let (first, path) = text.split_once('/').unwrap_or((text, ""));
        if !ward_model::names::is_plain(first, LONGEST_PLAIN)
            || (text.contains('/') && !is_path(path))
        {
            return Err(refused());
        }
        Ok(Self {
            file: first.to_owned(),
            below: text.len() - path.len(),
            text: text.to_owned(),
        })
    }

    /// Takes whatever `root` is, for programs that have rules of their own for names: it is as good
    /// as a plain one. `path` is what is below it.
    pub(crate) fn exact(root: &str, path: &str) -> Result<Self, LockError> {
        let text = if path.is_empty() {
            root.to_owned()
        } else {
            format!("{root}/{path}")
        };
        let file = encode(root);
        if file.is_empty() || file.len() > LONGEST_FILE || path.len() > LONGEST_PATH {
            return Err(LockError::Name(text));
        }
        Ok(Self {
            below: text.len() - path.len(),
            file,
            text,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn path(&self) -> &str {
        &self.text[self.below..]
    }

    /// Whether what has this path below the first level is this, or a part of it.
    pub(crate) fn contains(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.path());
        self.path().is_empty() || below.is_some_and(|it| it.is_empty() || it.starts_with('/'))
    }
}

/// That a lock is held: its file, and the ticket that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Badge {
    /// The lock's first level, as the name of its file: plain, or with bytes written `%XX`.
    pub lock: String,
    /// The number in its queue.
    pub ticket: u64,
}

impl Badge {
    pub(crate) fn new(name: &Name, ticket: u64) -> Self {
        Self {
            lock: name.file().to_owned(),
            ticket,
        }
    }

    pub(crate) fn is_of(&self, name: &Name) -> bool {
        self.lock == name.file()
    }
}

impl fmt::Display for Badge {
    /// As `LOCK:TICKET`, without commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lock, self.ticket)
    }
}

impl FromStr for Badge {
    type Err = LockError;

    fn from_str(text: &str) -> Result<Self, LockError> {
        let refused = || LockError::Name(text.to_owned());
        let (lock, ticket) = text.rsplit_once(':').ok_or_else(refused)?;
        Ok(Self {
            lock: lock.to_owned(),
            ticket: ticket.parse().map_err(|_| refused())?,
        })
    }
}

fn is_path(path: &str) -> bool {
    path.len() <= LONGEST_PATH
        && !path.chars().any(char::is_control)
        && path.split('/').all(|level| !level.is_empty())
}

/// Refuses what cannot be a lock's name: a first level of up to 80 letters, digits and
/// `. _ - + @ :` that begins with a letter or a digit, and levels below it, separated by `/`,
/// without control characters.
///
/// # Errors
/// [`LockError::Name`].
pub fn check_name(name: &str) -> Result<(), LockError> {
    Name::parse(name).map(drop)
}

/// As the name of a file: plain names are their own, other bytes are written `%XX`.
fn encode(root: &str) -> String {
    let mut file = String::with_capacity(root.len());
    for (at, byte) in root.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || (at > 0 && b"._-+@:".contains(&byte));
        if plain {
            file.push(char::from(byte));
        } else {
            file.push_str(&format!("%{byte:02X}"));
        }
    }
    file
}

/// The first level whose file is called so; `None` for what is no lock's file.
pub(crate) fn decode(file: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (code, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    let root = String::from_utf8(bytes).ok()?;
    (!root.is_empty() && encode(&root) == file).then_some(root)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels() {
        let name = Name::parse("db/main/all users").expect("a name");
        assert_eq!((name.file(), name.path()), ("db", "main/all users"));
        let name = Name::parse("db").expect("a name");
        assert_eq!((name.file(), name.path()), ("db", ""));
        for bad in [
            "", "/", "db/", "/db", "a//b", "a/b\n", "-a", "a b", ".", "..",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name(&"x".repeat(81)).is_err());
        assert_eq!(decode("db"), Some("db".into()));
        for odd in ["", "%", "%4", "%zz", "a b", ".x", "%61"] {
            assert_eq!(decode(odd), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_root_has_a_file_of_its_own(one in ".{1,20}", other in ".{1,20}") {
            let name = |root: &str| Name::exact(root, "").expect("short");
            let file = name(&one).file().to_owned();
            prop_assert_eq!(decode(&file), Some(one.clone()));
            prop_assert!(!file.contains('/') && !file.starts_with('.'));
            prop_assert_eq!(one == other, file == name(&other).file());
        }
    }
}
