//! What a process of a test does: this program starts itself again, with a task in its environment.
//!
//! It is told what to do by lines on its standard input, and answers on its standard error by lines
//! that begin with `@`; everything else there is for whoever reads the failure.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use ward_lock::{Directory, Gives, Held, LockError, Patience, Request, Wanted};
use ward_sys::lockfile;

use super::{Result, crowds, histories, kills};

/// The variable that says which task.
pub(crate) const TASK: &str = "WARD_TEST_LOCK_TASK";

/// Does the task of the environment; nothing if there is none.
pub(crate) fn main() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let directory = PathBuf::from(std::env::var_os("WARD_TEST_LOCKS").expect("a directory"));
    let words: Vec<&str> = task.split(' ').collect();
    let done = match words[0] {
        "obey" => obey(&directory),
        "storm" => kills::contend(&directory, words[1].parse().expect("a number")),
        "turns" => crowds::take_turns(&directory, words[1].parse().expect("a number")),
        "history" => histories::make(&directory, words[1].parse().expect("a number")),
        other => panic!("no such task: {other}"),
    };
    if let Err(error) = done {
        panic!("{error:#}");
    }
}

fn say(text: impl AsRef<str>) {
    eprintln!("@{}", text.as_ref());
}

/// As many descriptors as we may have.
pub(crate) fn many_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let wanted = Rlimit {
        current: Some(most),
        ..limit
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => most,
        Err(_) => limit.current.unwrap_or(0),
    }
}

fn obey(directory: &Path) -> Result {
    let mut state = State::default();
    // The usual one is that of the environment.
    let usual = std::env::var_os("WARD_TEST_USUAL").is_some();
    let locks = Directory::open((!usual).then_some(directory));
    let locks = match locks {
        Ok(locks) => locks,
        Err(error) => {
            say(format!("refused {error:?}"));
            return Ok(());
        }
    };
    say("here");
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        state.obey(&locks, directory, &words)?;
    }
    Ok(())
}

#[derive(Default)]
struct State {
    held: VecDeque<Held>,
    works: Vec<Child>,
    files: Vec<std::fs::File>,
}

