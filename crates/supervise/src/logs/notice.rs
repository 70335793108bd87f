//! Lines for the main log about the logs themselves.

use ward_config::value::LogLevel;

/// A line for the main log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}

impl Notice {
    pub(crate) fn new(level: LogLevel, text: impl Into<String>) -> Self {
        Self {
            level,
            text: text.into(),
        }
    }
}

/// `1 byte`, `2 bytes`.
pub(crate) fn bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}
