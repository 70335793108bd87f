//! The life of a daemon under its name: `stop`, `restart`, `status`, and what `ps` says of it, to
//! a person and to a program.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use ward_model::rung::Rung;
use ward_testkit::daemons::{
    Ask, await_state, custody, directory, nobody_is_left, ps, shown, spawn, state, stop, whole_log,
};
use ward_testkit::killers::{FreestyleBuild, Variable};
use ward_testkit::patience::wait_until;
use ward_testkit::processes::{look, variable};
use ward_testkit::run::text;
use ward_testkit::truth::is_rfc3339;
use ward_testkit::world;
use ward_testkit::world::{Setting, Who, can_have, settings};

type Result = anyhow::Result<()>;

const UNKNOWN_NAME: i32 = 121;

/// Sixty processes that left in every known way, and not one of them is left.
#[test]
fn a_stop_ends_everybody() -> Result {
    for rung in [Rung::Guardian, Rung::Cgroup] {
        let setting = Setting {
            who: Who::Myself,
            rung,
        };
        if !can_have(setting) {
            continue;
        }
        let world = world!()?;
        let options = ["--grace", "500ms", "--containment", rung.name()];
        let custody = spawn(&world, "web", &options, &["mixed-tree", "60"])?;
        world.await_signatures(60)?;
        let shown = shown(&world, "web")?.context("not shown")?;
        ensure!(
            shown["processes"].as_u64() >= Some(60),
            "{rung:?}: {shown:#}"
        );
        stop(&world, &["web"]).with_context(|| format!("{rung:?}"))?;
        for member in [custody.front, custody.guardian, custody.leader] {
            ensure!(!member.is_alive(), "{rung:?}: {member:?}");
        }
        let forgotten = world.forgotten_cgroups();
        ensure!(forgotten.is_empty(), "{rung:?}: {forgotten:?}");
    }
    Ok(())
}

/// In whatever way the caller can hold a tree, he can end it.
#[test]
fn everybody_can_stop_his_own() -> Result {
    for setting in settings() {
        let world = world!()?;
        Ask::by(&world, setting.who, ["spawn", "--name", "web"])
            .words(["--grace", "300ms", "--containment", setting.rung.name()])
            .hostile(&["mixed-tree", "12"])
            .expect(0)
            .with_context(|| format!("{setting:?}"))?;
        world.await_signatures(12)?;
        Ask::by(&world, setting.who, ["stop", "web"]).expect(0)?;
        nobody_is_left(&world).with_context(|| format!("{setting:?}"))?;
    }
    Ok(())
}

/// `--force` waits for nobody, `--grace` says for how long.
#[test]
fn a_stop_may_be_in_a_hurry() -> Result {
    for hurry in [&["--force"][..], &["--grace", "100ms"], &["--grace", "0"]] {
        let world = world!()?;
        spawn(&world, "web", &["--grace", "1h"], &["ignore-term"])?;
        world.await_signatures(1)?;
        Ask::new(&world, ["stop", "web"]).words(hurry).expect(0)?;
        nobody_is_left(&world)?;
    }
    Ok(())
}

/// Who asks twice does not wait, and neither does who asked first.
#[test]
fn a_second_stop_skips_the_grace() -> Result {
    let world = world!()?;
    let cleaned = text(world.path("cleaned"));
    spawn(
        &world,
        "web",
        &["--grace", "1h"],
        &["cleanup", "100", &cleaned],
    )?;
    world.await_signatures(1)?;
    let mut first = Ask::new(&world, ["stop", "web"]).start()?;
    let said = |word: &str| {
        whole_log(&world, "web").is_ok_and(|log| String::from_utf8_lossy(&log).contains(word))
    };
    // Past the time in which a second request is taken for an echo of the first.
    wait_until("the clean-up to go on", || said("cleaning 60"))?;
    ensure!(!first.is_over());
    Ask::new(&world, ["stop", "web"]).expect(0)?;
    nobody_is_left(&world)?;
    first.answer()?.expect(0)?;
    ensure!(!said("END"));
    Ok(())
}

