//! `tail -f` and `maintail -f`: a log's end, and what is added to it, until Ctrl-C.

use std::io::{self, Write as _};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::call::CallError;
use super::interrupt::Interrupts;
use super::session::{Session, exit};
use super::tail::{Came, Tail};

/// Where the supervisor's own log is followed.
pub(super) const MAIN_LOG: &str = "/mainlogtail";

/// Where the log of a process is followed.
pub(super) fn log_path(name: &str, channel: &str) -> String {
    format!("/logtail/{}/{channel}", quoted(name))
}

/// With everything in `%XX` that may not stand in a path (RFC 3986, section 3.3).
fn quoted(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'*' => {
                quoted.push(char::from(byte));
            }
            other => quoted.push_str(&format!("%{other:02X}")),
        }
    }
    quoted
}

/// Shows a log until Ctrl-C, or until the server ends it.
pub(super) fn follow(session: &mut Session, path: &str) -> Result<(), CallError> {
    session.say("==> Press Ctrl-C to exit <==");
    let interrupts = Interrupts::take().map_err(CallError::Host)?;
    let settings = &session.settings;
    let tail = Tail::open(&settings.serverurl, settings.credentials.as_ref(), path);
    let shown = tail.and_then(|tail| show(tail, &interrupts));
    match shown {
        Ok(Ended::Interrupted) => session.say(""),
        Ok(Ended::Over) => {}
        Err(error) => {
            let url = &session.settings.serverurl;
            // Where nobody can be told, the exit status still says it.
            let _ = writeln!(io::stderr(), "{url}{path} {}", complaint(&error));
            session.set_status(exit::GENERIC);
        }
    }
    Ok(())
}

/// In the words of the original.
pub(super) fn complaint(error: &CallError) -> String {
    match error {
        CallError::Status { code, .. } => format!("Cannot read, status code {code}"),
        error => format!("Cannot connect, error: {error}"),
    }
}

enum Ended {
    Interrupted,
    Over,
}

fn show(mut tail: Tail, interrupts: &Interrupts) -> Result<Ended, CallError> {
    let mut content = Vec::new();
    loop {
        let mut fds = [
            PollFd::new(&tail, PollFlags::IN),
            PollFd::new(interrupts, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(CallError::Host(error.into())),
        }
        let [from_log, from_keyboard] = fds.map(|fd| !fd.revents().is_empty());
        if from_keyboard && interrupts.interrupted() {
            return Ok(Ended::Interrupted);
        }
        if !from_log {
            continue;
        }
        content.clear();
        let came = tail.take(&mut content)?;
        let mut out = io::stdout();
        if out.write_all(&content).and_then(|()| out.flush()).is_err() || came == Came::End {
            return Ok(Ended::Over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_the_path() {
        assert_eq!(log_path("g:p_01", "stdout"), "/logtail/g:p_01/stdout");
        assert_eq!(
            log_path("a%b?é#", "stderr"),
            "/logtail/a%25b%3F%C3%A9%23/stderr"
        );
    }
}
