//! What jenkins-job-builder writes of `jobs.yaml`, and whether Python reads what we write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ward_build::jenkins::{Parsed, View, parse, parse_view, write};
use ward_config::job::{Clean, Job, ParameterKind, UNLIMITED};
use ward_model::build::BuildResult;
use ward_testkit::programs::in_path;
use ward_testkit::pypi::JENKINS_CLIENTS;

#[test]
fn what_jenkins_job_builder_writes() -> Result<()> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(programs) = JENKINS_CLIENTS.programs(place)? else {
        return Ok(());
    };
    let desk = tempfile::tempdir()?;
    let told = Command::new(programs.join("jenkins-jobs"))
        .arg("test")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jenkins/jobs.yaml"))
        .args(["--config-xml", "-o"])
        .arg(desk.path().join("out"))
        .env("HOME", desk.path())
        .output()?;
    ensure!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    let document = |name: &str| fs::read(desk.path().join("out").join(name).join("config.xml"));
    full(&parse("full", &document("full")?)?)?;
    let simple = parse("min", &document("min")?)?;
    assert_eq!(simple.unknown, []);
    assert_eq!(simple.job.clean, Clean::Wipe);
    assert_eq!(simple.job.steps[0].script, "make");
    assert_eq!(simple.job.source.context("a source")?.url, "/srv/a.git");
    let idle = parse("folder/minimal", &document("folder/minimal")?)?;
    assert_eq!(idle.job.idle_timeout, Some(Duration::from_secs(180)));
    assert_eq!(idle.unknown, []);
    for vague in ["elastic", "stuck", "deadline"] {
        let Parsed { unknown, .. } = parse(vague, &document(vague)?)?;
        assert_eq!(
            unknown,
            [(
                "project/buildWrappers/hudson.plugins.build__timeout.BuildTimeoutWrapper/strategy"
                    .to_owned(),
                true
            )]
        );
    }
    let view = View {
        name: Some("v".into()),
        description: "d<!-- Managed by Jenkins Job Builder -->".into(),
        jobs: vec!["a".into(), "b".into()],
        regex: Some("lib-.*".into()),
        recurse: true,
    };
    assert_eq!(parse_view(&document("v")?)?, view);
    Ok(())
}

/// The job with everything.
fn full(parsed: &Parsed) -> Result<()> {
    let Parsed { job, unknown } = parsed;
    about(job);
    sources(job)?;
    results(job);
    let told: BTreeSet<(&str, bool)> = unknown
        .iter()
        .map(|(path, loses)| (path.rsplit('/').next().unwrap_or(path), *loses))
        .collect();
    let expected = BTreeSet::from([
        ("scmCheckoutRetryCount", false),
        ("categories", true),
        ("hudson.model.RunParameterDefinition", true),
        ("hudson.model.FileParameterDefinition", true),
        ("hudson.plugins.git.extensions.impl.UserExclusion", false),
        ("hudson.plugins.git.extensions.impl.PathRestriction", false),
        ("hudson.plugins.git.extensions.impl.MessageExclusion", false),
        (
            "hudson.plugins.git.extensions.impl.SparseCheckoutPaths",
            false,
        ),
        ("hudson.plugins.parameterizedtrigger.BuildTrigger", true),
        ("hudson.tasks.Fingerprinter", false),
        ("hudson.plugins.ws__cleanup.WsCleanup", false),
        (
            "org.jenkinsci.plugins.postbuildscript.PostBuildScript",
            true,
        ),
        ("timeoutEnvVar", true),
        ("hudson.plugins.ws__cleanup.PreBuildCleanup", true),
        (
            "org.jenkinsci.plugins.credentialsbinding.impl.UsernamePasswordMultiBinding",
            true,
        ),
        (
            "org.jenkinsci.plugins.credentialsbinding.impl.ZipFileBinding",
            true,
        ),
        ("usernameVariable", true),
        ("passphraseVariable", true),
    ]);
    assert_eq!(told, expected);
    Ok(())
}

