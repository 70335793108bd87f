//! From a request to a build whose runner works.
//!
//! The plan is written first, then one transaction takes the number, writes the build's row and removes the
//! request, then the runner is started. Killed before the transaction: the request still waits, and the
//! directory is thrown away by the next attempt. Killed after it: the next server finds a build without
//! an end, sees by its `alive` whether a runner ever began, and starts one if not.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ward_config::job::Job;
use ward_model::build::queue::{Event, Item};

use super::home::{Home, private_directory, remove};
use super::room;
use super::state::{Inner, Running, Server, Watch, now};
use crate::history::builds::{self, NewBuild};
use crate::history::{branches, jobs, requests};
use crate::plan::{BuiltBranch, ParameterValue, Plan, VERSION, file};
use crate::runner::{self, Found};
use crate::workspaces;

/// What could not be begun is tried again after so many milliseconds.
const RETRY: u64 = 5_000;

/// Complaints about that.
const BEGINNING: &str = "beginning";

/// Where programs are if nobody says so: a server may be started with next to no environment.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A build that has its number.
struct Taken {
    job: String,
    number: u32,
}

impl Server {
    /// Starts what the queue wants started. Returns whether there was anything.
    pub(super) fn start_builds(&self) -> bool {
        let mut any = false;
        loop {
            let mut inner = self.lock();
            let Some((id, executor)) = inner.starts.pop_front() else {
                return any;
            };
            any = true;
            let taken = inner.take_number(&self.home, id, executor);
            let cannot = inner.cannot_begin.clone();
            drop(inner);
            match cannot {
                Some(why) => self.complain(BEGINNING, &why),
                None if self.is_well(BEGINNING) => self.say("builds can be begun again"),
                None => {}
            }
            if let Some(taken) = taken {
                self.start_runner(&taken.job, taken.number);
            }
        }
    }

    /// Starts the runner of a build that has its row and its plan, or finds the one that is there.
    pub(super) fn start_runner(&self, job: &str, number: u32) {
        let directory = self.home.build(job, number);
        let watch = match runner::start(&directory) {
            Ok(started) => Watch::Runner(Arc::new(started.pidfd)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.found(&directory),
            Err(error) => {
                let why = format!("the build's own process cannot be started: {error}");
                self.clear_up(job, number, &directory, &why);
                self.record_failure(job, number, &why);
                return;
            }
        };
        self.set_watch(job, number, watch);
    }

    /// How to know the end of a build whose runner was started by somebody else.
    pub(super) fn found(&self, directory: &Path) -> Watch {
        match runner::adopt(directory) {
            Ok(Found::Running(pidfd)) => Watch::Runner(Arc::new(pidfd)),
            Ok(Found::Closing | Found::Ended | Found::NeverStarted) | Err(_) => Watch::Again(now()),
        }
    }

    pub(super) fn set_watch(&self, job: &str, number: u32, watch: Watch) {
        if let Some(running) = self.lock().running.get_mut(&(job.to_owned(), number)) {
            running.watch = watch;
        }
        self.wake();
    }
}

impl Inner {
    /// Gives a request its number, and writes everything that a runner needs. Nothing if it is not built now.
    fn take_number(&mut self, home: &Home, id: u64, executor: u32) -> Option<Taken> {
        let item = self.queue.item(id)?.clone();
        if self.running.values().any(|running| running.request == id) {
            return None;
        }
        let known = self.jobs.get(&item.job);
        let refusal = match known {
            None => Some("there is no such job any more".to_owned()),
            Some(known) => known.not_buildable(),
        };
        if let (Some(by), true) = (refusal, !self.is_stopping) {
            // If its row cannot be deleted now, the next server comes to the same end.
            let _ = requests::delete(&self.writer, id);
            self.happen(Event::NotBegun {
                id,
                retry_in: u64::MAX,
                why: by.clone(),
            });
            self.happen(Event::CancelAsked { id, by });
            return None;
        }
        let tried = if self.is_stopping {
            Err("the server is being stopped".to_owned())
        } else {
            self.try_to_take(home, &item, executor)
        };
        match tried {
            Ok(number) => {
                self.cannot_begin = None;
                self.happen(Event::Began { id, number });
                self.refresh(&item.job);
                Some(Taken {
                    job: item.job,
                    number,
                })
            }
            Err(why) => {
                if !self.is_stopping {
                    self.cannot_begin = Some(format!(
                        "builds cannot be begun, which is tried again: {}: {why}",
                        item.job
                    ));
                }
                self.happen(Event::NotBegun {
                    id,
                    retry_in: RETRY,
                    why,
                });
                None
            }
        }
    }

