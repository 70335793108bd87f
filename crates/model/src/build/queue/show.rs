//! The queue for people: what waits, why, and for how long.

use super::rules::Blockage;
use super::{Departure, Item, LEFT_KEPT, Place, Queue};

/// Without an estimate a request may need an executor for a day.
const STUCK_AFTER: i64 = 24 * 60 * 60 * 1000;

/// A build of no time at all may wait as long as one of a minute.
const SHORTEST_ESTIMATE: u64 = 60 * 1000;

/// A request, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a, P> {
    /// The request.
    pub item: &'a Item<P>,
    /// Why it waits; what became of it if it left.
    pub why: String,
    /// How many are before it; 0 if it left.
    pub position: usize,
    /// It has needed an executor for much longer than builds of the job take.
    pub stuck: bool,
    /// How it left, if it did.
    pub left: Option<&'a Departure>,
}

impl<P: Clone + PartialEq> Queue<P> {
    /// Everything that waits, in the order in which it will be built as things are: what needs an executor,
    /// what is blocked, what is quiet.
    #[must_use]
    pub fn seen(&self, now: i64) -> Vec<Seen<'_, P>> {
        let mut items: Vec<&Item<P>> = self.waiting.values().collect();
        items.sort_by_key(|item| (rank(&item.place), item.id));
        items
            .into_iter()
            .enumerate()
            .map(|(position, item)| Seen {
                item,
                why: self.why(item, now),
                position,
                stuck: self.is_stuck(item, now),
                left: None,
            })
            .collect()
    }

    /// One that waits, or left at most [`LEFT_KEPT`] ago.
    #[must_use]
    pub fn seen_one(&self, id: u64, now: i64) -> Option<Seen<'_, P>> {
        if let Some(item) = self.waiting.get(&id) {
            let own = (rank(&item.place), item.id);
            let before = |it: &&Item<P>| (rank(&it.place), it.id) < own;
            return Some(Seen {
                item,
                why: self.why(item, now),
                position: self.waiting.values().filter(before).count(),
                stuck: self.is_stuck(item, now),
                left: None,
            });
        }
        let left = self.departed(id)?;
        (now.saturating_sub(left.at) <= LEFT_KEPT).then(|| Seen {
            item: &left.item,
            why: match &left.how {
                Departure::Starting | Departure::Started { .. } => "Finished waiting".to_owned(),
                Departure::Cancelled { by } => format!("Cancelled by {by}"),
            },
            position: 0,
            stuck: false,
            left: Some(&left.how),
        })
    }

    fn why(&self, item: &Item<P>, now: i64) -> String {
        match &item.place {
            Place::Quiet {
                due,
                failed: Some(why),
                ..
            } => format!(
                "Could not be started: {why}. Next attempt in {}",
                until(*due, now)
            ),
            Place::Quiet {
                due, failed: None, ..
            } => format!("In the quiet period. Expires in {}", until(*due, now)),
            Place::Blocked => self.blocked_why(item, now),
            Place::Buildable { .. } => match &self.quieting_down {
                Some(reason) if reason.is_empty() => "Jenkins is about to shut down".to_owned(),
                Some(reason) => format!("Jenkins is about to shut down: {reason}"),
                None => "Waiting for next available executor".to_owned(),
            },
        }
    }

    fn blocked_why(&self, item: &Item<P>, now: i64) -> String {
        match self.blockage(item) {
            Some(Blockage::Busy {
                running: 1,
                number,
                since,
            }) => {
                let eta = self.eta(&item.job, since, now);
                match number {
                    Some(number) => format!("Build #{number} is already in progress (ETA: {eta})"),
                    None => format!("A build is already in progress (ETA: {eta})"),
                }
            }
            Some(Blockage::Busy { running, .. }) => {
                format!("Already running {running} builds across all nodes")
            }
            Some(Blockage::Upstream(job)) => {
                format!("Upstream project {job} is already building.")
            }
            Some(Blockage::Downstream(job)) => {
                format!("Downstream project {job} is already building.")
            }
            None => "Waiting for next available executor".to_owned(),
        }
    }

    fn eta(&self, job: &str, since: i64, now: i64) -> String {
        let estimate = self.rules.get(job).and_then(|rules| rules.estimate);
        let end = estimate.and_then(|estimate| since.checked_add_unsigned(estimate));
        match end {
            Some(end) if end > now => until(end, now),
            Some(_) | None => "N/A".to_owned(),
        }
    }

    fn is_stuck(&self, item: &Item<P>, now: i64) -> bool {
        let since = match item.place {
            Place::Buildable { since } => since,
            Place::Quiet { .. } | Place::Blocked => return false,
        };
        let waited = now.saturating_sub(since);
        let estimate = self.rules.get(&item.job).and_then(|rules| rules.estimate);
        let patience = match estimate {
            None => STUCK_AFTER,
            Some(estimate) => {
                let most = estimate.max(SHORTEST_ESTIMATE).saturating_mul(10);
                i64::try_from(most).unwrap_or(i64::MAX)
            }
        };
        waited > patience
    }
}

/// What comes first, and when.
fn rank(place: &Place) -> (u8, i64) {
    match place {
        Place::Buildable { .. } => (0, 0),
        Place::Blocked => (1, 0),
        Place::Quiet { due, .. } => (2, *due),
    }
}

fn until(then: i64, now: i64) -> String {
    span(u64::try_from(then.saturating_sub(now)).unwrap_or(0))
}

/// A time for people, as Jenkins writes it: its two greatest units. `milliseconds` may be anything.
#[must_use]
pub fn span(milliseconds: u64) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("yr", 365 * 24 * 3600),
        ("mo", 30 * 24 * 3600),
        ("day", 24 * 3600),
        ("hr", 3600),
        ("min", 60),
    ];
    let seconds = milliseconds / 1000;
    let mut smaller = UNITS.iter().skip(1).map(|(name, size)| (*name, *size));
    for (name, size) in UNITS {
        let (below, below_size) = smaller.next().unwrap_or(("sec", 1));
        let (count, rest) = (seconds / size, seconds % size / below_size);
        if count > 0 {
            return format!("{count} {name} {rest} {below}");
        }
    }
    match milliseconds {
        10_000.. => format!("{seconds} sec"),
        1000..10_000 => format!("{}.{} sec", seconds, milliseconds % 1000 / 100),
        100..1000 => format!("0.{:02} sec", milliseconds / 10),
        0..100 => format!("{milliseconds} ms"),
    }
}
