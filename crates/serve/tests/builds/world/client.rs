//! A client that says exactly what it is told to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use data_encoding::BASE64;

use super::{LIMIT, World};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(called, _)| called.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A request.
pub(crate) struct Ask<'w> {
    world: &'w World,
    head: String,
    body: Vec<u8>,
    by_socket: bool,
    has_host: bool,
}

impl<'w> Ask<'w> {
    pub(super) fn new(world: &'w World, method: &str, path: &str) -> Self {
        Self {
            world,
            head: format!("{method} {path} HTTP/1.1\r\n"),
            body: Vec::new(),
            by_socket: false,
            has_host: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.has_host |= name.eq_ignore_ascii_case("host");
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn basic(self, user: &str, secret: &str) -> Self {
        let said = BASE64.encode(format!("{user}:{secret}").as_bytes());
        self.header("Authorization", &format!("Basic {said}"))
    }

    /// Signed in by a token.
    pub(crate) fn token(self, user: &str) -> Self {
        self.basic(user, &format!("token-of-{user}"))
    }

    pub(crate) fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self = self.header("Content-Type", kind);
        self.body = body.into();
        self
    }

    /// A body of which nothing is said.
    pub(crate) fn content(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn form(self, body: &str) -> Self {
        self.body("application/x-www-form-urlencoded", body)
    }

    pub(crate) fn by_socket(mut self) -> Self {
        self.by_socket = true;
        self
    }

    pub(crate) fn send(mut self) -> Answer {
        if !self.has_host {
            self.head.push_str("Host: ci:8080\r\n");
        }
        self.head.push_str(&format!(
            "Connection: close\r\nContent-Length: {}\r\n\r\n",
            self.body.len()
        ));
        let mut said = self.head.into_bytes();
        said.extend_from_slice(&self.body);
        if self.by_socket {
            let stream = UnixStream::connect(self.world.socket()).expect("connected");
            stream.set_read_timeout(Some(LIMIT)).expect("set");
            exchange(stream, &said)
        } else {
            let stream = TcpStream::connect(("127.0.0.1", self.world.port)).expect("connected");
            stream.set_read_timeout(Some(LIMIT)).expect("set");
            exchange(stream, &said)
        }
    }
}

fn exchange(mut stream: impl Read + Write, said: &[u8]) -> Answer {
    let _ = stream.write_all(said);
    let mut heard = Vec::new();
    // Who is cut off has read what came before.
    let _ = stream.read_to_end(&mut heard);
    let (head, length) = ward_serve::client::head(&heard)
        .expect("HTTP")
        .expect("a whole head");
    let (first, rest) = heard.split_at(length);
    let mut body = Vec::new();
    ward_serve::client::Body::new(head.framing)
        .take(rest, &mut body)
        .expect("a body");
    let headers = String::from_utf8_lossy(first)
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Answer {
        status: head.status,
        headers,
        body,
    }
}
