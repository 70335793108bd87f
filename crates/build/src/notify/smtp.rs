//! Handing a mail to a server (RFC 5321), over TLS where that is wanted (RFC 3207, RFC 8314), signed in where
//! the settings have a secret (RFC 4954).
//!
//! Port 465 speaks TLS from the beginning. Elsewhere TLS begins by `STARTTLS`, if the settings insist on it or
//! there is a password to be sent to another host; a certificate is always looked at.

use std::sync::Arc;
use std::time::Instant;

use data_encoding::BASE64;
use rustls::ClientConfig;

use super::address::Place;
use super::error::{NotifyError, words};
use super::stream::Stream;

/// Where TLS is spoken from the beginning.
const ALWAYS_TLS: u16 = 465;

/// A line of an answer is not longer, bytes (RFC 5321, section 4.5.3.1.5, says 512).
const LINE: usize = 4096;

/// Nor has an answer more lines.
const LINES: usize = 128;

/// Where and how.
#[derive(Debug)]
pub(super) struct Server<'a> {
    pub(super) place: &'a Place,
    /// What we call ourselves.
    pub(super) own_name: &'a str,
    /// User and password.
    pub(super) account: Option<(String, String)>,
    /// TLS is insisted on.
    pub(super) insists_on_tls: bool,
}

/// Whom the server did not take the mail for, and what it said.
pub(super) type Left = Vec<(String, String)>;

/// Hands over a message, whose lines end with CRLF. It succeeds if it is taken for one of `to` at least.
pub(super) fn hand_over(
    server: &Server<'_>,
    from: &str,
    to: &[String],
    message: &str,
    until: Instant,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, NotifyError>,
) -> Result<Left, NotifyError> {
    let mut stream = Stream::connect(server.place, until)?;
    let is_remote = !server.place.is_local();
    if server.place.port == ALWAYS_TLS {
        stream.secure(&tls()?)?;
        said(&mut stream)?.expect(220, &stream)?;
    } else {
        said(&mut stream)?.expect(220, &stream)?;
        if server.insists_on_tls || (server.account.is_some() && is_remote) {
            let offers = greet(&mut stream, server.own_name)?;
            if !offers.has("STARTTLS") {
                return Err(NotifyError::NotOffered {
                    to: stream.to().to_owned(),
                    what: "does not offer STARTTLS",
                    hint: "use port 465 if it speaks TLS from the beginning; a password is sent to another host only in TLS",
                });
            }
            ask(&mut stream, "STARTTLS")?.expect(220, &stream)?;
            stream.secure(&tls()?)?;
        }
    }
    let offers = greet(&mut stream, server.own_name)?;
    if let Some((user, password)) = &server.account {
        sign_in(&mut stream, &offers, user, password)?;
    }
    ask(&mut stream, &format!("MAIL FROM:<{from}>"))?.expect(250, &stream)?;
    let mut left = Left::new();
    let mut refusal = None;
    for address in to {
        let answer = ask(&mut stream, &format!("RCPT TO:<{address}>"))?;
        if !matches!(answer.code, 250..=252) {
            left.push((address.clone(), answer.text()));
            // What may go better later is what decides whether there is another attempt.
            let this = answer.refusal(&stream);
            if refusal.is_none() || this.is_temporary() {
                refusal = Some(this);
            }
        }
    }
    if left.len() == to.len() {
        return Err(refusal.unwrap_or_else(|| stream.nonsense("nobody to send to")));
    }
    ask(&mut stream, "DATA")?.expect(354, &stream)?;
    stream.send(&stuffed(message))?;
    said(&mut stream)?.expect(250, &stream)?;
    // It is taken; how they part does not matter.
    let _ = ask(&mut stream, "QUIT");
    Ok(left)
}

