//! Sending a document by HTTP (RFC 9112): one POST, one answer, no redirects.

use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;

use super::address::Url;
use super::error::{NotifyError, words};
use super::stream::Stream;

/// The first line of an answer is not longer, bytes.
const LINE: usize = 8 << 10;

/// What announces an answer comes no more often than this (RFC 9110, section 15.2).
const ANNOUNCEMENTS: usize = 8;

/// Lines of a head.
const FIELDS: usize = 128;

/// Sends `body`, which is JSON.
pub(super) fn post(
    url: &Url,
    body: &str,
    until: Instant,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, NotifyError>,
) -> Result<(), NotifyError> {
    let mut stream = Stream::connect(&url.place, until)?;
    if url.tls {
        stream.secure(&tls()?)?;
    }
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ward\r\nAccept: */*\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        url.path,
        url.authority(),
        body.len()
    );
    stream.send(request.as_bytes())?;
    for _ in 0..ANNOUNCEMENTS {
        let line = stream.line(LINE)?;
        let status = status(&line).ok_or_else(|| stream.nonsense("no answer of HTTP"))?;
        match status {
            100..=199 => {
                let mut fields = 0;
                while !stream.line(LINE)?.is_empty() {
                    fields += 1;
                    if fields > FIELDS {
                        return Err(stream.nonsense("a head without an end"));
                    }
                }
            }
            200..=299 => return Ok(()),
            _ => {
                return Err(NotifyError::Refused {
                    to: stream.to().to_owned(),
                    said: words(&line),
                    temporary: matches!(status, 408 | 425 | 429 | 500..=599),
                });
            }
        }
    }
    Err(stream.nonsense("announcements without an answer"))
}

fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.get(..12)?).ok()?;
    let code = line.strip_prefix("HTTP/1.")?.get(2..)?;
    code.parse().ok().filter(|code| (100..600).contains(code))
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn first_lines() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK", Some(200)),
            ("HTTP/1.0 404", Some(404)),
            ("HTTP/1.1 20", None),
            ("HTTP/2.0 200", None),
            ("SSH-2.0-x", None),
            ("", None),
            ("HTTP/1.1 999", None),
        ] {
            assert_eq!(status(line.as_bytes()), expected, "{line}");
        }
    }
}
