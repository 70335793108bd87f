//! Anything in any order: nothing is lost, nothing is built twice, nothing more than may be.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{Action, Event, Found, Place, Queue, Request, Rules};
use super::{Given, user};

const JOBS: [&str; 4] = ["a", "b", "c", "d"];

/// What may happen; numbers choose among what is there.
#[derive(Debug, Clone)]
enum Happening {
    Ask {
        job: usize,
        parameter: u8,
        revision: bool,
        who: u8,
        quiet: u64,
    },
    Cancel(usize),
    Begin(usize),
    FailToBegin(usize, u64),
    End(usize),
    Executors(u32),
    Quiet(bool),
    Rule(usize, Rules),
    Later(i64),
    Restart,
    RestartOneByOne,
}

fn happening() -> impl Strategy<Value = Happening> {
    let which = 0..8_usize;
    let rules = (
        0..3_u32,
        any::<bool>(),
        any::<bool>(),
        proptest::collection::btree_set(0..JOBS.len(), 0..3),
        proptest::collection::btree_set(0..JOBS.len(), 0..3),
    )
        .prop_map(|(concurrent, up, down, upstream, downstream)| {
            let named = |set: BTreeSet<usize>| set.iter().map(|it| JOBS[*it].to_owned()).collect();
            Rules {
                concurrent,
                blocked_by_upstream: up,
                blocked_by_downstream: down,
                upstream: named(upstream),
                downstream: named(downstream),
                estimate: None,
            }
        });
    prop_oneof![
        8 => (0..JOBS.len(), 0..2_u8, any::<bool>(), 0..3_u8, 0..30_u64).prop_map(
            |(job, parameter, revision, who, quiet)| Happening::Ask {
                job,
                parameter,
                revision,
                who,
                quiet,
            }
        ),
        2 => which.clone().prop_map(Happening::Cancel),
        6 => which.clone().prop_map(Happening::Begin),
        2 => (which.clone(), 0..20_u64).prop_map(|(which, wait)| Happening::FailToBegin(which, wait)),
        5 => which.prop_map(Happening::End),
        1 => (0..4_u32).prop_map(Happening::Executors),
        1 => any::<bool>().prop_map(Happening::Quiet),
        2 => (0..JOBS.len(), rules).prop_map(|(job, rules)| Happening::Rule(job, rules)),
        6 => (-20..60_i64).prop_map(Happening::Later),
        1 => Just(Happening::Restart),
        1 => Just(Happening::RestartOneByOne),
    ]
}

/// The queue's surroundings: what was asked, and what was done as it said.
struct World {
    queue: Queue<Given>,
    now: i64,
    executors: u32,
    quiet: bool,
    limits: BTreeMap<String, u32>,
    accepted: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
    /// Told to start, and not told of.
    starting: BTreeMap<u64, u32>,
    running: BTreeMap<u64, Found>,
    begun: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    asked: Option<Request<Given>>,
    number: u32,
}

impl World {
    fn new() -> Self {
        Self {
            queue: Queue::new(2, 1),
            now: 0,
            executors: 2,
            quiet: false,
            limits: BTreeMap::new(),
            accepted: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            starting: BTreeMap::new(),
            running: BTreeMap::new(),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            asked: None,
            number: 0,
        }
    }

    fn job_of(&self, id: u64) -> String {
        let item = self.queue.item(id).expect("what is being started is known");
        item.job.clone()
    }

    fn tell(&mut self, event: Event<Given>) -> Result<(), TestCaseError> {
        let mut said = Vec::new();
        self.queue.handle(event, self.now, &mut said);
        for action in said {
            match action {
                Action::Accepted { id } => prop_assert!(self.accepted.insert(id), "{id} twice"),
                Action::Folded { id } => {
                    let asked = self.asked.as_ref().expect("somebody asked");
                    prop_assert!(self.accepted.contains(&id));
                    let item = self.queue.item(id).expect("it waited");
                    prop_assert_eq!(&item.job, &asked.job);
                    prop_assert_eq!(&item.parameters, &asked.parameters);
                    prop_assert_eq!(&item.revision, &asked.revision);
                    prop_assert!(item.causes.contains(&asked.cause));
                    let once: BTreeSet<String> =
                        item.causes.iter().map(|it| format!("{it:?}")).collect();
                    prop_assert_eq!(once.len(), item.causes.len());
                }
                Action::Refused | Action::NotWaiting { .. } => {}
                Action::Cancelled { id } => {
                    prop_assert!(self.cancelled.insert(id));
                    prop_assert!(!self.begun.contains(&id));
                }
                Action::Start { id, executor } => self.start(id, executor)?,
            }
        }
        self.holds()
    }

