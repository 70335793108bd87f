//! A daemon that does what it is told on its standard input, and says what happens in a file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, getppid, kill_process};
use ward_supervise::api::Stream;
use ward_supervise::keeper::{
    Custody, Ended, FromKeeper, Key, Sink, Slot, Snapshot, Spec, State, Stdin, Target,
};
use ward_sys::pipe::{self, Moved};

use super::{Result, world};

struct Reader {
    slot: Slot,
    generation: u32,
    stream: Stream,
    fd: OwnedFd,
    log: File,
}

struct Daemon {
    custody: Custody,
    place: PathBuf,
    events: File,
    names: BTreeMap<String, Slot>,
    readers: Vec<Reader>,
    line: Vec<u8>,
    /// Whether ends are acknowledged.
    notes: bool,
    /// Whether anybody gives orders.
    obeys: bool,
}

pub(crate) fn daemon(custody: Custody) -> ExitCode {
    let place = world::place();
    if place.join("fail").exists() {
        eprintln!("the first daemon fails");
        let code = std::fs::read_to_string(place.join("fail")).unwrap_or_default();
        return ExitCode::from(code.trim().parse().unwrap_or(2));
    }
    let events = File::options()
        .append(true)
        .create(true)
        .open(place.join("events"))
        .expect("events");
    let mut daemon = Daemon {
        custody,
        place,
        events,
        names: BTreeMap::new(),
        readers: Vec::new(),
        line: Vec::new(),
        notes: true,
        obeys: true,
    };
    match daemon.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            daemon.say(&format!("error {error:#}"));
            ExitCode::from(99)
        }
    }
}

fn words(end: Ended) -> String {
    match end {
        Ended::Exit(code) => format!("exit {code}"),
        Ended::Signal(signal, _) => format!("signal {signal}"),
        Ended::Unknown => "unknown".to_owned(),
    }
}

impl Daemon {
    fn say(&mut self, text: &str) {
        let _ = self.events.write_all(format!("{text}\n").as_bytes());
    }

    fn name(&self, slot: Slot) -> String {
        let found = self.names.iter().find(|(_, at)| **at == slot);
        found.map_or_else(|| format!("{slot:?}"), |(name, _)| name.clone())
    }

    fn read_from(&mut self, slot: Slot, generation: u32, stream: Stream, fd: OwnedFd) -> Result {
        let name = self.name(slot);
        let suffix = if stream == Stream::Stderr { ".err" } else { "" };
        let path = self.place.join(format!("log.{name}{suffix}"));
        let log = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        self.readers.push(Reader {
            slot,
            generation,
            stream,
            fd,
            log,
        });
        Ok(())
    }

    fn run(&mut self) -> Result<u8> {
        let adoption = self.custody.adopt();
        for adopted in adoption.slots {
            let name = String::from_utf8(adopted.name)?;
            self.names.insert(name.clone(), adopted.slot);
            let state = match adopted.state {
                State::Idle => "idle".to_owned(),
                State::Alive { pid } => format!("alive {pid}"),
                State::Ended { end, .. } => format!("ended {}", words(end)),
            };
            self.say(&format!("adopted {name} {state} {}", adopted.snapshot.0[0]));
            let readers = [
                (Stream::Stdout, adopted.stdout),
                (Stream::Stderr, adopted.stderr),
            ];
            for (stream, reader) in readers {
                if let Some(fd) = reader {
                    self.read_from(adopted.slot, adopted.generation, stream, fd)?;
                }
            }
            if let State::Ended { end, .. } = adopted.state {
                self.ended(adopted.slot, adopted.generation, end);
            }
        }
        for left in adoption.left_over {
            self.say("left over");
            self.read_from(left.slot, left.generation, left.stream, left.reader)?;
        }
        let keys: Vec<String> = self
            .custody
            .kept()
            .map(|(key, _)| String::from_utf8_lossy(key.bytes()).into_owned())
            .collect();
        for key in keys {
            self.say(&format!("kept {key}"));
        }
        self.custody.ready()?;
        self.say(&format!("ready {}", std::process::id()));
        loop {
            while let Some(news) = self.custody.next() {
                self.hear(news);
            }
            if let Some(code) = self.wait()? {
                return Ok(code);
            }
        }
    }

