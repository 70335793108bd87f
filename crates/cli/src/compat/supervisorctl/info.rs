//! What a supervisor tells of its processes, typed.

use ward_serve::xmlrpc::Value;

use super::call::{CallError, fault};
use super::names::short;

/// What getAllProcessInfo tells of one process. What an older or other server leaves out is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) state: i64,
    pub(super) statename: String,
    pub(super) description: String,
    pub(super) pid: i64,
    pub(super) start: i64,
    pub(super) stop: i64,
    pub(super) now: i64,
    pub(super) exitstatus: i64,
    pub(super) spawnerr: String,
    pub(super) stdout_logfile: String,
    pub(super) stderr_logfile: String,
}

/// The state of a process that runs, by number.
pub(super) const RUNNING: i64 = 20;

impl Info {
    pub(super) fn of(value: Value) -> Result<Self, CallError> {
        let Value::Struct(members) = value else {
            return Err(CallError::Shape("getProcessInfo"));
        };
        let mut info = Self::default();
        for (key, value) in members {
            match (key.as_str(), value) {
                ("group", Value::Text(text)) => info.group = text,
                ("name", Value::Text(text)) => info.name = text,
                ("statename", Value::Text(text)) => info.statename = text,
                ("description", Value::Text(text)) => info.description = text,
                ("spawnerr", Value::Text(text)) => info.spawnerr = text,
                ("stdout_logfile", Value::Text(text)) => info.stdout_logfile = text,
                ("stderr_logfile", Value::Text(text)) => info.stderr_logfile = text,
                ("state", Value::Int(number)) => info.state = number,
                ("pid", Value::Int(number)) => info.pid = number,
                ("start", Value::Int(number)) => info.start = number,
                ("stop", Value::Int(number)) => info.stop = number,
                ("now", Value::Int(number)) => info.now = number,
                ("exitstatus", Value::Int(number)) => info.exitstatus = number,
                _ => {}
            }
        }
        Ok(info)
    }

    /// All of an array.
    pub(super) fn all(value: Value) -> Result<Vec<Self>, CallError> {
        let Value::Array(values) = value else {
            return Err(CallError::Shape("getAllProcessInfo"));
        };
        values.into_iter().map(Self::of).collect()
    }

    pub(super) fn short(&self) -> String {
        short(&self.group, &self.name)
    }

    /// STOPPED, EXITED, FATAL and UNKNOWN.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, 0 | 100 | 200 | 1000)
    }
}

/// What became of one process of several, or of one that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) group: String,
    pub(super) name: String,
    /// The number of a fault.
    pub(super) status: i32,
    /// The fault's text.
    pub(super) description: String,
}

impl Outcome {
    /// All of an array.
    pub(super) fn all(value: Value) -> Result<Vec<Self>, CallError> {
        let bad = || CallError::Shape("a call for several processes");
        let Value::Array(values) = value else {
            return Err(bad());
        };
        let one = |value: &Value| {
            let text = |key| value.member(key).and_then(Value::as_text);
            let status = value.member("status").and_then(Value::as_int);
            Some(Self {
                group: text("group")?.to_owned(),
                name: text("name")?.to_owned(),
                status: i32::try_from(status?).ok()?,
                description: text("description").unwrap_or_default().to_owned(),
            })
        };
        values
            .iter()
            .map(|value| one(value).ok_or_else(bad))
            .collect()
    }

    /// `result` of a call for one process; what is no fault stays what it is.
    pub(super) fn one(
        group: &str,
        name: &str,
        result: Result<Value, CallError>,
    ) -> Result<Self, CallError> {
        let (status, description) = match result {
            Ok(_) => (fault::SUCCESS, String::new()),
            Err(CallError::Fault(fault)) => (fault.code, fault.text),
            Err(error) => return Err(error),
        };
        Ok(Self {
            group: group.to_owned(),
            name: name.to_owned(),
            status,
            description,
        })
    }

    pub(super) fn short(&self) -> String {
        short(&self.group, &self.name)
    }

    /// The original has no word for it.
    pub(super) fn unknown(&self) -> CallError {
        CallError::Result {
            code: self.status,
            name: self.short(),
        }
    }
}
