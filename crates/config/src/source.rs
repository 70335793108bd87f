//! The files that were read, and places in them.
//!
//! A place is a line and a column, both from 1, and a length, all counted in characters; what a
//! person sees in an editor. Nothing here reads a file.

use std::ops::Range;

use serde::Serialize;

/// Which of the files that were read: the main one is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FileId(pub u32);

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters of this line; may be 0.
    pub length: u32,
}

impl Span {
    /// The first character of a file: where something is wrong with the file as a whole.
    #[must_use]
    pub fn start_of(file: FileId) -> Self {
        Self {
            file,
            line: 1,
            column: 1,
            length: 0,
        }
    }
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its path as it was asked for.
    pub path: String,
    text: String,
    /// Where each line is in the text.
    lines: Vec<Range<usize>>,
}

impl SourceFile {
    /// Splits `text` into lines as Python's text mode does: at `\n`, `\r\n` and a lone `\r`,
    /// and at nothing else (io.TextIOWrapper, "newline").
    #[must_use]
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let bytes = text.as_bytes();
        let mut lines = Vec::new();
        let mut from = 0;
        while from < bytes.len() {
            let rest = &bytes[from..];
            let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let length = length.unwrap_or(rest.len());
            lines.push(from..from + length);
            let is_pair = rest[length..].starts_with(b"\r\n");
            from += length + if is_pair { 2 } else { 1 };
        }
        Self {
            path: path.into(),
            text,
            lines,
        }
    }

    /// Every line, without its end.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.lines.iter().map(|line| &self.text[line.clone()])
    }

    /// The line of this number, from 1.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Some(&self.text[self.lines.get(index)?.clone()])
    }
}

/// All files of one configuration.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<SourceFile>);

impl Sources {
    /// Adds a file.
    pub fn add(&mut self, file: SourceFile) -> FileId {
        let id = FileId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(file);
        id
    }

    /// The file of this number.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.0.get(usize::try_from(id.0).ok()?)
    }

    /// The path of the file that `span` is in; empty if there is none.
    #[must_use]
    pub fn path(&self, span: Span) -> &str {
        self.file(span.file).map_or("", |file| &file.path)
    }

    /// The line that `span` is in.
    #[must_use]
    pub fn line(&self, span: Span) -> Option<&str> {
        self.file(span.file)?.line(span.line)
    }

    /// `FILE:LINE:COLUMN`.
    #[must_use]
    pub fn place(&self, span: Span) -> String {
        format!("{}:{}:{}", self.path(span), span.line, span.column)
    }

    /// Every file, in the order of reading.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_in_text_mode() {
        let lines = |text: &str| {
            let file = SourceFile::new("f", text);
            file.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines("a\r\nb\rc\n"), ["a", "b", "c"]);
        assert_eq!(
            lines("a\u{2028}b\u{85}c\u{c}d"),
            ["a\u{2028}b\u{85}c\u{c}d"]
        );
        assert_eq!(lines("a\n\nb"), ["a", "", "b"]);
        assert!(lines("").is_empty());
    }
}