    fn try_to_take(
        &mut self,
        home: &Home,
        item: &Item<ParameterValue>,
        executor: u32,
    ) -> Result<u32, String> {
        let known = self.jobs.get_mut(&item.job).ok_or("there is no such job")?;
        let number = known
            .next_number
            .max(known.past.lasts.last.unwrap_or(0).saturating_add(1));
        let job = known.job.clone();
        let row = known.id;
        let taken: Vec<&Path> = self
            .running
            .iter()
            .filter(|((name, _), _)| *name == item.job)
            .map(|(_, running)| running.workspace.as_path())
            .collect();
        let workspace = workspaces::choose(&home.workspaces(), home.root(), &job, &taken);
        let text = |error: rusqlite::Error| format!("the history cannot be written: {error}");
        let built = branches::all(&self.writer, row).map_err(text)?;
        let started_at = now();
        let plan = plan(
            home,
            &self.build,
            &job,
            item,
            number,
            executor,
            &workspace,
            built,
        );
        write_plan(home, &plan)
            .map_err(|error| format!("its directory cannot be written: {error}"))?;
        let mut commit = || {
            let transaction = self.writer.transaction()?;
            builds::insert(
                &transaction,
                &NewBuild {
                    job: row,
                    number,
                    request: item.id,
                    causes: &item.causes,
                    parameters: &item.parameters,
                    executor,
                    workspace: &workspace.to_string_lossy(),
                    started_at,
                },
            )?;
            jobs::set_next_number(&transaction, row, number.saturating_add(1))?;
            requests::delete(&transaction, item.id)?;
            transaction.commit()
        };
        if let Err(error) = commit() {
            // No row tells of it.
            let _ = remove(&plan.directory);
            return Err(text(error));
        }
        known.next_number = number.saturating_add(1);
        self.running.insert(
            (item.job.clone(), number),
            Running {
                request: item.id,
                job: row,
                workspace,
                started_at,
                watch: Watch::Busy,
            },
        );
        Ok(number)
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a plan is made of all of them, here only"
)]
fn plan(
    home: &Home,
    build: &ward_config::build::BuildServer,
    job: &Job,
    item: &Item<ParameterValue>,
    number: u32,
    executor: u32,
    workspace: &Path,
    built: Vec<BuiltBranch>,
) -> Plan {
    Plan {
        version: VERSION,
        job: job.clone(),
        number,
        queue_id: item.id,
        causes: item.causes.clone(),
        parameters: item.parameters.clone(),
        directory: home.build(&job.name, number),
        home: home.root().to_owned(),
        workspace: workspace.to_owned(),
        cache: home.cache(),
        secrets: home.secrets().to_owned(),
        url: build.address(),
        executor,
        shell: build.shell.clone(),
        environment: environment(build),
        server_cookie: home.cookie.clone(),
        revision: item.revision.clone(),
        built,
        local: false,
    }
}

/// What steps find before anything of the build: what a login of the server's user would have, and what the
/// configuration adds. Nothing else of the server's own environment.
pub fn environment(build: &ward_config::build::BuildServer) -> Vec<(String, String)> {
    const PASSED_ON: [&str; 9] = [
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR",
    ];
    let mut environment: Vec<(String, String)> = PASSED_ON
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .filter(|(name, _)| !build.environment.iter().any(|(own, _)| own == name))
        .collect();
    environment.extend(build.environment.iter().cloned());
    if !environment.iter().any(|(name, _)| name == "PATH") {
        environment.push(("PATH".to_owned(), USUAL_PATH.to_owned()));
    }
    environment
}

/// Makes the build's directory, which nobody else may read, with its plan.
fn write_plan(home: &Home, plan: &Plan) -> io::Result<()> {
    if plan.directory.exists() {
        // No row tells of it: a server was killed before it could write one.
        home.throw_away(&plan.directory)?;
    }
    private_directory(&plan.directory)?;
    let bytes = serde_json::to_vec(plan)?;
    let result = super::home::put_private(&plan.directory.join(file::PLAN), &bytes)
        .and_then(|_| room::keep(&plan.directory));
    if result.is_err() {
        // At once: what is thrown away needs room until somebody has the time.
        let _ = remove(&plan.directory);
    }
    result
}
