//! Starting, stopping and signalling because somebody asks, for one, a group, or all.

use tokio::sync::oneshot;
use ward_config::value;
use ward_model::program::{Event, Note, State, StopRequest};

use super::command;
use super::core::Core;
use super::names::Name;
use super::program::{Group, ProgramId, Until, Waiter, full_name};
use crate::api::{Acted, ActionStatus, Fault, FaultCode};

/// What an order gave at once.
pub(crate) enum Ordered {
    /// All that there is to say.
    Now(Result<(), Fault>),
    /// Who asked wants to wait.
    Later(oneshot::Receiver<Result<(), Fault>>),
}

/// What is done to many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start who does not run.
    Start {
        /// Wait until it runs.
        wait: bool,
    },
    /// Stop who runs.
    Stop {
        /// Wait until it has ended.
        wait: bool,
    },
}

/// Orders that were given to several; each with its process and group.
pub(crate) type Given = Vec<(String, String, Ordered)>;

impl Core {
    /// Which process is meant, or which processes are.
    pub(crate) fn resolve(&self, name: &str) -> Result<Resolved, Fault> {
        let unknown = || Fault::about(FaultCode::BadName, name);
        match Name::parse(name) {
            Name::Group(group) => {
                let group = self.group(group).ok_or_else(unknown)?;
                Ok(Resolved::Group(group.config.name.clone()))
            }
            Name::Process { group, process } => {
                let group = self.group(group).ok_or_else(unknown)?;
                group
                    .programs
                    .iter()
                    .find(|id| {
                        self.programs
                            .get(id)
                            .is_some_and(|program| program.config.name == process)
                    })
                    .map(|id| Resolved::One(*id))
                    .ok_or_else(unknown)
            }
        }
    }

    /// Which one process is meant; a group is none.
    pub(crate) fn resolve_one(&self, name: &str) -> Result<ProgramId, Fault> {
        match self.resolve(name)? {
            Resolved::One(id) => Ok(id),
            Resolved::Group(_) => Err(Fault::about(FaultCode::BadName, name)),
        }
    }

    /// Starts one.
    pub(crate) fn order_start(&mut self, id: ProgramId, name: &str, wait: bool) -> Ordered {
        let Some(program) = self.programs.get(&id) else {
            return Ordered::Now(Err(Fault::about(FaultCode::BadName, name)));
        };
        // Before any state is changed: a command that is not there is the caller's affair.
        let path = self.path_of(program);
        if let Err(error) = command::find(&program.config.command, path.as_deref()) {
            let code = match error {
                command::CannotRun::NotFound(_) => FaultCode::NoFile,
                command::CannotRun::Empty
                | command::CannotRun::Unreadable { .. }
                | command::CannotRun::Directory(_)
                | command::CannotRun::NotExecutable(_)
                | command::CannotRun::NoPermission(_) => FaultCode::NotExecutable,
            };
            return Ordered::Now(Err(Fault::about(code, error.to_string())));
        }
        match program.machine.state() {
            State::Starting | State::Running | State::Backoff => {
                return Ordered::Now(Err(Fault::about(FaultCode::AlreadyStarted, name)));
            }
            State::Unknown => {
                let text = format!("{name} is in an unknown process state");
                return Ordered::Now(Err(Fault::about(FaultCode::Failed, text)));
            }
            State::Stopped | State::Stopping | State::Exited | State::Fatal => {}
        }
        self.happen(id, Event::Start);
        let Some(program) = self.programs.get(&id) else {
            return Ordered::Now(Err(Fault::about(FaultCode::BadName, name)));
        };
        match program.machine.state() {
            State::Backoff | State::Fatal => {
                Ordered::Now(Err(Fault::about(FaultCode::SpawnError, name)))
            }
            State::Stopped
            | State::Starting
            | State::Running
            | State::Stopping
            | State::Exited
            | State::Unknown => self.wait_for(id, name, Until::Started, wait),
        }
    }

    /// Stops one.
    pub(crate) fn order_stop(&mut self, id: ProgramId, name: &str, wait: bool) -> Ordered {
        let is_running = self
            .programs
            .get(&id)
            .is_some_and(|program| program.machine.state().is_running());
        if !is_running {
            return Ordered::Now(Err(Fault::about(FaultCode::NotRunning, name)));
        }
        let request = StopRequest::Asked { awaited: wait };
        self.happen(id, Event::StopRequested(request));
        self.wait_for(id, name, Until::Stopped, wait)
    }

    fn wait_for(&mut self, id: ProgramId, name: &str, until: Until, wait: bool) -> Ordered {
        if !wait {
            return Ordered::Now(Ok(()));
        }
        let Some(program) = self.programs.get_mut(&id) else {
            return Ordered::Now(Err(Fault::about(FaultCode::BadName, name)));
        };
        if let Some(verdict) = program.verdict(until, name) {
            return Ordered::Now(verdict);
        }
        let (reply, answer) = oneshot::channel();
        program.waiters.push(Waiter {
            until,
            name: name.to_owned(),
            reply,
        });
        Ordered::Later(answer)
    }

