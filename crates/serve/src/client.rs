//! The part of HTTP/1.1 that a client of a supervisor needs (RFC 9112), bounded: heads and bodies of
//! answers as bytes. No I/O.

use thiserror::Error;

/// Bytes of a head. Supervisor's have some 200.
const MAX_HEAD: usize = 64 << 10;
/// Header fields in a head.
const MAX_FIELDS: usize = 64;
/// Bytes of a chunk's first line, with extensions that mean nothing here.
const MAX_CHUNK_LINE: usize = 1 << 10;

/// What came is not HTTP: what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotHttp(pub &'static str);

/// Where the body of a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The first part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub status: u16,
    /// The words behind it.
    pub reason: String,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether another request may follow on the connection.
    pub is_kept: bool,
    /// Every field: its name in lower case, and its value.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of the first field of this name, which is in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads a head; `None` while it is not complete. The number is its length, bytes.
///
/// # Errors
/// When it is none, or too long.
pub fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, NotHttp> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD => {
            return Err(NotHttp("the head of the answer has no end"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(NotHttp("the answer is not HTTP")),
    };
    let field = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).trim().to_lowercase())
    };
    let framing = if field("transfer-encoding").is_some_and(|value| value.ends_with("chunked")) {
        Framing::Chunked
    } else if let Some(length) = field("content-length") {
        let length = length.parse();
        Framing::Length(length.map_err(|_| NotHttp("a length that is no number"))?)
    } else {
        Framing::UntilClose
    };
    let asked_to_close = match field("connection") {
        Some(value) => value.contains("close"),
        None => response.version == Some(0),
    };
    let head = Head {
        status: response.code.unwrap_or_default(),
        reason: response.reason.unwrap_or_default().to_owned(),
        framing,
        is_kept: !asked_to_close && framing != Framing::UntilClose,
        fields: response
            .headers
            .iter()
            .map(|field| {
                let value = String::from_utf8_lossy(field.value).trim().to_owned();
                (field.name.to_ascii_lowercase(), value)
            })
            .collect(),
    };
    Ok(Some((head, length)))
}

/// What is still to come of a body.
#[derive(Debug)]
pub enum Body {
    /// So many bytes.
    Rest(usize),
    /// Everything until the connection ends.
    UntilClose,
    /// A chunk's first line, so far.
    Size(Vec<u8>),
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The line break behind a chunk: so many bytes of it.
    ChunkEnd(usize),
    /// A line behind the last chunk, so far.
    Trailer(usize),
    /// Nothing.
    Over,
}

impl Body {
    /// All of a body that ends there.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Over,
            Framing::Length(length) => Self::Rest(length),
            Framing::Chunked => Self::Size(Vec::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether all of it was taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Takes what belongs to the body from the beginning of `input` and adds its content to
    /// `content`. Gives how many bytes were taken: fewer than there are only if the body is over.
    ///
    /// # Errors
    /// When a chunk has no size.
    pub fn take(&mut self, input: &[u8], content: &mut Vec<u8>) -> Result<usize, NotHttp> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self {
                Self::Over => break,
                Self::UntilClose => {
                    content.extend_from_slice(rest);
                    rest.len()
                }
                Self::Rest(left) => {
                    let taken = copy(rest, left, content);
                    if *left == 0 {
                        *self = Self::Over;
                    }
                    taken
                }
                Self::Chunk(left) => {
                    let taken = copy(rest, left, content);
                    if *left == 0 {
                        *self = Self::ChunkEnd(2);
                    }
                    taken
                }
                Self::ChunkEnd(left) => {
                    *left -= 1;
                    if *left == 0 {
                        *self = Self::Size(Vec::new());
                    }
                    1
                }
                Self::Size(line) => {
                    let byte = rest.first().copied().unwrap_or_default();
                    if byte == b'\n' {
                        *self = match chunk_size(line)? {
                            0 => Self::Trailer(0),
                            size => Self::Chunk(size),
                        };
                    } else if line.len() < MAX_CHUNK_LINE {
                        line.push(byte);
                    } else {
                        return Err(NotHttp("a chunk without a size"));
                    }
                    1
                }
                Self::Trailer(length) => {
                    match rest.first() {
                        Some(b'\n') if *length == 0 => *self = Self::Over,
                        Some(b'\n') => *length = 0,
                        Some(b'\r') => {}
                        Some(_) | None => *length += 1,
                    }
                    1
                }
            };
        }
        Ok(at)
    }
}

