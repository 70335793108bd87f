//! The reference page of every section and key, from the table.

use crate::keys::{Fallback, Form, Key, SECTIONS, Scope, SectionKind};

/// The page, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut text = String::from(
        "# Configuration file\n\nGenerated from the code: what `ward check` knows, and how it reads it.\n\n",
    );
    text.push_str(DIALECT);
    for kind in SECTIONS {
        section(kind, &mut text);
    }
    text
}

/// How the file is read, and where that differs from the original.
const DIALECT: &str = "\
## The file

- Text is UTF-8, without a byte order mark. Lines end with LF, CRLF or CR.
- A line whose first character, blanks aside, is `;` or `#` is a comment. So is what follows a blank and `;` or `#`
  in any other line, **even inside quotes**.
- A key ends at the first `=` or `:`; it is read in lower case. Section names are not.
- A line that is indented deeper than the line of its key goes on with the value.
- A section or key that is given twice is merged; the last value counts, also over included files.
- Values are not quoted, except in `environment` and, when it is started, in `command`.
- Unknown sections and keys are passed over, with a warning.
- `%(name)s` stands for a value, with every flag, width and type that Python's `%` has for text and integers;
  `%%` is one `%`. `here` is the directory of the file; in an included file, that of the included one.
  Each key's `names` column says what is known in it.

## Differences from Supervisor 4.3

- All mistakes are reported at once, each with its place; the names of variables are not listed in messages.
- A `%s` without a name stays as it is; the original puts its whole environment there.
- Floating-point types (`%(process_num)f`) are refused, and so is a field wider than 4096 characters.
- Integers fit in 64 bits, with ASCII digits; no program has more than 65536 processes.
- `stopsignal` does not take the names that Python has beside signals (`SIG_IGN`, `SIG_BLOCK` …); `loglevel` takes
  levels only.
- Plugins in Python are refused by name: any factory of `[rpcinterface:x]` but the main one, any `result_handler` but
  the default one and `supervisor_stdout:event_handler`. The arguments of the main interface, which end the original
  at its start, are errors. `[ctlplugin:x]` is passed over with a warning.
- The text is read as UTF-8 whatever the locale is.
- `[supervisorctl]` is checked together with the rest; what is wrong there is a warning, as the supervisor does not
  read it.
";

fn section(kind: &SectionKind, text: &mut String) {
    text.push_str(&format!("\n## {}\n\n{}\n", kind.title(), kind.help));
    if kind.form == Form::Prefix {
        text.push_str("\nEvery section whose name begins so is one.\n");
    }
    if kind.open {
        text.push_str("\nOther keys are arguments of the plugin.\n");
    }
    text.push_str("\n| key | takes | default | names | |\n|---|---|---|---|---|\n");
    let mut keys = kind.keys;
    // What a program has is told once.
    if kind.keys.len() > 1 {
        keys = &kind.keys[1..];
        text.push_str("| *all of* `[program:NAME]` | | | | |\n");
    }
    for key in keys.iter().flat_map(|keys| keys.iter()) {
        text.push_str(&row(key));
    }
    if let Some(key) = kind.keys().find(|key| key.scope == Scope::Process) {
        let _ = key;
        text.push_str("\n`process_num` and `numprocs` are integers; so `%(process_num)02d`.\n");
    }
}

fn row(key: &Key) -> String {
    let default = match key.fallback {
        Fallback::Text("") => "empty".to_owned(),
        Fallback::Text(text) => format!("`{text}`"),
        Fallback::Means(text) => text.to_owned(),
        Fallback::Required => "**required**".to_owned(),
    };
    let ours = if key.ours { " *ward only.*" } else { "" };
    let cell = |text: &str| text.replace('|', "\\|");
    format!(
        "| `{}` | {} | {} | {} | {}{ours} |\n",
        key.name,
        cell(key.kind.describe()),
        cell(&default),
        cell(key.scope.describe()),
        cell(key.help)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_row() {
        let page = page();
        for kind in SECTIONS {
            assert!(
                page.contains(&format!("## {}\n", kind.title())),
                "{}",
                kind.word
            );
            for key in kind.keys() {
                assert!(
                    page.contains(&format!("| `{}` |", key.name)),
                    "{}",
                    key.name
                );
            }
        }
    }
}
