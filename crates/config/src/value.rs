//! Texts to values: one rule per type. Nothing here knows a key.

mod duration;
mod surroundings;

use serde::{Serialize, Serializer};
use ward_model::signal::Signal;

use crate::ini::document::strip;

pub use duration::{LONGEST, duration, word};
pub use surroundings::{Account, Owner, Surroundings, is_quoted};

/// Why a text is no value of its type, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub what: String,
    /// What to write.
    pub hint: Option<String>,
}

impl Complaint {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: Some(hint.into()),
        }
    }

    pub(crate) fn bare(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
        }
    }
}

/// `yes true on 1`, `no false off 0`, in any case.
///
/// # Errors
/// For anything else.
pub fn boolean(text: &str) -> Result<bool, Complaint> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err(Complaint::new(
            format!("`{text}` is not a boolean"),
            "write true or false",
        )),
    }
}

/// A whole number as Python's `int()` reads it: blanks around it, a sign, single underscores
/// between digits. Within 64 bits (the original knows no bound).
///
/// # Errors
/// For anything else.
pub fn integer(text: &str) -> Result<i64, Complaint> {
    let bad = || {
        Complaint::new(
            format!("`{text}` is not an integer"),
            "write digits only, such as 10",
        )
    };
    let (negative, digits) = sign(strip(text));
    let plain = digits_only(digits, 10).ok_or_else(bad)?;
    let number = plain
        .parse::<i128>()
        .map_err(|_| Complaint::bare(format!("`{text}` does not fit in 64 bits")))?;
    i64::try_from(if negative { -number } else { number })
        .map_err(|_| Complaint::bare(format!("`{text}` does not fit in 64 bits")))
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The digits without the underscores between them.
fn digits_only(text: &str, radix: u32) -> Option<String> {
    let sound = !text.is_empty()
        && !text.starts_with('_')
        && !text.ends_with('_')
        && !text.contains("__")
        && text.chars().all(|c| c == '_' || c.is_digit(radix));
    sound.then(|| text.replace('_', ""))
}

/// Octal digits, with or without `0o` before them.
///
/// # Errors
/// For anything else, and where it does not fit in 32 bits.
pub fn octal(text: &str) -> Result<i64, Complaint> {
    let bad = || {
        Complaint::new(
            format!("`{text}` is not an octal number"),
            "write octal digits, such as 022 or 0700",
        )
    };
    let (negative, digits) = sign(strip(text));
    let prefixed = digits
        .strip_prefix("0o")
        .or_else(|| digits.strip_prefix("0O"));
    let digits = match prefixed {
        Some(rest) => rest.strip_prefix('_').unwrap_or(rest),
        None => digits,
    };
    let plain = digits_only(digits, 8).ok_or_else(bad)?;
    let number = i64::from(u32::from_str_radix(&plain, 8).map_err(|_| bad())?);
    Ok(if negative { -number } else { number })
}

/// Bytes: a whole number, or one with `KB`, `MB` or `GB` (powers of 1024) in any case.
///
/// # Errors
/// For anything else: `50M` among them.
pub fn byte_size(text: &str) -> Result<i64, Complaint> {
    let lower = text.to_lowercase();
    let unit = [("kb", 10), ("mb", 20), ("gb", 30)]
        .into_iter()
        .find_map(|(suffix, shift)| Some((lower.strip_suffix(suffix)?, shift)));
    let (digits, shift) = unit.unwrap_or((&lower, 0));
    let number = integer(digits).map_err(|_| {
        let hint =
            suggested_size(&lower).unwrap_or_else(|| "write bytes, or 50KB, 50MB, 1GB".into());
        Complaint::new(format!("`{text}` is not a size in bytes"), hint)
    })?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| Complaint::bare(format!("`{text}` does not fit in 64 bits")))
}

/// What somebody meant who wrote `50M`, `1g`, `10MiB`.
fn suggested_size(lower: &str) -> Option<String> {
    let (digits, unit) = lower.split_at(lower.find(|c: char| !c.is_ascii_digit())?);
    if digits.is_empty() {
        return None;
    }
    match strip(unit) {
        "k" | "kib" => Some(format!("write {digits}KB")),
        "m" | "mib" => Some(format!("write {digits}MB")),
        "g" | "gib" => Some(format!("write {digits}GB")),
        "b" | "bytes" => Some(format!("write {digits}")),
        _ => None,
    }
}

