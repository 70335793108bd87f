//! The original beside ours: what both make of the same files.
//!
//! Supervisor 4.3.0 is installed into an environment of its own below the target directory. Where
//! that is not possible, nothing is compared, and it is said.

#![forbid(unsafe_code)]

mod files;
mod generated;
mod shape;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use ward_testkit::supervisor::kit::ORIGINAL;

/// The original's interpreter, installed if it is not yet.
fn original() -> Result<Option<PathBuf>> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let programs = ORIGINAL.programs(place)?;
    Ok(programs.map(|programs| programs.join("python")))
}

/// Whether this Python looks for comments as those up to 3.12 do: one occurrence of each
/// character at a time.
fn in_step(python: &Path) -> Result<bool> {
    let check = "import sys; sys.exit(sys.version_info >= (3, 13))";
    Ok(Command::new(python).args(["-c", check]).status()?.success())
}

/// What the original makes of every file.
fn ask(python: &Path, paths: &[PathBuf], place: &Path, mode: &str) -> Result<Vec<Value>> {
    let script = place.join("dump.py");
    std::fs::write(&script, include_str!("dump.py"))?;
    let mut child = Command::new(python)
        .arg(&script)
        .arg(mode)
        .env_clear()
        .envs(files::ENVIRONMENT.iter().copied())
        .current_dir(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting Python")?;
    let mut list = String::new();
    for path in paths {
        list.push_str(&format!("{}\n", path.display()));
    }
    let mut stdin = child.stdin.take().context("no standard input")?;
    let writer = std::thread::spawn(move || stdin.write_all(list.as_bytes()));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    let answers: Vec<Value> = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(
        answers.len() == paths.len(),
        "{} answers for {} files",
        answers.len(),
        paths.len()
    );
    Ok(answers)
}

#[test]
fn both_read_the_same() -> Result<()> {
    let Some(python) = original()? else {
        return Ok(());
    };
    let place = files::place()?;
    let mut texts: Vec<Vec<u8>> = files::WRITTEN.iter().map(|text| text.to_vec()).collect();
    if in_step(&python)? {
        texts.extend(files::UP_TO_3_12.iter().map(|text| text.to_vec()));
    }
    let written = texts.len();
    texts.extend((0..500).map(|seed| generated::file(seed).into_bytes()));
    let mut paths = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let path = place.path().join(format!("{index}.conf"));
        std::fs::write(&path, text)?;
        paths.push(path);
    }
    let answers = ask(&python, &paths, place.path(), "strict")?;
    let (mut read, mut refused, mut different) = (0, 0, Vec::new());
    for (index, (path, answer)) in paths.iter().zip(&answers).enumerate() {
        let loaded = files::load(path, place.path(), false);
        let ours = loaded.configuration.as_ref().map(shape::of);
        let theirs = answer.get("read");
        match (theirs, &ours) {
            (Some(_), _) => read += 1,
            (None, _) => refused += 1,
        }
        if theirs != ours.as_ref() {
            different.push(format!(
                "--- file {index}\n{}\n--- {}\n",
                String::from_utf8_lossy(&texts[index]),
                shape::difference(answer, ours.as_ref(), &loaded)
            ));
        }
    }
    eprintln!(
        "{written} written and {} generated files: {read} read, {refused} refused",
        texts.len() - written
    );
    ensure!(
        different.is_empty(),
        "{} of {} differ; the first are\n{}",
        different.len(),
        texts.len(),
        different[..different.len().min(6)].join("\n")
    );
    ensure!(
        read > 200 && refused > 50,
        "the files are of one kind: {read} read, {refused} refused"
    );
    Ok(())
}

/// Real files, where `WARD_CONFIGURATIONS` names a directory of them: not part of any suite. With
/// `WARD_ELSEWHERE`, neither side looks whether directories and users are on this host.
#[test]
fn real_files_are_read_the_same() -> Result<()> {
    let Some(directory) = std::env::var_os("WARD_CONFIGURATIONS") else {
        return Ok(());
    };
    let Some(python) = original()? else {
        return Ok(());
    };
    let place = files::place()?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "conf" || e == "ini"))
        .collect();
    paths.sort();
    let mode = if files::elsewhere() {
        "relaxed"
    } else {
        "strict"
    };
    let answers = ask(&python, &paths, place.path(), mode)?;
    for (path, answer) in paths.iter().zip(&answers) {
        let loaded = files::load(path, place.path(), files::elsewhere());
        let ours = loaded.configuration.as_ref().map(shape::of);
        let verdict = match (answer.get("read"), &ours) {
            (Some(theirs), Some(ours)) if theirs == ours => "same".to_owned(),
            (None, None) => format!("both refuse: {}", shape::difference(answer, None, &loaded)),
            _ => format!(
                "DIFFERENT {}",
                shape::difference(answer, ours.as_ref(), &loaded)
            ),
        };
        println!("{}: {verdict}", path.display());
    }
    Ok(())
}