/// A message as it is sent: no line of it looks like its end (RFC 5321, section 4.5.2).
fn stuffed(message: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.lines() {
        if line.starts_with('.') {
            out.push(b'.');
        }
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// What a server offers.
struct Offers(Vec<String>);

impl Offers {
    fn has(&self, what: &str) -> bool {
        self.0.iter().any(|line| line.eq_ignore_ascii_case(what))
    }

    /// Whether it lets people sign in like that.
    fn has_way(&self, way: &str) -> bool {
        self.0.iter().any(|line| {
            let mut parts = line.split([' ', '=']);
            parts
                .next()
                .is_some_and(|first| first.eq_ignore_ascii_case("AUTH"))
                && parts.any(|part| part.eq_ignore_ascii_case(way))
        })
    }
}

fn greet(stream: &mut Stream, own_name: &str) -> Result<Offers, NotifyError> {
    let answer = ask(stream, &format!("EHLO {own_name}"))?;
    if answer.code == 250 {
        return Ok(Offers(answer.lines.into_iter().skip(1).collect()));
    }
    // Servers from before 1995, and some that are asked for little.
    ask(stream, &format!("HELO {own_name}"))?.expect(250, stream)?;
    Ok(Offers(Vec::new()))
}

fn sign_in(
    stream: &mut Stream,
    offers: &Offers,
    user: &str,
    password: &str,
) -> Result<(), NotifyError> {
    let encoded = |text: &str| BASE64.encode(text.as_bytes());
    if offers.has_way("PLAIN") {
        let both = encoded(&format!("\0{user}\0{password}"));
        return ask(stream, &format!("AUTH PLAIN {both}"))?.expect(235, stream);
    }
    if offers.has_way("LOGIN") {
        ask(stream, "AUTH LOGIN")?.expect(334, stream)?;
        ask(stream, &encoded(user))?.expect(334, stream)?;
        return ask(stream, &encoded(password))?.expect(235, stream);
    }
    Err(NotifyError::NotOffered {
        to: stream.to().to_owned(),
        what: if stream.is_secure() {
            "lets nobody sign in by PLAIN or LOGIN"
        } else {
            "lets nobody sign in by PLAIN or LOGIN without TLS"
        },
        hint: "set smtp_tls, or leave out the secret if it wants none",
    })
}

/// What a server answered.
struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl Answer {
    fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    fn refusal(&self, stream: &Stream) -> NotifyError {
        NotifyError::Refused {
            to: stream.to().to_owned(),
            said: words(self.text().as_bytes()),
            temporary: (400..500).contains(&self.code),
        }
    }

    fn expect(&self, code: u16, stream: &Stream) -> Result<(), NotifyError> {
        if self.code == code {
            Ok(())
        } else {
            Err(self.refusal(stream))
        }
    }
}

fn ask(stream: &mut Stream, command: &str) -> Result<Answer, NotifyError> {
    stream.send(format!("{command}\r\n").as_bytes())?;
    said(stream)
}

fn said(stream: &mut Stream) -> Result<Answer, NotifyError> {
    let mut lines = Vec::new();
    while lines.len() < LINES {
        let line = stream.line(LINE)?;
        let Some((code, rest)) = line.split_at_checked(3) else {
            return Err(stream.nonsense("an answer without a number"));
        };
        let code = std::str::from_utf8(code)
            .ok()
            .and_then(|code| code.parse::<u16>().ok())
            .filter(|code| (200..600).contains(code))
            .ok_or_else(|| stream.nonsense("an answer without a number"))?;
        let (goes_on, text) = match rest.split_first() {
            Some((b'-', text)) => (true, text),
            Some((b' ', text)) => (false, text),
            None => (false, rest),
            Some(_) => return Err(stream.nonsense("an answer without a number")),
        };
        lines.push(words(text));
        if !goes_on {
            return Ok(Answer { code, lines });
        }
    }
    Err(stream.nonsense("an answer without an end"))
}

#[cfg(test)]
mod tests {
    use super::stuffed;

    #[test]
    fn no_line_looks_like_the_end() {
        assert_eq!(stuffed("a\r\n.\r\n..b\r\n"), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed(""), b".\r\n");
    }
}
