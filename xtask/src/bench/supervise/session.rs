//! A supervisor that runs: from its start with all programs until nothing of it is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::{Pid, Signal, kill_process};

use super::super::control::Group;
use super::super::processes;
use super::super::setup::{Setup, silent, wait_until, wait_within};
use super::beacon::{Beacon, Kind as Said, now};
use super::contestants::Contestant;
use super::scene::{Output, Scene, Stopping};

/// How long all programs may take to start, or to end.
pub(super) const LIMIT: Duration = Duration::from_secs(120);
/// How long a command that has done its work may take to end.
const ENDING: Duration = Duration::from_secs(60);

/// What the programs do.
#[derive(Clone, Copy)]
pub(super) enum Work {
    Sleep,
    /// So many bytes of lines, so many lines in a write; none before the gate opens.
    Lines {
        bytes: u64,
        per_write: u64,
    },
}

/// A supervisor and its programs.
pub(super) struct Session {
    pub(super) scene: Scene,
    pub(super) beacon: Beacon,
    programs: usize,
    child: Child,
    group: Option<Group>,
    /// Its end says that the last program is gone.
    alive: File,
    began: u64,
}

impl Session {
    /// Starts `contestant` with so many programs, lets `use_it` work with it, and ends all of it.
    pub(super) fn with<T>(
        setup: &Setup,
        contestant: &Contestant,
        load: &std::path::Path,
        (programs, work, output): (usize, Work, Output),
        use_it: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let directory = setup.work.join("supervised");
        fs::create_dir(&directory).context("making a directory")?;
        let (result, group) = match Self::start(setup, contestant, load, (programs, work, output)) {
            Err(error) => (Err(error), None),
            Ok(mut session) => {
                let result = use_it(&mut session);
                let result = result.map_err(|error| match session.last_words() {
                    Some(words) => error.context(format!("it said: {words}")),
                    None => error,
                });
                (result, session.group)
            }
        };
        setup.clean(group)?;
        fs::remove_dir_all(&directory).context("removing a directory")?;
        result
    }

