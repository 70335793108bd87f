//! Two clients, each before a daemon of its own, and what is compared of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};
use ward_testkit::supervisor::daemon::{Daemon, Ended};
use ward_testkit::supervisor::kit::{Kit, Subject};
use ward_testkit::supervisor::stage::{CONFIGURATION, Stage};

use crate::Result;

/// The original, if it can be had.
pub(crate) fn kit() -> Result<Option<&'static Kit>> {
    static KIT: OnceLock<std::result::Result<Kit, String>> = OnceLock::new();
    let kit = KIT.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Kit::find(Path::new(env!("CARGO_BIN_EXE_ward")), place)
            .map_err(|error| format!("{error:#}"))
    });
    let kit = kit.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(kit.has(Subject::Original).then_some(kit))
}

/// A directory for one client.
pub(crate) fn stage(kit: &Kit) -> Result<Stage<'_>> {
    Stage::new(kit, Subject::Original, Subject::Original, &[])
}

/// One of the two.
pub(crate) struct Side<'s> {
    pub(crate) stage: &'s Stage<'s>,
    pub(crate) program: PathBuf,
    pub(crate) is_ours: bool,
}

impl<'s> Side<'s> {
    /// The original's client, and ours, by the name of the original.
    pub(crate) fn both(stages: &'s [Stage<'s>; 2]) -> Result<[Self; 2]> {
        let [original, ours] = stages;
        let link = ours.path("bin");
        std::fs::create_dir(&link)?;
        let link = link.join("supervisorctl");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ward"), &link)?;
        Ok([
            Self {
                stage: original,
                program: original.kit().program(Subject::Original, "supervisorctl")?,
                is_ours: false,
            },
            Self {
                stage: ours,
                program: link,
                is_ours: true,
            },
        ])
    }

    /// Runs the client with all its words, and with lines on its standard input.
    pub(crate) fn run(&self, words: &[&str], input: &str) -> Result<Ended> {
        self.stage.write("input", input)?;
        let here = self.stage.here();
        let words: Vec<String> = words
            .iter()
            .map(|word| word.replace("@here", &here))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.stage.furnished(&self.program, &words);
        let input = std::fs::File::open(self.stage.path("input"))?;
        command.stdin(Stdio::from(input));
        self.stage.finish(command)
    }

    /// The same with the configuration of the directory.
    pub(crate) fn ctl(&self, words: &[&str]) -> Result<Ended> {
        let words = [&["-c", CONFIGURATION], words].concat();
        self.run(&words, "")
    }

    /// What is compared of what was printed.
    pub(crate) fn masked(&self, text: &str) -> String {
        let text = text
            .replace(&self.program.display().to_string(), "@program")
            .replace(&self.stage.here(), "@here");
        let mut lines: Vec<String> = text.lines().map(masked).collect();
        // Orders to several are answered as each of them is done, in any order.
        let is_answer = |line: &String| {
            line.ends_with(": stopped") || line.ends_with(": started") || line.contains(": ERROR (")
        };
        if lines.iter().all(is_answer) {
            lines.sort();
        }
        lines.join("\n")
    }
}

/// Both have printed the same and ended with the same status. The text is that of both.
pub(crate) fn same(sides: &[Side; 2], words: &[&str]) -> Result<(String, i32)> {
    let [original, ours] = sides;
    let (theirs, its) = (original.ctl(words)?, ours.ctl(words)?);
    compare(sides, &theirs, &its).with_context(|| format!("{words:?}"))?;
    Ok((original.masked(&theirs.out), theirs.code))
}

/// The same of what was run already.
pub(crate) fn compare(sides: &[Side; 2], theirs: &Ended, its: &Ended) -> Result {
    let [original, ours] = sides;
    let (theirs_out, its_out) = (original.masked(&theirs.out), ours.masked(&its.out));
    ensure!(
        theirs_out == its_out && theirs.code == its.code,
        "the original, {}:\n{theirs_out}\n{}\nours, {}:\n{its_out}\n{}",
        theirs.code,
        theirs.err,
        its.code,
        its.err
    );
    Ok(())
}

/// A line without what is never the same: process ids, times, places in source files, and what stands
/// behind a tab, which are the words of help.
fn masked(line: &str) -> String {
    let line = line.split('\t').next().unwrap_or_default();
    if line.starts_with("Note: ") {
        return "Note".to_owned();
    }
    if !line.is_empty() && line != "0" && line.bytes().all(|byte| byte.is_ascii_digit()) {
        return "PID".to_owned();
    }
    let cut = [": file: ", " pid ", "STOPPED   ", "EXITED    "]
        .into_iter()
        .filter(|mark| !line.ends_with("Not started") && line.contains(mark))
        .find_map(|mark| Some(format!("{}{mark}…", line.split_once(mark)?.0)));
    cut.unwrap_or_else(|| line.trim_end().to_owned())
}

/// Starts a daemon on each stage with the same programs.
pub(crate) fn daemons<'s>(stages: &'s [Stage<'s>; 2], programs: &str) -> Result<[Daemon<'s>; 2]> {
    let [first, second] = stages;
    Ok([first.start(programs)?, second.start(programs)?])
}

/// Another configuration for both; the daemons do not know of it yet.
pub(crate) fn configure(stages: &[Stage; 2], programs: &str) -> Result {
    stages
        .iter()
        .try_for_each(|stage| stage.configure(programs))
}

/// Sends text to a child and keeps its standard input open.
pub(crate) fn send(to: &mut impl std::io::Write, text: &str) -> Result {
    to.write_all(text.as_bytes())?;
    to.flush()?;
    Ok(())
}

/// Says that a test was not done.
#[macro_export]
macro_rules! or_skip {
    ($kit:expr) => {
        match $kit? {
            Some(kit) => kit,
            None => return Ok(()),
        }
    };
}
