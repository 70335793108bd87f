//! Text that is taken as it is written: scripts and parameters.
//!
//! To every other key `;` and `#` begin comments, `%` begins a name, and the indentation of further lines does not
//! count. A shell script means something by all of them. So its lines are taken from the file itself, as far as the
//! rules of the dialect say that they belong to the key: every line that is indented deeper than the key's.

use crate::ini::document::{Entry, is_blank, strip};
use crate::source::{SourceFile, Sources, Span};

/// A line, and its number.
pub(super) type Line<'a> = (u32, &'a str);

/// What stands behind the key in its own line, and the lines that go on with it, as they are written. Blank lines are
/// empty; there are none at the end. Comments of the file that are not indented deeper than the key are left out.
pub(super) fn lines<'a>(entry: &Entry, sources: &'a Sources) -> (&'a str, Vec<Line<'a>>) {
    let start = entry.value.span();
    let all = sources
        .file(start.file)
        .into_iter()
        .flat_map(SourceFile::lines);
    let mut rest = (1_u32..)
        .zip(all)
        .skip_while(|(number, _)| *number < start.line);
    let Some((_, own)) = rest.next() else {
        return ("", Vec::new());
    };
    let before = usize::try_from(start.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let first = own
        .char_indices()
        .nth(before)
        .map_or("", |(at, _)| &own[at..]);
    let level = depth(own);
    let mut found = Vec::new();
    for (number, line) in rest {
        let kept = strip(line);
        if kept.is_empty() {
            found.push((number, ""));
        } else if depth(line) > level {
            found.push((number, line));
        } else if !kept.starts_with([';', '#']) {
            break;
        }
    }
    while found.last().is_some_and(|(_, line)| line.is_empty()) {
        found.pop();
    }
    (strip(first), found)
}

fn depth(line: &str) -> usize {
    line.chars().take_while(|c| is_blank(*c)).count()
}

/// The script of a key: what stands in the key's own line, then the other lines without the indentation that all of
/// them have, each with its end.
pub(super) fn script(entry: &Entry, sources: &Sources) -> String {
    let (first, lines) = lines(entry, sources);
    let mut script = String::new();
    // A comment behind the key; a script of one line that begins so would do nothing.
    let is_comment = first.starts_with([';', '#']) && !first.starts_with("#!");
    if !first.is_empty() && !is_comment {
        script.push_str(first);
        script.push('\n');
    }
    let shared = indentation(&lines);
    let is_bare = script.is_empty();
    let body = lines
        .iter()
        .skip_while(|(_, line)| is_bare && line.is_empty());
    for (_, line) in body {
        script.push_str(line.get(shared..).unwrap_or_default());
        script.push('\n');
    }
    script
}

/// How many bytes of blanks all lines begin with, the same ones.
fn indentation(lines: &[Line<'_>]) -> usize {
    let mut full = lines
        .iter()
        .map(|(_, line)| *line)
        .filter(|line| !line.is_empty());
    let Some(first) = full.next() else {
        return 0;
    };
    let blanks = |line: &str| line.find(|c| !is_blank(c)).unwrap_or(line.len());
    let mut shared = blanks(first);
    for line in full {
        let same = first
            .char_indices()
            .zip(line.chars())
            .take_while(|((_, a), b)| a == b && is_blank(*a));
        let end = same.last().map_or(0, |((at, c), _)| at + c.len_utf8());
        shared = shared.min(end);
    }
    shared
}

/// Where `part`, a slice of line `number` of the file of `near`, stands; else the whole line.
pub(super) fn place(near: Span, number: u32, part: &str, sources: &Sources) -> Span {
    let whole = Span {
        line: number,
        column: 1,
        length: 0,
        ..near
    };
    let Some(line) = sources.line(whole) else {
        return near;
    };
    let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    let at = line.find(part).unwrap_or(0);
    Span {
        column: count(&line[..at]) + 1,
        length: count(part),
        ..whole
    }
}