/// The signal that a stop sends; `None` is signal 0, which the original takes: nothing is sent
/// until the grace is over.
pub type StopSignal = Option<Signal>;

/// A signal by name (with or without `SIG`, in any case) or number.
///
/// # Errors
/// For what is no signal; of the real-time ones, only the first and the last are (34 and 64).
pub fn signal(text: &str) -> Result<StopSignal, Complaint> {
    let bad = || {
        Complaint::new(
            format!("`{text}` is not a signal"),
            "write a name such as TERM, INT, QUIT, HUP, USR1 or KILL",
        )
    };
    let number = if let Ok(number) = integer(text) {
        i32::try_from(number).map_err(|_| bad())?
    } else {
        let upper = strip(text).to_uppercase();
        match upper.strip_prefix("SIG").unwrap_or(&upper) {
            // The other names of signal(7), and the two that the real-time ones have.
            "CLD" => 17,
            "POLL" => 29,
            "IOT" => 6,
            "RTMIN" => 34,
            "RTMAX" => 64,
            name => {
                let known = name
                    .parse::<Signal>()
                    .ok()
                    .filter(|_| !name.starts_with(|c: char| c.is_ascii_digit() || c == '+'));
                known.ok_or_else(bad)?.number()
            }
        }
    };
    match number {
        0 => Ok(None),
        1..=31 | 34 | 64 => Ok(Signal::from_number(number)),
        _ => Err(bad()),
    }
}

/// Exit statuses 0 to 255 with commas between them; empty for none.
///
/// # Errors
/// For anything else.
pub fn exit_codes(text: &str) -> Result<Vec<u8>, Complaint> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let code = |part: &str| integer(part).ok().and_then(|code| u8::try_from(code).ok());
    text.split(',')
        .map(|part| {
            code(part).ok_or_else(|| {
                Complaint::new(
                    format!("`{}` is not an exit status", strip(part)),
                    "write numbers from 0 to 255 with commas between them, such as 0,2",
                )
            })
        })
        .collect()
}

/// When a process that ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Autorestart {
    /// Always.
    Always,
    /// Never.
    Never,
    /// When its exit status is not among `exitcodes`, or a signal ended it.
    Unexpected,
}

/// `unexpected`, or a boolean.
///
/// # Errors
/// For anything else.
pub fn autorestart(text: &str) -> Result<Autorestart, Complaint> {
    match boolean(text) {
        Ok(true) => Ok(Autorestart::Always),
        Ok(false) => Ok(Autorestart::Never),
        Err(_) if text.to_lowercase() == "unexpected" => Ok(Autorestart::Unexpected),
        Err(_) => Err(Complaint::new(
            format!("`{text}` does not say when to restart"),
            "write true, false or unexpected",
        )),
    }
}

/// How much the main log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the levels")]
pub enum LogLevel {
    Blather,
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

/// `critical error warn info debug trace blather`, in any case.
///
/// # Errors
/// For anything else.
pub fn log_level(text: &str) -> Result<LogLevel, Complaint> {
    Ok(match text.to_lowercase().as_str() {
        "critical" => LogLevel::Critical,
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        "blather" => LogLevel::Blather,
        lower => {
            let hint = match lower {
                "warning" => "write warn".to_owned(),
                "crit" | "fatal" => "write critical".to_owned(),
                _ => "write critical, error, warn, info, debug, trace or blather".to_owned(),
            };
            return Err(Complaint::new(format!("`{text}` is not a log level"), hint));
        }
    })
}

/// What a program's output is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFile {
    /// A file of its own in `childlogdir`.
    Auto,
    /// Nothing.
    None,
    /// `syslog`, which `stdout_syslog` and `stderr_syslog` replace.
    Syslog,
    /// This file.
    Path(String),
}

impl Serialize for LogFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Auto => "AUTO",
            Self::None => "NONE",
            Self::Syslog => "syslog",
            Self::Path(path) => path,
        })
    }
}

/// The tree of a program, or its leader alone: who is watched and stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contain {
    /// The process, and its process group as `stopasgroup` and `killasgroup` say.
    Process,
    /// Everything that it starts, however it detaches itself.
    Tree,
}

/// `process` or `tree`.
///
/// # Errors
/// For anything else.
pub fn contain(text: &str) -> Result<Contain, Complaint> {
    match text.to_lowercase().as_str() {
        "process" => Ok(Contain::Process),
        "tree" => Ok(Contain::Tree),
        _ => Err(Complaint::new(
            format!("`{text}` does not say what is contained"),
            "write tree, or process",
        )),
    }
}

