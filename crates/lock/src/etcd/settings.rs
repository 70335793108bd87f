//! Where the cluster is and who we are to it, from options and variables.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ward_model::cluster::{Endpoint, variable};

/// How long a request may take if nothing else was said.
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A file with a password is not longer than this, bytes.
const LONGEST_PASSWORD: u64 = 4 << 10;

/// Where the cluster is, and who we are to it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its members, or some of them: `http://HOST:PORT` or `https://HOST:PORT`. Without a port it
    /// is 2379; without a scheme it is `http`, or `https` if a file of certificates is named here.
    /// They are tried in this order.
    pub endpoints: Vec<String>,
    /// As whom to log in; `None` for a cluster that asks nobody.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file with the certificates (PEM) of the authorities that vouch for the members; if there
    /// is none, those are trusted that this host trusts.
    pub ca: Option<PathBuf>,
    /// A file with our own certificate (PEM), those of its issuers after it.
    pub certificate: Option<PathBuf>,
    /// A file with the private key of that (PEM).
    pub key: Option<PathBuf>,
    /// How long a request may take, all members and attempts together; 5 seconds by default.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            user: None,
            password: None,
            ca: None,
            certificate: None,
            key: None,
            timeout: USUAL_TIMEOUT,
        }
    }
}

impl Settings {
    /// Reads `WARD_ETCD_ENDPOINTS` (separated by commas), `WARD_ETCD_USER`,
    /// `WARD_ETCD_PASSWORD_FILE`, `WARD_ETCD_CACERT`, `WARD_ETCD_CERT` and `WARD_ETCD_KEY`.
    ///
    /// What is not set among these is taken from etcdctl's variables: `ETCDCTL_ENDPOINTS`,
    /// `ETCDCTL_USER` (also `USER:PASSWORD`), `ETCDCTL_PASSWORD`, `ETCDCTL_CACERT`,
    /// `ETCDCTL_CERT` and `ETCDCTL_KEY`; what is set and empty is none. A certificate and its key come
    /// from one family, and so do a user and his password; a family that names other endpoints
    /// than those that are used says nothing of them. There may be no endpoint in what is returned.
    ///
    /// # Errors
    /// When a variable is not text, or the password's file cannot be read, or others than its
    /// owner may read it.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::from_variables(&[], |name| std::env::var_os(name))
    }

    /// As [`Settings::from_environment`], of variables that `get` knows, for these endpoints if there are
    /// any.
    ///
    /// # Errors
    /// As there.
    pub fn from_variables(
        given: &[String],
        get: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let text = |name: &'static str| {
            get(name)
                .filter(|value| !value.is_empty())
                .map(|value| value.into_string().map_err(|_| SettingsError::Text(name)))
                .transpose()
        };
        let path = |name: &str| get(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let (own, theirs) = (
            endpoints(&text(variable::ENDPOINTS)?.unwrap_or_default()),
            endpoints(&text("ETCDCTL_ENDPOINTS")?.unwrap_or_default()),
        );
        let is_said = get(variable::ENDPOINTS).is_some_and(|value| !value.is_empty());
        let endpoints: &[String] = if !given.is_empty() {
            given
        } else if is_said {
            // Also if it lists nobody: that is a mistake, and not somebody else.
            &own
        } else {
            &theirs
        };
        let is_own = |names: &[&str]| {
            is_about(&own, endpoints) && names.iter().any(|name| get(name).is_some())
        };
        let is_theirs = is_about(&theirs, endpoints);

        let (user, password) = if is_own(&[variable::USER, variable::PASSWORD_FILE]) {
            let password = path(variable::PASSWORD_FILE).map(|file| Secret::read(&file));
            (text(variable::USER)?, password.transpose()?)
        } else if is_theirs {
            match text("ETCDCTL_USER")? {
                Some(both) => match both.split_once(':') {
                    Some((user, password)) => (Some(user.to_owned()), Some(Secret::new(password))),
                    None => (Some(both), text("ETCDCTL_PASSWORD")?.map(Secret::new)),
                },
                None => (None, None),
            }
        } else {
            (None, None)
        };
        let (certificate, key) = if is_own(&[variable::CERT, variable::KEY]) {
            (path(variable::CERT), path(variable::KEY))
        } else if is_theirs {
            (path("ETCDCTL_CERT"), path("ETCDCTL_KEY"))
        } else {
            (None, None)
        };
        let ca = if is_own(&[variable::CACERT]) {
            path(variable::CACERT)
        } else {
            path("ETCDCTL_CACERT").filter(|_| is_theirs)
        };
        Ok(Self {
            endpoints: endpoints.to_vec(),
            user,
            password,
            ca,
            certificate,
            key,
            ..Self::default()
        })
    }

    /// Refuses what does not go together.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.endpoints.is_empty() {
            return Err(SettingsError::NoEndpoint);
        }
        if self.timeout.is_zero() {
            return Err(SettingsError::NoTime);
        }
        match (&self.user, &self.password) {
            (Some(user), None) => return Err(SettingsError::NoPassword(user.clone())),
            (None, Some(_)) => return Err(SettingsError::NoUser),
            _ => {}
        }
        match (&self.certificate, &self.key) {
            (Some(file), None) => Err(SettingsError::NoKey(file.clone())),
            (None, Some(file)) => Err(SettingsError::NoCertificate(file.clone())),
            _ => Ok(()),
        }
    }

    /// Whether a file is named that only TLS has a use for.
    pub(super) fn names_tls(&self) -> bool {
        self.ca.is_some() || self.certificate.is_some() || self.key.is_some()
    }
}

