//! `tail` and `maintail`: the ends of logs.

use ward_config::ini::repr::repr;
use ward_config::value;
use ward_serve::xmlrpc::Value;

use super::super::call::{CallError, fault};
use super::super::follow;
use super::super::session::Session;

/// How much of a log is shown unless it is said, bytes.
const SHOWN: i64 = 1600;

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    /// So many bytes from the end.
    Bytes(i64),
    /// The end, and what is added to it.
    Following,
}

impl Amount {
    /// `-f` or `-BYTES`; `None` for anything else.
    fn of(word: &str) -> Option<Self> {
        let what = word.strip_prefix('-')?;
        if what == "f" {
            return Some(Self::Following);
        }
        let bytes = value::integer(what).ok()?;
        // More cannot be said over the wire.
        i32::try_from(bytes).ok()?.checked_neg()?;
        Some(Self::Bytes(bytes))
    }
}

/// The end of a process's log.
pub(in super::super) fn tail(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    match words.len() {
        0 => {
            session.wrong("Error: too few arguments", Some("tail"));
            return Ok(());
        }
        1..=3 => {}
        _ => {
            session.wrong("Error: too many arguments", Some("tail"));
            return Ok(());
        }
    }
    let (modifier, rest) = match words {
        [first, rest @ ..] if first.starts_with('-') => (Some(*first), rest),
        words => (None, words),
    };
    let (name, channel) = match rest {
        [] => {
            session.wrong("Error: tail requires process name", None);
            return Ok(());
        }
        [name] => (*name, "stdout".to_owned()),
        [name, .., channel] => (*name, channel.to_lowercase()),
    };
    let method = match channel.as_str() {
        "stdout" => "readProcessStdoutLog",
        "stderr" => "readProcessStderrLog",
        other => {
            session.wrong(&format!("Error: bad channel {}", repr(other, false)), None);
            return Ok(());
        }
    };
    let amount = match modifier.map(|word| (word, Amount::of(word))) {
        None => Amount::Bytes(SHOWN),
        Some((_, Some(amount))) => amount,
        Some((word, None)) => {
            session.wrong(&format!("Error: bad argument {word}"), None);
            return Ok(());
        }
    };
    let bytes = match amount {
        Amount::Following => return follow::follow(session, &follow::log_path(name, &channel)),
        Amount::Bytes(bytes) => bytes,
    };
    let params = vec![Value::text(name), Value::Int(-bytes), Value::Int(0)];
    let text = session.call(method, params);
    show(session, name, text)
}

/// The end of the supervisor's own log.
pub(in super::super) fn maintail(session: &mut Session, words: &[&str]) -> Result<(), CallError> {
    if !session.is_up()? {
        return Ok(());
    }
    let bytes = match words {
        [] => SHOWN,
        [word] => match Amount::of(word) {
            Some(Amount::Bytes(bytes)) => bytes,
            Some(Amount::Following) => return follow::follow(session, follow::MAIN_LOG),
            None => {
                session.wrong(&format!("Error: bad argument {word}"), None);
                return Ok(());
            }
        },
        _ => {
            session.wrong("Error: too many arguments", Some("maintail"));
            return Ok(());
        }
    };
    let text = session.call("readLog", vec![Value::Int(-bytes), Value::Int(0)]);
    show(session, "supervisord", text)
}

fn show(
    session: &mut Session,
    name: &str,
    text: Result<Value, CallError>,
) -> Result<(), CallError> {
    let is_main = name == "supervisord";
    let error = match text {
        Ok(Value::Text(text)) => {
            session.say(&text);
            return Ok(());
        }
        Ok(_) => return Err(CallError::Shape("a method that reads a log")),
        Err(error) => error,
    };
    let word = match error.fault() {
        Some(fault::NO_FILE) => "no log file",
        Some(fault::FAILED) => "unknown error reading log",
        Some(fault::BAD_NAME) if !is_main => "no such process name",
        _ => return Err(error),
    };
    session.wrong(&format!("{name}: ERROR ({word})"), None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_integers_as_python_reads_them() {
        for (word, expected) in [
            ("-f", Some(Amount::Following)),
            ("-100", Some(Amount::Bytes(100))),
            ("-1_000", Some(Amount::Bytes(1000))),
            ("-+5", Some(Amount::Bytes(5))),
            ("--5", Some(Amount::Bytes(-5))),
            ("-", None),
            ("-x", None),
            ("-ff", None),
            ("x", None),
            ("-99999999999", None),
        ] {
            assert_eq!(Amount::of(word), expected, "{word}");
        }
    }
}
