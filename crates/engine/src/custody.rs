//! Everything that a run needs, made ready before it splits into front and guardian, so
//! that each of them could carry it on alone.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ward_model::cookie::{Cookies, WARD_RUN_ID};
use ward_model::report;
use ward_model::rung::RungChoice;
use ward_model::spec::{DaemonOutput, Detached, RotatedLog, Spec, Stdin};
use ward_sys::Pid;
use ward_sys::reap::{self, Reaped, Status};
use ward_sys::shared::SharedNumber;
use ward_sys::spawn::{self, Credentials, Group, Join, Launch, Limit, SpawnError, Surroundings};
use ward_sys::stage::Stage;
use ward_sys::terminal::{self, PseudoTerminal};
use ward_sys::{pipe, spawn::own_standard_stream};

use crate::account::Account;
use crate::error::EngineError;
use crate::keep::Record;
use crate::locks::Locks;
use crate::output::{LogFile, Relay, Sink, Source};
use crate::report_file::ReportFile;
use crate::tree::{Tree, chain};

/// How the command is connected to the caller's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// It has none.
    None,
    /// It has the caller's own, in the caller's process group: job control works as without
    /// ward, as the shell sees one job.
    Shared(Pid),
    /// It has one of its own, as its output must be seen by us too.
    Pseudo,
}

/// A run, ready to begin or begun.
#[derive(Debug)]
pub(crate) struct Custody {
    pub(crate) spec: Spec,
    pub(crate) run_id: String,
    pub(crate) terminal: Terminal,
    pub(crate) relay: Relay,
    /// The sink that notices go to.
    pub(crate) notices: usize,
    pub(crate) tree: Tree,
    pub(crate) account: Account,
    pub(crate) report: Option<ReportFile>,
    /// The front wants to hear of the start.
    pub(crate) tells_start: bool,
    /// The front wants the report over the line.
    pub(crate) reports_over_line: bool,
    /// The leader's process id, as both halves of the run know it.
    leader: SharedNumber,
    /// How the leader ended, written down before it is reaped: whoever is killed then, the
    /// other half knows.
    leader_status: SharedNumber,
    /// Not 0 once everybody has been told to stop.
    told: SharedNumber,
    /// What the command gets; `None` once it has it.
    stdio: Option<[OwnedFd; 3]>,
    /// What is held as long as it lasts.
    pub(crate) locks: Locks,
    /// Descriptors that it is given under these numbers.
    pub(crate) placed: Vec<(OwnedFd, i32)>,
    /// Files that the command writes its id into before its exec.
    pub(crate) pid_files: Vec<OwnedFd>,
    /// The command's side of its own terminal, which the guardian's session must take.
    pub(crate) session_terminal: Option<OwnedFd>,
    /// Our side of it, for what the user types.
    pub(crate) keyboard: Option<OwnedFd>,
    /// The record of a detached command.
    pub(crate) record: Option<Record>,
}

impl Custody {
    /// Makes everything ready.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was started and nothing is left behind.
    pub(crate) fn prepare(spec: Spec, report: Option<&Path>) -> Result<Self, EngineError> {
        Self::prepare_with(spec, report, None)
    }

