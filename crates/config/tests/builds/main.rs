//! `[build]`, `[job:x]` and the job of a repository, through the same doors as everybody else.

#![forbid(unsafe_code)]

mod arbitrary;
mod repository;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ward_config::build::BuildServer;
use ward_config::diagnostics::Diagnostic;
use ward_config::host::{Accounts, Files, Host};
use ward_config::job::{
    Artifacts, Clean, Downstream, Job, Parameter, ParameterKind, SecretBinding, Source, Step,
    UNLIMITED,
};
use ward_config::keys::{self, Fallback};
use ward_config::load::{Builds, LoadedBuilds, load, load_builds};
use ward_model::build::BuildResult;

/// One file, and one that it may include.
struct Two<'a>(&'a str, &'a str);

impl Files for Two<'_> {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let main = path == Path::new("/etc/ward.conf");
        Ok(if main { self.0 } else { self.1 }.as_bytes().to_vec())
    }

    fn exists(&self, path: &Path) -> bool {
        !path.to_string_lossy().contains('*')
    }

    fn is_directory(&self, _: &Path) -> bool {
        true
    }

    fn list(&self, _: &Path) -> Vec<String> {
        vec!["a.conf".into()]
    }
}

fn host() -> Host {
    Host {
        environment: BTreeMap::from([
            ("HOME".into(), "/root".into()),
            ("KEY".into(), "hidden".into()),
        ]),
        node_name: "node".into(),
        current_directory: "/etc".into(),
        temporary_directory: "/tmp".into(),
        accounts: Accounts::parse(
            "root:x:0:0::/root:/bin/sh\nci:x:7:7::/ci:/bin/sh\n",
            "root:x:0:\n",
        ),
        uid: 0,
        told: None,
        elsewhere: false,
    }
}

fn loaded(text: &str) -> LoadedBuilds {
    load_builds("ward.conf", &host(), &Two(text, ""))
}

fn builds(text: &str) -> Builds {
    let loaded = loaded(text);
    loaded
        .builds
        .unwrap_or_else(|| panic!("{:?}", lines(&loaded.diagnostics)))
}

fn job(text: &str) -> Job {
    let mut jobs = builds(&format!("[job:x]\n{text}")).jobs;
    jobs.pop().expect("a job")
}

fn lines(found: &[Diagnostic]) -> Vec<String> {
    let line = |d: &Diagnostic| {
        format!(
            "{:?} {}:{} {}",
            d.severity, d.span.line, d.span.column, d.what
        )
    };
    found.iter().map(line).collect()
}

