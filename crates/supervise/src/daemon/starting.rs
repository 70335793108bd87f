//! Beginning: with a configuration, or where a daemon that was killed has been.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::event::epoll;
use thiserror::Error;
use ward_config::group::Group as GroupConfig;
use ward_config::load::{Configuration, Loaded};
use ward_config::program::Process;
use ward_config::value::{Contain, LogFile};
use ward_model::program::{Level, Machine};
use ward_sys::clock::{Alarm, since_boot};

use super::core::{Core, Settings, Token};
use super::info::unix_now;
use super::listening::{Ear, pool_of};
use super::program::{Group, Program, ProgramId, full_name, policy_of};
use super::recall::Recall;
use super::saved::Saved;
use super::timers::Timers;
use super::tree::{Grove, Tree};
use crate::api::Stream;
use crate::configuration::{Memory, MemoryError};
use crate::events::Publisher;
use crate::keeper::{Adopted, Adoption, Custody, Slot, State};
use crate::logs::{self, Files, MainLog, Syslog};
use ward_engine::chain;

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
            grove: Grove::new(prefix),
            settings,
            custody,
            epoll,
            alarm,
            alarm_at: None,
            alarm_rang: false,
            timers: Timers::default(),
            log,
            files,
            syslog,
            syslog_waits: false,
            syslog_tried: std::time::Duration::ZERO,
            latest: Rc::new(configuration.clone()),
            latest_number: 0,
            begun: 0,
            sources: BTreeMap::new(),
            groups: Vec::new(),
            priorities: HashMap::new(),
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
            strangers: BTreeMap::new(),
            directory,
            idle_armed: false,
            resumed: false,
        };
        let Adoption { slots, left_over } = core.custody.adopt();
        // Of a supervisor that was killed with all that it kept only names are left.
        let anything =
            slots.iter().any(|adopted| adopted.state != State::Idle) || !core.custody.is_first();
        let recalled = match core.recalled() {
            // Of one that came to its end there is no group.
            Ok(recalled) => recalled.filter(|recall| {
                anything && !(core.custody.is_first() && recall.groups.is_empty())
            }),
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
        core.look_into_spools();
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
        self.begun = self.latest_number;
        self.let_go_of_unknown_sockets();
        let mut found = by_name(found);
        let mut adopted = Vec::new();
        let latest = Rc::clone(&self.latest);
        for group in &latest.groups {
            let its = self
                .activate_with(group.clone(), 1, &mut found)
                .map_err(|source| StartError::Group {
                    group: group.name.clone(),
                    source,
                })?;
            adopted.extend(its);
            self.emit(crate::events::Event::GroupAdded {
                group: group.name.clone(),
            });
        }
        self.take_over_all(adopted, false);
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
        let host = crate::configuration::this_host(self.settings.environment.clone());
        let mut remembered: BTreeMap<u64, Configuration> = BTreeMap::new();
        if let Ok(host) = host {
            let numbers = recall.groups.iter().map(|(_, number)| *number);
            for number in numbers.chain([recall.latest, recall.begun]) {
                if number == 0 || remembered.contains_key(&number) {
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
        self.begun = recall.begun;
        if let Some(latest) = remembered.get(&recall.latest) {
            self.latest = Rc::new(latest.clone());
            if !self.settings.identifier_is_given {
                let identifier = &latest.supervisord.identifier;
                self.settings.identifier.clone_from(identifier);
            }
        }
        self.auto_logs = recall.auto_logs;
        self.socket_keys = recall.sockets;
        // Who starts a supervisor wants it to run, whatever the killed one was about to do.
        let ending = recall.ending.filter(|_| !self.custody.is_first());
        let mut found = by_name(found);
        let mut adopted = Vec::new();
        let by_name: HashMap<(u64, &str), &GroupConfig> = remembered
            .iter()
            .flat_map(|(number, configuration)| {
                let groups = configuration.groups.iter();
                groups.map(|group| ((*number, &*group.name), group))
            })
            .collect();
        for (name, number) in recall.groups {
            let Some(group) = by_name.get(&(number, &*name)) else {
                continue;
            };
            let group = GroupConfig::clone(group);
            let its = self
                .activate_with(group, number, &mut found)
                .map_err(|source| StartError::Group {
                    group: name,
                    source,
                })?;
            adopted.extend(its);
        }
        // Before anybody is started, or its end is dealt with.
        self.recall_sockets();
        self.take_over_all(adopted, ending.is_some());
        self.let_go_of_strangers(found);
        match ending {
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
            self.begun = self.latest_number;
            self.find_outdated();
            self.remember();
        }
        Ok(())
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
        self.begin_to_tick();
        Ok(())
    }

    fn activate_with(
        &mut self,
        config: GroupConfig,
        memory: u64,
        found: &mut HashMap<String, Adopted>,
    ) -> Result<Vec<(ProgramId, Adopted)>, ActivateError> {
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
                    let enlisted = self.enlist(&config.name, process, slot, ear);
                    if enlisted.is_err() {
                        // Refused where a process runs in it, which is as well: it is found again.
                        let _ = self.custody.release(slot);
                    }
                    enlisted
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
        let name = group.config.name.clone();
        self.priorities.insert(name, group.config.priority);
        self.groups.insert(place, group);
        Ok(adopted)
    }

    fn enlist(
        &mut self,
        group: &str,
        process: &Rc<Process>,
        slot: Slot,
        ear: Option<Ear>,
    ) -> Result<ProgramId, ActivateError> {
        let id = ProgramId(self.next_id());
        let logs = self.logs_of(group, process)?;
        let program = Program {
            group: group.to_owned(),
            machine: Machine::new(policy_of(process)),
            config: Rc::clone(process),
            slot,
            generation: 0,
            started: 0,
            stopped: 0,
            started_at: 0,
            unacknowledged: None,
            to_be_told: false,
            tree_number: 0,
            logs,
            found_logs: [None, None],
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
        self.programs.insert(id, Box::new(program));
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

    /// A fresh tree for a process that is about to start, if it has one.
    pub(crate) fn plant(&mut self, id: ProgramId, config: &Process) -> Option<Tree> {
        match config.contain {
            Contain::Process => None,
            Contain::Tree => {
                let program = self.programs.get_mut(&id)?;
                program.tree_number = self.grove.next_number();
                let (number, name) = (
                    program.tree_number,
                    tree_number(program.slot, program.tree_number),
                );
                // Before there is a process, so that the next daemon finds its tree.
                self.save(id);
                Some(self.grove.plant(&name, number))
            }
        }
    }

    /// Starts what is to be started by itself. Everything is ready for it, and for who asks.
    pub(crate) fn go(&mut self) {
        if !self.resumed {
            self.emit(crate::events::Event::SupervisorRunning);
        }
        let ids: Vec<ProgramId> = self
            .groups
            .iter()
            .flat_map(|group| group.programs.iter().copied())
            .collect();
        self.autostart_all(&ids);
        self.settle();
    }

    /// Writes down where a process stands.
    pub(crate) fn save(&mut self, id: ProgramId) {
        let listener = self.saved_ear(id);
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
            to_be_told: program.to_be_told,
        };
        let words = saved.to_words();
        let ended = program
            .unacknowledged
            .filter(|_| program.machine.pid().is_none());
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
pub(super) fn tree_number(slot: Slot, number: u64) -> String {
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
