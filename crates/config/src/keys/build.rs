//! The keys of the build server.

use super::{Fallback, Key, Kind, Scope, key};
use Fallback::{Means, Text};

const fn row(name: &'static str, kind: Kind, fallback: Fallback, help: &'static str) -> Key {
    key(name, kind, fallback, Scope::HereAndHost, help)
}

/// Of the build server.
pub(super) const BUILD: &[Key] = &[
    row(
        "directory",
        Kind::Text,
        Means("a place by who runs it"),
        "Where jobs, builds, workspaces and secrets are kept; `~` is replaced.",
    ),
    row(
        "listen",
        Kind::Items,
        Text("127.0.0.1:8080"),
        "Where it listens: `host:port`, or `unix:///path`.",
    ),
    row(
        "url",
        Kind::Text,
        Means("the address that each user asked"),
        "Its address as its users know it: `http://` or `https://`.",
    ),
    row(
        "executors",
        Kind::Integer,
        Text("2"),
        "How many builds run at a time, 1 to 1000.",
    ),
    row(
        "quiet_period",
        Kind::Duration,
        Text("5s"),
        "How long a request waits for more of its kind; at most a day.",
    ),
    row(
        "shell",
        Kind::Text,
        Text("/bin/sh"),
        "The shell of scripts that do not begin with `#!`: an absolute path.",
    ),
    row(
        "user",
        Kind::User,
        Means("who starts it"),
        "Whom the server runs as, where `ward up` starts it as root.",
    ),
    row(
        "anonymous_read",
        Kind::Boolean,
        Text("false"),
        "Who has not signed in may read everything.",
    ),
    row(
        "secrets",
        Kind::Text,
        Means("`secrets` in `directory`"),
        "The directory of secrets: a file of mode 0600 for each; `~` is replaced.",
    ),
    row(
        "environment",
        Kind::Environment,
        Text(""),
        "Variables of every build.",
    ),
    row(
        "mail_from",
        Kind::Text,
        Means("`ward@` and the name of the host"),
        "Who mail is from.",
    ),
    row(
        "mail_smtp",
        Kind::Text,
        Means("mail is given to `sendmail`"),
        "The mail server, `host:port`.",
    ),
    row(
        "mail_smtp_secret",
        Kind::Text,
        Means("nobody signs in there"),
        "The name of the secret `user:password` to sign in there.",
    ),
    row(
        "mail_smtp_tls",
        Kind::Boolean,
        Text("false"),
        "Mail is not sent where the server does not offer STARTTLS.",
    ),
    row(
        "mail_sendmail",
        Kind::Text,
        Means("`sendmail`, where it usually is"),
        "The program that takes mail on its standard input: an absolute path.",
    ),
    row(
        "stop_builds",
        Kind::Boolean,
        Text("true"),
        "A shutdown of the server stops builds that run. If not, they go on, and are found again by the next server.",
    ),
];
