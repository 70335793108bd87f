//! Addresses: of people, and of servers.

use std::net::Ipv6Addr;

use super::error::NotifyError;

/// The address in what people write: `Name <who@where>`, or `who@where` alone. Nothing that could be more than
/// an address is one.
pub(super) fn mailbox(text: &str) -> Option<&str> {
    let text = text.trim();
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>')?,
        None => text,
    };
    let (local, domain) = address.rsplit_once('@')?;
    let is_local =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let fits = (1..=64).contains(&local.len())
        && (1..=255).contains(&domain.len())
        && local.bytes().all(is_local)
        && domain.bytes().all(is_domain)
        // `sendmail` and its like would take it for an option.
        && !local.starts_with('-');
    fits.then_some(address)
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    /// Reads `host`, `host:port`, `[::1]:port`.
    pub(super) fn read(text: &str, usual: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                match port.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if port.is_empty() => (host, None),
                    None => return None,
                }
            }
            None => text
                .split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => usual,
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        (!host.is_empty() && host.len() <= 253 && host.bytes().all(fits)).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether it is on this host, as far as the name tells.
    pub(super) fn is_local(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An address of HTTP. Its path may be a secret, and is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) tls: bool,
    pub(super) place: Place,
    /// From the slash on, without what follows `#`.
    pub(super) path: String,
}

impl Url {
    pub(super) fn read(text: &str) -> Result<Self, NotifyError> {
        let bad = |why| NotifyError::Bad {
            what: "the address of a webhook".to_owned(),
            why,
        };
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(bad("it begins with neither http:// nor https://"));
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(cut);
        if authority.contains('@') {
            return Err(bad("the user and the password do not belong into it"));
        }
        let place = Place::read(authority, if tls { 443 } else { 80 })
            .ok_or_else(|| bad("it has no host and port that could be ones"))?;
        if path.len() > 4096 || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(
                "its path is too long, or has characters that must be encoded",
            ));
        }
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Self { tls, place, path })
    }

    /// What people may see of it.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// What stands in the request's `Host`.
    pub(super) fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        let all = self.place.to_string();
        match all.strip_suffix(&format!(":{usual}")) {
            Some(host) => host.to_owned(),
            None => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Url, mailbox};
    use proptest::prelude::*;

    #[test]
    fn addresses_of_people() {
        for (text, expected) in [
            ("a@b.example", Some("a@b.example")),
            (" Jürgen X <j.x+ci@b.example> ", Some("j.x+ci@b.example")),
            ("a@b>", None),
            ("a", None),
            ("@b", None),
            ("a@", None),
            ("-oQ/tmp@b", None),
            ("a@b,c@d", None),
            ("a b@c", None),
            ("a@b\r\nBcc: c@d", None),
            ("x <a@b> <c@d", None),
        ] {
            assert_eq!(mailbox(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_of_servers() {
        let place = |text| Place::read(text, 25).map(|place| place.to_string());
        for (text, expected) in [
            ("mail", Some("mail:25")),
            ("mail:587", Some("mail:587")),
            ("[::1]:2525", Some("[::1]:2525")),
            ("[::1]", Some("[::1]:25")),
            ("mail:0", None),
            ("mail:x", None),
            ("", None),
            ("a b", None),
            ("[x]:1", None),
        ] {
            assert_eq!(place(text).as_deref(), expected, "{text}");
        }
        let url = Url::read("https://hooks.example/T0/secret?x=1#y").expect("one");
        assert_eq!((url.place.port, url.path.as_str()), (443, "/T0/secret?x=1"));
        assert_eq!(url.shown(), "https://hooks.example");
        let url = Url::read("http://h:8080?x").expect("one");
        assert_eq!(
            (url.authority().as_str(), url.path.as_str()),
            ("h:8080", "/?x")
        );
        for text in [
            "ftp://h/",
            "http://",
            "http://u:p@h/",
            "http://h/a b",
            "http://h/\r\nX: y",
            "h",
        ] {
            let error = Url::read(text).expect_err(text).to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_them_panic(text in any::<String>()) {
            if let Some(found) = mailbox(&text) {
                prop_assert!(found.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            let _ = Place::read(&text, 1);
            let _ = Url::read(&text);
        }
    }
}
