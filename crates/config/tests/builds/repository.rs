//! What a repository may say of its job.

use std::time::Duration;

use ward_config::diagnostics::Diagnostic;
use ward_config::job::{Job, load_repository_job};
use ward_config::keys;

use super::{expect, host, lines};

pub(super) fn of_repository(text: &str, base: &Job) -> (Option<Job>, Vec<Diagnostic>) {
    load_repository_job(text, &host(), base)
}

#[test]
fn what_a_repository_may_say() {
    let base = Job {
        name: "team/lib".into(),
        timeout: Some(Duration::from_secs(600)),
        environment: vec![("A".into(), "server".into())],
        user: Some("ci".into()),
        ..Job::default()
    };
    let text = "\
[job:other]
script = no
[job:lib]
script =
  make %s
environment = A=mine,B=mine
timeout = 5m
grace = 1h
artifacts = dist/**
";
    let (job, found) = of_repository(text, &base);
    expect(
        &found,
        &["Warning 8:9 grace: the server's configuration allows 10 s"],
    );
    let job = job.expect("no errors");
    assert_eq!(job.steps[0].script, "make %s\n");
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(job.environment, [pair("A", "server"), pair("B", "mine")]);
    assert_eq!(job.timeout, Some(Duration::from_secs(300)));
    assert_eq!((job.grace, job.user.as_deref()), (base.grace, Some("ci")));
    assert_eq!(job.name, "team/lib");
}

#[test]
fn what_a_repository_may_not_say() {
    let base = Job {
        name: "lib".into(),
        ..Job::default()
    };
    for key in keys::JOB.keys() {
        let (job, found) = of_repository(&format!("[job]\n{} = 1\n", key.name), &base);
        let is_refused = found
            .iter()
            .any(|d| d.what.contains("not for the repository to say"));
        assert!(!is_refused || job.is_none(), "{}", key.name);
        let trusted = [
            "user",
            "credentials",
            "secrets",
            "notify",
            "locks",
            "token",
            "repo",
            "webhook",
            "concurrent",
            "workspace",
            "spare",
            "parameters",
            "upstream",
            "downstream",
            "reference",
        ];
        assert!(is_refused || !trusted.contains(&key.name), "{}", key.name);
    }
    for (text, what) in [
        ("", "it is empty"),
        (
            "[jobs]\nscript = a\n",
            "there is neither [job:lib] nor [job]",
        ),
        (
            "[job]\nscript = a\nbuild_name = %(ENV_KEY)s\n",
            "build_name: `ENV_KEY` is no name",
        ),
        ("[job]\nscirpt = a\n", "`scirpt` is no key"),
        (
            "[job]\ntimeout = 0\nscript = a\n",
            "timeout: it is at least",
        ),
        ("[job]\nsteps = a\n", "steps: there is no `script.a`"),
    ] {
        let (job, found) = of_repository(text, &base);
        assert!(job.is_none(), "{text}");
        assert!(
            found.iter().any(|d| d.what.contains(what)),
            "{text}: {:?}",
            lines(&found)
        );
        assert!(!lines(&found).concat().contains("hidden"), "{text}");
    }
    let large = format!("[job]\nscript = {}\n", "x".repeat(300_000));
    assert!(of_repository(&large, &base).0.is_none());
}
