//! Reading one section by the table of its keys.
//!
//! A value that is wrong is told, and its default taken for it, so that everything behind it is
//! looked at too.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::diagnostics::Diagnostics;
use crate::host::{Files, Host};
use crate::ini::document::{Document, Entry, Section, Value};
use crate::ini::expand::{BadFormat, Names, Replacement, Why, expand};
use crate::keys::{Fallback, Key, Scope, SectionKind, Typed};
use crate::nearest::nearest;
use crate::source::Span;
use crate::value::{
    Account, Autorestart, Complaint, Contain, LogFile, LogLevel, Owner, StopSignal, Surroundings,
    integer,
};

/// Where each key of a section was given; a key that is not in it has its default.
pub type Origins = BTreeMap<&'static str, Span>;

/// What every section is read against.
pub(crate) struct Context<'a> {
    pub(crate) document: &'a Document,
    pub(crate) host: &'a Host,
    pub(crate) files: &'a dyn Files,
    /// The directory of the main file.
    pub(crate) here: &'a str,
    /// The environment, and from a point on what `[supervisord]` adds to it.
    pub(crate) environment: Rc<BTreeMap<String, String>>,
}

impl<'a> Context<'a> {
    /// The same, of another document.
    pub(crate) fn of<'b>(&'b self, document: &'b Document) -> Context<'b> {
        Context {
            document,
            host: self.host,
            files: self.files,
            here: self.here,
            environment: Rc::clone(&self.environment),
        }
    }

    pub(crate) fn around(&self) -> Surroundings<'a> {
        Surroundings {
            host: self.host,
            files: self.files,
        }
    }

    /// The names that are known everywhere in `scope`.
    fn names(&self, scope: Scope) -> Names {
        let names = Names::of_environment(&self.environment);
        match scope {
            Scope::Environment => names,
            Scope::Here | Scope::Socket => names.with("here", self.here),
            Scope::HereAndHost | Scope::Program | Scope::Process => names
                .with("here", self.here)
                .with("host_node_name", &self.host.node_name),
        }
    }
}

/// A section, being read.
pub(crate) struct Reader<'a, 'd> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) section: &'a Section,
    kind: &'static SectionKind,
    pub(crate) found: &'d mut Diagnostics,
    environment: Names,
    here: Names,
    /// `HereAndHost`, and what a program adds.
    program: Names,
    /// The same, and what a process adds.
    pub(crate) process: Names,
    socket: Names,
}

impl<'a, 'd> Reader<'a, 'd> {
    pub(crate) fn new(
        context: &'a Context<'a>,
        section: &'a Section,
        kind: &'static SectionKind,
        found: &'d mut Diagnostics,
    ) -> Self {
        Self {
            context,
            section,
            kind,
            found,
            environment: context.names(Scope::Environment),
            here: context.names(Scope::Here),
            program: context.names(Scope::Program),
            process: context.names(Scope::Process),
            socket: context.names(Scope::Socket),
        }
    }

    /// From here on the names of this program and group are known.
    pub(crate) fn of_program(&mut self, program: &str, group: &str) {
        let named = |names: &Names| names.clone().with("program_name", program);
        self.socket = named(&self.socket);
        self.program = named(&self.program).with("group_name", group);
        self.process = self.program.clone();
    }

    /// From here on the number of this process is known. What an earlier process's own
    /// environment said stays known where the environment does not say it, as in the original.
    pub(crate) fn of_process(&mut self, number: i64, numprocs: i64) {
        self.process.uncover_environment();
        self.process.set("process_num", Replacement::Number(number));
        self.process.set("numprocs", Replacement::Number(numprocs));
    }

    fn names(&self, scope: Scope) -> &Names {
        match scope {
            Scope::Environment => &self.environment,
            Scope::Here => &self.here,
            Scope::HereAndHost | Scope::Program => &self.program,
            Scope::Process => &self.process,
            Scope::Socket => &self.socket,
        }
    }

