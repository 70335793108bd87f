//! From a request to what comes after the build.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use ward_build::api::{Builds, QueuePlace, Refusal, Which};
use ward_build::outcome::TestStatus;
use ward_config::build::BuildServer;
use ward_config::job::{Artifacts, Downstream, Job, Junit, Keep, Notify, Parameter, ParameterKind};
use ward_model::build::{BuildResult, Cause};
use ward_testkit::patience::{wait_for, wait_until};

use super::Result;
use super::bench::{Bench, expect, job, log, request, settings};

/// A script that waits until `go` is in its workspace.
pub(crate) const WAITS: &str = "echo begun\nwhile ! [ -e go ]; do sleep 0.02; done\n";

pub(crate) fn empty() -> Result {
    let bench = Bench::new(vec![Job {
        name: "empty".to_owned(),
        ..Job::default()
    }])?;
    let view = bench.build("empty")?;
    expect(&view, BuildResult::Success)?;
    ensure!(
        log(&view)?.ends_with("Finished: SUCCESS\n"),
        "{}",
        log(&view)?
    );
    let began = Instant::now();
    ensure!(bench.build("empty")?.line.number == 2);
    println!("  an empty build: {:?}", began.elapsed());
    Ok(())
}

pub(crate) fn known() -> Result {
    let artifacts = Artifacts {
        include: vec!["out.txt".to_owned()],
        ..Artifacts::default()
    };
    let script = job(
        "a",
        "echo hello > out.txt\nwhile ! [ -e go ]; do sleep 0.02; done",
    );
    let bench = Bench::new(vec![Job {
        artifacts: vec![artifacts],
        ..script
    }])?;
    ensure!(matches!(
        bench.server.build("a", &Which::Last),
        Err(Refusal::NoSuchBuild { .. })
    ));
    ensure!(matches!(
        bench.server.build("b", &Which::Last),
        Err(Refusal::NoSuchJob(_))
    ));
    let id = bench.ask("a")?;
    let number = bench.number_of(id)?;
    let workspace = bench.home().join("workspaces/a");
    bench.file(&workspace.join("out.txt"))?;
    let view = bench.server.build("a", &Which::Last)?;
    ensure!(view.log_grows && view.line.result.is_none() && view.queue_id == id);
    ensure!(view.executor == Some(0) && view.state.is_some() && view.outcome.is_none());
    ensure!(
        view.causes
            == [Cause::User {
                user: "alice".to_owned()
            }]
    );
    let processes = bench.server.processes("a", number)?;
    ensure!(
        processes
            .iter()
            .any(|line| line.command.contains("sh") && line.depth > 0),
        "{processes:?}"
    );
    ensure!(matches!(
        bench.server.delete_build("a", number),
        Err(Refusal::Conflict(_))
    ));
    ensure!(matches!(
        bench.server.wipe_workspace("a"),
        Err(Refusal::Conflict(_))
    ));
    fs::write(workspace.join("go"), "")?;
    let view = bench.end_of("a", number)?;
    expect(&view, BuildResult::Success)?;
    ensure!(fs::read(view.artifacts.join("out.txt"))? == b"hello\n");
    ensure!(view.executor.is_none() && view.state.is_none());
    ensure!(bench.server.processes("a", number)?.is_empty());
    bench.server.set_keep("a", number, true)?;
    bench
        .server
        .describe_build("a", number, "mine", Some("v1"))?;
    let line = bench.server.builds("a", None, 10)?.remove(0);
    ensure!(line.keep && line.description == "mine" && line.display_name == "v1");
    ensure!(bench.server.jobs().remove(0).last == Some(line));
    let shown = bench.server.job("a")?;
    ensure!(shown.lasts.stable == Some(1) && shown.next_number == 2 && shown.estimate.is_some());
    ensure!(shown.workspace.as_deref() == Some(workspace.as_path()));
    bench.server.wipe_workspace("a")?;
    ensure!(!workspace.exists());
    bench.server.delete_build("a", number)?;
    ensure!(bench.server.build_numbers("a")?.is_empty());
    ensure!(!bench.home().join("jobs/a/builds/1").exists());
    ensure!(bench.build("a").is_err() || bench.server.job("a")?.next_number == 3);
    Ok(())
}

