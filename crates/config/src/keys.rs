//! Every section and key: name, type, default, where which names are known, text of help.
//!
//! One entry per key. What reads, checks, suggests and documents a key takes it from here.

mod build;
mod cluster;
mod job;
mod program;
mod server;

use std::time::Duration;

use crate::ini::document::{Section, strip};
use crate::value::{
    Account, Autorestart, Complaint, Contain, LogFile, LogLevel, Owner, StopSignal, Surroundings,
    autorestart, boolean, byte_size, contain, duration, exit_codes, inet_address, integer, list,
    log_level, octal, signal, word,
};

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kind::describe says it to everybody")]
pub enum Kind {
    Text,
    Boolean,
    Integer,
    ByteSize,
    Octal,
    Signal,
    ExitCodes,
    Autorestart,
    LogLevel,
    File,
    Directory,
    LogFile,
    User,
    Owner,
    Environment,
    List,
    Address,
    Socket,
    Factory,
    Contain,
    Globs,
    Duration,
    Word(&'static Words),
    Items,
    Notation(&'static str),
    Cron,
    Script,
    Parameters,
}

/// The words that a key takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    /// As the reference says it.
    pub help: &'static str,
    /// The words, in lower case.
    pub words: &'static [&'static str],
}

impl Kind {
    /// What a key of this type takes, for the reference.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Boolean => "boolean: `true` `yes` `on` `1`, `false` `no` `off` `0`",
            Self::Integer => "integer",
            Self::ByteSize => "bytes, or with `KB`, `MB`, `GB` (powers of 1024)",
            Self::Octal => "octal number",
            Self::Signal => "signal: a name with or without `SIG`, or a number",
            Self::ExitCodes => "exit statuses, 0 to 255, with commas between them",
            Self::Autorestart => "boolean or `unexpected`",
            Self::LogLevel => "`critical` `error` `warn` `info` `debug` `trace` `blather`",
            Self::File => "file in a directory that is there; `~` is replaced",
            Self::Directory => "directory that is there; `~` is replaced",
            Self::LogFile => "`AUTO`, `NONE` (or `off`), or a file in a directory that is there",
            Self::User => "user, by name or number",
            Self::Owner => "`user` or `user:group`, by name or number",
            Self::Environment => "`KEY=value,KEY=\"value, with commas\"`",
            Self::List => "names with commas between them",
            Self::Address => "`host:port`, `:port`, `*:port` or `port`",
            Self::Socket => "`tcp://host:port` or `unix:///absolute/path`",
            Self::Factory => "`module:name`",
            Self::Contain => "`process` or `tree`",
            Self::Globs => "paths and globs with blanks between them",
            Self::Duration => "time: `90s`, `10m`, `1h30m`, `2d`, `500ms`, or seconds",
            Self::Word(words) => words.help,
            Self::Items => "several, with commas between them or one per line",
            Self::Notation(help) => help,
            Self::Cron => {
                "times in Jenkins' notation, such as `H/5 * * * *` or `@daily`, one per line; `TZ=Area/City` in the first"
            }
            Self::Script => "script, see *Scripts*",
            Self::Parameters => "parameters, see *Parameters*",
        }
    }

    /// The value that `text` is.
    ///
    /// # Errors
    /// When it is none of this type.
    pub fn parse(self, text: &str, around: Surroundings<'_>) -> Result<Typed, Complaint> {
        Ok(match self {
            Self::Text
            | Self::Environment
            | Self::Socket
            | Self::Factory
            | Self::Globs
            | Self::Notation(_)
            | Self::Items
            | Self::Cron
            | Self::Script
            | Self::Parameters => Typed::Text(text.to_owned()),
            Self::Duration => Typed::Duration(duration(text)?),
            Self::Word(words) => Typed::Text(word(text, words.words)?),
            Self::Boolean => Typed::Boolean(boolean(text)?),
            Self::Integer => Typed::Integer(integer(text)?),
            Self::ByteSize => Typed::Integer(byte_size(text)?),
            Self::Octal => Typed::Integer(octal(text)?),
            Self::Signal => Typed::Signal(signal(text)?),
            Self::ExitCodes => Typed::Codes(exit_codes(text)?),
            Self::Autorestart => Typed::Autorestart(autorestart(text)?),
            Self::LogLevel => Typed::LogLevel(log_level(text)?),
            Self::File => Typed::Text(around.file(text)?),
            Self::Directory => Typed::Text(around.directory(text)?),
            Self::LogFile => Typed::LogFile(around.log_file(text)?),
            Self::User => Typed::User(around.user(text)?),
            Self::Owner => Typed::Owner(around.owner(text)?),
            Self::List => Typed::List(list(text)),
            Self::Address => {
                let (host, port) = inet_address(text)?;
                Typed::Address(host, port)
            }
            Self::Contain => Typed::Contain(contain(text)?),
        })
    }
}

/// A value of some type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the types that they hold")]
pub enum Typed {
    Text(String),
    Boolean(bool),
    Integer(i64),
    Signal(StopSignal),
    Codes(Vec<u8>),
    Autorestart(Autorestart),
    LogLevel(LogLevel),
    LogFile(LogFile),
    User(Account),
    Owner(Owner),
    List(Vec<String>),
    Address(String, u16),
    Contain(Contain),
    Duration(Duration),
}