fn about(job: &Job) {
    assert_eq!(
        job.description,
        "what it is<!-- Managed by Jenkins Job Builder -->"
    );
    assert_eq!(job.display_name.as_deref(), Some("Full job"));
    assert!(job.disabled && job.blocked_by_downstream && job.blocked_by_upstream);
    assert_eq!(job.token.as_deref(), Some("secret-token"));
    assert_eq!(job.workspace.as_deref(), Some("/srv/ws"));
    assert_eq!(job.label.as_deref(), Some("linux && x86"));
    assert_eq!(job.quiet_period, Some(Duration::from_secs(7)));
    assert_eq!(job.concurrent, UNLIMITED);
    let keep = job.keep.clone();
    assert_eq!(
        [
            keep.days,
            keep.builds,
            keep.artifact_days,
            keep.artifact_builds
        ],
        [Some(4), Some(21), Some(3), Some(6)]
    );
    let kinds: Vec<_> = job
        .parameters
        .iter()
        .map(|it| (it.name.as_str(), &it.kind))
        .collect();
    let choices = vec!["one".to_owned(), "two words".to_owned()];
    assert_eq!(
        kinds,
        [
            (
                "S",
                &ParameterKind::Text {
                    default: "s d".into(),
                    trim: true
                }
            ),
            ("B", &ParameterKind::Boolean { default: true }),
            ("C", &ParameterKind::Choice { choices }),
            (
                "T",
                &ParameterKind::Lines {
                    default: "l1\nl2".into()
                }
            ),
            (
                "P",
                &ParameterKind::Password {
                    default: "pw".into()
                }
            ),
        ]
    );
    let scripts: Vec<_> = job
        .steps
        .iter()
        .map(|it| (it.script.as_str(), it.unstable_status))
        .collect();
    assert_eq!(
        scripts,
        [
            ("#!/bin/sh\necho 'a < b && c'\n", None),
            ("exit 3", Some(3))
        ]
    );
}

fn sources(job: &Job) -> Result<()> {
    let source = job.source.as_ref().context("a source")?;
    assert_eq!(source.url, "https://example.org/r.git");
    assert_eq!(source.remote, "upstream");
    assert_eq!(
        source.refspec.as_deref(),
        Some("+refs/heads/*:refs/remotes/origin/*")
    );
    assert_eq!(source.branches, ["*/main", "release/*"]);
    assert_eq!(source.credentials.as_deref(), Some("deploy"));
    assert_eq!(source.directory.as_deref(), Some("sub"));
    assert_eq!(source.local_branch.as_deref(), Some("main"));
    assert_eq!(
        (source.depth, source.no_tags, source.prune),
        (Some(3), true, true)
    );
    assert_eq!(source.reference.as_deref(), Some("/srv/ref.git"));
    assert_eq!(source.timeout, Duration::from_secs(1200));
    assert!(source.submodules && source.recursive_submodules);
    assert_eq!(job.clean, Clean::Wipe);
    let triggers = &job.triggers;
    assert_eq!(triggers.timer.as_deref(), Some("H 3 * * *"));
    assert_eq!(triggers.poll.as_deref(), Some("H/5 * * * *"));
    assert!(triggers.ignores_notify && triggers.webhook);
    let upstream: Vec<_> = triggers
        .upstream
        .iter()
        .map(|it| (it.job.as_str(), it.threshold))
        .collect();
    assert_eq!(
        upstream,
        [("a", BuildResult::Unstable), ("b", BuildResult::Unstable)]
    );
    Ok(())
}

