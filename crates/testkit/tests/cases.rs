//! The words of `cargo test -- …` mean the same in a program without the compiler's harness, and what failed is
//! told whole. Such a program is this one: by a variable it becomes the one that is looked at.

#![forbid(unsafe_code)]

use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use ward_testkit::cases::{self, Case};

/// Set for the program that is looked at.
const LOOKED_AT: &str = "WARD_TEST_CASES_LOOKED_AT";

const SAMPLES: &[Case] = &[
    ("one", || Ok(())),
    ("one_and_a_half", || Ok(())),
    ("broken", || {
        Err(anyhow::anyhow!("the\ncause")).context("the outcome")
    }),
    ("dead", || panic!("the last words")),
];

fn main() -> ExitCode {
    if std::env::var_os(LOOKED_AT).is_some() {
        return cases::run(SAMPLES.iter().copied());
    }
    let tests: [Case; 4] = [
        ("all_run_and_failures_are_whole", all_run),
        ("names_choose", names_choose),
        ("a_list_runs_nothing", list),
        ("odd_words_are_refused", odd_words),
    ];
    cases::run_beside_each_other(4, tests)
}

/// The exit status, and what was printed to stdout.
fn look(words: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let output = Command::new(std::env::current_exe()?)
        .args(words)
        .env(LOOKED_AT, "1")
        .output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

fn says(words: &[&str], status: i32, parts: &[&str]) -> anyhow::Result<String> {
    let (found, text) = look(words)?;
    ensure!(found == Some(status), "{words:?}: {found:?}\n{text}");
    for part in parts {
        ensure!(text.contains(part), "{words:?}: `{part}` is not in\n{text}");
    }
    Ok(text)
}

fn all_run() -> anyhow::Result<()> {
    let parts = [
        "running 4 tests",
        "the outcome",
        "the\n",
        "cause",
        "the last words",
        "2 passed; 2 failed",
    ];
    says(&[], 101, &parts)?;
    says(&["--nocapture", "--test-threads=3"], 101, &parts)?;
    Ok(())
}

fn names_choose() -> anyhow::Result<()> {
    says(&["one"], 0, &["running 2 tests", "2 passed; 0 failed"])?;
    says(&["one", "--exact"], 0, &["running 1 test", "1 passed"])?;
    says(&["--skip", "one"], 101, &["running 2 tests", "2 failed"])?;
    says(&["nobody"], 0, &["running 0 tests", "4 filtered out"])?;
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let text = says(&["--list"], 0, &["one_and_a_half: test"])?;
    ensure!(
        text.lines().count() == SAMPLES.len(),
        "more than names:\n{text}"
    );
    Ok(())
}

fn odd_words() -> anyhow::Result<()> {
    let (status, _) = look(&["--no-such-option"])?;
    ensure!(status.is_some_and(|status| status != 0), "{status:?}");
    Ok(())
}
