//! Whether two addresses mean the same repository.

/// Whether two addresses of git repositories mean the same one, loosely as Jenkins' git plugin has it: the
/// host without `ssh.` before it and the path without `.git` and slashes around it count; how one gets
/// there, as whom and at which port does not. Addresses that are no addresses are never the same.
#[must_use]
pub fn same_repository(one: &str, other: &str) -> bool {
    match (Place::of(one), Place::of(other)) {
        (Some(one), Some(other)) => one == other,
        (Some(_) | None, _) => false,
    }
}

/// No address is longer, bytes.
const MAX_BYTES: usize = 8 * 1024;

#[derive(PartialEq, Eq)]
struct Place {
    /// Empty for a path on this host.
    host: String,
    path: String,
}

impl Place {
    fn of(address: &str) -> Option<Self> {
        let address = address.trim();
        if address.is_empty() || address.len() > MAX_BYTES {
            return None;
        }
        let (host, path) = match address.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => rest
                .split_once('/')
                .map_or((rest, ""), |(host, path)| (host, path)),
            Some(_) | None => short(address).unwrap_or(("", address)),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let host = without_port(host).to_ascii_lowercase();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let path = path.trim_end_matches('/');
        (!path.is_empty()).then(|| Self {
            host: host.strip_prefix("ssh.").unwrap_or(&host).to_owned(),
            path: path.to_owned(),
        })
    }
}

fn is_scheme(text: &str) -> bool {
    let mut letters = text.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|it| it.is_ascii_alphanumeric() || "+-.".contains(it))
}

/// `user@host:path`, git's short form: a colon before any slash (git-fetch(1), "Git URLs").
fn short(address: &str) -> Option<(&str, &str)> {
    if let Some(bracketed) = address.find("]:")
        && !address.get(..bracketed)?.contains('/')
    {
        return Some((address.get(..=bracketed)?, address.get(bracketed + 2..)?));
    }
    let (host, path) = address.split_once(':')?;
    (!host.is_empty() && !host.contains('/')).then_some((host, path))
}

fn without_port(host: &str) -> &str {
    if let Some(end) = host.find(']') {
        return host.get(..=end).unwrap_or(host);
    }
    host.split_once(':').map_or(host, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::same_repository;

    #[test]
    fn one_repository_has_many_addresses() {
        let same = [
            "https://example.org/team/app.git",
            "https://example.org/team/app",
            "https://example.org/team/app/",
            "https://user:word@Example.ORG:8443//team/app.git/",
            "git@example.org:team/app.git",
            "example.org:team/app",
            "git@example.org:/team/app",
            "ssh://git@ssh.example.org:22/team/app.git",
            "git://example.org/team/app",
            " https://example.org/team/app\n",
        ];
        let others = [
            "https://example.org/team/app2",
            "https://example.org/Team/app",
            "https://example.com/team/app",
            "https://example.org/app",
            "/team/app",
            "https://example.org/",
            "",
        ];
        for one in same {
            for other in same {
                assert!(same_repository(one, other), "{one} {other}");
            }
            for other in others {
                assert!(!same_repository(one, other), "{one} {other}");
            }
        }
    }

    #[test]
    fn paths_of_this_host_and_odd_hosts() {
        assert!(same_repository("/srv/git/app.git", "file:///srv/git/app"));
        assert!(same_repository("[::1]:app", "ssh://[::1]:2222/app.git"));
        assert!(!same_repository("[::1]:app", "[::2]:app"));
        assert!(!same_repository("", ""));
        assert!(!same_repository(
            "https://example.org",
            "https://example.org"
        ));
    }

    proptest! {
        #[test]
        fn whatever_stands_there(one in ".{0,60}", other in ".{0,60}") {
            prop_assert_eq!(same_repository(&one, &other), same_repository(&other, &one));
            let address = format!("https://example.org/x{}", one.trim_end());
            let longer = format!(" {address}/ ");
            prop_assert!(same_repository(&address, &longer));
        }
    }
}
