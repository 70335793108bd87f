//! The queue: which of those that wait may start.
//!
//! A request waits out its quiet period, so that more of its kind can fold into it; then it is blocked for
//! as long as something else must end first; then it needs an executor. First come, first served, but what
//! is blocked holds up nobody. Nothing is decided anywhere else: the server tells the machine what happened
//! and does what it says.
//!
//! No clock: times are milliseconds since the epoch and are handed in. The whole queue can be written down
//! and read back ([`serde`]); what was being started then is settled by [`Event::Restored`].

mod messages;
mod rules;
mod show;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::Cause;
pub use messages::{Action, Event, Found, Request};
pub use rules::Rules;
pub use show::{Seen, span};

/// No more than so many requests wait.
pub const MAX_WAITING: usize = 10_000;

/// A request keeps so many causes; what comes after them is folded without a trace.
pub const MAX_CAUSES: usize = 100;

/// Who asks for an item that has left is told of it for so long, milliseconds.
pub const LEFT_KEPT: i64 = 5 * 60 * 1000;

/// No more than so many of those that left are remembered.
pub const MAX_LEFT: usize = 20_000;

/// So often places are looked at again because others changed.
const MAX_ROUNDS: usize = 8;

/// What waits, what runs, and what left. `P` is what was given for a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue<P> {
    next_id: u64,
    executors: u32,
    quieting_down: Option<String>,
    /// By number, which is the order in which they were asked for.
    waiting: BTreeMap<u64, Item<P>>,
    running: BTreeMap<u64, Running>,
    left: VecDeque<Left<P>>,
    rules: BTreeMap<String, Rules>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<P> {
    /// Its number: greater than those of all requests before it.
    pub id: u64,
    /// The job's full name.
    pub job: String,
    /// Why it is wanted, each cause once, at most [`MAX_CAUSES`].
    pub causes: Vec<Cause>,
    /// What was given.
    pub parameters: Vec<P>,
    /// The commit, where it is settled.
    pub revision: Option<String>,
    /// When it was asked for first.
    pub since: i64,
    /// Where it is.
    pub place: Place,
}

/// Where a request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It waits for more of its kind, or for another attempt.
    Quiet {
        /// Until then.
        due: i64,
        /// It waits no longer than this, whatever happens to the clock.
        at_most: i64,
        /// It could not be started, and why.
        failed: Option<String>,
    },
    /// Something else must end first.
    Blocked,
    /// It needs an executor.
    Buildable {
        /// Since then.
        since: i64,
    },
}

/// A request that is being started, or is a build now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Running {
    job: String,
    executor: u32,
    since: i64,
    /// The build's number; none as long as the server has not said that it began.
    number: Option<u32>,
}

/// A request that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Left<P> {
    item: Item<P>,
    at: i64,
    how: Departure,
}

/// How a request left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Departure {
    /// It is being started; its number comes soon.
    Starting,
    /// As this build.
    Started {
        /// Its number.
        number: u32,
    },
    /// Nobody wants it any more.
    Cancelled {
        /// Who said so, or what.
        by: String,
    },
}

impl<P: Clone + PartialEq> Queue<P> {
    /// An empty queue. The first request gets the number `first_id`, which is at least 1.
    #[must_use]
    pub fn new(executors: u32, first_id: u64) -> Self {
        Self {
            next_id: first_id.max(1),
            executors,
            quieting_down: None,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            left: VecDeque::new(),
            rules: BTreeMap::new(),
        }
    }

    /// Takes back a request that was written down, with what it waits for: its quiet period if that is
    /// not over, else its turn. For servers that keep requests one by one; a request of a number that is
    /// there already is left out.
    pub fn put_back(&mut self, item: Item<P>) {
        self.next_id = self.next_id.max(item.id.saturating_add(1));
        let is_known = self.running.contains_key(&item.id);
        if !is_known && self.waiting.len() < MAX_WAITING {
            self.waiting.entry(item.id).or_insert(item);
        }
    }

    /// Something happened at `now`; what is to be done is added to `actions`.
    pub fn handle(&mut self, event: Event<P>, now: i64, actions: &mut Vec<Action>) {
        match event {
            Event::Asked(request) => self.ask(request, now, actions),
            Event::CancelAsked { id, by } => self.cancel(id, by, now, actions),
            Event::Began { id, number } => self.began(id, number),
            Event::NotBegun { id, retry_in, why } => self.not_begun(id, retry_in, why, now),
            Event::Ended { id } => {
                self.running.remove(&id);
            }
            Event::Restored(found) => self.restore(found, now),
            Event::Executors(executors) => self.executors = executors,
            Event::QuietDown(reason) => self.quieting_down = reason,
            Event::Ruled { job, rules } => {
                self.rules.insert(job, rules);
            }
            Event::JobGone { job } => self.forget_job(&job, now, actions),
            Event::JobRenamed { from, to } => self.rename_job(&from, &to),
            Event::Tick => {}
        }
        self.settle(now, actions);
    }

