//! Shell scripts as build steps: run as Jenkins runs its "Execute shell", with clean-up
//! that works.
//!
//! Of the usual shells only bash runs its EXIT trap when a signal ends it. A prelude turns
//! the stop signals into exits, and so makes EXIT traps run in dash, busybox ash and zsh
//! too. A script's own traps for these signals replace it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Makes EXIT traps run on a stop: 128 plus the signal's number, as the shell itself would
/// have ended with.
const PRELUDE: &str =
    "trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 131' QUIT; trap 'exit 143' TERM";

/// Shells that understand the prelude.
const SHELLS: &[&str] = &[
    "sh", "ash", "bash", "dash", "ksh", "ksh93", "mksh", "oksh", "yash", "zsh",
];

/// As much of a script as can hold its first line, bytes.
const FIRST_LINE: u64 = 4096;

/// Where the script is.
#[derive(Debug, Clone, Copy)]
pub enum Script<'a> {
    /// In this file.
    File(&'a Path),
    /// Here.
    Text(&'a OsStr),
}

/// A script that is ready to be run as a command.
#[derive(Debug)]
pub struct ShellStep {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// What people should read where the command is named.
    pub title: String,
    /// A file that was made for it, to be removed at the end.
    pub made: Option<PathBuf>,
}

/// Why a script cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the script `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The text cannot be put in a file.
    #[error("cannot write the script to `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes a command of `script` and its arguments.
///
/// `shell` runs it with `-xe` unless its first line is `#!`. `prelude` makes EXIT traps run
/// on a stop. `owner` is who must be able to read a file that is made for it.
///
/// # Errors
/// [`ScriptError`]; nothing is left behind.
pub fn prepare(
    script: Script<'_>,
    arguments: &[OsString],
    shell: &OsStr,
    prelude: bool,
    owner: Option<(u32, u32)>,
) -> Result<ShellStep, ScriptError> {
    prepare_at(None, script, arguments, shell, prelude, owner)
}

/// As [`prepare`], with the name of the file that is made, for who must know it before it is there. Nothing
/// may be there yet.
///
/// # Errors
/// [`ScriptError`]; nothing is left behind.
pub fn prepare_at(
    place: Option<&Path>,
    script: Script<'_>,
    arguments: &[OsString],
    shell: &OsStr,
    prelude: bool,
    owner: Option<(u32, u32)>,
) -> Result<ShellStep, ScriptError> {
    let (first_line, title) = match script {
        Script::File(path) => (
            first_line_of(path).map_err(|source| ScriptError::Read {
                path: path.to_owned(),
                source,
            })?,
            format!("`{}`", path.display()),
        ),
        Script::Text(text) => (
            text.as_bytes()
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default()
                .to_vec(),
            "the script".to_owned(),
        ),
    };
    let interpreter = interpreter(&first_line);
    let mut made = None;
    let file = match script {
        Script::File(path) => absolute(path).map_err(|source| ScriptError::Read {
            path: path.to_owned(),
            source,
        })?,
        Script::Text(text) => {
            let mut content = Vec::new();
            if interpreter.is_none() && prelude {
                // On the script's own first line, so that line numbers stay.
                content.extend_from_slice(PRELUDE.as_bytes());
                content.extend_from_slice(b"; set -x; ");
            }
            content.extend_from_slice(text.as_bytes());
            content.push(b'\n');
            let path = match place {
                Some(place) => write_script_to(place, &content, owner).map(|()| place.to_owned()),
                None => write_script(&content, owner),
            }?;
            made = Some(path.clone());
            path
        }
    };
    let mut command: Vec<OsString> = Vec::new();
    match interpreter {
        None => {
            command.push(shell.to_owned());
            match (prelude, script) {
                (false, _) => command.push("-xe".into()),
                (true, Script::Text(_)) => command.push("-e".into()),
                (true, Script::File(_)) => {
                    command.extend(["-e".into(), "-c".into(), source_with("; set -x")]);
                }
            }
        }
        Some(words) => {
            // After `-` or `--` a shell takes no more options, and so no `-c`.
            let speaks_shell =
                is_shell(&words) && !words.iter().any(|word| word == "-" || word == "--");
            command.extend(words);
            if prelude && speaks_shell {
                command.extend(["-c".into(), source_with("")]);
            }
        }
    }
    command.push(file.into_os_string());
    command.extend(arguments.iter().cloned());
    Ok(ShellStep {
        command,
        title,
        made,
    })
}

/// Shell text that sets the prelude and then reads the script, which stays `$0`.
fn source_with(extra: &str) -> OsString {
    format!("{PRELUDE}{extra}; . \"$0\"").into()
}

fn first_line_of(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut start = Vec::new();
    file.take(FIRST_LINE).read_to_end(&mut start)?;
    Ok(start
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default()
        .to_vec())
}

fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// The words of a `#!` line. Split at blanks, as Jenkins does, so that
/// `#!/usr/bin/env python3 -u` works although the kernel would not split it; the `-S` that
/// asks env(1) for the same is then too much.
fn interpreter(first_line: &[u8]) -> Option<Vec<OsString>> {
    let line = first_line.strip_prefix(b"#!")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words: Vec<OsString> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    if words.len() > 2 && is_env(&words[0]) && (words[1] == "-S" || words[1] == "--split-string") {
        words.remove(1);
    }
    (!words.is_empty()).then_some(words)
}

fn is_env(word: &OsStr) -> bool {
    Path::new(word).file_name() == Some(OsStr::new("env"))
}

/// Whether these words start a shell that understands the prelude.
fn is_shell(words: &[OsString]) -> bool {
    let mut words = words
        .iter()
        .map(|word| Path::new(word).file_name().unwrap_or_default());
    let mut name = words.next();
    if name == Some(OsStr::new("env")) {
        name = words
            .find(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'='));
    }
    if name == Some(OsStr::new("busybox")) {
        name = words.next();
    }
    name.and_then(OsStr::to_str)
        .is_some_and(|name| SHELLS.contains(&name))
}

