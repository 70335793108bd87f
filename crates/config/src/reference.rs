//! The reference page of every section and key, from the table.

use crate::job::REPOSITORY_KEYS;
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
    text.push_str(JOBS);
    let allowed: Vec<String> = REPOSITORY_KEYS
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
    text.push_str(&format!("{}.\n", wrapped(&allowed.join(", "))));
    text
}

/// Lines of at most 118 characters, cut at blanks.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        if length > 0 && length + 1 + word.len() > 118 {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += word.len();
    }
    lines
}

/// What a table has no room for.
const JOBS: &str = "
### Scripts

A script is taken as it is written, below its key or behind it: `;`, `#`, `%` and blank lines are its own. The
indentation that all of its lines share is taken away. It ends at the first line that is not indented deeper than its
key; comments of the file may stand in between.

```ini
[job:docs]
repo = https://git.example.org/docs.git
poll = H/5 * * * *
steps = build, check
script.build =
    make html
    echo \"built at $(date +%s)\"   # a comment of the shell
script.check =
    make check
unstable_status.check = 3
```

A script that begins with `#!` is run by what it names; any other by `shell -xe`.

### Parameters

One per line, taken as it is written. What is behind a blank and `#` says what it is for; a value with `#` in it, or with
blanks at its ends, stands in double quotes.

```ini
parameters =
    BRANCH = main                 # text
    FULL ? true                   # yes or no
    TARGET : debug | release      # one of these, the first by default
    PASSPHRASE !                  # never shown
    NOTES + first\\nsecond         # several lines
```

### Several items

Where a key takes several, they may stand on one line with commas between them, on a line each, or both.

### `.ward.conf`

With `from_repository`, the file of the checked-out commit says the rest, in the section `[job:NAME]` of the job or of the
last part of its name, or in `[job]`. Whoever can push can write it, so it says what is done and what comes of it, and
nothing about who may start the job, as whom it runs, what it is told in secret, whom it tells and what it takes from
others: such a key is an error. Variables that the configuration sets stay as they are, times can only be made shorter,
`ENV_X` is not known in it, and it is at most 256 KiB. It may have these keys:

";

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
- `[build]` and `[job:NAME]` are ward's own. A mistake in a job is an error, and keeps nobody from running the programs.
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
