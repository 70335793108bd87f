//! When a daemon is ready: `ward spawn` returns then, and not before; and if that never comes
//! to be, it says so, shows the end of the log, and leaves nobody.
//!
//! The daemons are real counterparts, written in Python, that become ready when a file appears.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use ward_testkit::daemons::{Ask, Custody, custody, free_port, nobody_is_left, state, stop};
use ward_testkit::patience::wait_until;
use ward_testkit::programs::python;
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::World;

type Result = anyhow::Result<()>;

const ENDED_OR_NOT_READY: i32 = 120;

/// The way to say it, a free port, and a path for a socket or a file.
const READY: &str = "
import http.server, os, pathlib, socket, sys, time
way, port, path, go = sys.argv[1], int(sys.argv[2]), sys.argv[3], pathlib.Path(sys.argv[4])
print('starting up', flush=True)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if go.exists() else 503)
        self.end_headers()
if way == 'http':
    server = http.server.HTTPServer(('127.0.0.1', port), Answer)
pathlib.Path(str(go) + '.started').touch()
if way == 'http':
    server.serve_forever()
while not go.exists():
    time.sleep(0.005)
if way == 'notify':
    where = os.environ['NOTIFY_SOCKET']
    where = '\\0' + where[1:] if where.startswith('@') else where
    said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    said.sendto(b'STATUS=warm\\nREADY=1\\n', where)
elif way.startswith('fd'):
    number = int(way[2:] or 3)
    os.write(number, b'\\n')
    os.close(number)
elif way == 'tcp':
    server = socket.create_server(('127.0.0.1', port))
elif way == 'unix':
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
elif way == 'log':
    print('now listening on port', port, flush=True)
elif way == 'exec':
    pathlib.Path(path).touch()
time.sleep(100)
";

/// What is common to all ways.
struct Way {
    /// For the daemon.
    name: &'static str,
    /// For ward.
    option: String,
    port: u16,
    path: PathBuf,
}

fn ways(world: &World) -> anyhow::Result<Vec<Way>> {
    let port = free_port()?;
    let path = world.path("meeting-place");
    let there = text(&path);
    let options = [
        ("notify", "notify".to_owned()),
        ("fd", "fd".to_owned()),
        ("fd7", "fd=7".to_owned()),
        ("tcp", format!("tcp:{port}")),
        ("tcp", format!("tcp:127.0.0.1:{port}")),
        ("unix", format!("unix:{there}")),
        ("http", format!("http://127.0.0.1:{port}/health")),
        ("log", r"log:listening on port \d+$".to_owned()),
        ("exec", format!("exec:test -e {there}")),
    ];
    let ways = options.into_iter().map(|(name, option)| Way {
        name,
        option,
        port,
        path: path.clone(),
    });
    Ok(ways.collect())
}

