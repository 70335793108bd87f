//! What is seen of a daemon and of its files, and what it should have been.

use std::fmt::Debug;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, ensure};
use rustix::fs::FlockOperation;
use ward_testkit::patience::wait_for;
use ward_testkit::processes::{Seen, look};
use ward_testkit::run::text;

use crate::Result;

pub(crate) fn is_gone(pid: i32) -> bool {
    look(pid).as_ref().is_none_or(Seen::is_zombie)
}

/// Where a descriptor of a process leads.
pub(crate) fn descriptor(pid: i32, number: i32) -> Option<String> {
    fs::read_link(format!("/proc/{pid}/fd/{number}"))
        .ok()
        .map(text)
}

pub(crate) fn directory(pid: i32) -> Result<String> {
    Ok(text(fs::read_link(format!("/proc/{pid}/cwd"))?))
}

/// A line of `/proc/PID/status`.
pub(crate) fn status_line(pid: i32, name: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .with_context(|| format!("no {name} in {text}"))
}

pub(crate) fn mode(path: &str) -> Result<u32> {
    Ok(fs::metadata(path)?.mode() & 0o7777)
}

#[expect(clippy::needless_pass_by_value, reason = "as assert_eq has it")]
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, is: T, should: T) -> Result {
    ensure!(is == should, "{what}: is {is:?}, should be {should:?}");
    Ok(())
}

/// Waits for the id in a pid file: the original may return before it is there.
pub(crate) fn pid_in(path: &str) -> Result<i32> {
    wait_for("the process id", || {
        fs::read_to_string(path)
            .ok()?
            .strip_suffix('\n')?
            .parse()
            .ok()
    })
}

/// Whether somebody holds a lock on a file.
pub(crate) fn is_locked(path: &str) -> Result<bool> {
    let file = File::options().write(true).open(path)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(true);
    }
    unlock(&file)?;
    Ok(false)
}

/// Lets go of a lock at once. Closing the file is not enough: a process that another test is
/// just starting has a copy of the descriptor until its exec.
pub(crate) fn unlock(file: &File) -> Result {
    Ok(rustix::fs::flock(file, FlockOperation::Unlock)?)
}

/// The numbers of the user `nobody`.
pub(crate) fn nobody() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix("nobody:"))
        .context("there is no user nobody")?;
    let mut fields = line.split(':').skip(1).map(str::parse);
    let mut next = || fields.next().context("no number");
    Ok((next()??, next()??))
}