/// Whoever looks during a stop is told that there is one.
#[test]
fn what_ps_says_during_a_stop() -> Result {
    let world = world!()?;
    let cleaned = text(world.path("cleaned"));
    spawn(
        &world,
        "web",
        &["--grace", "1h"],
        &["cleanup", "100", &cleaned],
    )?;
    world.await_signatures(1)?;
    let first = Ask::new(&world, ["stop", "web"]).start()?;
    wait_until("the clean-up to begin", || {
        whole_log(&world, "web")
            .is_ok_and(|log| String::from_utf8_lossy(&log).contains("cleaning 10"))
    })?;
    let state = state(&world, "web");
    Ask::new(&world, ["stop", "--force", "web"]).expect(0)?;
    first.answer()?.expect(0)?;
    assert_eq!(state?, "stopping");
    Ok(())
}

/// A daemon that does not get ready can be stopped meanwhile: nobody waits for an hour.
#[test]
fn a_daemon_is_stopped_while_it_starts() -> Result {
    let world = world!()?;
    let mut asked = Ask::new(&world, ["spawn", "--name", "web", "--ready", "notify"])
        .words(["--ready-timeout", "1h", "--grace", "300ms"])
        .hostile(&["mixed-tree", "6"])
        .start()?;
    world.await_signatures(6)?;
    ensure!(!asked.is_over());
    let state = state(&world, "web")?;
    ensure!(["starting", "running"].contains(&state.as_str()), "{state}");
    Ask::new(&world, ["status", "web"]).expect(0)?;
    stop(&world, &["web"])?;
    let answer = asked.answer()?;
    ensure!(answer.code() == 120, "{answer:#?}");
    Ok(())
}

/// It closes every descriptor it has: its log is at its end, and it is not.
#[test]
fn a_daemon_that_closes_everything() -> Result {
    let world = world!()?;
    let custody = spawn(&world, "web", &[], &["close-and-stay"])?;
    world.await_signatures(1)?;
    for _ in 0..5 {
        assert_eq!(state(&world, "web")?, "running");
    }
    ensure!(custody.leader.is_alive() && custody.front.is_alive());
    stop(&world, &["web"])?;
    Ok(())
}

/// A daemon is told once, by the signal that it was spawned with, and may clean up.
#[test]
fn a_stop_lets_it_clean_up() -> Result {
    let world = world!()?;
    let record = text(world.path("signals"));
    let options = ["--grace", "1h", "--signal", "INT"];
    spawn(&world, "web", &options, &["count-signals", &record, "0.3"])?;
    world.await_signatures(1)?;
    stop(&world, &["web"])?;
    assert_eq!(fs::read_to_string(&record)?, "INT\n");
    Ok(())
}

#[test]
fn several_are_stopped_at_once() -> Result {
    let world = world!()?;
    for name in ["a", "b", "c"] {
        spawn(&world, name, &[], &["linger"])?;
    }
    let answer = Ask::new(&world, ["stop", "a", "nobody", "b"]).expect(UNKNOWN_NAME)?;
    ensure!(answer.err.contains("nobody"), "{answer:#?}");
    // An unknown name is no reason to leave the others.
    assert_eq!(world.survivors().len(), 1, "{:#?}", world.survivors());
    assert_eq!(state(&world, "c")?, "running");
    stop(&world, &["a", "b", "c"])?;
    stop(&world, &["a", "b", "c"]).context("nobody runs, which is what was asked for")?;
    Ok(())
}

#[test]
fn a_name_that_nobody_knows() -> Result {
    let world = world!()?;
    for (words, code) in [
        (["stop", "nobody"], UNKNOWN_NAME),
        (["restart", "nobody"], UNKNOWN_NAME),
        (["logs", "nobody"], UNKNOWN_NAME),
        (["status", "nobody"], 4),
    ] {
        let answer = Ask::new(&world, words).expect(code)?;
        let said = answer.out.clone() + &answer.err;
        ensure!(said.contains("nobody"), "{answer:#?}");
    }
    Ok(())
}

