//! A session: whom it asks, the exit status so far, and one line of commands after the other.

use std::io::{self, Write as _};

use ward_serve::xmlrpc::Value;

use super::call::{CallError, Credentials, Server, fault};
use super::info::Info;
use super::settings::Settings;
use super::{actions, foreground, help, ours, question};

/// The exit statuses of the original.
pub(super) mod exit {
    pub(in super::super) const GENERIC: u8 = 1;
    pub(in super::super) const BAD_ARGUMENTS: u8 = 2;
    pub(in super::super) const UNIMPLEMENTED: u8 = 3;
    /// Of `status`: something that was shown does not run.
    pub(in super::super) const STATUS_DOWN: u8 = 3;
    /// Of `status`: something is not known, or nobody can be asked.
    pub(in super::super) const STATUS_UNKNOWN: u8 = 4;
    pub(in super::super) const REFUSED: u8 = 4;
    pub(in super::super) const OTHER_VERSION: u8 = 5;
    pub(in super::super) const NOT_RUNNING: u8 = 7;
}

/// The version of the interface that is understood.
const API: &str = "3.0";

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Line,
    End,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) settings: Settings,
    server: Server,
    status: u8,
    /// For completion; as it was at the last line.
    known: Option<Vec<Info>>,
}

impl Session {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            server: Server::default(),
            status: 0,
            known: None,
        }
    }

    /// What became of the lines so far. Nothing takes a failure back.
    pub(super) fn status(&self) -> u8 {
        self.status
    }

    pub(super) fn set_status(&mut self, status: u8) {
        self.status = status;
    }

    /// A line for who asked.
    pub(super) fn say(&self, line: &str) {
        self.say_text(&format!("{line}\n"));
    }

    /// Text that brings its line breaks, written at once.
    pub(super) fn say_text(&self, text: &str) {
        let mut out = io::stdout();
        // Whoever does not listen misses nothing that matters; the exit status says the rest.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Calls a method of Supervisor's interface.
    pub(super) fn call(&mut self, method: &str, params: Vec<Value>) -> Result<Value, CallError> {
        self.call_any(&format!("supervisor.{method}"), params)
    }

    /// Calls a method by its whole name.
    pub(super) fn call_any(
        &mut self,
        method: &str,
        params: Vec<Value>,
    ) -> Result<Value, CallError> {
        self.server.call(
            &self.settings.serverurl,
            self.settings.credentials.as_ref(),
            method,
            params,
        )
    }

    /// Calls a method with the name of a process or a group.
    pub(super) fn call_with(&mut self, method: &str, name: &str) -> Result<Value, CallError> {
        self.call(method, vec![Value::text(name)])
    }

    /// Whether a supervisor of the right version can be asked. If not, that is said, and the status set.
    pub(super) fn is_up(&mut self) -> Result<bool, CallError> {
        let told = match self.call("getVersion", Vec::new()) {
            Ok(version) => {
                let version = version.as_text().unwrap_or_default().to_owned();
                if version == API {
                    return Ok(true);
                }
                let text = format!(
                    "Sorry, this version of supervisorctl expects to talk to a server with API version {API}, but the remote version is {version}."
                );
                (text, exit::OTHER_VERSION)
            }
            Err(error) if error.fault() == Some(fault::UNKNOWN_METHOD) => {
                let text = "Sorry, supervisord responded but did not recognize the supervisor namespace commands that supervisorctl uses to control it.  Please check that the [rpcinterface:supervisor] section is enabled in the configuration file (see sample.conf).";
                (text.to_owned(), exit::UNIMPLEMENTED)
            }
            Err(error) if error.is_refused() => {
                let text = format!("{} refused connection", self.settings.serverurl);
                (text, exit::REFUSED)
            }
            Err(error) if error.is_absent() => {
                let text = format!("{} no such file", self.settings.serverurl);
                (text, exit::NOT_RUNNING)
            }
            Err(error) => return Err(error),
        };
        self.say(&told.0);
        self.status = told.1;
        Ok(false)
    }

    /// Does what one line says.
    pub(super) fn one(&mut self, line: &str) -> Next {
        let line = line.trim();
        if line.is_empty() {
            return Next::Line;
        }
        self.known = None;
        let (command, argument) = taken_apart(line);
        loop {
            let done = self.command(&command, argument);
            // What is asked next may be asked after hours.
            self.server.hang_up();
            match done {
                Ok(Some(next)) => return next,
                Ok(None) => {
                    self.say(&format!("*** Unknown syntax: {line}"));
                    self.status = exit::GENERIC;
                    return Next::Line;
                }
                Err(error) if error.is_unauthorized() => {
                    self.say("Server requires authentication");
                    match self.asked_who() {
                        Ok(true) => {}
                        Ok(false) => {
                            self.status = exit::GENERIC;
                            return Next::Line;
                        }
                        Err(error) => {
                            self.fail(&error);
                            return Next::Line;
                        }
                    }
                }
                Err(error) => {
                    self.fail(&error);
                    return Next::Line;
                }
            }
        }
    }

    /// Asks for a name and a password, if somebody is there.
    fn asked_who(&mut self) -> Result<bool, CallError> {
        if !self.settings.interactive {
            return Ok(false);
        }
        let username = question::ask("Username:")?;
        let password = question::ask_secret("Password:")?;
        self.say("");
        self.settings.credentials = Some(Credentials { username, password });
        Ok(true)
    }

    fn fail(&mut self, error: &CallError) {
        self.say(&format!("error: {error}: file: supervisorctl line: 0"));
        if let Some(hint) = error.hint() {
            let _ = writeln!(io::stderr(), "ward: hint: {hint}");
        }
        self.status = exit::GENERIC;
    }

    /// `None` if there is no such command.
    fn command(&mut self, command: &str, argument: &str) -> Result<Option<Next>, CallError> {
        let words: Vec<&str> = argument.split_whitespace().collect();
        let words = words.as_slice();
        match command {
            "status" => actions::status::status(self, words)?,
            "start" => actions::processes::start(self, words)?,
            "stop" => actions::processes::stop(self, words)?,
            "restart" => actions::processes::restart(self, words)?,
            "signal" => actions::processes::signal(self, words)?,
            "clear" => actions::processes::clear(self, words)?,
            "pid" => actions::status::pid(self, words)?,
            "tail" => actions::logs::tail(self, words)?,
            "maintail" => actions::logs::maintail(self, words)?,
            "reread" => actions::groups::reread(self, words)?,
            "update" => actions::groups::update(self, words)?,
            "add" => actions::groups::add(self, words)?,
            "remove" => actions::groups::remove(self, words)?,
            "avail" => actions::groups::avail(self, words)?,
            "shutdown" => actions::daemon::shutdown(self, words)?,
            "reload" => actions::daemon::reload(self, words)?,
            "version" => actions::daemon::version(self, words)?,
            "open" => actions::daemon::open(self, argument)?,
            "fg" => foreground::fg(self, words)?,
            "explain" => ours::explain(self, words)?,
            "upgrade" => ours::upgrade(self, words)?,
            "help" => help::help(self, argument),
            "quit" | "exit" | "EOF" => {
                self.say("");
                return Ok(Some(Next::End));
            }
            _ => return Ok(None),
        }
        Ok(Some(Next::Line))
    }

    /// The processes as they were at the last line, for completion; none if they cannot be asked for.
    pub(super) fn known(&mut self) -> &[Info] {
        if self.known.is_none() {
            let all = self.call("getAllProcessInfo", Vec::new());
            self.server.hang_up();
            self.known = all.and_then(Info::all).ok();
        }
        self.known.as_deref().unwrap_or_default()
    }

    /// From now on another supervisor is asked.
    pub(super) fn another(&mut self) {
        self.server.hang_up();
    }

    /// Whoever gave arguments to a command without any is shown how it is written.
    pub(super) fn takes_none(&mut self, command: &str, words: &[&str]) -> bool {
        if words.is_empty() {
            return true;
        }
        self.wrong(
            &format!("Error: {command} accepts no arguments"),
            Some(command),
        );
        false
    }

    /// A mistake of who asked, with the help of a command.
    pub(super) fn wrong(&mut self, what: &str, command: Option<&str>) {
        self.say(what);
        self.status = exit::GENERIC;
        if let Some(text) = command.and_then(help::text) {
            self.say_text(text);
        }
    }
}

/// A line's first word, of letters, digits and `_`, and what follows it. `?` is `help`.
fn taken_apart(line: &str) -> (String, &str) {
    if let Some(rest) = line.strip_prefix('?') {
        return ("help".to_owned(), rest.trim());
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = line.find(|c| !is_word(c)).unwrap_or(line.len());
    let (command, rest) = line.split_at(end);
    (command.to_owned(), rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_the_original_does() {
        for (line, command, argument) in [
            ("status", "status", ""),
            ("tail -f cat", "tail", "-f cat"),
            ("tail-f cat", "tail", "-f cat"),
            ("? start", "help", "start"),
            ("?start", "help", "start"),
            ("!ls", "", "!ls"),
            ("été", "", "été"),
            ("open unix:///a  b", "open", "unix:///a  b"),
        ] {
            assert_eq!(taken_apart(line), (command.to_owned(), argument), "{line}");
        }
    }
}
