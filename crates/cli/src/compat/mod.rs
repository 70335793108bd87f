//! Command lines of other programs that ward takes the place of: a file per program.
//!
//! Each reads its original's command line and gives its messages and exit statuses; none
//! starts, watches or stops a process: that is handed in by who calls it.

pub(crate) mod daemonize;
pub(crate) mod flom;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

/// Does the work of another program, if it is by that one's name that we were called, or if that
/// is our verb: a command line with rules of its own must come to it as it was written.
pub(crate) fn by_name() -> Option<ExitCode> {
    let mut words = std::env::args_os().peekable();
    let called = words.next()?;
    let name = called.as_bytes().rsplit(|byte| *byte == b'/').next()?;
    if name == b"daemonize" {
        let words: Vec<OsString> = words.collect();
        return Some(crate::commands::daemonize(
            &called.to_string_lossy(),
            &words,
        ));
    }
    if name == b"flom" {
        let words: Vec<OsString> = words.collect();
        return Some(crate::commands::flom(&words));
    }
    if words.next_if(|verb| verb == "daemonize").is_some() {
        let words: Vec<OsString> = words.collect();
        return Some(crate::commands::daemonize("daemonize", &words));
    }
    if words.next_if(|verb| verb == "flom").is_some() {
        let words: Vec<OsString> = words.collect();
        return Some(crate::commands::flom(&words));
    }
    None
}
