//! A client that says exactly what it is told to.

use std::io::{BufRead, BufReader, Read, Write};

use ward_serve::xmlrpc::{Call, FaultValue, Value, parse_response, write_call};

/// An answer of HTTP.
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
}

/// A connection.
pub(crate) struct Client<S: Read + Write> {
    stream: BufReader<S>,
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn stream(&self) -> &S {
        self.stream.get_ref()
    }

    /// Says something; a server that has gone away already is seen when it is read from.
    pub(crate) fn say(&mut self, text: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(text.as_ref());
    }

    /// Asks, and reads the answer.
    pub(crate) fn ask(&mut self, text: impl AsRef<[u8]>) -> Answer {
        self.say(text);
        self.answer().expect("an answer")
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
    }

    /// The status line and the headers.
    pub(crate) fn head(&mut self) -> Option<Answer> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
        Some(Answer {
            status,
            headers,
            body: Vec::new(),
        })
    }

    /// An answer whose length is known; nothing if the connection ends before.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head()?;
        let length = answer.header("content-length")?.parse().ok()?;
        answer.body = vec![0; length];
        self.stream.read_exact(&mut answer.body).ok()?;
        Some(answer)
    }

    /// The next piece of an answer without length.
    pub(crate) fn piece(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut piece = vec![0; length + 2];
        self.stream.read_exact(&mut piece).ok()?;
        piece.truncate(length);
        Some(piece)
    }

    /// Pieces until they end with something; all of them.
    pub(crate) fn pieces_until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let piece = self.piece();
            let Some(piece) = piece else {
                panic!("ended after {:?}", String::from_utf8_lossy(&all));
            };
            all.extend(piece);
        }
        String::from_utf8(all).expect("text")
    }

    /// Whether the server ended the connection without saying anything more.
    pub(crate) fn is_ended(&mut self) -> bool {
        let mut rest = [0; 1];
        match self.stream.read(&mut rest) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Calls a method.
    pub(crate) fn call(&mut self, method: &str, params: Vec<Value>) -> Result<Value, FaultValue> {
        let answer = self.ask(call(method, params));
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.header("content-type"), Some("text/xml"));
        parse_response(&answer.body).expect("XML-RPC")
    }
}

/// A request that calls a method.
pub(crate) fn call(method: &str, params: Vec<Value>) -> Vec<u8> {
    let call = Call {
        method: method.to_owned(),
        params,
    };
    post("/RPC2", "Content-Type: text/xml\r\n", &write_call(&call))
}

/// A request with a body.
pub(crate) fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    request.extend(body);
    request
}
