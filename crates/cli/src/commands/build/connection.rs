//! Requests to a build server, over TCP or a socket of this host: one at a time, bounded.
//!
//! An answer that is followed is given piece by piece; any other is taken as a whole. Nothing here
//! knows what is asked.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ward_model::exit_code;
use ward_serve::client::{Body, Framing, Head, NotHttp, head};
use ward_serve::secure::{SecureError, Trust};

use crate::failure::Failure;

/// Bytes of an answer that is taken as a whole.
const MAX_ANSWER: usize = 64 << 20;
/// How much is read at once, bytes.
const READ: usize = 64 << 10;
/// How long a server may say nothing. It answers at once, or is not there any more.
const PATIENCE: Duration = Duration::from_secs(60);
const DEFAULT_PORT: u16 = 80;
const DEFAULT_SECURE_PORT: u16 = 443;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A socket of this host.
    Unix(PathBuf),
    /// A host, without the brackets of IPv6, and a port.
    Tcp(String, u16),
    /// The same, by TLS.
    Tls(String, u16),
}

/// A server, and who we are to it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) endpoint: Endpoint,
    /// What comes before every path: empty, or begins with a slash and ends without.
    pub(super) prefix: String,
    /// `USER:TOKEN`.
    pub(super) credentials: Option<String>,
    /// Whose certificates are trusted; there where the server is asked by TLS.
    pub(super) trust: Option<Trust>,
}

/// An answer as a whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the name is not known")]
    Resolve(#[source] io::Error),
    #[error("nobody listens there")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Secure(#[from] SecureError),
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the answer is cut short")]
    Short,
    #[error("the answer is too long")]
    Long,
    #[error(transparent)]
    NotHttp(#[from] NotHttp),
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Bytes of a body that would mean something else there, as `%XX` (RFC 3986, 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The path of a job: folders are segments of their own.
pub(super) fn job_path(name: &str) -> String {
    let segments = name.split('/').filter(|segment| !segment.is_empty());
    segments
        .map(|segment| format!("/job/{}", encoded(segment)))
        .collect()
}

/// A form as browsers send it.
pub(super) fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let fields = fields
        .into_iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    fields.collect::<Vec<_>>().join("&")
}

impl Endpoint {
    /// Reads `http://HOST[:PORT][/PREFIX]`, the same with `https://`, or `unix://PATH`; gives the prefix too,
    /// without a slash at its end.
    pub(super) fn of(url: &str) -> Result<(Self, String), Failure> {
        let refuse = |why: &str| {
            Failure::usage(
                format!("`{url}` is no address of a build server: {why}"),
                "write http://HOST:PORT/, https://HOST/, or unix:///PATH",
            )
        };
        if let Some(path) = url.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(refuse("its path does not begin with a slash"));
            }
            return Ok((Self::Unix(path.into()), String::new()));
        }
        let (rest, is_secure) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => {
                return Err(refuse(
                    "it begins with none of http://, https:// and unix://",
                ));
            }
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(refuse("who you are is said by $WARD_BUILD_TOKEN"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest
                    .split_once(']')
                    .ok_or_else(|| refuse("a bracket is open"))?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port.filter(|port| !port.is_empty()) {
            Some(port) => port.parse().map_err(|_| refuse("its port is no number"))?,
            None if is_secure => DEFAULT_SECURE_PORT,
            None => DEFAULT_PORT,
        };
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        let path = path.trim_end_matches('/');
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("/{path}")
        };
        if prefix.contains(|c: char| c.is_control() || c == ' ') || host.contains([' ', '\r', '\n'])
        {
            return Err(refuse("there is a blank in it"));
        }
        let host = host.to_owned();
        let endpoint = if is_secure {
            Self::Tls(host, port)
        } else {
            Self::Tcp(host, port)
        };
        Ok((endpoint, prefix))
    }

    /// For the header `Host`.
    fn host(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp(host, port) | Self::Tls(host, port) if host.contains(':') => {
                format!("[{host}]:{port}")
            }
            Self::Tcp(host, port) | Self::Tls(host, port) => format!("{host}:{port}"),
        }
    }

    fn connect(&self, trust: Option<&Trust>) -> Result<Box<dyn Stream>, Trouble> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(Trouble::Connect)?;
                stream
                    .set_read_timeout(Some(PATIENCE))
                    .map_err(Trouble::Broken)?;
                Ok(Box::new(stream))
            }
            Self::Tcp(host, port) => Ok(Box::new(tcp(host, *port)?)),
            Self::Tls(host, port) => {
                // Who names a server by TLS has said whom to trust.
                let trust = match trust {
                    Some(trust) => trust.clone(),
                    None => Trust::new(None)?,
                };
                Ok(Box::new(trust.connect(host, tcp(host, *port)?)?))
            }
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(..) => write!(f, "http://{}/", self.host()),
            Self::Tls(..) => write!(f, "https://{}/", self.host()),
        }
    }
}

