//! Every method: what it takes, what it returns, what it is for.

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    AddProcessGroup,
    ClearAllProcessLogs,
    ClearLog,
    ClearProcessLogs,
    GetApiVersion,
    GetAllConfigInfo,
    GetAllProcessInfo,
    GetIdentification,
    GetPid,
    GetProcessInfo,
    GetState,
    GetSupervisorVersion,
    ReadLog,
    ReadProcessStderrLog,
    ReadProcessStdoutLog,
    ReloadConfig,
    RemoveProcessGroup,
    Restart,
    SendProcessStdin,
    SendRemoteCommEvent,
    Shutdown,
    SignalAllProcesses,
    SignalProcess,
    SignalProcessGroup,
    StartAllProcesses,
    StartProcess,
    StartProcessGroup,
    StopAllProcesses,
    StopProcess,
    StopProcessGroup,
    TailProcessStderrLog,
    TailProcessStdoutLog,
    ListMethods,
    Help,
    Signature,
    Multicall,
    Explain,
    Upgrade,
}

/// What is known of a method.
#[derive(Debug)]
pub(super) struct Entry {
    /// With its namespace.
    pub(super) name: &'static str,
    /// Which.
    pub(super) method: Method,
    /// Type and name of what it returns.
    pub(super) returns: (&'static str, &'static str),
    /// Type and name of what it takes.
    pub(super) params: &'static [(&'static str, &'static str)],
    /// How many of these need not be given.
    pub(super) optional: usize,
    /// In words.
    pub(super) help: &'static str,
}

impl Entry {
    /// Its namespace.
    pub(super) fn namespace(&self) -> &'static str {
        self.name.split('.').next().unwrap_or_default()
    }
}

const NAME: (&str, &str) = ("string", "name");
const WAIT: (&str, &str) = ("boolean", "wait");
const SIGNAL: (&str, &str) = ("string", "signal");
const OFFSET: (&str, &str) = ("int", "offset");
const LENGTH: (&str, &str) = ("int", "length");
const DONE: (&str, &str) = ("boolean", "result");
const LIST: (&str, &str) = ("array", "result");
const WORDS: (&str, &str) = ("string", "result");

/// The method that is called so.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES
        .binary_search_by(|entry| entry.name.cmp(name))
        .ok()
        .and_then(|at| ENTRIES.get(at))
}

macro_rules! entries {
    ($($name:literal $method:ident ($($param:expr),*) $(optional $optional:literal)? -> $returns:expr, $help:literal;)*) => {
        /// All of them, by name.
        pub(super) const ENTRIES: &[Entry] = &[$(Entry {
            name: $name,
            method: Method::$method,
            returns: $returns,
            params: &[$($param),*],
            optional: 0 $(+ $optional)?,
            help: $help,
        }),*];
    };
}

