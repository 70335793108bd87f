//! Readiness by `READY=1` on a socket, as sd_notify(3) has it.
//!
//! Lines of `NAME=VALUE` in datagrams. Of these `READY`, `STATUS`, `ERRNO` and `BARRIER` are
//! understood and all others ignored, as that page asks for. Anybody may send to an abstract
//! socket whose name he learns (`/proc/net/unix` lists it), so only certain users are listened
//! to. Which of their processes speaks does not matter: a start script may do so for its daemon.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use ward_sys::notify::{Datagram, NotifySocket};

use super::patience::{Patience, Stop, Waited};

/// The longest message that is understood, bytes: so long may they be for systemd, too.
const LONGEST_MESSAGE: usize = 4096;
/// As much of a status as is shown to people, characters.
const LONGEST_STATUS: usize = 200;
/// How long the socket outlives `READY=1`, if no `BARRIER=1` comes.
const LINGER: Duration = Duration::from_millis(50);
/// Messages taken before the daemon's end and the deadline are looked at again.
const BATCH: usize = 64;

/// The socket and what was heard on it.
#[derive(Debug)]
pub(super) struct Notifications {
    socket: NotifySocket,
    /// As whom the daemon runs, if not as we do.
    pub(super) expected_uid: Option<u32>,
    said: Said,
    /// Messages of others.
    strangers: Strangers,
}

/// What the daemon said of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    status: Option<String>,
    errno: Option<i32>,
    /// It wants to know that what it said before was heard. (The descriptor that comes with
    /// it is closed when it is received, which is the answer.)
    barrier: bool,
}

#[derive(Debug, Default)]
struct Strangers {
    count: u64,
    last: Option<(i32, u32)>,
}

impl Notifications {
    /// Makes the socket.
    ///
    /// # Errors
    /// As [`NotifySocket::new`].
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            socket: NotifySocket::new()?,
            expected_uid: None,
            said: Said::default(),
            strangers: Strangers::default(),
        })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(super) fn address(&self) -> String {
        format!("@{}", self.socket.name())
    }

    pub(super) fn wait(&mut self, patience: &Patience<'_>, last: &mut String) -> Result<(), Stop> {
        loop {
            *last = self.why_not();
            patience.wait(Some((self.socket.as_fd(), PollFlags::IN)), None)?;
            if self.hear() {
                self.linger(patience);
                return Ok(());
            }
            *last = self.why_not();
            patience.check()?;
        }
    }

    /// Listens on for a moment, as systemd-notify(1) and others that send `BARRIER=1`
    /// (sd_notify_barrier(3)) next would fail if the socket was gone by then. What counts was
    /// said already, so that the deadline does not matter any more.
    fn linger(&mut self, patience: &Patience<'_>) {
        let until = Instant::now() + LINGER;
        while !self.said.barrier {
            match patience.wait(Some((self.socket.as_fd(), PollFlags::IN)), Some(until)) {
                Ok(Waited::Able) if Instant::now() < until => drop(self.hear()),
                Ok(Waited::Able | Waited::Elapsed) | Err(Stop::Gone | Stop::Late | Stop::Never) => {
                    break;
                }
            }
        }
    }

    /// What the daemon said of itself, for people.
    pub(super) fn said(&self) -> Option<String> {
        let errno = self.said.errno.map(|errno| {
            let error = io::Error::from_raw_os_error(errno);
            format!("error: {error}")
        });
        let status = self.said.status.as_ref();
        let status = status.map(|status| format!("status: {status}"));
        let parts: Vec<String> = status.into_iter().chain(errno).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Takes messages that wait, and says whether one of them was the one.
    pub(super) fn hear(&mut self) -> bool {
        let mut buffer = [0; LONGEST_MESSAGE];
        for _ in 0..BATCH {
            // An error is one of an earlier message, and taken by being told.
            let Ok(Some(datagram)) = self.socket.receive(&mut buffer) else {
                break;
            };
            if self.is_trusted(&datagram) && self.said.hear(&buffer, &datagram) {
                return true;
            }
        }
        false
    }

    fn is_trusted(&mut self, datagram: &Datagram) -> bool {
        let sender = datagram.sender.map(|sender| (sender.pid, sender.uid));
        let trusted = sender.is_some_and(|(_, uid)| {
            // The kernel tells the real user of a sender, which a set-user-ID one keeps.
            let real = rustix::process::getuid().as_raw();
            let effective = rustix::process::geteuid().as_raw();
            [Some(0), Some(real), Some(effective), self.expected_uid].contains(&Some(uid))
        });
        if !trusted {
            self.strangers.count += 1;
            self.strangers.last = sender;
        }
        trusted
    }

    fn why_not(&self) -> String {
        let mut text = "no READY=1 came to its NOTIFY_SOCKET".to_owned();
        if let Some(said) = self.said() {
            text.push_str(&format!("; its {said}"));
        }
        if let Some((pid, uid)) = self.strangers.last {
            let count = self.strangers.count;
            let s = if count == 1 { "" } else { "s" };
            text.push_str(&format!(
                "; {count} message{s} ignored, the last from process {pid} of user {uid}, who is not the daemon's"
            ));
        }
        text
    }
}

