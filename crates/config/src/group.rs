//! Groups: those that are written, and those that programs are by themselves.

use std::rc::Rc;

use serde::Serialize;

use crate::diagnostics::Diagnostics;
use crate::host::Host;
use crate::ini::document::{Section, strip};
use crate::keys::{self, Scope};
use crate::nearest::nearest;
use crate::program::{self, Process, ProgramKind, plugin_refusal};
use crate::read::{Context, Reader};
use crate::source::Span;
use crate::value::{Account, Complaint, Owner, name as checked_name, port_number};
use std::collections::{BTreeMap, BTreeSet};

/// Processes under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Lower ones are started first.
    pub priority: i64,
    /// What it is.
    #[serde(flatten)]
    pub kind: GroupKind,
    /// In the order of starting. Shared: a supervisor has each in several places.
    pub processes: Vec<Rc<Process>>,
    /// The header of its section.
    #[serde(skip)]
    pub span: Span,
}

/// What a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "group", rename_all = "lowercase")]
pub enum GroupKind {
    /// Programs of a `[group:x]`.
    Named,
    /// One program.
    Program,
    /// Event listeners.
    Listeners {
        /// How many events wait.
        buffer_size: i64,
        /// What they are told of: names of [`EVENTS`], sorted.
        events: Vec<&'static str>,
        /// What becomes of results.
        result_handler: ResultHandler,
    },
    /// FastCGI processes.
    Fcgi {
        /// What they accept from.
        socket: FcgiSocket,
    },
}

/// What is done with the result of an event listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultHandler {
    /// `OK` takes the event, anything else rejects it.
    Default,
    /// Every line is printed, and the event taken (`supervisor_stdout`).
    Print,
}

/// A socket that is shared by FastCGI processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FcgiSocket {
    /// Where it listens.
    #[serde(flatten)]
    pub address: FcgiAddress,
    /// How many connections wait; `None` for the system's longest.
    pub backlog: Option<i64>,
}

/// Where a FastCGI socket listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "socket", rename_all = "lowercase")]
pub enum FcgiAddress {
    /// A port.
    Tcp {
        /// In lower case.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// A path.
    Unix {
        /// Absolute.
        path: String,
        /// Whose it is made; `None` for the supervisor's own.
        owner: Option<Owner>,
        /// Its permissions.
        mode: i64,
    },
}

/// Every kind of event. One stands for all whose names begin with it and an underscore; `EVENT`
/// for all.
pub const EVENTS: &[&str] = &[
    "EVENT",
    "PROCESS_COMMUNICATION",
    "PROCESS_COMMUNICATION_STDERR",
    "PROCESS_COMMUNICATION_STDOUT",
    "PROCESS_GROUP",
    "PROCESS_GROUP_ADDED",
    "PROCESS_GROUP_REMOVED",
    "PROCESS_LOG",
    "PROCESS_LOG_STDERR",
    "PROCESS_LOG_STDOUT",
    "PROCESS_STATE",
    "PROCESS_STATE_BACKOFF",
    "PROCESS_STATE_EXITED",
    "PROCESS_STATE_FATAL",
    "PROCESS_STATE_RUNNING",
    "PROCESS_STATE_STARTING",
    "PROCESS_STATE_STOPPED",
    "PROCESS_STATE_STOPPING",
    "PROCESS_STATE_UNKNOWN",
    "REMOTE_COMMUNICATION",
    "SUPERVISOR_STATE_CHANGE",
    "SUPERVISOR_STATE_CHANGE_RUNNING",
    "SUPERVISOR_STATE_CHANGE_STOPPING",
    "TICK",
    "TICK_3600",
    "TICK_5",
    "TICK_60",
];

/// The listener priority of the original: before every program, and stopped after it.
const LISTENERS_FIRST: i64 = -1;

/// The longest queue of connections that can be asked for.
const LONGEST_BACKLOG: i64 = 65_535;

/// Reads every group, in the order of starting.
pub(crate) fn read(
    context: &Context<'_>,
    whose: &BTreeMap<String, String>,
    found: &mut Diagnostics,
) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let sections = context.document.sections();
    let of = |kind: &'static keys::SectionKind| {
        sections.iter().filter(move |section| {
            keys::kind_of(&section.name).is_some_and(|k| k.word == kind.word)
        })
    };
    for section in of(keys::GROUP) {
        groups.extend(named(context, section, whose, &mut taken, found));
    }
    for section in of(keys::PROGRAM).filter(|section| !taken.contains(&*section.name)) {
        let mut reader = Reader::new(context, section, keys::PROGRAM, found);
        reader.check_in("priority", Scope::Here);
        let (name, processes) = own(&mut reader, ProgramKind::Program, whose);
        groups.push(of_one(&reader, name, GroupKind::Program, processes));
    }
    for section in of(keys::LISTENER) {
        groups.push(listeners(context, section, whose, found));
    }
    for section in of(keys::FCGI).filter(|section| !taken.contains(&*section.name)) {
        let mut reader = Reader::new(context, section, keys::FCGI, found);
        reader.check_in("priority", Scope::Here);
        reader.check_in("user", Scope::Here);
        let (name, mut processes) = own(&mut reader, ProgramKind::Fcgi, whose);
        let user = processes.first().and_then(|process| process.user.clone());
        if let Some(socket) = socket(&mut reader, user.as_ref()) {
            share(&socket, &mut processes);
            groups.push(of_one(&reader, name, GroupKind::Fcgi { socket }, processes));
        }
    }
    groups.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
    groups
}

