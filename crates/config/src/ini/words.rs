//! Words: the pairs of `environment=`, and the arguments of a command.
//!
//! Both are cut as Python's `shlex` does (Python Library Reference, "shlex — Simple lexical
//! analysis"): pairs by its rules that are not POSIX's, with `/.+-():` among the letters of a
//! word; commands by those of POSIX, without comments.

use std::collections::BTreeMap;

/// Why a text cannot be cut into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadWords {
    /// A quote is not closed; with the text from it on.
    Unclosed(String),
    /// A backslash is the last character.
    DanglingEscape,
    /// What stands here is not `KEY=value`; with the tokens of it.
    NoPair(Vec<String>),
}

/// The pairs of an `environment=` value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pairs {
    /// By key; the last one counts.
    pub pairs: BTreeMap<String, String>,
    /// Tokens that stand where a comma is expected: anything is taken for one.
    pub odd_separators: Vec<String>,
    /// Keys that are given more than once.
    pub repeated: Vec<String>,
    /// Text after a `#` outside quotes, up to the end of its line: it is lost.
    pub lost: Vec<String>,
}

/// Reads `KEY=value,KEY="value"`: four tokens at a time, the last being whatever separates, and
/// every quote at both ends of a value cut off.
///
/// # Errors
/// When a quote stays open, or four tokens are not key, `=`, value and separator.
pub fn pairs(text: &str) -> Result<Pairs, BadWords> {
    let mut lexer = PairLexer {
        rest: text,
        pending: None,
        ended: false,
        lost: Vec::new(),
    };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.token()? {
        tokens.push(token);
    }
    let mut found = Pairs {
        lost: lexer.lost,
        ..Pairs::default()
    };
    for four in tokens.chunks(4) {
        let [key, equals, value, separator @ ..] = four else {
            return Err(BadWords::NoPair(four.to_vec()));
        };
        if equals != "=" {
            return Err(BadWords::NoPair(four.to_vec()));
        }
        let value = value.trim_matches(['\'', '"']).to_owned();
        if found.pairs.insert(key.clone(), value).is_some() {
            found.repeated.push(key.clone());
        }
        found
            .odd_separators
            .extend(separator.iter().filter(|token| *token != ",").cloned());
    }
    Ok(found)
}

struct PairLexer<'a> {
    rest: &'a str,
    /// A character that ended a word and is a token of its own.
    pending: Option<char>,
    ended: bool,
    lost: Vec<String>,
}

impl PairLexer<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn skip_comment(&mut self) {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        self.lost.push(self.rest[..end].trim_end().to_owned());
        self.rest = &self.rest[end..];
    }

    fn token(&mut self) -> Result<Option<String>, BadWords> {
        if let Some(c) = self.pending.take() {
            return Ok(Some(c.into()));
        }
        if self.ended {
            return Ok(None);
        }
        loop {
            let before = self.rest;
            match self.next() {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(c) if is_gap(c) => {}
                Some('#') => self.skip_comment(),
                Some(c) if is_letter(c) => return Ok(Some(self.word(c))),
                Some(quote @ ('\'' | '"')) => {
                    let Some(end) = self.rest.find(quote) else {
                        return Err(BadWords::Unclosed(before.to_owned()));
                    };
                    self.rest = &self.rest[end + 1..];
                    return Ok(Some(before[..end + 2].to_owned()));
                }
                Some(c) => return Ok(Some(c.into())),
            }
        }
    }

    /// A word goes on behind a comment in the next line: the original's rule.
    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        loop {
            match self.next() {
                None => {
                    self.ended = true;
                    return word;
                }
                Some(c) if is_gap(c) => return word,
                Some('#') => self.skip_comment(),
                Some(c) if is_letter(c) || c == '\'' || c == '"' => word.push(c),
                Some(c) => {
                    self.pending = Some(c);
                    return word;
                }
            }
        }
    }
}

fn is_gap(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_/.+-():".contains(c)
}

