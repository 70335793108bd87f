//! The guardian: the process that has the tree in custody.
//!
//! It is the parent of the command and the subreaper above everything that the command
//! starts. It takes no signals but the end of children; requests come over the line from
//! its front, and the end of that line is a request too.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use ward_model::signal::Signal;
use ward_model::wire::FromGuardian;
use ward_sys::contain::subreaper;
use ward_sys::fork::{forget_environment, let_go_of_everything_but};
use ward_sys::pipe::{self, Moved};
use ward_sys::signals::{SignalSource, ignore};
use ward_sys::terminal;

use crate::control::Line;
use crate::custody::{Custody, Terminal, source_numbers};
use crate::drive::{Drive, Ended, Host};
use crate::error::EngineError;
use crate::keep::{self, Role};
use crate::tree::{DRAIN_NAME, GUARDIAN_NAME, KEEPER_NAME};

/// So many of each kind are listed in a report that would be too long for a message otherwise, and so
/// many characters of their commands: six lists of them fit, whatever the characters are.
const SHORT_LIST: usize = 16;
const SHORT_COMMAND: usize = 60;

/// Becomes the guardian of `custody` and never returns to the caller's code: the exit
/// status of this process says nothing, the line says everything.
pub(crate) fn guard(mut custody: Custody, line: Line) -> ! {
    match begin(&mut custody, line) {
        Ok(ended) => end(custody, ended),
        Err(error) => {
            custody.say(&crate::tree::chain(&error));
            custody.discard();
        }
    }
    quit()
}

fn begin(custody: &mut Custody, line: Line) -> Result<Ended, EngineError> {
    let doing = EngineError::system;
    let detached = custody.spec.detached.is_some();
    subreaper::set_name(if detached { KEEPER_NAME } else { GUARDIAN_NAME });
    subreaper::become_subreaper().map_err(doing("become a subreaper"))?;
    match custody.terminal {
        // In the caller's session, so that the command can be; out of reach of its keyboard.
        Terminal::Shared(_) => terminal::new_group().map_err(doing("make a process group"))?,
        Terminal::None => terminal::new_session(None).map_err(doing("make a session"))?,
        Terminal::Pseudo => {
            let theirs = custody.session_terminal.as_ref().map(AsFd::as_fd);
            terminal::new_session(theirs).map_err(doing("make a session"))?;
        }
    }
    // Only the front reads what is typed.
    custody.keyboard = None;
    if let Some(record) = &custody.record {
        record.note(Role::Guardian, std::process::id());
    }
    let signals = if detached {
        SignalSource::new(&keep::HANDLED.map(Signal::number))
    } else {
        SignalSource::new(&[Signal::CHLD.number()])
    };
    let signals = signals.map_err(doing("receive signals"))?;
    Ok(Drive::new(custody, Host::Guardian(line), &signals)?.run_from_start())
}

fn end(mut custody: Custody, ended: Ended) {
    let Ended {
        exit_status,
        die_of,
        drains_on,
        report,
        line,
    } = ended;
    let mut told = false;
    if let Some(line) = line {
        let done = |report| FromGuardian::Done {
            exit_status,
            die_of,
            drains_on,
            report,
        };
        let whole = report.filter(|_| custody.reports_over_line).map(Box::new);
        // A report that is too long for a message is whole in the file only.
        let short = whole.clone().map(|mut report| {
            report.shorten(SHORT_LIST, SHORT_COMMAND);
            report
        });
        told = line.say(&done(whole)) || line.say(&done(short)) || line.say(&done(None));
    }
    if let (Some(record), false) = (&custody.record, told) {
        record.over(exit_status);
    }
    // So does the front, if it hears us: it may be killed before it does.
    custody.clean_up();
    if drains_on {
        drain_on(&custody);
    }
    // The end of the process frees it all at once; taking it apart would touch, and so copy,
    // page after page that is shared with the front.
    std::mem::forget(custody);
}

/// Goes on reading, and forgetting, what processes write that were detached on purpose:
/// they would die of SIGPIPE otherwise, or stand still. Ends when they have.
pub(crate) fn drain_on(custody: &Custody) -> ! {
    let keep = source_numbers(&custody.relay);
    forget_environment();
    // The caller must see the end of its own streams now.
    let_go_of_everything_but(&keep);
    subreaper::set_name(DRAIN_NAME);
    // Orphans of the detached still fall to us: the kernel reaps them for us.
    ignore(Signal::CHLD.number());
    let mut buffer = vec![0; 64 << 10];
    let mut sources: Vec<_> = custody
        .relay
        .sources
        .iter()
        .filter_map(|source| source.fd())
        .collect();
    while !sources.is_empty() {
        let mut fds: Vec<_> = sources
            .iter()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        sources.retain(|fd| {
            !ready.next().unwrap_or(false)
                || matches!(
                    pipe::read(*fd, &mut buffer),
                    Ok(Moved::Bytes(_) | Moved::NotNow)
                )
        });
    }
    quit()
}

/// Ends this process without running anything that belongs to the front's half.
pub(crate) fn quit() -> ! {
    ward_sys::finish::at_once(0)
}
