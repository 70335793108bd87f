//! `ward ps`: what is in ward's custody on this host.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use ward_engine::ledger::{Ledger, Origin, Seen, locate, of_keepers};
use ward_engine::runs::{self, Run};
use ward_model::life::{CauseKind, End};
use ward_sys::account;
use ward_sys::procfs::{self, Stat};

use crate::args::PsArgs;
use crate::failure::Failure;

/// One daemon, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct Daemon {
    name: String,
    run_id: String,
    state: &'static str,
    pid: Option<i32>,
    command: Vec<String>,
    user: String,
    directory: Option<String>,
    started: String,
    uptime: Option<f64>,
    memory_bytes: u64,
    cpu: f64,
    processes: usize,
    log: Option<String>,
    ready: Option<String>,
    state_directory: String,
    origin: Origin,
    end: Option<Ended>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tree: Vec<Member>,
}

/// How one ended.
#[derive(Debug, Serialize)]
struct Ended {
    exit_status: u8,
    signal: Option<String>,
    cause: Option<CauseKind>,
}

/// One run, as scripts read it.
#[derive(Debug, Serialize)]
struct Build {
    pid: i32,
    guardian: i32,
    command: String,
    user: String,
    directory: Option<String>,
    started: String,
    uptime: f64,
    memory_bytes: u64,
    cpu: f64,
    processes: usize,
    origin: Origin,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tree: Vec<Member>,
}

/// One process.
#[derive(Debug, Clone, Serialize)]
struct Member {
    pid: i32,
    ppid: i32,
    user: String,
    command: String,
    uptime: f64,
    memory_bytes: u64,
    cpu: f64,
}

impl Daemon {
    /// How it stands now.
    pub(super) fn new(seen: &Seen) -> Self {
        let members = seen.members();
        let main = seen.main(&members);
        let (memory_bytes, cpu) = taken(&members);
        let alive = seen.state.is_alive();
        let spec = &seen.entry.spec;
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let uid = spec
            .identity
            .as_ref()
            .map_or(seen.owner, |identity| identity.uid);
        let end = seen.report.as_ref().map(|report| Ended {
            exit_status: report.exit_status,
            signal: match report.end {
                End::Signaled { signal, .. } => Some(signal.to_string()),
                End::Exited { .. } | End::NotStarted { .. } | End::Unknown => None,
            },
            cause: report.cause,
        });
        let started =
            std::time::UNIX_EPOCH + Duration::from_secs_f64(seen.entry.started_at.max(0.0));
        Self {
            name: seen.entry.name.clone(),
            run_id: seen.entry.run_id.clone(),
            state: seen.state.word(),
            pid: main.map(|main| main.pid),
            command: spec.command.iter().map(|word| text(word)).collect(),
            user: user_name(uid),
            directory: spec.directory.as_deref().map(text),
            started: humantime::format_rfc3339_seconds(started).to_string(),
            uptime: alive.then(|| round(seen.age())),
            memory_bytes,
            cpu: round(cpu),
            processes: members.len(),
            log: seen
                .entry
                .log
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            ready: seen.entry.ready.clone(),
            state_directory: seen.directory.to_string_lossy().into_owned(),
            origin: seen.entry.origin.clone(),
            end,
            tree: Vec::new(),
        }
    }

    fn with_tree(mut self, seen: &Seen) -> Self {
        self.tree = named(&seen.members());
        self
    }

    /// Everything about it, a line each.
    pub(super) fn at_length(&self) -> String {
        let mut text = format!("{}: {}", self.name, self.state);
        if let Some(pid) = self.pid {
            text.push_str(&format!(", pid {pid}"));
        }
        if let Some(uptime) = self.uptime {
            text.push_str(&format!(", for {}", span(uptime)));
        }
        text.push('\n');
        let mut line = |key: &str, value: &str| {
            text.push_str(&format!("  {key:10} {value}\n"));
        };
        line("command", &self.command.join(" "));
        if let Some(end) = &self.end {
            let how = match (&end.cause, &end.signal) {
                (Some(CauseKind::Requested), _) => "it was stopped".to_owned(),
                (_, Some(signal)) => format!("by {signal}"),
                (_, None) => format!("with status {}", end.exit_status),
            };
            line("ended", &how);
        }
        if self.processes > 0 {
            line(
                "takes",
                &format!(
                    "{} processes, {} memory, {} processor time",
                    self.processes,
                    bytes(self.memory_bytes),
                    span(self.cpu)
                ),
            );
        }
        line("user", &self.user);
        line(
            "started",
            &format!("{} by {}", self.started, self.origin.user),
        );
        line("from", &self.origin.summary());
        if let Some(url) = &self.origin.url {
            line("build", url);
        }
        if let Some(log) = &self.log {
            line("log", log);
        }
        text
    }
}