    fn start(
        setup: &Setup,
        contestant: &Contestant,
        load: &std::path::Path,
        (programs, work, output): (usize, Work, Output),
    ) -> Result<Self> {
        let directory = setup.work.join("supervised");
        let beacon = Beacon::make(directory.join("beacon")).context("making a beacon")?;
        let fifo = |name: &str| -> Result<PathBuf> {
            let path = directory.join(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .context("making a FIFO")?;
            Ok(path)
        };
        let (alive, gate) = (fifo("alive")?, fifo("gate")?);
        let reading = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let reader = open(&alive, reading, Mode::empty()).context("opening a FIFO")?;
        let words_of = |number: usize| -> Vec<String> {
            let (verb, more) = match work {
                Work::Sleep => ("sleep", Vec::new()),
                Work::Lines { bytes, per_write } => {
                    let more = [
                        gate.display().to_string(),
                        bytes.to_string(),
                        per_write.to_string(),
                    ];
                    ("lines", more.into())
                }
            };
            let mut words = vec![load.display().to_string(), verb.to_owned()];
            words.extend([beacon.path(), &alive].map(|path| path.display().to_string()));
            words.push(number.to_string());
            words.extend(more);
            words
        };
        let all: Vec<Vec<String>> = (0..programs).map(words_of).collect();
        let scene = Scene::make(&contestant.kind, &directory.join("at"), &all, output)?;
        let said = File::create(directory.join("said")).context("making a file")?;
        let mut command = Command::new(&scene.start[0]);
        command
            .args(&scene.start[1..])
            .current_dir(&scene.directory)
            .env("WARD_STATE_DIR", scene.directory.join("state"))
            .stdin(Stdio::null())
            .stdout(said.try_clone().context("copying a file")?)
            .stderr(said);
        let ((began, child), group) = setup.in_own_group(|| {
            let began = now();
            Ok((began, command.spawn().context("starting a supervisor")?))
        })?;
        Ok(Self {
            scene,
            beacon,
            programs,
            child,
            group,
            alive: reader.into(),
            began,
        })
    }

    /// Waits until every program runs; nanoseconds from the start of the supervisor to that of the last.
    pub(super) fn wait_for_all(&mut self) -> Result<u64> {
        wait_until("all programs run", LIMIT, || {
            self.expect_alive()?;
            self.beacon.look().context("reading the beacon")?;
            // Most looks are in vain, and counting is cheaper than telling programs apart.
            if self.beacon.starts() < self.programs {
                return Ok(None);
            }
            let firsts = self.beacon.firsts(Said::Began);
            Ok((firsts.len() == self.programs).then_some(firsts))
        })
        .map(|firsts| {
            let last = firsts.into_values().max().unwrap_or(self.began);
            last.saturating_sub(self.began)
        })
        .with_context(|| format!("{} of {} started", self.beacon.starts(), self.programs))
    }

    /// Fails when the supervisor itself has ended.
    pub(super) fn expect_alive(&mut self) -> Result<()> {
        match self.child.try_wait().context("looking after it")? {
            None => Ok(()),
            Some(status) => bail!("it ended ({status})"),
        }
    }

    /// Lets writers write.
    pub(super) fn open_gate(&self) -> Result<File> {
        let gate = self.scene.directory.with_file_name("gate");
        let mut options = File::options();
        // Opened for both, it does not wait for anybody.
        options
            .read(true)
            .write(true)
            .open(gate)
            .context("opening the gate")
    }

    /// Every process of the run that is none of the programs.
    pub(super) fn supervisors(&mut self) -> Result<Vec<i32>> {
        self.beacon.look().context("reading the beacon")?;
        let programs: BTreeSet<u32> = self.beacon.of(Said::Began).map(|it| it.pid).collect();
        let all = processes::below_us().context("looking for processes")?;
        Ok(all
            .into_iter()
            .filter(|entry| entry.is_alive() && !programs.contains(&entry.pid.cast_unsigned()))
            .map(|entry| entry.pid)
            .collect())
    }

    /// The process of each program, and when it began.
    pub(super) fn latest(&mut self) -> Result<BTreeMap<u32, (u32, u64)>> {
        self.beacon.look().context("reading the beacon")?;
        let began = self.beacon.of(Said::Began);
        Ok(began
            .map(|it| (it.program, (it.pid, it.nanoseconds)))
            .collect())
    }

    /// Asks it to end all programs; nanoseconds until the last of them is gone.
    pub(super) fn stop_all(&mut self) -> Result<u64> {
        let began = now();
        let command = match &self.scene.stop {
            Stopping::Signal => {
                kill_process(Pid::from_child(&self.child), Signal::TERM).context("stopping it")?;
                None
            }
            Stopping::Command(words) => {
                let words: Vec<_> = words.iter().map(Into::into).collect();
                Some(silent(&words).spawn().context("asking it to stop all")?)
            }
        };
        let limit = Timespec::try_from(LIMIT).context("a limit out of range")?;
        let mut last = [PollFd::new(&self.alive, PollFlags::IN)];
        let gone = poll(&mut last, Some(&limit)).context("waiting for the programs")?;
        ensure!(gone > 0, "programs are left {} s later", LIMIT.as_secs());
        let took = now().saturating_sub(began);
        if let Some(mut command) = command {
            wait_within(&mut command, ENDING)?.context("the command that stops all hangs")?;
        }
        Ok(took)
    }

    /// The last line that the supervisor said.
    fn last_words(&self) -> Option<String> {
        let said = fs::read(self.scene.directory.with_file_name("said")).ok()?;
        let text = String::from_utf8_lossy(&said).trim().to_owned();
        text.lines().last().map(str::to_owned)
    }
}
