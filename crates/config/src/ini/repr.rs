//! Text in quotes, as Python's `repr()` writes it: what `%(name)r` stands for.

/// `text` in quotes: single ones, unless it has such and no double ones. `ascii` writes every
/// other character as an escape.
#[must_use]
pub fn repr(text: &str, ascii: bool) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            ' '..='~' => quoted.push(c),
            c if !(ascii || c.is_control() || c.is_whitespace() || is_hidden(c)) => {
                quoted.push(c);
            }
            c => match u32::from(c) {
                code @ 0..=0xff => quoted.push_str(&format!("\\x{code:02x}")),
                code @ 0..=0xffff => quoted.push_str(&format!("\\u{code:04x}")),
                code => quoted.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    quoted.push(quote);
    quoted
}

/// The format characters that a text may plausibly hold; Python escapes all of category Cf.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_original_writes_it() {
        assert_eq!(repr("a", false), "'a'");
        assert_eq!(repr("it's", false), "\"it's\"");
        assert_eq!(repr("'\"\\\n\u{1}", false), r#"'\'"\\\n\x01'"#);
        assert_eq!(repr("é", false), "'é'");
        assert_eq!(repr("é\u{20ac}", true), r"'\xe9\u20ac'");
        assert_eq!(repr("\u{1f600}", true), r"'\U0001f600'");
    }
}
