//! TLS for who asks a server: whom they trust, and a connection to who can show that they are the host that
//! was asked for. Certificates are verified always; nothing turns that off.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage, RootCertStore,
    StreamOwned,
};

/// Where systems keep the authorities that they trust: Debian and Alpine, Fedora, openSUSE, the BSDs.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Bytes of a file of authorities; those of systems have some hundred thousand.
const LARGEST: u64 = 16 << 20;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// The system has no file of authorities.
    #[error("this host trusts no certificate authority")]
    NoAuthorities,
    /// A file of authorities cannot be read.
    #[error("cannot read the authorities in {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none in the file.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// The host cannot be named in a certificate.
    #[error("`{0}` is no name that a certificate could be for")]
    BadName(String),
    /// It has not shown who it is.
    #[error("{}", said(.0))]
    Refused(Error),
    /// The connection broke.
    #[error("the connection broke before it was secure")]
    Broken(#[source] io::Error),
}

impl SecureError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoAuthorities => {
                Some("install ca-certificates, or name a file in PEM with --ca or $WARD_CA")
            }
            Self::Unreadable { .. } | Self::NoCertificate(_) => {
                Some("--ca and $WARD_CA name a file of certificates in PEM")
            }
            Self::Refused(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Some("name the authority that signed it with --ca FILE or $WARD_CA"),
            Self::Refused(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                Some("if it speaks plain HTTP there, write http://")
            }
            Self::Refused(error) if is_authority(error) => Some(
                "its certificate is an authority's own: have that sign another one for the server",
            ),
            Self::BadName(_) | Self::Refused(_) | Self::Broken(_) => None,
        }
    }
}

/// Whether a server shows the certificate of an authority as its own.
fn is_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(_)) && error.to_string().contains("CaUsedAsEndEntity")
}

fn said(error: &Error) -> String {
    let Error::InvalidCertificate(why) = error else {
        return match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                "it does not speak TLS".to_owned()
            }
            other => format!("TLS does not come about: {other}"),
        };
    };
    let why = match why {
        // An authority of the same name with another key is another authority.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "nobody who is trusted here has signed it".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        other => other.to_string(),
    };
    format!("its certificate cannot be trusted: {why}")
}

/// Whose certificates are trusted.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

impl Trust {
    /// Those of a file in PEM and nobody else; without one those of `SSL_CERT_FILE`, else of the system.
    ///
    /// # Errors
    /// There is no such file, or no certificate in it.
    pub fn new(authorities: Option<&Path>) -> Result<Self, SecureError> {
        let named = authorities
            .map(Path::to_owned)
            .or_else(|| std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
        let path = match named {
            Some(path) => path,
            None => SYSTEM
                .iter()
                .map(PathBuf::from)
                .find(|path| path.is_file())
                .ok_or(SecureError::NoAuthorities)?,
        };
        let text = read(&path).map_err(|source| SecureError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let mut roots = RootCertStore::empty();
        // Some may be of a kind that nobody here knows.
        let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(SecureError::NoCertificate(path));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SecureError::Refused)?;
        let client = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self(Arc::new(client)))
    }

    /// Goes on in TLS on a connection to `host`, a name or an address without brackets. How long anything may
    /// take is up to the connection's own time limits.
    ///
    /// # Errors
    /// It cannot show that it is that host, or the connection broke.
    pub fn connect(&self, host: &str, mut stream: TcpStream) -> Result<Secured, SecureError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| SecureError::BadName(host.to_owned()))?;
        let mut connection =
            ClientConnection::new(Arc::clone(&self.0), name).map_err(SecureError::Refused)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| {
                match error.downcast::<Error>() {
                    Ok(refused) => SecureError::Refused(refused),
                    Err(broken) => SecureError::Broken(broken),
                }
            })?;
        }
        Ok(Secured(Box::new(StreamOwned::new(connection, stream))))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// A connection that nobody else reads or writes. One that is cut off is an error, never an end.
#[derive(Debug)]
pub struct Secured(Box<StreamOwned<ClientConnection, TcpStream>>);

impl Read for Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
