//! Learning that a daemon is ready to serve.
//!
//! [`Watch::prepare`] makes what the daemon must be given (a socket's name, a pipe),
//! [`Watch::wait`] waits until it shows that it is ready, is over, or has had its time. Every
//! single attempt is bounded, and an end of the daemon or of the time ends it at once.
//!
//! What is here may only look: it starts nothing but the command that `exec:` asks for (and
//! getent(1), for a host's name), sends the daemon nothing but what the way demands, and
//! decides nothing about its life.

mod connect;
mod exec;
mod http;
mod log;
mod newline;
mod notify;
mod patience;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use regex_lite::Regex;
use ward_model::exit_code;
use ward_model::ready::{BadReady, Ready};

use connect::Server;
use exec::Probe;
use log::Follower;
use newline::NewlinePipe;
use notify::Notifications;
use patience::{Patience, Stop};

/// The first pause between two attempts.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
/// Pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Why nobody could watch. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// What was asked for is no way to get ready.
    #[error(transparent)]
    Way(#[from] BadReady),
    /// What follows `log:` is no regular expression.
    #[error("`{pattern}` is not a regular expression")]
    Regex {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: regex_lite::Error,
    },
    /// No socket for `notify`.
    #[error("cannot make the socket that the daemon is to notify")]
    Socket(#[source] io::Error),
    /// No pipe for `fd`.
    #[error("cannot make the pipe that the daemon is to write a newline to")]
    Pipe(#[source] io::Error),
}

impl ReadyError {
    /// The exit status that tells it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Way(_) | Self::Regex { .. } => exit_code::USAGE,
            Self::Socket(_) | Self::Pipe(_) => exit_code::WARD_FAILED,
        }
    }
}

/// How waiting for a daemon came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is ready, and was not over when that was known.
    Ready,
    /// It is over.
    Ended,
    /// The deadline has passed.
    TimedOut {
        /// Why it was not ready yet: words for people, on one line, without a full stop.
        last: String,
    },
    /// It lives and its time is not over, but it can no longer say that it is ready.
    Never {
        /// Why not: as above.
        why: String,
    },
}

/// What one look at a daemon gave.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Ready,
    /// Why not: as in [`Verdict::TimedOut`].
    NotYet(String),
}

/// The one way in which this daemon shows that it is ready.
#[derive(Debug)]
enum Way {
    Notify(Notifications),
    Fd(NewlinePipe),
    Tcp(Server),
    Unix(String),
    Http(http::Question),
    Log(Regex, Option<Follower>),
    Exec(Probe),
}

/// Somebody who waits for one daemon to get ready. Drop it when [`Watch::wait`] is over: what
/// the daemon may still send to a socket that nobody reads would fill it, and stop its sender.
#[derive(Debug)]
pub struct Watch {
    way: Way,
    /// It has shown that it is ready, which it need not do twice.
    shown: bool,
}

/// Whether `ready` can be watched for, without making anything: for command lines.
///
/// # Errors
/// [`ReadyError::Regex`].
pub fn check(ready: &Ready) -> Result<(), ReadyError> {
    match ready {
        Ready::Log(pattern) => regex(pattern).map(drop),
        Ready::Notify
        | Ready::Fd(_)
        | Ready::Tcp(_)
        | Ready::Unix(_)
        | Ready::Http(_)
        | Ready::Exec(_) => Ok(()),
    }
}

fn regex(pattern: &str) -> Result<Regex, ReadyError> {
    Regex::new(pattern).map_err(|source| ReadyError::Regex {
        pattern: pattern.to_owned(),
        source,
    })
}

impl Watch {
    /// Makes what `ready` needs. To be called before the daemon is started.
    ///
    /// # Errors
    /// [`ReadyError`].
    pub fn prepare(ready: &Ready) -> Result<Self, ReadyError> {
        let way = match ready {
            Ready::Notify => Way::Notify(Notifications::new().map_err(ReadyError::Socket)?),
            Ready::Fd(number) => Way::Fd(NewlinePipe::new(*number).map_err(ReadyError::Pipe)?),
            Ready::Tcp(server) => Way::Tcp(Server::new(server)),
            Ready::Unix(path) => Way::Unix(path.clone()),
            Ready::Http(url) => Way::Http(http::Question::new(url)),
            Ready::Log(pattern) => Way::Log(regex(pattern)?, None),
            Ready::Exec(words) => Way::Exec(Probe::new(words)),
        };
        Ok(Self { way, shown: false })
    }

