//! Why nothing is run, in the words that scripts look for, and with the exit statuses that they
//! know; who holds, and what to do about it, is said besides.

use std::io::{self, Write as _};
use std::process::ExitCode;

use ward_lock::{LockError, Record};

/// It does not exist, must not be made, and there is no time to wait for who makes it.
pub(crate) const CANNOT_WAIT: u8 = 96;
/// There is no command, or it cannot be executed.
pub(crate) const NO_COMMAND: u8 = 97;
/// It is held, and there is no time to wait, or no more.
pub(crate) const BUSY: u8 = 98;
/// Anything else.
pub(crate) const FAILED: u8 = 99;

const IMPOSSIBLE: &str = "Resource will never satisfy the request, the lock cannot be obtained";

/// Why nothing is run: text for both streams, to the last line break, and the exit status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    out: String,
    err: String,
    code: u8,
}

impl Refusal {
    /// A line on standard error.
    pub(crate) fn new(code: u8, line: impl AsRef<str>) -> Self {
        let nothing = Self {
            out: String::new(),
            err: String::new(),
            code,
        };
        nothing.and(line)
    }

    /// The same where FLoM has no words of its own.
    pub(crate) fn ours(line: impl AsRef<str>) -> Self {
        Self::new(FAILED, format!("flom: {}", line.as_ref()))
    }

    /// A name that is none: FLoM says so on standard output.
    pub(super) fn name(name: &str, why: &str) -> Self {
        let name = name.escape_debug();
        let mut refusal = Self::new(FAILED, format!("flom: hint: {why}"));
        refusal.out = format!("ERROR: '{name}' is not a valid name for a resource\n");
        refusal
    }

    /// More than there can ever be.
    pub(super) fn impossible(there_are: u32, wanted: u32) -> Self {
        Self::new(FAILED, IMPOSSIBLE).and(format!(
            "flom: it has {there_are}, and {wanted} must be free at once"
        ))
    }

    /// One more line on standard error.
    pub(super) fn and(mut self, line: impl AsRef<str>) -> Self {
        self.err.push_str(line.as_ref());
        self.err.push('\n');
        self
    }

    /// What to do about it.
    pub(super) fn hint(self, hint: &str) -> Self {
        self.and(format!("flom: hint: {hint}"))
    }

    /// Says it.
    pub(crate) fn report(&self) -> ExitCode {
        // Where nobody can be told, the exit status still says it.
        let _ = io::stdout().write_all(self.out.as_bytes());
        let _ = io::stderr().write_all(self.err.as_bytes());
        ExitCode::from(self.code)
    }

    /// Why a lock was not got: what was asked for, by its name, and for how long, milliseconds.
    pub(super) fn of_lock(error: &LockError, name: &str, timeout: i32) -> Self {
        let busy = || match timeout {
            0 => Self::new(BUSY, "Resource already locked, the lock cannot be obtained"),
            _ => Self::new(
                BUSY,
                format!(
                    "The lock was not obtained because timeout ({timeout} milliseconds) expired"
                ),
            ),
        };
        match error {
            LockError::Busy { holders, .. } => busy().and(held_by(holders)),
            LockError::NotDue(_) => {
                busy().and("flom: nobody holds it, but the next of its times is still to come")
            }
            LockError::Queued { waiting, .. } => {
                busy().and(format!("flom: waited for by {}", shown(&waiting.summary())))
            }
            LockError::Dismissed { why, .. } => {
                Self::new(BUSY, "Resource already locked, the lock cannot be obtained")
                    .and(format!("flom: we no longer wait: {why}"))
            }
            LockError::Absent { .. } if timeout == 0 => Self::new(
                CANNOT_WAIT,
                "The resource could be available in the future, but the requester can't wait",
            )
            .and("flom: nobody uses it, and we must not be the first (-e no)"),
            LockError::Absent { .. } => {
                busy().and("flom: nobody uses it, and we must not be the first (-e no)")
            }
            LockError::TooMuch { slots, take, .. } => Self::impossible(*slots, *take),
            LockError::Deadlock { ring, .. } => Self::ours(format!(
                "to wait for `{}` would be to wait for ever: {}",
                name.escape_debug(),
                shown(&ring.join("; "))
            ))
            .hint("this command is a part of what holds a lock already (WARD_LOCKS_HELD)"),
            _ => {
                let refusal = Self::ours(ward_engine::chain(error));
                match error.hint() {
                    Some(hint) => refusal.hint(hint),
                    None => refusal,
                }
            }
        }
    }
}

/// Who holds, which FLoM never says.
fn held_by(holders: &[Record]) -> String {
    const SHOWN: usize = 3;
    if holders.is_empty() {
        return "flom: nobody holds it, but it is somebody else's turn".to_owned();
    }
    let mut texts: Vec<String> = holders.iter().take(SHOWN).map(Record::summary).collect();
    if holders.len() > SHOWN {
        texts.push(format!("{} more", holders.len() - SHOWN));
    }
    format!("flom: held by {}", shown(&texts.join(", ")))
}

/// What somebody has put into his command line is not to reach a terminal as it is.
fn shown(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: &LockError, timeout: i32) -> (u8, String) {
        let refusal = Refusal::of_lock(error, "R", timeout);
        let first = refusal.err.lines().next().unwrap_or_default().to_owned();
        assert!(refusal.err.lines().count() >= 2, "{refusal:?}");
        (refusal.code, first)
    }

    #[test]
    fn what_scripts_look_for() {
        let busy = || LockError::Busy {
            name: "R".into(),
            holders: Vec::new(),
        };
        let absent = || LockError::Absent { name: "R".into() };
        for (error, timeout, code, text) in [
            (
                busy(),
                0,
                98,
                "Resource already locked, the lock cannot be obtained",
            ),
            (
                busy(),
                150,
                98,
                "The lock was not obtained because timeout (150 milliseconds) expired",
            ),
            (
                absent(),
                0,
                96,
                "The resource could be available in the future, but the requester can't wait",
            ),
            (
                absent(),
                20,
                98,
                "The lock was not obtained because timeout (20 milliseconds) expired",
            ),
            (
                LockError::TooMuch {
                    name: "R[2]".into(),
                    slots: 2,
                    take: 3,
                },
                -1,
                99,
                "Resource will never satisfy the request, the lock cannot be obtained",
            ),
        ] {
            assert_eq!(of(&error, timeout), (code, text.to_owned()));
        }
        let name = Refusal::name("bad name!\nabc", "because");
        assert_eq!(
            name.out,
            "ERROR: 'bad name!\\nabc' is not a valid name for a resource\n"
        );
        assert_eq!(name.code, 99);
    }
}
