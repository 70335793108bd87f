//! Starting a program: as the keeper's child from its birth, with pipes that nobody's death breaks.
//!
//! The order, and what is there if this process is killed between two steps:
//! 1. The roster says that a new generation is being started: there is no process, and none is made up.
//! 2. Pipes are made and opened: names without a process, which the next daemon removes.
//! 3. The keeper is sent their readers, if there are any. Should all of us but the keeper and the program die from here on,
//!    what the program writes is held: by the keeper or, until it has received it, by the packet itself.
//! 4. The process is made. The kernel writes its id into the roster before it runs: from that store on
//!    it is known, whatever becomes of us, and its end is noted under its slot.
//! 5. What identifies it beyond its id is written down, for whoever finds it when the keeper is gone
//!    too; until then the time of its start has to do.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Resource;
use thiserror::Error;
use ward_sys::spawn::{
    Credentials, Group, Join, Landing, Launch, Limit, NotBeside, SpawnError, Surroundings, Variable,
};
use ward_sys::stage::Stage;
use ward_sys::{clock, fifo, limits, pidfd};

use super::adoption::write_down;
use super::{Custody, Live};
use crate::api::Stream;
use crate::keeper::pipes::{self, End};
use crate::keeper::role;
use crate::keeper::roster::{Flags, Phase, Slot, Word};
use crate::keeper::watch::wall_clock;
use crate::keeper::wire::Message;

const SIGPIPE: i32 = 13;

/// Where a program's input comes from.
#[derive(Debug, Clone, Copy)]
pub enum Stdin<'a> {
    /// A pipe that [`Custody::stdin_writer`] opens. It never ends: the program has it open for writing,
    /// too.
    Pipe,
    /// This.
    Fd(BorrowedFd<'a>),
}

/// Where one of a program's outputs goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// A pipe, whose reader is given back.
    Pipe,
    /// `/dev/null`: nobody wants to read it, so there is nothing to keep, to wake for and to move. A pipe
    /// where there is no such device.
    Nowhere,
}

/// A program to be started.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// Program and arguments; without a slash it is searched for in the `PATH` of `environment`.
    pub command: &'a [OsString],
    /// Its environment, complete.
    pub environment: &'a [Variable<'a>],
    /// Its directory, if another than the daemon's.
    pub directory: Option<&'a OsStr>,
    /// Its file mode creation mask, if another.
    pub umask: Option<u32>,
    /// Its user and groups, if others. Its pipes are that user's then.
    pub credentials: Option<&'a Credentials>,
    /// Added to the niceness.
    pub nice: Option<i32>,
    /// Its resource limits, where they differ from the daemon's; open files, if they are not among
    /// these, as the user of the keeper had them.
    pub limits: &'a [Limit],
    /// The cgroup to be in.
    pub cgroup: Option<Join<'a>>,
    /// Its input.
    pub stdin: Stdin<'a>,
    /// Its output.
    pub stdout: Sink,
    /// Its errors; none if they go where its output goes.
    pub stderr: Option<Sink>,
    /// Whether it begins with SIGPIPE ignored, as Supervisor's programs do.
    pub ignore_sigpipe: bool,
}

/// A program that was started.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id, and its process group's.
    pub pid: i32,
    /// Which process of its slot it is.
    pub generation: u32,
    /// When it was started, in nanoseconds since 1970.
    pub at: u64,
    /// Reader of its output, which does not block, unless it goes nowhere.
    pub stdout: Option<OwnedFd>,
    /// Reader of its errors, unless those are redirected or go nowhere.
    pub stderr: Option<OwnedFd>,
}

