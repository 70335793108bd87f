//! What a server is made of.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;

use rusqlite::Connection;
use ward_config::build::BuildServer;
use ward_config::job::Job;
use ward_model::build::queue::Queue;

use super::copying::Copying;
use super::home::Home;
use super::known::Known;
use super::lanes::Lane;
use super::timing::Clocks;
use crate::plan::ParameterValue;

/// What a server is told when it is opened.
pub struct ServerSettings {
    /// `[build]`.
    pub build: BuildServer,
    /// The jobs of the configuration file.
    pub jobs: Vec<Job>,
    /// The server's directory: it is made, with mode 0700, if it is not there.
    pub home: PathBuf,
    /// Where the operator is told what nobody asked for: a line without its end.
    pub say: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSettings")
            .field("build", &self.build)
            .field("jobs", &self.jobs.len())
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// The build server. See [`crate::api::Builds`] for what can be asked of it.
///
/// [`Server::open`] takes the directory, [`Server::start`] begins to build, [`Server::shut_down`] ends.
pub struct Server {
    pub(super) me: Weak<Self>,
    pub(super) home: Home,
    /// Closed before the one that writes, which puts everything into one file when it is closed last.
    pub(super) reader: Mutex<Connection>,
    pub(super) inner: Mutex<Inner>,
    /// Wakes the scheduler (eventfd(2)).
    pub(super) wake: OwnedFd,
    /// Told whenever a build is recorded.
    pub(super) recorded: Condvar,
    pub(super) lanes: Lanes,
    pub(super) say: Arc<dyn Fn(&str) + Send + Sync>,
    /// What was said last of what does not work at the moment, by what that is.
    pub(super) complaints: Mutex<BTreeMap<String, String>>,
    pub(super) scheduler: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("home", &self.home.root())
            .finish_non_exhaustive()
    }
}

/// What takes long.
pub(super) struct Lanes {
    /// Recording builds that are over, one after the other.
    pub(super) ends: Lane,
    /// Looking into repositories.
    pub(super) polls: Lane,
    /// Telling people.
    pub(super) notices: Lane,
    /// Removing what is not kept.
    pub(super) chores: Lane,
}

/// All that changes.
pub(super) struct Inner {
    /// The one connection that writes.
    pub(super) writer: Connection,
    pub(super) build: BuildServer,
    pub(super) jobs: BTreeMap<String, Known>,
    pub(super) folders: BTreeSet<String>,
    pub(super) views: BTreeMap<String, Vec<u8>>,
    pub(super) queue: Queue<ParameterValue>,
    /// What the queue wants started: request and executor.
    pub(super) starts: VecDeque<(u64, u32)>,
    /// Builds that are not recorded yet, by job and number.
    pub(super) running: BTreeMap<(String, u32), Running>,
    /// Jobs whose repository is being looked into: who told us to, if somebody did once more since.
    pub(super) polling: HashMap<String, Option<String>>,
    /// Jobs whose repository is to be looked into when a build of theirs is over, and who told us to.
    pub(super) owed: BTreeMap<String, String>,
    pub(super) clocks: Clocks,
    pub(super) copying: Copying,
    /// Why the last build that was to be begun could not be.
    pub(super) cannot_begin: Option<String>,
    /// When to think again of those ends that nobody could be told of, milliseconds since the epoch.
    pub(super) think_again: Option<i64>,
    /// Nothing is begun any more.
    pub(super) is_stopping: bool,
    /// The scheduler is to end.
    pub(super) is_over: bool,
}

/// A build that is not recorded yet.
#[derive(Debug)]
pub(super) struct Running {
    /// Which request it was.
    pub(super) request: u64,
    /// The job's row.
    pub(super) job: i64,
    /// Where it is built.
    pub(super) workspace: PathBuf,
    /// When its row says that it began, milliseconds since the epoch.
    pub(super) started_at: i64,
    /// How its end will be known.
    pub(super) watch: Watch,
}

/// How the end of a build will be known.
#[derive(Debug)]
pub(super) enum Watch {
    /// Its runner is being started, or its end recorded.
    Busy,
    /// Its runner has this descriptor.
    Runner(Arc<OwnedFd>),
    /// It has to be looked at then, milliseconds since the epoch.
    Again(i64),
}

impl Server {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a panic left half done was not committed, and the rest is repaired by the next look.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the scheduler look at everything once more.
    pub(super) fn wake(&self) {
        // It can only fail by being full, and then the scheduler is awake.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(super) fn say(&self, text: &str) {
        (self.say)(text);
    }

    /// Says what does not work and is tried again: once, and not each time.
    pub(super) fn complain(&self, about: &str, text: &str) {
        let mut said = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if said.get(about).is_some_and(|last| last == text) {
            return;
        }
        said.insert(about.to_owned(), text.to_owned());
        drop(said);
        self.say(text);
    }

    /// It works, or nobody tries it any more. Returns whether there was a complaint.
    pub(super) fn is_well(&self, about: &str) -> bool {
        let mut said = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        said.remove(about).is_some()
    }
}

/// Milliseconds since the epoch.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
