//! The daemon's state, and its turn: what has happened since the last one, and what follows.
//!
//! One thread, one loop. Whoever hosts it waits for [`Core::poll_fd`] and calls [`Core::turn`]; nothing in
//! here waits for anything.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::epoll;
use ward_config::load::Configuration;
use ward_config::source::Sources;
use ward_config::value::LogLevel;
use ward_model::program::{Level, Timer};
use ward_sys::clock::Alarm;
use ward_sys::spawn::Credentials;

use super::adopting::Stranger;
use super::ending::Ending;
use super::program::{Group, Program, ProgramId};
use super::streams::{Output, StreamId};
use super::timers::Timers;
use super::tree::Grove;
use crate::events::{Pool, Publisher};
use crate::keeper::{Custody, Slot};
use crate::logs::{Files, MainLog, Syslog};

/// When lines of the main log are tried again.
const LOG_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Events that are taken from the kernel at a time.
const EVENTS: usize = 256;

/// What the daemon does when it has stopped everything, or at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ends.
    Shutdown,
    /// It begins anew with the configuration file.
    Restart,
    /// Another program takes its place, without stopping anything.
    Upgrade,
    /// The keeper is gone: it becomes the keeper.
    TakeOver,
}

/// What wakes the daemon at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A program's own timer.
    Program(ProgramId, Timer),
    /// Another look at a tree that is to get empty.
    Tree(ProgramId),
    /// Another turn of an output.
    Stream(StreamId),
    /// Logs that nobody writes to are closed.
    Idle,
    /// The next tick for listeners.
    Tick,
    /// Who is waited for at the end is told again.
    Report,
    /// Lines of the main log that could not be written are tried again.
    Log,
    /// Whoever was told to end because nobody knows him is killed.
    Strangers,
    /// Memory that only a start or a reload needs is given back.
    Rest,
}

/// How long after a start or a reload there may be something left to do for it.
const UNREST: std::time::Duration = std::time::Duration::from_secs(3);

/// What a descriptor in the epoll set stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Keeper,
    Alarm,
    Stream(StreamId),
    /// The input of a listener, which was full.
    Input(ProgramId),
    /// The events of a tree.
    Tree(ProgramId),
}

/// Kinds of tokens are in the highest bits.
const KIND_SHIFT: u32 = 60;
const NUMBER: u64 = (1 << KIND_SHIFT) - 1;

impl Token {
    pub(crate) fn to_number(self) -> u64 {
        match self {
            Self::Keeper => 0,
            Self::Alarm => 1,
            Self::Stream(id) => (1 << KIND_SHIFT) | (id.0 & NUMBER),
            Self::Input(id) => (2 << KIND_SHIFT) | (id.0 & NUMBER),
            Self::Tree(id) => (3 << KIND_SHIFT) | (id.0 & NUMBER),
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        let id = number & NUMBER;
        match (number >> KIND_SHIFT, id) {
            (0, 0) => Some(Self::Keeper),
            (0, 1) => Some(Self::Alarm),
            (1, id) => Some(Self::Stream(StreamId(id))),
            (2, id) => Some(Self::Input(ProgramId(id))),
            (3, id) => Some(Self::Tree(ProgramId(id))),
            _ => None,
        }
    }
}

/// What stays as it is while the daemon lives.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration file, as it was named.
    pub configuration: String,
    /// What relative paths start from.
    pub started_in: String,
    /// How it calls itself.
    pub identifier: String,
    /// Whether that was said on the command line, and stays whatever the configuration says.
    pub identifier_is_given: bool,
    /// What programs inherit, by name.
    pub environment: BTreeMap<OsString, OsString>,
    /// The server that programs are told of.
    pub server_url: Option<String>,
    /// Escape sequences are taken out of logs.
    pub strip_ansi: bool,
    /// Where AUTO logs are.
    pub childlogdir: String,
    /// AUTO logs of earlier daemons stay.
    pub nocleanup: bool,
}

/// The daemon.
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) custody: Custody,
    pub(crate) epoll: OwnedFd,
    pub(crate) alarm: Alarm,
    /// What it is set to, and whether it has rung since.
    pub(crate) alarm_at: Option<Duration>,
    pub(crate) alarm_rang: bool,
    pub(crate) timers: Timers<Due>,
    pub(crate) log: MainLog,
    pub(crate) files: Files,
    pub(crate) syslog: Rc<Syslog>,
    /// Lines for it could not be sent.
    pub(crate) syslog_waits: bool,
    /// When that was tried last, since boot.
    pub(crate) syslog_tried: Duration,
    /// The configuration that groups are added from.
    pub(crate) latest: Rc<Configuration>,
    pub(crate) latest_number: u64,
    /// The one that this daemon, or the killed one that it goes on for, began with.
    pub(crate) begun: u64,
    /// The texts of every configuration that is in use.
    pub(crate) sources: BTreeMap<u64, Rc<Sources>>,
    /// In the order of starting: by priority, and by name.
    pub(crate) groups: Vec<Group>,
    /// The priority of each.
    pub(crate) priorities: HashMap<String, i64>,
    /// Each in a place of its own, as the outputs: a table that grows has far more room than it has entries.
    pub(crate) programs: HashMap<ProgramId, Box<Program>>,
    pub(crate) by_slot: HashMap<Slot, ProgramId>,
    pub(crate) outputs: HashMap<StreamId, Box<Output>>,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) publisher: Publisher,
    pub(crate) grove: Grove,
    pub(crate) credentials: HashMap<u32, Rc<Credentials>>,
    pub(crate) auto_logs: BTreeMap<String, [Option<PathBuf>; 2]>,
    pub(crate) socket_keys: Vec<(String, String, String)>,
    pub(crate) ending: Option<Ending>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) last_id: u64,
    /// What belongs to this supervisor alone while it lives.
    pub(crate) directory: PathBuf,
    pub(crate) idle_armed: bool,
    /// It goes on where another daemon was.
    pub(crate) resumed: bool,
    /// Groups that the file has otherwise, and that are being stopped for that.
    pub(crate) outdated: VecDeque<String>,
    /// Processes that are not configured any more, and are ending: when they are killed, since boot.
    pub(crate) strangers: BTreeMap<Slot, Stranger>,
    /// When ticks were looked at last, in seconds since 1970.
    pub(crate) last_tick: i64,
}

