//! Real servers: started, seen ready, asked, replaced under load and stopped, with their
//! workers, also if they daemonize themselves.
//!
//! All listen on loopback, on ports that nobody else has, and keep every file in the world of
//! the test. Programs that are not there are said to be skipped.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ward_testkit::daemons::{
    Ask, await_state, custody, everything, free_port, nobody_is_left, shown, stop, whole_log,
};
use ward_testkit::patience::wait_until;
use ward_testkit::programs::{in_path, put, python, skipped};
use ward_testkit::run::text;
use ward_testkit::world;
use ward_testkit::world::World;

type Result = anyhow::Result<()>;

/// A program, under a path of this world: so whoever runs it is known to belong here, whatever
/// it does with its environment and its arguments.
fn ours(world: &World, name: &str) -> Option<PathBuf> {
    let system = ["/usr/sbin", "/usr/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file());
    let Some(program) = system.or_else(|| in_path(name)) else {
        skipped(name, "not installed");
        return None;
    };
    // What is in the path may be a link to a program of another name.
    let outcome = fs::canonicalize(program)
        .map_err(Into::into)
        .and_then(|program| put(&program, &world.programs()))
        .and_then(|path| {
            let place = world.programs().join(name);
            fs::rename(path, &place)?;
            Ok(place)
        });
    match outcome {
        Ok(path) => Some(path),
        Err(error) => {
            skipped(name, &format!("cannot be put into place: {error:#}"));
            None
        }
    }
}

/// Asks for `/` and gives the whole answer.
fn fetch(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn answers(port: u16, wanted: &str) -> Result {
    let answer = fetch(port)?;
    ensure!(
        answer.starts_with("HTTP/1") && answer.contains(wanted),
        "{answer}"
    );
    Ok(())
}

fn nobody_listens(port: u16) -> Result {
    let outcome = TcpStream::connect(("127.0.0.1", port));
    ensure!(outcome.is_err(), "somebody listens on {port}");
    Ok(())
}

/// A directory with a page that says `words`.
fn site(world: &World, name: &str, words: &str) -> anyhow::Result<String> {
    let directory = world.path(name);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("index.html"), words)?;
    Ok(text(directory))
}

fn http_server<'w>(
    world: &'w World,
    python: &Path,
    options: &[&str],
    port: u16,
    directory: &str,
) -> Ask<'w> {
    Ask::new(world, ["spawn", "--name", "web"])
        .words(options)
        .words([text(python).as_str(), "-u", "-m", "http.server"])
        .words(["--bind", "127.0.0.1", "--directory", directory])
        .words([port.to_string()])
}

#[test]
fn python_http_server() -> Result {
    let Some(python) = python("real daemons") else {
        return Ok(());
    };
    let world = world!()?;
    let directory = site(&world, "site", "hello from python")?;
    let port = free_port()?;
    for ready in [
        format!("tcp:{port}"),
        format!("http://127.0.0.1:{port}/index.html"),
        "log:Serving HTTP on .* port [0-9]+".to_owned(),
    ] {
        let options = ["--ready", &ready, "--signal", "INT"];
        let answer = http_server(&world, &python, &options, port, &directory)
            .expect(0)
            .with_context(|| ready.clone())?;
        ensure!(answer.out.starts_with("web: ready, pid "), "{answer:#?}");
        answers(port, "hello from python").with_context(|| ready.clone())?;
        wait_until("the request to be in the log", || {
            whole_log(&world, "web")
                .is_ok_and(|log| String::from_utf8_lossy(&log).contains("\"GET / HTTP/1.0\" 200"))
        })?;
        stop(&world, &["web"])?;
        nobody_listens(port)?;
    }
    Ok(())
}

/// The port is taken: python says so and ends, and so does `ward spawn`, with python's words.
#[test]
fn a_port_that_is_taken() -> Result {
    let Some(python) = python("real daemons") else {
        return Ok(());
    };
    let world = world!()?;
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let port = taken.local_addr()?.port();
    let options = ["--ready", "log:Serving HTTP"];
    let answer = http_server(&world, &python, &options, port, "/").expect(120)?;
    ensure!(answer.err.contains("Address already in use"), "{answer:#?}");
    nobody_is_left(&world)
}

