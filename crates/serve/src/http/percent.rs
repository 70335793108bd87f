//! Percent-encoding (RFC 3986, section 2.1) and forms (`application/x-www-form-urlencoded`).

use std::fmt::Write as _;

/// Decodes a part of a path. What is no code stays as it is; what is not UTF-8 is replaced.
pub(crate) fn decode(text: &str) -> String {
    String::from_utf8_lossy(&bytes(text.as_bytes(), false)).into_owned()
}

/// Encodes everything but letters, digits and `-._~`.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn bytes(text: &[u8], plus_is_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        match first {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => match more {
                [high, low, after @ ..] => match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        rest = after;
                    }
                    (Some(_) | None, _) => out.push(b'%'),
                },
                [] | [_] => out.push(b'%'),
            },
            other => out.push(*other),
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Fields of a form that are read.
const MAX_FIELDS: usize = 1000;

/// What a form or the part of a URL after `?` says, in order; at most 1,000 fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) fn read(text: &[u8]) -> Self {
        let part = |part: &[u8]| String::from_utf8_lossy(&bytes(part, true)).into_owned();
        let fields = text
            .split(|byte| *byte == b'&')
            .filter(|field| !field.is_empty())
            .take(MAX_FIELDS)
            .map(|field| {
                let mut parts = field.splitn(2, |byte| *byte == b'=');
                let name = parts.next().unwrap_or_default();
                (part(name), part(parts.next().unwrap_or_default()))
            });
        Self(fields.collect())
    }

    /// Of fields that were taken apart elsewhere.
    pub(crate) fn of(mut fields: Vec<(String, String)>) -> Self {
        fields.truncate(MAX_FIELDS);
        Self(fields)
    }

    /// All fields: names and values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first one called so.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(called, _)| called == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, decode, encode};
    use proptest::prelude::*;

    #[test]
    fn codes_are_decoded_and_all_else_stays() {
        for (coded, expected) in [
            ("a%3Ab", "a:b"),
            ("%2e%2E%2f", "../"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("a+b", "a+b"),
            ("%C3%A9%ff", "é\u{fffd}"),
        ] {
            assert_eq!(decode(coded), expected, "{coded}");
        }
        let form = Form::read(b"a=1&b=x+y%26z&a=2&c&&=d");
        assert_eq!(form.get("a"), Some("1"));
        assert_eq!(form.get("b"), Some("x y&z"));
        assert_eq!(form.get("c"), Some(""));
        assert_eq!(form.get("d"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>()) {
            prop_assert_eq!(decode(&encode(&text)), text);
        }

        #[test]
        fn nothing_makes_it_panic(text in any::<Vec<u8>>()) {
            let _ = Form::read(&text);
            let _ = decode(&String::from_utf8_lossy(&text));
        }
    }
}
