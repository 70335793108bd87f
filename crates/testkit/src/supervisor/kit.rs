//! Who can be tried: the original, installed into an environment of its own, and ours.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

use crate::programs::{in_path, skipped};

/// The version that ours is held against.
pub const VERSION: &str = "4.3.0";

/// Names an environment of Python in which [`PACKAGES`] are installed.
pub const VENV_VARIABLE: &str = "WARD_TEST_SUPERVISOR_VENV";

/// The original and what people run beside it.
pub const PACKAGES: [&str; 3] = [
    "supervisor==4.3.0",
    "superlance==2.0.0",
    "supervisord-dependent-startup==1.4.0",
];

/// Whose daemon, or whose client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// PyPI `supervisor`.
    Original,
    /// `ward up`, `ward ctl`.
    Ward,
}

/// The programs of those who can be tried here.
#[derive(Debug)]
pub struct Kit {
    original: Option<PathBuf>,
    ward: Option<PathBuf>,
    python: Option<PathBuf>,
}

impl Kit {
    /// Finds both subjects; says aloud who cannot be had.
    ///
    /// `ward` is the program under test; in `place`, which outlives this call, an environment
    /// and a directory of links are made.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn find(ward: &Path, place: &Path) -> anyhow::Result<Self> {
        let original = original(place)?;
        let python = original
            .as_ref()
            .map(|programs| programs.join("python"))
            .or_else(|| in_path("python3"));
        Ok(Self {
            original,
            ward: ours(ward, place)?,
            python,
        })
    }

    /// Ours alone, for tests in which there is nothing to compare.
    ///
    /// # Errors
    /// When nothing can be written in `place`.
    pub fn ours_alone(ward: &Path, place: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            original: None,
            ward: ours(ward, place)?,
            python: in_path("python3"),
        })
    }

    /// Whether a subject can be tried.
    #[must_use]
    pub fn has(&self, subject: Subject) -> bool {
        self.programs(subject).is_some()
    }

    fn programs(&self, subject: Subject) -> Option<&Path> {
        match subject {
            Subject::Original => self.original.as_deref(),
            Subject::Ward => self.ward.as_deref(),
        }
    }

    /// A program of a subject, by the name that the original has for it.
    ///
    /// # Errors
    /// When the subject cannot be tried.
    pub fn program(&self, subject: Subject, name: &str) -> anyhow::Result<PathBuf> {
        let programs = self
            .programs(subject)
            .with_context(|| format!("{subject:?} is not there"))?;
        Ok(programs.join(name))
    }

    /// Python: that of the original's environment, if there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn python(&self) -> anyhow::Result<&Path> {
        self.python.as_deref().context("there is no python3")
    }
}

/// Where the original's programs are.
fn original(place: &Path) -> anyhow::Result<Option<PathBuf>> {
    if let Some(given) = std::env::var_os(VENV_VARIABLE) {
        let programs = PathBuf::from(given).join("bin");
        if works(&programs) {
            return Ok(Some(programs));
        }
        skipped("Supervisor", &format!("{VENV_VARIABLE} does not have it"));
        return Ok(None);
    }
    fs::create_dir_all(place)?;
    // Several test programs may want it at the same time.
    let lock = File::create(place.join("supervisor-venv.lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let venv = place.join(format!("supervisor-suite-{VERSION}"));
    let programs = venv.join("bin");
    if works(&programs) {
        return Ok(Some(programs));
    }
    let Some(base) = in_path("python3") else {
        skipped("Supervisor", "needs python3");
        return Ok(None);
    };
    let _ = fs::remove_dir_all(&venv);
    let made = Command::new(base).args(["-m", "venv"]).arg(&venv).output();
    let installed = Command::new(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "--timeout", "20"])
        .args(["--retries", "1"])
        .args(PACKAGES)
        .output();
    if works(&programs) {
        return Ok(Some(programs));
    }
    let last = |output: std::io::Result<std::process::Output>| match output {
        Ok(output) => String::from_utf8_lossy(&output.stderr)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned(),
        Err(error) => error.to_string(),
    };
    let why = format!("not installed: {} {}", last(made), last(installed));
    skipped("Supervisor", &why);
    Ok(None)
}

fn works(programs: &Path) -> bool {
    let check = format!(
        "import supervisor.options as o, superlance, \
         supervisord_dependent_startup; assert o.VERSION == '{VERSION}'"
    );
    Command::new(programs.join("python"))
        .args(["-c", &check])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The names by which people call the original's programs.
const NAMES: [&str; 4] = [
    "supervisord",
    "supervisorctl",
    "pidproxy",
    "echo_supervisord_conf",
];

/// A directory in which ours has the names of the original.
fn ours(ward: &Path, place: &Path) -> anyhow::Result<Option<PathBuf>> {
    let understood = Command::new(ward)
        .args(["up", "--help"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !understood {
        skipped("ward up", "this ward does not know `up`");
        return Ok(None);
    }
    // Each process its own: links are made while others use theirs.
    let programs = place.join(format!("supervisor-ward-{}", std::process::id()));
    fs::create_dir_all(&programs)?;
    for name in NAMES.iter().chain(&["ward"]) {
        let link = programs.join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(ward, &link)?;
    }
    Ok(Some(programs))
}

impl Drop for Kit {
    fn drop(&mut self) {
        if let Some(programs) = &self.ward {
            // Links only; a directory that stays is no harm.
            let _ = fs::remove_dir_all(programs);
        }
    }
}
