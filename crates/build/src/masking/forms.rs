//! The texts in which a secret may come to light.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL};

/// A line of a secret that is shorter is not looked for, bytes.
pub const SHORTEST: usize = 4;

/// All forms of secrets of so many bytes in total are looked for; beyond that, secrets are looked for as they
/// are only. A form takes about 30 bytes of memory per byte.
pub const ALL_FORMS: usize = 16 * 1024;

/// Lines in which base64 is commonly written: MIME's and PEM's (RFC 2045 section 6.8, RFC 7468 section 2).
const WRAPPED_AT: [usize; 2] = [76, 64];

/// What to look for.
pub(super) struct Forms {
    /// Each once, none of them empty.
    pub(super) texts: Vec<Vec<u8>>,
    /// How many secrets have no line that is long enough.
    pub(super) too_short: usize,
}

/// Everything to look for.
pub(super) fn of(secrets: &[Vec<u8>]) -> Forms {
    let mut texts = BTreeSet::new();
    let mut too_short = 0;
    let mut total = 0_usize;
    for secret in secrets {
        let lines: Vec<&[u8]> = secret
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| line.len() >= SHORTEST)
            .collect();
        if lines.is_empty() {
            too_short += usize::from(!secret.is_empty());
            continue;
        }
        total = total.saturating_add(secret.len());
        for line in &lines {
            texts.insert(line.to_vec());
        }
        if total > ALL_FORMS {
            continue;
        }
        for whole in [secret.as_slice(), secret.trim_ascii()] {
            encoded(whole, &mut texts);
        }
        for line in lines {
            encoded(line, &mut texts);
            quoted(line, &mut texts);
        }
    }
    Forms {
        texts: texts.into_iter().collect(),
        too_short,
    }
}

/// Base64, wherever in what was encoded the bytes stand.
fn encoded(bytes: &[u8], texts: &mut BTreeSet<Vec<u8>>) {
    for (before, skipped) in [(0, 0), (1, 2), (2, 3)] {
        let mut input = vec![0; before];
        input.extend_from_slice(bytes);
        // Characters that are made of nothing but these bytes; the next one tells a part of the last byte,
        // and is known if nothing follows.
        let settled = input.len() * 8 / 6;
        for encoding in [&BASE64, &BASE64URL] {
            let text = encoding.encode(&input).into_bytes();
            for end in [settled, text.len()] {
                if let Some(known) = text.get(skipped..end)
                    && known.len() >= SHORTEST
                {
                    texts.insert(known.to_vec());
                }
            }
            if before == 0 {
                wrapped(&text, texts);
            }
        }
    }
}

fn wrapped(text: &[u8], texts: &mut BTreeSet<Vec<u8>>) {
    for width in WRAPPED_AT {
        if text.len() > width {
            let lines = text.chunks(width).filter(|line| line.len() >= SHORTEST);
            texts.extend(lines.map(<[u8]>::to_vec));
        }
    }
}

/// A line as it stands in addresses, in shells' traces and in JSON.
fn quoted(line: &[u8], texts: &mut BTreeSet<Vec<u8>>) {
    let percent = |form: bool, digits: &[u8; 16]| {
        let mut text = Vec::with_capacity(line.len() * 3);
        for byte in line {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(*byte);
                }
                b' ' if form => text.push(b'+'),
                _ => {
                    let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or(b'0');
                    text.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
                }
            }
        }
        text
    };
    for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
        texts.insert(percent(false, digits));
        texts.insert(percent(true, digits));
    }
    // What dash and bash write between single quotes for one of those.
    texts.insert(replaced(line, b'\'', br#"'"'"'"#));
    texts.insert(replaced(line, b'\'', br"'\''"));
    let json = replaced(&replaced(line, b'\\', br"\\"), b'"', br#"\""#);
    texts.insert(replaced(&json, b'/', br"\/"));
    texts.insert(json);
}

fn replaced(text: &[u8], byte: u8, by: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = text.split(|it| *it == byte).collect();
    parts.join(by)
}
