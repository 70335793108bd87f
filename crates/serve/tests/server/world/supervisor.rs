//! A supervisor that is kept in memory: `a`, a group `w` of two, and whatever a test adds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use ward_supervise::api::{
    Acted, ActionStatus, ConfigInfo, Control, DaemonState, Fault, FaultCode, Later, ProcessInfo,
    Reread, Stream, StreamInfo,
};

/// What tests look at, from other threads.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Lets those go on who wait for a start or stop of `slow`.
    pub(crate) release: Notify,
    directory: PathBuf,
}

struct State {
    calls: Vec<String>,
    processes: Vec<(String, String)>,
    daemon: DaemonState,
}

impl Shared {
    pub(crate) fn new(directory: &Path) -> Self {
        let process = |group: &str, name: &str| (group.to_owned(), name.to_owned());
        Self {
            state: Mutex::new(State {
                calls: Vec::new(),
                processes: vec![
                    process("a", "a"),
                    process("slow", "slow"),
                    process("w", "w_0"),
                    process("w", "w_1"),
                ],
                daemon: DaemonState::Running,
            }),
            release: Notify::new(),
            directory: directory.to_owned(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    pub(crate) fn add(&self, group: &str, name: &str) {
        let mut state = self.state();
        state.processes.push((group.to_owned(), name.to_owned()));
    }

    pub(crate) fn become_state(&self, daemon: DaemonState) {
        self.state().daemon = daemon;
    }

    fn note(&self, call: String) {
        self.state().calls.push(call);
    }

    /// A process, or the group if all of it is meant.
    fn find(&self, name: &str) -> Result<Found, Fault> {
        let state = self.state();
        let (group, process) = match name.split_once(':') {
            Some((group, "" | "*")) => (group, None),
            Some((group, process)) => (group, Some(process)),
            None => (name, Some(name)),
        };
        let found = match process {
            Some(process) => state
                .processes
                .iter()
                .find(|(of, called)| of == group && called == process)
                .map(|(group, name)| Found::One(group.clone(), name.clone())),
            None => state
                .processes
                .iter()
                .any(|(of, _)| of == group)
                .then(|| Found::All(group.to_owned())),
        };
        found.ok_or_else(|| Fault::about(FaultCode::BadName, name))
    }

    fn one(&self, name: &str) -> Result<(String, String), Fault> {
        match self.find(name)? {
            Found::One(group, name) => Ok((group, name)),
            Found::All(_) => Err(Fault::about(FaultCode::BadName, name)),
        }
    }

    fn statuses(&self, group: Option<&str>) -> Vec<ActionStatus> {
        let state = self.state();
        let processes = state.processes.iter();
        processes
            .filter(|(of, _)| group.is_none_or(|group| of == group))
            .map(|(group, name)| ActionStatus {
                name: name.clone(),
                group: group.clone(),
                status: FaultCode::Success,
                description: "OK".to_owned(),
            })
            .collect()
    }

    fn info(&self, group: &str, name: &str) -> ProcessInfo {
        let log = |stream: &str| {
            let file = self.directory.join(format!("{name}.{stream}"));
            file.display().to_string()
        };
        ProcessInfo {
            name: name.to_owned(),
            group: group.to_owned(),
            start: 1_700_000_000,
            stop: 0,
            now: 1 << 40,
            state: if name == "w_1" { 0 } else { 20 },
            statename: if name == "w_1" { "STOPPED" } else { "RUNNING" },
            spawnerr: String::new(),
            exitstatus: 0,
            stdout_logfile: log("out"),
            stderr_logfile: String::new(),
            pid: 42,
            description: "pid 42, uptime 0:00:01".to_owned(),
        }
    }
}

enum Found {
    One(String, String),
    All(String),
}

/// As the server sees it.
pub(crate) struct Memory(pub(crate) Arc<Shared>);

impl Memory {
    fn acting(&self, verb: &str, name: &str, wait: bool) -> Later<Result<Acted, Fault>> {
        let shared = Arc::clone(&self.0);
        shared.note(format!("{verb} {name} {wait}"));
        let found = shared.find(name);
        let slow = name == "slow" && wait;
        Box::pin(async move {
            let found = found?;
            if slow {
                shared.release.notified().await;
            }
            Ok(match found {
                Found::One(..) => Acted::One,
                Found::All(group) => Acted::Many(shared.statuses(Some(&group))),
            })
        })
    }

    fn group(&self, verb: &str, name: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        self.0.note(format!("{verb} {name} {wait}"));
        let found = self.0.find(&format!("{name}:*"));
        let statuses = self.0.statuses(Some(name));
        let name = name.to_owned();
        Box::pin(async move {
            found
                .map(|_| statuses)
                .map_err(|_| Fault::about(FaultCode::BadName, name))
        })
    }

    fn everything(&self, verb: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        self.0.note(format!("{verb} {wait}"));
        let statuses = self.0.statuses(None);
        Box::pin(async move { Ok(statuses) })
    }
}

impl Control for Memory {
    fn identification(&self) -> String {
        "in <memory>".to_owned()
    }

    fn state(&self) -> DaemonState {
        self.0.state().daemon
    }

    fn pid(&self) -> i32 {
        4711
    }

    fn main_log(&self) -> Option<PathBuf> {
        Some(self.0.directory.join("main.log"))
    }

    fn clear_log(&self) -> Result<(), Fault> {
        Err(Fault::plain(FaultCode::NoFile))
    }

    fn process_info(&self, name: &str) -> Result<ProcessInfo, Fault> {
        let (group, name) = self.0.one(name)?;
        Ok(self.0.info(&group, &name))
    }

    fn all_process_info(&self) -> Vec<ProcessInfo> {
        let processes = self.0.state().processes.clone();
        let infos = processes.iter();
        infos
            .map(|(group, name)| self.0.info(group, name))
            .collect()
    }

    fn all_config_info(&self) -> Vec<ConfigInfo> {
        let stream = StreamInfo {
            logfile: "auto".to_owned(),
            logfile_maxbytes: 50 << 20,
            logfile_backups: 10,
            capture_maxbytes: 0,
            events_enabled: false,
            syslog: false,
        };
        vec![ConfigInfo {
            group: "a".to_owned(),
            name: "a".to_owned(),
            inuse: true,
            autostart: true,
            autorestart: "auto".to_owned(),
            directory: None,
            uid: None,
            command: "sleep 1".to_owned(),
            exitcodes: vec![0, 2],
            group_prio: 999,
            process_prio: 999,
            killasgroup: false,
            stopasgroup: false,
            redirect_stderr: false,
            startretries: 3,
            startsecs: 1,
            stdout: stream.clone(),
            stderr: stream,
            stopsignal: 15,
            stopwaitsecs: 10,
            serverurl: None,
        }]
    }

    fn process_log(&self, name: &str, stream: Stream) -> Result<PathBuf, Fault> {
        let (_, name) = self.0.one(name)?;
        match stream {
            Stream::Stdout => Ok(self.0.directory.join(format!("{name}.out"))),
            Stream::Stderr => Err(Fault::plain(FaultCode::NoFile)),
        }
    }

    fn clear_process_logs(&self, name: &str) -> Result<(), Fault> {
        self.0.note(format!("clear {name}"));
        self.0.one(name).map(|_| ())
    }

    fn clear_all_process_logs(&self) -> Vec<ActionStatus> {
        self.0.statuses(None)
    }

    fn start_process(&self, name: &str, wait: bool) -> Later<Result<Acted, Fault>> {
        self.acting("start", name, wait)
    }

    fn start_group(&self, name: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        self.group("start group", name, wait)
    }

    fn start_all(&self, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        self.everything("start all", wait)
    }

    fn stop_process(&self, name: &str, wait: bool) -> Later<Result<Acted, Fault>> {
        self.acting("stop", name, wait)
    }

    fn stop_group(&self, name: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        self.group("stop group", name, wait)
    }

    fn stop_all(&self, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>> {
        self.everything("stop all", wait)
    }

    fn signal_process(&self, name: &str, signal: &str) -> Result<Acted, Fault> {
        self.0.note(format!("signal {name} {signal}"));
        if signal == "FOO" {
            return Err(Fault::about(FaultCode::BadSignal, signal));
        }
        self.0.find(name).map(|_| Acted::One)
    }

    fn signal_group(&self, name: &str, signal: &str) -> Result<Vec<ActionStatus>, Fault> {
        self.0.note(format!("signal group {name} {signal}"));
        Ok(self.0.statuses(Some(name)))
    }

    fn signal_all(&self, signal: &str) -> Result<Vec<ActionStatus>, Fault> {
        self.0.note(format!("signal all {signal}"));
        Ok(self.0.statuses(None))
    }

    fn send_stdin(&self, name: &str, data: &[u8]) -> Result<(), Fault> {
        self.0.note(format!("stdin {name} {data:?}"));
        self.0.one(name).map(|_| ())
    }

    fn send_remote_event(&self, kind: &str, data: &str) {
        self.0.note(format!("event {kind} {data}"));
    }

    fn reload_config(&self) -> Result<Reread, Fault> {
        Ok(Reread {
            added: vec!["new".to_owned()],
            changed: Vec::new(),
            removed: vec!["old".to_owned()],
        })
    }

    fn add_group(&self, name: &str) -> Result<(), Fault> {
        Err(Fault::about(FaultCode::AlreadyAdded, name))
    }

    fn remove_group(&self, name: &str) -> Result<(), Fault> {
        Err(Fault::about(FaultCode::StillRunning, name))
    }

    fn shutdown(&self) {
        self.0.note("shutdown".to_owned());
    }

    fn restart(&self) -> Result<(), Fault> {
        self.0.note("restart".to_owned());
        Ok(())
    }

    fn explain(&self, name: &str) -> Result<serde_json::Value, Fault> {
        let (_, name) = self.0.one(name)?;
        Ok(serde_json::json!({ "name": name }))
    }
}