entries! {
    "supervisor.addProcessGroup" AddProcessGroup(NAME) -> DONE,
        "Makes a group of the configuration that was read last an active one; its programs start as they are configured.";
    "supervisor.clearAllProcessLogs" ClearAllProcessLogs() -> LIST,
        "Empties the logs of all processes. One status for each.";
    "supervisor.clearLog" ClearLog() -> DONE,
        "Empties the main log.";
    "supervisor.clearProcessLog" ClearProcessLogs(NAME) -> DONE,
        "Another name of clearProcessLogs.";
    "supervisor.clearProcessLogs" ClearProcessLogs(NAME) -> DONE,
        "Empties the logs of both streams of a process.";
    "supervisor.getAPIVersion" GetApiVersion() -> ("string", "version"),
        "Version of this interface.";
    "supervisor.getAllConfigInfo" GetAllConfigInfo() -> LIST,
        "One struct for each process of the configuration that was read last: how it is configured.";
    "supervisor.getAllProcessInfo" GetAllProcessInfo() -> LIST,
        "One struct for each process, as getProcessInfo gives it.";
    "supervisor.getIdentification" GetIdentification() -> ("string", "identifier"),
        "What the supervisor calls itself.";
    "supervisor.getPID" GetPid() -> ("int", "PID"),
        "Process id of the supervisor.";
    "supervisor.getProcessInfo" GetProcessInfo(NAME) -> ("struct", "result"),
        "State, times and logs of a process.";
    "supervisor.getState" GetState() -> ("struct", "state"),
        "What the supervisor is doing: statecode and statename.";
    "supervisor.getSupervisorVersion" GetSupervisorVersion() -> ("string", "version"),
        "Version of Supervisor that this one stands in for.";
    "supervisor.getVersion" GetApiVersion() -> ("string", "version"),
        "Another name of getAPIVersion.";
    "supervisor.readLog" ReadLog(OFFSET, LENGTH) -> WORDS,
        "Part of the main log: from an offset; or, where the offset is negative and the length 0, its last bytes.";
    "supervisor.readMainLog" ReadLog(OFFSET, LENGTH) -> WORDS,
        "Another name of readLog.";
    "supervisor.readProcessLog" ReadProcessStdoutLog(NAME, OFFSET, LENGTH) -> WORDS,
        "Another name of readProcessStdoutLog.";
    "supervisor.readProcessStderrLog" ReadProcessStderrLog(NAME, OFFSET, LENGTH) -> WORDS,
        "Part of the log of what a process writes to its standard error, as readLog.";
    "supervisor.readProcessStdoutLog" ReadProcessStdoutLog(NAME, OFFSET, LENGTH) -> WORDS,
        "Part of the log of what a process writes to its standard output, as readLog.";
    "supervisor.reloadConfig" ReloadConfig() -> LIST,
        "Reads the configuration again and applies none of it: which groups are new, which are different, which are gone.";
    "supervisor.removeProcessGroup" RemoveProcessGroup(NAME) -> DONE,
        "Makes a group inactive that has no running process.";
    "supervisor.restart" Restart() -> DONE,
        "Stops everything and starts it anew, with the configuration as it is then.";
    "supervisor.sendProcessStdin" SendProcessStdin(NAME, ("string", "chars")) -> DONE,
        "Writes to the standard input of a process; base64 for anything that is not text.";
    "supervisor.sendRemoteCommEvent" SendRemoteCommEvent(("string", "type"), ("string", "data")) -> DONE,
        "Sends an event to the event listeners that want remote communication.";
    "supervisor.shutdown" Shutdown() -> DONE,
        "Stops everything, and the supervisor with it.";
    "supervisor.signalAllProcesses" SignalAllProcesses(SIGNAL) -> LIST,
        "Sends a signal, by name or number, to every process that runs. One status for each.";
    "supervisor.signalProcess" SignalProcess(NAME, SIGNAL) -> DONE,
        "Sends a signal, by name or number, to a process.";
    "supervisor.signalProcessGroup" SignalProcessGroup(NAME, SIGNAL) -> LIST,
        "Sends a signal, by name or number, to every process of a group that runs. One status for each.";
    "supervisor.startAllProcesses" StartAllProcesses(WAIT) optional 1 -> LIST,
        "Starts every process that does not run. One status for each.";
    "supervisor.startProcess" StartProcess(NAME, WAIT) optional 1 -> DONE,
        "Starts a process, or all of a group (group:*). Answers when it runs, unless told not to wait.";
    "supervisor.startProcessGroup" StartProcessGroup(NAME, WAIT) optional 1 -> LIST,
        "Starts every process of a group that does not run. One status for each.";
    "supervisor.stopAllProcesses" StopAllProcesses(WAIT) optional 1 -> LIST,
        "Stops every process that runs. One status for each.";
    "supervisor.stopProcess" StopProcess(NAME, WAIT) optional 1 -> DONE,
        "Stops a process, or all of a group (group:*). Answers when it has ended, unless told not to wait.";
    "supervisor.stopProcessGroup" StopProcessGroup(NAME, WAIT) optional 1 -> LIST,
        "Stops every process of a group that runs. One status for each.";
    "supervisor.tailProcessLog" TailProcessStdoutLog(NAME, OFFSET, LENGTH) -> LIST,
        "Another name of tailProcessStdoutLog.";
    "supervisor.tailProcessStderrLog" TailProcessStderrLog(NAME, OFFSET, LENGTH) -> LIST,
        "As tailProcessStdoutLog, of standard error.";
    "supervisor.tailProcessStdoutLog" TailProcessStdoutLog(NAME, OFFSET, LENGTH) -> LIST,
        "What was added to the log of standard output since an offset, at most so many bytes: the bytes, the offset to ask with next, and whether some were left out.";
    "system.listMethods" ListMethods() -> LIST,
        "Names of all methods.";
    "system.methodHelp" Help(NAME) -> WORDS,
        "What a method is for.";
    "system.methodSignature" Signature(NAME) -> LIST,
        "Types: of what a method returns, then of what it takes.";
    "system.multicall" Multicall(("array", "calls")) -> LIST,
        "Makes several calls, one after the other. Each is a struct of methodName and params; for each there is its result, or a struct of faultCode and faultString.";
    "ward.explain" Explain(NAME) -> WORDS,
        "How a process is configured, where each value comes from, and how it last ended: JSON.";
    "ward.upgrade" Upgrade() -> DONE,
        "Has the supervisor replaced by the program that is installed now; nothing that runs notices.";
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, find};

    #[test]
    fn the_table_is_sorted_and_everything_in_it_is_found() {
        for pair in ENTRIES.windows(2) {
            assert!(
                pair[0].name < pair[1].name,
                "{} {}",
                pair[0].name,
                pair[1].name
            );
        }
        for entry in ENTRIES {
            assert_eq!(find(entry.name).map(|found| found.name), Some(entry.name));
            assert!(entry.optional <= entry.params.len());
        }
        assert!(find("supervisor.nothing").is_none());
        assert!(find("").is_none());
    }
}
