//! Being the one that orphans fall to (prctl(2), PR_SET_CHILD_SUBREAPER).

use std::io;

/// Makes this process the new parent of every orphan among its descendants. Not inherited.
///
/// # Errors
/// EINVAL before Linux 3.4.
pub fn become_subreaper() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Gives this process the name that `ps -o comm` and `/proc/PID/comm` show, at most 15 bytes.
pub fn set_name(name: &std::ffi::CStr) {
    let _ = rustix::thread::set_name(name);
}

/// Raises this process's priority a little if it may: who ends a tree must not lose the
/// race for the processor against it.
pub fn raise_priority() {
    let _ = rustix::process::setpriority_process(None, -5);
}
