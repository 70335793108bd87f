//! What builds build, and what they leave.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use ward_build::outcome::TestSuite;
use ward_build::plan::{ParameterValue, file};
use ward_config::job::{Artifacts, Junit, Source, Step};
use ward_model::build::BuildResult;
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{in_path, skipped};

use crate::Test;
use crate::stage::{Stage, step};

pub(crate) const TESTS: &[Test] = &[
    ("artifacts_and_tests_are_kept", artifacts_and_tests_are_kept),
    ("a_stop_while_it_archives", a_stop_while_it_archives),
    (
        "results_are_taken_of_a_stopped_build",
        results_are_taken_of_a_stopped_build,
    ),
    ("a_commit_is_built", a_commit_is_built),
    ("a_stop_while_it_checks_out", a_stop_while_it_checks_out),
    (
        "a_repository_says_what_is_done",
        a_repository_says_what_is_done,
    ),
    (
        "a_repository_leads_nowhere_else",
        a_repository_leads_nowhere_else,
    ),
];

fn keep(pattern: &str) -> Artifacts {
    Artifacts {
        include: vec![pattern.to_owned()],
        ..Artifacts::default()
    }
}

fn artifacts_and_tests_are_kept() -> anyhow::Result<()> {
    let script = "mkdir -p out; echo content >out/a.txt; cat >t.xml <<END\n\
                  <testsuite name='s'><testcase classname='c' name='good'/><testcase classname='c' name='bad'>\
                  <failure message='it is sesame'/></testcase></testsuite>\nEND\n";
    let mut stage = Stage::new(&[script])?;
    stage.plan.job.artifacts = vec![keep("out/**")];
    stage.plan.job.junit = vec![Junit {
        include: vec!["*.xml".to_owned()],
        ..Junit::default()
    }];
    stage.plan.parameters = vec![ParameterValue {
        name: "WORD".to_owned(),
        value: "sesame".to_owned(),
        secret: true,
    }];
    let ended = stage.run()?;
    ended
        .is(BuildResult::Unstable)?
        .says("Archiving artifacts\n")?
        .says("Recording test results\n")?;
    let kept = ended.outcome.artifacts.first().expect("an artifact");
    ensure!((kept.path.as_str(), kept.size) == ("out/a.txt", 8));
    let file_of = stage.directory().join(file::ARTIFACTS).join("out/a.txt");
    ensure!(fs::read(file_of)? == b"content\n");
    let tests = fs::read(stage.directory().join(file::TESTS))?;
    let suites: Vec<TestSuite> = serde_json::from_slice(&tests)?;
    let cases: usize = suites.iter().map(|suite| suite.cases.len()).sum();
    ensure!(cases == 2 && ended.outcome.tests.is_some_and(|it| it.failed == 1));
    ensure!(!String::from_utf8_lossy(&tests).contains("sesame"));
    Ok(())
}

fn a_stop_while_it_archives() -> anyhow::Result<()> {
    // More than can be copied before a stop is heard.
    let script = "for i in $(seq 300); do truncate -s 20M file$i; done; echo ready";
    let mut stage = Stage::new(&[script])?;
    stage.plan.job.artifacts = vec![keep("file*")];
    let going = stage.start()?;
    stage.await_log("Archiving artifacts")?;
    stage.stop(false)?;
    let ended = going.end()?;
    ended.is(BuildResult::Aborted)?.says("Stopped by alice\n")?;
    ensure!(ended.outcome.artifacts.len() < 300);
    ensure!(ended.outcome.why.as_deref() == Some("stopped by alice"));
    Ok(())
}

fn results_are_taken_of_a_stopped_build() -> anyhow::Result<()> {
    let mut stage = Stage::new(&["echo so far >part; sleep 600"])?;
    stage.plan.job.artifacts = vec![keep("part")];
    let going = stage.start()?;
    wait_until("the step", || {
        stage.processes().iter().any(|seen| seen.name == "sleep")
    })?;
    stage.stop(false)?;
    let ended = going.end()?;
    ended.is(BuildResult::Aborted)?;
    ensure!(ended.outcome.artifacts.len() == 1);
    Ok(())
}

/// A repository with these files in its only commit.
fn repository(place: &Path, files: &[(&str, &str)]) -> anyhow::Result<()> {
    fs::create_dir(place)?;
    for (name, text) in files {
        match text.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, place.join(name))?,
            None => fs::write(place.join(name), text)?,
        }
    }
    let git = |words: &[&str]| -> anyhow::Result<()> {
        let status = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.com"])
            .args(words)
            .current_dir(place)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", place)
            .output()?;
        ensure!(status.status.success(), "git {words:?}: {status:?}");
        Ok(())
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message=First"])
}

