//! The programs that are compiled or installed for the measurement, once for all runs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::super::peers::which;

/// Names an environment of Python that has Supervisor.
const VENV_VARIABLE: &str = "WARD_BENCH_SUPERVISOR_VENV";
const VERSION: &str = "4.3.0";

/// What is compiled.
pub(super) struct Compiled {
    pub(super) load: PathBuf,
    pub(super) floor: PathBuf,
}

/// Compiles both into `directory`. Neither is linked to anything where that is possible: a start costs no
/// more than it has to, and the supervisor is what is seen.
pub(super) fn compile(directory: &Path) -> Result<Compiled> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    Ok(Compiled {
        load: compile_one(directory, "load", include_str!("load.c"))?,
        floor: compile_one(directory, "floor", include_str!("floor.c"))?,
    })
}

fn compile_one(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let compiler = which("cc").context("there is no `cc` here: what is supervised is in C")?;
    let (source, program) = (directory.join(format!("{name}.c")), directory.join(name));
    fs::write(&source, text).with_context(|| format!("writing {}", source.display()))?;
    let try_with = |linking: &[&str]| {
        let mut command = Command::new(&compiler);
        command.args(["-O2", "-o"]).arg(&program).args(linking);
        output(command.arg(&source))
    };
    if try_with(&["-static"])?.status.success() {
        return Ok(program);
    }
    let compiled = try_with(&[])?;
    if !compiled.status.success() {
        let said = String::from_utf8_lossy(&compiled.stderr);
        bail!("cc does not compile {}: {}", source.display(), said.trim());
    }
    Ok(program)
}

/// The directory of Supervisor's programs, or why there is none.
pub(super) fn supervisor(directory: &Path) -> Result<PathBuf, String> {
    if let Some(given) = env::var_os(VENV_VARIABLE) {
        let programs = PathBuf::from(given).join("bin");
        return match version(&programs) {
            Some(version) if version == VERSION => Ok(programs),
            _ => Err(format!("{VENV_VARIABLE} does not have version {VERSION}")),
        };
    }
    let venv = directory.join(format!("supervisor-{VERSION}"));
    let programs = venv.join("bin");
    if version(&programs).as_deref() != Some(VERSION) {
        // What is there was not finished.
        let _ = fs::remove_dir_all(&venv);
        install(&venv, &programs).map_err(|error| format!("{error:#}"))?;
    }
    Ok(programs)
}

fn version(programs: &Path) -> Option<String> {
    let mut asked = Command::new(programs.join("supervisord"));
    let said = output(asked.arg("--version")).ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    said.status.success().then(|| text.trim().to_owned())
}

fn install(venv: &Path, programs: &Path) -> Result<()> {
    let python = which("python3").context("there is no `python3` here")?;
    let steps: [(PathBuf, Vec<OsString>); 2] = [
        (python, vec!["-m".into(), "venv".into(), venv.into()]),
        (
            programs.join("python"),
            [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--timeout",
                "20",
                "--retries",
                "1",
            ]
            .into_iter()
            .map(OsString::from)
            .chain([format!("supervisor=={VERSION}").into()])
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

fn output(command: &mut Command) -> Result<Output> {
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
    fn an_empty_directory_has_no_version() {
        assert_eq!(version(Path::new("/no/such/directory")), None);
    }
}
