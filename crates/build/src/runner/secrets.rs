//! The secrets of a build: read before anything is written, given to steps, taken back at the end.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid, mkdirat, openat};
use ward_config::job::Job;
use ward_model::spec::Identity;

use crate::environment::{Environment, temporary};
use crate::plan::Plan;

/// A secret is not longer, bytes.
const MAX: u64 = 1 << 20;

/// Why a secret cannot be had. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// Its name is none.
    #[error("`{0}` is no name of a secret")]
    Name(String),
    /// It cannot be read.
    #[error("cannot read the secret `{id}`")]
    Read {
        id: String,
        #[source]
        source: io::Error,
    },
    /// It cannot be given to the steps as a file.
    #[error("cannot put the secret `{id}` into `{}`", path.display())]
    Give {
        id: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl SecretError {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Read { id, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("put it there with `ward build secret set {id}`"))
            }
            Self::Name(_) | Self::Read { .. } | Self::Give { .. } => None,
        }
    }
}

/// Everything that must not get into the console: what the job binds, what git signs in with, parameters
/// that are secret, the server's cookie. A secret that cannot be read is none that could be shown.
pub(super) fn to_mask(plan: &Plan) -> Vec<Vec<u8>> {
    let mut all = vec![plan.server_cookie.clone().into_bytes()];
    let bound = plan.job.secrets.iter().map(|binding| &binding.secret);
    let signs_in = plan
        .job
        .source
        .iter()
        .filter_map(|it| it.credentials.as_ref());
    for id in bound.chain(signs_in) {
        let Ok(secret) = read(&plan.secrets, id) else {
            continue;
        };
        // Of `user:password` the password alone is one too.
        if let Some(at) = secret.iter().position(|byte| *byte == b':') {
            all.push(trimmed(secret.get(at + 1..).unwrap_or_default()).to_vec());
        }
        all.push(trimmed(&secret).to_vec());
    }
    let given = plan.parameters.iter().filter(|it| it.secret);
    all.extend(given.map(|it| it.value.clone().into_bytes()));
    all.retain(|secret| !secret.is_empty());
    all
}

/// Where files that hold secrets of a job are put; none if it has no such files.
pub(super) fn place(plan: &Plan, job: &Job) -> Option<PathBuf> {
    let any = job.secrets.iter().any(|binding| binding.as_file);
    any.then(|| temporary(&plan.workspace).join(name_of_place(plan.number)))
}

fn name_of_place(number: u32) -> String {
    format!("secrets-{number}")
}

/// Files that hold secrets, for as long as the steps run.
#[derive(Debug, Default)]
pub(super) struct Given {
    place: Option<Place>,
}

/// The directory of these files. Reached by its descriptor only: who may write to what is above it must
/// not be able to lead us elsewhere.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    directory: OwnedFd,
}

impl Given {
    /// Adds the job's secrets to the environment of its steps, as values or as files that only `owner`
    /// may read.
    pub(super) fn give(
        plan: &Plan,
        job: &Job,
        owner: Option<&Identity>,
        environment: &mut Environment,
    ) -> Result<Self, SecretError> {
        use std::os::unix::ffi::OsStrExt;
        let mut given = Self::default();
        environment.supersede(|name| job.secrets.iter().any(|it| it.variable == name));
        for binding in &job.secrets {
            let secret = read(&plan.secrets, &binding.secret)?;
            if binding.as_file {
                let path = given.file(plan, &binding.secret, &secret, owner).map_err(
                    |(path, source)| SecretError::Give {
                        id: binding.secret.clone(),
                        path,
                        source,
                    },
                )?;
                environment.set(&binding.variable, path);
            } else {
                let value = std::ffi::OsStr::from_bytes(trimmed(&secret));
                environment.set(&binding.variable, value);
            }
        }
        Ok(given)
    }

    fn file(
        &mut self,
        plan: &Plan,
        id: &str,
        secret: &[u8],
        owner: Option<&Identity>,
    ) -> Result<PathBuf, (PathBuf, io::Error)> {
        let place = match self.place.take() {
            Some(place) => place,
            None => {
                let above = temporary(&plan.workspace);
                Place::make(&above, plan.number, owner).map_err(|error| (above, error))?
            }
        };
        let place = self.place.insert(place);
        let path = place.path.join(id);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let write = || {
            let file = openat(&place.directory, id, flags, Mode::RUSR | Mode::WUSR)?;
            let mut file = File::from(file);
            file.write_all(secret)?;
            give_to(&file, owner)
        };
        match write() {
            Ok(()) => Ok(path),
            Err(error) => Err((path, error)),
        }
    }

