//! What processes used: time of a processor, and how often they were switched to and from.

use std::fs;
use std::io;
use std::path::Path;

/// Of one process or of many, since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) nanoseconds: u64,
    /// Whenever a thread that slept was woken it was switched to once, and from once.
    pub(super) switches: u64,
}

impl Use {
    /// Of these processes; those that have ended meanwhile are left out.
    pub(super) fn of(pids: &[i32]) -> io::Result<Self> {
        let mut all = Self::default();
        for pid in pids {
            match of_process(Path::new(&format!("/proc/{pid}/task"))) {
                Ok(used) => all.add(used),
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// What was used since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            nanoseconds: self.nanoseconds.saturating_sub(before.nanoseconds),
            switches: self.switches.saturating_sub(before.switches),
        }
    }

    fn add(&mut self, other: Self) {
        self.nanoseconds += other.nanoseconds;
        self.switches += other.switches;
    }
}

/// ESRCH comes from a file of /proc that was opened in time.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn of_process(threads: &Path) -> io::Result<Use> {
    let mut all = Use::default();
    for thread in fs::read_dir(threads)? {
        let thread = thread?.path();
        let time = fs::read_to_string(thread.join("schedstat"))?;
        let status = fs::read_to_string(thread.join("status"))?;
        all.add(parse(&time, &status).ok_or_else(|| io::Error::other("schedstat or status"))?);
    }
    Ok(all)
}

/// The first field of schedstat, and both counts of switches of status (proc(5)).
fn parse(time: &str, status: &str) -> Option<Use> {
    let count = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some(Use {
        nanoseconds: time.split(' ').next()?.parse().ok()?,
        switches: count("voluntary_ctxt_switches:")? + count("nonvoluntary_ctxt_switches:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_switches_are_read() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        let used = parse("123456 7 8\n", status);
        let expected = Use {
            nanoseconds: 123_456,
            switches: 42,
        };
        assert_eq!(used, Some(expected));
        assert_eq!(parse("1 2 3", "Name:\tx\n"), None);
        assert_eq!(expected.since(expected), Use::default());
    }

    #[test]
    fn who_is_gone_used_nothing_that_we_know_of() {
        assert_eq!(Use::of(&[i32::MAX]).unwrap(), Use::default());
        let us = Use::of(&[std::process::id().cast_signed()]).unwrap();
        assert!(us.nanoseconds > 0);
    }
}
