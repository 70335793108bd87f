//! A build server from the outside: its process, what its commands say, and repositories to build from.
//! What a build is to do is the affair of each test.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::world::World;

/// What a command said, and its exit status.
#[derive(Debug)]
pub struct Said {
    /// The number of the signal that killed it, negative, or its exit status.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Said {
    /// What was said and left by a command that has ended.
    #[must_use]
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status;
        let killed = || status.signal().map(|signal| -signal);
        Self {
            code: status.code().or_else(killed),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// # Errors
    ///
    /// It left another status.
    pub fn expect(self, code: i32) -> anyhow::Result<Self> {
        ensure!(self.code == Some(code), "not {code}: {self:#?}");
        Ok(self)
    }

    /// # Errors
    ///
    /// What it said is not JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:#?}"))
    }
}

/// A command of `ward` that knows nothing of a server that the caller may have.
#[must_use]
pub fn command(world: &World, words: &[&str]) -> Command {
    let mut command = Command::new(world.ward_program());
    world.furnish(&mut command);
    for name in [
        "WARD_BUILD_URL",
        "WARD_BUILD_TOKEN",
        "WARD_CA",
        "XDG_CONFIG_HOME",
        "NOTIFY_SOCKET",
        "SSH_AUTH_SOCK",
    ] {
        command.env_remove(name);
    }
    command
        .args(words)
        .current_dir(world.path("."))
        .stdin(Stdio::null());
    command
}

/// A server that is killed when this is dropped. What it has started is ended by the world.
#[derive(Debug)]
pub struct Server(Child);

impl Server {
    /// Starts it; what it complains of is added to `log`.
    ///
    /// # Errors
    ///
    /// The log cannot be opened, or there is no such program.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let log: File = OpenOptions::new().create(true).append(true).open(log)?;
        let child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self(child))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// Kills it as nobody can handle.
    ///
    /// # Errors
    ///
    /// It cannot be killed or waited for.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Its exit status, once it has ended.
    pub fn status(&mut self) -> Option<std::process::ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Git, by somebody who works at `place`; what it said.
///
/// # Errors
///
/// There is no git, or it fails.
pub fn git(place: &Path, words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
        .args(words)
        .current_dir(place)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// All that is at `place` as a repository with one commit; its name.
///
/// # Errors
///
/// As [`git`].
pub fn keep(place: &Path) -> anyhow::Result<String> {
    git(place, &["init", "-q"])?;
    git(place, &["symbolic-ref", "HEAD", "refs/heads/main"])?;
    // What a package leaves out of its own repository is wanted here all the same.
    git(place, &["add", "--all", "--force"])?;
    commit(place, "first")
}

/// Everything that was changed as one more commit; its name.
///
/// # Errors
///
/// As [`git`].
pub fn commit(place: &Path, message: &str) -> anyhow::Result<String> {
    git(place, &["commit", "-q", "-a", "-m", message])?;
    git(place, &["rev-parse", "HEAD"])
}
