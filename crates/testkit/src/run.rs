//! `ward run` from the outside: start it, signal it, read it, judge how it ended.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ward_model::report::Report;
use ward_model::rung::Rung;

use crate::patience::{wait_for, wait_until};
use crate::processes::{Seen, children, look};
use crate::truth;
use crate::world::{Setting, Who, World};

/// A run that is being described.
#[must_use]
pub struct Run<'w> {
    world: &'w World,
    who: Who,
    before: Vec<OsString>,
    options: Vec<OsString>,
    command: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    report: Option<PathBuf>,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl<'w> Run<'w> {
    pub(crate) fn new(world: &'w World, report: PathBuf) -> Self {
        Self {
            world,
            who: Who::Myself,
            before: Vec::new(),
            options: Vec::new(),
            command: Vec::new(),
            environment: Vec::new(),
            directory: None,
            report: Some(report),
            stdin: Stdio::null(),
            stdout: None,
            stderr: None,
        }
    }

    /// Who starts ward, and on which rung.
    pub fn setting(self, setting: Setting) -> Self {
        self.who(setting.who).rung(setting.rung)
    }

    /// Who starts ward.
    pub fn who(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    /// `--containment`.
    pub fn rung(self, rung: Rung) -> Self {
        self.options(["--containment", rung.name()])
    }

    /// Options of `ward run`.
    pub fn options<T: Into<OsString>>(mut self, options: impl IntoIterator<Item = T>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// A program and its arguments that start ward, such as `unshare --pid`.
    pub fn started_by<T: Into<OsString>>(mut self, before: impl IntoIterator<Item = T>) -> Self {
        self.before.extend(before.into_iter().map(Into::into));
        self
    }

    /// The command, after `--`.
    pub fn command<T: Into<OsString>>(mut self, command: impl IntoIterator<Item = T>) -> Self {
        self.command = command.into_iter().map(Into::into).collect();
        self.command.insert(0, "--".into());
        self
    }

    /// What follows the options without `--`, as for `--shell` and `--script`.
    pub fn bare<T: Into<OsString>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// The hostile program as the command.
    pub fn hostile(self, mood: &[&str]) -> Self {
        let command = self.world.hostile(mood);
        self.command(command)
    }

    /// The hostile program as the command; its first process ends with `status`, if it ends.
    pub fn hostile_leaving(self, status: u8, mood: &[&str]) -> Self {
        let mut command = self.world.hostile(mood);
        command.insert(1, format!("--status={status}"));
        self.command(command)
    }

    /// A `/bin/sh -c` as the command. The mark is its `$0`, so it can be found.
    pub fn sh(self, text: &str) -> Self {
        let mark = self.world.mark().to_owned();
        self.command(["/bin/sh", "-c", text, &mark])
    }

    /// A variable in ward's own environment.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Where ward is started.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Without `--report`.
    pub fn without_report(mut self) -> Self {
        self.report = None;
        self
    }

    /// Ward's standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Ward's standard output, which the test then reads itself.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Ward's standard error, which the test then reads itself.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// The words after the program's name.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["run".into()];
        if let Some(report) = &self.report {
            words.push("--report".into());
            words.push(report.into());
        }
        words.extend(self.options.iter().cloned());
        words.extend(self.command.iter().cloned());
        words
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the system does not.
    pub fn start(mut self) -> anyhow::Result<Running<'w>> {
        let ward = self.world.ward_program().as_os_str().to_owned();
        let mut words = self.before.clone();
        words.push(ward);
        words.extend(self.words());
        let mut command = self.world.command_as(self.who, &words[0]);
        command.args(&words[1..]);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(self.stdin);
        let capture_out = self.stdout.is_none();
        let capture_err = self.stderr.is_none();
        command.stdout(self.stdout.take().unwrap_or_else(Stdio::piped));
        command.stderr(self.stderr.take().unwrap_or_else(Stdio::piped));
        let mut child = command.spawn().context("starting ward")?;
        let stdout = child.stdout.take().filter(|_| capture_out);
        let stderr = child.stderr.take().filter(|_| capture_err);
        Ok(Running {
            world: self.world,
            pid: child.id().cast_signed(),
            child,
            stdout: stdout.map(|pipe| Capture::of(pipe.into())),
            stderr: stderr.map(|pipe| Capture::of(pipe.into())),
            report: self.report,
        })
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not end.
    pub fn finish(self) -> anyhow::Result<Ended> {
        self.start()?.finish()
    }
}

/// Reads a stream to its end in a thread of its own.
#[derive(Debug)]
pub struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<std::io::Result<()>>,
}

impl Capture {
    /// Reads `stream` from now on.
    #[must_use]
    pub fn of(stream: OwnedFd) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut stream = std::fs::File::from(stream);
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => sink
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend_from_slice(&buffer[..count]),
                }
            }
        });
        Self { bytes, reader }
    }

    /// What came so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<u8> {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the stream is at its end.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.reader.is_finished()
    }

    /// Everything, once the stream is at its end.
    ///
    /// # Errors
    /// When it does not end: somebody holds it open.
    pub fn to_end(self, what: &str) -> anyhow::Result<Vec<u8>> {
        wait_until(&format!("the end of {what}"), || self.reader.is_finished())?;
        self.reader
            .join()
            .map_err(|_| anyhow::anyhow!("reading {what} panicked"))?
            .with_context(|| format!("reading {what}"))?;
        Ok(Arc::into_inner(self.bytes)
            .context("still read")?
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

/// A run that goes on.
pub struct Running<'w> {
    world: &'w World,
    pid: i32,
    child: Child,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
    report: Option<PathBuf>,
}

impl Running<'_> {
    /// The process that was started: the front, if nothing else starts ward.
    #[must_use]
    pub fn front(&self) -> i32 {
        self.pid
    }

    /// The guardian, once there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn guardian(&self) -> anyhow::Result<i32> {
        wait_for("the guardian", || {
            children(self.pid)
                .into_iter()
                .find(|child| child.name == "ward-guardian" && !child.is_zombie())
                .map(|child| child.pid)
        })
    }

    /// Where the report is to be.
    ///
    /// # Errors
    /// When none was asked for.
    pub fn report_path(&self) -> anyhow::Result<&Path> {
        self.report.as_deref().context("no report was asked for")
    }

    /// Sends a signal to the process that was started, which only this value reaps.
    ///
    /// # Errors
    /// When the system does not.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid).context("no process")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?}"))
    }

    /// Waits until so many have signed the world's roll.
    ///
    /// # Errors
    /// When they do not, or ward ends before.
    pub fn await_signatures(&mut self, count: usize) -> anyhow::Result<Vec<i32>> {
        wait_for(&format!("{count} signatures"), || {
            let signed = self.world.signed();
            let over = matches!(self.child.try_wait(), Ok(Some(_)));
            (signed.len() >= count || over).then_some(signed)
        })
        .and_then(|signed| {
            anyhow::ensure!(
                signed.len() >= count,
                "ward ended after {} of {count} signatures; it says: {}",
                signed.len(),
                String::from_utf8_lossy(&self.stderr_so_far())
            );
            Ok(signed)
        })
    }

    /// Waits until standard output contains `text`.
    ///
    /// # Errors
    /// When it does not, or ward ends before.
    pub fn await_stdout(&mut self, text: &str) -> anyhow::Result<()> {
        wait_for(&format!("`{text}`"), || {
            let over = matches!(self.child.try_wait(), Ok(Some(_)));
            let said = contains(&self.stdout_so_far(), text);
            (said || over).then_some(said)
        })
        .and_then(|said| {
            anyhow::ensure!(
                said || contains(&self.stdout_so_far(), text),
                "ward ended without `{text}`; stdout: {}; stderr: {}",
                String::from_utf8_lossy(&self.stdout_so_far()),
                String::from_utf8_lossy(&self.stderr_so_far())
            );
            Ok(())
        })
    }

    /// What came on standard output so far.
    #[must_use]
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout
            .as_ref()
            .map(Capture::so_far)
            .unwrap_or_default()
    }

    /// What came on standard error so far.
    #[must_use]
    pub fn stderr_so_far(&self) -> Vec<u8> {
        self.stderr
            .as_ref()
            .map(Capture::so_far)
            .unwrap_or_default()
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// What the process that was started looks like in `/proc`.
    #[must_use]
    pub fn look(&self) -> Option<Seen> {
        look(self.pid)
    }

    /// Waits for the end of a front that was killed. Who is left then is not yet known: the
    /// guardian has only just learned of it.
    ///
    /// # Errors
    /// When it does not end, or its output does not.
    pub fn finish_killed(mut self) -> anyhow::Result<Ended> {
        self.report = None;
        self.finish()
    }

    /// Waits for its end, then for the end of its output.
    ///
    /// # Errors
    /// When it does not end, or its output does not.
    pub fn finish(mut self) -> anyhow::Result<Ended> {
        let pid = self.pid;
        let status = wait_for("ward to end", || self.child.try_wait().ok().flatten())
            .with_context(|| {
                format!(
                    "front: {:?}; alive: {:#?}; stderr: {}",
                    look(pid),
                    self.world.survivors(),
                    String::from_utf8_lossy(&self.stderr_so_far()),
                )
            })?;
        // At once: who is alive now was alive when ward said that it is over.
        let survivors = self.world.survivors();
        let wards = self.world.wards();
        let forgotten_cgroups = self.world.forgotten_cgroups();
        let to_end = |capture: Option<Capture>, what| {
            capture.map_or(Ok(Vec::new()), |capture| capture.to_end(what))
        };
        let stdout = to_end(self.stdout, "ward's stdout")?;
        let stderr = to_end(self.stderr, "ward's stderr")?;
        let report = self.report.filter(|path| path.exists());
        let raw = report
            .map(|path| -> anyhow::Result<Value> {
                let text = std::fs::read(&path)?;
                serde_json::from_slice(&text)
                    .with_context(|| format!("reading {}", String::from_utf8_lossy(&text)))
            })
            .transpose()?;
        Ok(Ended {
            status,
            stdout,
            stderr,
            raw,
            survivors,
            wards,
            forgotten_cgroups,
        })
    }
}

