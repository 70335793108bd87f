//! Logs of programs that name none (AUTO): files with names of their own, which the next start of a
//! supervisor with the same identifier removes.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::api::Stream;

/// What a name is made unique with, and how many of them.
const LETTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
const UNIQUE: usize = 8;
/// So often another name is tried.
const TRIES: usize = 100;

/// Makes a log `NAME-stdout---IDENTIFIER-XXXXXXXX.log` that nobody else may read (0600).
///
/// # Errors
/// As open(2).
pub fn make(directory: &Path, name: &str, stream: Stream, identifier: &str) -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..TRIES {
        let unique = unique();
        let stream = stream.word();
        let path = directory.join(format!("{name}-{stream}---{identifier}-{unique}.log"));
        let made = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn unique() -> String {
    let mut number = RandomState::new().build_hasher().finish();
    let mut letter = || {
        let letter = LETTERS.get((number % 37) as usize).copied().unwrap_or(b'_');
        number /= 37;
        char::from(letter)
    };
    (0..UNIQUE).map(|_| letter()).collect()
}

/// Removes such logs, with their older parts, that are there from earlier. Gives those that could not
/// be removed.
///
/// # Errors
/// As opendir(3).
pub fn clear(directory: &Path, identifier: &str) -> io::Result<Vec<(PathBuf, io::Error)>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !is_auto(entry.file_name().as_bytes(), identifier.as_bytes()) {
            continue;
        }
        if let Err(error) = fs::remove_file(entry.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            left.push((entry.path(), error));
        }
    }
    Ok(left)
}

/// Whether it is a name of such a log or an older part of it: `.+---IDENTIFIER-\S+\.log\.?\d{0,4}`.
fn is_auto(name: &[u8], identifier: &[u8]) -> bool {
    let mark = [b"---", identifier, b"-"].concat();
    let mut places = name.windows(mark.len()).enumerate().skip(1);
    places.any(|(at, window)| {
        window == mark && is_end(name.get(at + mark.len()..).unwrap_or_default())
    })
}

fn is_end(end: &[u8]) -> bool {
    let digits = end
        .iter()
        .rev()
        .take(4)
        .take_while(|byte| byte.is_ascii_digit());
    (0..=digits.count()).any(|digits| {
        let end = end.get(..end.len() - digits).unwrap_or_default();
        let stem = |end: &[u8]| {
            end.strip_suffix(b".log")
                .is_some_and(|stem| !stem.is_empty() && !stem.iter().any(u8::is_ascii_whitespace))
        };
        stem(end) || end.strip_suffix(b".").is_some_and(stem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn names_are_known_by_the_identifier() {
        for (name, ours) in [
            ("web-stdout---supervisor-abc12345.log", true),
            ("web-stderr---supervisor-abc12345.log.1", true),
            ("web-stderr---supervisor-abc12345.log.1234", true),
            ("web-stderr---supervisor-abc12345.log.", true),
            ("web-stderr---supervisor-abc12345.log12", true),
            ("a---b---supervisor-x---supervisor-y.log", true),
            ("web-stderr---supervisor-abc12345.log.12345", false),
            ("web-stderr---supervisor-abc12345.log.bak", false),
            ("web-stderr---other-abc12345.log", false),
            ("web-stderr---supervisor-a b.log", false),
            ("---supervisor-abc.log", false),
            ("web---supervisor-.log", false),
            ("web.log", false),
        ] {
            assert_eq!(is_auto(name.as_bytes(), b"supervisor"), ours, "{name}");
        }
        // It is no pattern.
        assert!(!is_auto(b"w---supervisor-x.log", b"super.*"));
    }

    #[test]
    fn made_ones_are_private_and_cleared() {
        let directory = tempfile::tempdir().expect("a directory");
        let made = |name| make(directory.path(), name, Stream::Stdout, "us").expect("made");
        let paths = [made("web"), made("web"), made("db")];
        assert_ne!(paths[0], paths[1]);
        let stat = fs::metadata(&paths[0]).expect("there");
        assert_eq!(stat.permissions().mode() & 0o777, 0o600);
        let name = paths[2].file_name().expect("a name").to_string_lossy();
        assert!(
            name.starts_with("db-stdout---us-") && name.len() == 27,
            "{name}"
        );
        let theirs = directory.path().join("db-stdout---them-abcdefgh.log");
        fs::write(&theirs, "").expect("written");
        // What cannot be removed is told.
        let odd = directory.path().join("x-stdout---us-dir.log");
        fs::create_dir(&odd).expect("made");
        let left = clear(directory.path(), "us").expect("cleared");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].0, odd);
        assert!(theirs.exists() && !paths.iter().any(|path| path.exists()));
        assert!(make(Path::new("/nowhere"), "x", Stream::Stderr, "us").is_err());
    }
}
