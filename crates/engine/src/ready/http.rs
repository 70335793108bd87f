//! Readiness by the answer to a GET.
//!
//! Written by hand, as only the status line is needed: a library for HTTP would bring a
//! runtime and TLS into a path that every spawn takes, to be linked, mapped and kept safe. The
//! answer comes from a program that is perhaps broken: of it at most [`LONGEST_HEAD`] bytes
//! are looked at, and nothing in it is followed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use ward_model::ready::{HostPort, HttpUrl};

use super::Look;
use super::connect::{self, ANSWER, Server};
use super::patience::{Patience, Stop, Waited};

/// The head of an answer is read so far, bytes.
const LONGEST_HEAD: usize = 8 << 10;
/// As much of the rest is read, bytes, and for so long, so that a small answer of a server that
/// is not quick is not cut off by us: some would write that to their log.
const POLITENESS: (usize, Duration) = (64 << 10, Duration::from_millis(50));

/// What is asked, and of whom.
#[derive(Debug)]
pub(super) struct Question {
    server: Server,
    request: Vec<u8>,
}

/// What came of one connection, where words say why not: for people.
type Answer = Result<(), String>;

impl Question {
    pub(super) fn new(url: &HttpUrl) -> Self {
        let HttpUrl { server, target } = url;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ward\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            host_field(server)
        );
        Self {
            server: Server::new(server),
            request: request.into_bytes(),
        }
    }

    /// Asks each of the server's addresses until one gives a status from 200 to 399.
    pub(super) fn look(
        &mut self,
        patience: &Patience<'_>,
        last: &mut String,
    ) -> Result<Look, Stop> {
        let addresses = match self.server.addresses(patience)? {
            Ok(addresses) => addresses,
            Err(why) => return Ok(Look::NotYet(why)),
        };
        let (mut refused, mut answered) = (None, None);
        for address in addresses {
            match connect::open(address, patience)? {
                Err(why) => refused = refused.or(Some(why)),
                Ok(stream) => {
                    *last = silence(address);
                    match self.ask(stream, address, patience, last)? {
                        Ok(()) => return Ok(Look::Ready),
                        Err(why) => answered = answered.or(Some(why)),
                    }
                }
            }
        }
        // One that came further says more than one that was refused.
        Ok(Look::NotYet(answered.or(refused).unwrap_or_default()))
    }

    fn ask(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        patience: &Patience<'_>,
        last: &mut String,
    ) -> Result<Answer, Stop> {
        let until = Instant::now() + ANSWER;
        let broken = |error: io::Error| format!("{address} broke the connection: {error}");
        let mut request = &self.request[..];
        while !request.is_empty() {
            match stream.write(request) {
                Ok(written) => request = &request[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let room = Some((stream.as_fd(), PollFlags::OUT));
                    if patience.wait(room, Some(until))? == Waited::Elapsed {
                        return Ok(Err(silence(address)));
                    }
                }
                Err(error) => return Ok(Err(broken(error))),
            }
        }
        let mut head = Vec::new();
        loop {
            match status(&head) {
                Status::Partial if head.len() < LONGEST_HEAD => {}
                Status::Final(code) => {
                    hear_out(&mut stream, patience)?;
                    let good = (200..=399).contains(&code);
                    return Ok(if good {
                        Ok(())
                    } else {
                        Err(format!("HTTP {code} from {address}"))
                    });
                }
                Status::Partial | Status::Nonsense => {
                    return Ok(Err(format!("{address} does not speak HTTP")));
                }
            }
            match read_some(&mut stream, &mut head, LONGEST_HEAD, patience, until)? {
                Some(Ok(0)) if head.is_empty() => {
                    return Ok(Err(format!(
                        "{address} ended the connection without an answer"
                    )));
                }
                Some(Ok(0)) => {
                    let why = "ended the connection within the first line of its answer";
                    return Ok(Err(format!("{address} {why}")));
                }
                Some(Ok(_)) => {
                    *last = format!("{address} does not end the first line of its answer");
                }
                Some(Err(error)) => return Ok(Err(broken(error))),
                None => return Ok(Err(last.clone())),
            }
        }
    }
}

fn silence(address: SocketAddr) -> String {
    format!("{address} takes connections and does not answer")
}