/// Why a program was not started. The slot is as it was before, but for its generation.
#[derive(Debug, Error)]
pub enum SpawnFailure {
    /// The process before it is not over, its end was not acknowledged, or the slot is nobody's.
    #[error("the process before it is not over")]
    Busy,
    /// The keeper is gone: [`Custody::take_over`].
    #[error("the keeper is gone")]
    KeeperGone(#[source] io::Error),
    /// Its pipes could not be made.
    #[error("cannot make its pipes")]
    Pipes(#[source] io::Error),
    /// A step failed.
    #[error("{error}")]
    Start {
        /// Which, and why.
        #[source]
        error: SpawnError,
        /// The process that failed before its exec, if there was one. Its end is told to nobody; should
        /// the daemon be killed before this was returned, the next one finds a process that ended with
        /// status 127.
        pid: Option<i32>,
    },
}

impl SpawnFailure {
    /// The stage that failed and the error number, where there are such.
    #[must_use]
    pub fn stage_and_errno(&self) -> (Stage, i32) {
        match self {
            Self::Busy => (Stage::Begin, 0),
            Self::KeeperGone(error) | Self::Pipes(error) => {
                (Stage::Begin, error.raw_os_error().unwrap_or(0))
            }
            Self::Start { error, .. } => error.stage_and_errno(),
        }
    }
}

/// The ends of the pipes of one process.
struct Pipes {
    stdin: Option<OwnedFd>,
    stdout: Option<Pipe>,
    stderr: Option<Pipe>,
}

/// The ends of one.
struct Pipe {
    writer: OwnedFd,
    reader: OwnedFd,
}

impl Pipes {
    /// The readers, for the keeper.
    fn message(&self, slot: Slot, generation: u32) -> Option<(Message, Vec<BorrowedFd<'_>>)> {
        let first = match (&self.stdout, &self.stderr) {
            (Some(_), _) => Stream::Stdout,
            (None, Some(_)) => Stream::Stderr,
            (None, None) => return None,
        };
        let both = [&self.stdout, &self.stderr].into_iter().flatten();
        let readers = both.map(|pipe| pipe.reader.as_fd()).collect();
        Some((Message::Readers(slot, generation, first), readers))
    }
}

impl Custody {
    /// Starts a program in a process group of its own, in the keeper's session, as the keeper's child.
    /// Returns once its exec has succeeded.
    ///
    /// # Errors
    /// [`SpawnFailure`]: nothing was started.
    pub fn spawn(&mut self, slot: Slot, spec: &Spec<'_>) -> Result<Spawned, SpawnFailure> {
        self.idle(slot).map_err(|_| SpawnFailure::Busy)?;
        let flags = Flags {
            redirect_stderr: spec.stderr.is_none(),
            stdin: matches!(spec.stdin, Stdin::Pipe),
        };
        let at = wall_clock();
        let boot = u64::try_from(clock::since_boot().as_nanos()).unwrap_or(u64::MAX);
        let generation = self.house.roster.begin(slot, flags, at, boot);
        let started = self.spawn_generation(slot, generation, spec);
        let (pid, pipes) = match started {
            Ok(started) => started,
            Err(failure) => {
                let roster = &self.house.roster;
                roster.set_failed(slot, generation);
                roster.set_phase(slot, Phase::Claimed);
                self.forget_pipes(slot, generation);
                return Err(failure);
            }
        };
        Ok(Spawned {
            pid,
            generation,
            at,
            stdout: pipes.stdout.map(|pipe| pipe.reader),
            stderr: pipes.stderr.map(|pipe| pipe.reader),
        })
    }

    fn spawn_generation(
        &mut self,
        slot: Slot,
        generation: u32,
        spec: &Spec<'_>,
    ) -> Result<(i32, Pipes), SpawnFailure> {
        let pipes = self
            .make_pipes(slot, generation, spec)
            .map_err(SpawnFailure::Pipes)?;
        match pipes.message(slot, generation) {
            Some((message, readers)) => self
                .send(&message, &readers)
                .map_err(SpawnFailure::KeeperGone)?,
            // Nothing is said, so that nothing would say that nobody hears.
            None if !self.is_keepers_child() => {
                return Err(SpawnFailure::KeeperGone(Errno::PIPE.into()));
            }
            None => {}
        }

        let mut launch = self
            .prepare(spec)
            .map_err(|error| SpawnFailure::Start { error, pid: None })?;
        let landing = match &mut self.landing {
            Some(landing) => landing,
            none => none.insert(Landing::new().map_err(SpawnFailure::Pipes)?),
        };
        let stdin = match (&pipes.stdin, spec.stdin) {
            (Some(pipe), _) => pipe.as_fd(),
            (None, Stdin::Fd(fd)) => fd,
            (None, Stdin::Pipe) => self.socket.as_fd(),
        };
        let nothing = self.nothing.as_ref().unwrap_or(&self.socket).as_fd();
        let [stdout, stderr] = [&pipes.stdout, &pipes.stderr]
            .map(|pipe| pipe.as_ref().map_or(nothing, |pipe| pipe.writer.as_fd()));
        let stderr = spec.stderr.map_or(stdout, |_| stderr);
        let roster = &self.house.roster;
        let beside = launch
            .start_beside(roster.cell_word(slot), landing, [stdin, stdout, stderr])
            .map_err(|NotBeside { error, pid }| SpawnFailure::Start {
                error,
                pid: pid.map(|pid| pid.as_raw_nonzero().get()),
            })?;
        let pid = beside.pid.as_raw_nonzero().get();
        // By its number it is the right one as long as its end is not noted: it was not reaped before.
        let pidfd = beside.pidfd.or_else(|| {
            let fd = pidfd::open(pid).ok()?;
            roster.end_of(slot, generation).is_none().then_some(fd)
        });
        if let Some(pidfd) = &pidfd {
            write_down(roster, slot, pid, pidfd);
        }
        roster.set_phase(slot, Phase::Alive);
        self.live[slot.index()] = pidfd.map(|pidfd| Live { pid, pidfd });
        Ok((pid, pipes))
    }

    /// Whether what is started beside us has the keeper as its parent.
    fn is_keepers_child(&self) -> bool {
        rustix::process::getppid()
            .is_some_and(|parent| parent.as_raw_nonzero().get() == self.keeper_pid())
    }

    fn make_pipes(&self, slot: Slot, generation: u32, spec: &Spec<'_>) -> io::Result<Pipes> {
        let directory = self.house.directory.as_fd();
        let owner = spec.credentials.map(|who| (who.uid, who.gid));
        let make = |end| fifo::make(directory, &pipes::name(slot, generation, end), owner);
        let both = |stream, sink: Option<Sink>| -> io::Result<_> {
            match sink {
                Some(Sink::Nowhere) if self.nothing.is_some() => return Ok(None),
                None => return Ok(None),
                Some(Sink::Nowhere | Sink::Pipe) => {}
            }
            let end = End::Out(stream);
            let writer = make(end)?;
            let reader = fifo::reader_of_made(directory, &pipes::name(slot, generation, end))?;
            Ok(Some(Pipe { writer, reader }))
        };
        Ok(Pipes {
            stdin: match spec.stdin {
                Stdin::Pipe => Some(make(End::In)?),
                Stdin::Fd(_) => None,
            },
            stdout: both(Stream::Stdout, Some(spec.stdout))?,
            stderr: both(Stream::Stderr, spec.stderr)?,
        })
    }

    fn prepare(&self, spec: &Spec<'_>) -> Result<Launch, SpawnError> {
        let mut limits = spec.limits.to_vec();
        if let Some(nofile) = self.users_nofile(spec.limits) {
            limits.push(nofile);
        }
        // The role is ours alone, even where somebody made this from our own environment.
        let is_foreign = |(name, _): &Variable<'_>| *name != role::VARIABLE;
        let filtered: Vec<Variable<'_>>;
        let environment = if spec.environment.iter().all(is_foreign) {
            spec.environment
        } else {
            let kept = spec.environment.iter().filter(|item| is_foreign(item));
            filtered = kept.copied().collect();
            &filtered
        };
        // Its streams are put where it finds them when it is started.
        let none = self.socket.as_fd();
        let launch = Launch::without_streams(
            spec.command,
            &Surroundings {
                environment,
                directory: spec.directory,
                credentials: spec.credentials,
                umask: spec.umask,
                nice: spec.nice,
                limits: &limits,
                group: Group::New,
                cgroup: spec.cgroup,
                stdio: [none; 3],
                keep: &[],
                place: &[],
                tell_pid: &[],
            },
        )?;
        let ignored: &[i32] = if spec.ignore_sigpipe { &[SIGPIPE] } else { &[] };
        Ok(launch.ignoring(ignored))
    }

    /// The limit of open files that the user had, as keeper and daemon raised theirs.
    fn users_nofile(&self, given: &[Limit]) -> Option<Limit> {
        let resource = limits::NAMES
            .iter()
            .find_map(|(name, number)| (*name == "nofile").then_some(*number))?;
        if given.iter().any(|limit| limit.resource == resource) {
            return None;
        }
        let roster = self.roster();
        let now = rustix::process::getrlimit(Resource::Nofile);
        let hard = roster
            .get(Word::NofileHard)
            .min(now.maximum.unwrap_or(u64::MAX));
        let soft = roster.get(Word::NofileSoft).min(hard);
        (soft > 0).then_some(Limit {
            resource,
            soft,
            hard,
        })
    }
}