impl Build {
    fn new(run: &Run, tree: bool) -> Self {
        let (memory_bytes, cpu) = taken(&run.members);
        Self {
            pid: run.front,
            guardian: run.guardian.pid,
            command: run.command.clone(),
            user: run.user.clone(),
            directory: run.directory.clone(),
            started: humantime::format_rfc3339_seconds(
                std::time::SystemTime::now() - run.guardian.age(),
            )
            .to_string(),
            uptime: round(run.guardian.age()),
            memory_bytes,
            cpu: round(cpu),
            processes: run.members.len(),
            origin: run.origin.clone(),
            tree: if tree {
                named(&run.members)
            } else {
                Vec::new()
            },
        }
    }
}

fn taken(members: &[Stat]) -> (u64, Duration) {
    members
        .iter()
        .map(|member| procfs::usage(member.pid))
        .fold((0, Duration::ZERO), |(memory, cpu), usage| {
            (memory + usage.memory, cpu + usage.cpu)
        })
}

fn named(members: &[Stat]) -> Vec<Member> {
    members
        .iter()
        .map(|stat| {
            let usage = procfs::usage(stat.pid);
            Member {
                pid: stat.pid,
                ppid: stat.ppid,
                user: procfs::effective_uid(stat.pid).map_or_else(String::new, user_name),
                command: procfs::command_line(stat.pid, &stat.comm),
                uptime: round(stat.age()),
                memory_bytes: usage.memory,
                cpu: round(usage.cpu),
            }
        })
        .collect()
}

fn user_name(uid: u32) -> String {
    account::name_of(uid).unwrap_or_else(|| uid.to_string())
}

fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Lists it.
pub(crate) fn run(arguments: &PsArgs) -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| Failure::ours("cannot write", &error);
    let mut daemons = Vec::new();
    if !arguments.builds {
        for seen in seen()? {
            let wanted = if arguments.names.is_empty() {
                arguments.all || arguments.detached || seen.state.is_alive()
            } else {
                arguments.names.contains(&seen.entry.name)
            };
            if wanted {
                let row = Daemon::new(&seen);
                daemons.push(if arguments.tree {
                    row.with_tree(&seen)
                } else {
                    row
                });
            }
        }
    }
    let builds: Vec<Build> = if (arguments.all || arguments.builds) && arguments.names.is_empty() {
        runs::all()
            .iter()
            .map(|run| Build::new(run, arguments.tree))
            .collect()
    } else {
        Vec::new()
    };
    let mut out = std::io::stdout();
    if arguments.json {
        let all = serde_json::json!({ "daemons": daemons, "builds": builds });
        let text = serde_json::to_string_pretty(&all)
            .map_err(|error| Failure::ours("cannot write", &error))?;
        writeln!(out, "{text}").map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    out.write_all(table(&daemons, &builds).as_bytes())
        .map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Every entry of ours, and for root those of everybody who has something running.
fn seen() -> Result<Vec<Seen>, Failure> {
    let own = locate()?;
    let mut places = BTreeSet::from([own]);
    if account::own_uid() == 0 {
        places.extend(of_keepers());
    }
    let mut all = Vec::new();
    for place in places {
        let ledger = Ledger::at(&place);
        for name in ledger.names() {
            match ledger.look(&name) {
                Ok(Some(seen)) => all.push(seen),
                Ok(None) => {}
                // The others can be told all the same.
                Err(error) => {
                    Failure::from(error).report();
                }
            }
        }
    }
    Ok(all)
}

fn table(daemons: &[Daemon], builds: &[Build]) -> String {
    let mut rows = vec![
        [
            "NAME", "STATE", "PID", "UP", "MEMORY", "CPU", "PROCS", "USER", "FROM", "COMMAND",
        ]
        .map(str::to_owned),
    ];
    let mut trees: Vec<&[Member]> = vec![&[]];
    let number = |pid: i32| pid.to_string();
    for daemon in daemons {
        rows.push([
            daemon.name.clone(),
            daemon.state.to_owned(),
            daemon.pid.map_or_else(|| "-".to_owned(), number),
            daemon.uptime.map_or_else(|| "-".to_owned(), span),
            bytes(daemon.memory_bytes),
            span(daemon.cpu),
            daemon.processes.to_string(),
            daemon.user.clone(),
            daemon.origin.summary(),
            daemon.command.join(" "),
        ]);
        trees.push(&daemon.tree);
    }
    for build in builds {
        rows.push([
            "(run)".to_owned(),
            "running".to_owned(),
            number(build.pid),
            span(build.uptime),
            bytes(build.memory_bytes),
            span(build.cpu),
            build.processes.to_string(),
            build.user.clone(),
            build.origin.summary(),
            build.command.clone(),
        ]);
        trees.push(&build.tree);
    }
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let columns = terminal_width();
    let mut text = String::new();
    for (row, tree) in rows.iter().zip(trees) {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            if index + 1 == row.len() {
                line.push_str(cell);
            } else {
                line.push_str(&format!("{cell:width$}  "));
            }
        }
        text.push_str(&cut(&line, columns));
        for (member, indent) in indented(tree) {
            let line = format!(
                "{}{} {}",
                " ".repeat(2 + 2 * indent),
                member.pid,
                member.command
            );
            text.push_str(&cut(&line, columns));
        }
    }
    text
}

