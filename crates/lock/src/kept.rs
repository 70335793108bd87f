//! What a lock must not forget: numbers that were given, and the last time. Where it is kept is
//! elsewhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::LockError;
use crate::timestamp::{self, Format};

/// What is kept of one lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// The next number that was never given.
    pub(crate) next: u64,
    /// Numbers that are out, each with the ticket of who has it.
    #[serde(default)]
    out: Vec<(u64, u64)>,
    /// Numbers that came back, the next one first.
    #[serde(default)]
    back: Vec<u64>,
    /// The last time that was given: microseconds of the local clock on the wall since 1970, cut
    /// to what its format tells.
    #[serde(default)]
    pub(crate) stamp: Option<i64>,
}

/// Whether a time can be given now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stamp {
    /// This one.
    Given(String),
    /// In so long.
    Later(Duration),
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            next: 1,
            out: Vec::new(),
            back: Vec::new(),
            stamp: None,
        }
    }
}

impl Kept {
    /// The next number for `ticket`, which is somebody else's again unless it is committed. `is_there`
    /// says of other tickets whether their owners are: if not, they failed.
    pub(crate) fn number_on_trial(&mut self, ticket: u64, is_there: impl Fn(u64) -> bool) -> u64 {
        let out = std::mem::take(&mut self.out);
        let (out, back): (Vec<_>, Vec<_>) =
            out.into_iter().partition(|(other, _)| is_there(*other));
        self.out = out;
        self.back.extend(back.into_iter().map(|(_, number)| number));
        let number = if self.back.is_empty() {
            self.next += 1;
            self.next - 1
        } else {
            self.back.remove(0)
        };
        self.out.push((ticket, number));
        number
    }

    /// The number of `ticket` is somebody else's again, behind those that came back before. Returns
    /// whether it still had one.
    pub(crate) fn roll_back(&mut self, ticket: u64) -> bool {
        let of_others = |(other, _): &(u64, u64)| *other != ticket;
        let (out, back): (Vec<_>, Vec<_>) = std::mem::take(&mut self.out)
            .into_iter()
            .partition(of_others);
        self.out = out;
        self.back.extend(back.iter().map(|(_, number)| number));
        !back.is_empty()
    }

    /// The number of `ticket` is used up. Returns whether it still had one.
    pub(crate) fn commit(&mut self, ticket: u64) -> bool {
        let before = self.out.len();
        self.out.retain(|(other, _)| *other != ticket);
        self.out.len() < before
    }

    /// The time, if nobody was given the same. `waited` says that we waited for it already.
    pub(crate) fn stamp(&mut self, format: &Format, waited: bool) -> Result<Stamp, LockError> {
        let unit = format.unit();
        let now = timestamp::on_the_wall();
        let cut = |micros: i64| micros - micros.rem_euclid(unit);
        let next = self.stamp.map_or(i64::MIN, |last| cut(last) + unit);
        let stamp = if cut(now) >= next {
            now
        } else if next - now <= 2 * unit || !waited {
            // The clock was set back far: then times run ahead of it, one a unit, until it has
            // caught up.
            let left = (next - now).min(unit);
            return Ok(Stamp::Later(Duration::from_micros(left.unsigned_abs())));
        } else {
            next
        };
        let text = format.write(stamp)?;
        self.stamp = Some(cut(stamp));
        Ok(Stamp::Given(text))
    }
}