/// What holds where a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The same as if this were written.
    Text(&'static str),
    /// Nothing; this is what it means.
    Means(&'static str),
    /// It may not be left out.
    Required,
}

/// Which names `%(…)s` knows in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `ENV_X`.
    Environment,
    /// And `here`.
    Here,
    /// And `host_node_name`.
    HereAndHost,
    /// `ENV_X`, `here`, `program_name`.
    Socket,
    /// `ENV_X`, `here`, `host_node_name`, `program_name`, `group_name`.
    Program,
    /// And `process_num`, `numprocs`, and the variables of the program's own `environment`.
    Process,
}

impl Scope {
    /// The names, for the reference.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Environment => "`ENV_X`",
            Self::Here => "`ENV_X` `here`",
            Self::HereAndHost => "`ENV_X` `here` `host_node_name`",
            Self::Socket => "`ENV_X` `here` `program_name`",
            Self::Program => "`ENV_X` `here` `host_node_name` `program_name` `group_name`",
            Self::Process => {
                "`ENV_X` `here` `host_node_name` `program_name` `group_name` `process_num` `numprocs`"
            }
        }
    }
}

/// A key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written, in lower case.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds without it.
    pub fallback: Fallback,
    /// Which names are known in it.
    pub scope: Scope,
    /// What it does.
    pub help: &'static str,
    /// It is ward's own: the original passes over it.
    pub ours: bool,
    /// It may be written once for each step too: `NAME.STEP`.
    pub each_step: bool,
}

const fn key(
    name: &'static str,
    kind: Kind,
    fallback: Fallback,
    scope: Scope,
    help: &'static str,
) -> Key {
    Key {
        name,
        kind,
        fallback,
        scope,
        help,
        ours: false,
        each_step: false,
    }
}

/// How a section's header is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By the whole name.
    Exact,
    /// By what it begins with; there may be several.
    Prefix,
    /// By what is before the colon; behind it stands a name.
    Named,
}

/// A kind of section.
#[derive(Debug, Clone, Copy)]
pub struct SectionKind {
    /// The word it begins with.
    pub word: &'static str,
    /// How it is recognised.
    pub form: Form,
    /// Its keys, those of several tables after each other.
    pub keys: &'static [&'static [Key]],
    /// Any other key is an argument of the plugin.
    pub open: bool,
    /// What it is for.
    pub help: &'static str,
}

impl SectionKind {
    /// As the reference calls it.
    #[must_use]
    pub fn title(&self) -> String {
        match self.form {
            Form::Named => format!("[{}:NAME]", self.word),
            Form::Exact | Form::Prefix => format!("[{}]", self.word),
        }
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().flat_map(|keys| keys.iter())
    }

    /// The key of this name; of `NAME.STEP`, that of `NAME`.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        let of_step = name.split_once('.').map(|(name, _)| name);
        let is = |key: &&Key| key.name == name || (key.each_step && Some(key.name) == of_step);
        self.keys().find(is)
    }

    fn is(&self, section: &str) -> bool {
        match self.form {
            Form::Exact => section == self.word,
            Form::Prefix => section.starts_with(self.word),
            Form::Named => section
                .strip_prefix(self.word)
                .is_some_and(|rest| rest.starts_with(':')),
        }
    }
}

/// `[supervisord]`.
pub const SUPERVISORD: &SectionKind = &SectionKind {
    word: "supervisord",
    form: Form::Exact,
    keys: &[server::SUPERVISORD],
    open: false,
    help: "The supervisor itself. Required.",
};
/// `[unix_http_server]`.
pub const UNIX_SERVER: &SectionKind = &SectionKind {
    word: "unix_http_server",
    form: Form::Prefix,
    keys: &[server::UNIX],
    open: false,
    help: "A server on a UNIX socket. Several may stand beside each other, as `[unix_http_server:NAME]`.",
};
/// `[inet_http_server]`.
pub const INET_SERVER: &SectionKind = &SectionKind {
    word: "inet_http_server",
    form: Form::Prefix,
    keys: &[server::INET],
    open: false,
    help: "A server on a TCP port (IPv4). Several may stand beside each other, as `[inet_http_server:NAME]`.",
};
/// `[supervisorctl]`.
pub const SUPERVISORCTL: &SectionKind = &SectionKind {
    word: "supervisorctl",
    form: Form::Exact,
    keys: &[server::CONTROL],
    open: false,
    help: "The client. It reads the main file only: what an included file says here is not seen.",
};
/// `[program:x]`.
pub const PROGRAM: &SectionKind = &SectionKind {
    word: "program",
    form: Form::Named,
    keys: &[program::PROGRAM],
    open: false,
    help: "A program. Where no `[group:…]` names it, it is a group of its own, called as it is.",
};
/// `[group:x]`.
pub const GROUP: &SectionKind = &SectionKind {
    word: "group",
    form: Form::Named,
    keys: &[program::GROUP],
    open: false,
    help: "Programs under one name.",
};
/// `[fcgi-program:x]`.
pub const FCGI: &SectionKind = &SectionKind {
    word: "fcgi-program",
    form: Form::Named,
    keys: &[program::PROGRAM, program::FCGI],
    open: false,
    help: "Programs that share a listening socket as their standard input (FastCGI).",
};
/// `[eventlistener:x]`.
pub const LISTENER: &SectionKind = &SectionKind {
    word: "eventlistener",
    form: Form::Named,
    keys: &[program::PROGRAM, program::LISTENER],
    open: false,
    help: "Programs that are told of events on their standard input. `priority` is -1 unless given; \
           `redirect_stderr` may not be true.",
};
/// `[rpcinterface:x]`.
pub const RPC_INTERFACE: &SectionKind = &SectionKind {
    word: "rpcinterface",
    form: Form::Named,
    keys: &[server::RPC_INTERFACE],
    open: true,
    help: "What the servers answer. Without `[rpcinterface:supervisor]` clients are answered nothing.",
};
/// `[include]`.
pub const INCLUDE: &SectionKind = &SectionKind {
    word: "include",
    form: Form::Exact,
    keys: &[server::INCLUDE],
    open: false,
    help: "More files. Later ones override the keys of earlier ones; in an included file this section does nothing.",
};
/// `[ctlplugin:x]`.
pub const CTL_PLUGIN: &SectionKind = &SectionKind {
    word: "ctlplugin",
    form: Form::Named,
    keys: &[server::CTL_PLUGIN],
    open: true,
    help: "A plugin of the original's client. Plugins in Python are not run: the section is passed over with a warning.",
};