fn write_script(content: &[u8], owner: Option<(u32, u32)>) -> Result<PathBuf, ScriptError> {
    let directory = std::env::temp_dir();
    let mut attempt = 0u32;
    loop {
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos());
        let path = directory.join(format!("ward{}-{nanos}{attempt}.sh", std::process::id()));
        match write_script_to(&path, content, owner) {
            Ok(()) => return Ok(path),
            Err(ScriptError::Write { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists && attempt < 100 =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn write_script_to(
    path: &Path,
    content: &[u8],
    owner: Option<(u32, u32)>,
) -> Result<(), ScriptError> {
    let error = |source| ScriptError::Write {
        path: path.to_owned(),
        source,
    };
    // Exclusive, so that nobody can have put a link in its place; for us alone to read.
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(error)?;
    let written = file.write_all(content).and_then(|()| match owner {
        Some((uid, gid)) => std::os::unix::fs::fchown(&file, Some(uid), Some(gid)),
        None => Ok(()),
    });
    written.map_err(|source| {
        let _ = fs::remove_file(path);
        error(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = interpreter(line.as_bytes())?;
        Some(
            words
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        )
    }

    #[test]
    fn interpreters() {
        assert_eq!(words("echo hello"), None);
        assert_eq!(words("#!"), None);
        assert_eq!(words("#!/bin/sh"), Some(vec!["/bin/sh".into()]));
        assert_eq!(
            words("#! /usr/bin/env python3 -u\r"),
            Some(vec!["/usr/bin/env".into(), "python3".into(), "-u".into()])
        );
        assert_eq!(
            words("#!/usr/bin/env -S bash -e"),
            Some(vec!["/usr/bin/env".into(), "bash".into(), "-e".into()])
        );
    }

    #[test]
    fn shells() {
        for (line, shell) in [
            ("#!/bin/sh -e", true),
            ("#!/usr/bin/env bash", true),
            ("#!/usr/bin/env -i A=b zsh", true),
            ("#!/bin/busybox ash", true),
            ("#!/bin/busybox awk", false),
            ("#!/usr/bin/env python3", false),
            ("#!/usr/bin/fish", false),
            ("#!/usr/bin/env", false),
        ] {
            let words = interpreter(line.as_bytes()).expect("an interpreter");
            assert_eq!(is_shell(&words), shell, "{line}");
        }
    }

    #[test]
    fn text_is_kept_in_a_private_file() {
        use std::os::unix::fs::PermissionsExt;
        let text = OsStr::new("echo a\necho b");
        let step = prepare(
            Script::Text(text),
            &["x".into()],
            OsStr::new("/bin/sh"),
            true,
            None,
        )
        .expect("prepared");
        let made = step.made.expect("a file");
        let content = fs::read_to_string(&made).expect("content");
        let mode = fs::metadata(&made).expect("mode").permissions().mode() & 0o777;
        fs::remove_file(&made).expect("removed");
        assert_eq!(mode, 0o600);
        assert_eq!(content.lines().count(), 2);
        assert!(
            content
                .lines()
                .next()
                .expect("a line")
                .ends_with("set -x; echo a")
        );
        assert_eq!(step.command[..2], ["/bin/sh", "-e"]);
        assert_eq!(step.command.last(), Some(&"x".into()));
    }
}
