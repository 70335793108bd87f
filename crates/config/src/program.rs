//! Programs and the processes that they are.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cluster::over;
use crate::group::FcgiSocket;
use crate::ini::words::{BadWords, Pairs, pairs};
use crate::keys::{self, Scope, SectionKind};
use crate::read::{Origins, Reader};
use crate::source::Span;
use crate::value::{
    Account, Autorestart, Complaint, Contain, LogFile, StopSignal, name as checked_name,
};

/// No program has more processes: a slip of the pen shall not cost the memory of the host.
pub const MOST_PROCESSES: i64 = 65_536;

/// Which kind of program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramKind {
    /// `[program:x]`
    Program,
    /// `[fcgi-program:x]`
    Fcgi,
    /// `[eventlistener:x]`
    Listener,
}

impl ProgramKind {
    pub(crate) fn section(self) -> &'static SectionKind {
        match self {
            Self::Program => keys::PROGRAM,
            Self::Fcgi => keys::FCGI,
            Self::Listener => keys::LISTENER,
        }
    }
}

/// What becomes of one of a process's outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// The log; never [`LogFile::Syslog`], which is turned into `syslog`.
    pub logfile: LogFile,
    /// The size at which it is rotated, in bytes; 0 for never.
    pub logfile_maxbytes: i64,
    /// How many rotated logs are kept.
    pub logfile_backups: i64,
    /// How much is captured for a process communication event, in bytes.
    pub capture_maxbytes: i64,
    /// Event listeners are told.
    pub events_enabled: bool,
    /// It goes to syslog too.
    pub syslog: bool,
}

/// One process of a program, with everything replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// What it is called in its group.
    pub name: String,
    /// The program's name.
    pub program: String,
    /// Which kind of program.
    pub kind: ProgramKind,
    /// Its number, from `numprocs_start` on.
    pub number: i64,
    /// The command line, not yet cut into words ([`crate::ini::words::arguments`]).
    pub command: String,
    /// Where it runs; as it is written.
    pub directory: Option<String>,
    /// Its variables, those of `[supervisord]` included.
    pub environment: BTreeMap<String, String>,
    /// Lower ones first.
    pub priority: i64,
    /// Started with the supervisor.
    pub autostart: bool,
    /// Started again after it ended.
    pub autorestart: Autorestart,
    /// Seconds.
    pub startsecs: i64,
    /// How often a start is tried again.
    pub startretries: i64,
    /// What a stop sends; `None` is signal 0.
    pub stopsignal: StopSignal,
    /// Seconds.
    pub stopwaitsecs: i64,
    /// The stop signal goes to the process group.
    pub stopasgroup: bool,
    /// KILL goes to the process group.
    pub killasgroup: bool,
    /// The statuses that are expected.
    pub exitcodes: Vec<u8>,
    /// Whom it runs as.
    pub user: Option<Account>,
    /// Its file mode creation mask.
    pub umask: Option<i64>,
    /// Standard error goes where standard output goes.
    pub redirect_stderr: bool,
    /// Standard output.
    pub stdout: Channel,
    /// Standard error.
    pub stderr: Channel,
    /// What it is told as the server's address; `None` for the supervisor's own.
    pub serverurl: Option<String>,
    /// Who is watched and stopped.
    pub contain: Contain,
    /// What a FastCGI process accepts from, with all others of its program in its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<FcgiSocket>,
    /// Where each key of its section was given.
    #[serde(skip)]
    pub origins: Origins,
    /// The section's header.
    #[serde(skip)]
    pub span: Span,
}

/// Reads every process of the program in the reader's section, in the order of their names.
/// `whose` are the variables of `[supervisord]`.
pub(crate) fn read(
    reader: &mut Reader<'_, '_>,
    kind: ProgramKind,
    group: &str,
    whose: &BTreeMap<String, String>,
) -> Vec<Process> {
    let section = reader.section;
    let program = match checked_name(keys::name_of(section)) {
        Ok(name) => name,
        Err(complaint) => {
            reader.error(section.span, complaint.what, complaint.hint);
            return Vec::new();
        }
    };
    reader.of_program(&program, group);
    let Template {
        process,
        numprocs,
        start,
    } = template(reader, kind, &program);
    let mut processes: Vec<Process> = Vec::new();
    let errors = reader.found.errors();
    for number in 0..numprocs {
        let number = start.saturating_add(number);
        reader.of_process(number, numprocs);
        processes.push(one(reader, process.clone(), number, whose));
        // What is wrong with the first one is so with all.
        if reader.found.errors() > errors {
            break;
        }
    }
    processes.sort_by(|a, b| a.name.cmp(&b.name));
    processes
}

/// What all processes of a program share.
struct Template {
    process: Process,
    numprocs: i64,
    start: i64,
}

