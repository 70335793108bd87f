//! Whom TLS connections trust: the authorities that this host trusts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::NotifyError;

/// Where systems keep them: Debian and Alpine, Fedora, openSUSE, the BSDs.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What TLS connections are made with. `authorities` names a file instead of the system's, as `SSL_CERT_FILE`
/// does.
pub(super) fn configuration(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, NotifyError> {
    let named = authorities
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
    let places = named.into_iter().chain(SYSTEM.iter().map(PathBuf::from));
    let text = places
        .into_iter()
        .find_map(|place| fs::read(place).ok())
        .ok_or(NotifyError::NoAuthorities)?;
    let mut roots = RootCertStore::empty();
    // Some may be of a kind that nobody here knows.
    let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(NotifyError::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| NotifyError::Tls {
            to: "anybody".to_owned(),
            source,
        })?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}
