//! `ward build secret`: what jobs need and nobody may see, in files of mode 0600.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ward_config::job::is_secret_name;
use ward_model::exit_code;

use super::place::{for_changes, secrets_of};
use super::words::print;
use crate::args::{SecretDeed, Whose};
use crate::failure::Failure;

/// Bytes of a secret.
const LARGEST: u64 = 1 << 20;

/// Sets, removes or lists secrets.
pub(super) fn run(deed: &SecretDeed) -> Result<ExitCode, Failure> {
    match deed {
        SecretDeed::Set { id, whose } => {
            checked(id)?;
            let directory = directory(whose)?;
            let secret = given()?;
            set(&directory, id, &secret)?;
            print(&format!("{id}: {} bytes are kept\n", secret.len()))?;
        }
        SecretDeed::Remove { id, whose } => {
            checked(id)?;
            match fs::remove_file(directory(whose)?.join(id)) {
                Ok(()) => print(&format!("{id}: forgotten\n"))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Failure::with_code(
                        format!("there is no secret `{id}`"),
                        None,
                        exit_code::UNKNOWN_NAME,
                    ));
                }
                Err(error) => return Err(Failure::ours(&format!("cannot remove {id}"), &error)),
            }
        }
        SecretDeed::List { whose } => {
            let directory = directory(whose)?;
            let failed = |error: io::Error| {
                Failure::ours(&format!("cannot list {}", directory.display()), &error)
            };
            let mut names = Vec::new();
            for entry in fs::read_dir(&directory).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                let name = name.to_string_lossy().into_owned();
                if is_secret_name(&name) {
                    names.push(name);
                }
            }
            names.sort();
            for name in names {
                print(&format!("{name}\n"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn checked(id: &str) -> Result<(), Failure> {
    if is_secret_name(id) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("`{id}` is no name of a secret"),
        "letters, digits, `-`, `_` and `.`, and no `.` first",
    ))
}

/// Where they are; it is made.
fn directory(whose: &Whose) -> Result<PathBuf, Failure> {
    let (home, read) = for_changes(whose)?;
    let directory = secrets_of(&read.server, &home);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|error| Failure::ours(&format!("cannot make {}", directory.display()), &error))?;
    Ok(directory)
}

/// Standard input, to its last byte.
fn given() -> Result<Vec<u8>, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // What is typed there would be shown.
        return Err(Failure::usage(
            "a secret is not typed at a terminal",
            "give it from a file or a pipe: `ward build secret set ID <FILE`",
        ));
    }
    let mut secret = Vec::new();
    stdin
        .lock()
        .take(LARGEST + 1)
        .read_to_end(&mut secret)
        .map_err(|error| Failure::ours("cannot read the secret", &error))?;
    if secret.is_empty() {
        return Err(Failure::usage(
            "there is nothing on standard input",
            "give the secret there",
        ));
    }
    if secret.len() as u64 > LARGEST {
        return Err(Failure::usage(
            format!("the secret is longer than {LARGEST} bytes"),
            "keep large files elsewhere",
        ));
    }
    Ok(secret)
}

/// Puts it there, whole or not at all, and never readable for others.
fn set(directory: &Path, id: &str, secret: &[u8]) -> Result<(), Failure> {
    let beside = directory.join(format!(".{id}.{}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(secret)?;
        file.sync_all()?;
        fs::rename(&beside, directory.join(id))
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&beside);
        Failure::ours(
            &format!("cannot keep a secret in {}", directory.display()),
            &error,
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_its_owners_alone_and_replaced_whole() -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        for secret in [&b"first\n"[..], b"\x00second"] {
            set(place.path(), "deploy-key", secret).map_err(|f| anyhow::anyhow!("{f:?}"))?;
            let path = place.path().join("deploy-key");
            assert_eq!(fs::read(&path)?, secret);
            assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(place.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn names_do_not_leave_the_directory() {
        for bad in ["", "..", ".hidden", "a/b", "a\0b"] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
        assert!(checked("npm-token_2.txt").is_ok());
    }
}
