//! What front and guardian say to one another: one message per packet, versioned, bounded.
//!
//! The two are the same build of the same program, except when an embedding program brings
//! its own front: hence the version.

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
    },
    /// Pass this signal on to the leader: it is the command's own affair.
    Forward {
        /// The signal.
        signal: Signal,
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
