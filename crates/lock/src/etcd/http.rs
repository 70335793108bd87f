//! HTTP/1.1, as far as etcd's gateway needs it: a POST with a JSON text, and an answer that comes
//! in one piece or line by line (RFC 9112).
//!
//! No redirect is followed, nothing is decompressed, and no answer is kept that is longer than
//! [`LONGEST`].

use std::time::Duration;

use super::error::{Failure, Trouble};
use super::stream::Stream;
use super::wait::Limits;

/// An answer, or a line of a stream of them, is not longer, bytes.
pub(super) const LONGEST: usize = 16 << 20;
/// The head of an answer is not longer, bytes.
const LONGEST_HEAD: usize = 32 << 10;
/// Nor has it more fields.
const MOST_FIELDS: usize = 64;
/// What announces an answer comes no more often than this.
const MOST_ANNOUNCEMENTS: usize = 16;
/// A line with the length of a chunk, or a field of a trailer, is not longer, bytes.
const LONGEST_LINE: usize = 4 << 10;
/// As much is read at once, bytes.
const PIECE: usize = 16 << 10;
/// What ends the answer to a request whose first line was all that mattered comes within this,
/// or the connection is not used again.
const REST: Duration = Duration::from_millis(250);

/// What is asked.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// `HOST:PORT`.
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    /// What was got for the password.
    pub(super) token: Option<&'a str>,
    pub(super) body: &'a [u8],
}

impl Request<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ward\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\
             Grpc-Metadata-Hasleader: true\r\n",
            self.path,
            self.authority,
            self.body.len()
        );
        if let Some(token) = self.token {
            head.push_str("Authorization: ");
            head.push_str(token);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body);
        bytes
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A connection over which requests go.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// What has come and was not looked at yet.
    received: Vec<u8>,
    /// Whether another request may follow.
    usable: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            usable: true,
        }
    }

    /// Whether another request can be sent.
    pub(super) fn is_usable(&mut self) -> bool {
        self.usable && self.received.is_empty() && self.stream.is_quiet()
    }

    /// Asks, and waits for the whole answer. `sent` is set once the other side may have got
    /// something.
    pub(super) fn ask(
        &mut self,
        request: &Request<'_>,
        sent: &mut bool,
        limits: &Limits<'_>,
    ) -> Result<Answer, Trouble> {
        let head = self.start(request, sent, limits)?;
        self.hear_out(head, limits)
    }

    /// Asks, and waits for the first line of the answer.
    pub(super) fn ask_for_line(
        mut self,
        request: &Request<'_>,
        sent: &mut bool,
        limits: &Limits<'_>,
    ) -> Result<(Answer, Option<Self>), Trouble> {
        let Head {
            status,
            framing,
            stays,
            ..
        } = self.start(request, sent, limits)?;
        let mut lines = Lines::new(self, framing);
        let Some(body) = lines.next(limits)? else {
            return Err(Trouble::Member(Failure::Ended));
        };
        let soon = limits.at_most(ward_sys::clock::since_boot() + REST);
        let again = match lines.next(&soon) {
            Ok(None) => Some(lines.connection),
            _ => None,
        };
        let again = again.map(|connection| Self {
            usable: stays,
            ..connection
        });
        Ok((Answer { status, body }, again))
    }

    /// Asks, and waits for the head of an answer that comes line by line; of one that says no,
    /// for all of it.
    pub(super) fn ask_for_lines(
        mut self,
        request: &Request<'_>,
        sent: &mut bool,
        limits: &Limits<'_>,
    ) -> Result<Result<Lines, Answer>, Trouble> {
        let head = self.start(request, sent, limits)?;
        if head.status == 200 {
            return Ok(Ok(Lines::new(self, head.framing)));
        }
        self.hear_out(head, limits).map(Err)
    }

    /// Sends a request and reads the head of its answer.
    fn start(
        &mut self,
        request: &Request<'_>,
        sent: &mut bool,
        limits: &Limits<'_>,
    ) -> Result<Head, Trouble> {
        *sent = true;
        // Until the answer has been heard to its end.
        self.usable = false;
        self.stream.send(&request.bytes(), limits)?;
        let mut announced = 0;
        loop {
            if let Some(head) = head(&self.received)? {
                self.received.drain(..head.length);
                // What only announces the answer (RFC 9110, section 15.2).
                if head.status >= 200 {
                    return Ok(head);
                }
                announced += 1;
                if announced > MOST_ANNOUNCEMENTS {
                    return Err(foreign("announcements without an answer"));
                }
            } else if self.received.len() > LONGEST_HEAD {
                return Err(foreign("a head without an end"));
            } else if !self.receive(limits)? {
                let is_mute = self.received.is_empty() && announced == 0;
                return Err(Trouble::Member(if is_mute {
                    Failure::Mute
                } else {
                    Failure::Ended
                }));
            }
        }
    }

    /// Reads the rest of an answer.
    fn hear_out(&mut self, mut head: Head, limits: &Limits<'_>) -> Result<Answer, Trouble> {
        let mut body = Vec::new();
        while self.more(&mut head.framing, &mut body, limits)? {}
        self.usable = head.stays;
        Ok(Answer {
            status: head.status,
            body,
        })
    }

    /// Takes some more of an answer's body; `false` once it is whole.
    fn more(
        &mut self,
        framing: &mut Framing,
        body: &mut Vec<u8>,
        limits: &Limits<'_>,
    ) -> Result<bool, Trouble> {
        let before = body.len();
        let (taken, whole) = framing.take(&self.received, body).map_err(foreign)?;
        self.received.drain(..taken);
        if taken > 0 && body.len() == before && !whole {
            // Of what is no body there may be any amount.
            limits.check()?;
        }
        if body.len() > LONGEST {
            return Err(Trouble::TooLong);
        }
        if whole {
            return Ok(false);
        }
        if body.len() > before {
            return Ok(true);
        }
        if !self.receive(limits)? {
            return match framing {
                Framing::UntilEnd => Ok(false),
                Framing::Length(_) | Framing::Chunks(_) => Err(Trouble::Member(Failure::Ended)),
            };
        }
        Ok(true)
    }

    /// Reads what there is; `false` at the end.
    fn receive(&mut self, limits: &Limits<'_>) -> Result<bool, Trouble> {
        let before = self.received.len();
        self.received.resize(before + PIECE, 0);
        let outcome = self.stream.read(&mut self.received[before..], limits);
        let count = outcome.as_ref().map_or(0, |count| *count);
        self.received.truncate(before + count);
        Ok(outcome? > 0)
    }
}

