//! Who must end before a request can be granted.
//!
//! First come, first served: who waits already counts as if he held, so that neither a stream of
//! readers nor many small requests overtake a writer or a big one. Neighbours that go together
//! share all the same. Who asks for another turn (a priority, the newest first, whatever fits)
//! gets it without anybody being granted what does not go together.
//!
//! Several locks that are asked for at once stand in all their queues in the same order, so that
//! nobody waits in a ring. That holds as long as the order of two requests is the same in every
//! queue: it depends on what they ask and on who came first, never on the lock.

use std::borrow::Borrow;
use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::mode::Mode;

/// What a lock hands out. Everybody who uses it at a time must mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Itself, or what is below it, in one of the six modes.
    Modes,
    /// So many slots, of which a request takes some.
    Slots(u32),
    /// Things with names, of which a request takes some of those that it can use.
    Pool,
}

/// Which turn a request wants among those of its priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// First come, first served.
    #[default]
    InOrder,
    /// Before all who wait already.
    NewestFirst,
    /// As soon as it goes together with who holds, whoever waits.
    FirstFit,
}

/// What is asked of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// In which mode; exclusive where there are no modes.
    pub mode: Mode,
    /// How many slots, or things.
    pub take: u32,
    /// What below the lock, levels separated by `/`; empty for all of it.
    #[serde(default)]
    pub path: String,
    /// Which things it can use.
    #[serde(default)]
    pub among: Vec<String>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Which turn among those of this priority.
    #[serde(default)]
    pub turn: Turn,
}

impl Ask {
    /// All of a lock in one mode, in order.
    #[must_use]
    pub fn mode(mode: Mode) -> Self {
        Self {
            mode,
            take: 1,
            path: String::new(),
            among: Vec::new(),
            priority: 0,
            turn: Turn::InOrder,
        }
    }

    /// Some slots, in order.
    #[must_use]
    pub fn slots(take: u32) -> Self {
        Self {
            take,
            ..Self::mode(Mode::EX)
        }
    }

    /// So many of these things, in order.
    #[must_use]
    pub fn things<Name: Into<String>>(take: u32, among: impl IntoIterator<Item = Name>) -> Self {
        Self {
            among: among.into_iter().map(Into::into).collect(),
            ..Self::slots(take)
        }
    }

    /// Whether one of both paths is above the other, or they are the same.
    #[must_use]
    pub fn is_in_line_with(&self, other: &Self) -> bool {
        if self.path.is_empty() || other.path.is_empty() {
            return true;
        }
        let (short, long) = if self.path.len() <= other.path.len() {
            (&self.path, &other.path)
        } else {
            (&other.path, &self.path)
        };
        match long.strip_prefix(short.as_str()) {
            None => false,
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
        }
    }

    fn overlap(&self, other: &Self) -> u32 {
        let common = self.among.iter().filter(|it| other.among.contains(it));
        u32::try_from(common.count()).unwrap_or(u32::MAX)
    }
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In the queue.
    Waiting,
    /// Granted.
    Holding,
}

/// A request in the queue. Tickets rise in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub ticket: u64,
    /// How far it is.
    pub standing: Standing,
    /// What it asks.
    pub ask: Ask,
    /// Which things it has, once it holds.
    pub has: Vec<String>,
}

impl Place {
    fn holds(&self) -> bool {
        self.standing == Standing::Holding
    }

    /// Whether it stands before another one that waits too.
    fn precedes(&self, other: &Self) -> bool {
        let rank = |place: &Self| Rank::of(place.ask.priority, place.ask.turn, place.ticket);
        rank(self) < rank(other)
    }

    /// Whether it may be in the way of `mine`: it holds, or waits and is first.
    fn is_ahead_of(&self, mine: &Self, family: &[u64]) -> bool {
        if self.ticket == mine.ticket || family.contains(&self.ticket) {
            return false;
        }
        // Whoever waits for our family would wait for us too: to wait for him is to wait for ever.
        let waits_for_nobody = !family.is_empty() || mine.ask.turn == Turn::FirstFit;
        self.holds() || (!waits_for_nobody && self.precedes(mine))
    }
}

/// Where somebody stands among those who wait: the least is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(std::cmp::Reverse<i32>, bool, i128);

impl Rank {
    /// Of whoever asks with this priority for this turn, and came as this number.
    #[must_use]
    pub fn of(priority: i32, turn: Turn, ticket: u64) -> Self {
        let newest = turn == Turn::NewestFirst;
        let arrival = i128::from(ticket);
        Self(
            std::cmp::Reverse(priority),
            !newest,
            if newest { -arrival } else { arrival },
        )
    }
}

