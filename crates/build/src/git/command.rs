//! One git command in custody: what it is given, how long it may take, and what came of it.
//!
//! Git reads the machine's settings (`/etc/gitconfig`), the file `gitconfig` in the server's directory, and
//! the repository's own; not those of a home directory, which builds may write to. Hooks and file monitors of
//! a repository do not run. Nothing is ever asked for. Helpers that do not end are not started.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use ward_model::life::CauseKind;
use ward_model::spec::{Identity, Spec, Stdin};

use super::address::shown;
use super::error::{GitError, Trouble};
use super::keys::Keys;
use crate::runner::{Desk, Ran};

/// Of what a command says beside its result, so much is kept, bytes.
const TALK: usize = 1 << 20;
/// So much of it goes into an error, bytes.
const SAID: usize = 2000;

/// Settings of every command.
const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    "advice.detachedHead=false",
    "i18n.logOutputEncoding=UTF-8",
    "submodule.recurse=false",
];

/// Of git's own variables, who configures the server may give these.
const WELCOME: [&str; 4] = ["GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_", "GIT_SSH"];

/// Who runs git, and how.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) environment: &'a [(OsString, OsString)],
    pub(super) identity: Option<&'a Identity>,
    pub(super) keys: &'a Keys,
    /// How long one command may take.
    pub(super) limit: Duration,
    /// Ways to fetch, as in `GIT_ALLOW_PROTOCOL`.
    pub(super) ways: &'a str,
    /// File mode creation mask, where it is not to be the build's.
    pub(super) umask: Option<u32>,
}

/// Runs git for one purpose.
pub(super) struct Git<'d, 's> {
    pub(super) desk: &'d mut dyn Desk,
    pub(super) setting: Setting<'s>,
}

impl Git<'_, '_> {
    /// Runs a command whose talk is shown, after a line that names it.
    ///
    /// # Errors
    /// Everything but success.
    pub(super) fn does(&mut self, at: Option<&Path>, words: &[&OsStr]) -> Result<(), GitError> {
        self.desk.line(&format!(" > git {}", line_of(words)));
        let mut spec = self.spec(at, words);
        spec.merge = true;
        let ran = self.desk.run(spec, Some(TALK))?;
        let talk = shown(&String::from_utf8_lossy(&ran.stdout));
        for line in talk.lines() {
            // How far it has come is written so that it counts as alive, and is not worth a line.
            let last = line.rsplit('\r').find(|part| !part.trim().is_empty());
            let last = last.unwrap_or_default().trim_end();
            if !last.contains("% (") && !last.is_empty() {
                self.desk.line(last);
            }
        }
        self.judge(&ran, words, &talk)
    }

    /// Runs a command for what it writes, of which there may be `limit` bytes.
    ///
    /// # Errors
    /// Everything but success; more than `limit` bytes too.
    pub(super) fn asks(
        &mut self,
        at: Option<&Path>,
        words: &[&OsStr],
        limit: usize,
    ) -> Result<Vec<u8>, GitError> {
        let ran = self.desk.run(self.spec(at, words), Some(limit))?;
        self.judge(&ran, words, "")?;
        if ran.cut {
            return Err(GitError::Nonsense(format!(
                "{}: more than {limit} bytes",
                verb_of(words)
            )));
        }
        Ok(ran.stdout)
    }

    /// Runs a command for what it writes, of which `limit` bytes are enough.
    ///
    /// # Errors
    /// Everything but success.
    pub(super) fn asks_some(
        &mut self,
        at: Option<&Path>,
        words: &[&OsStr],
        limit: usize,
    ) -> Result<Vec<u8>, GitError> {
        let ran = self.desk.run(self.spec(at, words), Some(limit))?;
        self.judge(&ran, words, "")?;
        Ok(ran.stdout)
    }

