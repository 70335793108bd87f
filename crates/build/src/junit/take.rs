//! Taking test results out of a workspace, by the rules of Jenkins' JUnit publisher.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ward_config::job::Junit;
use ward_model::build::BuildResult;

use super::parse::{Broken, Budget, new_case, parse};
use crate::artifacts::{Found, Oddity, Patterns, Visitor, Walked, walk};
use crate::outcome::{TestCounts, TestStatus, TestSuite};
use crate::runner::Desk;

/// A file that is older than the build by no more than this is the build's: clocks of file systems differ.
const SLACK: Duration = Duration::from_secs(3);
/// A build has at most so many files of results.
const MAX_FILES: usize = 20_000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taken {
    /// In the order of files.
    pub suites: Vec<TestSuite>,
    /// None if there are no results at all.
    pub counts: Option<TestCounts>,
    /// What the build becomes by it, if it is not worse already.
    pub result: Option<BuildResult>,
}

/// Reads what `wanted` says in `workspace`. `started_at` is when the build began, milliseconds since the epoch.
///
/// A test that failed makes the build [`BuildResult::Unstable`]; no results where some should be make it a
/// [`BuildResult::Failure`], unless the job says otherwise or it has failed before. A file that cannot be read
/// is a test of its own that failed.
pub fn take(
    desk: &mut dyn Desk,
    wanted: &[Junit],
    workspace: &Path,
    started_at: i64,
    so_far: BuildResult,
) -> Taken {
    let mut taker = Taker {
        desk,
        since: moment(started_at),
        budget: Budget::default(),
        seen: BTreeSet::new(),
        suites: Vec::new(),
        files: 0,
        keep_long_output: false,
        skip_old: false,
    };
    let mut result = None;
    for each in wanted {
        if taker.desk.is_stopping() {
            break;
        }
        if let Some(worse) = taker.one(each, workspace, so_far) {
            result = result.max(Some(worse));
        }
    }
    let suites = taker.suites;
    let counts = (!suites.is_empty()).then(|| count(&suites));
    if let Some(counts) = counts {
        let TestCounts {
            passed,
            failed,
            skipped,
        } = counts;
        desk.line(&format!(
            "Tests: {passed} passed, {failed} failed, {skipped} skipped"
        ));
        if failed > 0 {
            result = result.max(Some(BuildResult::Unstable));
        }
    }
    Taken {
        suites,
        counts,
        result,
    }
}

/// How many tests did what.
#[must_use]
pub fn count(suites: &[TestSuite]) -> TestCounts {
    let mut counts = TestCounts::default();
    for case in suites.iter().flat_map(|suite| &suite.cases) {
        match case.status {
            TestStatus::Passed | TestStatus::Fixed => counts.passed += 1,
            TestStatus::Failed | TestStatus::Regression => counts.failed += 1,
            TestStatus::Skipped => counts.skipped += 1,
        }
    }
    counts
}

struct Taker<'a> {
    desk: &'a mut dyn Desk,
    since: SystemTime,
    budget: Budget,
    seen: BTreeSet<Vec<u8>>,
    suites: Vec<TestSuite>,
    files: usize,
    keep_long_output: bool,
    skip_old: bool,
}

impl Taker<'_> {
    fn one(
        &mut self,
        wanted: &Junit,
        workspace: &Path,
        so_far: BuildResult,
    ) -> Option<BuildResult> {
        self.desk.line("Recording test results");
        self.keep_long_output = wanted.keep_long_output;
        self.skip_old = wanted.skip_old;
        let patterns = match Patterns::read(&wanted.include, &[], true, true) {
            Ok(patterns) => patterns,
            Err(error) => return self.fails(&error.to_string()),
        };
        let (files, suites) = (self.files, self.suites.len());
        match walk(workspace, &patterns, true, self) {
            Ok(Walked::All | Walked::Enough) => {}
            Ok(Walked::TooMany) => {
                return self.fails("the workspace has too many files to look at all");
            }
            Err(error) => {
                return self.fails(&format!("cannot read {}: {error}", workspace.display()));
            }
        }
        if self.suites.len() > suites {
            return None;
        }
        let said = if self.files == files {
            "No test report files were found. Configuration error?"
        } else {
            "None of the test reports contained any result"
        };
        if wanted.allow_empty || so_far >= BuildResult::Failure {
            self.desk.line(said);
            return None;
        }
        self.fails(said)
    }

    fn fails(&mut self, why: &str) -> Option<BuildResult> {
        self.desk.line(&format!("ERROR: {why}"));
        Some(BuildResult::Failure)
    }

    fn read(&mut self, file: File, path: &str) {
        let parsed = parse(file, path, self.keep_long_output, &mut self.budget);
        self.suites.extend(parsed.suites);
        match parsed.broken {
            None => {}
            Some(broken @ Broken::SomethingElse(_)) => {
                self.desk.line(&format!("{path}: {broken}"));
            }
            Some(broken) => {
                self.desk.line(&format!("{path}: {broken}"));
                self.failed(path, &broken.to_string());
            }
        }
    }

    /// A file that cannot be read is a test that failed.
    fn failed(&mut self, path: &str, why: &str) {
        let mut case = new_case(
            path.to_owned(),
            "(the file of results)".to_owned(),
            TestStatus::Failed,
            0.0,
        );
        case.message = Some(why.to_owned());
        self.suites.push(TestSuite {
            name: path.to_owned(),
            duration: 0.0,
            cases: vec![case],
        });
    }
}

impl Visitor for Taker<'_> {
    fn found(&mut self, file: &Found<'_>) -> ControlFlow<()> {
        if self.desk.is_stopping() {
            return ControlFlow::Break(());
        }
        let path = String::from_utf8_lossy(file.path).into_owned();
        if self.files >= MAX_FILES {
            self.desk.line(&format!(
                "ERROR: more than {MAX_FILES} files of test results; the rest is not read"
            ));
            self.failed(
                &path,
                "there are too many files; this and the rest is not read",
            );
            return ControlFlow::Break(());
        }
        if !self.seen.insert(file.path.to_owned()) {
            self.files += 1;
            return ControlFlow::Continue(());
        }
        let opened = match file.open() {
            Ok(opened) => opened,
            Err(error) => {
                self.files += 1;
                self.failed(&path, &error.to_string());
                return ControlFlow::Continue(());
            }
        };
        let modified = opened.metadata().and_then(|about| about.modified());
        if self.skip_old && modified.is_ok_and(|modified| modified + SLACK < self.since) {
            self.desk.line(&format!("{path}: older than this build"));
            return ControlFlow::Continue(());
        }
        self.files += 1;
        self.read(opened, &path);
        ControlFlow::Continue(())
    }

    fn odd(&mut self, path: &[u8], what: Oddity) -> ControlFlow<()> {
        let shown = String::from_utf8_lossy(path);
        self.desk.line(&format!("Not read: {shown}: {what}"));
        ControlFlow::Continue(())
    }
}

fn moment(milliseconds: i64) -> SystemTime {
    let milliseconds = u64::try_from(milliseconds).unwrap_or(0);
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}
