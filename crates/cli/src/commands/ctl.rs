//! `ward ctl`: a supervisor is asked, and told what to do.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use ward_supervise::configuration::Disk;

use super::check::host;
use crate::compat::supervisorctl::{self, Called};

/// Does what the words behind the program's name, or behind the verb, say. `program` is the name that
/// this program was called by, `name` what people are told it is.
pub(crate) fn run(program: &OsStr, name: &str, words: &[OsString]) -> ExitCode {
    let host = match host(false) {
        Ok(host) => host,
        Err(failure) => return failure.report(),
    };
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    supervisorctl::run(Called { name, program }, &words, &host, &Disk)
}
