//! The chain of a log's older parts: `.1` is the youngest. A kill anywhere in it leaves a gap, which
//! the next rotation fills; no part is lost but the oldest, when all are there.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file of part `number`, 1 being the youngest that was put aside.
#[must_use]
pub fn part(path: &Path, number: u64) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Puts the current part aside as `.1`, the others up to the first gap one further.
///
/// # Errors
/// As rename(2); nothing is lost then, and there may be a gap.
pub(super) fn put_aside(path: &Path, backups: u64) -> io::Result<()> {
    let gap = (1..backups)
        .find(|number| fs::symlink_metadata(part(path, *number)).is_err())
        .unwrap_or(backups);
    for number in (1..gap).rev() {
        fs::rename(part(path, number), part(path, number + 1))?;
    }
    fs::rename(path, part(path, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_goes_and_gaps_are_filled() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let read = |number| fs::read_to_string(part(&path, number)).unwrap_or_default();
        for text in ["a", "b", "c", "d"] {
            fs::write(&path, text).expect("written");
            put_aside(&path, 3).expect("put aside");
        }
        assert_eq!([read(1), read(2), read(3), read(4)], ["d", "c", "b", ""]);
        // As after a kill between two renames.
        fs::rename(part(&path, 1), part(&path, 9)).expect("a gap");
        fs::write(&path, "e").expect("written");
        put_aside(&path, 3).expect("put aside");
        assert_eq!([read(1), read(2), read(3)], ["e", "c", "b"]);
        put_aside(&path, 3).expect_err("there is no current part");
    }
}
