//! The supervisor, its servers, its client, and what answers.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::diagnostics::Diagnostics;
use crate::group::dense;
use crate::ini::document::{Section, strip};
use crate::keys::{self, Scope};
use crate::program::{environment_of, plugin_refusal};
use crate::read::{Context, Origins, Reader};
use crate::source::Span;
use crate::value::{Account, Complaint, LogFile, LogLevel, Owner};

/// `[supervisord]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Supervisord {
    /// The main log: a file (absolute), or the system's.
    pub logfile: LogFile,
    /// In bytes; 0 for never.
    pub logfile_maxbytes: i64,
    /// How many are kept.
    pub logfile_backups: i64,
    /// How much it tells.
    pub loglevel: LogLevel,
    /// Absolute.
    pub pidfile: String,
    /// File mode creation mask.
    pub umask: i64,
    /// Stay in the foreground.
    pub nodaemon: bool,
    /// No log on standard output.
    pub silent: bool,
    /// Open files.
    pub minfds: i64,
    /// Processes.
    pub minprocs: i64,
    /// Keep earlier `AUTO` logs.
    pub nocleanup: bool,
    /// Where `AUTO` logs are.
    pub childlogdir: String,
    /// Whom it runs as.
    pub user: Option<Account>,
    /// Where it runs.
    pub directory: Option<String>,
    /// Escape sequences are taken out of logs.
    pub strip_ansi: bool,
    /// Variables of all programs.
    pub environment: BTreeMap<String, String>,
    /// What it calls itself.
    pub identifier: String,
    /// Where each key was given.
    #[serde(skip)]
    pub origins: Origins,
    /// The section's header.
    #[serde(skip)]
    pub span: Span,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// The section's whole name.
    pub section: String,
    /// Where it listens.
    #[serde(flatten)]
    pub address: Address,
    /// Who is let in; `None` for everybody.
    pub credentials: Option<Credentials>,
    /// Where each key was given.
    #[serde(skip)]
    pub origins: Origins,
    /// The section's header.
    #[serde(skip)]
    pub span: Span,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "server", rename_all = "lowercase")]
pub enum Address {
    /// On a port.
    Inet {
        /// In lower case; empty for every address.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// On a path.
    Unix {
        /// Absolute.
        file: String,
        /// Its permissions.
        chmod: i64,
        /// Whose it is made.
        chown: Owner,
    },
}

/// A user's name and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// In clear text, or `{SHA}` and the SHA-1 in hexadecimal digits.
    pub password: Secret,
}

/// A text that nobody prints by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

/// `[supervisorctl]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Supervisorctl {
    /// The server.
    pub serverurl: String,
    /// Who asks.
    pub username: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// The prompt.
    pub prompt: String,
    /// Absolute.
    pub history_file: Option<String>,
    /// Where each key was given.
    #[serde(skip)]
    pub origins: Origins,
    /// The section's header.
    #[serde(skip)]
    pub span: Span,
}

/// The one factory of an interface.
const MAIN_INTERFACE: &str = "supervisor.rpcinterface:make_main_rpcinterface";
const FACTORY: &str = "supervisor.rpcinterface_factory";

/// Reads `[supervisord]`.
pub(crate) fn supervisord(
    context: &Context<'_>,
    section: &Section,
    found: &mut Diagnostics,
) -> Supervisord {
    let mut reader = Reader::new(context, section, keys::SUPERVISORD, found);
    let host = context.host;
    let logfile = match reader.text("logfile") {
        Some(text) if text == "syslog" => LogFile::Syslog,
        text => LogFile::Path(host.absolute(&text.unwrap_or_default())),
    };
    Supervisord {
        logfile,
        logfile_maxbytes: reader.number("logfile_maxbytes"),
        logfile_backups: reader.number("logfile_backups"),
        loglevel: reader.log_level("loglevel"),
        pidfile: host.absolute(&reader.text("pidfile").unwrap_or_default()),
        umask: reader.number("umask"),
        nodaemon: reader.flag("nodaemon"),
        silent: reader.flag("silent"),
        minfds: reader.number("minfds"),
        minprocs: reader.number("minprocs"),
        nocleanup: reader.flag("nocleanup"),
        childlogdir: reader
            .text("childlogdir")
            .unwrap_or_else(|| host.temporary_directory.clone()),
        user: reader.user("user"),
        directory: reader.text("directory"),
        strip_ansi: reader.flag("strip_ansi"),
        environment: environment(&mut reader),
        identifier: reader.text("identifier").unwrap_or_default(),
        origins: reader.origins(),
        span: section.span,
    }
}

/// Its names are replaced twice, the second time with the name of the host among them.
fn environment(reader: &mut Reader<'_, '_>) -> BTreeMap<String, String> {
    let Some(entry) = reader.entry("environment") else {
        return BTreeMap::new();
    };
    let value = &entry.value;
    reader
        .expanded("environment", value.text(), value, Scope::Here)
        .and_then(|once| reader.expanded("environment", &once, value, Scope::HereAndHost))
        .map(|text| environment_of(reader, "environment", &text))
        .unwrap_or_default()
}

