//! From a file's bytes to UTF-8, whatever it says it is written in.

use std::io::{self, Read};

/// So much is looked at for what the file is written in, bytes.
const HEAD: usize = 1024;
const PIECE: usize = 64 << 10;

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16 {
        is_big: bool,
    },
    /// Windows-1252, which what calls itself Latin 1 mostly is.
    Latin,
}

/// Reads UTF-8. What cannot be is U+FFFD.
pub(super) struct Characters<R> {
    from: R,
    encoding: Encoding,
    /// Bytes that are not a whole character yet, or have not been looked at.
    raw: Vec<u8>,
    ready: Vec<u8>,
    at: usize,
    is_at_end: bool,
    /// Bytes that may still come.
    left: u64,
}

impl<R: Read> Characters<R> {
    /// Looks at the beginning of `from`, of which no more than `limit` bytes are read.
    ///
    /// # Errors
    /// What reading gives; [`io::ErrorKind::Unsupported`] with the name of an encoding that is not known.
    pub(super) fn new(mut from: R, limit: u64) -> io::Result<Self> {
        let mut raw = Vec::new();
        from.by_ref().take(HEAD as u64).read_to_end(&mut raw)?;
        let (encoding, skip) = look(&raw)?;
        let left = limit.saturating_sub(raw.len() as u64);
        raw.drain(..skip.min(raw.len()));
        Ok(Self {
            from,
            encoding,
            raw,
            ready: Vec::new(),
            at: 0,
            is_at_end: false,
            left,
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.at = 0;
        let used = match self.encoding {
            Encoding::Utf8 => utf8(&self.raw, self.is_at_end, &mut self.ready),
            Encoding::Latin => latin(&self.raw, &mut self.ready),
            Encoding::Utf16 { is_big } => utf16(&self.raw, is_big, self.is_at_end, &mut self.ready),
        };
        self.raw.drain(..used.min(self.raw.len()));
        if !self.ready.is_empty() || self.is_at_end {
            return Ok(());
        }
        let before = self.raw.len();
        self.raw.resize(before + PIECE, 0);
        let room = self.raw.get_mut(before..).unwrap_or_default();
        let result = self.from.read(room);
        let count = *result.as_ref().unwrap_or(&0);
        self.raw.truncate(before + count);
        result?;
        self.is_at_end = count == 0;
        self.left = match self.left.checked_sub(count as u64) {
            Some(left) => left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        };
        Ok(())
    }
}

impl<R: Read> Read for Characters<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut waiting = self.ready.get(self.at..).unwrap_or_default();
            if !waiting.is_empty() || out.is_empty() {
                let count = waiting.read(out)?;
                self.at += count;
                return Ok(count);
            }
            if self.is_at_end && self.raw.is_empty() {
                return Ok(0);
            }
            self.fill()?;
        }
    }
}

/// What it is, and how many bytes say so and nothing else.
fn look(head: &[u8]) -> io::Result<(Encoding, usize)> {
    Ok(match head {
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
        [0xff, 0xfe, ..] => (Encoding::Utf16 { is_big: false }, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16 { is_big: true }, 2),
        [b'<', 0, ..] => (Encoding::Utf16 { is_big: false }, 0),
        [0, b'<', ..] => (Encoding::Utf16 { is_big: true }, 0),
        _ => (declared(head)?, 0),
    })
}

fn declared(head: &[u8]) -> io::Result<Encoding> {
    let text = String::from_utf8_lossy(head);
    let declaration = text
        .trim_start()
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split("?>").next());
    let name = declaration
        .and_then(|text| text.split_once("encoding"))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix('='))
        .and_then(|rest| rest.trim_start().split(['"', '\'']).nth(1));
    let Some(name) = name else {
        return Ok(Encoding::Utf8);
    };
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Ok(Encoding::Utf8),
        // It is no such thing, as the declaration could be read.
        "utf-16" | "utf16" => Ok(Encoding::Utf8),
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" | "windows-1252"
        | "cp1252" | "iso-8859-15" => Ok(Encoding::Latin),
        other => {
            let name: String = other.chars().take(40).collect();
            Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("it is written in `{name}`, which is not known here"),
            ))
        }
    }
}