/// Whether `text` occurs in `bytes`.
#[must_use]
pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// A run that is over, with what there was at that moment.
pub struct Ended {
    /// How ward ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// The report as it was written.
    pub raw: Option<Value>,
    /// Who was alive when ward had ended.
    pub survivors: Vec<Seen>,
    /// Which processes of ward's own were alive when ward had ended.
    pub wards: Vec<Seen>,
    /// Cgroups that ward had made and not removed.
    pub forgotten_cgroups: Vec<PathBuf>,
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended")
            .field("status", &self.status)
            .field("stdout", &shortened(&self.stdout))
            .field("stderr", &shortened(&self.stderr))
            .field("raw", &self.raw)
            .field("survivors", &self.survivors)
            .field("wards", &self.wards)
            .field("forgotten_cgroups", &self.forgotten_cgroups)
            .finish()
    }
}

/// The beginning of some output, as text.
fn shortened(bytes: &[u8]) -> String {
    const SHOWN: usize = 4000;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    match bytes.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{text}… and {more} bytes more"),
        _ => text.into_owned(),
    }
}

impl Ended {
    /// The exit status, or the signal as a shell shows it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .or_else(|| self.status.signal().map(|signal| 128 + signal))
            .unwrap_or(-1)
    }

    /// Standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// What ward itself said, without what the command wrote to standard error.
    #[must_use]
    pub fn wards_words(&self) -> String {
        self.err()
            .lines()
            .filter(|line| line.starts_with("ward: "))
            .fold(String::new(), |said, line| said + line + "\n")
    }

    /// The report.
    ///
    /// # Errors
    /// When there is none, or it is not one.
    pub fn report(&self) -> anyhow::Result<Report> {
        let raw = self.raw.clone().with_context(|| {
            format!(
                "there is no report; ward ended with {} and said: {}",
                self.status,
                self.err()
            )
        })?;
        serde_json::from_value(raw).context("the report is not a report")
    }

    /// Nobody is left, the exit status is `code`, and the report contradicts neither itself
    /// nor what can be seen.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn judge(&self, code: u8) -> anyhow::Result<Report> {
        let mut wrong = self.left_behind();
        if self.code() != i32::from(code) {
            wrong.push(format!("ward ended with {}, not {code}", self.status));
        }
        let report = self.report()?;
        wrong.extend(truth::contradictions(&report));
        if self.raw != serde_json::to_value(&report).ok() {
            wrong.push("the report has fields that the model does not know".to_owned());
        }
        if report.exit_status != code {
            wrong.push(format!(
                "the report says exit status {}",
                report.exit_status
            ));
        }
        self.complain(&wrong)?;
        Ok(report)
    }

    /// Who or what was left when ward had ended.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.survivors.is_empty() {
            wrong.push(format!("survivors: {:#?}", self.survivors));
        }
        if !self.wards.is_empty() {
            wrong.push(format!("ward's own processes: {:#?}", self.wards));
        }
        if !self.forgotten_cgroups.is_empty() {
            wrong.push(format!("cgroups: {:?}", self.forgotten_cgroups));
        }
        wrong
    }

    fn complain(&self, wrong: &[String]) -> anyhow::Result<()> {
        anyhow::ensure!(
            wrong.is_empty(),
            "{}\nward said: {}\nthe report: {}",
            wrong.join("\n"),
            self.wards_words(),
            self.raw
                .as_ref()
                .map_or_else(|| "none".to_owned(), |raw| format!("{raw:#}")),
        );
        Ok(())
    }
}

/// Waits for a report that somebody else writes: the guardian, after the front was killed.
///
/// # Errors
/// When none comes, or it is not one.
pub fn await_report(path: &Path) -> anyhow::Result<Report> {
    // It is renamed into its place, so once it is there it is whole.
    let text = wait_for(&format!("the report {}", path.display()), || {
        std::fs::read(path).ok()
    })?;
    serde_json::from_slice(&text).context("the report is not a report")
}

/// Writes `bytes` into a pipe from a thread of its own and gives the end to read from.
///
/// # Errors
/// When no pipe can be made.
pub fn pipe_with(bytes: Vec<u8>) -> anyhow::Result<OwnedFd> {
    let (reader, mut writer) = std::io::pipe()?;
    std::thread::spawn(move || {
        // Whoever reads may stop early.
        let _ = writer.write_all(&bytes);
    });
    Ok(reader.into())
}

/// A path as an argument.
#[must_use]
pub fn text(path: impl AsRef<OsStr>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}
