//! How a failure is told: the whole cause chain on one line, a hint below it, and an exit
//! status that is documented.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use ward_engine::shell_step::ScriptError;
use ward_engine::{EngineError, chain};
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

    /// Something of ours that failed, for this reason.
    pub(crate) fn ours(what: &str, error: &dyn Error) -> Self {
        Self {
            text: format!("{what}: {}", chain(error)),
            hint: None,
            code: exit_code::WARD_FAILED,
        }
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
