//! By what a daemon shows that it is ready to serve: what may be asked for, and how it is written.
//!
//! Words only: nothing here looks up a host, opens a file or knows whether a regular
//! expression is one. What is read here can be written again, and means the same.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The descriptor that `fd` means without a number.
pub const DEFAULT_FD: i32 = 3;

/// The descriptors that may be asked for: past the standard streams, and below the usual limit
/// of open files (getrlimit(2), `RLIMIT_NOFILE` of 1024).
pub const FDS: std::ops::RangeInclusive<i32> = 3..=1023;

/// The longest path or name of a unix socket, bytes (unix(7): `sun_path` has 108, of which one
/// ends a path or begins an abstract name).
pub const LONGEST_UNIX: usize = 107;

/// The longest host name, bytes (RFC 1035, section 2.3.4, as text).
const LONGEST_HOST: usize = 253;

/// A way to learn that a daemon is ready: `notify`, `fd[=N]`, `tcp:[HOST:]PORT`, `unix:PATH`,
/// `http:URL`, `log:REGEX` or `exec:COMMAND`. Kept as that text by serde.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ready {
    /// It sends `READY=1` to the socket that `NOTIFY_SOCKET` names (sd_notify(3)).
    Notify,
    /// It writes a newline to this descriptor (s6, "notification of readiness"), one of [`FDS`].
    Fd(i32),
    /// It accepts connections at a TCP port.
    Tcp(HostPort),
    /// It accepts connections at this unix socket: an absolute path, or `@` and an abstract
    /// name; at most [`LONGEST_UNIX`] bytes of either.
    Unix(String),
    /// It answers a GET with a status from 200 to 399.
    Http(HttpUrl),
    /// It writes a line to its log that this regular expression matches somewhere. Not empty;
    /// whether it is a regular expression, the engine knows.
    Log(String),
    /// This command, a program and its arguments, exits with status 0. Never empty.
    Exec(Vec<String>),
}

/// Where a TCP server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// From 1 to 65535.
    pub port: u16,
}

/// What is asked of an HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Where it is.
    pub server: HostPort,
    /// The path and the query as they are sent: begins with `/`, and has neither blanks nor
    /// control characters nor a fragment.
    pub target: String,
}

/// Why a way to get ready cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReady {
    /// None of the ways.
    #[error(
        "`{0}` is not a way to get ready (write notify, fd, fd=N, tcp:[HOST:]PORT, unix:PATH, http:URL, log:REGEX or exec:COMMAND)"
    )]
    Way(String),
    /// Not a descriptor, or one that cannot be asked for.
    #[error(
        "`{0}` is not a descriptor to get ready by (write fd for 3, or fd=N with N from 3 to 1023)"
    )]
    Fd(String),
    /// Not a TCP port.
    #[error(
        "`{0}` is not a TCP port (write tcp:PORT, tcp:HOST:PORT or tcp:[IPV6]:PORT, with a port from 1 to 65535)"
    )]
    Tcp(String),
    /// Not a unix socket.
    #[error(
        "`{0}` is not a unix socket (write unix:/an/absolute/path or unix:@abstract-name, of 107 bytes at most)"
    )]
    Unix(String),
    /// Not a URL.
    #[error(
        "`{0}` is not an HTTP URL (write http://HOST[:PORT]/PATH, http:HOST:PORT/PATH or http:PORT/PATH, without user, blanks or letters beyond ASCII)"
    )]
    Http(String),
    /// TLS.
    #[error("`{0}` needs TLS, which ward does not speak (write exec:'curl -fsS -o /dev/null {0}')")]
    Https(String),
    /// No regular expression.
    #[error(
        "there is no regular expression after `log:` (write log:REGEX, as in `log:listening on .*`)"
    )]
    Log,
    /// No command.
    #[error("there is no command after `exec:` (write exec:COMMAND, as in `exec:pg_isready -q`)")]
    Exec,
    /// A quotation without its end, or a backslash with nothing after it.
    #[error(
        "`{text}` ends within {what} (it is split into words at blanks; ' and \" and \\ keep them together; no shell reads it)"
    )]
    Unbalanced {
        /// The command.
        text: String,
        /// Within what it ends.
        what: &'static str,
    },
    /// No string of the kernel can hold it.
    #[error("`{0:?}` contains a NUL byte")]
    Nul(String),
}

impl FromStr for Ready {
    type Err = BadReady;