    /// Gives an order to all of these whom it concerns.
    pub(crate) fn order_many(&mut self, ids: &[ProgramId], order: Order) -> Given {
        let mut given = Vec::new();
        for id in ids {
            let Some(program) = self.programs.get(id) else {
                continue;
            };
            let runs = program.machine.state().is_running();
            let (process, group) = (program.config.name.clone(), program.group.clone());
            let name = full_name(&group, &process);
            let ordered = match order {
                Order::Start { wait } if !runs => self.order_start(*id, &name, wait),
                Order::Stop { wait } if runs => self.order_stop(*id, &name, wait),
                Order::Start { .. } | Order::Stop { .. } => continue,
            };
            given.push((process, group, ordered));
        }
        given
    }

    /// The processes of a group by priority.
    pub(crate) fn members(&self, group: &str) -> Result<Vec<ProgramId>, Fault> {
        let group = self
            .group(group)
            .ok_or_else(|| Fault::about(FaultCode::BadName, group))?;
        Ok(self.by_priority(group))
    }

    fn by_priority(&self, group: &Group) -> Vec<ProgramId> {
        let mut ids = group.programs.clone();
        ids.sort_by_key(|id| self.programs.get(id).map(|program| program.config.priority));
        ids
    }

    /// All processes by the priorities of their groups and their own.
    pub(crate) fn everybody(&self) -> Vec<ProgramId> {
        self.groups
            .iter()
            .flat_map(|group| self.by_priority(group))
            .collect()
    }

    /// Sends somebody's signal.
    pub(crate) fn order_signal(
        &mut self,
        id: ProgramId,
        name: &str,
        signal: &str,
    ) -> Result<(), Fault> {
        let number = parse_signal(signal)?;
        let Some(program) = self.programs.get(&id) else {
            return Err(Fault::about(FaultCode::BadName, name));
        };
        if !program.machine.state().is_signallable() {
            return Err(Fault::about(FaultCode::NotRunning, name));
        }
        // Signal 0 asks only whether there is anybody.
        let (Some(signal), Some(pid)) = (number, program.machine.pid()) else {
            return Ok(());
        };
        self.note(id, &Note::Signalling { pid, signal });
        match self.send(id, signal, false, true) {
            None => Ok(()),
            Some(event) => {
                let why = match &event {
                    Event::SignalFailed { why, .. } => why.clone(),
                    _ => String::new(),
                };
                self.happen(id, event);
                Err(Fault::about(FaultCode::Failed, why))
            }
        }
    }

    /// Sends a signal to those of these who can have one.
    pub(crate) fn signal_many(&mut self, ids: &[ProgramId], signal: &str) -> Vec<ActionStatus> {
        let mut done = Vec::new();
        for id in ids {
            let Some(program) = self.programs.get(id) else {
                continue;
            };
            if !program.machine.state().is_signallable() {
                continue;
            }
            let (process, group) = (program.config.name.clone(), program.group.clone());
            let name = full_name(&group, &process);
            let result = self.order_signal(*id, &name, signal);
            done.push(status_of(process, group, result));
        }
        done
    }
}

/// What a name stands for.
pub(crate) enum Resolved {
    One(ProgramId),
    Group(String),
}

fn parse_signal(text: &str) -> Result<value::StopSignal, Fault> {
    value::signal(text).map_err(|_| Fault::about(FaultCode::BadSignal, text))
}

/// One row of an answer about several.
pub(crate) fn status_of(name: String, group: String, result: Result<(), Fault>) -> ActionStatus {
    let (status, description) = match result {
        Ok(()) => (FaultCode::Success, "OK".to_owned()),
        Err(fault) => (fault.code, fault.to_string()),
    };
    ActionStatus {
        name,
        group,
        status,
        description,
    }
}

/// The answer to one order, when it is there.
pub(crate) async fn answer(ordered: Ordered) -> Result<(), Fault> {
    match ordered {
        Ordered::Now(result) => result,
        // The program was taken away with everybody who waited for it.
        Ordered::Later(answer) => answer
            .await
            .unwrap_or_else(|_| Err(Fault::plain(FaultCode::AbnormalTermination))),
    }
}

/// The answers to many, in their order.
pub(crate) async fn answers(given: Given) -> Vec<ActionStatus> {
    let mut all = Vec::with_capacity(given.len());
    for (name, group, ordered) in given {
        all.push(status_of(name, group, answer(ordered).await));
    }
    all
}

/// The answer to an order about one or a group.
pub(crate) async fn acted(given: Result<Given, Ordered>) -> Result<Acted, Fault> {
    match given {
        Ok(given) => Ok(Acted::Many(answers(given).await)),
        Err(one) => answer(one).await.map(|()| Acted::One),
    }
}