/// Those who must go before `ticket` can be granted, in the order of the queue; none if it can be
/// now, or is not in the queue.
///
/// `family` are tickets that are held by what this request is a part of, and shared with it.
#[must_use]
pub fn blockers(shape: Shape, queue: &[Place], ticket: u64, family: &[u64]) -> Vec<u64> {
    let Some(mine) = queue.iter().find(|place| place.ticket == ticket) else {
        return Vec::new();
    };
    let ahead = queue.iter().filter(|it| it.is_ahead_of(mine, family));
    let tickets = |places: Vec<&Place>| places.into_iter().map(|it| it.ticket).collect();
    match shape {
        Shape::Modes => blockers_by_mode(queue, mine, family),
        Shape::Slots(slots) => {
            let ahead: Vec<&Place> = ahead.collect();
            let taken: u64 = ahead.iter().map(|place| u64::from(place.ask.take)).sum();
            if taken + u64::from(mine.ask.take) <= u64::from(slots) {
                Vec::new()
            } else {
                tickets(ahead)
            }
        }
        Shape::Pool => {
            let free = u64::try_from(free(queue, mine).count()).unwrap_or(u64::MAX);
            let rivals: Vec<&Place> = ahead
                .filter(|place| {
                    if place.holds() {
                        place.has.iter().any(|it| mine.ask.among.contains(it))
                    } else {
                        place.ask.overlap(&mine.ask) > 0
                    }
                })
                .collect();
            // Whoever is first may take any of ours.
            let spoken_for: u64 = rivals
                .iter()
                .filter(|place| !place.holds())
                .map(|place| u64::from(place.ask.take.min(place.ask.overlap(&mine.ask))))
                .sum();
            if spoken_for + u64::from(mine.ask.take) <= free {
                Vec::new()
            } else {
                tickets(rivals)
            }
        }
    }
}

/// Who must go before `ticket` can be granted, and before those can, in the order of their numbers. Of a
/// long queue no more than the first `most` are looked after.
#[must_use]
pub fn keeping(
    shape: Shape,
    queue: &[Place],
    ticket: u64,
    family: &[u64],
    most: usize,
) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    let mut open = VecDeque::from([ticket]);
    let mut looked = 0;
    while let Some(next) = open.pop_front() {
        let family = if next == ticket { family } else { &[] };
        for other in blockers(shape, queue, next, family) {
            if other != ticket && all.insert(other) {
                open.push_back(other);
            }
        }
        looked += 1;
        if looked > most {
            break;
        }
    }
    all
}

/// As [`blockers`], of a lock that is held in modes: each place is looked at once, by itself.
#[must_use]
pub fn blockers_by_mode<P: Borrow<Place>>(
    queue: impl IntoIterator<Item = P>,
    mine: &Place,
    family: &[u64],
) -> Vec<u64> {
    let in_the_way = |place: &Place| {
        place.is_ahead_of(mine, family)
            && !place.ask.mode.goes_with(mine.ask.mode)
            && place.ask.is_in_line_with(&mine.ask)
    };
    let queue = queue.into_iter();
    let tickets = queue.filter_map(|place| {
        let place = place.borrow();
        in_the_way(place).then_some(place.ticket)
    });
    tickets.collect()
}

/// From which of `holders` it must be taken so that `ticket` can have it, and from nobody else. They are
/// those who hold and are in its way ([`blockers`]); who is to lose it first is named first. Who waits
/// and is in its way is another thief, who holds it soon.
#[must_use]
pub fn victims(shape: Shape, queue: &[Place], ticket: u64, holders: &[u64]) -> Vec<u64> {
    let waits = |other: &u64| {
        let mut places = queue.iter();
        places.any(|place| place.ticket == *other && place.standing == Standing::Waiting)
    };
    let can_have_it = |without: &[u64]| {
        let left = queue
            .iter()
            .filter(|place| !without.contains(&place.ticket));
        let left: Vec<Place> = left.cloned().collect();
        blockers(shape, &left, ticket, &[]).iter().all(waits)
    };
    let mut enough = 0;
    while enough < holders.len() && !can_have_it(&holders[..enough]) {
        enough += 1;
    }
    let mut victims = holders[..enough].to_vec();
    // What was taken first may not be needed, now that more was.
    let mut at = 0;
    while at < victims.len() {
        let spared = victims.remove(at);
        if !can_have_it(&victims) {
            victims.insert(at, spared);
            at += 1;
        }
    }
    victims
}