pub(crate) fn thousand() -> Result {
    let count = if std::env::var_os("WARD_TEST_ROUNDS").is_some() {
        1_000
    } else {
        100
    };
    let text = Parameter {
        name: "P".to_owned(),
        description: String::new(),
        kind: ParameterKind::Text {
            default: String::new(),
            trim: false,
        },
    };
    let many = Job {
        parameters: vec![text],
        concurrent: 8,
        name: "many".to_owned(),
        ..Job::default()
    };
    let bench = Bench::with(
        BuildServer {
            executors: 4,
            ..settings()
        },
        vec![many],
    )?;
    let began = Instant::now();
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(bench.ask_with("many", &[("P", &number.to_string())])?);
    }
    for id in ids {
        let number = bench.number_of(id)?;
        expect(&bench.end_of("many", number)?, BuildResult::Success)?;
    }
    println!("  {count} builds: {:?}", began.elapsed());
    ensure!(bench.server.build_numbers("many")?.len() == count);
    wait_until("an idle server", || bench.server.server().busy == 0)
}

pub(crate) fn queue() -> Result {
    let flag = Parameter {
        name: "FLAG".to_owned(),
        description: String::new(),
        kind: ParameterKind::Boolean { default: false },
    };
    let build = BuildServer {
        quiet_period: Duration::from_secs(3600),
        ..settings()
    };
    let bench = Bench::with(
        build,
        vec![Job {
            parameters: vec![flag],
            ..job("a", WAITS)
        }],
    )?;
    let first = bench.server.request(request("a", &[]))?;
    let second = bench.server.request(request("a", &[("FLAG", "no")]))?;
    ensure!(!first.folded && second.folded && first.id == second.id);
    let other = bench.server.request(request("a", &[("FLAG", "true")]))?;
    ensure!(!other.folded && other.id > first.id);
    ensure!(bench.server.queue().len() == 2);
    let item = bench.server.queue_item(first.id).expect("it waits");
    ensure!(matches!(item.place, QueuePlace::Waiting(_)) && item.why.contains("quiet period"));
    ensure!(bench.server.jobs().remove(0).waiting == 2);
    bench.server.cancel(other.id, "bob")?;
    ensure!(matches!(
        bench.server.cancel(other.id, "bob"),
        Err(Refusal::Nothing(_))
    ));
    let item = bench
        .server
        .queue_item(other.id)
        .expect("it left a moment ago");
    ensure!(item.place == QueuePlace::Cancelled && item.why.contains("bob"));
    let mut now = request("a", &[]);
    now.delay = Some(0);
    ensure!(bench.server.request(now.clone())?.folded);
    let number = bench.number_of(first.id)?;
    now.cause = Cause::Timer;
    let blocked = bench.server.request(now)?;
    let item = wait_for("a reason", || {
        bench
            .server
            .queue_item(blocked.id)
            .filter(|item| item.place == QueuePlace::Blocked)
    })?;
    ensure!(
        item.why.contains("Build #1 is already in progress"),
        "{}",
        item.why
    );
    bench.server.set_disabled("a", true)?;
    ensure!(bench.server.queue().is_empty());
    ensure!(matches!(
        bench.server.request(request("a", &[])),
        Err(Refusal::Conflict(_))
    ));
    bench.server.stop("a", number, "alice", true)?;
    expect(&bench.end_of("a", number)?, BuildResult::Aborted)
}

pub(crate) fn parameters() -> Result {
    let choice = Parameter {
        name: "WHERE".to_owned(),
        description: String::new(),
        kind: ParameterKind::Choice {
            choices: vec!["here".to_owned(), "there".to_owned()],
        },
    };
    let bench = Bench::new(vec![Job {
        parameters: vec![choice],
        ..job("a", "echo \"is $WHERE\"")
    }])?;
    let refused = bench.server.request(request("a", &[("WHERE", "nowhere")]));
    ensure!(matches!(refused, Err(Refusal::BadInput(_))), "{refused:?}");
    let id = bench.ask_with("a", &[("WHERE", "there"), ("UNKNOWN", "x")])?;
    let view = bench.end_of("a", bench.number_of(id)?)?;
    ensure!(log(&view)?.contains("is there\n"));
    ensure!(view.parameters.len() == 1 && view.parameters[0].value == "there");
    ensure!(log(&bench.build("a")?)?.contains("is here\n"));
    Ok(())
}

