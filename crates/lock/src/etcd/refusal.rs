//! What it means when etcd says no.
//!
//! It does so by a gRPC status code and words, of which the words are the more exact
//! (etcd's `rpctypes`), wrapped in JSON that differs from version to version of its gateway.

use serde::Deserialize;

use super::error::{Failure, Trouble};

/// Words of the other side are cut to this in messages, bytes.
const LONGEST_WORDS: usize = 200;

/// The gRPC code of an error that has none.
const UNKNOWN: u32 = 2;

/// What is wrong, as it is said in an answer. Which field has what differs from version to
/// version of the gateway.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    #[serde(alias = "grpc_code")]
    code: Option<u32>,
    message: Option<String>,
}

/// etcd's answer is no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The gRPC status code.
    pub(super) code: u32,
    /// etcd's words.
    pub(super) message: String,
}

/// What a refusal means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This member cannot do it now, or nobody can.
    Unavailable {
        /// Whether it may do it nevertheless.
        uncertain: bool,
    },
    /// The token is not, or no longer, good; or there should be one.
    Token,
    /// User or password are wrong.
    Credentials,
    /// There are no users.
    NoUsers,
    /// The user may not.
    Denied,
    /// The database is full.
    Full,
    /// There is no such lease.
    NoLease,
    /// What was asked for has been forgotten: it is older than the last compaction.
    Compacted,
    /// Anything else.
    Other,
}

impl Refusal {
    /// A reason that comes as text, as when a watch is cancelled:
    /// `rpc error: code = PermissionDenied desc = etcdserver: permission denied`.
    pub(super) fn of_reason(reason: &str) -> Self {
        let parts = reason
            .strip_prefix("rpc error: code = ")
            .and_then(|rest| rest.split_once(" desc = "));
        let (code, message) = match parts {
            Some((name, message)) => (code(name), message),
            // Some versions leave the code out.
            None if reason.contains("permission denied") => (7, reason),
            None if reason.contains("invalid auth token") => (16, reason),
            None if reason.contains("leader") => (14, reason),
            None => (UNKNOWN, reason),
        };
        Self {
            code,
            message: words(message),
        }
    }

    /// What it means (codes of gRPC, and etcd's `rpctypes`).
    pub(super) fn meaning(&self) -> Meaning {
        let says = |words: &str| self.message.contains(words);
        match self.code {
            // A member that knows that there is no leader does not try.
            14 | 9 if says("no leader") || says("not leader") => {
                Meaning::Unavailable { uncertain: false }
            }
            8 if says("too many requests") => Meaning::Unavailable { uncertain: false },
            2 if says("proposal dropped") => Meaning::Unavailable { uncertain: false },
            1 | 4 | 14 => Meaning::Unavailable { uncertain: true },
            16 => Meaning::Token,
            3 if says("revision of auth store is old") || says("old revision") => Meaning::Token,
            3 if says("user name is empty") => Meaning::Token,
            3 if says("authentication failed") => Meaning::Credentials,
            9 if says("authentication is not enabled") => Meaning::NoUsers,
            7 => Meaning::Denied,
            8 if says("space exceeded") => Meaning::Full,
            5 if says("lease not found") => Meaning::NoLease,
            11 if says("compacted") => Meaning::Compacted,
            _ => Meaning::Other,
        }
    }

    /// Reads the answer that came with an HTTP status other than 200.
    pub(super) fn read(status: u16, body: &[u8]) -> Trouble {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Nested {
            Object { error: Said },
            Flat(Said),
        }
        let said = serde_json::from_slice(body).ok().map(|read| match read {
            Nested::Object { error } => error,
            Nested::Flat(said) => said,
        });
        if let Some(Said {
            code: Some(code),
            message: Some(message),
        }) = said
            // A gateway that does not know the path says so with the same code as etcd does of a
            // lease.
            && (code != 5 || message.starts_with("etcdserver:"))
        {
            return Trouble::Refused(Self {
                code,
                message: words(&message),
            });
        }
        let text = words(&String::from_utf8_lossy(body));
        Trouble::Member(Failure::Foreign(format!("HTTP {status}: {text}")))
    }
}

impl From<Said> for Refusal {
    fn from(said: Said) -> Self {
        Self {
            code: said.code.unwrap_or(UNKNOWN),
            message: words(said.message.as_deref().unwrap_or("it does not say why")),
        }
    }
}

