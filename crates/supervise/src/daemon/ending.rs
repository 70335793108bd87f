//! Stopping everything: group after group, the highest priority number first, each waited for.

use std::time::Duration;

use ward_model::program::{Event, Level, StopRequest};

use super::core::{Core, Due, Outcome};
use super::program::ProgramId;
use crate::api::{DaemonState, Fault, FaultCode};

/// How often the log says who is waited for.
const REPORT_INTERVAL: Duration = Duration::from_secs(3);

/// An end that has begun.
#[derive(Debug)]
pub(crate) struct Ending {
    /// What comes after it.
    pub(crate) outcome: Outcome,
    /// The groups that are not stopped yet; the last one is being stopped.
    groups: Vec<String>,
    /// Whether the last one has been told.
    told: bool,
}

impl Core {
    /// Where the whole stands.
    pub(crate) fn state(&self) -> DaemonState {
        match &self.ending {
            None => DaemonState::Running,
            Some(Ending {
                outcome: Outcome::Restart,
                ..
            }) => DaemonState::Restarting,
            Some(Ending {
                outcome: Outcome::Shutdown | Outcome::Upgrade | Outcome::TakeOver,
                ..
            }) => DaemonState::Shutdown,
        }
    }

    /// Whether it is for good.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.state() == DaemonState::Shutdown
    }

    /// Begins to stop everything. A shutdown overrules a restart, and nothing a shutdown.
    pub(crate) fn begin_ending(&mut self, outcome: Outcome) {
        if let Some(ending) = &mut self.ending {
            if ending.outcome == Outcome::Restart {
                ending.outcome = outcome;
                self.remember();
            }
            return;
        }
        self.ending = Some(Ending {
            outcome,
            groups: self
                .groups
                .iter()
                .map(|group| group.config.name.clone())
                .collect(),
            told: false,
        });
        self.remember();
        self.emit(crate::events::Event::SupervisorStopping);
        let ids: Vec<ProgramId> = self.programs.keys().copied().collect();
        for id in ids {
            self.happen(id, Event::ShuttingDown);
        }
        self.report_waiting();
    }

    /// Makes room for the program that is installed now, without stopping anything.
    pub(crate) fn upgrade(&mut self) -> Result<(), Fault> {
        if self.ending.is_some() {
            return Err(Fault::plain(FaultCode::ShutdownState));
        }
        self.say(
            Level::Info,
            "making room for the executable that is installed now",
        );
        self.outcome = Some(Outcome::Upgrade);
        Ok(())
    }

    /// Goes on with it, if it has begun.
    pub(crate) fn go_on_ending(&mut self) {
        while let Some(ending) = &mut self.ending {
            let Some(name) = ending.groups.last().cloned() else {
                self.outcome = Some(ending.outcome);
                self.timers.disarm(Due::Report);
                return;
            };
            let mut ids = self.members(&name).unwrap_or_default();
            if ids.iter().all(|id| self.has_stopped(*id)) {
                if let Some(ending) = &mut self.ending {
                    ending.groups.pop();
                    ending.told = false;
                }
                continue;
            }
            let Some(ending) = &mut self.ending else {
                return;
            };
            if ending.told {
                return;
            }
            ending.told = true;
            ids.reverse();
            for id in ids {
                self.happen(id, Event::StopRequested(StopRequest::Shutdown));
            }
        }
    }

    /// Whether it waits for nobody any more.
    fn has_stopped(&self, id: ProgramId) -> bool {
        self.programs
            .get(&id)
            .is_none_or(|program| program.machine.state().is_stopped())
    }

    /// Says who is still waited for.
    pub(crate) fn report_waiting(&mut self) {
        if self.ending.is_none() {
            return;
        }
        let waiting: Vec<&str> = self
            .groups
            .iter()
            .flat_map(|group| &group.programs)
            .filter_map(|id| self.programs.get(id))
            .filter(|program| !program.machine.state().is_stopped())
            .map(|program| program.config.name.as_str())
            .collect();
        if waiting.is_empty() {
            return;
        }
        let text = format!("waiting for {} to die", waiting.join(", "));
        self.say(Level::Info, &text);
        let at = ward_sys::clock::since_boot() + REPORT_INTERVAL;
        self.timers.arm(Due::Report, at);
    }
}
