//! A keeper with all that belongs to it, begun and ended by a test.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use ward_supervise::keeper::{self, Place, Plan};
use ward_sys::procfs::{self, Stat};
use ward_testkit::patience::wait_for_within;

use super::{PLACE, Result, TASK};

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The user's process.
pub(crate) fn keep(daemonize: bool) -> ExitCode {
    let place = place();
    let plan = Plan {
        place: Place::at(place.join("run")),
        daemonize,
        silence: daemonize,
        directory: None,
    };
    match keeper::start(&plan) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Where everything of this test is.
pub(crate) fn place() -> PathBuf {
    std::env::var_os(PLACE).map(PathBuf::from).expect("a place")
}

/// Waits until something is so.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> Result<T> {
    wait_for_within(LIMIT, what, look)
}

pub(crate) fn pid_of(number: i32) -> Result<Pid> {
    Pid::from_raw(number).context("no process id")
}

pub(crate) fn is_alive(pid: i32) -> bool {
    Stat::of(pid).is_some_and(|stat| !stat.has_ended())
}

/// A keeper, its daemon and its programs. Whatever is left of them ends with it.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) executable: PathBuf,
    task: String,
    keeper: Option<Child>,
    orders: Option<ChildStdin>,
    read: usize,
    lines: Vec<String>,
    at: usize,
}

impl World {
    /// One whose daemon does this.
    pub(crate) fn new(task: &str) -> Result<Self> {
        Ok(Self {
            directory: tempfile::tempdir()?,
            executable: std::env::current_exe()?,
            task: task.to_owned(),
            keeper: None,
            orders: None,
            read: 0,
            lines: Vec::new(),
            at: 0,
        })
    }

    /// One whose daemon obeys and is ready.
    pub(crate) fn obedient() -> Result<Self> {
        let mut world = Self::new("obey")?;
        world.start()?;
        world.wait("ready")?;
        Ok(world)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn command(&self) -> Result<Command> {
        self.command_of(Command::new(&self.executable))
    }

    /// Begins below another program.
    pub(crate) fn start_below(&mut self, program: &str, words: &[&str]) -> Result {
        let mut command = Command::new(program);
        command.args(words).arg(&self.executable);
        let mut child = self.command_of(command)?.spawn()?;
        self.orders = child.stdin.take();
        self.keeper = Some(child);
        Ok(())
    }

    fn command_of(&self, mut command: Command) -> Result<Command> {
        let errors = fs::File::options()
            .append(true)
            .create(true)
            .open(self.path("stderr"))?;
        command
            .arg("a word")
            .env(TASK, &self.task)
            .env(PLACE, self.directory.path())
            .stdin(Stdio::piped())
            .stderr(errors);
        Ok(command)
    }

    /// Begins, or begins again.
    pub(crate) fn start(&mut self) -> Result {
        let mut child = self.command()?.spawn()?;
        self.orders = child.stdin.take();
        if let Some(mut before) = self.keeper.replace(child) {
            let _ = before.wait();
        }
        Ok(())
    }

    /// The process that was begun.
    pub(crate) fn keeper(&self) -> i32 {
        let keeper = self.keeper.as_ref().expect("begun");
        i32::try_from(keeper.id()).expect("a pid")
    }

    /// The daemon of a keeper, once it is one. By the roster: a program that has not come to its exec
    /// looks like the daemon in everything else.
    pub(crate) fn daemon_of(&self, keeper: i32) -> Option<i32> {
        let daemon = self.number(7)?;
        let stat = Stat::of(daemon)?;
        let is_it = self.number(4)? == keeper && stat.ppid == keeper && !stat.has_ended();
        (is_it && stat.comm == "ward-daemon").then_some(daemon)
    }

    /// How many daemons there were.
    pub(crate) fn starts(&self) -> Option<i32> {
        self.number(8)
    }

    /// A number of the roster's first page.
    fn number(&self, index: u64) -> Option<i32> {
        use std::os::unix::fs::FileExt;
        let roster = fs::File::open(self.path("run/roster")).ok()?;
        let mut number = [0; 8];
        roster.read_exact_at(&mut number, index * 8).ok()?;
        i32::try_from(u64::from_ne_bytes(number)).ok()
    }

    pub(crate) fn daemon(&self) -> Result<i32> {
        until("a daemon", || self.daemon_of(self.keeper())).with_context(|| self.errors())
    }

    /// What was said on standard error.
    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    pub(crate) fn order(&mut self, text: &str) -> Result {
        let orders = self.orders.as_mut().context("nobody listens")?;
        writeln!(orders, "{text}")?;
        Ok(())
    }

    /// Everything that daemons have said.
    pub(crate) fn said(&mut self) -> &[String] {
        let text = fs::read(self.path("events")).unwrap_or_default();
        let new = text.get(self.read..).unwrap_or_default();
        if let Some(end) = new.iter().rposition(|byte| *byte == b'\n') {
            let whole = String::from_utf8_lossy(&new[..end]).into_owned();
            self.lines.extend(whole.lines().map(str::to_owned));
            self.read += end + 1;
        }
        &self.lines
    }

    /// Waits for a line that begins so, among those that no wait has passed; returns what is behind.
    pub(crate) fn wait(&mut self, start: &str) -> Result<String> {
        let found = wait_for_within(LIMIT, start, || {
            let at = self.at;
            let lines = self.said();
            let found = lines.iter().enumerate().skip(at).find_map(|(index, line)| {
                let rest = line.strip_prefix(start)?;
                Some((index, rest.trim().to_owned()))
            });
            let (index, rest) = found?;
            self.at = index + 1;
            Some(rest)
        });
        found.map_err(|error| {
            let errors = fs::read_to_string(self.path("stderr")).unwrap_or_default();
            error.context(format!("never said: {start}\n{:#?}\n{errors}", self.lines))
        })
    }

    /// How many lines began so.
    pub(crate) fn count(&mut self, start: &str) -> usize {
        let lines = self.said();
        lines.iter().filter(|line| line.starts_with(start)).count()
    }

    /// Claims and starts; the process id.
    pub(crate) fn spawn(&mut self, name: &str, script: &str) -> Result<i32> {
        self.order(&format!("spawn {name} {script}"))?;
        Ok(self.wait(&format!("spawned {name} "))?.parse()?)
    }

    /// What a program has written.
    pub(crate) fn log(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(&format!("log.{name}"))).unwrap_or_default()
    }