fn template(reader: &mut Reader<'_, '_>, kind: ProgramKind, program: &str) -> Template {
    let stopasgroup = reader.flag("stopasgroup");
    let killasgroup = reader.boolean("killasgroup").unwrap_or(stopasgroup);
    if stopasgroup && !killasgroup {
        let span = reader.span("killasgroup");
        reader.error(
            span,
            "killasgroup may not be false where stopasgroup is true: who is left after the stop signal would never be killed",
            Some("leave out killasgroup".into()),
        );
    }
    let channel = |reader: &mut Reader<'_, '_>, [capture, events]: [&str; 2]| Channel {
        logfile: LogFile::Auto,
        logfile_maxbytes: 0,
        logfile_backups: 0,
        capture_maxbytes: reader.number(capture),
        events_enabled: reader.flag(events),
        syslog: false,
    };
    let process = Process {
        name: String::new(),
        program: program.to_owned(),
        kind,
        number: 0,
        command: String::new(),
        directory: None,
        environment: BTreeMap::new(),
        priority: reader.number("priority"),
        autostart: reader.flag("autostart"),
        autorestart: reader.autorestart("autorestart"),
        startsecs: reader.number("startsecs"),
        startretries: reader.number("startretries"),
        stopsignal: reader.signal("stopsignal"),
        stopwaitsecs: reader.number("stopwaitsecs"),
        stopasgroup,
        killasgroup,
        exitcodes: reader.codes("exitcodes"),
        user: reader.user("user"),
        umask: reader.integer("umask"),
        redirect_stderr: reader.flag("redirect_stderr"),
        stdout: channel(reader, ["stdout_capture_maxbytes", "stdout_events_enabled"]),
        stderr: channel(reader, ["stderr_capture_maxbytes", "stderr_events_enabled"]),
        serverurl: server_url(reader),
        contain: reader.contain("contain"),
        socket: None,
        origins: reader.origins(),
        span: reader.section.span,
    };
    let numprocs = reader.number("numprocs");
    let start = reader.number("numprocs_start");
    check_name(reader, numprocs);
    Template {
        process,
        numprocs: bounded(reader, numprocs),
        start,
    }
}

fn server_url(reader: &mut Reader<'_, '_>) -> Option<String> {
    reader
        .text("serverurl")
        .filter(|url| crate::ini::document::strip(url).to_uppercase() != "AUTO")
}

fn check_name(reader: &mut Reader<'_, '_>, numprocs: i64) {
    let Some(raw) = reader.raw("process_name") else {
        return;
    };
    if let Err(complaint) = checked_name(raw) {
        reader.complain("process_name", raw, complaint);
    }
    if numprocs > 1 && !raw.contains("%(process_num)") {
        let span = match reader.entry("process_name") {
            Some(entry) => entry.value.span(),
            None => reader.span("numprocs"),
        };
        reader.error(
            span,
            "with several processes `%(process_num)` has to be in process_name: each needs a name of its own",
            Some("process_name = %(program_name)s_%(process_num)02d".into()),
        );
    }
}

fn bounded(reader: &mut Reader<'_, '_>, numprocs: i64) -> i64 {
    if numprocs > MOST_PROCESSES {
        let span = reader.span("numprocs");
        reader.error(
            span,
            format!("numprocs: {numprocs} processes are more than {MOST_PROCESSES}"),
            None,
        );
        return 1;
    }
    if numprocs < 1 {
        let span = reader.span("numprocs");
        reader.found.warn(
            span,
            format!("numprocs: with {numprocs} the program has no process"),
            None,
        );
    }
    numprocs
}

fn one(
    reader: &mut Reader<'_, '_>,
    mut process: Process,
    number: i64,
    whose: &BTreeMap<String, String>,
) -> Process {
    process.number = number;
    let own = environment(reader, "environment", Scope::Process);
    for (variable, text) in &own {
        reader.process.set_variable(variable, text);
    }
    process.directory = reader.text("directory");
    for (output, channel) in [
        ("stdout", &mut process.stdout),
        ("stderr", &mut process.stderr),
    ] {
        read_log(reader, output, channel);
    }
    if process.redirect_stderr {
        if let LogFile::Path(_) = process.stderr.logfile {
            let span = reader.span("stderr_logfile");
            reader.found.warn(
                span,
                "stderr_logfile is not used: redirect_stderr sends standard error where standard output goes",
                None,
            );
        }
        process.stderr.logfile = LogFile::None;
    }
    process.command = reader.text("command").unwrap_or_default();
    // The default is checked as what is written: it cannot be wrong.
    if let Some(raw) = reader.raw("process_name") {
        let raw = crate::ini::document::strip(raw);
        process.name = match reader.entry("process_name") {
            Some(entry) => reader
                .expanded("process_name", raw, &entry.value, Scope::Process)
                .unwrap_or_default(),
            None => process.program.clone(),
        };
    }
    process.environment = over(whose.clone(), own);
    process
}

