//! A repository, and what happens when something is pushed into it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use ward_build::api::{Builds, Push};
use ward_config::job::{Job, Source, Triggers};
use ward_model::build::{BuildResult, Cause};
use ward_testkit::patience::wait_until;

use super::Result;
use super::bench::{Bench, expect, job, log};

fn git(directory: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=alice",
            "-c",
            "user.email=alice@example.invalid",
        ])
        .args(words)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()?;
    ensure!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn commit(repository: &Path, text: &str) -> Result<String> {
    fs::write(repository.join("file"), text)?;
    git(repository, &["add", "file"])?;
    git(repository, &["commit", "-q", "-m", text])?;
    git(repository, &["rev-parse", "HEAD"])
}

pub(crate) fn pushed() -> Result {
    let place = tempfile::tempdir()?;
    let repository = place.path().join("repository");
    fs::create_dir(&repository)?;
    git(&repository, &["init", "-q", "-b", "main"])?;
    let first = commit(&repository, "one")?;
    let url = repository.display().to_string();
    let source = Source {
        url: url.clone(),
        branches: vec!["main".to_owned()],
        ..Source::default()
    };
    let triggers = Triggers {
        poll: Some(String::new()),
        ..Triggers::default()
    };
    let bench = Bench::new(vec![Job {
        source: Some(source),
        triggers,
        ..job("a", "cat file")
    }])?;
    let push = || {
        bench.server.pushed(&Push {
            by: "notifyCommit".to_owned(),
            urls: vec![url.clone()],
            branches: Vec::new(),
            job: None,
        })
    };
    ensure!(push() == ["a"]);
    let view = bench.end_of("a", 1)?;
    expect(&view, BuildResult::Success)?;
    ensure!(
        view.causes
            == [Cause::Scm {
                by: "notifyCommit".to_owned()
            }]
    );
    ensure!(view.line.revision.as_deref() == Some(first.as_str()) && log(&view)?.contains("one"));
    // Nothing is new.
    let polled = |after: Option<i64>| -> Result<i64> {
        wait_until("a look", || {
            let log = bench.server.poll_log("a").ok().flatten();
            log.is_some_and(|(at, _)| after.is_none_or(|after| at > after))
        })?;
        Ok(bench.server.poll_log("a")?.map_or(0, |(at, _)| at))
    };
    let before = polled(None)?;
    bench.server.poll("a")?;
    let looked = polled(Some(before))?;
    ensure!(bench.server.queue().is_empty() && bench.server.build_numbers("a")? == [1]);
    let second = commit(&repository, "two")?;
    push();
    let view = bench.end_of("a", 2)?;
    ensure!(view.line.revision.as_deref() == Some(second.as_str()));
    let changes = view
        .checkout
        .map(|checkout| checkout.changes)
        .unwrap_or_default();
    ensure!(
        changes.len() == 1 && changes[0].title == "two",
        "{changes:?}"
    );
    // Back to what was built before: nothing new.
    git(&repository, &["reset", "-q", "--hard", &first])?;
    let looked = polled(Some(looked))?;
    push();
    polled(Some(looked))?;
    ensure!(bench.server.queue().is_empty() && bench.server.build_numbers("a")? == [2, 1]);
    Ok(())
}
