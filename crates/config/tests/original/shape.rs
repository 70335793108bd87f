//! Our configuration in the words of the original's.

use serde_json::{Value, json};
use ward_config::group::{FcgiAddress, Group, GroupKind};
use ward_config::load::{Configuration, Loaded};
use ward_config::program::{Channel, Process};
use ward_config::server::{Address, Server};
use ward_config::value::{Autorestart, LogFile, LogLevel, Owner};

/// What the original's script prints for the same.
pub(crate) fn of(configuration: &Configuration) -> Value {
    let main = &configuration.supervisord;
    json!({
        "supervisord": {
            "logfile": log(&main.logfile),
            "loglevel": match main.loglevel {
                LogLevel::Blather => 3,
                LogLevel::Trace => 5,
                LogLevel::Debug => 10,
                LogLevel::Info => 20,
                LogLevel::Warn => 30,
                LogLevel::Error => 40,
                LogLevel::Critical => 50,
            },
            "pidfile": main.pidfile,
            "uid": main.user.as_ref().and_then(|user| user.uid),
            "logfile_maxbytes": main.logfile_maxbytes,
            "logfile_backups": main.logfile_backups,
            "umask": main.umask,
            "nodaemon": main.nodaemon,
            "silent": main.silent,
            "minfds": main.minfds,
            "minprocs": main.minprocs,
            "nocleanup": main.nocleanup,
            "childlogdir": main.childlogdir,
            "directory": main.directory,
            "strip_ansi": main.strip_ansi,
            "environment": main.environment,
            "identifier": main.identifier,
        },
        "serverurl": configuration.server_url,
        "servers": configuration.servers.iter().map(server).collect::<Vec<_>>(),
        "interfaces": configuration.interfaces,
        "groups": configuration.groups.iter().map(group).collect::<Vec<_>>(),
    })
}

fn log(file: &LogFile) -> &str {
    match file {
        LogFile::Auto => "AUTO",
        LogFile::None => "NONE",
        LogFile::Syslog => "syslog",
        LogFile::Path(path) => path,
    }
}

fn owner(owner: Owner) -> Value {
    let number = |id: Option<u32>| id.map_or(-1, i64::from);
    json!([number(owner.uid), number(owner.gid)])
}

fn server(server: &Server) -> Value {
    let credentials = server.credentials.as_ref();
    let (host, port, file, chmod, chown) = match &server.address {
        Address::Inet { host, port } => (Some(host), Some(port), None, None, None),
        Address::Unix { file, chmod, chown } => {
            (None, None, Some(file), Some(chmod), Some(owner(*chown)))
        }
    };
    json!({
        "section": server.section,
        "username": credentials.map(|c| &c.username),
        "password": credentials.map(|c| c.password.reveal()),
        "host": host, "port": port, "file": file, "chmod": chmod, "chown": chown,
    })
}

fn group(group: &Group) -> Value {
    let mut told = json!({
        "name": group.name,
        "priority": group.priority,
        "processes": group.processes.iter().map(|shared| process(shared)).collect::<Vec<_>>(),
    });
    match &group.kind {
        GroupKind::Named | GroupKind::Program => {}
        GroupKind::Listeners {
            buffer_size,
            events,
            ..
        } => {
            told["buffer_size"] = json!(buffer_size);
            told["events"] = json!(events);
        }
        GroupKind::Fcgi { socket } => {
            let (url, whose, mode) = match &socket.address {
                FcgiAddress::Tcp { host, port } => (format!("tcp://{host}:{port}"), None, None),
                FcgiAddress::Unix { path, owner, mode } => {
                    (format!("unix://{path}"), *owner, Some(mode))
                }
            };
            told["socket"] = json!({
                "url": url, "backlog": socket.backlog, "owner": whose.map(owner), "mode": mode,
            });
        }
    }
    told
}

fn channel(channel: &Channel) -> Value {
    json!({
        "logfile": log(&channel.logfile),
        "logfile_maxbytes": channel.logfile_maxbytes,
        "logfile_backups": channel.logfile_backups,
        "capture_maxbytes": channel.capture_maxbytes,
        "events_enabled": channel.events_enabled,
        "syslog": channel.syslog,
    })
}

fn process(process: &Process) -> Value {
    json!({
        "name": process.name,
        "command": process.command,
        "directory": process.directory,
        "umask": process.umask,
        "priority": process.priority,
        "autostart": process.autostart,
        "autorestart": match process.autorestart {
            Autorestart::Always => "always",
            Autorestart::Never => "never",
            Autorestart::Unexpected => "unexpected",
        },
        "startsecs": process.startsecs,
        "startretries": process.startretries,
        "uid": process.user.as_ref().and_then(|user| user.uid),
        "stopsignal": process.stopsignal.map_or(0, ward_model::signal::Signal::number),
        "stopwaitsecs": process.stopwaitsecs,
        "stopasgroup": process.stopasgroup,
        "killasgroup": process.killasgroup,
        "exitcodes": process.exitcodes,
        "redirect_stderr": process.redirect_stderr,
        "environment": process.environment,
        "serverurl": process.serverurl,
        "stdout": channel(&process.stdout),
        "stderr": channel(&process.stderr),
    })
}

/// In which values both differ, or who refuses the file and why.
pub(crate) fn difference(answer: &Value, ours: Option<&Value>, loaded: &Loaded) -> String {
    let found: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(|d| {
            format!(
                "{:?} {}:{} {}",
                d.severity, d.span.line, d.span.column, d.what
            )
        })
        .collect();
    match (answer.get("read"), ours) {
        (Some(theirs), Some(ours)) => {
            let mut lines = Vec::new();
            compare("", theirs, ours, &mut lines);
            lines.join("\n")
        }
        (Some(_), None) => format!("only we refuse: {}", found.join(" | ")),
        (None, Some(_)) => format!("only the original refuses: {}", answer["refused"]),
        (None, None) => format!("{} || {}", answer["refused"], found.join(" | ")),
    }
}

fn compare(path: &str, theirs: &Value, ours: &Value, lines: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                compare(&format!("{path}.{key}"), &theirs[key], &ours[key], lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, lines);
            }
        }
        (a, b) if a == b => {}
        (a, b) => lines.push(format!("{path}: {a} | ours {b}")),
    }
}