/// Reads what comes until `until`, up to `limit` bytes in all; `None` if nothing came.
fn read_some(
    stream: &mut TcpStream,
    into: &mut Vec<u8>,
    limit: usize,
    patience: &Patience<'_>,
    until: Instant,
) -> Result<Option<io::Result<usize>>, Stop> {
    let mut buffer = [0; 2048];
    let room = limit.saturating_sub(into.len()).min(buffer.len());
    loop {
        match stream.read(&mut buffer[..room]) {
            Ok(count) => {
                into.extend_from_slice(&buffer[..count]);
                patience.check()?;
                return Ok(if Instant::now() < until || count == 0 {
                    Some(Ok(count))
                } else {
                    None
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let more = Some((stream.as_fd(), PollFlags::IN));
                if patience.wait(more, Some(until))? == Waited::Elapsed {
                    return Ok(None);
                }
            }
            Err(error) => return Ok(Some(Err(error))),
        }
    }
}

/// Reads on for a moment, whatever comes.
fn hear_out(stream: &mut TcpStream, patience: &Patience<'_>) -> Result<(), Stop> {
    let (most, moment) = POLITENESS;
    let until = Instant::now() + moment;
    let mut rest = Vec::new();
    while rest.len() < most {
        match read_some(stream, &mut rest, most, patience, until) {
            Ok(Some(Ok(count))) if count > 0 => {}
            // That the time is over does not unsay an answer that came in time.
            Ok(Some(_) | None) | Err(Stop::Late | Stop::Never) => break,
            Err(Stop::Gone) => return Err(Stop::Gone),
        }
    }
    Ok(())
}

/// What the beginning of an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Status {
    /// Its first line has no end yet.
    Partial,
    /// This status, 200 or above.
    Final(u16),
    /// Not HTTP/1.
    Nonsense,
}

/// The status of an answer (RFC 9112, section 4), past those that only announce another
/// (RFC 9110, section 15.2).
fn status(head: &[u8]) -> Status {
    let mut head = head;
    loop {
        let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
            let known = head.len().min(7);
            return if head[..known] == b"HTTP/1."[..known] {
                Status::Partial
            } else {
                Status::Nonsense
            };
        };
        let line = head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]);
        match code(line) {
            None => return Status::Nonsense,
            Some(100..=199) => match after_blank_line(&head[end..]) {
                Some(next) => head = next,
                None => return Status::Partial,
            },
            Some(code) => return Status::Final(code),
        }
    }
}

/// The three digits of a status line.
fn code(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [minor, b' ', digits @ ..] = rest else {
        return None;
    };
    let (digits, reason) = digits.split_at_checked(3)?;
    let whole = reason.is_empty() || reason.starts_with(b" ");
    if !minor.is_ascii_digit() || !whole || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (code >= 100).then_some(code)
}

/// What follows the first empty line, where `text` begins with the end of a line.
fn after_blank_line(text: &[u8]) -> Option<&[u8]> {
    let unix = text
        .windows(2)
        .position(|two| two == b"\n\n")
        .map(|at| at + 2);
    let usual = text
        .windows(3)
        .position(|three| three == b"\n\r\n")
        .map(|at| at + 3);
    let end = unix.into_iter().chain(usual).min()?;
    Some(&text[end..])
}

/// The value of the `Host` field: without the port if that is the usual one (RFC 9110,
/// section 7.2).
fn host_field(server: &HostPort) -> String {
    let whole = server.to_string();
    match whole.strip_suffix(":80") {
        Some(host) if server.port == 80 => host.to_owned(),
        Some(_) | None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        for (head, expected) in [
            ("", Status::Partial),
            ("HT", Status::Partial),
            ("HTTP/1.1 200 OK", Status::Partial),
            ("HTTP/1.1 200 OK\r\n", Status::Final(200)),
            ("HTTP/1.0 503\n", Status::Final(503)),
            ("HTTP/1.1 404 \r\nX: y", Status::Final(404)),
            ("HTTP/1.1 103 Early\r\nLink: x\r\n", Status::Partial),
            (
                "HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 204 x\r\n",
                Status::Final(204),
            ),
            (
                "HTTP/1.1 100 C\n\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 500 x\r\n",
                Status::Final(500),
            ),
            ("HTTP/1.1 100 C\r\n\r\nrubbish\n", Status::Nonsense),
            ("HTTP/2 200\r\n", Status::Nonsense),
            ("HTTP/1.1 20\r\n", Status::Nonsense),
            ("HTTP/1.1 2000 OK\r\n", Status::Nonsense),
            ("HTTP/1.1 099 OK\r\n", Status::Nonsense),
            ("SSH-2.0-x", Status::Nonsense),
            ("\r\n", Status::Nonsense),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn hosts() {
        for (host, port, expected) in [
            ("localhost", 8080, "localhost:8080"),
            ("a.b", 80, "a.b"),
            ("::1", 80, "[::1]"),
            ("::1", 180, "[::1]:180"),
        ] {
            let server = HostPort {
                host: host.into(),
                port,
            };
            assert_eq!(host_field(&server), expected);
        }
    }
}
