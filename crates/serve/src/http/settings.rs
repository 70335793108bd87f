//! What a server is told about its work.

use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// How much anybody may take of a listener. Every one has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. One more costs the one that is of least use: that has been idle for longest,
    /// else has not asked yet, or not sent all, else does not read its answer, else follows a log; whose call is being
    /// worked on is never cut off.
    pub connections: usize,
    /// How long a request may take to arrive up to its body, and how long who connects may say nothing.
    pub head: Duration,
    /// How long a body may take to arrive.
    pub body: Duration,
    /// How long a connection may be idle between requests. Event listeners keep one for hourly calls.
    pub idle: Duration,
    /// How long who is answered may not take anything of it. Of a log that is followed: for ever.
    pub stalled: Duration,
    /// Bytes of request line and headers.
    pub head_bytes: usize,
    /// Bytes of a body. `sendProcessStdin` is what may need many: a program gets them piece by piece.
    pub body_bytes: usize,
    /// Bytes of all bodies of more than 64 KiB together; who would go beyond waits.
    pub large_bytes: usize,
    /// How long an action of the status page is waited for before the page says that it goes on.
    pub page: Duration,
}

impl Limits {
    /// What bodies are small ones.
    pub(crate) const SMALL: usize = 64 << 10;

    /// For anybody: 1,024 connections, but a quarter of the files that may be open at the most.
    #[must_use]
    pub fn usual() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let quarter = usize::try_from(files / 4).unwrap_or(usize::MAX);
        Self {
            connections: quarter.clamp(16, 1024),
            head: Duration::from_secs(30),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(24 * 60 * 60),
            stalled: Duration::from_secs(60),
            head_bytes: 16 << 10,
            body_bytes: 4 << 20,
            large_bytes: 32 << 20,
            page: Duration::from_secs(15),
        }
    }
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Somebody has to look at it.
    Critical,
    /// Something did not work.
    Error,
    /// Something is worth knowing.
    Info,
    /// For who looks for a fault: every call.
    Trace,
}

/// Hears a line for the log.
pub type Tell = Rc<dyn Fn(Weight, &str)>;

/// What a server is told about its work.
#[derive(Clone)]
pub struct Settings {
    /// How much anybody may take.
    pub limits: Limits,
    /// Whether there is a `[rpcinterface:supervisor]`: without it all of `supervisor.*` is unknown.
    pub supervisor_namespace: bool,
    /// Hears what is worth a line in the log; never more than a few hundred characters, all printable.
    pub tell: Tell,
}

impl Settings {
    /// The usual limits, with `supervisor.*`.
    #[must_use]
    pub fn usual(tell: Tell) -> Self {
        Self {
            limits: Limits::usual(),
            supervisor_namespace: true,
            tell,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("limits", &self.limits)
            .field("supervisor_namespace", &self.supervisor_namespace)
            .finish_non_exhaustive()
    }
}