impl State {
    fn obey(&mut self, locks: &Directory, directory: &Path, words: &[&str]) -> Result {
        match words {
            // Waits for a lock, or not.
            ["lock", name] => self.got(locks.acquire(&one(name)?, Patience::Never, None)),
            ["try", name] => self.got(locks.acquire(&one(name)?, Patience::None, None)),
            // With something to say, so that there is a text.
            ["explain", name] => {
                let request = Request {
                    command: "make all".to_owned(),
                    ..one(name)?
                };
                self.got(locks.acquire(&request, Patience::None, None));
            }
            ["above", other, name] => {
                let request = Request {
                    held_above: self.badges(other),
                    ..one(name)?
                };
                self.got(locks.acquire(&request, Patience::Never, None));
            }
            ["number", name] => {
                let gives = Gives::Sequence {
                    transactional: true,
                };
                let wanted = Wanted::new(name)?.giving(gives);
                let request = Request::new(vec![wanted]);
                self.got(locks.acquire(&request, Patience::None, None));
            }
            ["commit"] => match self.held.front().context("nothing is held")?.commit() {
                Ok(()) => say("committed"),
                Err(error) => say(format!("failed {error:?}")),
            },
            ["slots", name, take, of] => {
                let wanted = Wanted::new(name)?.slots(take.parse()?, of.parse()?)?;
                self.got(locks.acquire(&Request::new(vec![wanted]), Patience::None, None));
            }
            ["release"] => {
                self.held.pop_front().context("nothing is held")?.release();
                say("released");
            }
            // Goes without a word.
            ["drop"] => {
                self.held.pop_front();
                say("dropped");
            }
            // A child that has none of our descriptors does the work. It is younger than all others
            // here by the clock that the kernel keeps of it, see below.
            ["work"] => {
                let own = start(std::process::id());
                let mut work = sleeper()?;
                while start(work.id()) == own {
                    work.kill()?;
                    work.wait()?;
                    work = sleeper()?;
                }
                let pid = i32::try_from(work.id())?;
                self.held
                    .front()
                    .context("nothing is held")?
                    .note_work(pid)?;
                self.works.push(work);
                say(format!("works {pid}"));
            }
            // The same, beside others that were started within the same tick of the clock.
            ["work-beside-others"] => loop {
                let (work, other) = (sleeper()?, sleeper()?);
                let start = |child: &Child| {
                    let pid = i32::try_from(child.id()).unwrap_or(0);
                    Some(ward_sys::procfs::Stat::of(pid)?.start_ticks)
                };
                let same = start(&work).is_some() && start(&work) == start(&other);
                let pid = i32::try_from(work.id())?;
                self.works.extend([work, other]);
                if same {
                    self.held
                        .front()
                        .context("nothing is held")?
                        .note_work(pid)?;
                    say(format!("works {pid}"));
                    break;
                }
            },
            // Ends the work that was noted last, and nothing else.
            ["end-work", pid] => {
                let pid: u32 = pid.parse()?;
                let work = self.works.iter_mut().find(|work| work.id() == pid);
                let work = work.context("no such work")?;
                work.kill()?;
                work.wait()?;
                say("ended");
            }
            // Enters the critical section and stands still in it.
            ["stand-still", name] => {
                let file = std::fs::File::options()
                    .read(true)
                    .write(true)
                    .open(directory.join(name))?;
                anyhow::ensure!(lockfile::try_lock(&file, 0)?, "somebody is in it");
                self.files.push(file);
                say("stands");
                kill_process(getpid(), Signal::STOP)?;
            }
            // From here on, no more descriptors than so many.
            ["descriptors", most] => {
                let limit = getrlimit(Resource::Nofile);
                let wanted = Rlimit {
                    current: Some(most.parse()?),
                    ..limit
                };
                setrlimit(Resource::Nofile, wanted)?;
                // Below that, there are gaps.
                self.files
                    .extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
                say("limited");
            }
            // So many of those that fill the gaps are not needed.
            ["spare", some] => {
                let left = self.files.len().saturating_sub(some.parse()?);
                self.files.truncate(left);
                say("spared");
            }
            // For as long as it is not killed.
            ["fail-often", name] => loop {
                let _ = locks.acquire(&one(name)?, Patience::None, None);
            },
            ["try-ever-more", name] => {
                for number in 0_u64.. {
                    let _ = locks.try_lock(&format!("{name}-{number}"));
                }
            }
            ["pid"] => say(format!("pid {}", std::process::id())),
            _ => anyhow::bail!("no such order: {words:?}"),
        }
        Ok(())
    }

    /// Of what we hold of this lock.
    fn badges(&self, name: &str) -> Vec<ward_lock::Badge> {
        let held = self.held.iter().filter(|held| held.name() == name);
        held.map(Held::badge).collect()
    }

    fn got(&mut self, got: std::result::Result<Vec<Held>, LockError>) {
        match got {
            Ok(held) => {
                let token = held[0].token();
                let has = held[0].elements().join(",");
                self.held.extend(held);
                say(format!("held {token} {has}"));
            }
            Err(LockError::Busy { holders, .. }) => {
                let pids: Vec<String> = holders.iter().map(|it| it.pid.to_string()).collect();
                say(format!("busy {}", pids.join(" ")));
            }
            Err(error) => say(format!("failed {error:?}")),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for work in &mut self.works {
            let _ = work.kill();
            let _ = work.wait();
        }
    }
}

/// When it was started, in ticks of the clock.
fn start(pid: u32) -> Option<u64> {
    Some(ward_sys::procfs::Stat::of(i32::try_from(pid).ok()?)?.start_ticks)
}

/// Ends by itself, should nobody end it.
fn sleeper() -> Result<Child> {
    let sleeper = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(sleeper)
}

fn one(name: &str) -> Result<Request> {
    Ok(Request::exclusive(name)?)
}
