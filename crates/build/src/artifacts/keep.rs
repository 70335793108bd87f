//! Taking what a build keeps out of its workspace, as Jenkins' "Archive the artifacts" does.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ward_config::job::Artifacts;
use ward_model::build::BuildResult;

use super::copy::{NotCopied, copy};
use super::glob::Patterns;
use super::tally::Tally;
use super::walk::{Found, Oddity, Visitor, Walked, walk};
use crate::outcome::Artifact;
use crate::runner::Desk;

/// How much a build may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files.
    pub files: usize,
    /// Bytes of all together.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 100_000,
            bytes: 64 << 30,
        }
    }
}

/// What was kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// In the order of their paths.
    pub artifacts: Vec<Artifact>,
    /// What the build becomes by it, if it is not worse already.
    pub result: Option<BuildResult>,
    /// A stop ended it early.
    pub is_stopped: bool,
}

/// Keeps what `wanted` says: files of `workspace` go to `directory`, which is made if there is anything. The
/// console says what was not taken, and why. `so_far` is what the build is by its steps.
///
/// No file of a job that wants some is a [`BuildResult::Failure`], unless the job says otherwise or the
/// build has failed before.
pub fn keep(
    desk: &mut dyn Desk,
    wanted: &[Artifacts],
    workspace: &Path,
    directory: &Path,
    so_far: BuildResult,
) -> Kept {
    keep_within(
        desk,
        wanted,
        (workspace, directory),
        so_far,
        Limits::default(),
    )
}

/// As [`keep`], `from` and `to`, with other limits than the usual ones.
pub fn keep_within(
    desk: &mut dyn Desk,
    wanted: &[Artifacts],
    (from, to): (&Path, &Path),
    so_far: BuildResult,
    limits: Limits,
) -> Kept {
    let mut keeper = Keeper {
        desk,
        to,
        part: to.with_extension("part"),
        limits,
        kept: Vec::new(),
        names: BTreeSet::new(),
        meant: 0,
        bytes: 0,
        tally: Tally::default(),
        problem: None,
        is_stopped: false,
    };
    let mut result = None;
    for each in wanted {
        if keeper.is_stopped {
            break;
        }
        if each.only_if_successful && so_far > BuildResult::Unstable {
            keeper
                .desk
                .line("Skipping archiving because build is not successful");
            continue;
        }
        if let Some(worse) = keeper.take(each, from, so_far) {
            result = result.max(Some(worse));
        }
    }
    let mut artifacts = keeper.kept;
    artifacts.sort_by(|one, other| one.path.cmp(&other.path));
    Kept {
        artifacts,
        result,
        is_stopped: keeper.is_stopped,
    }
}

struct Keeper<'a> {
    desk: &'a mut dyn Desk,
    to: &'a Path,
    part: PathBuf,
    limits: Limits,
    kept: Vec<Artifact>,
    names: BTreeSet<String>,
    /// How many files were meant, kept now or before.
    meant: usize,
    bytes: u64,
    tally: Tally,
    /// What ended it before it was done.
    problem: Option<String>,
    is_stopped: bool,
}

impl Keeper<'_> {
    fn take(
        &mut self,
        wanted: &Artifacts,
        from: &Path,
        so_far: BuildResult,
    ) -> Option<BuildResult> {
        self.desk.line("Archiving artifacts");
        let patterns = Patterns::read(
            &wanted.include,
            &wanted.exclude,
            wanted.default_excludes,
            wanted.case_sensitive,
        );
        let patterns = match patterns {
            Ok(patterns) => patterns,
            Err(error) => return self.fails(&error.to_string()),
        };
        let before = self.meant;
        let walked = walk(from, &patterns, wanted.follow_symlinks, self);
        self.tally.end(self.desk);
        self.tally = Tally::default();
        match walked {
            Err(error) => return self.fails(&format!("cannot read {}: {error}", from.display())),
            Ok(Walked::TooMany) => {
                return self.fails("the workspace has too many files to look at all");
            }
            Ok(Walked::Enough) if self.is_stopped => {
                self.desk.line("Archiving was stopped");
                return None;
            }
            Ok(Walked::Enough | Walked::All) => {}
        }
        if let Some(problem) = self.problem.take() {
            return self.fails(&problem);
        }
        if self.meant > before || wanted.allow_empty || so_far >= BuildResult::Failure {
            return None;
        }
        let said = wanted.include.join(",");
        self.fails(&format!(
            "No artifacts found that match the file pattern \"{said}\". Configuration error?"
        ))
    }

    fn fails(&mut self, why: &str) -> Option<BuildResult> {
        self.desk.line(&format!("ERROR: {why}"));
        Some(BuildResult::Failure)
    }

    fn end(&mut self, problem: String) -> ControlFlow<()> {
        self.problem = Some(problem);
        ControlFlow::Break(())
    }

    fn copied(&mut self, file: &Found<'_>, shown: String) -> ControlFlow<()> {
        let opened = match file.open() {
            Ok(opened) => opened,
            Err(error) => {
                self.tally
                    .say(self.desk, &format!("Not archived: {shown}: {error}"));
                return ControlFlow::Continue(());
            }
        };
        let to = self.to.join(&shown);
        if let Some(parent) = to.parent()
            && let Err(error) = fs::create_dir_all(parent)
        {
            return self.end(format!("cannot make {}: {error}", parent.display()));
        }
        let room = self.limits.bytes - self.bytes;
        let desk = &*self.desk;
        let result = copy(opened, &self.part, &to, room, &mut || desk.is_stopping());
        match result {
            Ok((size, sha256)) => {
                self.bytes += size;
                self.meant += 1;
                self.names.insert(shown.clone());
                self.kept.push(Artifact {
                    path: shown,
                    size,
                    sha256,
                });
                ControlFlow::Continue(())
            }
            Err(NotCopied::Stopped) => {
                self.is_stopped = true;
                ControlFlow::Break(())
            }
            Err(NotCopied::TooMuch) => {
                let limit = self.limits.bytes;
                self.end(format!(
                    "the artifacts have more than {limit} bytes together; {shown} and what comes behind it is not archived"
                ))
            }
            Err(NotCopied::Reading(error)) => self.end(format!("cannot read {shown}: {error}")),
            Err(NotCopied::Writing(error)) => {
                self.end(format!("cannot write {}: {error}", to.display()))
            }
        }
    }
}

impl Visitor for Keeper<'_> {
    fn found(&mut self, file: &Found<'_>) -> ControlFlow<()> {
        if self.desk.is_stopping() {
            self.is_stopped = true;
            return ControlFlow::Break(());
        }
        // Under the name that people read: what is kept must be found again by it.
        let shown = String::from_utf8_lossy(file.path).into_owned();
        if self.names.contains(&shown) {
            self.meant += 1;
            return ControlFlow::Continue(());
        }
        if self.names.len() >= self.limits.files {
            let limit = self.limits.files;
            return self.end(format!(
                "there are more than {limit} artifacts; the rest is not archived"
            ));
        }
        self.copied(file, shown)
    }

    fn odd(&mut self, path: &[u8], what: Oddity) -> ControlFlow<()> {
        let shown = String::from_utf8_lossy(path);
        self.tally
            .say(self.desk, &format!("Not archived: {shown}: {what}"));
        ControlFlow::Continue(())
    }
}
