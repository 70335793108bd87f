//! The programs that are compiled or installed for the measurement, once for all runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::super::peers::which;
use super::super::venv;

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
    let wanted = venv::Wanted {
        name: "supervisor",
        variable: "WARD_BENCH_SUPERVISOR_VENV",
        packages: &["supervisor"],
        version: "4.3.0",
    };
    wanted.programs(directory)
}

fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", program.display()))
}