/// A build of a repository with these files; none where there is no git.
fn of_repository(files: &[(&str, &str)], scripts: &[&str]) -> anyhow::Result<Option<Stage>> {
    if in_path("git").is_none() {
        skipped("a repository", "there is no git");
        return Ok(None);
    }
    let mut stage = Stage::new(scripts)?;
    let place = stage.path("repository");
    repository(&place, files)?;
    stage.plan.job.source = Some(Source {
        url: place.display().to_string(),
        branches: vec!["main".to_owned()],
        ..Source::default()
    });
    Ok(Some(stage))
}

fn a_commit_is_built() -> anyhow::Result<()> {
    let script = "cat hello; echo $GIT_BRANCH $GIT_COMMIT";
    let Some(stage) = of_repository(&[("hello", "from git\n")], &[script])? else {
        return Ok(());
    };
    let ended = stage.run()?;
    let checkout = ended.outcome.checkout.clone().unwrap_or_default();
    ended
        .is(BuildResult::Success)?
        .says("Checking out Revision ")?
        .says("\nfrom git\n")?
        .says(&format!("\norigin/main {}\n", checkout.revision))?;
    ensure!(!stage.directory().join("scratch").exists());
    Ok(())
}

fn a_stop_while_it_checks_out() -> anyhow::Result<()> {
    let Some(mut stage) = of_repository(&[("hello", "from git\n")], &["echo never"])? else {
        return Ok(());
    };
    // A git that never comes to an end, but cleans up.
    let programs = stage.path("programs");
    fs::create_dir(&programs)?;
    let git = programs.join("git");
    fs::write(
        &git,
        "#!/bin/sh\ntrap 'echo cleaned >&2; exit 1' TERM\ntouch \"$0.begun\"\nsleep 600 & wait\n",
    )?;
    fs::set_permissions(&git, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for (name, value) in &mut stage.plan.environment {
        if name == "PATH" {
            *value = format!("{}:{value}", programs.display());
        }
    }
    stage.plan.job.steps.push(Step {
        always: true,
        ..step("echo never")
    });
    let going = stage.start()?;
    wait_until("git", || {
        let is_there = stage.processes().iter().any(|seen| seen.name == "sleep");
        is_there && programs.join("git.begun").exists()
    })?;
    stage.stop(false)?;
    let ended = going.end()?;
    ended.is(BuildResult::Aborted)?.is_silent_of("never")?;
    ensure!(stage.processes().is_empty());
    ensure!(!stage.directory().join("scratch").exists());
    Ok(())
}

fn a_repository_says_what_is_done() -> anyhow::Result<()> {
    let said = "[job]\nscript =\n    echo of the repository\n    exit 3\nunstable_status = 3\n";
    let Some(mut stage) = of_repository(&[(".ward.conf", said)], &["echo never"])? else {
        return Ok(());
    };
    stage.plan.job.from_repository = Some(".ward.conf".to_owned());
    let ended = stage.run()?;
    ended
        .is(BuildResult::Unstable)?
        .says("\nof the repository\n")?
        .is_silent_of("never")?;
    ensure!(ended.outcome.job_of_repository);
    // Nor may it say more than it is to.
    let said = "[job]\nscript = true\nuser = root\n";
    let Some(mut stage) = of_repository(&[(".ward.conf", said)], &["echo never"])? else {
        return Ok(());
    };
    stage.plan.job.from_repository = Some(".ward.conf".to_owned());
    stage
        .run()?
        .is(BuildResult::Failure)?
        .is_silent_of("never")?;
    Ok(())
}

fn a_repository_leads_nowhere_else() -> anyhow::Result<()> {
    for name in [".ward.conf", "../secrets/token", "/etc/hostname", "nothing"] {
        let files = [(".ward.conf", "-> ../secrets/token")];
        let Some(mut stage) = of_repository(&files, &["echo never"])? else {
            return Ok(());
        };
        fs::write(stage.path("secrets/token"), "[job]\nscript = echo never\n")?;
        stage.plan.job.from_repository = Some(name.to_owned());
        let ended = stage.run()?;
        ended
            .is(BuildResult::Failure)?
            .says(&format!(
                "Cannot read the job from `{name}` of the repository: "
            ))?
            .is_silent_of("never")?;
    }
    Ok(())
}
