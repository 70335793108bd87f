//! What is told about programs and their configuration.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use ward_config::program::{Channel, Process};
use ward_config::value::{Autorestart, LogFile};
use ward_model::program::end_text;

use super::core::Core;
use super::moments;
use super::program::{ProgramId, full_name};
use crate::api::{ConfigInfo, Fault, FaultCode, ProcessInfo, Stream, StreamInfo};

/// How a log is called that has no name yet.
const AUTO: &str = "auto";

/// Seconds since 1970.
pub(crate) fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

impl Core {
    pub(crate) fn info(&self, id: ProgramId) -> Option<ProcessInfo> {
        let program = self.programs.get(&id)?;
        let now = unix_now();
        let state = program.machine.state();
        let log = |stream| {
            program
                .log(stream)
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        Some(ProcessInfo {
            name: program.config.name.clone(),
            group: program.group.clone(),
            start: program.started,
            stop: program.stopped,
            now,
            state: state.code(),
            statename: state.word(),
            spawnerr: program.machine.spawnerr(),
            exitstatus: program.machine.exitstatus(),
            stdout_logfile: log(Stream::Stdout),
            stderr_logfile: log(Stream::Stderr),
            pid: program.machine.pid().unwrap_or(0),
            description: program.machine.description(
                &program.full_name(),
                program.started,
                now,
                || moments::local(program.stopped),
            ),
        })
    }

    /// All, by group and name.
    pub(crate) fn all_info(&self) -> Vec<ProcessInfo> {
        let mut all: Vec<ProcessInfo> = self
            .programs
            .keys()
            .filter_map(|id| self.info(*id))
            .collect();
        all.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        all
    }

    /// The configuration that was read last, by name of the process.
    pub(crate) fn all_config(&self) -> Vec<ConfigInfo> {
        let active: HashSet<&str> = self
            .groups
            .iter()
            .map(|group| group.config.name.as_str())
            .collect();
        let mut all: Vec<ConfigInfo> = self
            .latest
            .groups
            .iter()
            .flat_map(|group| {
                let inuse = active.contains(group.name.as_str());
                group.processes.iter().map(move |process| {
                    let mut info = config_info(process, &group.name, group.priority, inuse);
                    let name = full_name(&group.name, &process.name);
                    // Once they are made, logs have names.
                    if let Some([stdout, stderr]) = self.auto_logs.get(&name) {
                        for (stream, path) in
                            [(&mut info.stdout, stdout), (&mut info.stderr, stderr)]
                        {
                            if stream.logfile == AUTO
                                && let Some(path) = path
                            {
                                stream.logfile = path.to_string_lossy().into_owned();
                            }
                        }
                    }
                    info
                })
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Everything about one process that helps to see why it is as it is.
    pub(crate) fn explain(&self, name: &str) -> Result<Value, Fault> {
        let id = self.resolve_one(name)?;
        let (Some(program), Some(info)) = (self.programs.get(&id), self.info(id)) else {
            return Err(Fault::about(FaultCode::BadName, name));
        };
        let config = &*program.config;
        let mut settings = serde_json::to_value(config).unwrap_or(Value::Null);
        if let Some(settings) = settings.as_object_mut() {
            // Values may be secrets, and who asks may be anybody who reaches the server.
            let names: Vec<&String> = config.environment.keys().collect();
            settings.insert("environment".into(), json!(names));
        }
        let origins: serde_json::Map<String, Value> = config
            .origins
            .iter()
            .map(|(key, span)| {
                (
                    (*key).to_owned(),
                    json!(self.place_of(&program.group, *span)),
                )
            })
            .collect();
        let path = self.path_of(program);
        let resolved = match super::command::find(&config.command, path.as_deref()) {
            Ok(command) => json!({
                "file": command.file,
                "arguments": command.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
            }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let ends: Vec<Value> = program
            .ends
            .iter()
            .rev()
            .map(|ended| {
                json!({
                    "pid": ended.pid,
                    "ended": ended.at,
                    "how": end_text(ended.end),
                    "why": ended.why,
                    "lived_seconds": ended.lived.as_secs_f64(),
                })
            })
            .collect();
        Ok(json!({
            "name": config.name,
            "group": program.group,
            "state": info.statename,
            "description": info.description,
            "spawn_error": info.spawnerr,
            "pid": info.pid,
            "started": info.start,
            "stopped": info.stop,
            "section": self.place_of(&program.group, config.span),
            "command": resolved,
            "settings": settings,
            "given_at": origins,
            "inherited_environment": self.base_environment_names(),
            "logs": { "stdout": info.stdout_logfile, "stderr": info.stderr_logfile },
            "last_ends": ends,
        }))
    }
}

fn config_info(process: &Process, group: &str, group_prio: i64, inuse: bool) -> ConfigInfo {
    ConfigInfo {
        group: group.to_owned(),
        name: process.name.clone(),
        inuse,
        autostart: process.autostart,
        autorestart: match process.autorestart {
            Autorestart::Always => "true",
            Autorestart::Never => "false",
            Autorestart::Unexpected => "unexpected",
        }
        .to_owned(),
        directory: process.directory.clone(),
        uid: process.user.as_ref().and_then(|user| user.uid),
        command: process.command.clone(),
        exitcodes: process.exitcodes.clone(),
        group_prio,
        process_prio: process.priority,
        killasgroup: process.killasgroup,
        stopasgroup: process.stopasgroup,
        redirect_stderr: process.redirect_stderr,
        startretries: process.startretries,
        startsecs: process.startsecs,
        stdout: stream_info(&process.stdout),
        stderr: stream_info(&process.stderr),
        stopsignal: process.stopsignal.map_or(0, |signal| signal.number()),
        stopwaitsecs: process.stopwaitsecs,
        serverurl: process.serverurl.clone(),
    }
}

fn stream_info(channel: &Channel) -> StreamInfo {
    StreamInfo {
        logfile: match &channel.logfile {
            LogFile::Auto => AUTO.to_owned(),
            LogFile::None => "none".to_owned(),
            LogFile::Syslog => "syslog".to_owned(),
            LogFile::Path(path) => path.clone(),
        },
        logfile_maxbytes: channel.logfile_maxbytes,
        logfile_backups: channel.logfile_backups,
        capture_maxbytes: channel.capture_maxbytes,
        events_enabled: channel.events_enabled,
        syslog: channel.syslog,
    }
}
