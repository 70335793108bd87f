//! Why the cluster did not do what was asked; and, within a request, why a member did not.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use super::lease::LeaseId;
use super::refusal::{Meaning, Refusal};
use super::settings::SettingsError;
use super::wait::Stop;

/// Why the cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// The settings cannot be used. Nothing was asked.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No member answered in time, or none could.
    #[error("no etcd member could be made to {doing}: {}", list(failures))]
    Unreachable {
        /// What was asked.
        doing: &'static str,
        /// The members, and why each did not; those that were not reached in time are missing.
        failures: Vec<(String, Failure)>,
        /// Whether one of them may have done it all the same.
        uncertain: bool,
    },
    /// The user or the password is wrong, or the user has been taken away.
    #[error("etcd does not let the user `{user}` in: {message}")]
    Authentication {
        /// Who wanted in.
        user: String,
        /// etcd's words.
        message: String,
    },
    /// The cluster wants to know who asks.
    #[error("etcd wants a user and a password to {doing}")]
    Anonymous {
        /// What was asked.
        doing: &'static str,
    },
    /// The user may not.
    #[error("etcd does not allow {} to {doing}", whom(user.as_deref()))]
    Denied {
        /// What was asked.
        doing: &'static str,
        /// As whom.
        user: Option<String>,
    },
    /// The cluster takes nothing more until somebody has made room (the alarm NOSPACE).
    #[error("the database of etcd is full (alarm NOSPACE, told by {member}): it cannot {doing}")]
    NoSpace {
        /// What was asked.
        doing: &'static str,
        /// Which member said so.
        member: String,
    },
    /// The lease has run out, or was revoked: what depended on it is gone.
    #[error("the lease {lease:016x} is no more")]
    LeaseGone {
        /// Which.
        lease: LeaseId,
    },
    /// It was understood, and not done.
    #[error("etcd ({member}) refuses to {doing}: {message} (code {code})")]
    Refused {
        /// What was asked.
        doing: &'static str,
        /// Which member said so.
        member: String,
        /// The gRPC status code.
        code: u32,
        /// etcd's words.
        message: String,
    },
    /// More than we are ready to keep in memory.
    #[error("the answer of etcd is too long to {doing}: more than {limit} bytes")]
    TooLong {
        /// What was asked.
        doing: &'static str,
        /// How much is taken, bytes.
        limit: usize,
    },
    /// The descriptor that says so ([`Cluster::cancel_on`](super::Cluster::cancel_on)) is readable.
    #[error("told to stop while etcd was to {doing}")]
    Cancelled {
        /// What was asked.
        doing: &'static str,
        /// Whether it may have been done all the same.
        uncertain: bool,
    },
    /// The kernel did not give what waiting needs.
    #[error("cannot wait for etcd to {doing}")]
    System {
        /// What was asked.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl EtcdError {
    /// Whether what was asked may have been done, or may yet be done, although this error came of
    /// it: somebody took the request, and did not answer.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { uncertain, .. } | Self::Cancelled { uncertain, .. } => *uncertain,
            // What was sent before the kernel failed, or is too long to hear of, may be done.
            Self::System { .. } | Self::TooLong { .. } => true,
            Self::Settings(_)
            | Self::Authentication { .. }
            | Self::Anonymous { .. }
            | Self::Denied { .. }
            | Self::NoSpace { .. }
            | Self::LeaseGone { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// What etcd meant, if it refused.
    pub(super) fn meaning(&self) -> Option<Meaning> {
        let Self::Refused { code, message, .. } = self else {
            return None;
        };
        let refusal = Refusal {
            code: *code,
            message: message.clone(),
        };
        Some(refusal.meaning())
    }

    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Settings(error) => error.hint(),
            Self::Unreachable { failures, .. } => failures
                .iter()
                .find_map(|(_, failure)| failure.hint())
                .or(Some(
                    "look whether the members run and have a leader: `etcdctl endpoint health`",
                )),
            Self::Authentication { .. } => {
                Some("check WARD_ETCD_USER and the file that WARD_ETCD_PASSWORD_FILE names")
            }
            Self::Anonymous { .. } => Some(
                "set WARD_ETCD_USER and WARD_ETCD_PASSWORD_FILE; a certificate's name is not \
                 enough for etcd's JSON gateway",
            ),
            Self::Denied { .. } => Some(
                "grant it: `etcdctl role grant-permission ROLE --prefix=true readwrite PREFIX`",
            ),
            Self::NoSpace { .. } => Some(
                "make room: `etcdctl compact`, `etcdctl defrag`, and then `etcdctl alarm disarm`",
            ),
            Self::LeaseGone { .. } => Some(
                "the host slept, was overloaded, or was cut off from the cluster for longer than \
                 the lease; a longer one bears more",
            ),
            Self::Refused { .. }
            | Self::TooLong { .. }
            | Self::Cancelled { .. }
            | Self::System { .. } => None,
        }
    }
}

