//! Every way to get ready, against real counterparts: those that do it, and those that never do.

mod exec;
mod log;
mod network;
mod told;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;

/// Ends a test that would never end.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer than one attempt over a network may take.
const ATTEMPTS: Duration = Duration::from_millis(1500);
/// Enough for several attempts, where none may succeed.
const SHORT: Duration = Duration::from_millis(300);

/// A directory, and the daemon whose life is a pipe: closing the writing end ends it.
struct World {
    directory: PathBuf,
    gone: OwnedFd,
    life: Option<OwnedFd>,
}

impl World {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ward-ready-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a directory");
        let (gone, life) = ward_sys::pipe::pipe().expect("a pipe");
        Self {
            directory,
            gone,
            life: Some(life),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("log")
    }

    fn wait(&self, watch: &mut Watch, limit: Duration) -> Verdict {
        let deadline = Some(Instant::now() + limit);
        watch.wait(&self.log(), 0, self.gone.as_fd(), deadline)
    }

    fn verdict(&self, ready: &str, limit: Duration) -> Verdict {
        self.wait(&mut watch(ready), limit)
    }

    /// Why it is not ready after [`SHORT`].
    fn why_not(&self, ready: &str) -> String {
        late(self.verdict(ready, SHORT))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A process of a test, ended with it.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watch(ready: &str) -> Watch {
    Watch::prepare(&ready.parse().expect(ready)).expect(ready)
}

fn late(verdict: Verdict) -> String {
    match verdict {
        Verdict::TimedOut { last } => last,
        other @ (Verdict::Ready | Verdict::Ended | Verdict::Never { .. }) => {
            panic!("not late: {other:?}")
        }
    }
}

fn python(script: &str, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new("python3");
    command.arg("-c").arg(script).args(arguments);
    command
}

/// Makes a counterpart slow. Slowness is what it is there for; no test waits by this.
fn dawdle(time: Duration) {
    let time = rustix::event::Timespec::try_from(time).expect("short");
    rustix::event::poll(&mut [], Some(&time)).expect("nothing to wait for");
}

/// Runs `work` in another thread beside the waiting.
fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Beside<T> {
    Beside(std::thread::spawn(work))
}

struct Beside<T>(std::thread::JoinHandle<T>);

impl<T> Beside<T> {
    fn join(self) -> T {
        self.0.join().expect("it did not panic")
    }
}

/// A server that treats each connection to `serve`, for as long as the test runs.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    let serve = std::sync::Arc::new(serve);
    let _: Beside<()> = beside(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            let _: Beside<()> = beside(move || serve(stream));
        }
    });
    port
}

/// A port that nobody listens at.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("address").port()
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// A server that answers every request with `text`.
fn answering(text: &'static str) -> u16 {
    server(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(text.as_bytes());
    })
}

/// Never ends the connection before its client does.
fn hold(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while matches!(stream.read(&mut buffer), Ok(count) if count > 0) {}
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.expect("open")
        .write_all(text.as_bytes())
        .expect("write");
}

fn ended(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "waited for {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

const NOTIFY: &str = "
import os, socket, sys
name = os.environ['NOTIFY_SOCKET']
assert name[0] == '@'
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect('\\0' + name[1:])
for message in sys.argv[1:]:
    s.send(message.encode())
";

#[test]
fn a_bad_regular_expression_is_told_before_anything_starts() {
    let ready = Ready::Log("a(".into());
    for refused in [check(&ready), Watch::prepare(&ready).map(drop)] {
        let error = refused.expect_err("refused");
        assert_eq!(error.exit_code(), exit_code::USAGE);
        assert!(crate_chain(&error).contains("`a(` is not a regular expression: "));
    }
    assert!(check(&Ready::Log("a".into())).is_ok());
}

fn crate_chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

#[test]
fn a_daemon_that_is_over_is_never_ready() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("address").port();
    append(&world.log(), "ready\n");
    drop(world.life.take());
    let mut by_pipe = watch("fd");
    let (writer, _) = by_pipe.take_passed().expect("a pipe");
    rustix::io::write(&writer, b"\n").expect("written");
    assert_eq!(world.wait(&mut by_pipe, LIMIT), Verdict::Ended);
    for ready in ["log:ready", "exec:true", &format!("tcp:{port}"), "notify"] {
        assert_eq!(world.verdict(ready, LIMIT), Verdict::Ended, "{ready}");
    }
}

#[test]
fn an_end_is_seen_in_the_midst_of_an_attempt() {
    for hanging in ["exec", "http", "tcp", "notify", "log", "fd"] {
        let mut world = World::new();
        let port = server(hold);
        let ready = match hanging {
            "exec" => "exec:sleep 1000".to_owned(),
            "http" => format!("http:127.0.0.1:{port}/"),
            "tcp" => format!("tcp:127.0.0.1:{}", free_port()),
            other => other.replace("log", "log:x"),
        };
        let life = world.life.take();
        let ending = beside(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(life);
        });
        let mut watch = watch(&ready);
        let writer = watch.take_passed();
        // Without a deadline: only its end can end this.
        let verdict = watch.wait(&world.log(), 0, world.gone.as_fd(), None);
        assert_eq!(verdict, Verdict::Ended, "{ready}");
        drop(writer);
        ending.join();
    }
}

#[test]
fn what_was_shown_before_a_false_end_is_not_lost() {
    for ready in ["notify", "fd=7", "log:ready"] {
        let world = World::new();
        let mut watch = watch(ready);
        match watch.take_passed() {
            Some((writer, _)) => drop(rustix::io::write(&writer, b"\n").expect("written")),
            None if ready == "notify" => {
                let child = python(NOTIFY, &[OsStr::new("READY=1")])
                    .envs(watch.environment())
                    .status();
                assert!(child.expect("python3").success());
            }
            None => append(&world.log(), "ready\n"),
        }
        let news = world.life.as_ref().expect("alive");
        rustix::io::write(news, b"x").expect("written");
        assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ended, "{ready}");
        let mut buffer = [0; 8];
        rustix::io::read(&world.gone, &mut buffer).expect("read");
        assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ready, "{ready}");
        // What it was shown by is used up by now.
        assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ready, "{ready}");
    }
}

#[test]
fn a_log_is_followed_on_after_a_false_end() {
    let world = World::new();
    let mut watch = watch("log:^ready$");
    append(&world.log(), "rea");
    late(world.wait(&mut watch, SHORT));
    append(&world.log(), "dy\n");
    fs::rename(world.log(), world.path("log.1")).expect("rotated");
    append(&world.log(), "more\n");
    assert_eq!(world.wait(&mut watch, LIMIT), Verdict::Ready);
}

#[test]
fn a_process_descriptor_tells_the_end() {
    let world = World::new();
    let child = Helper(Command::new("sleep").arg("0.05").spawn().expect("sleep"));
    let pid = rustix::process::Pid::from_child(&child.0);
    let gone = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let gone = gone.expect("a descriptor");
    let verdict = watch("notify").wait(&world.log(), 0, gone.as_fd(), None);
    assert_eq!(verdict, Verdict::Ended);
}
