//! Beginning, ending, and another configuration between the two.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::Connection;
use rustix::event::EventfdFlags;
use ward_config::build::BuildServer;
use ward_config::job::Job;
use ward_model::build::queue::{Event, Found, Queue};

use super::asking::read_back;
use super::changing::go_on_renaming;
use super::copying::Copying;
use super::folders::go_on_moving;
use super::home::{Home, OpenError};
use super::known::{self, Known};
use super::lanes::Lane;
use super::state::{Inner, Lanes, Running, Server, ServerSettings, Watch, now};
use super::timing::Clocks;
use crate::history::{self, builds, jobs, notices, requests};
use crate::plan::ParameterValue;
use crate::runner;
use crate::state::StopRequest;

/// Looks into repositories at a time, as many as Jenkins has threads for it.
const POLLS: usize = 10;
/// People are told by so many threads.
const NOTICES: usize = 2;

impl Server {
    /// Takes the directory, reads the history, and finds what runs. Nothing is begun before
    /// [`Server::start`].
    ///
    /// # Errors
    /// [`OpenError`]: another server has the directory, or the history cannot be had; it is left as it is.
    pub fn open(settings: ServerSettings) -> Result<Arc<Self>, OpenError> {
        let ServerSettings {
            build,
            jobs,
            home,
            say,
        } = settings;
        let home = Home::take(&home, build.secrets.clone().map(PathBuf::from))?;
        let mut writer = history::writer(&home.history())?;
        let reader = history::reader(&home.history())?;
        go_on_renaming(&mut writer, &home)?;
        go_on_moving(&mut writer, &home)?;
        let known = known::load(&writer, &home, &jobs, say.as_ref())?;
        let running = running(&writer)?;
        let queue = restored(&writer, &home, &known, say.as_ref())?;
        notices::wake_all(&writer, now())?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| OpenError::Io {
                doing: "make an eventfd for",
                path: home.root().to_owned(),
                source: error.into(),
            })?;
        let mut inner = Inner {
            folders: jobs::folders(&writer)?.into_iter().collect::<BTreeSet<_>>(),
            views: jobs::views(&writer)?.into_iter().collect(),
            writer,
            build,
            jobs: known,
            queue,
            starts: VecDeque::new(),
            running: BTreeMap::new(),
            polling: HashMap::new(),
            owed: BTreeMap::new(),
            clocks: Clocks::new(now()),
            copying: Copying::of(&home.history()),
            cannot_begin: None,
            think_again: None,
            is_stopping: false,
            is_over: false,
        };
        inner.rule_all();
        inner.find(running);
        // Not before all is known: until now there was no executor, and so nothing was started.
        let executors = inner.build.executors;
        inner.happen(Event::Executors(executors));
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            home,
            inner: Mutex::new(inner),
            reader: Mutex::new(reader),
            wake,
            recorded: Condvar::new(),
            lanes: Lanes {
                ends: Lane::new("ends", 1),
                polls: Lane::new("polls", POLLS),
                notices: Lane::new("notices", NOTICES),
                chores: Lane::new("chores", 1),
            },
            say,
            complaints: Mutex::default(),
            scheduler: Mutex::new(None),
        }))
    }

    /// Begins: looks after the builds that run already, and starts others.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        self.go_on();
        self.let_go_of_the_leaving();
        self.think_of_all();
        self.empty_trash_later();
        let me = self.clone();
        let thread = std::thread::Builder::new().name("scheduler".to_owned());
        let thread = thread.spawn(move || me.schedule())?;
        *self
            .scheduler
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Ends: nothing more is begun. With `stop_builds`, what runs is stopped, and recorded before this
    /// returns; else it runs on, and the next server finds it. What waits goes on waiting.
    pub fn shut_down(&self, stop_builds: bool) {
        self.lock().is_stopping = true;
        let is_started = {
            let scheduler = self.scheduler.lock();
            scheduler.unwrap_or_else(PoisonError::into_inner).is_some()
        };
        if stop_builds && is_started {
            self.stop_all("the shutdown of the server");
            let mut inner = self.lock();
            while !inner.running.is_empty() {
                inner = self
                    .recorded
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        self.lock().is_over = true;
        self.wake();
        let scheduler = self
            .scheduler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(scheduler) = scheduler {
            // A panic has been told of on standard error.
            let _ = scheduler.join();
        }
        let Lanes {
            ends,
            polls,
            notices,
            chores,
        } = &self.lanes;
        for lane in [ends, polls, notices, chores] {
            lane.close();
        }
    }

    /// Takes another configuration, which has been checked. What runs goes on as it began; what waits of
    /// jobs that are no more is cancelled. Where everything is kept does not change.
    ///
    /// # Errors
    /// The history cannot be read or written. Then nothing has changed.
    pub fn reload(&self, build: BuildServer, of_file: &[Job]) -> Result<(), OpenError> {
        let mut inner = self.lock();
        let known = known::load(&inner.writer, &self.home, of_file, self.say.as_ref())?;
        let gone: Vec<String> = inner
            .jobs
            .keys()
            .filter(|name| !known.contains_key(*name))
            .cloned()
            .collect();
        inner.happen(Event::Executors(build.executors));
        inner.build = build;
        inner.jobs = known;
        for job in gone {
            inner.forget_requests(&job)?;
            inner.happen(Event::JobGone { job });
        }
        inner.rule_all();
        drop(inner);
        self.wake();
        Ok(())
    }

    /// Jobs that were being removed when the last server ended, and of which nothing runs.
    fn let_go_of_the_leaving(&self) {
        let mut inner = self.lock();
        let leaving: Vec<String> = inner
            .jobs
            .iter()
            .filter(|(_, known)| known.leaving)
            .map(|(name, _)| name.clone())
            .collect();
        for name in leaving {
            self.leave_if_over(&mut inner, &name);
        }
    }

    /// Stops everything that runs.
    fn stop_all(&self, by: &str) {
        let running: Vec<(String, u32)> = self.lock().running.keys().cloned().collect();
        for (job, number) in running {
            let request = StopRequest {
                at: now(),
                by: by.to_owned(),
                force: false,
            };
            if let Err(error) = runner::stop(&self.home.build(&job, number), &request) {
                self.say(&format!("build {job} #{number} cannot be stopped: {error}"));
            }
        }
    }

    /// Looks after the builds that have no end yet: their runners work, or ended meanwhile, or were never
    /// started because the server was killed between the two.
    fn go_on(&self) {
        let running: Vec<(String, u32)> = self.lock().running.keys().cloned().collect();
        for (job, number) in running {
            let directory = self.home.build(&job, number);
            match runner::adopt(&directory) {
                Ok(runner::Found::NeverStarted) => self.start_runner(&job, number),
                Ok(runner::Found::Running(pidfd)) => {
                    self.set_watch(&job, number, Watch::Runner(Arc::new(pidfd)));
                }
                Ok(runner::Found::Closing | runner::Found::Ended) | Err(_) => {
                    self.set_watch(&job, number, Watch::Again(now()));
                }
            }
        }
    }
}

impl Inner {
    /// Tells the queue what runs, and keeps it.
    fn find(&mut self, running: Vec<(builds::BuildRow, i64)>) {
        let mut found = Vec::new();
        for (row, job) in running {
            let line = row.line;
            found.push(Found {
                id: row.request,
                job: line.job.clone(),
                number: line.number,
                executor: row.executor,
                since: line.started_at,
            });
            self.running.insert(
                (line.job, line.number),
                Running {
                    request: row.request,
                    job,
                    workspace: PathBuf::from(row.workspace),
                    started_at: line.started_at,
                    watch: Watch::Busy,
                },
            );
        }
        self.happen(Event::Restored(found));
    }

    /// Forgets what waits of a job.
    pub(super) fn forget_requests(&mut self, job: &str) -> rusqlite::Result<()> {
        let transaction = self.writer.transaction()?;
        for item in self.queue.items().filter(|item| item.job == job) {
            requests::delete(&transaction, item.id)?;
        }
        transaction.commit()
    }
}

fn running(connection: &Connection) -> rusqlite::Result<Vec<(builds::BuildRow, i64)>> {
    let mut rows = Vec::new();
    for (job, name, number) in builds::running(connection)? {
        if let Some(row) = builds::one(connection, &name, job, number)? {
            rows.push((row, job));
        }
    }
    Ok(rows)
}

/// The queue with everything that waited when the last server ended, and without executors.
fn restored(
    connection: &Connection,
    home: &Home,
    known: &BTreeMap<String, Known>,
    say: &dyn Fn(&str),
) -> rusqlite::Result<Queue<ParameterValue>> {
    let first = requests::greatest(connection)?.saturating_add(1);
    let mut queue = Queue::new(0, first);
    for (id, text) in requests::all(connection)? {
        match read_back(&text, &home.key) {
            Some(item) if known.contains_key(&item.job) => queue.put_back(item),
            Some(item) => {
                say(&format!(
                    "request {id} is dropped: there is no job `{}` any more",
                    item.job
                ));
                requests::delete(connection, id)?;
            }
            None => {
                say(&format!("request {id} is dropped: it cannot be read"));
                requests::delete(connection, id)?;
            }
        }
    }
    Ok(queue)
}
