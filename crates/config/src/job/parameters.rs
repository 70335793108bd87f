//! `parameters`: what is asked of who starts a build, one per line.
//!
//! ```text
//! parameters =
//!     BRANCH = main                # text
//!     FULL ? true                  # yes or no
//!     TARGET : debug | release     # one of these, the first by default
//!     PASSPHRASE !                 # never shown
//!     NOTES + first\nsecond        # several lines
//! ```

use super::script::{lines, place};
use super::{Parameter, ParameterKind, is_variable};
use crate::diagnostics::Diagnostics;
use crate::ini::document::{Entry, strip};
use crate::source::Sources;
use crate::value::{Complaint, boolean};

/// Reads all of them.
pub(super) fn read(entry: &Entry, sources: &Sources, found: &mut Diagnostics) -> Vec<Parameter> {
    let (first, lines) = lines(entry, sources);
    let first = (entry.value.span().line, first);
    let mut parameters: Vec<Parameter> = Vec::new();
    for (number, line) in std::iter::once(first).chain(lines) {
        let line = strip(line);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let read = one(line).and_then(|parameter| {
            let twice = parameters.iter().any(|other| other.name == parameter.name);
            if twice {
                return Err(Complaint::bare(format!(
                    "`{}` is there already",
                    parameter.name
                )));
            }
            Ok(parameter)
        });
        match read {
            Ok(parameter) => parameters.push(parameter),
            Err(complaint) => found.error(
                place(entry.value.span(), number, line, sources),
                format!("parameters: {}", complaint.what),
                complaint.hint,
            ),
        }
    }
    parameters
}

fn one(line: &str) -> Result<Parameter, Complaint> {
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let form = |what: String| {
        Complaint::new(
            what,
            "write NAME = text, NAME ? true, NAME : one | two, NAME ! for a password or NAME + text\\nof lines, and behind it # and what it is for",
        )
    };
    if !is_variable(name) {
        return Err(form(format!("`{line}` does not begin with a variable")));
    }
    let rest = strip(rest);
    let (marker, after) = match rest.chars().next() {
        None | Some('#') => ('=', rest),
        Some(marker) => (marker, strip(&rest[marker.len_utf8()..])),
    };
    // `NAME ? = true` is as good as `NAME ? true`.
    let after = match marker {
        '?' | '!' | '+' => strip(after.strip_prefix('=').unwrap_or(after)),
        _ => after,
    };
    let (value, description) = value(after)?;
    let kind = match marker {
        '=' => ParameterKind::Text {
            default: value,
            trim: true,
        },
        '?' if value.is_empty() => ParameterKind::Boolean { default: false },
        '?' => ParameterKind::Boolean {
            default: boolean(&value)?,
        },
        ':' => ParameterKind::Choice {
            choices: choices(&value)?,
        },
        '!' => ParameterKind::Password { default: value },
        '+' => ParameterKind::Lines {
            default: lines_of(&value),
        },
        other => return Err(form(format!("`{other}` says nothing behind `{name}`"))),
    };
    Ok(Parameter {
        name: name.to_owned(),
        description,
        kind,
    })
}

/// The value, perhaps in quotes, and what is said of it.
fn value(text: &str) -> Result<(String, String), Complaint> {
    if let Some(inner) = text.strip_prefix('"') {
        let end = inner
            .find('"')
            .ok_or_else(|| Complaint::bare("the quote is not closed"))?;
        let after = strip(&inner[end + 1..]);
        let description = match (after.is_empty(), after.strip_prefix('#')) {
            (true, _) => "",
            (false, Some(description)) => description,
            (false, None) => {
                return Err(Complaint::new(
                    format!("`{after}` stands behind the quotes"),
                    "quote all of the value, or nothing",
                ));
            }
        };
        return Ok((inner[..end].to_owned(), strip(description).to_owned()));
    }
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == '#' && before.is_whitespace() {
            return Ok((
                strip(&text[..at]).to_owned(),
                strip(&text[at + 1..]).to_owned(),
            ));
        }
        before = c;
    }
    Ok((text.to_owned(), String::new()))
}

fn choices(text: &str) -> Result<Vec<String>, Complaint> {
    let choices: Vec<String> = text.split('|').map(|part| strip(part).to_owned()).collect();
    for (index, choice) in choices.iter().enumerate() {
        if choices[..index].contains(choice) {
            return Err(Complaint::bare(format!("`{choice}` can be chosen twice")));
        }
    }
    if choices.len() == 1 && text.is_empty() {
        return Err(Complaint::new(
            "there is nothing to choose from",
            "write NAME : one | two",
        ));
    }
    Ok(choices)
}

/// `\n` is the end of a line, `\\` a backslash.
fn lines_of(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some('n')) => {
                chars.next();
                found.push('\n');
            }
            ('\\', Some('\\')) => {
                chars.next();
                found.push('\\');
            }
            _ => found.push(c),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        let text = |default: &str| ParameterKind::Text {
            default: default.to_owned(),
            trim: true,
        };
        for (line, name, kind, description) in [
            ("A", "A", text(""), ""),
            ("A # what", "A", text(""), "what"),
            ("A = b c # what", "A", text("b c"), "what"),
            ("A=b#c", "A", text("b#c"), ""),
            ("A = \"b # c\" # d", "A", text("b # c"), "d"),
            ("A = # d", "A", text(""), "d"),
            (
                "A? = yes",
                "A",
                ParameterKind::Boolean { default: true },
                "",
            ),
            (
                "A ? false # d",
                "A",
                ParameterKind::Boolean { default: false },
                "d",
            ),
            ("A ?", "A", ParameterKind::Boolean { default: false }, ""),
            (
                "A: x | y z|  # d",
                "A",
                ParameterKind::Choice {
                    choices: vec!["x".into(), "y z".into(), String::new()],
                },
                "d",
            ),
            (
                "A!",
                "A",
                ParameterKind::Password {
                    default: String::new(),
                },
                "",
            ),
            (
                "A ! # d",
                "A",
                ParameterKind::Password {
                    default: String::new(),
                },
                "d",
            ),
            (
                "A + x\\ny\\\\n\\t",
                "A",
                ParameterKind::Lines {
                    default: "x\ny\\n\\t".into(),
                },
                "",
            ),
        ] {
            let parameter = one(line).expect(line);
            assert_eq!(parameter.name, name, "{line}");
            assert_eq!(parameter.kind, kind, "{line}");
            assert_eq!(parameter.description, description, "{line}");
        }
        for bad in [
            "1A",
            "= x",
            "A / b",
            "A ? maybe",
            "A :",
            "A : x | x",
            "A = \"x",
            "A = \"x\" y",
            "é = x",
        ] {
            assert!(one(bad).is_err(), "{bad}");
        }
    }
}
