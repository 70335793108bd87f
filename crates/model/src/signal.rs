//! Signals by number and by name, as signal(7) lists them for Linux on x86 and ARM.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A signal number between 1 and 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(i32);

const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

const MAX: i32 = 64;

impl Signal {
    /// Hang-up of the terminal, or of the connection.
    pub const HUP: Self = Self(1);
    /// Interrupt from the keyboard.
    pub const INT: Self = Self(2);
    /// Quit from the keyboard.
    pub const QUIT: Self = Self(3);
    /// The signal that nobody can refuse.
    pub const KILL: Self = Self(9);
    /// First signal for the command's own use.
    pub const USR1: Self = Self(10);
    /// Second signal for the command's own use.
    pub const USR2: Self = Self(12);
    /// Write to a pipe without readers.
    pub const PIPE: Self = Self(13);
    /// The polite request to end.
    pub const TERM: Self = Self(15);
    /// A child ended or stopped.
    pub const CHLD: Self = Self(17);
    /// Continue if stopped.
    pub const CONT: Self = Self(18);
    /// The stop that nobody can refuse.
    pub const STOP: Self = Self(19);
    /// Stop from the keyboard.
    pub const TSTP: Self = Self(20);
    /// Terminal input for a background process.
    pub const TTIN: Self = Self(21);
    /// Terminal output for a background process.
    pub const TTOU: Self = Self(22);
    /// The window changed its size.
    pub const WINCH: Self = Self(28);

    /// The signal with this number, if there can be one (1 to 64).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=MAX).contains(&number).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Its name without `SIG`, or its number where it has none (real-time signals).
    #[must_use]
    pub fn short_name(self) -> String {
        NAMES
            .iter()
            .find(|(_, number)| *number == self.0)
            .map_or_else(|| self.0.to_string(), |(name, _)| (*name).to_owned())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if NAMES.iter().any(|(_, number)| *number == self.0) {
            write!(f, "SIG{}", self.short_name())
        } else {
            write!(f, "signal {}", self.0)
        }
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.0
    }
}

impl TryFrom<i32> for Signal {
    type Error = UnknownSignal;

    fn try_from(number: i32) -> Result<Self, Self::Error> {
        Self::from_number(number).ok_or_else(|| UnknownSignal(number.to_string()))
    }
}

/// A name or number that is no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a signal (write a name such as TERM or SIGTERM, or a number from 1 to 64)")]
pub struct UnknownSignal(pub String);

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse::<i32>() {
            return Self::from_number(number).ok_or_else(|| UnknownSignal(text.to_owned()));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| Self(*number))
            .ok_or_else(|| UnknownSignal(text.to_owned()))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Signal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Signal".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer", "minimum": 1, "maximum": MAX,
            "description": "A signal number, as signal(7) lists them."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(text.parse(), Ok(Signal::TERM));
        }
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
        assert_eq!(Signal::from_number(40).unwrap().to_string(), "signal 40");
        for text in ["", "0", "65", "-1", "TERMINATE"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
