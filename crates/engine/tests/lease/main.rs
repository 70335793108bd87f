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
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;

/// So many at a time: each mostly waits.
const AT_A_TIME: usize = 6;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    if words.next_if(|word| word == "run").is_some() {
        return program::main(words.collect());
    }
    let wanted: Vec<String> = words
        .filter_map(|word| word.into_string().ok())
        .filter(|word| !word.starts_with('-'))
        .collect();
    let directory = tempfile::tempdir().expect("a directory");
    let ward = ward(directory.path()).expect("the program under test");
    let stories: Vec<_> = stories::ALL
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|want| name.contains(want)))
        .collect();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((name, story)) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let end = std::panic::catch_unwind(|| story(&ward))
                        .unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
                    println!(
                        "test {name} ... {}",
                        if end.is_ok() { "ok" } else { "FAILED" }
                    );
                    if let (Err(error), Ok(mut failed)) = (end, failed.lock()) {
                        failed.push(format!("{name}: {error:#}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("the list");
    for failure in &failed {
        println!("\n{failure}");
    }
    println!(
        "\ntest result: {} passed; {} failed",
        stories.len() - failed.len(),
        failed.len()
    );
    ExitCode::from(u8::from(!failed.is_empty()))
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
