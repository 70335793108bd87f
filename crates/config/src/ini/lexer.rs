//! Lines to sections and entries, each with its place.
//!
//! The rules are those of Python's `configparser` up to 3.12 with `inline_comment_prefixes=(';',
//! '#')` and `strict=False` (Python Library Reference, "configparser — Configuration file
//! parser"), found out by trying; each is named where it is followed.

use crate::diagnostics::Diagnostics;
use crate::source::{FileId, SourceFile, Span};

/// What counts as blank to Python's `str.strip()`: Unicode's white space and the four
/// information separators.
#[must_use]
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Without blanks at both ends.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// A line's part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    text: String,
    span: Span,
}

/// The text behind a key, over all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    first: Piece,
    more: Vec<Piece>,
    /// As the reader of the key gets it, where that is not the first line.
    text: Option<String>,
    /// The comments that end lines of it, with their text.
    comments: Vec<(Span, String)>,
}

impl Value {
    fn new(first: Piece) -> Self {
        Self {
            first,
            more: Vec::new(),
            text: None,
            comments: Vec::new(),
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Lines are joined, and blanks at the end of all are cut.
    fn join(&mut self) {
        if !self.more.is_empty() {
            let lines: Vec<&str> = self.pieces().map(|piece| &*piece.text).collect();
            self.text = Some(lines.join("\n").trim_end_matches(is_blank).to_owned());
        }
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or(&self.first.text)
    }

    /// Puts another text in its place.
    pub(crate) fn replace(&mut self, text: String) {
        self.text = Some(text);
    }

    /// Its first line.
    #[must_use]
    pub fn span(&self) -> Span {
        self.first.span
    }

    /// The place of `needle` in it, as far as it is written there; else its first line.
    #[must_use]
    pub fn locate(&self, needle: &str) -> Span {
        self.pieces()
            .find_map(|piece| {
                let at = piece.text.find(needle).filter(|_| !needle.is_empty())?;
                Some(Span {
                    column: piece.span.column + count(&piece.text[..at]),
                    length: count(needle),
                    ..piece.span
                })
            })
            .unwrap_or_else(|| self.span())
    }

    /// The comments that were cut from its lines.
    #[must_use]
    pub fn comments(&self) -> &[(Span, String)] {
        &self.comments
    }

    /// The lines after the first, with their places.
    pub fn continuations(&self) -> impl Iterator<Item = (&str, Span)> {
        self.more
            .iter()
            .map(|piece| (piece.text.as_str(), piece.span))
    }
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In lower case.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// What is behind it.
    pub value: Value,
    /// Where the same key was given before, in vain.
    pub earlier: Option<Span>,
}

/// A section's header, and the entries up to the next one.
#[derive(Debug)]
pub(crate) struct Chapter {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) entries: Vec<Entry>,
}

/// Reads a file. What is wrong is told to `found`; what can be read is returned all the same.
pub(crate) fn read(id: FileId, file: &SourceFile, found: &mut Diagnostics) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = Vec::new();
    // Whether a line that is indented deeper goes on with the last entry.
    let mut open = false;
    let mut level = 0;
    let mut lost = false;
    for (index, line) in file.lines().enumerate() {
        let line = match line.strip_prefix(BYTE_ORDER_MARK).filter(|_| index == 0) {
            Some(rest) => {
                byte_order_mark(id, found);
                rest
            }
            None => line,
        };
        let at = |text: &str, offset: usize| Span {
            file: id,
            line: u32::try_from(index + 1).unwrap_or(u32::MAX),
            column: 1 + count(&line[..offset]),
            length: count(text),
        };
        let cut = comment(line);
        let kept = strip(&line[..cut.unwrap_or(line.len())]);
        let indent = line.find(|c| !is_blank(c)).unwrap_or(0);
        let last = chapters
            .last_mut()
            .and_then(|chapter| chapter.entries.last_mut())
            .filter(|_| open);
        if kept.is_empty() {
            if let (None, Some(entry)) = (cut, last) {
                entry.value.more.push(Piece {
                    text: String::new(),
                    span: at("", 0),
                });
            }
            continue;
        }
        let start = offset(line, kept);
        // Counted in characters: a tab is as deep as a blank.
        let depth = count(&line[..indent]);
        let note = cut.map(|cut| (at(&line[cut..], cut), line[cut..].to_owned()));
        if let Some(entry) = last.filter(|_| depth > level) {
            entry.value.more.push(Piece {
                text: kept.to_owned(),
                span: at(kept, start),
            });
            entry.value.comments.extend(note);
            continue;
        }
        level = depth;
        if let Some(name) = header(kept) {
            chapters.push(Chapter {
                name: name.to_owned(),
                span: at(kept, start),
                entries: Vec::new(),
            });
            open = false;
            continue;
        }
        let Some(chapter) = chapters.last_mut() else {
            // Python ends here; the entries before the first header belong to nobody.
            if !lost {
                found.error(
                    at(kept, start),
                    "this line stands before the first section header",
                    Some("begin with a header such as [supervisord] or [program:NAME]".into()),
                );
            }
            lost = true;
            continue;
        };
        match entry(kept) {
            Some((key, value)) => {
                let value_at = start + (kept.len() - value.len());
                let mut value = Value::new(Piece {
                    text: value.to_owned(),
                    span: at(value, value_at),
                });
                value.comments.extend(note);
                chapter.entries.push(Entry {
                    key: key.to_lowercase(),
                    span: at(key, start),
                    value,
                    earlier: None,
                });
                open = true;
            }
            None => found.error(at(kept, start), refusal(kept), Some(remedy(kept))),
        }
    }
    for entry in chapters.iter_mut().flat_map(|chapter| &mut chapter.entries) {
        entry.value.join();
    }
    chapters
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// To the original it is a letter like others: the first line is no header then, nor a comment.
fn byte_order_mark(id: FileId, found: &mut Diagnostics) {
    found.error(
        Span::start_of(id),
        "the file begins with a byte order mark, so that its first line cannot be read",
        Some("save it as UTF-8 without a byte order mark".into()),
    );
}

fn refusal(kept: &str) -> &'static str {
    if kept.starts_with(['=', ':']) {
        "there is no key before the delimiter"
    } else if kept.starts_with('[') {
        "this is neither a section header (there is no `]`) nor an entry"
    } else {
        "this is neither a section header nor an entry: there is no `=` or `:`"
    }
}

