//! What is no mistake to the original, and hardly what was meant.
//!
//! Every finding here is a warning. What it warns of is what people run into: see the complaints
//! that are named at each.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::Diagnostics;
use crate::group::GroupKind;
use crate::ini::document::{DEFAULTS, Document, Entry, Section};
use crate::ini::words::{BadWords, arguments};
use crate::keys::{self, Form, Kind, SECTIONS, SectionKind};
use crate::load::Configuration;
use crate::nearest::nearest;
use crate::program::{Channel, Process, ProgramKind};
use crate::server::Address;
use crate::source::{FileId, Sources, Span};
use crate::value::{Autorestart, LogFile, is_quoted};

/// What can be seen before any value is read.
pub(crate) fn of_document(
    document: &Document,
    sources: &Sources,
    main: FileId,
    found: &mut Diagnostics,
) {
    if let Some(defaults) = document.defaults() {
        found.warn(
            defaults.span,
            format!(
                "the entries of [{DEFAULTS}] go into every section, also where they are no keys"
            ),
            Some("write them where they belong".into()),
        );
    }
    for section in document.sections() {
        let kind = keys::kind_of(&section.name);
        match kind {
            Some(kind) => of_section(section, kind, sources, main, found),
            None => unknown_section(section, found),
        }
        for entry in section.entries() {
            of_entry(entry, section, kind, sources, found);
        }
    }
    locks_beside_a_cluster(document, found);
}

/// The same for the build server's own sections.
pub(crate) fn of_builds(document: &Document, sources: &Sources, found: &mut Diagnostics) {
    for section in document.sections() {
        let kind = keys::kind_of(&section.name);
        let ours = [keys::BUILD.word, keys::JOB.word];
        if let Some(kind) = kind.filter(|kind| ours.contains(&kind.word)) {
            for entry in section.entries() {
                of_entry(entry, section, Some(kind), sources, found);
            }
        }
    }
    locks_beside_a_cluster(document, found);
}

/// Who names a cluster may well think that it keeps the locks of builds too.
fn locks_beside_a_cluster(document: &Document, found: &mut Diagnostics) {
    if document.section(keys::CLUSTER.word).is_none() {
        return;
    }
    for section in document.sections() {
        let is_job = keys::kind_of(&section.name).is_some_and(|it| it.word == keys::JOB.word);
        if let Some(locks) = document.entry(section, "locks").filter(|_| is_job) {
            found.warn(
                locks.value.span(),
                "locks: a build holds them on this host only, and not in the [cluster]",
                Some("hold them in a step: ward lock NAME -- COMMAND".into()),
            );
        }
    }
}

fn unknown_section(section: &Section, found: &mut Diagnostics) {
    let (word, name) = match section.name.split_once(':') {
        Some((word, name)) => (word, Some(name)),
        None => (section.name.as_str(), None),
    };
    let lower = word.to_lowercase();
    let known = SECTIONS.iter().find(|kind| kind.word == lower);
    let near = || {
        let near = nearest(&lower, SECTIONS.iter().map(|kind| kind.word))?;
        SECTIONS.iter().find(|kind| kind.word == near)
    };
    let hint = known.or_else(near).map(|kind| match (kind.form, name) {
        (Form::Named, Some(name)) => format!("did you mean [{}:{name}]?", kind.word),
        (Form::Named, None) => format!("did you mean {}?", kind.title()),
        (Form::Exact | Form::Prefix, _) => format!("did you mean [{}]?", kind.word),
    });
    found.warn(
        section.span,
        format!(
            "[{}] is no section that is known here; it is passed over",
            section.name
        ),
        hint,
    );
}

fn of_section(
    section: &Section,
    kind: &'static SectionKind,
    sources: &Sources,
    main: FileId,
    found: &mut Diagnostics,
) {
    let included = section.span.file != main;
    if kind.word == keys::CTL_PLUGIN.word {
        found.warn(
            section.span,
            format!(
                "[{}] is a plugin in Python, which is not run: its commands are missing",
                section.name
            ),
            Some("leave it out".into()),
        );
    }
    if included && [keys::INCLUDE.word, keys::SUPERVISORCTL.word].contains(&kind.word) {
        found.warn(
            section.span,
            format!("[{}] in an included file is passed over", section.name),
            sources
                .files()
                .next()
                .map(|main| format!("put it into {}", main.path)),
        );
    }
    if kind.form == Form::Named && keys::plain_name_of(section).is_empty() {
        found.warn(
            section.span,
            format!("there is no name in [{}]", section.name),
            None,
        );
    }
}

