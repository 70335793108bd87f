//! Where the programs of a test are, and how a user who owns nothing gets at them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;

/// The hostile program, built if it is not up to date: Cargo builds the programs of the
/// package under test only, and this one belongs to another. `WARD_HOSTILE` names one that
/// is ready.
///
/// # Errors
/// When it cannot be built.
pub fn hostile() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build_hostile().map_err(|error| format!("{error:#}")))
        .as_deref()
        .map_err(|error| anyhow::anyhow!("{error}"))
}

fn build_hostile() -> anyhow::Result<PathBuf> {
    if let Some(ready) = std::env::var_os("WARD_HOSTILE") {
        return Ok(PathBuf::from(ready));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--bin",
            "hostile",
            "--message-format=json",
        ])
        // From here, Cargo finds the workspace and its configuration.
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("starting cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "building the hostile program: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "hostile")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .context("cargo did not say where the hostile program is")
}

/// Puts a program into `directory`, under its own name, for everybody to execute.
///
/// # Errors
/// When neither a link nor a copy can be made.
pub fn put(program: &Path, directory: &Path) -> anyhow::Result<PathBuf> {
    let name = program.file_name().context("a program without a name")?;
    let place = directory.join(name);
    if std::fs::hard_link(program, &place).is_ok() {
        return Ok(place);
    }
    // By another process: a file that this one had open for writing while another thread
    // starts a program could not be executed ("text file busy").
    let status = Command::new("install")
        .args(["-m", "755"])
        .arg(program)
        .arg(&place)
        .status()
        .context("starting install")?;
    anyhow::ensure!(status.success(), "install {}: {status}", program.display());
    Ok(place)
}

/// The first of `names` that is in the `PATH`.
#[must_use]
pub fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Python without the detour over pyenv and the like, where it can be had; said aloud of `what`, where not.
#[must_use]
pub fn python(what: &str) -> Option<PathBuf> {
    let system = PathBuf::from("/usr/bin/python3");
    let found = if system.is_file() {
        Some(system)
    } else {
        in_path("python3")
    };
    if found.is_none() {
        skipped(what, "needs python3");
    }
    found
}

/// Says on standard error, where nobody overlooks it, that something was not tested.
pub fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
}
