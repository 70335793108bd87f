//! What the main log says about pools and listeners, word for word as Supervisor's does.

use ward_model::program::Level;

use super::listener::ListenerState;
use super::quote::text_or_quoted;

/// Something worth a line in the main log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The oldest event of a full pool was dropped.
    Overflowed {
        /// Which pool.
        pool: String,
        /// Which event.
        serial: u64,
    },
    /// An event that nobody took is kept for another try.
    Rebuffering {
        /// By which pool.
        pool: String,
        /// Which event.
        serial: u64,
        /// How many wait besides.
        waiting: usize,
        /// How many may wait.
        limit: usize,
    },
    /// A listener gets an event.
    Sent {
        /// Which listener.
        listener: String,
        /// Which event.
        serial: u64,
    },
    /// A listener closed its standard input before it had read its event.
    StdinLost {
        /// Which listener.
        listener: String,
        /// Which event.
        serial: u64,
    },
    /// A listener said something.
    Moved {
        /// Which.
        listener: String,
        /// What it was.
        from: ListenerState,
        /// What it is.
        to: ListenerState,
    },
    /// A listener broke the protocol.
    EnteredUnknown {
        /// Which.
        listener: String,
    },
    /// A listener answered with something that is no result.
    BadResultLine {
        /// Which.
        listener: String,
        /// With what.
        line: Vec<u8>,
    },
    /// A listener took its event.
    Processed {
        /// Which.
        listener: String,
    },
    /// A listener did not take its event.
    Rejected {
        /// Which.
        listener: String,
    },
}

impl Note {
    /// How important it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Overflowed { .. } => Level::Error,
            Self::EnteredUnknown { .. } | Self::BadResultLine { .. } | Self::Rejected { .. } => {
                Level::Warn
            }
            Self::Rebuffering { .. }
            | Self::Sent { .. }
            | Self::StdinLost { .. }
            | Self::Moved { .. }
            | Self::Processed { .. } => Level::Debug,
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Overflowed { pool, serial } => {
                format!("pool {pool} event buffer overflowed, discarding event {serial}")
            }
            Self::Rebuffering {
                pool,
                serial,
                waiting,
                limit,
            } => format!(
                "rebuffering event {serial} for pool {pool} (buf size={waiting}, max={limit})"
            ),
            Self::Sent { listener, serial } => {
                format!("event {serial} sent to listener {listener}")
            }
            Self::StdinLost { listener, serial } => format!(
                "epipe occurred while sending event {serial} to listener {listener}, listener state unchanged"
            ),
            Self::Moved { listener, from, to } => {
                format!("{listener}: {} -> {}", from.word(), to.word())
            }
            Self::EnteredUnknown { listener } => format!(
                "{listener}: has entered the UNKNOWN state and will no longer receive events, this usually indicates the process violated the eventlistener protocol"
            ),
            Self::BadResultLine { listener, line } => {
                format!("{listener}: bad result line: '{}'", text_or_quoted(line))
            }
            Self::Processed { listener } => format!("{listener}: event was processed"),
            Self::Rejected { listener } => format!("{listener}: event was rejected"),
        }
    }
}
