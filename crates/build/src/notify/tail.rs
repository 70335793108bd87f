//! The end of a log, for who reads it elsewhere.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of it that are looked at.
const LOOKED_AT: u64 = 256 << 10;

/// Characters of a line that are shown.
const LINE: usize = 500;

/// The last `lines` lines of the first `bytes` bytes (else of all) of a log, without colours and without
/// characters that cannot be printed; what cannot be read is said.
pub(super) fn last_lines(log: &Path, bytes: Option<u64>, lines: usize) -> Vec<String> {
    match read(log, bytes) {
        Ok((text, is_cut)) => {
            let text = String::from_utf8_lossy(&text);
            let mut all: Vec<&str> = text.split('\n').collect();
            if all.last().is_some_and(|last| last.is_empty()) {
                all.pop();
            }
            // Of the first one only a part may be there.
            let from = all.len().saturating_sub(lines).max(usize::from(is_cut));
            all.into_iter().skip(from).map(printable).collect()
        }
        Err(error) => vec![format!("(the log cannot be read: {error})")],
    }
}

fn read(log: &Path, bytes: Option<u64>) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(log)?;
    let length = file.metadata()?.len();
    let end = bytes.map_or(length, |bytes| bytes.min(length));
    let from = end.saturating_sub(LOOKED_AT);
    let mut text = vec![0; usize::try_from(end - from).unwrap_or(0)];
    file.read_exact_at(&mut text, from)?;
    Ok((text, from > 0))
}

/// A line as it can be shown anywhere.
fn printable(line: &str) -> String {
    let mut shown = String::new();
    let mut count = 0;
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A colour, or what else terminals are told (ECMA-48, 5.4): up to its final byte.
            if characters.next_if_eq(&'[').is_some() {
                while characters.next_if(|it| matches!(it, ' '..='?')).is_some() {}
                characters.next_if(|it| matches!(it, '@'..='~'));
            }
            continue;
        }
        if character == '\r' {
            // What follows is written over it.
            shown.clear();
            count = 0;
            continue;
        }
        if character.is_control() && character != '\t' {
            continue;
        }
        if count == LINE {
            shown.push('…');
            break;
        }
        shown.push(character);
        count += 1;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{LINE, last_lines};
    use proptest::prelude::*;

    fn of(text: &[u8], bytes: Option<u64>, lines: usize) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        last_lines(file.path(), bytes, lines)
    }

    #[test]
    fn the_last_lines_and_no_colours() {
        assert_eq!(of(b"a\nb\nc\n", None, 2), ["b", "c"]);
        assert_eq!(of(b"a\nb\nc\n", Some(4), 2), ["a", "b"]);
        assert_eq!(of(b"a\nb", None, 5), ["a", "b"]);
        assert_eq!(of(b"", None, 5), Vec::<String>::new());
        assert_eq!(of(b"\x1b[1;31mred\x1b[0m\x07 \x1b]x", None, 1), ["red ]x"]);
        assert_eq!(of(b"10%\r50%\r100%\r\n", None, 1), ["100%"]);
        let long = "x".repeat(LINE + 5);
        assert_eq!(of(long.as_bytes(), None, 1)[0].chars().count(), LINE + 1);
        let many = "line\n".repeat(200_000);
        assert_eq!(of(many.as_bytes(), None, 250), vec!["line"; 250]);
    }

    proptest! {
        #[test]
        fn nothing_in_it_can_do_harm(text in any::<Vec<u8>>()) {
            for line in of(&text, None, 250) {
                prop_assert!(line.chars().all(|it| !it.is_control() || it == '\t'));
            }
        }
    }
}
