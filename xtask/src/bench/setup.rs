//! What every measurement needs: the programs, a place, rounds, and ways to start and wait.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::control::Group;
use super::processes;
use super::statistics::Shuffle;
use super::{Plan, What};

/// Rounds where nobody asked for a number of them.
const ROUNDS: u32 = 9;
/// A round of supervisors takes minutes.
const ROUNDS_OF_SUPERVISORS: u32 = 5;
const QUICK_ROUNDS: u32 = 3;

/// How long to wait for a calm machine before a measurement.
const PATIENCE: Duration = Duration::from_secs(10);
/// The share of all processors that others may use on a machine that is calm.
pub(super) const CALM: f64 = 0.25;

/// How long ending the left-overs of one measurement may take.
const CLEANING: Duration = Duration::from_secs(30);

/// What every measurement needs.
pub(super) struct Setup {
    pub(super) ward: PathBuf,
    pub(super) load: PathBuf,
    /// A directory for files, in memory where possible.
    pub(super) work: PathBuf,
    pub(super) rounds: u32,
    pub(super) quick: bool,
    shuffle: Shuffle,
    /// The control group of the whole run, and the one inside it that we are in.
    groups: Option<(Group, Group)>,
    shows_progress: bool,
}

impl Setup {
    pub(super) fn of(plan: &Plan) -> Result<Self> {
        processes::adopt_orphans().context("adopting orphans")?;
        let groups = match &plan.group {
            None => None,
            Some(path) => {
                let all = Group::at(path.clone());
                let home = all.make("measuring").context("making a control group")?;
                home.enter().context("entering a control group")?;
                Some((all, home))
            }
        };
        let default = match plan.what {
            _ if plan.effort.quick => QUICK_ROUNDS,
            What::Supervise | What::Build => ROUNDS_OF_SUPERVISORS,
            What::Run | What::Spawn | What::Lock => ROUNDS,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            ward: plan.ward.clone(),
            load: plan.load.clone(),
            work: plan.work.clone().context("no directory to work in")?,
            rounds: plan.effort.rounds.unwrap_or(default),
            quick: plan.effort.quick,
            shuffle: Shuffle::seeded(now.map_or(1, |now| now.subsec_nanos().into())),
            groups,
            shows_progress: io::stderr().is_terminal(),
        })
    }

    /// Whether control groups can be made here.
    pub(super) fn has_groups(&self) -> bool {
        self.groups.is_some()
    }

    /// Shows where we are, in place, if somebody looks.
    pub(super) fn progress(&self, text: &str) {
        if self.shows_progress {
            eprint!("\r\x1b[K{text}");
        }
    }

    /// Waits a bounded time for a machine that does little else.
    pub(super) fn wait_for_calm(&self) {
        let end = Instant::now() + PATIENCE;
        while busy_share(Duration::from_millis(300)).is_some_and(|busy| busy > CALM)
            && Instant::now() < end
        {
            self.progress("waiting for a calm machine");
        }
    }

    /// Measures each of `all` once in each round, every round in another order: what drifts
    /// meanwhile, and whoever came just before, is the same for all.
    pub(super) fn in_turn<T>(
        &mut self,
        what: &str,
        rounds: u32,
        all: &mut [T],
        mut once: impl FnMut(&Self, &mut T) -> Result<()>,
    ) -> Result<()> {
        self.wait_for_calm();
        let count = all.len();
        for round in 1..=rounds {
            for (turn, at) in (1..).zip(self.shuffle.order(count)) {
                self.progress(&format!(
                    "{what}: round {round} of {rounds}, {turn} of {count}"
                ));
                once(self, &mut all[at])?;
            }
        }
        Ok(())
    }

    /// Makes a control group that `start` runs in, and leaves it again; what was started stays
    /// inside. Without control groups, `start` just runs.
    pub(super) fn in_own_group<T>(
        &self,
        start: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Option<Group>)> {
        let Some((all, home)) = &self.groups else {
            return Ok((start()?, None));
        };
        let group = all.make("load").context("making a control group")?;
        group.enter().context("entering a control group")?;
        let started = start();
        home.enter().context("leaving a control group")?;
        Ok((started?, Some(group)))
    }

    /// Ends whatever a measurement left, and removes its control group.
    pub(super) fn clean(&self, group: Option<Group>) -> Result<()> {
        if let Some(group) = &group {
            group.kill(CLEANING).context("emptying a control group")?;
        }
        processes::end_all(CLEANING).context("ending what was started")?;
        match group {
            Some(group) => group.remove(CLEANING).context("removing a control group"),
            None => Ok(()),
        }
    }
}

/// A command with these words, that reads, writes and shows nothing.
pub(super) fn silent(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Waits for a child; `None` when `limit` is over first.
pub(super) fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let its_end =
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).context("opening a pidfd")?;
    let limit = Timespec::try_from(limit).context("a limit out of range")?;
    let ready = poll(&mut [PollFd::new(&its_end, PollFlags::IN)], Some(&limit))
        .context("waiting for a child")?;
    if ready == 0 {
        return Ok(None);
    }
    child.wait().map(Some).context("reaping a child")
}

/// Looks until `look` finds something; fails when `limit` is over first.
pub(super) fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The share of all processors that was in use during the next `span`.
pub(super) fn busy_share(span: Duration) -> Option<f64> {
    let times = || parse_times(&fs::read_to_string("/proc/stat").ok()?);
    let (all_before, idle_before) = times()?;
    thread::sleep(span);
    let (all, idle) = times()?;
    let passed = all.checked_sub(all_before).filter(|passed| *passed > 0)?;
    Some(1.0 - idle.saturating_sub(idle_before) as f64 / passed as f64)
}

/// All time and idle time (idle and waiting for I/O) of the first line of /proc/stat.
fn parse_times(stat: &str) -> Option<(u64, u64)> {
    let fields: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    Some((fields.iter().sum(), fields.get(3)? + fields.get(4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_all_processors_are_summed() {
        let stat = "cpu  10 0 20 60 5 1 2 2\ncpu0 1 1 1 1 1 1 1 1\n";
        assert_eq!(parse_times(stat), Some((100, 65)));
        assert_eq!(parse_times("cpu0 1 2"), None);
    }

    #[test]
    fn waiting_ends_when_it_finds_or_when_it_may_not_wait_longer() {
        let mut looks = 0;
        let found = wait_until("three", Duration::from_secs(60), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), 3);
        let never: Result<()> = wait_until("nothing", Duration::ZERO, || Ok(None));
        assert!(never.unwrap_err().to_string().contains("nothing"));
    }
}