/// A code by its name in gRPC for Go; of those that we act on.
fn code(name: &str) -> u32 {
    match name {
        "Canceled" => 1,
        "InvalidArgument" => 3,
        "DeadlineExceeded" => 4,
        "NotFound" => 5,
        "PermissionDenied" => 7,
        "ResourceExhausted" => 8,
        "FailedPrecondition" => 9,
        "OutOfRange" => 11,
        "Unavailable" => 14,
        "Unauthenticated" => 16,
        _ => UNKNOWN,
    }
}

/// Words of the other side, for a message of ours: in one line, and not too many.
pub(super) fn words(text: &str) -> String {
    let cut = text.floor_char_boundary(LONGEST_WORDS);
    let mut words: String = text[..cut]
        .trim()
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    if cut < text.len() {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_several_versions() {
        let lease = "etcdserver: requested lease not found";
        for body in [
            // 3.4, 3.5, 3.6; and those of a stream.
            format!(r#"{{"error":"{lease}","message":"{lease}","code":5}}"#),
            format!(r#"{{"error":"{lease}","code":5,"message":"{lease}"}}"#),
            format!(r#"{{"code":5,"message":"{lease}","details":[]}}"#),
            format!(
                r#"{{"error":{{"grpc_code":5,"http_code":404,"message":"{lease}","http_status":"x"}}}}"#
            ),
            format!(r#"{{"error":{{"code":5,"message":"{lease}"}}}}"#),
        ] {
            match Refusal::read(404, body.as_bytes()) {
                Trouble::Refused(refusal) => {
                    assert_eq!(refusal.meaning(), Meaning::NoLease, "{body}");
                }
                other => panic!("{body}: {other:?}"),
            }
        }
        for foreign in [
            "404 page not found\n",
            r#"{"error":"Not Found","message":"Not Found","code":5}"#,
            "<html>",
            "",
            "[]",
            r#"{"error":null}"#,
        ] {
            let read = Refusal::read(404, foreign.as_bytes());
            assert!(
                matches!(read, Trouble::Member(Failure::Foreign(_))),
                "{foreign}: {read:?}"
            );
        }
    }

    #[test]
    fn meanings() {
        for (code, message, meaning) in [
            (
                14,
                "etcdserver: no leader",
                Meaning::Unavailable { uncertain: false },
            ),
            (
                14,
                "etcdserver: request timed out",
                Meaning::Unavailable { uncertain: true },
            ),
            (
                14,
                "etcdserver: leader changed",
                Meaning::Unavailable { uncertain: true },
            ),
            (
                4,
                "context deadline exceeded",
                Meaning::Unavailable { uncertain: true },
            ),
            (
                8,
                "etcdserver: too many requests",
                Meaning::Unavailable { uncertain: false },
            ),
            (
                8,
                "etcdserver: mvcc: database space exceeded",
                Meaning::Full,
            ),
            (16, "etcdserver: invalid auth token", Meaning::Token),
            (3, "etcdserver: user name is empty", Meaning::Token),
            (
                3,
                "etcdserver: authentication failed, invalid user ID or password",
                Meaning::Credentials,
            ),
            (
                9,
                "etcdserver: authentication is not enabled",
                Meaning::NoUsers,
            ),
            (7, "etcdserver: permission denied", Meaning::Denied),
            (
                11,
                "etcdserver: mvcc: required revision has been compacted",
                Meaning::Compacted,
            ),
            (
                3,
                "etcdserver: duplicate key given in txn request",
                Meaning::Other,
            ),
        ] {
            let message = message.to_owned();
            assert_eq!(Refusal { code, message }.meaning(), meaning);
        }
        let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(Refusal::of_reason(reason).meaning(), Meaning::Denied);
        let reason = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
        assert_eq!(Refusal::of_reason(reason).meaning(), Meaning::Token);
        let bare = Refusal::of_reason("etcdserver: no leader");
        assert_eq!(bare.meaning(), Meaning::Unavailable { uncertain: false });
    }

    #[test]
    fn words_are_cut() {
        assert_eq!(words(" a\r\nb\x1b[0m \n"), "a  b [0m");
        assert_eq!(words(&"é".repeat(150)).chars().count(), 101);
    }
}