pub(crate) fn secrets() -> Result {
    let password = Parameter {
        name: "TOKEN".to_owned(),
        description: String::new(),
        kind: ParameterKind::Password {
            default: "default-secret-41".to_owned(),
        },
    };
    let waits = Job {
        parameters: vec![password],
        ..job("a", WAITS)
    };
    let mut bench = Bench::new(vec![waits.clone()])?;
    let first = bench.ask_with("a", &[("TOKEN", "given-secret-42")])?;
    let number = bench.number_of(first)?;
    let second = bench.ask_with("a", &[("TOKEN", "given-secret-43")])?;
    let shown = format!("{:?}", bench.server.job("a")?);
    let exported = String::from_utf8(bench.server.job_config("a")?)?;
    ensure!(!shown.contains("secret-4") && !exported.contains("secret-4"));
    let item = bench.server.queue_item(second).expect("it waits");
    ensure!(item.parameters[0].secret && item.parameters[0].value.is_empty());
    let view = bench.server.build("a", &Which::Number(number))?;
    ensure!(view.parameters[0].secret && view.parameters[0].value.is_empty());
    for name in ["history.sqlite", "history.sqlite-wal"] {
        let bytes = fs::read(bench.home().join(name))?;
        let text = String::from_utf8_lossy(&bytes);
        ensure!(!text.contains("given-secret"), "{name} shows a secret");
    }
    let plan = bench.home().join("jobs/a/builds/1/plan.json");
    ensure!(fs::metadata(&plan)?.permissions().mode() & 0o777 == 0o600);
    for name in ["history.sqlite", "history.sqlite-wal", "secret.key"] {
        let mode = fs::metadata(bench.home().join(name))?.permissions().mode();
        ensure!(mode & 0o077 == 0, "{name} has mode {mode:o}");
    }
    ensure!(fs::metadata(bench.home())?.permissions().mode() & 0o777 == 0o700);
    // What waits keeps its secret over a restart.
    bench.restart(vec![waits])?;
    bench.let_go("a")?;
    bench.end_of("a", number)?;
    let number = bench.number_of(second)?;
    bench.end_of("a", number)?;
    let plan = fs::read_to_string(
        bench
            .home()
            .join(format!("jobs/a/builds/{number}/plan.json")),
    )?;
    ensure!(plan.contains("given-secret-43"));
    Ok(())
}

pub(crate) fn stopped() -> Result {
    let bench = Bench::new(vec![job("a", WAITS)])?;
    let number = bench.number_of(bench.ask("a")?)?;
    wait_until("the step", || {
        let log = fs::read_to_string(bench.home().join("jobs/a/builds/1/log"));
        log.is_ok_and(|log| log.contains("begun"))
    })?;
    bench.server.stop("a", number, "alice", false)?;
    let view = bench.end_of("a", number)?;
    expect(&view, BuildResult::Aborted)?;
    ensure!(log(&view)?.contains("alice"), "{}", log(&view)?);
    // One that is over is left alone; one that never was is none.
    bench.server.stop("a", number, "alice", true)?;
    ensure!(matches!(
        bench.server.stop("a", 9, "alice", true),
        Err(Refusal::NoSuchBuild { .. })
    ));
    Ok(())
}

pub(crate) fn concurrent() -> Result {
    let two = Job {
        concurrent: 2,
        ..job("a", WAITS)
    };
    let mut bench = Bench::new(vec![two.clone()])?;
    for (number, cause) in [(1, "alice"), (2, "bob")] {
        let mut asked = request("a", &[]);
        asked.cause = Cause::User {
            user: cause.to_owned(),
        };
        let id = bench.server.request(asked)?.id;
        ensure!(bench.number_of(id)? == number);
    }
    let (first, second) = (
        bench.home().join("workspaces/a"),
        bench.home().join("workspaces/a@2"),
    );
    wait_until("both workspaces", || first.is_dir() && second.is_dir())?;
    // The next server knows which are taken.
    bench.restart(vec![two])?;
    fs::write(first.join("go"), "")?;
    bench.end_of("a", 1)?;
    let third = bench.number_of(bench.ask("a")?)?;
    fs::write(second.join("go"), "")?;
    let view = bench.end_of("a", third)?;
    ensure!(log(&view)?.contains("[a] $"), "{}", log(&view)?);
    bench.end_of("a", 2)?;
    Ok(())
}

pub(crate) fn downstream() -> Result {
    let after = |job: &str, threshold| Downstream {
        job: job.to_owned(),
        threshold,
    };
    let mut jobs = vec![job("lib", "true"), job("bad", "false"), job("app", "true")];
    jobs[0].downstream = vec![
        after("app", BuildResult::Success),
        after("nobody", BuildResult::Success),
    ];
    jobs[1].downstream = vec![
        after("app", BuildResult::Unstable),
        after("cleanup", BuildResult::Failure),
    ];
    let mut watcher = job("watcher", "true");
    watcher.triggers.upstream = vec![after("lib", BuildResult::Unstable)];
    jobs.push(watcher);
    jobs.push(job("cleanup", "true"));
    let bench = Bench::new(jobs)?;
    expect(&bench.build("lib")?, BuildResult::Success)?;
    let view = bench.end_of("app", 1)?;
    ensure!(view.causes[0].describe() == "Started by upstream project \"lib\" build number 1");
    bench.end_of("watcher", 1)?;
    let view = bench.server.build("lib", &Which::Last)?;
    ensure!(
        view.started == [("app".to_owned(), 1), ("watcher".to_owned(), 1)],
        "{:?}",
        view.started
    );
    ensure!(bench.server.job("lib")?.downstream == ["app", "watcher"]);
    ensure!(bench.server.job("app")?.upstream == ["bad", "lib"]);
    expect(&bench.build("bad")?, BuildResult::Failure)?;
    bench.end_of("cleanup", 1)?;
    ensure!(bench.server.build_numbers("app")? == [1]);
    Ok(())
}

