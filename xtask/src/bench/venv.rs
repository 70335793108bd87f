//! Peers that are packages of Python, installed once for all runs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::peers::which;

/// What is wanted of Python.
pub(super) struct Wanted<'a> {
    /// How the environment's directory is called.
    pub(super) name: &'a str,
    /// Names an environment that has the packages already.
    pub(super) variable: &'a str,
    pub(super) packages: &'a [&'a str],
    /// Of all of them.
    pub(super) version: &'a str,
}

impl Wanted<'_> {
    /// The directory of its programs, below `directory`, or why there is none.
    pub(super) fn programs(&self, directory: &Path) -> Result<PathBuf, String> {
        let (variable, version) = (self.variable, self.version);
        if let Some(given) = env::var_os(variable) {
            let programs = PathBuf::from(given).join("bin");
            return match self.is_in(&programs) {
                true => Ok(programs),
                false => Err(format!("{variable} does not have version {version}")),
            };
        }
        let venv = directory.join(format!("{}-{version}", self.name));
        let programs = venv.join("bin");
        if !self.is_in(&programs) {
            // What is there was not finished.
            let _ = fs::remove_dir_all(&venv);
            self.install(&venv, &programs)
                .map_err(|error| format!("{error:#}"))?;
        }
        Ok(programs)
    }

    fn is_in(&self, programs: &Path) -> bool {
        let question = "import sys, importlib.metadata as m\nprint(*map(m.version, sys.argv[1:]))";
        let mut command = Command::new(programs.join("python"));
        command.args(["-c", question]).args(self.packages);
        output(&mut command).is_ok_and(|said| {
            let text = String::from_utf8_lossy(&said.stdout);
            let mut versions = text.split_whitespace();
            said.status.success()
                && self.packages.len() == text.split_whitespace().count()
                && versions.all(|version| version == self.version)
        })
    }

    fn install(&self, venv: &Path, programs: &Path) -> Result<()> {
        let python = which("python3").context("there is no `python3` here")?;
        let options = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--timeout",
            "20",
            "--retries",
            "1",
        ];
        let packages = self
            .packages
            .iter()
            .map(|package| format!("{package}=={}", self.version).into());
        let steps: [(PathBuf, Vec<OsString>); 2] = [
            (python, vec!["-m".into(), "venv".into(), venv.into()]),
            (
                programs.join("python"),
                options
                    .into_iter()
                    .map(OsString::from)
                    .chain(packages)
                    .collect(),
            ),
        ];
        for (program, words) in steps {
            let done = output(Command::new(&program).args(&words))?;
            if !done.status.success() {
                let said = String::from_utf8_lossy(&done.stderr);
                bail!("{}", said.trim().lines().last().unwrap_or("not installed"));
            }
        }
        Ok(())
    }
}

fn output(command: &mut Command) -> Result<std::process::Output> {
    let program = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_has_nothing() {
        let wanted = Wanted {
            name: "x",
            variable: "WARD_BENCH_NO_SUCH_VARIABLE",
            packages: &["x"],
            version: "1",
        };
        assert!(!wanted.is_in(Path::new("/no/such/directory")));
    }
}
