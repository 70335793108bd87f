//! What can be asked of a supervisor: the operations of Supervisor's XML-RPC interface, typed.
//!
//! A name is a process (`proc`, where its group is called the same; `group:proc`) or, where it is said,
//! all of a group (`group:*` or `group:`). Faults carry the name as it was given, as clients read it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use thiserror::Error;

/// An answer that may take its time; dropping it leaves what was begun to go on.
pub type Later<T> = Pin<Box<dyn Future<Output = T>>>;

/// Why something was not done; the number and the word are Supervisor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// No such method.
    UnknownMethod = 1,
    /// Too many or too few parameters.
    IncorrectParameters = 2,
    /// A parameter has no meaning.
    BadArguments = 3,
    /// No signature of a method is known.
    SignatureUnsupported = 4,
    /// The supervisor is ending.
    ShutdownState = 6,
    /// No process or group is called so.
    BadName = 10,
    /// No signal is called so.
    BadSignal = 11,
    /// No such file.
    NoFile = 20,
    /// A file that cannot be executed.
    NotExecutable = 21,
    /// It did not work.
    Failed = 30,
    /// Ended while somebody waited for its start.
    AbnormalTermination = 40,
    /// Could not be started, or ended too early.
    SpawnError = 50,
    /// Runs already.
    AlreadyStarted = 60,
    /// Does not run.
    NotRunning = 70,
    /// No fault: the status of a member of a group that was started or stopped.
    Success = 80,
    /// The group is there already.
    AlreadyAdded = 90,
    /// A process of the group runs.
    StillRunning = 91,
    /// The configuration cannot be read again.
    CantReread = 92,
}

impl FaultCode {
    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }

    /// Its word, as in `faultString`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UnknownMethod => "UNKNOWN_METHOD",
            Self::IncorrectParameters => "INCORRECT_PARAMETERS",
            Self::BadArguments => "BAD_ARGUMENTS",
            Self::SignatureUnsupported => "SIGNATURE_UNSUPPORTED",
            Self::ShutdownState => "SHUTDOWN_STATE",
            Self::BadName => "BAD_NAME",
            Self::BadSignal => "BAD_SIGNAL",
            Self::NoFile => "NO_FILE",
            Self::NotExecutable => "NOT_EXECUTABLE",
            Self::Failed => "FAILED",
            Self::AbnormalTermination => "ABNORMAL_TERMINATION",
            Self::SpawnError => "SPAWN_ERROR",
            Self::AlreadyStarted => "ALREADY_STARTED",
            Self::NotRunning => "NOT_RUNNING",
            Self::Success => "SUCCESS",
            Self::AlreadyAdded => "ALREADY_ADDED",
            Self::StillRunning => "STILL_RUNNING",
            Self::CantReread => "CANT_REREAD",
        }
    }
}

/// A refusal: `WORD` or `WORD: extra`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{}{}", code.word(), if extra.is_some() { ": " } else { "" }, extra.as_deref().unwrap_or_default())]
pub struct Fault {
    /// Which.
    pub code: FaultCode,
    /// What clients find after the word; often the name as it was given, which may be empty.
    pub extra: Option<String>,
}

impl Fault {
    /// With nothing after the word.
    #[must_use]
    pub fn plain(code: FaultCode) -> Self {
        Self { code, extra: None }
    }

    /// With something after it.
    #[must_use]
    pub fn about(code: FaultCode, extra: impl Into<String>) -> Self {
        Self {
            code,
            extra: Some(extra.into()),
        }
    }
}

/// What the supervisor as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonState {
    /// It cannot go on.
    Fatal = 2,
    /// As usual.
    Running = 1,
    /// Everything is being stopped, to be started with the configuration read anew.
    Restarting = 0,
    /// Everything is being stopped, for good.
    Shutdown = -1,
}

impl DaemonState {
    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::Shutdown => "SHUTDOWN",
        }
    }

    /// Whether it takes no more orders.
    #[must_use]
    pub fn is_ending(self) -> bool {
        match self {
            Self::Restarting | Self::Shutdown => true,
            Self::Fatal | Self::Running => false,
        }
    }
}