    /// Makes everything ready for a command that is given these standard streams, if it is
    /// detached.
    ///
    /// # Errors
    /// As [`Custody::prepare`].
    pub(crate) fn prepare_with(
        mut spec: Spec,
        report: Option<&Path>,
        stdio: Option<[OwnedFd; 3]>,
    ) -> Result<Self, EngineError> {
        if spec.command.is_empty() {
            return Err(EngineError::NoCommand);
        }
        let [leader, told, leader_status] =
            SharedNumber::several().map_err(EngineError::system("share memory"))?;
        let run_id = match &spec.detached {
            // Nobody's child: an enclosing run sees by it that it is to stay.
            Some(_) => new_run_id(),
            None => nested_run_id(),
        };
        // Only one of a name: readers of an environment differ in which of two they take.
        spec.environment.retain(|(name, _)| name != WARD_RUN_ID);
        spec.environment
            .push((OsString::from(WARD_RUN_ID), OsString::from(&run_id)));
        let variables = spec
            .environment
            .iter()
            .map(|(key, value)| (key.as_encoded_bytes(), value.as_encoded_bytes()));
        let cookies = match &spec.detached {
            // It may be a build server's agent, whose builds have cookies of their own.
            Some(_) => Cookies::of_daemon(&run_id),
            None => Cookies::of_step(&run_id, &variables),
        };
        let log = match &spec.log {
            Some(log) => Some(LogFile::open(log).map_err(|source| EngineError::Log {
                path: PathBuf::from(&log.path),
                source,
            })?),
            None => None,
        };
        let streams = match &spec.detached {
            Some(detached) => Streams::detach(&spec, detached, stdio)?,
            None => Streams::connect(&spec, log)?,
        };
        // A daemon's is kept with its environment and its log.
        let mode = if spec.detached.is_some() {
            0o600
        } else {
            0o666
        };
        let report = match report {
            Some(path) => {
                Some(
                    ReportFile::prepare(path, mode).map_err(|source| EngineError::Report {
                        path: path.to_owned(),
                        source,
                    })?,
                )
            }
            None => None,
        };
        let tree = Tree::prepare(
            spec.rung,
            &run_id,
            &spec.tree_limits,
            spec.best_effort,
            cookies,
            spec.spare,
            spec.detached.is_some(),
        );
        let mut tree = match tree {
            Ok(tree) => tree,
            Err(error) => {
                if let Some(report) = report {
                    report.discard();
                }
                return Err(error);
            }
        };
        tree.set_pipes(
            streams
                .relay
                .sources
                .iter()
                .filter_map(|source| Some((source.name, source.identity?)))
                .collect(),
        );
        Ok(Self {
            spec,
            run_id,
            terminal: streams.terminal,
            relay: streams.relay,
            notices: streams.notices,
            tree,
            account: Account::new(),
            report,
            tells_start: false,
            reports_over_line: false,
            leader,
            leader_status,
            told,
            stdio: Some(streams.stdio),
            locks: Locks::default(),
            placed: Vec::new(),
            pid_files: Vec::new(),
            session_terminal: streams.session_terminal,
            keyboard: streams.keyboard,
            record: None,
        })
    }

    /// Takes note that the leader runs. From now on whatever the command shall not share with us
    /// is its own.
    pub(crate) fn note_start(&mut self, leader: Pid) {
        self.locks.work_began(leader);
        if let Some(record) = &self.record {
            record.started(leader);
            ward_sys::fork::close_inherited(&[]);
        }
    }

    /// Lets go of the command's ends of its streams, so that the end of output can be seen.
    pub(crate) fn drop_command_side(&mut self) {
        self.stdio = None;
        self.placed.clear();
        self.pid_files.clear();
        self.session_terminal = None;
    }

    /// Takes back what was made ready, as nothing was begun.
    pub(crate) fn discard(mut self) {
        self.clean_up();
        if let Some(report) = self.report.take() {
            report.discard();
        }
    }