fn of_entry(
    entry: &Entry,
    section: &Section,
    kind: Option<&'static SectionKind>,
    sources: &Sources,
    found: &mut Diagnostics,
) {
    let is_refused = |kind: &SectionKind| kind.word == keys::CLUSTER.word;
    if let Some(kind) =
        kind.filter(|kind| !kind.open && !is_refused(kind) && kind.key(&entry.key).is_none())
    {
        found.warn(
            entry.span,
            format!(
                "`{}` is no key of [{}]; it is passed over",
                entry.key, section.name
            ),
            suggestion(&entry.key, kind),
        );
    }
    // A value from an included file is meant to override one of the main file.
    if let Some(earlier) = entry
        .earlier
        .filter(|earlier| earlier.file == entry.span.file)
    {
        found.warn(
            entry.span,
            format!(
                "`{}` is given twice in [{}]; this one counts",
                entry.key, section.name
            ),
            Some(format!("the other one is at {}", sources.place(earlier))),
        );
    }
    let raw = kind
        .and_then(|kind| kind.key(&entry.key))
        .is_some_and(|key| matches!(key.kind, Kind::Script | Kind::Parameters));
    for (line, span) in entry.value.continuations().filter(|_| !raw) {
        swallowed(line, span, entry, kind, found);
    }
}

fn suggestion(key: &str, kind: &'static SectionKind) -> Option<String> {
    if let Some(near) = nearest(key, kind.keys().map(|key| key.name)) {
        return Some(format!("did you mean {near}?"));
    }
    SECTIONS
        .iter()
        .find(|other| other.key(key).is_some())
        .map(|other| format!("it is a key of {}", other.title()))
}

/// An indented line goes on with the value above it, though it looks like a line of its own.
fn swallowed(
    line: &str,
    span: Span,
    entry: &Entry,
    kind: Option<&'static SectionKind>,
    found: &mut Diagnostics,
) {
    let header = line.starts_with('[')
        && line
            .strip_suffix(']')
            .is_some_and(|line| keys::kind_of(&line[1..]).is_some());
    let key = line
        .split(['=', ':'])
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let is_key = line.len() > key.len() && kind.is_some_and(|kind| kind.key(&key).is_some());
    if header || (is_key && entry.key != "environment") {
        found.warn(
            span,
            format!(
                "this line is indented, so it goes on with the value of `{}`",
                entry.key
            ),
            Some("take away the blanks before it".into()),
        );
    }
}

/// What can be seen in what was read.
pub(crate) fn of_configuration(
    configuration: &Configuration,
    document: &Document,
    found: &mut Diagnostics,
) {
    let mut groups = BTreeMap::new();
    for group in &configuration.groups {
        if let Some(first) = groups.insert(group.name.as_str(), group.span) {
            found.warn(
                group.span.max(first),
                format!(
                    "there are two groups of the name `{}`: one of them is never started",
                    group.name
                ),
                Some("give one of them another name".into()),
            );
        }
        let mut names = BTreeSet::new();
        for process in &group.processes {
            if !names.insert(&process.name) {
                found.warn(
                    process.span,
                    format!("two processes of the group `{}` are called `{}`: one of them is never started", group.name, process.name),
                    Some("give them names of their own by process_name".into()),
                );
            }
        }
        if let GroupKind::Named = group.kind
            && group.processes.is_empty()
        {
            found.warn(
                group.span,
                format!("the group `{}` has no process", group.name),
                None,
            );
        }
        let mut seen = BTreeSet::new();
        for process in &group.processes {
            // Once for all processes of a program.
            if seen.insert(process.span) {
                of_process(process, document, found);
            }
        }
    }
    of_servers(configuration, document, found);
}

