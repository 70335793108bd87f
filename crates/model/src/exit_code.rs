//! The exit statuses of `ward run`, as documented constants.
//!
//! The command's own status passes through unchanged; these are the ones that ward adds.
//! 124 to 127 keep the meaning that `timeout(1)` and POSIX `env` gave them.

use crate::build::BuildResult;
use crate::life::{CauseKind, End, Outcome};

/// Everything went as asked.
pub const OK: u8 = 0;
/// A build failed.
pub const BUILD_FAILED: u8 = 1;
/// The command line, or a value on it, cannot be understood or used. Nothing was started.
pub const USAGE: u8 = 2;
/// Nothing was built, as the job itself said.
pub const NOT_BUILT: u8 = 116;
/// A build is unstable: all steps ran, and tests failed or a step said so.
pub const UNSTABLE: u8 = 117;
/// No build server answered.
pub const NO_SERVER: u8 = 118;
/// The lock was about to be lost, or was, and so the command was stopped, or was not started.
pub const LOCK_LOST: u8 = 119;
/// A daemon was started, but ended or did not get ready in time; nothing of it is left.
pub const NOT_READY: u8 = 120;
/// Nothing of this name is known.
pub const UNKNOWN_NAME: u8 = 121;
/// The name belongs to somebody who runs, or the file is locked by somebody.
pub const TAKEN: u8 = 122;
/// Somebody asked ward to stop (TERM, INT, HUP or QUIT) while the command ran.
pub const STOPPED: u8 = 123;
/// `--timeout` or `--idle-timeout` ran out; the report says which.
pub const TIME_LIMIT: u8 = 124;
/// ward itself could not do its work; the command was not started, or its end is not known.
pub const WARD_FAILED: u8 = 125;
/// The command was found but could not be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const NOT_FOUND: u8 = 127;
/// Added to the number of the signal that ended the command.
pub const SIGNAL_BASE: u8 = 128;

/// One line of the published table: the code or range, its short name, what it means.
pub const TABLE: &[(&str, &str, &str)] = &[
    ("0", "OK", "The command succeeded."),
    (
        "1–255",
        "",
        "The command's own exit status, unchanged, when it ended by itself.",
    ),
    (
        "1",
        "BUILD_FAILED",
        "`ward build start --wait`, `log -f` and `local`: the result is FAILURE.",
    ),
    (
        "2",
        "USAGE",
        "An option or a value cannot be understood or used (also a missing script, an unknown user, a report that cannot be written). Nothing was started.",
    ),
    (
        "116",
        "NOT_BUILT",
        "`ward build start --wait`, `log -f` and `local`: the result is NOT_BUILT, or the request left the queue without a build.",
    ),
    (
        "117",
        "UNSTABLE",
        "`ward build start --wait`, `log -f` and `local`: the result is UNSTABLE.",
    ),
    (
        "118",
        "NO_SERVER",
        "`ward build`: no build server answers, or none is known.",
    ),
    (
        "119",
        "LOCK_LOST",
        "The lock was about to be lost, as its lease was not renewed: the command, and all that belongs to it, was stopped before anybody else could have the lock, whatever its own status was, or was not started. Also if the lock is found to be lost: then everybody was killed at once.",
    ),
    (
        "120",
        "NOT_READY",
        "`ward spawn`: the daemon was started, but ended or did not get ready in time; it was stopped again.",
    ),
    (
        "121",
        "UNKNOWN_NAME",
        "`ward stop`, `restart`, `logs`: no daemon of this name is on record. `ward build`: there is no such job, build or request.",
    ),
    (
        "122",
        "TAKEN",
        "`ward spawn`: a daemon of this name runs already. `ward lock`: the lock was not got in time; nothing was started (`--conflict-exit-code` chooses another). `ward build`: it is refused now, as of a job that is disabled or a directory that another server has.",
    ),
    (
        "123",
        "STOPPED",
        "ward was asked to stop (TERM, INT, HUP or QUIT) while the command ran, whatever the command's own status was after its clean-up. `ward build start --wait`, `log -f` and `local`: the result is ABORTED.",
    ),
    (
        "124",
        "TIME_LIMIT",
        "`--timeout` or `--idle-timeout` ran out; the report says which.",
    ),
    (
        "125",
        "WARD_FAILED",
        "ward could not do its work: a step before the start failed (the message names it), or the command's end is not known.",
    ),
    (
        "126",
        "NOT_EXECUTABLE",
        "The command was found but could not be executed.",
    ),
    ("127", "NOT_FOUND", "The command was not found."),
    (
        "128+n",
        "SIGNAL_BASE",
        "Signal n ended the command, and ward had not been asked to stop it.",
    ),
];