    fn start(&mut self, id: u64, executor: u32) -> Result<(), TestCaseError> {
        prop_assert!(!self.quiet);
        prop_assert!(self.accepted.contains(&id) && !self.cancelled.contains(&id));
        prop_assert!(!self.begun.contains(&id) && !self.starting.contains_key(&id));
        let busy = self.starting.len() + self.running.len();
        prop_assert!(busy < self.executors as usize && executor < self.executors);
        prop_assert!(!self.starting.values().any(|it| *it == executor));
        prop_assert!(!self.running.values().any(|it| it.executor == executor));
        let job = self.job_of(id);
        let same = self.running.values().filter(|it| it.job == job).count()
            + self
                .starting
                .keys()
                .filter(|it| self.job_of(**it) == job)
                .count();
        let limit = self.limits.get(&job).copied().unwrap_or(1).max(1);
        prop_assert!(same < limit as usize, "{same} of {job}");
        self.starting.insert(id, executor);
        Ok(())
    }

    /// What is so at any time.
    fn holds(&self) -> Result<(), TestCaseError> {
        let waiting: BTreeSet<u64> = self.queue.items().map(|item| item.id).collect();
        for id in &self.accepted {
            let places = [
                waiting.contains(id),
                self.cancelled.contains(id),
                self.starting.contains_key(id),
                self.begun.contains(id),
            ];
            let count = places.iter().filter(|is_there| **is_there).count();
            prop_assert_eq!(count, 1, "{} is in {:?}", id, places);
        }
        prop_assert_eq!(self.queue.busy(), self.starting.len() + self.running.len());
        let is_free = self.queue.busy() < self.executors as usize && !self.quiet;
        for item in self.queue.items() {
            match item.place {
                Place::Buildable { .. } => prop_assert!(!is_free, "{} could start", item.id),
                Place::Quiet { due, .. } => {
                    prop_assert!(due > self.now && due - self.now <= 30, "{due} {}", self.now);
                }
                Place::Blocked => {}
            }
        }
        prop_assert!(self.queue.next_due().is_none_or(|due| due > self.now));
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), TestCaseError> {
        match happening {
            Happening::Ask {
                job,
                parameter,
                revision,
                who,
                quiet,
            } => {
                let request = Request {
                    job: JOBS[job].to_owned(),
                    cause: user(&format!("user{who}")),
                    parameters: vec![("P".to_owned(), parameter.to_string())],
                    revision: revision.then(|| "abc".to_owned()),
                    quiet,
                };
                self.asked = Some(request.clone());
                self.tell(Event::Asked(request))
            }
            Happening::Cancel(which) => {
                let id = self.queue.items().nth(which).map(|item| item.id);
                match id {
                    Some(id) => self.tell(Event::CancelAsked {
                        id,
                        by: "somebody".to_owned(),
                    }),
                    None => Ok(()),
                }
            }
            Happening::Begin(which) => match self.starting.keys().nth(which).copied() {
                Some(id) => self.begin(id),
                None => Ok(()),
            },
            Happening::FailToBegin(which, retry_in) => {
                match self.starting.keys().nth(which).copied() {
                    Some(id) => {
                        self.starting.remove(&id);
                        self.tell(Event::NotBegun {
                            id,
                            retry_in,
                            why: "so".to_owned(),
                        })
                    }
                    None => Ok(()),
                }
            }
            Happening::End(which) => match self.running.keys().nth(which).copied() {
                Some(id) => self.end(id),
                None => Ok(()),
            },
            Happening::Executors(executors) => {
                self.executors = executors;
                self.tell(Event::Executors(executors))
            }
            Happening::Quiet(on) => {
                self.quiet = on;
                self.tell(Event::QuietDown(on.then(String::new)))
            }
            Happening::Rule(job, rules) => {
                self.limits.insert(JOBS[job].to_owned(), rules.concurrent);
                self.tell(Event::Ruled {
                    job: JOBS[job].to_owned(),
                    rules,
                })
            }
            Happening::Later(milliseconds) => {
                self.now += milliseconds;
                self.tell(Event::Tick)
            }
            Happening::Restart => {
                let json = serde_json::to_string(&self.queue).expect("plain data");
                self.queue = serde_json::from_str(&json).expect("what was written");
                self.come_back()
            }
            Happening::RestartOneByOne => self.restart_one_by_one(),
        }
    }