/// Reads every server: those on ports, then those on sockets.
pub(crate) fn servers(context: &Context<'_>, found: &mut Diagnostics) -> Vec<Server> {
    let mut servers = Vec::new();
    for kind in [keys::INET_SERVER, keys::UNIX_SERVER] {
        let sections = context.document.sections().iter();
        for section in sections.filter(|section| section.name.starts_with(kind.word)) {
            let mut reader = Reader::new(context, section, kind, found);
            let credentials = credentials(&mut reader);
            let address = if kind.word == keys::INET_SERVER.word {
                reader
                    .address("port")
                    .map(|(host, port)| Address::Inet { host, port })
            } else {
                unix(&mut reader)
            };
            servers.extend(address.map(|address| Server {
                section: section.name.clone(),
                address,
                credentials,
                origins: reader.origins(),
                span: section.span,
            }));
        }
    }
    servers
}

fn unix(reader: &mut Reader<'_, '_>) -> Option<Address> {
    let chown = reader.owner("chown").unwrap_or_default();
    let chmod = reader.number("chmod");
    let file = reader.text("file")?;
    Some(Address::Unix {
        file: reader.context.host.normal_path(strip(&file)),
        chmod,
        chown,
    })
}

fn credentials(reader: &mut Reader<'_, '_>) -> Option<Credentials> {
    let given = ["username", "password"].map(|key| reader.entry(key).is_some());
    let username = reader.text("username");
    let password = reader.text("password");
    if given[0] != given[1] {
        let (has, lacks) = if given[0] {
            ("username", "password")
        } else {
            ("password", "username")
        };
        let span = reader.span(has);
        reader.error(
            span,
            format!("there is a {has} and no {lacks}: nobody could be let in by it"),
            Some(format!("give both, or neither: {lacks} = …")),
        );
    }
    let (username, password) = (username?, password?);
    if let Some(digest) = password.strip_prefix("{SHA}") {
        let sound =
            digest.len() == 40 && digest.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        if !sound {
            let span = reader.span("password");
            reader.found.warn(
                span,
                "password: behind {SHA} there are no 40 hexadecimal digits in lower case, so that no password fits",
                Some("printf %s PASSWORD | sha1sum".into()),
            );
        }
    }
    Some(Credentials {
        username,
        password: Secret(password),
    })
}

/// What a process is told as the server's address unless it says otherwise: the first UNIX
/// socket, else the last port; `None` without any server.
#[must_use]
pub fn server_url(servers: &[Server]) -> Option<String> {
    let unix = servers.iter().find_map(|server| match &server.address {
        Address::Unix { file, .. } => Some(format!("unix://{file}")),
        Address::Inet { .. } => None,
    });
    unix.or_else(|| {
        servers
            .iter()
            .rev()
            .find_map(|server| match &server.address {
                Address::Inet { host, port } => {
                    let host = if host.is_empty() { "localhost" } else { host };
                    Some(format!("http://{host}:{port}"))
                }
                Address::Unix { .. } => None,
            })
    })
}

/// Reads every `[rpcinterface:x]`: their names.
pub(crate) fn interfaces(context: &Context<'_>, found: &mut Diagnostics) -> Vec<String> {
    let mut names = Vec::new();
    let sections = context.document.sections().iter();
    for section in sections.filter(|section| section.name.starts_with("rpcinterface:")) {
        let mut reader = Reader::new(context, section, keys::RPC_INTERFACE, found);
        let Some(factory) = reader.text(FACTORY) else {
            continue;
        };
        if dense(&factory) != MAIN_INTERFACE {
            let what = format!("the interface of [{}]", section.name);
            let complaint =
                plugin_refusal(&what, &factory, &format!("{MAIN_INTERFACE} is known here"));
            reader.complain(FACTORY, &factory, complaint);
            continue;
        }
        for entry in context.document.entries(section) {
            if entry.key != FACTORY {
                let complaint = Complaint::new(
                    format!(
                        "`{}` is no argument of {MAIN_INTERFACE}, which takes none",
                        entry.key
                    ),
                    "leave it out",
                );
                reader.error(entry.span, complaint.what, complaint.hint);
            }
        }
        names.push(keys::name_of(section).to_owned());
    }
    names
}

/// Reads `[supervisorctl]`.
pub(crate) fn supervisorctl(
    context: &Context<'_>,
    section: &Section,
    found: &mut Diagnostics,
) -> Supervisorctl {
    let mut reader = Reader::new(context, section, keys::SUPERVISORCTL, found);
    let host = context.host;
    let url = reader.text("serverurl").unwrap_or_default();
    let serverurl = match url.strip_prefix("unix://") {
        Some(path) => format!("unix://{}", host.normal_path(path)),
        None => url,
    };
    let history = reader.text("history_file").filter(|file| !file.is_empty());
    Supervisorctl {
        serverurl,
        username: reader.text("username"),
        password: reader.text("password").map(Secret),
        prompt: reader.text("prompt").unwrap_or_default(),
        history_file: history.map(|file| host.normal_path(&file)),
        origins: reader.origins(),
        span: section.span,
    }
}
