//! A repository, and what happens when something is pushed into it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use ward_build::api::{Builds, Push, Request};
use ward_config::job::{Job, Source, Triggers};
use ward_model::build::{BuildResult, Cause};
use ward_testkit::patience::wait_until;

use super::Result;
use super::bench::{Bench, expect, job, log, request};

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

/// Two branches, and what each build is told of those before it: by its own branch, as Jenkins' git plugin does.
pub(crate) fn previous() -> Result {
    let place = tempfile::tempdir()?;
    let repository = place.path().join("repository");
    fs::create_dir(&repository)?;
    git(&repository, &["init", "-q", "-b", "main"])?;
    let first = commit(&repository, "main one")?;
    let source = Source {
        url: repository.display().to_string(),
        branches: vec!["main".to_owned(), "next".to_owned()],
        ..Source::default()
    };
    let script = "cat file\n\
                  echo \"before=$GIT_PREVIOUS_COMMIT good=$GIT_PREVIOUS_SUCCESSFUL_COMMIT.\"\n\
                  case `cat file` in *bad*) exit 1;; esac";
    let jobs = || {
        vec![Job {
            source: Some(source.clone()),
            keep: ward_config::job::Keep {
                builds: Some(1),
                ..ward_config::job::Keep::default()
            },
            ..job("a", script)
        }]
    };
    let mut bench = Bench::new(jobs())?;
    let mut asked = 0;
    let mut build = |bench: &Bench, commit: &str, result, before: &str, good: &str| -> Result {
        let request = Request {
            revision: Some(commit.to_owned()),
            ..request("a", &[])
        };
        let id = bench.server.request(request)?.id;
        asked += 1;
        let number = bench.number_of(id)?;
        ensure!(number == asked, "{number} is not {asked}");
        let view = bench.end_of("a", number)?;
        expect(&view, result)?;
        let wanted = format!("before={before} good={good}.\n");
        ensure!(
            log(&view)?.contains(&wanted),
            "no {wanted} in {}",
            log(&view)?
        );
        Ok(())
    };
    build(&bench, &first, BuildResult::Success, "", "")?;
    git(&repository, &["checkout", "-q", "-b", "next"])?;
    let next = commit(&repository, "next bad")?;
    // Nothing of it was built before, whatever was built of others.
    build(&bench, &next, BuildResult::Failure, "", "")?;
    git(&repository, &["checkout", "-q", "main"])?;
    let bad = commit(&repository, "main bad")?;
    build(&bench, &bad, BuildResult::Failure, &first, &first)?;
    let good = commit(&repository, "main good")?;
    build(&bench, &good, BuildResult::Success, &bad, &first)?;
    git(&repository, &["checkout", "-q", "next"])?;
    let again = commit(&repository, "next good")?;
    // Its build is long gone, and it is known all the same, also by another server.
    bench.restart(jobs())?;
    build(&bench, &again, BuildResult::Success, &next, "")?;
    let last = commit(&repository, "next better")?;
    build(&bench, &last, BuildResult::Success, &again, &again)?;
    ensure!(
        !bench.server.build_numbers("a")?.contains(&2),
        "build 2 is still there"
    );
    Ok(())
}
