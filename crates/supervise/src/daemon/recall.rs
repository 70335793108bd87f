//! What a daemon writes down so that the next one goes on where it was killed: which groups are active,
//! from which configuration, and what has names that nobody could guess.
//!
//! States of programs are in the roster. Configurations may hold secrets, and so may this directory: it is
//! its owner's alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ward_config::host::Host;
use ward_config::load::Loaded;
use ward_model::program::Level;

use super::core::{Core, Outcome};
use super::program::ProgramId;
use crate::api::Stream;
use crate::configuration::{Memory, MemoryError, read_whole, write_whole};
use crate::keeper::{Custody, Slot};
use ward_engine::chain;

/// The file.
const NAME: &str = "daemon.json";

/// The extension of spools.
pub(super) const SPOOL: &str = "spool";

/// What is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recall {
    /// The configuration that groups are added from.
    pub(crate) latest: u64,
    /// The one that the daemon began with, and has its servers from.
    #[serde(default)]
    pub(crate) begun: u64,
    /// Active groups, in their order, and the configuration of each.
    pub(crate) groups: Vec<(String, u64)>,
    /// Where AUTO logs are, by full name.
    pub(crate) auto_logs: BTreeMap<String, [Option<PathBuf>; 2]>,
    /// Shared sockets: group, program, and the key under which the keeper has it.
    pub(crate) sockets: Vec<(String, String, String)>,
    /// An end that had begun: whether a restart follows it.
    pub(crate) ending: Option<bool>,
}

/// The configuration that an earlier daemon of this keeper began with: that goes on, whatever has become of
/// the file. None where there was none, or it cannot be found: then the file counts.
#[must_use]
pub fn remembered(custody: &Custody, host: &Host) -> Option<(Loaded, Memory)> {
    if custody.is_first() {
        return None;
    }
    let directory = custody.directory().ok()?;
    let recall: Recall = read_whole(&directory.join(NAME)).ok()?;
    let memory = Memory::read(&memory_path(&directory, recall.begun)).ok()?;
    let loaded = memory.load(host);
    loaded.configuration.is_some().then_some((loaded, memory))
}

fn memory_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("configuration-{number}.json"))
}

impl Core {
    pub(crate) fn memory_path(&self, number: u64) -> PathBuf {
        memory_path(&self.directory, number)
    }

    /// Where an output's bytes wait that have to be changed before they are logged.
    pub(crate) fn spool_path(&self, slot: Slot, generation: u32, stream: Stream) -> PathBuf {
        let name = format!("{}.{generation}.{}.{SPOOL}", slot.index(), stream.word());
        self.directory.join(name)
    }

    fn recall_path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Writes it down. Must be done before what it tells becomes true for others.
    pub(crate) fn remember(&mut self) {
        let recall = Recall {
            latest: self.latest_number,
            begun: self.begun,
            groups: self
                .groups
                .iter()
                .map(|group| (group.config.name.clone(), group.memory))
                .collect(),
            auto_logs: self.auto_logs.clone(),
            sockets: self.socket_keys.clone(),
            ending: self
                .ending
                .as_ref()
                .map(|ending| ending.outcome == Outcome::Restart),
        };
        if let Err(error) = write_whole(&self.recall_path(), &recall) {
            let text = format!(
                "what is active cannot be written down; a daemon that is killed now begins with the file: {}",
                chain(&error)
            );
            self.say(Level::Error, &text);
        }
    }

    /// What an earlier daemon wrote; `None` if there was none.
    pub(crate) fn recalled(&self) -> Result<Option<Recall>, MemoryError> {
        if self.recall_path().exists() {
            read_whole(&self.recall_path()).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Forgets what was written: the next daemon begins with the file, or ends where this one ends for good.
    pub fn forget_everything(&mut self) {
        let ids: Vec<ProgramId> = self.programs.keys().copied().collect();
        for id in ids {
            self.forget(id);
        }
        let is_over = self.outcome == Some(Outcome::Shutdown);
        if is_over {
            // Should this daemon be killed now, the next one finds that the end is all that is left to do;
            // the keeper takes this away with its directory.
            self.groups.clear();
            self.priorities.clear();
            (self.latest_number, self.begun) = (0, 0);
            self.remember();
        } else {
            // Nothing to forget is as well.
            let _ = fs::remove_file(self.recall_path());
        }
        for entry in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_memory = name.starts_with("configuration-") || name == "daemon.new";
            if is_memory || (is_over && name.ends_with(".spool")) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes configurations that no active group is from.
    pub(crate) fn forget_unused_memories(&mut self) {
        let used: BTreeSet<u64> = self
            .groups
            .iter()
            .map(|group| group.memory)
            .chain([self.latest_number, self.begun])
            .collect();
        let unused: Vec<u64> = self
            .sources
            .keys()
            .filter(|number| !used.contains(number))
            .copied()
            .collect();
        for number in unused {
            let _ = fs::remove_file(self.memory_path(number));
            self.sources.remove(&number);
        }
    }

    /// Where something was written, for people: `file:line`.
    pub(crate) fn place_of(&self, group: &str, span: ward_config::source::Span) -> Option<String> {
        let sources = self.sources.get(&self.group(group)?.memory)?;
        Some(sources.place(span))
    }

    /// Lets go of a process for good.
    pub(crate) fn forget(&mut self, id: ProgramId) {
        for timer in ward_model::program::Timer::ALL {
            self.timers.disarm(super::core::Due::Program(id, timer));
        }
        self.timers.disarm(super::core::Due::Tree(id));
        if let Some(program) = self.programs.remove(&id) {
            self.by_slot.remove(&program.slot);
            self.auto_logs.remove(&program.full_name());
            if self.custody.release(program.slot).is_err() {
                let text = format!("'{}' is forgotten while it still runs", program.full_name());
                self.say(Level::Error, &text);
            }
        }
    }
}
