//! What git signs in with: laid into files that only who runs git can read, for as long as it runs.
//!
//! Passwords go by git's own `store` helper, which gives them to the one site they are for: a submodule of
//! another host, or a redirection, does not get them. No password and no key is ever in arguments or in an
//! environment, which others can read. Nothing is ever asked for.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use ward_model::spec::Identity;

use super::address::{Address, Transport};
use super::error::GitError;

/// A secret longer than this is none, bytes.
const MAX_SECRET: u64 = 64 << 10;
/// A file of settings longer than this is not read, bytes.
const MAX_SETTINGS: u64 = 256 << 10;
/// The operator's settings of git for all builds, in the server's directory.
const SETTINGS: &str = "gitconfig";
/// The hosts' keys that were seen, in the server's directory.
const KNOWN_HOSTS: &str = "known_hosts";

/// Where things are laid, and from where they come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The server's directory.
    pub(super) home: &'a Path,
    /// The server's secrets.
    pub(super) secrets: &'a Path,
    /// A private directory that is there.
    pub(super) scratch: &'a Path,
}

/// The files, which go when this is dropped.
pub(super) struct Keys {
    directory: PathBuf,
    /// What git is to find in its environment.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// Settings for its command line.
    pub(super) settings: Vec<OsString>,
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Keys {
    /// Lays out what is needed to reach `address`, for `owner` or for who we are.
    /// Repositories at `trusted` may belong to anybody.
    ///
    /// # Errors
    /// [`GitError::Secret`] and [`GitError::File`].
    pub(super) fn lay(
        address: &Address,
        credentials: Option<&str>,
        places: Places<'_>,
        owner: Option<&Identity>,
        trusted: &[&Path],
    ) -> Result<Self, GitError> {
        let directory = fresh_directory(places.scratch)
            .map_err(GitError::file("make a directory in", places.scratch))?;
        let mut keys = Self {
            directory,
            environment: Vec::new(),
            settings: Vec::new(),
        };
        keys.lay_settings(places, trusted)?;
        let secret = credentials
            .map(|name| read_secret(places.secrets, name))
            .transpose()?;
        match address.transport {
            Transport::Http => keys.lay_login(address, credentials, secret)?,
            Transport::Ssh => keys.lay_ssh(credentials, secret, places, owner)?,
            Transport::Git | Transport::Local => {}
        }
        if let Some(owner) = owner {
            keys.give(owner)
                .map_err(GitError::file("give away", &keys.directory))?;
        }
        Ok(keys)
    }

    fn lay_settings(&mut self, places: Places<'_>, trusted: &[&Path]) -> Result<(), GitError> {
        let mut text = Vec::new();
        let given = places.home.join(SETTINGS);
        match OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&given)
        {
            Ok(file) => {
                file.take(MAX_SETTINGS)
                    .read_to_end(&mut text)
                    .map_err(GitError::file("read", &given))?;
                text.push(b'\n');
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(GitError::file("open", &given)(error)),
        }
        for path in trusted {
            let path = path.to_string_lossy();
            // A path may also mean what git finds when it adds something to it.
            for end in ["", "/.git", ".git", ".git/.git"] {
                text.extend_from_slice(b"[safe]\n\tdirectory = ");
                text.extend_from_slice(quoted_setting(&format!("{path}{end}")).as_bytes());
                text.push(b'\n');
            }
        }
        let settings = self.put("gitconfig", &text)?;
        self.environment
            .push(("GIT_CONFIG_GLOBAL".into(), settings.into()));
        Ok(())
    }

    fn lay_login(
        &mut self,
        address: &Address,
        name: Option<&str>,
        secret: Option<Vec<u8>>,
    ) -> Result<(), GitError> {
        let login = match secret {
            Some(secret) => Some(login_of(name.unwrap_or_default(), &secret)?),
            None => address.login.clone(),
        };
        let Some((user, password)) = login else {
            return Ok(());
        };
        let (scheme, host) = address
            .site
            .split_once("://")
            .unwrap_or(("https", &address.site));
        let line = format!("{scheme}://{user}:{password}@{host}\n");
        let path = self.put("credentials", line.as_bytes())?;
        // An empty one first: none of the machine's own is asked besides.
        self.settings.push("credential.helper=".into());
        let helper = format!(
            "credential.helper=store --file={}",
            quoted(&path.to_string_lossy())
        );
        self.settings.push(helper.into());
        Ok(())
    }

    fn lay_ssh(
        &mut self,
        name: Option<&str>,
        secret: Option<Vec<u8>>,
        places: Places<'_>,
        owner: Option<&Identity>,
    ) -> Result<(), GitError> {
        // Who cannot write to the server's directory remembers new hosts for as long as this is there.
        let known = places.home.join(KNOWN_HOSTS);
        let hosts = if owner.is_some() {
            let copy = std::fs::read(&known).unwrap_or_default();
            self.put(KNOWN_HOSTS, &copy)?
        } else {
            known
        };
        let mut command = format!(
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ControlMaster=no -o ControlPath=none -o UserKnownHostsFile={}",
            quoted(&format!("\"{}\"", hosts.to_string_lossy()))
        );
        if let Some(mut key) = secret {
            let name = name.unwrap_or_default();
            if !key.starts_with(b"-----BEGIN") {
                return Err(GitError::Secret {
                    name: name.to_owned(),
                    why: "the repository is reached by ssh, and it is no private key".to_owned(),
                });
            }
            // ssh takes neither a key with other ends of line nor one without the last.
            key.retain(|byte| *byte != b'\r');
            key.push(b'\n');
            let path = self.put("key", &key)?;
            command.push_str(" -o IdentitiesOnly=yes -i ");
            command.push_str(&quoted(&path.to_string_lossy()));
        }
        self.environment
            .push(("GIT_SSH_COMMAND".into(), command.into()));
        self.environment
            .push(("GIT_SSH_VARIANT".into(), "ssh".into()));
        Ok(())
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<PathBuf, GitError> {
        let path = self.directory.join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content))
            .map_err(GitError::file("write", &path))?;
        Ok(path)
    }