/// Someone asks all the time while one server replaces the other: when spawn returns, the new
/// one answers, and the old one never again.
#[test]
fn replaced_under_load() -> Result {
    let Some(python) = python("real daemons") else {
        return Ok(());
    };
    let world = world!()?;
    let port = free_port()?;
    let ready = format!("http://127.0.0.1:{port}/");
    let options = ["--ready", ready.as_str(), "--replace"];
    let first = site(&world, "site-0", "version 0")?;
    http_server(&world, &python, &options, port, &first).expect(0)?;

    let (over, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let load = {
        let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
        std::thread::spawn(move || {
            let (mut failed, mut longest, mut last_good) = (0, Duration::ZERO, Instant::now());
            while !over.load(Ordering::Relaxed) {
                if fetch(port).is_ok_and(|answer| answer.contains("version")) {
                    longest = longest.max(last_good.elapsed());
                    last_good = Instant::now();
                } else {
                    failed += 1;
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
            (failed, longest)
        })
    };
    let replace = || -> Result {
        for version in 1..=5 {
            let words = format!("version {version}");
            let directory = site(&world, &format!("site-{version}"), &words)?;
            http_server(&world, &python, &options, port, &directory).expect(0)?;
            answers(port, &words).with_context(|| format!("just after {words} was ready"))?;
        }
        let before = asked.load(Ordering::Relaxed);
        wait_until("a few more requests", || {
            asked.load(Ordering::Relaxed) > before + 5
        })
    };
    let outcome = replace();
    over.store(true, Ordering::Relaxed);
    let (failed, longest) = load
        .join()
        .map_err(|_| anyhow::anyhow!("the load panicked"))?;
    outcome?;
    let asked = asked.load(Ordering::Relaxed);
    // Whoever is refused asks again at once, so the number says less than the time.
    println!(
        "5 replacements: {failed} of {asked} requests failed; never longer than {longest:?} \
         without an answer"
    );
    ensure!(failed < asked, "nobody ever answered");
    stop(&world, &["web"])?;
    nobody_listens(port)
}

/// A configuration that touches nothing outside the world.
fn nginx_configuration(world: &World, port: u16, daemon: bool) -> anyhow::Result<String> {
    let place = text(world.path("nginx"));
    for part in ["", "/temp"] {
        fs::create_dir_all(format!("{place}{part}"))?;
    }
    let directory = site(world, "site", "hello from nginx")?;
    let daemon = if daemon { "on" } else { "off" };
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {place}/temp/{kind};\n"))
        .collect();
    let path = format!("{place}/nginx.conf");
    fs::write(
        &path,
        format!(
            "daemon {daemon};
             worker_processes 3;
             pid {place}/nginx.pid;
             error_log stderr notice;
             events {{ worker_connections 32; }}
             http {{
                 {temp}
                 access_log {place}/access.log;
                 server {{ listen 127.0.0.1:{port}; root {directory}; }}
             }}\n"
        ),
    )?;
    Ok(path)
}

fn nginx_workers(world: &World) -> usize {
    let found = world.survivors();
    found
        .iter()
        .filter(|seen| seen.command.starts_with("nginx: worker"))
        .count()
}

fn nginx(daemon: bool) -> Result {
    let world = world!()?;
    let Some(nginx) = ours(&world, "nginx") else {
        return Ok(());
    };
    let port = free_port()?;
    let configuration = nginx_configuration(&world, port, daemon)?;
    let ready = format!("tcp:{port}");
    Ask::new(&world, ["spawn", "--name", "web", "--ready", &ready])
        .words(["--signal", "TERM", "--"])
        .words([text(&nginx), "-p".into(), text(world.path("nginx"))])
        .words(["-c", &configuration, "-e", "stderr"])
        .expect(0)?;
    answers(port, "hello from nginx")?;
    wait_until("the workers", || nginx_workers(&world) == 3)?;
    if daemon {
        let leader = custody(&world, "web")?.leader;
        wait_until("the first process to end", || !leader.is_alive())?;
    }
    await_state(&world, "web", "running").with_context(|| everything(&world, "web"))?;
    let shown = shown(&world, "web")?.context("not shown")?;
    assert_eq!(
        shown["processes"], 4,
        "a master and three workers: {shown:#}"
    );
    let tree = Ask::new(&world, ["ps", "--tree"]).expect(0)?.out;
    assert_eq!(tree.matches("nginx: worker").count(), 3, "{tree}");
    Ask::new(&world, ["status", "web"]).expect(0)?;
    stop(&world, &["web"])?;
    nobody_listens(port)?;
    Ask::new(&world, ["status", "web"]).expect(3)?;
    Ok(())
}

#[test]
fn nginx_in_the_foreground() -> Result {
    nginx(false)
}

/// It forks, its first process ends, and custody follows.
#[test]
fn nginx_daemonizes_itself() -> Result {
    nginx(true)
}

/// The first bytes of what a server answers.
fn asked<const LENGTH: usize>(port: u16, question: &[u8]) -> anyhow::Result<[u8; LENGTH]> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(question)?;
    let mut answer = [0; LENGTH];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn redis() -> Result {
    let world = world!()?;
    let Some(redis) = ours(&world, "redis-server") else {
        return Ok(());
    };
    let place = text(world.path("redis"));
    fs::create_dir(&place)?;
    for daemonize in ["no", "yes"] {
        let port = free_port()?;
        let ready = format!("tcp:{port}");
        Ask::new(&world, ["spawn", "--name", "store", "--replace"])
            .words(["--ready", &ready, "--chdir", &place, "--"])
            .words([text(&redis).as_str(), "--port", &port.to_string()])
            .words(["--bind", "127.0.0.1", "--dir", &place, "--save", ""])
            .words(["--appendonly", "yes", "--daemonize", daemonize])
            .words(["--pidfile", &format!("{place}/pid")])
            .expect(0)
            .with_context(|| format!("daemonize {daemonize}"))?;
        // It listens before it has loaded what it kept, and refuses what is asked until then.
        wait_until("the store to be loaded", || {
            asked(port, b"PING\r\n").is_ok_and(|answer: [u8; 5]| &answer == b"+PONG")
        })?;
        let answer: [u8; 14] = asked(port, b"SET colour blue\r\nGET colour\r\n")?;
        assert_eq!(&answer, b"+OK\r\n$4\r\nblue\r", "daemonize {daemonize}");
        await_state(&world, "store", "running")?;
        assert_eq!(
            shown(&world, "store")?.context("not shown")?["processes"],
            1
        );
        stop(&world, &["store"]).with_context(|| format!("daemonize {daemonize}"))?;
        nobody_listens(port)?;
    }
    Ok(())
}

const NODE_SERVER: &str = "
const http = require('http');
const server = http.createServer((_, answer) => answer.end('hello from node'));
server.listen(Number(process.argv[1]), '127.0.0.1', () => console.log('listening'));
process.on('SIGTERM', () => { console.log('bye'); server.close(() => process.exit(0)); server.closeAllConnections?.(); });
";

#[test]
fn node() -> Result {
    let Some(node) = in_path("node") else {
        skipped("node", "not installed");
        return Ok(());
    };
    let world = world!()?;
    let port = free_port()?;
    Ask::new(
        &world,
        ["spawn", "--name", "web", "--ready", "log:^listening$"],
    )
    .words(["--", &text(&node), "-e", NODE_SERVER, &port.to_string()])
    .expect(0)?;
    answers(port, "hello from node")?;
    stop(&world, &["web"])?;
    nobody_listens(port)?;
    let log = String::from_utf8(whole_log(&world, "web")?)?;
    assert_eq!(log, "listening\nbye\n");
    let web = shown(&world, "web")?.context("not shown")?;
    ensure!(web["end"]["exit_status"].is_i64(), "{web:#}");
    Ok(())
}

/// A server of Python that forks workers, which outlive their parent unless somebody sees to
/// it: they share the port, so if one were left the next start would fail or be confused.
const PREFORKED: &str = "
import os, socket, sys, time
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        while True:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhello from a worker')
            connection.close()
print('forked', flush=True)
while True:
    time.sleep(1)
";

#[test]
fn preforked_workers() -> Result {
    let Some(python) = python("real daemons") else {
        return Ok(());
    };
    let world = world!()?;
    let port = free_port()?;
    for round in 0..3 {
        Ask::new(&world, ["spawn", "--name", "web", "--replace"])
            .words(["--ready", "log:forked", "--grace", "2s", "--"])
            .words([text(&python).as_str(), "-c", PREFORKED, &port.to_string()])
            .expect(0)
            .with_context(|| format!("round {round}"))?;
        answers(port, "hello from a worker")?;
        assert_eq!(shown(&world, "web")?.context("not shown")?["processes"], 4);
    }
    stop(&world, &["web"])?;
    nobody_listens(port)
}