fn of_servers(configuration: &Configuration, document: &Document, found: &mut Diagnostics) {
    let answered = configuration
        .interfaces
        .iter()
        .any(|name| name == "supervisor");
    let refused = document
        .sections()
        .iter()
        .any(|section| section.name.starts_with("rpcinterface:"));
    if let Some(server) = configuration
        .servers
        .first()
        .filter(|_| !answered && !refused)
    {
        found.warn(
            server.span,
            "there is a server, and no [rpcinterface:supervisor]: clients are answered nothing",
            Some("add [rpcinterface:supervisor] with supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface".into()),
        );
    }
    for server in &configuration.servers {
        if let Address::Inet { host, port } = &server.address
            && server.credentials.is_none()
            && !matches!(host.as_str(), "localhost" | "127.0.0.1")
        {
            found.warn(
                server.origins.get("port").copied().unwrap_or(server.span),
                "everybody who reaches this port can start and stop programs: there is no username and password",
                Some(format!("port = 127.0.0.1:{port}, or give both")),
            );
        }
    }
    if let LogFile::Path(path) = &configuration.supervisord.logfile
        && let Some(span) = configuration.supervisord.origins.get("logfile")
        && ["none", "auto", "off"].contains(
            &path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_lowercase()
                .as_str(),
        )
    {
        found.warn(
            *span,
            format!("logfile: the main log is the file `{path}`; there is no word for none"),
            Some("logfile = /dev/null, with logfile_maxbytes = 0".into()),
        );
    }
    let main = &configuration.supervisord;
    if let LogFile::Path(path) = &main.logfile
        && main.logfile_maxbytes != 0
        && is_stream(path)
    {
        not_rotated(
            "logfile",
            path,
            main.origins.get("logfile").copied().unwrap_or(main.span),
            found,
        );
    }
}

/// A device or a pipe has no size and no place: the original's rotation closes it for good.
fn is_stream(path: &str) -> bool {
    path.starts_with("/dev/") || path.starts_with("/proc/")
}

fn not_rotated(key: &str, path: &str, span: Span, found: &mut Diagnostics) {
    found.warn(
        span,
        format!("{key}: `{path}` cannot be rotated, and is lost when it is tried"),
        Some(format!("{key}_maxbytes = 0")),
    );
}

fn of_process(process: &Process, document: &Document, found: &mut Diagnostics) {
    let place = |key: &str| process.origins.get(key).copied().unwrap_or(process.span);
    for (output, channel) in [("stdout", &process.stdout), ("stderr", &process.stderr)] {
        let key = format!("{output}_logfile");
        of_channel(&key, channel, place(&key), found);
    }
    if process.stopsignal.is_none() {
        found.warn(
            place("stopsignal"),
            "stopsignal: signal 0 is none: a stop does nothing until stopwaitsecs are over, and then kills",
            None,
        );
    }
    if process.startsecs <= 0 && process.autorestart == Autorestart::Always {
        found.warn(
            place("startsecs"),
            "startsecs: with 0 and autorestart = true, a program that ends at once is started again and again without a pause",
            Some("startsecs = 1".into()),
        );
    }
    for key in ["startretries", "startsecs", "stopwaitsecs"] {
        let negative = match key {
            "startretries" => process.startretries < 0,
            "startsecs" => process.startsecs < 0,
            _ => process.stopwaitsecs < 0,
        };
        if negative {
            found.warn(
                place(key),
                format!("{key}: a negative number is taken for 0"),
                None,
            );
        }
    }
    if process.kind == ProgramKind::Listener {
        for key in ["stdout_capture_maxbytes", "stdout_events_enabled"] {
            if process.origins.contains_key(key) {
                found.warn(
                    place(key),
                    format!("{key} does nothing here: standard output of an event listener is its protocol"),
                    Some("leave it out".into()),
                );
            }
        }
    }
    for key in ["directory", "user", "stdout_logfile", "stderr_logfile"] {
        let entry = entry_of(process, document, key);
        if let Some(entry) = entry.filter(|entry| is_quoted(entry.value.text())) {
            found.warn(
                entry.value.span(),
                format!("{key}: the quotes are part of the value"),
                Some("leave them out".into()),
            );
        }
    }
    if let Some(entry) = entry_of(process, document, "command") {
        of_command(&process.command, entry, found);
    }
}

