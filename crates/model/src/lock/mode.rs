//! The six modes in which something can be held, and which of them go together.
//!
//! The modes and their table are those of distributed lock managers since VMS; FLoM has the
//! same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How something is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// Null: only says that somebody is interested.
    NL,
    /// Concurrent read: others may do anything but hold it exclusively.
    CR,
    /// Concurrent write: others may read and write concurrently.
    CW,
    /// Protected read, shared: nobody writes.
    PR,
    /// Protected write: others only read concurrently.
    PW,
    /// Exclusive: nobody else, but by null.
    EX,
}

impl Mode {
    /// Every mode, weakest first.
    pub const ALL: [Self; 6] = [Self::NL, Self::CR, Self::CW, Self::PR, Self::PW, Self::EX];

    /// Whether both can be held at once.
    #[must_use]
    pub fn goes_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::NL, _) | (_, Self::NL) => true,
            (Self::EX, _) | (_, Self::EX) => false,
            (Self::CR, _) | (_, Self::CR) => true,
            (Self::CW, Self::CW) | (Self::PR, Self::PR) => true,
            (Self::CW, Self::PR | Self::PW)
            | (Self::PR, Self::CW | Self::PW)
            | (Self::PW, Self::CW | Self::PR | Self::PW) => false,
        }
    }

    /// Its abbreviation.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::NL => "NL",
            Self::CR => "CR",
            Self::CW => "CW",
            Self::PR => "PR",
            Self::PW => "PW",
            Self::EX => "EX",
        }
    }

    /// Its name.
    #[must_use]
    pub fn long(self) -> &'static str {
        match self {
            Self::NL => "NullLock",
            Self::CR => "ConcurrentRead",
            Self::CW => "ConcurrentWrite",
            Self::PR => "ProtectedRead",
            Self::PW => "ProtectedWrite",
            Self::EX => "Exclusive",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// A word that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no lock mode (there are NL, CR, CW, PR or shared, PW, EX or exclusive)")]
pub struct BadMode(String);

impl FromStr for Mode {
    type Err = BadMode;

    /// Takes the abbreviation or the name, in any case, and `shared` and `exclusive`.
    fn from_str(text: &str) -> Result<Self, BadMode> {
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        if is("shared") {
            return Ok(Self::PR);
        }
        Self::ALL
            .into_iter()
            .find(|mode| is(mode.short()) || is(mode.long()))
            .ok_or_else(|| BadMode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Held row, asked column, as observed of FLoM for all pairs.
    const TABLE: [&str; 6] = ["yyyyyy", "yyyyy-", "yyy---", "yy-y--", "yy----", "y-----"];

    #[test]
    fn the_table_holds_for_every_pair_both_ways() {
        for (held, row) in Mode::ALL.into_iter().zip(TABLE) {
            for (asked, cell) in Mode::ALL.into_iter().zip(row.chars()) {
                assert_eq!(held.goes_with(asked), cell == 'y', "{held} {asked}");
                assert_eq!(held.goes_with(asked), asked.goes_with(held));
            }
        }
    }

    #[test]
    fn every_name_is_understood() {
        for mode in Mode::ALL {
            assert_eq!(mode.short().parse(), Ok(mode));
            assert_eq!(mode.long().to_lowercase().parse(), Ok(mode));
        }
        assert_eq!("shared".parse(), Ok(Mode::PR));
        assert_eq!("exclusive".parse(), Ok(Mode::EX));
        assert!("XX".parse::<Mode>().is_err());
    }
}
