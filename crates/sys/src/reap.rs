//! Learning of the end of children, and letting them go.

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait, waitpid};

/// How a child ended or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It called exit with this status.
    Exited(u8),
    /// This signal ended it, perhaps leaving a core file.
    Signaled(i32, bool),
    /// Job control stopped it by this signal; it is still a child.
    Stopped(i32),
}

/// What asking for children gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This one ended (and is gone) or stopped.
    Child(Pid, Status),
    /// There are children, and nothing to say of them.
    NothingNew,
    /// There is no child at all: `ECHILD`, the proof that a subreaper's tree is empty.
    NoChildren,
}

const CORE_DUMPED: i32 = 0x80;

fn status_of(status: WaitStatus) -> Option<Status> {
    if let Some(code) = status.exit_status() {
        return Some(Status::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)));
    }
    if let Some(signal) = status.terminating_signal() {
        return Some(Status::Signaled(signal, status.as_raw() & CORE_DUMPED != 0));
    }
    status.stopping_signal().map(Status::Stopped)
}

/// Takes the next child that ended or stopped, without waiting. Only the one loop that owns
/// all children of this process may call it.
#[must_use]
pub fn next() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) => match status_of(status) {
                Some(status) => return Reaped::Child(pid, status),
                None => continue,
            },
            Ok(None) => return Reaped::NothingNew,
            Err(Errno::INTR) => {}
            Err(_) => return Reaped::NoChildren,
        }
    }
}

/// Waits for one child to end. `None` if it is not our child.
#[must_use = "the child may not have been ours"]
pub fn wait_for_status(pid: Pid) -> Option<Status> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return status_of(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for one child to end, whatever its status.
pub(crate) fn wait_for(pid: Pid) {
    let _ = wait_for_status(pid);
}
