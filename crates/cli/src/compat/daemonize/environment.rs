//! The environment that the daemon gets.

use std::ffi::{OsStr, OsString};

use super::user::Who;

/// What the original gives a daemon that would be without a `PATH`.
const PATH: &str = "/usr/local/sbin:/sbin:/bin:/usr/sbin:/usr/bin";

/// What the original gives a daemon that would be without an `IFS`.
const IFS: &str = " \t\n";

/// The caller's environment with what was asked for, the user's names, and what no daemon
/// should be without.
pub(super) fn environment(
    asked: &[(OsString, OsString)],
    who: Option<&Who>,
    own: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = own.collect();
    let mut set =
        |name: &OsStr, value: &OsStr| match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => all.push((name.to_owned(), value.to_owned())),
        };
    for (name, value) in asked {
        set(name, value);
    }
    if let Some(Who { user, .. }) = who {
        for (name, value) in [
            ("USER", &user.name),
            ("LOGNAME", &user.name),
            ("HOME", &user.home),
        ] {
            set(name.as_ref(), value.as_ref());
        }
    }
    for (name, value) in [("IFS", IFS), ("PATH", PATH)] {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.into(), value.into()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use ward_sys::account::User;

    use super::*;

    #[test]
    fn what_the_environment_becomes() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(OsString, OsString)> {
            list.iter().map(|(a, b)| (a.into(), b.into())).collect()
        };
        let who = Who {
            user: User {
                name: "joe".to_owned(),
                uid: 7,
                gid: 8,
                home: "/home/joe".to_owned(),
                shell: String::new(),
            },
            groups: vec![8],
        };
        let own = pairs(&[("PATH", "/p"), ("A", "1"), ("HOME", "/root")]);
        let asked = pairs(&[("A", "2"), ("B", "3"), ("A", "4"), ("USER", "x")]);
        assert_eq!(
            environment(&asked, None, own.clone().into_iter()),
            pairs(&[
                ("PATH", "/p"),
                ("A", "4"),
                ("HOME", "/root"),
                ("B", "3"),
                ("USER", "x"),
                ("IFS", IFS),
            ])
        );
        assert_eq!(
            environment(&asked, Some(&who), own.into_iter()),
            pairs(&[
                ("PATH", "/p"),
                ("A", "4"),
                ("HOME", "/home/joe"),
                ("B", "3"),
                ("USER", "joe"),
                ("LOGNAME", "joe"),
                ("IFS", IFS),
            ])
        );
        assert_eq!(
            environment(&[], None, std::iter::empty()),
            pairs(&[("IFS", IFS), ("PATH", PATH)])
        );
    }
}
