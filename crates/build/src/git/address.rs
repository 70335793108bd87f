//! Where a repository is: what git is given, and what people may read.
//!
//! A password in an address goes no further than here: neither a command line nor the console shows it.

use super::error::GitError;

/// An address longer than this is none, bytes.
const MAX_LENGTH: usize = 4096;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Http,
    Ssh,
    /// git's own, without anybody signing in.
    Git,
    /// Files of this host.
    Local,
}

/// Where a repository is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// What git is given: no password, and for HTTP no user.
    pub(super) url: String,
    pub(super) transport: Transport,
    /// `scheme://host:port` of HTTP.
    pub(super) site: String,
    /// User and password that the address had, percent-encoded as they were.
    pub(super) login: Option<(String, String)>,
}

impl Address {
    /// Reads an address as git does (gitrepository-layout(7), git-fetch(1), "GIT URLS").
    ///
    /// # Errors
    /// [`GitError::Address`] for what git would take for an option or for the name of a helper program,
    /// and for what cannot be one.
    pub(super) fn read(text: &str) -> Result<Self, GitError> {
        let refuse = |why| GitError::Address {
            address: shown(text),
            why,
        };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(refuse("it is too long"));
        }
        if text.starts_with('-') {
            return Err(refuse("git would take it for an option"));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse("it has control characters"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Self::with_scheme(text, scheme, rest).map_err(refuse);
        }
        if let Some((helper, _)) = text.split_once("::")
            && !helper.contains('/')
        {
            return Err(refuse("it names a helper program"));
        }
        let is_local = match (text.find(':'), text.find('/')) {
            (Some(colon), Some(slash)) => slash < colon,
            (Some(_), None) => false,
            (None, _) => true,
        };
        if !is_local {
            return Ok(Self::plain(text, Transport::Ssh));
        }
        // A path without a slash in front depends on where one is.
        if !text.starts_with('/') {
            return Err(refuse("a path of this host begins with `/`"));
        }
        Ok(Self::plain(text, Transport::Local))
    }

    fn with_scheme(text: &str, scheme: &str, rest: &str) -> Result<Self, &'static str> {
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Transport::Http,
            "ssh" | "git+ssh" | "ssh+git" => Transport::Ssh,
            "git" => Transport::Git,
            "file" => Transport::Local,
            _ => return Err("git is not let fetch in this way"),
        };
        if transport == Transport::Local {
            return if rest.starts_with('/') {
                Ok(Self::plain(text, transport))
            } else {
                Err("a path of this host begins with `/`")
            };
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        if host.is_empty() || host.starts_with('-') {
            return Err("it names no host");
        }
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (user.to_owned(), password.to_owned())
        });
        let url = match (transport, &login) {
            // The user of ssh is part of where one goes; what is behind it is not.
            (Transport::Ssh, Some((user, _))) => format!("{scheme}://{user}@{host}{path}"),
            _ => format!("{scheme}://{host}{path}"),
        };
        Ok(Self {
            url,
            transport,
            site: format!("{scheme}://{host}"),
            login: login.filter(|_| transport == Transport::Http),
        })
    }

    fn plain(text: &str, transport: Transport) -> Self {
        Self {
            url: text.to_owned(),
            transport,
            site: String::new(),
            login: None,
        }
    }

    /// The directory, for a repository of this host.
    pub(super) fn path(&self) -> Option<&str> {
        match self.transport {
            Transport::Local => Some(self.url.strip_prefix("file://").unwrap_or(&self.url)),
            Transport::Http | Transport::Ssh | Transport::Git => None,
        }
    }
}

/// `text` without what signs in by it, for people.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        out.push_str(before);
        let end = behind
            .find(|byte: char| matches!(byte, '/' | '?' | '#' | '\'' | '"') || byte.is_whitespace())
            .unwrap_or(behind.len());
        let (authority, path) = behind.split_at(end);
        match authority.rsplit_once('@') {
            Some((login, host)) if before.ends_with("ssh://") => {
                // ssh's user is no secret.
                let user = login.split_once(':').map_or(login, |(user, _)| user);
                out.push_str(user);
                out.push('@');
                out.push_str(host);
            }
            Some((_, host)) => out.push_str(host),
            None => out.push_str(authority),
        }
        rest = path;
    }
    out.push_str(rest);
    out
}

/// Puts values in place of `${NAME}`; what nobody knows stays.
pub(super) fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let value = behind.find('}').and_then(|end| {
            let name = &behind[2..end];
            let found = variables.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| (value.as_str(), end + 1))
        });
        let (put, used) = value.unwrap_or(("${", 2));
        out.push_str(put);
        rest = &behind[used..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_read_as_git_reads_them() {
        let cases = [
            ("https://host/a.git", Transport::Http, "https://host/a.git"),
            (
                "https://u:p@host:81/a",
                Transport::Http,
                "https://host:81/a",
            ),
            ("https://token@host/a", Transport::Http, "https://host/a"),
            ("ssh://git@host:22/a", Transport::Ssh, "ssh://git@host:22/a"),
            (
                "ssh://git:secret@host/a",
                Transport::Ssh,
                "ssh://git@host/a",
            ),
            ("git@host:a/b.git", Transport::Ssh, "git@host:a/b.git"),
            ("git://host/a", Transport::Git, "git://host/a"),
            ("/srv/a:b", Transport::Local, "/srv/a:b"),
            ("file:///srv/a", Transport::Local, "file:///srv/a"),
        ];
        for (text, transport, url) in cases {
            let address = Address::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.transport, address.url.as_str()), (transport, url));
        }
        let address = Address::read("https://u:p%40@host/").expect("an address");
        assert_eq!(address.login, Some(("u".to_owned(), "p%40".to_owned())));
        assert_eq!(address.site, "https://host");
    }

    #[test]
    fn what_git_would_misunderstand_is_refused() {
        for text in [
            "",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c touch% /tmp/x",
            "fd::3",
            "foo://host/x",
            "relative/path",
            "file://relative",
            "https:///nohost",
            "ssh://-oProxyCommand=x/y",
            "https://host/\nx",
        ] {
            assert!(Address::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_reads_passwords() {
        assert_eq!(
            shown("fatal: unable to access 'https://u:p@h/x/': no 'http://q@h'"),
            "fatal: unable to access 'https://h/x/': no 'http://h'"
        );
        assert_eq!(
            shown("ssh://git:p@h/x and git@h:x"),
            "ssh://git@h/x and git@h:x"
        );
        let error = Address::read("foo://u:hidden@h/x").err().expect("refused");
        assert!(!error.to_string().contains("hidden"));
    }

    #[test]
    fn variables_are_put_in() {
        let variables = [("A".to_owned(), "1".to_owned())];
        assert_eq!(expand("x${A}y${B}${", &variables), "x1y${B}${");
    }

    proptest! {
        #[test]
        fn anything_can_be_read(text in ".{0,60}") {
            let _ = Address::read(&text);
            let _ = shown(&text);
            let _ = expand(&text, &[]);
        }

        #[test]
        fn a_password_never_stays(user in "[a-z]{1,5}", password in "Q[A-Z0-9]{6,12}", ssh in any::<bool>()) {
            let scheme = if ssh { "ssh" } else { "https" };
            let text = format!("{scheme}://{user}:{password}@host/path");
            prop_assert!(!shown(&text).contains(&password));
            prop_assert!(!Address::read(&text).expect("an address").url.contains(&password));
        }
    }
}
