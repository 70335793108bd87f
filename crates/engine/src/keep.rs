//! Starting what is meant to outlive its caller, and keeping it.
//!
//! Two processes keep each such command: a front and a guardian, as of any run, but with
//! nothing of the caller's: no descriptor, no session, no environment, and, where that is to be
//! had, no cgroup. Each can be killed, and the other carries on; the command is not touched by
//! either's death. They hear the same signals: TERM, INT and QUIT stop the command by the
//! ladder, HUP, USR1 and USR2 are passed on to it.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_model::signal::Signal;
use ward_model::spec::Spec;
use ward_model::wire::{FromKeeper, Origin, StopOrder, ToGuardian};
use ward_sys::Pid;
use ward_sys::contain::cgroup;
use ward_sys::contain::subreaper;
use ward_sys::fork::{
    Side, close_inherited, forget_environment, fork_single_threaded, fork_single_threaded_into,
    let_go_of_inheritance, show_as,
};
use ward_sys::signals::{self, Received, SignalSource};
use ward_sys::terminal;

use crate::control::{Heard, Line};
use crate::custody::Custody;
use crate::error::EngineError;
use crate::front::{Desk, Front, FrontEnd, describe};
use crate::guardian::{self, quit};
use crate::ledger::{self, Entry, Held, LedgerError, Seen};
use crate::ready::ReadyError;
use crate::tree::KEEPER_NAME;

/// Signals that both keepers handle.
pub(crate) const HANDLED: [Signal; 7] = [
    Signal::CHLD,
    Signal::TERM,
    Signal::INT,
    Signal::QUIT,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
];

/// SIGXFSZ.
const XFSZ: i32 = 25;

/// The cgroup of all keepers, beside those of what they keep.
const KEEPERS: &str = "ward-keepers";

/// Why a command was not detached.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It cannot be put on record.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It could not be prepared.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It cannot be watched as was asked for.
    #[error(transparent)]
    Ready(#[from] ReadyError),
}

/// Who a line in the record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Front,
    Guardian,
    Leader,
    /// Whichever keeper stops it.
    Stopping,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Guardian => "guardian",
            Self::Leader => "leader",
            Self::Stopping => "stopping",
        }
    }
}

/// What keepers write down, and whom they tell, as long as somebody listens.
#[derive(Debug)]
pub(crate) struct Record {
    name: String,
    processes: File,
    caller: Line,
    is_stopping: bool,
}

impl Record {
    pub(crate) fn note(&self, role: Role, pid: u32) {
        ledger::note(
            &self.processes,
            role.word(),
            i32::try_from(pid).unwrap_or(0),
        );
    }

    pub(crate) fn started(&self, leader: Pid) {
        let leader = leader.as_raw_nonzero().get();
        self.note(Role::Leader, leader.unsigned_abs());
        self.caller.say(&FromKeeper::Started { leader });
    }

    pub(crate) fn stopping(&mut self) {
        if !std::mem::replace(&mut self.is_stopping, true) {
            self.note(Role::Stopping, std::process::id());
        }
    }

    pub(crate) fn notice(&self, text: &str) {
        let text = text.to_owned();
        self.caller.say(&FromKeeper::Notice { text });
    }

    pub(crate) fn over(&self, exit_status: u8) {
        self.caller.say(&FromKeeper::Over { exit_status });
    }
}

/// A command that is being kept, as its caller sees it.
#[derive(Debug)]
pub struct Kept {
    line: Line,
    leader: Option<i32>,
    over: Option<u8>,
    notices: Vec<String>,
}

impl Kept {
    /// Waits until the command has truly started, or has not. Gives the process id of its
    /// leader.
    ///
    /// # Errors
    /// What `ward run` would have ended with; what keepers had to say is in
    /// [`Kept::take_notices`].
    pub fn wait_for_start(&mut self) -> Result<i32, u8> {
        loop {
            self.hear();
            match (self.leader, self.over) {
                (Some(leader), _) => return Ok(leader),
                (None, Some(status)) => return Err(status),
                (None, None) => {
                    let _ = poll(&mut [PollFd::new(&self.line, PollFlags::IN)], None);
                }
            }
        }
    }

