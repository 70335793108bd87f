//! Who must end before a request can be granted.
//!
//! Strictly first come, first served: who waits already counts as if he held, so that neither
//! a stream of readers nor many small requests overtake a writer or a big one. Neighbours that
//! go together share all the same.

use serde::{Deserialize, Serialize};

use super::mode::Mode;

/// What a lock hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Itself, in one of the six modes.
    Modes,
    /// So many slots, of which a request takes some.
    Slots(u32),
}

/// What is asked of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// In which mode; exclusive among slots counts nothing.
    pub mode: Mode,
    /// How many slots.
    pub take: u32,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In the queue.
    Waiting,
    /// Granted.
    Holding,
}

/// A request in the queue. Tickets rise in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub ticket: u64,
    /// How far it is.
    pub standing: Standing,
    /// What it asks.
    pub ask: Ask,
}

/// The tickets of those who must go before `ticket` can be granted; none if it can be now, or is
/// not in the queue.
#[must_use]
pub fn blockers(shape: Shape, queue: &[Place], ticket: u64) -> Vec<u64> {
    let Some(mine) = queue.iter().find(|place| place.ticket == ticket) else {
        return Vec::new();
    };
    let ahead = queue.iter().filter(|place| {
        place.ticket < ticket || (place.ticket > ticket && place.standing == Standing::Holding)
    });
    match shape {
        Shape::Modes => ahead
            .filter(|place| !place.ask.mode.goes_with(mine.ask.mode))
            .map(|place| place.ticket)
            .collect(),
        Shape::Slots(slots) => {
            let ahead: Vec<&Place> = ahead.collect();
            let taken: u64 = ahead.iter().map(|place| u64::from(place.ask.take)).sum();
            if taken + u64::from(mine.ask.take) <= u64::from(slots) {
                Vec::new()
            } else {
                ahead.iter().map(|place| place.ticket).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(ticket: u64, standing: Standing, mode: Mode) -> Place {
        Place {
            ticket,
            standing,
            ask: Ask { mode, take: 1 },
        }
    }

    #[test]
    fn a_writer_is_not_overtaken_and_readers_share() {
        use Standing::{Holding, Waiting};
        let queue = [
            place(1, Holding, Mode::PR),
            place(2, Waiting, Mode::PR),
            place(3, Waiting, Mode::EX),
            place(4, Waiting, Mode::PR),
        ];
        let of = |ticket| blockers(Shape::Modes, &queue, ticket);
        assert!(of(2).is_empty());
        assert_eq!(of(3), [1, 2]);
        assert_eq!(of(4), [3]);
        assert!(of(9).is_empty());
    }

    #[test]
    fn a_big_request_is_not_overtaken_by_small_ones() {
        let ask = |ticket, standing, take| Place {
            ticket,
            standing,
            ask: Ask {
                mode: Mode::EX,
                take,
            },
        };
        let queue = [
            ask(1, Standing::Holding, 2),
            ask(2, Standing::Waiting, 3),
            ask(3, Standing::Waiting, 1),
        ];
        let of = |ticket| blockers(Shape::Slots(4), &queue, ticket);
        assert_eq!(of(2), [1]);
        assert_eq!(of(3), [1, 2]);
    }

    fn any_ask() -> impl Strategy<Value = Ask> {
        (0..Mode::ALL.len(), 1..4u32).prop_map(|(mode, take)| Ask {
            mode: Mode::ALL[mode],
            take,
        })
    }

    proptest! {
        /// Whatever comes and goes: holders always go together, nobody waits for ever, and who
        /// came first is served first.
        #[test]
        fn it_is_safe_fair_and_live(
            asks in prop::collection::vec(any_ask(), 1..12),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            slots in prop::option::of(3..6u32),
        ) {
            let shape = slots.map_or(Shape::Modes, Shape::Slots);
            let mut queue: Vec<Place> = Vec::new();
            let mut asks = asks.into_iter().enumerate();
            let mut ends = ends.into_iter();
            loop {
                if let Some((number, ask)) = asks.next() {
                    queue.push(Place { ticket: number as u64, standing: Standing::Waiting, ask });
                }
                // Whoever can be granted is.
                while let Some(at) = queue.iter().position(|place| {
                    place.standing == Standing::Waiting
                        && blockers(shape, &queue, place.ticket).is_empty()
                }) {
                    queue[at].standing = Standing::Holding;
                }
                let holders: Vec<&Place> = queue
                    .iter()
                    .filter(|place| place.standing == Standing::Holding)
                    .collect();
                match shape {
                    Shape::Modes => for (at, one) in holders.iter().enumerate() {
                        for other in &holders[at + 1..] {
                            prop_assert!(one.ask.mode.goes_with(other.ask.mode));
                        }
                    },
                    Shape::Slots(slots) => {
                        prop_assert!(holders.iter().map(|place| place.ask.take).sum::<u32>() <= slots);
                    }
                }
                // The first in the queue holds, or nobody would ever move.
                if let Some(first) = queue.first() {
                    prop_assert_eq!(first.standing, Standing::Holding);
                }
                if queue.is_empty() {
                    break;
                }
                // Anybody leaves: a holder that is done, or a waiter that gave up.
                let gone = ends.next().map_or(0, |index| index.index(queue.len()));
                queue.remove(gone);
            }
        }
    }
}
