//! `cargo xtask ci`: what CI checks, in the order in which it is cheapest to fail.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::{doors, licences, reference};

/// Runs every check; the tests too, unless they are skipped.
pub(crate) fn run(skip_tests: bool) -> Result<()> {
    step("fmt", || called(&["fmt", "--all", "--", "--check"]))?;
    step("clippy", || {
        let lints = ["--", "-D", "warnings"];
        called(&[&["clippy", "--workspace", "--all-targets"], &lints[..]].concat())
    })?;
    step("doors", doors::check)?;
    step("licences", licences::check)?;
    step("gen --check", reference::check)?;
    if !skip_tests {
        step("test", || called(&["test", "--workspace"]))?;
    }
    Ok(())
}

/// Runs one check under its name, with how long it took.
fn step(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("==> {name}");
    let started = Instant::now();
    check().with_context(|| name.to_owned())?;
    eprintln!(
        "    {name}: passed in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn called(arguments: &[&str]) -> Result<()> {
    let status = cargo()
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("running cargo {}", arguments[0]))?;
    if !status.success() {
        bail!("cargo {} failed ({status})", arguments.join(" "));
    }
    Ok(())
}