    /// What the daemon's environment must have on top; takes the place of variables of the
    /// same name.
    #[must_use]
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        match &self.way {
            Way::Notify(notifications) => {
                vec![("NOTIFY_SOCKET".into(), notifications.address().into())]
            }
            Way::Fd(_)
            | Way::Tcp(_)
            | Way::Unix(_)
            | Way::Http(_)
            | Way::Log(..)
            | Way::Exec(_) => Vec::new(),
        }
    }

    /// The descriptor that the daemon must be given, and the number that it must have there
    /// (3 to 1023): once, and only for `fd`. Close-on-exec here. Close it as soon as the daemon
    /// has its own, so that it is known when the daemon closes that.
    pub fn take_passed(&mut self) -> Option<(OwnedFd, i32)> {
        match &mut self.way {
            Way::Fd(pipe) => pipe.take_passed(),
            Way::Notify(_)
            | Way::Tcp(_)
            | Way::Unix(_)
            | Way::Http(_)
            | Way::Log(..)
            | Way::Exec(_) => None,
        }
    }

    /// Says as whom the daemon runs, if not as we do. Whatever others than root, this user and
    /// our own send to the socket of `notify` is ignored.
    pub fn expect_uid(&mut self, uid: u32) {
        if let Way::Notify(notifications) = &mut self.way {
            notifications.expected_uid = Some(uid);
        }
    }

    /// What the daemon last said of itself (`STATUS=` and `ERRNO=` of sd_notify(3)), for people
    /// and on one line: also of use after [`Verdict::Ended`].
    #[must_use]
    pub fn daemon_status(&self) -> Option<String> {
        match &self.way {
            Way::Notify(notifications) => notifications.said(),
            Way::Fd(_)
            | Way::Tcp(_)
            | Way::Unix(_)
            | Way::Http(_)
            | Way::Log(..)
            | Way::Exec(_) => None,
        }
    }

    /// Waits until the daemon is ready or over, or until the `deadline`; without one, as long
    /// as it lives.
    ///
    /// `gone` becomes readable, or is hung up, when the daemon is over. `log` is the file with
    /// its output, which may not exist yet, and `log_from` the byte at which its own begins;
    /// only `log:` reads it.
    ///
    /// May be called again, for the same daemon and log, where `gone` turned out to mean less
    /// than the end: nothing that was learnt is lost.
    pub fn wait(
        &mut self,
        log: &Path,
        log_from: u64,
        gone: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> Verdict {
        let patience = Patience::new(gone, deadline);
        let mut last = String::new();
        let outcome = if self.shown {
            Ok(())
        } else {
            self.watch(log, log_from, &patience, &mut last)
        };
        self.shown = outcome.is_ok();
        match outcome {
            Ok(()) if patience.daemon_is_gone() => Verdict::Ended,
            Ok(()) => Verdict::Ready,
            Err(Stop::Gone) => Verdict::Ended,
            Err(Stop::Late) => Verdict::TimedOut { last },
            Err(Stop::Never) if patience.daemon_is_gone() => Verdict::Ended,
            Err(Stop::Never) => Verdict::Never { why: last },
        }
    }

    fn watch(
        &mut self,
        log: &Path,
        log_from: u64,
        patience: &Patience<'_>,
        last: &mut String,
    ) -> Result<(), Stop> {
        match &mut self.way {
            Way::Notify(notifications) => notifications.wait(patience, last),
            Way::Fd(pipe) => pipe.wait(patience, last),
            Way::Tcp(server) => poll(patience, last, |_| server.look(patience)),
            Way::Unix(path) => poll(patience, last, |_| Ok(connect::look_unix(path))),
            Way::Http(question) => poll(patience, last, |last| question.look(patience, last)),
            Way::Log(regex, follower) => {
                let follower = follower.get_or_insert_with(|| Follower::new(log, log_from));
                poll(patience, last, |_| follower.look(regex, patience))
            }
            Way::Exec(probe) => poll(patience, last, |last| probe.look(patience, last)),
        }
    }
}

/// Looks again and again, with pauses that grow. A look gets `last` to say in it what it is
/// waiting for, should it not come to an end.
fn poll(
    patience: &Patience<'_>,
    last: &mut String,
    mut look: impl FnMut(&mut String) -> Result<Look, Stop>,
) -> Result<(), Stop> {
    let mut pause = SHORTEST_PAUSE;
    loop {
        match look(last)? {
            Look::Ready => return Ok(()),
            Look::NotYet(why) => *last = why,
        }
        patience.pause(pause)?;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