/// The endpoints that a variable names, separated by commas.
#[must_use]
pub fn endpoints(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|endpoint| !endpoint.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether what is said beside the endpoints `named` is said of the cluster with these `used` ones: it names
/// none, or all of them, however they are written.
#[must_use]
pub fn is_about(named: &[String], used: &[String]) -> bool {
    let read = |text: &String| Endpoint::parse(text, false);
    let named: Vec<_> = named.iter().filter_map(|it| read(it).ok()).collect();
    let is_named = |one: &String| read(one).is_ok_and(|one| named.contains(&one));
    named.is_empty() || used.iter().all(is_named)
}

/// What nobody may read over our shoulder: it is in no message, and not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads it from a file, of at most 4 KiB, without the line end that editors put there.
    ///
    /// # Errors
    /// When it cannot be read, is empty or no text, or others than its owner may read it.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let failed = |source| SettingsError::Unreadable {
            what: "the password",
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        // Asked of what was opened, which nobody can exchange.
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SettingsError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        file.take(LONGEST_PASSWORD + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        if text.len() as u64 > LONGEST_PASSWORD {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, "more than 4 KiB");
            return Err(failed(error));
        }
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, "there is none in it");
            return Err(failed(error));
        }
        Ok(Self::new(line))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why settings cannot be used. Nothing was asked of anybody.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The cluster has no member.
    #[error("no etcd endpoint is named")]
    NoEndpoint,
    /// It cannot be where a member is.
    #[error("`{endpoint}` cannot be an etcd endpoint: {why}")]
    Endpoint {
        /// What was given, without a password.
        endpoint: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A request would have no time.
    #[error("requests to etcd need some time, and were given none")]
    NoTime,
    /// A variable is not UTF-8.
    #[error("the variable {0} is not text")]
    Text(&'static str),
    /// A user who cannot prove it.
    #[error("no password is given for the etcd user `{0}`")]
    NoPassword(String),
    /// A password of nobody.
    #[error("a password for etcd is given, and no user")]
    NoUser,
    /// Everybody who may read it may be us.
    #[error(
        "the password file `{}` may be read by others than its owner (mode {mode:04o})",
        path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file cannot be read.
    #[error("cannot read {what} from `{}`", path.display())]
    Unreadable {
        /// What was looked for in it.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate without what proves that it is ours.
    #[error("no key is named for the certificate `{}`", .0.display())]
    NoKey(PathBuf),
    /// The other way round.
    #[error("no certificate is named for the key `{}`", .0.display())]
    NoCertificate(PathBuf),
    /// A file does not have what it should.
    #[error("there is no {what} in `{}`", path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with the text, if it is not just that there is none.
        #[source]
        source: Option<rustls::pki_types::pem::Error>,
    },
    /// What is in the files does not go together.
    #[error("the {what} cannot be used for TLS")]
    Tls {
        /// Which of them.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Nobody vouches for the members.
    #[error("this host has no list of trusted certificate authorities")]
    NoAuthorities,
}

impl SettingsError {
    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoEndpoint => Some("name one or more in WARD_ETCD_ENDPOINTS, by commas"),
            Self::Endpoint { .. } => {
                Some("write it as http://HOST:PORT or https://HOST:PORT, each of them")
            }
            Self::NoPassword(_) => {
                Some("name a file with the password, mode 0600, in WARD_ETCD_PASSWORD_FILE")
            }
            Self::NoUser => Some("name the user in WARD_ETCD_USER"),
            Self::Open { .. } => Some("`chmod 600` it, and change the password if others saw it"),
            Self::NoKey(_) | Self::NoCertificate(_) => {
                Some("name both: WARD_ETCD_CERT and WARD_ETCD_KEY")
            }
            Self::Pem { .. } => Some("it is to be PEM: base64 between BEGIN and END lines"),
            Self::NoAuthorities => {
                Some("name a file with the authority's certificate in WARD_ETCD_CACERT")
            }
            Self::NoTime | Self::Text(_) | Self::Unreadable { .. } | Self::Tls { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn from(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        given(&[], variables)
    }

    fn given(endpoints: &[&str], variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        Settings::from_variables(&endpoints, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    fn password_file(mode: u32, text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(&file, text).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("changed");
        file
    }

    #[test]
    fn our_own_variables_go_first() {
        let file = password_file(0o600, b"from file\n");
        let path = file.path().to_str().expect("text");
        let settings = from(&[
            ("WARD_ETCD_ENDPOINTS", " a:1, ,http://b "),
            ("WARD_ETCD_USER", "me"),
            ("ETCDCTL_USER", "other:word"),
            ("WARD_ETCD_PASSWORD_FILE", path),
            ("WARD_ETCD_CERT", "/own.pem"),
            ("ETCDCTL_KEY", "/other.key"),
            ("ETCDCTL_CACERT", "/ca.pem"),
        ])
        .expect("settings");
        assert_eq!(settings.endpoints, ["a:1", "http://b"]);
        assert_eq!(settings.user.as_deref(), Some("me"));
        assert_eq!(settings.password, Some(Secret::new("from file")));
        assert_eq!(settings.certificate, Some("/own.pem".into()));
        assert_eq!(settings.key, None, "of another pair");
        assert_eq!(settings.ca, Some("/ca.pem".into()));
        assert_eq!(settings.timeout, Duration::from_secs(5));
    }

    #[test]
    fn those_of_etcdctl_are_understood() {
        let settings = from(&[
            ("ETCDCTL_ENDPOINTS", "c,d"),
            ("ETCDCTL_USER", "root:a:b"),
            ("ETCDCTL_PASSWORD", "unused"),
            ("ETCDCTL_CERT", "/c"),
            ("ETCDCTL_KEY", "/k"),
        ])
        .expect("settings");
        assert_eq!(settings.endpoints, ["c", "d"]);
        assert_eq!(settings.user.as_deref(), Some("root"));
        assert_eq!(settings.password, Some(Secret::new("a:b")));
        assert_eq!(settings.certificate, Some("/c".into()));
        assert_eq!(settings.key, Some("/k".into()));

        let settings = from(&[("WARD_ETCD_USER", "me"), ("ETCDCTL_USER", "root:x")]);
        let error = settings
            .map(|settings| Settings {
                endpoints: vec!["a".into()],
                ..settings
            })
            .and_then(|settings| settings.check())
            .expect_err("the password is another user's");
        assert!(matches!(error, SettingsError::NoPassword(ref user) if user == "me"));
    }

    #[test]
    fn what_is_said_of_one_cluster_is_told_to_no_other() {
        let told: &[(&str, &str)] = &[
            ("WARD_ETCD_ENDPOINTS", "a,b"),
            ("WARD_ETCD_CACERT", "/a-ca"),
            ("WARD_ETCD_CERT", "/a-cert"),
            ("ETCDCTL_ENDPOINTS", "c"),
            ("ETCDCTL_USER", "c-user:word"),
            ("ETCDCTL_CACERT", "/c-ca"),
        ];
        let shown = |endpoints: &[&str]| {
            let settings = given(endpoints, told).expect("settings");
            let path = |path: &Option<PathBuf>| path.as_ref().map(|it| it.display().to_string());
            (
                path(&settings.ca),
                path(&settings.certificate),
                settings.user,
            )
        };
        let some = |text: &str| Some(text.to_owned());
        for ours in [&[][..], &["b"], &["b", "a"], &["http://b:2379/"]] {
            assert_eq!(shown(ours), (some("/a-ca"), some("/a-cert"), None));
        }
        assert_eq!(shown(&["c"]), (some("/c-ca"), None, some("c-user")));
        for other in [&["d"][..], &["a", "d"]] {
            assert_eq!(shown(other), (None, None, None));
        }
    }

    #[test]
    fn a_list_of_nobody_is_not_somebody_else() {
        for list in [",", " , ", " "] {
            let settings = from(&[("WARD_ETCD_ENDPOINTS", list), ("ETCDCTL_ENDPOINTS", "c")]);
            let error = settings.and_then(|it| it.check()).expect_err(list);
            assert!(matches!(error, SettingsError::NoEndpoint), "{error}");
        }
        let password = password_file(0o600, b"x\n");
        let path = password.path().to_str().expect("text");
        let settings = from(&[
            ("WARD_ETCD_ENDPOINTS", "a"),
            ("WARD_ETCD_PASSWORD_FILE", path),
            ("ETCDCTL_USER", "root"),
        ]);
        let error = settings.and_then(|it| it.check()).expect_err("of nobody");
        assert!(matches!(error, SettingsError::NoUser), "{error}");
    }

    #[test]
    fn what_is_set_and_empty_is_none() {
        let theirs = [
            ("ETCDCTL_ENDPOINTS", "a"),
            ("ETCDCTL_USER", "root:x"),
            ("ETCDCTL_CACERT", "/ca"),
            ("ETCDCTL_CERT", "/c"),
            ("ETCDCTL_KEY", "/k"),
        ];
        let none = ["USER", "CACERT", "CERT"].map(|name| format!("WARD_ETCD_{name}"));
        let mut all = theirs.to_vec();
        all.extend(none.iter().map(|name| (name.as_str(), "")));
        let settings = from(&all).expect("settings");
        assert_eq!(settings.endpoints, ["a"]);
        assert_eq!((settings.user, settings.password), (None, None));
        let files = (settings.ca, settings.certificate, settings.key);
        assert_eq!(files, (None, None, None));
    }

    #[test]
    fn a_password_is_not_shown() {
        let settings = Settings {
            password: Some(Secret::new("hunter2")),
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o620] {
            let file = password_file(mode, b"x\n");
            let error = Secret::read(file.path()).expect_err("others may read it");
            assert!(
                error.to_string().contains(&format!("{mode:04o}")),
                "{error}"
            );
        }
        let file = password_file(0o400, b"with space \r\n");
        let secret = Secret::read(file.path()).expect("a password");
        assert_eq!(secret.expose(), "with space ");
        for bad in [&b""[..], b"\n", b"\xff\n", &[b'x'; 5000]] {
            let file = password_file(0o600, bad);
            Secret::read(file.path()).expect_err("no password");
        }
    }

    #[test]
    fn what_does_not_go_together() {
        let good = || Settings {
            endpoints: vec!["a".into()],
            ..Settings::default()
        };
        good().check().expect("good");
        let half: [fn(&mut Settings); 6] = [
            |it| it.endpoints.clear(),
            |it| it.timeout = Duration::ZERO,
            |it| it.user = Some("a".into()),
            |it| it.password = Some(Secret::new("a")),
            |it| it.certificate = Some("/a".into()),
            |it| it.key = Some("/a".into()),
        ];
        for spoil in half {
            let mut settings = good();
            spoil(&mut settings);
            let error = settings.check().expect_err("half of it");
            assert!(matches!(error, SettingsError::NoTime) || error.hint().is_some());
        }
    }
}
