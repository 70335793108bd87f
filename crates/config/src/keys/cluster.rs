//! The keys of the cluster that keeps the locks of several hosts.

use super::{Fallback, Key, Kind, Scope, key};
use Fallback::{Means, Required};

const fn row(name: &'static str, kind: Kind, fallback: Fallback, help: &'static str) -> Key {
    key(name, kind, fallback, Scope::HereAndHost, help)
}

/// Of the cluster.
pub(super) const CLUSTER: &[Key] = &[
    row(
        "endpoints",
        Kind::Items,
        Required,
        "Its members, or some of them: `https://host:port`, or `http://`; without a port it is 2379. They are tried in this order.",
    ),
    row(
        "user",
        Kind::Text,
        Means("nobody signs in"),
        "The cluster's user to sign in as.",
    ),
    row(
        "password_file",
        Kind::Text,
        Means("nobody signs in"),
        "A file with the user's password, of mode 0600. It is read by who asks for a lock.",
    ),
    row(
        "cacert",
        Kind::Text,
        Means("whom the host trusts"),
        "A file with the certificates (PEM) of the authorities that vouch for the members.",
    ),
    row(
        "cert",
        Kind::Text,
        Means("none is shown"),
        "A file with our certificate (PEM), for members that ask for one.",
    ),
    row(
        "key",
        Kind::Text,
        Means("none is shown"),
        "A file with the key of `cert` (PEM).",
    ),
    row(
        "prefix",
        Kind::Text,
        Means("`/ward/locks`"),
        "The key of the cluster below which the locks are.",
    ),
    row(
        "lease",
        Kind::Duration,
        Means("30s"),
        "How long the cluster keeps a lock for a host that it does not hear of, 5 seconds at least; the work is stopped before.",
    ),
];