/// The exit status that tells `outcome`.
///
/// A stop that came before the command's end wins over the status that the command
/// gave afterwards: a trap that ends with `exit 0` is not a success. A lost lock wins over
/// everything: whoever is stopped for it was still at work under the lock.
#[must_use]
pub fn of(outcome: &Outcome) -> u8 {
    if outcome.cause == Some(CauseKind::LockLost) {
        return LOCK_LOST;
    }
    if let End::NotStarted { errno, exec } = outcome.end {
        return match (exec, errno) {
            (true, ENOENT | ENOTDIR) => NOT_FOUND,
            (true, _) => NOT_EXECUTABLE,
            (false, _) => WARD_FAILED,
        };
    }
    if let Some(cause) = outcome.cause.filter(|_| outcome.stopped_before_end) {
        match cause {
            CauseKind::Requested => return STOPPED,
            CauseKind::IdleLimit | CauseKind::TimeLimit => return TIME_LIMIT,
            CauseKind::FrontLost => return WARD_FAILED,
            CauseKind::LeftOver | CauseKind::LockLost => {}
        }
    }
    match outcome.end {
        End::Exited { code } => code,
        End::Signaled { signal, .. } => {
            SIGNAL_BASE.saturating_add(u8::try_from(signal.number()).unwrap_or(u8::MAX))
        }
        End::NotStarted { .. } | End::Unknown => WARD_FAILED,
    }
}

/// The exit status that tells a build's result.
#[must_use]
pub fn of_build(result: BuildResult) -> u8 {
    match result {
        BuildResult::Success => OK,
        BuildResult::Unstable => UNSTABLE,
        BuildResult::Failure => BUILD_FAILED,
        BuildResult::NotBuilt => NOT_BUILT,
        BuildResult::Aborted => STOPPED,
    }
}

// errno(3) on every Linux architecture.
const ENOENT: i32 = 2;
const ENOTDIR: i32 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;

    fn outcome(end: End, cause: Option<CauseKind>, stopped_before_end: bool) -> Outcome {
        Outcome {
            end,
            cause,
            stopped_before_end,
            forced: false,
            hurried: false,
            stalled: false,
            output_cut: false,
        }
    }

    #[test]
    fn a_stop_wins_over_a_clean_exit() {
        let done = End::Exited { code: 0 };
        assert_eq!(
            of(&outcome(done, Some(CauseKind::Requested), true)),
            STOPPED
        );
        assert_eq!(
            of(&outcome(done, Some(CauseKind::TimeLimit), true)),
            TIME_LIMIT
        );
        assert_eq!(
            of(&outcome(done, Some(CauseKind::IdleLimit), true)),
            TIME_LIMIT
        );
    }

    #[test]
    fn a_stop_after_the_end_changes_nothing() {
        for cause in [CauseKind::Requested, CauseKind::LeftOver] {
            assert_eq!(of(&outcome(End::Exited { code: 7 }, Some(cause), false)), 7);
        }
    }

    #[test]
    fn a_lost_lock_wins_over_everything() {
        let lost = Some(CauseKind::LockLost);
        for end in [
            End::Exited { code: 0 },
            End::NotStarted {
                errno: ENOENT,
                exec: true,
            },
            End::Unknown,
        ] {
            assert_eq!(of(&outcome(end, lost, true)), LOCK_LOST);
            assert_eq!(of(&outcome(end, lost, false)), LOCK_LOST);
        }
    }

    #[test]
    fn signals_and_failures() {
        let killed = End::Signaled {
            signal: Signal::KILL,
            core_dumped: false,
        };
        assert_eq!(of(&outcome(killed, None, false)), 137);
        let failed = |exec, errno| of(&outcome(End::NotStarted { exec, errno }, None, false));
        assert_eq!(failed(true, 2), NOT_FOUND);
        assert_eq!(failed(true, 20), NOT_FOUND);
        assert_eq!(failed(true, 13), NOT_EXECUTABLE);
        assert_eq!(failed(false, 2), WARD_FAILED);
    }
}
