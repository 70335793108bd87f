//! Why nothing is started, in the words of the original.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// The only exit status of the original besides success.
const FAILED: u8 = 1;

/// Why no daemon is started: text for standard error, to the last line break.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(super) String);

impl Refusal {
    /// A line that needs no more said.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        let mut text = line.into();
        text.push('\n');
        Self(text)
    }

    /// A line, and what to do about it.
    pub(crate) fn with_hint(line: &str, hint: &str) -> Self {
        Self(format!("{line}\ndaemonize: hint: {hint}\n"))
    }

    /// Says it.
    pub(crate) fn report(&self) -> ExitCode {
        // Where nobody can be told, the exit status still says it.
        let _ = io::stderr().write_all(self.0.as_bytes());
        ExitCode::from(FAILED)
    }
}

/// `Can't DO "PATH"PURPOSE: REASON`, which is most of what the original has to say.
pub(super) fn cannot(do_what: &str, path: &OsStr, purpose: &str, error: &io::Error) -> Refusal {
    Refusal::new(format!(
        "Can't {do_what} \"{}\"{purpose}: {}",
        path.display(),
        reason(error)
    ))
}

/// What strerror(3) says, without the number that Rust puts behind it.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_the_c_library() {
        for (number, text) in [(2, "No such file or directory"), (13, "Permission denied")] {
            assert_eq!(reason(&io::Error::from_raw_os_error(number)), text);
        }
        assert_eq!(reason(&io::Error::other("by hand")), "by hand");
    }
}
