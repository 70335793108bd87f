//! Calling cargo: the workspace's root, its metadata, and programs it builds.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metadata::Metadata;

/// The cargo that runs us, or the one on the path when there is none.
///
/// What it was told of us (`cargo run` says which package it runs) is not told to it: build scripts that look
/// at such variables would run again, and all that depends on them would be built again.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for (name, _) in env::vars_os() {
        let is_of_us = |name: &str| {
            ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        if name.to_str().is_some_and(is_of_us) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// The directory of the workspace that we were called in.
pub(crate) fn root() -> Result<PathBuf> {
    let output = cargo()
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo locate-project")?;
    let manifest = String::from_utf8(output.stdout).context("reading cargo locate-project")?;
    PathBuf::from(manifest.trim())
        .parent()
        .filter(|_| output.status.success())
        .map(PathBuf::from)
        .context("cargo locate-project names no workspace")
}

/// Packages and their resolved dependencies, exactly as the lock file has them.
pub(crate) fn metadata() -> Result<Metadata> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata --locked failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).context("reading cargo metadata")
}

/// Builds the program `name` with `arguments` to `cargo build`, and says where it is.
pub(crate) fn build(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    build_with(name, arguments, &[])
}

/// As [`build`], with these variables in its environment.
pub(crate) fn build_with(
    name: &str,
    arguments: &[&str],
    variables: &[(&str, &Path)],
) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }

    let output = cargo()
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .envs(variables.iter().copied())
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo build")?;
    if !output.status.success() {
        bail!(
            "cargo build {} failed ({})",
            arguments.join(" "),
            output.status
        );
    }
    for line in String::from_utf8(output.stdout)
        .context("reading cargo build")?
        .lines()
    {
        let message: Message =
            serde_json::from_str(line).context("reading a message of cargo build")?;
        if let (Some(target), Some(executable)) = (message.target, message.executable)
            && target.name == name
        {
            return Ok(executable);
        }
    }
    bail!(
        "cargo build {} made no program `{name}`",
        arguments.join(" ")
    )
}
