//! A leader that was not started: which step failed, why, and what to do about it.

use std::time::{Duration, Instant};

use ward_model::life::{CauseKind, End, Event};
use ward_model::report::Failure;
use ward_sys::spawn::SpawnError;
use ward_sys::stage::Stage;

use super::Drive;

impl Drive<'_> {
    pub(super) fn launch_failed(&mut self, error: &SpawnError) {
        let (stage, errno) = error.stage_and_errno();
        let program = self.custody.spec.command[0].to_string_lossy().into_owned();
        let what = match stage {
            Stage::Directory => {
                let directory = self.custody.spec.directory.clone().unwrap_or_default();
                format!("changing directory to `{}`", directory.to_string_lossy())
            }
            stage => stage.describe().to_owned(),
        };
        let why = match error {
            SpawnError::Step { error, .. } | SpawnError::Clone(error) => plain(error),
            SpawnError::Nul(_) | SpawnError::KilledAtBirth { .. } => error.to_string(),
        };
        self.custody.account.failure = Some(Failure {
            step: what.clone(),
            errno,
            message: why.clone(),
        });
        self.custody
            .say(&format!("cannot start `{program}`: {what}: {why}"));
        if let Some(hint) = launch_hint(&program, stage, errno) {
            self.custody.say(&format!("hint: {hint}"));
        }
        self.feed(Event::SpawnFailed(End::NotStarted {
            errno,
            exec: stage == Stage::Exec,
        }));
    }

    /// Does not begin work under a lock that is no longer ours, or not for long enough.
    pub(super) fn refuse_to_start(&mut self) {
        let program = self.custody.spec.command[0].to_string_lossy().into_owned();
        let message = "its lease was not renewed".to_owned();
        let step = "keeping the lock".to_owned();
        self.custody
            .say(&format!("cannot start `{program}`: {step}: {message}"));
        self.custody.account.failure = Some(Failure {
            step,
            errno: ECANCELED,
            message,
        });
        self.custody
            .account
            .stop_asked(CauseKind::LockLost, None, None, Instant::now());
        // So that the end of the output is seen.
        self.custody.drop_command_side();
        self.feed(Event::LockLost {
            left: Duration::ZERO,
        });
        self.feed(Event::SpawnFailed(End::NotStarted {
            errno: ECANCELED,
            exec: false,
        }));
    }
}

/// errno(3): what was asked for was given up.
const ECANCELED: i32 = 125;

/// What the system says of an error, without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn launch_hint(program: &str, stage: Stage, errno: i32) -> Option<String> {
    const ENOENT: i32 = 2;
    const EACCES: i32 = 13;
    const ENOEXEC: i32 = 8;
    let has_slash = program.contains('/');
    match (stage, errno) {
        (Stage::Exec, ENOENT) if has_slash && std::path::Path::new(program).exists() => Some(
            "the file exists: the interpreter in its first line, or its loader, does not"
                .to_owned(),
        ),
        (Stage::Exec, ENOENT) if !has_slash => {
            Some("there is no such program in PATH; check its name, or give its path".to_owned())
        }
        (Stage::Exec, EACCES) => Some(format!(
            "it is not executable for this user (`chmod +x {program}`?), or a directory on its path is closed"
        )),
        (Stage::Exec, ENOEXEC) => {
            Some("it is neither a binary of this machine nor a script".to_owned())
        }
        (Stage::User | Stage::Group | Stage::Groups, _) => {
            Some("only root may run a command as somebody else".to_owned())
        }
        (Stage::Limits, _) => Some("only root may raise a hard limit".to_owned()),
        _ => None,
    }
}
