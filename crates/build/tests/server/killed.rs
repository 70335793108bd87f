//! Whoever is killed, and when: nothing that was accepted is lost, and nothing is built or recorded twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use ward_build::api::{Builds, Which};
use ward_config::build::BuildServer;
use ward_config::job::{Job, Parameter, ParameterKind};
use ward_model::build::BuildResult;
use ward_testkit::moments::{let_pass, moments};
use ward_testkit::patience::{wait_for, wait_until};

use super::Result;
use super::bench::{Bench, end_of, expect, job, log, open, request, settings};
use super::builds::WAITS;

/// Where the server is that this process is to be.
const HOME: &str = "WARD_TEST_SERVER_HOME";

/// What is built: it writes down that it was, and nothing else tells.
fn counted() -> Job {
    let script =
        "echo \"$P $BUILD_NUMBER\" >> \"$JENKINS_HOME/../built\"\nsleep 0.0$((BUILD_NUMBER % 3))";
    let parameter = Parameter {
        name: "P".to_owned(),
        description: String::new(),
        kind: ParameterKind::Text {
            default: String::new(),
            trim: false,
        },
    };
    Job {
        parameters: vec![parameter],
        concurrent: 4,
        ..job("a", script)
    }
}

fn four() -> BuildServer {
    BuildServer {
        executors: 4,
        ..settings()
    }
}

/// A server that takes a request for each line, and tells its number.
pub(crate) fn by_role() -> Option<ExitCode> {
    let home = std::env::var_os(HOME)?;
    let serve = || -> Result {
        let (server, _) = open(Path::new(&home), four(), vec![counted()])?;
        server.start()?;
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let id = server.request(request("a", &[("P", &line)]))?.id;
            println!("{id} {line}");
        }
        server.shut_down(false);
        Ok(())
    };
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    })
}

/// A server of its own process.
struct Other {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Other {
    fn start(home: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(HOME, home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().context("asked for")?);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take().context("asked for")?;
        let other = Self {
            child,
            stdin,
            lines,
        };
        let line = other.lines.recv_timeout(Duration::from_secs(60))?;
        ensure!(line == "ready", "{line}");
        Ok(other)
    }

    fn kill(mut self) -> Result<Receiver<String>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.lines)
    }
}

pub(crate) fn storm() -> Result {
    let directory = TempDir::new()?;
    let home = directory.path().join("home");
    let mut accepted: BTreeMap<u64, String> = BTreeMap::new();
    let mut count = 0;
    for moment in moments(Duration::from_millis(120)) {
        let mut other = Other::start(&home)?;
        for _ in 0..4 {
            count += 1;
            writeln!(other.stdin, "p{count}")?;
        }
        let_pass(moment);
        for line in other.kill()? {
            let (id, name) = line.split_once(' ').context("a number and a name")?;
            let twice = accepted.insert(id.parse()?, name.to_owned());
            ensure!(twice.is_none(), "the number {id} was given twice");
        }
    }
    let (server, said) = open(&home, four(), vec![counted()])?;
    server.start()?;
    wait_until("everything to be built", || {
        let state = server.server();
        state.busy == 0 && state.waiting == 0
    })?;
    let mut numbers = BTreeSet::new();
    for (id, name) in &accepted {
        let number = super::bench::number_of(&server, *id)?;
        let view = end_of(&server, "a", number)?;
        expect(&view, BuildResult::Success)?;
        ensure!(
            log(&view)?.ends_with("Finished: SUCCESS\n"),
            "{}",
            log(&view)?
        );
        ensure!(view.queue_id == *id && view.parameters[0].value == *name);
        ensure!(numbers.insert(number), "{number} is two requests");
    }
    let built = fs::read_to_string(directory.path().join("built"))?;
    let mut seen = BTreeSet::new();
    for line in built.lines() {
        let (name, _) = line.split_once(' ').context("a name and a number")?;
        ensure!(
            seen.insert(name.to_owned()),
            "{name} was built twice:\n{built}"
        );
    }
    for (id, name) in &accepted {
        ensure!(seen.contains(name), "request {id} ({name}) was not built");
    }
    let all = server.build_numbers("a")?;
    ensure!(
        all.len() == seen.len(),
        "{} are recorded, {} were built",
        all.len(),
        seen.len()
    );
    server.shut_down(true);
    let said = said.lock().map(|said| said.join("\n")).unwrap_or_default();
    ensure!(!said.contains("own process"), "{said}");
    Ok(())
}