    fn begin(&mut self, id: u64) -> Result<(), TestCaseError> {
        let executor = self.starting.remove(&id).expect("it is being started");
        self.number += 1;
        prop_assert!(self.begun.insert(id), "{id} is built twice");
        let found = Found {
            id,
            job: self.job_of(id),
            number: self.number,
            executor,
            since: self.now,
        };
        self.running.insert(id, found);
        self.tell(Event::Began {
            id,
            number: self.number,
        })
    }

    fn end(&mut self, id: u64) -> Result<(), TestCaseError> {
        self.running.remove(&id);
        prop_assert!(self.ended.insert(id));
        self.tell(Event::Ended { id })
    }

    /// The server was killed: what it had been told to start and had not begun it knows nothing of.
    fn come_back(&mut self) -> Result<(), TestCaseError> {
        self.starting.clear();
        let found = self.running.values().cloned().collect();
        self.tell(Event::Restored(found))
    }

    /// As a server does that writes requests down one by one, until they began.
    fn restart_one_by_one(&mut self) -> Result<(), TestCaseError> {
        let mut queue = Queue::new(self.executors, self.queue.next_id());
        let starting = self.starting.keys().filter_map(|id| self.queue.item(*id));
        for item in self.queue.items().chain(starting) {
            queue.put_back(item.clone());
        }
        self.queue = queue;
        let mut said = Vec::new();
        let reason = Event::QuietDown(Some(String::new()));
        self.queue.handle(reason, self.now, &mut said);
        prop_assert!(said.is_empty());
        self.quiet = true;
        self.limits.clear();
        self.come_back()
    }

    /// Everything comes to its end if builds do.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        self.quiet = false;
        self.tell(Event::QuietDown(None))?;
        self.executors = self.executors.max(1);
        self.tell(Event::Executors(self.executors))?;
        for _ in 0..=3 * self.accepted.len() {
            while let Some(id) = self.starting.keys().next().copied() {
                self.begin(id)?;
            }
            if let Some(id) = self.running.keys().next().copied() {
                self.end(id)?;
            }
            if let Some(due) = self.queue.next_due() {
                self.now = self.now.max(due);
                self.tell(Event::Tick)?;
            }
        }
        prop_assert_eq!(self.queue.waiting(), 0, "{:?}", self.queue.seen(self.now));
        prop_assert_eq!(self.queue.busy(), 0);
        let all: BTreeSet<u64> = self.ended.union(&self.cancelled).copied().collect();
        prop_assert_eq!(&all, &self.accepted);
        prop_assert!(self.ended.is_disjoint(&self.cancelled));
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_happens(happenings in proptest::collection::vec(happening(), 0..60)) {
        let mut world = World::new();
        for happening in happenings {
            world.happen(happening)?;
        }
        world.drain()?;
    }

    /// First come, first served, where nothing else is in the way.
    #[test]
    fn who_asks_first_is_built_first(jobs in proptest::collection::vec(0..JOBS.len(), 1..30), executors in 1..4_u32) {
        let mut queue: Queue<Given> = Queue::new(0, 1);
        let mut said = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            let rules = Rules { concurrent: 100, ..Rules::default() };
            queue.handle(Event::Ruled { job: JOBS[*job].to_owned(), rules }, 0, &mut said);
            let request = Request {
                job: JOBS[*job].to_owned(),
                cause: user("somebody"),
                parameters: vec![("N".to_owned(), number.to_string())],
                revision: None,
                quiet: 0,
            };
            queue.handle(Event::Asked(request), 0, &mut said);
        }
        said.clear();
        queue.handle(Event::Executors(executors), 0, &mut said);
        let mut order = Vec::new();
        while let Some(Action::Start { id, .. }) = said.first().cloned() {
            said.remove(0);
            order.push(id);
            queue.handle(Event::Ended { id }, 0, &mut said);
        }
        prop_assert_eq!(order, (1..=jobs.len() as u64).collect::<Vec<_>>());
    }
}
