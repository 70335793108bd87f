//! Reading Rust source as far as the checks need it: words outside comments and literals.

/// Source with every comment and literal blanked out, line for line.
pub(crate) struct Code(String);

impl Code {
    /// Blanks out comments, strings and characters of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let mut code = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let blank = blank_prefix(rest);
            if blank > 0 {
                let (gone, after) = rest.split_at(blank);
                code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = after;
                continue;
            }
            // A word is taken whole, so that `r` or `b` at its end starts no literal.
            let length = match rest.find(|c: char| !is_word(c)) {
                Some(0) => first.len_utf8(),
                Some(end) => end,
                None => rest.len(),
            };
            let (kept, after) = rest.split_at(length);
            code.push_str(kept);
            rest = after;
        }
        Self(code)
    }

    /// The numbers (from 1) of the lines that have `word` in them.
    pub(crate) fn lines_with(&self, word: &str) -> Vec<usize> {
        self.0
            .lines()
            .enumerate()
            .filter(|(_, line)| words(line).any(|found| found == word))
            .map(|(index, _)| index + 1)
            .collect()
    }

    /// Whether the crate whose root this is forbids unsafe code in all of itself.
    pub(crate) fn forbids_unsafe(&self) -> bool {
        let dense: String = self.0.split_whitespace().collect();
        dense.split("#![forbid(").skip(1).any(|after| {
            after
                .split(')')
                .next()
                .is_some_and(|lints| lints.split(',').any(|lint| lint == "unsafe_code"))
        })
    }

    /// The names of the modules that are declared here.
    pub(crate) fn modules(&self) -> Vec<&str> {
        let all: Vec<&str> = words(&self.0).collect();
        all.windows(2)
            .filter(|pair| pair[0] == "mod")
            .map(|pair| pair[1])
            .collect()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// The length of the comment or literal that `text` begins with; 0 if it begins with neither.
fn blank_prefix(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    let prefix = ["br", "cr", "b", "c", "r", ""]
        .into_iter()
        .find(|prefix| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(['"', '#', '\'']))
        })
        .unwrap_or("");
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        return raw_string(rest).map_or(0, |length| prefix.len() + length);
    }
    let literal = match rest.chars().next() {
        Some('"') => quoted(rest, '"'),
        Some('\'') if prefix.is_empty() || prefix == "b" => character(rest),
        _ => 0,
    };
    if literal == 0 {
        0
    } else {
        prefix.len() + literal
    }
}

/// Block comments nest (The Rust Reference, "Comments").
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// `#"…"#` with any number of hashes; `None` for a raw identifier (`r#type`).
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let body = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(
        body.find(&end)
            .map_or(text.len(), |at| hashes + 1 + at + end.len()),
    )
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal; 0 for a lifetime, which has no closing quote after one character.
fn character(text: &str) -> usize {
    let mut inside = text.chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), _) => quoted(text, '\''),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        Code::of(text).lines_with("unsafe")
    }

    #[test]
    fn the_word_is_found_where_it_is_code() {
        assert_eq!(
            lines("fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for X {}"),
            [2, 4]
        );
        assert_eq!(lines("#[unsafe(no_mangle)]"), [1]);
        assert_eq!(lines("let x = 'a'; unsafe {}"), [1]);
        assert_eq!(lines("fn f<'a>(x: &'a str) { unsafe {} }"), [1]);
        assert_eq!(lines("let q = '\\''; unsafe {} // '"), [1]);
        assert_eq!(lines("let q = '\"'; unsafe {} // \""), [1]);
        assert_eq!(lines("let r#type = 1; unsafe {}"), [1]);
        assert_eq!(lines("let s = \"a\nb\"; unsafe {}"), [2]);
        assert_eq!(lines("/* a /* b */\n c */ unsafe {}"), [2]);
        assert_eq!(lines("let s = r\"\\\"; unsafe {}"), [1]);
    }

    #[test]
    fn the_word_is_not_found_in_comments_literals_and_longer_words() {
        for text in [
            "// unsafe",
            "/* unsafe /* unsafe */ unsafe */",
            "let s = \"unsafe\";",
            "let s = \"\\\" unsafe\";",
            "let s = b\"unsafe\";",
            "let s = c\"unsafe\";",
            "let s = r#\"a \" unsafe\"#;",
            "let s = br##\"\"# unsafe\"##;",
            "#![forbid(unsafe_code)]",
            "let not_unsafe = 1;",
            "let s = \"über // \"; // unsafe",
            "/* ends nowhere: unsafe",
        ] {
            assert!(lines(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_crate_forbids_unsafe_by_an_inner_attribute_only() {
        for text in [
            "//! Docs.\n#![forbid(unsafe_code)]\n",
            "#![forbid( missing_docs,\n unsafe_code )]",
        ] {
            assert!(Code::of(text).forbids_unsafe(), "{text}");
        }
        for text in [
            "// #![forbid(unsafe_code)]",
            "#[forbid(unsafe_code)] mod m {}",
            "#![deny(unsafe_code)]",
            "#![forbid(missing_docs)] fn unsafe_code() {}",
            "",
        ] {
            assert!(!Code::of(text).forbids_unsafe(), "{text}");
        }
    }

    #[test]
    fn modules_are_seen_with_and_without_a_body() {
        let code = Code::of("pub mod life;\nmod tests { }\n// mod gone;\nlet module = 1;");
        assert_eq!(code.modules(), ["life", "tests"]);
    }
}
