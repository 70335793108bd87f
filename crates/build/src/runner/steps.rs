//! The steps of a build, each run as Jenkins' "Execute shell".

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ward_config::job::Step;
use ward_engine::chain;
use ward_engine::shell_step::{self, Script};
use ward_model::build::BuildResult;
use ward_model::life::End;
use ward_model::report::Report;
use ward_model::spec::Spec;

use super::build::Build;
use super::desk::Desk;
use super::{masked, words};
use crate::outcome::StepOutcome;
use crate::state::Phase;

/// What Jenkins' clients know such a step as.
const KIND: &str = "Execute shell";

/// How it went with the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// All is as it should be.
    Well,
    /// One has failed: only those run that always do.
    Failed,
    /// Somebody stopped the build, or a limit did: only those run that always do, and not for long.
    Stopped,
}

impl Build {
    /// Runs the steps. What becomes of the build is noted.
    pub(super) fn run_steps(&mut self) {
        let steps = std::mem::take(&mut self.job.steps);
        let mut course = Course::Well;
        for (index, step) in steps.iter().enumerate() {
            self.worker.heed(None);
            if let Some(result) = self.worker.stopped_as
                && course != Course::Stopped
            {
                // Between two of them.
                self.cut_short(result);
                self.stop_course(&mut course);
            }
            let runs = match course {
                Course::Well => true,
                Course::Failed => step.always,
                Course::Stopped => step.always && !self.worker.is_hurried(),
            };
            if !runs {
                continue;
            }
            if course == Course::Stopped {
                let grace = self.worker.grace();
                self.worker.limits.end = Instant::now().checked_add(grace).map(|end| (end, grace));
            }
            let title = title_of(step, index);
            let place = self.script_place(index);
            self.worker.note_made(&place);
            self.worker.tell(Phase::Steps, &title);
            let ran = self.run_step(step, &title, &place);
            self.worker.forget_made(&place);
            let Some(mut report) = ran else {
                course = course.after_failure();
                continue;
            };
            let result = self.judge(step, &report);
            if report.stopped_before_end && course != Course::Stopped {
                self.cut_short(result);
                self.stop_course(&mut course);
            } else if result == BuildResult::Unstable {
                self.worsen(result, || format!("{title} said so"));
                self.worker.line(&format!(
                    "Build step '{KIND}' changed build result to UNSTABLE"
                ));
            } else if result != BuildResult::Success {
                self.worker
                    .line(&format!("Build step '{KIND}' marked build as failure"));
                self.worsen(result, || format!("{title} {}", ended(&report)));
                course = course.after_failure();
            }
            masked::report(&self.worker.console, &mut report);
            self.steps.push(StepOutcome {
                title,
                result,
                report,
            });
        }
        self.job.steps = steps;
    }

    fn stop_course(&mut self, course: &mut Course) {
        *course = Course::Stopped;
        self.worker.begin_in_spite();
    }

    /// Where the script of a step is put: a name that nobody can guess, and that is known before it is there.
    fn script_place(&self, index: usize) -> PathBuf {
        let cookie: String = self.cookie().chars().filter(|c| *c != '-').collect();
        let name = format!("ward{}-{}{cookie}.sh", std::process::id(), index + 1);
        std::env::temp_dir().join(name)
    }

    fn run_step(&mut self, step: &Step, title: &str, place: &Path) -> Option<Report> {
        let spec = match self.prepare(step, title, place) {
            Ok((spec, shown)) => {
                self.worker.line(&shown);
                spec
            }
            Err(error) => {
                self.fail(&format!("Cannot run {title}: {}", chain(&error)), None);
                return None;
            }
        };
        let made = spec.remove_at_end.clone();
        let ran = self.worker.run(spec, None);
        if let Some(made) = made {
            // Usually it is gone by now; it holds whatever the script holds.
            let _ = std::fs::remove_file(made);
        }
        match ran {
            Ok(ran) => match ran.report {
                Some(report) => Some(*report),
                None => {
                    let result = self.worker.stopped_as.unwrap_or(BuildResult::Aborted);
                    self.cut_short(result);
                    None
                }
            },
            Err(error) => {
                self.fail(
                    &format!("Cannot run {title}: {}", chain(&error)),
                    error.hint(),
                );
                None
            }
        }
    }

    /// The command of a step, and the line before its output.
    fn prepare(
        &self,
        step: &Step,
        title: &str,
        place: &Path,
    ) -> Result<(Spec, String), shell_step::ScriptError> {
        let script = OsString::from(step.script.replace("\r\n", "\n"));
        let shell = step.shell.as_deref().unwrap_or(&self.plan.shell);
        let owner = self.identity.as_ref().map(|it| (it.uid, it.gid));
        let prepared = shell_step::prepare_at(
            Some(place),
            Script::Text(&script),
            &[],
            OsStr::new(shell),
            step.prelude,
            owner,
        )?;
        let mut environment = self.environment.clone();
        environment.set("HUDSON_COOKIE", self.cookie());
        environment.set("WARD_STEP", title);
        let shown = self.command_line(&step.script, shell, &prepared.command);
        let spec = Spec {
            title: Some(title.to_owned()),
            environment: environment.to_vec(),
            directory: Some(self.plan.workspace.clone().into()),
            identity: self.identity.clone(),
            remove_at_end: prepared.made.map(Into::into),
            ..Spec::new(prepared.command)
        };
        Ok((spec, shown))
    }

    /// How the prelude is brought in is nobody's business.
    fn command_line(&self, script: &str, shell: &str, command: &[OsString]) -> String {
        let place = self.plan.workspace.file_name().unwrap_or_default();
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        let shown = match words.last() {
            Some(file) if !script.starts_with("#!") => format!("{shell} -xe {file}"),
            Some(_) | None => words.join(" "),
        };
        format!("[{}] $ {shown}", place.to_string_lossy())
    }

    /// What the step's end means for the build.
    fn judge(&self, step: &Step, report: &Report) -> BuildResult {
        if report.guardian_lost {
            return BuildResult::Failure;
        }
        if report.stopped_before_end {
            return self.worker.stopped_as.unwrap_or(BuildResult::Aborted);
        }
        match report.end {
            End::Exited { code: 0 } => BuildResult::Success,
            End::Exited { code } if step.unstable_status == Some(code) => BuildResult::Unstable,
            End::Exited { .. } | End::Signaled { .. } | End::NotStarted { .. } | End::Unknown => {
                BuildResult::Failure
            }
        }
    }
}

impl Course {
    fn after_failure(self) -> Self {
        match self {
            Self::Well | Self::Failed => Self::Failed,
            Self::Stopped => Self::Stopped,
        }
    }
}

fn title_of(step: &Step, index: usize) -> String {
    match &step.name {
        Some(name) => format!("step {} `{name}`", index + 1),
        None => format!("step {}", index + 1),
    }
}

fn ended(report: &Report) -> String {
    if report.guardian_lost {
        return "lost the process that guarded it".to_owned();
    }
    if let Some(failure) = &report.failure {
        return format!("did not start: {}: {}", failure.step, failure.message);
    }
    match report.end {
        End::Exited { code } => format!("ended with status {code}"),
        End::Signaled { signal, .. } => format!("was ended by {signal}"),
        End::NotStarted { .. } => "did not start".to_owned(),
        End::Unknown => "ended, nobody knows how".to_owned(),
    }
}

/// Why a stopped build was stopped, for people.
pub(super) fn why_stopped(build: &Build) -> String {
    match &build.worker.state.stop {
        Some(stop) => format!("stopped by {}", stop.by),
        None => format!("stopped after {}", words::span(build.worker.grace())),
    }
}
