//! Foreign programs of PyPI, each kind in an environment of Python of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::programs::{in_path, skipped};

/// Packages that are installed together.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    /// What is said where it cannot be had, and what its directory is called.
    pub name: &'static str,
    /// Names an environment in which they are installed already.
    pub variable: &'static str,
    /// What pip is given.
    pub packages: &'static [&'static str],
    /// Python that fails where one of them is missing.
    pub check: &'static str,
}

/// Jenkins' clients.
pub const JENKINS_CLIENTS: Environment = Environment {
    name: "jenkins-clients",
    variable: "WARD_TEST_JENKINS_VENV",
    packages: &[
        "jenkins-job-builder==6.5.0",
        "python-jenkins==1.8.3",
        "jenkinsapi==0.3.23",
    ],
    check: "import jenkins_jobs, jenkins, jenkinsapi",
};

/// pytest, and what it takes to unpack a source package of PyPI.
pub const PYTEST: Environment = Environment {
    name: "pytest",
    variable: "WARD_TEST_PYTEST_VENV",
    packages: &["pytest==8.3.4", "setuptools==75.8.0"],
    check: "import pytest, setuptools",
};

impl Environment {
    /// The directory of its programs: of an environment in `place`, which outlives this call, made if it is not there
    /// yet. `None`, said aloud, where it cannot be had.
    ///
    /// # Errors
    /// When nothing can be written in `place`.
    pub fn programs(&self, place: &Path) -> anyhow::Result<Option<PathBuf>> {
        if let Some(given) = std::env::var_os(self.variable) {
            let programs = PathBuf::from(given).join("bin");
            if self.works(&programs) {
                return Ok(Some(programs));
            }
            skipped(self.name, &format!("{} does not have it", self.variable));
            return Ok(None);
        }
        fs::create_dir_all(place)?;
        // Several test programs may want it at the same time.
        let lock = File::create(place.join(format!("{}-venv.lock", self.name)))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let venv = place.join(self.name);
        let programs = venv.join("bin");
        if self.works(&programs) {
            return Ok(Some(programs));
        }
        let Some(base) = in_path("python3") else {
            skipped(self.name, "needs python3");
            return Ok(None);
        };
        let _ = fs::remove_dir_all(&venv);
        let made = Command::new(base).args(["-m", "venv"]).arg(&venv).output();
        let installed = Command::new(programs.join("python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--timeout", "20"])
            .args(["--retries", "1"])
            .args(self.packages)
            .output();
        if self.works(&programs) {
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
        skipped(self.name, &why);
        Ok(None)
    }

    fn works(&self, programs: &Path) -> bool {
        Command::new(programs.join("python"))
            .args(["-c", self.check])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}
