//! `cargo xtask gen [--check]`: the reference pages, written from the code.
//!
//! The program knows its own options, statuses and states; `ward docs NAME` prints a page and
//! `ward docs --list` names them, one `NAME<TAB>PATH` a line, PATH below docs/reference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// Where the pages stand, from the root of the workspace.
const DIRECTORY: &str = "docs/reference";

/// What makes every page current.
const REMEDY: &str = "cargo xtask gen";

/// A page as the code has it.
struct Page {
    /// From the root of the workspace.
    path: PathBuf,
    text: String,
}

/// Writes every page that is not current.
pub(crate) fn write() -> Result<()> {
    let root = cargo::root()?;
    for page in pages()? {
        let file = root.join(&page.path);
        if read(&file)?.as_deref() == Some(&page.text) {
            continue;
        }
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("making {}", directory.display()))?;
        }
        fs::write(&file, &page.text).with_context(|| format!("writing {}", file.display()))?;
        println!("gen: wrote {}", page.path.display());
    }
    Ok(())
}

/// Fails if a page is not what [`write()`] would write.
pub(crate) fn check() -> Result<()> {
    let root = cargo::root()?;
    let pages = pages()?;
    let mut stale = 0;
    for page in &pages {
        let found = read(&root.join(&page.path))?;
        if let Some(difference) = difference(found.as_deref(), &page.text) {
            eprintln!("gen: {}: {difference}", page.path.display());
            stale += 1;
        }
    }
    if stale > 0 {
        bail!(
            "{stale} of {} reference pages are stale; run `{REMEDY}`",
            pages.len()
        );
    }
    println!("gen: {} reference pages, all current", pages.len());
    Ok(())
}

/// Every page, printed by the program itself.
fn pages() -> Result<Vec<Page>> {
    let ward = cargo::build("ward", &["--package", "ward", "--features", "schema"])?;
    let list = parse_list(&printed(&ward, "--list")?)?;
    list.into_iter()
        .map(|(name, path)| {
            Ok(Page {
                path: Path::new(DIRECTORY).join(path),
                text: printed(&ward, &name)?,
            })
        })
        .collect()
}

fn printed(ward: &Path, argument: &str) -> Result<String> {
    let output = Command::new(ward)
        .args(["docs", argument])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", ward.display()))?;
    if !output.status.success() {
        bail!("ward docs {argument} failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading ward docs {argument}"))
}

/// Reads `NAME<TAB>PATH` lines. A path stays below the directory of the pages.
fn parse_list(list: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut pages = Vec::new();
    let mut paths = BTreeSet::new();
    for line in list.lines() {
        let (name, path) = line
            .split_once('\t')
            .with_context(|| format!("ward docs --list: `{line}` is not NAME<TAB>PATH"))?;
        let stays_below = Path::new(path)
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        if name.is_empty() || path.is_empty() || !stays_below {
            bail!("ward docs --list: `{line}` is not a page below {DIRECTORY}");
        }
        if !paths.insert(path) {
            bail!("ward docs --list: two pages are called {path}");
        }
        pages.push((name.to_owned(), PathBuf::from(path)));
    }
    if pages.is_empty() {
        bail!("ward docs --list names no page");
    }
    Ok(pages)
}

fn read(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// Where the page that was found departs from the one expected; `None` if it does not.
fn difference(found: Option<&str>, expected: &str) -> Option<String> {
    let Some(found) = found else {
        return Some("is not there".to_owned());
    };
    if found == expected {
        return None;
    }
    let mut have = found.split('\n');
    let mut want = expected.split('\n');
    let mut number = 1;
    loop {
        match (have.next(), want.next()) {
            (Some(have), Some(want)) if have == want => number += 1,
            (have, want) => {
                let line = |line: Option<&str>| line.map_or("(end)".into(), |l| format!("`{l}`"));
                return Some(format!(
                    "line {number} has {}, the code says {}",
                    line(have),
                    line(want)
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_line_by_line() {
        let pages = parse_list("cli\tcli.md\nschema\treport/schema.json\n").unwrap();
        assert_eq!(
            pages,
            [
                ("cli".to_owned(), PathBuf::from("cli.md")),
                ("schema".to_owned(), PathBuf::from("report/schema.json")),
            ]
        );
    }

    #[test]
    fn a_list_that_leads_elsewhere_is_refused() {
        for list in [
            "",
            "cli cli.md",
            "cli\t",
            "\tcli.md",
            "cli\t../cli.md",
            "cli\t/etc/passwd",
            "a\tone.md\nb\tone.md",
        ] {
            assert!(parse_list(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn a_difference_is_shown_at_its_first_line() {
        assert_eq!(difference(Some("a\nb\n"), "a\nb\n"), None);
        assert_eq!(difference(None, "a\n").unwrap(), "is not there");
        assert_eq!(
            difference(Some("a\nb\n"), "a\nc\n").unwrap(),
            "line 2 has `b`, the code says `c`"
        );
        assert_eq!(
            difference(Some("a"), "a\n").unwrap(),
            "line 2 has (end), the code says ``"
        );
        assert_eq!(
            difference(Some("a\r\n"), "a\n").unwrap(),
            "line 1 has `a\r`, the code says `a`"
        );
    }
}
