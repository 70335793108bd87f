//! Projects as package registries have them, by the clients of those who use them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::programs::{in_path, skipped};
use crate::pypi::PYTEST;

/// The last line of what a command complained of; nothing, if it did not.
fn complaint(command: &mut Command) -> Option<String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            Some(text.lines().last().unwrap_or("it failed").to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

/// Cargo, as whoever runs the tests has it.
#[must_use]
pub fn cargo() -> Option<PathBuf> {
    std::env::var_os("CARGO")
        .map(PathBuf::from)
        .or_else(|| in_path("cargo"))
}

/// The source of a crate, at `place`; `None`, said aloud, where it cannot be had.
///
/// # Errors
/// Of files at `place`.
pub fn a_crate(place: &Path, name: &str, version: &str) -> Result<Option<PathBuf>> {
    let Some(cargo) = cargo() else {
        skipped(name, "needs cargo");
        return Ok(None);
    };
    let asking = place.join("asking");
    fs::create_dir_all(asking.join("src"))?;
    fs::write(asking.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"asking\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\
         [dependencies]\n{name} = \"={version}\"\n[workspace]\n"
    );
    fs::write(asking.join("Cargo.toml"), manifest)?;
    let mut vendor = Command::new(cargo);
    vendor
        .args(["vendor", "--quiet", "all"])
        .current_dir(&asking);
    if let Some(why) = complaint(&mut vendor) {
        skipped(name, &format!("crates cannot be had: {why}"));
        return Ok(None);
    }
    let project = place.join(name);
    fs::rename(asking.join("all").join(name), &project)?;
    fs::remove_file(project.join(".cargo-checksum.json"))?;
    fs::remove_dir_all(asking)?;
    Ok(Some(project))
}

/// A project of Python.
#[derive(Debug)]
pub struct Python {
    /// Its source, at the place that was asked for.
    pub project: PathBuf,
    /// A python that has pytest.
    pub python: PathBuf,
}

/// A source package of PyPI, at `place`; `None`, said aloud, where it cannot be had. Environments are kept in
/// `kept` for the next time.
///
/// # Errors
/// Of files at `place`.
pub fn python(place: &Path, kept: &Path, name: &str, version: &str) -> Result<Option<Python>> {
    let Some(programs) = PYTEST.programs(kept)? else {
        return Ok(None);
    };
    let python = programs.join("python");
    let downloads = place.join("downloads");
    fs::create_dir_all(&downloads)?;
    let mut download = Command::new(&python);
    download
        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--no-binary", ":all:", "--no-build-isolation"])
        .args(["--disable-pip-version-check", "--timeout", "20"])
        .args(["--retries", "1", "--dest"])
        .arg(&downloads)
        .arg(format!("{name}=={version}"));
    if let Some(why) = complaint(&mut download) {
        skipped(name, &format!("packages of PyPI cannot be had: {why}"));
        return Ok(None);
    }
    let archive = fs::read_dir(&downloads)?
        .flatten()
        .map(|entry| entry.path())
        .next()
        .context("nothing was downloaded")?;
    let unpack = complaint(
        Command::new("tar")
            .args(["--no-same-owner", "-xzf"])
            .arg(&archive)
            .arg("-C")
            .arg(place),
    );
    if let Some(why) = unpack {
        anyhow::bail!("{}: {why}", archive.display());
    }
    let project = place.join(format!("{name}-{version}"));
    Ok(Some(Python { project, python }))
}
