//! The main log: what the supervisor itself has to say, into a file, to the terminal it was started
//! from, or to syslog.
//!
//! Never waits and never fails: what cannot be written is kept for a while, then counted. The texts of
//! its lines are read by other people's programs, and are their callers' affair.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use jiff::Zoned;
use ward_config::ini::repr::repr;
use ward_config::value::LogLevel;
use ward_sys::pipe::{self, Destination, Moved};

use super::file::{LogFile, Trouble};
use super::files::Log;
use super::notice::Notice;
use super::outlet::Outlet;
use super::syslog::Syslog;
use crate::api::Stream;

/// When what could not be written is worth another try.
const AGAIN: Duration = Duration::from_millis(500);

/// Where the main log goes.
#[derive(Debug, Default)]
pub struct MainLogSettings {
    /// To this file.
    pub log: Option<Log>,
    /// To syslog.
    pub syslog: Option<Rc<Syslog>>,
    /// To this descriptor as well: standard output, in the foreground.
    pub console: Option<OwnedFd>,
    /// No line goes there, only what is printed.
    pub silent: bool,
}

/// The main log.
#[derive(Debug)]
pub struct MainLog(RefCell<State>);

#[derive(Debug)]
struct State {
    level: LogLevel,
    /// Until then lines are kept.
    open: bool,
    log: Option<Log>,
    lines: Outlet,
    syslog: Option<Rc<Syslog>>,
    early: Vec<(LogLevel, String)>,
    console: Option<Console>,
    silent: bool,
    /// Lines are put together.
    held: bool,
}

#[derive(Debug)]
struct Console {
    fd: OwnedFd,
    kind: Destination,
    /// Nobody else has this open file, and it does not block.
    private: bool,
    lines: Outlet,
}

/// So much is put together at most, bytes.
const MOST_HELD: usize = 8 * 1024;

/// Lines that are kept until the log is open.
const MOST_EARLY: usize = 4096;

impl MainLog {
    /// One that tells what is at least of this level, and keeps it until it is opened.
    #[must_use]
    pub fn new(level: LogLevel) -> Self {
        Self(RefCell::new(State {
            level,
            open: false,
            log: None,
            lines: Outlet::default(),
            syslog: None,
            early: Vec::new(),
            console: None,
            silent: false,
            held: false,
        }))
    }

    /// Opens it, or changes where it goes; what was kept is written.
    pub fn open(&self, settings: MainLogSettings) {
        let mut state = self.0.borrow_mut();
        state.log = settings.log;
        state.syslog = settings.syslog;
        state.console = settings.console.map(Console::new);
        state.silent = settings.silent;
        state.open = true;
        for (level, text) in std::mem::take(&mut state.early) {
            state.tell(level, &text);
        }
    }

    /// Puts lines together from now on, up to a few, to be written at once by [`MainLog::release`]. Whoever
    /// is killed in between loses those.
    pub fn hold(&self) {
        self.0.borrow_mut().held = true;
    }

    /// Writes what was held, and each line as it comes from now on.
    pub fn release(&self) {
        let mut state = self.0.borrow_mut();
        if std::mem::take(&mut state.held) {
            state.flush();
        }
    }

    /// Tells more or less from now on.
    pub fn set_level(&self, level: LogLevel) {
        self.0.borrow_mut().level = level;
    }

    /// Whether lines of this level are told.
    #[must_use]
    pub fn tells(&self, level: LogLevel) -> bool {
        level >= self.0.borrow().level
    }

    /// A line; `text` may have several, of which only the first gets a time.
    pub fn log(&self, level: LogLevel, text: &str) {
        let mut state = self.0.borrow_mut();
        if level < state.level {
            return;
        }
        if state.open {
            state.tell(level, text);
        } else if state.early.len() < MOST_EARLY {
            state.early.push((level, text.to_owned()));
        }
    }

    /// A line about a log.
    pub fn notice(&self, notice: &Notice) {
        self.log(notice.level, &notice.text);
    }

    /// What is printed as it is, where there is a console: whole lines of programs.
    pub fn print(&self, text: &[u8]) {
        if let Some(console) = &mut self.0.borrow_mut().console {
            console.lines.push(text);
            console.flush();
        }
    }

    /// Output of a process, at level debug.
    pub fn output(&self, process: &str, stream: Stream, output: &[u8]) {
        if self.tells(LogLevel::Debug) {
            let text = match std::str::from_utf8(output) {
                Ok(text) => text.to_owned(),
                Err(_) => format!("Undecodable: {}", bytes_repr(output)),
            };
            let process = repr(process, false);
            let stream = stream.word();
            self.log(
                LogLevel::Debug,
                &format!("{process} {stream} output:\n{text}"),
            );
        }
    }