/// Connects to the first of a host's addresses that answers.
fn tcp(host: &str, port: u16) -> Result<TcpStream, Trouble> {
    let addresses = (host, port).to_socket_addrs();
    let addresses: Vec<_> = addresses.map_err(Trouble::Resolve)?.collect();
    let stream = TcpStream::connect(addresses.as_slice()).map_err(Trouble::Connect)?;
    let limited = stream.set_read_timeout(Some(PATIENCE));
    limited.map_err(Trouble::Broken)?;
    Ok(stream)
}

impl Server {
    /// Asks for something. What is not there, or may not be seen, is a failure.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let answer = self.exchange("GET", path, None, &[])?;
        self.well(path, answer)
    }

    /// The same, understood.
    pub(super) fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.get(path)?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::ours(
                &format!("{} does not answer as a build server does", self.endpoint),
                &error,
            )
        })
    }

    /// Tells it to do something.
    pub(super) fn post(&self, path: &str, form: &str) -> Result<Answer, Failure> {
        let mut answer = self.exchange("POST", path, Some(form), &[])?;
        // Who needs no token proves that the request is not some page's.
        if answer.head.status == 403
            && self.credentials.is_none()
            && let Some(fields) = self.crumb()?
        {
            answer = self.exchange("POST", path, Some(form), &fields)?;
        }
        self.well(path, answer)
    }

    /// Asks for something that may be large: what comes is given to `each`. Gives the answer's head; nothing
    /// where nobody reads on what `each` writes.
    pub(super) fn pour(
        &self,
        path: &str,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Option<Head>, Failure> {
        let mut failed = None;
        let mut whole = Vec::new();
        let mut status = 0;
        let result = self.talk("GET", path, None, &[], &mut |head, part| {
            status = head.status;
            if status != 200 {
                whole.extend_from_slice(part);
                return whole.len() <= MAX_ANSWER;
            }
            match each(part) {
                Ok(()) => true,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        });
        if let Some(error) = failed {
            return match error.kind() {
                // Who stops reading has read enough.
                io::ErrorKind::BrokenPipe => Ok(None),
                _ => Err(Failure::ours("cannot write", &error)),
            };
        }
        let head = result.map_err(|trouble| self.no_answer(&trouble))?;
        let answer = self.well(path, Answer { head, body: whole })?;
        Ok(Some(answer.head))
    }

    /// The fields that carry a crumb and its session, where the server wants any.
    fn crumb(&self) -> Result<Option<Vec<(String, String)>>, Failure> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Crumb {
            crumb: String,
            crumb_request_field: String,
        }
        let answer = self.exchange("GET", "/crumbIssuer/api/json", None, &[])?;
        let Ok(crumb) = serde_json::from_slice::<Crumb>(&answer.body) else {
            return Ok(None);
        };
        let mut fields = vec![(crumb.crumb_request_field, crumb.crumb)];
        if let Some(cookie) = answer.head.field("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            fields.push(("Cookie".to_owned(), pair.to_owned()));
        }
        let is_sound = |(name, value): &(String, String)| {
            !name.is_empty()
                && !format!("{name}{value}").contains(|c: char| c.is_control() || !c.is_ascii())
        };
        Ok(fields.iter().all(is_sound).then_some(fields))
    }

    /// An answer, unless it says that nothing came of it.
    fn well(&self, path: &str, answer: Answer) -> Result<Answer, Failure> {
        let says = || {
            let text = String::from_utf8_lossy(&answer.body);
            let is_html = answer
                .head
                .field("content-type")
                .is_some_and(|kind| kind.starts_with("text/html"));
            let text = if is_html {
                answer.head.field("x-error").unwrap_or_default()
            } else {
                text.trim()
            };
            let line: String = text
                .lines()
                .next()
                .unwrap_or_default()
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect();
            if line.is_empty() {
                format!("{} {}", answer.head.status, answer.head.reason)
            } else {
                line
            }
        };
        let server = &self.endpoint;
        match answer.head.status {
            200..=399 => Ok(answer),
            401 => Err(Failure::with_code(
                format!("{server} does not know you: {}", says()),
                Some("set WARD_BUILD_TOKEN to USER:TOKEN; `ward build token new` makes one"),
                exit_code::WARD_FAILED,
            )),
            403 => Err(Failure::with_code(
                format!("{server} does not let you: {}", says()),
                Some("set WARD_BUILD_TOKEN to USER:TOKEN of an account that may"),
                exit_code::WARD_FAILED,
            )),
            404 => Err(Failure::with_code(
                format!("{server} has none of it: {}", says()),
                None,
                exit_code::UNKNOWN_NAME,
            )),
            400 => Err(Failure::with_code(says(), None, exit_code::USAGE)),
            405 | 409 | 423 => Err(Failure::with_code(says(), None, exit_code::TAKEN)),
            _ => Err(Failure::with_code(
                format!("{server} failed at {path}: {}", says()),
                None,
                exit_code::WARD_FAILED,
            )),
        }
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        form: Option<&str>,
        fields: &[(String, String)],
    ) -> Result<Answer, Failure> {
        let mut body = Vec::new();
        let mut is_long = false;
        let head = self
            .talk(method, path, form, fields, &mut |_, part| {
                body.extend_from_slice(part);
                is_long = body.len() > MAX_ANSWER;
                !is_long
            })
            .map_err(|trouble| self.no_answer(&trouble))?;
        if is_long {
            return Err(self.no_answer(&Trouble::Long));
        }
        Ok(Answer { head, body })
    }

    fn no_answer(&self, trouble: &Trouble) -> Failure {
        let failure = Failure::ours(&format!("{} does not answer", self.endpoint), trouble);
        match trouble {
            Trouble::Resolve(_) | Trouble::Connect(_) => failure
                .with_hint("start it by `ward up`, or by `ward build serve -c FILE`; or name it with --url")
                .with_status(exit_code::NO_SERVER),
            Trouble::Broken(_) | Trouble::Short => failure.with_status(exit_code::NO_SERVER),
            // Somebody is there, and is not who was asked for.
            Trouble::Secure(error) => match error.hint() {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            },
            Trouble::Long | Trouble::NotHttp(_) => failure,
        }
    }

    /// One request, one answer, one connection. `each` is given the body in pieces, and says whether to go on.
    fn talk(
        &self,
        method: &str,
        path: &str,
        form: Option<&str>,
        fields: &[(String, String)],
        each: &mut dyn FnMut(&Head, &[u8]) -> bool,
    ) -> Result<Head, Trouble> {
        let mut stream = self.endpoint.connect(self.trust.as_ref())?;
        let mut request = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ward/{}\r\nAccept: */*\r\nConnection: close\r\n",
            self.prefix,
            self.endpoint.host(),
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(credentials) = &self.credentials {
            let encoded = data_encoding::BASE64.encode(credentials.as_bytes());
            request.push_str(&format!("Authorization: Basic {encoded}\r\n"));
        }
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(form) = form {
            request.push_str(&format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            ));
        }
        request.push_str("\r\n");
        request.push_str(form.unwrap_or_default());
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(Trouble::Broken)?;
        let mut input = Vec::new();
        let (head, length) = loop {
            if let Some(found) = head(&input)? {
                break found;
            }
            if more(&mut *stream, &mut input)? == 0 {
                return Err(Trouble::Short);
            }
        };
        input.drain(..length);
        let mut body = Body::new(head.framing);
        loop {
            let mut content = Vec::new();
            body.take(&input, &mut content)?;
            if !content.is_empty() && !each(&head, &content) {
                return Ok(head);
            }
            if body.is_over() {
                return Ok(head);
            }
            input.clear();
            if more(&mut *stream, &mut input)? == 0 {
                return match head.framing {
                    Framing::UntilClose => Ok(head),
                    Framing::Length(_) | Framing::Chunked => Err(Trouble::Short),
                };
            }
        }
    }
}

/// Adds what is there; 0 at the end.
fn more(stream: &mut dyn Stream, input: &mut Vec<u8>) -> Result<usize, Trouble> {
    let start = input.len();
    input.resize(start + READ, 0);
    let read = loop {
        match stream.read(input.get_mut(start..).unwrap_or_default()) {
            Ok(read) => break read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::Broken(error)),
        }
    };
    input.truncate(start + read);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |host: &str, port, prefix: &str| {
            Some((Endpoint::Tcp(host.to_owned(), port), prefix.to_owned()))
        };
        let tls = |host: &str, port, prefix: &str| {
            Some((Endpoint::Tls(host.to_owned(), port), prefix.to_owned()))
        };
        for (url, expected) in [
            ("https://h/", tls("h", 443, "")),
            ("https://[::1]:8443/ci", tls("::1", 8443, "/ci")),
            ("https://u:p@h/", None),
            ("https:///", None),
            ("http://h:8080/", tcp("h", 8080, "")),
            ("http://h", tcp("h", 80, "")),
            ("http://[::1]:8080/ci/", tcp("::1", 8080, "/ci")),
            (
                "unix:///run/c.sock",
                Some((Endpoint::Unix("/run/c.sock".into()), String::new())),
            ),
            ("unix://run", None),
            ("http://u:p@h/", None),
            ("http://h:x/", None),
            ("http://:80/", None),
            ("http://h/a b", None),
            ("http://h/a\r\nX: y", None),
            ("h:8080", None),
        ] {
            assert_eq!(Endpoint::of(url).ok(), expected, "{url}");
        }
    }

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(job_path("a b/c?d#e%"), "/job/a%20b/job/c%3Fd%23e%25");
        assert_eq!(job_path("\r\nX"), "/job/%0D%0AX");
        assert_eq!(
            form([("A&", "b=\u{fc} c"), ("D", "")]),
            "A%26=b%3D%C3%BC%20c&D="
        );
    }
}
