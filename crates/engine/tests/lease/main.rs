//! When the lease of a lock is about to end, the work is over before anybody else may have the
//! lock, whoever is killed or stopped meanwhile.
//!
//! Without the usual harness: this program is also the one under test, as which it must be
//! single-threaded.

#![forbid(unsafe_code)]

mod program;
mod stories;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use ward_testkit::cases;

/// So many at a time: each mostly waits.
const AT_A_TIME: usize = 6;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    if words.next_if(|word| word == "run").is_some() {
        return program::main(words.collect());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let ward = ward(directory.path()).expect("the program under test");
    let story = |&(name, story): &(&'static str, stories::Story)| {
        let ward = ward.clone();
        (name, move || story(&ward))
    };
    cases::run_beside_each_other(AT_A_TIME, stories::ALL.iter().map(story))
}

/// This program under the name that ward's processes are known by.
fn ward(directory: &std::path::Path) -> anyhow::Result<PathBuf> {
    let ward = directory.join("ward");
    let own = std::env::current_exe()?;
    if std::fs::hard_link(&own, &ward).is_err() {
        std::fs::copy(&own, &ward).context("copying the program under test")?;
    }
    Ok(ward)
}