/// An answer that comes line by line.
#[derive(Debug)]
pub(super) struct Lines {
    connection: Connection,
    framing: Framing,
    /// What has come of it.
    text: Vec<u8>,
    /// So much of that is known to have no line end.
    searched: usize,
}

impl Lines {
    fn new(connection: Connection, framing: Framing) -> Self {
        Self {
            connection,
            framing,
            text: Vec::new(),
            searched: 0,
        }
    }

    /// The next line that is not empty, without its end; `None` when there is no more. If the time
    /// is over nothing is lost, and it can be asked again.
    pub(super) fn next(&mut self, limits: &Limits<'_>) -> Result<Option<Vec<u8>>, Trouble> {
        loop {
            let new = &self.text[self.searched..];
            if let Some(at) = new.iter().position(|byte| *byte == b'\n') {
                let rest = self.text.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.text, rest);
                self.searched = 0;
                line.truncate(line.trim_ascii_end().len());
                if line.is_empty() {
                    limits.check()?;
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.text.len();
            if !self
                .connection
                .more(&mut self.framing, &mut self.text, limits)?
                && self.searched == self.text.len()
            {
                // What has no line end is the last line.
                self.searched = 0;
                let line = std::mem::take(&mut self.text);
                return Ok(Some(line).filter(|line| !line.trim_ascii().is_empty()));
            }
        }
    }
}

/// How the body of an answer comes, and where in it we are.
#[derive(Debug)]
enum Framing {
    /// So many bytes are missing.
    Length(u64),
    /// In chunks.
    Chunks(Chunks),
    /// To the end of the connection.
    UntilEnd,
}

impl Framing {
    /// Moves what belongs to the body from `input`: how many bytes were taken from there, and
    /// whether the body is whole.
    fn take(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool), &'static str> {
        match self {
            Self::UntilEnd => {
                body.extend_from_slice(input);
                Ok((input.len(), false))
            }
            Self::Length(missing) => {
                let count = usize::try_from(*missing).map_or(input.len(), |it| it.min(input.len()));
                body.extend_from_slice(&input[..count]);
                *missing -= count as u64;
                Ok((count, *missing == 0))
            }
            Self::Chunks(chunks) => chunks.take(input, body),
        }
    }
}

