//! `fg`: lines to a process, and what it prints, until Ctrl-C. The process runs on.

use std::io::{self, BufRead as _, Write as _};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use ward_serve::xmlrpc::Value;

use super::call::{CallError, fault};
use super::follow::{complaint, log_path};
use super::info::{Info, RUNNING};
use super::interrupt::Interrupts;
use super::session::{Session, exit};
use super::tail::{Came, Tail};

/// Bytes of a line; a longer one is sent in parts.
const MAX_LINE: u64 = 64 << 10;

/// Puts a process into the foreground.
pub(super) fn fg(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    let name = match words {
        [name] => *name,
        [] => {
            session.wrong("ERROR: no process name supplied", Some("fg"));
            return Ok(());
        }
        _ => {
            session.wrong("ERROR: too many process names supplied", None);
            return Ok(());
        }
    };
    let info = match session.call_with("getProcessInfo", name) {
        Ok(value) => Info::of(value)?,
        Err(CallError::Fault(fault)) if fault.code == fault::BAD_NAME => {
            session.wrong("ERROR: bad process name supplied", None);
            return Ok(());
        }
        Err(error @ CallError::Fault(_)) => {
            session.wrong(&said(&error), None);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if info.state != RUNNING {
        session.wrong("ERROR: process not running", None);
        return Ok(());
    }
    session.say("==> Press Ctrl-C to exit <==");
    let interrupts = Interrupts::take().map_err(CallError::Host)?;
    let mut tails = ["stdout", "stderr"].map(|channel| open(session, name, channel));
    loop {
        match wait(&tails, &interrupts)? {
            Woken::Interrupt if interrupts.interrupted() => break,
            Woken::Interrupt => {}
            Woken::Log(index) => {
                if let Some(tail) = tails.get_mut(index) {
                    print(tail);
                }
            }
            Woken::Input => match line()? {
                Some(line) if !send(session, name, &line)? => break,
                Some(_) => {}
                None => break,
            },
        }
    }
    session.say("Exiting foreground");
    Ok(())
}

/// `None` where there is no such log; that is said.
fn open(session: &Session, name: &str, channel: &str) -> Option<Tail> {
    let settings = &session.settings;
    let path = log_path(name, channel);
    let tail = Tail::open(&settings.serverurl, settings.credentials.as_ref(), &path);
    tail.map_err(|error| tell(&error)).ok()
}

/// Prints what is there, and lets a log go that has ended.
fn print(slot: &mut Option<Tail>) {
    let Some(tail) = slot else {
        return;
    };
    let mut content = Vec::new();
    let came = tail.take(&mut content);
    let mut out = io::stdout();
    // Whoever does not listen misses nothing that matters.
    let _ = out.write_all(&content).and_then(|()| out.flush());
    match came {
        Ok(Came::More) => {}
        Ok(Came::End) => *slot = None,
        Err(error) => {
            tell(&error);
            *slot = None;
        }
    }
}

fn tell(error: &CallError) {
    let _ = writeln!(io::stderr(), "{}", complaint(error));
}

enum Woken {
    Interrupt,
    Log(usize),
    Input,
}

/// Waits; whatever a process printed is shown before another line is sent to it.
fn wait(tails: &[Option<Tail>; 2], interrupts: &Interrupts) -> Result<Woken, CallError> {
    let stdin = io::stdin();
    let mut fds = vec![
        PollFd::new(interrupts, PollFlags::IN),
        PollFd::new(&stdin, PollFlags::IN),
    ];
    let open: Vec<(usize, &Tail)> = tails
        .iter()
        .enumerate()
        .filter_map(|(index, tail)| Some((index, tail.as_ref()?)))
        .collect();
    fds.extend(
        open.iter()
            .map(|(_, tail)| PollFd::new(*tail, PollFlags::IN)),
    );
    loop {
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(CallError::Host(error.into())),
        }
        let mut woken = fds.iter().map(|fd| !fd.revents().is_empty());
        let (interrupt, input) = (woken.next(), woken.next());
        if interrupt == Some(true) {
            return Ok(Woken::Interrupt);
        }
        let log = open.iter().zip(woken).find(|(_, woken)| *woken);
        if let Some(((index, _), _)) = log {
            return Ok(Woken::Log(*index));
        }
        if input == Some(true) {
            return Ok(Woken::Input);
        }
    }
}

/// The next line of standard input, with its line break; `None` at the end.
fn line() -> Result<Option<Vec<u8>>, CallError> {
    let mut line = Vec::new();
    let mut bounded = io::Read::take(io::stdin().lock(), MAX_LINE);
    let read = bounded
        .read_until(b'\n', &mut line)
        .map_err(CallError::Host)?;
    if read == 0 {
        return Ok(None);
    }
    if read < usize::try_from(MAX_LINE).unwrap_or(usize::MAX) && !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    Ok(Some(line))
}

/// Sends a line; whether the process runs on.
fn send(session: &mut Session, name: &str, line: &[u8]) -> Result<bool, CallError> {
    let params = vec![Value::text(name), Value::text_of(line)];
    match session.call("sendProcessStdin", params) {
        Ok(_) => {}
        Err(CallError::Fault(fault)) if fault.code == fault::NOT_RUNNING => {
            session.say("Process got killed");
            return Ok(false);
        }
        Err(error @ CallError::Fault(_)) => {
            session.say(&said(&error));
            session.set_status(exit::GENERIC);
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    let info = Info::of(session.call_with("getProcessInfo", name)?)?;
    if info.state != RUNNING {
        session.say("Process got killed");
    }
    Ok(info.state == RUNNING)
}

/// A fault as the original prints it here.
fn said(error: &CallError) -> String {
    let text = error.to_string();
    let text = text.split_once(", ").map_or("", |(_, text)| text);
    format!("ERROR: {text}")
}