/// Gives how many bytes were used.
fn utf8(raw: &[u8], is_at_end: bool, out: &mut Vec<u8>) -> usize {
    let mut used = 0;
    for chunk in raw.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        used += chunk.valid().len();
        let invalid = chunk.invalid();
        // A character may go on in what was not read yet.
        let may_go_on = used + invalid.len() == raw.len()
            && !is_at_end
            && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        if may_go_on {
            break;
        }
        if !invalid.is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
            used += invalid.len();
        }
    }
    used
}

/// What Windows-1252 has where Latin 1 has control characters.
const UPPER: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž',
    '\u{fffd}', '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}',
    'ž', 'Ÿ',
];

fn latin(raw: &[u8], out: &mut Vec<u8>) -> usize {
    let mut buffer = [0; 4];
    for byte in raw {
        let character = match byte {
            0x80..=0x9f => UPPER
                .get(usize::from(byte - 0x80))
                .copied()
                .unwrap_or('\u{fffd}'),
            other => char::from(*other),
        };
        out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    }
    raw.len()
}

fn utf16(raw: &[u8], is_big: bool, is_at_end: bool, out: &mut Vec<u8>) -> usize {
    let (pairs, rest) = raw.as_chunks::<2>();
    let read = |pair: &[u8; 2]| {
        if is_big {
            u16::from_be_bytes(*pair)
        } else {
            u16::from_le_bytes(*pair)
        }
    };
    let mut units: Vec<u16> = pairs.iter().map(read).collect();
    if !is_at_end
        && units
            .last()
            .is_some_and(|last| (0xd800..0xdc00).contains(last))
    {
        units.pop();
    }
    let mut buffer = [0; 4];
    for each in char::decode_utf16(units.iter().copied()) {
        let character = each.unwrap_or('\u{fffd}');
        out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    }
    if is_at_end {
        if !rest.is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
        return raw.len();
    }
    units.len() * 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let end = out.len().min(1);
            self.0.read(&mut out[..end])
        }
    }

    fn text(bytes: &[u8]) -> String {
        let mut out = String::new();
        Characters::new(Slow(bytes), 1 << 20)
            .and_then(|mut characters| characters.read_to_string(&mut out))
            .unwrap_or_else(|error| panic!("{error}"));
        out
    }

    #[test]
    fn each_encoding_is_read() {
        assert_eq!(text("\u{feff}<a>ä".as_bytes()), "<a>ä");
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?>\xe4\x80";
        assert!(text(latin).ends_with("?>ä€"));
        for is_big in [true, false] {
            let bytes: Vec<u8> = "<a>😀ä"
                .encode_utf16()
                .flat_map(|unit| {
                    if is_big {
                        unit.to_be_bytes()
                    } else {
                        unit.to_le_bytes()
                    }
                })
                .collect();
            assert_eq!(text(&bytes), "<a>😀ä");
        }
        assert_eq!(text(b"a\xffb\xc3"), "a\u{fffd}b\u{fffd}");
        let odd = Characters::new(&b"<?xml version='1.0' encoding='EBCDIC-X'?>"[..], 100);
        assert!(
            odd.err()
                .is_some_and(|error| error.to_string().contains("ebcdic-x"))
        );
        assert_eq!(text(b""), "");
    }

    #[test]
    fn a_long_file_has_an_end() {
        let bytes = vec![b'a'; 10_000];
        let mut out = Vec::new();
        let mut characters = Characters::new(bytes.as_slice(), 5000).expect("a beginning");
        let error = characters.read_to_end(&mut out).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    proptest! {
        #[test]
        fn it_is_as_if_all_was_there_at_once(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(!matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'<', 0, ..] | [0, b'<', ..] | [0xef, 0xbb, 0xbf, ..]));
            prop_assert_eq!(text(&bytes), String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn what_is_right_stays(words in "[a-zä😀]{0,300}") {
            prop_assert_eq!(text(words.as_bytes()), words);
        }
    }
}