    /// When something happens by itself next: [`Event::Tick`] is to be said then. In the past if it is due.
    #[must_use]
    pub fn next_due(&self) -> Option<i64> {
        let dues = self.waiting.values().filter_map(|item| match &item.place {
            Place::Quiet { due, .. } => Some(*due),
            Place::Blocked | Place::Buildable { .. } => None,
        });
        dues.min()
    }

    /// The number that the next request gets.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many executors are in use.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.running.len()
    }

    /// Why nothing more starts, if so.
    #[must_use]
    pub fn quieting_down(&self) -> Option<&str> {
        self.quieting_down.as_deref()
    }

    /// How many requests of a job wait.
    #[must_use]
    pub fn waiting_of(&self, job: &str) -> usize {
        self.waiting.values().filter(|item| item.job == job).count()
    }

    /// How many builds of a job run or are being started.
    #[must_use]
    pub fn running_of(&self, job: &str) -> usize {
        self.running.values().filter(|it| it.job == job).count()
    }

    /// A request that waits, or left lately.
    #[must_use]
    pub fn item(&self, id: u64) -> Option<&Item<P>> {
        self.waiting
            .get(&id)
            .or_else(|| self.departed(id).map(|left| &left.item))
    }

    /// Requests that wait, by number. For writing them down.
    pub fn items(&self) -> impl Iterator<Item = &Item<P>> {
        self.waiting.values()
    }

    fn departed(&self, id: u64) -> Option<&Left<P>> {
        self.left.iter().rev().find(|left| left.item.id == id)
    }

    fn ask(&mut self, request: Request<P>, now: i64, actions: &mut Vec<Action>) {
        let quiet = i64::try_from(request.quiet).unwrap_or(i64::MAX);
        let due = now.saturating_add(quiet);
        let same = |item: &&mut Item<P>| {
            item.job == request.job
                && item.parameters == request.parameters
                && item.revision == request.revision
        };
        if let Some(item) = self.waiting.values_mut().find(same) {
            if !item.causes.contains(&request.cause) && item.causes.len() < MAX_CAUSES {
                item.causes.push(request.cause);
            }
            item.place = item.place.clone().hastened(due, quiet);
            actions.push(Action::Folded { id: item.id });
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            actions.push(Action::Refused);
            return;
        }
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        let item = Item {
            id,
            job: request.job,
            causes: vec![request.cause],
            parameters: request.parameters,
            revision: request.revision,
            since: now,
            place: Place::Quiet {
                due,
                at_most: quiet,
                failed: None,
            },
        };
        self.waiting.insert(id, item);
        actions.push(Action::Accepted { id });
    }

    fn cancel(&mut self, id: u64, by: String, now: i64, actions: &mut Vec<Action>) {
        match self.waiting.remove(&id) {
            Some(item) => {
                self.leave(item, now, Departure::Cancelled { by });
                actions.push(Action::Cancelled { id });
            }
            None => actions.push(Action::NotWaiting { id }),
        }
    }

    fn began(&mut self, id: u64, number: u32) {
        if let Some(running) = self.running.get_mut(&id) {
            running.number = Some(number);
        }
        if let Some(left) = self.left.iter_mut().rev().find(|left| left.item.id == id) {
            left.how = Departure::Started { number };
        }
    }

    fn not_begun(&mut self, id: u64, retry_in: u64, why: String, now: i64) {
        let was_starting = self.running.get(&id).is_some_and(|it| it.number.is_none());
        if !was_starting {
            return;
        }
        self.running.remove(&id);
        if let Some(mut item) = self.take_back(id) {
            let wait = i64::try_from(retry_in).unwrap_or(i64::MAX);
            item.place = Place::Quiet {
                due: now.saturating_add(wait),
                at_most: wait,
                failed: Some(why),
            };
            self.waiting.insert(id, item);
        }
    }

    fn restore(&mut self, found: Vec<Found>, now: i64) {
        let unsure: Vec<u64> = self
            .running
            .iter()
            .filter(|(id, running)| {
                running.number.is_none() && !found.iter().any(|it| it.id == **id)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in unsure {
            self.not_begun(id, 0, String::new(), now);
        }
        self.running.clear();
        for it in found {
            self.next_id = self.next_id.max(it.id.saturating_add(1));
            // It may have been written down as waiting when the server died: it is built once only.
            if let Some(item) = self.waiting.remove(&it.id) {
                self.leave(item, now, Departure::Starting);
            }
            let running = Running {
                job: it.job,
                executor: it.executor,
                since: it.since,
                number: Some(it.number),
            };
            self.running.insert(it.id, running);
            self.began(it.id, it.number);
        }
    }

    fn take_back(&mut self, id: u64) -> Option<Item<P>> {
        let at = self.left.iter().rposition(|left| left.item.id == id)?;
        self.left.remove(at).map(|left| left.item)
    }

    fn forget_job(&mut self, job: &str, now: i64, actions: &mut Vec<Action>) {
        self.rules.remove(job);
        let ids: Vec<u64> = self
            .waiting
            .values()
            .filter(|item| item.job == job)
            .map(|item| item.id)
            .collect();
        for id in ids {
            self.cancel(id, "the job was removed".to_owned(), now, actions);
        }
    }

    fn rename_job(&mut self, from: &str, to: &str) {
        if let Some(rules) = self.rules.remove(from) {
            self.rules.insert(to.to_owned(), rules);
        }
        let waiting = self.waiting.values_mut().map(|item| &mut item.job);
        let running = self.running.values_mut().map(|running| &mut running.job);
        let left = self.left.iter_mut().map(|left| &mut left.item.job);
        for job in waiting.chain(running).chain(left) {
            if job == from {
                to.clone_into(job);
            }
        }
        for rules in self.rules.values_mut() {
            rules.rename(from, to);
        }
    }

    fn leave(&mut self, item: Item<P>, now: i64, how: Departure) {
        self.left.push_back(Left { item, at: now, how });
    }

    /// Brings everything to the place that it has at `now`, and starts what can be started.
    fn settle(&mut self, now: i64, actions: &mut Vec<Action>) {
        self.forget_the_left(now);
        // What changes for one may change something for one before it that waits for it. Jobs that wait for
        // one another in a ring may never come to rest; as soon as an executor is free one of them starts.
        for _ in 0..MAX_ROUNDS {
            if !self.settle_once(now, actions) {
                break;
            }
        }
    }

    /// Whether anything changed that others may wait for.
    fn settle_once(&mut self, now: i64, actions: &mut Vec<Action>) -> bool {
        let mut changed = false;
        let ids: Vec<u64> = self.waiting.keys().copied().collect();
        for id in ids {
            let place = self.place_of(id, now);
            if let (Some(item), Some(place)) = (self.waiting.get_mut(&id), place) {
                let kind = std::mem::discriminant(&place);
                changed |= std::mem::discriminant(&item.place) != kind;
                item.place = place;
            }
            if self.may_start(id)
                && let Some(executor) = self.free_executor()
            {
                self.start(id, executor, now);
                actions.push(Action::Start { id, executor });
                changed = true;
            }
        }
        changed
    }

    /// The place that a request has at `now`, the others being where they are.
    fn place_of(&self, id: u64, now: i64) -> Option<Place> {
        let item = self.waiting.get(&id)?;
        let place = item.place.clone().at(now);
        Some(match place {
            Place::Quiet { due, .. } if due > now => place,
            Place::Quiet { .. } | Place::Blocked | Place::Buildable { .. }
                if self.blockage(item).is_some() =>
            {
                Place::Blocked
            }
            Place::Quiet { .. } | Place::Blocked => Place::Buildable { since: now },
            Place::Buildable { .. } => place,
        })
    }

    fn may_start(&self, id: u64) -> bool {
        let is_buildable = self
            .waiting
            .get(&id)
            .is_some_and(|item| matches!(item.place, Place::Buildable { .. }));
        is_buildable && self.quieting_down.is_none()
    }

    fn free_executor(&self) -> Option<u32> {
        if self.running.len() >= self.executors as usize {
            return None;
        }
        (0..self.executors).find(|number| {
            !self
                .running
                .values()
                .any(|running| running.executor == *number)
        })
    }

    fn start(&mut self, id: u64, executor: u32, now: i64) {
        if let Some(item) = self.waiting.remove(&id) {
            let running = Running {
                job: item.job.clone(),
                executor,
                since: now,
                number: None,
            };
            self.running.insert(id, running);
            self.leave(item, now, Departure::Starting);
        }
    }

    fn forget_the_left(&mut self, now: i64) {
        let is_first_old = |left: &Left<P>| now.saturating_sub(left.at) > LEFT_KEPT;
        if self.left.len() <= MAX_LEFT && !self.left.front().is_some_and(is_first_old) {
            return;
        }
        let running = &self.running;
        let mut excess = self.left.len().saturating_sub(MAX_LEFT);
        self.left.retain(|left| {
            // What is being started may have to come back.
            let is_starting = running
                .get(&left.item.id)
                .is_some_and(|it| it.number.is_none());
            let is_old = now.saturating_sub(left.at) > LEFT_KEPT || excess > 0;
            if is_old && !is_starting {
                excess = excess.saturating_sub(1);
                return false;
            }
            true
        });
    }
}

impl Place {
    /// Another request of its kind came, which would be due then.
    fn hastened(self, other_due: i64, other_wait: i64) -> Self {
        match self {
            // The earlier of the two: a stream of pushes does not put a build off for ever.
            Self::Quiet { due, .. } if other_due < due => Self::Quiet {
                due: other_due,
                at_most: other_wait,
                failed: None,
            },
            Self::Quiet { .. } | Self::Blocked | Self::Buildable { .. } => self,
        }
    }

    /// The same after the clock was set, perhaps far back.
    fn at(self, now: i64) -> Self {
        match self {
            Self::Quiet {
                due,
                at_most,
                failed,
            } => Self::Quiet {
                due: due.min(now.saturating_add(at_most)),
                at_most,
                failed,
            },
            Self::Buildable { since } => Self::Buildable {
                since: since.min(now),
            },
            Self::Blocked => Self::Blocked,
        }
    }
}