    /// The key's row. All names come from the code, and a test reads every key.
    fn key(&self, name: &str) -> Option<&'static Key> {
        let key = self.kind.key(name);
        debug_assert!(
            key.is_some(),
            "{name} is not in the table of {}",
            self.kind.word
        );
        key
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.context.document.entry(self.section, name)
    }

    /// Where a key's value stands; without the key, the section's header.
    pub(crate) fn span(&self, name: &str) -> Span {
        self.entry(name)
            .map_or(self.section.span, |entry| entry.value.span())
    }

    pub(crate) fn error(&mut self, span: Span, what: impl Into<String>, hint: Option<String>) {
        self.found.error(span, what, hint);
    }

    pub(crate) fn complain(&mut self, name: &str, text: &str, complaint: Complaint) {
        let span = self
            .entry(name)
            .map_or(self.section.span, |entry| entry.value.locate(text));
        self.found
            .error(span, format!("{name}: {}", complaint.what), complaint.hint);
    }

    /// `text` with its names replaced. `value` is where it stands.
    pub(crate) fn expanded(
        &mut self,
        name: &str,
        text: &str,
        value: &Value,
        scope: Scope,
    ) -> Option<String> {
        match expand(text, self.names(scope)) {
            Ok(expanded) => {
                if expanded.bare {
                    self.found.warn(
                        value.locate("%s"),
                        format!("{name}: a `%s` without a name stays as it is; the original puts all variables of its environment there"),
                        Some("write %%s for `%s`, and %% for every other `%`".into()),
                    );
                }
                Some(expanded.text)
            }
            Err(BadFormat { at, why }) => {
                let field = &text[at];
                let (what, hint) = self.unknown(why, field, scope);
                self.found
                    .error(value.locate(field), format!("{name}: {what}"), Some(hint));
                None
            }
        }
    }

    fn unknown(&self, why: Why, field: &str, scope: Scope) -> (String, String) {
        let names = self.names(scope);
        match why {
            Why::Malformed(why) => (
                format!("`{field}` cannot be replaced: {why}"),
                "write %% for a `%`, and %(name)s for a name".into(),
            ),
            Why::Unknown(name) => {
                let mut plain: Vec<&str> = names.plain().collect();
                plain.sort_unstable();
                let hint = if let Some(variable) = name.strip_prefix("ENV_") {
                    format!(
                        "set {variable} in the environment, or in `environment` of [supervisord]"
                    )
                } else if self.context.environment.contains_key(&name) {
                    format!("a variable of the environment is written %(ENV_{name})s")
                } else if let Some(near) = nearest(&name, plain.iter().copied()) {
                    format!("did you mean %({near})s?")
                } else if plain.is_empty() {
                    "known here: %(ENV_X)s for each variable X".into()
                } else {
                    format!(
                        "known here: {}, and ENV_X for each variable X",
                        plain.join(", ")
                    )
                };
                (format!("`{name}` is no name that is known here"), hint)
            }
        }
    }

    /// The value of a key, or its default; `None` if it has none.
    fn typed(&mut self, name: &str) -> Option<Typed> {
        let scope = self.key(name)?.scope;
        self.typed_in(name, scope)
    }

    /// The same, with the names of another scope.
    fn typed_in(&mut self, name: &str, scope: Scope) -> Option<Typed> {
        let key = self.key(name)?;
        if let Some(entry) = self.entry(name) {
            let text = self.expanded(name, entry.value.text(), &entry.value, scope);
            if let Some(text) = text {
                match self.parsed(key, &text, entry) {
                    Some(typed) => return Some(typed),
                    None => return self.fallback(key),
                }
            }
        } else if key.fallback == Fallback::Required {
            self.missing(key);
        }
        self.fallback(key)
    }

    pub(crate) fn parsed(&mut self, key: &Key, text: &str, entry: &Entry) -> Option<Typed> {
        match key.kind.parse(text, self.context.around()) {
            Ok(typed) => Some(typed),
            Err(complaint) => {
                self.found.error(
                    entry.value.locate(text),
                    format!("{}: {}", key.name, complaint.what),
                    complaint.hint,
                );
                None
            }
        }
    }

    fn missing(&mut self, key: &Key) {
        self.found.error(
            self.section.span,
            format!("[{}] has no `{}`", self.section.name, key.name),
            Some(format!("{} = … ({})", key.name, key.kind.describe())),
        );
    }

    fn fallback(&self, key: &Key) -> Option<Typed> {
        let Fallback::Text(text) = key.fallback else {
            return None;
        };
        let text = expand(text, self.names(key.scope)).ok()?.text;
        key.kind.parse(&text, self.context.around()).ok()
    }

    /// Reads a key again where the original does so with fewer names known.
    pub(crate) fn check_in(&mut self, name: &str, scope: Scope) {
        let _ = self.typed_in(name, scope);
    }

    /// An integer with the names of `Here`, without a word about what is wrong.
    pub(crate) fn quietly(&self, name: &str, text: &str) -> Option<i64> {
        debug_assert!(self.kind.key(name).is_some());
        integer(&expand(text, &self.here).ok()?.text).ok()
    }

    pub(crate) fn origins(&self) -> Origins {
        self.kind
            .keys()
            .filter_map(|key| Some((key.name, self.entry(key.name)?.value.span())))
            .collect()
    }

    /// The text as it is written, or the default's.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        match self.entry(name) {
            Some(entry) => Some(entry.value.text()),
            None => match self.key(name)?.fallback {
                Fallback::Text(text) => Some(text),
                Fallback::Means(_) | Fallback::Required => None,
            },
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.typed(name)? {
            Typed::Text(text) => Some(text),
            _ => mistyped(name),
        }
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.typed(name)? {
            Typed::Boolean(value) => Some(value),
            _ => mistyped(name),
        }
    }

    /// A boolean that has a default in the table.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        self.boolean(name).unwrap_or_default()
    }

    pub(crate) fn integer(&mut self, name: &str) -> Option<i64> {
        match self.typed(name)? {
            Typed::Integer(value) => Some(value),
            _ => mistyped(name),
        }
    }

    /// An integer that has a default in the table.
    pub(crate) fn number(&mut self, name: &str) -> i64 {
        self.integer(name).unwrap_or_default()
    }

    /// A number between these, both included.
    pub(crate) fn within(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let number = self.integer(name)?;
        let fits = u32::try_from(number)
            .ok()
            .filter(|it| (least..=most).contains(it));
        if fits.is_none() {
            let span = self.span(name);
            self.error(
                span,
                match most {
                    u32::MAX => format!("{name}: {number} is less than {least}, or too large"),
                    most => format!("{name}: {number} is not between {least} and {most}"),
                },
                None,
            );
        }
        fits
    }

    pub(crate) fn duration(&mut self, name: &str) -> Option<Duration> {
        match self.typed(name)? {
            Typed::Duration(value) => Some(value),
            _ => mistyped(name),
        }
    }

    /// A time between these, both included.
    pub(crate) fn time_within(
        &mut self,
        name: &str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        let time = self.duration(name)?;
        let what = if time < least {
            format!("{name}: it is at least {} s", least.as_secs())
        } else if time > most {
            format!("{name}: it is at most {} s", most.as_secs())
        } else {
            return Some(time);
        };
        let span = self.span(name);
        self.error(span, what, None);
        None
    }

    pub(crate) fn signal(&mut self, name: &str) -> StopSignal {
        match self.typed(name)? {
            Typed::Signal(value) => value,
            _ => mistyped(name),
        }
    }

    pub(crate) fn codes(&mut self, name: &str) -> Vec<u8> {
        match self.typed(name) {
            Some(Typed::Codes(value)) => value,
            _ => Vec::new(),
        }
    }

    pub(crate) fn autorestart(&mut self, name: &str) -> Autorestart {
        match self.typed(name) {
            Some(Typed::Autorestart(value)) => value,
            _ => Autorestart::Unexpected,
        }
    }

    pub(crate) fn log_level(&mut self, name: &str) -> LogLevel {
        match self.typed(name) {
            Some(Typed::LogLevel(value)) => value,
            _ => LogLevel::Info,
        }
    }

    /// Names are replaced twice in it.
    pub(crate) fn log_file(&mut self, name: &str) -> LogFile {
        let Some(key) = self.key(name) else {
            return LogFile::Auto;
        };
        let Some(entry) = self.entry(name) else {
            return LogFile::Auto;
        };
        let value = &entry.value;
        let typed = self
            .expanded(name, value.text(), value, key.scope)
            .and_then(|once| self.expanded(name, &once, value, key.scope))
            .and_then(|text| self.parsed(key, &text, entry));
        match typed {
            Some(Typed::LogFile(file)) => file,
            _ => LogFile::Auto,
        }
    }

    pub(crate) fn user(&mut self, name: &str) -> Option<Account> {
        match self.typed(name)? {
            Typed::User(value) => Some(value),
            _ => mistyped(name),
        }
    }

    pub(crate) fn owner(&mut self, name: &str) -> Option<Owner> {
        match self.typed(name)? {
            Typed::Owner(value) => Some(value),
            _ => mistyped(name),
        }
    }

    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        match self.typed(name) {
            Some(Typed::List(value)) => value,
            _ => Vec::new(),
        }
    }

    pub(crate) fn address(&mut self, name: &str) -> Option<(String, u16)> {
        match self.typed(name)? {
            Typed::Address(host, port) => Some((host, port)),
            _ => mistyped(name),
        }
    }

    pub(crate) fn contain(&mut self, name: &str) -> Contain {
        match self.typed(name) {
            Some(Typed::Contain(value)) => value,
            _ => Contain::Process,
        }
    }
}

/// A key is read as its row in the table says, or the code is wrong.
fn mistyped<T>(name: &str) -> Option<T> {
    debug_assert!(false, "{name} is read as another type than its own");
    None
}
