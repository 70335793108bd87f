//! Kills at random moments, while programs start, write and end without pause.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_process};
use ward_supervise::api::Stream;
use ward_supervise::keeper::{Custody, Ended, FromKeeper, Sink, Slot, Spec, State, Stdin};
use ward_sys::pipe::{self, Moved};
use ward_testkit::moments::let_pass;

use super::world::{World, is_alive, lines_of, pid_of, until};
use super::{Result, TASK, program, world};

const PROGRAMS: usize = 6;
/// Numbers of a snapshot: ends seen, sum of exit statuses, ends of which nobody knows more.
const ENDS: usize = 0;
const SUM: usize = 1;
const UNKNOWN: usize = 2;
/// One in every slot's snapshot once the storm was told to end: the next daemon goes on ending.
const ENDING: usize = 3;

struct Reader {
    slot: Slot,
    generation: u32,
    stream: Stream,
    fd: OwnedFd,
    log: File,
}

struct Storm {
    custody: Custody,
    running: BTreeMap<Slot, bool>,
    names: BTreeMap<Slot, String>,
    readers: Vec<Reader>,
    is_ending: bool,
}

/// Keeps its programs running until it is told to end.
pub(crate) fn daemon(custody: Custody) -> ExitCode {
    let mut storm = Storm {
        custody,
        running: BTreeMap::new(),
        names: BTreeMap::new(),
        readers: Vec::new(),
        is_ending: false,
    };
    match storm.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(99)
        }
    }
}

impl Storm {
    fn run(&mut self) -> Result {
        let adoption = self.custody.adopt();
        for adopted in adoption.slots {
            let slot = adopted.slot;
            self.is_ending |= self.custody.snapshot(slot).0[ENDING] == 1;
            self.names.insert(slot, String::from_utf8(adopted.name)?);
            let runs = matches!(adopted.state, State::Alive { .. });
            self.running.insert(slot, runs);
            if let State::Ended { end, .. } = adopted.state {
                self.note(slot, adopted.generation, end);
            }
            if let Some(fd) = adopted.stdout {
                self.read_from(slot, adopted.generation, Stream::Stdout, fd)?;
            }
        }
        for left in adoption.left_over {
            if left.stream == Stream::Stdout {
                self.read_from(left.slot, left.generation, left.stream, left.reader)?;
            }
        }
        for number in 0..PROGRAMS {
            let name = format!("p{number}");
            if !self.names.values().any(|known| *known == name) {
                let slot = self.custody.claim(name.as_bytes())?;
                self.names.insert(slot, name);
                self.running.insert(slot, false);
            }
        }
        let _ = self.custody.ready();
        loop {
            while let Some(news) = self.custody.next() {
                match news {
                    FromKeeper::Exited {
                        slot,
                        generation,
                        end,
                        ..
                    } => self.note(slot, generation, end),
                    FromKeeper::Signal(15) => {
                        self.is_ending = true;
                        for slot in self.names.keys() {
                            let mut snapshot = self.custody.snapshot(*slot);
                            snapshot.0[ENDING] = 1;
                            self.custody.set_snapshot(*slot, &snapshot);
                        }
                        self.custody.signal_done(15);
                    }
                    FromKeeper::KeeperGone => {
                        let error = self.custody.take_over();
                        anyhow::bail!("cannot take over: {error}");
                    }
                    FromKeeper::Signal(_)
                    | FromKeeper::ReapedUnknown { .. }
                    | FromKeeper::Crashed(_)
                    | FromKeeper::UpgradeRefused => {}
                }
            }
            let idle: Vec<Slot> = self
                .running
                .iter()
                .filter_map(|(slot, runs)| (!runs).then_some(*slot))
                .collect();
            if self.is_ending && idle.len() == self.running.len() && self.readers.is_empty() {
                return self.report();
            }
            if !self.is_ending {
                for slot in idle {
                    self.spawn(slot)?;
                }
            }
            self.drain()?;
        }
    }

    fn note(&mut self, slot: Slot, generation: u32, end: Ended) {
        let mut snapshot = self.custody.snapshot(slot);
        snapshot.0[ENDS] += 1;
        match end {
            Ended::Exit(code) => snapshot.0[SUM] += u64::from(code),
            // Nobody kills them.
            Ended::Signal(..) => snapshot.0[SUM] += 1_000_000,
            Ended::Unknown => snapshot.0[UNKNOWN] += 1,
        }
        self.custody.acknowledge(slot, generation, &snapshot);
        self.running.insert(slot, false);
    }