/// A program's own group: its name, and its processes.
fn own(
    reader: &mut Reader<'_, '_>,
    kind: ProgramKind,
    whose: &BTreeMap<String, String>,
) -> (String, Vec<Process>) {
    let name = keys::plain_name_of(reader.section).to_owned();
    let processes = program::read(reader, kind, &name, whose);
    (name, processes)
}

fn of_one(
    reader: &Reader<'_, '_>,
    name: String,
    kind: GroupKind,
    processes: Vec<Process>,
) -> Group {
    // Read without the program's names; what is wrong with it was told.
    let priority = reader
        .raw("priority")
        .and_then(|raw| reader.quietly("priority", raw))
        .unwrap_or(999);
    Group {
        name,
        priority,
        kind,
        processes: shared(processes),
        span: reader.section.span,
    }
}

fn named<'a>(
    context: &'a Context<'a>,
    section: &'a Section,
    whose: &BTreeMap<String, String>,
    taken: &mut BTreeSet<&'a str>,
    found: &mut Diagnostics,
) -> Option<Group> {
    let mut reader = Reader::new(context, section, keys::GROUP, found);
    let name = match checked_name(keys::name_of(section)) {
        Ok(name) => name,
        Err(complaint) => {
            reader.error(section.span, complaint.what, complaint.hint);
            return None;
        }
    };
    let priority = reader.number("priority");
    let programs = reader.list("programs");
    let mut processes = Vec::new();
    for program in &programs {
        let document = context.document;
        let plain = document.section(&format!("program:{program}"));
        let fcgi = document.section(&format!("fcgi-program:{program}"));
        let (member, kind) = match (plain, fcgi) {
            (Some(section), None) => (section, ProgramKind::Program),
            (None, Some(section)) => (section, ProgramKind::Fcgi),
            (Some(_), Some(_)) => {
                let complaint = Complaint::new(
                    format!("`{program}` is both a program and a FastCGI program"),
                    "give one of them another name",
                );
                reader.complain("programs", program, complaint);
                continue;
            }
            (None, None) => {
                let complaint = unknown_program(context, program);
                reader.complain("programs", program, complaint);
                continue;
            }
        };
        taken.insert(&member.name);
        let mut member_reader = Reader::new(context, member, kind.section(), reader.found);
        let mut members = program::read(&mut member_reader, kind, &name, whose);
        if kind == ProgramKind::Fcgi {
            let user = members.first().and_then(|process| process.user.clone());
            // The original does not read the socket of a member, and takes one that is wrong.
            let mut unsaid = Diagnostics::default();
            let mut quiet = Reader::new(context, member, kind.section(), &mut unsaid);
            match socket(&mut quiet, user.as_ref()).filter(|_| unsaid.errors() == 0) {
                Some(socket) => share(&socket, &mut members),
                None => reader.found.warn(
                    member.span,
                    format!(
                        "[{}] is in the group `{name}`, without a socket",
                        member.name
                    ),
                    Some("write socket = tcp://host:port or unix:///absolute/path".into()),
                ),
            }
        }
        processes.extend(members);
    }
    Some(Group {
        name,
        priority,
        kind: GroupKind::Named,
        processes: shared(processes),
        span: section.span,
    })
}

fn unknown_program(context: &Context<'_>, program: &str) -> Complaint {
    if program.is_empty() {
        return Complaint::new(
            "there is nothing between two commas, or after the last",
            "leave out the comma",
        );
    }
    let names = context.document.sections().iter().filter_map(|section| {
        let word = keys::kind_of(&section.name)?.word;
        ["program", "fcgi-program"]
            .contains(&word)
            .then(|| keys::name_of(section))
    });
    let listener = format!("eventlistener:{program}");
    let hint = if context.document.section(&listener).is_some() {
        "it is an event listener, which is in no group but its own".into()
    } else if let Some(near) = nearest(program, names) {
        format!("did you mean {near}?")
    } else {
        format!("add a section [program:{program}]")
    };
    Complaint::new(format!("there is no program `{program}`"), hint)
}

