//! What a configuration is read against: files, variables, accounts, names of the host.
//!
//! All of it is handed in. The one door to the outside is [`Files`], which the caller implements.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Reads files and expands globs for the reader of a configuration.
pub trait Files {
    /// The bytes of a file.
    ///
    /// # Errors
    /// As the system tells them.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Whether anything is there.
    fn exists(&self, path: &Path) -> bool;

    /// Whether a directory is there.
    fn is_directory(&self, path: &Path) -> bool;

    /// What a directory holds, by name and in any order; nothing if it cannot be read.
    fn list(&self, directory: &Path) -> Vec<String>;
}

/// A user, as passwd(5) has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its first group.
    pub gid: u32,
    /// Its home.
    pub home: String,
}

/// A group, as group(5) has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserGroup {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: u32,
}

/// The users and groups of the host.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<UserGroup>,
}

impl Accounts {
    /// Reads the text of passwd(5) and group(5). Lines that are none of theirs are passed over.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else {
                return None;
            };
            Some(User {
                name: name.to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: home.to_owned(),
            })
        });
        let groups = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, gid, ..] = fields[..] else {
                return None;
            };
            Some(UserGroup {
                name: name.to_owned(),
                gid: gid.parse().ok()?,
            })
        });
        Self {
            users: users.collect(),
            groups: groups.collect(),
        }
    }

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The user of this number.
    #[must_use]
    pub fn user_by_id(&self, uid: u32) -> Option<&User> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// The group of this name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&UserGroup> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The group of this number.
    #[must_use]
    pub fn group_by_id(&self, gid: u32) -> Option<&UserGroup> {
        self.groups.iter().find(|group| group.gid == gid)
    }

    /// The names of all users, for suggestions.
    pub fn user_names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(|user| user.name.as_str())
    }
}

/// Where the configuration is read, as far as its meaning depends on it.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The environment of who reads.
    pub environment: BTreeMap<String, String>,
    /// As uname(2) has it (`nodename`).
    pub node_name: String,
    /// The directory that relative paths start from. Absolute.
    pub current_directory: String,
    /// Where temporary files go.
    pub temporary_directory: String,
    /// Users and groups.
    pub accounts: Accounts,
    /// The user who reads.
    pub uid: u32,
    /// What a supervisor has told this process of the cluster that keeps locks, if one keeps it: the
    /// variables of [`ward_model::cluster::variable`]. Read here, `[cluster]` could say something else.
    pub told: Option<BTreeMap<String, String>>,
    /// The configuration is for another host: users and directories need not be here.
    pub elsewhere: bool,
}

impl Host {
    /// `~` and `~user` at the beginning of a path, as Python's `os.path.expanduser` replaces
    /// them: by HOME, else the account's home; left alone where there is none.
    #[must_use]
    pub fn expand_home(&self, path: &str) -> String {
        let Some(rest) = path.strip_prefix('~') else {
            return path.to_owned();
        };
        let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let home = if name.is_empty() {
            let account = || self.accounts.user_by_id(self.uid).map(|user| &user.home);
            self.environment.get("HOME").or_else(account)
        } else {
            self.accounts.user(name).map(|user| &user.home)
        };
        let Some(home) = home else {
            return path.to_owned();
        };
        let whole = format!("{}{rest}", home.trim_end_matches('/'));
        if whole.is_empty() { "/".into() } else { whole }
    }

    /// Absolute, without `.`, `..`, and doubled slashes, as Python's `os.path.normpath` of
    /// `os.path.abspath` has it.
    #[must_use]
    pub fn absolute(&self, path: &str) -> String {
        let joined = join(&self.current_directory, path);
        // POSIX lets exactly two slashes at the beginning mean something else.
        let lead = if joined.starts_with("//") && !joined.starts_with("///") {
            "//"
        } else {
            "/"
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("{lead}{}", parts.join("/"))
    }

    /// Both of the above: what becomes of the path of a socket or of the main log.
    #[must_use]
    pub fn normal_path(&self, path: &str) -> String {
        self.absolute(&self.expand_home(path))
    }
}

/// `path` from `directory` on, unless it is absolute.
#[must_use]
pub fn join(directory: &str, path: &str) -> String {
    if path.starts_with('/') || directory.is_empty() {
        path.to_owned()
    } else if directory.ends_with('/') {
        format!("{directory}{path}")
    } else {
        format!("{directory}/{path}")
    }
}

/// Everything before the last slash, as Python's `os.path.dirname` has it.
#[must_use]
pub fn directory_of(path: &str) -> &str {
    let Some(at) = path.rfind('/') else {
        return "";
    };
    let head = &path[..=at];
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            environment: BTreeMap::from([("HOME".into(), "/home/u/".into())]),
            current_directory: "/work".into(),
            accounts: Accounts::parse(
                "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/srv:/bin/sh\njunk\n",
                "root:x:0:\nwww:x:34:www\n:\n",
            ),
            ..Host::default()
        }
    }

    #[test]
    fn homes() {
        let host = host();
        for (path, expected) in [
            ("~/x", "/home/u/x"),
            ("~", "/home/u"),
            ("~www/y", "/srv/y"),
            ("~nobody/y", "~nobody/y"),
            ("a~", "a~"),
        ] {
            assert_eq!(host.expand_home(path), expected, "{path}");
        }
    }

    #[test]
    fn paths() {
        let host = host();
        for (path, expected) in [
            ("x", "/work/x"),
            ("../x/./y//z/", "/x/y/z"),
            ("/../..", "/"),
            ("//a", "//a"),
            ("///a", "/a"),
            ("", "/work"),
        ] {
            assert_eq!(host.absolute(path), expected, "{path}");
        }
        for (path, expected) in [
            ("a", ""),
            ("a/b", "a"),
            ("/a", "/"),
            ("/a/", "/a"),
            ("//a", "//"),
        ] {
            assert_eq!(directory_of(path), expected, "{path}");
        }
    }
}