    /// Reads what `--ready` takes.
    ///
    /// # Errors
    /// [`BadReady`], which says what is accepted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('\0') {
            return Err(BadReady::Nul(text.to_owned()));
        }
        if let Some(number) = text.strip_prefix("fd=") {
            let bad = || BadReady::Fd(text.to_owned());
            let number = number_of(number).ok_or_else(bad)?;
            return if FDS.contains(&number) {
                Ok(Self::Fd(number))
            } else {
                Err(bad())
            };
        }
        let (way, rest) = text
            .split_once(':')
            .map_or((text, None), |(way, rest)| (way, Some(rest)));
        let given = rest.unwrap_or_default();
        match (way, rest) {
            ("notify", None) => Ok(Self::Notify),
            ("fd", None) => Ok(Self::Fd(DEFAULT_FD)),
            ("fd", Some(_)) => Err(BadReady::Fd(text.to_owned())),
            ("tcp", _) => host_and_port(given, None)
                .map(Self::Tcp)
                .ok_or_else(|| BadReady::Tcp(given.to_owned())),
            ("unix", _) => unix(given).map(Self::Unix),
            ("http", _) => http(given).map(Self::Http),
            ("https", _) => Err(BadReady::Https(text.to_owned())),
            ("log", _) if given.is_empty() => Err(BadReady::Log),
            ("log", _) => Ok(Self::Log(given.to_owned())),
            ("exec", _) => exec(given).map(Self::Exec),
            _ => Err(BadReady::Way(text.to_owned())),
        }
    }
}

impl fmt::Display for Ready {
    /// As [`Ready::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notify => f.write_str("notify"),
            Self::Fd(DEFAULT_FD) => f.write_str("fd"),
            Self::Fd(number) => write!(f, "fd={number}"),
            Self::Tcp(server) => write!(f, "tcp:{server}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Http(url) => write!(f, "http:{url}"),
            Self::Log(regex) => write!(f, "log:{regex}"),
            Self::Exec(words) => {
                f.write_str("exec:")?;
                for (at, word) in words.iter().enumerate() {
                    if at > 0 {
                        f.write_str(" ")?;
                    }
                    f.write_str(&quoted(word))?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for HostPort {
    /// `HOST:PORT`, with an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for HttpUrl {
    /// `http://HOST:PORT/PATH`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.server, self.target)
    }
}

impl From<Ready> for String {
    fn from(ready: Ready) -> Self {
        ready.to_string()
    }
}

impl TryFrom<String> for Ready {
    type Error = BadReady;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A number written in digits only: `+3` and ` 3` are none.
fn number_of<N: FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn port(text: &str) -> Option<u16> {
    number_of(text).filter(|port| *port != 0)
}

/// `[HOST:]PORT`, or with a `default_port` also `HOST`.
fn host_and_port(text: &str, default_port: Option<u16>) -> Option<HostPort> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let host = address.parse::<Ipv6Addr>().ok()?.to_string();
        let port = match after.strip_prefix(':') {
            Some(after) => port(after),
            None if after.is_empty() => default_port,
            None => None,
        }?;
        return Some(HostPort { host, port });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some(("", after)) => ("localhost", port(after)?),
        Some((host, after)) => (host, port(after)?),
        None => match port(text) {
            Some(port) => ("localhost", port),
            None => (text, default_port?),
        },
    };
    is_host(host).then(|| HostPort {
        host: host.to_owned(),
        port,
    })
}

/// Whether this may be a host's name, or is an IPv4 address. A name of digits and dots alone
/// is an address with a mistake in it.
fn is_host(text: &str) -> bool {
    let has_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.parse::<Ipv4Addr>().is_ok()
        || text.len() <= LONGEST_HOST
            && !text.starts_with('-')
            && text
                .strip_suffix('.')
                .unwrap_or(text)
                .split('.')
                .all(|label| !label.is_empty() && label.bytes().all(has_name))
            && text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'.'))
}

fn unix(text: &str) -> Result<String, BadReady> {
    let name = text.strip_prefix('@').unwrap_or(text);
    let fits = (1..=LONGEST_UNIX).contains(&name.len());
    if fits && (text.starts_with('/') || text.starts_with('@')) {
        Ok(text.to_owned())
    } else {
        Err(BadReady::Unix(text.to_owned()))
    }
}

/// What follows `http:`, be it of a whole URL or of a short form.
fn http(text: &str) -> Result<HttpUrl, BadReady> {
    let bad = || BadReady::Http(text.to_owned());
    if text.starts_with("https://") {
        return Err(BadReady::Https(text.to_owned()));
    }
    let rest = text.strip_prefix("http:").unwrap_or(text);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if rest.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(bad());
    }
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (server, target) = rest.split_at(end);
    let server = host_and_port(server, Some(80)).ok_or_else(bad)?;
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("/{target}")
    };
    Ok(HttpUrl { server, target })
}