    /// Removes what was made for this run only.
    pub(crate) fn clean_up(&mut self) {
        self.tree.clean_up();
        if let Some(path) = self.spec.remove_at_end.take() {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Starts the leader. If it cannot join the cgroup and nobody insists on that, it is
    /// started without.
    pub(crate) fn launch(&mut self) -> Result<Pid, SpawnError> {
        let result = self.launch_into_cgroup();
        let may_do_without = self.spec.rung == RungChoice::Auto
            && (self.spec.best_effort || self.spec.tree_limits.controllers().next().is_none());
        let result = match result {
            Err(error) if may_do_without && is_about_cgroup(&error) => {
                let limits = self.spec.tree_limits;
                self.tree.fall_to_guardian(chain(&error), &limits);
                self.launch_once(None)
            }
            result => result,
        };
        self.drop_command_side();
        result
    }

    /// The leader, once it was begun to be started; it may have failed to become the command.
    pub(crate) fn leader(&self) -> Option<Pid> {
        Pid::from_raw(self.leader.get())
    }

    /// Starts the leader in its cgroup: born there, or, where that does not work (old
    /// kernels and containers, a cgroup around us that was killed before), by joining it.
    fn launch_into_cgroup(&self) -> Result<Pid, SpawnError> {
        let Some(cgroup) = &self.tree.cgroup else {
            return self.launch_once(None);
        };
        match self.launch_once(Some(Join::Birth(cgroup.directory()))) {
            Err(error) if is_about_cgroup(&error) => {
                let procs = cgroup.open_procs().map_err(|error| SpawnError::Step {
                    stage: Stage::JoinCgroup,
                    error,
                })?;
                self.launch_once(Some(Join::Write(procs.as_fd())))
            }
            result => result,
        }
    }

    fn launch_once(&self, cgroup: Option<Join<'_>>) -> Result<Pid, SpawnError> {
        let Some(stdio) = &self.stdio else {
            return Err(SpawnError::Clone(std::io::Error::from_raw_os_error(0)));
        };
        let spec = &self.spec;
        let limits: Vec<Limit> = spec
            .rlimits
            .iter()
            .map(|limit| Limit {
                resource: limit.resource,
                soft: limit.soft.unwrap_or(u64::MAX),
                hard: limit.hard.unwrap_or(u64::MAX),
            })
            .collect();
        let credentials = spec.identity.as_ref().map(|identity| Credentials {
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.clone(),
        });
        let group = match self.terminal {
            Terminal::None if spec.detached.is_some() => Group::NewSession,
            Terminal::None => Group::New,
            Terminal::Shared(group) => Group::Join(group),
            Terminal::Pseudo => (0..3)
                .find(|stream| terminal::is_terminal(&stdio[*stream]))
                .map_or(Group::New, Group::NewForeground),
        };
        let [stdin, stdout, stderr] = stdio;
        let pid_files: Vec<_> = self.pid_files.iter().map(AsFd::as_fd).collect();
        let placed: Vec<_> = self
            .placed
            .iter()
            .map(|(fd, number)| (fd.as_fd(), *number))
            .collect();
        let environment: Vec<_> = spec
            .environment
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
            .collect();
        Launch::new(
            &spec.command,
            &Surroundings {
                environment: &environment,
                directory: spec.directory.as_deref(),
                credentials: credentials.as_ref(),
                umask: spec.umask,
                nice: spec.nice,
                limits: &limits,
                group,
                cgroup,
                stdio: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
                keep: &spec.keep_fds,
                place: &placed,
                tell_pid: &pid_files,
            },
        )?
        .start(&self.leader)
    }

    /// Takes the next child, and writes the leader's status down before it is taken.
    pub(crate) fn reap(&self) -> Reaped {
        if self.leader_status().is_some() {
            return reap::next_unnoted();
        }
        reap::next(&mut |pid, status| {
            if Some(pid) == self.leader()
                && let Some(number) = status.to_number()
            {
                self.leader_status.set(number);
            }
        })
    }

    /// Whether everybody has been told to stop, by either half of the run.
    pub(crate) fn has_told(&self) -> bool {
        self.told.get() != 0
    }

    /// Whether somebody will read what processes are called that are told or killed.
    pub(crate) fn names_are_read(&self) -> bool {
        !self.spec.quiet || self.report.is_some() || self.reports_over_line
    }

    /// Writes down that everybody has been told.
    pub(crate) fn note_told(&self) {
        self.told.set(1);
    }

    /// How the leader ended, as it was written down.
    pub(crate) fn leader_status(&self) -> Option<Status> {
        Status::from_number(self.leader_status.get())
    }

    /// Says something to people, unless they want quiet.
    pub(crate) fn notice(&mut self, text: &str) {
        if !self.spec.quiet {
            self.say(text);
        }
    }

    /// Says something to people that they must know.
    pub(crate) fn say(&mut self, text: &str) {
        // Bytes in a command line are not ours to send to a terminal as they are.
        let line: String = text
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        if let Some(record) = &self.record {
            record.notice(&line);
        }
        let end = if self.terminal == Terminal::Pseudo {
            "\r\n"
        } else {
            "\n"
        };
        let _ = self.relay.sinks[self.notices].put(format!("ward: {line}{end}").as_bytes());
    }

    /// What was relayed so far.
    pub(crate) fn output(&self) -> report::Output {
        report::Output {
            stdout_bytes: self.relay.sinks[0].delivered(),
            stderr_bytes: if self.notices == 0 {
                0
            } else {
                self.relay.sinks[self.notices].delivered()
            },
            undelivered_bytes: self.relay.undelivered(),
            log_lost_bytes: self.relay.log.as_ref().map_or(0, LogFile::lost)
                + self.relay.sinks.iter().map(Sink::forgotten).sum::<u64>(),
        }
    }
}

/// Checks that the descriptors to keep are the caller's.
///
/// # Errors
/// [`EngineError::KeepFd`] for one that is not open.
pub(crate) fn check_kept(spec: &Spec) -> Result<(), EngineError> {
    match spec.keep_fds.iter().find(|fd| !spawn::is_inherited(**fd)) {
        Some(fd) => Err(EngineError::KeepFd(*fd)),
        None => Ok(()),
    }
}

fn is_about_cgroup(error: &SpawnError) -> bool {
    match error {
        SpawnError::Step { stage, .. } => *stage == Stage::JoinCgroup,
        SpawnError::KilledAtBirth { .. } => true,
        SpawnError::Nul(_) | SpawnError::Clone(_) => false,
    }
}

/// An identity for a run, unique on this host.
fn new_run_id() -> String {
    let micros = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    format!("{micros:x}-{}", std::process::id())
}

/// An identity for a run; inside another run, appended to its own.
fn nested_run_id() -> String {
    let own = new_run_id();
    match std::env::var(WARD_RUN_ID) {
        Ok(outer) if !outer.is_empty() => format!("{outer}/{own}"),
        _ => own,
    }
}

/// Where the command's streams lead.
struct Streams {
    terminal: Terminal,
    relay: Relay,
    notices: usize,
    stdio: [OwnedFd; 3],
    session_terminal: Option<OwnedFd>,
    keyboard: Option<OwnedFd>,
}

impl Streams {
    fn connect(spec: &Spec, log: Option<LogFile>) -> Result<Self, EngineError> {
        let doing = EngineError::system;
        let stdout = own_standard_stream(1).map_err(doing("use standard output"))?;
        let stderr = own_standard_stream(2).map_err(doing("use standard error"))?;
        // One pipe for both keeps their order, and is what the caller asked for with 2>&1.
        let same = spec.merge
            || pipe::identity(&stdout)
                .ok()
                .zip(pipe::identity(&stderr).ok())
                .is_some_and(|(out, err)| out == err);
        let on_terminal = [
            terminal::is_terminal(&stdout),
            terminal::is_terminal(&stderr),
        ];
        let controlling = terminal::controlling();
        let must_see = log.is_some() || spec.policy.idle_timeout.is_some();
        let shown_on = on_terminal.iter().position(|is| *is);
        let mode = match (&controlling, shown_on) {
            (Some(_), Some(_)) if must_see => Terminal::Pseudo,
            // A group of another PID namespace cannot be joined.
            (Some(_), _) => terminal::own_group().map_or(Terminal::None, Terminal::Shared),
            (None, _) => Terminal::None,
        };

        let stdin = match &spec.stdin {
            Stdin::Inherit => own_standard_stream(0).map_err(doing("use standard input"))?,
            Stdin::Null => open_input(OsStr::new("/dev/null"))?,
            Stdin::File(path) => open_input(path)?,
        };
        let pseudo = match (mode, shown_on) {
            (Terminal::Pseudo, Some(stream)) => {
                let like = if stream == 0 { &stdout } else { &stderr };
                Some(
                    terminal::pseudo_terminal(like.as_fd())
                        .map_err(doing("make a pseudo-terminal"))?,
                )
            }
            _ => None,
        };
        let copy = |fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned()
                .map_err(doing("duplicate a descriptor"))
        };
        let stdin = match &pseudo {
            Some(pseudo) if terminal::is_terminal(&stdin) => copy(pseudo.theirs.as_fd())?,
            _ => stdin,
        };

        let mut sources = Vec::new();
        let mut terminal_taken = false;
        let mut connect =
            |name, stream: &OwnedFd, is_terminal: bool, sink| match (&pseudo, is_terminal) {
                (Some(PseudoTerminal { ours, theirs }), true) => {
                    if !terminal_taken {
                        terminal_taken = true;
                        sources.push(Source::terminal(copy(ours.as_fd())?, sink));
                    }
                    copy(theirs.as_fd())
                }
                // What goes to a terminal, or nowhere, needs no relay unless it must be seen.
                (None, true) => copy(stream.as_fd()),
                (_, false) => {
                    let (reader, writer) = pipe::pipe().map_err(doing("make a pipe"))?;
                    let source = Source::pipe(name, reader, sink).map_err(doing("make a pipe"))?;
                    sources.push(source);
                    Ok(writer)
                }
            };
        let out = connect("stdout", &stdout, on_terminal[0], 0)?;
        let err = if same {
            copy(out.as_fd())?
        } else {
            connect("stderr", &stderr, on_terminal[1], 1)?
        };

        let sink = |fd| Sink::new(fd).map_err(doing("use a standard stream"));
        // With --merge the command's errors go to our output, but ours still to our errors.
        let one_sink = same && !spec.merge;
        let mut sinks = vec![sink(stdout)?];
        if !one_sink {
            sinks.push(sink(stderr)?);
        }
        let (session_terminal, keyboard) = match pseudo {
            Some(PseudoTerminal { ours, theirs }) => (Some(theirs), Some(ours)),
            None => (None, None),
        };
        Ok(Self {
            terminal: mode,
            notices: sinks.len() - 1,
            relay: Relay::new(sources, sinks, log),
            stdio: [stdin, out, err],
            session_terminal,
            keyboard,
        })
    }
}

impl Streams {
    /// The streams of a command that outlives its caller, and so has none of the caller's.
    fn detach(
        spec: &Spec,
        detached: &Detached,
        given: Option<[OwnedFd; 3]>,
    ) -> Result<Self, EngineError> {
        let doing = EngineError::system;
        let stdin = || match &spec.stdin {
            Stdin::Inherit | Stdin::Null => open_input(OsStr::new("/dev/null")),
            Stdin::File(path) => open_input(path),
        };
        let nowhere = || {
            let null = std::fs::File::options().write(true).open("/dev/null");
            null.and_then(|null| Sink::new(null.into()))
                .map_err(doing("open /dev/null"))
        };
        let (relay, stdio) = match &detached.output {
            DaemonOutput::Files { stdout, stderr } => {
                let open = |path: &OsStr| {
                    let file = std::fs::File::options()
                        .create(true)
                        .append(true)
                        .open(path);
                    file.map(OwnedFd::from).map_err(|source| EngineError::Log {
                        path: PathBuf::from(path),
                        source,
                    })
                };
                let stdio = match given {
                    Some(stdio) => stdio,
                    None => [stdin()?, open(stdout)?, open(stderr)?],
                };
                (Relay::new(Vec::new(), vec![nowhere()?], None), stdio)
            }
            DaemonOutput::Log(log) => {
                let failed = |source| EngineError::Log {
                    path: PathBuf::from(&log.path),
                    source,
                };
                let RotatedLog { timestamps, .. } = log;
                let (sink, file) = if *timestamps {
                    (nowhere()?, Some(LogFile::rotated(log).map_err(failed)?))
                } else {
                    (Sink::log(log).map_err(failed)?, None)
                };
                let (reader, writer) = pipe::pipe().map_err(doing("make a pipe"))?;
                // Should everybody who reads it be killed, the command must not die of that: it
                // is a reader itself, if one that never reads.
                let out = pipe::reopen_both_ways(writer.as_fd()).map_err(doing("open a pipe"))?;
                drop(writer);
                let err = out.try_clone().map_err(doing("duplicate a descriptor"))?;
                let source = Source::pipe("output", reader, 0).map_err(doing("make a pipe"))?;
                (
                    Relay::new(vec![source], vec![sink], file),
                    [stdin()?, out, err],
                )
            }
        };
        Ok(Self {
            terminal: Terminal::None,
            relay,
            notices: 0,
            stdio,
            session_terminal: None,
            keyboard: None,
        })
    }
}

fn open_input(path: &OsStr) -> Result<OwnedFd, EngineError> {
    terminal::open_input(path).map_err(|source| EngineError::Stdin {
        path: PathBuf::from(path),
        source,
    })
}

/// The numbers of descriptors that a drain must keep.
pub(crate) fn source_numbers(relay: &Relay) -> Vec<i32> {
    relay
        .sources
        .iter()
        .filter_map(|source| Some(source.fd()?.as_raw_fd()))
        .collect()
}
