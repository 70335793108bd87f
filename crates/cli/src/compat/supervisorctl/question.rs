//! Questions to who sits before the shell.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};

use super::call::CallError;
use crate::hidden::Hidden;

/// Bytes of an answer.
const MAX_ANSWER: u64 = 4 << 10;

/// Asks, and reads a line from standard input.
pub(super) fn ask(prompt: &str) -> Result<String, CallError> {
    let mut out = io::stdout();
    // Whoever cannot read the question may still answer it.
    let _ = out.write_all(prompt.as_bytes()).and_then(|()| out.flush());
    line(&mut io::stdin().lock())
}

/// Asks at the terminal, and reads a line that is not shown; without a terminal, from standard input.
pub(super) fn ask_secret(prompt: &str) -> Result<String, CallError> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let hidden = terminal.and_then(Hidden::new);
    let Ok(mut hidden) = hidden else {
        return ask(prompt);
    };
    let _ = hidden.terminal.write_all(prompt.as_bytes());
    let answer = line(&mut BufReader::new(&hidden.terminal));
    let _ = hidden.terminal.write_all(b"\n");
    answer
}

fn line(from: &mut impl io::BufRead) -> Result<String, CallError> {
    let mut text = Vec::new();
    let mut bounded = io::Read::take(from, MAX_ANSWER);
    let read = bounded.read_until(b'\n', &mut text);
    if read.map_err(CallError::Host)? == 0 {
        return Err(CallError::NoAnswer);
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