#[test]
fn what_status_says() -> Result {
    let world = world!()?;
    Ask::new(&world, ["status", "web"]).expect(4)?;
    let custody = spawn(&world, "web", &[], &["linger"])?;
    let answer = Ask::new(&world, ["status", "web"]).expect(0)?;
    let pid = custody.leader.pid;
    ensure!(answer.out.contains(&pid.to_string()), "{answer:#?}");
    let json = Ask::new(&world, ["status", "web", "--json"])
        .expect(0)?
        .json()?;
    assert_eq!(
        (&json["state"], &json["pid"]),
        (&"running".into(), &pid.into())
    );
    stop(&world, &["web"])?;
    Ask::new(&world, ["status", "web"]).expect(3)?;
    let json = Ask::new(&world, ["status", "web", "--json"])
        .expect(3)?
        .json()?;
    assert_eq!(json["state"], "ended", "{json:#}");
    Ok(())
}

/// How a daemon ended by itself stays known.
#[test]
fn who_ends_by_himself() -> Result {
    let world = world!()?;
    let rows = [
        ("well", "exit 0"),
        ("badly", "exit 7"),
        ("killed", "kill -9 $$"),
    ];
    for (name, end) in rows {
        let go = text(world.path(name));
        Ask::new(&world, ["spawn", "--name", name])
            .sh(&format!("until [ -e {go} ]; do sleep 0.01; done; {end}"))
            .expect(0)?;
        fs::write(world.path(name), "")?;
        wait_until("it to end", || {
            Ask::new(&world, ["status", name])
                .answer()
                .is_ok_and(|answer| answer.code() == 3)
        })?;
    }
    nobody_is_left(&world)?;
    let of = |name| -> anyhow::Result<Value> { shown(&world, name)?.context("not shown") };
    let (well, badly, killed) = (of("well")?, of("badly")?, of("killed")?);
    assert_eq!(
        (&well["state"], &well["end"]["exit_status"]),
        (&"ended".into(), &0.into()),
        "{well:#}"
    );
    assert_eq!(
        (&badly["state"], &badly["end"]["exit_status"]),
        (&"failed".into(), &7.into()),
        "{badly:#}"
    );
    assert_eq!(killed["state"], "failed", "{killed:#}");
    ensure!(
        killed["end"]["signal"].to_string().contains("KILL") || killed["end"]["signal"] == 9,
        "{killed:#}"
    );
    Ok(())
}

/// The same command, environment and directory, and another process.
#[test]
fn a_restart() -> Result {
    let world = world!()?;
    let place = text(world.path("place"));
    fs::create_dir(&place)?;
    Ask::new(&world, ["spawn", "--name", "web", "--chdir", &place])
        .variable("TASTE", "sweet")
        .hostile(&["linger"])
        .expect(0)?;
    let before = custody(&world, "web")?;
    // Whoever restarts it has another environment and is somewhere else.
    Ask::new(&world, ["restart", "web"])
        .variable("TASTE", "sour")
        .expect(0)?;
    let after = custody(&world, "web")?;
    ensure!(!before.leader.is_alive() && after.leader.is_alive());
    assert_eq!(
        variable(after.leader.pid, "TASTE").as_deref(),
        Some("sweet")
    );
    assert_eq!(
        text(fs::read_link(format!("/proc/{}/cwd", after.leader.pid))?),
        place
    );
    assert_eq!(world.survivors().len(), 1);
    stop(&world, &["web"])?;
    // Also from the dead.
    Ask::new(&world, ["restart", "web"]).expect(0)?;
    ensure!(custody(&world, "web")?.leader.is_alive());
    assert_eq!(state(&world, "web")?, "running");
    stop(&world, &["web"])?;
    Ok(())
}