/// The things of `mine` that nobody has.
fn free<'a>(queue: &'a [Place], mine: &'a Place) -> impl Iterator<Item = &'a String> {
    mine.ask.among.iter().filter(move |thing| {
        !queue
            .iter()
            .any(|place| place.holds() && place.has.contains(thing))
    })
}

/// Which things `ticket` gets, if it can be granted: the first that are free, beginning with
/// another one each `turn`, so that all are used alike.
#[must_use]
pub fn choose(queue: &[Place], ticket: u64, turn: u64) -> Vec<String> {
    let Some(mine) = queue.iter().find(|place| place.ticket == ticket) else {
        return Vec::new();
    };
    let mut free: Vec<&String> = free(queue, mine).collect();
    if let Some(first) = turn.checked_rem(mine.ask.among.len() as u64) {
        let at = |thing: &String| mine.ask.among.iter().position(|it| it == thing);
        let first = usize::try_from(first).ok();
        free.sort_by_key(|thing| (at(thing) < first, at(thing)));
    }
    let take = usize::try_from(mine.ask.take).unwrap_or(usize::MAX);
    free.into_iter().take(take).cloned().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(ticket: u64, standing: Standing, ask: Ask) -> Place {
        Place {
            ticket,
            standing,
            ask,
            has: Vec::new(),
        }
    }

    use Standing::{Holding, Waiting};

    #[test]
    fn a_writer_is_not_overtaken_and_readers_share() {
        let queue = [
            place(1, Holding, Ask::mode(Mode::PR)),
            place(2, Waiting, Ask::mode(Mode::PR)),
            place(3, Waiting, Ask::mode(Mode::EX)),
            place(4, Waiting, Ask::mode(Mode::PR)),
        ];
        let of = |ticket| blockers(Shape::Modes, &queue, ticket, &[]);
        assert!(of(2).is_empty());
        assert_eq!(of(3), [1, 2]);
        assert_eq!(of(4), [3]);
        assert!(of(9).is_empty());
    }

    #[test]
    fn a_big_request_is_not_overtaken_by_small_ones() {
        let queue = [
            place(1, Holding, Ask::slots(2)),
            place(2, Waiting, Ask::slots(3)),
            place(3, Waiting, Ask::slots(1)),
        ];
        let of = |ticket| blockers(Shape::Slots(4), &queue, ticket, &[]);
        assert_eq!(of(2), [1]);
        assert_eq!(of(3), [1, 2]);
    }

    #[test]
    fn a_path_is_in_the_way_of_what_is_above_and_below() {
        let at = |path: &str, mode| Ask {
            path: path.into(),
            ..Ask::mode(mode)
        };
        let free = |held: &str, asked: &str| {
            let queue = [
                place(1, Holding, at(held, Mode::EX)),
                place(2, Waiting, at(asked, Mode::EX)),
            ];
            blockers(Shape::Modes, &queue, 2, &[]).is_empty()
        };
        for (held, asked, expected) in [
            ("a/b", "a/b", false),
            ("a/b", "a", false),
            ("a", "a/b/c", false),
            ("", "a", false),
            ("a", "", false),
            ("a/b", "a/c", true),
            ("foo", "foobar", true),
            ("foobar", "foo", true),
        ] {
            assert_eq!(free(held, asked), expected, "{held} {asked}");
        }
        let queue = [
            place(1, Holding, at("", Mode::CR)),
            place(2, Waiting, at("a", Mode::PW)),
        ];
        assert!(blockers(Shape::Modes, &queue, 2, &[]).is_empty());
    }

    #[test]
    fn things_of_a_pool_are_told_apart() {
        let mut queue = vec![
            place(1, Holding, Ask::things(1, ["a", "b"])),
            place(2, Waiting, Ask::things(1, ["b", "a"])),
            place(3, Waiting, Ask::things(1, ["b", "c"])),
            place(4, Waiting, Ask::things(1, ["d"])),
        ];
        queue[0].has = vec!["a".into()];
        let of = |queue: &[Place], ticket| blockers(Shape::Pool, queue, ticket, &[]);
        assert!(of(&queue, 2).is_empty());
        // The one before may take `b`, but not `c` too.
        assert!(of(&queue, 3).is_empty());
        assert!(of(&queue, 4).is_empty());
        assert_eq!(choose(&queue, 2, 0), ["b"]);
        queue[1].has = vec!["b".into()];
        queue[1].standing = Holding;
        assert_eq!(choose(&queue, 3, 0), ["c"]);
        queue[2].ask = Ask::things(2, ["b", "c"]);
        assert_eq!(of(&queue, 3), [2]);
        queue[3].ask = Ask::things(2, ["c", "d", "a", "e"]);
        for (turn, expected) in [
            (0, ["c", "d"]),
            (1, ["d", "e"]),
            (3, ["e", "c"]),
            (4, ["c", "d"]),
        ] {
            assert_eq!(choose(&queue, 4, turn), expected);
        }
    }

    #[test]
    fn turns() {
        let turn = |turn, priority| Ask {
            turn,
            priority,
            ..Ask::mode(Mode::EX)
        };
        let mut queue = vec![
            place(1, Holding, Ask::mode(Mode::EX)),
            place(2, Waiting, Ask::mode(Mode::EX)),
            place(3, Waiting, turn(Turn::InOrder, 5)),
            place(4, Waiting, turn(Turn::NewestFirst, 0)),
            place(5, Waiting, turn(Turn::NewestFirst, 0)),
            place(6, Waiting, turn(Turn::FirstFit, -1)),
        ];
        let of = |queue: &[Place], ticket| blockers(Shape::Modes, queue, ticket, &[]);
        assert_eq!(of(&queue, 3), [1]);
        assert_eq!(of(&queue, 5), [1, 3]);
        assert_eq!(of(&queue, 4), [1, 3, 5]);
        assert_eq!(of(&queue, 2), [1, 3, 4, 5]);
        assert_eq!(of(&queue, 6), [1]);
        // What we are a part of is not in our way, nor is whoever waits for it.
        assert!(blockers(Shape::Modes, &queue, 2, &[1]).is_empty());
        queue.remove(0);
        assert!(of(&queue, 6).is_empty());
    }

    fn any_ask() -> impl Strategy<Value = Ask> {
        let turns = [Turn::InOrder, Turn::NewestFirst, Turn::FirstFit];
        let paths = ["", "a", "a/b", "a/bc", "b"];
        (
            0..Mode::ALL.len(),
            1..3u32,
            0..paths.len(),
            prop::sample::subsequence(vec!["x", "y", "z"], 2..=3),
            -1..2i32,
            0..turns.len(),
        )
            .prop_map(move |(mode, take, path, among, priority, turn)| Ask {
                mode: Mode::ALL[mode],
                path: paths[path].into(),
                priority,
                turn: turns[turn],
                ..Ask::things(take, among)
            })
    }

    fn safe(shape: Shape, queue: &[Place]) -> bool {
        let holders: Vec<&Place> = queue.iter().filter(|place| place.holds()).collect();
        let pairs = holders
            .iter()
            .enumerate()
            .flat_map(|(at, one)| holders[at + 1..].iter().map(move |other| (one, other)));
        match shape {
            Shape::Modes => pairs.into_iter().all(|(one, other)| {
                one.ask.mode.goes_with(other.ask.mode) || !one.ask.is_in_line_with(&other.ask)
            }),
            Shape::Slots(slots) => holders.iter().map(|place| place.ask.take).sum::<u32>() <= slots,
            Shape::Pool => pairs
                .into_iter()
                .all(|(one, other)| one.has.iter().all(|thing| !other.has.contains(thing))),
        }
    }

    proptest! {
        /// Who takes it gets it, from nobody who could have kept it.
        #[test]
        fn just_enough_is_taken(
            asks in prop::collection::vec(any_ask(), 1..12),
            thief in any_ask(),
            kind in 0..3u8,
        ) {
            let shape = [Shape::Modes, Shape::Slots(3), Shape::Pool][usize::from(kind)];
            let mut queue: Vec<Place> = Vec::new();
            for (number, ask) in asks.into_iter().enumerate() {
                let ticket = number as u64;
                queue.push(place(ticket, Waiting, ask));
                if blockers(shape, &queue, ticket, &[]).is_empty() {
                    let has = if shape == Shape::Pool {
                        choose(&queue, ticket, 0)
                    } else {
                        Vec::new()
                    };
                    if let Some(mine) = queue.last_mut() {
                        (mine.has, mine.standing) = (has, Holding);
                    }
                }
            }
            let first = Ask { priority: i32::MAX, turn: Turn::FirstFit, ..thief };
            queue.push(place(99, Waiting, first));
            let holds = |it: &u64| queue.iter().any(|place| place.ticket == *it && place.holds());
            let mut holders = blockers(shape, &queue, 99, &[]);
            holders.retain(holds);
            holders.reverse();
            let robbed = victims(shape, &queue, 99, &holders);
            prop_assert!(robbed.iter().all(|it| holders.contains(it)));
            let in_the_way = |spared: Option<u64>| {
                let gone = |it: &Place| robbed.contains(&it.ticket) && Some(it.ticket) != spared;
                let left: Vec<Place> = queue.iter().filter(|it| !gone(it)).cloned().collect();
                blockers(shape, &left, 99, &[])
            };
            prop_assert_eq!(in_the_way(None), Vec::<u64>::new());
            for spared in &robbed {
                prop_assert!(!in_the_way(Some(*spared)).is_empty());
            }
        }

        /// Whatever comes and goes: holders always go together, nobody waits for ever, and who
        /// came first is served first.
        #[test]
        fn it_is_safe_fair_and_live(
            asks in prop::collection::vec(any_ask(), 1..12),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            kind in 0..3u8,
        ) {
            let shape = match kind {
                0 => Shape::Modes,
                1 => Shape::Slots(3),
                _ => Shape::Pool,
            };
            let mut queue: Vec<Place> = Vec::new();
            let mut asks = asks.into_iter().enumerate();
            let mut ends = ends.into_iter();
            loop {
                if let Some((number, ask)) = asks.next() {
                    queue.push(place(number as u64, Waiting, ask));
                }
                while let Some(at) = queue.iter().position(|place| {
                    !place.holds() && blockers(shape, &queue, place.ticket, &[]).is_empty()
                }) {
                    let mine = queue[at].clone();
                    if shape == Shape::Pool {
                        queue[at].has = choose(&queue, mine.ticket, 1);
                        prop_assert_eq!(queue[at].has.len(), mine.ask.take as usize);
                    }
                    queue[at].standing = Holding;
                    prop_assert!(safe(shape, &queue));
                    // Nobody who keeps the order has overtaken another who is in his way.
                    if mine.ask.turn != Turn::FirstFit && shape == Shape::Modes {
                        for other in queue.iter().filter(|other| !other.holds()) {
                            prop_assert!(
                                !other.precedes(&mine)
                                    || other.ask.mode.goes_with(mine.ask.mode)
                                    || !other.ask.is_in_line_with(&mine.ask)
                            );
                        }
                    }
                }
                // Somebody holds, or nobody would ever move.
                prop_assert!(queue.is_empty() || queue.iter().any(Place::holds));
                if queue.is_empty() {
                    break;
                }
                // Anybody leaves: a holder that is done, or a waiter that gave up.
                let gone = ends.next().map_or(0, |index| index.index(queue.len()));
                queue.remove(gone);
            }
        }

        /// Who asks for several locks at once is never in a ring of waits.
        #[test]
        fn several_at_once_never_wait_in_a_ring(
            asks in prop::collection::vec((any_ask(), any_ask(), 0..3u8), 2..10),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut queues: [Vec<Place>; 2] = [Vec::new(), Vec::new()];
            let mut open: Vec<u64> = Vec::new();
            let mut ends = ends.into_iter();
            for (number, (one, other, which)) in asks.into_iter().enumerate() {
                let ticket = number as u64;
                let other = Ask { priority: one.priority, turn: one.turn, ..other };
                if which != 1 { queues[0].push(place(ticket, Waiting, one)); }
                if which != 0 { queues[1].push(place(ticket, Waiting, other)); }
                open.push(ticket);
            }
            while !open.is_empty() {
                let granted = |queues: &[Vec<Place>; 2], ticket: u64| queues
                    .iter()
                    .flatten()
                    .any(|place| place.ticket == ticket && place.holds());
                while let Some(next) = open.iter().copied().find(|ticket| {
                    !granted(&queues, *ticket)
                        && queues.iter().all(|queue| {
                            blockers(Shape::Modes, queue, *ticket, &[]).is_empty()
                        })
                }) {
                    for place in queues.iter_mut().flatten().filter(|it| it.ticket == next) {
                        place.standing = Holding;
                    }
                    prop_assert!(queues.iter().all(|queue| safe(Shape::Modes, queue)));
                }
                let holders: Vec<u64> =
                    open.iter().copied().filter(|it| granted(&queues, *it)).collect();
                prop_assert!(!holders.is_empty());
                let gone = ends.next().map_or(0, |index| index.index(holders.len()));
                open.retain(|ticket| *ticket != holders[gone]);
                for queue in &mut queues {
                    queue.retain(|place| place.ticket != holders[gone]);
                }
            }
        }
    }
}