/// Members with how deep they are below one another.
fn indented(members: &[Member]) -> Vec<(&Member, usize)> {
    fn below<'a>(
        members: &'a [Member],
        parent: i32,
        depth: usize,
        all: &mut Vec<(&'a Member, usize)>,
    ) {
        for member in members.iter().filter(|member| member.ppid == parent) {
            all.push((member, depth));
            below(members, member.pid, depth + 1, all);
        }
    }
    let mut all = Vec::new();
    for member in members {
        if !members.iter().any(|other| other.pid == member.ppid) {
            all.push((member, 0));
            below(members, member.pid, 1, &mut all);
        }
    }
    all
}

/// How wide a line may be; anything, where no terminal shows it.
pub(super) fn terminal_width() -> usize {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return usize::MAX;
    }
    match rustix::termios::tcgetwinsize(&stdout) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        Ok(_) | Err(_) => usize::MAX,
    }
}

pub(super) fn cut(line: &str, columns: usize) -> String {
    // Bytes in a command line are not ours to send to a terminal as they are.
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(columns)
        .collect();
    format!("{}\n", line.trim_end())
}

/// Bytes in the unit that people say them in.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["K", "M", "G", "T"];
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value >= 100.0 || unit == 0 {
        format!("{value:.0}{}", UNITS[unit])
    } else {
        format!("{value:.1}{}", UNITS[unit])
    }
}

/// Seconds in the two largest units that they reach.
pub(super) fn span(seconds: f64) -> String {
    let whole = seconds as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, whole / 3600, whole / 60) {
        (0, 0, 0) if seconds < 10.0 => format!("{seconds:.1}s"),
        (0, 0, 0) => format!("{whole}s"),
        (0, 0, _) => format!("{minutes}m{}s", whole % 60),
        (0, _, _) => format!("{hours}h{minutes}m"),
        (..) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (seconds, text) in [
            (0.0, "0.0s"),
            (9.94, "9.9s"),
            (10.0, "10s"),
            (61.0, "1m1s"),
            (3661.0, "1h1m"),
            (90_000.0, "1d1h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        for (count, text) in [
            (0, "0K"),
            (1 << 20, "1.0M"),
            (200 << 20, "200M"),
            (3 << 30, "3.0G"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_tree_is_indented_by_descent() {
        let member = |pid, ppid| Member {
            pid,
            ppid,
            user: String::new(),
            command: String::new(),
            uptime: 0.0,
            memory_bytes: 0,
            cpu: 0.0,
        };
        let members = [
            member(5, 1),
            member(6, 5),
            member(7, 6),
            member(8, 1),
            member(9, 5),
        ];
        let depths: Vec<_> = indented(&members)
            .into_iter()
            .map(|(member, depth)| (member.pid, depth))
            .collect();
        assert_eq!(depths, [(5, 0), (6, 1), (7, 2), (9, 1), (8, 0)]);
    }
}
