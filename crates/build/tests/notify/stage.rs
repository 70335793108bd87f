//! A build that is over, and a place to send from.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use ward_build::api::BuildLine;
use ward_build::notify::{Facts, Ways};
use ward_build::outcome::{Change, Checkout, TestCounts};
use ward_config::build::Mail;
use ward_config::job::Job;
use ward_model::build::{BuildResult, Cause};

/// Where secrets and logs are.
pub(crate) struct Stage {
    pub(crate) home: TempDir,
}

impl Stage {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let home = TempDir::new()?;
        fs::create_dir(home.path().join("secrets"))?;
        fs::write(home.path().join("secrets/smtp"), "robot:open sesame\n")?;
        fs::write(
            home.path().join("log"),
            "Started by timer\n\u{1b}[31m.dot\u{1b}[0m at the begin\n.\ngrün\nFinished: FAILURE\nlater: a daemon\n",
        )?;
        Ok(Self { home })
    }

    pub(crate) fn ways(&self, mail: Mail) -> Ways {
        Ways {
            mail,
            secrets: self.home.path().join("secrets"),
            host: "ci.example".to_owned(),
            scratch: self.scratch(),
            authorities: None,
        }
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.home.path().join("scratch")
    }

    /// Build 7 of `docs/site`, which failed after 5 and 6 had.
    pub(crate) fn facts(&self) -> Facts {
        let mut job = Job {
            name: "docs/site".to_owned(),
            ..Job::default()
        };
        job.notify.mail = vec![
            "Team <team@example.org>".to_owned(),
            "bad address".to_owned(),
        ];
        let log = self.home.path().join("log");
        let bytes = fs::read_to_string(&log).unwrap_or_default();
        Facts {
            build: BuildLine {
                job: job.name.clone(),
                number: 7,
                display_name: "#7".to_owned(),
                result: Some(BuildResult::Failure),
                started_at: 1_792_627_200_000,
                duration: 61_000,
                description: String::new(),
                keep: false,
                revision: Some("a".repeat(40)),
                branch: Some("origin/main".to_owned()),
                tests: Some(TestCounts {
                    passed: 3,
                    failed: 1,
                    skipped: 0,
                }),
            },
            job,
            why: Some("step `make` failed with status 2".to_owned()),
            previous: vec![
                BuildResult::Aborted,
                BuildResult::Failure,
                BuildResult::Failure,
            ],
            failing_since: Some(5),
            causes: vec![Cause::Timer],
            checkout: Some(Checkout {
                changes: vec![Change {
                    revision: "abcdef0123456789".to_owned(),
                    author: "Jürgen".to_owned(),
                    title: "mend the <title>".to_owned(),
                    ..Change::default()
                }],
                ..Checkout::default()
            }),
            culprits: vec!["Jürgen <j@example.net>".to_owned()],
            log,
            log_bytes: bytes.find("later").map(|at| at as u64),
            url: Some("https://ci.example/".to_owned()),
        }
    }
}