/// One of the two output streams of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both, each at its [`Stream::index`].
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// 0 for output, 1 for errors.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }

    /// `stdout` or `stderr`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What getProcessInfo tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// The process.
    pub name: String,
    /// Its group.
    pub group: String,
    /// When it was last started, in seconds since 1970; 0 for never.
    pub start: i64,
    /// When it last ended, likewise.
    pub stop: i64,
    /// What the time is.
    pub now: i64,
    /// Its state (0 to 1000).
    pub state: i32,
    /// The word for it.
    pub statename: &'static str,
    /// Why it was not started; empty where it was.
    pub spawnerr: String,
    /// Its last exit code; -1 for a signal, 0 while it runs.
    pub exitstatus: i32,
    /// The file of its output; empty for none.
    pub stdout_logfile: String,
    /// The file of its errors; empty for none.
    pub stderr_logfile: String,
    /// Its process id; 0 for none.
    pub pid: i32,
    /// For people, as `status` prints it.
    pub description: String,
}

/// What getAllConfigInfo tells of one process; `None` is `none` on the wire, AUTO is `auto`.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "as many as the interface has"
)]
pub struct ConfigInfo {
    /// Of the group.
    pub group: String,
    /// Of the process.
    pub name: String,
    /// Whether the group is active.
    pub inuse: bool,
    /// As configured.
    pub autostart: bool,
    /// `auto`: whether it is started again after an end (4.4).
    pub autorestart: String,
    /// As configured.
    pub directory: Option<String>,
    /// Of the user, if one is set.
    pub uid: Option<u32>,
    /// As configured.
    pub command: String,
    /// As configured.
    pub exitcodes: Vec<u8>,
    /// Priority of the group.
    pub group_prio: i64,
    /// Priority of the process.
    pub process_prio: i64,
    /// As configured.
    pub killasgroup: bool,
    /// As configured.
    pub stopasgroup: bool,
    /// As configured.
    pub redirect_stderr: bool,
    /// As configured.
    pub startretries: i64,
    /// As configured.
    pub startsecs: i64,
    /// Output.
    pub stdout: StreamInfo,
    /// Errors.
    pub stderr: StreamInfo,
    /// Number of the signal.
    pub stopsignal: i32,
    /// As configured.
    pub stopwaitsecs: i64,
    /// As configured.
    pub serverurl: Option<String>,
}

/// The part of [`ConfigInfo`] about one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// `none`, `auto`, `syslog` or a path.
    pub logfile: String,
    /// In bytes.
    pub logfile_maxbytes: i64,
    /// How many.
    pub logfile_backups: i64,
    /// In bytes.
    pub capture_maxbytes: i64,
    /// Whether output is made into events.
    pub events_enabled: bool,
    /// Whether it goes to syslog.
    pub syslog: bool,
}

/// What became of one process of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionStatus {
    /// The process.
    pub name: String,
    /// Its group.
    pub group: String,
    /// [`FaultCode::Success`] or the fault.
    pub status: FaultCode,
    /// `OK` or the text of the fault.
    pub description: String,
}

/// Answer to an order about a name that may be one process or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// One: done.
    One,
    /// What became of each that was acted on.
    Many(Vec<ActionStatus>),
}

/// Part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Its bytes.
    pub data: Vec<u8>,
    /// The size of the log: where the next one begins.
    pub offset: i64,
    /// Whether something before it was left out.
    pub overflow: bool,
}

/// What differs between the configuration in use and its file: names of groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reread {
    /// New ones.
    pub added: Vec<String>,
    /// Others than they were.
    pub changed: Vec<String>,
    /// Gone ones.
    pub removed: Vec<String>,
}

/// A supervisor, as its network face sees it. Single-threaded.
///
/// Whether the supervisor is ending is asked with [`Control::state`] by who offers these to clients:
/// all `supervisor.*` methods fault with [`FaultCode::ShutdownState`] then.
pub trait Control {
    /// getIdentification.
    fn identification(&self) -> String;
    /// getState.
    fn state(&self) -> DaemonState;
    /// getPID: of the process that was started by the user.
    fn pid(&self) -> i32;
    /// The file of the main log, if it has one.
    fn main_log(&self) -> Option<PathBuf>;
    /// clearLog.
    ///
    /// # Errors
    /// `NO_FILE`, `FAILED`.
    fn clear_log(&self) -> Result<(), Fault>;

