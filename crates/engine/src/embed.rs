//! Custody for other programs: start a tree, stream its output, stop it, await the truth.
//!
//! A program that embeds this gets a guardian process of its own for each tree: the
//! program itself must not become a subreaper or wait for strangers, and may have threads.
//! The guardian is the program's own executable, started once more, which
//! [`guardian_entry`] turns into a guardian before `main` does anything else.
//!
//! ```no_run
//! use std::io::Read;
//! use ward_engine::embed::{self, Run, Stream};
//! use ward_model::spec::Spec;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     embed::guardian_entry();
//!     let mut spec = Spec::new(vec!["make".into(), "check".into()]);
//!     spec.environment = std::env::vars_os().collect();
//!     let mut run = Run::start(spec, Stream::Pipe, Stream::Inherit)?;
//!     let mut text = String::new();
//!     run.take_stdout().expect("asked for").read_to_string(&mut text)?;
//!     let report = run.wait()?;
//!     println!("{} bytes, exit status {}", text.len(), report.exit_status);
//!     Ok(())
//! }
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};
use ward_model::report::Report;
use ward_model::signal::Signal;
use ward_model::spec::Spec;
use ward_model::wire::{FromGuardian, Origin, StopOrder, ToGuardian, VERSION};
use ward_sys::signals::block_everything;
use ward_sys::spawn::own_standard_stream;

use crate::control::{Heard, Line};
use crate::custody::Custody;
use crate::error::EngineError;
use crate::guardian;

/// The variable that tells a started executable to be a guardian, whose standard input is the
/// line to its host. (Any other descriptor could leak into a child that another thread of
/// the host starts at the same time.)
const GUARDIAN: &str = "WARD_GUARDIAN";

/// Where one of the tree's output streams goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// To this program's own stream.
    Inherit,
    /// Nowhere.
    Null,
    /// To a pipe that this program reads; see [`Run::take_stdout`].
    Pipe,
}

impl Stream {
    fn stdio(self) -> Stdio {
        match self {
            Self::Inherit => Stdio::inherit(),
            Self::Null => Stdio::null(),
            Self::Pipe => Stdio::piped(),
        }
    }
}

/// What a host sends first.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    version: u32,
    spec: Spec,
    /// What is said to people goes to standard error, as `ward run` has it.
    aloud: bool,
}

/// What happens to a run, as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The leader runs, under this process id.
    Started {
        /// Its process id. For people: it may have been reused when you use it.
        leader: i32,
    },
    /// It is over, and this is the truth about it.
    Ended(Box<Report>),
}

/// A tree in custody. Dropping it stops the tree, with its grace, and does not wait.
#[derive(Debug)]
pub struct Run {
    line: Line,
    guardian: std::process::Child,
    ended: bool,
}

impl Run {
    /// Starts `spec` under a guardian of its own. Its standard input is as the spec says,
    /// its environment exactly what the spec has.
    ///
    /// # Errors
    /// When the guardian cannot be started. A failure to start the command itself is told
    /// by the report.
    pub fn start(spec: Spec, stdout: Stream, stderr: Stream) -> Result<Self, EngineError> {
        Self::begin(spec, stdout.stdio(), stderr.stdio(), false)
    }

    /// As [`Run::start`], for a host that shows the output to people: what `ward run` would say on
    /// standard error (who is told to stop, what is left over, what is killed) is said among the output,
    /// when it happens, unless the spec wants quiet. Both streams come by one pipe, in the order in
    /// which they were written: [`Run::take_stderr`]; with `apart`, standard output by another.
    ///
    /// # Errors
    /// As [`Run::start`].
    pub fn start_aloud(spec: Spec, apart: bool) -> Result<Self, EngineError> {
        let doing = EngineError::system;
        let (reader, writer) = io::pipe().map_err(doing("make a pipe"))?;
        let stdout = if apart {
            Stdio::piped()
        } else {
            let same = writer.try_clone();
            same.map_err(doing("duplicate a descriptor"))?.into()
        };
        let mut run = Self::begin(spec, stdout, writer.into(), true)?;
        run.guardian.stderr = Some(OwnedFd::from(reader).into());
        Ok(run)
    }

    fn begin(spec: Spec, stdout: Stdio, stderr: Stdio, aloud: bool) -> Result<Self, EngineError> {
        let doing = EngineError::system;
        let (line, far_end) = Line::pair().map_err(doing("make a socket pair"))?;
        let executable = std::env::current_exe().map_err(doing("find our own executable"))?;
        let guardian = Command::new(executable)
            .arg0("ward-guardian")
            .env(GUARDIAN, VERSION.to_string())
            .stdin(far_end.into_fd())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(doing("start the guardian"))?;
        let order = Order {
            version: VERSION,
            spec,
            aloud,
        };
        // By a file in memory: an environment may be longer than any message.
        let text =
            serde_json::to_vec(&order).map_err(|error| doing("write the order")(error.into()))?;
        let run = Self {
            line,
            guardian,
            ended: false,
        };
        let stdin = rustix::stdio::stdin();
        run.line
            .pass(&text, stdin)
            .map_err(doing("pass the order on"))?;
        Ok(run)
    }

