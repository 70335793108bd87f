//! Beginning: with a configuration, or where a daemon that was killed has been.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::os::fd::OwnedFd;
use std::time::UNIX_EPOCH;

use rustix::event::epoll;
use thiserror::Error;
use ward_config::group::Group as GroupConfig;
use ward_config::load::{Configuration, Loaded};
use ward_config::program::Process;
use ward_config::value::{Contain, LogFile};
use ward_model::program::{Level, Machine, Resumption, Snapshot, State as ProgramState};
use ward_sys::clock::{Alarm, since_boot};

use super::core::{Core, Settings, Token};
use super::info::unix_now;
use super::keeping::end_of;
use super::listening::{Ear, pool_of};
use super::program::{Group, Program, ProgramId, full_name, policy_of};
use super::recall::Recall;
use super::saved::Saved;
use super::spawning::seconds;
use super::timers::Timers;
use super::tree::{Grove, Tree};
use crate::api::Stream;
use crate::configuration::{Memory, MemoryError};
use crate::daemon::chain;
use crate::events::{ListenerState, Publisher};
use crate::keeper::{self, Adopted, Adoption, Custody, LeftOver, Slot, State};
use crate::logs::{self, Files, MainLog, Syslog};

/// Logs that are open at a time.
const OPEN_LOGS: usize = 512;