    fn read_from(&mut self, slot: Slot, generation: u32, stream: Stream, fd: OwnedFd) -> Result {
        let path = world::place().join(format!("log.{}", self.names[&slot]));
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

    fn spawn(&mut self, slot: Slot) -> Result {
        let own = std::env::current_exe()?;
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| name != TASK)
            .collect();
        environment.push((TASK.into(), "program".into()));
        environment.push((program::NAME.into(), self.names[&slot].clone().into()));
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
            .collect();
        let spawned = self.custody.spawn(
            slot,
            &Spec {
                command: &[own.into()],
                environment: &environment,
                directory: None,
                umask: None,
                credentials: None,
                nice: None,
                limits: &[],
                cgroup: None,
                stdin: Stdin::Pipe,
                stdout: Sink::Pipe,
                stderr: None,
                ignore_sigpipe: true,
            },
        );
        match spawned {
            Ok(spawned) => {
                self.running.insert(slot, true);
                let stdout = spawned.stdout.context("it has no output")?;
                self.read_from(slot, spawned.generation, Stream::Stdout, stdout)
            }
            // It is told of next.
            Err(ward_supervise::keeper::SpawnFailure::KeeperGone(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn drain(&mut self) -> Result {
        let mut fds = vec![PollFd::from_borrowed_fd(
            self.custody.poll_fd(),
            PollFlags::IN,
        )];
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
        drop(fds);
        let mut index = 0;
        while let Some(reader) = self.readers.get_mut(index) {
            reader.log.seek(std::io::SeekFrom::End(0))?;
            match pipe::splice(reader.fd.as_fd(), reader.log.as_fd(), 1 << 16)? {
                Moved::End => {
                    let reader = self.readers.swap_remove(index);
                    self.custody
                        .drained(reader.slot, reader.generation, reader.stream);
                }
                Moved::Bytes(_) | Moved::NotNow => index += 1,
                Moved::Closed | Moved::Unsupported => anyhow::bail!("cannot be spliced"),
            }
        }
        Ok(())
    }

    fn report(&self) -> Result {
        for (slot, name) in &self.names {
            let snapshot = self.custody.snapshot(*slot);
            let text = format!(
                "{} {} {}\n",
                snapshot.0[ENDS], snapshot.0[SUM], snapshot.0[UNKNOWN]
            );
            std::fs::write(world::place().join(format!("seen.{name}")), text)?;
        }
        Ok(())
    }
}

/// As good as random.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64);
        println!("dice begin with {seed}");
        Self(seed | 1)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    /// A moment in which somebody else goes on.
    fn pause(&mut self) {
        let_pass(Duration::from_micros(self.below(15_000)));
    }
}

fn rounds() -> usize {
    std::env::var("WARD_TEST_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200)
}

/// What programs say of themselves, and what was made of it.
fn compare(directory: &Path, exact: bool) -> Result {
    let mut all = 0;
    for number in 0..PROGRAMS {
        let at = |what: &str| directory.join(format!("{what}.p{number}"));
        let truth = lines_of(&at("truth"));
        let seen = std::fs::read_to_string(at("seen")).context("no report")?;
        let numbers: Vec<u64> = seen
            .split_whitespace()
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        let [ends, sum, unknown] = numbers[..] else {
            anyhow::bail!("an odd report: {seen}");
        };
        let mut statuses = 0;
        let mut wanted: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for line in &truth {
            let words: Vec<&str> = line.split(' ').collect();
            let [pid, status, lines, "alone"] = words[..] else {
                anyhow::bail!("p{number} says {line}");
            };
            statuses += status.parse::<u64>()?;
            wanted.entry(pid.parse()?).or_default().push(lines.parse()?);
        }
        all += truth.len();
        ensure!(
            ends == truth.len() as u64,
            "p{number}: {} ran, {ends} ends were told",
            truth.len()
        );
        if !exact {
            ensure!(sum <= statuses, "p{number}: {sum} of {statuses}");
            continue;
        }
        ensure!(
            unknown == 0,
            "p{number}: {unknown} ends of nobody knows what"
        );
        ensure!(sum == statuses, "p{number}: {sum} instead of {statuses}");
        let mut next: BTreeMap<u32, u32> = BTreeMap::new();
        for line in lines_of(&at("log")) {
            let mut words = line.split(' ');
            let mut number_of = || words.next().and_then(|word| word.parse::<u32>().ok());
            let (Some(pid), Some(line_number)) = (number_of(), number_of()) else {
                anyhow::bail!("p{number}: a torn line: {line:?}");
            };
            let expected = next.entry(pid).or_default();
            if line_number == 0 {
                // Ids are used again.
                *expected = 0;
            }
            ensure!(
                *expected == line_number,
                "p{number}: {line:?}, not {expected}"
            );
            *expected += 1;
        }
        let written: u64 = wanted
            .values()
            .flatten()
            .map(|lines| u64::from(*lines))
            .sum();
        let logged = lines_of(&at("log")).len() as u64;
        ensure!(logged == written, "p{number}: {logged} of {written} lines");
    }
    println!("{all} programs ran");
    Ok(())
}

/// The daemon is killed, again and again.
pub(crate) fn daemons() -> Result {
    let mut dice = Dice::new();
    let mut world = World::new("storm")?;
    world.start()?;
    // Before that, the end of the daemon is the end of all.
    until("a program", || {
        world.path("truth.p0").exists().then_some(())
    })?;
    for _ in 0..rounds() {
        dice.pause();
        let daemon = world.daemon()?;
        kill_process(pid_of(daemon)?, Signal::KILL)?;
        until("its end", || (!is_alive(daemon)).then_some(()))?;
        ensure!(!world.has_ended(), "the keeper has ended");
    }
    kill_process(pid_of(world.keeper())?, Signal::TERM)?;
    let status = world.end()?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(world.is_tidy(), "something is left");
    compare(world.directory.path(), true)
}

/// Whether the kernel tells how somebody else's children ended.
fn tells_all() -> Result<bool> {
    use ward_sys::pidfd;
    let mut child = std::process::Command::new("/bin/true").spawn()?;
    let fd = pidfd::open(i32::try_from(child.id())?)?;
    child.wait()?;
    Ok(pidfd::status_of_reaped(fd.as_fd()).is_some())
}

/// The keeper is killed, again and again, and each time its daemon takes over.
pub(crate) fn keepers() -> Result {
    let exact = tells_all()?;
    let mut dice = Dice::new();
    let mut world = World::new("storm")?;
    world.start()?;
    let mut keeper = world.keeper();
    until("a program", || {
        world.path("truth.p0").exists().then_some(())
    })?;
    for _ in 0..rounds().div_ceil(4) {
        // One whose daemon has not begun cannot be followed by it.
        let starts = world.starts().context("a roster")?;
        let mut before = None;
        until("work", || {
            let size = |number: usize| std::fs::metadata(world.path(&format!("truth.p{number}")));
            let now = size(0).ok()?.len() + size(1).ok()?.len();
            let grown = before.is_some_and(|before| now > before);
            before = Some(now);
            grown.then_some(())
        })?;
        ensure!(
            world.starts() == Some(starts),
            "a daemon has ended: {}",
            world.errors()
        );
        dice.pause();
        kill_process(pid_of(keeper)?, Signal::KILL)?;
        let next = until("a take-over", || world.successor_of(keeper))?;
        keeper = next.context("nobody took over")?;
    }
    kill_process(pid_of(keeper)?, Signal::TERM)?;
    until("the end", || (!is_alive(keeper)).then_some(()))?;
    ensure!(world.is_tidy(), "something is left");
    compare(world.directory.path(), exact)
}

/// Keeper, daemon or both are killed; where nobody is left, somebody begins again.
pub(crate) fn anybody() -> Result {
    let mut dice = Dice::new();
    let mut world = World::new("storm")?;
    world.start()?;
    let mut keeper = world.keeper();
    for _ in 0..rounds().div_ceil(2) {
        dice.pause();
        let daemon = world.daemon_of(keeper);
        let which = dice.below(3);
        if which != 0 && is_alive(keeper) {
            let _ = kill_process(pid_of(keeper)?, Signal::KILL);
        }
        if which != 1
            && let Some(daemon) = daemon
        {
            let _ = kill_process(pid_of(daemon)?, Signal::KILL);
        }
        if which == 0 {
            // A daemon that had not begun, with no program alive, takes its keeper with it.
            until("the next", || {
                let next = world.daemon_of(keeper);
                (!is_alive(keeper) || (next.is_some() && next != daemon)).then_some(())
            })?;
            if is_alive(keeper) {
                continue;
            }
        }
        // Whoever was the daemon is the keeper, or nobody is.
        match until("an end or a take-over", || world.successor_of(keeper))? {
            Some(pid) => keeper = pid,
            None => {
                world.start()?;
                keeper = world.keeper();
                until("a daemon", || world.daemon_of(keeper))?;
            }
        }
    }
    let size = || std::fs::metadata(world.path("truth.p0")).map_or(0, |file| file.len());
    let before = size();
    until("work at the end", || (size() > before).then_some(()))?;
    kill_process(pid_of(keeper)?, Signal::TERM)?;
    until("the end", || (!is_alive(keeper)).then_some(()))?;
    ensure!(world.is_tidy(), "something is left");
    compare(world.directory.path(), false)
}
