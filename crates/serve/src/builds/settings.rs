//! What the build server's site is told about its work.

use std::path::PathBuf;

use crate::http::{Limits, Tell};

/// What the build server's site is told about its work.
#[derive(Clone)]
pub struct SiteSettings {
    /// How much anybody may take. Bodies hold a `config.xml` or a webhook's payload.
    pub limits: Limits,
    /// The site's address as its users know it; else what they asked for.
    pub url: Option<String>,
    /// What the site is called for who comes over a socket and names no host but `localhost`: its first port,
    /// say. Nothing where it has none.
    pub address: Option<String>,
    /// Where the supervisor of this host is, if there is one: `/RPC2` is passed on to it for administrators.
    pub supervisor: Option<Supervisor>,
    /// What `/git/notifyCommit` wants as `token`; without one, only who may have jobs built anyway may have
    /// repositories looked at.
    pub notify_token: Option<String>,
    /// Hears what is worth a line in the log; never more than a few hundred characters, all printable.
    pub tell: Tell,
}

impl SiteSettings {
    /// The usual limits, and no supervisor.
    #[must_use]
    pub fn usual(tell: Tell) -> Self {
        Self {
            limits: Limits::usual(),
            url: None,
            address: None,
            supervisor: None,
            notify_token: None,
            tell,
        }
    }
}

impl std::fmt::Debug for SiteSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteSettings")
            .field("limits", &self.limits)
            .field("url", &self.url)
            .field("address", &self.address)
            .field("supervisor", &self.supervisor)
            .finish_non_exhaustive()
    }
}

/// Where a supervisor's XML-RPC is.
#[derive(Clone)]
pub struct Supervisor {
    /// Its socket.
    pub socket: PathBuf,
    /// The name and password that it wants, if any.
    pub credentials: Option<(String, String)>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// Whom a listener takes its visitors for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// For nobody, until they sign in.
    Nobody,
    /// For administrators: a socket that only the server's own user, or root, can connect to.
    Admin,
}
