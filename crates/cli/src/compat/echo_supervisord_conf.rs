//! echo_supervisord_conf of Supervisor: a configuration to begin with.

use std::io::Write as _;
use std::process::ExitCode;

/// Every section, and every key that the original knows; what is commented out has its default there.
pub(crate) const SAMPLE: &str = include_str!("echo_supervisord_conf/sample.conf");

/// Prints the sample.
pub(crate) fn run() -> ExitCode {
    match std::io::stdout().write_all(SAMPLE.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
