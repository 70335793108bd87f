//! `start`, `stop`, `restart`, `signal` and `clear`: one process after the other, each with its own line.

use ward_serve::xmlrpc::Value;

use super::super::call::{CallError, fault};
use super::super::info::Outcome;
use super::super::names::Name;
use super::super::session::{Session, exit};

/// What is done, and what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Start,
    Stop,
    Signal,
    Clear,
}

impl Deed {
    /// The methods for one process, for a group, and for all.
    fn methods(self) -> [&'static str; 3] {
        match self {
            Self::Start => ["startProcess", "startProcessGroup", "startAllProcesses"],
            Self::Stop => ["stopProcess", "stopProcessGroup", "stopAllProcesses"],
            Self::Signal => ["signalProcess", "signalProcessGroup", "signalAllProcesses"],
            // There is none for a group, which is then told not to be a process.
            Self::Clear => [
                "clearProcessLogs",
                "clearProcessLogs",
                "clearAllProcessLogs",
            ],
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Signal => "signalled",
            Self::Clear => "cleared",
        }
    }

    /// What a fault of one process is called; `None` if there is no word for it.
    fn word(self, status: i32) -> Option<&'static str> {
        Some(match (self, status) {
            (_, fault::BAD_NAME) => "no such process",
            (Self::Start, fault::NO_FILE) => "no such file",
            (Self::Start, fault::NOT_EXECUTABLE) => "file is not executable",
            (Self::Start, fault::ALREADY_STARTED) => "already started",
            (Self::Start, fault::SPAWN_ERROR) => "spawn error",
            (Self::Start, fault::ABNORMAL_TERMINATION) => "abnormal termination",
            (Self::Stop | Self::Signal, fault::BAD_SIGNAL) => "bad signal name",
            (Self::Stop | Self::Signal, fault::NOT_RUNNING) => "not running",
            (Self::Clear, fault::FAILED) => "failed",
            _ => return None,
        })
    }

    /// The fault that is none for the exit status: it is as it should be already.
    fn passed_over(self) -> i32 {
        match self {
            Self::Start => fault::ALREADY_STARTED,
            Self::Stop => fault::NOT_RUNNING,
            Self::Signal | Self::Clear => fault::SUCCESS,
        }
    }

    fn line(self, outcome: &Outcome) -> Result<String, CallError> {
        let name = outcome.short();
        if outcome.status == fault::SUCCESS {
            return Ok(format!("{name}: {}", self.done()));
        }
        if outcome.status == fault::FAILED && matches!(self, Self::Stop | Self::Signal) {
            return Ok(outcome.description.clone());
        }
        match self.word(outcome.status) {
            Some(word) => Ok(format!("{name}: ERROR ({word})")),
            None => Err(outcome.unknown()),
        }
    }

    /// The exit status of a fault.
    fn status(self, code: i32) -> Option<u8> {
        match code {
            fault::SUCCESS => None,
            code if code == self.passed_over() => None,
            fault::SPAWN_ERROR | fault::ABNORMAL_TERMINATION | fault::NOT_RUNNING => {
                Some(exit::NOT_RUNNING)
            }
            _ => Some(exit::GENERIC),
        }
    }

    fn tell(self, session: &mut Session, outcome: &Outcome) -> Result<(), CallError> {
        let line = self.line(outcome)?;
        session.say(&line);
        if let Some(status) = self.status(outcome.status) {
            session.set_status(status);
        }
        Ok(())
    }

    /// Does it to each of `words`; `more` is handed to the methods behind the name.
    fn to(self, session: &mut Session, words: &[&str], more: &[Value]) -> Result<(), CallError> {
        let [one, group, all] = self.methods();
        if words.contains(&"all") {
            let outcomes = Outcome::all(session.call(all, more.to_vec())?)?;
            return self.tell_all(session, &outcomes);
        }
        for word in words {
            let name = Name::of(word);
            let with = |name: &str| {
                let mut params = vec![Value::text(name)];
                params.extend_from_slice(more);
                params
            };
            match name.process {
                None if self != Self::Clear => match session.call(group, with(name.group)) {
                    Ok(value) => {
                        let outcomes = Outcome::all(value)?;
                        self.tell_all(session, &outcomes)?;
                    }
                    Err(error) if error.fault() == Some(fault::BAD_NAME) => {
                        session.say(&format!("{}: ERROR (no such group)", name.group));
                        session.set_status(match self {
                            Self::Start => exit::BAD_ARGUMENTS,
                            Self::Stop | Self::Signal | Self::Clear => exit::GENERIC,
                        });
                    }
                    Err(error) => return Err(error),
                },
                process => {
                    let result = session.call(one, with(word));
                    let process = process.unwrap_or("*");
                    let outcome = Outcome::one(name.group, process, result)?;
                    self.tell(session, &outcome)?;
                }
            }
        }
        Ok(())
    }

    fn tell_all(self, session: &mut Session, outcomes: &[Outcome]) -> Result<(), CallError> {
        outcomes
            .iter()
            .try_for_each(|outcome| self.tell(session, outcome))
    }
}

