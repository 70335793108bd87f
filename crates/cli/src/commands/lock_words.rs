//! Locks as they are written on a command line, and what is said of one that is none.

use ward_lock::Wanted;
use ward_lock::words::{self, NOTATION, WordsError};

use crate::failure::Failure;

/// Several, separated by commas.
pub(super) fn parse(text: &str) -> Result<Vec<Wanted>, Failure> {
    words::parse(text).map_err(failure)
}

/// So many of these things, each of which is named once.
pub(super) fn things(wanted: Wanted, take: u32, things: Vec<String>) -> Result<Wanted, Failure> {
    words::things(wanted, take, things).map_err(failure)
}

fn failure(error: WordsError) -> Failure {
    match error {
        WordsError::Notation { .. } => Failure::usage(error.to_string(), NOTATION),
        WordsError::Twice { .. } => Failure::usage(error.to_string(), "name each thing once"),
        WordsError::Lock(error) => error.into(),
    }
}