/// Where in a chunked body we are (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunks {
    /// Before the line with the length of a chunk.
    Size,
    /// So many bytes of it are missing.
    Data(u64),
    /// Before the line end after it.
    DataEnd,
    /// In the fields after the last chunk.
    Trailer,
    /// Past all of it.
    Whole,
}

impl Chunks {
    fn take(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<(usize, bool), &'static str> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self {
                Self::Whole => return Ok((at, true)),
                Self::Data(missing) => {
                    let count =
                        usize::try_from(*missing).map_or(rest.len(), |it| it.min(rest.len()));
                    body.extend_from_slice(&rest[..count]);
                    at += count;
                    *missing -= count as u64;
                    if *missing > 0 {
                        return Ok((at, false));
                    }
                    *self = Self::DataEnd;
                }
                Self::Size | Self::DataEnd | Self::Trailer => {
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        return if rest.len() > LONGEST_LINE {
                            Err("a chunk whose length has no end")
                        } else {
                            Ok((at, false))
                        };
                    };
                    at += end + 1;
                    let line = &rest[..end];
                    *self = self.after(line.strip_suffix(b"\r").unwrap_or(line))?;
                }
            }
        }
    }

    fn after(self, line: &[u8]) -> Result<Self, &'static str> {
        match self {
            Self::Size => {
                // What follows a semicolon are extensions, of which nobody uses any.
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let size = std::str::from_utf8(digits.trim_ascii())
                    .ok()
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .ok_or("a chunk without a length")?;
                Ok(if size == 0 {
                    Self::Trailer
                } else {
                    Self::Data(size)
                })
            }
            Self::DataEnd if line.is_empty() => Ok(Self::Size),
            Self::Trailer if line.is_empty() => Ok(Self::Whole),
            Self::Trailer => Ok(Self::Trailer),
            Self::DataEnd | Self::Data(_) | Self::Whole => {
                Err("a chunk that is longer than it says")
            }
        }
    }
}

/// What the head of an answer says.
#[derive(Debug)]
struct Head {
    status: u16,
    framing: Framing,
    /// Whether the connection stays after it.
    stays: bool,
    /// Of the head itself, bytes.
    length: usize,
}

/// Reads a head; `None` if it has not all come.
fn head(bytes: &[u8]) -> Result<Option<Head>, Trouble> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(foreign("no HTTP")),
    };
    let status = response.code.unwrap_or_default();
    let mut stays = response.version == Some(1);
    let mut framing = Framing::UntilEnd;
    for field in response.headers.iter() {
        let value = field.value.trim_ascii();
        if field.name.eq_ignore_ascii_case("connection") {
            stays &= !value.eq_ignore_ascii_case(b"close");
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(foreign("a body in an encoding that was not asked for"));
            }
            framing = Framing::Chunks(Chunks::Size);
        } else if field.name.eq_ignore_ascii_case("content-length")
            && !matches!(framing, Framing::Chunks(_))
        {
            let length = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| foreign("a body without a length"))?;
            framing = Framing::Length(length);
        }
    }
    // These have none (RFC 9112, section 6.3).
    if status < 200 || status == 204 || status == 304 {
        framing = Framing::Length(0);
    }
    Ok(Some(Head {
        status,
        stays: stays && !matches!(framing, Framing::UntilEnd),
        framing,
        length,
    }))
}

fn foreign(what: &str) -> Trouble {
    Trouble::Member(Failure::Foreign(what.to_owned()))
}

#[cfg(test)]
mod tests;