    /// What the tree writes to standard output, if [`Stream::Pipe`] was asked for. At its end
    /// everything has been read, whoever may still hold the command's own pipe.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.guardian.stdout.take()
    }

    /// The same for standard error.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.guardian.stderr.take()
    }

    /// Asks the tree to stop, with `signal`. A second time skips the grace.
    pub fn stop(&self, signal: Signal) {
        self.line.say(&ToGuardian::Stop {
            signal,
            sender: None,
            origin: Origin::Process,
            order: None,
        });
    }

    /// The same, as an order of its own: one with another number is another request, however soon it
    /// comes, and may allow another grace than the spec does; none at all kills at once.
    pub fn order_stop(&self, signal: Signal, order: StopOrder) {
        self.line.say(&ToGuardian::Stop {
            signal,
            sender: None,
            origin: Origin::Process,
            order: Some(order),
        });
    }

    /// The process id of the guardian, a child of this process.
    #[must_use]
    pub fn guardian(&self) -> u32 {
        self.guardian.id()
    }

    /// Sends the leader, and nobody else, a signal.
    pub fn signal_leader(&self, signal: Signal) {
        self.line.say(&ToGuardian::Forward {
            signal,
            sender: None,
        });
    }

    /// Readable when [`Run::try_event`] has something to tell: for event loops.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// The next event, if there is one by now.
    ///
    /// # Errors
    /// [`EngineError::GuardianLost`] when the guardian was killed: the tree goes on without
    /// custody then, as this program is not its subreaper.
    pub fn try_event(&mut self) -> Result<Option<Event>, EngineError> {
        loop {
            match self.line.hear() {
                Heard::Nothing => return Ok(None),
                Heard::Gone => return Err(EngineError::GuardianLost),
                Heard::Message(FromGuardian::Started { leader }) => {
                    return Ok(Some(Event::Started { leader }));
                }
                Heard::Message(FromGuardian::Done {
                    report: Some(report),
                    drains_on,
                    ..
                }) => {
                    self.ended = true;
                    if !drains_on {
                        let _ = self.guardian.wait();
                    }
                    return Ok(Some(Event::Ended(report)));
                }
                Heard::Message(FromGuardian::Done { report: None, .. }) => {
                    return Err(EngineError::GuardianLost);
                }
                Heard::Message(
                    FromGuardian::LeaderStopped | FromGuardian::StreamRefused { .. },
                ) => {}
            }
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// As [`Run::try_event`].
    pub fn next_event(&mut self) -> Result<Event, EngineError> {
        loop {
            if let Some(event) = self.try_event()? {
                return Ok(event);
            }
            let mut fds = [PollFd::new(&self.line, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(EngineError::system("wait for events")(error.into())),
            }
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// As [`Run::try_event`].
    pub fn wait(mut self) -> Result<Report, EngineError> {
        loop {
            if let Event::Ended(report) = self.next_event()? {
                return Ok(*report);
            }
        }
    }
}

/// Turns this process into a guardian if it was started as one, and then never returns.
///
/// Must be the first thing that `main` does, before there are threads.
pub fn guardian_entry() {
    if std::env::var_os(GUARDIAN).is_none() {
        return;
    }
    if let Err(error) = be_guardian() {
        let _ = writeln!(io::stderr(), "ward: {}", crate::tree::chain(&error));
    }
    guardian::quit()
}

fn be_guardian() -> Result<(), EngineError> {
    let doing = EngineError::system;
    // For good: a guardian hears of everything over its line.
    let _never_restored = block_everything();
    let line = own_standard_stream(0).map_err(doing("find the line to the host"))?;
    let line = Line::from_fd(line);
    let mut text = Vec::new();
    let (order, stdin) = line.receive().map_err(doing("receive the order"))?;
    // What the host reads from takes the place of the line.
    rustix::stdio::dup2_stdin(&stdin)
        .map_err(|error| doing("take over standard input")(error.into()))?;
    drop(stdin);
    File::from(order)
        .read_to_end(&mut text)
        .map_err(doing("read the order"))?;
    let order: Order = serde_json::from_slice(&text)
        .map_err(|error| doing("understand the order")(error.into()))?;
    if order.version != VERSION {
        return Err(doing("serve a host of another version")(io::Error::from(
            io::ErrorKind::Unsupported,
        )));
    }
    let mut spec = order.spec;
    // Unless it wants it so, the host speaks by the line, and not by a terminal.
    spec.quiet |= !order.aloud;
    let mut custody = Custody::prepare(spec, None)?;
    custody.tells_start = true;
    custody.reports_over_line = true;
    guardian::guard(custody, line)
}