fn of_channel(key: &str, channel: &Channel, span: Span, found: &mut Diagnostics) {
    match &channel.logfile {
        LogFile::Path(path)
            if channel.logfile_maxbytes != 0 && is_stream(path) && path != "/dev/null" =>
        {
            not_rotated(key, path, span, found);
        }
        LogFile::Path(path) if path.is_empty() => {
            found.warn(
                span,
                format!("{key}: an empty name is no file"),
                Some(format!("{key} = NONE, or AUTO")),
            );
        }
        LogFile::Path(_) | LogFile::Auto | LogFile::None | LogFile::Syslog => {}
    }
}

fn entry_of<'a>(process: &Process, document: &'a Document, key: &str) -> Option<&'a Entry> {
    let section = document
        .sections()
        .iter()
        .find(|section| section.span == process.span)?;
    document.entry(section, key)
}

/// What a shell would do, and nobody does here.
const SHELL_WORDS: &[&str] = &["|", "||", "&&", "&", ">", ">>", "<", "2>", "2>&1", ";"];

/// Shells, which do it themselves when they are given a script.
const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "ash", "busybox", "fish", "su", "ssh",
];

fn of_command(command: &str, entry: &Entry, found: &mut Diagnostics) {
    let value = &entry.value;
    let words = match arguments(command) {
        Ok(words) => words,
        Err(bad) => {
            let comment = value.comments().first();
            let (span, what) = match (&bad, comment) {
                (_, Some((span, _))) => (
                    *span,
                    "command: this is taken for a comment, and cuts the command inside quotes"
                        .to_owned(),
                ),
                (BadWords::Unclosed(rest), None) => (
                    value.locate(rest.lines().next().unwrap_or_default()),
                    "command: the quote is not closed: it can never be started".to_owned(),
                ),
                (BadWords::DanglingEscape | BadWords::NoPair(_), None) => (
                    value.span(),
                    "command: a backslash is the last character: it can never be started"
                        .to_owned(),
                ),
            };
            let hint = comment.map(|_| "a blank and `;` or `#` begin a comment, even in quotes: leave out the blank before it".to_owned());
            found.warn(span, what, hint);
            return;
        }
    };
    let Some((program, rest)) = words.split_first() else {
        if !value.text().is_empty() || entry.earlier.is_none() {
            found.warn(
                value.span(),
                "command: it is empty: it can never be started",
                None,
            );
        }
        return;
    };
    let base = program.rsplit('/').next().unwrap_or_default();
    if SHELLS.contains(&base) || program == "env" {
        // A script in an argument of its own; but nothing behind it is for a shell.
        cut_between(command, entry, found);
        return;
    }
    if is_quoted(value.text()) && rest.is_empty() && program.contains(' ') {
        found.warn(
            value.span(),
            "command: the whole command is quoted, so that it is taken for the name of a program",
            Some("leave out the quotes".into()),
        );
        return;
    }
    if program.contains('/') && !program.starts_with('/') {
        found.warn(
            value.locate(program),
            format!("command: `{program}` is looked for in the supervisor's own directory, and run from that of the program"),
            Some("write the whole path, perhaps with %(here)s".into()),
        );
    }
    for word in rest {
        let variable = word.split_once('$').is_some_and(|(_, after)| {
            after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '{')
        });
        if SHELL_WORDS.contains(&word.as_str()) {
            found.warn(
                value.locate(&format!(" {word}")),
                format!(
                    "command: `{word}` is given to the program as an argument: there is no shell"
                ),
                Some("command = sh -c '…'".into()),
            );
            break;
        }
        if variable || word.contains('`') {
            found.warn(
                value.locate(word),
                format!("command: `{word}` is given to the program as it is: there is no shell"),
                Some("write %(ENV_NAME)s for a variable of the supervisor, or sh -c '…'".into()),
            );
            break;
        }
    }
    cut_between(command, entry, found);
}

/// A comment that looks like the rest of the command: what is kept ends with an operator.
fn cut_between(command: &str, entry: &Entry, found: &mut Diagnostics) {
    let ends = ["&&", "||", "|", "\\"];
    if let Some((span, _)) = entry.value.comments().first()
        && ends.iter().any(|end| command.trim_end().ends_with(end))
    {
        found.warn(
            *span,
            "command: this is taken for a comment, and cuts the command",
            Some("leave out the blank before it".into()),
        );
    }
}