    /// Runs a command that says something by failing; what it says is heard by nobody.
    ///
    /// # Errors
    /// [`GitError::Stopped`], and when it could not be run.
    pub(super) fn tries(
        &mut self,
        at: Option<&Path>,
        words: &[&OsStr],
        limit: usize,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let mut spec = self.spec(at, words);
        spec.merge = true;
        let ran = self.desk.run(spec, Some(limit))?;
        match self.judge(&ran, words, "") {
            Ok(()) => Ok(Some(ran.stdout)),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn spec(&self, at: Option<&Path>, words: &[&OsStr]) -> Spec {
        let setting = &self.setting;
        let mut command: Vec<OsString> = vec!["git".into()];
        if let Some(at) = at {
            command.extend(["-C".into(), at.as_os_str().to_owned()]);
        }
        for each in SETTINGS {
            command.extend(["-c".into(), each.into()]);
        }
        for each in &setting.keys.settings {
            command.extend(["-c".into(), each.clone()]);
        }
        command.extend(words.iter().map(|word| (*word).to_owned()));
        let mut spec = Spec::new(command);
        spec.title = Some(format!("git {}", verb_of(words)));
        spec.environment = environment(setting);
        // Where it works is said by `-C`; this one is always there.
        spec.directory = Some("/".into());
        spec.identity = setting.identity.cloned();
        spec.umask = setting.umask;
        spec.stdin = Stdin::Null;
        spec.policy.timeout = Some(setting.limit);
        // What git starts for itself ends with it, or soon after.
        spec.spare = false;
        spec
    }

    fn judge(&self, ran: &Ran, words: &[&OsStr], talk: &str) -> Result<(), GitError> {
        let Some(report) = &ran.report else {
            return Err(GitError::Stopped);
        };
        if let Some(failure) = &report.failure {
            return Err(GitError::NoGit {
                step: failure.step.clone(),
                message: failure.message.clone(),
            });
        }
        if report.stopped_before_end {
            return Err(match report.cause {
                Some(CauseKind::TimeLimit) if !self.desk.is_stopping() => GitError::TimedOut {
                    what: verb_of(words),
                    limit: self.setting.limit,
                },
                _ => GitError::Stopped,
            });
        }
        if report.exit_status == 0 {
            return Ok(());
        }
        // What comes behind the last progress is what went wrong.
        let last = talk.trim_end();
        let last = last.rsplit('\r').next().unwrap_or(last).trim();
        let said = if last.is_empty() {
            format!("exit status {}", report.exit_status)
        } else {
            last_of(last, SAID).to_owned()
        };
        Err(GitError::Failed {
            what: verb_of(words),
            trouble: Trouble::of(talk),
            said,
        })
    }
}

fn environment(setting: &Setting<'_>) -> Vec<(OsString, OsString)> {
    let is_given = |name: &str| {
        setting
            .keys
            .environment
            .iter()
            .any(|(other, _)| other == name)
    };
    let may_stay = |name: &OsStr| {
        let name = name.to_string_lossy();
        if name.starts_with("GIT_SSH") && is_given("GIT_SSH_COMMAND") {
            return false;
        }
        !name.starts_with("GIT_") || WELCOME.iter().any(|each| name.starts_with(each))
    };
    let mut all: Vec<_> = setting
        .environment
        .iter()
        .filter(|(name, _)| may_stay(name))
        .cloned()
        .collect();
    let ours = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", ""),
        ("SSH_ASKPASS", ""),
        ("SSH_ASKPASS_REQUIRE", "never"),
        ("GIT_ALLOW_PROTOCOL", setting.ways),
        // Messages are understood by their words.
        ("LC_ALL", "C.UTF-8"),
        ("LANGUAGE", ""),
    ];
    all.extend(ours.map(|(name, value)| (name.into(), value.into())));
    all.extend(setting.keys.environment.iter().cloned());
    all
}

/// The command as people read it.
fn line_of(words: &[&OsStr]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    shown(&words.join(" "))
}

fn verb_of(words: &[&OsStr]) -> String {
    words
        .first()
        .map(|word| word.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The end of `text`, from the begin of a line on where there is one.
fn last_of(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let from = text.ceil_char_boundary(text.len() - limit);
    let end = text.get(from..).unwrap_or_default();
    end.split_once('\n').map_or(end, |(_, rest)| rest)
}