    fn give(&self, owner: &Identity) -> io::Result<()> {
        let give = |path: &Path| std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid));
        for entry in std::fs::read_dir(&self.directory)? {
            give(&entry?.path())?;
        }
        give(&self.directory)
    }
}

fn fresh_directory(below: &Path) -> io::Result<PathBuf> {
    for attempt in 0..100 {
        let path = below.join(format!("git-{}-{attempt}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The secret of that name: a plain file of ours that nobody else may read.
fn read_secret(secrets: &Path, name: &str) -> Result<Vec<u8>, GitError> {
    let refuse = |why: String| GitError::Secret {
        name: name.to_owned(),
        why,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(refuse("that is no name of a secret".to_owned()));
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(secrets.join(name))
        .map_err(|error| refuse(error.to_string()))?;
    let about = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if !about.is_file() {
        return Err(refuse("it is no file".to_owned()));
    }
    if about.mode() & 0o077 != 0 {
        return Err(refuse("others may read its file".to_owned()));
    }
    if about.len() > MAX_SECRET {
        return Err(refuse(format!("it has more than {MAX_SECRET} bytes")));
    }
    let mut secret = Vec::new();
    file.take(MAX_SECRET)
        .read_to_end(&mut secret)
        .map_err(|error| refuse(error.to_string()))?;
    Ok(secret)
}

/// User and password of a secret, percent-encoded. Forges take any user beside a token.
fn login_of(name: &str, secret: &[u8]) -> Result<(String, String), GitError> {
    let refuse = |why: &str| GitError::Secret {
        name: name.to_owned(),
        why: why.to_owned(),
    };
    if secret.starts_with(b"-----BEGIN") {
        return Err(refuse(
            "the repository is reached by HTTP, and it is a private key",
        ));
    }
    let secret = secret.trim_ascii();
    if secret.is_empty() || secret.iter().any(u8::is_ascii_control) {
        return Err(refuse("it is not one line of `user:password`"));
    }
    let mut parts = secret.splitn(2, |byte| *byte == b':');
    let first = parts.next().unwrap_or_default();
    Ok(match parts.next() {
        Some(password) => (encoded(first), encoded(password)),
        None => ("git".to_owned(), encoded(first)),
    })
}

/// RFC 3986: all but what is unreserved.
fn encoded(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// One word of a shell: git gives such settings to one.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value in git's file of settings, git-config(1).
fn quoted_setting(text: &str) -> String {
    let mut out = String::from("\"");
    for each in text.chars() {
        match each {
            '"' | '\\' => {
                out.push('\\');
                out.push(each);
            }
            '\n' => out.push_str("\\n"),
            _ => out.push(each),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Room {
        directory: tempfile::TempDir,
    }

    impl Room {
        fn new() -> Self {
            let directory = tempfile::Builder::new()
                .prefix("it's a room")
                .tempdir()
                .expect("a directory");
            Self { directory }
        }

        fn secret(&self, name: &str, content: &str, mode: u32) {
            let path = self.directory.path().join(name);
            std::fs::write(&path, content).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        }

        fn lay(&self, url: &str, credentials: Option<&str>) -> Result<Keys, GitError> {
            let path = self.directory.path();
            let places = Places {
                home: path,
                secrets: path,
                scratch: path,
            };
            Keys::lay(&Address::read(url)?, credentials, places, None, &[])
        }
    }

    fn all(keys: &Keys) -> String {
        format!("{:?} {:?}", keys.environment, keys.settings)
    }

    #[test]
    fn a_password_is_in_a_private_file_only_and_goes() {
        let room = Room::new();
        room.secret("login", "me:p@ss/w:ord\n", 0o600);
        let keys = room.lay("https://host:81/x", Some("login")).expect("laid");
        assert!(!all(&keys).contains("ss/w"));
        let directory = keys.directory.clone();
        let file = directory.join("credentials");
        let text = std::fs::read_to_string(&file).expect("there");
        assert_eq!(text, "https://me:p%40ss%2Fw%3Aord@host:81\n");
        let mode = std::fs::metadata(&file).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(keys);
        assert!(!directory.exists());
    }

    #[test]
    fn a_key_gets_its_last_end_of_line() {
        let room = Room::new();
        room.secret("key", "-----BEGIN X\r\nabc\r\n-----END X", 0o600);
        let keys = room.lay("git@host:x", Some("key")).expect("laid");
        let text = std::fs::read_to_string(keys.directory.join("key")).expect("there");
        assert_eq!(text, "-----BEGIN X\nabc\n-----END X\n");
        assert!(all(&keys).contains("BatchMode=yes"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let room = Room::new();
        room.secret("key", "-----BEGIN X\n", 0o600);
        room.secret("login", "me:pass", 0o600);
        room.secret("open", "me:pass", 0o644);
        room.secret("lines", "me:pass\nquit=1", 0o600);
        for (url, name) in [
            ("https://host/x", "key"),
            ("git@host:x", "login"),
            ("https://host/x", "open"),
            ("https://host/x", "lines"),
            ("https://host/x", "nothing"),
            ("https://host/x", "../login"),
            ("https://host/x", ""),
        ] {
            let refused = room.lay(url, Some(name)).err().expect("refused");
            assert!(matches!(refused, GitError::Secret { .. }), "{name}");
            assert!(!refused.to_string().contains("me:pass"));
        }
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(quoted("a'b"), r"'a'\''b'");
        assert_eq!(quoted_setting("a\"\\"), r#""a\"\\""#);
        assert_eq!(encoded("aé~ ".as_bytes()), "a%C3%A9~%20");
    }
}
