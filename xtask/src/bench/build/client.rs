//! A client of a build server, by hand: nothing of ours uses the product.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An answer takes no longer, or there is none.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever asks the server at a socket.
pub(super) struct Client {
    socket: PathBuf,
}

/// An answer: its head and what follows.
pub(super) struct Answer {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Whether it is a page, and not the way to another one.
    pub(super) fn is_page(&self) -> bool {
        self.head.split(' ').nth(1) == Some("200") && self.body.starts_with(b"<!")
    }

    /// A field of its head, by its name in small letters.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

impl Client {
    pub(super) fn of(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// One request on a connection of its own, which is told of no more.
    fn send(&self, method: &str, path: &str, body: &str) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket).context("connecting")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let kind = match body {
            "" => "",
            _ => "Content-Type: application/json\r\n",
        };
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\n{kind}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).context("asking")?;
        Ok(stream)
    }

    /// The whole answer to a request without a body.
    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Answer> {
        self.tell(method, path, "")
    }

    fn tell(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut text = Vec::new();
        self.send(method, path, body)?
            .read_to_end(&mut text)
            .context("reading the answer")?;
        let end = text
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .context("an answer without a head")?;
        let head = String::from_utf8_lossy(&text[..end]).into_owned();
        let body = text.split_off(end + 4);
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with(['2', '3']) {
            bail!(
                "{method} {path}: {}",
                head.lines().next().unwrap_or_default()
            );
        }
        Ok(Answer { head, body })
    }

    pub(super) fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.ask("GET", path)?.body).with_context(|| path.to_owned())
    }

    /// Posts JSON, and is answered with some.
    pub(super) fn post_json(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.tell("POST", path, &body.to_string())?;
        serde_json::from_slice(&answer.body).with_context(|| path.to_owned())
    }

    /// Asks for something that has no answer to speak of.
    pub(super) fn start(&self, path: &str) -> Result<()> {
        self.ask("POST", path).map(drop)
    }

    /// An answer that comes piece by piece.
    pub(super) fn stream(&self, path: &str) -> Result<UnixStream> {
        self.send("GET", path, "")
    }
}