/// Why the daemon cannot begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// The kernel gives no means to wait with.
    #[error("cannot prepare to wait for events")]
    Wait(#[source] io::Error),
    /// A group cannot be made active.
    #[error("cannot make the group {group} active")]
    Group {
        /// Which.
        group: String,
        /// Why not.
        #[source]
        source: ActivateError,
    },
    /// The configuration cannot be kept for the next daemon.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Why a group cannot be made active.
#[derive(Debug, Error)]
pub enum ActivateError {
    /// The roster takes no more.
    #[error("cannot take {name} on")]
    Slot {
        /// The process.
        name: String,
        /// Why not.
        #[source]
        source: crate::keeper::ClaimError,
    },
    /// An AUTO log.
    #[error("cannot make a log for {name} in {directory}")]
    Log {
        /// The process.
        name: String,
        /// Where.
        directory: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What a daemon begins with.
pub struct Beginning {
    /// What stays as it is.
    pub settings: Settings,
    /// The configuration file as it is now, what it was made of, and what was found in it.
    pub configuration: (Configuration, Loaded, Memory),
    /// The main log.
    pub log: MainLog,
    /// All logs.
    pub files: Files,
    /// The way to the host's log.
    pub syslog: Rc<Syslog>,
    /// What the keeper holds.
    pub custody: Custody,
}

/// All logs of a daemon.
#[must_use]
pub fn log_files() -> Files {
    Files::new(OPEN_LOGS)
}

impl Core {
    /// Begins. Programs that an earlier daemon started are taken over as they are; nothing is started
    /// before [`Core::go`].
    ///
    /// # Errors
    /// When there is nothing to begin with.
    pub fn new(beginning: Beginning) -> Result<Self, StartError> {
        let Beginning {
            settings,
            configuration: (configuration, loaded, memory),
            log,
            files,
            syslog,
            custody,
        } = beginning;
        let wait = |error: rustix::io::Errno| StartError::Wait(error.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(wait)?;
        let alarm = Alarm::new().map_err(StartError::Wait)?;
        for (fd, token) in [
            (custody.poll_fd(), Token::Keeper),
            (std::os::fd::AsFd::as_fd(&alarm), Token::Alarm),
        ] {
            let data = epoll::EventData::new_u64(token.to_number());
            epoll::add(&epoll, fd, data, epoll::EventFlags::IN).map_err(wait)?;
        }
        let directory = custody.directory().map_err(StartError::Wait)?;
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("ward-up-{name}");
        let mut core = Self {
            grove: Grove::new(prefix, u64::from(custody.keeper_pid().unsigned_abs())),
            settings,
            custody,
            epoll,
            alarm,
            timers: Timers::default(),
            log,
            files,
            syslog,
            syslog_waits: false,
            latest: Rc::new(configuration.clone()),
            latest_number: 0,
            sources: BTreeMap::new(),
            groups: Vec::new(),
            programs: HashMap::new(),
            by_slot: HashMap::new(),
            outputs: HashMap::new(),
            pools: BTreeMap::new(),
            publisher: Publisher::new(),
            credentials: HashMap::new(),
            auto_logs: BTreeMap::new(),
            socket_keys: Vec::new(),
            ending: None,
            outcome: None,
            last_id: 0,
            last_tick: unix_now(),
            outdated: VecDeque::new(),
            directory,
            idle_armed: false,
            resumed: false,
        };
        let Adoption { slots, left_over } = core.custody.adopt();
        // Of a supervisor that was killed with all that it kept only names are left.
        let anything = slots
            .iter()
            .any(|adopted| adopted.state != State::Idle)
            || !core.custody.is_first();
        let recalled = match core.recalled() {
            Ok(recalled) => recalled.filter(|_| anything),
            Err(error) => {
                let text = format!(
                    "what the daemon before this one wrote down cannot be read: {}",
                    chain(&error)
                );
                core.say(Level::Critical, &text);
                None
            }
        };
        match recalled {
            Some(recall) => core.go_on(recall, slots, (configuration, loaded, memory))?,
            None => core.begin((configuration, loaded, memory), slots)?,
        }
        core.take_over_left_over(left_over);
        core.hear_keeper();
        core.arm_tick();
        Ok(core)
    }

    /// Begins with the file alone.
    fn begin(
        &mut self,
        (configuration, loaded, memory): (Configuration, Loaded, Memory),
        found: Vec<Adopted>,
    ) -> Result<(), StartError> {
        self.grove.sweep();
        if !self.settings.nocleanup {
            let directory = PathBuf::from(&self.settings.childlogdir);
            match logs::auto::clear(&directory, &self.settings.identifier) {
                Ok(troubles) => {
                    for (path, _) in troubles {
                        let text = format!("Failed to clean up '{}'", path.display());
                        self.say(Level::Warn, &text);
                    }
                }
                Err(_) => self.say(Level::Warn, "Could not clear childlog dir"),
            }
        }
        self.latest_number = 1;
        memory.write(&self.memory_path(1))?;
        self.sources.insert(1, Rc::new(loaded.sources));
        self.latest = Rc::new(configuration);
        let mut found = by_name(found);
        let latest = Rc::clone(&self.latest);
        for group in &latest.groups {
            self.activate_with(group.clone(), 1, &mut found)
                .map_err(|source| StartError::Group {
                    group: group.name.clone(),
                    source,
                })?;
            self.emit(crate::events::Event::GroupAdded {
                group: group.name.clone(),
            });
        }
        self.let_go_of_strangers(found);
        self.remember();
        Ok(())
    }

    /// Goes on where the last daemon was. Groups are as they were; if the file has changed since the
    /// keeper was started anew, they follow.
    fn go_on(
        &mut self,
        recall: Recall,
        found: Vec<Adopted>,
        (configuration, loaded, memory): (Configuration, Loaded, Memory),
    ) -> Result<(), StartError> {
        let host = crate::configuration::this_host(self.settings.environment.iter().cloned());
        let mut remembered: BTreeMap<u64, Configuration> = BTreeMap::new();
        if let Ok(host) = host {
            let numbers = recall.groups.iter().map(|(_, number)| *number);
            for number in numbers.chain([recall.latest]) {
                if remembered.contains_key(&number) {
                    continue;
                }
                match Memory::read(&self.memory_path(number)) {
                    Ok(memory) => {
                        let loaded = memory.load(&host);
                        self.sources.insert(number, Rc::new(loaded.sources));
                        if let Some(configuration) = loaded.configuration {
                            remembered.insert(number, configuration);
                        }
                    }
                    Err(error) => {
                        let text = format!("a configuration is lost: {}", chain(&error));
                        self.say(Level::Critical, &text);
                    }
                }
            }
        }
        self.resumed = true;
        self.latest_number = recall.latest;
        if let Some(latest) = remembered.get(&recall.latest) {
            self.latest = Rc::new(latest.clone());
        }
        self.auto_logs = recall.auto_logs;
        self.socket_keys = recall.sockets;
        let mut found = by_name(found);
        for (name, number) in recall.groups {
            let group = remembered
                .get(&number)
                .and_then(|configuration| configuration.groups.iter().find(|g| g.name == name))
                .cloned();
            let Some(group) = group else { continue };
            self.activate_with(group, number, &mut found)
                .map_err(|source| StartError::Group {
                    group: name,
                    source,
                })?;
        }
        self.recall_sockets();
        self.let_go_of_strangers(found);
        match recall.ending {
            Some(true) => self.begin_ending(super::core::Outcome::Restart),
            Some(false) => self.begin_ending(super::core::Outcome::Shutdown),
            None => {}
        }
        if self.custody.is_first() {
            // Somebody started the supervisor again: he wants the file as it is now.
            let taken = self.take_latest(configuration, loaded, &memory);
            if let Err(why) = taken {
                self.say(Level::Error, &why);
            }
            self.find_outdated();
        }
        Ok(())
    }

    /// What nobody knows any more is stopped, gently: it is of this supervisor, and would run twice.
    fn let_go_of_strangers(&mut self, found: HashMap<String, Adopted>) {
        for (name, adopted) in found {
            let text = format!("'{name}' is not configured any more");
            self.say(Level::Warn, &text);
            let result = match adopted.state {
                State::Alive { .. } => {
                    let term = ward_model::signal::Signal::TERM.number();
                    self.custody
                        .signal(adopted.slot, term, keeper::Target::Leader)
                        .map_err(|error| error.to_string())
                }
                State::Idle | State::Ended { .. } => {
                    let (slot, generation) = (adopted.slot, adopted.generation);
                    self.custody
                        .acknowledge(slot, generation, &keeper::Snapshot::default());
                    self.custody.release(slot).map_err(|error| error.to_string())
                }
            };
            if let Err(why) = result {
                let text = format!("cannot let go of '{name}': {why}");
                self.say(Level::Error, &text);
            }
        }
    }

    /// Makes a group active of which nothing runs.
    pub(crate) fn activate(
        &mut self,
        config: GroupConfig,
        memory: u64,
    ) -> Result<(), ActivateError> {
        let name = config.name.clone();
        self.activate_with(config, memory, &mut HashMap::new())?;
        self.emit(crate::events::Event::GroupAdded { group: name });
        self.arm_tick();
        Ok(())
    }

    fn activate_with(
        &mut self,
        config: GroupConfig,
        memory: u64,
        found: &mut HashMap<String, Adopted>,
    ) -> Result<(), ActivateError> {
        let key = |group: &Group| (group.config.priority, group.config.name.clone());
        let new_key = (config.priority, config.name.clone());
        let place = self.groups.partition_point(|group| key(group) < new_key);
        let pool = pool_of(&config, &self.settings.identifier);
        let is_pool = pool.is_some();
        if let Some(pool) = pool {
            self.pools.insert(config.name.clone(), pool);
        }
        let mut programs: Vec<ProgramId> = Vec::new();
        let mut adopted = Vec::new();
        for (member, process) in config.processes.iter().enumerate() {
            let name = full_name_for_roster(&config.name, &process.name);
            let old = found.remove(&name);
            let slot = match &old {
                Some(old) => Ok(old.slot),
                None => self.custody.claim(name.as_bytes()),
            };
            let made = slot
                .map_err(|source| ActivateError::Slot {
                    name: name.clone(),
                    source,
                })
                .and_then(|slot| {
                    let ear = is_pool.then(|| Ear::new(member));
                    self.enlist(&config.name, process, slot, ear)
                });
            match made {
                Ok(id) => {
                    programs.push(id);
                    adopted.extend(old.map(|old| (id, old)));
                }
                Err(error) => {
                    for id in programs {
                        self.forget(id);
                    }
                    self.pools.remove(&config.name);
                    return Err(error);
                }
            }
        }
        let group = Group {
            config,
            memory,
            programs,
            sockets: BTreeMap::new(),
        };
        self.groups.insert(place, group);
        for (id, old) in adopted {
            self.take_over(id, old);
        }
        Ok(())
    }

    fn enlist(
        &mut self,
        group: &str,
        process: &Process,
        slot: Slot,
        ear: Option<Ear>,
    ) -> Result<ProgramId, ActivateError> {
        let id = ProgramId(self.next_id());
        let logs = self.logs_of(group, process)?;
        let program = Program {
            group: group.to_owned(),
            machine: Machine::new(policy_of(process)),
            config: Rc::new(process.clone()),
            slot,
            generation: 0,
            started: 0,
            stopped: 0,
            started_at: 0,
            unacknowledged: None,
            tree_number: 0,
            logs,
            streams: [None; 2],
            ear,
            tree: None,
            held_end: None,
            tree_deadline: None,
            waiters: Vec::new(),
            ends: VecDeque::new(),
            why_not: None,
        };
        self.by_slot.insert(slot, id);
        self.programs.insert(id, program);
        Ok(id)
    }

    /// Where a process's outputs go; AUTO logs are made.
    fn logs_of(
        &mut self,
        group: &str,
        process: &Process,
    ) -> Result<[Option<PathBuf>; 2], ActivateError> {
        let name = full_name(group, &process.name);
        if let Some(known) = self.auto_logs.get(&name) {
            return Ok(known.clone());
        }
        let mut paths = [None, None];
        let mut any_auto = false;
        for (place, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let channel = match stream {
                Stream::Stdout => &process.stdout,
                Stream::Stderr if process.redirect_stderr => continue,
                Stream::Stderr => &process.stderr,
            };
            paths[place] = match &channel.logfile {
                LogFile::None | LogFile::Syslog => None,
                LogFile::Path(path) => Some(PathBuf::from(path)),
                LogFile::Auto => {
                    any_auto = true;
                    let directory = Path::new(&self.settings.childlogdir);
                    let identifier = &self.settings.identifier;
                    let made = logs::auto::make(directory, &process.name, stream, identifier);
                    Some(made.map_err(|source| ActivateError::Log {
                        name: name.clone(),
                        directory: self.settings.childlogdir.clone(),
                        source,
                    })?)
                }
            };
        }
        if any_auto {
            self.auto_logs.insert(name, paths.clone());
        }
        Ok(paths)
    }

    /// Takes over a process, or what is known of the last one, from an earlier daemon.
    fn take_over(&mut self, id: ProgramId, old: Adopted) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        let saved = Saved::from_words(&old.snapshot);
        program.generation = old.generation;
        program.stopped = saved.stopped;
        program.tree_number = saved.tree;
        program.started = saved.started;
        program.started_at = saved.started_at;
        let pid = match old.state {
            State::Idle => None,
            State::Alive { pid } | State::Ended { pid, .. } => Some(pid),
        };
        if pid.is_some() {
            let at = old.spawned_at.duration_since(UNIX_EPOCH).unwrap_or_default();
            program.started_at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            program.started = seconds(program.started_at);
        }
        let policy = program.machine.policy().clone();
        let mut actions = Vec::new();
        let found = Resumption {
            spawned: pid,
            elapsed: since_boot().saturating_sub(saved.taken),
        };
        let resumed = Machine::resume(policy.clone(), saved.machine, found, &mut actions);
        let matches = resumed
            .as_ref()
            .is_ok_and(|machine| machine.pid().is_some() == pid.is_some() || pid.is_none());
        let machine = match (resumed, pid) {
            (Ok(machine), _) if matches => machine,
            (_, Some(pid)) => {
                actions.clear();
                Machine::resume(policy.clone(), Snapshot::running(pid), found, &mut actions)
                    .unwrap_or_else(|_| Machine::new(policy))
            }
            (_, None) => {
                actions.clear();
                Machine::new(policy)
            }
        };
        program.machine = machine;
        if let Some(pid) = pid {
            self.take_over_process(id, pid, saved, [old.stdout, old.stderr]);
        }
        self.carry_out(id, actions);
        if let State::Ended { end, at, .. } = old.state {
            self.exited(old.slot, old.generation, end_of(end), at);
        }
    }

    fn take_over_process(
        &mut self,
        id: ProgramId,
        pid: i32,
        saved: Saved,
        streams: [Option<OwnedFd>; 2],
    ) {
        let Some(program) = self.programs.get_mut(&id) else {
            return;
        };
        if program.config.contain == Contain::Tree {
            let number = tree_number(program.slot, program.tree_number);
            program.tree = self.grove.find(&number, pid);
        }
        let runs = program.machine.state() == ProgramState::Running;
        let state = saved.listener.unwrap_or(ListenerState::Acknowledged);
        self.open_streams(id, pid, streams);
        self.with_listener(id, |pool, member, actions| {
            pool.adopt(member, state, actions);
            pool.set_running(member, runs, actions);
        });
    }

    /// Reads on what others write to pipes of processes that have ended.
    fn take_over_left_over(&mut self, left_over: Vec<LeftOver>) {
        for pipe in left_over {
            let stream = match pipe.stream {
                keeper::Stream::Stdout => Stream::Stdout,
                keeper::Stream::Stderr => Stream::Stderr,
            };
            match self.by_slot.get(&pipe.slot).copied() {
                Some(id) => self.open_left_over(id, pipe.generation, stream, pipe.reader),
                None => self.custody.drained(pipe.slot, pipe.generation, pipe.stream),
            }
        }
    }

    /// A fresh tree for a process that is about to start, if it has one.
    pub(crate) fn plant(&mut self, id: ProgramId, config: &Process) -> Option<Tree> {
        match config.contain {
            Contain::Process => None,
            Contain::Tree => {
                let program = self.programs.get_mut(&id)?;
                program.tree_number = u64::try_from(since_boot().as_nanos()).unwrap_or(u64::MAX);
                let number = tree_number(program.slot, program.tree_number);
                // Before there is a process, so that the next daemon finds its tree.
                self.save(id);
                Some(self.grove.plant(&number))
            }
        }
    }

    /// Starts what is to be started by itself. Everything is ready for it, and for who asks.
    pub(crate) fn go(&mut self) {
        if !self.resumed {
            self.emit(crate::events::Event::SupervisorRunning);
        }
        let names: Vec<String> = self
            .groups
            .iter()
            .map(|group| group.config.name.clone())
            .collect();
        for name in names {
            self.autostart(&name);
        }
        self.settle();
    }

    /// Writes down where a process stands.
    pub(crate) fn save(&mut self, id: ProgramId) {
        let listener = self.listener_state(id);
        let Some(program) = self.programs.get(&id) else {
            return;
        };
        let saved = Saved {
            machine: program.machine.snapshot(),
            started: program.started,
            stopped: program.stopped,
            started_at: program.started_at,
            taken: since_boot(),
            listener,
            tree: program.tree_number,
        };
        let words = saved.to_words();
        let ended = program.unacknowledged.filter(|_| program.machine.pid().is_none());
        match ended {
            // What follows from an end is written down with its being known.
            Some(generation) => {
                self.custody.acknowledge(program.slot, generation, &words);
                if let Some(program) = self.programs.get_mut(&id) {
                    program.unacknowledged = None;
                }
            }
            None => self.custody.set_snapshot(program.slot, &words),
        }
    }
}

/// The number of a tree: unlike that of any other start.
fn tree_number(slot: Slot, number: u64) -> String {
    format!("{}-{number:x}", slot.index())
}

/// Unlike [`full_name`], always with the group: `a` of group `a` is not `a` of group `b`.
fn full_name_for_roster(group: &str, process: &str) -> String {
    format!("{group}:{process}")
}

fn by_name(found: Vec<Adopted>) -> HashMap<String, Adopted> {
    found
        .into_iter()
        .map(|adopted| (String::from_utf8_lossy(&adopted.name).into_owned(), adopted))
        .collect()
}
