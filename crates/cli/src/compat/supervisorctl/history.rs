//! What was typed: a line each in a file, as readline(3) keeps it, so that the original can go on with it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How many lines are remembered.
pub(super) const KEPT: usize = 10_000;
/// What is read of a file, bytes.
const MAX_FILE: u64 = 16 << 20;

/// A history and its file. Where the file cannot be read or written, there is none, as in the original.
#[derive(Debug)]
pub(super) struct History {
    path: Option<PathBuf>,
}

impl History {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// The lines of earlier times, oldest first.
    pub(super) fn earlier(&self) -> Vec<String> {
        let lines = self.path.as_deref().and_then(|path| read(path).ok());
        let mut lines = lines.unwrap_or_default();
        let surplus = lines.len().saturating_sub(KEPT);
        if surplus > 0 {
            lines.drain(..surplus);
            // If it cannot be made shorter, it stays long.
            let _ = self.replace(&lines);
        }
        lines
    }

    /// Adds a line at once: whoever kills the shell does not take its history along.
    pub(super) fn add(&self, line: &str) {
        let Some(path) = &self.path else {
            return;
        };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    }

    fn replace(&self, lines: &[String]) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut beside = path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    }
}

fn read(path: &Path) -> io::Result<Vec<String>> {
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE), &mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_from_one_shell_to_the_next() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("history");
        let history = History::new(Some(path.clone()));
        assert!(history.earlier().is_empty());
        history.add("status");
        history.add("stop all");
        assert_eq!(fs::read_to_string(&path)?, "status\nstop all\n");
        assert_eq!(history.earlier(), ["status", "stop all"]);

        let many: String = (0..KEPT + 5).map(|n| format!("{n}\n")).collect();
        fs::write(&path, many)?;
        let earlier = history.earlier();
        assert_eq!((earlier.len(), earlier[0].as_str()), (KEPT, "5"));
        assert!(fs::read_to_string(&path)?.starts_with("5\n"));
        assert_eq!(fs::read_dir(place.path())?.count(), 1);

        let nowhere = History::new(Some(place.path().join("no/such/place")));
        nowhere.add("x");
        assert!(nowhere.earlier().is_empty());
        Ok(())
    }
}