fn read_log(reader: &mut Reader<'_, '_>, output: &str, channel: &mut Channel) {
    let keys = [
        format!("{output}_logfile"),
        format!("{output}_logfile_maxbytes"),
        format!("{output}_logfile_backups"),
        format!("{output}_syslog"),
    ];
    let [logfile, maxbytes, backups, syslog] = &keys;
    channel.logfile = reader.log_file(logfile);
    channel.logfile_maxbytes = reader.number(maxbytes);
    channel.logfile_backups = reader.number(backups);
    channel.syslog = reader.flag(syslog);
    if channel.logfile == LogFile::Syslog {
        let span = reader.span(logfile);
        reader.found.warn(
            span,
            format!("{logfile}: `syslog` is an old way to write it"),
            Some(format!("{logfile} = NONE and {syslog} = true")),
        );
        channel.logfile = LogFile::None;
        channel.syslog = true;
    }
    if channel.logfile == LogFile::Auto && channel.logfile_maxbytes == 0 {
        let span = reader.span(maxbytes);
        reader.found.warn(
            span,
            format!("{maxbytes}: an AUTO log that is never rotated fills up the disk"),
            Some("give it a size, or name a file or NONE".into()),
        );
    }
}

/// The pairs of an `environment` key, its names replaced once, in `scope`.
pub(crate) fn environment(
    reader: &mut Reader<'_, '_>,
    key: &str,
    scope: Scope,
) -> BTreeMap<String, String> {
    let Some(entry) = reader.entry(key) else {
        return BTreeMap::new();
    };
    match reader.expanded(key, entry.value.text(), &entry.value, scope) {
        Some(text) => environment_of(reader, key, &text),
        None => BTreeMap::new(),
    }
}

/// The pairs of a text that is the value of `key`.
pub(crate) fn environment_of(
    reader: &mut Reader<'_, '_>,
    key: &str,
    text: &str,
) -> BTreeMap<String, String> {
    let Some(entry) = reader.entry(key) else {
        return BTreeMap::new();
    };
    match pairs(text) {
        Ok(pairs) => {
            warn_of_pairs(reader, key, &pairs);
            pairs.pairs
        }
        Err(bad) => {
            let (needle, what, hint) = refusal(&bad);
            let cut = entry.value.comments().first();
            let (span, hint) = match (cut, &bad) {
                (Some((comment, _)), BadWords::Unclosed(_)) => (
                    *comment,
                    "a blank and `;` or `#` begin a comment, even in quotes: leave out the blank"
                        .to_owned(),
                ),
                _ => (entry.value.locate(&needle), hint),
            };
            reader.error(span, format!("{key}: {what}"), Some(hint));
            BTreeMap::new()
        }
    }
}

fn refusal(bad: &BadWords) -> (String, String, String) {
    let plain = "write KEY=\"value\",KEY=\"value\"; quote a value that has more than letters, digits and _ / . + - ( ) : in it";
    match bad {
        BadWords::Unclosed(rest) => {
            let first = rest.lines().next().unwrap_or_default();
            (
                first.to_owned(),
                format!("the quote at `{first}` is not closed"),
                plain.into(),
            )
        }
        BadWords::DanglingEscape => (String::new(), "a backslash at the end".into(), plain.into()),
        BadWords::NoPair(tokens) => (
            tokens.first().cloned().unwrap_or_default(),
            format!("`{}` is not KEY=value", tokens.join(" ")),
            plain.into(),
        ),
    }
}

fn warn_of_pairs(reader: &mut Reader<'_, '_>, key: &str, pairs: &Pairs) {
    let Some(entry) = reader.entry(key) else {
        return;
    };
    let mut warn = |needle: &str, what: String, hint: &str| {
        let span = entry.value.locate(needle);
        reader.found.warn(span, what, Some(hint.into()));
    };
    for token in &pairs.odd_separators {
        warn(
            token,
            format!("{key}: `{token}` is taken for the comma between two pairs, and lost"),
            "quote the value, or write a comma",
        );
    }
    for lost in &pairs.lost {
        warn(
            lost,
            format!("{key}: `{lost}` is taken for a comment, and lost"),
            "quote a value with a # in it",
        );
    }
    for (variable, _) in pairs.pairs.iter().filter(|(v, _)| v.contains(['"', '\''])) {
        warn(
            variable,
            format!("{key}: the quotes are part of the variable's name {variable}"),
            "quote the value only: KEY=\"value\"",
        );
    }
    for variable in &pairs.repeated {
        warn(
            variable,
            format!("{key}: {variable} is given more than once; the last one counts"),
            "leave out the others",
        );
    }
}

/// What a plugin's name has to be, where one cannot be run.
pub(crate) fn plugin_refusal(what: &str, given: &str, only: &str) -> Complaint {
    Complaint::new(
        format!("{what} `{given}` is a plugin in Python, which cannot be run"),
        format!("only {only}; leave this one out"),
    )
}