pub(crate) fn runner() -> Result {
    let bench = Bench::new(vec![job("a", WAITS)])?;
    let number = bench.number_of(bench.ask("a")?)?;
    wait_until("the step", || {
        let log = fs::read_to_string(bench.home().join("jobs/a/builds/1/log"));
        log.is_ok_and(|log| log.contains("begun"))
    })?;
    let state = bench
        .server
        .build("a", &Which::Last)?
        .state
        .context("it runs")?;
    kill_process(Pid::from_raw(state.pid).context("a process")?, Signal::KILL)?;
    let view = bench.end_of("a", number)?;
    expect(&view, BuildResult::Failure)?;
    let outcome = view.outcome.context("it was recorded")?;
    ensure!(
        outcome.why.as_deref() == Some("the build's own process was killed"),
        "{outcome:?}"
    );
    ensure!(outcome.log_bytes == fs::metadata(&view.log)?.len());
    // A directory that vanished under a build is said, and nothing else.
    let number = bench.number_of(bench.ask("a")?)?;
    let directory = bench.home().join(format!("jobs/a/builds/{number}"));
    wait_until("the step", || {
        fs::read_to_string(directory.join("log")).is_ok_and(|log| log.contains("begun"))
    })?;
    let state = bench
        .server
        .build("a", &Which::Last)?
        .state
        .context("it runs")?;
    fs::rename(&directory, bench.directory.path().join("elsewhere"))?;
    kill_process(Pid::from_raw(state.pid).context("a process")?, Signal::KILL)?;
    let view = bench.end_of("a", number)?;
    let why = view
        .outcome
        .and_then(|outcome| outcome.why)
        .unwrap_or_default();
    ensure!(why.contains("directory is gone"), "{why}");
    Ok(())
}

pub(crate) fn server() -> Result {
    let directory = TempDir::new()?;
    let home = directory.path().join("home");
    let mut other = Other::start(&home)?;
    writeln!(other.stdin, "one")?;
    let line = other.lines.recv_timeout(Duration::from_secs(60))?;
    let id: u64 = line.split_once(' ').context("a number")?.0.parse()?;
    wait_for("the build", || {
        fs::read_to_string(directory.path().join("built")).ok()
    })?;
    other.kill()?;
    // It ends while there is no server.
    wait_until("its outcome", || {
        home.join("jobs/a/builds/1/outcome.json").exists()
    })?;
    let (server, _) = open(&home, four(), vec![counted()])?;
    server.start()?;
    ensure!(super::bench::number_of(&server, id)? == 1);
    expect(&end_of(&server, "a", 1)?, BuildResult::Success)?;
    server.shut_down(true);
    Ok(())
}

pub(crate) fn shutdown() -> Result {
    let mut bench = Bench::new(vec![job("a", WAITS)])?;
    let number = bench.number_of(bench.ask("a")?)?;
    let waiting = bench.server.request(request("a", &[]))?;
    bench.restart(vec![job("a", WAITS)])?;
    ensure!(bench.server.build("a", &Which::Last)?.line.result.is_none());
    ensure!(bench.server.queue_item(waiting.id).is_some());
    bench.let_go("a")?;
    expect(&bench.end_of("a", number)?, BuildResult::Success)?;
    let second = bench.number_of(waiting.id)?;
    bench.end_of("a", second)?;
    fs::remove_file(bench.home().join("workspaces/a/go"))?;
    let third = bench.number_of(bench.ask("a")?)?;
    bench.server.shut_down(true);
    let view = bench.server.build("a", &Which::Number(third))?;
    expect(&view, BuildResult::Aborted)?;
    ensure!(
        log(&view)?.contains("the shutdown of the server"),
        "{}",
        log(&view)?
    );
    Ok(())
}