fn listeners(
    context: &Context<'_>,
    section: &Section,
    whose: &BTreeMap<String, String>,
    found: &mut Diagnostics,
) -> Group {
    let mut reader = Reader::new(context, section, keys::LISTENER, found);
    reader.check_in("priority", Scope::Here);
    reader.check_in("redirect_stderr", Scope::Here);
    let priority = match reader.entry("priority") {
        Some(entry) => reader.quietly("priority", entry.value.text()).unwrap_or(0),
        None => LISTENERS_FIRST,
    };
    let buffer_size = reader.number("buffer_size");
    if buffer_size < 1 {
        let span = reader.span("buffer_size");
        reader.error(
            span,
            "buffer_size: at least one event has to find room",
            None,
        );
    }
    let result_handler = result_handler(&mut reader);
    let events = events(&mut reader);
    // The pool has its name as it is written, its program without blanks around it.
    let name = keys::name_of(section).to_owned();
    let processes = program::read(&mut reader, ProgramKind::Listener, &name, whose);
    if reader.flag("redirect_stderr") {
        let span = reader.span("redirect_stderr");
        reader.error(
            span,
            "redirect_stderr: standard output of an event listener is its protocol, into which nothing else may come",
            Some("leave it out".into()),
        );
    }
    Group {
        name,
        priority,
        kind: GroupKind::Listeners {
            buffer_size,
            events,
            result_handler,
        },
        processes: shared(processes),
        span: section.span,
    }
}

fn result_handler(reader: &mut Reader<'_, '_>) -> ResultHandler {
    let given = reader.text("result_handler").unwrap_or_default();
    match dense(&given).as_str() {
        "supervisor.dispatchers:default_handler" => ResultHandler::Default,
        "supervisor_stdout:event_handler" => ResultHandler::Print,
        _ => {
            let what = format!("the result_handler of [{}]", reader.section.name);
            let complaint = plugin_refusal(
                &what,
                &given,
                "supervisor.dispatchers:default_handler and supervisor_stdout:event_handler are known here",
            );
            reader.complain("result_handler", &given, complaint);
            ResultHandler::Default
        }
    }
}

/// `module:name` without the blanks that may be around its colon.
pub(crate) fn dense(factory: &str) -> String {
    let parts: Vec<&str> = factory.splitn(2, ':').map(strip).collect();
    parts.join(":")
}

fn events(reader: &mut Reader<'_, '_>) -> Vec<&'static str> {
    let mut events = BTreeSet::new();
    let given = reader.list("events");
    if given.is_empty() && reader.entry("events").is_some() {
        let span = reader.span("events");
        reader.error(
            span,
            "events: there is none",
            Some("name some, such as PROCESS_STATE".into()),
        );
    }
    for event in given {
        let upper = event.to_uppercase();
        match EVENTS.iter().find(|known| **known == upper) {
            Some(known) => {
                events.insert(*known);
            }
            None => {
                let hint = nearest(&upper, EVENTS.iter().copied())
                    .map_or_else(|| EVENTS.join(", "), |near| format!("did you mean {near}?"));
                let complaint = Complaint::new(format!("`{event}` is no kind of event"), hint);
                reader.complain("events", &event, complaint);
            }
        }
    }
    events.into_iter().collect()
}

fn shared(processes: Vec<Process>) -> Vec<Rc<Process>> {
    processes.into_iter().map(Rc::new).collect()
}

fn share(socket: &FcgiSocket, processes: &mut [Process]) {
    for process in processes {
        process.socket = Some(socket.clone());
    }
}

/// The socket of a FastCGI program.
fn socket(reader: &mut Reader<'_, '_>, user: Option<&Account>) -> Option<FcgiSocket> {
    let backlog = reader.integer("socket_backlog");
    if backlog.is_some_and(|backlog| !(1..=LONGEST_BACKLOG).contains(&backlog)) {
        let span = reader.span("socket_backlog");
        reader.error(
            span,
            format!("socket_backlog: write 1 to {LONGEST_BACKLOG}"),
            None,
        );
    }
    let owner = reader.owner("socket_owner");
    let mode = reader.integer("socket_mode");
    let text = reader.text("socket")?;
    let refused = |reader: &mut Reader<'_, '_>, what: &str| {
        let complaint = Complaint::new(
            format!("`{text}` {what}"),
            "write tcp://host:port or unix:///absolute/path",
        );
        reader.complain("socket", &text, complaint);
        None
    };
    let address = if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return refused(reader, "is not an absolute path");
        }
        FcgiAddress::Unix {
            path: reader.context.host.normal_path(path),
            owner: owner.or_else(|| default_owner(user, reader.context.host)),
            mode: mode.unwrap_or(0o700),
        }
    } else {
        for key in ["socket_owner", "socket_mode"] {
            if reader.entry(key).is_some() {
                let span = reader.span(key);
                reader.error(
                    span,
                    format!("{key}: only a socket of the kind unix:// has one"),
                    Some("leave it out".into()),
                );
            }
        }
        match tcp(&text) {
            Some((host, port)) => FcgiAddress::Tcp { host, port },
            None => return refused(reader, "is no socket"),
        }
    };
    Some(FcgiSocket { address, backlog })
}

/// The program's user, where it is another one than the supervisor.
fn default_owner(user: Option<&Account>, host: &Host) -> Option<Owner> {
    let user = user.filter(|user| user.uid != Some(host.uid))?;
    Some(Owner {
        uid: user.uid,
        gid: user.gid,
    })
}

fn tcp(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.strip_prefix("tcp://")?.split_once(':')?;
    let sound = !host.is_empty()
        && !host.contains(crate::ini::document::is_blank)
        && !port.is_empty()
        && port.chars().all(|c| c.is_ascii_digit());
    let port = port_number(port).ok().filter(|_| sound)?;
    Some((host.to_lowercase(), port))
}
