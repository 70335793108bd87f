//! What can be asked of the daemon, by whoever serves requests.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use ward_model::program::Level;

use super::core::{Core, Outcome};
use super::orders::{Given, Order, Ordered, Resolved, acted, answers, status_of};
use super::program::{ProgramId, full_name};
use crate::api::{
    Acted, ActionStatus, ConfigInfo, Control, DaemonState, Fault, FaultCode, Later, ProcessInfo,
    Reread, Stream,
};

/// The daemon, for those who share it in one thread.
#[derive(Clone)]
pub struct Supervisor {
    core: Rc<RefCell<Core>>,
}

impl Supervisor {
    /// Shares it.
    #[must_use]
    pub fn new(core: Core) -> Self {
        Self {
            core: Rc::new(RefCell::new(core)),
        }
    }

    /// Does something with it, and then what follows from that. Not to be held across an await.
    pub fn with<T>(&self, f: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core.borrow_mut();
        core.log.hold();
        let result = f(&mut core);
        core.settle();
        result
    }

    /// A line for the main log.
    pub fn log(&self, level: ward_config::value::LogLevel, text: &str) {
        self.core.borrow().log.log(level, text);
    }

    /// Becomes the keeper, in this process; returns only if that fails, with why.
    #[must_use]
    pub fn take_over(&self) -> std::io::Error {
        self.core.borrow_mut().custody.take_over()
    }

    fn many(
        &self,
        ids: Result<Vec<ProgramId>, Fault>,
        order: Order,
    ) -> Later<Result<Vec<ActionStatus>, Fault>> {
        let given = ids.map(|ids| self.with(|core| core.order_many(&ids, order)));
        Box::pin(async move { Ok(answers(given?).await) })
    }

    fn one_or_many(
        &self,
        name: &str,
        order: Order,
        one: impl FnOnce(&mut Core, ProgramId) -> Ordered,
    ) -> Later<Result<Acted, Fault>> {
        let given: Result<Result<Given, Ordered>, Fault> = self.with(|core| {
            Ok(match core.resolve(name)? {
                Resolved::One(id) => Err(one(core, id)),
                Resolved::Group(group) => {
                    let ids = core.members(&group)?;
                    Ok(core.order_many(&ids, order))
                }
            })
        });
        Box::pin(async move { acted(given?).await })
    }
}

impl Control for Supervisor {
    fn identification(&self) -> String {
        self.core.borrow().settings.identifier.clone()
    }

    fn state(&self) -> DaemonState {
        self.core.borrow().state()
    }

    fn pid(&self) -> i32 {
        self.core.borrow().custody.keeper_pid()
    }

    fn main_log(&self) -> Option<PathBuf> {
        self.core.borrow().log.path()
    }

    fn clear_log(&self) -> Result<(), Fault> {
        self.with(|core| {
            if core.log.path().is_none_or(|path| !path.exists()) {
                return Err(Fault::plain(FaultCode::NoFile));
            }
            core.log
                .clear()
                .map_err(|error| Fault::about(FaultCode::Failed, error.to_string()))?;
            core.say(Level::Info, "reopened log file");
            Ok(())
        })
    }

    fn process_info(&self, name: &str) -> Result<ProcessInfo, Fault> {
        let core = self.core.borrow();
        let id = core.resolve_one(name)?;
        core.info(id)
            .ok_or_else(|| Fault::about(FaultCode::BadName, name))
    }

    fn all_process_info(&self) -> Vec<ProcessInfo> {
        self.core.borrow().all_info()
    }

    fn all_config_info(&self) -> Vec<ConfigInfo> {
        self.core.borrow().all_config()
    }

    fn process_log(&self, name: &str, stream: Stream) -> Result<PathBuf, Fault> {
        let core = self.core.borrow();
        let id = core.resolve_one(name)?;
        let program = core.programs.get(&id);
        program
            .and_then(|program| program.log(stream).cloned())
            .ok_or_else(|| Fault::plain(FaultCode::NoFile))
    }

