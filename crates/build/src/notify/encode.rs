//! Text in mails: what is not ASCII in headers (RFC 2047) and bodies (RFC 2045, quoted-printable), and
//! lines that are never too long (RFC 5322, section 2.1.1).

use std::fmt::Write as _;

use data_encoding::BASE64;

/// A line of a header should not be longer, bytes.
const HEADER: usize = 76;

/// Bytes of text in one encoded word: as base64, with its frame and the longest name of a header before it, it is
/// no longer than a line (RFC 2047, section 2).
const WORD: usize = 36;

/// A header. What cannot stand there as it is becomes encoded words; line ends become blanks, so that
/// nothing in `text` can begin another header.
pub(super) fn header(name: &str, text: &str) -> String {
    let text: String = text
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    let text = text.trim();
    let is_plain = text.is_ascii()
        && !text.contains("=?")
        && text.len() <= 900
        && text
            .split(' ')
            .all(|word| word.len() < HEADER - name.len() - 4);
    let mut out = format!("{name}:");
    let mut width = out.len();
    if is_plain {
        for word in text.split(' ') {
            if width + 1 + word.len() > HEADER && width > name.len() + 1 && !word.is_empty() {
                out.push_str("\r\n");
                width = 0;
            }
            out.push(' ');
            out.push_str(word);
            width += 1 + word.len();
        }
    } else {
        for (at, part) in parts(text, WORD).enumerate() {
            out.push_str(if at == 0 { " " } else { "\r\n " });
            out.push_str(&word(part));
        }
    }
    out.push_str("\r\n");
    out
}

/// A name that stands before an address (RFC 5322, section 3.4).
pub(super) fn phrase(text: &str) -> String {
    let text: String = text.chars().filter(|it| !it.is_control()).collect();
    let is_plain = text.is_ascii() && text.len() < 50 && !text.contains(['"', '\\']);
    if is_plain {
        format!("\"{text}\"")
    } else {
        parts(&text, WORD).next().map(word).unwrap_or_default()
    }
}

fn word(part: &str) -> String {
    format!("=?UTF-8?B?{}?=", BASE64.encode(part.as_bytes()))
}

/// Cuts a text into parts of at most `most` bytes, between characters.
fn parts(mut text: &str, most: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (part, rest) = text.split_at(text.floor_char_boundary(most));
        text = rest;
        Some(part)
    })
}

/// A body, as quoted-printable: 7-bit, lines of at most 76 characters, ending with CRLF.
pub(super) fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for line in text.lines() {
        let mut width = 0;
        let mut bytes = line.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let is_last = bytes.peek().is_none();
            let stays = match byte {
                // At an end of a line blanks get lost; a `.` or `From` alone at its begin has a meaning
                // to some who pass mails on.
                b' ' | b'\t' => !is_last,
                b'=' => false,
                b'.' | b'F' => width > 0,
                b'!'..=b'~' => true,
                _ => false,
            };
            let length = if stays { 1 } else { 3 };
            if width + length > 75 {
                out.push_str("=\r\n");
                width = 0;
            }
            if stays {
                out.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(out, "={byte:02X}");
            }
            width += length;
        }
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{header, phrase, quoted_printable};
    use data_encoding::BASE64;
    use proptest::prelude::*;

    #[test]
    fn plain_text_stays_and_long_text_is_folded() {
        assert_eq!(header("Subject", "a b"), "Subject: a b\r\n");
        let long = header("Subject", &"word ".repeat(40));
        assert!(long.lines().count() > 2 && long.lines().all(|line| line.len() <= 76));
        assert_eq!(
            header("Subject", "naïve"),
            "Subject: =?UTF-8?B?bmHDr3Zl?=\r\n"
        );
        assert_eq!(header("Subject", "a\r\nBcc: x"), "Subject: a  Bcc: x\r\n");
        assert_eq!(phrase("A. B"), "\"A. B\"");
        assert_eq!(phrase("\"x\" \r\n"), "=?UTF-8?B?IngiIA==?=");
    }

    #[test]
    fn bodies_are_seven_bit() {
        assert_eq!(quoted_printable("a=b\nc \n"), "a=3Db\r\nc=20\r\n");
        assert_eq!(quoted_printable(".\nFrom"), "=2E\r\n=46rom\r\n");
        assert_eq!(quoted_printable("é"), "=C3=A9\r\n");
    }

    fn unfolded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut characters = text.bytes();
        while let Some(byte) = characters.next() {
            if byte != b'=' {
                bytes.push(byte);
                continue;
            }
            let pair = [
                characters.next().expect("two"),
                characters.next().expect("two"),
            ];
            if &pair != b"\r\n" {
                let code = std::str::from_utf8(&pair).expect("ascii");
                bytes.push(u8::from_str_radix(code, 16).expect("a code"));
            }
        }
        String::from_utf8(bytes).expect("text")
    }

    proptest! {
        #[test]
        fn a_header_is_one_header(text in any::<String>()) {
            let made = header("Subject", &text);
            let body = made.strip_suffix("\r\n").expect("an end");
            prop_assert!(body.is_ascii() && body.starts_with("Subject:"));
            for line in body.split("\r\n").skip(1) {
                prop_assert!(line.starts_with(' '), "{body}");
            }
            prop_assert!(!body.replace("\r\n", "").contains(['\r', '\n']));
            prop_assert!(body.split("\r\n").all(|line| line.len() < 998));
            let words: Vec<_> = body.split("=?UTF-8?B?").skip(1).collect();
            if !words.is_empty() {
                let mut bytes = Vec::new();
                for word in words {
                    let code = word.split("?=").next().expect("its end");
                    bytes.extend(BASE64.decode(code.as_bytes()).expect("base64"));
                }
                let expected: String = text.chars()
                    .map(|it| if it.is_control() { ' ' } else { it }).collect();
                prop_assert_eq!(String::from_utf8(bytes).expect("text"), expected.trim());
            }
        }

        #[test]
        fn a_body_comes_back(text in any::<String>()) {
            let made = quoted_printable(&text);
            prop_assert!(made.is_ascii());
            prop_assert!(made.split("\r\n").all(|line| line.len() <= 76));
            let expected: String = text.lines().map(|line| format!("{line}\r\n")).collect();
            prop_assert_eq!(unfolded(&made), expected);
        }
    }
}