/// `[build]`.
pub const BUILD: &SectionKind = &SectionKind {
    word: "build",
    form: Form::Exact,
    keys: &[build::BUILD],
    open: false,
    help: "The build server. `ward up` keeps it as the program `builds`; `ward build serve` runs it alone. \
           A supervisor without builds passes over this section and over every `[job:NAME]`.",
};
/// `[job:x]`.
pub const JOB: &SectionKind = &SectionKind {
    word: "job",
    form: Form::Named,
    keys: &[job::JOB],
    open: false,
    help: "A job of the build server. `/` in its name separates folders.",
};

/// `[cluster]`.
pub const CLUSTER: &SectionKind = &SectionKind {
    word: "cluster",
    form: Form::Exact,
    keys: &[cluster::CLUSTER],
    open: false,
    help: "The etcd cluster that keeps locks among several hosts. Programs and builds are told of it by the \
           variables `WARD_ETCD_…` (empty where nothing is said), unless their `environment` names another one, so \
           that `ward lock` and `ward run --lock` use it there; in a shell they read it themselves, from \
           `/etc/ward.conf`, the file that `WARD_CLUSTER_CONFIG` names, or `--cluster-config FILE`. It may stand in the \
           main file only, and unknown keys are errors. Paths are from the file's directory on; `~` is the home of \
           who reads it.",
};

/// Every kind of section, as the reference lists them.
pub const SECTIONS: &[&SectionKind] = &[
    SUPERVISORD,
    UNIX_SERVER,
    INET_SERVER,
    SUPERVISORCTL,
    PROGRAM,
    GROUP,
    FCGI,
    LISTENER,
    RPC_INTERFACE,
    INCLUDE,
    CTL_PLUGIN,
    CLUSTER,
    BUILD,
    JOB,
];

/// The kind of this section.
#[must_use]
pub fn kind_of(section: &str) -> Option<&'static SectionKind> {
    SECTIONS.iter().find(|kind| kind.is(section)).copied()
}

/// What stands behind the first colon of a section's header; empty without one.
#[must_use]
pub fn name_of(section: &Section) -> &str {
    section.name.split_once(':').map_or("", |(_, name)| name)
}

/// The same without blanks around it.
#[must_use]
pub fn plain_name_of(section: &Section) -> &str {
    strip(name_of(section))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::load::tests::Memory;
    use std::collections::BTreeSet;

    #[test]
    fn every_default_is_a_value_of_its_type() {
        let (host, files) = (Host::default(), Memory::default());
        let around = Surroundings {
            host: &host,
            files: &files,
        };
        for kind in SECTIONS {
            let mut names = BTreeSet::new();
            for key in kind.keys() {
                assert!(
                    names.insert(key.name),
                    "{} twice in {}",
                    key.name,
                    kind.word
                );
                assert_eq!(key.name, key.name.to_lowercase());
                assert!(key.help.ends_with(['.', '`']), "{}", key.name);
                if let Fallback::Text(text) = key.fallback {
                    assert!(key.kind.parse(text, around).is_ok(), "{}", key.name);
                }
            }
        }
    }

    #[test]
    fn sections_are_recognised_as_in_the_original() {
        let word = |section| kind_of(section).map(|kind| kind.word);
        assert_eq!(word("program:x"), Some("program"));
        assert_eq!(word("program"), None);
        assert_eq!(word("Program:x"), None);
        assert_eq!(word("inet_http_server2"), Some("inet_http_server"));
        assert_eq!(word("supervisord:x"), None);
    }
}