    /// How the process that was begun ended.
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
        let keeper = self.keeper.as_mut().context("not begun")?;
        until("the keeper's end", || keeper.try_wait().ok().flatten())
    }

    /// Takes what was begun as over.
    pub(crate) fn has_ended(&mut self) -> bool {
        let keeper = self.keeper.as_mut();
        keeper.is_none_or(|keeper| matches!(keeper.try_wait(), Ok(Some(_))))
    }

    /// Who keeps after this keeper's end, once that is clear: nobody, or another process.
    pub(crate) fn successor_of(&self, keeper: i32) -> Option<Option<i32>> {
        use rustix::fs::{FlockOperation, flock};
        let Ok(roster) = fs::File::open(self.path("run/roster")) else {
            return Some(None);
        };
        if flock(&roster, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Some(None);
        }
        let pid = self.number(4)?;
        let keeps = pid != keeper && is_alive(pid) && self.daemon_of(pid).is_some();
        keeps.then_some(Some(pid))
    }

    /// Whether nothing is left of the runtime directory.
    pub(crate) fn is_tidy(&self) -> bool {
        !self.path("run").exists()
    }

    /// Everybody that belongs to this test.
    fn everybody(&self) -> Vec<i32> {
        let mark = format!("{PLACE}={}", self.directory.path().display());
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let belongs = |pid: &i32| {
            *pid != own
                && procfs::environ(*pid).is_ok_and(|environment| {
                    let mut all = environment.split(|byte| *byte == 0);
                    all.any(|entry| entry == mark.as_bytes())
                })
        };
        procfs::all_pids().filter(belongs).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let start = Instant::now();
        loop {
            let left = self.everybody();
            if left.is_empty() || start.elapsed() > LIMIT {
                break;
            }
            for pid in left {
                let _ = pid_of(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
        }
        if let Some(mut keeper) = self.keeper.take() {
            let _ = keeper.wait();
        }
    }
}

/// A numbered line of each.
pub(crate) fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::to_owned).collect()
}
