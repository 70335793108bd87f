//! Reading the configuration again, and groups that come and go.

use std::rc::Rc;

use ward_config::diagnostics::Severity;
use ward_config::group::Group as GroupConfig;
use ward_config::load::{Configuration, Loaded};
use ward_model::program::{Event, Level, State};

use super::core::Core;
use super::program::{Group, ProgramId};
use crate::api::{Fault, FaultCode, Reread};
use crate::configuration::{Disk, Memory, Recorder, compare, this_host};

/// Reads the configuration file as it is now.
pub(crate) fn read(core: &Core) -> Result<(Loaded, Memory), String> {
    let host =
        this_host(core.settings.environment.clone()).map_err(|error| ward_engine::chain(&error))?;
    let host = ward_config::host::Host {
        current_directory: core.settings.started_in.clone(),
        ..host
    };
    Ok(Recorder::new(&Disk).load(&core.settings.configuration, &host))
}

/// The first mistake of a configuration, with its place, and how many more there are.
#[must_use]
pub fn first_mistake(loaded: &Loaded) -> String {
    let mut errors = loaded
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error);
    let Some(first) = errors.next() else {
        return String::new();
    };
    let mut text = format!("{} ({})", first.what, loaded.sources.place(first.span));
    match errors.count() {
        0 => {}
        more => text.push_str(&format!(", and {more} more: see `ward check`")),
    }
    text
}

impl Core {
    /// Reads the file again and tells what differs; nothing is applied.
    pub(crate) fn reread(&mut self) -> Result<Reread, Fault> {
        let refused = |why: String| Fault::about(FaultCode::CantReread, why);
        let (loaded, memory) = read(self).map_err(refused)?;
        let Some(configuration) = loaded.configuration.clone() else {
            return Err(refused(first_mistake(&loaded)));
        };
        self.take_latest(configuration, loaded, &memory)
            .map_err(refused)?;
        let active: Vec<&GroupConfig> = self.groups.iter().map(|group| &group.config).collect();
        let found = compare(&active, &self.latest.groups);
        self.rest_soon();
        Ok(found)
    }

    /// Makes a configuration the one that groups are added from.
    pub(crate) fn take_latest(
        &mut self,
        configuration: Configuration,
        loaded: Loaded,
        memory: &Memory,
    ) -> Result<(), String> {
        let number = self.latest_number + 1;
        let path = self.memory_path(number);
        memory
            .write(&path)
            .map_err(|error| ward_engine::chain(&error))?;
        self.latest_number = number;
        if !self.settings.identifier_is_given {
            // At once, and only this, as the original does.
            self.settings
                .identifier
                .clone_from(&configuration.supervisord.identifier);
        }
        self.latest = Rc::new(configuration);
        self.sources.insert(number, Rc::new(loaded.sources));
        // Groups of users may have changed too.
        self.credentials.clear();
        self.remember();
        self.forget_unused_memories();
        Ok(())
    }

    /// Makes a group of the configuration that was read last an active one.
    pub(crate) fn add_group(&mut self, name: &str) -> Result<(), Fault> {
        self.add_latest(name)?;
        self.remember();
        self.autostart(name);
        Ok(())
    }

    /// The same, without writing it down and starting anybody.
    pub(crate) fn add_latest(&mut self, name: &str) -> Result<(), Fault> {
        if self.group(name).is_some() {
            return Err(Fault::about(FaultCode::AlreadyAdded, name));
        }
        let latest = Rc::clone(&self.latest);
        let config = latest
            .groups
            .iter()
            .find(|group| group.name == name)
            .ok_or_else(|| Fault::about(FaultCode::BadName, name))?;
        self.activate(config.clone(), self.latest_number)
            .map_err(|error| Fault::about(FaultCode::Failed, ward_engine::chain(&error)))
    }

    /// Starts those of a group that are to be started by themselves.
    pub(crate) fn autostart(&mut self, name: &str) {
        if let Some(group) = self.group(name) {
            self.autostart_all(&group.programs.clone());
        }
    }

    /// Starts those of these that are to be started by themselves.
    pub(crate) fn autostart_all(&mut self, ids: &[ProgramId]) {
        for id in ids.iter().copied() {
            let is_new = self.programs.get(&id).is_some_and(|program| {
                program.config.autostart
                    && program.started == 0
                    && program.machine.state() == State::Stopped
            });
            if is_new && self.ending.is_none() {
                self.happen(id, Event::Start);
            }
        }
    }

    /// Forgets a group of which nothing runs.
    pub(crate) fn remove_group(&mut self, name: &str) -> Result<(), Fault> {
        let position = self
            .position_of(name)
            .ok_or_else(|| Fault::about(FaultCode::BadName, name))?;
        let stopped = |id: &ProgramId| {
            self.programs.get(id).is_none_or(|program| {
                program.machine.state().is_stopped() && program.machine.pid().is_none()
            })
        };
        if !self.groups[position].programs.iter().all(stopped) {
            return Err(Fault::about(FaultCode::StillRunning, name));
        }
        let Group { programs, .. } = self.groups.remove(position);
        self.priorities.remove(name);
        for id in programs {
            self.forget(id);
        }
        self.pools.remove(name);
        self.emit(crate::events::Event::GroupRemoved {
            group: name.to_owned(),
        });
        self.remember();
        self.forget_unused_memories();
        Ok(())
    }

    /// Validates before everything is stopped, so that a slip of the pen ends nothing.
    pub(crate) fn check_before_restart(&mut self) -> Result<(), String> {
        let (loaded, _) = read(self)?;
        if loaded.configuration.is_some() {
            return Ok(());
        }
        let why = first_mistake(&loaded);
        let text =
            format!("the configuration cannot be read again, everything goes on as it was: {why}");
        self.say(Level::Critical, &text);
        Err(why)
    }
}
