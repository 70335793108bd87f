//! What is new between two commits: from git's own words to [`Change`]s.
//!
//! Commits are parted by NUL bytes, which no message can have; the first four lines of each are git's, which
//! no name can break. Paths come by a second command, where a commit's name and a path cannot be taken for
//! one another by their place.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use super::command::Git;
use super::error::GitError;
use crate::outcome::Change;

/// So many commits are told of.
pub const MAX_CHANGES: usize = 1000;
/// So many paths of one commit.
pub const MAX_PATHS: usize = 1000;
/// So many paths of all.
const MAX_ALL_PATHS: usize = 10_000;
/// So much of a commit's message, bytes.
const MAX_MESSAGE: usize = 16 << 10;
/// Names and addresses of authors, titles, bytes.
const MAX_WORDS: usize = 500;
/// So much of git's words is read, bytes.
const MAX_LOG: usize = 8 << 20;

/// The commits that are in `revision` and not in `previous`, newest first. Both are names of commits in
/// hexadecimal.
///
/// # Errors
/// What git says.
pub(super) fn between(
    git: &mut Git<'_, '_>,
    repository: &Path,
    previous: &str,
    revision: &str,
) -> Result<Vec<Change>, GitError> {
    let range = format!("{previous}..{revision}");
    let count = format!("--max-count={MAX_CHANGES}");
    let words = |format| ["log", "-z", "--no-color", "--no-show-signature", format];
    let commits = words("--format=%H%n%an%n%ae%n%at%n%B").map(OsStr::new);
    let mut commits = commits.to_vec();
    let behind = [count.as_str(), range.as_str(), "--"].map(OsStr::new);
    commits.extend(behind);
    let text = git.asks_some(Some(repository), &commits, MAX_LOG)?;
    let mut changes = read_commits(&text);
    if changes.is_empty() {
        return Ok(changes);
    }
    let mut paths = words("--format=%H").map(OsStr::new).to_vec();
    paths.extend(["--name-status", "--no-renames"].map(OsStr::new));
    paths.extend(behind);
    let text = git.asks_some(Some(repository), &paths, MAX_LOG)?;
    let mut paths = read_paths(&text);
    for change in &mut changes {
        change.paths = paths.remove(&change.revision).unwrap_or_default();
    }
    Ok(changes)
}

/// The commit itself.
///
/// # Errors
/// What git says.
pub(super) fn commit(
    git: &mut Git<'_, '_>,
    repository: &Path,
    revision: &str,
) -> Result<Option<Change>, GitError> {
    let words = [
        "log",
        "-z",
        "--no-color",
        "--no-show-signature",
        "--format=%H%n%an%n%ae%n%at%n%B",
        "--max-count=1",
        revision,
        "--",
    ];
    let text = git.asks_some(Some(repository), &words.map(OsStr::new), MAX_LOG)?;
    Ok(read_commits(&text).into_iter().next())
}

/// Whether `text` is the whole name of a commit.
pub(super) fn is_commit_name(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read_commits(text: &[u8]) -> Vec<Change> {
    text.split(|byte| *byte == 0)
        .filter_map(read_commit)
        .take(MAX_CHANGES)
        .collect()
}

fn read_commit(record: &[u8]) -> Option<Change> {
    let text = String::from_utf8_lossy(record);
    let mut parts = text.splitn(5, '\n');
    let revision = parts.next()?.trim().to_owned();
    if !is_commit_name(&revision) {
        return None;
    }
    let author = cut(parts.next()?, MAX_WORDS);
    let author_email = cut(parts.next()?, MAX_WORDS);
    let at = parts.next()?.trim().parse().unwrap_or_default();
    let message = parts.next()?.trim_end();
    let title = message.lines().next().unwrap_or_default();
    Some(Change {
        revision,
        author,
        author_email,
        at,
        title: cut(title, MAX_WORDS),
        message: cut(message, MAX_MESSAGE),
        paths: Vec::new(),
    })
}

/// Paths by commit: a commit's name, then pairs of a letter and a path.
fn read_paths(text: &[u8]) -> HashMap<String, Vec<(String, String)>> {
    let mut all: HashMap<String, Vec<(String, String)>> = HashMap::new();
    let mut current: Option<&mut Vec<(String, String)>> = None;
    let mut count = 0;
    // The end is an end of all that came before it; what comes behind the last was cut.
    let end = text.iter().rposition(|byte| *byte == 0).unwrap_or(0);
    let mut words = text.get(..end).unwrap_or_default().split(|byte| *byte == 0);
    while let Some(word) = words.next() {
        let word = String::from_utf8_lossy(word.trim_ascii_start());
        if is_commit_name(&word) {
            current = Some(all.entry(word.into_owned()).or_default());
            continue;
        }
        let kind = match word.as_bytes() {
            [b'A'] => "add",
            [b'D'] => "delete",
            [_] => "edit",
            _ => continue,
        };
        let Some(path) = words.next() else { break };
        if let Some(paths) = &mut current
            && paths.len() < MAX_PATHS
            && count < MAX_ALL_PATHS
        {
            count += 1;
            let path = String::from_utf8_lossy(path);
            paths.push((kind.to_owned(), path.into_owned()));
        }
    }
    all
}

fn cut(text: &str, limit: usize) -> String {
    let end = text.floor_char_boundary(limit.min(text.len()));
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn commits_are_read() {
        let text = format!(
            "{A}\nÄ B\na@b\n12\ntitle\n\n{B}\nnot\na\n1\ncommit\n\0{B}\n\n\nx\n\0short\nx\ny\n1\nz\0"
        );
        let changes = read_commits(text.as_bytes());
        assert_eq!(changes.len(), 2);
        assert_eq!(
            (
                changes[0].author.as_str(),
                changes[0].at,
                changes[0].title.as_str()
            ),
            ("Ä B", 12, "title")
        );
        assert!(changes[0].message.ends_with("commit"));
        assert_eq!(changes[1].title, "");
    }

    #[test]
    fn paths_are_read_by_their_place() {
        // A file may be called as a commit is.
        let text = format!("{A}\0\nM\0a b\0A\0{B}\0D\0x\ny\0{B}\0\nT\0z\0M\0cut");
        let paths = read_paths(text.as_bytes());
        let pair = |kind: &str, path: &str| (kind.to_owned(), path.to_owned());
        assert_eq!(
            paths.get(A),
            Some(&vec![
                pair("edit", "a b"),
                pair("add", B),
                pair("delete", "x\ny")
            ])
        );
        assert_eq!(paths.get(B), Some(&vec![pair("edit", "z")]));
    }

    proptest! {
        #[test]
        fn anything_can_be_read(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_commits(&text);
            let _ = read_paths(&text);
        }
    }
}