impl Said {
    /// Reads a message, and says whether it is the one.
    fn hear(&mut self, buffer: &[u8], datagram: &Datagram) -> bool {
        let mut message = buffer.get(..datagram.length).unwrap_or(buffer);
        if datagram.truncated {
            // A line that was cut may say another thing than the whole one.
            let end = message.iter().rposition(|byte| *byte == b'\n');
            message = &message[..end.unwrap_or(0)];
        }
        let mut ready = false;
        for line in message.split(|byte| *byte == b'\n' || *byte == 0) {
            let line = String::from_utf8_lossy(line);
            match line.split_once('=') {
                Some(("READY", "1")) => ready = true,
                Some(("BARRIER", "1")) => self.barrier = true,
                Some(("STATUS", text)) => self.status = presentable(text),
                Some(("ERRNO", number)) => self.errno = number.parse().ok(),
                Some(_) | None => {}
            }
        }
        ready
    }
}

/// As people may see it on their terminal: short, on one line, without control characters.
fn presentable(text: &str) -> Option<String> {
    let mut shown: String = text
        .trim()
        .chars()
        .take(LONGEST_STATUS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.trim().chars().nth(LONGEST_STATUS).is_some() {
        shown.push('…');
    }
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(said: &mut Said, message: &str, truncated: bool) -> bool {
        let datagram = Datagram {
            length: message.len(),
            truncated,
            sender: None,
        };
        said.hear(message.as_bytes(), &datagram)
    }

    #[test]
    fn messages() {
        let mut said = Said::default();
        for (message, truncated, ready) in [
            ("READY=1", false, true),
            ("READY=1\n", false, true),
            ("MAINPID=4\nREADY=1\nSTATUS=up", false, true),
            ("READY=1", true, false),
            ("READY=1\nX=", true, true),
            ("READY=0", false, false),
            ("READY=10", false, false),
            ("ready=1", false, false),
            ("STATUS=READY=1", false, false),
            ("XREADY=1", false, false),
            ("READY", false, false),
            ("", false, false),
            ("\n\n=\n", false, false),
        ] {
            assert_eq!(hear(&mut said, message, truncated), ready, "{message:?}");
        }
    }

    #[test]
    fn the_last_status_is_kept_and_harmless() {
        let mut said = Said::default();
        hear(&mut said, "STATUS=one\nERRNO=2", false);
        assert_eq!((said.status.as_deref(), said.errno), (Some("one"), Some(2)));
        hear(&mut said, "STATUS=two \x1b[31m\u{7}\nERRNO=x", false);
        assert_eq!(said.status.as_deref(), Some("two  [31m "));
        assert_eq!(said.errno, None);
        hear(&mut said, &format!("STATUS={}", "é".repeat(300)), false);
        assert_eq!(said.status.map(|status| status.chars().count()), Some(201));
    }
}
