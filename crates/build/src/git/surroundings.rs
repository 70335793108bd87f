//! What git needs of the server's own surroundings to get out of this host: an agent that has keys, proxies,
//! authorities of certificates. Looks and checkouts get the same; steps get none of it.

use std::ffi::OsString;

/// Variables of the server's own environment that git gets.
pub const PASSED_ON: [&str; 11] = [
    "SSH_AUTH_SOCK",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
];

/// `given`, and of [`PASSED_ON`] what it says nothing of.
#[must_use]
pub fn surrounded(mut given: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    for name in PASSED_ON {
        let is_given = given.iter().any(|(known, _)| known == name);
        if let Some(value) = std::env::var_os(name).filter(|_| !is_given) {
            given.push((name.into(), value));
        }
    }
    given
}
