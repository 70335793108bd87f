//! The eight states by number and word.

use std::fmt;

/// Where a kept program stands; numbers and words are Supervisor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Was stopped by a request, or never started.
    Stopped = 0,
    /// Is being started, or has not yet lived for its `startsecs`.
    Starting = 10,
    /// Lives.
    Running = 20,
    /// Could not be started or ended too early; will be tried again.
    Backoff = 30,
    /// Was told to stop.
    Stopping = 40,
    /// Ended by itself.
    Exited = 100,
    /// Could not be started, and is not tried again.
    Fatal = 200,
    /// Could not be sent a signal: nobody knows what it does.
    Unknown = 1000,
}

impl State {
    /// Every state, by number.
    pub const ALL: [Self; 8] = [
        Self::Stopped,
        Self::Starting,
        Self::Running,
        Self::Backoff,
        Self::Stopping,
        Self::Exited,
        Self::Fatal,
        Self::Unknown,
    ];

    /// Its number: `state` of getProcessInfo.
    #[must_use]
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The state with this number, if one has it.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Its word: `statename` of getProcessInfo.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Exited => "EXITED",
            Self::Fatal => "FATAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether nothing goes on and nothing will by itself: a group of such may be removed, and who
    /// waits for a stop waits no longer.
    #[must_use]
    pub fn is_stopped(self) -> bool {
        match self {
            Self::Stopped | Self::Exited | Self::Fatal | Self::Unknown => true,
            Self::Starting | Self::Running | Self::Backoff | Self::Stopping => false,
        }
    }

    /// Whether it counts as running for a request: a start is refused (`ALREADY_STARTED`), and
    /// a stop is not (`NOT_RUNNING`).
    #[must_use]
    pub fn is_running(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Backoff => true,
            Self::Stopped | Self::Stopping | Self::Exited | Self::Fatal | Self::Unknown => false,
        }
    }

    /// Whether there is a process that a request may send a signal to.
    #[must_use]
    pub fn is_signallable(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Stopping => true,
            Self::Stopped | Self::Backoff | Self::Exited | Self::Fatal | Self::Unknown => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words() {
        let known = [
            (0, "STOPPED"),
            (10, "STARTING"),
            (20, "RUNNING"),
            (30, "BACKOFF"),
            (40, "STOPPING"),
            (100, "EXITED"),
            (200, "FATAL"),
            (1000, "UNKNOWN"),
        ];
        for ((code, word), state) in known.into_iter().zip(State::ALL) {
            assert_eq!((state.code(), state.word()), (code, word));
            assert_eq!(State::from_code(code), Some(state));
        }
        assert_eq!(State::from_code(1), None);
    }

    #[test]
    fn as_requests_see_them() {
        let of = |f: fn(State) -> bool| -> Vec<i32> {
            State::ALL
                .into_iter()
                .filter(|s| f(*s))
                .map(State::code)
                .collect()
        };
        assert_eq!(of(State::is_stopped), [0, 100, 200, 1000]);
        assert_eq!(of(State::is_running), [10, 20, 30]);
        assert_eq!(of(State::is_signallable), [10, 20, 40]);
    }
}