impl Core {
    /// What the host waits for: readable when there is something to do.
    #[must_use]
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Does what there is to do; whether there was anything.
    ///
    /// # Errors
    /// When the kernel does not tell any more what happened.
    pub fn turn(&mut self) -> io::Result<bool> {
        let mut events = Vec::with_capacity(EVENTS);
        let none = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&none),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let tokens: Vec<Token> = events
            .iter()
            .filter_map(|event| Token::from_number(event.data.u64()))
            .collect();
        let any = !tokens.is_empty();
        // Ends before times: who has lived for long enough is not told to have been too quick, and who
        // was too quick not to have lived.
        if tokens.contains(&Token::Keeper) {
            self.hear_keeper();
        }
        if tokens.contains(&Token::Alarm) {
            self.alarm_rang = true;
            self.ring(ward_sys::clock::since_boot());
        }
        for token in tokens {
            match token {
                Token::Keeper | Token::Alarm => {}
                Token::Stream(id) => self.stream_turn(id),
                Token::Input(id) => self.input_has_room(id),
                Token::Tree(id) => self.look_at_tree(id, false),
            }
        }
        Ok(any)
    }

    /// What follows from anything that was done: events to listeners, the next step of an end, the alarm.
    pub(crate) fn settle(&mut self) {
        self.replace_outdated();
        self.go_on_ending();
        self.dispatch();
        self.files.forget_places();
        self.log.release();
        self.retry_logs();
        // Whoever waits for the end is woken to find it.
        let next = match self.outcome {
            Some(_) => Some(std::time::Duration::ZERO),
            None => self.timers.next_due(),
        };
        if std::mem::take(&mut self.alarm_rang) || next != self.alarm_at {
            self.alarm_at = next;
            self.alarm.set(next);
        }
    }

    /// Sees to lines that could not be written. Where the host has no log, nobody is woken for that: it is
    /// looked for when something happens.
    fn retry_logs(&mut self) {
        let waits = self.log.waits() || (self.syslog_waits && self.syslog.is_busy());
        if !waits && !self.syslog_waits {
            return;
        }
        let now = ward_sys::clock::since_boot();
        // Not later each time that something happens: that might be never.
        if waits && !self.timers.is_armed(Due::Log) {
            self.timers.arm(Due::Log, now + LOG_AGAIN);
        }
        if self.syslog_waits && self.syslog_tried + LOG_AGAIN <= now {
            self.flush_syslog();
        }
    }

    /// Says that everything works, to who waits for that, and starts what is to be started.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn ready(&mut self, in_foreground: bool) -> io::Result<()> {
        if !self.resumed {
            if !in_foreground {
                self.say(Level::Info, "daemonizing the supervisord process");
            }
            let pid = self.custody.keeper_pid();
            self.say(Level::Info, &format!("supervisord started with pid {pid}"));
        }
        self.custody.ready()?;
        self.go();
        self.rest_soon();
        Ok(())
    }

    /// Reading a configuration and starting what it says take far more than keeping it.
    pub(crate) fn rest_soon(&mut self) {
        let at = ward_sys::clock::since_boot() + UNREST;
        self.timers.arm(Due::Rest, at);
    }

    /// Gives memory back that is not needed from now on: what was freed, and code that has run.
    pub(crate) fn rest(&self) {
        ward_sys::heap::give_back();
        ward_sys::code::let_rest();
    }

    /// Whether it goes on where another daemon was.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// What it came to, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// A line for the main log.
    pub(crate) fn say(&self, level: Level, text: &str) {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
            Level::Critical => LogLevel::Critical,
        };
        self.log.log(level, text);
    }

    /// Which of the active groups it is.
    pub(crate) fn position_of(&self, name: &str) -> Option<usize> {
        let priority = *self.priorities.get(name)?;
        self.groups
            .binary_search_by(|group| {
                let config = &group.config;
                (config.priority, config.name.as_str()).cmp(&(priority, name))
            })
            .ok()
    }

    /// An active group.
    pub(crate) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(self.position_of(name)?)
    }

    pub(crate) fn group_mut(&mut self, name: &str) -> Option<&mut Group> {
        let place = self.position_of(name)?;
        self.groups.get_mut(place)
    }

    /// A fresh number for whatever needs one.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_they_were() {
        for token in [
            Token::Keeper,
            Token::Alarm,
            Token::Stream(StreamId(1)),
            Token::Stream(StreamId(NUMBER)),
            Token::Input(ProgramId(7)),
            Token::Tree(ProgramId(0)),
        ] {
            assert_eq!(Token::from_number(token.to_number()), Some(token));
        }
        assert_eq!(Token::from_number(5 << KIND_SHIFT), None);
        assert_eq!(Token::from_number(2), None);
    }
}