/// Moves up to `left` bytes.
fn copy(from: &[u8], left: &mut usize, to: &mut Vec<u8>) -> usize {
    let part = from.get(..*left).unwrap_or(from);
    to.extend_from_slice(part);
    *left -= part.len();
    part.len()
}

fn chunk_size(line: &[u8]) -> Result<usize, NotHttp> {
    let bad = || NotHttp("a chunk without a size");
    let text = std::str::from_utf8(line).map_err(|_| bad())?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    if digits.starts_with(['+', '-']) {
        return Err(bad());
    }
    usize::from_str_radix(digits, 16).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(framing: Framing, parts: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), NotHttp> {
        let mut body = Body::new(framing);
        let (mut content, mut taken) = (Vec::new(), 0);
        for part in parts {
            taken += body.take(part, &mut content)?;
        }
        Ok((content, taken, body.is_over()))
    }

    #[test]
    fn bodies_are_the_same_however_they_are_cut() -> anyhow::Result<()> {
        let chunked: &[u8] =
            b"5\r\nhello\r\n1;x=y\r\n \r\n00a\r\n0123456789\r\n0\r\nA: b\r\n\r\nNEXT";
        for (framing, bytes, expected, next) in [
            (Framing::Chunked, chunked, &b"hello 0123456789"[..], 4),
            (Framing::Chunked, b"0\r\n\r\n", b"", 0),
            (Framing::Length(3), b"abcd", b"abc", 1),
            (Framing::Length(0), b"x", b"", 1),
        ] {
            for cut in 0..=bytes.len() {
                let (first, second) = bytes.split_at(cut);
                let (content, taken, is_over) = decoded(framing, &[first, second])?;
                assert_eq!(content, expected);
                assert!(is_over && taken + next == bytes.len(), "{cut}");
            }
        }
        let (content, _, is_over) = decoded(Framing::UntilClose, &[b"a", b"b"])?;
        assert_eq!((content.as_slice(), is_over), (&b"ab"[..], false));
        for bad in [
            &b"x\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b"fffffffffffffffff\r\n",
            b"\xff\r\n",
        ] {
            assert!(decoded(Framing::Chunked, &[bad]).is_err(), "{bad:?}");
        }
        assert!(decoded(Framing::Chunked, &[&[b'0'; MAX_CHUNK_LINE + 1]]).is_err());
        Ok(())
    }

    #[test]
    fn heads() -> anyhow::Result<()> {
        let told = |text: &str| -> anyhow::Result<_> {
            let (head, length) = head(text.as_bytes())?.ok_or(anyhow::anyhow!("partial"))?;
            assert_eq!(length, text.len());
            assert_eq!(head.field("absent"), None);
            Ok((head.status, head.framing, head.is_kept))
        };
        for (text, expected) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-LENGTH: 7\r\n\r\n",
                (200, Framing::Length(7), true),
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n",
                (200, Framing::Length(7), false),
            ),
            (
                "HTTP/1.1 404 Not Found\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
                (404, Framing::Chunked, false),
            ),
            ("HTTP/1.1 500\r\n\r\n", (500, Framing::UntilClose, false)),
        ] {
            assert_eq!(told(text)?, expected, "{text}");
        }
        let (told_of, _) = head(b"HTTP/1.1 201 Created\r\nLocation:  /Q/7/ \r\n\r\n")?
            .ok_or(anyhow::anyhow!("partial"))?;
        assert_eq!(told_of.field("location"), Some("/Q/7/"));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nA: ")?, None);
        assert!(head(b"SSH-2.0-x\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").is_err());
        let mut endless = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        endless.resize(MAX_HEAD + 1, b'a');
        assert!(head(&endless).is_err());
        Ok(())
    }
}
