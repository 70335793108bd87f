//! From the text of `command=` to a program file and its arguments, or to why it cannot be run.
//!
//! No shell: quotes and backslashes only. The texts are Supervisor's, which people grep for.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use thiserror::Error;
use ward_config::ini::repr::repr;
use ward_config::ini::words::{BadWords, arguments};

/// Where a program is looked for, if nobody says: as Supervisor has it.
const PATH: &str = "/bin:/usr/bin:/usr/local/bin";

/// Why a command cannot be run; found before anything is started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CannotRun {
    #[error("command is empty")]
    Empty,
    #[error("can't parse command {}: {why}", repr(command, false))]
    Unreadable { command: String, why: &'static str },
    #[error("can't find command {}", repr(.0, false))]
    NotFound(String),
    #[error("command at {} is a directory", repr(.0, false))]
    Directory(String),
    #[error("command at {} is not executable", repr(.0, false))]
    NotExecutable(String),
    #[error("no permission to run command {}", repr(.0, false))]
    NoPermission(String),
}

/// A program file and its arguments, itself first as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) file: PathBuf,
    pub(crate) words: Vec<OsString>,
}

/// Cuts `command` into words and finds its program: by itself where it has a slash, else in `path`, the
/// `PATH` of the program's own environment or of the supervisor's.
pub(crate) fn find(command: &str, path: Option<&str>) -> Result<Command, CannotRun> {
    let words = arguments(command).map_err(|bad| CannotRun::Unreadable {
        command: command.to_owned(),
        why: match bad {
            BadWords::Unclosed(_) => "No closing quotation",
            BadWords::DanglingEscape => "No escaped character",
            BadWords::NoPair(_) => "not a command",
        },
    })?;
    let program = words.first().ok_or(CannotRun::Empty)?;
    let file = if program.contains('/') {
        Some(PathBuf::from(program))
    } else {
        path.unwrap_or(PATH)
            .split(':')
            .map(|directory| Path::new(directory).join(program))
            .find(|file| file.exists())
    };
    let file = file.ok_or_else(|| CannotRun::NotFound(program.clone()))?;
    check(&file)?;
    Ok(Command {
        file,
        words: words.into_iter().map(OsString::from).collect(),
    })
}

fn check(file: &Path) -> Result<(), CannotRun> {
    let shown = || file.to_string_lossy().into_owned();
    let Ok(meta) = file.metadata() else {
        return Err(CannotRun::NotFound(shown()));
    };
    if meta.is_dir() {
        return Err(CannotRun::Directory(shown()));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(CannotRun::NotExecutable(shown()));
    }
    access(file, Access::EXEC_OK).map_err(|_| CannotRun::NoPermission(shown()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_cannot_be_run_is_told_as_the_original_tells_it() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let here = directory.path().to_string_lossy().into_owned();
        fs::create_dir(directory.path().join("d"))?;
        fs::write(directory.path().join("plain"), "")?;
        let told = |command: &str| find(command, Some(&here)).map_err(|error| error.to_string());
        let refused = |command: &str| told(command).expect_err(command);
        assert_eq!(refused(""), "command is empty");
        assert_eq!(refused("  "), "command is empty");
        assert_eq!(
            refused("a 'b"),
            "can't parse command \"a 'b\": No closing quotation"
        );
        assert_eq!(
            refused("a\\"),
            "can't parse command 'a\\\\': No escaped character"
        );
        assert_eq!(refused("absent x"), "can't find command 'absent'");
        assert_eq!(refused("./absent x"), "can't find command './absent'");
        assert_eq!(
            refused("d"),
            format!("command at '{here}/d' is a directory")
        );
        assert_eq!(
            refused(&format!("{here}/plain")),
            format!("command at '{here}/plain' is not executable")
        );
        let found = told("sh -c 'a b'");
        assert_eq!(found.expect_err("not here"), "can't find command 'sh'");
        let found = find("sh -c 'a b' ''", None)?;
        assert_eq!(found.file, Path::new("/bin/sh"));
        assert_eq!(found.words, ["sh", "-c", "a b", ""]);
        Ok(())
    }
}
