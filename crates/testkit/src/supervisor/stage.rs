//! A directory for one test, with the files that it needs and everybody who is started in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::patience::wait_for_within;
use crate::processes::{self, MARK_VARIABLE};
use crate::run::Capture;
use crate::supervisor::daemon::{Daemon, Ended};
use crate::supervisor::kit::{Kit, Subject};
use crate::world::STATE_VARIABLE;

/// How long anything may take before a test calls it a hang.
pub const LIMIT: Duration = crate::patience::LIMIT;

/// The configuration without programs that tests begin with.
pub const HEAD: &str = "\
[unix_http_server]
file=%(here)s/s
[supervisord]
logfile=%(here)s/d.log
pidfile=%(here)s/d.pid
childlogdir=%(here)s
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(here)s/s
";

/// The name of the configuration in the directory of a test.
pub const CONFIGURATION: &str = "c.conf";

/// A directory, a mark, and whom to try.
pub struct Stage<'k> {
    kit: &'k Kit,
    /// Whose daemon is tried.
    pub daemon: Subject,
    /// Whose client is used.
    pub client: Subject,
    mark: String,
    differences: &'k [(&'k str, &'k str)],
    directory: TempDir,
}

impl<'k> Stage<'k> {
    /// Makes the directory. `differences` are the keys that [`Stage::differs`] may be asked for,
    /// each with its reason.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(
        kit: &'k Kit,
        daemon: Subject,
        client: Subject,
        differences: &'k [(&'k str, &'k str)],
    ) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::Builder::new()
            .prefix("ward-sv-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        Ok(Self {
            kit,
            daemon,
            client,
            mark: format!("ward-sv-{}-{count}-", std::process::id()),
            differences,
            directory,
        })
    }

    /// Whether ours does otherwise on purpose, and ours is tried.
    ///
    /// # Errors
    /// When `key` is not in the list of the differences.
    pub fn differs(&self, key: &str) -> anyhow::Result<bool> {
        self.differences
            .iter()
            .find(|(known, _)| *known == key)
            .with_context(|| format!("`{key}` is not in the list of differences"))?;
        Ok(self.daemon == Subject::Ward)
    }

    /// The programs that can be tried.
    #[must_use]
    pub fn kit(&self) -> &Kit {
        self.kit
    }

    /// A path in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory as text.
    #[must_use]
    pub fn here(&self) -> String {
        self.directory.path().display().to_string()
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file that everybody may execute.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn script(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.write(name, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// What is in a file, as far as it is text; nothing if there is none.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// How many times `text` is in a file.
    #[must_use]
    pub fn count(&self, name: &str, text: &str) -> usize {
        self.read(name).matches(text).count()
    }

    /// The names of the files that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.directory.path())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Writes the configuration: [`HEAD`] and `rest`. `@python` stands for a Python.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, rest: &str) -> anyhow::Result<()> {
        self.configure_all(&format!("{HEAD}{rest}"))
    }

    /// Writes the configuration as it is given. `@python` stands for a Python.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure_all(&self, text: &str) -> anyhow::Result<()> {
        let text = if text.contains("@python") {
            text.replace("@python", &self.kit.python()?.display().to_string())
        } else {
            text.to_owned()
        };
        self.write(CONFIGURATION, text)?;
        Ok(())
    }

    /// Starts the daemon in the foreground with [`HEAD`] and `rest`, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&self, rest: &str) -> anyhow::Result<Daemon<'_>> {
        self.configure(rest)?;
        self.start_again(&[])
    }

    /// Starts the daemon in the foreground with the configuration that is there.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn start_again(&self, options: &[&str]) -> anyhow::Result<Daemon<'_>> {
        let mut words = vec!["-n", "-c", CONFIGURATION];
        words.extend(options);
        self.start_by(self.command("supervisord", &words)?)
    }

    /// Starts the daemon by a command of the test's own, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start_by(&self, command: Command) -> anyhow::Result<Daemon<'_>> {
        Daemon::start(self, command)
    }

    /// A command of the subject with words, in the directory: with the mark, a small environment
    /// and the usual mask, without input.
    ///
    /// # Errors
    /// When the subject has no such program.
    pub fn command(&self, program: &str, words: &[&str]) -> anyhow::Result<Command> {
        let program = self.kit.program(self.daemon, program)?;
        Ok(self.furnished(&program, words))
    }

    /// Any program with words, furnished in the same way.
    #[must_use]
    pub fn furnished(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "umask 022; exec \"$@\"", &self.mark])
            .arg(program)
            .args(words)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", "/home/of/the/caller")
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env(MARK_VARIABLE, &self.mark)
            .env(STATE_VARIABLE, self.path(".ward-state"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a program of the subject to its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn run(&self, program: &str, words: &[&str]) -> anyhow::Result<Ended> {
        self.finish(self.command(program, words)?)
    }

    /// Runs the client with the configuration of this directory to its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn ctl(&self, words: &[&str]) -> anyhow::Result<Ended> {
        let program = self.kit.program(self.client, "supervisorctl")?;
        let mut all = vec!["-c", CONFIGURATION];
        all.extend(words);
        self.finish(self.furnished(&program, &all))
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn finish(&self, mut command: Command) -> anyhow::Result<Ended> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let out = Capture::of(child.stdout.take().context("no stdout")?.into());
        let err = Capture::of(child.stderr.take().context("no stderr")?.into());
        let status = wait_for_within(LIMIT, &format!("the end of {command:?}"), || {
            child.try_wait().ok().flatten()
        });
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                let _ = child.kill();
                return Err(error.context(String::from_utf8_lossy(&err.so_far()).into_owned()));
            }
        };
        // Whoever it left in the background may hold its output open.
        crate::patience::wait_for_within(Duration::from_secs(5), "the end of output", || {
            (out.is_at_end() && err.is_at_end()).then_some(())
        })
        .ok();
        Ok(Ended::new(status, &out.so_far(), &err.so_far()))
    }

    /// Everybody alive who was started here.
    #[must_use]
    pub fn everybody(&self) -> Vec<processes::Seen> {
        processes::marked(&self.mark)
    }

    /// What a person would look at when a test has failed.
    #[must_use]
    pub fn evidence(&self) -> String {
        format!(
            "whom: {:?} asked by {:?}\n--- main log\n{}\n--- configuration\n{}",
            self.daemon,
            self.client,
            self.read("d.log"),
            self.read(CONFIGURATION)
        )
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // Some start others when they see one end; and nobody may write into the directory while
        // it is removed.
        let limit = Duration::from_secs(10);
        let gone = wait_for_within(limit, "the end of everybody", || {
            let left = processes::marked(&self.mark);
            for seen in &left {
                processes::signal_marked(seen.pid, &self.mark, Signal::KILL);
            }
            left.is_empty().then_some(())
        });
        if let Err(error) = gone {
            eprintln!("{error:#}: {:?}", processes::marked(&self.mark));
        }
    }
}