fn exec(text: &str) -> Result<Vec<String>, BadReady> {
    let words = split(text).map_err(|what| BadReady::Unbalanced {
        text: text.to_owned(),
        what,
    })?;
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        Some(_) | None => Err(BadReady::Exec),
    }
}

/// Splits a command into words by the quoting of a shell (POSIX, Shell Command Language,
/// section 2.2), and does nothing else that a shell would do.
///
/// # Errors
/// Within what the text ends, if it does.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    // `None` between words; a word may be empty, if it is quoted.
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or("single quotes")? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next().ok_or("double quotes")? {
                        '"' => break,
                        '\\' => match rest.next().ok_or("double quotes")? {
                            special @ ('$' | '`' | '"' | '\\') => word.push(special),
                            '\n' => {}
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => match rest.next().ok_or("a backslash")? {
                '\n' => {}
                other => word.get_or_insert_default().push(other),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// A word as [`split`] reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> Ready {
        Ready::Tcp(HostPort {
            host: host.into(),
            port,
        })
    }

    fn http(host: &str, port: u16, target: &str) -> Ready {
        Ready::Http(HttpUrl {
            server: HostPort {
                host: host.into(),
                port,
            },
            target: target.into(),
        })
    }

    fn exec(words: &[&str]) -> Ready {
        Ready::Exec(words.iter().map(|word| (*word).into()).collect())
    }

    #[test]
    fn what_is_accepted() {
        for (text, expected) in [
            ("notify", Ready::Notify),
            ("fd", Ready::Fd(3)),
            ("fd=3", Ready::Fd(3)),
            ("fd=1023", Ready::Fd(1023)),
            ("tcp:8080", tcp("localhost", 8080)),
            ("tcp::8080", tcp("localhost", 8080)),
            ("tcp:127.0.0.1:1", tcp("127.0.0.1", 1)),
            (
                "tcp:db-1.example.org:65535",
                tcp("db-1.example.org", 65_535),
            ),
            ("tcp:my_host.:80", tcp("my_host.", 80)),
            ("tcp:[::1]:80", tcp("::1", 80)),
            ("tcp:[0:0::1]:80", tcp("::1", 80)),
            ("unix:/run/x y.sock", Ready::Unix("/run/x y.sock".into())),
            ("unix:@x", Ready::Unix("@x".into())),
            ("http:8080", http("localhost", 8080, "/")),
            ("http:8080/health", http("localhost", 8080, "/health")),
            (
                "http::8080/health?x=1",
                http("localhost", 8080, "/health?x=1"),
            ),
            ("http:a.b:81/c:9/d", http("a.b", 81, "/c:9/d")),
            ("http:a/b", http("a", 80, "/b")),
            ("http:[::1]:81", http("::1", 81, "/")),
            ("http:[::1]/x", http("::1", 80, "/x")),
            ("http://a/b", http("a", 80, "/b")),
            ("http://a:8080?q", http("a", 8080, "/?q")),
            ("http:http://a:8080/b#part", http("a", 8080, "/b")),
            ("log:ready", Ready::Log("ready".into())),
            ("log: a:b(", Ready::Log(" a:b(".into())),
            ("exec:true", exec(&["true"])),
            ("exec:  a  b\tc ", exec(&["a", "b", "c"])),
            ("exec:a 'b c' \"d \\\" e\" f\\ g ''", {
                exec(&["a", "b c", "d \" e", "f g", ""])
            }),
            (r#"exec:a"b"'c'\d "\n\$""#, exec(&["abcd", r"\n$"])),
            ("exec:a | b && c > $D", {
                exec(&["a", "|", "b", "&&", "c", ">", "$D"])
            }),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let way = |text: &str| Err(BadReady::Way(text.into()));
        for text in [
            "", "x", "Notify", "notify:", "notify:x", " notify", "fdx", "ftp:x", "=", ":",
        ] {
            assert_eq!(text.parse::<Ready>(), way(text), "{text}");
        }
        for text in [
            "fd=", "fd=2", "fd=-1", "fd=+5", "fd=1024", "fd=x", "fd:3", "fd=3 ",
        ] {
            assert_eq!(text.parse::<Ready>(), Err(BadReady::Fd(text.into())));
        }
        for text in [
            "",
            "x",
            "0",
            "65536",
            "+80",
            "-1",
            "host:",
            "host:0",
            ":",
            "::1",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[::1",
            "[host]:80",
            "a b:80",
            "-x:80",
            "80:90",
            "127.0.0:80",
            "a..b:80",
            ".:80",
            "a/b:80",
            "fé:80",
            "[fe80::1%eth0]:80",
        ] {
            let refused = format!("tcp:{text}").parse::<Ready>();
            assert_eq!(refused, Err(BadReady::Tcp(text.into())), "{text}");
        }
        for text in ["", "x", "x/y", "./x", "@"] {
            let refused = format!("unix:{text}").parse::<Ready>();
            assert_eq!(refused, Err(BadReady::Unix(text.into())), "{text}");
        }
        for text in [
            "",
            "/",
            "//",
            "/path",
            "99999/x",
            "user@host/",
            "host:x/",
            "a/b c",
            "a/\r\nX: y",
            "a/é",
            "http://",
            "ftp://a/b",
            "::1/x",
        ] {
            let refused = format!("http:{text}").parse::<Ready>();
            assert_eq!(refused, Err(BadReady::Http(text.into())), "{text}");
        }
        for text in ["https://a/b", "http:https://a/b"] {
            let refused = text.parse::<Ready>();
            assert_eq!(refused, Err(BadReady::Https("https://a/b".into())));
        }
        for text in ["log", "log:"] {
            assert_eq!(text.parse::<Ready>(), Err(BadReady::Log));
        }
        for text in ["exec", "exec:", "exec: \t", "exec:'' x", "exec:\"\""] {
            assert_eq!(text.parse::<Ready>(), Err(BadReady::Exec), "{text}");
        }
        for (text, within) in [
            ("a 'b", "single quotes"),
            ("a \"b", "double quotes"),
            ("a \"b\\", "double quotes"),
            ("a\\", "a backslash"),
            ("it's", "single quotes"),
        ] {
            match format!("exec:{text}").parse::<Ready>() {
                Err(BadReady::Unbalanced { what, .. }) => assert_eq!(what, within, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!("log:a\0b".parse::<Ready>(), Err(BadReady::Nul(_))));
    }

    #[test]
    fn a_socket_must_fit_its_address() {
        for (prefix, count, fits) in [
            ("/", 106, true),
            ("/", 107, false),
            ("@", 107, true),
            ("@", 108, false),
        ] {
            let text = format!("unix:{prefix}{}", "x".repeat(count));
            assert_eq!(text.parse::<Ready>().is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn messages_say_what_to_write() {
        for (text, hint) in [
            ("x", "exec:COMMAND"),
            ("fd=1", "from 3 to 1023"),
            ("tcp:x", "tcp:HOST:PORT"),
            ("https://h/x", "curl -fsS -o /dev/null https://h/x"),
            ("exec:it's", "no shell"),
        ] {
            let message = text.parse::<Ready>().expect_err(text).to_string();
            assert!(message.contains(hint), "{message}");
        }
    }

    #[test]
    fn it_is_kept_as_text() {
        use serde::de::IntoDeserializer;
        use serde::de::value::{Error, StringDeserializer};
        let read = |text: &str| {
            let from: StringDeserializer<Error> = text.to_owned().into_deserializer();
            Ready::deserialize(from)
        };
        assert_eq!(read("tcp:80").expect("read"), tcp("localhost", 80));
        let message = read("tcp:x").expect_err("refused").to_string();
        assert!(message.contains("not a TCP port"), "{message}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_can_be_written(
            way in "(notify|fd|fd=|tcp:|unix:[/@]|http:|http://|log:|exec:|)",
            rest in r#"([a-z0-9:\[\]/.?#@ '"\\]|\PC){0,16}"#,
        ) {
            if let Ok(ready) = format!("{way}{rest}").parse::<Ready>() {
                prop_assert_eq!(ready.to_string().parse(), Ok(ready));
            }
        }

        #[test]
        fn words_survive(words in proptest::collection::vec("[^\0]{0,8}", 1..4)) {
            prop_assume!(!words[0].is_empty());
            let ready = Ready::Exec(words);
            prop_assert_eq!(ready.to_string().parse(), Ok(ready));
        }

        #[test]
        fn servers_survive(host in "[a-z][a-z0-9-]{0,8}(\\.[a-z]{1,3})?", port in 1u16..) {
            let ready = tcp(&host, port);
            prop_assert_eq!(ready.to_string().parse(), Ok(ready));
        }
    }
}