    /// Whether it is over, and what `ward run` would have ended with.
    pub fn over(&mut self) -> Option<u8> {
        self.hear();
        self.over
    }

    /// Waits until it is over, or until `deadline`.
    pub fn wait_for_end(&mut self, deadline: Instant) -> Option<u8> {
        loop {
            if let Some(status) = self.over() {
                return Some(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let _ = poll(
                &mut [PollFd::new(&self.line, PollFlags::IN)],
                Some(&timeout),
            );
        }
    }

    /// What keepers said so far.
    pub fn take_notices(&mut self) -> Vec<String> {
        self.hear();
        std::mem::take(&mut self.notices)
    }

    fn hear(&mut self) {
        loop {
            match self.line.hear() {
                Heard::Message(FromKeeper::Notice { text }) => self.notices.push(text),
                Heard::Message(FromKeeper::Started { leader }) => self.leader = Some(leader),
                Heard::Message(FromKeeper::Over { exit_status }) => self.over = Some(exit_status),
                Heard::Nothing => return,
                Heard::Gone => {
                    // Both keepers are gone without a word.
                    self.over.get_or_insert(ward_model::exit_code::WARD_FAILED);
                    return;
                }
            }
        }
    }
}

impl AsFd for Kept {
    /// Readable when there is news, and for ever once it is over.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

/// What a command is given for one start only, and not when it is started again.
#[derive(Debug, Default)]
pub struct Beside {
    /// Variables.
    pub environment: Vec<(OsString, OsString)>,
    /// Descriptors, under numbers above 2.
    pub descriptors: Vec<(OwnedFd, i32)>,
    /// Files that it writes its process id into just before its exec.
    pub pid_files: Vec<OwnedFd>,
    /// Standard streams, where the order has files for them.
    pub stdio: Option<[OwnedFd; 3]>,
}

/// Starts `entry.spec`, which must be detached, and puts it on record under the name that is
/// held. Returns as soon as its keepers are there; see [`Kept::wait_for_start`]. This process
/// must be single-threaded.
///
/// # Errors
/// [`KeepError`]; nothing was started, and what was on record before still is.
pub(crate) fn start(entry: &mut Entry, held: &Held, beside: Beside) -> Result<Kept, KeepError> {
    let doing = EngineError::system;
    let mut spec = entry.spec.clone();
    spec.environment.extend(beside.environment);
    check(&spec)?;
    let report = Seen::report_path(held.directory());
    let mut custody = Custody::prepare_with(spec, Some(&report), beside.stdio)?;
    custody.placed = beside.descriptors;
    custody.pid_files = beside.pid_files;
    entry.run_id.clone_from(&custody.run_id);
    entry.cgroup = custody
        .tree
        .cgroup
        .as_ref()
        .map(|cgroup| cgroup.path().to_owned());
    let processes = match held.begin(entry) {
        Ok(processes) => processes,
        Err(error) => {
            custody.discard();
            return Err(error.into());
        }
    };
    let (line, far_end) = match Line::pair() {
        Ok(pair) => pair,
        Err(error) => {
            custody.discard();
            return Err(doing("make a socket pair")(error).into());
        }
    };
    custody.record = Some(Record {
        name: entry.name.clone(),
        processes,
        caller: far_end,
        is_stopping: false,
    });
    match fork_apart(&custody) {
        Ok(Side::Child) => {
            drop(line);
            held.leave_to_parent();
            keep(custody)
        }
        Ok(Side::Parent(_)) => {
            // What is prepared is the keepers' now; only our copies of its descriptors go.
            drop(custody);
            Ok(Kept {
                line,
                leader: None,
                over: None,
                notices: Vec::new(),
            })
        }
        Err(error) => {
            custody.discard();
            Err(doing("start a keeper")(error).into())
        }
    }
}

/// Checks what can be checked of a spec before anything else is touched.
///
/// # Errors
/// [`EngineError::KeepFd`] for a descriptor that the caller did not leave open.
pub fn check(spec: &Spec) -> Result<(), EngineError> {
    crate::custody::check_kept(spec)
}

/// Forks the first keeper, outside the caller's cgroup where there is a place for it.
fn fork_apart(custody: &Custody) -> std::io::Result<Side> {
    let leaf = custody
        .tree
        .cgroup
        .as_ref()
        .and_then(|cgroup| cgroup::leaf(&cgroup.path().parent()?.join(KEEPERS)).ok());
    match leaf {
        Some(leaf) => match fork_single_threaded_into(leaf.as_fd()) {
            Err(_) => fork_single_threaded(),
            done => done,
        },
        None => fork_single_threaded(),
    }
}

/// Becomes the front of the two keepers.
fn keep(custody: Custody) -> ! {
    match settle_in(&custody) {
        Ok((signals, line, far_end)) => serve(custody, &signals, line, far_end),
        Err(error) => give_up(custody, &error),
    }
    quit()
}

/// Says why nothing was started, and takes back what was prepared.
fn give_up(mut custody: Custody, error: &EngineError) {
    custody.say(&crate::error::chain(error));
    if let Some(record) = &custody.record {
        record.over(error.exit_code());
    }
    custody.discard();
}

/// Leaves everything of the caller's behind.
fn settle_in(custody: &Custody) -> Result<(SignalSource, Line, Line), EngineError> {
    let doing = EngineError::system;
    subreaper::set_name(KEEPER_NAME);
    forget_environment();
    if let Some(record) = &custody.record {
        show_as(&format!("ward-keeper {}", record.name));
    }
    signals::ignore(XFSZ);
    let signals =
        SignalSource::new(&HANDLED.map(Signal::number)).map_err(doing("receive signals"))?;
    terminal::new_session(None).map_err(doing("make a session"))?;
    let_go_of_inheritance(&custody.spec.keep_fds).map_err(doing("leave the caller's streams"))?;
    subreaper::become_subreaper().map_err(doing("become a subreaper"))?;
    if let Some(record) = &custody.record {
        record.note(Role::Front, std::process::id());
    }
    let (line, far_end) = Line::pair().map_err(doing("make a socket pair"))?;
    Ok((signals, line, far_end))
}

fn serve(mut custody: Custody, signals: &SignalSource, line: Line, far_end: Line) {
    let guardian = match fork_single_threaded() {
        Ok(Side::Child) => {
            drop(line);
            guardian::guard(custody, far_end)
        }
        Ok(Side::Parent(guardian)) => guardian,
        Err(error) => {
            give_up(custody, &EngineError::system("start the guardian")(error));
            return;
        }
    };
    drop(far_end);
    custody.drop_command_side();
    close_inherited(&[]);
    let mut desk = Desk::new(&mut custody);
    let mut front = Front::new(custody, line, guardian);
    let end = front.run(signals, &mut desk);
    let exit_status = match &end {
        Ok(FrontEnd { exit_status, .. }) => *exit_status,
        Err(error) => error.exit_code(),
    };
    front.over(exit_status);
}

/// What a signal to a keeper means: the end, or something for the command.
pub(crate) fn on_signal(received: Received, say: &mut dyn FnMut(ToGuardian)) {
    let Some(signal) = Signal::from_number(received.signal) else {
        return;
    };
    match signal {
        Signal::TERM | Signal::INT | Signal::QUIT => say(ToGuardian::Stop {
            signal,
            sender: received.sender.map(|sender| describe(sender, true)),
            origin: Origin::Process,
            order: received.value.and_then(StopOrder::from_number),
        }),
        Signal::HUP | Signal::USR1 | Signal::USR2 => say(ToGuardian::Forward {
            signal,
            sender: received.sender.map(|sender| sender.pid),
        }),
        _ => {}
    }
}

/// A spec of what a daemon usually gets: `/`, a usual mask, no input, everything else default.
#[must_use]
pub fn usual_surroundings(mut spec: Spec) -> Spec {
    const UMASK: u32 = 0o022;
    spec.directory.get_or_insert_with(|| "/".into());
    spec.umask.get_or_insert(UMASK);
    spec.policy.follow = true;
    spec
}
