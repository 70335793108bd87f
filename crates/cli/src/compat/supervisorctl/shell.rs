//! The shell: lines from a terminal, with history and completion, or from standard input.

use std::cell::RefCell;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::config::Config;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory};
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use super::help;
use super::history::{History, KEPT};
use super::info::Info;
use super::session::{Next, Session};

/// Bytes of a line.
const MAX_LINE: u64 = 64 << 10;

/// Shows how processes stand, and does line after line until the end.
pub(super) fn run(mut session: Session) {
    if session.one("status") == Next::End {
        return;
    }
    let prompt = format!("{}> ", session.settings.prompt);
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        let session = Rc::new(RefCell::new(session));
        if let Ok(editor) = editor(&session) {
            return typed(&session, editor, &prompt);
        }
        // A terminal without an editor still has lines.
        return read(&mut session.borrow_mut(), &prompt);
    }
    read(&mut session, &prompt);
}

/// Lines as they come, each after a prompt, as in the original.
fn read(session: &mut Session, prompt: &str) {
    loop {
        session.say_text(prompt);
        let line = line().unwrap_or_else(|| "EOF".to_owned());
        if session.one(&line) == Next::End {
            return;
        }
    }
}

/// The next line of standard input, which is not held meanwhile: what the line says may read on.
fn line() -> Option<String> {
    let mut line = Vec::new();
    let mut bounded = io::Read::take(io::stdin().lock(), MAX_LINE);
    let read = bounded.read_until(b'\n', &mut line).ok()?;
    (read > 0).then(|| String::from_utf8_lossy(&line).into_owned())
}

type Lines = Editor<Completion, MemHistory>;

fn editor(session: &Rc<RefCell<Session>>) -> rustyline::Result<Lines> {
    let config = Config::builder().max_history_size(KEPT)?.build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(Completion(Rc::clone(session))));
    Ok(editor)
}

fn typed(session: &Rc<RefCell<Session>>, mut editor: Lines, prompt: &str) {
    let history = History::new(session.borrow().settings.history_file.clone());
    for line in history.earlier() {
        // A line too many is forgotten.
        let _ = editor.history_mut().add_owned(line);
    }
    loop {
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Eof) => "EOF".to_owned(),
            // Ctrl-C ends the shell, as in the original.
            Err(_) => return session.borrow().say(""),
        };
        if !line.trim().is_empty()
            && line != "EOF"
            && matches!(editor.add_history_entry(&line), Ok(true))
        {
            history.add(&line);
        }
        if session.borrow_mut().one(&line) == Next::End {
            return;
        }
    }
}

struct Completion(Rc<RefCell<Session>>);

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let line = line.get(..at).unwrap_or(line);
        let start = line.rfind(char::is_whitespace).map_or(0, |blank| {
            blank + line[blank..].chars().next().map_or(1, char::len_utf8)
        });
        let mut session = self.0.borrow_mut();
        Ok((start, candidates(line, start, || session.known().to_vec())))
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// What the last word of `line`, which begins at `start`, may become.
fn candidates(line: &str, start: usize, known: impl FnOnce() -> Vec<Info>) -> Vec<String> {
    let (before, word) = line.split_at(start);
    let fitting = |all: Vec<String>| -> Vec<String> {
        let fitting = all.into_iter().filter(|name| name.starts_with(word));
        fitting.map(|name| format!("{name} ")).collect()
    };
    let commands = || help::names().map(str::to_owned).collect();
    match before.split_whitespace().next() {
        None | Some("help" | "?") => fitting(commands()),
        Some("add" | "remove" | "update") => fitting(groups(&known())),
        Some(
            "clear" | "explain" | "fg" | "pid" | "restart" | "signal" | "start" | "status" | "stop"
            | "tail",
        ) => fitting(processes(&known(), word)),
        Some(_) => Vec::new(),
    }
}

fn groups(known: &[Info]) -> Vec<String> {
    let mut groups: Vec<String> = known.iter().map(|info| info.group.clone()).collect();
    groups.dedup();
    groups
}

/// By their shortest names, and all of a group; by their whole names where a colon is typed.
fn processes(known: &[Info], word: &str) -> Vec<String> {
    let mut names = Vec::new();
    for info in known {
        if word.contains(':') || info.name != info.group {
            names.push(format!("{}:{}", info.group, info.name));
            let all = format!("{}:*", info.group);
            if !names.contains(&all) {
                names.push(all);
            }
        } else {
            names.push(info.name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_by_what_stands_before_them() {
        let info = |group: &str, name: &str| Info {
            group: group.into(),
            name: name.into(),
            ..Info::default()
        };
        let known = || {
            vec![
                info("cat", "cat"),
                info("web", "web_0"),
                info("web", "web_1"),
            ]
        };
        for (line, expected) in [
            ("re", &["reload ", "remove ", "reread ", "restart "][..]),
            ("help sta", &["start ", "status "]),
            ("stop ", &["cat ", "web:web_0 ", "web:* ", "web:web_1 "]),
            ("stop cat web:web_", &["web:web_0 ", "web:web_1 "]),
            ("stop cat:", &["cat:cat ", "cat:* "]),
            ("update w", &["web "]),
            ("open w", &[]),
            ("nonsense ", &[]),
        ] {
            let start = line.rfind(' ').map_or(0, |blank| blank + 1);
            assert_eq!(candidates(line, start, known), expected, "{line}");
        }
        assert_eq!(candidates("", 0, known).len(), help::names().count());
    }
}