fn remedy(kept: &str) -> String {
    if kept.starts_with('[') {
        format!("{kept}]")
    } else {
        "write `key = value`; begin a comment with `;`; indent a line that goes on with a value"
            .into()
    }
}

/// `[` … the last `]`, with something between them; what follows is ignored.
fn header(kept: &str) -> Option<&str> {
    let rest = kept.strip_prefix('[')?;
    let end = rest.rfind(']')?;
    (end > 0).then(|| &rest[..end])
}

/// What is before and after the first `=` or `:`, without the blanks around it.
fn entry(kept: &str) -> Option<(&str, &str)> {
    let at = kept.find(['=', ':'])?;
    let key = kept[..at].trim_end_matches(is_blank);
    (!key.is_empty()).then(|| (key, kept[at + 1..].trim_start_matches(is_blank)))
}

/// Where the comment of a line begins.
///
/// A line whose first character is `;` or `#` is one. Else both are sought in step, one
/// occurrence of each at a time, and the search ends with the first step in which one of them
/// follows a blank: so in `a;b ;c #d` the second `;` is never looked at (Python up to 3.12).
fn comment(line: &str) -> Option<usize> {
    if line.trim_start_matches(is_blank).starts_with([';', '#']) {
        return Some(0);
    }
    let begins = |at: usize| at == 0 || line[..at].chars().next_back().is_some_and(is_blank);
    let mut semicolons = line.match_indices(';').map(|(at, _)| at);
    let mut hashes = line.match_indices('#').map(|(at, _)| at);
    loop {
        let step = [semicolons.next(), hashes.next()];
        if step == [None, None] {
            return None;
        }
        if let Some(at) = step.into_iter().flatten().filter(|at| begins(*at)).min() {
            return Some(at);
        }
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// Where `part`, a slice of `line`, begins in it.
fn offset(line: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(line.as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    fn lexed(text: &str) -> (Vec<Chapter>, usize) {
        let mut sources = Sources::default();
        let file = SourceFile::new("f", text);
        let id = sources.add(file.clone());
        let mut found = Diagnostics::default();
        let chapters = read(id, &file, &mut found);
        (chapters, found.errors())
    }

    /// `section key=value` of everything in `text`, and how many errors.
    fn flat(text: &str) -> (Vec<String>, usize) {
        let (chapters, errors) = lexed(text);
        let lines = chapters
            .iter()
            .flat_map(|c| {
                c.entries
                    .iter()
                    .map(|e| format!("{} {}={}", c.name, e.key, e.value.text()))
            })
            .collect();
        (lines, errors)
    }

    #[test]
    fn every_rule_of_the_dialect() {
        for (text, expected) in [
            ("[a]b]c\nx=1\n", vec!["a]b x=1"]),
            ("[a] junk\nx=1", vec!["a x=1"]),
            ("[a]\n x=1\n  y=2\n z=3\n", vec!["a x=1\ny=2", "a z=3"]),
            (
                "[a]\nx=1\n\n  y\n;c\n  z\n # d\n\n\nq=1",
                vec!["a x=1\n\ny\nz", "a q=1"],
            ),
            ("[a]\nx=\n  [b]\n", vec!["a x=\n[b]"]),
            ("[a]\nx==1", vec!["a x==1"]),
            ("[a]\nx y : 1=2", vec!["a x y=1=2"]),
            ("[a]\nX;Y=1 ;c", vec!["a x;y=1"]),
            ("[a]\nx=;c\n y", vec!["a x=;c\ny"]),
            ("  [a]\n  x=1\ny=2", vec!["a x=1", "a y=2"]),
            ("[a]\nx=a;b#c ;d", vec!["a x=a;b#c"]),
            ("[a]\nx=a;b ;c #d", vec!["a x=a;b ;c"]),
            ("[a]\nx=1\u{85}y\u{2028}z", vec!["a x=1\u{85}y\u{2028}z"]),
            (
                "[a]\n x=1\n[b]\n  z=1\n a=2",
                vec!["a x=1", "b z=1", "b a=2"],
            ),
            ("[a]\nx=1\n [b]\ny=2", vec!["a x=1\n[b]", "a y=2"]),
            ("[a ]\nx=1", vec!["a  x=1"]),
            ("[a;b]\nx=1", vec!["a;b x=1"]),
            ("[a]\nx=\"1 ; 2\"", vec!["a x=\"1"]),
        ] {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(flat(text), (expected, 0), "{text:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "[]\nx=1",
            "[a]\n=1",
            "[a]\nx",
            "[a]\n[b",
            "x=1",
            "\u{feff}[a]\nx=1",
            "[a ;b]\nx=1",
        ] {
            assert_eq!(lexed(text).1, 1, "{text:?}");
        }
    }

    #[test]
    fn places_are_counted_in_characters() {
        let (chapters, _) = lexed("[a]\n  schlüssel = größe zwei\n    drei\n");
        let entry = &chapters[0].entries[0];
        assert_eq!(
            (entry.span.line, entry.span.column, entry.span.length),
            (2, 3, 9)
        );
        let zwei = entry.value.locate("zwei");
        assert_eq!((zwei.line, zwei.column, zwei.length), (2, 21, 4));
        assert_eq!(entry.value.locate("drei").line, 3);
        assert_eq!(entry.value.locate("vier"), entry.value.span());
    }
}
