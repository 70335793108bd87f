//! What every hostile process has, and keeps when it starts itself again: its mark, its roll
//! and the end of its life.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::LONGEST_LIFE;

pub(super) struct Body {
    mark: Option<String>,
    roll: Option<PathBuf>,
    until: SystemTime,
    /// What the first process ends with, in moods in which it ends.
    status: u8,
}

impl Body {
    /// Takes the options off the arguments; what is left is the mood.
    pub(super) fn new(arguments: Vec<OsString>) -> anyhow::Result<(Self, Vec<OsString>)> {
        let now = SystemTime::now();
        let mut body = Self {
            mark: None,
            roll: None,
            until: now + LONGEST_LIFE,
            status: 0,
        };
        let mut rest = arguments.into_iter().peekable();
        while let Some(option) = rest.next_if(|text| text.as_encoded_bytes().starts_with(b"--")) {
            let text = option.to_str().context("an option that is not UTF-8")?;
            let (name, value) = text.split_once('=').context("an option without a value")?;
            match name {
                "--mark" => body.mark = Some(value.to_owned()),
                "--roll" => body.roll = Some(PathBuf::from(value)),
                "--status" => body.status = value.parse()?,
                "--life" => {
                    let life = Duration::from_secs(value.parse()?);
                    body.until = now + life.min(LONGEST_LIFE);
                }
                "--until" => {
                    let end = UNIX_EPOCH + Duration::from_millis(value.parse()?);
                    body.until = end.min(now + LONGEST_LIFE);
                }
                _ => anyhow::bail!("no such option: {name}"),
            }
        }
        Ok((body, rest.collect()))
    }

    /// This program once more, in another mood, with the same mark, roll and end of life.
    pub(super) fn again(&self, mood: &[impl AsRef<OsStr>]) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0("hostile");
        if let Some(mark) = &self.mark {
            command.arg(format!("--mark={mark}"));
        }
        if let Some(roll) = &self.roll {
            command.arg(format!("--roll={}", roll.display()));
        }
        let until = self.until.duration_since(UNIX_EPOCH)?.as_millis();
        command.arg(format!("--until={until}"));
        command.args(mood);
        Ok(command)
    }

    /// The same body with a life of at most `life` from now.
    pub(super) fn shorter(&self, life: Duration) -> Self {
        Self {
            mark: self.mark.clone(),
            roll: None,
            until: self.until.min(SystemTime::now() + life),
            status: 0,
        }
    }

    /// How the first process ends, in moods in which it ends.
    pub(super) fn leave(&self) -> ExitCode {
        ExitCode::from(self.status)
    }

    /// Signs the roll: this process is where its mood wants it.
    pub(super) fn sign(&self) -> anyhow::Result<()> {
        let Some(roll) = &self.roll else {
            return Ok(());
        };
        let line = format!("{}\n", std::process::id());
        // One write to a file opened for appending is never mixed with another's.
        OpenOptions::new()
            .append(true)
            .open(roll)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("signing {}", roll.display()))
    }

    /// Waits until so many have signed. Without a roll there is nothing to wait for.
    pub(super) fn await_signatures(&self, count: usize) -> anyhow::Result<()> {
        let Some(roll) = &self.roll else {
            return Ok(());
        };
        while !self.is_over() {
            if std::fs::read_to_string(roll)?.lines().count() >= count {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        anyhow::bail!("not all {count} have signed")
    }

    /// How much life is left.
    pub(super) fn remaining(&self) -> Duration {
        self.until
            .duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO)
    }

    pub(super) fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Signs, then waits for the end of its life.
    pub(super) fn stay(&self) -> anyhow::Result<ExitCode> {
        self.sign()?;
        // Sleeping goes on after signals that were handled.
        std::thread::sleep(self.remaining());
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }
}
