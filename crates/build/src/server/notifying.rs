//! Telling people how a build ended: what is to be sent is kept in the history until it has been sent, or
//! nobody believes in it any more.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::Connection;
use ward_model::build::BuildResult;

use super::known::Known;
use super::state::{Server, now};
use crate::history::builds::{self, BuildRow};
use crate::history::notices::{self, Notice};
use crate::history::past;
use crate::notify::{self, Delivery, Facts, Ways};
use crate::outcome::Outcome;
use crate::plan::file;

/// Nobody else takes what is being sent for so long, milliseconds: longer than any attempt takes.
const TAKEN: i64 = 10 * 60 * 1000;
/// What could not be written is thought of again after so many milliseconds.
const THINK_AGAIN: i64 = 5_000;
/// So many builds before one are looked at.
const BEFORE: u32 = 200;
/// So many results are told.
const RESULTS: usize = 10;

impl Server {
    /// Has thought of who is to be told of a build's end.
    pub(super) fn tell_of(&self, job: &str, number: u32) {
        if let Some(me) = self.me.upgrade() {
            let job = job.to_owned();
            self.lanes.notices.put(move || me.think_of(&job, number));
        }
    }

    /// The same for every build that nobody thought of before the last server ended.
    pub(super) fn think_of_all(&self) {
        let unthought = notices::unthought(&self.lock().writer).unwrap_or_default();
        for (_, job, number) in unthought {
            self.tell_of(&job, number);
        }
    }

    /// The same, where that could not be written a while ago.
    pub(super) fn think_again(&self, now: i64) {
        let mut inner = self.lock();
        let is_due = inner.think_again.take_if(|due| *due <= now).is_some();
        drop(inner);
        if is_due {
            self.think_of_all();
        }
    }

    /// Composes what is to be sent because of a build's end.
    fn think_of(&self, job: &str, number: u32) {
        let ways = self.ways();
        let (known, url) = {
            let inner = self.lock();
            match inner.jobs.get(job) {
                Some(known) => (known.clone(), inner.build.url.clone()),
                None => return,
            }
        };
        let found = {
            let reader = self.read();
            facts(&reader, &known, number)
        };
        let (row, facts) = match found {
            Ok(Some((row, outcome, before))) => {
                let log = self.home.build(job, number).join(file::LOG);
                (row.id, assemble(&known, row, outcome, before, log, url))
            }
            Ok(None) => return,
            Err(error) => {
                self.say(&format!(
                    "nobody can be told of build {job} #{number}: {error}"
                ));
                return;
            }
        };
        let deliveries: Vec<String> = notify::compose(&facts, &ways)
            .iter()
            .filter_map(|delivery| serde_json::to_string(delivery).ok())
            .collect();
        let written = {
            let mut inner = self.lock();
            let mut add = || {
                let transaction = inner.writer.transaction()?;
                notices::add(&transaction, row, &deliveries, now())?;
                transaction.commit()
            };
            add()
        };
        if let Err(error) = written {
            self.complain(
                "telling",
                &format!("nobody can be told of builds' ends, which is tried again: {error}"),
            );
            self.lock().think_again = Some(now() + THINK_AGAIN);
        } else {
            self.is_well("telling");
        }
        self.wake();
    }

    /// Sends what is due.
    pub(super) fn send_due_notices(&self, now: i64) {
        let due = {
            let inner = self.lock();
            match notices::next_due(&inner.writer) {
                Ok(Some(due)) if due <= now => {
                    notices::take(&inner.writer, now, now.saturating_add(TAKEN)).unwrap_or_default()
                }
                Ok(_) | Err(_) => return,
            }
        };
        for notice in due {
            if let Some(me) = self.me.upgrade() {
                self.lanes.notices.put(move || me.send(&notice));
            }
        }
    }