pub(crate) fn tests() -> Result {
    let script = "cat > r.xml <<END\n<testsuite name='s'><testcase classname='c' name='one'/>\
        <testcase classname='c' name='two'>$(cat ../bad 2>/dev/null)</testcase></testsuite>\nEND\n";
    let junit = Junit {
        include: vec!["r.xml".to_owned()],
        ..Junit::default()
    };
    let bench = Bench::new(vec![Job {
        junit: vec![junit],
        ..job("a", script)
    }])?;
    expect(&bench.build("a")?, BuildResult::Success)?;
    let bad = bench.home().join("workspaces/bad");
    fs::write(&bad, "<failure message='no'/>")?;
    expect(&bench.build("a")?, BuildResult::Unstable)?;
    expect(&bench.build("a")?, BuildResult::Unstable)?;
    fs::remove_file(&bad)?;
    expect(&bench.build("a")?, BuildResult::Success)?;
    let case = |number| -> Result<_> {
        let suites = bench.server.tests("a", number)?;
        let case = suites[0]
            .cases
            .iter()
            .find(|case| case.name == "two")
            .expect("the case");
        Ok((case.status, case.age, case.failed_since))
    };
    ensure!(case(1)?.0 == TestStatus::Passed);
    ensure!(case(2)? == (TestStatus::Regression, 1, 2), "{:?}", case(2)?);
    ensure!(case(3)? == (TestStatus::Failed, 2, 2), "{:?}", case(3)?);
    ensure!(case(4)?.0 == TestStatus::Fixed);
    let trend = bench.server.test_trend("a", 3)?;
    let failed: Vec<(u32, u32)> = trend
        .iter()
        .map(|(number, counts)| (*number, counts.failed))
        .collect();
    ensure!(failed == [(2, 1), (3, 1), (4, 0)], "{trend:?}");
    Ok(())
}

pub(crate) fn retention() -> Result {
    let script = "[ $BUILD_NUMBER -gt 1 ] && exit 1; echo x > file";
    let keep = Keep {
        builds: Some(2),
        ..Keep::default()
    };
    let bench = Bench::new(vec![Job {
        keep,
        ..job("a", script)
    }])?;
    for _ in 0..5 {
        bench.build("a")?;
    }
    wait_until("old builds to go", || {
        bench
            .server
            .build_numbers("a")
            .is_ok_and(|numbers| numbers == [5, 4, 1])
    })?;
    wait_until("an empty trash", || {
        fs::read_dir(bench.home().join("trash")).is_ok_and(|mut entries| entries.next().is_none())
    })?;
    ensure!(!bench.home().join("jobs/a/builds/2").exists());
    ensure!(bench.home().join("jobs/a/builds/1").exists());
    Ok(())
}

pub(crate) fn notified() -> Result {
    let bench_directory = tempfile::tempdir()?;
    let told = bench_directory.path().join("told");
    let notify = Notify {
        commands: vec![format!("/usr/bin/env tee {}", told.display())],
        ..Notify::default()
    };
    let bench = Bench::new(vec![Job {
        notify,
        ..job("a", "false")
    }])?;
    expect(&bench.build("a")?, BuildResult::Failure)?;
    let document = bench.file(&told)?;
    ensure!(document.contains("FAILURE"), "{document}");
    wait_until("a note of it", || {
        bench
            .server
            .build("a", &Which::Last)
            .is_ok_and(|view| view.notified.len() == 1 && !view.notified[0].contains("failed"))
    })
}

pub(crate) fn quiet() -> Result {
    let bench = Bench::new(vec![job("a", "true")])?;
    bench.server.quiet_down(Some("backup"), true);
    let id = bench.ask("a")?;
    ensure!(bench.server.server().quieting_down.as_deref() == Some("backup"));
    let item = bench.server.queue_item(id).expect("it waits");
    ensure!(item.why.contains("about to shut down"), "{}", item.why);
    bench.server.quiet_down(None, false);
    expect(
        &bench.end_of("a", bench.number_of(id)?)?,
        BuildResult::Success,
    )
}