    fn clear_process_logs(&self, name: &str) -> Result<(), Fault> {
        self.with(|core| {
            let id = core.resolve_one(name)?;
            core.clear_logs(id)
                .map_err(|_| Fault::about(FaultCode::Failed, name))
        })
    }

    fn clear_all_process_logs(&self) -> Vec<ActionStatus> {
        self.with(|core| {
            let mut done = Vec::new();
            for id in core.everybody() {
                let Some(program) = core.programs.get(&id) else {
                    continue;
                };
                let (name, group) = (program.config.name.clone(), program.group.clone());
                let result = core
                    .clear_logs(id)
                    .map_err(|_| Fault::about(FaultCode::Failed, full_name(&group, &name)));
                done.push(status_of(name, group, result));
            }
            done
        })
    }

    fn start_process(&self, name: &str, wait: bool) -> Later<Result<Acted, Fault>> {
        self.one_or_many(name, Order::Start { wait }, |core, id| {
            core.order_start(id, name, wait)
        })
    }

    fn start_group(&self, name: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        let ids = self.core.borrow().members(name);
        self.many(ids, Order::Start { wait })
    }

    fn start_all(&self, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        let ids = self.core.borrow().everybody();
        self.many(Ok(ids), Order::Start { wait })
    }

    fn stop_process(&self, name: &str, wait: bool) -> Later<Result<Acted, Fault>> {
        self.one_or_many(name, Order::Stop { wait }, |core, id| {
            core.order_stop(id, name, wait)
        })
    }

    fn stop_group(&self, name: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        let ids = self.core.borrow().members(name);
        self.many(ids, Order::Stop { wait })
    }

    fn stop_all(&self, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        let ids = self.core.borrow().everybody();
        self.many(Ok(ids), Order::Stop { wait })
    }

    fn signal_process(&self, name: &str, signal: &str) -> Result<Acted, Fault> {
        self.with(|core| match core.resolve(name)? {
            Resolved::One(id) => core.order_signal(id, name, signal).map(|()| Acted::One),
            Resolved::Group(group) => {
                let ids = core.members(&group)?;
                Ok(Acted::Many(core.signal_many(&ids, signal)))
            }
        })
    }

    fn signal_group(&self, name: &str, signal: &str) -> Result<Vec<ActionStatus>, Fault> {
        self.with(|core| {
            let ids = core.members(name)?;
            Ok(core.signal_many(&ids, signal))
        })
    }

    fn signal_all(&self, signal: &str) -> Result<Vec<ActionStatus>, Fault> {
        self.with(|core| {
            let ids = core.everybody();
            Ok(core.signal_many(&ids, signal))
        })
    }

    fn send_stdin(&self, name: &str, data: &[u8]) -> Result<(), Fault> {
        self.with(|core| core.send_stdin(name, data))
    }

    fn send_remote_event(&self, kind: &str, data: &str) {
        self.with(|core| {
            core.emit(crate::events::Event::RemoteCommunication {
                kind: kind.to_owned(),
                data: data.to_owned(),
            });
        });
    }

    fn reload_config(&self) -> Result<Reread, Fault> {
        self.with(Core::reread)
    }

    fn add_group(&self, name: &str) -> Result<(), Fault> {
        self.with(|core| core.add_group(name))
    }

    fn remove_group(&self, name: &str) -> Result<(), Fault> {
        self.with(|core| core.remove_group(name))
    }

    fn shutdown(&self) {
        self.with(|core| core.begin_ending(Outcome::Shutdown));
    }

    fn restart(&self) -> Result<(), Fault> {
        self.with(|core| {
            core.check_before_restart()
                .map_err(|why| Fault::about(FaultCode::CantReread, why))?;
            core.begin_ending(Outcome::Restart);
            Ok(())
        })
    }

    fn upgrade(&self) -> Result<(), Fault> {
        self.with(Core::upgrade)
    }

    fn explain(&self, name: &str) -> Result<serde_json::Value, Fault> {
        self.core.borrow().explain(name)
    }
}