/// `host:port`, `:port`, `*:port` or `port`: the host in lower case, empty for every address.
///
/// # Errors
/// When the port is none (1 to 65535).
pub fn inet_address(text: &str) -> Result<(String, u16), Complaint> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port = port_number(port)?;
    let host = host.to_lowercase();
    Ok((if host == "*" { String::new() } else { host }, port))
}

/// A port, 1 to 65535.
///
/// # Errors
/// For anything else.
pub fn port_number(text: &str) -> Result<u16, Complaint> {
    let port = integer(text).ok().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0).ok_or_else(|| {
        Complaint::new(
            format!("`{text}` is not a port"),
            "write host:port, such as 127.0.0.1:9001; a port is 1 to 65535",
        )
    })
}

/// A name of a program, group or process: stripped, and without blanks, colons and slashes.
///
/// # Errors
/// When it has one of them.
pub fn name(text: &str) -> Result<String, Complaint> {
    let stripped = strip(text);
    match stripped.chars().find(|c| matches!(c, ' ' | ':' | '/')) {
        None => Ok(stripped.to_owned()),
        Some(c) => Err(Complaint::new(
            format!("the name `{text}` has a `{c}` in it"),
            "write a name without blanks, colons and slashes",
        )),
    }
}

/// Texts with commas between them, stripped; empty for none.
#[must_use]
pub fn list(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|part| strip(part).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("10 MB", 10 << 20),
            ("1_0kb", 10240),
            ("-5", -5),
            ("+5", 5),
            (" 5 ", 5),
            ("007", 7),
            ("1GB", 1 << 30),
        ] {
            assert_eq!(byte_size(text).unwrap(), expected, "{text}");
        }
        for text in [
            "1__0",
            "_1",
            "1_",
            "0x10",
            "",
            "5b",
            "1e3",
            "1.5MB",
            "mb",
            "+ 5",
            "- 5",
            "50M",
            "9999999999999GB",
        ] {
            assert!(byte_size(text).is_err(), "{text}");
        }
        assert_eq!(byte_size("50M").unwrap_err().hint.unwrap(), "write 50MB");
        assert_eq!(byte_size("1 GiB").unwrap_err().hint.unwrap(), "write 1GB");
        for (text, expected) in [
            ("022", 18),
            ("0o22", 18),
            ("0O2_2", 18),
            ("-22", -18),
            ("2 ", 2),
            ("0_22", 18),
            ("+7", 7),
            ("-0o2", -2),
            ("0o_22", 18),
        ] {
            assert_eq!(octal(text).unwrap(), expected, "{text}");
        }
        for text in ["8", "", "0b1", "_2", "0o", "0o-2"] {
            assert!(octal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn signals() {
        for (text, expected) in [
            ("TERM", 15),
            ("sigterm", 15),
            (" TERM ", 15),
            ("64", 64),
            ("34", 34),
            ("RTMIN", 34),
            ("RTMAX", 64),
            ("CLD", 17),
            ("POLL", 29),
            ("IOT", 6),
            ("IO", 29),
            ("3 ", 3),
            ("1_0", 10),
        ] {
            assert_eq!(signal(text).unwrap().unwrap().number(), expected, "{text}");
        }
        assert_eq!(signal("0"), Ok(None));
        for text in ["35", "65", "NALS", "SIG", "-1", "", "SIG15", "32"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_and_addresses() {
        assert_eq!(exit_codes("0, 2 "), Ok(vec![0, 2]));
        assert_eq!(exit_codes(""), Ok(vec![]));
        for text in ["0,256", ",", "0,", "a", "-1"] {
            assert!(exit_codes(text).is_err(), "{text}");
        }
        for (text, host, port) in [
            ("9001", "", 9001),
            (":9001", "", 9001),
            ("*:9001", "", 9001),
            ("HOST:9001", "host", 9001),
            ("a:b:9001", "a:b", 9001),
            (" :9001", " ", 9001),
        ] {
            assert_eq!(inet_address(text), Ok((host.to_owned(), port)), "{text}");
        }
        for text in ["x", "h:x", "h:", "0", "65536", "h:0"] {
            assert!(inet_address(text).is_err(), "{text}");
        }
        assert!(name("a b").is_err() && name("a/b").is_err());
        assert_eq!(name(" a\t"), Ok("a".to_owned()));
    }
}