/// Cuts a command into its arguments: no shell, only quotes and backslashes.
///
/// # Errors
/// When a quote stays open, or a backslash is the last character.
pub fn arguments(command: &str) -> Result<Vec<String>, BadWords> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if is_gap(c) => words.extend(word.take()),
            '\\' => {
                let (_, escaped) = chars.next().ok_or(BadWords::DanglingEscape)?;
                word.get_or_insert_default().push(escaped);
            }
            '\'' | '"' => {
                let unclosed = || BadWords::Unclosed(command[at..].to_owned());
                let word = word.get_or_insert_default();
                loop {
                    let (_, inner) = chars.next().ok_or_else(unclosed)?;
                    if inner == c {
                        break;
                    }
                    if inner == '\\' && c == '"' {
                        let (_, escaped) = chars.next().ok_or_else(unclosed)?;
                        // Only a quote and a backslash lose the backslash before them.
                        if escaped != '\\' && escaped != '"' {
                            word.push('\\');
                        }
                        word.push(escaped);
                    } else {
                        word.push(inner);
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<String>> {
        let pairs = pairs(text).ok()?.pairs;
        Some(pairs.iter().map(|(k, v)| format!("{k}={v}")).collect())
    }

    #[test]
    fn pairs_as_the_original_takes_them() {
        for (text, expected) in [
            ("A=1,B=2", vec!["A=1", "B=2"]),
            ("A=\"x,y\",B='q'", vec!["A=x,y", "B=q"]),
            ("A=\"'q'\"", vec!["A=q"]),
            ("A=1;B=2", vec!["A=1", "B=2"]),
            ("A=1,", vec!["A=1"]),
            ("A=%", vec!["A=%"]),
            ("A=é", vec!["A=é"]),
            ("", vec![]),
            ("A=a\"b\"c,D=1", vec!["A=a\"b\"c", "D=1"]),
            ("A='',B=1", vec!["A=", "B=1"]),
            ("A=\"a\"\"b\"", vec!["A=a"]),
            ("A=\\,B=2", vec!["A=\\", "B=2"]),
            ("A=1.2/3-(4):5,B=1", vec!["A=1.2/3-(4):5", "B=1"]),
            ("A=\"x\ny\"", vec!["A=x\ny"]),
            ("\"K\"=1", vec!["\"K\"=1"]),
            ("A=\"x\",\nB=\"y\",", vec!["A=x", "B=y"]),
            ("A==", vec!["A=="]),
            ("A=,", vec!["A=,"]),
            ("A=$HOME", vec!["A=$"]),
            ("A=x\r\ny", vec!["A=x"]),
            ("A=x'y", vec!["A=x'y"]),
            ("A=1#c", vec!["A=1"]),
        ] {
            assert_eq!(
                read(text),
                Some(expected.iter().map(ToString::to_string).collect()),
                "{text:?}"
            );
        }
        for text in [
            "A=1\nB=2",
            "A=1#c\nB=2",
            "A=\"1",
            "A=1,B",
            "=1",
            "A=x y=z,B=1",
            "A=\"a\"b,C=1",
            "a b=1",
            "A=1,,B=1",
            "A=,B=1",
            "A=",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn commands_are_cut_without_a_shell() {
        for (text, expected) in [
            ("a  b\tc", vec!["a", "b", "c"]),
            ("sh -c 'a ; b'", vec!["sh", "-c", "a ; b"]),
            (r#"x "a \"b\" \n" c\ d"#, vec!["x", "a \"b\" \\n", "c d"]),
            ("a '' b", vec!["a", "", "b"]),
            ("a'b'\"c\"", vec!["abc"]),
            ("a # b", vec!["a", "#", "b"]),
            ("", vec![]),
        ] {
            assert_eq!(arguments(text).unwrap(), expected, "{text:?}");
        }
        for text in ["a 'b", "a \"b\\\"", "a\\"] {
            assert!(arguments(text).is_err(), "{text:?}");
        }
    }
}