fn list(failures: &[(String, Failure)]) -> String {
    if failures.is_empty() {
        return "there was no time to ask".to_owned();
    }
    let mut text = String::new();
    for (index, (member, failure)) in failures.iter().enumerate() {
        let between = if index == 0 { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(text, "{between}{member}: {}", chain(failure));
    }
    text
}

fn whom(user: Option<&str>) -> String {
    user.map_or_else(|| "us".to_owned(), |user| format!("the user `{user}`"))
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let _ = write!(text, ": {error}");
        next = error.source();
    }
    text
}

/// Why one member did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its name leads nowhere.
    #[error("no address of `{0}` is known")]
    Name(String),
    /// Nobody takes the connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It, or we, could not prove who we are.
    #[error("TLS fails")]
    Tls(#[source] rustls::Error),
    /// It does not want to speak TLS.
    #[error("it ended the connection in the middle of the TLS handshake")]
    NoTls,
    /// There was a connection, and is none.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The end came in the middle of the answer.
    #[error("it ended the connection without a whole answer")]
    Ended,
    /// The end came, and nothing else.
    #[error("it ended the connection without a word")]
    Mute,
    /// It took the request, or the connection, and did nothing.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Silent(std::time::Duration),
    /// It is something else.
    #[error("it does not answer as etcd does: {0}")]
    Foreign(String),
    /// It says that it cannot just now: it has no leader, or is too busy.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        use rustls::{AlertDescription as Alert, CertificateError as Bad, Error as Tls};
        match self {
            Self::Tls(Tls::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature)) => Some(
                "name a file with the certificate of the cluster's authority in WARD_ETCD_CACERT",
            ),
            Self::Tls(Tls::InvalidCertificate(
                Bad::NotValidForName | Bad::NotValidForNameContext { .. },
            )) => Some(
                "the member's certificate must have the endpoint's name or address among its \
                 subject alternative names",
            ),
            Self::Tls(Tls::AlertReceived(
                Alert::BadCertificate
                | Alert::CertificateRequired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied,
            )) => Some(
                "the cluster wants a certificate that its authority has signed: WARD_ETCD_CERT \
                 and WARD_ETCD_KEY",
            ),
            Self::NoTls | Self::Tls(Tls::InvalidMessage(_)) => {
                Some("is there no TLS? then write the endpoint with http://")
            }
            Self::Mute => Some("does it speak TLS? then write the endpoint with https://"),
            Self::Foreign(text) if text.contains("HTTPS server") => {
                Some("write the endpoint with https://")
            }
            Self::Foreign(_) => {
                Some("it must be etcd 3.4 or later, with its JSON gateway (--enable-grpc-gateway)")
            }
            Self::Name(_)
            | Self::Connect { .. }
            | Self::Tls(_)
            | Self::Broken(_)
            | Self::Ended
            | Self::Silent(_)
            | Self::Unavailable(_) => None,
        }
    }

    /// Whether asking it again in a moment will be of no use: nobody is there, or not who was
    /// meant.
    pub(super) fn is_settled(&self) -> bool {
        match self {
            Self::Name(_)
            | Self::Connect { .. }
            | Self::Tls(_)
            | Self::NoTls
            | Self::Foreign(_) => true,
            Self::Broken(_) | Self::Ended | Self::Mute | Self::Silent(_) | Self::Unavailable(_) => {
                false
            }
        }
    }

    /// Whether a connection that had been idle may just have been at its end.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Ended | Self::Mute)
    }
}

/// Why one attempt at one member came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another member may do better.
    Member(Failure),
    /// There is no time left for it.
    Late,
    /// etcd's answer is no.
    Refused(Refusal),
    /// Its answer is longer than we want to keep.
    TooLong,
    /// The caller wants to stop.
    Cancelled,
    /// The kernel cannot wait.
    System(io::Error),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Late => Self::Late,
            Stop::Cancelled => Self::Cancelled,
            Stop::System(error) => Self::System(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_named_with_its_reasons() {
        let failures = vec![
            (
                "http://a:1".to_owned(),
                Failure::Connect {
                    address: "127.0.0.1:1".parse().expect("address"),
                    source: io::ErrorKind::ConnectionRefused.into(),
                },
            ),
            (
                "http://b:1".to_owned(),
                Failure::Silent(std::time::Duration::from_millis(1234)),
            ),
        ];
        let error = EtcdError::Unreachable {
            doing: "read",
            failures,
            uncertain: false,
        };
        assert_eq!(
            error.to_string(),
            "no etcd member could be made to read: http://a:1: cannot connect to 127.0.0.1:1: \
             connection refused; http://b:1: no answer within 1.2 s"
        );
        assert!(error.hint().is_some());
    }
}
