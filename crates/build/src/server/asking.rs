//! Requests: into the queue, and out of it again; whatever is accepted has been written.

use rusqlite::Connection;
use ward_model::build::queue::{self, Action, Event, Item};

use super::parameters;
use super::sealing;
use super::state::{Inner, Server, now};
use crate::api::{Refusal, Request, Requested};
use crate::history::requests;
use crate::plan::ParameterValue;

impl Server {
    /// Takes a request, or says why not.
    pub(super) fn ask(&self, request: &Request) -> Result<Requested, Refusal> {
        let mut inner = self.lock();
        if inner.is_stopping {
            return Err(Refusal::Conflict("the server is being stopped".to_owned()));
        }
        let asked = inner.asked(request)?;
        let done = inner.put(&self.home.key, vec![asked], |_| Ok(()));
        let wakes = !inner.starts.is_empty() || done.is_ok();
        drop(inner);
        if wakes {
            self.wake();
        }
        done.map_err(|error| failed(&error))?
            .into_iter()
            .next()
            .flatten()
            .ok_or_else(|| Refusal::Conflict("the queue is full".to_owned()))
    }

    /// Takes a request out of the queue.
    pub(super) fn take_out(&self, id: u64, who: &str) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let waits = inner.queue.items().any(|item| item.id == id);
        if !waits {
            return Err(Refusal::Nothing(format!("request {id} in the queue")));
        }
        requests::delete(&inner.writer, id).map_err(|error| failed(&error))?;
        let by = who.to_owned();
        inner.happen(Event::CancelAsked { id, by });
        drop(inner);
        self.wake();
        Ok(())
    }
}

/// What a failure of the history is to who asked.
pub(super) fn failed(error: &rusqlite::Error) -> Refusal {
    Refusal::Failed(format!("the history cannot be written: {error}"))
}

impl Inner {
    /// What a request is to the queue: the job is there and may be built, and the parameters may be given.
    pub(super) fn asked(
        &self,
        request: &Request,
    ) -> Result<queue::Request<ParameterValue>, Refusal> {
        let known = self
            .jobs
            .get(&request.job)
            .filter(|known| !known.leaving)
            .ok_or_else(|| Refusal::NoSuchJob(request.job.clone()))?;
        if let Some(why) = known.not_buildable() {
            return Err(Refusal::Conflict(format!(
                "job `{}` cannot be built: {why}",
                request.job
            )));
        }
        let quiet = known.job.quiet_period.unwrap_or(self.build.quiet_period);
        let quiet = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX);
        Ok(queue::Request {
            job: request.job.clone(),
            cause: request.cause.clone(),
            parameters: parameters::resolve(&known.job, &request.parameters)?,
            revision: request.revision.clone(),
            quiet: request.delay.unwrap_or(quiet),
        })
    }

    /// Something happened to the queue that needs nothing written. What is to be started waits for the
    /// scheduler.
    pub(super) fn happen(&mut self, event: Event<ParameterValue>) -> Vec<Action> {
        let mut actions = Vec::new();
        self.queue.handle(event, now(), &mut actions);
        for action in &actions {
            if let Action::Start { id, executor } = action {
                self.starts.push_back((*id, *executor));
            }
        }
        actions
    }

    /// Puts requests into the queue, and writes them in one transaction with whatever `also` writes. For
    /// each: what came of it, or nothing if too many wait.
    ///
    /// If it cannot be written, nothing has happened.
    pub(super) fn put(
        &mut self,
        key: &[u8; 32],
        asked: Vec<queue::Request<ParameterValue>>,
        also: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<Vec<Option<Requested>>> {
        let mut came = Vec::new();
        for request in asked {
            let actions = self.happen(Event::Asked(request));
            came.push(actions.iter().find_map(|action| match action {
                Action::Accepted { id } => Some(Requested {
                    id: *id,
                    folded: false,
                }),
                Action::Folded { id } => Some(Requested {
                    id: *id,
                    folded: true,
                }),
                Action::Refused
                | Action::Cancelled { .. }
                | Action::NotWaiting { .. }
                | Action::Start { .. } => None,
            }));
        }
        let written = self.write_requests(key, &came, also);
        if written.is_err() {
            for requested in came.iter().flatten().filter(|requested| !requested.folded) {
                self.take_back(requested.id);
            }
        }
        written.map(|()| came)
    }

    fn write_requests(
        &mut self,
        key: &[u8; 32],
        came: &[Option<Requested>],
        also: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let transaction = self.writer.transaction()?;
        also(&transaction)?;
        for requested in came.iter().flatten() {
            if let Some(item) = self.queue.item(requested.id) {
                requests::put(&transaction, item.id, &written(item, key)?)?;
            }
        }
        transaction.commit()
    }

    /// Writes everything that waits of a job once more.
    pub(super) fn rewrite_requests(&mut self, key: &[u8; 32], job: &str) -> rusqlite::Result<()> {
        let transaction = self.writer.transaction()?;
        for item in self.queue.items().filter(|item| item.job == job) {
            requests::put(&transaction, item.id, &written(item, key)?)?;
        }
        transaction.commit()
    }

    /// Forgets a request that was taken a moment ago and could not be written.
    fn take_back(&mut self, id: u64) {
        if let Some(at) = self.starts.iter().position(|(start, _)| *start == id) {
            self.starts.remove(at);
            let why = "it could not be written down".to_owned();
            self.happen(Event::NotBegun {
                id,
                retry_in: u64::MAX,
                why,
            });
        }
        let by = "a failure".to_owned();
        self.happen(Event::CancelAsked { id, by });
    }
}

/// A request as it is written: values of secrets are sealed.
fn written(item: &Item<ParameterValue>, key: &[u8; 32]) -> rusqlite::Result<String> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::ToSqlConversionFailure(error)
    };
    let mut item = item.clone();
    for parameter in item
        .parameters
        .iter_mut()
        .filter(|parameter| parameter.secret)
    {
        parameter.value = sealing::seal(key, &parameter.value)
            .ok_or_else(|| wrong("a secret parameter could not be sealed".into()))?;
    }
    serde_json::to_string(&item).map_err(|error| wrong(error.into()))
}

/// A request that was written; none if it cannot be read.
pub(super) fn read_back(text: &str, key: &[u8; 32]) -> Option<Item<ParameterValue>> {
    let mut item: Item<ParameterValue> = serde_json::from_str(text).ok()?;
    for parameter in item
        .parameters
        .iter_mut()
        .filter(|parameter| parameter.secret)
    {
        parameter.value = sealing::open(key, &parameter.value)?;
    }
    Some(item)
}
