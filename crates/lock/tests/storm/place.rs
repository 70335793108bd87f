//! A lock directory of a test's own, and the processes that use it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use ward_lock::{Directory, Held, LockError, Patience, Request};
use ward_sys::lockfile;
use ward_testkit::patience::{LIMIT, wait_until};

use super::Result;
use super::worker::TASK;

/// Where one test's locks are; gone with it.
pub(crate) struct Place {
    temporary: tempfile::TempDir,
    pub(crate) locks: Directory,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        Self::in_directory(&std::env::temp_dir())
    }

    /// Below `parent`, which is another file system than the usual one.
    pub(crate) fn in_directory(parent: &Path) -> Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix("ward-storm-")
            .tempdir_in(parent)?;
        let locks = Directory::open(Some(&temporary.path().join("locks")))?;
        Ok(Self { temporary, locks })
    }

    /// Beside the locks.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.path("locks")
    }

    /// A lock's file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// A lock's file, open beside whoever uses it: a description of its own.
    pub(crate) fn open(&self, name: &str) -> Result<fs::File> {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(self.file(name))?;
        Ok(file)
    }

    /// One lock, for nobody else, without waiting.
    pub(crate) fn now(&self, name: &str) -> std::result::Result<Held, LockError> {
        let mut held = self
            .locks
            .acquire(&Request::exclusive(name)?, Patience::None, None)?;
        Ok(held.remove(0))
    }

    /// How many hold a lock, and how many wait for it.
    pub(crate) fn queue(&self, name: &str) -> Result<(usize, usize)> {
        let listed = self.locks.show(name)?;
        Ok((listed.holders.len(), listed.waiting.len()))
    }

    pub(crate) fn await_queue(&self, name: &str, wanted: (usize, usize)) -> Result {
        let mut last = Ok((0, 0));
        wait_until("the queue", || {
            last = self.queue(name);
            last.as_ref().is_ok_and(|queue| *queue == wanted)
        })
        .with_context(|| format!("not {wanted:?}, but {last:?}"))
    }

    /// A process that does as it is told.
    pub(crate) fn worker(&self) -> Result<Worker> {
        self.worker_through(Command::new(std::env::current_exe()?))
    }

    /// As [`Place::worker`], started by `command`, which must start us with the arguments that are
    /// added to it.
    pub(crate) fn worker_through(&self, command: Command) -> Result<Worker> {
        Worker::start(command, "obey", &self.directory())
    }

    /// The program of the tests, where every user may execute it.
    pub(crate) fn program_for_all(&self) -> Result<PathBuf> {
        let program = self.path("program");
        if !program.exists() {
            // By another process: what we had open for writing would be so in whatever another test is
            // just starting, and could not be executed.
            let mut copy = Command::new("cp");
            let copied = copy.arg(std::env::current_exe()?).arg(&program).status()?;
            ensure!(copied.success(), "cp: {copied}");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
            fs::set_permissions(self.temporary.path(), fs::Permissions::from_mode(0o755))?;
        }
        Ok(program)
    }
}

/// Numbers that all processes of a test see, each changed by one at a time.
pub(crate) struct Numbers(fs::File);

impl Numbers {
    pub(crate) fn in_file(path: &Path) -> Result<Self> {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self(file))
    }

    /// 0 if it was never changed.
    pub(crate) fn get(&self, index: usize) -> u64 {
        let mut bytes = [0; 8];
        match self.0.read_at(&mut bytes, index as u64 * 8) {
            Ok(8) => u64::from_ne_bytes(bytes),
            _ => 0,
        }
    }

    pub(crate) fn add(&self, index: usize, more: u64) -> Result {
        let sum = self.get(index) + more;
        Ok(self.0.write_all_at(&sum.to_ne_bytes(), index as u64 * 8)?)
    }
}

/// The newest number in a lock's file that is written as the one of the next to come. Read from
/// the file by its format, to play somebody who was killed at a bad moment.
pub(crate) fn next_ticket(file: &fs::File) -> Result<u64> {
    let mut newest = (0, 0);
    for at in [4 << 10, 512 << 10] {
        let mut head = [0; 56];
        if file.read_exact_at(&mut head, at).is_err() {
            continue;
        }
        let number = |from: usize| -> Result<u64> {
            Ok(u64::from_le_bytes(head[from..from + 8].try_into()?))
        };
        newest = newest.max((number(8)?, number(48)?));
    }
    ensure!(newest.0 > 0, "nobody has used it yet");
    Ok(newest.1)
}

/// Whether somebody is in the critical section.
pub(crate) fn is_being_changed(file: &fs::File) -> Result<bool> {
    Ok(lockfile::is_locked(file, 0)?)
}

/// A process of ours, killed when this is dropped.
pub(crate) struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    says: Receiver<String>,
}

impl Worker {
    /// Starts one. `task` and `directory` are what it finds in its environment.
    pub(crate) fn start(mut command: Command, task: &str, directory: &Path) -> Result<Self> {
        let mut child = command
            .args(["--exact", "worker_process", "--nocapture"])
            .env(TASK, task)
            .env("WARD_TEST_LOCKS", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let (says, said) = channel();
        let errors = child.stderr.take().context("no pipe")?;
        std::thread::spawn(move || {
            for line in BufReader::new(errors)
                .lines()
                .map_while(std::io::Result::ok)
            {
                if says.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            orders: child.stdin.take(),
            child,
            says: said,
        })
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    pub(crate) fn order(&mut self, words: &str) -> Result {
        let orders = self.orders.as_mut().context("it has no orders any more")?;
        Ok(writeln!(orders, "{words}")?)
    }

    /// What it says next. What is not meant for us is kept for the error.
    pub(crate) fn hear(&self) -> Result<String> {
        let mut noise = Vec::new();
        loop {
            match self.says.recv_timeout(LIMIT) {
                Ok(line) => match line.strip_prefix('@') {
                    Some(said) => return Ok(said.to_owned()),
                    None => noise.push(line),
                },
                Err(RecvTimeoutError::Timeout) => bail!("it says nothing; {}", noise.join("\n")),
                Err(RecvTimeoutError::Disconnected) => bail!("it has ended; {}", noise.join("\n")),
            }
        }
    }

    /// Orders, and hears the answer.
    pub(crate) fn ask(&mut self, words: &str) -> Result<String> {
        self.order(words)?;
        self.hear().with_context(|| format!("ordered to {words}"))
    }

    /// Orders, and expects an answer that begins so; returns the rest.
    pub(crate) fn expect(&mut self, words: &str, begin: &str) -> Result<String> {
        let said = self.ask(words)?;
        let rest = said.strip_prefix(begin).map(|rest| rest.trim().to_owned());
        rest.with_context(|| format!("ordered to {words}, it said {said:?} and not {begin:?}"))
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result {
        let pid = Pid::from_raw(self.pid()).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Its state, proc_pid_stat(5).
    pub(crate) fn state(&self) -> Option<char> {
        Some(ward_testkit::processes::look(self.pid())?.state)
    }

    pub(crate) fn stop(&self) -> Result {
        self.signal(Signal::STOP)?;
        wait_until("it to stop", || self.state() == Some('T'))
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Has no more orders for it, and waits until it has ended by itself.
    pub(crate) fn end(&mut self) -> Result {
        self.orders = None;
        let status = self.child.wait()?;
        let rest: Vec<String> = self.says.iter().collect();
        ensure!(status.success(), "{status}: {}", rest.join("\n"));
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
