//! Lines for the host's log: datagrams to a socket, as syslog(3) sends them with `LOG_USER` and
//! `LOG_INFO`. Never waits; what could not be sent is counted, and said.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use jiff::Zoned;
use ward_config::value::LogLevel;

use super::notice::Notice;

/// Where the host's log listens.
const PLACE: &str = "/dev/log";
/// Facility 1 (user), severity 6 (informational): RFC 3164, section 4.1.1.
const PRIORITY: u32 = 14;
/// Under this name.
const IDENT: &str = "supervisord";
/// So much waits at most while the log does not listen, bytes.
const MOST_WAITING: usize = 256 * 1024;
/// A datagram that is refused for its size is cut to this, bytes.
const SURELY: usize = 1024;

/// The way to the host's log.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    socket: Option<UnixDatagram>,
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
    /// Why nothing gets through at the moment.
    silent: bool,
    notices: Vec<Notice>,
}

impl Default for Syslog {
    fn default() -> Self {
        Self::at(Path::new(PLACE))
    }
}

impl Syslog {
    /// To a socket elsewhere.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.into(),
            state: RefCell::default(),
        }
    }

    /// Sends a line, now or when the log listens again.
    pub fn send(&self, line: &[u8]) {
        let now = Zoned::now().strftime("%b %e %H:%M:%S");
        let mut datagram = format!("<{PRIORITY}>{now} {IDENT}: ").into_bytes();
        datagram.extend_from_slice(line);
        let mut state = self.state.borrow_mut();
        if state.bytes + datagram.len() > MOST_WAITING {
            state.lost += 1;
        } else {
            state.bytes += datagram.len();
            state.waiting.push_back(datagram);
        }
        state.flush(&self.path);
    }

    /// Sends what waits. Whether nothing waits any more; else it is to be called again some time.
    pub fn flush(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.flush(&self.path);
        state.waiting.is_empty()
    }

    /// Whether it is there, and only does not keep up: then it is worth waiting for.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let state = self.state.borrow();
        !state.waiting.is_empty() && state.socket.is_some()
    }

    /// Lines about it for the main log, since the last call.
    pub fn notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.state.borrow_mut().notices)
    }
}

impl State {
    fn flush(&mut self, path: &Path) {
        while let Some(datagram) = self.waiting.front() {
            let sent = send(&mut self.socket, path, datagram);
            match sent {
                Ok(()) => {}
                Err(error) if is_too_long(&error) && datagram.len() > SURELY => {
                    let shorter = datagram.get(..SURELY).unwrap_or_default().to_vec();
                    self.bytes -= datagram.len() - shorter.len();
                    if let Some(front) = self.waiting.front_mut() {
                        *front = shorter;
                    }
                    continue;
                }
                Err(error) => {
                    let full = error.kind() == io::ErrorKind::WouldBlock;
                    if !full {
                        self.socket = None;
                    }
                    self.complain(path, (!full).then_some(&error));
                    return;
                }
            }
            self.bytes -= datagram.len();
            self.waiting.pop_front();
        }
        if std::mem::take(&mut self.silent) || self.lost > 0 {
            let text = match std::mem::take(&mut self.lost) {
                0 => "syslog goes on; nothing was lost".to_owned(),
                lost => format!("syslog goes on; lines lost: {lost}"),
            };
            self.notices.push(Notice::new(LogLevel::Warn, text));
        }
    }

    /// Once for each time; a full socket only where lines are lost.
    fn complain(&mut self, path: &Path, error: Option<&io::Error>) {
        if self.silent || (error.is_none() && self.lost == 0) {
            return;
        }
        self.silent = true;
        let path = path.display();
        let text = match error {
            Some(error) => format!("syslog at '{path}' cannot be reached: {error}"),
            None => format!("syslog at '{path}' does not keep up"),
        };
        self.notices.push(Notice::new(LogLevel::Warn, text));
    }
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

fn send(socket: &mut Option<UnixDatagram>, path: &Path, datagram: &[u8]) -> io::Result<()> {
    let socket = match socket {
        Some(socket) => socket,
        none => {
            let fresh = UnixDatagram::unbound()?;
            fresh.set_nonblocking(true)?;
            fresh.connect(path)?;
            none.insert(fresh)
        }
    };
    socket.send(datagram).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn lines_go_as_syslog_sends_them_and_wait_while_nobody_listens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let syslog = Syslog::at(&path);
        syslog.send(b"early");
        assert!(!syslog.flush());
        let notices = syslog.notices();
        assert_eq!(notices.len(), 1);
        assert!(notices[0].text.contains("cannot be reached"), "{notices:?}");
        assert!(!syslog.is_busy(), "nobody is woken for who is not there");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        assert!(syslog.flush());
        syslog.send(b"web hello");
        for text in ["early", "web hello"] {
            let line = received(&socket);
            let (head, rest) = line.split_at(4);
            assert_eq!(head, "<14>");
            // `Nov 21 19:52:03`, then the name without a process id.
            let (time, rest) = rest.split_at(15);
            assert_eq!(time.as_bytes()[6], b' ');
            assert_eq!(time.as_bytes()[12], b':');
            assert_eq!(rest, format!(" supervisord: {text}"));
        }
        assert!(syslog.notices()[0].text.contains("nothing was lost"));
        // It goes and comes again.
        drop(socket);
        std::fs::remove_file(&path).expect("removed");
        syslog.send(b"kept");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        syslog.send(b"next");
        assert!(received(&socket).ends_with(": kept"));
        assert!(received(&socket).ends_with(": next"));
    }

    #[test]
    fn what_is_lost_is_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let syslog = Syslog::at(&path);
        let line = vec![b'x'; 4000];
        for _ in 0..1000 {
            syslog.send(&line);
        }
        assert!(!syslog.flush() && syslog.is_busy());
        socket.set_nonblocking(true).expect("set");
        let mut got = 0;
        let mut bytes = [0; 5000];
        while !syslog.flush() {
            while socket.recv(&mut bytes).is_ok() {
                got += 1;
            }
        }
        while socket.recv(&mut bytes).is_ok() {
            got += 1;
        }
        let texts: Vec<_> = syslog.notices().into_iter().map(|it| it.text).collect();
        assert!(texts[0].contains("does not keep up"), "{texts:?}");
        assert_eq!(
            texts[1],
            format!("syslog goes on; lines lost: {}", 1000 - got)
        );
    }
}
