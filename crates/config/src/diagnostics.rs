//! What is wrong with a configuration, and what is only worth a word.
//!
//! Every finding has a place, says what and why, and, where there is something to do, a hint.
//! The reader collects all of them; nothing here stops at the first.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::source::{Sources, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but hardly means what was meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Where.
    pub span: Span,
    /// How bad it is.
    pub severity: Severity,
    /// What, and why.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Everything that was found. The same finding is made once for each process of a program, and
/// kept once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(BTreeMap<(Span, Severity, String), Option<String>>);

impl Diagnostics {
    /// Adds an error.
    pub fn error(&mut self, span: Span, what: impl Into<String>, hint: Option<String>) {
        self.add(Severity::Error, span, what.into(), hint);
    }

    /// Adds a warning.
    pub fn warn(&mut self, span: Span, what: impl Into<String>, hint: Option<String>) {
        self.add(Severity::Warning, span, what.into(), hint);
    }

    fn add(&mut self, severity: Severity, span: Span, what: String, hint: Option<String>) {
        self.0.entry((span, severity, what)).or_insert(hint);
    }

    /// Adds all of `others`, as warnings where `only_warn`.
    pub(crate) fn extend(&mut self, others: Self, only_warn: bool) {
        for ((span, severity, what), hint) in others.0 {
            let severity = if only_warn {
                Severity::Warning
            } else {
                severity
            };
            self.add(severity, span, what, hint);
        }
    }

    /// Leaves only what is at a place that `keep` likes.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Span) -> bool) {
        self.0.retain(|(span, ..), _| keep(span));
    }

    /// How many errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.keys().filter(|(_, s, _)| *s == severity).count()
    }

    /// Every finding, by place.
    #[must_use]
    pub fn sorted(self) -> Vec<Diagnostic> {
        self.0
            .into_iter()
            .map(|((span, severity, what), hint)| Diagnostic {
                span,
                severity,
                what,
                hint,
            })
            .collect()
    }
}

/// Colours, as a terminal takes them; all empty where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Palette {
    /// Begins an error's word.
    pub error: &'static str,
    /// Begins a warning's word.
    pub warning: &'static str,
    /// Begins what stands back: line numbers and carets.
    pub faint: &'static str,
    /// Ends each of them.
    pub end: &'static str,
}

impl Palette {
    /// For a terminal (ECMA-48, "SGR").
    pub const COLOURED: Self = Self {
        error: "\x1b[1;31m",
        warning: "\x1b[1;33m",
        faint: "\x1b[36m",
        end: "\x1b[0m",
    };
}

impl Diagnostic {
    /// For people: `FILE:LINE:COLUMN: error: WHAT`, the line, a caret, the hint. No control
    /// character of the file reaches the reader's terminal.
    #[must_use]
    pub fn render(&self, sources: &Sources, palette: Palette) -> String {
        let Palette {
            error,
            warning,
            faint,
            end,
        } = palette;
        let (colour, word) = match self.severity {
            Severity::Error => (error, "error"),
            Severity::Warning => (warning, "warning"),
        };
        let mut text = format!(
            "{}: {colour}{word}{end}: {}\n",
            shown(&sources.place(self.span)),
            shown(&self.what)
        );
        if let Some(line) = sources.line(self.span) {
            let margin = self.span.line.to_string();
            let (before, marked) = cells(line, self.span);
            text.push_str(&format!(
                " {faint}{margin} |{end} {}\n {faint}{:width$} | {:before$}{}{end}\n",
                excerpt(line),
                "",
                "",
                "^".repeat(marked.max(1)),
                width = margin.len(),
            ));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("   hint: {}\n", shown(hint)));
        }
        text
    }
}

/// Longer lines are cut, so that a finding stays readable.
const WIDEST: usize = 200;

fn excerpt(line: &str) -> String {
    shown(&without_credentials(line).take(WIDEST).collect::<String>())
}

/// The characters of a line, with stars for what stands before an `@` with a colon in it, in one word: people
/// write passwords there, and findings go into logs.
fn without_credentials(line: &str) -> impl Iterator<Item = char> {
    let mut chars: Vec<char> = line.chars().collect();
    let ends: Vec<usize> = (0..chars.len()).filter(|at| chars[*at] == '@').collect();
    for end in ends {
        let after = |ends: &dyn Fn(char) -> bool| {
            let last = chars[..end].iter().rposition(|c| ends(*c));
            last.map_or(0, |at| at + 1)
        };
        let blank = after(&char::is_whitespace);
        let mut triples = chars[blank..end].windows(3);
        let begin = match triples.rposition(|it| it == [':', '/', '/']) {
            Some(at) => blank + at + 3,
            None => {
                let begin = after(&|c| c.is_whitespace() || ",;\"'=".contains(c));
                if !chars[begin..end].contains(&':') {
                    continue;
                }
                begin
            }
        };
        chars[begin..end].fill('*');
    }
    chars.into_iter()
}

/// Control characters as one blank or replacement each, so that columns stay right.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            '\n' => '⏎',
            c if c.is_control() || is_invisible(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Characters that reorder or hide their neighbours (Unicode Standard Annex 9, and the BOM).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// How many characters stand before the carets, and how many carets there are.
fn cells(line: &str, span: Span) -> (usize, usize) {
    let length = line.chars().count().min(WIDEST);
    let before = usize::try_from(span.column.saturating_sub(1)).unwrap_or(0);
    let before = before.min(length);
    let marked = usize::try_from(span.length).unwrap_or(0);
    (before, marked.min(length - before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FileId, SourceFile};

    #[test]
    fn nobodys_password_is_shown() {
        for (line, shown) in [
            (
                "endpoints = a, http://root:open@sesame@b:1",
                "endpoints = a, http://****************@b:1",
            ),
            (
                "repo=https://token@host/x y@z",
                "repo=https://*****@host/x y@z",
            ),
            (
                "e = http://a,http://u:pa=ss,x@b",
                "e = http://a,http://*********@b",
            ),
            ("repo = git@host:a/b", "repo = git@host:a/b"),
            ("x = \"u:p@h\",root:word@b", "x = \"***@h\",*********@b"),
        ] {
            assert_eq!(excerpt(line), shown);
        }
    }

    #[test]
    fn a_finding_shows_its_line_and_a_caret() {
        let mut sources = Sources::default();
        let file = sources.add(SourceFile::new(
            "w.conf",
            "[program:x]\n\tstartsecs = ten\n",
        ));
        let span = Span {
            file,
            line: 2,
            column: 14,
            length: 3,
        };
        let mut found = Diagnostics::default();
        found.error(span, "`ten` is no integer", Some("write digits".into()));
        found.error(span, "`ten` is no integer", None);
        let found = found.sorted();
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].render(&sources, Palette::default()),
            "w.conf:2:14: error: `ten` is no integer\n 2 |  startsecs = ten\n   |              ^^^\n   hint: write digits\n"
        );
    }

    #[test]
    fn a_place_outside_of_the_file_is_no_panic() {
        let span = Span {
            file: FileId(7),
            line: 0,
            column: 0,
            length: u32::MAX,
        };
        let mut found = Diagnostics::default();
        found.warn(span, "\u{1b}[2J", None);
        let text = found.sorted()[0].render(&Sources::default(), Palette::default());
        assert!(!text.contains('\u{1b}'));
    }
}
