//! One process of a program, and one group of them, as the daemon has them.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use ward_config::group::Group as GroupConfig;
use ward_config::program::Process;
use ward_config::value;
use ward_model::life::End;
use ward_model::program::{Autorestart, Machine, Policy, State};

use super::listening::Ear;
use super::streams::StreamId;
use super::tree::Tree;
use crate::api::{Fault, FaultCode, Stream};
use crate::keeper::Slot;
use crate::logs::Log;

/// A process, among all that this daemon ever had: never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProgramId(pub(crate) u64);

/// How many ends are remembered for who asks why.
const ENDS: usize = 8;

/// One process of a program.
pub(crate) struct Program {
    pub(crate) group: String,
    pub(crate) config: Rc<Process>,
    pub(crate) machine: Machine,
    pub(crate) slot: Slot,
    /// Unlike that of any other start of this slot.
    pub(crate) generation: u32,
    /// When it was last started and last ended: seconds since 1970, 0 for never.
    pub(crate) started: i64,
    pub(crate) stopped: i64,
    /// When it was last started, in nanoseconds since 1970.
    pub(crate) started_at: u64,
    /// Its end was told, and what follows from it is not written down yet.
    pub(crate) unacknowledged: Option<u32>,
    /// It is to be stopped, and has not been told so yet.
    pub(crate) to_be_told: bool,
    /// What its tree is called by.
    pub(crate) tree_number: u64,
    /// Its logs, for output and errors; `None` for none.
    pub(crate) logs: [Option<PathBuf>; 2],
    /// Those of its last start, as they were found then.
    pub(crate) found_logs: [Option<Log>; 2],
    pub(crate) streams: [Option<StreamId>; 2],
    pub(crate) ear: Option<Ear>,
    pub(crate) tree: Option<Tree>,
    /// The leader has ended and others of its tree have not.
    pub(crate) held_end: Option<(End, Duration)>,
    /// When those are killed, since boot.
    pub(crate) tree_deadline: Option<Duration>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) ends: VecDeque<Ended>,
    /// Why its child could not become the program, until that child's end is known.
    pub(crate) why_not: Option<String>,
}

/// An end, for who asks why.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) pid: i32,
    pub(crate) end: End,
    pub(crate) at: i64,
    pub(crate) lived: Duration,
    /// What kept it from starting, if that was it.
    pub(crate) why: Option<String>,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// That it runs, or is known not to.
    Started,
    /// That it has ended.
    Stopped,
}

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) until: Until,
    /// The name as he gave it.
    pub(crate) name: String,
    pub(crate) reply: oneshot::Sender<Result<(), Fault>>,
}

impl Program {
    /// `group:process`, or the one name where both are the same.
    pub(crate) fn full_name(&self) -> String {
        full_name(&self.group, &self.config.name)
    }

    /// What who waits for this is told now; `None` as long as he has to wait.
    pub(crate) fn verdict(&self, until: Until, name: &str) -> Option<Result<(), Fault>> {
        let state = self.machine.state();
        match until {
            Until::Started => {
                let fault = |code| Some(Err(Fault::about(code, name)));
                match state {
                    State::Running => Some(Ok(())),
                    State::Starting => None,
                    State::Backoff | State::Fatal => fault(FaultCode::SpawnError),
                    State::Stopped | State::Stopping | State::Exited | State::Unknown => {
                        fault(FaultCode::AbnormalTermination)
                    }
                }
            }
            Until::Stopped => state.is_stopped().then_some(Ok(())),
        }
    }

    /// Remembers an end.
    pub(crate) fn remember(&mut self, ended: Ended) {
        if self.ends.len() == ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(ended);
    }

    pub(crate) fn log(&self, stream: Stream) -> Option<&PathBuf> {
        self.logs[stream.index()].as_ref()
    }
}

/// `group:process`, or the one name where both are the same.
pub(crate) fn full_name(group: &str, process: &str) -> String {
    if group == process {
        process.to_owned()
    } else {
        format!("{group}:{process}")
    }
}

/// How a process is kept.
pub(crate) fn policy_of(config: &Process) -> Policy {
    Policy {
        startsecs: config.startsecs,
        startretries: config.startretries,
        autorestart: match config.autorestart {
            value::Autorestart::Always => Autorestart::Always,
            value::Autorestart::Never => Autorestart::Never,
            value::Autorestart::Unexpected => Autorestart::Unexpected,
        },
        exitcodes: config.exitcodes.clone(),
        stopsignal: config.stopsignal,
        stopwaitsecs: config.stopwaitsecs,
        stopasgroup: config.stopasgroup,
        killasgroup: config.killasgroup,
    }
}

/// A group that is active.
pub(crate) struct Group {
    pub(crate) config: GroupConfig,
    /// The number of the configuration that it comes from.
    pub(crate) memory: u64,
    /// In the order of starting.
    pub(crate) programs: Vec<ProgramId>,
    /// The sockets that FastCGI processes share, by program, while one of it lives.
    pub(crate) sockets: BTreeMap<String, OwnedFd>,
}