fn results(job: &Job) {
    assert_eq!(job.timeout, Some(Duration::from_secs(5400)));
    assert_eq!(job.timeout_result, BuildResult::Failure);
    assert_eq!(job.build_name.as_deref(), Some("v#1"));
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        job.environment,
        [pair("A", "b"), pair("C", "d e"), pair("E", "f")]
    );
    let secrets: Vec<_> = job
        .secrets
        .iter()
        .map(|it| (it.variable.as_str(), it.secret.as_str(), it.as_file))
        .collect();
    assert_eq!(
        secrets,
        [
            ("TOKEN", "tok", false),
            ("KEYFILE", "kf", true),
            ("UP", "up2", false),
            ("SSHKEY", "k", true)
        ]
    );
    assert_eq!(job.locks, ["DB", "NET"]);
    let artifacts = &job.artifacts[0];
    assert_eq!(artifacts.include, ["dist/**", "*.log"]);
    assert_eq!(artifacts.exclude, ["*.tmp"]);
    assert!(artifacts.allow_empty && artifacts.only_if_successful && artifacts.follow_symlinks);
    assert!(!artifacts.default_excludes && !artifacts.case_sensitive);
    let junit = &job.junit[0];
    assert_eq!(junit.include, ["r/*.xml"]);
    assert!(junit.allow_empty && junit.keep_long_output);
    assert_eq!(
        job.notify.mail,
        ["a@example.org", "b@example.org", "c@example.org"]
    );
    assert!(job.notify.mail_culprits && job.notify.mail_first_unstable_only);
    let next: Vec<_> = job
        .downstream
        .iter()
        .map(|it| (it.job.as_str(), it.threshold))
        .collect();
    assert_eq!(
        next,
        [
            ("next", BuildResult::Unstable),
            ("other", BuildResult::Unstable)
        ]
    );
}

/// Every document that python-jenkins and jenkinsapi bring along.
#[test]
fn what_clients_send() -> Result<()> {
    let Some(programs) = JENKINS_CLIENTS.programs(Path::new(env!("CARGO_TARGET_TMPDIR")))? else {
        return Ok(());
    };
    let script = "\
import importlib, json
found = {}
for name in ('jenkins', 'jenkinsapi_tests.systests.job_configs', 'jenkinsapi_tests.systests.view_configs'):
    try:
        module = importlib.import_module(name)
    except ImportError:
        continue
    for key, value in vars(module).items():
        if isinstance(value, str) and '<project' in value:
            found[name.split('.')[0] + ' ' + key] = value.strip()
print(json.dumps(found))
";
    let told = Command::new(programs.join("python"))
        .args(["-c", script])
        .output()?;
    let documents: BTreeMap<String, String> = serde_json::from_slice(&told.stdout)
        .with_context(|| String::from_utf8_lossy(&told.stderr).into_owned())?;
    ensure!(documents.len() >= 2, "{documents:?}");
    for (name, document) in &documents {
        let Parsed { unknown, .. } =
            parse("x", document.as_bytes()).with_context(|| name.clone())?;
        eprintln!("{name}: {unknown:?}");
        ensure!(
            !name.starts_with("jenkins ") || unknown.is_empty(),
            "{name}: {unknown:?}"
        );
    }
    Ok(())
}

/// Clients read documents with Python's parser, which knows no XML 1.1.
#[test]
fn python_reads_what_we_write() -> Result<()> {
    let Some(python) = in_path("python3") else {
        ward_testkit::programs::skipped("Python's XML", "needs python3");
        return Ok(());
    };
    let desk = tempfile::tempdir()?;
    let path = desk.path().join("config.xml");
    let job = Job {
        description: "a <b> & é\r\nc".into(),
        ..Job::default()
    };
    fs::write(&path, write(&job))?;
    let script = "import sys, xml.etree.ElementTree as e; print(ascii(e.parse(sys.argv[1]).find('description').text))";
    let told = Command::new(python)
        .args(["-c", script])
        .arg(&path)
        .output()?;
    let text = String::from_utf8_lossy(&told.stdout);
    assert_eq!(
        text.trim(),
        r"'a <b> & \xe9\r\nc'",
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    Ok(())
}
