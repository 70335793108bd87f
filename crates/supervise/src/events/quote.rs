//! Bytes as text, where the protocol and the log have room for text only.

/// Text as it is; anything else as `Undecodable: b'...'`, in the quotes of Python.
pub(super) fn text_or_quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("Undecodable: {}", quoted(bytes)),
    }
}

fn quoted(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    let mut text = format!("b{quote}");
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => {
                let c = char::from(*byte);
                if c == quote {
                    text.push('\\');
                }
                text.push(c);
            }
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_quotes() {
        assert_eq!(text_or_quoted("é\u{1}".as_bytes()), "é\u{1}");
        assert_eq!(
            text_or_quoted(b"a\xff\x00'\"\\\n\t\r\x7f"),
            "Undecodable: b'a\\xff\\x00\\'\"\\\\\\n\\t\\r\\x7f'"
        );
        assert_eq!(text_or_quoted(b"it's \xff"), "Undecodable: b\"it's \\xff\"");
    }
}