    /// The file, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.0.borrow().log.as_ref().map(Log::path)
    }

    /// Removes the file and begins it anew. Its older parts stay.
    ///
    /// # Errors
    /// As unlink(2), open(2).
    pub fn clear(&self) -> io::Result<()> {
        self.0.borrow_mut().flush();
        self.0.borrow().log.as_ref().map_or(Ok(()), Log::clear)
    }

    /// Whether something could not be written yet.
    #[must_use]
    pub fn waits(&self) -> bool {
        let state = self.0.borrow();
        let console = state.console.as_ref();
        !state.lines.is_empty() || console.is_some_and(|console| !console.lines.is_empty())
    }

    /// Writes what could not be written before; when that is worth another try, if it is.
    pub fn retry(&self) -> Option<Duration> {
        let mut state = self.0.borrow_mut();
        state.flush();
        let console = state.console.as_ref();
        let waits = !state.lines.is_empty()
            || console.is_some_and(|console| !console.lines.is_empty())
            || state.syslog.as_ref().is_some_and(|syslog| !syslog.flush());
        waits.then_some(AGAIN)
    }
}

impl State {
    fn tell(&mut self, level: LogLevel, text: &str) {
        let head = head(level);
        let line = format!("{head}{text}\n");
        if let Some(console) = &mut self.console
            && !self.silent
        {
            console.lines.push(line.as_bytes());
        }
        if self.log.is_some() {
            self.lines.push(line.as_bytes());
        }
        if let Some(syslog) = &self.syslog {
            for line in text.trim_end_matches('\n').split('\n') {
                syslog.send(format!("{head}{line}").as_bytes());
            }
        }
        let console = self.console.as_ref().map_or(0, |it| it.lines.len());
        if !self.held || self.lines.len().max(console) >= MOST_HELD {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(console) = &mut self.console {
            console.flush();
        }
        let Some(log) = &self.log else { return };
        self.lines.flush(|text| log.work(|file| write(file, text)));
        // About its own file; at most a few, as each says that something has changed.
        for notice in log.notices() {
            if notice.level >= self.level {
                let line = format!("{}{}\n", head(notice.level), notice.text);
                self.lines.push(line.as_bytes());
                if let Some(console) = &mut self.console
                    && !self.silent
                {
                    console.lines.push(line.as_bytes());
                    console.flush();
                }
            }
        }
        self.lines.flush(|text| log.work(|file| write(file, text)));
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.held {
            self.flush();
        }
    }
}

/// How much of it was written; rotates afterwards. No more lines at a time than come into one file.
fn write(file: &mut LogFile, text: &[u8]) -> usize {
    let waiting = text.len() as u64;
    let full = file.room().saturating_sub(1);
    let full = usize::try_from(full).unwrap_or(usize::MAX);
    let rest = text.get(full..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n');
    let text = end.map_or(text, |end| &text[..=full + end]);
    match file.append(text, waiting) {
        Ok(written) => {
            if written == text.len() {
                file.settle();
            }
            written
        }
        Err(Trouble::Wait(_)) => 0,
        Err(Trouble::Gone) => text.len(),
    }
}

impl Console {
    fn new(fd: OwnedFd) -> Self {
        let kind = pipe::destination(fd.as_fd()).unwrap_or(Destination::Device);
        let private = match kind {
            Destination::Pipe | Destination::Terminal => pipe::reopen_nonblocking(fd.as_fd()),
            Destination::File | Destination::Socket | Destination::Device => None,
        };
        Self {
            kind,
            private: private.is_some(),
            fd: private.unwrap_or(fd),
            lines: Outlet::default(),
        }
    }

    fn flush(&mut self) {
        let Self {
            fd,
            kind,
            private,
            lines,
        } = self;
        lines.flush(
            |text| match pipe::write_some(fd.as_fd(), *kind, *private, text) {
                Ok(Moved::Bytes(written)) => written,
                Ok(Moved::NotNow | Moved::Unsupported) => 0,
                // Nobody will ever read it.
                Ok(Moved::Closed | Moved::End) | Err(_) => text.len(),
            },
        );
    }
}

/// `2025-01-01 12:00:00,123 LEVL `, in local time.
fn head(level: LogLevel) -> String {
    let now = Zoned::now();
    let mut head = now.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let word = match level {
        LogLevel::Blather => "BLAT",
        LogLevel::Trace => "TRAC",
        LogLevel::Debug => "DEBG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERRO",
        LogLevel::Critical => "CRIT",
    };
    // Writing to memory does not fail.
    let _ = write!(head, ",{:03} {word} ", now.millisecond());
    head
}

/// Bytes as Python writes them: `b'...'`.
fn bytes_repr(bytes: &[u8]) -> String {
    let double = bytes.contains(&b'\'') && !bytes.contains(&b'"');
    let quote = if double { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            byte if char::from(*byte) == quote => {
                text.push('\\');
                text.push(quote);
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            byte => {
                // Writing to memory does not fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Files;
    use std::io::Read;
    use std::os::unix::net::UnixDatagram;

    /// Without the times, whose form is checked.
    fn lines(text: &str) -> Vec<&str> {
        text.lines()
            .map(|line| {
                let (time, rest) = line.split_at_checked(23).unwrap_or((line, ""));
                let form: String = time
                    .chars()
                    .map(|c| if c.is_ascii_digit() { '0' } else { c })
                    .collect();
                if form == "0000-00-00 00:00:00,000" {
                    rest
                } else {
                    line
                }
            })
            .collect()
    }

    #[test]
    fn lines_from_before_it_was_open_come_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("main.log");
        let files = Files::default();
        let main = MainLog::new(LogLevel::Debug);
        main.log(LogLevel::Critical, "early");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        main.open(MainLogSettings {
            log: Some(files.log(&path, 0, 0)),
            syslog: None,
            console: Some(writer.into()),
            silent: false,
        });
        main.log(LogLevel::Info, "two\nlines");
        main.log(LogLevel::Trace, "not told");
        main.output("it's", Stream::Stderr, "päth\n".as_bytes());
        main.output("web", Stream::Stdout, b"\xff'\n");
        let text = std::fs::read_to_string(&path).expect("a log");
        let expected = [
            " CRIT early",
            " INFO two",
            "lines",
            " DEBG \"it's\" stderr output:",
            "päth",
            "",
            " DEBG 'web' stdout output:",
            "Undecodable: b\"\\xff'\\n\"",
        ];
        assert_eq!(lines(&text), expected);
        drop(main);
        let mut console = String::new();
        reader.read_to_string(&mut console).expect("read");
        assert_eq!(console, text);
    }

    #[test]
    fn a_full_console_stops_nobody_and_what_it_misses_is_counted() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let main = MainLog::new(LogLevel::Info);
        main.open(MainLogSettings {
            console: Some(writer.into()),
            ..MainLogSettings::default()
        });
        let line = "x".repeat(1000);
        for _ in 0..1000 {
            main.log(LogLevel::Info, &line);
        }
        let mut text = Vec::new();
        while main.retry().is_some() {
            let mut some = [0; 65536];
            let read = reader.read(&mut some).expect("read");
            text.extend_from_slice(&some[..read]);
        }
        drop(main);
        reader.read_to_end(&mut text).expect("read");
        let text = String::from_utf8(text).expect("text");
        let told = text.lines().filter(|it| it.contains(&line)).count();
        let missing = format!("(lines are missing here: {})", 1000 - told);
        assert!(
            told > 200 && text.ends_with(&format!("{missing}\n")),
            "{told}"
        );
    }

    #[test]
    fn the_main_log_rotates_and_goes_to_syslog() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("main.log");
        let place = directory.path().join("syslog");
        let socket = UnixDatagram::bind(&place).expect("a socket");
        let (main, files) = (MainLog::new(LogLevel::Info), Files::default());
        main.open(MainLogSettings {
            log: Some(files.log(&path, 100, 2)),
            syslog: Some(Rc::new(Syslog::at(&place))),
            console: None,
            silent: false,
        });
        for number in 0..5 {
            main.log(LogLevel::Info, &format!("{number} {}", "x".repeat(40)));
        }
        let read = |path: PathBuf| {
            std::fs::read_to_string(path)
                .expect("a part")
                .lines()
                .count()
        };
        assert_eq!(read(path.clone()), 1);
        assert_eq!(read(crate::logs::part(&path, 1)), 2);
        assert_eq!(read(crate::logs::part(&path, 2)), 2);
        let mut bytes = [0; 1000];
        let length = socket.recv(&mut bytes).expect("a datagram");
        let text = String::from_utf8_lossy(&bytes[..length]);
        assert!(
            text.starts_with("<14>") && text.contains(" INFO 0 xxx"),
            "{text}"
        );
        main.clear().expect("cleared");
        assert_eq!(read(path.clone()), 0);
        main.log(LogLevel::Warn, "old");
        std::fs::rename(&path, directory.path().join("elsewhere")).expect("put aside");
        main.hold();
        main.log(LogLevel::Warn, "old");
        main.retry();
        assert!(files.reopen().is_empty());
        main.log(LogLevel::Warn, "new");
        main.release();
        assert_eq!(read(path), 1);
        assert_eq!(read(directory.path().join("elsewhere")), 2);
    }

    #[test]
    fn a_main_log_that_cannot_be_written_goes_on_later() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("gone/main.log");
        let main = MainLog::new(LogLevel::Info);
        main.open(MainLogSettings {
            log: Some(Files::default().log(&path, 0, 0)),
            ..MainLogSettings::default()
        });
        main.log(LogLevel::Info, "kept");
        assert!(main.retry().is_some());
        std::fs::create_dir(directory.path().join("gone")).expect("made");
        assert!(main.retry().is_none());
        let text = std::fs::read_to_string(&path).expect("a log");
        let told = lines(&text);
        assert_eq!(told[0], " INFO kept");
        assert!(
            told[1].contains("cannot be written: No such file"),
            "{text}"
        );
        assert!(told[2].contains("is written again"), "{text}");
    }
}
