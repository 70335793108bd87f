//! What is told about processes, as structs with the members that clients know.

use ward_supervise::api::{Acted, ActionStatus, ConfigInfo, ProcessInfo, Tail};

use crate::xmlrpc::Value;

/// getProcessInfo.
pub(super) fn process(info: &ProcessInfo) -> Value {
    Value::members([
        ("name", text(&info.name)),
        ("group", text(&info.group)),
        ("start", Value::Int(info.start)),
        ("stop", Value::Int(info.stop)),
        ("now", Value::Int(info.now)),
        ("state", Value::Int(info.state.into())),
        ("statename", text(info.statename)),
        ("spawnerr", text(&info.spawnerr)),
        ("exitstatus", Value::Int(info.exitstatus.into())),
        // The name of a time when there was one stream only.
        ("logfile", text(&info.stdout_logfile)),
        ("stdout_logfile", text(&info.stdout_logfile)),
        ("stderr_logfile", text(&info.stderr_logfile)),
        ("pid", Value::Int(info.pid.into())),
        ("description", text(&info.description)),
    ])
}

/// One of getAllConfigInfo.
pub(super) fn config(info: &ConfigInfo) -> Value {
    let exitcodes = info.exitcodes.iter().map(|code| Value::Int((*code).into()));
    Value::members([
        ("autostart", Value::Bool(info.autostart)),
        ("directory", or_none(info.directory.as_deref())),
        (
            "uid",
            info.uid.map_or_else(none, |uid| Value::Int(uid.into())),
        ),
        ("command", text(&info.command)),
        ("exitcodes", Value::Array(exitcodes.collect())),
        ("group", text(&info.group)),
        ("group_prio", Value::Int(info.group_prio)),
        ("inuse", Value::Bool(info.inuse)),
        ("killasgroup", Value::Bool(info.killasgroup)),
        ("name", text(&info.name)),
        ("process_prio", Value::Int(info.process_prio)),
        ("redirect_stderr", Value::Bool(info.redirect_stderr)),
        ("startretries", Value::Int(info.startretries)),
        ("startsecs", Value::Int(info.startsecs)),
        (
            "stdout_capture_maxbytes",
            Value::Int(info.stdout.capture_maxbytes),
        ),
        (
            "stdout_events_enabled",
            Value::Bool(info.stdout.events_enabled),
        ),
        ("stdout_logfile", text(&info.stdout.logfile)),
        (
            "stdout_logfile_backups",
            Value::Int(info.stdout.logfile_backups),
        ),
        (
            "stdout_logfile_maxbytes",
            Value::Int(info.stdout.logfile_maxbytes),
        ),
        ("stdout_syslog", Value::Bool(info.stdout.syslog)),
        ("stopsignal", Value::Int(info.stopsignal.into())),
        ("stopwaitsecs", Value::Int(info.stopwaitsecs)),
        (
            "stderr_capture_maxbytes",
            Value::Int(info.stderr.capture_maxbytes),
        ),
        (
            "stderr_events_enabled",
            Value::Bool(info.stderr.events_enabled),
        ),
        ("stderr_logfile", text(&info.stderr.logfile)),
        (
            "stderr_logfile_backups",
            Value::Int(info.stderr.logfile_backups),
        ),
        (
            "stderr_logfile_maxbytes",
            Value::Int(info.stderr.logfile_maxbytes),
        ),
        ("stderr_syslog", Value::Bool(info.stderr.syslog)),
        ("serverurl", or_none(info.serverurl.as_deref())),
    ])
}

/// What became of several processes.
pub(super) fn statuses(statuses: &[ActionStatus]) -> Value {
    let status = |status: &ActionStatus| {
        Value::members([
            ("name", text(&status.name)),
            ("group", text(&status.group)),
            ("status", Value::Int(status.status.number().into())),
            ("description", text(&status.description)),
        ])
    };
    Value::Array(statuses.iter().map(status).collect())
}

/// What became of one process or several.
pub(super) fn acted(acted: &Acted) -> Value {
    match acted {
        Acted::One => Value::Bool(true),
        Acted::Many(many) => statuses(many),
    }
}

/// tailProcessStdoutLog.
pub(super) fn tail(tail: &Tail) -> Value {
    Value::Array(vec![
        Value::text_of(&tail.data),
        Value::Int(tail.offset),
        Value::Bool(tail.overflow),
    ])
}

/// Names, of groups for instance.
pub(super) fn names(names: &[String]) -> Value {
    Value::Array(names.iter().map(|name| text(name)).collect())
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn none() -> Value {
    text("none")
}

fn or_none(value: Option<&str>) -> Value {
    value.map_or_else(none, text)
}
