//! Users and groups by name (passwd(5), group(5)).
//!
//! The static binary cannot load name-service modules, so names that are not in the files
//! (LDAP, SSSD, systemd-homed) are asked of getent(1), which can.

use std::fs;
use std::process::{Command, Stdio};

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// The user of this name or number.
#[must_use]
pub fn user(name_or_uid: &str) -> Option<User> {
    look_up("passwd", name_or_uid, 2, parse_user)
}

/// The login name of this user, if it has one.
#[must_use]
pub fn name_of(uid: u32) -> Option<String> {
    user(&uid.to_string()).map(|user| user.name)
}

/// The group id of this name or number.
#[must_use]
pub fn group(name_or_gid: &str) -> Option<u32> {
    look_up("group", name_or_gid, 2, |line| {
        line.split(':').nth(2)?.parse().ok()
    })
}

/// The supplementary groups of a user, its primary one included, as initgroups(3) has them.
#[must_use]
pub fn groups_of(user: &User) -> Vec<u32> {
    let mut all = vec![user.gid];
    if let Some(line) = getent("initgroups", &user.name) {
        all.extend(
            line.split_ascii_whitespace()
                .skip(1)
                .filter_map(|gid| gid.parse::<u32>().ok()),
        );
    } else if let Ok(text) = fs::read_to_string("/etc/group") {
        all.extend(text.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let gid = fields.nth(2)?.parse::<u32>().ok()?;
            let is_member = fields.next()?.split(',').any(|member| member == user.name);
            is_member.then_some(gid)
        }));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Our own effective user.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else {
        return None;
    };
    Some(User {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.to_owned(),
        shell: shell.trim_end().to_owned(),
    })
}

/// Finds the line whose name, or else whose field `number_field`, is `key`.
fn look_up<T>(
    database: &str,
    key: &str,
    number_field: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let text = fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    let named = |line: &&str| line.split(':').next() == Some(key);
    let numbered =
        |line: &&str| key.parse::<u32>().is_ok() && line.split(':').nth(number_field) == Some(key);
    if let Some(line) = text
        .lines()
        .find(named)
        .or_else(|| text.lines().find(numbered))
    {
        return parse(line);
    }
    parse(&getent(database, key)?)
}

fn getent(database: &str, key: &str) -> Option<String> {
    if key.is_empty() || key.starts_with('-') {
        return None;
    }
    let output = Command::new("getent")
        .args([database, key])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_number() {
        let root = user("root").expect("root exists");
        assert_eq!(Some(&root), user("0").as_ref());
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(groups_of(&root).contains(&0));
        assert_eq!(group("root"), Some(0));
    }

    #[test]
    fn nobody_of_that_name() {
        for name in ["", "no-such-user-here", "-x", "4294967295"] {
            assert_eq!(user(name), None, "{name}");
        }
    }
}
