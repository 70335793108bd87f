//! The critical sections of several locks at once. Nobody is kept for long out of one of them by who
//! waits for another, in which somebody may stand still.

use std::time::{Duration, Instant};

use crate::error::LockError;
use crate::line::Line;
use crate::seat::Seat;
use crate::store::STUCK;

/// So long others are kept out of the sections that we are in, while we wait for the next one. It
/// takes microseconds, if nobody stands still in it.
const BESIDE: Duration = Duration::from_millis(20);

/// Enters all of them, in order, within `limit`; or, with the longest one, unless one of them is not
/// to be had for so long.
pub(crate) fn enter<'s>(
    seats: &'s [Seat<'_>],
    limit: Duration,
) -> Result<Vec<Line<'s>>, LockError> {
    let began = Instant::now();
    let left = || {
        if limit >= STUCK {
            return limit;
        }
        limit.saturating_sub(began.elapsed())
    };
    loop {
        match at_once(seats, left())? {
            Ok(lines) => return Ok(lines),
            // Alone: nobody but those who want this one waits for whoever is in it.
            Err(busy) => drop(busy.store.section(left())?),
        }
    }
}

/// All of them; or the one that was not to be had soon, and none.
fn at_once<'s, 'r>(
    seats: &'s [Seat<'r>],
    limit: Duration,
) -> Result<Result<Vec<Line<'s>>, &'s Seat<'r>>, LockError> {
    let mut lines = Vec::with_capacity(seats.len());
    for seat in seats {
        let limit = if lines.is_empty() { limit } else { BESIDE };
        match Line::enter(&seat.store, limit, seat.wanted.shape) {
            Ok(line) => lines.push(line),
            Err(LockError::Stuck { .. }) if !lines.is_empty() => return Ok(Err(seat)),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(lines))
}
