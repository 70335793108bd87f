//! Who can be tried: the original, installed into an environment of its own, and ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::programs::{in_path, skipped};
use crate::pypi::Environment;

/// The version that ours is held against, and what people run beside it.
pub const ORIGINAL: Environment = Environment {
    name: "supervisor-suite-4.3.0",
    variable: "WARD_TEST_SUPERVISOR_VENV",
    packages: &[
        "supervisor==4.3.0",
        "superlance==2.0.0",
        "supervisord-dependent-startup==1.4.0",
    ],
    check: "import supervisor.options as o, superlance, supervisord_dependent_startup; \
            assert o.VERSION == '4.3.0'",
};

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
        let original = ORIGINAL.programs(place)?;
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
