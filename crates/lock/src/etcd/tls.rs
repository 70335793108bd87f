//! Whom to trust, and how to show who we are: from files to what TLS connections are made with.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::settings::{Settings, SettingsError};

/// Where systems keep the authorities that they trust: Debian and Alpine, Fedora, openSUSE, the
/// BSDs. `SSL_CERT_FILE` names another.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// No file of certificates is longer, bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// Reads the files that the settings name.
pub(super) fn configuration(settings: &Settings) -> Result<Arc<ClientConfig>, SettingsError> {
    let roots = match &settings.ca {
        Some(path) => authorities(path)?,
        None => system_authorities()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| SettingsError::Tls {
            what: "ciphers of this program",
            source,
        })?
        .with_root_certificates(roots);
    let configuration = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|source| SettingsError::Tls {
                what: "certificate and its key",
                source,
            })?,
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(configuration))
}

/// All of a file that somebody has named: one that cannot be used is an error.
fn authorities(path: &Path) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| SettingsError::Tls {
                what: "authority's certificate",
                source,
            })?;
    }
    Ok(roots)
}

/// The system's; of these some may be of a kind that we do not know.
fn system_authorities() -> Result<RootCertStore, SettingsError> {
    let named = std::env::var_os("SSL_CERT_FILE");
    let places = named.iter().map(Path::new);
    let Some(found) = places
        .chain(SYSTEM.iter().map(Path::new))
        .find(|path| path.is_file())
    else {
        return Err(SettingsError::NoAuthorities);
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(found)?);
    if added == 0 {
        return Err(SettingsError::NoAuthorities);
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let missing = |source| SettingsError::Pem {
        what: "certificate",
        path: path.to_owned(),
        source,
    };
    let text = content("a certificate", path)?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| missing(Some(error)))?;
    if found.is_empty() {
        return Err(missing(None));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let text = content("a private key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| SettingsError::Pem {
        what: "private key",
        path: path.to_owned(),
        source: Some(source),
    })
}

fn content(what: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut text))
        .map_err(|source| SettingsError::Unreadable {
            what,
            path: path.to_owned(),
            source,
        })?;
    Ok(text)
}
