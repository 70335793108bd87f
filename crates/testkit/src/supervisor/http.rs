//! HTTP/1 as far as a curious client needs it: bytes go out as they are given, answers come back
//! one by one or as they are when the connection closes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At a socket in the file system.
    Unix(PathBuf),
    /// At a port of this host.
    Tcp(u16),
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// A connection, with what was read of it and not yet used.
pub struct Connection {
    stream: Box<dyn Duplex>,
    ahead: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The number in its first line.
    pub status: u16,
    /// Its head: everything up to the empty line.
    pub head: String,
    /// Its body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Its body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn to(endpoint: &Endpoint) -> anyhow::Result<Self> {
        // Short, so that a reader can look at other things in between.
        let pause = Some(Duration::from_millis(50));
        let stream: Box<dyn Duplex> = match endpoint {
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .with_context(|| format!("connecting to {}", path.display()))?;
                stream.set_read_timeout(pause)?;
                Box::new(stream)
            }
            Endpoint::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))
                    .with_context(|| format!("connecting to port {port}"))?;
                stream.set_read_timeout(pause)?;
                Box::new(stream)
            }
        };
        Ok(Self {
            stream,
            ahead: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        Ok(())
    }

    /// Reads once; `None` where there is nothing now, `Some(0)` at the end.
    fn read_more(&mut self) -> anyhow::Result<Option<usize>> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                Ok(Some(count))
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(0)),
            Err(error)
                if [
                    ErrorKind::WouldBlock,
                    ErrorKind::TimedOut,
                    ErrorKind::Interrupted,
                ]
                .contains(&error.kind()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads until what came satisfies `enough`, which says how much of it is used up.
    fn take(
        &mut self,
        what: &str,
        mut enough: impl FnMut(&[u8]) -> Option<usize>,
    ) -> anyhow::Result<Vec<u8>> {
        let started = Instant::now();
        loop {
            if let Some(used) = enough(&self.ahead) {
                let rest = self.ahead.split_off(used);
                return Ok(std::mem::replace(&mut self.ahead, rest));
            }
            if self.read_more()? == Some(0) {
                bail!(
                    "the connection closed before {what}; it had: {}",
                    String::from_utf8_lossy(&self.ahead)
                );
            }
            ensure!(
                started.elapsed() < LIMIT,
                "waited {LIMIT:?} for {what}; it had: {}",
                String::from_utf8_lossy(&self.ahead)
            );
        }
    }

    fn line(&mut self, what: &str) -> anyhow::Result<String> {
        let line = self.take(what, |bytes| find(bytes, b"\r\n").map(|at| at + 2))?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Reads the head of an answer; what follows is left for other methods.
    ///
    /// # Errors
    /// When none comes.
    pub fn head(&mut self) -> anyhow::Result<Response> {
        let head = self.take("the head of an answer", |bytes| {
            find(bytes, b"\r\n\r\n").map(|at| at + 4)
        })?;
        let head = String::from_utf8_lossy(&head).trim_end().to_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("no status in {head}"))?;
        Ok(Response {
            status,
            head,
            body: Vec::new(),
        })
    }

    /// Reads an answer whole: by its length, its chunks, or to the end of the connection.
    ///
    /// # Errors
    /// When it does not come, or not whole.
    pub fn response(&mut self) -> anyhow::Result<Response> {
        let mut response = self.head()?;
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse()?;
            response.body =
                self.take("a body", |bytes| (bytes.len() >= length).then_some(length))?;
        } else if response
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            while let Some(chunk) = self.chunk()? {
                response.body.extend(chunk);
            }
        } else {
            response.body = self.to_end()?;
        }
        Ok(response)
    }

    /// One chunk; none at the end of the body.
    ///
    /// # Errors
    /// When none comes.
    pub fn chunk(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let line = self.line("the length of a chunk")?;
        let length = usize::from_str_radix(&line, 16).with_context(|| format!("length {line}"))?;
        let mut chunk = self.take("a chunk", |bytes| {
            (bytes.len() >= length + 2).then_some(length + 2)
        })?;
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }

    /// Chunks until they contain `text`, put together.
    ///
    /// # Errors
    /// When it does not come.
    pub fn chunks_until(&mut self, text: &str) -> anyhow::Result<String> {
        let mut all = String::new();
        while !all.contains(text) {
            let chunk = self
                .chunk()?
                .with_context(|| format!("the body ended without {text}: {all}"))?;
            all.push_str(&String::from_utf8_lossy(&chunk));
        }
        Ok(all)
    }

    /// Everything until the other side closes.
    ///
    /// # Errors
    /// When it does not.
    pub fn to_end(&mut self) -> anyhow::Result<Vec<u8>> {
        let started = Instant::now();
        while self.read_more()? != Some(0) {
            ensure!(
                started.elapsed() < LIMIT,
                "the connection is not closed; it had: {}",
                String::from_utf8_lossy(&self.ahead)
            );
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Whether nothing has come so far, and the other side is still there.
    ///
    /// # Errors
    /// When reading fails.
    pub fn is_silent(&mut self) -> anyhow::Result<bool> {
        Ok(self.ahead.is_empty() && self.read_more()?.is_none())
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

/// Sends `request` over a connection of its own and reads the answer.
///
/// # Errors
/// When nobody listens, or no answer comes.
pub fn ask(endpoint: &Endpoint, request: impl AsRef<[u8]>) -> anyhow::Result<Response> {
    let mut connection = Connection::to(endpoint)?;
    connection.send(request)?;
    connection.response()
}
