//! What becomes of the keeper when the daemon has ended. Pure.

use std::time::Duration;

use ward_sys::reap::Status;

/// A daemon's exit statuses that its keeper understands. Every other end is a crash.
pub mod code {
    /// All is over: the keeper ends too, with 0.
    pub const OVER: u8 = 0;
    /// It could not begin, and has said why: the keeper ends with 2, if nothing runs or what runs was
    /// found and not begun by it. That runs on, and is found again.
    pub const CANNOT_START: u8 = 2;
    /// It wants to be started anew.
    pub const START_ANEW: u8 = 200;
    /// The executable has been replaced: the keeper becomes the new one, and starts the new daemon.
    pub const UPGRADE: u8 = 201;
}

/// Less than this and a daemon did not live long.
const LONG: Duration = Duration::from_secs(5);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// What is known when a daemon has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    /// How it ended.
    pub(super) status: Status,
    /// How long it lived.
    pub(super) lived: Duration,
    /// Whether it said that it worked.
    pub(super) was_ready: bool,
    /// Whether any daemon did since the user began this.
    pub(super) ever_ready: bool,
    /// Whether programs live.
    pub(super) programs: bool,
    /// Whether the user wants an end, and nobody has heard it.
    pub(super) end_wanted: bool,
    /// How many daemons before it did not live long, one after another.
    pub(super) short_lives: u32,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// End with this status.
    End(u8),
    /// Start another, after so long.
    Anew {
        /// How long to wait before.
        after: Duration,
        /// Whether it was a crash.
        crash: bool,
    },
    /// Become the new executable.
    Upgrade,
}

/// Decides.
pub(super) fn decide(last: &Last) -> Fate {
    let crash = Fate::Anew {
        after: delay(last),
        crash: true,
    };
    match last.status {
        Status::Exited(code::OVER) if last.was_ready || !last.programs => Fate::End(code::OVER),
        Status::Exited(code::START_ANEW) if last.was_ready => Fate::Anew {
            after: Duration::ZERO,
            crash: false,
        },
        Status::Exited(code::UPGRADE) if last.was_ready => Fate::Upgrade,
        Status::Exited(code::CANNOT_START) if !last.programs || !last.ever_ready => {
            Fate::End(code::CANNOT_START)
        }
        status if !last.programs && (!last.ever_ready || (last.end_wanted && !last.was_ready)) => {
            // Nothing was ever started, or nothing is left of it: whoever began it learns why it ended.
            Fate::End(exit_code(status))
        }
        Status::Exited(_) | Status::Signaled(..) | Status::Stopped(_) => crash,
    }
}

fn exit_code(status: Status) -> u8 {
    match status {
        Status::Exited(code) => code,
        Status::Signaled(signal, _) | Status::Stopped(signal) => {
            u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX)
        }
    }
}

/// At once the first time; then longer and longer for one that does not live long. One that worked and
/// was killed from outside is not to blame.
fn delay(last: &Last) -> Duration {
    const SIGKILL: i32 = 9;
    let is_blameless = last.was_ready && matches!(last.status, Status::Signaled(SIGKILL, _));
    if last.lived >= LONG || last.short_lives == 0 || is_blameless {
        return Duration::ZERO;
    }
    let doublings = last.short_lives.saturating_sub(1).min(16);
    (FIRST_DELAY * (1 << doublings)).min(LONGEST_DELAY)
}

/// How many daemons in a row did not live long, with this one.
pub(super) fn short_lives(last: &Last) -> u32 {
    if last.lived >= LONG {
        0
    } else {
        last.short_lives.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKED: Last = Last {
        status: Status::Exited(0),
        lived: Duration::from_secs(60),
        was_ready: true,
        ever_ready: true,
        programs: true,
        end_wanted: false,
        short_lives: 0,
    };
    const FIRST: Last = Last {
        lived: Duration::from_millis(3),
        was_ready: false,
        ever_ready: false,
        programs: false,
        ..WORKED
    };

    fn after(last: Last, status: Status) -> Fate {
        decide(&Last { status, ..last })
    }

    const AT_ONCE: Fate = Fate::Anew {
        after: Duration::ZERO,
        crash: true,
    };

    #[test]
    fn a_daemon_that_worked() {
        let anew = Fate::Anew {
            after: Duration::ZERO,
            crash: false,
        };
        for (status, fate) in [
            (Status::Exited(0), Fate::End(0)),
            (Status::Exited(200), anew),
            (Status::Exited(201), Fate::Upgrade),
            (Status::Exited(2), AT_ONCE),
            (Status::Exited(101), AT_ONCE),
            (Status::Signaled(9, false), AT_ONCE),
            (Status::Signaled(11, true), AT_ONCE),
        ] {
            assert_eq!(after(WORKED, status), fate, "{status:?}");
        }
        // A file that it cannot use any more ends it, if nothing runs.
        let idle = Last {
            programs: false,
            ..WORKED
        };
        assert_eq!(after(idle, Status::Exited(2)), Fate::End(2));
        assert_eq!(after(idle, Status::Exited(101)), AT_ONCE);
    }

    #[test]
    fn the_first_daemon() {
        for (status, code) in [
            (Status::Exited(0), 0),
            (Status::Exited(1), 1),
            (Status::Exited(2), 2),
            (Status::Exited(200), 200),
            (Status::Signaled(6, true), 134),
        ] {
            assert_eq!(after(FIRST, status), Fate::End(code), "{status:?}");
        }
        // Programs of an earlier keeper: nothing but a crash may come of it.
        let found = Last {
            programs: true,
            ..FIRST
        };
        for status in [0, 1, 200, 201] {
            assert_eq!(after(found, Status::Exited(status)), AT_ONCE, "{status}");
        }
        assert_eq!(after(found, Status::Exited(2)), Fate::End(2));
    }

    #[test]
    fn an_end_that_is_wanted_comes_even_if_no_daemon_begins() {
        let failing = Last {
            was_ready: false,
            ever_ready: true,
            programs: false,
            ..WORKED
        };
        assert_eq!(after(failing, Status::Exited(1)), AT_ONCE);
        let wanted = Last {
            end_wanted: true,
            ..failing
        };
        assert_eq!(after(wanted, Status::Exited(1)), Fate::End(1));
    }

    #[test]
    fn whoever_crashes_quickly_waits_longer_and_longer() {
        let mut last = Last {
            status: Status::Exited(101),
            lived: Duration::from_millis(10),
            ..WORKED
        };
        let mut delays = Vec::new();
        for _ in 0..10 {
            delays.push(delay(&last).as_millis());
            last.short_lives = short_lives(&last);
        }
        assert_eq!(delays, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        last.short_lives = u32::MAX;
        assert_eq!(delay(&last), LONGEST_DELAY);
        let killed = Last {
            status: Status::Signaled(9, false),
            ..last
        };
        assert_eq!(delay(&killed), Duration::ZERO);
        let unready = Last {
            was_ready: false,
            ..killed
        };
        assert_eq!(delay(&unready), LONGEST_DELAY);
        let long = Last {
            lived: LONG,
            ..last
        };
        assert_eq!((delay(&long), short_lives(&long)), (Duration::ZERO, 0));
    }
}