#[test]
fn what_ps_says_of_a_daemon() -> Result {
    let world = world!()?;
    let build = FreestyleBuild::new(&world, 17);
    Ask::new(&world, ["spawn", "--name", "web"])
        .directory(world.path("."))
        .variables(&build.environment())
        .sh("sleep 612 & exec sleep 613")
        .expect(0)?;
    let custody = custody(&world, "web")?;
    wait_until("both to sleep", || {
        let found = world.survivors();
        found
            .iter()
            .filter(|seen| seen.command.starts_with("sleep 61"))
            .count()
            == 2
    })?;
    let web = shown(&world, "web")?.context("not shown")?;
    let text_of = |field: &str| web[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(web["state"], "running", "{web:#}");
    assert_eq!(web["pid"], custody.leader.pid);
    assert_eq!(web["command"][0], "/bin/sh");
    assert_eq!(web["command"][3], world.mark());
    assert_eq!(web["processes"], 2);
    assert_eq!(web["directory"], "/");
    assert_eq!(web["end"], Value::Null);
    let id = variable(custody.leader.pid, "WARD_RUN_ID");
    assert_eq!(web["run_id"].as_str(), id.as_deref());
    ensure!(is_rfc3339(&text_of("started")), "{web:#}");
    ensure!(!text_of("user").is_empty(), "{web:#}");
    ensure!(
        web["uptime"].as_f64().is_some_and(|uptime| uptime >= 0.0),
        "{web:#}"
    );
    ensure!(web["cpu"].as_f64().is_some_and(|cpu| cpu >= 0.0), "{web:#}");
    ensure!(web["memory_bytes"].as_u64() > Some(0), "{web:#}");
    assert_eq!(text_of("log"), text(directory(&world, "web").join("log")));
    let origin = &web["origin"];
    assert_eq!(origin["kind"], "jenkins", "{origin:#}");
    ensure!(origin["build"].to_string().contains("17"), "{origin:#}");
    assert_eq!(origin["url"], "http://jenkins.invalid/job/x/17/");
    ensure!(
        origin["user"].is_string() && origin["parent"] != Value::Null,
        "{origin:#}"
    );
    ensure!(
        is_rfc3339(origin["at"].as_str().unwrap_or_default()),
        "{origin:#}"
    );
    let from = origin["directory"].as_str().context("no directory")?;
    assert_eq!(fs::canonicalize(from)?, fs::canonicalize(world.path("."))?);

    stop(&world, &["web"])?;
    let web = shown(&world, "web")?.context("not shown")?;
    assert_eq!(web["state"], "ended", "{web:#}");
    ensure!(
        web["end"].is_object() && !web["end"]["cause"].is_null(),
        "{web:#}"
    );
    // Who has ended is shown to who asks for all only.
    let running = ps(&world, &[])?;
    ensure!(running.is_empty(), "{running:#?}");
    Ok(())
}

#[test]
fn where_a_daemon_comes_from() -> Result {
    let rows: [(&str, &[(&'static str, &str)]); 5] = [
        ("shell", &[]),
        (
            "jenkins",
            &[
                ("JENKINS_URL", "http://j.invalid/"),
                ("BUILD_URL", "http://j.invalid/1/"),
                ("JOB_NAME", "x"),
                ("BUILD_NUMBER", "1"),
            ],
        ),
        (
            "github",
            &[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_RUN_ID", "7"),
                ("GITHUB_SERVER_URL", "https://g.invalid"),
                ("GITHUB_REPOSITORY", "a/b"),
            ],
        ),
        (
            "gitlab",
            &[
                ("GITLAB_CI", "true"),
                ("CI_JOB_ID", "7"),
                ("CI_JOB_URL", "https://g.invalid/7"),
            ],
        ),
        (
            "buildkite",
            &[
                ("BUILDKITE", "true"),
                ("BUILDKITE_BUILD_NUMBER", "7"),
                ("BUILDKITE_BUILD_URL", "https://b.invalid/7"),
            ],
        ),
    ];
    let world = world!()?;
    for (kind, variables) in rows {
        let variables: Vec<Variable> = variables
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Ask::new(&world, ["spawn", "--name", kind])
            .variables(&variables)
            .hostile(&["linger"])
            .expect(0)?;
        let shown = shown(&world, kind)?.context("not shown")?;
        assert_eq!(shown["origin"]["kind"], kind, "{shown:#}");
        stop(&world, &[kind])?;
    }
    let ward = text(world.ward_program());
    let daemon = world.hostile_text(&["linger"]);
    let mut ended = world
        .ward()
        .sh(&format!("{ward} spawn --name in-a-run -- {daemon}"))
        .finish()?;
    ended.survivors.clear();
    let shown = shown(&world, "in-a-run")?.context("not shown")?;
    assert_eq!(shown["origin"]["kind"], "ward", "{shown:#}");
    stop(&world, &["in-a-run"])?;
    Ok(())
}

/// Builds are shown too, while they run, and without anybody having written them down.
#[test]
fn what_ps_says_of_a_build() -> Result {
    for setting in settings() {
        if setting.who != Who::Myself {
            continue;
        }
        let world = world!()?;
        let mut running = world
            .ward()
            .setting(setting)
            .options(["--grace", "300ms"])
            .hostile(&["mixed-tree", "8"])
            .start()?;
        running.await_signatures(8)?;
        let guardian = running.guardian()?;
        let all = Ask::new(&world, ["ps", "--builds", "--json"])
            .expect(0)?
            .json()?;
        let builds = all["builds"].as_array().context("no list")?;
        // Other tests run at the same time.
        let mine: Vec<&Value> = builds
            .iter()
            .filter(|build| build["pid"] == running.front())
            .collect();
        let [build] = mine[..] else {
            anyhow::bail!("{setting:?}: {all:#}");
        };
        assert_eq!(build["guardian"], guardian);
        ensure!(build["processes"].as_u64() >= Some(8), "{build:#}");
        ensure!(
            is_rfc3339(build["started"].as_str().unwrap_or_default()),
            "{build:#}"
        );
        running.signal(Signal::TERM)?;
        running.finish()?;
    }
    Ok(())
}

/// A person reads it too: the name, the state and the number in one line. The name is one that
/// no other test has, as root sees everybody's.
#[test]
fn what_a_person_sees() -> Result {
    let world = world!()?;
    let custody = spawn(&world, "seen-by-a-person", &[], &["linger"])?;
    for words in [
        &["ps"][..],
        &["ps", "--detached"],
        &["ps", "--all"],
        &["ps", "--tree"],
    ] {
        let answer = Ask::new(&world, words).expect(0)?;
        let pid = custody.leader.pid.to_string();
        ensure!(
            answer
                .out
                .lines()
                .any(|line| line.contains("seen-by-a-person") && line.contains(&pid)),
            "{words:?}: {answer:#?}"
        );
    }
    stop(&world, &["seen-by-a-person"])?;
    let answer = Ask::new(&world, ["ps"]).expect(0)?;
    ensure!(!answer.out.contains("seen-by-a-person"), "{answer:#?}");
    Ok(())
}

#[test]
fn one_object_for_a_program() -> Result {
    let world = world!()?;
    let answer = Ask::new(&world, ["spawn", "--name", "web", "--json"])
        .hostile(&["linger"])
        .expect(0)?;
    let said = answer.json()?;
    let shown = shown(&world, "web")?.context("not shown")?;
    for field in [
        "name", "run_id", "pid", "command", "log", "origin", "started",
    ] {
        assert_eq!(said[field], shown[field], "{field}: {said:#}");
    }
    let quiet = Ask::new(&world, ["spawn", "-q", "--name", "other"])
        .hostile(&["linger"])
        .expect(0)?;
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));
    assert_eq!(ps(&world, &[])?.len(), 2);
    stop(&world, &["web", "other"])?;
    Ok(())
}

/// Who reads the ledger learns what was started with which secrets.
#[test]
fn the_ledger_is_nobody_elses_affair() -> Result {
    let world = world!()?;
    let script = format!(
        "umask 0; {} spawn --name web -- sleep 612",
        text(world.ward_program())
    );
    Ask::shell(&world, &script).expect(0)?;
    let state = world.state_of(Who::Myself);
    for path in [
        state.clone(),
        state.join("daemons"),
        directory(&world, "web"),
    ] {
        let mode = fs::metadata(&path)?.permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{}", path.display());
    }
    for entry in fs::read_dir(directory(&world, "web"))? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{}", entry.path().display());
    }
    stop(&world, &["web"])?;
    Ok(())
}

/// The leader ends, and somebody of his tree lives: so the daemon does.
#[test]
fn a_daemon_that_daemonizes_itself() -> Result {
    let world = world!()?;
    spawn(&world, "web", &[], &["daemonize"])?;
    let daemon = world.await_signatures(1)?[0];
    let leader = custody(&world, "web")?.leader;
    wait_until("the first process to end", || !leader.is_alive())?;
    // Whatever ward waits for now, it must not be the end of the daemon.
    await_state(&world, "web", "running")?;
    ensure!(look(daemon).is_some_and(|seen| !seen.is_zombie()));
    assert_eq!(shown(&world, "web")?.context("not shown")?["processes"], 1);
    stop(&world, &["web"])?;
    Ok(())
}