/// Watches for a while that something stays so. If it does not, that is wrong for certain; if
/// it does, this proves little, so what must come afterwards is asserted as well.
fn stays(what: &str, mut condition: impl FnMut() -> bool) -> Result {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(150) {
        ensure!(condition(), "{what}");
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn spawn_returns_when_the_daemon_is_ready() -> Result {
    let Some(python) = python("real ways to be ready") else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    let count = ways(&world!()?)?.len();
    for number in 0..count {
        let world = world!()?;
        let way = &ways(&world)?[number];
        if let Err(error) = becomes_ready(&world, &python, way) {
            wrong.push(format!("{}: {error:#}", way.option));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn becomes_ready(world: &World, python: &Path, way: &Way) -> Result {
    let (go, started) = (world.path("go"), world.path("go.started"));
    let mut asked = Ask::new(world, ["spawn", "--name", "web", "--ready", &way.option])
        .words([text(python).as_str(), "-c", READY, way.name])
        .words([way.port.to_string(), text(&way.path), text(&go)])
        .start()?;
    wait_until("the daemon to start up", || {
        started.exists() || asked.is_over()
    })?;
    let mut early = asked.is_over();
    if !early {
        early = stays("too early", || !asked.is_over()).is_err();
        fs::write(&go, "")?;
    }
    let answer = asked.answer()?;
    ensure!(!early, "returned before the daemon was ready: {answer:#?}");
    let answer = answer.expect(0)?;
    let leader = custody(world, "web")?.leader;
    ensure!(
        answer.out == format!("web: ready, pid {}\n", leader.pid),
        "{answer:#?}"
    );
    ensure!(leader.is_alive() && state(world, "web")? == "running");
    stop(world, &["web"])?;
    Ok(())
}

/// It lives, and says something, but never that it is ready.
#[test]
fn a_daemon_that_never_gets_ready() -> Result {
    let mut wrong = Vec::new();
    let count = ways(&world!()?)?.len();
    for number in 0..count {
        let world = world!()?;
        let option = &ways(&world)?[number].option;
        if let Err(error) = never_gets_ready(&world, option) {
            wrong.push(format!("{option}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn never_gets_ready(world: &World, option: &str) -> Result {
    let answer = Ask::new(world, ["spawn", "--name", "web", "--ready", option])
        .words(["--ready-timeout", "1s"])
        // A whole tree, so that it takes more than one signal to end it.
        .sh("echo waiting for the database; echo and for the moon >&2; (setsid sleep 611 &); exec sleep 612")
        .expect(ENDED_OR_NOT_READY)?;
    // The end of the log, on standard error.
    ensure!(
        answer.err.contains("waiting for the database") && answer.err.contains("and for the moon"),
        "{answer:#?}"
    );
    ensure!(answer.out.is_empty(), "{answer:#?}");
    nobody_is_left(world)?;
    Ask::new(world, ["status", "web"]).expect(3)?;
    Ok(())
}

/// It ends before it is ready: nobody waits for the time to be over.
#[test]
fn a_daemon_that_ends_before_it_is_ready() -> Result {
    let mut wrong = Vec::new();
    let count = ways(&world!()?)?.len();
    for number in 0..count {
        let world = world!()?;
        let option = &ways(&world)?[number].option;
        let outcome = Ask::new(&world, ["spawn", "--name", "web", "--ready", option])
            .words(["--ready-timeout", "1h"])
            .sh("echo no such setting: colour >&2; exit 3")
            .expect(ENDED_OR_NOT_READY)
            .and_then(|answer| {
                ensure!(
                    answer.err.contains("no such setting: colour"),
                    "{answer:#?}"
                );
                ensure!(answer.err.contains('3'), "no exit status: {answer:#?}");
                nobody_is_left(&world)
            });
        if let Err(error) = outcome {
            wrong.push(format!("{option}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Somebody else answers on the port: that is not this daemon's being ready, if it ends.
#[test]
fn somebody_else_has_the_port() -> Result {
    let world = world!()?;
    let other = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let option = format!("tcp:{}", other.local_addr()?.port());
    let answer = Ask::new(&world, ["spawn", "--name", "web", "--ready", &option])
        .sh("echo address in use; exit 98")
        .answer()?;
    // Whoever looks before the daemon has ended cannot know better.
    ensure!(
        [0, ENDED_OR_NOT_READY].contains(&answer.code()),
        "{answer:#?}"
    );
    wait_until("the daemon to be over", || world.survivors().is_empty())?;
    nobody_is_left(&world)
}

/// Interrupted while it waits: the daemon that nobody has seen ready is not left behind, or is
/// known and can be stopped.
#[test]
fn a_spawn_that_is_interrupted() -> Result {
    for signal in [
        rustix::process::Signal::INT,
        rustix::process::Signal::TERM,
        rustix::process::Signal::HUP,
    ] {
        let world = world!()?;
        let mut asked = Ask::new(&world, ["spawn", "--name", "web", "--ready", "notify"])
            .words(["--ready-timeout", "1h", "--grace", "300ms"])
            .hostile(&["mixed-tree", "8"])
            .start()?;
        world.await_signatures(8)?;
        ensure!(!asked.is_over());
        asked.signal(signal)?;
        let answer = asked.answer()?;
        ensure!(answer.code() != 0, "{answer:#?}");
        stop(&world, &["web"])?;
    }
    Ok(())
}

#[test]
fn ways_that_make_no_sense() -> Result {
    let world = world!()?;
    for way in [
        "",
        "nonsense",
        "fd=x",
        "fd=-1",
        "tcp:",
        "tcp:x:y",
        "tcp:70000",
        "unix:",
        "http:",
        "log:(",
        "exec:",
    ] {
        let answer = Ask::new(&world, ["spawn", "--ready", way])
            .hostile(&["linger"])
            .answer()?;
        ensure!(answer.code() == 2, "{way:?}: {answer:#?}");
        nobody_is_left(&world)?;
    }
    Ok(())
}

/// Replaced, and ready: for whoever asks next, the new one answers.
#[test]
fn a_replacement_that_is_ready() -> Result {
    let Some(python) = python("real ways to be ready") else {
        return Ok(());
    };
    let world = world!()?;
    let go = world.path("go");
    fs::write(&go, "")?;
    let mut before: Option<Custody> = None;
    for _ in 0..3 {
        let port = free_port()?;
        let option = format!("http://127.0.0.1:{port}/");
        Ask::new(
            &world,
            ["spawn", "--name", "web", "--replace", "--ready", &option],
        )
        .words([text(&python).as_str(), "-c", READY, "http"])
        .words([port.to_string(), text(world.path("x")), text(&go)])
        .expect(0)?;
        std::net::TcpStream::connect(("127.0.0.1", port))?;
        let now = custody(&world, "web")?;
        ensure!(before.is_none_or(|before| !before.leader.is_alive()));
        before = Some(now);
    }
    stop(&world, &["web"])?;
    Ok(())
}
