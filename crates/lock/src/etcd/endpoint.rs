//! What is said of an endpoint that cannot be one.

use ward_model::cluster::{BadEndpoint, Endpoint};

use super::refusal::words;
use super::settings::SettingsError;

/// Reads it. Without a scheme it is TLS if `tls` says so.
pub(super) fn parse(text: &str, tls: bool) -> Result<Endpoint, SettingsError> {
    Endpoint::parse(text, tls).map_err(|BadEndpoint(why)| SettingsError::Endpoint {
        endpoint: without_credentials(text),
        why,
    })
}

/// For messages: people do write passwords there.
fn without_credentials(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{}", words(host)),
        None => words(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_without_a_password() {
        let told = |text| parse(text, false).expect_err(text).to_string();
        assert!(told("a\r\nX").starts_with("`a  X` cannot"));
        let error = told("http://root:secret@a:1");
        assert!(!error.contains("secret"), "{error}");
        assert!(error.contains("`…@a:1`"), "{error}");
    }
}
