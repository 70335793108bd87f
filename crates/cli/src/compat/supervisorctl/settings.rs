//! What the options and `[supervisorctl]` of a configuration say together.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ward_config::diagnostics::Severity;
use ward_config::host::{Files, Host};
use ward_config::load::load_client;

use super::super::configuration_file::find_configuration;
use super::super::supervisord::Refusal;
use super::call::Credentials;
use super::command_line::CommandLine;

const DEFAULT_URL: &str = "http://localhost:9001";
const DEFAULT_PROMPT: &str = "supervisor";

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) serverurl: String,
    pub(super) credentials: Option<Credentials>,
    pub(super) prompt: String,
    pub(super) history_file: Option<PathBuf>,
    /// Whether somebody is there to be asked.
    pub(super) interactive: bool,
}

/// Reads the configuration, if there is one. What the command line says goes first.
pub(super) fn of(
    line: CommandLine,
    program: &OsStr,
    host: &Host,
    files: &dyn Files,
) -> Result<Settings, Refusal> {
    let path = match line.configuration {
        Some(path) => Some(path),
        None => find_configuration(program)
            .ok()
            .map(|path| path.to_string_lossy().into_owned()),
    };
    let section = match path {
        Some(path) => Some(section(&path, host, files)?),
        None => None,
    };
    let (url, username, password, prompt, history) = match section {
        Some(section) => (
            Some(section.serverurl),
            section.username,
            section
                .password
                .map(|password| password.reveal().to_owned()),
            Some(section.prompt),
            section.history_file,
        ),
        None => (None, None, None, None, None),
    };
    let username = line.username.or(username);
    let password = line.password.or(password);
    let history = line
        .history_file
        .map(|file| host.normal_path(&file))
        .or(history);
    Ok(Settings {
        serverurl: line
            .serverurl
            .or(url)
            .unwrap_or_else(|| DEFAULT_URL.to_owned()),
        // One without the other is none, as in the original.
        credentials: username
            .zip(password)
            .map(|(username, password)| Credentials { username, password }),
        prompt: prompt.unwrap_or_else(|| DEFAULT_PROMPT.to_owned()),
        history_file: history.map(PathBuf::from),
        interactive: line.interactive || line.action.is_empty(),
    })
}

fn section(
    path: &str,
    host: &Host,
    files: &dyn Files,
) -> Result<ward_config::server::Supervisorctl, Refusal> {
    if !files.exists(Path::new(&ward_config::host::join(
        &host.current_directory,
        path,
    ))) {
        return Err(Refusal(format!("could not find config file {path}")));
    }
    let loaded = load_client(path, host, files);
    for plugin in &loaded.plugins {
        // Whoever does not listen misses nothing that matters.
        let _ = writeln!(
            io::stderr(),
            "ward: [ctlplugin:{plugin}] is Python, and is not loaded"
        );
    }
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|found| found.severity == Severity::Error);
    let errors: Vec<String> = errors
        .map(|found| format!("{}: {}", loaded.sources.place(found.span), found.what))
        .collect();
    match loaded.client {
        Some(section) => Ok(section),
        None if errors.is_empty() => Err(Refusal(
            ".ini file does not include supervisorctl section".to_owned(),
        )),
        None => Err(Refusal(errors.join("\nError: "))),
    }
}