    fn send(&self, notice: &Notice) {
        let said = match serde_json::from_str::<Delivery>(&notice.delivery) {
            Err(error) => Ok(format!("something that cannot be read any more: {error}")),
            Ok(delivery) => match notify::deliver(&delivery, &self.ways()) {
                Ok(line) => Ok(line),
                Err(error) => {
                    let attempts = notice.attempts.saturating_add(1);
                    let pause = notify::pause_after(attempts).filter(|_| error.is_temporary());
                    let line = format!(
                        "{} failed: {}",
                        delivery.describe(),
                        ward_engine::chain(&error)
                    );
                    pause
                        .ok_or(line.clone())
                        .map_or_else(Ok, |pause| Err((attempts, pause, line)))
                }
            },
        };
        let mut inner = self.lock();
        let written = match &said {
            Ok(line) => {
                let mut done = || {
                    let transaction = inner.writer.transaction()?;
                    notices::done(&transaction, notice, line)?;
                    transaction.commit()
                };
                done()
            }
            Err((attempts, pause, _)) => {
                let due = now().saturating_add(milliseconds(*pause));
                notices::put_off(&inner.writer, notice.id, *attempts, due)
            }
        };
        drop(inner);
        if let Err((_, _, line)) = said {
            self.say(&format!("{line}; it is tried again"));
        }
        if let Err(error) = written {
            self.say(&format!(
                "who was told of a build cannot be written down: {error}"
            ));
        }
        self.wake();
    }

    fn ways(&self) -> Ways {
        Ways {
            mail: self.lock().build.mail.clone(),
            secrets: self.home.secrets().to_owned(),
            host: super::shown::host(),
            scratch: self.home.scratch(),
            authorities: None,
        }
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What the builds before say.
struct Before {
    results: Vec<BuildResult>,
    failing_since: Option<u32>,
    culprits: Vec<String>,
}

type Found = Option<(BuildRow, Option<Outcome>, Before)>;

fn facts(connection: &Connection, known: &Known, number: u32) -> rusqlite::Result<Found> {
    let Some(row) = builds::one(connection, &known.job.name, known.id, number)? else {
        return Ok(None);
    };
    let outcome = builds::outcome(connection, row.id)?;
    let results = past::results_before(connection, known.id, number, BEFORE)?;
    let series: Vec<(u32, BuildResult)> = results
        .iter()
        .take_while(|(_, result)| *result != BuildResult::Success)
        .copied()
        .collect();
    let is_bad = row
        .line
        .result
        .is_some_and(|result| result != BuildResult::Success);
    let oldest = series.last().map(|(number, _)| *number);
    let mut people = BTreeSet::new();
    name_people(&mut people, outcome.as_ref());
    for (number, _) in &series {
        if let Some(row) = builds::one(connection, &known.job.name, known.id, *number)? {
            name_people(&mut people, builds::outcome(connection, row.id)?.as_ref());
        }
    }
    let before = Before {
        results: results
            .into_iter()
            .map(|(_, result)| result)
            .take(RESULTS)
            .collect(),
        failing_since: oldest.or_else(|| is_bad.then_some(number)),
        culprits: people.into_iter().collect(),
    };
    Ok(Some((row, outcome, before)))
}

fn name_people(people: &mut BTreeSet<String>, outcome: Option<&Outcome>) {
    let checkout = outcome.and_then(|outcome| outcome.checkout.as_ref());
    for change in checkout.into_iter().flat_map(|checkout| &checkout.changes) {
        people.insert(format!("{} <{}>", change.author, change.author_email));
    }
}

fn assemble(
    known: &Known,
    row: BuildRow,
    outcome: Option<Outcome>,
    before: Before,
    log: std::path::PathBuf,
    url: Option<String>,
) -> Facts {
    Facts {
        job: known.job.as_ref().clone(),
        build: row.line,
        why: outcome.as_ref().and_then(|outcome| outcome.why.clone()),
        previous: before.results,
        failing_since: before.failing_since,
        causes: row.causes,
        log_bytes: outcome.as_ref().map(|outcome| outcome.log_bytes),
        checkout: outcome.and_then(|outcome| outcome.checkout),
        culprits: before.culprits,
        log,
        url,
    }
}
