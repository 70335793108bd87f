//! Events: what each is called, and what a listener is told of it. Names and payloads are Supervisor's.

use ward_model::program::{Change, State};

use super::quote::text_or_quoted;
use super::tick::Period;
use crate::api::Stream;

/// The process that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Who {
    /// It.
    pub process: String,
    /// Its group.
    pub group: String,
}

/// Something that listeners may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The state of a process changed.
    ProcessState {
        /// Whose.
        who: Who,
        /// How.
        change: Change,
    },
    /// A process wrote something.
    ProcessLog {
        /// Which.
        who: Who,
        /// Its number.
        pid: i32,
        /// Where to.
        stream: Stream,
        /// What, as it was read.
        data: Vec<u8>,
    },
    /// A process wrote something between the tags that make it a message.
    ProcessCommunication {
        /// Which.
        who: Who,
        /// Its number.
        pid: i32,
        /// Where to.
        stream: Stream,
        /// What, without the tags.
        data: Vec<u8>,
    },
    /// A client sent a message.
    RemoteCommunication {
        /// What sort of.
        kind: String,
        /// The message.
        data: String,
    },
    /// The supervisor has started.
    SupervisorRunning,
    /// The supervisor is ending.
    SupervisorStopping,
    /// Time has gone by.
    Tick {
        /// How much.
        period: Period,
        /// A multiple of it, in seconds since 1970.
        when: i64,
    },
    /// There is a group.
    GroupAdded {
        /// Its name.
        group: String,
    },
    /// There is no such group any more.
    GroupRemoved {
        /// Its name.
        group: String,
    },
}

/// What the length of a payload is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LengthIn {
    /// Characters, as Supervisor does whatever its documentation says: listeners in Python read text.
    /// Bytes that are no text are told in quotes.
    #[default]
    Characters,
    /// Bytes, for listeners that read bytes. Every byte is told as it is.
    Bytes,
}

impl Event {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProcessState { change, .. } => match change.to {
                State::Stopped => "PROCESS_STATE_STOPPED",
                State::Starting => "PROCESS_STATE_STARTING",
                State::Running => "PROCESS_STATE_RUNNING",
                State::Backoff => "PROCESS_STATE_BACKOFF",
                State::Stopping => "PROCESS_STATE_STOPPING",
                State::Exited => "PROCESS_STATE_EXITED",
                State::Fatal => "PROCESS_STATE_FATAL",
                State::Unknown => "PROCESS_STATE_UNKNOWN",
            },
            Self::ProcessLog { stream, .. } => match stream {
                Stream::Stdout => "PROCESS_LOG_STDOUT",
                Stream::Stderr => "PROCESS_LOG_STDERR",
            },
            Self::ProcessCommunication { stream, .. } => match stream {
                Stream::Stdout => "PROCESS_COMMUNICATION_STDOUT",
                Stream::Stderr => "PROCESS_COMMUNICATION_STDERR",
            },
            Self::RemoteCommunication { .. } => "REMOTE_COMMUNICATION",
            Self::SupervisorRunning => "SUPERVISOR_STATE_CHANGE_RUNNING",
            Self::SupervisorStopping => "SUPERVISOR_STATE_CHANGE_STOPPING",
            Self::Tick { period, .. } => match period {
                Period::FiveSeconds => "TICK_5",
                Period::Minute => "TICK_60",
                Period::Hour => "TICK_3600",
            },
            Self::GroupAdded { .. } => "PROCESS_GROUP_ADDED",
            Self::GroupRemoved { .. } => "PROCESS_GROUP_REMOVED",
        }
    }

    /// What a listener is told of it, besides the header.
    #[must_use]
    pub fn payload(&self, length_in: LengthIn) -> Vec<u8> {
        match self {
            Self::ProcessState { who, change } => {
                let rest = match change.to {
                    State::Starting | State::Backoff => format!(" tries:{}", change.tries),
                    State::Running | State::Stopping | State::Stopped => {
                        format!(" pid:{}", change.pid)
                    }
                    State::Exited => {
                        format!(" expected:{} pid:{}", u8::from(change.expected), change.pid)
                    }
                    State::Fatal | State::Unknown => String::new(),
                };
                format!("{who} from_state:{}{rest}", change.from).into_bytes()
            }
            Self::ProcessLog {
                who,
                pid,
                stream,
                data,
            } => {
                let head = format!("{who} pid:{pid} channel:{}\n", stream.word());
                with_data(head, data, length_in)
            }
            Self::ProcessCommunication { who, pid, data, .. } => {
                with_data(format!("{who} pid:{pid}\n"), data, length_in)
            }
            Self::RemoteCommunication { kind, data } => format!("type:{kind}\n{data}").into_bytes(),
            Self::SupervisorRunning | Self::SupervisorStopping => Vec::new(),
            Self::Tick { when, .. } => format!("when:{when}").into_bytes(),
            Self::GroupAdded { group } | Self::GroupRemoved { group } => {
                format!("groupname:{group}\n").into_bytes()
            }
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "processname:{} groupname:{}", self.process, self.group)
    }
}

fn with_data(head: String, data: &[u8], length_in: LengthIn) -> Vec<u8> {
    let mut payload = head.into_bytes();
    match length_in {
        LengthIn::Characters => payload.extend_from_slice(text_or_quoted(data).as_bytes()),
        LengthIn::Bytes => payload.extend_from_slice(data),
    }
    payload
}

/// What the header of an event tells besides the event.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Of the supervisor.
    pub identifier: &'a str,
    /// The listeners' pool.
    pub pool: &'a str,
    /// Of the event, among all that any pool took.
    pub serial: u64,
    /// Of the event, among those that this pool took.
    pub pool_serial: u64,
    /// What its length is counted in.
    pub length_in: LengthIn,
}

impl Envelope<'_> {
    /// Header and payload, as a listener reads them.
    #[must_use]
    pub fn around(&self, event: &Event) -> Vec<u8> {
        let payload = event.payload(self.length_in);
        let len = match self.length_in {
            LengthIn::Characters => String::from_utf8_lossy(&payload).chars().count(),
            LengthIn::Bytes => payload.len(),
        };
        let mut bytes = format!(
            "ver:3.0 server:{} serial:{} pool:{} poolserial:{} eventname:{} len:{len}\n",
            self.identifier,
            self.serial,
            self.pool,
            self.pool_serial,
            event.name()
        )
        .into_bytes();
        bytes.extend_from_slice(&payload);
        bytes
    }
}
