//! A place with a repository, a workspace, and everything that a server has.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use ward_build::git::{Checked, CheckoutRequest, GitError, RemoteRequest, checkout};
use ward_build::plan::BuiltBranch;
use ward_config::job::{Clean, Source};
use ward_model::spec::Identity;

use crate::desk::Notes;

/// A place, which goes with everything in it.
pub(crate) struct Room {
    directory: tempfile::TempDir,
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// What is asked for besides the source.
#[derive(Default)]
pub(crate) struct Ask<'a> {
    pub(crate) revision: Option<&'a str>,
    pub(crate) previous: Option<&'a str>,
    pub(crate) clean: Option<Clean>,
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) is_shared: bool,
}

impl Room {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("ward git's ").tempdir()?;
        for name in ["repository", "workspace", "home", "secrets", "scratch"] {
            fs::create_dir(directory.path().join(name))?;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let room = Self {
            environment: vec![
                ("PATH".into(), path),
                ("HOME".into(), directory.path().join("home").into()),
            ],
            directory,
        };
        room.git(&["init", "--quiet", "--initial-branch=main"])?;
        Ok(room)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn workspace(&self, name: &str) -> PathBuf {
        self.path("workspace").join(name)
    }

    /// Gives the workspace to nobody, who may look around here; only root can.
    pub(crate) fn of_nobody(&self) -> anyhow::Result<Identity> {
        use std::os::unix::fs::{PermissionsExt, chown};
        const NOBODY: u32 = 65534;
        for name in [".", "scratch"] {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o711))?;
        }
        chown(self.path("workspace"), Some(NOBODY), Some(NOBODY))?;
        Ok(Identity {
            uid: NOBODY,
            gid: NOBODY,
            groups: Vec::new(),
        })
    }

    /// Git in the repository, by somebody who works there.
    pub(crate) fn git(&self, words: &[&str]) -> anyhow::Result<String> {
        self.git_in("repository", words)
    }

    pub(crate) fn git_in(&self, place: &str, words: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("git")
            .args(["-c", "protocol.file.allow=always", "-C"])
            .arg(self.path(place))
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Ännie")
            .env("GIT_AUTHOR_EMAIL", "a@example.invalid")
            .env("GIT_COMMITTER_NAME", "C")
            .env("GIT_COMMITTER_EMAIL", "c@example.invalid")
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {words:?}: {error}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Git in the repository, with `text` to read.
    pub(crate) fn git_fed(&self, words: &[&str], text: &str) -> anyhow::Result<()> {
        let path = self.path("fed");
        fs::write(&path, text)?;
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path("repository"))
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(fs::File::open(&path)?)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    }

    /// A commit that writes `content` to `file`, `at` seconds after a moment; its name.
    pub(crate) fn commit(&self, file: &str, content: &str, at: u32) -> anyhow::Result<String> {
        let path = self.path("repository").join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
        self.git(&["add", "--all"])?;
        let date = format!("--date=@{}", 1_700_000_000 + at);
        let words = [
            "commit",
            "--quiet",
            &date,
            "-m",
            &format!("{file} is {content}\n\nindeed"),
        ];
        let when = format!("@{} +0000", 1_700_000_000 + at);
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path("repository"))
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Ännie")
            .env("GIT_AUTHOR_EMAIL", "a@example.invalid")
            .env("GIT_COMMITTER_NAME", "C")
            .env("GIT_COMMITTER_EMAIL", "c@example.invalid")
            .env("GIT_COMMITTER_DATE", when)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        self.git(&["rev-parse", "HEAD"])
    }

    /// The repository as it is reached by files.
    pub(crate) fn source(&self) -> Source {
        Source {
            url: self.path("repository").to_string_lossy().into_owned(),
            branches: vec!["*/main".to_owned()],
            ..Source::default()
        }
    }

    pub(crate) fn secret(&self, name: &str, content: &str) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path("secrets").join(name);
        fs::write(&path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(())
    }

    pub(crate) fn checkout_with(
        &self,
        desk: &mut Notes,
        source: &Source,
        ask: &Ask<'_>,
    ) -> Result<Checked, GitError> {
        let paths =
            ["workspace", "cache", "home", "secrets", "scratch"].map(|name| self.path(name));
        let [workspace, cache, home, secrets, scratch] = &paths;
        let built = ask.previous.map(|revision| BuiltBranch {
            branch: "origin/main".to_owned(),
            revision: revision.to_owned(),
            successful: None,
        });
        let request = CheckoutRequest {
            source,
            clean: ask.clean.unwrap_or(Clean::No),
            workspace,
            shared_workspace: ask.is_shared,
            cache,
            home,
            secrets,
            scratch,
            environment: &self.environment,
            identity: ask.identity,
            variables: &[("WHICH".to_owned(), "main".to_owned())],
            revision: ask.revision,
            built: built.as_slice(),
        };
        checkout(desk, &request)
    }

    /// Checks out, and gives the console too.
    pub(crate) fn checkout(
        &self,
        source: &Source,
        ask: &Ask<'_>,
    ) -> anyhow::Result<(Checked, String)> {
        let mut desk = Notes::default();
        let checked = self
            .checkout_with(&mut desk, source, ask)
            .with_context(|| desk.text.clone())?;
        let left: Vec<_> = fs::read_dir(self.path("scratch"))?.collect();
        ensure!(left.is_empty(), "keys are left: {left:?}");
        Ok((checked, desk.text))
    }

    /// Fails to, and gives the console too.
    pub(crate) fn refused(
        &self,
        source: &Source,
        ask: &Ask<'_>,
    ) -> anyhow::Result<(GitError, String)> {
        let mut desk = Notes::default();
        match self.checkout_with(&mut desk, source, ask) {
            Ok(checked) => anyhow::bail!("checked out: {checked:?}"),
            Err(error) => Ok((error, desk.text)),
        }
    }

    pub(crate) fn look<T>(&self, source: &Source, look: impl FnOnce(&RemoteRequest<'_>) -> T) -> T {
        let paths = ["home", "secrets", "scratch"].map(|name| self.path(name));
        let [home, secrets, scratch] = &paths;
        look(&RemoteRequest {
            source,
            home,
            secrets,
            scratch,
            environment: &self.environment,
            variables: &[],
        })
    }
}

/// What a file has.
pub(crate) fn content(path: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
