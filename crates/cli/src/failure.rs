//! How a failure is told: the whole cause chain on one line, a hint below it, and an exit
//! status that is documented.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use ward_engine::keep::KeepError;
use ward_engine::ledger::LedgerError;
use ward_engine::ready::ReadyError;
use ward_engine::shell_step::ScriptError;
use ward_engine::{EngineError, chain};
use ward_lock::LockError;
use ward_model::exit_code;

/// Something that keeps a command from doing its work.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// A value that cannot be used.
    pub(crate) fn usage(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: Some(hint.into()),
            code: exit_code::USAGE,
        }
    }

    /// Something with an exit status of its own.
    pub(crate) fn with_code(text: impl Into<String>, hint: Option<&str>, code: u8) -> Self {
        Self {
            text: text.into(),
            hint: hint.map(str::to_owned),
            code,
        }
    }

    /// Something of ours that failed, for this reason.
    pub(crate) fn ours(what: &str, error: &dyn Error) -> Self {
        Self {
            text: format!("{what}: {}", chain(error)),
            hint: None,
            code: exit_code::WARD_FAILED,
        }
    }

    /// The same, with another exit status.
    pub(crate) fn with_status(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The same, with what to do about it.
    pub(crate) fn with_hint(self, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()),
            ..self
        }
    }

    /// What it says.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What to do about it.
    #[cfg(feature = "etcd")]
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit status that tells it.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        // Where nobody can be told, the exit status still says it.
        let mut stderr = std::io::stderr();
        let _ = writeln!(stderr, "ward: {}", self.text);
        if let Some(hint) = &self.hint {
            let _ = writeln!(stderr, "ward: hint: {hint}");
        }
        ExitCode::from(self.code)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self {
            text: chain(&error),
            hint: error.hint(),
            code: error.exit_code(),
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let code = match &error {
            LedgerError::Name(_) => exit_code::USAGE,
            LedgerError::Io { .. } | LedgerError::Damaged { .. } | LedgerError::NoPlace => {
                exit_code::WARD_FAILED
            }
        };
        Self {
            text: chain(&error),
            hint: Some(error.hint().to_owned()),
            code,
        }
    }
}

impl From<KeepError> for Failure {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Ledger(error) => error.into(),
            KeepError::Engine(error) => error.into(),
            KeepError::Ready(error) => error.into(),
        }
    }
}

impl From<ReadyError> for Failure {
    fn from(error: ReadyError) -> Self {
        Self {
            text: chain(&error),
            hint: None,
            code: error.exit_code(),
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = match &error {
            LockError::Name(_)
            | LockError::Thing { .. }
            | LockError::Twice(_)
            | LockError::Format { .. }
            | LockError::TooMuch { .. } => exit_code::USAGE,
            LockError::Busy { .. }
            | LockError::NotDue(_)
            | LockError::Queued { .. }
            | LockError::Dismissed { .. }
            | LockError::Absent { .. }
            | LockError::InUse { .. } => exit_code::TAKEN,
            LockError::Free(_) | LockError::OtherToken { .. } => exit_code::UNKNOWN_NAME,
            LockError::Io { .. }
            | LockError::Open(_)
            | LockError::FileSystem(_)
            | LockError::NoPlace
            | LockError::Shape { .. }
            | LockError::Deadlock { .. }
            | LockError::Damaged { .. }
            | LockError::Full(_)
            | LockError::TooLong(_)
            | LockError::Stuck { .. }
            | LockError::Cluster { .. }
            | LockError::HalfDone { .. }
            | LockError::Cancelled(_) => exit_code::WARD_FAILED,
        };
        Self {
            text: chain(&error),
            hint: error.hint().map(str::to_owned),
            code,
        }
    }
}

impl From<ScriptError> for Failure {
    fn from(error: ScriptError) -> Self {
        let (hint, code) = match &error {
            ScriptError::Read { .. } => (
                "--script takes a file; for text on the command line use --shell",
                exit_code::USAGE,
            ),
            ScriptError::Write { .. } => (
                "the script's text is put in a file there: choose another directory by TMPDIR",
                exit_code::WARD_FAILED,
            ),
        };
        Self {
            text: chain(&error),
            hint: Some(hint.to_owned()),
            code,
        }
    }
}