    /// Removes the files.
    pub(super) fn take_back(&mut self) -> io::Result<()> {
        match self.place.take() {
            Some(place) => fs::remove_dir_all(place.path),
            None => Ok(()),
        }
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let _ = self.take_back();
    }
}

impl Place {
    /// A new one below `above`, which is made if need be.
    fn make(above: &Path, number: u32, owner: Option<&Identity>) -> io::Result<Self> {
        let made = match fs::create_dir(above) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = rustix::fs::open(above, flags, Mode::empty())?;
        if made {
            give_to(&parent, owner)?;
        }
        let name = name_of_place(number);
        let path = above.join(&name);
        // Of a build of this number that was killed.
        let _ = fs::remove_dir_all(&path);
        mkdirat(&parent, &name, Mode::RWXU)?;
        let directory = openat(&parent, &name, flags, Mode::empty())?;
        give_to(&directory, owner)?;
        Ok(Self { path, directory })
    }
}

fn give_to(file: impl AsFd, owner: Option<&Identity>) -> io::Result<()> {
    if let Some(owner) = owner {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// O_NOFOLLOW, open(2).
const NOFOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

fn read(directory: &Path, id: &str) -> Result<Vec<u8>, SecretError> {
    let is_name = !id.is_empty() && !id.starts_with('.') && !id.contains(['/', '\0']);
    if !is_name {
        return Err(SecretError::Name(id.to_owned()));
    }
    let read = || {
        let file = File::options()
            .read(true)
            .custom_flags(NOFOLLOW)
            .open(directory.join(id))?;
        let mut bytes = Vec::new();
        file.take(MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    };
    read().map_err(|source| SecretError::Read {
        id: id.to_owned(),
        source,
    })
}

/// Without the end of line that editors and `echo` put behind it.
fn trimmed(secret: &[u8]) -> &[u8] {
    let secret = secret.strip_suffix(b"\n").unwrap_or(secret);
    secret.strip_suffix(b"\r").unwrap_or(secret)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use ward_config::job::SecretBinding;

    use super::{Given, SecretError, to_mask};
    use crate::environment::Environment;
    use crate::environment::tests::plan;

    #[test]
    fn secrets_are_given_and_taken_back() {
        let place = tempfile::tempdir().expect("a directory");
        let mut plan = plan();
        plan.secrets = place.path().join("secrets");
        plan.workspace = place.path().join("ws");
        fs::create_dir(&plan.secrets).expect("made");
        fs::write(plan.secrets.join("token"), "s3cr3t\n").expect("written");
        fs::write(plan.secrets.join("key"), "user:passw0rd\n").expect("written");
        let bind = |variable: &str, secret: &str, as_file| SecretBinding {
            variable: variable.to_owned(),
            secret: secret.to_owned(),
            as_file,
        };
        plan.job.secrets = vec![bind("TOKEN", "token", false), bind("KEY", "key", true)];
        let masked = to_mask(&plan);
        for secret in ["c0ffee", "s3cr3t", "user:passw0rd", "passw0rd"] {
            assert!(masked.contains(&secret.as_bytes().to_vec()), "{secret}");
        }
        let mut environment = Environment::default();
        let mut given = Given::give(&plan, &plan.job, None, &mut environment).expect("given");
        assert_eq!(environment.get("TOKEN"), Some("s3cr3t".as_ref()));
        let path = std::path::PathBuf::from(environment.get("KEY").expect("a path"));
        assert_eq!(fs::read(&path).expect("the file"), b"user:passw0rd\n");
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        given.take_back().expect("removed");
        assert!(!path.exists());
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let mut plan = plan();
        for name in [
            "",
            "..",
            "../etc/passwd",
            "/etc/passwd",
            "a/b",
            ".x",
            "a\0b",
        ] {
            plan.job.secrets = vec![SecretBinding {
                variable: "A".to_owned(),
                secret: name.to_owned(),
                as_file: false,
            }];
            let given = Given::give(&plan, &plan.job, None, &mut Environment::default());
            assert!(matches!(given, Err(SecretError::Name(_))), "{name:?}");
        }
    }
}
