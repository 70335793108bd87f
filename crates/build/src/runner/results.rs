//! What a build leaves: artifacts and test results.

use std::io;

use ward_model::build::BuildResult;

use super::build::Build;
use super::desk::Desk;
use super::{masked, role};
use crate::plan::file;
use crate::state::Phase;
use crate::{artifacts, junit};

impl Build {
    /// Takes the results, whatever became of the steps. A stop ends it at once.
    pub(super) fn take_results(&mut self) {
        if self.job.artifacts.is_empty() && self.job.junit.is_empty() {
            return;
        }
        self.worker.tell(Phase::Results, "taking results");
        if !self.job.artifacts.is_empty() && !self.is_cut() {
            self.take_artifacts();
        }
        if !self.job.junit.is_empty() && !self.is_cut() {
            self.take_tests();
        }
    }

    /// Whether somebody does not want to wait for it.
    fn is_cut(&mut self) -> bool {
        self.worker.heed(None);
        let is_cut = self.worker.is_stopping();
        if is_cut {
            self.stopped();
        }
        is_cut
    }

    fn take_artifacts(&mut self) {
        let kept = artifacts::keep(
            &mut self.worker,
            &self.job.artifacts,
            &self.plan.workspace,
            &self.plan.directory.join(file::ARTIFACTS),
            self.result,
        );
        self.artifacts = kept.artifacts;
        if let Some(result) = kept.result {
            self.worsen(result, || "its artifacts could not be kept".to_owned());
        }
        if kept.is_stopped {
            self.stopped();
        }
    }

    fn take_tests(&mut self) {
        let began = self.worker.state.started_at;
        let taken = junit::take(
            &mut self.worker,
            &self.job.junit,
            &self.plan.workspace,
            began,
            self.result,
        );
        if let Some(result) = taken.result {
            self.worsen(result, || match result {
                BuildResult::Unstable => "tests failed".to_owned(),
                BuildResult::Success
                | BuildResult::Failure
                | BuildResult::NotBuilt
                | BuildResult::Aborted => "there are no test results".to_owned(),
            });
        }
        self.tests = taken.counts;
        let mut suites = taken.suites;
        masked::tests(&self.worker.console, &mut suites);
        let written = serde_json::to_vec(&suites)
            .map_err(io::Error::from)
            .and_then(|text| role::put(&self.plan.directory, file::TESTS, &text, true));
        if let Err(error) = written {
            self.fail(&format!("Cannot keep the test results: {error}"), None);
        }
        if self.worker.is_stopping() {
            self.stopped();
        }
    }
}