pub(in super::super) fn start(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    if words.is_empty() {
        session.wrong("Error: start requires a process name", Some("start"));
        session.set_status(exit::BAD_ARGUMENTS);
        return Ok(());
    }
    Deed::Start.to(session, words, &[])
}

pub(in super::super) fn stop(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    if words.is_empty() {
        session.wrong("Error: stop requires a process name", Some("stop"));
        return Ok(());
    }
    Deed::Stop.to(session, words, &[])
}

pub(in super::super) fn restart(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    if words.is_empty() {
        session.wrong("Error: restart requires a process name", Some("restart"));
        return Ok(());
    }
    Deed::Stop.to(session, words, &[])?;
    Deed::Start.to(session, words, &[])
}

pub(in super::super) fn signal(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    let [signal, names @ ..] = words else {
        return missing_signal(session);
    };
    if names.is_empty() {
        return missing_signal(session);
    }
    Deed::Signal.to(session, names, &[Value::text(*signal)])
}

fn missing_signal(session: &mut Session) -> Result<(), CallError> {
    session.wrong(
        "Error: signal requires a signal name and a process name",
        Some("signal"),
    );
    Ok(())
}

pub(in super::super) fn clear(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    if words.is_empty() {
        session.wrong("Error: clear requires a process name", Some("clear"));
        return Ok(());
    }
    Deed::Clear.to(session, words, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fault of every deed: the line and the status, `None` where the original fails.
    #[test]
    fn faults_have_a_word_and_a_status() {
        let told = |deed: Deed, status| {
            let outcome = Outcome {
                group: "g".into(),
                name: "p".into(),
                status,
                description: "WHY".into(),
            };
            (deed.line(&outcome).ok(), deed.status(status))
        };
        for (deed, code, line, status) in [
            (Deed::Start, 80, Some("g:p: started"), None),
            (
                Deed::Start,
                10,
                Some("g:p: ERROR (no such process)"),
                Some(1),
            ),
            (Deed::Start, 20, Some("g:p: ERROR (no such file)"), Some(1)),
            (
                Deed::Start,
                21,
                Some("g:p: ERROR (file is not executable)"),
                Some(1),
            ),
            (
                Deed::Start,
                40,
                Some("g:p: ERROR (abnormal termination)"),
                Some(7),
            ),
            (Deed::Start, 50, Some("g:p: ERROR (spawn error)"), Some(7)),
            (Deed::Start, 60, Some("g:p: ERROR (already started)"), None),
            (Deed::Start, 70, None, Some(7)),
            (Deed::Start, 6, None, Some(1)),
            (Deed::Stop, 80, Some("g:p: stopped"), None),
            (Deed::Stop, 70, Some("g:p: ERROR (not running)"), None),
            (Deed::Stop, 30, Some("WHY"), Some(1)),
            (Deed::Signal, 80, Some("g:p: signalled"), None),
            (Deed::Signal, 70, Some("g:p: ERROR (not running)"), Some(7)),
            (
                Deed::Signal,
                11,
                Some("g:p: ERROR (bad signal name)"),
                Some(1),
            ),
            (Deed::Clear, 80, Some("g:p: cleared"), None),
            (Deed::Clear, 30, Some("g:p: ERROR (failed)"), Some(1)),
            (Deed::Clear, 20, None, Some(1)),
        ] {
            let expected = (line.map(str::to_owned), status);
            assert_eq!(told(deed, code), expected, "{deed:?} {code}");
        }
    }
}
