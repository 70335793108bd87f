//! What a program's section says about its life.

use std::time::Duration;

use crate::life::End;
use crate::signal::Signal;

/// When a program that ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autorestart {
    /// Never.
    Never,
    /// When its exit status is not among [`Policy::exitcodes`], or a signal ended it.
    Unexpected,
    /// Always.
    Always,
}

/// How a program is kept. Seconds and counts are as they were written: negative ones are accepted,
/// as Supervisor accepts them, and mean none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Seconds that it has to live to be counted as started; 0 counts it at once.
    pub startsecs: i64,
    /// How many more times a start is tried that failed.
    pub startretries: i64,
    /// What follows an end by itself.
    pub autorestart: Autorestart,
    /// The exit statuses that are expected.
    pub exitcodes: Vec<u8>,
    /// What a stop sends; `None` (signal 0) sends nothing and waits.
    pub stopsignal: Option<Signal>,
    /// Seconds from the stop signal to KILL, and from one KILL to the next.
    pub stopwaitsecs: i64,
    /// The stop signal goes to the process group.
    pub stopasgroup: bool,
    /// KILL goes to the process group.
    pub killasgroup: bool,
}

impl Default for Policy {
    /// What Supervisor does for a section that has only a command.
    fn default() -> Self {
        Self {
            startsecs: 1,
            startretries: 3,
            autorestart: Autorestart::Unexpected,
            exitcodes: vec![0],
            stopsignal: Some(Signal::TERM),
            stopwaitsecs: 10,
            stopasgroup: false,
            killasgroup: false,
        }
    }
}

/// No timer is longer: a hundred years, so that a clock can be added to it.
const LONGEST: u64 = 100 * 366 * 24 * 60 * 60;

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0).min(LONGEST))
}

impl Policy {
    /// [`Policy::startsecs`] as a time.
    #[must_use]
    pub fn start_time(&self) -> Duration {
        seconds(self.startsecs)
    }

    /// [`Policy::stopwaitsecs`] as a time.
    #[must_use]
    pub fn stop_time(&self) -> Duration {
        seconds(self.stopwaitsecs)
    }

    /// How long to wait after so many failed starts in a row: as many seconds.
    #[must_use]
    pub fn backoff_time(&self, tries: u32) -> Duration {
        seconds(tries.into())
    }

    /// Whether so many failed starts in a row are too many.
    #[must_use]
    pub fn is_too_many(&self, tries: u32) -> bool {
        i64::from(tries) > self.startretries
    }

    /// Whether this end was among the expected ones; an end by signal never is.
    #[must_use]
    pub fn is_expected(&self, end: End) -> bool {
        u8::try_from(exit_status(end)).is_ok_and(|code| self.exitcodes.contains(&code))
    }

    /// Whether an end by itself is followed by a start.
    #[must_use]
    pub fn restarts_after(&self, end: End) -> bool {
        match self.autorestart {
            Autorestart::Never => false,
            Autorestart::Unexpected => !self.is_expected(end),
            Autorestart::Always => true,
        }
    }
}

/// The exit code, or -1 where a signal ended it or nobody knows; 127 where the spawned child could
/// not become the program, as such a child of Supervisor exits.
#[must_use]
pub(super) fn exit_status(end: End) -> i32 {
    match end {
        End::Exited { code } => code.into(),
        End::NotStarted { .. } => 127,
        End::Signaled { .. } | End::Unknown => -1,
    }
}
