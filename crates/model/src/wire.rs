//! What front and guardian say to one another: one message per packet, versioned, bounded.
//!
//! The two are the same build of the same program, except when an embedding program brings
//! its own front: hence the version.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::{Report, Sender};
use crate::signal::Signal;

/// The version of these messages.
pub const VERSION: u32 = 1;

/// No message is longer, in bytes. Reports that would be are cut by [`crate::report::MAX_LISTED`]
/// and then dropped from [`FromGuardian::Done`]; the file has them whole.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// From the front to the guardian. The socket's end of file means that the front is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToGuardian {
    /// Somebody asked for the end.
    Stop {
        /// The signal that was received.
        signal: Signal,
        /// By whom it was sent.
        sender: Option<Sender>,
        /// Where it came from.
        origin: Origin,
        /// What the sender said beside, if it knows ward.
        #[serde(default)]
        order: Option<StopOrder>,
    },
    /// Pass this signal on to the leader: it is the command's own affair.
    Forward {
        /// The signal.
        signal: Signal,
        /// The process that sent it, where it may arrive twice.
        #[serde(default)]
        sender: Option<i32>,
    },
    /// Job control stops the run: clocks stand still.
    Pause {
        /// Stop the members too (else the terminal has done it).
        stop_members: bool,
    },
    /// The run goes on.
    Resume {
        /// Continue the members too.
        continue_members: bool,
    },
}

/// What `ward stop` says with its signal, in the number that a signal may carry (sigqueue(3)).
///
/// Both keepers of a command are told, as one of them may be killed just then: the number of the
/// request shows that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Which request, below [`StopOrder::REQUESTS`].
    pub request: u16,
    /// The grace to allow, if another than the run's own; rounded to 10 ms, at most
    /// [`StopOrder::LONGEST_GRACE`].
    pub grace: Option<Duration>,
}

impl StopOrder {
    /// Requests are counted modulo this.
    pub const REQUESTS: u16 = 1 << 10;
    /// About three hours.
    pub const LONGEST_GRACE: Duration = Duration::from_millis((Self::GRACES as u64 - 2) * 10);
    const GRACES: i32 = 1 << 20;

    /// As the number that a signal carries.
    #[must_use]
    pub fn to_number(self) -> i32 {
        let grace = self.grace.map_or(0, |grace| {
            let units = grace.min(Self::LONGEST_GRACE).as_millis().div_ceil(10);
            i32::try_from(units).unwrap_or(0) + 1
        });
        i32::from(self.request % Self::REQUESTS) * Self::GRACES + grace
    }

    /// From such a number; `None` for one that is none of ours.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let request = u16::try_from(number.checked_div(Self::GRACES)?).ok()?;
        let units = u64::try_from(number % Self::GRACES).ok()?;
        Some(Self {
            request,
            grace: units
                .checked_sub(1)
                .map(|units| Duration::from_millis(units * 10)),
        })
    }
}

/// Where a stop signal came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A process sent it to ward.
    Process,
    /// The kernel sent it to the terminal's foreground process group, so who is in that group
    /// has been told.
    Terminal,
    /// The same, but before the command was in that group.
    TerminalTooEarly,
}

/// From the keeper of a detached command to whoever started it. The socket's end of file means
/// that the command, or its keeper, is no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromKeeper {
    /// Something that people must know, said before the command was started.
    Notice {
        /// One line, without its end.
        text: String,
    },
    /// The leader runs.
    Started {
        /// The process id of the leader.
        leader: i32,
    },
    /// It is over, or never began.
    Over {
        /// What `ward run` would have ended with.
        exit_status: u8,
    },
}

/// From the guardian to the front.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromGuardian {
    /// The leader runs.
    Started {
        /// The process id of the leader.
        leader: i32,
    },
    /// The leader was stopped by job control on the pseudo-terminal.
    LeaderStopped,
    /// Nobody reads where this stream leads: whoever holds its reading end must let go of it,
    /// so that the writers learn of it by SIGPIPE, as they would without us.
    StreamRefused {
        /// Its index among the run's relayed streams.
        stream: u32,
    },
    /// It is over.
    Done {
        /// What the front exits with.
        exit_status: u8,
        /// The signal that the front dies of instead, when the terminal's user sent it.
        die_of: Option<Signal>,
        /// The guardian stays, to drain the pipes of processes that were detached on purpose.
        drains_on: bool,
        /// The report, where the front asked for it and it fits.
        report: Option<Box<Report>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_order_survives_its_number() {
        for request in [0, 1, StopOrder::REQUESTS - 1] {
            for grace in [
                None,
                Some(Duration::ZERO),
                Some(Duration::from_millis(10)),
                Some(Duration::from_secs(90)),
                Some(StopOrder::LONGEST_GRACE),
            ] {
                let order = StopOrder { request, grace };
                let number = order.to_number();
                assert!(number >= 0);
                assert_eq!(StopOrder::from_number(number), Some(order));
            }
        }
        let long = StopOrder {
            request: 3,
            grace: Some(Duration::from_secs(1 << 30)),
        };
        let back = StopOrder::from_number(long.to_number()).expect("an order");
        assert_eq!(back.grace, Some(StopOrder::LONGEST_GRACE));
        assert_eq!(StopOrder::from_number(-1), None);
    }
}
