//! Where a member of an etcd cluster is: `http://host:port` and its short forms.

use std::fmt;
use std::net::Ipv6Addr;

/// Where etcd listens for clients, unless it was told otherwise.
const USUAL_PORT: u16 = 2379;

/// A member's address, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// It speaks TLS.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// From 1 on.
    pub port: u16,
}

/// Why a text cannot be where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadEndpoint(pub &'static str);

impl Endpoint {
    /// Reads `http://HOST:PORT`, `https://HOST:PORT`, or without the scheme or the port (2379).
    /// Without a scheme it is TLS if `tls` says so.
    ///
    /// # Errors
    /// For anything else: names and addresses in paths, queries and with a user before them too.
    pub fn parse(text: &str, tls: bool) -> Result<Self, BadEndpoint> {
        let bad = BadEndpoint;
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(bad("it begins with neither http:// nor https://")),
            None => (tls, text),
        };
        if rest.contains('@') {
            return Err(bad("the user and the password do not belong into it"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(bad("something follows the port"));
        }
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (host, port) = rest
                .split_once(']')
                .ok_or_else(|| bad("the bracket is not closed"))?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(bad("what is in brackets is no IPv6 address"));
            }
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(bad("something follows the bracket")),
            };
            (host, port)
        } else if rest.parse::<Ipv6Addr>().is_ok() {
            (rest, None)
        } else {
            rest.split_once(':')
                .map_or((rest, None), |(host, port)| (host, Some(port)))
        };
        if !is_host(host) {
            return Err(bad("it has no host that could be one"));
        }
        let port = port
            .map_or(Ok(USUAL_PORT), str::parse)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| bad("its port is not a number from 1 to 65535"))?;
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }

    /// `HOST:PORT`, as the field of a request has it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// Whether it can be a host's name or address: it is put into requests, and given to programs.
fn is_host(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    !host.is_empty() && host.len() <= 253 && !host.starts_with('-') && host.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        for (text, tls, expected) in [
            ("http://a:1", true, "http://a:1"),
            ("https://a.b:2379/", false, "https://a.b:2379"),
            ("a", false, "http://a:2379"),
            ("a", true, "https://a:2379"),
            ("10.0.0.1:4001", false, "http://10.0.0.1:4001"),
            ("[::1]:4", false, "http://[::1]:4"),
            ("[::1]", false, "http://[::1]:2379"),
            ("fe80::1", false, "http://[fe80::1]:2379"),
            (
                "https://node_1.example",
                false,
                "https://node_1.example:2379",
            ),
        ] {
            let endpoint = Endpoint::parse(text, tls).expect(text);
            assert_eq!(endpoint.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_one_is_named() {
        for (text, why) in [
            ("", "no host"),
            ("http://", "no host"),
            ("unix:///run/etcd", "neither http"),
            ("http://a:0", "port"),
            ("http://a:70000", "port"),
            ("a:b:c", "port"),
            ("a b", "no host"),
            ("-x", "no host"),
            ("[::1", "not closed"),
            ("[::1]2379", "follows the bracket"),
            ("[a]:1", "no IPv6"),
            ("http://root:secret@a:1", "password"),
            ("a\r\nX", "no host"),
            ("http://a:1/v3", "follows the port"),
        ] {
            let BadEndpoint(error) = Endpoint::parse(text, false).expect_err(text);
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