fn expect(found: &[Diagnostic], expected: &[&str]) {
    let found = lines(found);
    for expected in expected {
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{expected} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn everything_that_a_job_can_say() {
    let text = "\
description = what it is
display_name = X the job
enabled = no
repo = https://example.org/a%%20b.git
remote = upstream
refspec = +refs/heads/*:refs/remotes/upstream/*
branches = main, release/*
  :^(a,b)$
credentials = deploy-key
depth = 3
tags = false
reference = %(here)s/ref.git
git_timeout = 90
submodules = recursive
checkout_to = src
local_branch = **
cache = false
prune = true
timer = @daily
poll =
  TZ=Europe/Berlin
  H/5 * * * *
  # every night
  H 3 * * 1-5
webhook = true
webhook_secret = hook
ignore_notify = true
upstream = lib, team/app:unstable
script = make
shell = /bin/bash
prelude = false
unstable_status = 3
always = true
environment = A=\"1, 2\",B=%(ENV_HOME)s
secrets = TOKEN=api-token, KEY@=key.pem
user = ci
workspace = /srv/ws
clean = wipe
timeout = 1h30m
idle_timeout = 90s
timeout_result = failure
grace = 20s
leftover_grace = 500ms
spare = false
locks = db=shared, port=pool:1:2
concurrent = true
blocked_by_upstream = true
blocked_by_downstream = true
quiet_period = 0
keep_builds = 30
keep_days = 14
keep_artifacts = 5
keep_artifacts_days = 7
artifacts = dist/**, *.log
artifacts_exclude = *.tmp
artifacts_default_excludes = false
artifacts_case_sensitive = false
artifacts_allow_empty = true
artifacts_only_if_successful = true
artifacts_follow_symlinks = false
junit = r/*.xml
junit_allow_empty = true
junit_skip_old = true
junit_keep_output = true
notify = mail:a@example.org, culprits
  webhook:https://example.org/?a,b
  command:/usr/bin/tell 'a b'
  first-unstable-only
downstream = next:always
token = t0ken
label = linux && x86
build_name = v${BUILD_NUMBER}
from_repository = ci/ward.conf
";
    let second = Duration::from_secs(1);
    let job = job(text);
    let source = Source {
        url: "https://example.org/a%20b.git".into(),
        remote: "upstream".into(),
        refspec: Some("+refs/heads/*:refs/remotes/upstream/*".into()),
        branches: vec!["main".into(), "release/*".into(), ":^(a,b)$".into()],
        credentials: Some("deploy-key".into()),
        depth: Some(3),
        no_tags: true,
        reference: Some("/etc/ref.git".into()),
        timeout: 90 * second,
        submodules: true,
        recursive_submodules: true,
        directory: Some("src".into()),
        local_branch: Some("**".into()),
        no_cache: true,
        prune: true,
    };
    assert_eq!(job.source, Some(source));
    assert_eq!(
        job.triggers.poll.as_deref(),
        Some("TZ=Europe/Berlin\nH/5 * * * *\nH 3 * * 1-5")
    );
    let next = |job: &str, threshold| Downstream {
        job: job.into(),
        threshold,
    };
    assert_eq!(
        job.triggers.upstream,
        [
            next("lib", BuildResult::Success),
            next("team/app", BuildResult::Unstable)
        ]
    );
    assert_eq!(job.downstream, [next("next", BuildResult::Aborted)]);
    let step = Step {
        name: None,
        script: "make\n".into(),
        shell: Some("/bin/bash".into()),
        prelude: false,
        unstable_status: Some(3),
        always: true,
    };
    assert_eq!(job.steps, [step]);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(job.environment, [pair("A", "1, 2"), pair("B", "/root")]);
    let secret = |variable: &str, secret: &str, as_file| SecretBinding {
        variable: variable.into(),
        secret: secret.into(),
        as_file,
    };
    assert_eq!(
        job.secrets,
        [
            secret("TOKEN", "api-token", false),
            secret("KEY", "key.pem", true)
        ]
    );
    assert_eq!(
        job.artifacts,
        [Artifacts {
            include: vec!["dist/**".into(), "*.log".into()],
            exclude: vec!["*.tmp".into()],
            default_excludes: false,
            case_sensitive: false,
            allow_empty: true,
            only_if_successful: true,
            follow_symlinks: false,
        }]
    );
    assert!(job.junit[0].allow_empty && job.junit[0].skip_old && job.junit[0].keep_long_output);
    assert_eq!(job.notify.webhooks, ["https://example.org/?a,b"]);
    assert_eq!(job.notify.commands, ["/usr/bin/tell 'a b'"]);
    assert!(job.notify.mail_culprits && job.notify.mail_first_unstable_only);
    assert_eq!(
        (job.timeout, job.idle_timeout),
        (Some(5400 * second), Some(90 * second))
    );
    assert_eq!((job.grace, job.leftover_grace), (20 * second, second / 2));
    assert_eq!((job.concurrent, job.clean), (UNLIMITED, Clean::Wipe));
    assert_eq!(job.keep.artifact_days, Some(7));
    assert_eq!(job.from_repository.as_deref(), Some("ci/ward.conf"));
    assert_eq!(job.user.as_deref(), Some("ci"));
    assert!(job.disabled && !job.spare && job.triggers.webhook && job.triggers.ignores_notify);
    // Each key of the table is in it, but for those that exclude others.
    for key in keys::JOB.keys() {
        let begins = format!("{} =", key.name);
        let is_there = text.lines().any(|line| line.starts_with(&begins));
        assert!(
            is_there || ["steps", "parameters"].contains(&key.name),
            "{}",
            key.name
        );
    }
}

#[test]
fn a_default_written_down_changes_nothing() {
    for (kind, header, before) in [
        (keys::JOB, "job:x", "repo = r\nscript = make\n"),
        (keys::BUILD, "build", ""),
    ] {
        let plain = builds(&format!("[{header}]\n{before}"));
        for key in kind.keys() {
            if let Fallback::Text(text) = key.fallback {
                let said = builds(&format!("[{header}]\n{before}{} = {text}\n", key.name));
                assert_eq!(said, plain, "{}", key.name);
            }
        }
    }
    let plain = job("script = make\n");
    assert_eq!(
        plain,
        Job {
            name: "x".into(),
            steps: vec![Step {
                script: "make\n".into(),
                ..Step::default()
            }],
            ..Job::default()
        }
    );
    assert_eq!(builds("[build]\n").server, Some(BuildServer::default()));
    let source = job("script = a\nrepo = r\n").source.expect("a source");
    let usual = Source {
        url: "r".into(),
        branches: vec!["**".into()],
        ..Source::default()
    };
    assert_eq!(source, usual);
}

#[test]
fn a_script_is_kept_as_it_is_written() {
    for (written, script) in [
        ("script = make ; echo %s # now\n", "make ; echo %s # now\n"),
        ("script =\n  a\n    b\n\n  c\n\n\n", "a\n  b\n\nc\n"),
        ("script = set -e\n  date +%s\n", "set -e\ndate +%s\n"),
        (
            "script =\n  # first\n  a ;b\n  #last\nuser = ci\n",
            "# first\na ;b\n#last\n",
        ),
        ("script =\n    a\n# of the file\n    b\n", "a\nb\n"),
        (
            "script =\n  cat <<E\n  [job:y]\n  timeout = 3\n  E\n",
            "cat <<E\n[job:y]\ntimeout = 3\nE\n",
        ),
        ("script =\n\ta\n\t\tb\n", "a\n\tb\n"),
        ("script =\n   a\n  b\n", " a\nb\n"),
        ("script =\n  a\r\n  b\r\n", "a\nb\n"),
        (
            "script = #!/usr/bin/env python3\n  import os\n  if 1:\n    pass\n",
            "#!/usr/bin/env python3\nimport os\nif 1:\n  pass\n",
        ),
        ("script = ; what it does\n  a\n", "a\n"),
        ("script =\n\n\n  a  \n", "a  \n"),
        (
            "script =\n  größe %(x)s %(here)s\n",
            "größe %(x)s %(here)s\n",
        ),
        ("  script =\n    a\n  user = ci\n", "a\n"),
    ] {
        let loaded = loaded(&format!("[job:x]\n{written}"));
        assert_eq!(
            lines(&loaded.diagnostics),
            Vec::<String>::new(),
            "{written:?}"
        );
        let builds = loaded.builds.expect("no errors");
        assert_eq!(builds.jobs[0].steps[0].script, script, "{written:?}");
    }
}

#[test]
fn several_steps() {
    let job = job("\
steps = Build, test
script.build = make
script.test =
  make check
shell = /bin/sh
shell.test = /bin/bash
unstable_status.test = 4
always.TEST = true
");
    let steps: Vec<_> = job
        .steps
        .iter()
        .map(|step| {
            (
                step.name.as_deref(),
                step.script.as_str(),
                step.shell.as_deref(),
                step.unstable_status,
                step.always,
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            (Some("Build"), "make\n", Some("/bin/sh"), None, false),
            (
                Some("test"),
                "make check\n",
                Some("/bin/bash"),
                Some(4),
                true
            ),
        ]
    );
    let loaded = loaded("[job:x]\nsteps = a, b, a\nscript.a = x\nscript = y\nalways.c = true\n");
    expect(
        &loaded.diagnostics,
        &[
            "Error 2:9 steps: `a` is in it twice",
            "Error 2:12 steps: there is no `script.b`",
            "Error 4:1 there are both `script` and `steps`",
            "Error 5:1 `always.c` is of no step",
        ],
    );
}

#[test]
fn parameters() {
    let job = job("\
script = a
parameters =
  # what to build
  BRANCH = main   # which
  TIMEOUT ? true
  MODE : fast | slow % # how

  KEY !
");
    let names: Vec<_> = job
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.description.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("BRANCH", "which"),
            ("TIMEOUT", ""),
            ("MODE", "how"),
            ("KEY", "")
        ]
    );
    let mode = ParameterKind::Choice {
        choices: vec!["fast".into(), "slow %".into()],
    };
    assert_eq!(job.parameters[2].kind, mode);
    let loaded = loaded("[job:x]\nscript = a\nparameters = A\n  A = 2\n   1x = 3\n");
    expect(
        &loaded.diagnostics,
        &[
            "Error 4:3 parameters: `A` is there already",
            "Error 5:4 parameters: `1x = 3` does not begin",
        ],
    );
    let first = Parameter {
        name: "A".into(),
        description: String::new(),
        kind: ParameterKind::Text {
            default: "b".into(),
            trim: true,
        },
    };
    let one = builds("[job:x]\nscript = a\nparameters = A = b\n").jobs;
    assert_eq!(one[0].parameters, [first]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let loaded = loaded(
        "\
[build]
executors = 0
listen = 127.0.0.1:99999, unix://x
url = ftp://x
quiet_period = 2d
mail_smtp = host
executers = 3
[job:a]
script = x
[job:a/b]
repo = r
timeot = 5
timeout = 0
clean = wype
depth = 0
credentials = ../key
checkout_to = ../x
upstream = a:b
secrets = 1=x
notify = mail:x
concurrent = 0
from_repository = /etc/passwd
timer =
  @daily
  H 25 * * *
poll = * * * * *
unstable_status = 256
keep_builds = -1
user = nobody-here
environment = A=\"1
shell = sh
[job:c*]
script = x
[job:d]
branches = main
",
    );
    expect(
        &loaded.diagnostics,
        &[
            "Error 2:13 executors: 0 is not between 1 and 1000",
            "Error 3:10 listen: `99999` is not a port",
            "Error 3:27 listen: `unix://x` is not the absolute path",
            "Error 4:7 url: `ftp://x` is no address",
            "Error 5:16 quiet_period: it is at most 86400 s",
            "Error 6:13 mail_smtp: `host` is not host:port",
            "Warning 7:1 `executers` is no key of [build]",
            "Error 10:1 `a` and `a/b` cannot both be jobs",
            "Warning 12:1 `timeot` is no key of [job:a/b]",
            "Error 13:11 timeout: it is at least 1 s",
            "Error 14:9 clean: `wype` is not known here",
            "Error 15:9 depth: 0 is less than 1",
            "Error 16:15 credentials: `../key` is no name of a secret",
            "Error 17:15 checkout_to: `../x` is no path inside the workspace",
            "Error 18:12 upstream: `b` is no result",
            "Error 19:11 secrets: `1` is no variable",
            "Error 20:10 notify: `x` is no address",
            "Error 21:14 concurrent: `0` is neither",
            "Error 22:19 from_repository: `/etc/passwd` is no path inside",
            "Error 25:3 timer: ",
            "Warning 26:8 poll: ",
            "Error 28:15 keep_builds: -1 is less than 1",
            "Error 29:8 user: there is no user",
            "Error 30:17 environment: the quote",
            "Error 32:1 `c*` is no name of a job",
            "Warning 34:1 [job:d] does nothing",
            "Warning 35:1 branches does nothing",
            "Warning 10:1 [job:a/b] does nothing",
        ],
    );
    assert!(loaded.builds.is_none());
}

#[test]
fn a_supervisor_goes_on_whatever_its_jobs_are() {
    let text = "[supervisord]\n[program:web]\ncommand = /bin/web\n[build]\n[job:x]\ntimeout = never\nscript = a\n";
    let loaded = load("ward.conf", &host(), &Two(text, ""));
    let configuration = loaded.configuration.expect("the programs are fine");
    assert_eq!(configuration.programs(), 1);
    assert!(configuration.build.is_some() && configuration.jobs.is_empty());
    expect(
        &loaded.diagnostics,
        &["Error 6:11 timeout: `never` is not a time"],
    );
    let sound = load("ward.conf", &host(), &Two(&text.replace("never", "5m"), ""));
    let configuration = sound.configuration.expect("everything is fine");
    assert!(configuration.build.is_some());
    assert_eq!(configuration.jobs.len(), 1);
    // Whom a program runs as is not guessed.
    let text = text.replace("[build]", "[build]\nuser = nobody-here");
    let refused = load("ward.conf", &host(), &Two(&text, ""));
    assert!(refused.configuration.is_none());
}

#[test]
fn a_file_with_builds_needs_no_section_of_the_supervisor() {
    for text in ["[build]\n", "[job:a]\nscript = true\n"] {
        let loaded = load("ward.conf", &host(), &Two(text, ""));
        expect(&loaded.diagnostics, &[]);
        let configuration = loaded.configuration.expect("one to be used");
        assert!(configuration.groups.is_empty());
    }
    let loaded = load("ward.conf", &host(), &Two("[program:a]\ncommand=a\n", ""));
    assert!(loaded.configuration.is_none(), "the original asks for it");
}

#[test]
fn included_jobs_and_the_environment_of_the_supervisor() {
    let main = "[supervisord]\nenvironment = WHERE=there\n[include]\nfiles = a.conf\n";
    let other = "[job:x]\nscript =\n  cd %(here)s\nrepo = %(here)s/%(ENV_WHERE)s\n";
    let loaded = load_builds("ward.conf", &host(), &Two(main, other));
    assert_eq!(lines(&loaded.diagnostics), Vec::<String>::new());
    let jobs = loaded.builds.expect("no errors").jobs;
    assert_eq!(jobs[0].steps[0].script, "cd %(here)s\n");
    assert_eq!(
        jobs[0].source.as_ref().map(|it| it.url.as_str()),
        Some("/etc/there")
    );
}