    /// getProcessInfo.
    ///
    /// # Errors
    /// `BAD_NAME`.
    fn process_info(&self, name: &str) -> Result<ProcessInfo, Fault>;
    /// getAllProcessInfo, by group and name.
    fn all_process_info(&self) -> Vec<ProcessInfo>;
    /// getAllConfigInfo, by name of the process.
    fn all_config_info(&self) -> Vec<ConfigInfo>;

    /// The file of a process's output.
    ///
    /// # Errors
    /// `BAD_NAME`; `NO_FILE` where there is none.
    fn process_log(&self, name: &str, stream: Stream) -> Result<PathBuf, Fault>;
    /// clearProcessLogs.
    ///
    /// # Errors
    /// `BAD_NAME`, `FAILED`.
    fn clear_process_logs(&self, name: &str) -> Result<(), Fault>;
    /// clearAllProcessLogs.
    fn clear_all_process_logs(&self) -> Vec<ActionStatus>;

    /// startProcess; `wait`: until it runs or has failed to.
    fn start_process(&self, name: &str, wait: bool) -> Later<Result<Acted, Fault>>;
    /// startProcessGroup.
    fn start_group(&self, name: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>>;
    /// startAllProcesses.
    fn start_all(&self, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>>;
    /// stopProcess; `wait`: until it has ended.
    fn stop_process(&self, name: &str, wait: bool) -> Later<Result<Acted, Fault>>;
    /// stopProcessGroup.
    fn stop_group(&self, name: &str, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>>;
    /// stopAllProcesses.
    fn stop_all(&self, wait: bool) -> Later<Result<Vec<ActionStatus>, Fault>>;
    /// signalProcess.
    ///
    /// # Errors
    /// `BAD_SIGNAL`, `BAD_NAME`, `NOT_RUNNING`.
    fn signal_process(&self, name: &str, signal: &str) -> Result<Acted, Fault>;
    /// signalProcessGroup.
    ///
    /// # Errors
    /// `BAD_SIGNAL`, `BAD_NAME`.
    fn signal_group(&self, name: &str, signal: &str) -> Result<Vec<ActionStatus>, Fault>;
    /// signalAllProcesses.
    ///
    /// # Errors
    /// `BAD_SIGNAL`.
    fn signal_all(&self, signal: &str) -> Result<Vec<ActionStatus>, Fault>;
    /// sendProcessStdin.
    ///
    /// # Errors
    /// `BAD_NAME`, `NOT_RUNNING`, `NO_FILE`.
    fn send_stdin(&self, name: &str, data: &[u8]) -> Result<(), Fault>;
    /// sendRemoteCommEvent.
    fn send_remote_event(&self, kind: &str, data: &str);

    /// reloadConfig: reads the file again; nothing is applied.
    ///
    /// # Errors
    /// `CANT_REREAD`.
    fn reload_config(&self) -> Result<Reread, Fault>;
    /// addProcessGroup.
    ///
    /// # Errors
    /// `ALREADY_ADDED`, `BAD_NAME`.
    fn add_group(&self, name: &str) -> Result<(), Fault>;
    /// removeProcessGroup.
    ///
    /// # Errors
    /// `STILL_RUNNING`, `BAD_NAME`.
    fn remove_group(&self, name: &str) -> Result<(), Fault>;
    /// shutdown.
    fn shutdown(&self);
    /// restart.
    ///
    /// # Errors
    /// `CANT_REREAD`: nothing is stopped for a configuration that cannot be read.
    fn restart(&self) -> Result<(), Fault>;

    /// Ours: how a process is configured, where each value came from, and how it last ended. Environment
    /// values are told to nobody who could not read the file: only names.
    ///
    /// # Errors
    /// `BAD_NAME`.
    fn explain(&self, name: &str) -> Result<serde_json::Value, Fault>;

    /// Ours: has the daemon replaced by the program that is installed now, while everything runs on.
    ///
    /// # Errors
    /// `UNKNOWN_METHOD` where this cannot be done at all; `FAILED`.
    fn upgrade(&self) -> Result<(), Fault> {
        Err(Fault::plain(FaultCode::UnknownMethod))
    }
}