    fn ended(&mut self, slot: Slot, generation: u32, end: Ended) {
        let name = self.name(slot);
        self.say(&format!("exited {name} {}", words(end)));
        if self.notes {
            let mut snapshot = self.custody.snapshot(slot);
            snapshot.0[0] += 1;
            self.custody.acknowledge(slot, generation, &snapshot);
        }
    }

    fn hear(&mut self, news: FromKeeper) {
        match news {
            FromKeeper::Exited {
                slot,
                generation,
                end,
                at,
            } => {
                assert!(at > 0);
                self.ended(slot, generation, end);
            }
            FromKeeper::Signal(signal) => {
                self.say(&format!("signal {signal}"));
                if signal != 10 {
                    self.custody.signal_done(signal);
                }
            }
            FromKeeper::ReapedUnknown { pid, end } => {
                self.say(&format!("unknown {pid} {}", words(end)));
            }
            FromKeeper::Crashed(end) => self.say(&format!("crashed {}", words(end))),
            FromKeeper::UpgradeRefused => self.say("upgrade refused"),
            FromKeeper::KeeperGone => {
                self.say("gone");
                let error = self.custody.take_over();
                self.say(&format!("cannot take over {error}"));
            }
        }
    }

    fn wait(&mut self) -> Result<Option<u8>> {
        let stdin = std::io::stdin();
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.custody.poll_fd(), PollFlags::IN),
            PollFd::new(
                &stdin,
                if self.obeys {
                    PollFlags::IN
                } else {
                    PollFlags::empty()
                },
            ),
        ];
        fds.extend(
            self.readers
                .iter()
                .map(|it| PollFd::new(&it.fd, PollFlags::IN)),
        );
        let limit = Timespec {
            tv_sec: 60,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&limit))?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut over = Vec::new();
        for (index, reader) in self.readers.iter_mut().enumerate() {
            if ready[index + 2] && drain(reader)? {
                over.push(index);
            }
        }
        for index in over.into_iter().rev() {
            let reader = self.readers.remove(index);
            self.custody
                .drained(reader.slot, reader.generation, reader.stream);
            let text = format!("drained {} {:?}", self.name(reader.slot), reader.stream);
            self.say(&text);
        }
        if !self.obeys || !ready[1] {
            return Ok(None);
        }
        let mut byte = [0];
        if rustix::io::read(&stdin, &mut byte)? == 0 {
            self.obeys = false;
            return Ok(None);
        }
        if byte[0] != b'\n' {
            self.line.push(byte[0]);
            return Ok(None);
        }
        let line = String::from_utf8(std::mem::take(&mut self.line))?;
        self.obey(&line)
    }

    fn slot(&self, name: &str) -> Result<Slot> {
        self.names.get(name).copied().context("no such name")
    }

    fn obey(&mut self, line: &str) -> Result<Option<u8>> {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (order, name, rest) = (word(), word(), word());
        match order.as_str() {
            "claim" => match self.custody.claim(name.as_bytes()) {
                Ok(slot) => {
                    self.names.insert(name.clone(), slot);
                    self.say(&format!("claimed {name} {}", slot.index()));
                }
                Err(error) => self.say(&format!("refused {name} {error}")),
            },
            "release" => {
                let slot = self.slot(&name)?;
                let released = self.custody.release(slot);
                if released.is_ok() {
                    self.names.remove(&name);
                }
                self.say(&format!("released {name} {}", released.is_ok()));
            }
            "spawn" => self.spawn(&name, &rest)?,
            "bereft" => {
                let keeper = self.custody.keeper_pid();
                let pid = Pid::from_raw(keeper).context("a keeper")?;
                kill_process(pid, Signal::KILL)?;
                world::until("another parent", || (getppid() != Some(pid)).then_some(()))?;
                self.spawn(&name, &rest)?;
            }
            "many" => {
                let start = std::time::Instant::now();
                for number in 0..name.parse()? {
                    self.spawn(&format!("many{number}"), &rest)?;
                }
                self.say(&format!("many {}", start.elapsed().as_micros()));
            }
            "signal" => {
                let (signal, target) = rest.split_once(' ').context("to whom")?;
                let target = if target == "group" {
                    Target::Group
                } else {
                    Target::Leader
                };
                let sent = self
                    .custody
                    .signal(self.slot(&name)?, signal.parse()?, target);
                self.say(&format!("signalled {name} {}", sent.is_ok()));
            }
            "write" => {
                let sent = self.custody.stdin_writer(self.slot(&name)?);
                let sent = sent.and_then(|fd| {
                    let line = format!("{rest}\n");
                    File::from(fd).write_all(line.as_bytes())
                });
                self.say(&format!("written {name} {}", sent.is_ok()));
            }
            "keep" => {
                let key = Key::new(name.as_bytes()).context("a key")?;
                let file = File::create(self.place.join(format!("kept.{name}")))?;
                self.custody.keep(key, file.as_fd())?;
                self.say(&format!("keeping {name}"));
            }
            "let_go" => {
                let key = Key::new(name.as_bytes()).context("a key")?;
                self.custody.let_go(key);
                self.say("let go");
            }
            "remember" => {
                let mut snapshot = Snapshot::default();
                snapshot.0[0] = rest.parse()?;
                self.custody.set_snapshot(self.slot(&name)?, &snapshot);
                self.say(&format!("remembered {name}"));
            }
            "deaf" => {
                self.notes = false;
                self.say("deaf");
            }
            "exit" => return Ok(Some(name.parse()?)),
            other => bail!("what is {other}?"),
        }
        Ok(None)
    }

    fn spawn(&mut self, name: &str, script: &str) -> Result {
        let slot = match self.names.get(name) {
            Some(slot) => *slot,
            None => {
                let slot = self.custody.claim(name.as_bytes())?;
                self.names.insert(name.to_owned(), slot);
                slot
            }
        };
        let (sinks, script) = match script.split_once(' ') {
            Some(("both", script)) => ((Sink::Pipe, None), script),
            Some(("mute", script)) => ((Sink::Nowhere, Some(Sink::Nowhere)), script),
            Some(("half", script)) => ((Sink::Nowhere, Some(Sink::Pipe)), script),
            _ => ((Sink::Pipe, Some(Sink::Pipe)), script),
        };
        let command: Vec<OsString> = match script.strip_prefix("exec ") {
            Some(path) => vec![path.into()],
            None => vec!["/bin/sh".into(), "-c".into(), script.into()],
        };
        // The whole of our own: whatever is ours alone must not get through.
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        environment.push(("WARD_ROLE".into(), "keeper:3,4,5".into()));
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
            .collect();
        let spawned = self.custody.spawn(
            slot,
            &Spec {
                command: &command,
                environment: &environment,
                directory: Some(OsStr::new("/")),
                umask: None,
                credentials: None,
                nice: None,
                limits: &[],
                cgroup: None,
                stdin: Stdin::Pipe,
                stdout: sinks.0,
                stderr: sinks.1,
                ignore_sigpipe: true,
            },
        );
        match spawned {
            Ok(spawned) => {
                let generation = spawned.generation;
                let both = [spawned.stdout, spawned.stderr];
                for (stream, fd) in Stream::ALL.into_iter().zip(both) {
                    if let Some(fd) = fd {
                        self.read_from(slot, generation, stream, fd)?;
                    }
                }
                self.say(&format!("spawned {name} {}", spawned.pid));
            }
            Err(error) => {
                let (stage, errno) = error.stage_and_errno();
                self.say(&format!("not spawned {name} {stage:?} {errno}"));
            }
        }
        Ok(())
    }
}

/// Moves what is there into the log; whether that was all there will ever be.
fn drain(reader: &mut Reader) -> Result<bool> {
    use std::io::Seek;
    // Others, before us, have written to it too.
    reader.log.seek(std::io::SeekFrom::End(0))?;
    loop {
        match pipe::splice(reader.fd.as_fd(), reader.log.as_fd(), 1 << 16)? {
            Moved::Bytes(_) => {}
            Moved::End => return Ok(true),
            Moved::NotNow => return Ok(false),
            Moved::Closed | Moved::Unsupported => bail!("cannot be spliced"),
        }
    }
}
